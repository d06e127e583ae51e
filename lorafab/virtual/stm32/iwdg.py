"""Watchdogs: IWDG on the LSI and WWDG on PCLK1.

Register offsets and bits: CMSIS headers ``stm32wle5xx.h``, ``stm32l476xx.h``, ``stm32l072xx.h`` (IWDG_TypeDef,
WWDG_TypeDef; WWDG_CFR.WDGTB is at 11 in the WL, at 7 in L0 and L4). Rules: IWDG and WWDG chapters of RM0351: keys,
prescaler 4 << PR, early wake-up at 0x40. That updates of PR, RLR and WINR take 5 periods of LSI is unverified.

Settings of the IWDG: ``freeze``, its bit in the DBGMCU (default: that of the WL and L4; L0 ``(0x08, 12)``);
``software``, ``stop`` and ``standby``, each (number of the option word, bit) of IWDG_SW, IWDG_STOP and IWDG_STDBY;
without them it is started by software and runs in Stop and Standby. Settings of the WWDG: ``freeze``, ``prescaler``
(position and width of WDGTB), ``enable``.
"""

from collections.abc import Mapping

from lorafab.virtual.chip import At
from lorafab.virtual.clock import Event
from lorafab.virtual.silicon import Reset, Silicon, Sleep
from lorafab.virtual.stm32.registers import Reg, Registers
from lorafab.virtual.stm32.ticks import Ticks

_RELOAD, _UNLOCK, _START = 0xAAAA, 0x5555, 0xCCCC
_UPDATES = {"PR": 1, "RLR": 2, "WINR": 4}  # PVU, RVU, WVU of SR
_UPDATE_PERIODS = 5
FREEZE_WL = (0x3C, 12)


class Iwdg(Registers):
    """Independent watchdog; once started only a reset stops it."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        super().__init__(silicon, at)
        self._ticks = Ticks(silicon.clock)  # of LSI / prescaler, from 0 at each reload
        self._event: Event | None = None
        self._updating: dict[str, Event] = {}
        self._running = self._open = False
        self._reload = 0xFFF
        self._depth = Sleep.RUN

    def layout(self) -> Mapping[str, Reg]:
        """IWDG_TypeDef."""
        return {
            "KR": Reg(0x00, 0, 0),
            "PR": Reg(0x04, 0, 7),
            "RLR": Reg(0x08, 0xFFF, 0xFFF),
            "SR": Reg(0x0C, 0, 0),
            "WINR": Reg(0x10, 0xFFF, 0xFFF),
        }

    def reset(self) -> None:
        """Stopped, unless the option bytes start it by hardware."""
        super().reset()
        self._cancel()
        self._running = self._open = False
        self._depth = Sleep.RUN
        if not self._option("software"):
            self._start()

    def power_off(self) -> None:
        """Nothing is due any more."""
        self._cancel()
        self._running = False

    def _cancel(self) -> None:
        for event in (self._event, *self._updating.values()):
            if event is not None:
                event.cancel()
        self._event = None
        self._updating.clear()

    def _option(self, name: str) -> bool:
        place = self.settings.get(name)
        if place is None:
            return True
        word, bit = place
        return bool(self.silicon.flash.loaded_option(word) >> bit & 1)

    # time

    def on_sleep(self, depth: Sleep) -> None:
        """It freezes in Stop and Standby when the option bytes say so."""
        self._depth = depth
        self._schedule()

    def on_halt(self, halted: bool) -> None:
        """DBG_IWDG_STOP."""
        self._schedule()

    def _frozen(self) -> bool:
        dbgmcu = self.peer("dbgmcu")
        if dbgmcu is not None and dbgmcu.freezes(self.settings.get("freeze", FREEZE_WL)):
            return True
        option = {Sleep.STOP: "stop", Sleep.STANDBY: "standby"}.get(self._depth)
        return option is not None and not self._option(option)

    def _schedule(self) -> None:
        if self._event is not None:
            self._event.cancel()
            self._event = None
        if self._running:
            frozen = self._frozen()
            self._ticks.set_rate(0 if frozen else self.rcc.LSI_HZ, 4 << min(self.r["PR"], 6))
            at_ns = self._ticks.when(self._reload + 1)
            if at_ns is not None:
                self._event = self.silicon.clock.at(at_ns, self._expired)

    def _start(self) -> None:
        self._running = True
        self._feed()

    def _feed(self) -> None:
        self._reload = self.r["RLR"]
        self._ticks.set(0)
        self._schedule()

    def _expired(self) -> None:
        self._event = None
        self._running = False
        self.silicon.reset(Reset.WATCHDOG)

    # registers

    def write_register(self, name: str, value: int) -> None:
        """The key register starts, reloads and unlocks."""
        if name == "KR":
            self._key(value & 0xFFFF)
        elif name in _UPDATES and self._open:
            self._change(name, value)
        elif name in _UPDATES:
            self.complain(f"write to {name} without the key 0x5555 does nothing")

    def _key(self, key: int) -> None:
        self._open = key == _UNLOCK
        if key == _START and not self._running:
            self._start()
        elif key == _RELOAD and self._running:
            window = self.r["WINR"]
            if window < 0xFFF and self._reload - self._ticks.count > window:
                self._expired()  # too early
            else:
                self._feed()

    def _change(self, name: str, value: int) -> None:
        self.store(name, value)
        self.r["SR"] |= _UPDATES[name]
        if name in self._updating:
            self._updating[name].cancel()
        at_ns = self.silicon.clock.now_ns + _UPDATE_PERIODS * 1_000_000_000 // self.rcc.LSI_HZ
        self._updating[name] = self.silicon.clock.at(at_ns, lambda: self._changed(name))
        if name == "WINR" and self._running:
            self._feed()  # a write to the window reloads the counter (IWDG_WINR)
        self._schedule()

    def _changed(self, name: str) -> None:
        self.r["SR"] &= ~_UPDATES[name]
        self._updating.pop(name, None)


class Wwdg(Registers):
    """Window watchdog: counts PCLK1 / 4096 / 2^WDGTB down, resets at 0x3F or when it is fed too early."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        super().__init__(silicon, at)
        self._ticks = Ticks(silicon.clock)
        self._event: Event | None = None
        self._from = 0x7F

    def layout(self) -> Mapping[str, Reg]:
        """WWDG_TypeDef; T and W are the low seven bits."""
        return {"CR": Reg(0x00, 0x7F, 0xFF), "CFR": Reg(0x04, 0x7F, 0x3FFF), "SR": Reg(0x08, 0, 0)}

    def reset(self) -> None:
        """Stopped."""
        super().reset()
        self.power_off()

    def power_off(self) -> None:
        """Nothing is due any more."""
        if self._event is not None:
            self._event.cancel()
            self._event = None

    def on_sleep(self, depth: Sleep) -> None:
        """It stands with its clock."""
        self._schedule()

    def on_halt(self, halted: bool) -> None:
        """DBG_WWDG_STOP."""
        self._schedule()

    def clock_changed(self) -> None:
        """PCLK1."""
        self._schedule()

    def _counter(self) -> int:
        return self._from - self._ticks.count if self.r["CR"] & 0x80 else self.r["CR"] & 0x7F

    def _schedule(self) -> None:
        self.power_off()
        if not self.r["CR"] & 0x80:
            return
        dbgmcu = self.peer("dbgmcu")
        frozen = dbgmcu is not None and dbgmcu.freezes(self.settings.get("freeze", (0x3C, 11)))
        position, width = self.settings.get("prescaler", (11, 3))
        shift = self.r["CFR"] >> position & (1 << width) - 1
        runs = self.awake and not frozen
        self._ticks.set_rate(self.silicon.hz("pclk1") if runs else 0, 4096 << shift)
        next_value = 0x40 if self._counter() > 0x40 else 0x3F
        at_ns = self._ticks.when(self._from - next_value)
        if at_ns is not None:
            self._event = self.silicon.clock.at(at_ns, self._due)

    def _due(self) -> None:
        self._event = None
        if self._counter() < 0x40:
            self._bite()
            return
        self.r["SR"] |= 1
        self._signal()
        self._schedule()

    def _bite(self) -> None:
        self.rcc.window_watchdog = True
        self.silicon.reset(Reset.WATCHDOG)

    def _signal(self) -> None:
        self.irq(bool(self.r["SR"] & 1 and self.r["CFR"] & 1 << 9))

    def read_register(self, name: str) -> int:
        """T counts."""
        return self.r["CR"] & 0x80 | self._counter() & 0x7F if name == "CR" else self.r[name]

    def write_register(self, name: str, value: int) -> None:
        """WDGA and EWI cannot be taken back; feeding outside the window resets."""
        if name == "SR":
            self.r["SR"] &= value
        elif name == "CFR":
            self.store(name, value | self.r[name] & 1 << 9)
        else:
            early = self.r["CR"] & 0x80 and self._counter() > self.r["CFR"] & 0x7F
            self.store(name, value | self.r["CR"] & 0x80)
            self._from = value & 0x7F
            self._ticks.set(0)
            if self.r["CR"] & 0x80 and (early or self._from < 0x40):
                self._bite()
                return
        self._signal()
        self._schedule()
