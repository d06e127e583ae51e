"""RNG: a stream of words that is NOT random.

It is the same for every power-on session of the same board: SHAKE-128 of the board's unique id and a count. Simulated
runs repeat, so nothing secret may ever come from here, and lorafab takes no key from it: keys are drawn on the
computer.

Register offsets and bits: CMSIS headers ``stm32wle5xx.h``, ``stm32l476xx.h``, ``stm32l072xx.h`` (RNG_TypeDef,
RNG_*_Pos). Rules: RNG chapter of RM0351 (a word every 40 periods of the RNG clock, four words are kept in newer parts:
not modelled, one is), that of RM0453 (configuration, CONDRST, HTCR: kept). The 40 periods are unverified for WL.

Settings: ``enable``; ``fast``, whether it is the small one of L0 and L4, whose clock must be above HCLK / 32, or CECS
reports it (default False).
"""

import hashlib
from collections.abc import Mapping

from lorafab.virtual.chip import At
from lorafab.virtual.clock import NS_PER_S, Event
from lorafab.virtual.silicon import Silicon, Sleep
from lorafab.virtual.stm32.registers import Reg, Registers

_RNGEN, _IE, _CED, _CONDRST, _LOCK = 1 << 2, 1 << 3, 1 << 5, 1 << 30, 1 << 31
_DRDY, _CECS, _SECS, _CEIS, _SEIS = 1, 2, 4, 1 << 5, 1 << 6
_PERIODS = 40


class Rng(Registers):
    """The part may be told of a failing noise source with :meth:`seed_error`."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        super().__init__(silicon, at)
        self._drawn = 0
        self._word = 0
        self._event: Event | None = None

    def layout(self) -> Mapping[str, Reg]:
        """RNG_TypeDef; L0 and L4 have no more than RNGEN and IE."""
        small = bool(self.settings.get("fast"))
        registers = {
            "CR": Reg(0x00, 0, _RNGEN | _IE if small else 0xFFFF_FFEC),
            "SR": Reg(0x04, 0, 0),
            "DR": Reg(0x08, 0, 0),
        }
        return registers | ({} if small else {"HTCR": Reg(0x10)})

    def power_on(self) -> None:
        """The same words as after every power-on."""
        self._drawn = 0

    def reset(self) -> None:
        """Off; the stream goes on where it was."""
        super().reset()
        self.power_off()

    def power_off(self) -> None:
        """No word is on its way."""
        if self._event is not None:
            self._event.cancel()
            self._event = None

    def on_sleep(self, depth: Sleep) -> None:
        """The RNG stands without its clock."""
        self._restart()

    def clock_changed(self) -> None:
        """The clock may have come, gone, or become too slow."""
        self._restart()

    def seed_error(self) -> None:
        """The noise source fails its test: SECS and SEIS until RNGEN is cleared and set again, or CONDRST."""
        self.r["SR"] = self.r["SR"] & ~_DRDY | _SECS | _SEIS
        self.power_off()
        self._signal()

    def _restart(self) -> None:
        self.power_off()
        status = self.r["SR"]
        if not self.r["CR"] & _RNGEN or not self.awake:
            return
        hz = self.silicon.hz("rng")
        slow = not hz or (bool(self.settings.get("fast")) and hz * 32 < self.silicon.hz())
        if slow and not self.r["CR"] & _CED:
            self.r["SR"] = status & ~_DRDY | _CECS | (0 if status & _CECS else _CEIS)
        else:
            self.r["SR"] = status & ~_CECS
            if hz and not status & (_DRDY | _SECS):
                at_ns = self.silicon.clock.now_ns + _PERIODS * NS_PER_S // hz
                self._event = self.silicon.clock.at(at_ns, self._ready)
        self._signal()

    def _ready(self) -> None:
        self._event = None
        seed = self.silicon.file.uid + self._drawn.to_bytes(8, "little")
        self._word = int.from_bytes(hashlib.shake_128(b"lorafab virtual RNG" + seed).digest(4), "little")
        self._drawn += 1
        self.r["SR"] |= _DRDY
        self._signal()

    def _signal(self) -> None:
        self.irq(bool(self.r["CR"] & _IE and self.r["SR"] & (_DRDY | _CEIS | _SEIS)))

    def read_register(self, name: str) -> int:
        """A word is read once; without one DR is 0, as on the part."""
        if name != "DR":
            return self.r[name]
        if not self.r["SR"] & _DRDY:
            self.complain("DR was read without DRDY; it is 0")
            return 0
        self.r["SR"] &= ~_DRDY
        self._restart()
        self._signal()
        return self._word

    def write_register(self, name: str, value: int) -> None:
        """CEIS and SEIS are cleared by writing 0; CONFIGLOCK keeps the configuration."""
        if name == "SR":
            self.r["SR"] &= value | ~(_CEIS | _SEIS)
            self._signal()
            return
        if name == "CR" and self.r["CR"] & _LOCK:
            value = self.r["CR"] & ~(_RNGEN | _IE) | value & (_RNGEN | _IE)
        was = self.r["CR"]
        self.store(name, value)
        if name == "CR":
            if (was & ~value) & (_RNGEN | _CONDRST):
                self.r["SR"] &= ~(_DRDY | _SECS)
            self._restart()
            self._signal()
