"""Periods of a clock, counted without an event for each: what the timers of a chip count with."""

from lorafab.virtual.clock import NS_PER_S, Clock, Event

_LOOKS = 8  # as many reads of a counter within one of its periods are a loop that waits for it


class Ticks:
    """A counter of clock periods in simulated time, of ``numerator / denominator`` Hz; 0 stands still.

    What is counted when the rate changes stays counted; the part of a period that had begun is lost.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ns, self._counted = clock.now_ns, 0
        self._rate = (0, 1)

    @property
    def runs(self) -> bool:
        """It counts."""
        return self._rate[0] > 0

    def set_rate(self, numerator: int, denominator: int = 1) -> None:
        """Count at another rate from now on; the same rate changes nothing."""
        if (numerator, denominator) != self._rate:
            self.set(self.count)
            self._rate = (numerator, denominator)

    def set(self, count: int) -> None:
        """The counter has this value now, and a period begins."""
        self._since_ns, self._counted = self._clock.now_ns, count

    @property
    def count(self) -> int:
        """Periods that have ended."""
        numerator, denominator = self._rate
        return self._counted + (self._clock.now_ns - self._since_ns) * numerator // (denominator * NS_PER_S)

    def when(self, count: int) -> int | None:
        """Simulated time in ns at which the counter reaches ``count``; None when it stands."""
        numerator, denominator = self._rate
        if not numerator:
            return None
        return self._since_ns - (-(count - self._counted) * denominator * NS_PER_S // numerator)


class Watch:
    """Helps a program that polls a counter: lets simulated time get to the next period.

    The core skips to the next event when a register reads the same many times, so there must be one where the counter
    changes; and programs that poll several registers in turn are not noticed by the core, so looks are counted here.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event: Event | None = None
        self._looks = 0

    def look(self, changes_ns: int | None) -> int | None:
        """A read of something that changes at ``changes_ns``; the time to wait for when it is polled, else None."""
        if changes_ns is None or changes_ns <= self._clock.now_ns:
            return None
        if self._event is None or self._event.action is None or self._event.at_ns != changes_ns:
            self.cancel()
            self._event = self._clock.at(changes_ns, lambda: None)
        self._looks += 1
        return changes_ns if self._looks > _LOOKS else None

    def cancel(self) -> None:
        """Nobody looks any more."""
        if self._event is not None:
            self._event.cancel()
        self._event, self._looks = None, 0
