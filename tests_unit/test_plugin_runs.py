"""The plugin: parts of the plan, options, signals, killed runs, and what else is not a plain verdict."""

import ast
import os
import shutil
import signal
from pathlib import Path

import pytest

from lorafab.config.load import load_station
from lorafab.domain.identity import Eui64
from lorafab.domain.record import RunRecord
from lorafab.errors import LedgerError, VaultError
from lorafab.run.session import Session
from lorafab.run.station import open_ledger, open_vault
from lorafab.stores.records import RecordStore
from lorafab.stores.tiny_ledger import TinyLedger
from tests_unit.fakes import FakeProgrammer
from tests_unit.line import ROOT, Line

# --- INCOMPLETE, usage ---


@pytest.mark.parametrize(
    "arguments",
    [("-k", "connect"), ("tests_production/test_10_connect.py",), ("-k", "functional"), ("-k", "nothing_at_all")],
)
def test_a_part_of_the_plan_is_incomplete(line: Line, arguments: tuple[str, ...]) -> None:
    """Nothing failed, but not all ran; a step without those before it does not run at all."""
    outcome = line.produce(*arguments)
    assert outcome.status == 5, outcome.out
    assert outcome.record is not None
    assert outcome.record.verdict == "INCOMPLETE"


@pytest.mark.parametrize(
    "source",
    [
        "import pytest\n\n\n@pytest.mark.skip\ndef test_the_firmware_works():\n    pass\n",
        "import pytest\n\n\ndef test_the_firmware_works():\n    pytest.skip('later')\n",
        "import pytest\n\n\n@pytest.mark.xfail\ndef test_the_firmware_works():\n    assert False\n",
        "import pytest\n\n\n@pytest.mark.xfail(strict=True)\ndef test_the_firmware_works():\n    pass\n",
        "import pytest\n\n\n@pytest.mark.xfail(strict=False)\ndef test_the_firmware_works():\n    pass\n",
    ],
    ids=["skip mark", "skip call", "xfail", "strict xpass", "xpass"],
)
def test_a_step_that_was_waved_through_is_incomplete(line: Line, source: str) -> None:
    """Skip, xfail and xpass never count as passed."""
    line.write_step("test_50_functional", source)
    outcome = line.produce()
    assert outcome.status == 5, outcome.out


def test_steps_that_are_only_set_up_are_incomplete(line: Line) -> None:
    """pytest can be asked to run fixtures without tests; that proves nothing of the board."""
    assert line.produce("--setup-only").status == 5


def test_production_without_a_station_is_a_usage_error(line: Line) -> None:
    """Forgetting --station never looks like a pass or a skip; the stations that exist are named."""
    result = line.pytester.runpytest_inprocess()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*needs --station=NAME (stations here: A, sim)*"])


def test_an_unknown_station_is_a_usage_error(line: Line) -> None:
    """The stations that exist are named, and nothing is touched."""
    result = line.pytester.runpytest_inprocess("--station=nope")
    assert result.ret == 4
    assert "there is no station nope; known stations: A, sim" in result.stdout.str()
    assert result.stdout.str().rstrip().splitlines()[-1] == "lorafab: USAGE - - -"


def test_an_unknown_key_is_a_usage_error_with_file_and_line(line: Line) -> None:
    """A mistyped key is not ignored with a warning."""
    path = line.root / "stations" / "sim.yaml"
    path.write_text(path.read_text().replace("baud:", "bawd:"))
    result = line.pytester.runpytest_inprocess("--station=sim")
    text = result.stdout.str()
    assert result.ret == 4
    assert "stations/sim.yaml:9" in text
    assert "bawd" in text
    assert "baud" in text


def test_a_permit_without_a_reason_is_a_usage_error(line: Line) -> None:
    """The reason is what QA reads years later."""
    result = line.pytester.runpytest_inprocess("--station=sim", "--permit=overwrite-identity")
    assert result.ret == 4
    assert "gives no reason" in result.stdout.str()


@pytest.mark.parametrize("option", ["--help", "--collect-only", "--markers", "--fixtures"])
def test_looking_is_not_running(line: Line, option: str) -> None:
    """Nothing is opened, no verdict is printed."""
    result = line.pytester.runpytest_inprocess("--station=sim", option)
    assert result.ret == 0
    assert "lorafab: " not in result.stdout.str().splitlines()[-1]
    assert line.opened == []


def test_a_file_that_is_not_there_is_a_usage_error_and_leaves_nothing(line: Line) -> None:
    """pytest notices it after the run began; the next run has nothing to clear up."""
    result = line.pytester.runpytest_inprocess("--station=sim", "tests_production/nope.py")
    assert result.ret == 4
    assert result.stdout.str().rstrip().splitlines()[-1].startswith("lorafab: USAGE - ")
    assert "ended without a record" not in line.produce().out


def test_hooks_are_not_traced_while_a_board_is_in_the_jig(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment asks for what --debug asks for: texts of foreign exceptions would be in it."""
    monkeypatch.setenv("PYTEST_DEBUG", "1")
    result = line.pytester.runpytest_inprocess("--station=sim")
    assert result.ret == 4
    assert "PYTEST_DEBUG in the environment" in result.stdout.str().replace("\n   ", " ")
    assert not line.opened


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--permit=bogus:why", "there is no permit 'bogus'; known permits: overwrite-identity"),
        ("--lot=", "--lot= is empty"),
        ("--data=", "--data= is empty"),
        ("--operator=a\x07b", "cannot be kept"),
        ("--debug", "leave it out"),
    ],
)
def test_options_that_mean_nothing_are_usage_errors(line: Line, option: str, text: str) -> None:
    """An unset variable in a script must not make boards of the wrong lot."""
    result = line.pytester.runpytest_inprocess("--station=sim", option)
    assert result.ret == 4
    assert text in result.stdout.str().replace("\n   ", " ")


def test_a_permit_that_nothing_needed_is_not_recorded_as_used(line: Line) -> None:
    """QA reads who overwrote what."""
    outcome = line.produce("--permit=overwrite-identity:just in case")
    assert outcome.record is not None
    assert [permit.used for permit in outcome.record.permits] == [False]


def test_a_board_that_fails_its_rework_is_not_passed_any_more(line: Line) -> None:
    """Only a passed board is exported."""
    first = line.produce()
    line.board.stuck_at = {0x08000010: 0xFF}
    assert line.produce().status == 1
    assert first.record is not None
    claim = TinyLedger.open(line.root / "data", line.clock).find(str(first.record.dev_eui))
    assert claim is not None
    assert claim["state"] == "quarantined"


def test_a_bare_dev_eui_names_the_board_whose_label_was_scanned_before(line: Line) -> None:
    """Typed by hand, because the sticker is torn."""
    first = line.produce()
    assert first.record is not None
    again = line.produce(f"--label={first.record.dev_eui}")
    assert again.status == 0, again.out
    assert again.record is not None
    assert (again.record.serial, again.record.attempt) == (first.record.serial, 2)


def test_a_board_made_by_its_dev_eui_alone_is_known_under_its_full_label(line: Line) -> None:
    """The sticker was typed at first and is scanned later: the same board with the same key; another chip is not."""
    label = "LW:D0:00005EEF10000001:024C464200000101:FFFF0000:SLF00000257"
    first = line.produce("--label=024C464200000101")
    again = line.produce(f"--label={label}")
    assert (first.status, again.status) == (0, 0), again.out
    assert first.record is not None
    assert again.record is not None
    assert again.record.attempt == 2
    assert again.record.keys == first.record.keys
    line.board.chip_id = "4C4656420B0B0B0B0B0B0B0B"
    assert line.produce(f"--label={label}").status == 1


def test_a_plan_that_reads_no_key_cannot_pass(line: Line) -> None:
    """ERROR with a record: the product file is wrong, the board may be good."""
    path = line.root / "firmware" / "endnode-wle5" / "product.yaml"
    path.write_text(path.read_text().split("  - test: test_30")[0])
    outcome = line.produce("tests_production/test_10_connect.py", "tests_production/test_20_flash.py")
    assert outcome.status == 3
    assert outcome.record is not None
    assert outcome.record.code == "PLAN"


def test_a_key_on_a_label_is_nowhere_afterwards(line: Line) -> None:
    """Neither on the screen nor in any file, also when it stands where the serial should."""
    key = "00112233445566778899AABBCCDDEEFF"
    for label in (f"LW:D0:00005EEF10000001:024C464200000101:FFFF0000:S{key}", f"LF1;024C464200000101;{key}"):
        outcome = line.produce(f"--label={label}", "-rA", "-vv")
        assert outcome.status == 3
        assert key[:12] not in outcome.out + outcome.err
    for path in (line.root / "data").rglob("*"):
        assert not path.is_file() or key[:12].encode() not in path.read_bytes(), path


def test_a_vault_that_is_gone_is_not_silently_made_again(line: Line) -> None:
    """The keys so far could be opened by nobody."""
    line.produce()
    shutil.rmtree(line.root / "data" / "vault")
    config = load_station(line.root, "sim")
    ledger = TinyLedger.open(line.root / "data", line.clock)
    with pytest.raises(VaultError, match="is gone"):
        open_vault(config, line.root, line.root / "data", ledger)


def test_records_without_a_ledger_are_not_started_over(line: Line) -> None:
    """Who has which identity would be forgotten."""
    line.produce()
    shutil.rmtree(line.root / "data" / "ledger")
    with pytest.raises(LedgerError, match="records of boards and no ledger"):
        open_ledger(load_station(line.root, "sim"), line.root / "data", line.clock)


def test_a_stop_while_the_record_is_written_does_not_change_the_verdict(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Record, ledger, screen and status say the same."""
    append = RecordStore.append

    def stopped(self: RecordStore, record: RunRecord) -> bool:
        kept = append(self, record)
        os.kill(os.getpid(), signal.SIGTERM)
        return kept

    monkeypatch.setattr(RecordStore, "append", stopped)
    outcome = line.produce()
    assert outcome.record is not None
    assert (outcome.status, outcome.record.verdict, outcome.last.split()[1]) == (0, "PASS", "PASS")


# --- signals ---


def _raise_in(where: str, number: signal.Signals) -> str:
    raising = f"import os, signal\n\n\ndef shoot():\n    os.kill(os.getpid(), signal.{number.name})\n"
    if where == "step":
        return (
            raising
            + "\n\ndef test_the_right_chip_answers(chip, measure):\n    shoot()\n    measure('flash_size', 256)\n"
        )
    return raising + (
        "\n\nimport pytest\n\n\n@pytest.fixture\ndef late():\n    yield\n    shoot()\n    shoot()\n"
        "\n\ndef test_the_right_chip_answers(chip, measure, late):\n    measure('flash_size', 256)\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("where", ["step", "teardown"])
def test_a_signal_aborts_with_everything_closed_and_recorded(line: Line, where: str, number: signal.Signals) -> None:
    """Status 2, power off, probe and port closed, record written; in a teardown, even twice."""
    line.write_step("test_10_connect", _raise_in(where, number))
    outcome = line.produce()
    assert outcome.status == 2, outcome.out
    assert outcome.record is not None
    assert outcome.record.verdict == "ABORTED"
    assert number.name in outcome.record.cause
    assert outcome.record.steps[0].outcome == ("error" if where == "step" else "pass")
    station = line.opened[-1]
    assert isinstance(station.programmer, FakeProgrammer)
    assert (station.programmer.closed, line.board.powered) == (True, False)


def test_a_swallowed_signal_still_aborts(line: Line) -> None:
    """A library that catches everything must not turn a stop into a PASS."""
    source = (
        "import os, signal\n\n\ndef test_the_right_chip_answers(chip, measure):\n    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n    except BaseException:\n        pass\n"
        "    measure('flash_size', 256)\n"
    )
    line.write_step("test_10_connect", source)
    assert line.produce().status == 2


# --- killed runs, busy stations ---


def test_a_killed_run_is_recorded_as_interrupted_by_the_next_one(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal that nobody closed becomes an attempt, with its steps, and the board's rerun passes."""
    with monkeypatch.context() as patch:
        patch.setattr(Session, "end", lambda self: (self.run.leave(), self._lock.release()))
        line.produce()
    outcome = line.produce()
    assert outcome.status == 0, outcome.out
    assert outcome.record is not None
    verdicts = [r.verdict for r in RecordStore(line.root / "data").attempts(Eui64.parse(str(outcome.record.dev_eui)))]
    assert verdicts == ["INTERRUPTED", "PASS"]
    assert "ended without a record" in outcome.out
    assert len(list((line.root / "data" / "reports").glob("*.html"))) == 2


def test_a_second_run_at_a_busy_station_is_refused(line: Line) -> None:
    """ERROR, naming the process that holds it; nothing of the other run is touched."""
    from lorafab.stores.journal import StationLock

    lock = StationLock(line.root / "data", "sim", "other")
    lock.acquire()
    outcome = line.produce()
    lock.release()
    assert outcome.status == 3
    assert f"in use by pid {os.getpid()}" in outcome.out
    assert outcome.record is None


def test_the_last_line_is_last_with_any_verbosity(line: Line, tmp_path: Path) -> None:
    """Also behind -v, -q, -s and a JUnit file."""
    for arguments in (("-v",), ("-q",), ("-s",), ("-rA", f"--junitxml={tmp_path / 'j.xml'}")):
        assert line.produce(*arguments).last.startswith("lorafab: PASS ")


def test_an_unwritable_junit_file_does_not_change_the_verdict(line: Line, tmp_path: Path) -> None:
    """It is said, and the board still passes."""
    (tmp_path / "file").write_text("")
    outcome = line.produce(f"--junitxml={tmp_path / 'file' / 'j.xml'}")
    assert outcome.status == 0, outcome.out


def test_steps_are_readable() -> None:
    """Each production test has at most ten lines."""
    for path in (ROOT / "tests_production").glob("test_*.py"):
        for test in ast.walk(ast.parse(path.read_text())):
            if isinstance(test, ast.FunctionDef):
                assert (test.end_lineno or 0) - test.lineno < 10, path
