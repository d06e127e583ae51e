"""lorafab.steps.counters: no DevNonce repeats, and the firmware can still store the next one."""

from collections.abc import Callable

import pytest

from lorafab.domain.memory_map import Segment
from lorafab.domain.nvm import endnode
from lorafab.errors import NvmDamaged, ShellError
from lorafab.interfaces import ClaimRequest
from lorafab.steps.counters import GAP, MAX_RAISE, CounterCheck, check_counters, note_counters, read_counters
from lorafab.steps.identity import Assignment
from lorafab.steps.shell import Shell
from lorafab.stores.tiny_ledger import TinyLedger
from tests_unit.fakes import MEMORY, FakeBoard, FakeProgrammer

Check = Callable[[], CounterCheck]
NVM = MEMORY.nvm.start


@pytest.fixture
def check(
    programmer: FakeProgrammer,
    shell: Shell,
    ledger: TinyLedger,
    give: Callable[..., Assignment],
    ask: Callable[..., ClaimRequest],
) -> Check:
    """One run's check; each call is a run of its own."""
    runs = iter(range(1, 100))

    def do() -> CounterCheck:
        run = f"run-{next(runs)}"
        return check_counters(programmer, shell, MEMORY, ledger, give(ask(run=run)), run)

    return do


def store(board: FakeBoard, dev_nonce: int, sequence: int = 1) -> None:
    """Store counters as the firmware does."""
    record = endnode.encode(endnode.Counters(dev_nonce, 0, 0, 0xFFFFFFFF, sequence))
    board.program(Segment(NVM + 32 * (sequence - 1), record))


def kept(ledger: TinyLedger, ask: Callable[..., ClaimRequest]) -> object:
    """What the ledger remembers."""
    found = ledger.find(str(ask().dev_eui))
    assert found is not None
    return found["dev_nonce"]


def test_a_new_board_stores_its_first_nonce(
    board: FakeBoard, ledger: TinyLedger, ask: Callable[..., ClaimRequest], check: Check
) -> None:
    """From 0 to 1, on the board and in the ledger."""
    assert check() == CounterCheck(dev_nonce=1, gained=1)
    assert board.counters().dev_nonce == 1
    assert kept(ledger, ask) == 1


def test_each_run_spends_one_nonce(ledger: TinyLedger, ask: Callable[..., ClaimRequest], check: Check) -> None:
    """Rework never goes back."""
    assert [check().dev_nonce for _ in range(3)] == [1, 2, 3]
    assert kept(ledger, ask) == 3


def test_a_board_that_has_joined_meanwhile_is_taken(
    board: FakeBoard, ledger: TinyLedger, ask: Callable[..., ClaimRequest], check: Check
) -> None:
    """Its DevNonce is ahead of the ledger's: that is what a board in the field does."""
    check()
    store(board, 500, sequence=2)
    assert check() == CounterCheck(dev_nonce=501, gained=500)
    assert kept(ledger, ask) == 501


def test_a_board_behind_the_ledger_is_set_aside(
    board: FakeBoard, ledger: TinyLedger, ask: Callable[..., ClaimRequest], check: Check
) -> None:
    """Its next join would repeat a DevNonce. Nothing more is stored, and the ledger forgets nothing."""
    for _ in range(3):
        check()
    board.erase(MEMORY.nvm)
    with pytest.raises(NvmDamaged, match="DevNonce is 0, the ledger has seen 3, and a DevNonce must never repeat"):
        check()
    assert board.counters() == endnode.FRESH
    assert kept(ledger, ask) == 3


def repaired(board: FakeBoard, ledger: TinyLedger, ask: Callable[..., ClaimRequest]) -> None:
    """The chip was replaced by a new one, which has never counted."""
    board.erase(MEMORY.nvm)
    board.chip_id = "4C4656420A0B0C0D0E0F1011"
    claim = ask()
    ledger.rebind(
        claim.dev_eui, label=claim.label, chip_id=board.chip_id, reason="chip replaced", operator="Eve", run="bench"
    )


def test_a_replaced_chip_goes_on_where_the_old_one_stopped(
    board: FakeBoard, ledger: TinyLedger, ask: Callable[..., ClaimRequest], check: Check
) -> None:
    """It is brought up to the old chip's DevNonce and spends the next: none of the old ones is ever sent again."""
    for _ in range(3):
        check()
    repaired(board, ledger, ask)
    assert check() == CounterCheck(dev_nonce=4, gained=1)
    assert board.counters().dev_nonce == 4
    assert kept(ledger, ask) == 4


def test_a_replaced_chip_that_was_cut_short_goes_on(
    board: FakeBoard, ledger: TinyLedger, ask: Callable[..., ClaimRequest], check: Check
) -> None:
    """What it had stored counts, and it is brought up by the rest."""
    for _ in range(3):
        check()
    repaired(board, ledger, ask)
    store(board, 2)
    assert check() == CounterCheck(dev_nonce=4, gained=1)


def test_a_replaced_chip_that_has_passed_is_a_board_like_others(
    board: FakeBoard, ledger: TinyLedger, ask: Callable[..., ClaimRequest], check: Check
) -> None:
    """From then on a DevNonce behind the ledger's is damage."""
    check()
    repaired(board, ledger, ask)
    check()
    ledger.mark_written(ask().dev_eui, 2, "run-2")
    ledger.mark_passed(ask().dev_eui, 2, "run-2")
    written = ledger.sealed_keys(ask().dev_eui)
    assert len(written) == 2
    board.erase(MEMORY.nvm)
    with pytest.raises(NvmDamaged, match="DevNonce is 0, the ledger has seen 2"):
        check()


def test_a_replaced_chip_is_not_brought_up_for_ever(
    board: FakeBoard, ledger: TinyLedger, ask: Callable[..., ClaimRequest], check: Check
) -> None:
    """Nothing is stored, and the sentence says what becomes of the identity."""
    check()
    ledger.note_nonce(ask().dev_eui, MAX_RAISE + 1, "run-1")
    repaired(board, ledger, ask)
    with pytest.raises(NvmDamaged, match=r"had reached 1001, and the shell brings it up by 1000 at most; quarantine"):
        check()
    assert board.counters() == endnode.FRESH


def test_firmware_that_reads_its_region_otherwise_is_refused(board: FakeBoard, check: Check) -> None:
    """Probe and firmware must see the same counters, before one is spent."""
    board.answers["NVM?"] = ["dev_nonce=7", "OK"]
    with pytest.raises(NvmDamaged, match="firmware says DevNonce 7, its NVM region holds 0"):
        check()
    assert board.counters() == endnode.FRESH


def test_firmware_that_does_not_store_is_refused(
    board: FakeBoard, ledger: TinyLedger, ask: Callable[..., ClaimRequest], check: Check
) -> None:
    """It says 1, and the flash says 0; the ledger learns nothing from a promise."""
    board.forgets_nonces = True
    with pytest.raises(NvmDamaged, match=r"firmware says DevNonce 1 and the NVM region holds 0, wanted 1 in both"):
        check()
    assert kept(ledger, ask) is None


def test_firmware_that_skips_nonces_is_refused(board: FakeBoard, check: Check) -> None:
    """One is asked for, one is stored."""
    board.answers["NONCE+"] = ["dev_nonce=5", "OK"]
    with pytest.raises(NvmDamaged, match="firmware says DevNonce 5 and the NVM region holds 0"):
        check()


def test_a_used_up_counter_is_the_boards_end(board: FakeBoard, check: Check) -> None:
    """After 65535 the firmware refuses, and the board with it."""
    store(board, 65535)
    board.answers["NONCE+"] = ["ERR no DevNonce is left"]
    with pytest.raises(ShellError, match="ERR no DevNonce is left"):
        check()


@pytest.mark.parametrize("text", ["", "many", "1.0", "0x10"])
def test_an_answer_that_is_no_number_is_refused(board: FakeBoard, check: Check, text: str) -> None:
    """With the command and what came instead."""
    board.answers["NVM?"] = [f"dev_nonce={text}", "OK"]
    with pytest.raises(ShellError, match=rf"answer to NVM\? has dev_nonce='{text}', wanted a number"):
        check()


def test_a_write_that_a_power_cut_tore_loses_nothing(
    board: FakeBoard, programmer: FakeProgrammer, check: Check
) -> None:
    """The newest acknowledged record counts."""
    store(board, 41, sequence=1)
    board.torn.add(NVM + 32 + 24)
    assert read_counters(programmer, MEMORY).dev_nonce == 41


def test_a_region_of_damaged_records_only_is_set_aside(
    board: FakeBoard, programmer: FakeProgrammer, check: Check
) -> None:
    """Complete records and none readable: the DevNonce is unknown, which is not the same as fresh."""
    board.program(Segment(NVM, b"\x00" * 64))
    with pytest.raises(NvmDamaged, match="holds 2 damaged records and no valid one"):
        read_counters(programmer, MEMORY)
    with pytest.raises(NvmDamaged, match="its DevNonce is unknown and may repeat"):
        check()


@pytest.fixture
def note(
    programmer: FakeProgrammer,
    ledger: TinyLedger,
    give: Callable[..., Assignment],
    ask: Callable[..., ClaimRequest],
) -> Check:
    """One run's check of firmware that has no commands for its counters."""
    runs = iter(range(1, 100))

    def do() -> CounterCheck:
        run = f"run-{next(runs)}"
        return note_counters(programmer, MEMORY, ledger, give(ask(run=run)), run)

    return do


def test_firmware_without_commands_is_only_read(
    board: FakeBoard, ledger: TinyLedger, ask: Callable[..., ClaimRequest], note: Check
) -> None:
    """A DevNonce that the board has reached is remembered, and none is spent."""
    assert note() == CounterCheck(dev_nonce=0, gained=0)
    store(board, 7)
    assert note() == CounterCheck(dev_nonce=7, gained=7)
    assert board.counters().dev_nonce == 7
    assert kept(ledger, ask) == 7


@pytest.mark.parametrize("erased", [True, False])
def test_firmware_without_commands_cannot_make_good_what_was_lost(
    board: FakeBoard, ledger: TinyLedger, ask: Callable[..., ClaimRequest], note: Check, erased: bool
) -> None:
    """Counters that went back, or that an unlocking took and that do not go on behind the gap: refused."""
    store(board, 7)
    note()
    board.erase(MEMORY.nvm)
    due = 7 + GAP if erased else 7
    if erased:
        ledger.note_erased(ask().dev_eui, "run-9")
        store(board, 7)
    with pytest.raises(NvmDamaged, match=f"wanted {due} or more.*no command that brings it up; quarantine"):
        note()
    assert kept(ledger, ask) == 7


def erased(board: FakeBoard, ledger: TinyLedger, ask: Callable[..., ClaimRequest]) -> None:
    """An unlock has erased the board and its counters."""
    ledger.note_erased(ask().dev_eui, "bench")
    board.erase(MEMORY.nvm)


def test_a_board_whose_counters_were_erased_goes_on_after_a_gap(
    board: FakeBoard, ledger: TinyLedger, ask: Callable[..., ClaimRequest], check: Check
) -> None:
    """It may have joined since a run last asked it: 16 DevNonces are skipped, and the firmware itself stores them."""
    check()
    ledger.note_nonce(ask().dev_eui, 37, "run-1")
    erased(board, ledger, ask)
    assert check() == CounterCheck(dev_nonce=37 + GAP + 1, gained=GAP + 1)
    assert board.counters().dev_nonce == kept(ledger, ask) == 54


def test_counters_that_were_erased_and_cut_short_go_on(
    board: FakeBoard, ledger: TinyLedger, ask: Callable[..., ClaimRequest], check: Check
) -> None:
    """A run died while the firmware counted up: the next one counts up the rest."""
    check()
    ledger.note_nonce(ask().dev_eui, 37, "run-1")
    erased(board, ledger, ask)
    store(board, 40)
    assert check().dev_nonce == 54
