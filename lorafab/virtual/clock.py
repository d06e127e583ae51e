"""Simulated time: one counter of nanoseconds and the events that wait for their moment."""

import heapq
from collections.abc import Callable
from itertools import count

NS_PER_S = 1_000_000_000


class Event:
    """Something that happens at ``at_ns`` unless it is cancelled first."""

    __slots__ = ("action", "at_ns")

    def __init__(self, at_ns: int, action: Callable[[], None]) -> None:
        self.at_ns = at_ns
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Make the event a no-op; harmless after it happened."""
        self.action = None


class Clock:
    """Simulated nanoseconds since the board file was opened; never goes back, and stands still by itself."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._events: list[tuple[int, int, Event]] = []
        self._order = count()  # events of the same nanosecond happen in the order in which they were asked for

    def at(self, at_ns: int, action: Callable[[], None]) -> Event:
        """Call ``action`` when the clock reaches ``at_ns``."""
        event = Event(at_ns, action)
        heapq.heappush(self._events, (at_ns, next(self._order), event))
        return event

    @property
    def next_ns(self) -> int | None:
        """Time of the next event, or None when nothing is due."""
        while self._events and self._events[0][2].action is None:
            heapq.heappop(self._events)
        return self._events[0][0] if self._events else None

    def advance_to(self, to_ns: int) -> None:
        """Move on to ``to_ns``; events on the way happen at their own time. The past is ignored."""
        while self._events and self._events[0][0] <= to_ns:
            at_ns, _, event = heapq.heappop(self._events)
            if event.action is not None:
                self.now_ns = max(self.now_ns, at_ns)
                action, event.action = event.action, None
                action()
        self.now_ns = max(self.now_ns, to_ns)

    def forget_events(self) -> None:
        """Drop everything that was due: the board lost its power."""
        for _, _, event in self._events:
            event.action = None
        self._events.clear()
