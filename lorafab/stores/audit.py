"""Everything that is kept, held against the one thing that cannot be changed unseen: the chain of the history.

Each function says what is wrong, one sentence for each, with file and row or entry; nothing means that all is sound.
None raises for damage.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from lorafab.domain.identity import KeySlot
from lorafab.errors import LedgerError
from lorafab.stores.claims import BoxDocument, ClaimDocument, LotDocument, unique_keys
from lorafab.stores.history import Entry
from lorafab.stores.records import RecordStore
from lorafab.stores.view import FOLDERS, Checkpoint, View, claim_row, index_row, lot_row

Document = ClaimDocument | LotDocument


# Claims and lots


@dataclass
class _Wanted:
    """What the history says that the view holds: everything up to its checkpoint, and perhaps more.

    A checkpoint that was killed has written some of what comes later; the next one writes it again.
    """

    checkpoint: Checkpoint
    found: bool = False
    """Whether the checkpoint is a place in the history."""
    documents: dict[str, list[tuple[int, bytes]]] = field(default_factory=lambda: defaultdict(list))
    """Name of a claim or lot -> (entry, digest) at the checkpoint, and of each later version."""
    index: dict[tuple[str, str], dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    """(kind, key) -> DevEUIs that ever had it, each with the entry that first said so."""

    keys: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    """DevEUI -> (kind, key, lot of a serial) that only this identity may have, at the end of the history."""

    def take(self, genesis: str, entries: Iterable[Entry | str]) -> Iterator[str]:
        """Walk the history and say what is wrong with the chain."""
        last = Checkpoint(0, genesis, 0)
        self.found = last == self.checkpoint
        for entry in entries:
            if isinstance(entry, str):
                yield entry
                continue
            last = last.after(entry)
            self.found |= last == self.checkpoint
            document = entry.document
            versions = self.documents[document.name]
            if entry.seq <= self.checkpoint.seq:
                versions.clear()
            versions.append((entry.seq, _digest(_row(document)[2])))
            if isinstance(document, ClaimDocument):
                keys = unique_keys(document)
                for pair in keys:
                    self.index[pair].setdefault(document.dev_eui, entry.seq)
                self.keys[document.dev_eui] = [
                    (kind, key, document.lot if kind == "serial" else "") for kind, key in keys
                ]

    def has(self, document: Document) -> bool:
        """Whether this is one of the versions that the view may hold."""
        digest = _digest(_row(document)[2])
        return any(digest == kept for _, kept in self.documents.get(document.name, ()))

    def repeated(self) -> Iterator[str]:
        """What the rules should never have let happen."""
        owners: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        for dev_eui, keys in self.keys.items():
            for key in keys:
                owners[key].append(dev_eui)
        for (kind, key_text, _), found in sorted(owners.items()):
            if len(found) > 1:
                named = "key check value (an equal key)" if kind == "kcv" else kind
                yield f"{named} {key_text} belongs to several DevEUIs: {', '.join(sorted(found))}"

    def due(self, seq: int) -> bool:
        """Whether the view must have what this entry said."""
        return seq <= self.checkpoint.seq


def _digest(row: bytes) -> bytes:
    """16 bytes that stand for a row, so that a million of them fit into memory."""
    return hashlib.blake2b(row, digest_size=16).digest()


def audit_view(genesis: str, entries: Iterable[Entry | str], view: View) -> Iterator[str]:
    """Walk the chain, look for what it gave away twice, and hold every row of every file of the view against it.

    The caller keeps writers out, or a checkpoint under way shows as a difference. Reads every file: about a minute
    at 100 000 boards.
    """
    wanted = _Wanted(Checkpoint(0, genesis, 0))
    try:
        wanted = _Wanted(view.checkpoint())
    except LedgerError as problem:
        yield str(problem)
        wanted.found = True
    yield from wanted.take(genesis, entries)
    yield from wanted.repeated()
    if not wanted.found:
        yield f"the view was made from entry {wanted.checkpoint.seq}, which is not in the history as the view knows it"
    names: dict[str, list[str]] = defaultdict(list)
    for folder in FOLDERS:
        try:
            names[folder] = view.files(folder)
        except LedgerError as problem:
            yield str(problem)
    problems: list[str] = []
    yield from _compare(wanted, _documents(view, names["claims"] + names["lots"], problems))
    yield from problems
    yield from _indexed(view, set(names["index"]), wanted)


def _compare(wanted: _Wanted, kept: Iterable[tuple[Document, str]]) -> Iterator[str]:
    """Hold documents, each with its place (text that ends in ": "), against the history."""
    seen: set[str] = set()
    for document, place in kept:
        seen.add(document.name)
        versions = wanted.documents.get(document.name)
        if versions is None:
            yield f"{place}{document.name} is in the view (entry {document.seq}) and missing from the history"
        elif not wanted.has(document):
            yield (
                f"{place}{document.name} in the view (entry {document.seq}) is not what the history says "
                f"(entry {versions[0][0]})"
            )
    for name, versions in sorted(wanted.documents.items()):
        if name not in seen and wanted.due(versions[0][0]):
            yield f"{name} is in the history (entry {versions[0][0]}) and missing from the view"


def _documents(view: View, names: list[str], problems: list[str]) -> Iterator[tuple[Document, str]]:
    for name in names:
        yield from _of_file(view, name, problems)


def _of_file(view: View, name: str, problems: list[str]) -> Iterator[tuple[Document, str]]:
    try:
        rows = view.rows(name)
    except LedgerError as problem:
        problems.append(str(problem))
        return
    for number, row in rows.items():
        place = f"{view.path(name)}: row {number}: "
        try:
            model = LotDocument if name.startswith("lots/") else ClaimDocument
            document: Document = model.model_validate(row)
            wanted = _row(document)
        except (ValidationError, ValueError):
            problems.append(f"{place}this is no claim or lot")
            continue
        if wanted != (name, number, orjson.dumps(row, option=orjson.OPT_SORT_KEYS)):
            problems.append(f"{place}{document.name} does not belong there, or not in this form")
        else:
            yield document, place


def _indexed(view: View, found: set[str], wanted: _Wanted) -> Iterator[str]:
    rows: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for pair, owners in wanted.index.items():
        name, number, _ = index_row(*pair, owners)
        rows[name][number] = pair
    for name in sorted(found | rows.keys()):
        try:
            kept = view.rows(name) if name in found else {}
        except LedgerError as problem:
            yield str(problem)
            continue
        for number, row in kept.items():
            if number not in rows[name] or not _is_entry(row, rows[name][number], wanted):
                yield f"{view.path(name)}: row {number} of the index is not what the history says"
        for number, pair in rows[name].items():
            if number not in kept and any(map(wanted.due, wanted.index[pair].values())):
                yield f"{view.path(name)}: the index entry for {pair[0]} {pair[1]} is missing"


def _is_entry(row: Any, pair: tuple[str, str], wanted: _Wanted) -> bool:
    """Whether a row of the index leads to everybody whom it must, and to nobody else."""
    owners = wanted.index[pair]
    least = {owner for owner, seq in owners.items() if wanted.due(seq)}
    try:
        kept = set(row["dev_euis"])
    except (KeyError, TypeError):
        return False
    fine = orjson.dumps(row, option=orjson.OPT_SORT_KEYS) == index_row(*pair, kept)[2]
    return fine and least <= kept <= owners.keys()


def _row(document: Document) -> tuple[str, str, bytes]:
    return claim_row(document) if isinstance(document, ClaimDocument) else lot_row(document)


# Records


def audit_records(genesis: str, entries: Iterable[Entry | str], records: RecordStore) -> Iterator[str]:
    """Hold the heads that every record repeats against the chain: a tail that was cut off shows."""
    heads: dict[str, str] = {}
    for record in records.examine():
        if isinstance(record, str):
            yield record
        elif record.ledger_head is not None:
            heads.setdefault(record.ledger_head, record.run)
    heads.pop(genesis, None)
    for entry in entries:
        if not isinstance(entry, str):
            heads.pop(entry.hash, None)
    for head, run in heads.items():
        yield (
            f"the record of run {run} names ledger head {head[:16]}..., which is not in the history: entries were cut "
            "off or changed, or the record was"
        )


# The vault's mirror


class _Box(BaseModel):
    """A file of the mirror, see :mod:`lorafab.stores.vault`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, strict=True)

    class Sealed(BaseModel):
        """One box."""

        model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, strict=True)

        key_id: str
        box: str

    schema_version: Literal["lorafab.box/2"]
    dev_eui: str
    generation: int
    slot: KeySlot
    kcv: str
    boxes: list[Sealed]


@dataclass
class Mirrors:
    """What was found in the vault's mirrors."""

    problems: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    """Sealed, but the run was killed before the ledger took the key: no board holds it. Harmless."""


_NAME = re.compile(r"([0-9A-F]{16})-([0-9]{1,3})-(appkey|nwkkey)-([0-9A-F]{16})\.json", re.ASCII)


def audit_mirrors(entries: Iterable[Entry | str], mirrors: Iterable[Path]) -> Mirrors:
    """Hold the copies of the sealed keys against the history's: each must be in one of the mirrors, and equal."""
    found, folders = Mirrors(), list(mirrors)
    wanted = _sealed(entries)
    missing = set(wanted)
    for folder in folders:
        try:
            paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        except OSError as problem:
            found.problems.append(f"{folder} cannot be read ({problem.strerror})")
            return found
        for path in paths:
            missing.discard(path.name)
            boxes = _boxes(path)
            if isinstance(boxes, str):
                found.problems.append(f"{path} {boxes}")
            elif path.name not in wanted:
                found.orphans.append(str(path))
            elif boxes != wanted[path.name]:
                found.problems.append(f"{path} holds another sealed key than the ledger")
    if folders:
        found.problems += [f"{name} is in the ledger and in no mirror" for name in sorted(missing)]
    return found


def _sealed(entries: Iterable[Entry | str]) -> dict[str, set[BoxDocument]]:
    """Name in the mirror -> boxes, as they were first sealed: later ones, for a new public key, are not copied."""
    wanted: dict[str, set[BoxDocument]] = {}
    for entry in entries:
        if isinstance(entry, str) or entry.claim is None:
            continue
        for made in entry.claim.generations:
            for slot, kcv in (("appkey", made.kcv_app), ("nwkkey", made.kcv_nwk)):
                name = f"{entry.claim.dev_eui}-{made.generation}-{slot}-{kcv}.json"
                if kcv is not None and name not in wanted:
                    wanted[name] = {box for box in made.boxes if box.slot == slot}
    return wanted


def _boxes(path: Path) -> set[BoxDocument] | str:
    """The boxes of one file; a text says what is wrong with it."""
    parts = _NAME.fullmatch(path.name)
    if parts is None:
        return "is no sealed key, by its name"
    try:
        data = path.read_bytes()
        box = _Box.model_validate(orjson.loads(data))
    except OSError as problem:
        return f"cannot be read ({problem.strerror})"
    except (orjson.JSONDecodeError, ValidationError):
        return "is damaged (no sealed key)"
    if orjson.dumps(box.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS) + b"\n" != data:
        return "is damaged (not as lorafab writes it)"
    if (box.dev_eui, str(box.generation), box.slot, box.kcv) != parts.groups():
        return f"holds the key of DevEUI {box.dev_eui}, generation {box.generation}, which is not what its name says"
    return {BoxDocument(slot=box.slot, key_id=sealed.key_id, box=sealed.box) for sealed in box.boxes}
