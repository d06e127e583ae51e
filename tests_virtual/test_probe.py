"""lorafab/virtual/probe.py: the virtual board as stock pyOCD sees it, in this process and from the command line."""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lorafab.domain.memory_map import Segment, Span
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.errors import ProbeError
from lorafab.targets import MCUS
from lorafab.virtual import registry
from lorafab.virtual.board import Board
from lorafab.virtual.faults import FaultPlan

FACTS = MCUS["stm32wle5jc"]
START, PAGE = FACTS.flash_start, FACTS.page_size


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """A blank board with power in the nest jig0."""
    board = Board.open(tmp_path / "b.board")
    board.power(True)
    registry.attach("jig0", board)
    yield board
    registry.detach("jig0")
    board.close()


def pyocd(path: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the stock command line with warnings as errors."""
    env = {name: value for name, value in os.environ.items() if name != registry.BOARD_VARIABLE}
    if path is not None:
        env[registry.BOARD_VARIABLE] = str(path)
    command = [sys.executable, "-m", "pyocd", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


# -- in a running session


def test_the_driver_finds_the_board_of_the_session(board: Board) -> None:
    """The jig's board is reached by probe id, and says who it is."""
    programmer = PyocdProgrammer("lorafab:jig0", "stm32wle5jc", 4000)
    chip = programmer.connect()
    programmer.close()
    assert chip.dpidr == FACTS.dpidr
    assert chip.idcode & 0xFFF == FACTS.device_id
    assert chip.flash_size == FACTS.flash_size
    assert chip.unique_id == board.chip_id


def test_a_similar_id_is_not_good_enough(board: Board) -> None:
    """pyOCD matches parts of ids; the driver takes jig1 for jig1 only."""
    registry.attach("jig10", board)
    try:
        with pytest.raises(ProbeError, match="found jig0, jig10"):
            PyocdProgrammer("lorafab:jig1", "stm32wle5jc", 4000).connect()
    finally:
        registry.detach("jig10")


def test_an_empty_nest_has_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a board there is nothing to connect to."""
    monkeypatch.delenv(registry.BOARD_VARIABLE, raising=False)
    with pytest.raises(ProbeError, match="lorafab:jig0 is not connected"):
        PyocdProgrammer("lorafab:jig0", "stm32wle5jc", 4000).connect()


def test_a_board_without_power_does_not_answer(board: Board) -> None:
    """The probe is there, the chip is not: the sentence says what to check."""
    board.power(False)
    with pytest.raises(ProbeError, match="check power"):
        PyocdProgrammer("lorafab:jig0", "stm32wle5jc", 4000).connect()


def test_a_power_cycle_ends_the_connection(board: Board) -> None:
    """A chip that lost its power must be connected to again."""
    programmer = PyocdProgrammer("lorafab:jig0", "stm32wle5jc", 4000)
    programmer.connect()
    board.power(False)
    with pytest.raises(ProbeError):
        programmer.read(Span(START, 16))
    board.power(True)
    programmer.connect()
    assert programmer.read(Span(START, 16)) == b"\xff" * 16
    programmer.close()


def test_a_power_cycle_nobody_watched_ends_it_too(board: Board) -> None:
    """The debug port forgets everything without power, even if no transfer was tried meanwhile."""
    programmer = PyocdProgrammer("lorafab:jig0", "stm32wle5jc", 4000)
    programmer.connect()
    board.power(False)
    board.power(True)
    with pytest.raises(ProbeError):
        programmer.read(Span(START, 16))
    programmer.close()


def write_some(programmer: PyocdProgrammer) -> None:
    """Connect and write four pages."""
    programmer.connect()
    programmer.program([Span(START, 4 * PAGE)], [Segment(START, bytes(range(256)) * 32)])


@pytest.mark.parametrize("transfers", [0, 5, 300, 2000])
def test_unplugging_is_the_stations_error_and_spares_the_board(tmp_path: Path, transfers: int) -> None:
    """Wherever the probe goes away: ERROR in one sentence, and the board's file is still a board."""
    path = tmp_path / "b.board"
    board = Board.open(path, faults=FaultPlan(unplug_after=transfers))
    board.power(True)
    registry.attach("jig0", board)
    programmer = PyocdProgrammer("lorafab:jig0", "stm32wle5jc", 4000)
    try:
        with pytest.raises(ProbeError) as caught:
            write_some(programmer)
        assert caught.value.__context__ is None
    finally:
        programmer.close()
        registry.detach("jig0")
        board.close()
    again = Board.open(path)
    again.power(True)
    again.close()


def test_time_passes_by_the_wire_and_repeats_exactly(tmp_path: Path) -> None:
    """The same work takes the same simulated time and the same transfers, every time."""
    seen = set()
    for name in ("one", "two"):
        board = Board.open(tmp_path / f"{name}.board")
        board.power(True)
        registry.attach("jig0", board)
        programmer = PyocdProgrammer("lorafab:jig0", "stm32wle5jc", 4000)
        programmer.connect()
        began_ns = board.clock.now_ns  # until here the board ran freely
        programmer.program([Span(START, 2 * PAGE)], [Segment(START, bytes(range(250)) * 16)])
        probe = programmer._session.probe
        seen.add((board.clock.now_ns - began_ns, probe.dap.transfers, probe.dap.packets))
        programmer.close()
        registry.detach("jig0")
        board.close()
    assert len(seen) == 1
    # Two pages at 22 ms to erase and 500 double words at 82 us are the floor; everything else is wire.
    assert 85e6 < seen.pop()[0] < 400e6


def test_firmware_runs_after_run(board: Board) -> None:
    """run() leaves the core executing what was programmed, from its reset vector."""
    counter = 0x20004000
    code = struct.pack("<4H", 0x4802, 0x6801, 0x1C49, 0x6001) + struct.pack("<2H", 0xE7FB, 0xBF00)
    image = struct.pack("<2I", 0x20008000, START + 9) + code + struct.pack("<I", counter)
    programmer = PyocdProgrammer("lorafab:jig0", "stm32wle5jc", 4000)
    programmer.connect()
    programmer.program([Span(START, PAGE)], [Segment(START, image)])
    programmer.run()
    seen = [int.from_bytes(programmer.read(Span(counter, 4)), "little") for _ in range(3)]
    programmer.close()
    assert seen[0] < seen[1] < seen[2]


# -- from the command line


def test_nothing_is_listed_without_a_board() -> None:
    """A computer without virtual boards shows no virtual probe."""
    done = pyocd(None, "list", "--probes")
    assert done.returncode == 0
    assert "jig0" not in done.stdout


def test_listing_shows_the_board_file_and_leaves_it_alone(tmp_path: Path) -> None:
    """Looking does not create the file."""
    done = pyocd(tmp_path / "b.board", "list", "--probes")
    assert done.returncode == 0, done.stderr
    assert "jig0" in done.stdout
    assert "stm32wle5jc" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_stock_commander_reads_the_board(tmp_path: Path) -> None:
    """`pyocd cmd` connects, knows the target by itself, and reads a blank flash and the identity."""
    done = pyocd(tmp_path / "b.board", "cmd", "-c", "read32 0x08000000", "-c", "read32 0xe0042000", "-c", "status")
    assert done.returncode == 0, done.stderr
    assert "ffffffff" in done.stdout
    assert "10016497" in done.stdout


def test_stock_flashing_and_comparing_works(tmp_path: Path) -> None:
    """What `pyocd load` writes is there in the next process."""
    image = tmp_path / "image.bin"
    image.write_bytes(bytes(range(256)) * 20)
    done = pyocd(tmp_path / "b.board", "load", "--base-address", "0x08000000", str(image))
    assert done.returncode == 0, done.stderr
    done = pyocd(tmp_path / "b.board", "cmd", "-c", f"compare 0x08000000 {image}")
    assert done.returncode == 0, done.stderr
    assert "match" in done.stdout.lower()


def test_a_board_in_use_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """Two processes never share a board file."""
    board = Board.open(tmp_path / "b.board")
    try:
        done = pyocd(tmp_path / "b.board", "cmd", "-c", "status")
    finally:
        board.close()
    assert done.returncode != 0
    assert "Traceback" not in done.stderr + done.stdout
