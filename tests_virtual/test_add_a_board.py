"""docs/add-a-board.md: the profile on that page is a board that pyOCD's own algorithm flashes."""

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyocd.core.session import Session
from pyocd.flash.loader import FlashLoader

from lorafab.virtual import registry
from lorafab.virtual.board import Board
from lorafab.virtual.boardfile import read_chip_name
from lorafab.virtual.chip import Chip
from lorafab.virtual.probe import VirtualProbe

PAGE = Path(__file__).resolve().parents[1] / "docs" / "add-a-board.md"
FIRST_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
IMAGE = random.Random(4).randbytes(24 * 1024)
BANK_2 = 0x0808_0000


def profile() -> str:
    """The profile as the page has it."""
    found = FIRST_BLOCK.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def chip() -> Chip:
    """The profile, executed."""
    space: dict[str, Any] = {"__name__": "l476"}
    exec(compile(profile(), "l476.py", "exec"), space)
    made = space["CHIP"]
    assert isinstance(made, Chip)
    return made


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """The page's board, powered."""
    board = Board.open(tmp_path / "b.board", chip=chip())
    board.power(True)
    registry.attach("jig0", board)
    yield board
    registry.detach("jig0")
    board.close()


def test_a_profile_is_short() -> None:
    """Under a hundred lines."""
    assert len(profile().splitlines()) < 100


def test_pyocds_own_algorithm_flashes_it(board: Board) -> None:
    """Both banks are erased, programmed and read back, and the board wants nothing that it does not have."""
    options = {
        "target_override": "stm32l475xg", "connect_mode": "halt", "no_config": True, "user_script": os.devnull,
        "hide_programming_progress": True,
    }  # fmt: skip
    with Session(VirtualProbe("jig0"), options=options) as session:
        loader = FlashLoader(session, chip_erase="sector", smart_flash=False)
        for start in (0x0800_0000, BANK_2):
            loader.add_data(start, IMAGE)
        loader.commit()
        target: Any = session.target
        assert bytes(target.read_memory_block8(BANK_2, len(IMAGE))) == IMAGE
        assert target.read32(0xE004_2000) & 0xFFF == 0x415
    assert board.path.read_bytes()[: len(IMAGE)] == IMAGE
    assert board.path.read_bytes()[0x80000 : 0x80000 + len(IMAGE)] == IMAGE
    assert board.silicon.file.stores["flash"].erases == 2 * len(IMAGE) // 2048
    assert [one for one in board.complaints if not one.startswith("core: fetch") and "locked up" not in one] == []


def test_its_file_names_its_chip(board: Board) -> None:
    """Whoever opens the file later learns which profile it needs."""
    assert read_chip_name(board.path) == "l476"
