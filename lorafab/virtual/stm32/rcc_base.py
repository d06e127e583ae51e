"""Reset and clock control, the part named ``clocks``: oscillators, PLL, bus clocks, kernel clocks, enables, resets.

This is what WL, L0 and L4 share; ``rcc.py`` has their tables. Bits common to the three (CMSIS headers, RCC_CFGR_*): SW
1:0, SWS 3:2, HPRE 7:4, PPRE1 10:8, PPRE2 13:11, STOPWUCK 15; SW selects MSI, HSI16, HSE or PLL. An internal reset also
pulls NRST, so PINRSTF comes with every reset flag (RM0351, reset section of the RCC chapter).

Settings: ``hse`` and ``lse``, frequencies of the crystals in Hz, 0 for none (its ready bit never comes).

Start-up times are typical ones of the families' data sheets (unverified): HSI16 1.2 us, MSI 2 us, HSE 1 ms, LSE 2 s,
LSI 130 us, PLL 15 us, HSI48 6 us. Waking from Stop and switching clocks take no time. Not modelled: MCO outputs, clock
security (a crystal never fails), trimming (kept), MSI locked to LSE.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from lorafab.virtual.chip import At
from lorafab.virtual.clock import Event
from lorafab.virtual.silicon import Reset, Silicon, Sleep
from lorafab.virtual.stm32.registers import WORD, Reg, Registers

HSI16_HZ = 16_000_000
START_NS = {
    "msi": 2_000, "hsi16": 1_200, "hse": 1_000_000, "pll": 15_000, "lsi": 130_000, "lse": 2_000_000_000, "hsi48": 6_000,
}  # fmt: skip
_SYSTEM = ("msi", "hsi16", "hse", "pll")  # by RCC_CFGR.SW
_AHB = (1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 16, 64, 128, 256, 512)  # by HPRE; L0 and L4
_APB = (1, 1, 1, 1, 2, 4, 8, 16)  # by PPRE1, PPRE2
RMVF = 1 << 23
# Bits of RCC_CSR, the same in all three (RCC_CSR_*RSTF_Pos); BORRSTF of WL and L4 is called PORRSTF in L0.
_FLAGS = {
    Reset.OPTIONS: 1 << 25, Reset.PIN: 1 << 26, Reset.POWER: 1 << 27, Reset.SOFTWARE: 1 << 28, Reset.WATCHDOG: 1 << 29,
}  # fmt: skip
_PINRSTF, _WWDGRSTF, _ALL_FLAGS = 1 << 26, 1 << 30, 0xFF << 24
_STOPWUCK = 1 << 15


@dataclass(frozen=True)
class Osc:
    """An oscillator: register, its on and ready bits, and its bit in CIER, CIFR and CICR."""

    register: str
    on: int
    ready: int
    flag: int


@dataclass(frozen=True)
class Select:
    """A kernel clock: where it is selected, and from what."""

    register: str
    position: int
    sources: tuple[str, ...]


class Rcc(Registers):
    """The clock tree. Frequencies are in Hz, 0 for a clock that stands."""

    OSCILLATORS: ClassVar[Mapping[str, Osc]]
    SELECTS: ClassVar[Mapping[str, Select]]
    MSI_HZ: ClassVar[tuple[int, ...]]
    LSI_HZ: ClassVar[int]
    HSE_HZ: ClassVar[int] = 0
    """The crystal when the profile names none."""
    MAX_HZ: ClassVar[int]
    """Highest SYSCLK of the family."""
    RESETS: ClassVar[int]
    """From a clock enable register back to the reset register with the same bits, in bytes."""
    ASLEEP: ClassVar[int]
    """From a clock enable register on to the one for Sleep, in bytes."""
    ENABLES: ClassVar[range]
    """Offsets of the clock enable registers."""
    BACKUP: ClassVar[tuple[str, int]]
    """Register and bits that belong to the backup domain, behind PWR's DBP."""
    BDRST: ClassVar[int]
    RTCEN: ClassVar[tuple[str, int]]
    PLL_ENABLES: ClassVar[int] = 0
    """Bits of PLLCFGR that may change while the PLL is on."""
    KEPT_IN_CSR: ClassVar[int] = _ALL_FLAGS
    """Bits of CSR that a system reset keeps."""
    AHB: ClassVar[tuple[int, ...]] = _AHB

    def __init__(self, silicon: Silicon, at: At) -> None:
        super().__init__(silicon, at)
        self._crystal = {
            "hse": int(self.settings.get("hse", self.HSE_HZ)),
            "lse": int(self.settings.get("lse", 32_768)),
        }
        self._starting: dict[str, Event] = {}
        self._depth = Sleep.RUN
        self._rates: dict[str, int] = {}
        self._after_standby = self._gated_asleep = False
        self.window_watchdog = False
        """Set by the WWDG, whose reset has a flag of its own."""
        self._compute()

    # what others ask

    def hz(self, name: str) -> int:
        """A clock of the tree (``hclk``, ``pclk1``, ``sysclk``, ``hsi16``...) or a part's kernel clock (``usart1``)."""
        return self._rates[name]

    def source(self, kernel: str) -> str:
        """Which clock of the tree a kernel clock is taken from."""
        select = self.SELECTS[kernel]
        width = (len(select.sources) - 1).bit_length()
        return select.sources[self.r[select.register] >> select.position & (1 << width) - 1]

    def clocked(self, enable: tuple[int, int]) -> bool:
        """Whether the clock enable bit ``enable`` (register offset, bit) is set."""
        return bool(self.peek_word(enable[0]) >> enable[1] & 1)

    def clocked_asleep(self, enable: tuple[int, int]) -> bool:
        """Whether the part keeps its clock while the core sleeps."""
        return self.clocked(enable) and bool(self.peek_word(enable[0] + self.ASLEEP) >> enable[1] & 1)

    @property
    def changes_asleep(self) -> bool:
        """A part that runs loses its clock while the core sleeps."""
        return self._gated_asleep

    def kept_in(self, depth: Sleep) -> bool:
        """Whether the debugger keeps the clocks running in a sleep of this depth."""
        dbgmcu = self.peer("dbgmcu")
        if dbgmcu is None or depth not in (Sleep.STOP, Sleep.STANDBY):
            return False
        return bool(dbgmcu.keeps_clocks_in_stop if depth is Sleep.STOP else dbgmcu.keeps_clocks_in_standby)

    def note_reset(self, cause: Reset) -> None:
        """Set the reset flags; leaving Standby sets none (PWR has its own)."""
        if cause is Reset.POWER:
            self.r["CSR"] &= ~_ALL_FLAGS
        if cause is not Reset.STANDBY:
            windowed = cause is Reset.WATCHDOG and self.window_watchdog
            self.r["CSR"] |= (_WWDGRSTF if windowed else _FLAGS[cause]) | _PINRSTF
        self.window_watchdog = False
        self._after_standby = cause is Reset.STANDBY
        self._compute()

    # life

    def power_on(self) -> None:
        """The backup domain comes up reset, too: there is no battery."""
        self.r = {name: reg.reset for name, reg in self._layout.items()}

    def power_off(self) -> None:
        """Nothing starts any more."""
        for event in self._starting.values():
            event.cancel()
        self._starting.clear()

    def reset(self) -> None:
        """Back to MSI; backup domain and reset flags stay."""
        backup, mask = self.BACKUP
        kept = {"CSR": self.r["CSR"] & (WORD if self._depth is Sleep.STANDBY else self.KEPT_IN_CSR)}
        kept[backup] = kept.get(backup, 0) | self.r[backup] & mask
        for name, oscillator in self.OSCILLATORS.items():
            if name in self._starting and not (oscillator.register == backup and mask >> oscillator.on & 1):
                self._starting.pop(name).cancel()
        super().reset()
        for register, value in kept.items():
            cleared = WORD if self._depth is Sleep.STANDBY else mask if register == backup else 0
            self.r[register] = self.r[register] & ~cleared | value
        self._depth = Sleep.RUN
        self._update()

    def on_sleep(self, depth: Sleep) -> None:
        """Stop lets only LSE and LSI run; waking from it is on MSI or HSI16 (STOPWUCK)."""
        before, self._depth = self._depth, depth
        if before is Sleep.STOP and depth is Sleep.RUN:
            self._leave_stop()
        self._update()

    def _leave_stop(self) -> None:
        wanted = "hsi16" if self.r["CFGR"] & _STOPWUCK else "msi"
        for name in _SYSTEM:
            self._set_oscillator(name, name == wanted or (name == "hsi16" and self._keeps_hsi16()))
        self.r["CFGR"] = self.r["CFGR"] & ~3 | _SYSTEM.index(wanted)

    def _keeps_hsi16(self) -> bool:
        """HSIKERON, the bit behind HSION: on, also in Stop."""
        on = self.OSCILLATORS["hsi16"].on
        return self.r["CR"] >> on & 3 == 3

    def _set_oscillator(self, name: str, on: bool) -> None:
        oscillator = self.OSCILLATORS[name]
        bits = 1 << oscillator.on | 1 << oscillator.ready
        self.r[oscillator.register] = self.r[oscillator.register] & ~bits | (bits if on else 0)
        if name in self._starting:
            self._starting.pop(name).cancel()

    # registers

    def write_register(self, name: str, value: int) -> None:
        """Write; ready bits, status and reset flags are the hardware's."""
        before = self.r[name]
        if name == "CSR" and value & RMVF:
            self.r[name] &= ~_ALL_FLAGS
        if name == self.BACKUP[0]:
            value = self._guard_backup(value)
        value = self._keep_in_use(name, value)
        if name == "PLLCFGR" and self.is_ready("pll"):
            fixed = ~self.PLL_ENABLES
            value = value & ~fixed | before & fixed
        self.store(name, value)
        if name == "CICR":
            self.r["CIFR"] &= ~value
        offset = self._layout[name].offset
        if offset + self.RESETS in self.ENABLES and offset not in self.ENABLES:
            self._reset_parts(offset + self.RESETS, self.r[name] & ~before)
        self._gated_asleep = any(
            self.peek_word(at) & self._asleep_at_reset(at) & ~self.peek_word(at + self.ASLEEP) for at in self.ENABLES
        )
        self._update()

    def _asleep_at_reset(self, enable: int) -> int:
        """Bits that the register for Sleep beside this enable register has: all of them are set at reset."""
        name = self._names.get(enable + self.ASLEEP)
        return 0 if name is None else self._layout[name].reset

    def _guard_backup(self, value: int) -> int:
        name, mask = self.BACKUP
        power = self.peer("power")
        if power is not None and not power.backup_open:
            if (value ^ self.r[name]) & mask & self._layout[name].writable:
                self.complain(f"write to {name} while PWR's DBP is 0 does nothing in the backup domain")
            return value & ~mask | self.r[name] & mask
        if value & self.BDRST and not self.r[name] & self.BDRST:
            self.r[name] &= ~mask
            for part in self.silicon.parts.values():
                if isinstance(part, Registers):
                    part.backup_reset()
            return value & ~mask | self.BDRST
        return value & ~mask | self.r[name] & mask if self.r[name] & value & self.BDRST else value

    def _keep_in_use(self, name: str, value: int) -> int:
        """An oscillator that drives SYSCLK cannot be switched off (RM0351, bits xxxON)."""
        used = {_SYSTEM[self.r["CFGR"] >> 2 & 3]}
        if "pll" in used:
            used.add(self._pll_source())
        for source in used & self.OSCILLATORS.keys():
            if self.OSCILLATORS[source].register == name:
                value |= self.r[name] & 1 << self.OSCILLATORS[source].on
        return value

    def _reset_parts(self, enable_offset: int, bits: int) -> None:
        for part in self.silicon.parts.values():
            offset, bit = self._enable_of(part)
            if offset == enable_offset and bits >> bit & 1:
                part.reset()

    @staticmethod
    def _enable_of(part: Any) -> tuple[int, int]:
        return part.at.settings.get("enable", (-1, 0))  # type: ignore[no-any-return]

    # oscillators

    def is_ready(self, name: str) -> bool:
        """Its ready bit."""
        oscillator = self.OSCILLATORS[name]
        return bool(self.r[oscillator.register] >> oscillator.ready & 1)

    def _follow(self) -> None:
        """Set status bits that follow others at once."""

    def _update(self) -> None:
        for name, oscillator in self.OSCILLATORS.items():
            on = self.r[oscillator.register] >> oscillator.on & 1
            if not on:
                self.r[oscillator.register] &= ~(1 << oscillator.ready)
                if name in self._starting:
                    self._starting.pop(name).cancel()
            elif not self.is_ready(name) and name not in self._starting and self._crystal.get(name, 1):
                at_ns = self.silicon.clock.now_ns + START_NS[name]
                self._starting[name] = self.silicon.clock.at(at_ns, partial(self._started, name))
        self._switch()
        self._compute()

    def _started(self, name: str) -> None:
        del self._starting[name]
        oscillator = self.OSCILLATORS[name]
        self.r[oscillator.register] |= 1 << oscillator.ready
        if self.r["CIER"] >> oscillator.flag & 1:
            self.r["CIFR"] |= 1 << oscillator.flag
        self._switch()
        self._compute()

    def _switch(self) -> None:
        """SWS follows SW when the wanted clock is ready."""
        self._follow()
        wanted = self.r["CFGR"] & 3
        if self.is_ready(_SYSTEM[wanted]):
            self.r["CFGR"] = self.r["CFGR"] & ~0xC | wanted << 2
        self.irq(bool(self.r["CIFR"]))

    # frequencies

    def _compute(self) -> None:
        rates = self._tree()
        if rates != self._rates:
            self._rates = rates
            if "clocks" not in self.silicon.parts:
                return  # the chip is still being put together
            self.silicon.clocks_changed()
        if rates["sysclk"] > self.MAX_HZ:
            self.complain(f"SYSCLK is {rates['sysclk']} Hz, more than {self.MAX_HZ} Hz")

    def _tree(self) -> dict[str, int]:
        runs = self._depth in (Sleep.RUN, Sleep.SLEEP) or self.kept_in(self._depth)
        ready = {name: self.is_ready(name) for name in self.OSCILLATORS}
        rates = {
            "": 0,  # no clock selected
            "msi": self._msi_hz() * (runs and ready["msi"]),
            "hsi16": self._hsi16_hz() * (ready["hsi16"] and (runs or self._keeps_hsi16())),
            "hse": self._hse_hz() * (runs and ready["hse"]),
            "lse": self._crystal["lse"] * ready["lse"],
            "lsi": self._lsi_hz() * ready["lsi"],
        }
        rates |= self._pll_rates(rates, runs and ready["pll"])
        config = self.r["CFGR"]
        rates["sysclk"] = rates[_SYSTEM[config >> 2 & 3]] * runs
        rates["hclk"] = rates["sysclk"] // self.AHB[config >> 4 & 0xF]
        rates["pclk1"] = rates["hclk"] // _APB[config >> 8 & 7]
        rates["pclk2"] = rates["hclk"] // _APB[config >> 11 & 7]
        self._more(rates, runs, ready)
        rates |= {kernel: rates[self.source(kernel)] for kernel in self.SELECTS}
        rates["rtc"] *= self.r[self.RTCEN[0]] >> self.RTCEN[1] & 1
        return rates

    def _msi_hz(self) -> int:
        raise NotImplementedError

    def _hsi16_hz(self) -> int:
        return HSI16_HZ

    def _hse_hz(self) -> int:
        return self._crystal["hse"]

    def _lsi_hz(self) -> int:
        return self.LSI_HZ

    def _pll_source(self) -> str:
        """Name of the PLL's input clock, or an empty one."""
        raise NotImplementedError

    def _pll_rates(self, rates: dict[str, int], on: bool) -> dict[str, int]:
        """The PLL's outputs: ``pll`` for SYSCLK and whatever else the family selects."""
        raise NotImplementedError

    def _more(self, rates: dict[str, int], runs: bool, ready: dict[str, bool]) -> None:
        """Clocks that only this family has, added to ``rates``."""


def enables(distance: int, asleep: int, *buses: tuple[str, str, int, int, int]) -> dict[str, Reg]:
    """Registers of the buses: (name before RSTR/ENR/SMENR, what follows, offset of RSTR, ENR and SMENR after reset)."""
    layout: dict[str, Reg] = {}
    for name, number, offset, enabled, sleeping in buses:
        layout[f"{name}RSTR{number}"] = Reg(offset)
        layout[f"{name}ENR{number}"] = Reg(offset + distance, enabled)
        layout[f"{name}SMENR{number}"] = Reg(offset + distance + asleep, sleeping)
    return layout
