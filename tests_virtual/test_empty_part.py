"""A virgin STM32WLE5 boots its ROM loader until somebody deals with ACR.EMPTY: the line does, in two ways."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lorafab.domain.memory_map import Segment, Span
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.virtual import registry
from lorafab.virtual.board import Board
from lorafab.virtual.cpu import PC

ACR, EMPTY = 0x5800_4000, 1 << 16
START, LOADER = 0x0800_0000, 0x1FFF_2B6C
# Vectors with the stack at 0x20004000 and the program behind them: b .
PROGRAM = (bytes.fromhex("0040002041000008") + b"\x41\x00\x00\x08" * 14).ljust(0x40, b"\0") + bytes.fromhex("fee700bf")


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """A virgin board with power."""
    board = Board.open(tmp_path / "b.board")
    board.power(True)
    registry.attach("jig0", board)
    yield board
    registry.detach("jig0")
    board.close()


@pytest.fixture
def programmer(board: Board) -> Iterator[PyocdProgrammer]:
    """The line's programmer, connected."""
    programmer = PyocdProgrammer("lorafab:jig0", "stm32wle5jc", 4000)
    programmer.connect()
    yield programmer
    programmer.close()


def runs_at(board: Board) -> int:
    with board.lock:
        board.advance(1_000_000)
        return board.core.cpu.get(PC) & ~3


def test_the_algorithm_clears_the_flag(board: Board, programmer: PyocdProgrammer) -> None:
    """Programming the first double word is enough: a plain reset starts the program."""
    programmer.program([Span(START, 2048)], [Segment(START, PROGRAM)])
    programmer.run()
    assert runs_at(board) in (0x40, START + 0x40)


def test_a_part_that_keeps_the_flag_loads_its_options(board: Board, programmer: PyocdProgrammer) -> None:
    """Where the flag is still there before the reset, option byte loading makes the empty check again."""
    programmer.program([Span(START, 2048)], [Segment(START, PROGRAM)])
    target: Any = programmer._session.target
    target.write32(ACR, target.read32(ACR) | EMPTY)
    programmer.run()
    assert runs_at(board) in (0x40, START + 0x40)
    assert not board.silicon.flash.read_word(0) & EMPTY
    assert board.complaints == []


def test_an_empty_part_stays_in_its_loader(board: Board, programmer: PyocdProgrammer) -> None:
    """Nothing programmed: the reset changes nothing, and no option byte is touched."""
    programmer.run()
    assert runs_at(board) == LOADER & ~3
    assert board.complaints == []
