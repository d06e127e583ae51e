"""LPTIM: a 16-bit counter that goes on in Stop with LSE or LSI.

Register offsets and bits: CMSIS headers ``stm32wle5xx.h``, ``stm32l476xx.h``, ``stm32l072xx.h`` (LPTIM_TypeDef,
LPTIM_*_Pos). Rules: LPTIM chapters of RM0453, RM0351 and RM0377. That ARROK, CMPOK and REPOK come after 3 periods of
the kernel clock, and that counting begins at once, is unverified.

Settings: ``number``, such as 1 for LPTIM1; ``extended``, whether there are COUNTRST and the repetition counter (default
True, WL; not L0 and L4); ``freeze``, its bit in the DBGMCU; ``enable``, ``exti``.

CNT always reads coherently; a program that wants two equal reads gets them. Not modelled and complained about: external
clock, triggers, waveforms (the output pin), encoder mode, RSTARE.
"""

from collections.abc import Mapping

from lorafab.virtual.chip import At
from lorafab.virtual.clock import NS_PER_S, Event
from lorafab.virtual.silicon import Silicon, Sleep
from lorafab.virtual.stm32.registers import Reg, Registers
from lorafab.virtual.stm32.ticks import Ticks, Watch

CMPM, ARRM, CMPOK, ARROK, UE, REPOK = 1, 2, 1 << 3, 1 << 4, 1 << 7, 1 << 8
_ENABLE, _SNGSTRT, _CNTSTRT, _COUNTRST = 1, 2, 4, 8
_OK = {"CMP": CMPOK, "ARR": ARROK, "RCR": REPOK}
_OK_PERIODS = 3
_PRELOAD = 1 << 22
_REFUSED = {
    1: "an external clock", 3 << 17: "an external trigger", 3 << 19: "a waveform", 3 << 23: "counting external edges",
}  # fmt: skip


class Lptim(Registers):
    """Flags are worked out when somebody looks, or in time for an interrupt that is enabled."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        super().__init__(silicon, at)
        self._kernel = f"lptim{self.settings['number']}"
        self._ticks = Ticks(silicon.clock)
        self._watch = Watch(silicon.clock)
        self._event: Event | None = None
        self._syncing: dict[str, Event] = {}
        self._seen = 0  # count up to which the flags are worked out
        self._counting = self._single = False
        self._active = {"ARR": 1, "CMP": 0}  # what counts; with PRELOAD the registers are ahead of it

    def layout(self) -> Mapping[str, Reg]:
        """LPTIM_TypeDef."""
        extended = bool(self.settings.get("extended", True))
        registers = {
            "ISR": Reg(0x00, 0, 0), "ICR": Reg(0x04, 0, 0), "IER": Reg(0x08, 0, 0x1FF if extended else 0x7F),
            "CFGR": Reg(0x0C, 0, 0x01FE_EEDF, _REFUSED),
            "CR": Reg(0x10, 0, 1, {1 << 4: "resetting the counter by a read (RSTARE)"}),
            "CMP": Reg(0x14, 0, 0xFFFF), "ARR": Reg(0x18, 1, 0xFFFF), "CNT": Reg(0x1C, 0, 0), "OR": Reg(0x20, 0, 3),
        }  # fmt: skip
        return registers | ({"RCR": Reg(0x28, 0, 0xFF)} if extended else {})

    # life

    def reset(self) -> None:
        """Disabled."""
        super().reset()
        self._stop()
        self._active = {"ARR": 1, "CMP": 0}

    def power_off(self) -> None:
        """Nothing is due any more."""
        self._stop()

    def on_sleep(self, depth: Sleep) -> None:
        """In Stop it needs LSE or LSI and its SMEN bit."""
        self._retime()

    def on_halt(self, halted: bool) -> None:
        """DBG_LPTIMx_STOP."""
        self._retime()

    def clock_changed(self) -> None:
        """Its kernel clock may be another."""
        self._retime()

    def _stop(self) -> None:
        for event in (self._event, *self._syncing.values()):
            if event is not None:
                event.cancel()
        self._event, self._counting = None, False
        self._syncing.clear()
        self._watch.cancel()
        self._ticks.set_rate(0)
        self._set_count(0)

    # counting

    @property
    def _period(self) -> int:
        return self._active["ARR"] + 1

    def _set_count(self, count: int) -> None:
        self._ticks.set(count)
        self._seen = count

    def _hz(self) -> int:
        """The kernel clock as far as it gets here."""
        sleep, enable = self.silicon.sleep, self.settings.get("enable")
        if sleep is Sleep.STANDBY:
            return 0
        clocks = self.rcc
        if sleep is not Sleep.RUN and enable is not None and not clocks.clocked_asleep(enable):
            return 0
        dbgmcu = self.peer("dbgmcu")
        if dbgmcu is not None and "freeze" in self.settings and dbgmcu.freezes(self.settings["freeze"]):
            return 0
        return int(clocks.hz(self._kernel))

    def _retime(self) -> None:
        self._work_out()
        self._ticks.set_rate(self._hz() if self._counting else 0, 1 << (self.r["CFGR"] >> 9 & 7))
        self._schedule()

    def _places(self) -> dict[int, tuple[int, int]]:
        """By flag: the count at which it comes, and how often."""
        period = self._period
        places = {ARRM: (self._active["ARR"], period)}
        if self._active["CMP"] <= self._active["ARR"]:
            places[CMPM] = (self._active["CMP"], period)
        if "RCR" in self.r:
            places[UE] = (0, period * (self.r["RCR"] + 1))
        return places

    def _work_out(self) -> None:
        """Set the flags of what has happened until now."""
        count = self._ticks.count
        if not self._counting or count <= self._seen:
            return
        for flag, (place, every) in self._places().items():
            if (count - place) // every > (self._seen - place) // every:
                self.r["ISR"] |= flag
        wrapped = count // self._period > self._seen // self._period
        self._seen = count
        if wrapped and self._single:
            self._counting = False
            self._ticks.set_rate(0)
            self._set_count(0)
        elif wrapped and self.r["CFGR"] & _PRELOAD:
            self._set_count(count % self._period)
            self._load()
        self._signal()

    def _load(self) -> None:
        self._active = {name: self.r[name] for name in self._active}

    def _next(self, wanted: int) -> int | None:
        """When the first of these flags comes that is not set yet."""
        if not self._counting:
            return None
        count = self._ticks.count
        moments = [
            self._ticks.when(count + 1 + (place - count - 1) % every)
            for flag, (place, every) in self._places().items()
            if wanted & flag & ~self.r["ISR"]
        ]
        if self._single or self.r["CFGR"] & _PRELOAD:
            moments.append(self._ticks.when(count + self._period - count % self._period))
        return min((moment for moment in moments if moment is not None), default=None)

    def _schedule(self) -> None:
        if self._event is not None:
            self._event.cancel()
            self._event = None
        at_ns = self._next(self.r["IER"])
        if at_ns is not None:
            self._event = self.silicon.clock.at(at_ns, self._due)

    def _due(self) -> None:
        self._event = None
        self._work_out()
        self._schedule()

    def _signal(self) -> None:
        self.irq(bool(self.r["ISR"] & self.r["IER"]))

    # registers

    def read_register(self, name: str) -> int:
        """A program that polls CNT or ISR sees time pass."""
        if name in ("CNT", "ISR"):
            self._work_out()
            changes = self._ticks.when(self._ticks.count + 1) if name == "CNT" else self._next(ARRM | CMPM | UE)
            self.look(self._watch, changes)
            self._work_out()
        return self._ticks.count % self._period if name == "CNT" else self.r[name]

    def write_register(self, name: str, value: int) -> None:
        """ARR and CMP want an enabled timer, CFGR and IER a disabled one."""
        self._work_out()
        if name == "ICR":
            self.r["ISR"] &= ~value
        elif name == "CR":
            self._control(value)
        elif name in _OK:
            self._write_value(name, value)
        elif name in ("CFGR", "IER") and self.r["CR"] & _ENABLE and value != self.r[name]:
            self.complain(f"write to {name} while ENABLE is 1 does nothing")
        else:
            self.store(name, value)
        self._signal()
        self._retime()

    def _control(self, value: int) -> None:
        if not value & _ENABLE:
            self.r["CR"] = 0
            self.r["ISR"] = 0
            self._stop()
            return
        starts = value & (_SNGSTRT | _CNTSTRT) if self.r["CR"] & _ENABLE else 0
        if value & (_SNGSTRT | _CNTSTRT) and not starts:
            self.complain("SNGSTRT and CNTSTRT want a timer that is already enabled")
        if value & _COUNTRST and "RCR" in self.r:
            self._set_count(0)
        self.r["CR"] |= _ENABLE
        if starts:
            self._single = not starts & _CNTSTRT
            if not self._counting:
                self._set_count(0)
                self._load()
            self._counting = True
            self.r["CR"] |= _CNTSTRT if starts & _CNTSTRT else 0

    def _write_value(self, name: str, value: int) -> None:
        if not self.r["CR"] & _ENABLE:
            self.complain(f"write to {name} while ENABLE is 0 does nothing")
            return
        self.store(name, value)
        if name != "RCR" and not (self._counting and self.r["CFGR"] & _PRELOAD):
            self._set_count(self._ticks.count % self._period)
            self._active[name] = self.r[name]
        if name in self._syncing:
            self._syncing.pop(name).cancel()
        hz = self._hz()
        if hz:
            at_ns = self.silicon.clock.now_ns + _OK_PERIODS * NS_PER_S // hz
            self._syncing[name] = self.silicon.clock.at(at_ns, lambda: self._taken(name))

    def _taken(self, name: str) -> None:
        del self._syncing[name]
        self.r["ISR"] |= _OK[name]
        self._signal()
