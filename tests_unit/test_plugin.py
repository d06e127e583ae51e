"""The plugin, by running pytest inside pytest: real steps, stores and reports, and a fake board."""

import os
import shutil

import pytest

from lorafab.domain.identity import Eui64
from lorafab.errors import ScanError
from lorafab.report.board import render_board
from lorafab.stores.tiny_ledger import TinyLedger
from tests_unit.fakes import MCU, FakeBoard, FakeLink, FakeProgrammer
from tests_unit.line import Line

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
    assert line.board.flash == b"\xff" * MCU.flash.size


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
    assert outcome.record is not None
    assert not TinyLedger.open(line.root / "data", line.clock).is_used(Eui64.parse(str(outcome.record.dev_eui)))


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


def test_a_board_cannot_talk_itself_out_of_a_fail(line: Line) -> None:
    """Words of pytest's own in the board's answer are the board's words."""
    line.board.answers["ID?"] = ["ERR [XPASS(strict)] "]
    assert line.produce().status == 1


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
