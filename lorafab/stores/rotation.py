"""Who can open the keys of a ledger: counted, tried, and handed on to another public key.

A rotation adds a box and takes none away: the ledger's history keeps all of them. No key touches the disk in clear.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from lorafab.domain.identity import Eui64, KeySlot
from lorafab.errors import VaultError
from lorafab.stores.claims import BoxDocument, ClaimDocument, KeyDocument
from lorafab.stores.keyring import PrivateKey, open_key
from lorafab.stores.ledger import BaseLedger
from lorafab.stores.vault import PublicKey, key_id, seal


@dataclass(frozen=True)
class Holders:
    """Which public keys the keys of a ledger are sealed to."""

    keys: int
    """Root keys, of all generations."""
    opens: dict[str, int]
    """Key id -> how many of them its private half opens."""
    without_escrow: tuple[str, ...]
    """Keys that have no box for the escrow; where none was named, those that one private half alone opens."""


@dataclass(frozen=True)
class Check:
    """What one private half could open."""

    opened: int
    problems: tuple[str, ...]
    """A sentence for each key that it could not."""


@dataclass(frozen=True)
class Rotated:
    """What a rotation did."""

    added: int
    """Boxes that are new."""
    had: int
    """Keys that had a box for the new public key before."""
    problems: tuple[str, ...]
    """A sentence for each key that stays as it was."""


def slots_of(key: KeyDocument) -> tuple[KeySlot, ...]:
    """Root keys of a generation."""
    return ("appkey",) if key.kcv_nwk is None else ("appkey", "nwkkey")


def _place(document: ClaimDocument, key: KeyDocument, slot: KeySlot) -> str:
    return f"{slot} of DevEUI {document.dev_eui}, generation {key.generation}"


def _keys(document: ClaimDocument) -> Iterator[tuple[KeyDocument, KeySlot]]:
    return ((key, slot) for key in document.generations for slot in slots_of(key))


def _ids(key: KeyDocument, slot: KeySlot) -> set[str]:
    return {box.key_id for box in key.boxes if box.slot == slot}


def holders(ledger: BaseLedger, lot: str | None = None, escrow: PublicKey | None = None) -> Holders:
    """Count without opening anything. Raises LedgerError."""
    total, opens, lonely = 0, Counter[str](), []
    for document in ledger.documents(lot):
        for key, slot in _keys(document):
            total += 1
            ids = _ids(key, slot)
            opens.update(ids)
            if len(ids) < 2 if escrow is None else key_id(escrow) not in ids:
                lonely.append(_place(document, key, slot))
    return Holders(total, dict(sorted(opens.items())), tuple(sorted(lonely)))


def check(ledger: BaseLedger, private: PrivateKey, lot: str | None = None) -> Check:
    """Open every key of the ledger and hold it against its check value. Raises LedgerError."""
    opened, problems = 0, []
    for document in ledger.documents(lot):
        for key, slot in _keys(document):
            try:
                open_key(private, Eui64.parse(document.dev_eui), key, slot)
                opened += 1
            except VaultError as problem:
                problems.append(str(problem))
    return Check(opened, tuple(sorted(problems)))


def rotate(
    ledger: BaseLedger, private: PrivateKey, public: PublicKey, lot: str | None = None, *, reason: str, operator: str
) -> Rotated:
    """Seal every key that ``private`` opens to ``public`` as well; one entry of the history a board.

    May be killed and repeated: a key that has its box is passed over. A key that does not open, or is not the one that
    its check value says, stays as it was and is named. Raises LedgerError, VaultError (both halves are of one pair).
    """
    new = key_id(public)
    if new == key_id(private.public_key()):
        raise VaultError(f"the new public key {new} is the other half of the old private key; name another one")
    had = 0
    todo: list[Eui64] = []  # a ledger that is being walked is not changed
    for document in ledger.documents(lot):
        missing = [new not in _ids(key, slot) for key, slot in _keys(document)]
        had += missing.count(False)
        if any(missing):
            todo.append(Eui64.parse(document.dev_eui))
    added, problems = 0, []
    for dev_eui in todo:
        boxes: list[tuple[int, BoxDocument]] = []
        for key in ledger.sealed_keys(dev_eui):
            for slot in slots_of(key):
                if new in _ids(key, slot):
                    continue
                try:
                    sealed = seal(open_key(private, dev_eui, key, slot), public, dev_eui, key.generation, slot)
                except VaultError as problem:
                    problems.append(str(problem))
                    continue
                boxes.append((key.generation, BoxDocument(slot=slot, key_id=sealed.key_id, box=sealed.box)))
        if boxes:
            ledger.rewrap(dev_eui, boxes, reason=reason, operator=operator)
            added += len(boxes)
    return Rotated(added, had, tuple(sorted(problems)))
