"""RTC: the counter that runs on LFCLK, also while the core sleeps.

Registers and bits: MDK ``nrf52840.h`` (NRF_RTC_Type) and ``nrf52840_bitfields.h``. Rules: product specification,
chapter RTC: 24 bits at 32768 Hz / (PRESCALER + 1); PRESCALER is taken over by START, CLEAR and TRIGOVRFLW and can be
written only while the counter stands; an event happens only if EVTEN or INTEN enables it; TRIGOVRFLW sets the counter
to 0xFFFFF0; LFCLK must have been started. A CC register that is set to the counter's value N or to N + 1 may miss its
compare: here it does, with a complaint.

``settings["compares"]``: number of CC registers (3 or 4). Tasks take effect at once instead of one LFCLK period
later.
"""

from typing import TYPE_CHECKING, ClassVar

from lorafab.virtual.clock import NS_PER_S, Event
from lorafab.virtual.nrf52.peripheral import INTEN, Peripheral

if TYPE_CHECKING:
    from lorafab.virtual.chip import At
    from lorafab.virtual.silicon import Silicon

TICK, OVRFLW, COMPARE = 0x100, 0x104, 0x140
EVTEN, EVTENSET, EVTENCLR, COUNTER, PRESCALER, CC = 0x340, 0x344, 0x348, 0x504, 0x508, 0x540
_WRAP = 1 << 24
_NEAR_OVERFLOW = 0xFF_FFF0
_LF_HZ = 32_768
_LOOKS = 16  # so many equal looks at COUNTER in a row are a polling loop, not a program that reads it twice


class Rtc(Peripheral):
    """One counter."""

    TASKS: ClassVar = {0x000: "_start", 0x004: "_stop", 0x008: "_clear_counter", 0x00C: "_trigger_overflow"}
    EVENTS: ClassVar = {TICK: 0, OVRFLW: 1} | {COMPARE + 4 * n: 16 + n for n in range(4)}
    PLAIN: ClassVar = {PRESCALER: (0xFFF, 0)} | {CC + 4 * n: (0xFF_FFFF, 0) for n in range(4)}
    COUNTED: ClassVar = (COUNTER,)

    def __init__(self, silicon: "Silicon", at: "At") -> None:
        compares = at.settings.get("compares", 4)
        assert isinstance(compares, int)
        self._compares = compares
        self._running, self._period = False, 1  # started; LFCLK cycles of one count
        self._lfclk = False  # runs
        self._count = self._since_ns = 0  # the counter at that moment
        self._routed = 0  # EVTEN
        self._due: Event | None = None
        self._missing_until: dict[int, int] = {}  # by CC register: a compare until then, in ns, is missed
        self._looked = (0, 0)  # value of COUNTER, and how often in a row it was read
        super().__init__(silicon, at)

    # life

    def reset(self) -> None:
        """Stopped, everything zero."""
        super().reset()
        self._running, self._period, self._count, self._routed = False, 1, 0, 0
        self._missing_until.clear()

    def stop(self) -> None:
        """No event comes any more."""
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def clock_changed(self) -> None:
        """LFCLK may have started or stopped: what was counted so far counts."""
        runs = bool(self.silicon.hz("lfclk"))
        if runs != self._lfclk:
            self._count, self._since_ns = self._now(), self.silicon.clock.now_ns
            self._lfclk = runs
            self._schedule()

    # counting

    @property
    def _ticking(self) -> bool:
        return self._running and self._lfclk

    def _elapsed(self) -> int:
        """Counts since ``_since_ns``."""
        return (self.silicon.clock.now_ns - self._since_ns) * _LF_HZ // (NS_PER_S * self._period)

    def _time_of(self, counts: int) -> int:
        """When the counter has gone on by ``counts`` since ``_since_ns``."""
        return self._since_ns - (-counts * self._period * NS_PER_S // _LF_HZ)

    def _now(self) -> int:
        return (self._count + self._elapsed()) % _WRAP if self._ticking else self._count

    def _schedule(self) -> None:
        """Make the next enabled event due."""
        self.stop()
        wanted = self.enabled | self._routed
        if not self._ticking or not wanted:
            return
        gone, now = self._elapsed(), self._now()
        steps = [1] if wanted & 1 else []
        steps += [_WRAP - now] if wanted & 2 else []
        for n in range(self._compares):
            if wanted >> 16 + n & 1:
                step = (self.values[CC + 4 * n] - now) % _WRAP or _WRAP
                missed = self._time_of(gone + step) <= self._missing_until.get(n, -1)
                steps.append(step + _WRAP if missed else step)
        if steps:
            self._due = self.silicon.clock.at(self._time_of(gone + min(steps)), self._happen)

    def _happen(self) -> None:
        self._due = None
        wanted, now = self.enabled | self._routed, self._now()
        found = [TICK] if wanted & 1 else []
        found += [OVRFLW] if wanted & 2 and now == 0 else []
        for n in range(self._compares):
            fits = wanted >> 16 + n & 1 and self.values[CC + 4 * n] == now
            if fits and self.silicon.clock.now_ns > self._missing_until.get(n, -1):
                found.append(COMPARE + 4 * n)
        for event in found:
            self.event(event)
        self._schedule()

    # tasks

    def _start(self) -> None:
        if not self._running:
            if not self._lfclk:
                self.silicon.complain(f"{self.name}: START while LFCLK does not run; the counter stands until it does")
            self._running = True
            self._set(self._count)

    def _stop(self) -> None:
        self._count, self._since_ns = self._now(), self.silicon.clock.now_ns
        self._running = False
        self.stop()

    def _clear_counter(self) -> None:
        self._set(0)

    def _trigger_overflow(self) -> None:
        self._set(_NEAR_OVERFLOW)

    def _set(self, count: int) -> None:
        self._count, self._since_ns = count, self.silicon.clock.now_ns
        self._period = self.values[PRESCALER] + 1
        self._schedule()

    # registers

    def read_other(self, offset: int) -> int:
        """COUNTER and the event routing."""
        if offset == COUNTER:
            return self._look()
        if offset in (EVTEN, EVTENSET, EVTENCLR):
            return self._routed
        return super().read_other(offset)

    def _look(self) -> int:
        now = self._now()
        self._looked = (now, self._looked[1] + 1 if self._looked[0] == now else 0)
        if self._looked[1] >= _LOOKS and self._ticking:
            self.silicon.wait_until(self._time_of(self._elapsed() + 1))
            now = self._now()
        return now

    def write_word(self, offset: int, value: int) -> None:
        """Write a register; PRESCALER only while the counter stands."""
        if offset == PRESCALER and self._running:
            self.silicon.complain(f"{self.name}: PRESCALER is written while the counter runs; that has no effect")
            return
        super().write_word(offset, value)

    def write_other(self, offset: int, value: int) -> None:
        """The event routing; COUNTER can only be read."""
        if offset in (EVTEN, EVTENSET, EVTENCLR):
            value &= sum(1 << bit for bit in self.EVENTS.values())
            old = self._routed
            self._routed = {EVTEN: value, EVTENSET: old | value, EVTENCLR: old & ~value}[offset]
            self._schedule()
        elif offset != COUNTER:
            super().write_other(offset, value)

    def written(self, offset: int) -> None:
        """A compare value or the interrupt enables changed."""
        if offset >= CC:
            n = (offset - CC) // 4
            self._missing_until.pop(n, None)
            if self._ticking and (self.values[offset] - self._now()) % _WRAP <= 1:
                self._missing_until[n] = self._time_of(self._elapsed() + 1)
                self.silicon.complain(
                    f"{self.name}: a CC register is set to the counter's value or the next; that compare is missed"
                )
        if offset >= CC or offset == INTEN:
            self._schedule()
