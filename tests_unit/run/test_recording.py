"""lorafab.run.recording: what a run knew is in its record, killed runs are told of, and a report can always be made."""

import gc
import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lorafab.domain.identity import Eui64
from lorafab.domain.identity_block import APP_KEY_OFFSET, BLOCK_SIZE
from lorafab.domain.label import checksum
from lorafab.domain.measurement import Spec
from lorafab.domain.plan import Step
from lorafab.domain.record import RunRecord
from lorafab.errors import LedgerError, LinkSilent, ReadProtected, RecordError, ShellError
from lorafab.interfaces import Scan
from lorafab.run.outcome import StepState
from lorafab.run.recording import commit, make_record, recover, step_record, write_report
from lorafab.run.run import Run
from lorafab.run.station import Options, Station
from lorafab.steps.flash import write_board
from lorafab.stores.journal import RunJournal, orphans
from lorafab.stores.records import RecordStore
from lorafab.stores.stamp import utc_text
from tests_unit.fakes import IDENTITY, FakeBoard, FakeScanner
from tests_unit.report.samples import PICTURE
from tests_unit.stations import ROOT, fake_station

END = datetime(2026, 11, 20, 12, 30, 5, tzinfo=UTC)


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return fake_station(tmp_path)


def new_run(station: Station, name: str = "run-1") -> Run:
    """A run that has begun."""
    run = Run(station, name, datetime(2026, 11, 20, 12, 30, tzinfo=UTC))
    run.begin()
    return run


def far(run: Run, to: str) -> Run:
    """Take a run so far; each place is a key of `_PLACES`, in the order of a run."""
    for place, act in _PLACES.items():
        act(run)
        if place == to:
            return run
    raise KeyError(to)


def _write(run: Run) -> None:
    station = run.station
    write_board(run.programmer, station.memory, run.contents, run.about_to_write)


def _pass_steps(run: Run) -> None:
    for state in run.state.steps.values():
        state.outcome = "pass"
        run.start_step(state.step.test)
        run.end_step(state)


_PLACES: dict[str, Callable[[Run], object]] = {
    "start": lambda run: None,
    "label": lambda run: run.label,
    "powered": lambda run: run.programmer,
    "chip": lambda run: run.chip,
    "assigned": lambda run: run.assignment,
    "flashed": _write,
    "read back": lambda run: run.prove_key(),
    "step end": _pass_steps,
}


def killed(station: Station, place: str, name: str = "run-1") -> Run:
    """A run that was killed there: its journal stays, and nothing else is done for it."""
    run = far(new_run(station, name), place)
    run.leave()
    return run


# --- steps and measurements ---


def test_a_step_is_kept_with_its_limits_as_they_were() -> None:
    """Value, unit, limits, outcome and reason: the record explains itself without product.yaml."""
    state = StepState(Step("test_10::test_a", "A", (Spec("volts", "V", 3.0, 3.6, marginal=0.1, why="the regulator"),)))
    state.measure("volts", 3.01)
    state.outcome, state.seconds, state.sentence, state.code = "fail", 0.12345, "too low", "MEAS"
    kept = step_record(state)
    assert (kept.test, kept.title, kept.outcome, kept.seconds) == ("test_10::test_a", "A", "fail", 0.123)
    assert (kept.sentence, kept.code) == ("too low", "MEAS")
    [volts] = kept.measurements
    assert (volts.name, volts.unit, volts.low, volts.high, volts.value) == ("volts", "V", 3.0, 3.6, 3.01)
    assert (volts.outcome, volts.why) == ("marginal", "the regulator")


@pytest.mark.parametrize(("value", "text"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
def test_a_value_that_json_does_not_have_is_kept_as_its_text(value: float, text: str) -> None:
    """It failed, and the record says with what."""
    state = StepState(Step("test_10::test_a", "A", (Spec("volts", "V", 3.0, 3.6),)))
    state.measure("volts", value)
    kept = step_record(state)
    assert (kept.measurements[0].value, kept.measurements[0].outcome) == (text, "fail")
    json.loads(kept.model_dump_json())


def test_a_measurement_that_nobody_declared_is_kept_as_such() -> None:
    """It made the step fail, so it must be seen."""
    state = StepState(Step("test_10::test_a", "A"))
    state.measure("amps", 1.0)
    assert step_record(state).measurements[0].outcome == "undeclared"


# --- the record of a run ---


def test_a_run_that_learned_nothing_says_so(station: Station) -> None:
    """No label, no chip, no key: None, and every step of the plan as not run."""
    run = new_run(station)
    record = make_record(run, END)
    assert (record.label, record.dev_eui, record.serial, record.join_eui, record.chip_id) == (None,) * 5
    assert (record.keys, record.picture) == (None, None)
    assert [step.test for step in record.steps] == list(run.state.steps)
    assert {step.outcome for step in record.steps} == {"not run"}
    assert (record.verdict, record.code) == ("INCOMPLETE", "PART")
    assert (record.start, record.end) == ("2026-11-20T12:30:00.000Z", "2026-11-20T12:30:05.000Z")


def test_a_run_says_where_and_with_what_it_was_made(station: Station) -> None:
    """Station, operator, lot, product, image, plan, files, version: years later only the record is left."""
    record = make_record(new_run(station), END)
    config = station.config
    assert (record.station, record.operator, record.lot, record.product) == ("sim", "Eve", "demo", "endnode-wle5")
    assert (record.plan_sha256, record.config_sha256) == (config.plan_sha256, config.config_sha256)
    assert (record.image_file, record.image_version) == ("endnode-wle5.hex", "1.0.0")
    assert re.fullmatch(r"[0-9a-f]{64}", str(record.image_sha256))
    assert record.lorafab_version
    assert record.ledger_head == station.ledger.head()
    assert record.report_file == "run-1.html"


def test_a_key_is_asserted_until_it_was_read_back(station: Station) -> None:
    """The check value is there in both cases; how it is known is said."""
    run = far(new_run(station), "flashed")
    asserted = make_record(run, END).keys
    run.prove_key()
    proven = make_record(run, END).keys
    assert asserted is not None
    assert proven is not None
    assert (asserted.evidence, proven.evidence) == ("asserted", "read back")
    assert asserted.kcv_app == proven.kcv_app == run.assignment.kcv_app
    assert proven.generation == 1


def test_neither_record_nor_journal_holds_the_key(station: Station, tmp_path: Path) -> None:
    """Not in hex, not in base64, not as bytes, in no file of the data folder but the sealed box's ledger."""
    run = far(new_run(station), "step end")
    assert run.assignment.to_write is not None
    key = run.assignment.to_write.app_key.reveal()
    record = make_record(run, END)
    RecordStore(tmp_path).append(record)
    write_report(tmp_path, run.records, record)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert key not in content, path
            assert key.hex().encode() not in content.lower(), path


def test_an_owner_token_is_not_kept(tmp_path: Path) -> None:
    """It is a claim secret of the label; the redacted text is what records have."""
    lot = fake_station(tmp_path / "a").lot
    dev_eui = lot.dev_eui_of(0)
    body = f"LW:D0:{lot.join_eui}:{dev_eui}:{lot.profile}:OSECRETTOKEN:SLF00000001"
    station = fake_station(tmp_path / "b", options=Options(label=f"{body}:C{checksum(body)}", operator="Eve"))
    run = far(new_run(station), "chip")
    record = make_record(run, END)
    assert record.dev_eui == str(dev_eui)
    assert "SECRETTOKEN" not in record.model_dump_json()
    assert ":O***:" in str(record.label)
    run.leave()
    for path in (tmp_path / "b").rglob("*"):
        assert not path.is_file() or b"SECRETTOKEN" not in path.read_bytes(), path


def test_permits_are_kept_used_or_not(tmp_path: Path) -> None:
    """Whoever was allowed something is named with the reason; a permit that nothing needed was not used."""
    permits = (("overwrite-identity", "rework order 4711"), ("unlock", "just in case"))
    run = far(new_run(fake_station(tmp_path, options=Options(operator="Eve", permits=permits))), "assigned")
    kept = {permit.name: (permit.reason, permit.used) for permit in make_record(run, END).permits}
    assert kept == {"overwrite-identity": ("rework order 4711", False), "unlock": ("just in case", False)}


def test_the_serial_line_is_kept_as_printable_text(station: Station) -> None:
    """What was said, line by line; the page that is made of it must not be harmed by a board."""
    run = far(new_run(station), "flashed")
    run.programmer.run()
    assert run.shell.value("VER?", "version") == "1.0.0"
    assert make_record(run, END).transcript[:2] == ("> VER?", "< product=endnode-wle5")


@pytest.mark.parametrize("rework", [False, True])
def test_a_key_that_the_firmware_prints_is_not_kept(tmp_path: Path, rework: bool) -> None:
    """LoRaMac-node's examples print their keys at the start: neither transcript nor sentence nor value has them."""
    board = FakeBoard()
    run = far(new_run(fake_station(tmp_path, board)), "read back")
    at = IDENTITY.start + APP_KEY_OFFSET - run.station.memory.flash.start
    key = bytes(board.flash[at : at + 16])
    if rework:  # a key that was not drawn by this run, and that only its board has
        run.finish()
        del run
        gc.collect()
        run = far(new_run(fake_station(tmp_path, board), "run-2"), "read back")
        assert run.assignment.to_write is None
    board.answers["VER?"] = [f"AppKey : {key.hex('-').upper()}", "OK"]
    run.programmer.run()
    with pytest.raises(ShellError) as error:
        run.shell.ask("VER?")
    run.measure("test_50_functional::test_the_firmware_works", "firmware_version", key.hex())
    run.state.blame_error(error.value)
    record = run.finish()
    assert record is not None
    assert record.verdict == "FAIL"
    page = write_report(tmp_path, run.records, record).read_text()
    for text in (record.model_dump_json(), page):
        assert "it may hold a key" in text
        for spelling in (key.hex(), key.hex("-")):
            assert spelling not in text.lower()


def test_the_cause_of_a_fail_is_kept(station: Station) -> None:
    """Verdict, code and sentence."""
    run = new_run(station)
    run.state.blame_error(LinkSilent("the board sent no line"))
    record = make_record(run, END)
    assert (record.verdict, record.code, record.cause) == ("FAIL", "MUTE", "the board sent no line")


def test_the_commit_of_files_outside_git_is_unknown(tmp_path: Path) -> None:
    """And no reason not to produce."""
    assert commit(tmp_path) == "unknown"
    assert commit(tmp_path / "missing") == "unknown"


def test_the_commit_is_short_and_says_dirty() -> None:
    """Twelve digits, or unknown in a checkout without git."""
    assert re.fullmatch(r"[0-9a-f]{12,40}(-dirty)?|unknown", commit(ROOT))


# --- killed runs ---


def recovered(station: Station) -> list[RunRecord]:
    """What is reported after recovery."""
    return [found.record for found in recover(station, RecordStore(station.data)) if found.record]


def test_without_killed_runs_nothing_is_made(station: Station) -> None:
    """The usual start."""
    assert recovered(station) == []


@pytest.mark.parametrize("place", _PLACES)
def test_a_run_killed_anywhere_becomes_an_interrupted_record(station: Station, place: str) -> None:
    """It says how far the run came, and is told once: the next start finds nothing."""
    run = killed(station, place)
    [record] = recovered(station)
    assert (record.run, record.verdict, record.code) == ("run-1", "INTERRUPTED", "KILLED")
    assert (record.station, record.operator, record.lot, record.product) == ("sim", "Eve", "demo", "endnode-wle5")
    assert record.start == utc_text(run.started)
    last = {"flashed": "writing"}.get(place, place)
    assert f"after it had noted {last!r}; run this board again" in record.cause
    assert RecordStore(station.data).get("run-1") == record
    assert recovered(station) == []
    assert list(orphans(station.data, "sim")) == []


def test_an_interrupted_record_knows_what_the_run_knew(station: Station) -> None:
    """Label, chip, key check value, and the steps that had ended."""
    run = killed(station, "step end")
    [record] = recovered(station)
    assert (record.dev_eui, record.serial) == ("024C464200000001", "LF00000001")
    assert record.label == run.label.text_redacted
    assert record.chip_id == run.chip.unique_id
    assert record.keys is not None
    assert (record.keys.kcv_app, record.keys.evidence) == (run.assignment.kcv_app, "read back")
    assert [step.outcome for step in record.steps] == ["pass"] * len(record.steps)


def test_a_key_that_nobody_read_back_is_asserted(station: Station) -> None:
    """The run may have been killed in the middle of the flash session."""
    killed(station, "flashed")
    [record] = recovered(station)
    assert record.keys is not None
    assert record.keys.evidence == "asserted"
    assert {step.outcome for step in record.steps} == {"not run"}


def test_several_killed_runs_are_told_in_their_order(station: Station) -> None:
    """A board that was killed twice has two attempts."""
    killed(station, "label", "run-1")
    other = RunJournal.start(station.data, "sim", "run-2", {}, station.clock)
    other.note("label", dev_eui="024C464200000001", join_eui=None, serial=None, label=None, picture=None, reader="")
    other.leave()
    assert [(record.run, record.attempt) for record in recovered(station)] == [("run-1", 1), ("run-2", 2)]


def test_a_journal_with_a_torn_last_line_is_still_read(station: Station) -> None:
    """The kill came in the middle of a line: what is whole counts."""
    killed(station, "label")
    [path] = (station.data / "journal" / "sim").glob("*.jsonl")
    with path.open("ab") as journal:
        journal.write(b'{"time":"2026-11-20T12:00:00.000Z","seq":3,"eve')
    [record] = recovered(station)
    assert record.dev_eui == "024C464200000001"


def test_a_run_that_is_still_alive_is_left_alone(station: Station) -> None:
    """Its journal is locked."""
    run = new_run(station)
    assert recovered(station) == []
    run.leave()


def test_a_run_killed_after_its_pass_was_kept_is_completed(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is the truth: the ledger learns of the PASS now, and no INTERRUPTED record is made."""
    run = far(new_run(station), "step end")

    def cut(*_: object) -> None:
        raise LedgerError("the power failed here")

    with monkeypatch.context() as patched:
        patched.setattr(station.ledger, "mark_passed", cut)
        run.finish()
    run.leave()
    assert [record.verdict for record in recovered(station)] == ["PASS"]
    claim = station.ledger.find(str(run.assignment.dev_eui))
    assert claim is not None
    assert (claim["state"], claim["proven"]) == ("passed", 1)
    assert list(orphans(station.data, "sim")) == []


def test_a_board_that_fails_before_its_page_can_be_read_has_not_passed_any_more(tmp_path: Path) -> None:
    """It lies in the jig and is the one that passed: whoever sets it aside must not find it exported."""
    board = FakeBoard()
    passed = far(new_run(fake_station(tmp_path, board)), "step end")
    record = passed.finish()
    assert record is not None
    assert record.verdict == "PASS"
    memory = passed.station.memory
    board.torn = {memory.flash.start, *range(IDENTITY.start, IDENTITY.start + BLOCK_SIZE, 8)}
    run = new_run(fake_station(tmp_path, board), "run-2")
    with pytest.raises(ReadProtected) as error:
        _ = run.assignment
    run.state.blame_error(error.value)
    run.finish()
    claim = run.station.ledger.find("024C464200000001")
    assert claim is not None
    assert (claim["state"], claim["run"], claim["attempts"]) == ("written", "run-2", 2)


def test_a_run_killed_before_the_ledger_knew_of_its_fail_is_told_now(station: Station) -> None:
    """It had written nothing, and the board had passed before: what failed is not exported."""
    far(new_run(station), "step end").finish()
    run = far(new_run(station, "run-2"), "assigned")
    run.note("verdict", verdict="FAIL", cause="the board sent no line")
    run.leave()
    assert [record.verdict for record in recovered(station)] == ["INTERRUPTED"]
    claim = station.ledger.find("024C464200000001")
    assert claim is not None
    assert claim["state"] == "written"


def test_a_run_killed_after_its_fail_was_kept_keeps_that_record(station: Station) -> None:
    """It is told once, as what it was; the ledger does not take it for a PASS."""
    run = far(new_run(station), "read back")
    run.state.blame_error(LinkSilent("the board sent no line"))
    RecordStore(station.data).append(make_record(run, END))
    run.leave()
    assert [record.verdict for record in recovered(station)] == ["FAIL"]
    assert [record.verdict for record in RecordStore(station.data).all_runs()] == ["FAIL"]
    claim = station.ledger.find(str(run.assignment.dev_eui))
    assert claim is not None
    assert claim["state"] == "written"


def test_a_killed_boards_next_run_counts_it(station: Station) -> None:
    """The attempt that was killed is the first, the next one the second."""
    killed(station, "chip")
    run = Run(station, "run-2", END)
    assert [found.record.run for found in run.begin() if found.record] == ["run-1"]
    _ = run.label
    assert run.attempt == 2
    run.leave()


def test_a_journal_that_nobody_understands_is_set_aside(station: Station) -> None:
    """One bad file does not stop the line: it is kept, named, and not looked at again."""
    folder = station.data / "journal" / "sim"
    folder.mkdir(parents=True)
    bad = '{"time":"2026-01-01T00:00:00.000Z","seq":1,"event":"step end","facts":{"step":{"a":1}}}\n'
    (folder / "20260101-000000-aaaaae.jsonl").write_text(bad)
    (folder / "bad name.jsonl").write_text(bad)
    (folder / "a folder.jsonl").mkdir()
    sentences = [found.sentence for found in recover(station, RecordStore(station.data))]
    assert len(sentences) == 2
    assert all("set aside in" in sentence for sentence in sentences)
    assert (folder / "unreadable" / "bad name.jsonl").read_text() == bad
    assert recover(station, RecordStore(station.data)) == []


# --- the report ---


def test_a_report_is_made_of_the_record_and_can_be_made_again(station: Station) -> None:
    """The same bytes, in DATA/reports/."""
    run = far(new_run(station), "read back")
    record = make_record(run, END)
    run.records.append(record)
    first = write_report(station.data, run.records, record)
    page = first.read_bytes()
    assert first == station.data / "reports" / "run-1.html"
    assert b"024C464200000001" in page
    first.unlink()
    assert write_report(station.data, run.records, record).read_bytes() == page
    run.leave()


def test_a_report_shows_the_labels_picture(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is whole by itself: the picture is in it."""
    text = station.lot.label_text(0)
    monkeypatch.setattr(FakeScanner, "scan", lambda self: Scan(text, PICTURE, "zbar"))
    run = far(new_run(station), "label")
    record = make_record(run, END)
    assert record.picture is not None
    assert (record.picture.file, record.picture.reader) == ("run-1.png", "zbar")
    page = write_report(station.data, run.records, record).read_text()
    assert "data:image/png;base64," in page
    run.leave()


def test_a_picture_that_is_gone_does_not_stop_the_report(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is what counts; the page says that the picture is not at hand."""
    text = station.lot.label_text(0)
    monkeypatch.setattr(FakeScanner, "scan", lambda self: Scan(text, PICTURE, "zbar"))
    run = far(new_run(station), "label")
    record = make_record(run, END)
    run.leave()
    (station.data / "records" / "pictures" / "run-1.png").unlink()
    page = write_report(station.data, run.records, record).read_text()
    assert "data:image/png;base64," not in page
    assert "The picture was not at hand" in page


def test_a_report_without_a_disk_is_a_record_error(station: Station) -> None:
    """Something else lies where the folder belongs."""
    run = new_run(station)
    (station.data / "reports").write_text("not a folder")
    with pytest.raises(RecordError):
        write_report(station.data, run.records, make_record(run, END))
    run.leave()


def test_a_report_tells_of_the_attempts_before(station: Station) -> None:
    """Rework shows."""
    killed(station, "chip", "run-1")
    recovered(station)
    run = Run(station, "run-2", END)
    run.begin()
    far(run, "chip")
    record = make_record(run, END)
    run.records.append(record)
    page = write_report(station.data, run.records, record).read_text()
    assert "run-1" in page
    assert record.attempt == 2
    assert run.records.attempts(Eui64.parse("024C464200000001"))[0].run == "run-1"
    run.leave()


def test_two_boards_have_two_records(tmp_path: Path) -> None:
    """One file a board."""
    for number in range(2):
        board = FakeBoard(chip_id=f"4C465642{number:016X}")
        label = fake_station(tmp_path, board).lot.label_text(number)
        run = far(new_run(fake_station(tmp_path, board, Options(label=label)), f"run-{number}"), "chip")
        run.records.append(make_record(run, END))
        run.leave()
        recover(run.station, run.records)
    assert len(list((tmp_path / "records").glob("024C*.json"))) == 2
