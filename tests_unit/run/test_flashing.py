"""lorafab.run.flashing and lorafab.run.rehearsal: the ledger learns in time what a flash session does to a board."""

import pytest

from lorafab.domain.identity import Eui64
from lorafab.domain.identity_block import BLOCK_SIZE, decode
from lorafab.domain.memory_map import Segment, Span
from lorafab.domain.nvm import endnode
from lorafab.errors import FlashRefused
from lorafab.report import sections
from lorafab.stores.tiny_ledger import TinyLedger
from tests_unit.fakes import IDENTITY, MCU, MEMORY, FakeBoard
from tests_unit.line import Line

DEV_EUI = Eui64(0x024C464200000001)
BASE = MCU.flash.start


def ledger(line: Line) -> TinyLedger:
    """As it is on disk now."""
    return TinyLedger.open(line.root / "data", line.clock, read_only=True)


def state(line: Line) -> str:
    found = ledger(line).find(str(DEV_EUI))
    return "unknown" if found is None else found["state"]


def counters(board: FakeBoard, dev_nonce: int) -> None:
    """The firmware has stored this DevNonce since."""
    page = Span(MEMORY.nvm.start, MEMORY.nvm.size)
    board.erase(page)
    board.program(Segment(page.start, endnode.encode(endnode.Counters(dev_nonce, 3, 40, 5, 1))))


def generation(board: FakeBoard) -> int:
    block = decode(board.read(Span(IDENTITY.start, BLOCK_SIZE)))
    assert block is not None
    return block.generation


# --- retry and latch ---


def test_a_board_whose_flash_fails_twice_is_set_aside_for_good(line: Line) -> None:
    """Quarantined with the reason: the next run refuses it, even when its flash is well, until rework is granted."""
    line.board.stuck_at = dict.fromkeys(range(BASE + 0x100, BASE + 0x108), 0xFF)
    failed = line.produce()
    assert failed.status == 1
    assert failed.record is not None
    assert failed.record.code == "VFY"
    assert "also after its pages were erased and written once more; set this board aside" in failed.record.cause
    assert state(line) == "quarantined"
    line.board.stuck_at = {}
    again = line.produce()
    assert again.status == 1
    assert "DevEUI 024C464200000001 is quarantined since" in again.out
    writer = TinyLedger.open(line.root / "data", line.clock)
    writer.move(DEV_EUI, "reserved", reason="chip soldered anew", operator="Eve")
    writer.close()
    assert line.produce().status == 0


def test_a_lost_probe_sets_no_board_aside(line: Line) -> None:
    """Whenever it is lost: the station is at fault, and the board passes in the next run."""
    for lost_after in (3, 5, 6, 7):
        line.unplug_at = lost_after
        assert line.produce().status == 3
        assert state(line) != "quarantined"
    line.unplug_at = None
    assert line.produce().status == 0


def test_a_session_that_was_repeated_is_in_the_record(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flash that refused once and then did as it was told: the board passes, and the record says so for ever."""
    refused, program = list[int](), FakeBoard.program

    def once(board: FakeBoard, segment: Segment) -> None:
        if not refused:
            refused.append(segment.address)
            raise FlashRefused("the flash could not be programmed at 0x08000000, wanted success; repeat once")
        program(board, segment)

    monkeypatch.setattr(FakeBoard, "program", once)
    outcome = line.produce()
    assert outcome.status == 0, outcome.out
    assert outcome.record is not None
    assert outcome.record.flash is not None
    assert outcome.record.flash.retries == (
        "the flash could not be programmed at 0x08000000, wanted success; repeat once",
    )


# --- what is kept, and what a permit gives away ---


def test_rework_keeps_identity_and_counters(line: Line) -> None:
    """The same image: nothing is written, and the DevNonce goes on where it was."""
    line.produce()
    counters(line.board, 37)
    again = line.produce()
    assert again.status == 0, again.out
    assert again.record is not None
    assert again.record.flash is not None
    assert (again.record.flash.erased, again.record.flash.programmed) == ((), ())
    assert again.record.flash.kept == (f"{IDENTITY} identity page", f"{MEMORY.nvm} NVM region")
    assert line.board.counters().dev_nonce == 38
    assert generation(line.board) == 1


def test_with_a_permit_all_is_erased_and_record_and_report_say_what_was_lost(line: Line) -> None:
    """Its DevNonce goes on behind the old one, with a new key; the permit and its reason are kept."""
    line.produce()
    counters(line.board, 37)
    outcome = line.produce("--permit=mass-erase:returned from the field")
    assert outcome.status == 0, outcome.out
    assert outcome.record is not None
    lost = (
        f"identity page {IDENTITY}: DevEUI {DEV_EUI}, key generation 1",
        f"NVM region {MEMORY.nvm}: DevNonce 37, JoinNonce 3, FCntUp 40, FCntDown 5",
    )
    assert outcome.record.lost == lost
    assert [(permit.name, permit.reason, permit.used) for permit in outcome.record.permits] == [
        ("mass-erase", "returned from the field", True)
    ]
    page = sections.lost(outcome.record)
    assert all(text in page for text in lost)
    assert line.board.counters().dev_nonce >= 53
    assert generation(line.board) == 2
    assert state(line) == "passed"


def test_a_dev_nonce_that_could_not_be_carried_over_is_not_erased(line: Line) -> None:
    """The firmware's shell brings it up one by one: what would take too long is refused while it is still there."""
    line.produce()
    counters(line.board, 2000)
    before = bytes(line.board.flash)
    outcome = line.produce("--permit=mass-erase:returned")
    assert outcome.status == 1
    assert (
        "DevNonce is 2000, and after an erase the shell brings it up by 1000 at most; nothing was erased" in outcome.out
    )
    assert line.board.flash == before


def test_an_erase_of_all_that_was_cut_short_is_done_again(line: Line) -> None:
    """Counters that cannot be read are no damage then: the ledger knew before the erase began."""
    line.produce()
    writer = TinyLedger.open(line.root / "data", line.clock)
    writer.note_erased(DEV_EUI, "cut short")
    writer.close()
    line.board.torn.update(range(MEMORY.nvm.start, MEMORY.nvm.end, 8))
    outcome = line.produce()
    assert outcome.status == 0, outcome.out
    assert not line.board.torn
    assert line.board.counters().dev_nonce >= 1 + 16


def test_an_erase_of_all_that_loses_nothing_is_noted_too(line: Line) -> None:
    """A board that was interrupted before it had counters: cut short, the erase would leave their region unreadable."""
    line.unplug_at = 4  # before its flash session
    assert line.produce().status == 3
    assert state(line) == "reserved"
    assert set(line.board.flash) == {0xFF}
    line.unplug_at = None
    noted = [entry.event for entry in ledger(line).entries() if not isinstance(entry, str)]
    assert "erased" not in noted
    outcome = line.produce()
    assert outcome.status == 0, outcome.out
    assert outcome.record is not None
    assert outcome.record.flash is not None
    assert outcome.record.flash.mass_erase, outcome.record.flash
    assert outcome.record.lost == ()
    assert "erased" in [entry.event for entry in ledger(line).entries() if not isinstance(entry, str)]


def test_counters_that_somebody_else_erased_stay_damage(line: Line) -> None:
    """Blank as a new board, which the ledger has seen count: FAIL, and again in each later run; nobody gave a permit.

    How far it had counted since is not known, so that a gap would not do.
    """
    line.produce()
    for page in MCU.flash.span.pages(MCU.flash.page_size):
        line.board.erase(page)
    for attempt in ("first", "second"):
        outcome = line.produce()
        assert outcome.status == 1, attempt
        assert "a DevNonce must never repeat; set this board aside" in outcome.out
    assert state(line) != "passed"


# --- --plan-only ---


def test_a_plan_for_a_new_board_is_shown_and_nothing_is_written(line: Line) -> None:
    """Neither to the board nor to the ledger; INCOMPLETE, with a sentence that says so."""
    before = bytes(line.board.flash)
    outcome = line.produce("--plan-only")
    assert outcome.status == 5
    lines = outcome.out.splitlines()
    assert "keep     0x0803f000..0x0803ffff     4096 B  NVM region" in lines
    assert "program  0x0803e800..0x0803e85f       96 B" in lines
    assert (
        "only the plan was made, as --plan-only asks, and nothing was written; run this board without it" in outcome.out
    )
    assert line.board.flash == before
    assert ledger(line).is_empty
    assert outcome.record is not None
    assert (outcome.record.verdict, outcome.record.flash) == ("INCOMPLETE", None)


def test_a_plan_for_rework_is_what_the_run_then_does(line: Line) -> None:
    """A changed image page and a kept identity; the ledger's history has no entry more."""
    line.produce()
    line.board.erase(Span(BASE + 0x800, 0x800))
    before, head = bytes(line.board.flash), ledger(line).head()
    outcome = line.produce("--plan-only")
    lines = outcome.out.splitlines()
    assert "erase    0x08000800..0x08000fff     2048 B" in lines
    assert "program  0x08000800..0x08000fff     2048 B" in lines
    assert "keep     0x0803e800..0x0803efff     2048 B  identity page" in lines
    assert (bytes(line.board.flash), ledger(line).head()) == (before, head)
    run = line.produce()
    assert run.record is not None
    assert run.record.flash is not None
    assert run.record.flash.erased == run.record.flash.programmed == ("0x08000800..0x08000fff",)


def test_a_plan_with_a_permit_shows_what_would_be_lost(line: Line) -> None:
    """And a new block, because the old one goes; the ledger does not learn of a loss that has not happened."""
    line.produce()
    head = ledger(line).head()
    outcome = line.produce("--plan-only", "--permit=mass-erase:to see")
    lines = outcome.out.splitlines()
    assert outcome.record is not None
    assert [(permit.name, permit.used) for permit in outcome.record.permits] == [("mass-erase", False)]
    assert "lose     0x0803f000..0x0803ffff     4096 B  NVM region" in lines
    assert "lose     0x0803e800..0x0803efff     2048 B  identity page" in lines
    assert "program  0x0803e800..0x0803e85f       96 B" in lines
    assert ledger(line).head() == head


def test_what_a_run_would_refuse_is_refused_before_a_plan_is_shown(line: Line) -> None:
    """Another chip than the label's, or a locked one, whose contents nobody can see."""
    line.produce()
    line.board = FakeBoard(chip_id="4C46564299999999999999FF")
    other = line.produce("--plan-only")
    assert other.status == 1
    assert "belongs to chip 4C4656420102030405060708" in other.out
    line.board = FakeBoard(locked=True)
    locked = line.produce("--plan-only", "--permit=unlock:to see")
    assert locked.status == 3, "a new nRF52840 comes so"
    assert "wanted an open board for --plan-only" in locked.out
    assert line.board.locked


# --- what other products left behind ---


def strange(line: Line) -> Span:
    """A page that this product does not name, with something in it."""
    page = Span(IDENTITY.start - 0x800, 0x800)
    line.board.program(Segment(page.start + 0x40, b"LFID" + bytes(range(28))))
    return page


def test_memory_that_no_place_names_must_be_blank_on_a_new_board(line: Line) -> None:
    """It may be another product's identity: FAIL, again and again, until everything is erased by permit."""
    page = strange(line)
    for _ in range(2):
        outcome = line.produce()
        assert outcome.status == 1, outcome.out
        assert f"the flash holds something at {page}, which the product does not use" in outcome.out
        assert "--permit=mass-erase:REASON to erase all of it" in outcome.out
    assert bytes(line.board.flash[: page.start - BASE]) == b"\xff" * (page.start - BASE), "nothing was written"
    outcome = line.produce("--permit=mass-erase:taken from another product")
    assert outcome.status == 0, outcome.out
    assert line.board.read(page) == b"\xff" * page.size


def test_a_board_of_ours_may_use_it_later(line: Line) -> None:
    """What its own firmware put there after it had passed is kept in rework."""
    assert line.produce().status == 0
    page = strange(line)
    kept = line.board.read(page)
    assert line.produce().status == 0
    assert line.board.read(page) == kept
