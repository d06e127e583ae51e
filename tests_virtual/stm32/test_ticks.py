"""lorafab/virtual/stm32/ticks.py: counting without events."""

from hypothesis import given
from hypothesis import strategies as st

from lorafab.virtual.clock import NS_PER_S, Clock
from lorafab.virtual.stm32.ticks import Ticks, Watch


@given(st.integers(1, 48_000_000), st.integers(1, 1 << 20), st.integers(0, 10**10), st.integers(1, 1000))
def test_count_and_when_agree(numerator: int, denominator: int, start: int, count: int) -> None:
    """At ``when(n)`` the counter reads n, a nanosecond earlier n - 1."""
    clock = Clock()
    clock.advance_to(start)
    ticks = Ticks(clock)
    ticks.set_rate(numerator, denominator)
    moment = ticks.when(count)
    assert moment is not None
    clock.advance_to(moment - 1)
    assert ticks.count < count
    clock.advance_to(moment)
    assert ticks.count >= count
    assert numerator > NS_PER_S * denominator or ticks.count == count


def test_another_rate_keeps_what_was_counted() -> None:
    """1 kHz for a second, nothing for a second, then 10 Hz for a second."""
    clock = Clock()
    ticks = Ticks(clock)
    for hz in (1000, 0, 10):
        ticks.set_rate(hz)
        ticks.set_rate(hz)
        clock.advance_to(clock.now_ns + NS_PER_S)
    assert ticks.count == 1010
    ticks.set_rate(0)
    assert ticks.when(2000) is None
    assert not ticks.runs


def test_watch_puts_an_event_where_the_counter_changes() -> None:
    """So that a skip of equal reads ends there; the ninth look wants to wait."""
    clock = Clock()
    watch = Watch(clock)
    answers = [watch.look(500) for _ in range(9)]
    assert clock.next_ns == 500
    assert answers == [None] * 8 + [500]
    watch.cancel()
    assert clock.next_ns is None
    assert watch.look(None) is None
    assert watch.look(0) is None
