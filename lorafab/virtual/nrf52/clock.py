"""CLOCK: when the oscillators run. It owns the register block at 0x40000000, which POWER and APPROTECT share.

Registers and bits: MDK ``nrf52840.h`` (NRF_CLOCK_Type, NRF_POWER_Type, NRF_APPROTECT_Type) and
``nrf52840_bitfields.h``; the two peripherals share interrupt 0 and INTENSET/INTENCLR. Registers of POWER are answered
by the part ``power``, those of APPROTECT by ``ctrl_ap``.

The core runs at 64 MHz; while it sleeps (System ON idle) its clock stands, SysTick with it, unless a debugger holds
the debug power domain. What the chip draws then is ``Currents.stop``; what peripherals draw is not modelled. LFCLK is
32768 Hz from whichever source, once it has been started; the oscillators' errors are not modelled. There is no clock
gating of peripherals. Calibration of the RC oscillator takes its time and changes nothing; its timer (CTSTART) is not
modelled.

Unverified: all start-up times, and that LFCLK stands until the chosen source has started (a part lets its RC
oscillator run while the crystal starts).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from lorafab.virtual.clock import Event
from lorafab.virtual.nrf52 import power
from lorafab.virtual.nrf52.ctrl_ap import DISABLE, FORCEPROTECT, CtrlAp
from lorafab.virtual.nrf52.peripheral import Peripheral
from lorafab.virtual.nrf52.power import SLEEPENTER, SLEEPEXIT
from lorafab.virtual.silicon import Reset, Sleep

if TYPE_CHECKING:
    from lorafab.virtual.chip import At
    from lorafab.virtual.silicon import Silicon

HCLK_HZ, PCLK16M_HZ, LFCLK_HZ = 64_000_000, 16_000_000, 32_768
HFCLKSTARTED, LFCLKSTARTED, DONE = 0x100, 0x104, 0x10C
_HFCLKRUN, _HFCLKSTAT, _LFCLKRUN, _LFCLKSTAT, _LFCLKSRCCOPY, _LFCLKSRC = 0x408, 0x40C, 0x414, 0x418, 0x41C, 0x518
_RUNNING = 1 << 16
_HFXO_START_NS = 360_000
_LF_START_NS = {0: 600_000, 1: 250_000_000, 2: 100_000}  # RC, crystal, synthesized from HFCLK
_CALIBRATION_NS = 16_000_000


class Clock(Peripheral):
    """The part named ``clocks``."""

    TASKS: ClassVar = {
        0x000: "_start_hf", 0x004: "_stop_hf", 0x008: "_start_lf", 0x00C: "_stop_lf", 0x010: "_calibrate",
        0x078: "_latency", 0x07C: "_latency",
    }  # fmt: skip
    EVENTS: ClassVar = {HFCLKSTARTED: 0, LFCLKSTARTED: 1, DONE: 3, 0x110: 4} | power.EVENTS
    PLAIN: ClassVar = {
        _LFCLKSRC: (0x3_0003, 0), 0x528: (0xFF, 0x10), 0x538: (0x7F, 0), 0x55C: (0x3_0003, 0), 0x5B4: (1, 0),
    }  # fmt: skip

    def __init__(self, silicon: "Silicon", at: "At") -> None:
        self._hf_triggered = self._hf_runs = self._lf_triggered = self._lf_runs = False
        self._core_runs = True
        self._lf_source = 0
        self._starting_hf: Event | None = None
        self._starting_lf: Event | None = None
        self._calibrating: Event | None = None
        super().__init__(silicon, at)

    # what the chip asks (Clocks)

    def hz(self, name: str) -> int:
        """``hclk`` (0 while the core sleeps), ``pclk16m``, or ``lfclk`` (0 until it has been started)."""
        if name == "hclk":
            return HCLK_HZ if self._core_runs else 0
        return {"pclk16m": PCLK16M_HZ, "lfclk": LFCLK_HZ if self._lf_runs else 0}[name]

    def clocked(self, enable: Any) -> bool:
        """Always: peripherals are not gated."""
        return True

    @property
    def changes_asleep(self) -> bool:
        """The core's clock stands in System ON idle."""
        return True

    def kept_in(self, depth: Sleep) -> bool:
        """Debug interface mode keeps the clocks running in every sleep."""
        return self.silicon.debugger_holds_power

    def note_reset(self, cause: Reset) -> None:
        """Tell all of Nordic's parts, after the registers of all are reset."""
        for part in self.silicon.parts.values():
            if part is not self and isinstance(part, Peripheral):
                part.note_reset(cause)

    # life

    def stop(self) -> None:
        """All oscillators stop but those that run by themselves."""
        for event in (self._starting_hf, self._starting_lf, self._calibrating):
            if event is not None:
                event.cancel()
        self._starting_hf = self._starting_lf = self._calibrating = None
        self._hf_triggered = self._hf_runs = self._lf_triggered = False
        self._set_lf(False)

    def reset(self) -> None:
        """The core runs from its internal oscillator; all else stands."""
        super().reset()
        self._show_core(Sleep.RUN)

    def on_sleep(self, depth: Sleep) -> None:
        """The core's clock stands or runs again."""
        super().on_sleep(depth)
        self._show_core(depth)
        for offset in {Sleep.SLEEP: [SLEEPENTER], Sleep.RUN: [SLEEPEXIT]}.get(depth, []):
            self.event(offset)

    def _show_core(self, depth: Sleep) -> None:
        self._core_runs = depth is Sleep.RUN or self.kept_in(depth)
        idle = 0 if self._core_runs or depth is not Sleep.SLEEP else self.silicon.chip.currents.stop
        self.silicon.supply.draw("idle", idle)
        self.silicon.clocks_changed()

    # tasks

    def _start_hf(self) -> None:
        self._hf_triggered = True
        if not self._hf_runs and self._starting_hf is None:
            self._starting_hf = self._in(_HFXO_START_NS, self._hf_started)

    def _hf_started(self) -> None:
        self._starting_hf, self._hf_runs = None, True
        self.event(HFCLKSTARTED)

    def _stop_hf(self) -> None:
        self._hf_triggered = self._hf_runs = False
        if self._starting_hf is not None:
            self._starting_hf.cancel()
            self._starting_hf = None

    def _start_lf(self) -> None:
        self._lf_triggered = True
        if not self._lf_runs and self._starting_lf is None:
            self._lf_source = self.values[_LFCLKSRC] & 3
            self._starting_lf = self._in(_LF_START_NS.get(self._lf_source, _LF_START_NS[0]), self._lf_started)

    def _lf_started(self) -> None:
        self._starting_lf = None
        self._set_lf(True)
        self.event(LFCLKSTARTED)

    def _stop_lf(self) -> None:
        self._lf_triggered = False
        if self._starting_lf is not None:
            self._starting_lf.cancel()
            self._starting_lf = None
        self._set_lf(False)

    def _set_lf(self, runs: bool) -> None:
        if runs != self._lf_runs:
            self._lf_runs = runs
            self.silicon.clocks_changed()

    def _calibrate(self) -> None:
        if not self._hf_runs:
            self.silicon.complain("CLOCK: the RC oscillator can be calibrated only while the crystal (HFXO) runs")
        elif self._calibrating is None:
            self._calibrating = self._in(_CALIBRATION_NS, self._calibrated)

    def _calibrated(self) -> None:
        self._calibrating = None
        self.event(DONE)

    def _latency(self) -> None:
        """POWER's constant latency and low power modes: no difference here."""

    def _in(self, after_ns: int, action: Callable[[], None]) -> Event:
        return self.silicon.clock.at(self.silicon.clock.now_ns + after_ns, action)

    # registers

    def read_other(self, offset: int) -> int:
        """Status registers; the rest belongs to others."""
        values = {
            _HFCLKRUN: int(self._hf_triggered),
            _HFCLKSTAT: _RUNNING | int(self._hf_runs),  # the internal oscillator always runs while somebody looks
            _LFCLKRUN: int(self._lf_triggered),
            _LFCLKSTAT: self._lf_source | (_RUNNING if self._lf_runs else 0),
            _LFCLKSRCCOPY: self._lf_source,
        }
        return values[offset] if offset in values else self._other(offset).read_register(offset)

    def write_other(self, offset: int, value: int) -> None:
        """Registers of POWER and APPROTECT."""
        self._other(offset).write_register(offset, value)

    def peek_word(self, offset: int) -> int:
        """Lanes beside a small write."""
        if offset in self.values:
            return self.values[offset]
        power_part: Any = self.silicon.parts["power"]
        kept: int = power_part.values.get(offset, 0)
        return kept

    def _other(self, offset: int) -> "power.Power | CtrlAp":
        name = "ctrl_ap" if offset in (FORCEPROTECT, DISABLE) else "power"
        part: Any = self.silicon.parts[name]
        other: power.Power | CtrlAp = part
        return other
