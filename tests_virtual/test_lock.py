"""Lock and unlock on virtual boards: through the driver, in the step, and as a whole line that is killed on the way."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lorafab.domain import identity_block
from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.memory_map import Segment, Span
from lorafab.domain.nvm import endnode
from lorafab.domain.secret import Secret
from lorafab.drivers.image_file import load_image
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.drivers.serial_link import SerialLink
from lorafab.errors import LinkSilent, LockFailed, MemoryFault, ProbeError
from lorafab.interfaces import ChipInfo, Claim
from lorafab.steps import lock as lock_step
from lorafab.steps.identity import Assignment
from lorafab.steps.lock import Closed, Sought, hides_itself, joined
from lorafab.targets import MCUS
from lorafab.virtual import registry
from lorafab.virtual.board import Board
from lorafab.virtual.chips import nrf52
from tests_virtual.test_line import IDENTITY, NVM, ROOT, Bench, Result

CHIPS = {"wle5": "stm32wle5jc", "l072": "stm32l072xz", "nrf52": "nrf52840"}
LOT = "--lot=demo-locked"


class Nest:
    """A board with power, the line's programmer, and itself the jig that switches the supply."""

    def __init__(self, folder: Path, chip: Any, target: str) -> None:
        self.board = Board.open(folder / "one.board", chip=chip, uart_link=folder / "uart")
        registry.attach("jig0", self.board)
        self.board.power(True)
        self.mcu = MCUS[target]
        self.programmer = PyocdProgrammer("lorafab:jig0", target, 4000)
        self.link = SerialLink(str(folder / "uart"), 115200)
        self.stuck = False
        """The relay does not open."""
        self.leak = b""
        """What careless firmware leaves in the middle of SRAM1 when it starts."""

    def power(self, on: bool) -> None:
        """Switch the supply, unless the relay sticks."""
        if self.stuck:
            return
        self.board.power(on)
        if on and self.leak:
            with self.board.lock:
                sram1 = self.board.silicon.bus.memory_at(0x2000_4000, len(self.leak))
                assert sram1 is not None
                at = 0x2000_4000 - sram1.base
                sram1.data[at : at + len(self.leak)] = self.leak

    def present(self) -> bool:
        return True

    def lid_closed(self) -> bool:
        return True

    def camera(self) -> bytes:
        return b""

    def power_cycle(self) -> None:
        self.programmer.close()
        self.power(False)
        self.power(True)

    def readable(self, address: int) -> bool:
        """Whether the probe gets this word; a chip that hides even itself shows none."""
        with suppress(MemoryFault, ProbeError):
            self.programmer.read(Span(address, 4))
            return True
        return False

    def close(self) -> None:
        self.programmer.close()
        self.link.close()
        registry.detach("jig0")
        self.board.close()


@pytest.fixture
def nest(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Nest]:
    """The board that the test's parameter names, a WLE5 without one; an nRF52 is opened first."""
    chip = getattr(request, "param", "wle5")
    made = Nest(tmp_path, nrf52.with_build_code("C0") if chip == "nrf52-C0" else chip, CHIPS[chip.split("-")[0]])
    if chip == "nrf52":
        made.programmer.unlock()
    made.programmer.connect()
    yield made
    made.close()


# -- the driver


@pytest.mark.parametrize("nest", [*CHIPS, "nrf52-C0"], indirect=True)
def test_a_locked_board_hides_all_it_has_and_an_unlock_erases_it(nest: Nest) -> None:
    """In force from the next power-on; nothing of the flash can be read then, and after the unlock it is blank."""
    programmer, area = nest.programmer, nest.mcu.flash
    marks = [Segment(address, bytes(range(1, 65))) for address in (area.start, area.span.end - area.page_size)]
    programmer.program([], marks)
    assert not programmer.is_locked()
    programmer.lock()
    nest.power_cycle()
    with suppress(ProbeError):
        programmer.connect()
    assert programmer.is_locked()
    assert not any(nest.readable(mark.address) for mark in marks)
    seen = programmer.survey()
    assert not any(marks[0].data[:8] in visible.data for visible in seen)
    assert not any(visible.place in ("flash", "boot alias", "eeprom", "sram2") for visible in seen)
    if programmer.unlock():
        nest.power_cycle()
        programmer.connect()
    assert not programmer.is_locked()
    assert all(programmer.read(mark.span) == bytes([area.erased]) * 64 for mark in marks)


@pytest.mark.parametrize("nest", ["wle5", "l072"], indirect=True)
def test_level_2_is_never_programmed_and_the_other_option_bits_stay(nest: Nest) -> None:
    """Level 1, then 0, in the option bytes of the board's file; everything above the RDP byte as it was."""
    options = nest.board.silicon.file
    before = options.options
    nest.programmer.lock()
    assert options.options[0] & 0xFF == 0xBB
    assert options.options[1:] == before[1:]
    nest.power_cycle()
    nest.programmer.connect()
    nest.programmer.unlock()
    assert options.options == before


def test_an_eeprom_key_of_an_l072_goes_with_the_unlock(tmp_path: Path) -> None:
    """The level hides the data EEPROM too, and giving it up erases it."""
    nest = Nest(tmp_path, "l072", CHIPS["l072"])
    try:
        eeprom = nest.mcu.eeprom
        assert eeprom is not None
        nest.programmer.connect()
        nest.programmer.program([], [Segment(eeprom.start, bytes(range(16)))])
        nest.programmer.lock()
        nest.power_cycle()
        nest.programmer.connect()
        assert not nest.readable(eeprom.start)
        assert nest.programmer.unlock()
        nest.power_cycle()
        nest.programmer.connect()
        assert nest.programmer.read(Span(eeprom.start, 16)) == bytes(16)
    finally:
        nest.close()


def test_a_new_nrf52_of_build_code_f0_is_locked_until_it_is_erased(tmp_path: Path) -> None:
    """It says nothing of itself, CTRL-AP opens it, and UICR gets the half of the key that a hardened part wants."""
    nest = Nest(tmp_path, "nrf52", CHIPS["nrf52"])
    try:
        with pytest.raises(ProbeError, match="as when access protection is on"):
            nest.programmer.connect()
        assert hides_itself(nest.programmer)
        assert nest.programmer.survey() == []
        assert nest.programmer.unlock() is False
        assert nest.programmer.read(Span(0x1000_1208, 1)) == b"\x5a"
        assert nest.programmer.connect().unique_id == nest.board.chip_id
    finally:
        nest.close()


@pytest.mark.parametrize("nest", ["nrf52-C0"], indirect=True)
def test_an_early_nrf52_gets_no_value_that_would_lock_it(nest: Nest) -> None:
    """There, 0x5A in UICR is not open: it stays erased, and the board open after a power cycle."""
    assert nest.programmer.unlock() is False
    assert nest.programmer.read(Span(0x1000_1208, 1)) == b"\xff"
    nest.power_cycle()
    nest.programmer.connect()


# -- the step, with the committed firmware


DEV_EUI, JOIN_EUI = Eui64(0x024C4642000F0001), Eui64(0x00005EEF10000001)


class Made(Nest):
    """A WLE5 that the line has written: firmware, and an identity whose key the test made."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "wle5", CHIPS["wle5"])
        self.key = Secret(bytes(range(0x31, 0x41)))  # a fixed one: nothing here passes through the vault
        image = load_image(ROOT / "firmware/endnode-wle5/endnode-wle5.hex", named_by="the test")
        identity = Identity("LK0", DEV_EUI, JOIN_EUI, self.key, None, 1, 5, "demo-locked")
        self.chip: ChipInfo = self.programmer.connect()
        self.programmer.program([], [*image.segments, Segment(IDENTITY, identity_block.encode(identity))])
        self.timeout_s = 5.0
        claim = Claim(DEV_EUI, "written", (), 0, None, 1, None, None)
        self.assignment = Assignment(DEV_EUI, JOIN_EUI, "LK0", 1, self.key.kcv(), "-", claim, None)

    def lock(self, *keys: Secret) -> Closed:
        """The step; without keys it knows check values only."""
        nest = lock_step.Nest(self.programmer, self, self.link, "endnode-wle5")
        return lock_step.lock_board(nest, self.timeout_s, self.chip, self.assignment, Sought(keys, (self.key.kcv(),)))


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    board = Made(tmp_path)
    yield board
    board.close()


def test_no_read_that_a_probe_can_make_finds_the_key_of_a_locked_board(made: Made) -> None:
    """Before the lock the same search finds it, in the flash and in its alias; the firmware still has it."""
    before = [visible.place for visible in joined(made.programmer.survey()) if made.key.reveal() in visible.data]
    assert sorted(before) == ["boot alias", "flash"]
    closed = made.lock(made.key)
    assert closed.kcv == made.key.kcv()
    assert 0x8000 < closed.visible < 0x20000
    assert not any(made.key.reveal()[:8] in visible.data for visible in joined(made.programmer.survey()))


def test_a_lock_that_was_not_set_is_caught(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """A programmer that says yes and does nothing."""
    monkeypatch.setattr(made.programmer, "lock", lambda: None)
    with pytest.raises(LockFailed, match=r"is not in force after the power went off and on, wanted .*; check that"):
        made.lock(made.key)


def test_a_lock_before_a_power_cycle_is_caught(made: Made) -> None:
    """A relay that sticks: the level is set and not in force, and the firmware is blamed for nothing."""
    made.stuck, made.timeout_s = True, 0.5
    with pytest.raises(LockFailed, match=r"not in force .* check that the jig switches the supply"):
        made.lock(made.key)


@pytest.mark.parametrize("known", [True, False], ids=["key known", "check value known"])
@pytest.mark.parametrize("order", ["as it is", "words swapped"])
def test_a_key_left_in_sram1_is_caught(made: Made, order: str, known: bool) -> None:
    """Level 1 does not hide SRAM1; the sentence says where, and never what."""
    key = made.key.reveal()
    made.leak = bytes(44) + (key if order == "as it is" else b"".join(key[n : n + 4][::-1] for n in range(0, 16, 4)))
    with pytest.raises(
        LockFailed, match=r"in sram1 at 0x2000402c of the locked board, wanted none .*; set this"
    ) as told:
        made.lock(*([made.key] if known else []))
    assert key.hex().upper() not in str(told.value).upper()


def test_an_identity_block_left_in_sram1_is_caught(made: Made) -> None:
    """Whoever's it is: also where the run knows neither key nor check value."""
    identity = Identity("LK1", DEV_EUI, JOIN_EUI, Secret(bytes(range(16))), None, 1, 5, "demo-locked")
    made.leak = bytes(7) + identity_block.encode(identity)
    with pytest.raises(LockFailed, match="finds an identity block in sram1 at 0x20004007"):
        made.lock(made.key)


def test_a_board_that_is_silent_after_the_lock_is_set_aside(made: Made) -> None:
    """Locked, and its firmware gone: that is the board's fault."""
    made.programmer.program([Span(0x0800_0000, 0x800)], [])
    made.timeout_s = 0.5
    with pytest.raises(LinkSilent):
        made.lock(made.key)


# -- the line


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def killed(bench: Bench, where: str, *arguments: str) -> None:
    """A run that dies at a turn of `dies_locking`."""
    run = bench.run("-p", "tests_virtual.dies_locking", LOT, *arguments, LORAFAB_DIE=where)
    assert run.status == -9, run.text


def nonce(bench: Bench, board: str = "b1") -> int:
    """DevNonce in a board's flash, read without a line."""
    found = endnode.decode(bench.flash(board)[NVM - 0x0800_0000 :]).counters
    assert found is not None
    return found.dev_nonce


def generation(bench: Bench) -> int:
    """Key generation in the board's identity page."""
    at = IDENTITY - 0x0800_0000
    block = identity_block.decode(bench.flash("b1")[at : at + identity_block.BLOCK_SIZE])
    assert block is not None
    return block.generation


def steps(result: Result) -> dict[str, Any]:
    """Step of the record by the number of its module."""
    return {step["test"][5:7]: step for step in result.record["steps"]}


def test_whatever_kills_the_lock_the_next_run_goes_on_and_passes(bench: Bench) -> None:
    """Before it is set, after it, after the step, after the verdict: one board, four kills, then PASS, one key."""
    killed(bench, "note:locking")
    assert bench.board("b1").exists()
    killed(bench, "lock")
    tested = nonce(bench)
    killed(bench, "passed")
    killed(bench, "note:verdict")
    result = bench.run(LOT)
    assert result.status == 0, result.text
    assert "is recorded as INTERRUPTED" in result.sentences
    assert generation(bench) == 1
    assert nonce(bench) == tested, "no step of the locked board was done again but the lock"
    record, done = result.record, steps(result)
    assert record["lock"]["level"] == "rdp1"
    origin = done["20"]["run"]
    assert origin not in (None, record["run"], record["lock"]["resumed"])
    assert [done[number]["run"] for number in ("30", "40", "50")] == [origin] * 3
    assert [done[number]["run"] for number in ("10", "60")] == [None, None]
    assert done["40"]["measurements"][0]["value"] == tested
    board = bench.lorafab("ledger", "show", result.line[2])
    assert (board["state"], board["proven"]) == ("passed", 1)


def joined_before(bench: Bench, dev_nonce: int) -> None:
    """A blank board whose region has counted so far."""
    board = Board.open(bench.board("b1"))
    try:
        flash, at = board.silicon.file.stores["flash"], NVM - 0x0800_0000
        flash.put(at, endnode.encode(endnode.Counters(dev_nonce, 0, 0, 0xFFFFFFFF, 1)))
        for cell in range(4):
            flash.set_state(at // 8 + cell, 1)
    finally:
        board.close()


def test_an_unlock_that_is_cut_short_again_and_again_repeats_no_dev_nonce(bench: Bench) -> None:
    """Locked at 37; killed after the note, the erase, and while the firmware counts up: at least 53, and a new key."""
    joined_before(bench, 36)
    first = bench.run(LOT)
    assert (first.status, nonce(bench)) == (0, 37), first.text
    permit = "--permit=unlock:connector to be replaced"
    killed(bench, "erased", permit)
    assert bench.lorafab("ledger", "show", first.line[2])["state"] == "reserved"
    assert generation(bench) == 1, "nothing was erased yet"
    killed(bench, "unlock", permit)
    assert set(bench.flash("b1")) == {0xFF}
    killed(bench, "nonce:20")
    assert nonce(bench) == 20
    last = bench.run(LOT)
    assert last.status == 0, last.text
    assert nonce(bench) >= 53
    assert generation(bench) == bench.lorafab("ledger", "show", first.line[2])["proven"] >= 2
    assert "counters_erased" not in bench.lorafab("ledger", "show", first.line[2])


@pytest.mark.parametrize(("lot", "readable"), [("demo-nrf52-locked", 0), ("demo-eeprom-locked", 20 * 1024)])
def test_other_boards_that_die_in_their_lock_go_on(bench: Bench, lot: str, readable: int) -> None:
    """A new nRF52840, opened without a permit, hides even its name; an STM32L072 all but its RAM, the EEPROM too."""
    lot = f"--lot={lot}"
    dead = bench.run("-p", "tests_virtual.dies_locking", lot, LORAFAB_DIE="lock")
    assert dead.status == -9, dead.text
    result = bench.run(lot)
    assert result.status == 0, result.text
    board = bench.lorafab("ledger", "show", result.line[2])
    assert (board["state"], board["proven"], board["attempts"]) == ("passed", 1, 2)
    visible = {one["name"]: one["value"] for one in steps(result)["60"]["measurements"]}["bytes_visible"]
    assert readable <= visible < readable + 512
    assert board["chip_id"] == result.record["chip_id"]
