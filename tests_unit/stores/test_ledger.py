"""The ledger's promises: one identity, one label, one chip, and nothing is forgotten."""

import os
import shutil
import tempfile
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lorafab.domain.identity import Eui64
from lorafab.drivers.clock import SystemClock
from lorafab.errors import BoundElsewhere, ForeignIdentity, LedgerError, NvmDamaged
from lorafab.interfaces import ClaimRequest, Clock, Generation, Ledger, SealedKey
from lorafab.stores.tiny_ledger import TinyLedger

Ask = Callable[..., ClaimRequest]
Key = Callable[[int], SealedKey]


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> TinyLedger:
    return TinyLedger.create(tmp_path, clock)


def to_passed(ledger: TinyLedger, request: ClaimRequest, key: SealedKey) -> None:
    ledger.claim(request)
    ledger.add_key(request.dev_eui, 1, key, request.run)
    ledger.mark_written(request.dev_eui, 1, request.run)
    ledger.mark_passed(request.dev_eui, 1, request.run)


def test_it_is_a_ledger(ledger: TinyLedger) -> None:
    """The line sees nothing but the interface."""
    interface: Ledger = ledger
    assert interface.head() == ledger.head()


# Making and opening


def test_a_missing_ledger_is_not_created_silently(tmp_path: Path, clock: Clock) -> None:
    """The sentence says how to start one, and nothing is made."""
    with pytest.raises(LedgerError, match="`lorafab ledger init`"):
        TinyLedger.open(tmp_path, clock)
    assert os.listdir(tmp_path) == []


def test_a_second_ledger_in_one_place_is_refused(tmp_path: Path, clock: Clock) -> None:
    """The first one stays, with its id."""
    first = TinyLedger.create(tmp_path, clock)
    with pytest.raises(LedgerError, match="already holds a ledger"):
        TinyLedger.create(tmp_path, clock)
    assert TinyLedger.open(tmp_path, clock).ledger_id == first.ledger_id
    assert TinyLedger.open_or_create(tmp_path, clock).ledger_id == first.ledger_id


def test_every_ledger_has_its_own_id_and_chain(tmp_path: Path, clock: Clock) -> None:
    """Two empty ledgers differ in id and in head."""
    one, two = TinyLedger.create(tmp_path / "1", clock), TinyLedger.open_or_create(tmp_path / "2", clock)
    assert one.ledger_id != two.ledger_id
    assert one.head() != two.head()
    assert len(one.head()) == 64


def test_a_history_without_its_ledger_file_is_not_started_over(tmp_path: Path, clock: Clock, ask: Ask) -> None:
    """An empty second ledger over an old history would give identities away twice."""
    TinyLedger.create(tmp_path, clock).claim(ask(1))
    (tmp_path / "ledger" / "ledger.json").unlink()
    with pytest.raises(LedgerError, match="restore the ledger"):
        TinyLedger.create(tmp_path, clock)
    with pytest.raises(LedgerError, match="restore the ledger"):
        TinyLedger.open_or_create(tmp_path, clock)


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"schema_version":"lorafab.ledger/9"}', b"[1]"])
def test_a_damaged_ledger_file_is_named(tmp_path: Path, clock: Clock, damage: bytes) -> None:
    """So is one of another version."""
    TinyLedger.create(tmp_path, clock)
    (tmp_path / "ledger" / "ledger.json").write_bytes(damage)
    with pytest.raises(LedgerError, match=r"ledger\.json is damaged or of another version"):
        TinyLedger.open(tmp_path, clock)


def test_a_reader_changes_nothing(tmp_path: Path, clock: Clock, ask: Ask) -> None:
    """Read-only: every question works, every change is refused."""
    TinyLedger.create(tmp_path, clock).claim(ask(1))
    reader = TinyLedger.open(tmp_path, clock, read_only=True)
    assert reader.is_used(ask(1).dev_eui)
    assert reader.check() == []
    with pytest.raises(LedgerError, match="reading only"):
        reader.claim(ask(2))


# Claims


def test_a_claim_is_there_for_the_next_process(tmp_path: Path, clock: Clock, ask: Ask, ledger: TinyLedger) -> None:
    """By DevEUI, label, serial and chip id."""
    claim = ledger.claim(ask(1))
    assert (claim.state, claim.attempts, claim.generations, claim.proven, claim.dev_nonce) == (
        "reserved",
        1,
        (),
        None,
        None,
    )
    again = TinyLedger.open(tmp_path, clock)
    for name in (str(ask(1).dev_eui), str(ask(1).dev_eui).lower(), ask(1).label, ask(1).serial, ask(1).chip_id):
        found = again.find(name)
        assert found is not None
        assert found["dev_eui"] == str(ask(1).dev_eui)
    assert again.find("no such thing") is None
    assert not again.is_used(ask(2).dev_eui)


def test_rework_of_the_same_pair_keeps_the_identity_and_counts(ledger: TinyLedger, ask: Ask, key: Key) -> None:
    """A passed board stays proven, but is no longer passed until it passes again: it must not be exported meanwhile."""
    to_passed(ledger, ask(1), key(1))
    claim = ledger.claim(ask(1, run="r2"))
    assert (claim.attempts, claim.state, claim.proven) == (2, "written", 1)
    assert [made.number for made in claim.generations] == [1]
    claim = ledger.mark_written(claim.dev_eui, 1, "r2")
    assert (claim.state, claim.proven) == ("written", 1)


def test_one_run_is_one_attempt(ledger: TinyLedger, ask: Ask) -> None:
    """A claim repeated by its run changes nothing, not even the history."""
    ledger.claim(ask(1))
    head = ledger.head()
    assert ledger.claim(ask(1)).attempts == 1
    assert ledger.head() == head


def test_the_same_label_on_another_chip_is_refused(ledger: TinyLedger, ask: Ask) -> None:
    """The sentence names DevEUI, earlier chip, earlier run and the way out."""
    ledger.claim(ask(1))
    with pytest.raises(BoundElsewhere) as caught:
        ledger.claim(ask(1, run="r2", chip_id="DEAD"))
    for part in (str(ask(1).dev_eui), ask(1).chip_id, "run r1", "chip DEAD", "`lorafab ledger rebind`"):
        assert part in str(caught.value)


def test_another_label_on_the_same_chip_is_refused(ledger: TinyLedger, ask: Ask) -> None:
    """The sentence names the earlier DevEUI, label and run; the second identity stays free."""
    ledger.claim(ask(1))
    with pytest.raises(BoundElsewhere) as caught:
        ledger.claim(ask(2, run="r2", chip_id=ask(1).chip_id))
    for part in (str(ask(1).dev_eui), ask(1).label, "run r1", str(ask(2).dev_eui), "`lorafab ledger rebind`"):
        assert part in str(caught.value)
    assert not ledger.is_used(ask(2).dev_eui)


@pytest.mark.parametrize("field", ["label", "serial"])
def test_label_and_serial_belong_to_one_identity(ledger: TinyLedger, ask: Ask, field: str) -> None:
    """Also where the DevEUI does not come from the label."""
    ledger.claim(ask(1))
    with pytest.raises(BoundElsewhere, match=f"{field} .* belongs to DevEUI {ask(1).dev_eui}"):
        ledger.claim(ask(2, run="r2", **{field: getattr(ask(1), field)}))


def test_one_deveui_under_two_labels_is_refused(ledger: TinyLedger, ask: Ask) -> None:
    """Another label text with the DevEUI of a claimed board."""
    ledger.claim(ask(1))
    with pytest.raises(BoundElsewhere, match="carries label"):
        ledger.claim(ask(1, run="r2", label="another"))


def test_a_serial_is_unique_within_its_lot(ledger: TinyLedger, ask: Ask) -> None:
    """Two lots may both count from 1; such a serial alone finds neither. No serial at all collides with nothing."""
    ledger.claim(ask(1, serial="1"))
    ledger.claim(ask(2, serial="1", lot="other"))
    ledger.claim(ask(3, serial=""))
    ledger.claim(ask(4, serial=""))
    with pytest.raises(LedgerError, match=r"several boards.*ask by DevEUI"):
        ledger.find("1")
    assert ledger.find("") is None
    assert ledger.check() == []


def test_rework_under_another_lot_is_a_fault_of_the_station(ledger: TinyLedger, ask: Ask) -> None:
    """The board may be good."""
    ledger.claim(ask(1))
    with pytest.raises(LedgerError, match="lot demo in run r1, but this station says other"):
        ledger.claim(ask(1, run="r2", lot="other"))


def test_a_claim_that_would_bind_nothing_is_refused(ledger: TinyLedger, ask: Ask) -> None:
    """Empty label or chip, or a DevEUI that names no device."""
    for wrong in ({"label": ""}, {"chip_id": ""}, {"lot": ""}, {"run": ""}):
        with pytest.raises(LedgerError):
            ledger.claim(ask(1, **wrong))
    with pytest.raises(LedgerError, match="names no device"):
        ledger.claim(ask(-0x70B3D5499A000000 + 0))
    assert list(ledger.all_claims()) == []


def test_text_that_json_cannot_hold_changes_nothing(ledger: TinyLedger, ask: Ask) -> None:
    """A broken terminal's surrogates are a sentence, not a crash."""
    with pytest.raises(LedgerError, match="cannot be written as JSON"):
        ledger.claim(ask(1, operator="\ud800"))
    assert ledger.claim(ask(1)).attempts == 1


# Keys


def test_generations_are_added_never_replaced(ledger: TinyLedger, ask: Ask, key: Key) -> None:
    """The next number only; the boxes go to the owner of the private key alone."""
    ledger.claim(ask(1))
    eui = ask(1).dev_eui
    with pytest.raises(LedgerError, match=r"generation 2 was offered.*1 comes next"):
        ledger.add_key(eui, 2, key(1), "r1")
    ledger.add_key(eui, 1, key(1), "r1")
    claim = ledger.add_key(eui, 2, key(2), "r2")
    assert claim.generations == (Generation(1, key(1).kcv, "r1"), Generation(2, key(2).kcv, "r2"))
    for wrong in (0, 1, 2, 4):
        with pytest.raises(LedgerError):
            ledger.add_key(eui, wrong, key(9), "r2")
    assert ledger.sealed_keys(eui)[1] == {"generation": 2, "kcv": key(2).kcv, "box": "Ym94", "key_id": key(2).key_id}
    assert "Ym94" not in str(ledger.find(str(eui)))
    assert "Ym94" not in str(list(ledger.all_claims()))


def test_an_equal_key_is_refused_wherever_it_is(ledger: TinyLedger, ask: Ask, key: Key) -> None:
    """Under another identity and under its own."""
    for n in (1, 2):
        ledger.claim(ask(n))
    ledger.add_key(ask(1).dev_eui, 1, key(1), "r1")
    with pytest.raises(LedgerError, match=f"{ask(1).dev_eui} already has: an equal key"):
        ledger.add_key(ask(2).dev_eui, 1, key(1), "r1")
    with pytest.raises(LedgerError, match="an equal key"):
        ledger.add_key(ask(1).dev_eui, 2, key(1), "r1")
    ledger.add_key(ask(2).dev_eui, 1, key(2), "r1")
    assert ledger.check() == []


def test_a_box_that_nobody_could_open_is_refused(ledger: TinyLedger, ask: Ask) -> None:
    """Malformed base64, check value or key id."""
    ledger.claim(ask(1))
    for kcv, box, key_id in (("1" * 16, "", "0" * 16), ("1" * 16, "?", "0" * 16), ("x", "Ym94", "0" * 16)):
        with pytest.raises(LedgerError, match="malformed"):
            ledger.add_key(ask(1).dev_eui, 1, SealedKey(kcv, box, key_id), "r1")


@pytest.mark.slow
def test_the_255th_generation_is_the_last(ledger: TinyLedger, ask: Ask, key: Key) -> None:
    """The identity block has one byte for it."""
    ledger.claim(ask(1))
    for n in range(1, 256):
        ledger.add_key(ask(1).dev_eui, n, key(n), "r1")
    with pytest.raises(LedgerError, match="all 255"):
        ledger.add_key(ask(1).dev_eui, 256, key(256), "r1")


# States


def test_only_what_was_read_back_passes(ledger: TinyLedger, ask: Ask, key: Key) -> None:
    """Written and passed want an existing generation, passed the one last written."""
    eui = ask(1).dev_eui
    for act in (ledger.mark_written, ledger.mark_passed):
        with pytest.raises(LedgerError, match="not in the ledger"):
            act(eui, 1, "r1")
    ledger.claim(ask(1))
    for act in (ledger.mark_written, ledger.mark_passed):
        with pytest.raises(LedgerError, match="no usable key generation 1"):
            act(eui, 1, "r1")
    ledger.add_key(eui, 1, key(1), "r1")
    with pytest.raises(LedgerError, match="not the last one read back"):
        ledger.mark_passed(eui, 1, "r1")
    ledger.mark_written(eui, 1, "r1")
    claim = ledger.mark_passed(eui, 1, "r1")
    assert (claim.state, claim.proven) == ("passed", 1)
    ledger.add_key(eui, 2, key(2), "r2")
    ledger.mark_written(eui, 2, "r2")
    with pytest.raises(LedgerError):
        ledger.mark_passed(eui, 1, "r2")
    assert ledger.mark_passed(eui, 2, "r2").proven == 2


def test_a_nonce_never_goes_back(ledger: TinyLedger, ask: Ask) -> None:
    """A lower DevNonce means a damaged or foreign NVM; an equal one is no change."""
    eui = ledger.claim(ask(1)).dev_eui
    assert ledger.note_nonce(eui, 5, "r1").dev_nonce == 5
    head = ledger.head()
    ledger.note_nonce(eui, 5, "r1")
    assert ledger.head() == head
    with pytest.raises(NvmDamaged, match="went back from 5 to 4"):
        ledger.note_nonce(eui, 4, "r1")
    for wrong in (-1, 0x10000):
        with pytest.raises(LedgerError, match="no DevNonce"):
            ledger.note_nonce(eui, wrong, "r1")
    assert ledger.note_nonce(eui, 0xFFFF, "r1").dev_nonce == 0xFFFF


@pytest.mark.parametrize("state", ["quarantined", "exported", "scrapped"])
def test_a_retired_identity_is_left_alone(ledger: TinyLedger, ask: Ask, key: Key, state: Any) -> None:
    """No claim, no key, no new state but its own way out."""
    to_passed(ledger, ask(1), key(1))
    assert ledger.retire(ask(1).dev_eui, state, reason="why", operator="Eve", run="r2").state == state
    with pytest.raises(ForeignIdentity, match=f"is {state}.*last run r1"):
        ledger.claim(ask(1, run="r3"))
    with pytest.raises(ForeignIdentity):
        ledger.add_key(ask(1).dev_eui, 2, key(2), "r3")
    with pytest.raises(ForeignIdentity):
        ledger.mark_written(ask(1).dev_eui, 1, "r3")


def test_only_a_passed_identity_is_exported(ledger: TinyLedger, ask: Ask) -> None:
    """And who retires one says why and signs."""
    ledger.claim(ask(1))
    with pytest.raises(LedgerError, match="is reserved and cannot become exported"):
        ledger.retire(ask(1).dev_eui, "exported", reason="x", operator="Eve", run="r")
    with pytest.raises(LedgerError, match="needs a reason"):
        ledger.retire(ask(1).dev_eui, "scrapped", reason="", operator="Eve", run="r")


def test_the_chip_of_a_scrapped_identity_may_get_another_label(ledger: TinyLedger, ask: Ask) -> None:
    """The DevEUI and the label are gone for ever."""
    ledger.claim(ask(1))
    ledger.retire(ask(1).dev_eui, "scrapped", reason="label torn", operator="Eve", run="r2")
    assert ledger.claim(ask(2, run="r3", chip_id=ask(1).chip_id)).attempts == 1
    found = ledger.find(ask(1).chip_id)
    assert found is not None
    assert found["dev_eui"] == str(ask(2).dev_eui)
    with pytest.raises(ForeignIdentity):
        ledger.claim(ask(1, run="r4"))
    with pytest.raises(BoundElsewhere):
        ledger.claim(ask(3, run="r5", label=ask(1).label))
    assert ledger.check() == []


def test_a_repair_moves_the_identity_to_another_chip(ledger: TinyLedger, ask: Ask, key: Key) -> None:
    """Old keys are never written again, the DevNonce stays as floor, the old chip is free."""
    to_passed(ledger, ask(1), key(1))
    ledger.note_nonce(ask(1).dev_eui, 9, "r1")
    claim = ledger.rebind(
        ask(1).dev_eui, label=ask(1).label, chip_id="BEEF", reason="MCU replaced", operator="Eve", run="w1"
    )
    assert (claim.state, claim.proven, claim.dev_nonce) == ("reserved", None, 9)
    with pytest.raises(LedgerError, match="no usable key generation 1"):
        ledger.mark_written(ask(1).dev_eui, 1, "r2")
    assert ledger.claim(ask(1, run="r2", chip_id="BEEF")).attempts == 2
    ledger.add_key(ask(1).dev_eui, 2, key(2), "r2")
    ledger.mark_written(ask(1).dev_eui, 2, "r2")
    ledger.claim(ask(2, run="r3", chip_id=ask(1).chip_id))
    with pytest.raises(BoundElsewhere):
        ledger.rebind(ask(2).dev_eui, label=ask(2).label, chip_id="BEEF", reason="x", operator="Eve", run="w2")
    assert ledger.check() == []


# The chain and its view


def test_each_change_is_one_entry_and_few_fsyncs(
    ledger: TinyLedger, ask: Ask, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow flash takes 10 ms for each: 9 for a new board, 3 to 5 for what follows."""
    count = 0
    real = os.fsync

    def fsync(fd: int) -> None:
        nonlocal count
        count += 1
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    eui = ask(1).dev_eui
    counts = []
    acts: tuple[Callable[[], object], ...] = (
        lambda: ledger.claim(ask(1)),
        lambda: ledger.add_key(eui, 1, key(1), "r1"),
        lambda: ledger.mark_written(eui, 1, "r1"),
        lambda: ledger.note_nonce(eui, 1, "r1"),
        lambda: ledger.mark_passed(eui, 1, "r1"),
        lambda: ledger.claim(ask(1, run="r2")),
    )
    for act in acts:
        count = 0
        act()
        counts.append(count)
    assert counts == [9, 5, 3, 3, 3, 3]


@pytest.fixture
def history(tmp_path: Path, ledger: TinyLedger, ask: Ask, key: Key) -> Path:
    """A ledger with some boards."""
    for n in range(1, 4):
        to_passed(ledger, ask(n), key(n))
    assert ledger.check() == []
    return tmp_path / "ledger" / "history.jsonl"


def test_the_audit_finds_a_changed_entry(tmp_path: Path, clock: Clock, history: Path) -> None:
    """One letter anywhere in the history."""
    data = history.read_bytes()
    history.write_bytes(data.replace(b'"operator":"Eve"', b'"operator":"Bob"', 1))
    assert any("was changed after it was written" in text for text in TinyLedger.open(tmp_path, clock).check())


def test_the_audit_finds_a_removed_entry(tmp_path: Path, clock: Clock, history: Path) -> None:
    """A whole line in the middle."""
    lines = history.read_bytes().splitlines(keepends=True)
    history.write_bytes(b"".join(lines[:3] + lines[4:]))
    assert any("does not follow" in text for text in TinyLedger.open(tmp_path, clock).check())


def test_a_cut_tail_is_found_before_anything_is_written_on_it(
    tmp_path: Path, clock: Clock, history: Path, ask: Ask
) -> None:
    """The claim knows the entry that made it, and that entry is gone."""
    lines = history.read_bytes().splitlines(keepends=True)
    history.write_bytes(b"".join(lines[:-2]))
    with pytest.raises(LedgerError, match="end of the history is lost"):
        TinyLedger.open(tmp_path, clock)
    history.write_bytes(b"")
    with pytest.raises(LedgerError, match="end of the history is lost"):
        TinyLedger.open(tmp_path, clock)
    assert TinyLedger.open(tmp_path, clock, read_only=True).check() != []


def test_a_board_whose_entries_were_cut_off_is_not_touched(
    tmp_path: Path, clock: Clock, history: Path, ask: Ask
) -> None:
    """Also when the new end of the history belongs to another board."""
    lines = history.read_bytes().splitlines(keepends=True)
    history.write_bytes(b"".join(lines[:8]))
    ledger = TinyLedger.open(tmp_path, clock)
    with pytest.raises(LedgerError, match=r"ends at entry 8, but DevEUI .* was changed by entry 12"):
        ledger.claim(ask(3, run="r2"))
    assert any("not what the history says" in text or "missing from the history" in text for text in ledger.check())


def test_a_whole_last_line_that_is_damaged_is_refused_not_cut(tmp_path: Path, clock: Clock, history: Path) -> None:
    """It was acknowledged: no crash does that."""
    data = history.read_bytes()
    for wrong in (data.replace(b'"Eve"', b'"Bob"'), data[:-20] + b"xxxxxxxxxxxxxxxxxxx\n"):
        history.write_bytes(wrong)
        with pytest.raises(LedgerError, match="restore it from the backup"):
            TinyLedger.open(tmp_path, clock)
        assert history.read_bytes() == wrong


def test_the_audit_finds_a_damaged_or_lost_or_altered_file(tmp_path: Path, clock: Clock, history: Path) -> None:
    """Each file of the view in turn: unreadable, missing, or with another value."""
    for path in sorted((tmp_path / "ledger").glob("*/??.json")):
        kept = path.read_bytes()
        path.write_bytes(kept[:-1])
        assert any(path.name in text for text in TinyLedger.open(tmp_path, clock, read_only=True).check())
        path.unlink()
        assert TinyLedger.open(tmp_path, clock, read_only=True).check() != []
        path.write_bytes(kept)
        if b'"passed"' in kept:
            path.write_bytes(kept.replace(b'"passed"', b'"reserved"'))
            text = " ".join(TinyLedger.open(tmp_path, clock, read_only=True).check())
            assert "is not what the history says" in text
            path.write_bytes(kept)
    assert TinyLedger.open(tmp_path, clock).check() == []


def test_a_lost_file_of_claims_gives_nothing_away_twice(
    tmp_path: Path, clock: Clock, ledger: TinyLedger, ask: Ask
) -> None:
    """The index still knows the board."""
    for n in range(1, 4):
        ledger.claim(ask(n))
    for path in (tmp_path / "ledger" / "claims").iterdir():
        if str(ask(1).dev_eui).encode() in path.read_bytes():
            path.unlink()
    with pytest.raises(LedgerError, match="a file was lost"):
        TinyLedger.open(tmp_path, clock).claim(ask(1, run="r2"))


def test_the_audit_finds_two_boards_with_one_chip_or_key(tmp_path: Path, clock: Clock, history: Path) -> None:
    """Values that only somebody with an editor can make equal."""
    texts: list[str] = []
    for field in ("chip_id", "label", "kcv"):
        seen: list[bytes] = []
        kept = {path: path.read_bytes() for path in (tmp_path / "ledger" / "claims").iterdir()}
        for path, data in kept.items():
            tables = orjson.loads(data)
            for document in tables["claims"].values():
                if field == "kcv":
                    document["generations"][0]["kcv"] = "F" * 16
                else:
                    document[field] = "same"
            path.write_bytes(orjson.dumps(tables))
            seen.append(data)
        texts.append(" ".join(TinyLedger.open(tmp_path, clock, read_only=True).check()))
        for path, data in kept.items():
            path.write_bytes(data)
    assert "chip same belongs to several DevEUIs" in texts[0]
    assert "label same belongs to several DevEUIs" in texts[1]
    assert "an equal key" in texts[2]


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


# Anything at all, against a dictionary


class LedgerMachine(RuleBasedStateMachine):
    """Random work on few labels and chips; the dictionary says what must come out."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lorafab-ledger-"))
        self.ledger = TinyLedger.create(self.folder, SystemClock())
        self.boards: dict[int, dict[str, Any]] = {}
        self.runs = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def _run(self) -> str:
        self.runs += 1
        return f"r{self.runs}"

    @rule(n=st.integers(1, 4), chip=st.integers(1, 4))
    def claim(self, n: int, chip: int) -> None:
        request = ClaimRequest(Eui64(n), Eui64(9), f"S{n}", f"L{n}", f"C{chip}", "lot", self._run(), "A", "x")
        mine = self.boards.get(n)
        taken = any(
            m != n and other["chip"] == chip and other["state"] != "scrapped" for m, other in self.boards.items()
        )
        refused: type[Exception] | None = None
        if mine and mine["state"] == "scrapped":
            refused = ForeignIdentity
        elif (mine and mine["chip"] != chip) or (not mine and taken):
            refused = BoundElsewhere
        if refused:
            with pytest.raises(refused):
                self.ledger.claim(request)
            return
        mine = self.boards.setdefault(
            n,
            {"chip": chip, "state": "reserved", "keys": 0, "written": 0, "proven": None, "attempts": 0, "nonce": None},
        )
        mine["attempts"] += 1
        assert self.ledger.claim(request).attempts == mine["attempts"]

    @rule(n=st.integers(1, 4), generation=st.integers(1, 3))
    def key(self, n: int, generation: int) -> None:
        mine = self.boards.get(n)
        sealed = SealedKey(f"{n:08X}{generation:08X}", "Ym94", "0" * 16)
        if mine is None or mine["state"] == "scrapped" or generation != mine["keys"] + 1:
            with pytest.raises((LedgerError, ForeignIdentity)):
                self.ledger.add_key(Eui64(n), generation, sealed, "r")
            return
        mine["keys"] += 1
        assert len(self.ledger.add_key(Eui64(n), generation, sealed, "r").generations) == mine["keys"]

    @rule(n=st.integers(1, 4), generation=st.integers(1, 3))
    def write(self, n: int, generation: int) -> None:
        mine = self.boards.get(n)
        if mine is None or mine["state"] == "scrapped" or generation > mine["keys"]:
            with pytest.raises((LedgerError, ForeignIdentity)):
                self.ledger.mark_written(Eui64(n), generation, "r")
            return
        mine["written"], mine["state"] = generation, "written"
        self.ledger.mark_written(Eui64(n), generation, "r")

    @rule(n=st.integers(1, 4))
    def succeed(self, n: int) -> None:
        mine = self.boards.get(n)
        if mine is None or mine["state"] == "scrapped" or not mine["written"]:
            with pytest.raises((LedgerError, ForeignIdentity)):
                self.ledger.mark_passed(Eui64(n), 1, "r")
            return
        mine["proven"], mine["state"] = mine["written"], "passed"
        self.ledger.mark_passed(Eui64(n), mine["written"], "r")

    @rule(n=st.integers(1, 4), nonce=st.integers(0, 5))
    def nonce(self, n: int, nonce: int) -> None:
        mine = self.boards.get(n)
        if mine is None or (mine["nonce"] is not None and nonce < mine["nonce"]):
            with pytest.raises((LedgerError, NvmDamaged)):
                self.ledger.note_nonce(Eui64(n), nonce, "r")
            return
        mine["nonce"] = nonce
        self.ledger.note_nonce(Eui64(n), nonce, "r")

    @rule(n=st.integers(1, 4))
    def scrap(self, n: int) -> None:
        if n in self.boards and self.boards[n]["state"] != "scrapped":
            self.boards[n]["state"] = "scrapped"
            self.ledger.retire(Eui64(n), "scrapped", reason="x", operator="y", run="r")

    @rule(torn=st.binary(max_size=40).filter(lambda data: b"\n" not in data))
    def crash(self, torn: bytes) -> None:
        with (self.folder / "ledger" / "history.jsonl").open("ab") as file:
            file.write(torn)
        self.ledger = TinyLedger.open(self.folder, SystemClock())

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "ledger"):
            return
        found = {int(claim["dev_eui"], 16): claim for claim in self.ledger.all_claims()}
        assert found.keys() == self.boards.keys()
        for n, mine in self.boards.items():
            claim = found[n]
            assert (claim["chip_id"], claim["state"], len(claim["generations"])) == (
                f"C{mine['chip']}",
                mine["state"],
                mine["keys"],
            )
            assert (claim["proven"], claim["attempts"], claim["dev_nonce"]) == (
                mine["proven"],
                mine["attempts"],
                mine["nonce"],
            )
        assert self.ledger.check() == []


LedgerMachine.TestCase.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
TestAnything = LedgerMachine.TestCase
