"""lorafab/virtual/board.py: the board as the jig and the probe hold it."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from lorafab.errors import JigError, StationBusy
from lorafab.virtual.board import Board
from lorafab.virtual.bus import BusFault
from lorafab.virtual.cpu import GENERAL
from lorafab.virtual.silicon import Reset
from tests_virtual.silicon import programs
from tests_virtual.silicon.rig import SRAM, Debugger, open_board


def test_board_without_power_answers_nothing(tmp_path: Path) -> None:
    """Every access is a bus fault until it is powered."""
    board = Board.open(tmp_path / "b")
    for access in (lambda: board.mem_read(SRAM, 4), lambda: board.mem_write_words(SRAM, [1])):
        with pytest.raises(BusFault, match="no power"):
            access()
    board.power(True)
    board.mem_write_words(SRAM, [1])
    assert board.mem_read(SRAM, 4) == 1
    board.close()


def test_power_cycle_forgets_ram_the_same_way_each_time(tmp_path: Path) -> None:
    """SRAM holds no secrets over a power cycle, and its noise repeats."""
    board = Board.open(tmp_path / "b")
    board.power(True)
    noise = board.mem_read_words(SRAM, 0x4000)
    board.mem_write_words(SRAM, [0x5EC2E7] * 16)
    board.power(False)
    board.power(True)
    assert board.mem_read_words(SRAM, 0x4000) == noise
    assert board.power_cycles == 2
    board.close()


def test_reset_keeps_ram(tmp_path: Path) -> None:
    """A system reset is no power cycle."""
    debugger = Debugger(open_board(tmp_path / "b"))
    debugger.write(SRAM + 0xFFF8, 0x1234)
    debugger.write(0xE000_ED0C, 0x05FA_0004)
    assert debugger.read(SRAM + 0xFFF8) == 0x1234
    assert debugger.read(0x5800_0094) & 1 << 28, "RCC_CSR says that software reset it"
    debugger.board.close()


def test_sticker_and_chip_belong_to_the_board(tmp_path: Path) -> None:
    """They come back with the file, also after closing without power."""
    board = Board.open(tmp_path / "b")
    assert board.sticker is None
    chip = board.chip_id
    board.stick("LW:D0:70B3D57ED0000000:70B3D57ED0000001:00000000")
    board.close()
    board = Board.open(tmp_path / "b")
    assert (board.chip_id, board.sticker) == (chip, "LW:D0:70B3D57ED0000000:70B3D57ED0000001:00000000")
    board.close()


def test_one_user_at_a_time(tmp_path: Path) -> None:
    """The second gets a sentence, and the first is not disturbed."""
    board = Board.open(tmp_path / "b")
    with pytest.raises(StationBusy):
        Board.open(tmp_path / "b")
    board.power(True)
    assert board.mem_read(SRAM, 4) >= 0
    board.close()
    Board.open(tmp_path / "b").close()


def test_a_path_that_cannot_be_used_is_refused_with_a_sentence(tmp_path: Path) -> None:
    """A loop, a link to nowhere, a file in place of a folder, a name that is too long, a folder nobody can write to."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "b")
    (tmp_path / "file").touch()
    for path in ("loop", "link", "file/b", "x" * 300, "/proc/b"):
        with pytest.raises(JigError, match=r"cannot be used \([A-Z][a-z ]+.*\); check its path and folder"):
            Board.open(tmp_path / path)


def test_the_board_to_swap_in_must_be_one_of_the_same_chip(tmp_path: Path) -> None:
    """Said before anything starts; the board itself is left alone."""
    Board.open(tmp_path / "b.swapped", chip="l072").close()
    with pytest.raises(JigError, match=r"b\.swapped is made as l072, wanted wle5"):
        open_board(tmp_path / "b", faults="swap@byte:1")
    assert not (tmp_path / "b").exists()


def test_identity_faults_show(tmp_path: Path) -> None:
    """idcode, dpidr and flash_size of the plan are what a debugger reads."""
    debugger = Debugger(open_board(tmp_path / "b", faults="idcode=0x10016495; dpidr=0x2BA01477; flash_size=128"))
    assert debugger.read(0xE004_2000) == 0x1001_6495
    assert debugger.read(0x1FFF_75E0, 2) == 128
    assert debugger.board.dpidr == 0x2BA0_1477
    debugger.board.close()


def test_block_access_equals_word_access(tmp_path: Path) -> None:
    """Fast paths change nothing: plain memory, registers, and a block over the end of a memory."""
    debugger = Debugger(open_board(tmp_path / "b", programs.ECHO))
    board = debugger.board
    for start in (0x0800_0000, 0x0, SRAM + 0x7FF0, 0x1FFF_7580, 0xE000_ED00):
        assert board.mem_read_words(start, 4) == [board.mem_read(start + 4 * i, 4) for i in range(4)]
    with pytest.raises(BusFault) as caught:
        board.mem_read_words(SRAM + 0xFFF8, 4)
    assert caught.value.address == SRAM + 0x1_0000
    assert board.mem_read(0x0800_0001, 1) == board.mem_read(0x0800_0000, 4) >> 8 & 0xFF
    board.close()


@pytest.mark.parametrize("program", ["programs.ECHO", "BUSY", "b''"])
def test_forgotten_board_does_not_crash_the_exit(tmp_path: Path, program: str) -> None:
    """A script that never closes its powered board ends with status 0, whatever the core is doing."""
    script = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, '.');"
        "from tests_virtual.silicon import programs; from tests_virtual.silicon.rig import open_board;"
        "BUSY = bytes.fromhex('0080002009000008') + bytes.fromhex('fee7');"
        f"board = open_board(Path(sys.argv[1]), {program}); board.power(True); time.sleep(0.05)"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-W", "error", "-c", script, str(tmp_path / "b")], cwd=root, check=False)
    assert done.returncode == 0


def test_same_boot_takes_the_same_time_whoever_is_first(tmp_path: Path) -> None:
    """Whether the thread or the debugger comes first after power-on, the debugger finds the same moment."""
    moments = set()
    for n in range(5):
        board = open_board(tmp_path / f"{n}", programs.ECHO)
        board.power(True)
        if n % 2:
            while not board.core.idle:
                pass
        board.attach_debugger(True)
        moments.add(board.clock.now_ns)
        board.close()
    assert len(moments) == 1


def test_a_reset_while_a_sleep_begins_starts_the_program_anew(tmp_path: Path) -> None:
    """A watchdog may bite while the cycles before a WFI are counted: the fresh program must not inherit the sleep."""
    program = struct.pack("<16I", 0x2000_4000, *[0x0800_0041] * 15) + bytes.fromhex(
        "013530bffce7"
    )  # r5 += 1; wfi; loop
    board = open_board(tmp_path / "b.board", program)
    board.attach_debugger(True)  # no thread paces it meanwhile
    board.power(True)
    awake_ns = next(ns for ns in range(0, 10_000, 10) if _sleeps_after(board, ns))
    for early_ns in range(0, awake_ns + 500, 20):
        board.power(False)
        board.power(True)
        board.clock.at(board.clock.now_ns + early_ns, lambda: board.silicon.reset(Reset.WATCHDOG))
        board.advance(100_000)
        assert board.core.cpu.get(GENERAL[5]) == 1, early_ns
    board.close()


def _sleeps_after(board: Board, ns: int) -> bool:
    board.power(False)
    board.power(True)
    board.advance(ns)
    return board.core.sleeping
