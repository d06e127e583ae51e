"""The virtual nRF52840 under real pyOCD: its own target, its own flash algorithm, and what it does to a locked part."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyocd.core.session import Session
from pyocd.flash.loader import FlashLoader

from lorafab.virtual import registry
from lorafab.virtual.board import Board
from lorafab.virtual.bus import BusFault
from lorafab.virtual.chips import nrf52
from lorafab.virtual.probe import VirtualProbe
from tests_virtual.nrf52.programs import SHELL
from tests_virtual.nrf52.rig import C0, UICR_APPROTECT, Boards, Probe

SITE = "nrf52-test"


@pytest.fixture(autouse=True)
def no_register_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyOCD leaves the archive with the SVD files open, which warns; nothing here asks for them."""
    monkeypatch.setattr("pyocd.debug.svd.loader.SVDFile.from_builtin", lambda _name: None)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """A new board with power, in a nest."""
    made = Board.open(tmp_path / "n.board", chip=nrf52.CHIP)
    registry.attach(SITE, made)
    made.power(True)
    yield made
    registry.detach(SITE)
    made.close()


@contextmanager
def connected(**options: object) -> Iterator[Any]:
    """The target that pyOCD finds on the board in the nest."""
    told = {
        "target_override": "nrf52840", "frequency": 8_000_000, "no_config": True, "user_script": os.devnull,
        "hide_programming_progress": True, "reset.post_delay": 0.0,
    } | options  # fmt: skip
    with Session(VirtualProbe(SITE), options=told) as session:
        yield session.target


def program(target: Any, address: int, data: bytes, erase: str) -> None:
    loader = FlashLoader(target.session, chip_erase=erase, smart_flash=False, keep_unwritten=False)
    loader.add_data(address, data)
    loader.commit()


@pytest.mark.parametrize("erase", ["sector", "chip"])
def test_a_new_part_is_unlocked_and_programmed(board: Board, erase: str) -> None:
    """pyOCD erases the locked part, writes 0x5A to UICR, and programs 100 KiB with its own algorithm."""
    image = random.Random(erase).randbytes(100 * 1024)
    with connected() as target:
        assert target.read32(UICR_APPROTECT) == 0x5A
        program(target, 0, image, erase)
        assert bytes(target.read_memory_block8(0, len(image))) == image
    assert board.path.read_bytes()[: len(image)] == image
    assert not [one for one in board.complaints if one.startswith("NVMC")]


def test_sectors_that_are_not_named_are_kept(board: Board) -> None:
    """A second image beside the first."""
    first, second = random.Random(1).randbytes(8192), random.Random(2).randbytes(5000)
    with connected() as target:
        program(target, 0, first, "sector")
        program(target, 0x4_0000, second, "sector")
        assert bytes(target.read_memory_block8(0, len(first))) == first
        assert bytes(target.read_memory_block8(0x4_0000, len(second))) == second


def locked(boards: Boards) -> Probe:
    """A board with secrets in every memory, and firmware that keeps it locked."""
    made = boards(program=SHELL, uicr={0x80: 0x1234_5678})
    registry.attach(SITE, made.board)
    return made


def test_without_auto_unlock_a_locked_part_stays_as_it_is(boards: Boards) -> None:
    """Not a byte of the file changes, and no byte of memory is read."""
    made = locked(boards)
    before = made.board.path.read_bytes()
    try:
        with pytest.raises(KeyError, match="no selected core"), connected(auto_unlock=False):
            pass  # pyOCD finds no core behind the closed port, and gives up
        for address in (0, 0x1000_1080, 0x2000_0000, 0xE000_ED00):
            with pytest.raises(BusFault):
                made.read(address)
        assert made.board.path.read_bytes() == before
    finally:
        registry.detach(SITE)


def test_by_default_a_locked_part_is_erased(boards: Boards) -> None:
    """Whoever connects with stock pyOCD loses what was on the part."""
    made = locked(boards)
    try:
        with connected() as target:
            assert target.read32(0) == 0xFFFF_FFFF
            assert target.read32(0x1000_1080) == 0xFFFF_FFFF
    finally:
        registry.detach(SITE)
    assert SHELL[:64] not in made.board.path.read_bytes()


def test_an_open_part_is_left_alone(boards: Boards) -> None:
    """UICR and firmware opened it: connecting, halting and resetting erase nothing."""
    made = boards(program=SHELL, uicr={0x208: 0xFFFF_FF5A})
    made.board.advance(10_000_000)
    registry.attach(SITE, made.board)
    try:
        with connected() as target:
            target.reset_and_halt()
            assert bytes(target.read_memory_block8(0, len(SHELL))) == SHELL
            assert target.read_core_register("pc") & ~1 == int.from_bytes(SHELL[4:8], "little") & ~1
    finally:
        registry.detach(SITE)


def test_an_early_part_is_not_touched_in_uicr(boards: Boards) -> None:
    """Build code C0 is open, and pyOCD writes no 0x5A to it."""
    made = boards(program=SHELL, chip=C0)
    registry.attach(SITE, made.board)
    try:
        with connected() as target:
            assert target.read32(UICR_APPROTECT) == 0xFFFF_FFFF
            assert bytes(target.read_memory_block8(0, len(SHELL))) == SHELL
    finally:
        registry.detach(SITE)
