"""lorafab/virtual/supply.py: what an ammeter in the board's supply shows."""

from hypothesis import given
from hypothesis import strategies as st

from lorafab.virtual.clock import Clock
from lorafab.virtual.supply import Supply


def test_charge_is_current_times_time() -> None:
    """Two consumers, one of which changes its mind half-way."""
    clock = Clock()
    supply = Supply(clock)
    supply.draw("chip", 1000)
    supply.draw("radio", 50)
    clock.advance_to(100)
    supply.draw("chip", 10)
    clock.advance_to(300)
    assert supply.charge == 1050 * 100 + 60 * 200
    assert supply.nanoamps == 60
    assert supply.draws == {"chip": 10, "radio": 50}


def test_without_power_nothing_flows() -> None:
    """What has flowed stays counted."""
    clock = Clock()
    supply = Supply(clock)
    supply.draw("chip", 7)
    clock.advance_to(10)
    supply.off()
    clock.advance_to(1000)
    assert (supply.nanoamps, supply.draws, supply.charge) == (0, {}, 70)


@given(st.lists(st.tuples(st.integers(0, 1000), st.sampled_from("abc"), st.integers(0, 10**6))))
def test_charge_never_depends_on_when_one_looks(steps: list[tuple[int, str, int]]) -> None:
    """An ammeter does not change what it measures."""
    clock, looked = Clock(), Clock()
    one, other = Supply(clock), Supply(looked)
    for ns, who, nanoamps in steps:
        one.draw(who, nanoamps)
        other.draw(who, nanoamps)
        clock.advance_to(clock.now_ns + ns)
        for _ in range(2):
            looked.advance_to(looked.now_ns + ns // 2)
            assert other.charge >= 0
        looked.advance_to(clock.now_ns)
    assert one.charge == other.charge
