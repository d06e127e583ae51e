"""lorafab.run.run: each source of DevEUIs, from the label to the record, on a fake board with real stores."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from lorafab.domain.record import RunRecord
from lorafab.errors import BoundElsewhere, LabelRefused, WrongChip
from lorafab.run.recording import make_record, recover
from lorafab.run.run import Run
from lorafab.run.session import Session
from lorafab.run.station import Options
from lorafab.stores.records import RecordStore
from tests_unit.fakes import FakeBoard
from tests_unit.stations import fake_station

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
CHIP, OTHER = "4C4656420102030405060708", "4C4656420102030405060799"
EUI, OTHER_EUI = 0x0080E115_05060708, 0x0080E115_05060799


def begun(data: Path, lot: str, label: str, board: FakeBoard | None = None, name: str = "run-1") -> Run:
    """A run at a station with this lot and label."""
    run = Run(fake_station(data, board, Options(label=label, operator="Eve"), lot), name, NOW)
    run.begin()
    return run


def claimed(data: Path, lot: str, label: str, board: FakeBoard | None = None, name: str = "run-1") -> Run:
    """A run that has claimed the identity, and was then left."""
    run = begun(data, lot, label, board, name)
    _ = run.assignment
    run.records.append(make_record(run, NOW))
    run.leave()
    return run


@pytest.mark.parametrize(
    ("lot", "label", "dev_eui", "serial"),
    [
        ("demo", "LW:D0:00005EEF10000001:024C464200000003:FFFF0000:SLF00000003", "024C464200000003", "LF00000003"),
        ("demo", "024C464200000003", "024C464200000003", ""),
        ("demo-range", "LR00000003/4726", "024C464200010003", "LR00000003"),
        ("demo-range", "LR00000003", "024C464200010003", "LR00000003"),
        ("demo-range", "02-4c-46-42-00-01-00-03", "024C464200010003", "LR00000003"),
        ("demo-chip", "LC00000003", f"{EUI:016X}", "LC00000003"),
        ("demo-chip", f"{EUI:016X}", f"{EUI:016X}", ""),
    ],
)
def test_every_source_leads_to_one_identity(tmp_path: Path, lot: str, label: str, dev_eui: str, serial: str) -> None:
    """Claimed, and in the record, the journal and the block that will be written."""
    run = begun(tmp_path, lot, label)
    written = run.assignment.to_write
    assert written is not None
    assert (str(written.dev_eui), written.serial) == (dev_eui, serial)
    claim = run.station.ledger.find(dev_eui)
    assert claim is not None
    assert (claim["serial"], claim["lot"], claim["chip_id"]) == (serial, lot, CHIP)
    record = make_record(run, NOW)
    assert (record.dev_eui, record.serial) == (dev_eui, serial or None)
    assert run.facts.shown.split() == [dev_eui, serial] if serial else [dev_eui]
    run.leave()
    [interrupted] = [found.record for found in recover(run.station, run.records) if found.record]
    assert (interrupted.dev_eui, interrupted.serial) == (dev_eui, serial or None)


def test_before_the_chip_is_read_the_run_has_no_dev_eui(tmp_path: Path) -> None:
    """The last line shows a dash, the screen the serial; a killed run of that moment is kept without one."""
    run = begun(tmp_path, "demo-chip", "LC00000003")
    session = Session()
    session.run = run
    _ = run.label
    assert session.last_line().split()[2] == "-"
    assert run.facts.shown == "LC00000003"
    _ = run.chip
    assert session.last_line().split()[2] == f"{EUI:016X}"
    run.leave()
    early = begun(tmp_path / "other", "demo-chip", "LC00000003")
    _ = early.label
    early.leave()
    [record] = [found.record for found in recover(early.station, early.records) if found.record]
    assert (record.dev_eui, record.serial, record.label) == (None, "LC00000003", "LC00000003")


def test_a_chips_second_run_is_its_second_attempt(tmp_path: Path) -> None:
    """Counted when the chip has said who it is."""
    claimed(tmp_path, "demo-chip", "LC00000003")
    again = claimed(tmp_path, "demo-chip", "LC00000003", name="run-2")
    assert again.attempt == 2
    assert [record.attempt for record in RecordStore(tmp_path).attempts(again.assignment.dev_eui)] == [1, 2]


def test_the_serial_alone_names_a_board_whose_label_was_scanned_before(tmp_path: Path) -> None:
    """Typed by hand, because the sticker is torn: the label stays what it was."""
    first = claimed(tmp_path, "demo-range", "LR00000003/4726")
    for number, typed in enumerate(("LR00000003", "024C464200010003")):
        again = claimed(tmp_path, "demo-range", typed, name=f"again-{number}")
        claim = again.station.ledger.find("024C464200010003")
        assert claim is not None
        assert claim["label"] == first.label.text_redacted


def refused(tmp_path: Path, label: str, board: FakeBoard | None = None) -> str:
    run = begun(tmp_path, "demo-chip", label, board, "refused")
    with pytest.raises(BoundElsewhere) as caught:
        _ = run.assignment
    run.leave()
    return str(caught.value)


def test_another_label_on_the_same_chip_is_refused(tmp_path: Path) -> None:
    """A serial alone does not stand for whatever label the chip had before."""
    claimed(tmp_path, "demo-chip", "LC00000003")
    said = refused(tmp_path, "LC00000004")
    assert "carries label LC00000003 since run run-1, but label LC00000004 was scanned" in said


def test_the_same_serial_on_another_chip_is_refused(tmp_path: Path) -> None:
    """Two boards, one label: the second one is set aside, and its chip stays free."""
    claimed(tmp_path, "demo-chip", "LC00000003")
    other = FakeBoard(chip_id=OTHER, factory_eui=OTHER_EUI)
    said = refused(tmp_path, "LC00000003", other)
    assert f"label LC00000003 belongs to DevEUI {EUI:016X}" in said
    assert "since run run-1" in said
    run = claimed(tmp_path, "demo-chip", "LC00000004", other, "run-2")
    assert run.assignment.dev_eui.value == OTHER_EUI


def test_two_chips_that_say_the_same_are_told_apart(tmp_path: Path) -> None:
    """The maker's number is unique; where it is not, the second chip is refused and the first one named."""
    claimed(tmp_path, "demo-chip", "LC00000003")
    assert CHIP in refused(tmp_path, "LC00000003", FakeBoard(chip_id=OTHER))


@pytest.mark.parametrize(
    ("label", "eui", "error", "sentence"),
    [
        (
            "LC00000003",
            0x0080E115_FFFFFFFF,
            WrongChip,
            "the chip's maker gave it no EUI-64 (its number reads all ones)",
        ),
        (
            "LC00000003",
            0x0080E126_05060708,
            WrongChip,
            "the chip's own EUI-64 is 0080E12605060708, wanted one that beg",
        ),
        (
            f"{OTHER_EUI:016X}",
            EUI,
            BoundElsewhere,
            "the label names DevEUI 0080E11505060799, but the chip under it has",
        ),
    ],
)
def test_a_chip_that_cannot_be_this_board_is_refused_before_anything_is_claimed(
    tmp_path: Path, label: str, eui: int, error: type[Exception], sentence: str
) -> None:
    """FAIL, and the ledger stays as empty as it was."""
    run = begun(tmp_path, "demo-chip", label, FakeBoard(factory_eui=eui))
    with pytest.raises(error) as caught:
        _ = run.chip
    assert str(caught.value).startswith(sentence)
    assert run.station.ledger.is_empty
    run.leave()


@pytest.mark.parametrize("lot", ["demo", "demo-range", "demo-chip"])
def test_a_label_of_another_lot_powers_nothing(tmp_path: Path, lot: str) -> None:
    """The board may be good: it is in the wrong box."""
    for other, label in (("demo", "024C464200000003"), ("demo-range", "LR00000003/4726"), ("demo-chip", "LC00000003")):
        if other == lot:
            continue
        board = FakeBoard()
        run = begun(tmp_path, lot, label, board, f"{lot}-{other}")
        with pytest.raises(LabelRefused):
            _ = run.label
        assert not board.powered
        record: RunRecord = make_record(run, NOW)
        assert record.chip_id is None
        run.leave()
