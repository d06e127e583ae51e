"""lorafab/virtual/jig.py: a nest with a virtual board in it, which drivers reach like any other."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lorafab.drivers.label_reader import LabelReader
from lorafab.errors import ConfigError, JigError, StationBusy
from lorafab.interfaces import Jig
from lorafab.virtual import chips, registry
from lorafab.virtual.boardfile import BoardFile
from lorafab.virtual.faults import FaultPlan
from lorafab.virtual.jig import VirtualJig
from lorafab.virtual.registry import CHIP_VARIABLE, FAULTS_VARIABLE

LABELS = [f"LW:D0:00005EEF10000001:024C46420000000{number}:FFFF0000" for number in range(1, 4)]
Open = Callable[..., VirtualJig]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open a jig at a nest; closed after the test."""
    monkeypatch.delenv(registry.BOARD_VARIABLE, raising=False)
    monkeypatch.delenv(FAULTS_VARIABLE, raising=False)
    monkeypatch.delenv(CHIP_VARIABLE, raising=False)
    labels = iter(LABELS)
    with ExitStack() as stack:

        def open_one(site: str = "nest") -> VirtualJig:
            jig = VirtualJig(site, tmp_path / "boards", tmp_path / "ports" / "uart", lambda: next(labels))
            stack.callback(jig.close)
            return jig

        yield open_one


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Open) -> Path:
    """The board file that the environment names."""
    path = tmp_path / "mine" / "b1.board"
    monkeypatch.setenv(registry.BOARD_VARIABLE, str(path))
    return path


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "boards").glob("*.board"))


def test_it_is_a_jig(put: Open) -> None:
    """The line sees nothing but the interface: a board is in, the lid is down."""
    jig: Jig = put()
    assert jig.present()
    assert jig.lid_closed()


def test_without_a_name_each_run_gets_a_new_board(put: Open, tmp_path: Path) -> None:
    """Like the next one from the tray: a chip of its own, and the one before stays where it was."""
    chips = set()
    for _ in range(2):
        jig = put()
        board = registry.board_in("nest")
        assert board is not None
        chips.add(board.chip_id)
        jig.close()
    assert len(chips) == 2
    assert all(chip.startswith("4C465642") for chip in chips)
    assert len(files(tmp_path)) == 2


def test_a_named_board_is_the_same_each_time(put: Open, named: Path, tmp_path: Path) -> None:
    """Made when it is missing, folder included; no other one is made."""
    chips = set()
    for _ in range(2):
        jig = put()
        board = registry.board_in("nest")
        assert board is not None
        chips.add(board.chip_id)
        jig.close()
    assert len(chips) == 1
    assert named.exists()
    assert files(tmp_path) == []


def test_a_board_is_reached_by_its_nest_while_it_is_in(put: Open, tmp_path: Path) -> None:
    """Its probe and its port are there from opening to closing, and then nothing is left behind."""
    jig = put("left")
    assert "left" in registry.names()
    assert (tmp_path / "ports" / "uart").is_symlink()
    jig.close()
    assert "left" not in registry.names()
    assert not (tmp_path / "ports" / "uart").is_symlink()
    jig.close()


def test_power_reaches_the_board(put: Open) -> None:
    """It comes without, and closing the jig switches it off."""
    jig = put()
    board = registry.board_in("nest")
    assert board is not None
    assert not board.powered
    jig.power(True)
    assert board.powered
    jig.power(False)
    assert not board.powered
    jig.power(True)
    jig.close()
    assert not board.powered


def test_the_camera_sees_the_next_label_of_the_lot(put: Open) -> None:
    """It reads as any picture; a second look shows the same sticker."""
    jig = put()
    picture = jig.camera()
    assert LabelReader().decode(picture).text == LABELS[0]
    assert jig.camera() == picture


def test_a_sticker_stays_on_its_board(put: Open, named: Path) -> None:
    """The same board has it again in the next run; no second one is taken off the roll."""
    jig = put()
    first = jig.camera()
    jig.close()
    again = put()
    assert again.camera() == first
    again.close()
    file = BoardFile(named, chips.named(chips.DEFAULT))
    assert file.sticker == LABELS[0]
    file.close()


def test_a_new_board_gets_the_next_sticker(put: Open) -> None:
    """One label, one board."""
    texts = []
    for _ in range(2):
        jig = put()
        texts.append(LabelReader().decode(jig.camera()).text)
        jig.close()
    assert texts == LABELS[:2]


def test_a_board_that_nobody_looks_at_gets_no_sticker(put: Open, named: Path) -> None:
    """A label that was typed by hand does not cost one from the roll."""
    put().close()
    file = BoardFile(named, chips.named(chips.DEFAULT))
    assert file.sticker is None
    file.close()


def test_a_board_that_is_in_use_is_refused_and_named(put: Open, named: Path) -> None:
    """By this or any other process; the board in the nest stays."""
    put()
    with pytest.raises(StationBusy, match=r"b1\.board is in use"):
        put("other")
    assert registry.board_in("other") is None


def test_a_file_that_is_no_board_is_refused_unchanged(put: Open, named: Path) -> None:
    """Somebody's document is not overwritten."""
    named.parent.mkdir()
    named.write_text("my thesis")
    with pytest.raises(JigError, match=r"b1\.board is not a virtual board file"):
        put()
    assert named.read_text() == "my thesis"


def test_faults_come_from_the_environment(put: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The board in the nest has them."""
    monkeypatch.setenv(FAULTS_VARIABLE, "uart=silent; unplug@transfer:7")
    put()
    board = registry.board_in("nest")
    assert board is not None
    assert board.faults.plan == FaultPlan.parse("uart=silent; unplug@transfer:7")


def test_faults_come_from_a_file(put: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Named with an @ before it."""
    path = tmp_path / "faults.yaml"
    path.write_text("faults:\n- {fault: jig, value: open}\n")
    monkeypatch.setenv(FAULTS_VARIABLE, f"@{path}")
    assert not put().lid_closed()


@pytest.mark.parametrize("name", chips.names())
def test_the_chip_of_a_new_board_can_be_chosen(
    put: Open, named: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """By the short name of its profile; the board keeps it."""
    monkeypatch.setenv(CHIP_VARIABLE, name)
    put().close()
    monkeypatch.delenv(CHIP_VARIABLE)
    put()
    board = registry.board_in("nest")
    assert board is not None
    assert board.chip.name == name


def test_a_chip_that_is_not_known_is_refused(put: Open, named: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a file is made."""
    monkeypatch.setenv(CHIP_VARIABLE, "z80")
    with pytest.raises(ConfigError, match="no virtual board 'z80', wanted one of"):
        put()
    assert not named.exists()


def test_faults_that_the_chip_cannot_have_are_refused(put: Open, named: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a file is made."""
    monkeypatch.setenv(FAULTS_VARIABLE, "stuck_bit=0x20000000.0=1")
    with pytest.raises(ConfigError, match="an STM32WLE5JC does not program"):
        put()
    assert not named.exists()


@pytest.mark.parametrize(("fault", "present", "closed"), [("empty", False, True), ("open", True, False)])
def test_the_jig_itself_may_be_at_fault(
    put: Open, monkeypatch: pytest.MonkeyPatch, fault: str, present: bool, closed: bool
) -> None:
    """An empty nest, or a lid that somebody left open."""
    monkeypatch.setenv(FAULTS_VARIABLE, f"jig={fault}")
    jig = put()
    assert (jig.present(), jig.lid_closed()) == (present, closed)


def test_a_mistyped_fault_stops_before_a_board_is_made(
    put: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A fault that is quietly ignored would prove nothing."""
    monkeypatch.setenv(FAULTS_VARIABLE, "uart=off")
    with pytest.raises(ConfigError, match="use silent, drop, garbage or noisy"):
        put()
    assert files(tmp_path) == []
    assert registry.names() == ()
