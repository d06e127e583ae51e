"""The plugin, by running pytest inside pytest: real steps, stores and reports, and a fake board."""

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lorafab.config.load import load_station
from lorafab.domain.identity import Eui64
from lorafab.domain.record import RunRecord
from lorafab.errors import LedgerError, ScanError, VaultError
from lorafab.report.board import render_board
from lorafab.run.session import Session
from lorafab.run.station import Options, Station, open_ledger, open_vault
from lorafab.stores.ledger import TinyLedger
from lorafab.stores.records import RecordStore
from lorafab.stores.vault import Vault, ensure_demo
from tests_unit.fakes import MCU, FakeBoard, FakeClock, FakeJig, FakeLink, FakeProgrammer, FakeScanner

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Outcome:
    """What a run showed and left."""

    status: int
    out: str
    err: str
    record: RunRecord | None

    @property
    def last(self) -> str:
        """The last line that was printed."""
        return self.out.rstrip("\n").splitlines()[-1]


@dataclass
class Line:
    """A project with a station whose hardware is fake."""

    pytester: pytest.Pytester
    monkeypatch: pytest.MonkeyPatch
    board: FakeBoard = field(default_factory=FakeBoard)
    clock: FakeClock = field(default_factory=FakeClock)
    unplug_at: int | None = None
    scan: str | Exception | None = None
    lid: bool = True
    empty: bool = False
    opened: list[Station] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.pytester.path

    def label(self, number: int = 0) -> str:
        """A label of the lot."""
        return load_station(self.root, "sim").lot.label_text(number)

    def open_station(self, config: object, root: Path, data: Path, options: Options, clock: object) -> Station:
        """What run.station.open_station does, with fakes in the drivers' places."""
        line = load_station(root, "sim")
        label = options.label or self.scan or self.label()
        jig, link = FakeJig(self.board, empty=self.empty, lid=self.lid), FakeLink(self.board)
        programmer = FakeProgrammer(self.board, self.unplug_at)
        from contextlib import ExitStack

        stack = ExitStack()
        for resource in (jig, link, programmer):
            stack.callback(resource.close)
        self.board.running = False
        station = Station(
            config=line,
            root=root,
            data=data,
            options=options,
            clock=self.clock,
            mcu=MCU,
            lot=line.lot,
            memory=line.product.memory.memory_map(),
            ledger=TinyLedger.open_or_create(data, self.clock),
            vault=Vault(ensure_demo(data)),
            jig=jig,
            scanner=FakeScanner(label),
            programmer=programmer,
            link=link,
            resources=stack,
        )
        self.opened.append(station)
        return station

    def produce(self, *arguments: str) -> Outcome:
        """Run one board."""
        before = {record.run for record in RecordStore(self.root / "data").all_runs()}
        result = self.pytester.runpytest_inprocess("--station=sim", *arguments, no_reraise_ctrlc=True)
        made = [record for record in RecordStore(self.root / "data").all_runs() if record.run not in before]
        last = [record for record in made if record.verdict != "INTERRUPTED"]
        return Outcome(int(result.ret), result.stdout.str(), result.stderr.str(), last[0] if last else None)

    def write_step(self, module: str, source: str) -> None:
        """Replace a production test."""
        (self.root / "tests_production" / f"{module}.py").write_text(source)


@pytest.fixture
def line(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """A fresh project, with an empty ledger and a blank board."""
    for folder in ("tests_production", "stations", "firmware/endnode-wle5"):
        shutil.copytree(
            ROOT / folder, pytester.path / folder, ignore=shutil.ignore_patterns("src", "hal", "__pycache__")
        )
    pytester.makefile(
        ".ini",
        pytest="""
        [pytest]
        testpaths = tests_production
        addopts = -ra --strict-markers --disable-plugin-autoload --import-mode=importlib -p lorafab.plugin
        xfail_strict = true
        filterwarnings = error
        """,
    )
    made = Line(pytester, monkeypatch)
    monkeypatch.setattr("lorafab.run.session.open_station", made.open_station)
    # The page has its own tests; one run below makes it.
    monkeypatch.setattr("lorafab.report.board.render_board", lambda record, **_: record.verdict)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


# --- PASS ---


def test_a_good_board_passes_with_record_report_and_ledger(line: Line) -> None:
    """Status 0 means: on disk, in the ledger, and shown."""
    line.monkeypatch.setattr("lorafab.report.board.render_board", render_board)
    outcome = line.produce()
    assert outcome.status == 0, outcome.out
    record = outcome.record
    assert record is not None
    assert record.verdict == "PASS"
    assert [step.outcome for step in record.steps] == ["pass"] * 5
    assert outcome.last == f"lorafab: PASS {record.dev_eui} {record.run} data/reports/{record.run}.html"
    page = (line.root / "data" / "reports" / f"{record.run}.html").read_text()
    assert f">PASS {record.serial}<" in page
    claim = TinyLedger.open(line.root / "data", line.clock).find(str(record.dev_eui))
    assert claim is not None
    assert (claim["state"], claim["proven"], claim["dev_nonce"]) == ("passed", 1, 1)
    assert record.keys is not None
    assert record.keys.evidence == "read back"


def test_everything_is_let_go_after_a_run(line: Line) -> None:
    """Power off, probe and port closed."""
    line.produce()
    station = line.opened[-1]
    assert isinstance(station.programmer, FakeProgrammer)
    assert isinstance(station.link, FakeLink)
    assert (station.programmer.closed, station.link.closed, line.board.powered) == (True, True, False)


def test_the_operator_sees_the_steps(line: Line) -> None:
    """One line a step, with its result, and no talk about plugins and items."""
    out = line.produce().out
    for number, title in enumerate(("The right chip answers", "Image and identity are written"), 1):
        assert f"{number}/5  {title}" in out
    assert "collected" not in out
    assert "passed in" not in out
    assert "Take the board out" in out


def test_rework_keeps_identity_and_moves_the_nonce_forward(line: Line) -> None:
    """The same label on the same chip: same key, DevNonce not lower, second attempt."""
    first, second = line.produce(), line.produce()
    assert (first.status, second.status) == (0, 0), second.out
    assert first.record is not None
    assert second.record is not None
    assert first.record.keys is not None
    assert second.record.keys is not None
    assert first.record.keys.kcv_app == second.record.keys.kcv_app
    assert (first.record.attempt, second.record.attempt) == (1, 2)
    assert line.board.counters().dev_nonce == 2


# --- FAIL ---


def test_a_label_on_another_chip_is_refused_and_that_chip_stays_blank(line: Line) -> None:
    """FAIL with a sentence that names the earlier chip; nothing is written."""
    first = line.produce()
    line.board = FakeBoard(chip_id="4C46564202020202020202FF")
    second = line.produce()
    assert second.status == 1, second.out
    assert second.record is not None
    assert second.record.code == "BOUND"
    assert "4C4656420102030405060708" in second.record.cause
    assert first.record is not None
    assert first.record.run in second.record.cause
    assert line.board.flash == b"\xff" * MCU.flash_size


def test_another_label_on_the_same_chip_is_refused_and_its_flash_unchanged(line: Line) -> None:
    """FAIL; what the board holds stays what it was."""
    line.produce()
    before = bytes(line.board.flash)
    second = line.produce(f"--label={line.label(1)}")
    assert second.status == 1, second.out
    assert second.record is not None
    assert second.record.code == "BOUND"
    assert bytes(line.board.flash) == before


def test_a_wrong_chip_is_refused_before_anything_is_claimed(line: Line) -> None:
    """FAIL, and the label stays free."""
    line.board.idcode = 0x10016415
    outcome = line.produce()
    assert outcome.status == 1
    assert "has device id 0x415, an stm32wle5jc has 0x497" in outcome.out.replace("\n      ", " ")
    assert TinyLedger.open(line.root / "data", line.clock).find(load_station(line.root, "sim").lot.lot) is None
    assert not TinyLedger.open(line.root / "data", line.clock).is_used(Eui64.parse(str(outcome.record.dev_eui)))  # type: ignore[union-attr]


def test_a_stuck_bit_in_the_key_fails_without_showing_it(line: Line) -> None:
    """Verify is ours; the sentence gives address and count, never bytes."""
    # One bit that sticks at one may meet a key bit that is one: 64 of them do not.
    line.board.stuck_at = {0x0803E800 + 24 + index: 0xFF for index in range(8)}
    outcome = line.produce()
    assert outcome.status == 1
    assert outcome.record is not None
    assert outcome.record.code == "VFY"
    assert "0x0803e8" in outcome.record.cause


def test_a_silent_board_fails_and_its_rerun_passes(line: Line) -> None:
    """FAIL; after the repair the same key is used, because it was already on the board."""
    line.board.silent = True
    assert line.produce().status == 1
    line.board.silent = False
    again = line.produce()
    assert again.status == 0, again.out
    assert again.record is not None
    assert again.record.keys is not None
    assert again.record.keys.generation == 1


def test_a_board_that_forgets_its_nonce_fails(line: Line) -> None:
    """A region that cannot be written any more does not leave the factory."""
    line.board.forgets_nonces = True
    outcome = line.produce()
    assert outcome.status == 1
    assert outcome.record is not None
    assert outcome.record.code == "NVM"


def test_a_foreign_identity_needs_a_permit(line: Line) -> None:
    """A board with an identity that this ledger never gave is refused; with a permit it gets a new one."""
    line.produce()
    shutil.rmtree(line.root / "data")
    refused = line.produce()
    assert refused.status == 1
    assert refused.record is not None
    assert refused.record.code == "IDENT"
    allowed = line.produce("--permit=overwrite-identity:ledger lost in the fire")
    assert allowed.status == 0, allowed.out
    assert allowed.record is not None
    assert [(permit.name, permit.used) for permit in allowed.record.permits] == [("overwrite-identity", True)]


def test_a_torn_identity_block_is_written_again_with_the_next_generation(line: Line) -> None:
    """A power cut while the block was written is healed by the rerun, with a new key."""
    line.produce()
    line.board.torn = {0x0803E800 + 24}
    again = line.produce()
    assert again.status == 0, again.out
    assert again.record is not None
    assert again.record.keys is not None
    assert again.record.keys.generation == 2


def test_a_measurement_outside_its_limits_fails(line: Line) -> None:
    """And the sentence says what was found and wanted."""
    line.write_step(
        "test_10_connect", "def test_the_right_chip_answers(chip, measure):\n    measure('flash_size', 128)"
    )
    outcome = line.produce()
    assert outcome.status == 1
    assert "flash_size is 128 KiB, wanted = 256 KiB" in outcome.out


def test_an_assert_in_a_production_test_fails_without_its_values(line: Line) -> None:
    """The two sides of a comparison may be keys."""
    source = "def test_the_right_chip_answers(chip, measure):\n    assert b'secret-key-bytes' == b'other'\n"
    line.write_step("test_10_connect", source)
    outcome = line.produce("-l", "--tb=long", "-rA")
    assert outcome.status == 1
    assert "test_10_connect.py:2" in outcome.out.replace("\n", "")
    assert "secret-key-bytes" not in outcome.out


# --- ERROR ---


def test_an_unplugged_probe_is_an_error_at_any_call_and_the_rerun_passes(line: Line) -> None:
    """The board may be good; nothing is lost."""
    for calls in (0, 1, 2, 4, 5, 6, 8):
        line.unplug_at = calls
        outcome = line.produce()
        assert outcome.status == 3, (calls, outcome.out)
        assert outcome.record is not None
        assert outcome.record.code == "PROBE"
    line.unplug_at = None
    assert line.produce().status == 0
    assert TinyLedger.open(line.root / "data", line.clock).check() == []


def test_an_unreadable_label_is_an_error_with_a_record(line: Line) -> None:
    """No DevEUI: a dash in the last line, and a record all the same."""
    line.scan = ScanError("no code can be read in the picture; clean the label and scan again")
    outcome = line.produce()
    assert outcome.status == 3
    assert outcome.record is not None
    assert outcome.last.startswith(f"lorafab: ERROR - {outcome.record.run} data/reports/")


def test_a_label_of_another_lot_is_an_error(line: Line) -> None:
    """The board may be good, it is in the wrong box."""
    outcome = line.produce("--label=70B3D57ED0001234")
    assert outcome.status == 3
    assert "is not of lot demo" in outcome.out


@pytest.mark.parametrize(
    ("field_name", "value", "text"), [("empty", True, "the jig is empty"), ("lid", False, "lid is open")]
)
def test_a_jig_that_is_not_ready_is_an_error(line: Line, field_name: str, value: bool, text: str) -> None:
    """Nothing is powered."""
    setattr(line, field_name, value)
    outcome = line.produce()
    assert outcome.status == 3
    assert text in outcome.out
    assert not line.board.powered


def test_an_unclassified_exception_is_an_error_and_its_text_stays_out(line: Line) -> None:
    """Its place is shown to developers, its text is not: it may quote data."""
    source = "def test_the_right_chip_answers(chip, measure):\n    raise ValueError('0011223344556677')\n"
    line.write_step("test_10_connect", source)
    outcome = line.produce("-l", "--tb=long", "--full-trace")
    assert outcome.status == 3
    assert "ValueError" in outcome.out
    assert "test_10_connect.py:2" in outcome.out
    assert "0011223344556677" not in outcome.out.replace("raise ValueError", "")


def test_a_module_that_cannot_be_imported_is_an_error(line: Line) -> None:
    """pytest would call it interrupted."""
    line.write_step("test_50_functional", "import no_such_module\n")
    outcome = line.produce()
    assert outcome.status == 3
    assert outcome.record is not None
    assert outcome.record.code == "COLLECT"


def test_system_exit_in_a_step_is_an_error(line: Line) -> None:
    """A step cannot end the run with a status of its own."""
    line.write_step("test_10_connect", "def test_the_right_chip_answers(chip):\n    raise SystemExit(0)\n")
    assert line.produce().status == 3


def test_a_test_that_is_not_in_the_plan_is_an_error(line: Line) -> None:
    """What the product did not declare is not run by accident."""
    line.write_step("test_15_extra", "def test_extra():\n    pass\n")
    outcome = line.produce()
    assert outcome.status == 3
    assert "test_15_extra::test_extra is not in the product's plan" in outcome.out.replace("\n   ", " ")


def test_a_missing_image_stops_before_hardware(line: Line) -> None:
    """One sentence that names file, line and key."""
    (line.root / "firmware" / "endnode-wle5" / "endnode-wle5.hex").unlink()
    outcome = line.produce()
    assert outcome.status == 3
    text = outcome.out.replace("\n   ", " ")
    assert "product.yaml:" in text
    assert "image.file" in text
    assert not line.board.powered
    assert outcome.record is not None
    assert outcome.record.code == "IMAGE"


def test_a_full_disk_is_an_error_and_loses_nothing(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that cannot be written is never a PASS; the rerun passes with the same key."""
    replace = os.replace

    def full(source: str, target: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        if "records" in str(target):
            raise OSError(28, "No space left on device")
        replace(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        outcome = line.produce()
    assert outcome.status == 3, outcome.out
    assert outcome.record is None
    again = line.produce()
    assert again.status == 0, again.out
    assert again.record is not None
    assert again.record.keys is not None
    assert again.record.keys.generation == 1


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
    assert claim["state"] == "written"


def test_a_bare_dev_eui_names_the_board_whose_label_was_scanned_before(line: Line) -> None:
    """Typed by hand, because the sticker is torn."""
    first = line.produce()
    assert first.record is not None
    again = line.produce(f"--label={first.record.dev_eui}")
    assert again.status == 0, again.out


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


def test_steps_are_readable(line: Line) -> None:
    """Each production test has at most ten lines."""
    for path in (ROOT / "tests_production").glob("test_*.py"):
        source = path.read_text()
        body = source[source.index("def test_") :]
        assert len(body.strip().splitlines()) <= 10, path
