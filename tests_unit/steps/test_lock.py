"""lorafab.steps.lock: the pieces of the lock step; the step itself is tested on a virtual board."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.errors import JigError, ShellError, WrongChip
from lorafab.interfaces import ChipInfo, ClaimRequest, Visible
from lorafab.steps.identity import Assignment
from lorafab.steps.lock import Nest, Sought, check_same_board, hides_itself, joined, lock_board, read_dev_nonce
from lorafab.steps.shell import Shell
from tests_unit.fakes import FakeBoard, FakeJig, FakeLink, FakeProgrammer


@given(st.lists(st.binary(min_size=1, max_size=8), max_size=8), st.integers(0, 1 << 20))
def test_pieces_that_lie_behind_each_other_are_one(pieces: list[bytes], start: int) -> None:
    """A key may lie across the border of two reads; nothing is lost, and the address is the first one's."""
    seen, at = [], start
    for piece in pieces:
        seen.append(Visible("sram1", at, piece))
        at += len(piece)
    found = joined(seen)
    assert [(run.address, run.data) for run in found] == ([(start, b"".join(pieces))] if pieces else [])


def test_pieces_with_a_gap_or_of_another_place_stay_apart() -> None:
    """What is refused between two pieces is not made up, and registers lie behind nothing."""
    seen = [
        Visible("core registers", None, b"a"),
        Visible("sram1", 0, b"bb"),
        Visible("sram1", 4, b"cc"),
        Visible("sram2", 6, b"dd"),
    ]
    assert joined(seen) == seen


def test_what_is_visible_does_not_show_itself() -> None:
    """It may be a key: an assertion or a traceback says where and how much."""
    shown = repr([Visible("sram1", 0x20000000, b"\xab\xcd\xef"), Visible("core registers", None, b"\xab\xcd")])
    assert shown == "[Visible(sram1 at 0x20000000, 3 bytes), Visible(core registers, 2 bytes)]"


@pytest.mark.parametrize("text", ["", "many", "-1", "0x10"])
def test_a_dev_nonce_that_is_no_number_is_refused(board: FakeBoard, shell: Shell, text: str) -> None:
    """With what came instead."""
    board.answers["NVM?"] = [f"dev_nonce={text}", "OK"]
    with pytest.raises(ShellError, match=rf"answer to NVM\? has dev_nonce='{text}', wanted a number; repeat once"):
        read_dev_nonce(shell)


def test_another_board_on_the_serial_line_is_refused(board: FakeBoard, shell: Shell) -> None:
    """The firmware says on which chip it runs."""
    chip = ChipInfo(board.dpidr, board.idcode, board.flash_size, "4C4656420A0B0C0D0E0F1011")
    with pytest.raises(WrongChip, match="firmware runs on chip 4C4656420102030405060708, the run began with chip 4C46"):
        check_same_board(shell, chip)


def test_a_probe_that_is_gone_hides_no_board(board: FakeBoard) -> None:
    """Only a chip that answers can be called locked."""
    assert not hides_itself(FakeProgrammer(board, unplug_at=0))
    board.locked = True
    assert hides_itself(FakeProgrammer(board))


@pytest.fixture
def nest(board: FakeBoard, programmer: FakeProgrammer) -> Nest:
    return Nest(programmer, FakeJig(board), FakeLink(board), "endnode-wle5")


def test_a_jig_that_cannot_switch_the_power_stops_the_step(
    board: FakeBoard, nest: Nest, give: Callable[..., Assignment], ask: Callable[..., ClaimRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its sentence reaches the operator; the board is not judged."""

    def refuse(_on: bool) -> None:
        raise JigError("this jig cannot switch the power; use one that can")

    monkeypatch.setattr(nest.jig, "power", refuse)
    chip = nest.programmer.connect()
    with pytest.raises(JigError, match="cannot switch the power"):
        lock_board(nest, 0.1, chip, give(ask()), Sought((), ()))


def test_another_chip_behind_the_probe_is_refused(
    board: FakeBoard, nest: Nest, give: Callable[..., Assignment], ask: Callable[..., ClaimRequest]
) -> None:
    """Boards were changed while the power was off."""
    chip = nest.programmer.connect()
    assignment = give(ask())
    board.chip_id = "4C4656420A0B0C0D0E0F1011"
    with pytest.raises(WrongChip, match="chip in the jig is 4C4656420A0B0C0D0E0F1011 after the lock and was 4C4656"):
        lock_board(nest, 0.1, chip, assignment, Sought((), ()))
