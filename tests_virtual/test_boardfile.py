"""lorafab/virtual/boardfile.py: the file is always a board, whenever its writer dies."""

import os
import signal
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.errors import JigError, StationBusy
from lorafab.virtual.boardfile import CHIP_PREFIX, FILE_SIZE, BoardFile, State
from lorafab.virtual.profile import FLASH_SIZE

OLD, NEW = b"\xff" * 8, bytes.fromhex("0123456789abcdef")
INTENT = 0x40100


def test_new_board_is_blank_with_an_id_of_its_own(tmp_path: Path) -> None:
    """Erased flash, no sticker, and never the same chip twice."""
    one, two = BoardFile(tmp_path / "sub" / "1.board"), BoardFile(tmp_path / "2.board")
    assert one.flash() == b"\xff" * FLASH_SIZE
    assert (one.sticker, one.bad_words()) == (None, [])
    assert one.uid96[:4] == two.uid96[:4] == CHIP_PREFIX
    assert one.uid96 != two.uid96
    assert one.path.stat().st_size == FILE_SIZE
    assert [p.name for p in tmp_path.iterdir()].count("2.board") == len(list(tmp_path.iterdir())) - 1, "no leftovers"
    one.close()
    two.close()


def test_content_survives_closing(tmp_path: Path) -> None:
    """Data, state, sticker and chip id."""
    file = BoardFile(tmp_path / "b")
    uid = file.uid96
    file.begin_program(5, NEW)
    file.finish()
    file.stick("LW:D0:…")
    file.close()
    file.close()
    file = BoardFile(tmp_path / "b")
    assert (file.uid96, file.word(5), file.state(5), file.sticker) == (uid, NEW, State.PROGRAMMED, "LW:D0:…")
    file.close()


def test_a_board_in_use_is_refused(tmp_path: Path) -> None:
    """The sentence names the file, and the process where the kernel tells."""
    file = BoardFile(tmp_path / "b")
    with pytest.raises(StationBusy, match=rf"{tmp_path / 'b'} is in use by (process {os.getpid()}|another process)"):
        BoardFile(tmp_path / "b")
    file.close()
    BoardFile(tmp_path / "b").close()


@pytest.mark.parametrize("content", [b"", b"not a board", b"\xff" * FILE_SIZE])
def test_other_files_are_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    """Somebody's file is not a board because it has the name of one."""
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(JigError, match="not a virtual board file"):
        BoardFile(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == content


def test_damaged_header_is_refused(tmp_path: Path) -> None:
    """A chip id that does not fit its CRC is no chip id."""
    BoardFile(tmp_path / "b").close()
    _poke(tmp_path / "b", 0x40012, b"X")
    with pytest.raises(JigError, match="damaged header"):
        BoardFile(tmp_path / "b")


def test_newest_sticker_counts(tmp_path: Path) -> None:
    """Several in a row; an overlong one is refused and the old one stays."""
    file = BoardFile(tmp_path / "b")
    for text in ("one", "two", "three"):
        file.stick(text)
        assert file.sticker == text
    with pytest.raises(JigError, match="501 bytes"):
        file.stick("x" * 501)
    assert file.sticker == "three"
    file.close()


def test_half_written_sticker_leaves_the_old_one(tmp_path: Path) -> None:
    """A kill while writing the second slot is harmless."""
    file = BoardFile(tmp_path / "b")
    file.stick("old")
    file.close()
    _poke(tmp_path / "b", 0x40400, struct.pack("<II", 2, 3) + b"\0\0\0\0new")
    file = BoardFile(tmp_path / "b")
    assert file.sticker == "old"
    file.close()


@pytest.mark.parametrize("applied", [0, 3, 8, 9])
def test_program_in_flight_becomes_a_torn_word(tmp_path: Path, applied: int) -> None:
    """Whatever part of data and state was applied: ECC-bad, bits between old and new, and the intent is gone."""
    file = BoardFile(tmp_path / "b")
    file.begin_program(7, NEW)
    file.close()
    _poke(tmp_path / "b", 7 * 8, NEW[: min(applied, 8)])
    if applied == 9:
        _poke(tmp_path / "b", 0x41007, b"\1")
    file = BoardFile(tmp_path / "b")
    assert (file.state(7), file.bad_words()) == (State.ECC_BAD, [7])
    torn, old, new = (int.from_bytes(x, "little") for x in (file.word(7), OLD, NEW))
    assert torn & ~old == 0
    assert new & ~torn == 0, "no bit is cleared that was not to be cleared"
    assert old != torn != new
    file.close()
    file = BoardFile(tmp_path / "b")
    assert file.word(7) == torn.to_bytes(8, "little"), "resolved once"
    file.close()


def test_erase_in_flight_spoils_its_page_only(tmp_path: Path) -> None:
    """All of its double words are ECC-bad, the neighbours are not."""
    file = BoardFile(tmp_path / "b")
    for index in (255, 256, 511, 512):
        file.begin_program(index, NEW)
        file.finish()
    file.begin_erase(256, 256)
    file.close()
    file = BoardFile(tmp_path / "b")
    assert file.bad_words() == list(range(256, 512))
    assert [file.word(255), file.word(512)] == [NEW, NEW]
    file.begin_erase(256, 256)
    file.finish()
    assert (file.bad_words(), file.word(256), file.state(256)) == ([], OLD, State.ERASED)
    file.close()


def test_unfinished_intent_never_happened(tmp_path: Path) -> None:
    """The valid word is written last: without it nothing is resolved."""
    file = BoardFile(tmp_path / "b")
    file.begin_program(7, NEW)
    file.close()
    _poke(tmp_path / "b", INTENT, bytes(4))
    file = BoardFile(tmp_path / "b")
    assert (file.word(7), file.bad_words()) == (OLD, [])
    file.close()


def test_layout_is_as_documented(tmp_path: Path) -> None:
    """A plain script finds flash, id, states, OTP and intent where the docstring says."""
    file = BoardFile(tmp_path / "b")
    file.begin_program(1, NEW)
    file.finish()
    file.begin_program(32768 + 2, NEW)
    file.finish()
    file.begin_program(3, NEW)
    raw = file.path.read_bytes()
    assert raw[8:16] == NEW
    assert raw[0x40000:0x4000C] == b"LFVBOARD\1\0\0\0"
    assert raw[0x40010:0x4001C] == file.uid96
    assert raw[0x40810:0x40818] == NEW
    assert (raw[0x41000:0x41004], raw[0x49002]) == (b"\0\1\0\0", 1)
    valid, kind, first, count = struct.unpack_from("<4I", raw, INTENT)
    assert (valid, kind, first, count) == (0x4C46494E, 1, 3, 1)
    assert raw[INTENT + 16 : INTENT + 32] == OLD + NEW
    assert struct.unpack_from("<I", raw, INTENT + 32)[0] == zlib.crc32(raw[INTENT + 4 : INTENT + 32])
    file.close()


def test_damaged_intent_is_refused_and_holds_no_lock(tmp_path: Path) -> None:
    """The same sentence every time, also while the first refusal is still being handled."""
    file = BoardFile(tmp_path / "b")
    file.begin_program(3, NEW)
    file.close()
    _poke(tmp_path / "b", INTENT + 8, b"\xaa")
    refusals = []
    for _ in range(2):
        with pytest.raises(JigError, match="damaged intent") as caught:
            BoardFile(tmp_path / "b")
        refusals.append(caught)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 400))
def test_kill_at_any_line_leaves_a_board(tmp_path_factory: pytest.TempPathFactory, line: int) -> None:
    """A process that dies between any two lines of programming or erasing leaves whole or torn words, never a mix."""
    path = tmp_path_factory.mktemp("kill") / "b"
    BoardFile(path).close()
    child = os.fork()
    if child == 0:  # pragma: no cover - the child is killed
        _work_until(path, line)
        os._exit(0)
    os.waitpid(child, 0)
    file = BoardFile(path)
    for index in range(256):
        if file.state(index) == State.PROGRAMMED:
            assert file.word(index) == NEW
        elif file.state(index) == State.ERASED:
            assert file.word(index) == OLD
    bad = file.bad_words()
    assert len(bad) in (0, 1, 256)
    file.close()


def _work_until(path: Path, line: int) -> None:
    """Program three double words and erase their page, over and over, and die at the given executed line."""
    seen = 0

    def trace(_frame: object, event: str, _arg: object) -> object:
        nonlocal seen
        if event == "line":
            seen += 1
            if seen >= line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    file = BoardFile(path)
    sys.settrace(trace)  # type: ignore[arg-type]
    for _ in range(4):
        for index in range(3):
            file.begin_program(index, NEW)
            file.finish()
        file.begin_erase(0, 256)
        file.finish()


def test_killed_programming_run_leaves_whole_words(tmp_path: Path) -> None:
    """A real process, killed at a double word in the middle of a page, through the whole emulator."""
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, ".")
        from tests_virtual.silicon.rig import Debugger, open_board
        debugger = Debugger(open_board(Path(sys.argv[1])))
        calls = []
        def hook(address):
            calls.append(address)
            if len(calls) == 41:      # before the 21st double word
                os.kill(os.getpid(), signal.SIGKILL)
        debugger.board.flash.on_program.append(hook)
        debugger.unlock()
        debugger.program(0x08000000, bytes(range(1, 9)) * 256)
        """
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "b")], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    file = BoardFile(tmp_path / "b")
    assert [file.state(i) for i in range(22)] == [State.PROGRAMMED] * 20 + [State.ERASED] * 2
    assert file.flash(0, 176) == bytes(range(1, 9)) * 20 + b"\xff" * 16
    file.close()


def _poke(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
