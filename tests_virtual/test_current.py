"""What an ammeter in the supply shows: asleep, awake, and with a debugger that holds the power domain."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lorafab.virtual import chips
from tests_virtual.silicon.exerciser import MCU, Exerciser

SECOND = 1_000
NA_PER_UA = 1_000


@pytest.fixture(params=[name for name in chips.names() if name in MCU])
def exerciser(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Exerciser]:
    made = Exerciser(tmp_path, request.param)
    yield made
    made.close()


def average(exerciser: Exerciser, ms: int) -> float:
    """Mean current over simulated time, in nA."""
    board = exerciser.board
    charge, start = board.supply.charge, board.clock.now_ns
    exerciser.run(ms)
    return (board.supply.charge - charge) / (board.clock.now_ns - start)


def test_a_node_that_sleeps_draws_little(exerciser: Exerciser) -> None:
    """Between the floor of its deepest sleep here and a hundredth of what running costs."""
    exerciser.run(200)
    asleep = average(exerciser, SECOND)
    exerciser.type(b"s")  # do not sleep any more
    exerciser.run(200)
    awake = average(exerciser, SECOND)
    assert exerciser.chip.currents.stop <= asleep
    assert asleep * 20 < awake
    mhz = exerciser.board.silicon.hz() / 1e6
    assert awake >= exerciser.chip.currents.run_per_mhz * mhz * 0.9


def test_a_debugger_costs_current_until_it_lets_go(exerciser: Exerciser) -> None:
    """The debug power domain alone is more than a node may draw asleep; released, the node is as before."""
    board = exerciser.board
    exerciser.run(200)
    before = average(exerciser, SECOND)
    board.hold_debug_power(True)
    held = average(exerciser, SECOND)
    board.hold_debug_power(False)
    exerciser.run(200)
    after = average(exerciser, SECOND)
    assert held - before >= exerciser.chip.currents.debug * 0.9
    assert after == pytest.approx(before, rel=0.05)


def test_debug_bits_for_stop_stay_until_a_power_cycle(tmp_path: Path) -> None:
    """DBG_STOP keeps the clocks running after the debugger has gone: the current must be measured after power-on."""
    exerciser = Exerciser(tmp_path, "wle5")
    board = exerciser.board
    exerciser.run(200)
    clean = average(exerciser, SECOND)
    board.set_reset_pin(True)
    board.mem_write(0xE004_2004, 4, 7)
    board.set_reset_pin(False)
    exerciser.run(200)
    assert average(exerciser, SECOND) > 10 * clean
    board.power(False)
    assert board.supply.nanoamps == 0
    board.power(True)
    exerciser.run(200)
    assert average(exerciser, SECOND) == pytest.approx(clean, rel=0.05)
    exerciser.close()
