"""lorafab.run.locked: what becomes of a board that comes locked, with real stores and a board that can be locked."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from lorafab.config.load import load_station
from lorafab.domain.identity import Eui64
from lorafab.domain.identity_block import decode
from lorafab.domain.memory_map import Segment, Span
from lorafab.domain.nvm import endnode
from lorafab.errors import ConfigError, MemoryFault, ProbeError
from lorafab.interfaces import ChipInfo, ClaimRequest, Visible
from lorafab.run.locked import check_lock
from lorafab.run.session import Session
from lorafab.stores.records import RecordStore
from lorafab.stores.tiny_ledger import TinyLedger
from tests_unit.fakes import IDENTITY, MCU, MEMORY, FakeBoard, FakeClock, FakeJig, FakeLink, FakeProgrammer
from tests_unit.line import ROOT, Line, Outcome

DEV_EUI = Eui64(0x024C464200080001)
GREETING = b"lorafab endnode-wle5 1.0.0 ready"


@dataclass
class LockableBoard(FakeBoard):
    """A board whose protection takes effect at power-on, and whose firmware starts with the power."""

    wanted: bool = False
    """The level that is programmed."""
    hides_itself: bool = False
    """As an nRF52: a locked one does not even say who it is, and an erase opens it at once."""
    leak: bytes = b""
    """What its firmware leaves in RAM."""
    greets: bool = False
    trouble: list[Exception] = field(default_factory=list)
    """What the next surveys end with."""

    def power_on(self) -> None:
        self.powered, self.locked = True, self.wanted
        self.running = self.greets = bytes(self.flash[:8]) != b"\xff" * 8

    @property
    def page(self) -> bytes:
        """The identity page."""
        at = IDENTITY.start - MCU.flash.start
        return bytes(self.flash[at : at + 96])

    @property
    def generation(self) -> int:
        block = decode(self.page)
        assert block is not None
        return block.generation


class LockingProgrammer(FakeProgrammer):
    """Obeys a LockableBoard's protection."""

    board: LockableBoard

    def connect(self) -> ChipInfo:
        if self.board.locked and self.board.hides_itself:
            raise ProbeError("no core answers, as when access protection is on; check the contacts")
        return super().connect()

    def read(self, span: Span) -> bytes:
        if self.board.locked and MCU.flash.span.contains(span):
            raise MemoryFault(span.start)
        return super().read(span)

    def lock(self) -> None:
        self.board.wanted = True

    def unlock(self) -> bool:
        for page in MCU.flash.span.pages(MCU.flash.page_size):
            self.board.erase(page)
        self.board.wanted = False
        self.board.locked = self.board.locked and not self.board.hides_itself
        return not self.board.hides_itself

    def survey(self) -> list[Visible]:
        if self.board.trouble:
            raise self.board.trouble.pop()
        return [Visible("sram1", 0x20000000, self.board.leak)]

    def run(self) -> None:
        super().run()
        self.board.greets = True


class LockingJig(FakeJig):
    """Switches a LockableBoard's supply."""

    board: LockableBoard

    def power(self, on: bool) -> None:
        if on and not self.board.powered:
            self.board.power_on()
        elif not on:
            self.board.powered = self.board.running = False


class LockingLink(FakeLink):
    """Hears the greeting at each start."""

    board: LockableBoard

    def open(self) -> None:
        super().open()
        self.waiting.clear()

    def read_line(self, timeout_s: float) -> bytes | None:
        if self.board.greets and self.board.running and not self.board.silent:
            self.board.greets = False
            self.waiting.insert(0, GREETING)
        if not self.waiting:
            return None
        line = self.waiting.pop(0)
        self.log.append(f"< {line.decode()}")
        return line


@dataclass
class LockLine:
    """The line of a product that is locked."""

    line: Line
    board: LockableBoard

    def produce(self, *arguments: str) -> Outcome:
        """One run; the operator takes the board out and puts it in again before it."""
        self.board.powered = self.board.running = False
        return self.line.produce("--lot=demo-locked", f"--label={self.label}", *arguments)

    label: str = "LW:D0:00005EEF10000001:024C464200080001:FFFF0000:SLK00000001"

    @property
    def ledger(self) -> TinyLedger:
        return TinyLedger.open(self.line.root / "data", FakeClock())

    def state(self) -> str:
        found = self.ledger.find(str(DEV_EUI))
        assert found is not None
        return str(found["state"])

    def claim_elsewhere(self) -> None:
        """A run of another computer has had the board."""
        found = self.ledger.find(str(DEV_EUI))
        assert found is not None
        texts = {name: found[name] for name in ("serial", "label", "chip_id", "lot", "operator")}
        join_eui = Eui64.parse(found["join_eui"])
        self.ledger.claim(ClaimRequest(dev_eui=DEV_EUI, join_eui=join_eui, run="elsewhere", station="B", **texts))

    def edit(self, old: str, new: str) -> None:
        """Exchange a piece of product.yaml."""
        path = self.line.root / "firmware" / "endnode-wle5-locked" / "product.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture
def lock_line(line: Line, monkeypatch: pytest.MonkeyPatch) -> LockLine:
    board = LockableBoard()
    line.board = board
    for name, fake in (("FakeJig", LockingJig), ("FakeLink", LockingLink), ("FakeProgrammer", LockingProgrammer)):
        monkeypatch.setattr(f"tests_unit.line.{name}", fake)
    folder = "firmware/endnode-wle5-locked"
    shutil.copytree(ROOT / folder, line.root / folder)
    return LockLine(line, board)


@pytest.fixture
def locked(lock_line: LockLine) -> LockLine:
    """A board that passed, and is locked."""
    done = lock_line.produce()
    assert (done.status, lock_line.board.wanted) == (0, True), done.out
    return lock_line


PERMIT = "--permit=unlock:connector to be replaced"


def test_a_locked_board_is_set_aside(locked: LockLine) -> None:
    """It passed, and nobody asked for more: FAIL, with the way out and its price; nothing is changed."""
    page = locked.board.page
    done = locked.produce()
    assert done.status == 1
    assert "set the board aside, or repeat with --permit=unlock:REASON, which erases everything on it" in done.out
    assert locked.board.page == page
    assert done.record is not None
    assert done.record.code == "LOCKED"


def test_a_permit_unlocks_and_the_record_says_what_was_lost(locked: LockLine) -> None:
    """DevNonce 1 is saved first and goes on at 17; the next key generation; locked again."""
    done = locked.produce(PERMIT)
    assert done.status == 0, done.out
    assert (locked.board.generation, locked.board.counters().dev_nonce, locked.board.wanted) == (2, 18, True)
    assert done.record is not None
    [lost] = done.record.lost
    assert "--permit=unlock, which erased everything on it, its DevNonce 1 among it; it goes on 16 later" in lost
    assert [(permit.reason, permit.used) for permit in done.record.permits] == [("connector to be replaced", True)]
    assert done.record.lock is not None


def test_a_killed_run_does_not_hide_that_it_used_a_permit(locked: LockLine) -> None:
    """It had erased the board: its record names the permit and the reason, and not the one that it did not use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "end", lambda self: (self.run.leave(), self._lock.release()))
        locked.produce(PERMIT, "--permit=overwrite-identity:perhaps")
    locked.produce("--plan-only")
    killed = RecordStore(locked.line.root / "data").attempts(DEV_EUI)[1]
    assert killed.verdict == "INTERRUPTED"
    assert [(permit.name, permit.reason, permit.used) for permit in killed.permits] == [
        ("unlock", "connector to be replaced", True)
    ]


def test_an_open_board_does_not_use_the_permit(lock_line: LockLine) -> None:
    """A permit allows, it does not order."""
    done = lock_line.produce(PERMIT)
    assert done.status == 0, done.out
    assert done.record is not None
    assert (done.record.lost, done.record.permits[0].used) == ((), False)


def test_a_board_that_has_joined_since_is_asked(locked: LockLine) -> None:
    """The board's own DevNonce counts where it is ahead of the ledger's."""
    record = endnode.encode(endnode.Counters(40, 0, 0, 0xFFFFFFFF, 2))
    locked.board.program(Segment(MEMORY.nvm.start + 32, record))
    done = locked.produce(PERMIT)
    assert done.status == 0, done.out
    assert locked.board.counters().dev_nonce == 57


def test_a_silent_board_goes_on_where_the_ledger_saw_it(locked: LockLine) -> None:
    """Its firmware is dead; the ledger has DevNonce 1."""
    locked.board.erase(Span(MCU.flash.start, MCU.flash.page_size))
    done = locked.produce(PERMIT)
    assert done.status == 0, done.out
    assert locked.board.counters().dev_nonce == 18


def test_an_unknown_dev_nonce_is_quarantined(lock_line: LockLine) -> None:
    """The firmware is silent and no run has seen its counters: nothing is erased."""
    lock_line.edit("test_40_counters::test_counters_are_kept", "test_40_counters::test_none")
    lock_line.line.write_step(
        "test_40_counters", "import pytest\n@pytest.mark.optional_step\ndef test_none(measure):\n"
        "    measure('dev_nonce', 1)\n    measure('dev_nonce_gained', 1)\n"
    )  # fmt: skip
    assert lock_line.produce().status == 0
    lock_line.board.erase(Span(MCU.flash.start, MCU.flash.page_size))
    page = lock_line.board.page
    done = lock_line.produce(PERMIT)
    assert done.status == 1
    assert "does not tell its DevNonce and the ledger has never seen one" in done.out
    assert (lock_line.state(), lock_line.board.page) == ("quarantined", page)


def test_a_dev_nonce_that_cannot_be_brought_back_is_not_erased(locked: LockLine) -> None:
    """The shell counts up by 1000 at most: the way back has to exist before the way in."""
    locked.ledger.note_nonce(DEV_EUI, 985, "bench")
    page = locked.board.page
    done = locked.produce(PERMIT)
    assert done.status == 1
    assert "DevNonce is 985, and after an erase the shell brings it up by 1000 at most; nothing was erased" in done.out
    assert (locked.board.page, locked.state()) == (page, "passed")


def test_another_chip_is_not_erased_for_this_label(locked: LockLine) -> None:
    """A label on the wrong board: refused, however it was permitted."""
    locked.board.chip_id = "4C4656420A0B0C0D0E0F1011"
    page = locked.board.page
    done = locked.produce(PERMIT)
    assert done.status == 1
    assert "for chip 4C4656420A0B0C0D0E0F1011 in the jig; nothing was erased: set this board aside" in done.out
    assert locked.board.page == page


def test_a_board_that_says_it_is_another_needs_a_second_permit(locked: LockLine) -> None:
    """Whose identity it holds, this ledger does not know; with both permits it is overwritten."""
    locked.board.answers["ID?"] = ["dev_eui=0011223344556677", "OK"]
    page = locked.board.page
    done = locked.produce(PERMIT)
    assert done.status == 1
    assert "firmware says DevEUI 0011223344556677, and this ledger has 024C464200080001 for its label" in done.out
    assert "--permit=overwrite-identity:REASON as well" in done.out
    assert locked.board.page == page
    both = locked.produce(PERMIT, "--permit=overwrite-identity:found in a drawer", "-k", "test_10 or test_20")
    assert both.status == 5, both.out
    assert locked.board.generation == 2


def test_dev_nonces_of_another_ledgers_board_are_not_forgotten(locked: LockLine) -> None:
    """It bears the label's own DevEUI, which has joined with 1 already: no permit makes the network forget that."""
    shutil.rmtree(locked.line.root / "data")
    page = locked.board.page
    done = locked.produce(PERMIT, "--permit=overwrite-identity:the old ledger is lost")
    assert done.status == 1
    assert "has used DevNonces up to 1, and this ledger does not know the board" in done.out
    assert "nothing was erased: run it with the ledger that knows it, or give it a new label" in done.out
    assert (locked.board.page, locked.board.wanted) == (page, True)


def test_an_exported_board_is_not_erased(locked: LockLine) -> None:
    """The customer has it: `lorafab ledger rework` comes first, with a reason and a name."""
    locked.ledger.mark_exported(DEV_EUI, 1, reason="order 4711", operator="Eve")
    page = locked.board.page
    done = locked.produce(PERMIT)
    assert done.status == 1
    assert "is exported since" in done.out
    assert "`lorafab ledger rework` with a reason lets the line take it again" in done.out
    assert locked.board.page == page


def test_a_run_that_the_station_broke_off_goes_on(lock_line: LockLine) -> None:
    """The probe came loose after the lock: ERROR. The next run takes the results over, and does the lock step anew."""
    board = lock_line.board
    board.trouble.append(ProbeError("the probe was unplugged; plug it in and run the board again"))
    broken = lock_line.produce()
    assert (broken.status, board.wanted) == (3, True)
    nonce = board.counters().dev_nonce
    done = lock_line.produce()
    assert done.status == 0, done.out
    assert (board.counters().dev_nonce, board.generation) == (nonce, 1)
    assert done.record is not None
    assert broken.record is not None
    runs = {step.test[5:7]: step.run for step in done.record.steps}
    earlier = broken.record.run
    assert runs == {"10": None, "20": earlier, "30": earlier, "40": earlier, "50": earlier, "60": None}
    measured = [[(one.name, one.value) for one in step.measurements] for step in done.record.steps[:5]]
    assert measured == [[(one.name, one.value) for one in step.measurements] for step in broken.record.steps[:5]]
    assert done.record.lock is not None
    assert (done.record.lock.resumed, done.record.keys) == (earlier, broken.record.keys)
    assert lock_line.state() == "passed"


def test_a_key_that_was_found_once_is_not_tested_away(lock_line: LockLine) -> None:
    """The lock step has failed the board: it does not go on, also when the key is not there any more."""
    board = lock_line.board

    class Leaking(LockingJig):
        def power(self, on: bool) -> None:
            super().power(on)
            board.leak = board.page

    lock_line.line.monkeypatch.setattr("tests_unit.line.FakeJig", Leaking)
    done = lock_line.produce()
    assert done.status == 1
    assert "a probe still finds an identity block in sram1 at 0x20000000 of the locked board" in done.out
    lock_line.line.monkeypatch.setattr("tests_unit.line.FakeJig", LockingJig)
    board.leak = b""
    again = lock_line.produce()
    assert again.status == 1
    assert again.record is not None
    assert again.record.code == "LOCKED"


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.edit("limits: [0, 65000]", "limits: [0, 64000]"),
        lambda line: setattr(line.board, "chip_id", "4C4656420A0B0C0D0E0F1011"),
        lambda line: line.ledger.mark_writing(DEV_EUI, "bench"),
        lambda line: line.claim_elsewhere(),
    ],
    ids=["plan", "chip", "written since", "another station since"],
)
def test_it_goes_on_with_the_same_board_and_plan_only(
    lock_line: LockLine, change: Callable[[LockLine], object]
) -> None:
    """Results belong to what they were taken from."""
    lock_line.board.trouble.append(ProbeError("the probe was unplugged; plug it in and run the board again"))
    assert lock_line.produce().status == 3
    change(lock_line)
    done = lock_line.produce()
    assert done.status == 1
    assert done.record is not None
    assert done.record.code == "LOCKED"


def test_what_a_later_run_found_on_the_open_board_is_not_passed_over(
    lock_line: LockLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The level was written and the supply stayed on: the next run still finds it open, and fails it. Locked, later.

    The results of before are not the last word on it any more.
    """
    board = lock_line.board

    class AlwaysOn(LockingJig):
        def power(self, on: bool) -> None:
            if not self.board.powered:
                super().power(True)

        def close(self) -> None:
            pass

    def lost(self: LockingProgrammer) -> None:
        board.wanted = True
        raise ProbeError("the probe was unplugged; plug it in and run the board again")

    lock_line.line.monkeypatch.setattr("tests_unit.line.FakeJig", AlwaysOn)
    with monkeypatch.context() as patch:
        patch.setattr(LockingProgrammer, "lock", lost)
        assert lock_line.produce().status == 3
    assert not board.locked
    board.answers["TEST aes"] = ["ERR aes", "OK"]
    failed = lock_line.line.produce("--lot=demo-locked", f"--label={lock_line.label}")
    assert (failed.status, board.locked) == (1, False), failed.out
    del board.answers["TEST aes"]
    again = lock_line.produce()
    assert again.status == 1, again.out
    assert again.record is not None
    assert again.record.code == "LOCKED"


def test_a_board_that_was_to_be_locked_does_not_pass_open(lock_line: LockLine) -> None:
    """The product names a lock, and its plan forgot the step."""
    path = lock_line.line.root / "firmware" / "endnode-wle5-locked" / "product.yaml"
    path.write_text(path.read_text().split("  - test: test_60_lock")[0])
    done = lock_line.produce()
    assert done.status == 3
    assert "the product wants its boards locked, and no step of the plan locks them; add such a step" in done.out
    assert lock_line.state() == "written"


def test_a_lock_step_without_a_lock_is_refused(lock_line: LockLine) -> None:
    """The other way round: nobody knows which level is meant."""
    lock_line.edit("lock: {level: rdp1}\n", "")
    done = lock_line.produce()
    assert done.status == 3
    assert "the plan has a lock step, and the product names no `lock:`; correct product.yaml" in done.out
    assert not lock_line.board.wanted


def test_a_lock_that_the_chip_does_not_have_is_refused(lock_line: LockLine) -> None:
    """Before any hardware is touched, with the file and the line."""
    lock_line.edit("lock: {level: rdp1}", "lock: {level: approtect}")
    with pytest.raises(ConfigError, match=r"product.yaml:\d+:\d+: mcu: an stm32wle5jc is locked by level rdp1, and"):
        check_lock(load_station(lock_line.line.root, "sim", "demo-locked"))
    lock_line.edit("lock: {level: approtect}", "opens_new_chips: true")
    with pytest.raises(ConfigError, match="does not come locked from its maker; leave opens_new_chips out"):
        check_lock(load_station(lock_line.line.root, "sim", "demo-locked"))


# -- boards that hide even who they are


@pytest.fixture
def new_chip(lock_line: LockLine) -> LockLine:
    """A chip as its maker locked it."""
    lock_line.board.hides_itself = lock_line.board.wanted = True
    lock_line.edit("lock: {level: rdp1}\n", "lock: {level: approtect}\nopens_new_chips: true\n")
    return lock_line


def test_a_new_chip_is_opened_without_a_permit(new_chip: LockLine) -> None:
    """Its label was never used and nothing speaks: it is erased, opened, written and locked, and the record says so."""
    done = new_chip.produce()
    assert done.status == 0, done.out
    assert done.record is not None
    assert done.record.lost == ("the chip came locked from its maker, and was erased and opened",)
    assert done.record.chip_id == new_chip.board.chip_id


def test_a_product_that_does_not_say_so_opens_none(new_chip: LockLine) -> None:
    """FAIL, and the chip stays as it came."""
    new_chip.edit("opens_new_chips: true\n", "")
    done = new_chip.produce()
    assert done.status == 1
    assert new_chip.board.wanted


def test_a_board_that_speaks_is_not_new(new_chip: LockLine) -> None:
    """Firmware greets, whoever's: somebody has made this board."""
    new_chip.board.program(Segment(MCU.flash.start, bytes(8)))
    done = new_chip.produce()
    assert done.status == 1
    assert new_chip.board.wanted


def test_a_label_that_was_used_is_not_new(new_chip: LockLine) -> None:
    """The board passed and is silent now: only a permit opens it, and its DevNonce goes on."""
    assert new_chip.produce().status == 0
    new_chip.board.erase(Span(MCU.flash.start, MCU.flash.page_size))
    done = new_chip.produce()
    assert done.status == 1
    assert new_chip.board.wanted
    opened = new_chip.produce(PERMIT)
    assert opened.status == 0, opened.out
    assert (new_chip.board.generation, new_chip.board.counters().dev_nonce) == (2, 18)


def test_a_chip_of_another_label_is_found_out_when_it_is_open(new_chip: LockLine) -> None:
    """A silent board of label 1 under the unused label 2: refused, and its own identity does not ship any more."""
    assert new_chip.produce().status == 0
    new_chip.board.erase(Span(MCU.flash.start, MCU.flash.page_size))
    new_chip.label = "LW:D0:00005EEF10000001:024C464200080002:FFFF0000:SLK00000002"
    done = new_chip.produce()
    assert done.status == 1
    assert "belongs to DevEUI 024C464200080001" in done.out
    found = new_chip.ledger.find(str(DEV_EUI))
    assert found is not None
    assert (found["state"], found["counters_erased"]) == ("reserved", True)


def test_a_hidden_board_goes_on_by_what_its_firmware_says(new_chip: LockLine) -> None:
    """Its unique id is the firmware's word; another one's is refused."""
    new_chip.board.trouble.append(ProbeError("the probe was unplugged; plug it in and run the board again"))
    assert new_chip.produce().status == 3
    new_chip.board.answers["UID?"] = ["uid=4C4656420A0B0C0D0E0F1011", "OK"]
    refused = new_chip.produce()
    assert refused.status == 1
    assert "the firmware runs on chip 4C4656420A0B0C0D0E0F1011" in refused.out
    del new_chip.board.answers["UID?"]
    done = new_chip.produce()
    assert done.status == 0, done.out
    assert RecordStore(new_chip.line.root / "data").attempts(DEV_EUI)[-1].lock is not None
