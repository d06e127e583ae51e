"""lorafab.steps.identity: who a board becomes, decided and durable before a byte of key leaves for it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lorafab.domain import identity_block
from lorafab.domain.identity import Eui64, Identity, KeySlot
from lorafab.domain.identity_block import BlockState
from lorafab.domain.memory_map import Segment
from lorafab.domain.secret import Secret
from lorafab.errors import BoundElsewhere, ForeignIdentity, LedgerError, ReadProtected, VaultError
from lorafab.interfaces import ClaimRequest, SealedKey
from lorafab.steps.identity import Assignment, Wanted, assign
from lorafab.steps.identity_page import PageStore
from lorafab.stores.keyring import demo_paths, ensure_demo, load_private, open_key
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.stores.vault import Vault
from tests_unit.fakes import IDENTITY, MEMORY, FakeBoard, FakeClock, FakeProgrammer

Ask = Callable[..., ClaimRequest]
Give = Callable[..., Assignment]
PAGE = IDENTITY.start
KEY = bytes(range(16))


def put(board: FakeBoard, identity: Identity) -> None:
    """Write a block as an earlier run did."""
    board.erase(IDENTITY)
    board.program(Segment(PAGE, identity_block.encode(identity)))


def written(board: FakeBoard, ledger: TinyLedger, assignment: Assignment, run: str = "run-1") -> Identity:
    """Bring an assignment to the board, as the next steps of the run do."""
    assert assignment.to_write is not None
    put(board, assignment.to_write)
    ledger.mark_written(assignment.dev_eui, assignment.generation, run)
    return assignment.to_write


def stranger(n: int = 77) -> Identity:
    """An identity that no ledger of ours ever gave."""
    return Identity(f"X{n}", Eui64(0x70B3D50000000000 + n), Eui64(0x70B3D57ED0000000), Secret(KEY), None, 1, 5, "demo")


# --- what lies in the page ---


def test_an_erased_page_is_blank(programmer: FakeProgrammer) -> None:
    """No block, and nothing damaged."""
    found = PageStore(programmer, MEMORY).look()
    assert (found.state, found.held) == (BlockState.BLANK, None)


def test_a_whole_block_is_read(board: FakeBoard, programmer: FakeProgrammer) -> None:
    """As it was encoded."""
    put(board, stranger())
    found = PageStore(programmer, MEMORY).look()
    assert found.state is BlockState.VALID
    assert found.held is not None
    assert (found.held.dev_eui, found.held.serial) == (stranger().dev_eui, "X77")
    assert found.held.kcv_app == Secret(KEY).kcv()
    assert found.keys[0].same_as(Secret(KEY))


@pytest.mark.parametrize("word", range(12))
def test_a_torn_word_damages_the_block_and_not_the_run(board: FakeBoard, programmer: FakeProgrammer, word: int) -> None:
    """A power cut inside the block is told as a damaged block, wherever it hit."""
    put(board, stranger())
    board.torn.add(PAGE + 8 * word)
    found = PageStore(programmer, MEMORY).look()
    assert (found.state, found.held) == (BlockState.DAMAGED, None)


def test_a_hidden_flash_is_read_out_protection_and_no_foreign_identity(
    board: FakeBoard, programmer: FakeProgrammer
) -> None:
    """Every word of the block and the flash's first refuse: nobody is offered a permit to overwrite."""
    board.torn |= {PAGE + at for at in range(0, 96, 8)} | {MEMORY.flash.start}
    with pytest.raises(ReadProtected, match="read-out protection is on, wanted an open chip; set the board aside"):
        PageStore(programmer, MEMORY).look()


def test_a_page_whose_erase_was_cut_is_damaged(board: FakeBoard, programmer: FakeProgrammer) -> None:
    """Every word of the block refuses, the rest of the flash does not."""
    board.torn |= {PAGE + at for at in range(0, 96, 8)}
    assert PageStore(programmer, MEMORY).look().state is BlockState.DAMAGED


# --- a new board ---


def test_a_blank_board_gets_a_key_that_is_sealed_before_it_is_written(
    board: FakeBoard, ledger: TinyLedger, give: Give, ask: Ask, tmp_path: Path
) -> None:
    """Another process finds binding and box in the ledger; the box opens to the key; the board has none of it yet."""
    given = give(ask())
    assert given.to_write is not None
    assert (given.generation, given.to_write.generation, given.claim.state) == (1, 1, "reserved")
    other = TinyLedger.open(tmp_path, FakeClock())
    kept = other.find(board.chip_id)
    assert kept is not None
    assert (kept["dev_eui"], kept["label"]) == (str(given.dev_eui), ask().label)
    [key] = other.sealed_keys(given.dev_eui)
    opened = open_key(load_private(demo_paths(tmp_path)[0], None), given.dev_eui, key, "appkey")
    assert opened.same_as(given.to_write.app_key)
    assert key.kcv_app == given.kcv_app == opened.kcv()
    assert (key.kcv_nwk, given.kcv_nwk) == (None, None)
    assert not board.programmed


def test_the_identity_says_what_lot_and_label_say(give: Give, ask: Ask, wanted: Wanted) -> None:
    """DevEUI and serial of the label, JoinEUI, region and name of the lot; LoRaWAN 1.0.x has no NwkKey."""
    identity = give(ask(7)).to_write
    assert identity is not None
    assert (identity.dev_eui, identity.serial) == (ask(7).dev_eui, "LF00000007")
    assert (identity.join_eui, identity.region, identity.lot) == (wanted.join_eui, wanted.region, wanted.lot)
    assert identity.nwk_key is None


# --- LoRaWAN 1.1 ---


@pytest.fixture
def give_1_1(programmer: FakeProgrammer, ledger: TinyLedger, vault: Vault, wanted: Wanted) -> Give:
    """A lot of LoRaWAN 1.1 boards."""
    both = replace(wanted, slots=("appkey", "nwkkey"))
    return lambda request: assign(PageStore(programmer, MEMORY).look(), request, both, ledger, vault, permit=False)


def test_a_1_1_board_gets_two_keys_each_sealed_by_itself(
    board: FakeBoard, ledger: TinyLedger, give_1_1: Give, ask: Ask, tmp_path: Path
) -> None:
    """Different ones, both durable before one is written; the block has both, and the flag of LoRaWAN 1.1."""
    given = give_1_1(ask())
    assert given.to_write is not None
    assert given.to_write.nwk_key is not None
    [key] = ledger.sealed_keys(given.dev_eui)
    private = load_private(demo_paths(tmp_path)[0], None)
    app, nwk = (open_key(private, given.dev_eui, key, slot) for slot in ("appkey", "nwkkey"))
    assert app.same_as(given.to_write.app_key)
    assert nwk.same_as(given.to_write.nwk_key)
    assert not app.same_as(nwk)
    assert (key.kcv_app, key.kcv_nwk) == (given.kcv_app, given.kcv_nwk) == (app.kcv(), nwk.kcv())
    block = identity_block.encode(given.to_write)
    assert (block[5], block[24:40], block[40:56]) == (1, app.reveal(), nwk.reveal())
    assert not board.programmed


def test_rework_of_a_1_1_board_keeps_both_keys(board: FakeBoard, ledger: TinyLedger, give_1_1: Give, ask: Ask) -> None:
    """Nothing to write, the same check values."""
    first = give_1_1(ask())
    written(board, ledger, first)
    again = give_1_1(ask(run="run-2"))
    assert again.to_write is None
    assert (again.generation, again.kcv_app, again.kcv_nwk) == (1, first.kcv_app, first.kcv_nwk)


def test_a_board_that_lacks_one_of_the_two_keys_gets_both_anew(
    board: FakeBoard, ledger: TinyLedger, give: Give, give_1_1: Give, ask: Ask
) -> None:
    """The lot went from 1.0.4 to 1.1: the key on the board is not enough."""
    written(board, ledger, give(ask()))
    again = give_1_1(ask(run="run-2"))
    assert again.to_write is not None
    assert again.to_write.nwk_key is not None
    assert again.generation == 2


def test_another_nwk_key_on_the_board_is_not_kept(
    board: FakeBoard, ledger: TinyLedger, give_1_1: Give, ask: Ask
) -> None:
    """Nobody could open it later."""
    put(board, replace(written(board, ledger, give_1_1(ask())), nwk_key=Secret(KEY)))
    assert give_1_1(ask(run="run-2")).generation == 2


def test_an_assignment_never_prints_its_key(give: Give, ask: Ask) -> None:
    """pytest would put it on the screen."""
    given = give(ask())
    assert given.to_write is not None
    assert given.to_write.app_key.reveal().hex().upper() not in repr(given).upper()


# --- rework ---


def test_rework_keeps_the_key_on_the_board(board: FakeBoard, ledger: TinyLedger, give: Give, ask: Ask) -> None:
    """A key that the ledger knows stays: nothing to write, the same check value, no new generation."""
    first = give(ask())
    written(board, ledger, first)
    again = give(ask(run="run-2"))
    assert again.to_write is None
    assert (again.generation, again.kcv_app) == (1, first.kcv_app)
    assert (again.claim.attempts, len(again.claim.generations)) == (2, 1)


def test_a_block_torn_while_it_was_written_gets_the_next_generation(
    board: FakeBoard, ledger: TinyLedger, give: Give, ask: Ask
) -> None:
    """A retry adds a key and never replaces one: both stay in the ledger."""
    first = give(ask())
    written(board, ledger, first)
    board.torn.add(PAGE + 32)
    again = give(ask(run="run-2"))
    assert again.to_write is not None
    assert again.generation == 2
    assert again.kcv_app != first.kcv_app
    assert [one.kcv_app for one in ledger.sealed_keys(first.dev_eui)] == [first.kcv_app, again.kcv_app]


def test_a_run_killed_before_it_wrote_leaves_its_key_unused(give: Give, ask: Ask) -> None:
    """The page is still blank: whether the old key was ever on the board is unknown, so the next one is drawn."""
    first = give(ask())
    again = give(ask(run="run-2"))
    assert (first.generation, again.generation) == (1, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"app_key": Secret(KEY)},
        {"join_eui": Eui64(0x70B3D57ED0000009)},
        {"serial": "LF00000009"},
        {"region": 8},
        {"region": None},
        {"lot": "other"},
        {"generation": 3},
        {"nwk_key": Secret(KEY)},
    ],
    ids=str,
)
def test_a_block_that_differs_in_anything_is_written_anew(
    board: FakeBoard, ledger: TinyLedger, give: Give, ask: Ask, change: dict[str, object]
) -> None:
    """Only a block that says all of what this board should say may stay."""
    identity = written(board, ledger, give(ask()))
    put(board, replace(identity, **change))  # type: ignore[arg-type]
    again = give(ask(run="run-2"))
    assert again.to_write is not None
    assert again.generation == 2


def test_after_a_rebind_the_old_key_is_not_kept(board: FakeBoard, ledger: TinyLedger, give: Give, ask: Ask) -> None:
    """A new label for the same chip: the next run adds a generation, and the ledger takes it as read back."""
    first = give(ask())
    written(board, ledger, first)
    label = "LW:D0:NEW STICKER"
    ledger.rebind(
        first.dev_eui, label=label, chip_id=board.chip_id, reason="sticker burnt", operator="Eve", run="bench-1"
    )
    again = give(ask(run="run-2", label=label))
    assert again.to_write is not None, "a key that the ledger retired was kept"
    assert again.generation == 2
    assert ledger.mark_written(again.dev_eui, again.generation, "run-2").state == "written"


# --- foreign boards ---


def test_a_strangers_identity_is_refused_and_nothing_is_claimed(
    board: FakeBoard, ledger: TinyLedger, give: Give, ask: Ask
) -> None:
    """The sentence names what was found, what was wanted, and the permit that would overwrite it."""
    put(board, stranger())
    with pytest.raises(ForeignIdentity) as caught:
        give(ask())
    sentence = str(caught.value)
    assert f"holds {stranger().dev_eui}" in sentence
    assert f"not what this ledger has for chip {board.chip_id}" in sentence
    assert f"label DevEUI {ask().dev_eui}" in sentence
    assert "--permit=overwrite-identity:REASON" in sentence
    assert KEY.hex().upper() not in sentence.upper()
    assert list(ledger.all_claims()) == []


def test_something_unreadable_on_an_unknown_chip_is_refused(board: FakeBoard, give: Give, ask: Ask) -> None:
    """It may be another maker's key."""
    board.program(Segment(PAGE, b"not a block at all......"))
    with pytest.raises(ForeignIdentity, match="holds something unreadable"):
        give(ask())


@pytest.mark.parametrize("run", ["run-1", "run-2"])
@pytest.mark.parametrize("page", ["same DevEUI", "damaged"])
def test_a_claim_alone_makes_no_identity_ours(
    board: FakeBoard, ledger: TinyLedger, give: Give, ask: Ask, page: str, run: str
) -> None:
    """Firmware that takes its identity is flashed before it can be asked, and label and chip are bound before that: in
    that run and in the next one, what another ledger put on the board is refused as on a chip that nobody knows."""
    if page == "damaged":
        board.program(Segment(PAGE, b"not a block at all......"))
    else:
        put(board, replace(stranger(), dev_eui=ask().dev_eui))
    ledger.claim(ask())
    ledger.mark_writing(ask().dev_eui, "run-1")
    with pytest.raises(ForeignIdentity, match="--permit=overwrite-identity:REASON"):
        give(ask(run=run))
    assert give(ask(run=run), permit=True).generation == 1


def test_a_permit_overwrites_a_strangers_identity(board: FakeBoard, give: Give, ask: Ask) -> None:
    """With it the board becomes a new one."""
    put(board, stranger())
    given = give(ask(), permit=True)
    assert given.to_write is not None
    assert given.to_write.dev_eui == ask().dev_eui


def test_a_known_chip_with_another_boards_identity_needs_the_permit(
    board: FakeBoard, ledger: TinyLedger, give: Give, ask: Ask
) -> None:
    """Somebody wrote another board's block on it: no key is drawn, until somebody takes it on himself."""
    first = give(ask())
    put(board, stranger())
    with pytest.raises(ForeignIdentity, match=str(stranger().dev_eui)):
        give(ask(run="run-2"))
    assert len(ledger.sealed_keys(first.dev_eui)) == 1
    assert give(ask(run="run-3"), permit=True).generation == 2


@pytest.mark.parametrize("permit", [False, True])
def test_a_label_on_two_chips_is_refused(
    board: FakeBoard, ledger: TinyLedger, give: Give, ask: Ask, permit: bool
) -> None:
    """No permit helps, and no key is drawn: that is for `ledger rebind`."""
    give(ask())
    board.chip_id = "4C4656429999999999999999"
    with pytest.raises(BoundElsewhere, match="ledger rebind"):
        give(ask(run="run-2", chip_id=board.chip_id), permit=permit)
    assert len(ledger.sealed_keys(ask().dev_eui)) == 1


def test_two_labels_on_one_chip_are_refused(ledger: TinyLedger, give: Give, ask: Ask) -> None:
    """The first label stays the board's, the second stays free."""
    give(ask(1))
    with pytest.raises(BoundElsewhere, match=str(ask(1).dev_eui)):
        give(ask(2, run="run-2"))
    assert not ledger.is_used(ask(2).dev_eui)


def test_a_vault_that_cannot_seal_stops_before_a_key_is_known(
    programmer: FakeProgrammer, ledger: TinyLedger, ask: Ask, wanted: Wanted, tmp_path: Path
) -> None:
    """The mirror's disk is gone: the ledger has the binding, no key, and the next run goes on from there."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    vault = Vault(ensure_demo(tmp_path), mirror)
    mirror.rmdir()
    with pytest.raises(VaultError, match="mirror"):
        assign(PageStore(programmer, MEMORY).look(), ask(), wanted, ledger, vault, permit=False)
    assert ledger.sealed_keys(ask().dev_eui) == ()
    mirror.mkdir()
    given = assign(PageStore(programmer, MEMORY).look(), ask(run="run-2"), wanted, ledger, vault, permit=False)
    assert given.generation == 1


# --- weak keys ---

DEFAULT = Secret(bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C"))


@pytest.mark.parametrize(
    ("key", "name"), [(DEFAULT, "LoRaMac-node's default key"), (Secret(bytes(16)), "a key of bytes 00 only")]
)
def test_a_weak_key_on_the_board_is_replaced_and_told(
    board: FakeBoard, ledger: TinyLedger, give: Give, ask: Ask, key: Secret, name: str
) -> None:
    """The rest of the block is this board's own."""
    first = written(board, ledger, give(ask()))
    put(board, replace(first, app_key=key))
    given = give(ask(run="run-2"))
    assert given.generation == 2
    assert given.findings == (f"the board came with {name}, which is no secret; this run gives it its own key",)


def test_a_board_with_a_key_of_its_own_is_no_finding(
    board: FakeBoard, ledger: TinyLedger, give: Give, ask: Ask
) -> None:
    """Neither a blank one, nor one that comes back."""
    first = give(ask())
    written(board, ledger, first)
    assert first.findings == give(ask(run="run-2")).findings == ()


class StuckVault(Vault):
    """Draws the same key again and again."""

    key = DEFAULT

    def new_key(self, dev_eui: Eui64, generation: int, slot: KeySlot) -> tuple[Secret, SealedKey]:
        """Seal it as any other."""
        _, sealed = super().new_key(dev_eui, generation, slot)
        return self.key, replace(sealed, kcv=self.key.kcv())


def test_a_weak_key_is_never_ours(
    board: FakeBoard, programmer: FakeProgrammer, ledger: TinyLedger, wanted: Wanted, ask: Ask, tmp_path: Path
) -> None:
    """Not even when the ledger has it, as from a vault that drew everything."""
    stuck = StuckVault(ensure_demo(tmp_path))
    first = assign(PageStore(programmer, MEMORY).look(), ask(), wanted, ledger, stuck, permit=False)
    written(board, ledger, first)
    vault = Vault(ensure_demo(tmp_path))
    again = assign(PageStore(programmer, MEMORY).look(), ask(run="run-2"), wanted, ledger, vault, permit=False)
    assert again.generation == 2
    assert again.kcv_app != DEFAULT.kcv()


def test_a_key_that_another_board_has_is_not_given_out(
    programmer: FakeProgrammer, ledger: TinyLedger, wanted: Wanted, ask: Ask, tmp_path: Path
) -> None:
    """The ledger refuses it before anything could be written."""
    stuck = StuckVault(ensure_demo(tmp_path))
    look = PageStore(programmer, MEMORY).look
    assign(look(), ask(1), wanted, ledger, stuck, permit=False)
    with pytest.raises(
        LedgerError, match=f"has check value {DEFAULT.kcv()}, which DevEUI {ask(1).dev_eui} already has"
    ):
        assign(look(), ask(2, chip_id="4C46564200000000000000AA"), wanted, ledger, stuck, permit=False)
    assert ledger.sealed_keys(ask(2).dev_eui) == ()
