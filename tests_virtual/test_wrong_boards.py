"""Another chip in the jig than the product's: the line sets the board aside and names both debug ports."""

from pathlib import Path

import pytest

from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.errors import WrongChip
from lorafab.steps.chip import check_chip
from lorafab.targets import MCUS
from lorafab.virtual import registry
from lorafab.virtual.board import Board


@pytest.mark.parametrize(
    ("chip", "target"),
    [(chip, target) for chip, own in (("wle5", "stm32wle5jc"), ("l072", "stm32l072xz"), ("nrf52", "nrf52840"))
     for target in ("stm32wle5jc", "stm32l072xz", "nrf52840") if target != own],
)  # fmt: skip
def test_the_sentence_names_found_and_wanted(tmp_path: Path, chip: str, target: str) -> None:
    """Also where the chip is locked, or has no such registers; and not a byte of it changes."""
    board = Board.open(tmp_path / "b.board", chip=chip)
    board.power(True)
    before = {name: store.read() for name, store in board.silicon.file.stores.items()}
    registry.attach("jig0", board)
    programmer = PyocdProgrammer("lorafab:jig0", target, 4000)
    try:
        with pytest.raises(WrongChip, match=rf"debug port id {board.chip.dpidr:#x}, an {target} has") as caught:
            check_chip(programmer, MCUS[target])
        assert "set it aside" in str(caught.value)
        assert {name: store.read() for name, store in board.silicon.file.stores.items()} == before
    finally:
        programmer.close()
        registry.detach("jig0")
        board.close()
