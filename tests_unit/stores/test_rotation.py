"""lorafab.stores.rotation: keys are handed on to another public key, none is lost, and who can open what is known."""

from pathlib import Path

import pytest

from lorafab.domain.identity import Eui64, KeySlot
from lorafab.errors import LedgerError, VaultError
from lorafab.interfaces import Claim, ClaimRequest
from lorafab.stores.claims import BoxDocument
from lorafab.stores.keyring import PrivateKey, create_pair, load_private, open_key
from lorafab.stores.rotation import Rotated, check, holders, rotate, slots_of
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.stores.vault import PublicKey, Vault, key_id, load_public
from tests_unit.fakes import FakeClock

WHO = {"reason": "new back office", "operator": "Eve"}
OLD_SLOTS: tuple[KeySlot, ...] = ("appkey",)
NEW_SLOTS: tuple[KeySlot, ...] = ("appkey", "nwkkey")


@pytest.fixture
def pairs(tmp_path: Path) -> dict[str, tuple[PrivateKey, Path]]:
    """Three pairs by name."""
    made = {}
    for name in ("office", "escrow", "next"):
        create_pair(tmp_path / f"{name}.pem", tmp_path / f"{name}.pub", None)
        made[name] = load_private(tmp_path / f"{name}.pem", None), tmp_path / f"{name}.pub"
    return made


@pytest.fixture
def office(pairs: dict[str, tuple[PrivateKey, Path]]) -> PrivateKey:
    return pairs["office"][0]


@pytest.fixture
def new(pairs: dict[str, tuple[PrivateKey, Path]]) -> tuple[PrivateKey, PublicKey]:
    private, public = pairs["next"]
    return private, load_public(public)


def board(
    ledger: TinyLedger, vault: Vault, n: int, *, lot: str = "demo", slots: tuple[KeySlot, ...] = OLD_SLOTS
) -> Claim:
    """Claim a board and give it its next generation."""
    dev_eui = Eui64(0x024C464200000000 + n)
    claim = ledger.claim(
        ClaimRequest(dev_eui, Eui64(1), f"S{n}", f"LW:{n}", f"{n:024X}", lot, f"run-{n}", "A", "Eve"),
    )
    number = len(claim.generations) + 1
    keys = [vault.new_key(dev_eui, number, slot)[1] for slot in slots]
    return ledger.add_key(dev_eui, number, keys, f"run-{n}")


@pytest.fixture
def ledger(tmp_path: Path, pairs: dict[str, tuple[PrivateKey, Path]]) -> TinyLedger:
    """Board 1 with two generations, board 2 of LoRaWAN 1.1, board 3 of another lot and sealed to an escrow too."""
    ledger = TinyLedger.create(tmp_path, FakeClock())
    plain = Vault(pairs["office"][1])
    board(ledger, plain, 1)
    board(ledger, plain, 1)
    board(ledger, plain, 2, slots=NEW_SLOTS)
    board(ledger, Vault(pairs["office"][1], escrow=pairs["escrow"][1]), 3, lot="other")
    return ledger


def ids(private: PrivateKey) -> str:
    return key_id(private.public_key())


def test_who_holds_what_is_counted_without_opening_anything(
    ledger: TinyLedger, pairs: dict[str, tuple[PrivateKey, Path]]
) -> None:
    """Keys of all generations and slots, by key id, and those that no escrow has."""
    found = holders(ledger)
    assert found.keys == 5
    assert found.opens == dict(sorted({ids(pairs["office"][0]): 5, ids(pairs["escrow"][0]): 1}.items()))
    assert found.without_escrow == (
        "appkey of DevEUI 024C464200000001, generation 1",
        "appkey of DevEUI 024C464200000001, generation 2",
        "appkey of DevEUI 024C464200000002, generation 1",
        "nwkkey of DevEUI 024C464200000002, generation 1",
    )
    assert holders(ledger, "other").keys == 1
    assert holders(ledger, "other").without_escrow == ()


def test_with_the_escrow_named_two_boxes_of_others_are_no_escrow(
    ledger: TinyLedger, office: PrivateKey, new: tuple[PrivateKey, PublicKey], pairs: dict[str, tuple[PrivateKey, Path]]
) -> None:
    """After a rotation every key has two owners, and four of five still have none in the safe."""
    rotate(ledger, office, new[1], **WHO)
    assert holders(ledger).without_escrow == ()
    assert len(holders(ledger, escrow=load_public(pairs["escrow"][1])).without_escrow) == 4
    rotate(ledger, office, load_public(pairs["escrow"][1]), **WHO)
    assert holders(ledger, escrow=load_public(pairs["escrow"][1])).without_escrow == ()


def test_a_private_half_that_opens_everything_has_no_problems(ledger: TinyLedger, office: PrivateKey) -> None:
    """Each key was opened and has its check value."""
    assert (check(ledger, office).opened, check(ledger, office).problems) == (5, ())
    assert check(ledger, office, "other").opened == 1


def test_keys_that_do_not_open_are_named(ledger: TinyLedger, pairs: dict[str, tuple[PrivateKey, Path]]) -> None:
    """The escrow has one of five."""
    found = check(ledger, pairs["escrow"][0])
    assert found.opened == 1
    assert len(found.problems) == 4
    assert found.problems[0].startswith("the appkey of DevEUI 024C464200000001, generation 1, is sealed to")


def test_after_a_rotation_the_new_half_opens_everything_and_the_old_one_still_does(
    ledger: TinyLedger, office: PrivateKey, new: tuple[PrivateKey, PublicKey]
) -> None:
    """The keys are the same ones, in the ledger and in its history, with reason and operator; the ledger is sound."""
    before = {
        (document.dev_eui, key.generation, slot): open_key(office, Eui64.parse(document.dev_eui), key, slot)
        for document in ledger.documents()
        for key in document.generations
        for slot in slots_of(key)
    }
    assert rotate(ledger, office, new[1], **WHO) == Rotated(added=5, had=0, problems=())
    for document in ledger.documents():
        for key in document.generations:
            for slot in slots_of(key):
                kept = before[document.dev_eui, key.generation, slot]
                for private in (office, new[0]):
                    assert open_key(private, Eui64.parse(document.dev_eui), key, slot).same_as(kept)
    entries = [entry for entry in ledger.entries() if not isinstance(entry, str) and entry.event == "rewrap"]
    assert len(entries) == 3, "one entry a board"
    assert {(entry.reason, entry.operator) for entry in entries} == {("new back office", "Eve")}
    assert ledger.check() == []


def test_a_repeated_rotation_changes_nothing(
    ledger: TinyLedger, office: PrivateKey, new: tuple[PrivateKey, PublicKey]
) -> None:
    """Not a box and not an entry of the history."""
    rotate(ledger, office, new[1], **WHO)
    head = ledger.head()
    assert rotate(ledger, office, new[1], **WHO) == Rotated(added=0, had=5, problems=())
    assert ledger.head() == head


def test_a_rotation_that_was_cut_short_is_taken_up_again(
    ledger: TinyLedger, office: PrivateKey, new: tuple[PrivateKey, PublicKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done is kept, the rest follows."""
    rewrap, done = ledger.rewrap, list[Eui64]()

    def dies_at_the_second(dev_eui: Eui64, boxes: list[tuple[int, BoxDocument]], **who: str) -> Claim:
        if done:
            raise LedgerError("the power went")
        done.append(dev_eui)
        return rewrap(dev_eui, boxes, **who)

    monkeypatch.setattr(ledger, "rewrap", dies_at_the_second)
    with pytest.raises(LedgerError):
        rotate(ledger, office, new[1], **WHO)
    monkeypatch.undo()
    opened = check(ledger, new[0]).opened
    assert 0 < opened < 5
    assert rotate(ledger, office, new[1], **WHO) == Rotated(added=5 - opened, had=opened, problems=())
    assert check(ledger, new[0]).problems == ()


def test_one_lot_alone_can_be_rotated(
    ledger: TinyLedger, office: PrivateKey, new: tuple[PrivateKey, PublicKey]
) -> None:
    """The others stay as they were."""
    assert rotate(ledger, office, new[1], "other", **WHO).added == 1
    assert holders(ledger).opens[key_id(new[1])] == 1


def test_a_key_that_is_not_what_its_check_value_says_is_not_handed_on(
    ledger: TinyLedger, office: PrivateKey, new: tuple[PrivateKey, PublicKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A box from elsewhere in the ledger, and a box that is damaged: named, and left alone; the rest goes on."""
    one, two = Eui64(0x024C464200000001), Eui64(0x024C464200000002)
    first, second = ledger.sealed_keys(one)
    exchanged = first.model_copy(update={"kcv_app": second.kcv_app})
    damaged = second.model_copy(update={"boxes": (second.boxes[0].model_copy(update={"box": "AAAA"}),)})
    sealed = {one: (exchanged, damaged), two: ledger.sealed_keys(two)}
    monkeypatch.setattr(ledger, "sealed_keys", lambda dev_eui: sealed[dev_eui])
    done = rotate(ledger, office, new[1], "demo", **WHO)
    assert done.added == 2
    assert [("the ledger says" in text, "does not open" in text) for text in done.problems] == [
        (True, False),
        (False, True),
    ]
    monkeypatch.undo()
    assert {box.key_id for key in ledger.sealed_keys(one) for box in key.boxes} == {ids(office)}


def test_a_key_of_other_owners_is_a_problem(
    ledger: TinyLedger, pairs: dict[str, tuple[PrivateKey, Path]], new: tuple[PrivateKey, PublicKey]
) -> None:
    """The escrow hands on what it has, and names what it has not."""
    done = rotate(ledger, pairs["escrow"][0], new[1], **WHO)
    assert (done.added, done.had, len(done.problems)) == (1, 0, 4)


def test_the_other_half_of_the_same_pair_is_refused(ledger: TinyLedger, office: PrivateKey) -> None:
    """Nothing would be gained."""
    with pytest.raises(VaultError, match="is the other half of the old private key; name another one"):
        rotate(ledger, office, office.public_key(), **WHO)


def test_no_key_touches_the_disk(
    ledger: TinyLedger, office: PrivateKey, new: tuple[PrivateKey, PublicKey], tmp_path: Path
) -> None:
    """Neither raw nor as hex, in any file of the ledger."""
    keys = [
        open_key(office, Eui64.parse(document.dev_eui), key, slot).reveal()
        for document in ledger.documents()
        for key in document.generations
        for slot in slots_of(key)
    ]
    rotate(ledger, office, new[1], **WHO)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "ledger").rglob("*") if path.is_file())
    assert len(kept) > 10_000
    for key in keys:
        assert key[:6] not in kept
        assert key.hex()[:12].encode() not in kept.lower()
