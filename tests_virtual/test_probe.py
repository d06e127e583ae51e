"""lorafab/virtual/probe.py: the virtual board as stock pyOCD sees it, in this process and from the command line."""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyocd.core import exceptions
from pyocd.core.session import Session
from pyocd.core.target import Target
from pyocd.probe.debug_probe import DebugProbe

from lorafab.domain.memory_map import Segment, Span
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.errors import JigError, ProbeError
from lorafab.targets import MCUS
from lorafab.virtual import chips, registry
from lorafab.virtual.board import Board
from lorafab.virtual.faults import FaultPlan
from lorafab.virtual.probe import VirtualProbe

FACTS = MCUS["stm32wle5jc"]
START, PAGE = FACTS.flash.start, FACTS.flash.page_size
ENVIRONMENT = (registry.BOARD_VARIABLE, registry.CHIP_VARIABLE, registry.FAULTS_VARIABLE)
# Flash registers of the STM32WLE5: keys, status, control with page erase, page 16 and start (stm32wle5xx.h).
KEYR, SR, CR, PER_PAGE_16_STRT = 0x58004008, 0x58004010, 0x58004014, 1 << 1 | 16 << 3 | 1 << 16
DBGMCU_IDCODE, DEVICE_ID = 0xE0042000, 0x497
PROTOCOL = DebugProbe.PinGroup.PROTOCOL_PINS
NRESET = DebugProbe.ProtocolPin.nRESET


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """A blank board with power in the nest jig0."""
    board = Board.open(tmp_path / "b.board")
    board.power(True)
    registry.attach("jig0", board)
    yield board
    registry.detach("jig0")
    board.close()


def pyocd(path: Path | None, *arguments: str, chip: str = "", faults: str = "") -> subprocess.CompletedProcess[str]:
    """Run the stock command line with warnings as errors."""
    env = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    wanted = ("" if path is None else str(path), chip, faults)
    env |= {name: value for name, value in zip(ENVIRONMENT, wanted, strict=True) if value}
    command = [sys.executable, "-m", "pyocd", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


# -- in a running session


def test_the_driver_finds_the_board_of_the_session(board: Board) -> None:
    """The jig's board is reached by probe id, and says who it is."""
    programmer = PyocdProgrammer("lorafab:jig0", "stm32wle5jc", 4000)
    chip = programmer.connect()
    programmer.close()
    assert chip.dpidr == FACTS.dpidr
    assert chip.idcode & 0xFFF == DEVICE_ID
    assert chip.flash_size == board.chip.flash_size
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
    board = Board.open(path, faults=FaultPlan.parse(f"unplug_after={transfers}"))
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
        counters = programmer._session.probe.dap.counters
        seen.add((board.clock.now_ns - began_ns, counters.transfers, counters.packets, counters.clocks))
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


# -- what pyOCD does with it


@contextmanager
def session(**options: Any) -> Iterator[Any]:
    """A session of stock pyOCD with the board in jig0."""
    made = Session(VirtualProbe("jig0"), options={"target_override": "stm32wle5jc", "frequency": 4_000_000} | options)
    with made:
        yield made


@pytest.mark.parametrize("mode", ["halt", "pre-reset", "under-reset", "attach"])
def test_every_connect_mode_works(board: Board, mode: str) -> None:
    """The core stands or goes on as the mode promises, and nobody holds the reset pin afterwards."""
    with session(connect_mode=mode, resume_on_disconnect=False) as opened:
        state = opened.target.get_state()
        assert (state == Target.State.HALTED) is (mode != "attach")
        assert not opened.probe.is_reset_asserted()
        assert opened.target.read32(DBGMCU_IDCODE) & 0xFFF == DEVICE_ID
        if mode in ("pre-reset", "under-reset"):
            # RCC_CSR.PINRSTF (stm32wle5xx.h): the pin was low.
            assert opened.target.read32(0x58000094) & 1 << 26


@pytest.mark.parametrize("dormant", [False, True])
def test_the_port_is_woken_either_way(board: Board, dormant: bool) -> None:
    """By the old switching sequence, or through the dormant state that SWD version 2 knows."""
    with session(dap_swj_use_dormant=dormant) as opened:
        assert opened.target.dp.dpidr.idr == FACTS.dpidr


def test_a_probe_that_lets_go_lets_go_of_reset(board: Board) -> None:
    """All pins float after a disconnect; what somebody else pulls stays low."""
    for someone_else in (False, True):
        probe = VirtualProbe("jig0")
        probe.open()
        probe.connect()
        if someone_else:
            board.set_reset_pin(True)
        else:
            probe.assert_reset(True)
        probe.disconnect()
        probe.close()
        assert board.core.in_reset is someone_else


def test_the_reset_pin(board: Board) -> None:
    """Pulled by this probe or by the jig: the probe reads what is on the wire, and so does the chip."""
    probe = VirtualProbe("jig0")
    probe.open()
    assert probe.get_accessible_pins(PROTOCOL) == (NRESET, NRESET)
    assert probe.read_pins(PROTOCOL, NRESET) == NRESET
    probe.write_pins(PROTOCOL, NRESET, 0)
    assert probe.is_reset_asserted()
    assert board.core.in_reset
    probe.assert_reset(False)
    board.set_reset_pin(True)
    assert probe.read_pins(PROTOCOL, NRESET) == 0
    probe.close()


def test_debug_power_is_let_go_of(board: Board) -> None:
    """The debug domain draws current from connecting to disconnecting, and not a moment longer."""
    assert "debug" not in board.supply.draws
    with session():
        assert board.supply.draws["debug"] == board.chip.currents.debug
    assert "debug" not in board.supply.draws


def test_a_debugger_waits_for_a_busy_flash(board: Board) -> None:
    """A read of the flash during an erase: WAIT, the probe gives up, pyOCD aborts, and later the read works."""
    with session() as opened:
        target, counters = opened.target, opened.probe.dap.counters
        for key in (0x45670123, 0xCDEF89AB):
            target.write32(KEYR, key)
        target.write32(CR, PER_PAGE_16_STRT & 0xFFFF)
        target.write32(CR, PER_PAGE_16_STRT)
        target.flush()
        with pytest.raises(exceptions.TransferTimeoutError):
            target.read32(START + 16 * PAGE)
        assert counters.waits >= 151
        board.advance(30_000_000)
        assert target.read32(START + 16 * PAGE) == 0xFFFFFFFF


@pytest.mark.skipif("nrf52" not in chips.names(), reason="this checkout has no nrf52")
def test_a_locked_part_is_opened_through_its_own_access_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new nRF52840 is locked: pyOCD sees it at CTRL-AP, erases everything, and its pauses are the board's time."""
    monkeypatch.setattr("pyocd.debug.svd.loader.SVDFile.from_builtin", lambda _: None)  # leaves its archive open
    board = Board.open(tmp_path / "b.board", chip="nrf52")
    board.power(True)
    registry.attach("jig0", board)
    try:
        before_ns = board.clock.now_ns
        with session(target_override="nrf52840", auto_unlock=True) as opened:
            assert opened.target.read32(0x10000100) == 0x52840  # FICR.INFO.PART
        assert board.clock.now_ns - before_ns > 100_000_000  # pyOCD pauses so long between two looks
    finally:
        registry.detach("jig0")
        board.close()


def test_the_ports_state_outlives_a_probe(board: Board) -> None:
    """It is the chip's: transfers go on counting, and a second probe finds the port as the first one left it."""
    with session(resume_on_disconnect=False):
        pass
    transfers = board.swd.transfers
    probe = VirtualProbe("jig0")
    probe.open()
    probe.connect()
    status = probe.read_dp(0x4)
    assert status & 0x50000000 == 0x50000000, "still selected and powered up: nobody said otherwise"
    assert board.swd.transfers == transfers + 1
    assert probe.dap.counters.transfers == 1
    probe.close()


def test_time_outs_are_met_in_the_boards_time(tmp_path: Path) -> None:
    """An erase that takes 22 simulated seconds is too slow for pyOCD's limit of 10, whatever this computer needs."""
    board = Board.open(tmp_path / "b.board", faults=FaultPlan.parse("slow_erase=1000"))
    board.power(True)
    registry.attach("jig0", board)
    try:
        with session() as opened:
            flash = opened.target.memory_map.get_region_for_address(START).flash
            flash.init(flash.Operation.ERASE)
            before_ns = board.clock.now_ns
            with pytest.raises(exceptions.FlashEraseFailure):
                flash.erase_sector(START)
            limit_s = opened.options.get("flash.timeout.erase_sector")
            assert limit_s <= (board.clock.now_ns - before_ns) / 1e9 < limit_s + 0.2
    finally:
        registry.detach("jig0")
        board.close()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("no_ack@transfer:400", exceptions.TransferError),
        ("parity@transfer:400", exceptions.TransferError),
        ("wait@transfer:400*151", exceptions.TransferTimeoutError),
        ("unplug@transfer:400", exceptions.ProbeDisconnected),
    ],
)
def test_faults_on_the_wires_arrive_in_pyocds_words(tmp_path: Path, fault: str, error: type[Exception]) -> None:
    """Each as its own driver of CMSIS-DAP probes would say it."""
    board = Board.open(tmp_path / "b.board", faults=FaultPlan.parse(fault))
    board.power(True)
    registry.attach("jig0", board)
    try:
        with session() as opened:
            opened.context_state.suppress_disconnect_error = True
            with pytest.raises(error):
                opened.target.read_memory_block32(START, 1000)
    finally:
        registry.detach("jig0")
        board.close()


# -- without opening it


@pytest.mark.parametrize("name", chips.names())
def test_the_target_is_the_boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Of a board in the nest, of a closed file, and of a file that is yet to be made."""
    path, target = tmp_path / "b.board", chips.named(name).target
    monkeypatch.setenv(registry.BOARD_VARIABLE, str(path))
    monkeypatch.setenv(registry.CHIP_VARIABLE, name)
    assert VirtualProbe("jig0").associated_board_info.target == target
    assert not path.exists()
    board = Board.open(path, chip=name)
    registry.attach("jig1", board)
    assert VirtualProbe("jig1").associated_board_info.target == target
    registry.detach("jig1")
    board.close()
    monkeypatch.delenv(registry.CHIP_VARIABLE)
    assert VirtualProbe("jig0").associated_board_info.target == target


def test_a_file_that_is_no_board_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence, and untouched."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir,")
    monkeypatch.setenv(registry.BOARD_VARIABLE, str(path))
    with pytest.raises(JigError, match=r"letter\.txt is not a virtual board file"):
        registry.chip_in("jig0")
    with pytest.raises(exceptions.ProbeError, match=r"letter\.txt"):
        VirtualProbe("jig0").open()
    assert path.read_text() == "Dear Sir,"


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


def test_stock_commands_meet_the_planned_faults(tmp_path: Path) -> None:
    """The plan of the environment is in force for them, too; a mistyped one is told and touches nothing."""
    done = pyocd(tmp_path / "b.board", "cmd", "-c", "read32 0x08000000", faults="idcode=0x10016415")
    assert done.returncode == 0, done.stderr
    done = pyocd(tmp_path / "b.board", "cmd", "-c", "read32 0xe0042000", faults="idcode=0x10016415")
    assert "10016415" in done.stdout
    done = pyocd(tmp_path / "c.board", "cmd", "-c", "status", faults="unplugg")
    assert done.returncode != 0
    assert "unplugg" in done.stdout + done.stderr
    assert not (tmp_path / "c.board").exists()


@pytest.mark.skipif("l072" not in chips.names(), reason="this checkout has no l072")
def test_stock_commands_make_the_board_that_was_asked_for(tmp_path: Path) -> None:
    """A missing file becomes a board of the named chip, and stays one."""
    done = pyocd(tmp_path / "b.board", "cmd", "-c", "status", chip="l072")
    assert done.returncode == 0, done.stderr
    done = pyocd(tmp_path / "b.board", "list", "--probes")
    assert "stm32l072xz" in done.stdout
