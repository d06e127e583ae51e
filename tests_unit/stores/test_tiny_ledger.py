"""The TinyDB ledger beyond the contract: one fsync a change, and files that are held against each other."""

import os
import shutil
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import orjson
import pytest

from lorafab.domain.identity import Eui64
from lorafab.drivers.clock import SystemClock
from lorafab.errors import BoundElsewhere, LedgerError
from lorafab.interfaces import ClaimRequest, Clock, SealedKey
from lorafab.stores.records import RecordStore
from lorafab.stores.tiny_ledger import TinyLedger
from tests_unit.stores.conftest import request_for, sealed
from tests_unit.stores.test_ledger import to_passed
from tests_unit.stores.test_records import record

Ask = Callable[..., ClaimRequest]
Key = Callable[..., SealedKey]
BOARDS = 5


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def tiny(data: Path, clock: Clock) -> TinyLedger:
    return TinyLedger.create(data, clock)


@pytest.fixture
def filled(data: Path, tiny: TinyLedger, clock: Clock) -> Path:
    """The folder of a ledger with some boards, all of it in the view but the last entry."""
    for n in range(1, BOARDS + 1):
        to_passed(tiny, request_for(n), sealed(n))
    tiny.note_printed("demo", 9, reason="sheet", operator="Eve")
    assert tiny.check() == []
    tiny.note_nonce(request_for(1).dev_eui, 1, "r1")
    return data / "ledger"


def test_a_ledger_is_made_by_the_newcomers_station_only_once(data: Path, clock: Clock) -> None:
    """Silently, and opened from then on."""
    first = TinyLedger.open_or_create(data, clock)
    assert TinyLedger.open_or_create(data, clock).ledger_id == first.ledger_id


def test_a_history_without_its_ledger_file_is_not_started_over(data: Path, filled: Path, clock: Clock) -> None:
    """An empty second ledger over an old history would give identities away twice."""
    for lost in ("ledger.json", "history.jsonl"):
        (filled / lost).unlink()
        for make in (TinyLedger.create, TinyLedger.open_or_create):
            with pytest.raises(LedgerError, match=r"holds boards but no ledger\.json"):
                make(data, clock)


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"schema_version":"lorafab.ledger/9"}', b"[1]", b"\xff"])
def test_a_damaged_ledger_file_is_named(data: Path, filled: Path, clock: Clock, damage: bytes) -> None:
    """So is one of another version."""
    (filled / "ledger.json").write_bytes(damage)
    with pytest.raises(LedgerError, match=r"ledger\.json is damaged or of another version"):
        TinyLedger.open(data, clock)


def test_each_change_is_one_fsync(tiny: TinyLedger, ask: Ask, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow flash takes 10 ms for each, and a board has six."""
    count = 0
    real = os.fsync

    def fsync(fd: int) -> None:
        nonlocal count
        count += 1
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    to_passed(tiny, ask(1), key(1), key(1, "nwkkey"))
    tiny.note_nonce(ask(1).dev_eui, 1, "r1")
    tiny.claim(ask(1, run="r2"))
    tiny.move(ask(1).dev_eui, "scrapped", reason="x", operator="Eve")
    assert count == 7
    tiny.close()
    assert count == 7  # too few to be worth a checkpoint


def entries_in_view(folder: Path) -> int:
    """How much of the history the files have."""
    seq: int = orjson.loads((folder / "view" / "checkpoint.json").read_bytes())["seq"]
    return seq


def test_the_view_follows_at_the_end_of_a_run(data: Path, tiny: TinyLedger, clock: Clock, ask: Ask, key: Key) -> None:
    """When there is something to do; a process that never closes does it before it has too much to read."""
    for n in range(1, 4):
        to_passed(tiny, ask(n), key(n))
    assert entries_in_view(data / "ledger") == 0
    tiny.close()
    assert entries_in_view(data / "ledger") == 12
    for n in range(4, 40):
        tiny.claim(ask(n))
    assert 12 < entries_in_view(data / "ledger") < 48
    assert {found["dev_eui"] for found in TinyLedger.open(data, clock).all_claims()} == {
        str(ask(n).dev_eui) for n in range(1, 40)
    }
    assert tiny.check() == []


def test_a_run_that_ends_on_a_full_disk_has_lost_nothing(
    data: Path, tiny: TinyLedger, clock: Clock, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoint fails in silence, after PASS was shown; what it did is in the history."""

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    for n in range(1, 14):
        tiny.claim(ask(n))
    monkeypatch.setattr(os, "fsync", full)
    tiny.close()
    monkeypatch.undo()
    assert entries_in_view(data / "ledger") == 0
    assert sum(1 for _ in TinyLedger.open(data, clock).documents()) == 13


def test_what_another_process_did_is_seen_at_once(data: Path, tiny: TinyLedger, clock: Clock, ask: Ask) -> None:
    """Before its checkpoint, after it, and across several of them."""
    other = TinyLedger.open(data, clock)
    for n in range(1, 100):
        (tiny, other)[n % 2].claim(ask(n))
        assert (other, tiny)[n % 2].is_used(ask(n).dev_eui)
        with pytest.raises(BoundElsewhere):
            (other, tiny)[n % 2].claim(ask(1000 + n, chip_id=ask(n).chip_id))
        if n % 40 == 0:
            other.close()
    assert tiny.head() == other.head()
    assert tiny.check() == other.check() == []


def test_a_kill_in_a_checkpoint_is_made_good_by_the_next(
    data: Path, tiny: TinyLedger, clock: Clock, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever part of the files it had replaced: nobody reads them before the checkpoint says so."""
    for n in range(1, 13):
        tiny.claim(ask(n))
    real, left = os.replace, 0

    def replace(*paths: Path) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        real(*paths)

    for stop_after in (0, 1, 10, 20, 8, 12):
        monkeypatch.setattr(os, "replace", replace)
        left = stop_after
        with pytest.raises(KeyboardInterrupt):
            TinyLedger.open(data, clock).check()
        monkeypatch.setattr(os, "replace", real)
        again = TinyLedger.open(data, clock, read_only=True)
        assert again.check() == []
        assert {found["chip_id"] for found in again.all_claims()} == {ask(n).chip_id for n in range(1, 13)}
        with pytest.raises(BoundElsewhere):
            TinyLedger.open(data, clock).claim(ask(99, chip_id=ask(12).chip_id))
    assert TinyLedger.open(data, clock).check() == []
    assert not list(data.rglob("*.tmp"))


# What is missing or does not belong


def test_a_lost_end_of_the_history_is_found_before_anything_is_written_on_it(
    data: Path, filled: Path, clock: Clock
) -> None:
    """The view knows how far the history went."""
    history = filled / "history.jsonl"
    lines = history.read_bytes().splitlines(keepends=True)
    for kept in (b"".join(lines[:-3]), b""):
        history.write_bytes(kept)
        with pytest.raises(LedgerError, match="the end of the history is lost; stop, and restore"):
            TinyLedger.open(data, clock)
        assert any("which is not in the history" in text for text in TinyLedger.open(data, clock, True).check())
        assert history.read_bytes() == kept


def test_another_end_of_the_same_length_is_no_end(data: Path, filled: Path, clock: Clock) -> None:
    """Entries after the checkpoint are chained to it."""
    history = filled / "history.jsonl"
    lines = history.read_bytes().splitlines(keepends=True)
    history.write_bytes(b"".join([*lines[:-1], lines[-2]]))
    with pytest.raises(LedgerError, match=r"entry \d+ does not follow entry \d+; stop, keep a copy"):
        TinyLedger.open(data, clock)


def test_an_entry_of_a_fork_is_no_end(tmp_path: Path, data: Path, filled: Path, clock: Clock, ask: Ask) -> None:
    """The same ledger restored elsewhere went another way: its entries are genuine and numbered right."""
    shutil.copytree(data, tmp_path / "fork")
    here, there = TinyLedger.open(data, clock), TinyLedger.open(tmp_path / "fork", clock)
    here.claim(ask(11))
    there.claim(ask(12))
    there.claim(ask(13))
    last = (tmp_path / "fork" / "ledger" / "history.jsonl").read_bytes().splitlines(keepends=True)[-1]
    with (filled / "history.jsonl").open("ab") as file:
        file.write(last)
    with pytest.raises(LedgerError, match=r"entry \d+ does not follow entry \d+"):
        TinyLedger.open(data, clock)


@pytest.mark.parametrize("wrong", [b'"Bob"', b'"E\0e"'], ids=["changed", "one NUL"])
def test_a_whole_last_line_that_is_damaged_is_refused_not_cut(
    data: Path, filled: Path, clock: Clock, wrong: bytes
) -> None:
    """It was acknowledged: no crash does that."""
    history = filled / "history.jsonl"
    head, last = history.read_bytes().rsplit(b"\n", 2)[:2]
    damaged = head + b"\n" + last.replace(b'"Eve"', wrong) + b"\n"
    history.write_bytes(damaged)
    with pytest.raises(LedgerError, match="restore it from the backup"):
        TinyLedger.open(data, clock)
    assert history.read_bytes() == damaged


def test_a_last_line_whose_newline_was_changed_is_refused_not_cut(data: Path, filled: Path, clock: Clock) -> None:
    """A crash leaves nothing there, or NUL; with those the whole entry is kept."""
    history = filled / "history.jsonl"
    whole = history.read_bytes()
    history.write_bytes(whole[:-1] + b"\x0b")
    with pytest.raises(LedgerError, match="the newline of the last entry was changed"):
        TinyLedger.open(data, clock)
    for torn in (whole[:-1], whole[:-1] + b"\0", whole[:-1] + b"\0" * 700):
        history.write_bytes(torn)
        ledger = TinyLedger.open(data, clock)
        assert history.read_bytes() == whole
        found = ledger.find(str(request_for(1).dev_eui))
        assert found is not None
        assert found["dev_nonce"] == 1


@pytest.mark.parametrize("lost", ["", "claims", "index", "lots", "checkpoint.json"])
def test_a_lost_view_is_not_an_empty_one(data: Path, filled: Path, clock: Clock, ask: Ask, lost: str) -> None:
    """Nothing is claimed on it; it can be made again from the history."""
    path = filled / "view" / lost
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(LedgerError, match=r"is missing.*`lorafab ledger check --rebuild`"):
        TinyLedger.open(data, clock)
    assert TinyLedger.open(data, clock, read_only=True).check() != []
    ledger = TinyLedger.rebuild(data, clock)
    assert ledger.check() == []
    assert sum(1 for _ in ledger.documents()) == BOARDS


def test_a_lost_file_of_claims_gives_nothing_away_twice(data: Path, filled: Path, clock: Clock, ask: Ask) -> None:
    """The index still knows the board."""
    for path in (filled / "view" / "claims").iterdir():
        if str(ask(2).dev_eui).encode() in path.read_bytes():
            path.unlink()
    ledger = TinyLedger.open(data, clock)
    with pytest.raises(LedgerError, match="a file was lost"):
        ledger.claim(ask(2, run="r2"))
    assert any("missing from the view" in text for text in ledger.check())


# Making the view again


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_rebuilt_view_is_the_same_to_the_byte(data: Path, filled: Path, clock: Clock, ask: Ask) -> None:
    """Also after a repair, which leaves stale index entries behind."""
    ledger = TinyLedger.open(data, clock)
    ledger.rebind(ask(2).dev_eui, label="new", chip_id="BEEF", reason="x", operator="Eve", run="")
    ledger.claim(ask(8, chip_id=ask(2).chip_id))
    assert ledger.check() == []
    kept = snapshot(filled)
    shutil.rmtree(filled / "view" / "index")
    next((filled / "view" / "claims").iterdir()).write_bytes(b"{")
    assert TinyLedger.rebuild(data, clock).check() == []
    assert snapshot(filled) == kept


def test_nothing_is_rebuilt_from_a_damaged_history(data: Path, filled: Path, clock: Clock) -> None:
    """An entry that was changed, and an end that the view or a record knows to be lost; the files stay."""
    history = filled / "history.jsonl"
    whole = history.read_bytes()
    changed = whole.replace(b'"Eve"', b'"Bob"', 1)
    cut = b"".join(whole.splitlines(keepends=True)[:-3])
    head = TinyLedger.open(data, clock).head()
    for damage, sentence in ((changed, "was changed after it was written"), (cut, "it lacks entry")):
        history.write_bytes(damage)
        kept = snapshot(filled)
        with pytest.raises(LedgerError, match=f"{sentence}.*restore the history from the backup first"):
            TinyLedger.rebuild(data, clock)
        assert snapshot(filled) == kept
    history.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    RecordStore(data).append(record("R1", ledger_head=head))
    with pytest.raises(LedgerError, match="record of run R1 names ledger head"):
        TinyLedger.rebuild(data, clock)


@pytest.mark.parametrize("call", ["rename", "sync"])
def test_a_rebuild_that_stops_halfway_is_started_again(
    data: Path, filled: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The old view stands, or none does and the ledger says so."""
    real = getattr(os, call)
    for before in (0, 1):
        left = before

        def stop(*arguments: Path) -> None:
            nonlocal left
            if not left:
                raise KeyboardInterrupt
            left -= 1
            real(*arguments)

        monkeypatch.setattr(os, call, stop)
        if call == "rename" or not before:
            with pytest.raises(KeyboardInterrupt):
                TinyLedger.rebuild(data, clock)
        monkeypatch.setattr(os, call, real)
        if (filled / "view").exists():
            assert TinyLedger.open(data, clock).check() == []
        else:
            with pytest.raises(LedgerError, match="--rebuild"):
                TinyLedger.open(data, clock)
    assert TinyLedger.rebuild(data, clock).check() == []
    assert not [path for path in filled.iterdir() if path.name.startswith("view.")]


# Several processes


def _fight(folder: Path, worker: int, boards: int) -> list[tuple[int, str]]:
    """Claim every label with a chip of my own; return the outcome for each."""
    ledger = TinyLedger.open(folder, SystemClock())
    outcomes = []
    for n in range(boards):
        request = ClaimRequest(
            Eui64(0x1000 + n), Eui64(1), "", f"label {n}", f"chip {n} of {worker}", "lot", f"w{worker}", "A", "x"
        )
        try:
            outcomes.append((n, f"{ledger.claim(request).attempts}"))
        except BoundElsewhere:
            outcomes.append((n, "refused"))
    ledger.close()
    return outcomes


@pytest.mark.slow
def test_four_processes_get_each_label_exactly_once(tmp_path: Path) -> None:
    """Everyone else is refused, and the ledger is sound afterwards."""
    ledger = TinyLedger.create(tmp_path, SystemClock())
    with get_context("spawn").Pool(4) as pool:
        results = pool.starmap(_fight, [(tmp_path, worker, 40) for worker in range(4)], chunksize=1)
    outcomes = [outcome for result in results for outcome in result]
    assert len(outcomes) == 160
    for n in range(40):
        assert sorted(text for m, text in outcomes if m == n) == ["1", "refused", "refused", "refused"]
    assert ledger.check() == []
    assert len(list(ledger.all_claims())) == 40
