"""lorafab.steps.chip: nothing goes on with a chip that is not the product's."""

import pytest

from lorafab.errors import ProbeError, WrongChip
from lorafab.steps.chip import check_chip, check_same_chip
from tests_unit.fakes import MCU, FakeBoard, FakeProgrammer


def test_the_products_chip_is_taken_and_not_written(board: FakeBoard, programmer: FakeProgrammer) -> None:
    """What the silicon says comes back, and its flash stays as it was."""
    chip = check_chip(programmer, MCU)
    assert (chip.dpidr, chip.idcode, chip.flash_size, chip.unique_id) == (
        board.dpidr,
        board.idcode,
        board.flash_size,
        board.chip_id,
    )
    assert board.flash == b"\xff" * MCU.flash.size


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("dpidr", 0x0BC11477, "has debug port id 0xbc11477, an stm32wle5jc has 0x6ba02477"),
        ("idcode", 0x10016415, "has device id 0x415, an stm32wle5jc has 0x497"),
        ("flash_size", 0x20000, "has flash size 0x20000, an stm32wle5jc has 0x40000"),
    ],
)
def test_each_difference_is_named_with_what_was_wanted(
    board: FakeBoard, programmer: FakeProgrammer, name: str, value: int, sentence: str
) -> None:
    """A family shares its debug port, and one die is sold with several flash sizes: each is compared by itself."""
    setattr(board, name, value)
    with pytest.raises(WrongChip) as caught:
        check_chip(programmer, MCU)
    assert sentence in str(caught.value)
    assert "then set it aside" in str(caught.value)


def test_the_silicon_revision_does_not_matter(board: FakeBoard, programmer: FakeProgrammer) -> None:
    """Bits 31:16 of the id code are the revision; a new one is the same MCU."""
    board.idcode = 0x10036497
    assert check_chip(programmer, MCU).idcode == 0x10036497


@pytest.mark.parametrize("unique_id", ["0" * 24, "F" * 24])
def test_a_chip_without_an_id_of_its_own_is_refused(
    board: FakeBoard, programmer: FakeProgrammer, unique_id: str
) -> None:
    """All zeros or all ones are what an absent register reads: the ledger would bind every board to one chip."""
    board.chip_id = unique_id
    with pytest.raises(WrongChip, match=f"unique id reads {unique_id}, which no chip has"):
        check_chip(programmer, MCU)


def test_a_lost_probe_is_the_stations_fault(board: FakeBoard) -> None:
    """Not the board's."""
    with pytest.raises(ProbeError, match="unplugged"):
        check_chip(FakeProgrammer(board, unplug_at=0), MCU)


def test_the_same_chip_is_still_there(programmer: FakeProgrammer) -> None:
    """The board that is about to pass is the one that was claimed."""
    check_same_chip(programmer, check_chip(programmer, MCU), MCU)


def test_a_board_swapped_during_the_run_is_noticed(board: FakeBoard, programmer: FakeProgrammer) -> None:
    """Both ids are named, so that the two boards can be found."""
    chip = check_chip(programmer, MCU)
    board.chip_id = "4C46564299999999"
    with pytest.raises(WrongChip, match=rf"is 4C46564299999999 now and was {chip.unique_id} at the start"):
        check_same_chip(programmer, chip, MCU)
