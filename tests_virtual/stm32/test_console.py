"""The console of a wle5 with a terminal on the other end: usart.py, wire.py, serial_line.py and freerun.py together."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

from lorafab.errors import PortError
from lorafab.virtual.board import Board
from lorafab.virtual.freerun import FreeRun
from tests_virtual.silicon import programs
from tests_virtual.silicon.rig import DHCSR, SRAM, open_board

PATIENCE_S = 10.0  # wall clock, for a busy computer
Start = Callable[..., tuple[Board, serial.Serial]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A board that echoes with bit 5 flipped, and an open terminal."""
    opened: list[tuple[Board, serial.Serial]] = []

    def make(faults: str = "") -> tuple[Board, serial.Serial]:
        link = tmp_path / "uart"
        board = open_board(tmp_path / "b", programs.ECHO, faults, link)
        terminal = serial.Serial(str(link), 115200, timeout=PATIENCE_S)
        opened.append((board, terminal))
        board.power(True)
        return opened[-1]

    yield make
    for board, terminal in opened:
        terminal.close()
        board.close()


def test_firmware_answers_a_serial_program(start: Start) -> None:
    """Interrupt-driven echo out of WFI, byte for byte, many times; nothing is overrun, nothing is echoed by the pty."""
    board, terminal = start()
    assert terminal.read(6) == b"ready\n"
    for n in range(50):
        sent = bytes(range(0x40, 0x40 + 1 + n % 30))
        terminal.write(sent)
        assert terminal.read(len(sent)) == bytes(byte ^ 0x20 for byte in sent)
    assert board.mem_read(SRAM + 4, 4) == 0, "overruns"
    assert board.complaints == []


def test_line_time_follows_the_baud_rate(start: Start) -> None:
    """Six bytes of ten bits at 115200 take 0.52 ms, boot and estimates of slices aside."""
    board, terminal = start()
    assert terminal.read(6) == b"ready\n"
    _until(lambda: board.core.idle)
    assert board.clock.now_ns == pytest.approx(6 * 10 / 115200 * 1e9, rel=0.2)


def test_same_dialogue_takes_the_same_time(start: Start, tmp_path: Path) -> None:
    """Simulated time of a dialogue does not depend on how fast the host is."""
    times = set()
    for wait_s in (0.0, 0.02):
        board, terminal = start()
        assert terminal.read(6) == b"ready\n"
        for text in (b"abc", b"defghijk"):
            time.sleep(wait_s)
            terminal.write(text)
            assert len(terminal.read(len(text))) == len(text)
            _until(lambda board=board: board.core.idle)  # type: ignore[misc]
        times.add(board.clock.now_ns)
        board.close()
    assert len(times) == 1


def test_sleeping_board_uses_no_processor_time(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread blocks until somebody speaks, once the turns that were under way are done."""
    board, terminal = start()
    assert terminal.read(6) == b"ready\n"
    _until(lambda: board.core.idle)
    turns = []
    turn = FreeRun._turn

    def counted(thread: FreeRun) -> float | None:
        turns.append(turn(thread))
        return turns[-1]

    monkeypatch.setattr(FreeRun, "_turn", counted)
    time.sleep(0.3)
    assert len(turns) <= 3
    terminal.write(b"a")
    assert terminal.read(1) == b"A"


def test_silent_uart_says_nothing_but_hears(start: Start) -> None:
    """Fault uart=silent."""
    board, terminal = start("uart=silent")
    terminal.write(b"abc")
    terminal.timeout = 0.2
    assert terminal.read(1) == b""
    assert board.complaints == []


def test_garbled_uart_damages_every_byte(start: Start) -> None:
    """Fault uart=garbage."""
    _, terminal = start("uart=garbage")
    assert terminal.read(6) == bytes(byte ^ 0xA5 for byte in b"ready\n")


def test_bytes_without_power_are_lost(start: Start) -> None:
    """What was sent to a dead board does not come back to life with it."""
    board, terminal = start()
    assert terminal.read(6) == b"ready\n"
    board.power(False)
    terminal.write(b"lost")
    _until(lambda: not _pending(board))
    board.power(True)
    assert terminal.read(6) == b"ready\n"
    terminal.write(b"a")
    assert terminal.read(1) == b"A"


def test_halted_core_overruns(start: Start) -> None:
    """The receiver keeps the first byte and flags the loss; the firmware finds both when it goes on."""
    board, terminal = start()
    assert terminal.read(6) == b"ready\n"
    _until(lambda: board.core.idle)
    board.attach_debugger(True)
    board.mem_write(DHCSR, 4, 0xA05F_0003)
    terminal.write(b"abc")
    _until(lambda: board.console.active)
    board.advance(1_000_000)
    assert board.mem_read(0x4001_381C, 4) & 0x28 == 0x28
    board.mem_write(DHCSR, 4, 0xA05F_0001)
    board.attach_debugger(False)
    assert terminal.read(1) == b"A"
    assert board.mem_read(SRAM + 4, 4) == 1


def test_attached_debugger_does_not_silence_the_line(start: Start) -> None:
    """A debug session stays open while a test talks to the firmware."""
    board, terminal = start()
    assert terminal.read(6) == b"ready\n"
    board.attach_debugger(True)
    terminal.write(b"xyz")
    assert terminal.read(3) == b"XYZ"


def test_link_is_replaced_and_removed(tmp_path: Path) -> None:
    """A stale link of a killed run is no obstacle; closing removes ours."""
    link = tmp_path / "uart"
    link.symlink_to("/dev/pts/does-not-exist")
    board = open_board(tmp_path / "b", uart_link=link)
    assert link.resolve() == board.wire.path
    board.close()
    assert not link.is_symlink()


def test_link_never_replaces_a_file(tmp_path: Path) -> None:
    """A sentence instead."""
    (tmp_path / "uart").write_text("mine")
    with pytest.raises(PortError, match="remove what is there"):
        open_board(tmp_path / "b", uart_link=tmp_path / "uart")
    assert (tmp_path / "uart").read_text() == "mine"
    open_board(tmp_path / "b").close()


def test_closing_leaves_no_thread_and_no_descriptor(tmp_path: Path) -> None:
    """Also when it is repeated."""
    open_board(tmp_path / "b").close()
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        board = open_board(tmp_path / "b", programs.ECHO)
        board.power(True)
        board.close()
        board.close()
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors


def _until(condition: Callable[[], bool]) -> None:
    """Wait for the board's thread to get somewhere."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def _pending(board: Board) -> bool:
    """Bytes of the host that the board has not taken yet."""
    import select

    return bool(select.select([board.wire.fd], [], [], 0)[0])
