"""lorafab/virtual/label_roll.py: no sticker comes off the roll twice, whoever pulls and whoever dies."""

import os
import signal
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.errors import JigError
from lorafab.virtual.label_roll import LabelRoll

STICKERS = 20


def roll(path: Path, used: set[int] | None = None, quantity: int = STICKERS) -> LabelRoll:
    """A roll whose stickers say their number."""
    return LabelRoll(path, quantity, lambda number: number in (used or set()), str)


def test_stickers_come_in_order_and_the_roll_is_remembered(tmp_path: Path) -> None:
    """Each run opens the roll anew and gets the next one."""
    path = tmp_path / "sub" / "demo.roll"
    assert [roll(path).take() for _ in range(3)] == ["0", "1", "2"]


def test_numbers_that_found_a_board_otherwise_are_passed_over(tmp_path: Path) -> None:
    """A label that was named by hand is not printed again."""
    path = tmp_path / "demo.roll"
    assert [roll(path, {0, 1, 3}).take() for _ in range(2)] == ["2", "4"]
    assert roll(path).take() == "5", "what was passed over stays passed over"


def test_an_empty_roll_says_what_to_do(tmp_path: Path) -> None:
    """And stays empty."""
    path = tmp_path / "demo.roll"
    assert [roll(path, quantity=2).take() for _ in range(2)] == ["0", "1"]
    for _ in range(2):
        with pytest.raises(JigError, match=r"demo\.roll is empty after 2 labels; start the next lot, or .* --label"):
            roll(path, quantity=2).take()


def test_a_lot_that_is_used_up_elsewhere_is_empty_too(tmp_path: Path) -> None:
    """No sticker at all came from this roll."""
    with pytest.raises(JigError, match="is empty"):
        roll(tmp_path / "demo.roll", set(range(STICKERS))).take()


@given(used=st.sets(st.integers(0, STICKERS - 1)), pulls=st.integers(0, STICKERS + 2))
def test_every_free_number_comes_once_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, used: set[int], pulls: int
) -> None:
    """Until the roll is empty."""
    path = tmp_path_factory.mktemp("roll") / "demo.roll"
    taken: list[int] = []
    for _ in range(pulls):
        try:
            taken.append(int(roll(path, used).take()))
        except JigError:
            break
    free = [number for number in range(STICKERS) if number not in used]
    assert taken == free[: len(taken)]
    assert len(taken) == min(pulls, len(free))


@pytest.mark.parametrize("rest", ["t", "taken", "used els"])
def test_a_line_that_a_kill_cut_short_costs_a_sticker_and_repeats_none(tmp_path: Path, rest: str) -> None:
    """`A kill leaves the roll as it was or one sticker shorter`, also when it comes between two parts of a write."""
    path = tmp_path / "demo.roll"
    path.write_text("taken\ntaken\n" + rest)
    taken = [int(roll(path).take()) for _ in range(3)]
    assert len(set(taken)) == 3, f"a sticker came off twice: {taken}"
    assert min(taken) >= 2


def _pull(path: Path, count: int, out: "Queue[str]") -> None:
    for _ in range(count):
        out.put(roll(path).take())


def test_two_processes_never_get_the_same(tmp_path: Path) -> None:
    """The roll is locked for a pull."""
    context = get_context("fork")
    out: Queue[str] = context.Queue()
    processes = [context.Process(target=_pull, args=(tmp_path / "demo.roll", 8, out)) for _ in range(2)]
    for process in processes:
        process.start()
    taken = [out.get(timeout=30) for _ in range(16)]
    for process in processes:
        process.join()
    assert sorted(map(int, taken)) == list(range(16))


def _die_while_printing(path: Path) -> None:
    def text(number: int) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return str(number)

    LabelRoll(path, STICKERS, lambda number: False, text).take()


def test_a_run_killed_with_the_sticker_in_its_hand_loses_it(tmp_path: Path) -> None:
    """It may be glued on a board already, so nobody else gets it."""
    process = get_context("fork").Process(target=_die_while_printing, args=(tmp_path / "demo.roll",))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert roll(tmp_path / "demo.roll").take() == "1"
