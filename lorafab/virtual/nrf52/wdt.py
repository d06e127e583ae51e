"""WDT: once started nothing but feeding keeps it from resetting the chip.

Registers and bits: MDK ``nrf52840.h`` (NRF_WDT_Type) and ``nrf52840_bitfields.h``. Rules: product specification,
chapter WDT: the period is (CRV + 1) / 32768 s; every enabled reload register must be written 0x6E524635 to start it
anew; while it runs, CRV, RREN and CONFIG cannot be written; it starts the RC oscillator when no other LFCLK runs
(which CLOCK's registers do not show here); with the interrupt of TIMEOUT enabled the reset comes two LFCLK cycles
later; CONFIG says whether it counts while the core sleeps and while a debugger has halted it. A soft reset does not
stop it (product specification, table "Reset behavior", from memory).
"""

from typing import TYPE_CHECKING, ClassVar

from lorafab.virtual.clock import NS_PER_S, Event
from lorafab.virtual.nrf52.peripheral import Peripheral
from lorafab.virtual.silicon import Reset, Sleep

if TYPE_CHECKING:
    from lorafab.virtual.chip import At
    from lorafab.virtual.silicon import Silicon

TIMEOUT, RUNSTATUS, REQSTATUS, CRV, RREN, CONFIG, RR = 0x100, 0x400, 0x404, 0x504, 0x508, 0x50C, 0x600
RELOAD = 0x6E52_4635
_RUN_SLEEPING, _RUN_HALTED = 1, 8
_LF_HZ = 32_768
_LAST_NS = 2 * NS_PER_S // _LF_HZ
_CHANNELS = 8


class Wdt(Peripheral):
    """The watchdog."""

    TASKS: ClassVar = {0x000: "_start"}
    EVENTS: ClassVar = {TIMEOUT: 0}
    PLAIN: ClassVar = {CRV: (0xFFFF_FFFF, 0xFFFF_FFFF), RREN: (0xFF, 1), CONFIG: (9, 1)}

    def __init__(self, silicon: "Silicon", at: "At") -> None:
        self._running = False
        self._left_ns = 0
        self._biting = False  # nothing helps any more
        self._requests = 0  # reload registers that are still to be written
        self._due: Event | None = None
        super().__init__(silicon, at)

    # life

    def reset(self) -> None:
        """A soft reset does not touch it; see :meth:`note_reset`."""

    def note_reset(self, cause: Reset) -> None:
        """All other resets stop it."""
        if cause is not Reset.SOFTWARE:
            self.stop()
            self._clear()
            self._requests = 0
            self.irq(False)

    def stop(self) -> None:
        """Power is gone, or a deep reset came."""
        self._running = self._biting = False
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def on_sleep(self, depth: Sleep) -> None:
        """The core sleeps or wakes."""
        super().on_sleep(depth)
        self._pause_or_go_on()

    def on_halt(self, halted: bool) -> None:
        """A debugger halts the core, or lets it run."""
        self._pause_or_go_on()

    # counting

    def _start(self) -> None:
        if not self._running:
            self._running = True
            self._reload()

    def _reload(self) -> None:
        self._requests = self.values[RREN]
        self._left_ns = (self.values[CRV] + 1) * NS_PER_S // _LF_HZ
        self._count_down()

    def _count_down(self) -> None:
        """Go on counting from ``_left_ns``, or stand while CONFIG says so."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        config, core = self.values[CONFIG], self.silicon.core
        asleep = self.silicon.sleep is not Sleep.RUN and not config & _RUN_SLEEPING
        if not asleep and not (core.halted and not config & _RUN_HALTED):
            self._due = self.silicon.clock.at(self.silicon.clock.now_ns + max(self._left_ns, 1), self._time_out)

    def _pause_or_go_on(self) -> None:
        if self._running and not self._biting:
            if self._due is not None:
                self._left_ns = self._due.at_ns - self.silicon.clock.now_ns
            self._count_down()

    def _time_out(self) -> None:
        self._biting = True
        self.event(TIMEOUT)
        delay = _LAST_NS if self.enabled & 1 else 0
        self._due = self.silicon.clock.at(self.silicon.clock.now_ns + delay, self._bite)

    def _bite(self) -> None:
        self._due = None
        self.silicon.reset(Reset.WATCHDOG)

    # registers

    def write_word(self, offset: int, value: int) -> None:
        """Write a register; the configuration only before the start."""
        if self._running and offset in (CRV, RREN, CONFIG):
            self.silicon.complain("WDT: its configuration is written while it runs; that has no effect")
            return
        super().write_word(offset, value)

    def read_other(self, offset: int) -> int:
        """What runs, and which reloads are still asked for; reload registers read 0."""
        if RR <= offset < RR + 4 * _CHANNELS:
            return 0
        values = {RUNSTATUS: int(self._running), REQSTATUS: self._requests if self._running else 1}
        return values[offset] if offset in values else super().read_other(offset)

    def write_other(self, offset: int, value: int) -> None:
        """Reload requests."""
        if not RR <= offset < RR + 4 * _CHANNELS:
            super().write_other(offset, value)
        elif value == RELOAD and self._running:
            self._requests &= ~(1 << (offset - RR) // 4)
            if not self._requests and not self._biting:
                self._reload()
