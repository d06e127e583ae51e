"""A record is kept once, whole, and for ever."""

import os
from pathlib import Path
from typing import Any

import pytest

from lorafab.domain.identity import Eui64
from lorafab.domain.record import MeasurementRecord, RunRecord, StepRecord
from lorafab.errors import RecordError
from lorafab.stores.records import RecordStore

BOARD = "70B3D5499A000001"


def record(run: str, dev_eui: str | None = BOARD, **other: Any) -> RunRecord:
    fields: dict[str, Any] = dict.fromkeys(
        ("label", "serial", "join_eui", "chip_id", "keys", "picture", "image_file", "image_version", "image_sha256")
    )
    fields |= dict.fromkeys(
        ("start", "end", "station", "site", "operator", "lot", "product", "plan_sha256", "config_sha256"), "x"
    )
    fields |= {"lorafab_version": "0", "lorafab_commit": "-", "attempt": 1, "steps": (), "transcript": ("> hi",)}
    fields |= {"permits": (), "verdict": "PASS", "code": "", "cause": "", "ledger_head": None, "report_file": None}
    return RunRecord(**(fields | {"run": run, "dev_eui": dev_eui} | other))


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path)


def test_what_is_kept_is_read_back_equal(tmp_path: Path, store: RecordStore) -> None:
    """By run, by board, and among all; a run without DevEUI has its own place."""
    one, two, alone = record("R1"), record("R2", attempt=2), record("R3", dev_eui=None)
    for kept in (one, two, alone):
        assert store.append(kept)
    assert RecordStore(tmp_path).get("R2") == two
    assert store.get("R3") == alone
    assert store.get("R4") is None
    assert store.get("R2", BOARD) == two
    assert store.get("R3", BOARD) == alone
    assert store.get("R2", "0000000000000002") is None
    assert store.attempts(Eui64.parse(BOARD)) == [one, two]
    assert store.attempts(Eui64(5)) == []
    assert list(store.all_runs()) == [one, two, alone]
    assert (tmp_path / "records" / f"{BOARD}.json").exists()
    assert (tmp_path / "records" / "unidentified" / "R3.json").exists()


def test_a_repeated_commit_adds_nothing(store: RecordStore) -> None:
    """The first record of a run stays, also when the second has or lacks the DevEUI."""
    assert store.append(record("R1"))
    assert not store.append(record("R1"))
    assert not store.append(record("R1", verdict="INTERRUPTED", code="INT"))
    assert store.append(record("R2", dev_eui=None))
    assert not store.append(record("R2"))
    assert [kept.run for kept in store.all_runs()] == ["R1", "R2"]
    found = store.get("R1")
    assert found is not None
    assert found.verdict == "PASS"


def test_a_value_that_json_lacks_is_not_lost(store: RecordStore) -> None:
    """NaN failed as NaN, and its record must not read as if nothing had been measured."""
    measured = MeasurementRecord(
        name="i", unit="uA", low=0.4, high=2.5, equals=None, value=float("nan"), outcome="fail", why=""
    )
    step = StepRecord(test="t", title="T", outcome="fail", seconds=0.1, sentence="", code="", measurements=(measured,))
    store.append(record("R1", steps=(step,)))
    found = store.get("R1")
    assert found is not None
    assert found.steps[0].measurements[0].value == "nan"


@pytest.mark.parametrize("run", ["", "../x", "a/b", "a" * 65, "ä", "a b", ".", "R1\n"])
def test_a_run_id_that_is_a_path_is_refused(store: RecordStore, run: str) -> None:
    """In every place where one comes in."""
    for act in (
        lambda: store.append(record(run)),
        lambda: store.append(record(run, dev_eui=None)),
        lambda: store.get(run),
        lambda: store.save_picture(run, b"\xff\xd8\xff"),
        lambda: store.picture_path(f"{run}.png"),
    ):
        with pytest.raises(RecordError, match="is no run id"):
            act()


@pytest.mark.parametrize("dev_eui", ["", "../../x", "70B3", "Z" * 16])
def test_a_deveui_that_is_a_path_is_refused(tmp_path: Path, store: RecordStore, dev_eui: str) -> None:
    """A label's text never becomes a file name."""
    with pytest.raises(RecordError, match="no DevEUI"):
        store.append(record("R1", dev_eui=dev_eui))
    assert not list(tmp_path.rglob("*.json"))


def test_a_damaged_file_is_named_and_left(tmp_path: Path, store: RecordStore) -> None:
    """Neither reading nor adding empties it, and other boards go on."""
    store.append(record("R1"))
    path = tmp_path / "records" / f"{BOARD}.json"
    for damage in (path.read_bytes()[:-5], b"", path.read_bytes().replace(b'"verdict"', b'"verdikt"')):
        path.write_bytes(damage)
        with pytest.raises(RecordError, match=BOARD):
            store.attempts(Eui64.parse(BOARD))
        with pytest.raises(RecordError, match=BOARD):
            list(store.all_runs())
    path.write_bytes(b"{")
    with pytest.raises(RecordError, match=r"damaged.*restore it from the backup"):
        store.append(record("R2"))
    assert path.read_bytes() == b"{"
    assert store.append(record("R3", dev_eui="0000000000000002"))


def test_a_full_disk_keeps_the_earlier_attempts(store: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence asks for space, and the record can be kept afterwards."""
    store.append(record("R1"))

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordError, match="free space"):
        store.append(record("R2"))
    monkeypatch.undo()
    assert [kept.run for kept in store.all_runs()] == ["R1"]
    assert store.append(record("R2"))


def test_a_picture_is_kept_with_its_digest(tmp_path: Path, store: RecordStore) -> None:
    """Named by the run and by what it is; anything else is refused."""
    store.prepare()
    name, digest = store.save_picture("R1", b"\x89PNG\r\n\x1a\n...")
    assert (name, len(digest)) == ("R1.png", 64)
    assert store.picture_path(name) == tmp_path / "records" / "pictures" / "R1.png"
    assert store.picture_path(name).read_bytes().startswith(b"\x89PNG")
    assert store.save_picture("R2", b"\xff\xd8\xff\xe0")[0] == "R2.jpg"
    with pytest.raises(RecordError, match="neither PNG nor JPEG"):
        store.save_picture("R3", b"GIF89a")
    with pytest.raises(RecordError, match="no picture's name"):
        store.picture_path("R1.exe")


def test_one_damaged_file_hides_no_other_from_an_examination(tmp_path: Path, store: RecordStore) -> None:
    """It is one sentence among the records."""
    for n in (1, 2, 3):
        store.append(record(f"R{n}", dev_eui=f"{n:016X}"))
    (tmp_path / "records" / f"{2:016X}.json").write_bytes(b"{")
    first, problem, third = store.examine()
    assert (first, third) == (store.get("R1"), store.get("R3", f"{3:016X}"))
    assert f"{2:016X}.json is damaged" in str(problem)
