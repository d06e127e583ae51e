"""TIMER: a counter at 16 MHz / 2^PRESCALER that compares, captures and can clear or stop itself.

Registers and bits: MDK ``nrf52840.h`` (NRF_TIMER_Type) and ``nrf52840_bitfields.h`` (TIMER_*).
``settings["compares"]``: number of CC registers (4 or 6). It runs while the core sleeps, and not in System OFF.
Counter mode (MODE 1 and 2) is counted up by the COUNT task alone, because there is no PPI.
"""

from typing import TYPE_CHECKING, ClassVar

from lorafab.virtual.clock import NS_PER_S, Event
from lorafab.virtual.nrf52.peripheral import Peripheral

if TYPE_CHECKING:
    from lorafab.virtual.chip import At
    from lorafab.virtual.silicon import Silicon

CAPTURE, COMPARE, SHORTS, MODE, BITMODE, PRESCALER, CC = 0x040, 0x140, 0x200, 0x504, 0x508, 0x510, 0x540
_BITS = {0: 16, 1: 8, 2: 24, 3: 32}
_HZ = 16_000_000
_CHANNELS = 6


class Timer(Peripheral):
    """One timer."""

    TASKS: ClassVar = {0x000: "_start", 0x004: "_halt", 0x008: "_count_up", 0x00C: "_clear_counter", 0x010: "_halt"}
    EVENTS: ClassVar = {COMPARE + 4 * n: 16 + n for n in range(_CHANNELS)}
    PLAIN: ClassVar = {
        SHORTS: (0x3F3F, 0), MODE: (3, 0), BITMODE: (3, 0), PRESCALER: (0xF, 4),
    } | {CC + 4 * n: (0xFFFF_FFFF, 0) for n in range(_CHANNELS)}  # fmt: skip

    def __init__(self, silicon: "Silicon", at: "At") -> None:
        compares = at.settings.get("compares", _CHANNELS)
        assert isinstance(compares, int)
        self._compares = compares
        self._running = False
        self._count = self._since_ns = 0
        self._due: Event | None = None
        super().__init__(silicon, at)

    def reset(self) -> None:
        """Stopped at 0."""
        super().reset()
        self._running, self._count = False, 0

    def stop(self) -> None:
        """No event comes any more."""
        if self._due is not None:
            self._due.cancel()
            self._due = None

    # counting

    @property
    def _span(self) -> int:
        return 1 << _BITS[self.values[BITMODE]]

    @property
    def _ticking(self) -> bool:
        return self._running and self.values[MODE] == 0

    def _elapsed(self) -> int:
        if not self._ticking:
            return 0
        return ((self.silicon.clock.now_ns - self._since_ns) * _HZ // NS_PER_S) >> self.values[PRESCALER]

    def _now(self) -> int:
        return (self._count + self._elapsed()) % self._span

    def _set(self, count: int) -> None:
        self._count, self._since_ns = count, self.silicon.clock.now_ns
        self._schedule()

    def _schedule(self) -> None:
        self.stop()
        if not self._ticking:
            return
        gone, now = self._elapsed(), self._now()
        compares = [self.values[CC + 4 * n] for n in range(self._compares)]
        steps = [(value - now) % self._span or self._span for value in compares if value < self._span]
        if steps:
            ticks = (gone + min(steps)) << self.values[PRESCALER]
            self._due = self.silicon.clock.at(self._since_ns - (-ticks * NS_PER_S // _HZ), self._happen)

    def _happen(self) -> None:
        self._due = None
        self._compare()
        if self._ticking and self._due is None:
            self._schedule()

    def _compare(self) -> None:
        now, shorts = self._now(), self.values[SHORTS]
        hit = [n for n in range(self._compares) if self.values[CC + 4 * n] == now]
        for n in hit:
            self.event(COMPARE + 4 * n)
        if any(shorts >> n & 1 for n in hit):
            self._set(0)
        if any(shorts >> 8 + n & 1 for n in hit):
            self._halt()

    # tasks

    def _start(self) -> None:
        if not self._running:
            self._running = True
            self._set(self._count)

    def _halt(self) -> None:
        count, self._running = self._now(), False
        self._set(count)

    def _count_up(self) -> None:
        if self._running and self.values[MODE]:
            self._set((self._count + 1) % self._span)
            self._compare()

    def _clear_counter(self) -> None:
        self._set(0)

    # registers

    def write_word(self, offset: int, value: int) -> None:
        """Write a register; what was counted so far counts when the rate changes."""
        if offset in (MODE, BITMODE, PRESCALER) and self._running:
            self.silicon.complain(f"{self.name}: its mode is written while it runs; stop it first")
            count, self._running = self._now(), False
            super().write_word(offset, value)
            self._running = True
            self._set(count % self._span)
        else:
            super().write_word(offset, value)

    def written(self, offset: int) -> None:
        """A compare value changed."""
        if offset >= CC:
            self._set(self._now()) if self.values[MODE] else self._schedule()

    def read_other(self, offset: int) -> int:
        """Tasks read 0."""
        return 0 if CAPTURE <= offset < CAPTURE + 4 * _CHANNELS else super().read_other(offset)

    def write_other(self, offset: int, value: int) -> None:
        """CAPTURE: the counter goes to a CC register."""
        n = (offset - CAPTURE) // 4
        if not 0 <= n < self._compares:
            super().write_other(offset, value)
        elif value & 1:
            self.values[CC + 4 * n] = self._now()
            self._schedule()
