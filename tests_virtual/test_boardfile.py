"""lorafab/virtual/boardfile.py: the file is always a board, whenever its writer dies."""

import dataclasses
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
from lorafab.virtual import chips
from lorafab.virtual.boardfile import BoardFile, State, StoreFile, file_size, read_chip_name, states_offset
from lorafab.virtual.chip import Store

CHIP = chips.named("wle5")
OLD, NEW = b"\xff" * 8, bytes.fromhex("0123456789abcdef")
FLIGHT = 0x4A000  # of the flash of this chip; the states end before


def _open(path: Path) -> BoardFile:
    return BoardFile(path, CHIP)


def _flash(file: BoardFile) -> StoreFile:
    return file.stores["flash"]


def _program(store: StoreFile, offset: int, data: bytes) -> None:
    store.begin_program(offset, data)
    store.finish()


def test_new_board_is_blank_with_an_id_of_its_own(tmp_path: Path) -> None:
    """Erased stores, no sticker, and never the same chip twice."""
    one, two = _open(tmp_path / "sub" / "1.board"), _open(tmp_path / "2.board")
    assert _flash(one).read() == b"\xff" * 256 * 1024
    assert (one.sticker, _flash(one).bad_cells(), one.options) == (None, set(), CHIP.options)
    assert one.uid[:4] == two.uid[:4] == b"LFVB"
    assert one.uid != two.uid
    assert one.path.stat().st_size == file_size(CHIP)
    assert [p.name for p in tmp_path.iterdir()].count("2.board") == len(list(tmp_path.iterdir())) - 1, "no leftovers"
    one.close()
    two.close()


@pytest.mark.parametrize("name", chips.names())
def test_the_file_tells_its_chip(tmp_path: Path, name: str) -> None:
    """Whoever looks for probes learns it without opening the board, also when the flash holds another board file."""
    _open(tmp_path / "other").close()
    file = BoardFile(tmp_path / "b", chips.named(name))
    file.stores["flash"].put(0, (tmp_path / "other").read_bytes()[0x40000 : 0x40000 + 4096])
    assert read_chip_name(file.path) in (name, "wle5")
    file.stores["flash"].put(1, (tmp_path / "other").read_bytes()[0x40000 : 0x40000 + 4096])
    file.stores["flash"].put(0, b"\0")
    assert read_chip_name(file.path) == name
    file.close()


def test_what_is_no_board_file_names_no_chip(tmp_path: Path) -> None:
    """A pipe or a device is not even read, because that might never end."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_bytes(b"LFVBOARD")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "none", tmp_path / "text"):
        with pytest.raises(JigError, match=f"{path} is not a virtual board file of version 2"):
            read_chip_name(path)


def test_another_chip_is_refused(tmp_path: Path) -> None:
    """A file of the same layout but of another chip."""
    _open(tmp_path / "b").close()
    with pytest.raises(JigError, match="is not of an STM32WLE9"):
        BoardFile(tmp_path / "b", dataclasses.replace(CHIP, name="wle9", title="STM32WLE9"))


def test_erased_value_and_cells_are_the_stores_own(tmp_path: Path) -> None:
    """A memory that erases to zero, without states, beside the flash."""
    chip = dataclasses.replace(CHIP, stores=(*CHIP.stores, Store("eeprom", 6144, cell=0, erased=0)))
    file = BoardFile(tmp_path / "b", chip)
    eeprom = file.stores["eeprom"]
    assert eeprom.read() == bytes(6144)
    _program(eeprom, 100, NEW)
    eeprom.begin_program(200, b"\xff" * 64)
    file.close()
    file = BoardFile(tmp_path / "b", chip)
    eeprom = file.stores["eeprom"]
    assert eeprom.read(100, 8) == NEW
    assert eeprom.read(200, 64) == b"\x55" * 64, "torn: some bits are set, some not yet"
    eeprom.begin_erase(100, 4)
    assert eeprom.finish() == (100, 4)
    assert eeprom.read(100, 8) == bytes(4) + NEW[4:]
    file.close()


def test_content_survives_closing(tmp_path: Path) -> None:
    """Data, state, sticker and chip id."""
    file = _open(tmp_path / "b")
    uid = file.uid
    _program(_flash(file), 40, NEW)
    file.stick("LW:D0:…")
    file.close()
    file.close()
    file = _open(tmp_path / "b")
    flash = _flash(file)
    assert (file.uid, flash.read(40, 8), flash.state(5), file.sticker) == (uid, NEW, State.PROGRAMMED, "LW:D0:…")
    file.close()


def test_a_board_in_use_is_refused(tmp_path: Path) -> None:
    """The sentence names the file, and the process where the kernel tells."""
    file = _open(tmp_path / "b")
    with pytest.raises(StationBusy, match=rf"{tmp_path / 'b'} is in use by (process {os.getpid()}|another process)"):
        _open(tmp_path / "b")
    file.close()
    _open(tmp_path / "b").close()


@pytest.mark.parametrize("content", [b"", b"not a board", b"\xff" * file_size(CHIP)])
def test_other_files_are_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    """Somebody's file is not a board because it has the name of one."""
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(JigError, match="not a virtual board file"):
        _open(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == content


def test_damaged_header_is_refused(tmp_path: Path) -> None:
    """A chip id that does not fit its CRC is no chip id."""
    _open(tmp_path / "b").close()
    _poke(tmp_path / "b", 0x40022, b"X")
    with pytest.raises(JigError, match="damaged header"):
        _open(tmp_path / "b")


def test_newest_sticker_counts(tmp_path: Path) -> None:
    """Several in a row; an overlong one is refused and the old one stays."""
    file = _open(tmp_path / "b")
    for text in ("one", "two", "three"):
        file.stick(text)
        assert file.sticker == text
    with pytest.raises(JigError, match="501 bytes"):
        file.stick("x" * 501)
    assert file.sticker == "three"
    file.close()


def test_half_written_sticker_leaves_the_old_one(tmp_path: Path) -> None:
    """A kill while writing the second slot is harmless."""
    file = _open(tmp_path / "b")
    file.stick("old")
    file.close()
    _poke(tmp_path / "b", 0x40400, struct.pack("<II", 2, 3) + b"\0\0\0\0new")
    file = _open(tmp_path / "b")
    assert file.sticker == "old"
    file.close()


@pytest.mark.parametrize("applied", [0, 3, 8, 9])
def test_program_in_flight_becomes_a_torn_word(tmp_path: Path, applied: int) -> None:
    """Whatever part of data and state was applied: ECC-bad, bits between old and new, and the intent is gone."""
    file = _open(tmp_path / "b")
    _flash(file).begin_program(56, NEW)
    file.close()
    _poke(tmp_path / "b", 7 * 8, NEW[: min(applied, 8)])
    if applied == 9:
        _poke(tmp_path / "b", 0x41007, b"\1")
    file = _open(tmp_path / "b")
    assert (_flash(file).state(7), _flash(file).bad_cells()) == (State.BAD, {7})
    torn, old, new = (int.from_bytes(x, "little") for x in (_flash(file).read(56, 8), OLD, NEW))
    assert torn & ~old == 0
    assert new & ~torn == 0, "no bit is cleared that was not to be cleared"
    assert old != torn
    file.close()
    file = _open(tmp_path / "b")
    assert _flash(file).read(56, 8) == torn.to_bytes(8, "little"), "resolved once"
    file.close()


def test_erase_in_flight_spoils_its_page_only(tmp_path: Path) -> None:
    """All of its double words are ECC-bad, the neighbours are not."""
    file = _open(tmp_path / "b")
    for index in (255, 256, 511, 512):
        _program(_flash(file), index * 8, NEW)
    _flash(file).begin_erase(2048, 2048)
    file.close()
    file = _open(tmp_path / "b")
    assert _flash(file).bad_cells() == set(range(256, 512))
    assert [_flash(file).read(2040, 8), _flash(file).read(4096, 8)] == [NEW, NEW]
    flash = _flash(file)
    flash.begin_erase(2048, 2048)
    flash.finish()
    assert (flash.bad_cells(), flash.read(2048, 8), flash.state(256)) == (set(), OLD, State.ERASED)
    file.close()


def test_unfinished_intent_never_happened(tmp_path: Path) -> None:
    """The valid word is written last: without it nothing is resolved."""
    file = _open(tmp_path / "b")
    _flash(file).begin_program(56, NEW)
    file.close()
    _poke(tmp_path / "b", FLIGHT, bytes(4))
    file = _open(tmp_path / "b")
    assert (_flash(file).read(56, 8), _flash(file).bad_cells()) == (OLD, set())
    file.close()


def test_layout_is_as_documented(tmp_path: Path) -> None:
    """A plain script finds flash, id, options, states, OTP and what is in flight where the docstring says."""
    file = _open(tmp_path / "b")
    _program(_flash(file), 8, NEW)
    _program(file.stores["otp"], 16, NEW)
    _flash(file).begin_program(24, NEW)
    raw = file.path.read_bytes()
    assert raw[8:16] == NEW
    assert raw[0x40000:0x4000C] == b"LFVBOARD\2\0\0\0"
    assert raw[0x40010:0x40020] == b"wle5".ljust(16, b"\0")
    assert raw[0x40020:0x40030] == file.uid + bytes(4)
    assert struct.unpack_from("<3I", raw, 0x40040) == CHIP.options
    assert raw[0x40810:0x40818] == NEW
    assert (raw[0x41000:0x41004], raw[0x49002]) == (b"\0\1\0\0", 1)
    assert (states_offset(CHIP), states_offset(CHIP, "otp")) == (0x41000, 0x49000)
    assert struct.unpack_from("<5I", raw, FLIGHT) == (0x4C46494E, 1, 24, 8, State.PROGRAMMED)
    assert raw[FLIGHT + 20 : FLIGHT + 28] == NEW
    assert struct.unpack_from("<I", raw, FLIGHT + 508)[0] == zlib.crc32(raw[FLIGHT + 4 : FLIGHT + 508])
    file.close()


def test_damaged_note_is_refused_and_holds_no_lock(tmp_path: Path) -> None:
    """The same sentence every time, also while the first refusal is still being handled."""
    file = _open(tmp_path / "b")
    _flash(file).begin_program(24, NEW)
    file.close()
    _poke(tmp_path / "b", FLIGHT + 8, b"\xaa")
    refusals = []
    for _ in range(2):
        with pytest.raises(JigError, match="damaged note") as caught:
            _open(tmp_path / "b")
        refusals.append(caught)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 400))
def test_kill_at_any_line_leaves_a_board(tmp_path_factory: pytest.TempPathFactory, line: int) -> None:
    """A process that dies between any two lines of programming or erasing leaves whole or torn words, never a mix."""
    path = tmp_path_factory.mktemp("kill") / "b"
    _open(path).close()
    child = os.fork()
    if child == 0:  # pragma: no cover - the child is killed
        _work_until(path, line)
        os._exit(0)
    os.waitpid(child, 0)
    file = _open(path)
    flash = _flash(file)
    for index in range(256):
        if flash.state(index) == State.PROGRAMMED:
            assert flash.read(index * 8, 8) == NEW
        elif flash.state(index) == State.ERASED:
            assert flash.read(index * 8, 8) == OLD
    assert len(flash.bad_cells()) in (0, 1, 256)
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

    flash = _flash(_open(path))
    sys.settrace(trace)  # type: ignore[arg-type]
    for _ in range(4):
        for index in range(3):
            _program(flash, index * 8, NEW)
        flash.begin_erase(0, 2048)
        flash.finish()


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
        debugger.board.silicon.flash.on_program.append(hook)
        debugger.unlock()
        debugger.program(0x08000000, bytes(range(1, 9)) * 256)
        """
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "b")], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    file = _open(tmp_path / "b")
    assert [_flash(file).state(i) for i in range(22)] == [State.PROGRAMMED] * 20 + [State.ERASED] * 2
    assert _flash(file).read(0, 176) == bytes(range(1, 9)) * 20 + b"\xff" * 16
    file.close()


def _poke(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
