"""lorafab/virtual/clock.py: events happen in order, at their own time."""

from lorafab.virtual.clock import Clock


def test_events_happen_in_order_at_their_time() -> None:
    """Earlier first; equal moments in the order in which they were asked for."""
    clock, seen = Clock(), list[tuple[str, int]]()
    for name, at in (("late", 30), ("first", 10), ("second", 10)):
        clock.at(at, lambda name=name: seen.append((name, clock.now_ns)))  # type: ignore[misc]
    assert clock.next_ns == 10
    clock.advance_to(20)
    assert (seen, clock.now_ns) == ([("first", 10), ("second", 10)], 20)
    clock.advance_to(5)
    assert clock.now_ns == 20, "time never goes back"


def test_events_may_ask_for_events() -> None:
    """Also for one within the span that is being lived through."""
    clock, seen = Clock(), list[int]()

    def first() -> None:
        clock.at(15, lambda: seen.append(clock.now_ns))

    clock.at(10, first)
    clock.advance_to(20)
    assert seen == [15]


def test_cancelled_events_never_happen() -> None:
    """Nor do they count as due; forgetting drops all."""
    clock, seen = Clock(), list[int]()
    clock.at(10, lambda: seen.append(1)).cancel()
    assert clock.next_ns is None
    clock.at(10, lambda: seen.append(2))
    clock.forget_events()
    clock.advance_to(20)
    assert not seen
