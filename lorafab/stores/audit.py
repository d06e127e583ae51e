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
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from lorafab.domain.identity import KeySlot
from lorafab.errors import LedgerError
from lorafab.stores.claims import BoxDocument, ClaimDocument, LotDocument, unique_keys
from lorafab.stores.history import Entry
from lorafab.stores.records import RecordStore
from lorafab.stores.view import FOLDERS, View, claim_row, index_row, lot_row

Document = ClaimDocument | LotDocument


# Claims and lots


@dataclass
class _Newest:
    """What the history says that the ledger holds."""

    documents: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Name of a claim or lot -> (entry, digest of its newest document)."""
    index: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    """(kind, key) -> DevEUIs that ever had it."""

    def take(self, entries: Iterable[Entry | str]) -> Iterator[str]:
        """Walk the history and say what is wrong with the chain."""
        for entry in entries:
            if isinstance(entry, str):
                yield entry
                continue
            document = entry.document
            self.documents[document.name] = (entry.seq, _digest(_row(document)[2]))
            if isinstance(document, ClaimDocument):
                for pair in unique_keys(document):
                    self.index[pair].add(document.dev_eui)


def _digest(row: bytes) -> bytes:
    """16 bytes that stand for a row, so that a million of them fit into memory."""
    return hashlib.blake2b(row, digest_size=16).digest()


def _compare(newest: _Newest, kept: Iterable[tuple[Document, str]]) -> Iterator[str]:
    """Hold documents, each with its place (text that ends in ": "), against the history and each other."""
    rest = dict(newest.documents)
    owners: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for document, place in kept:
        wanted = rest.pop(document.name, None)
        if wanted is None:
            yield f"{place}{document.name} is in the claims (entry {document.seq}) and missing from the history"
        elif _digest(_row(document)[2]) != wanted[1]:
            yield (
                f"{place}{document.name}: the claim (entry {document.seq}) is not what the history says "
                f"(entry {wanted[0]})"
            )
        if isinstance(document, ClaimDocument):
            for kind, key in unique_keys(document):
                owners[(kind, key, document.lot if kind == "serial" else "")].append(document.dev_eui)
            kcvs = [kcv for made in document.generations for kcv in made.kcvs]
            if len(set(kcvs)) < len(kcvs):
                yield f"{place}{document.name} has two keys with an equal check value: an equal key"
    for name, (seq, _) in sorted(rest.items()):
        yield f"{name} is in the history (entry {seq}) and missing from the claims"
    for (kind, key, _), found in sorted(owners.items()):
        if len(found) > 1:
            named = "key check value (an equal key)" if kind == "kcv" else kind
            yield f"{named} {key} belongs to several DevEUIs: {', '.join(sorted(found))}"


def audit_view(entries: Iterable[Entry | str], view: View) -> Iterator[str]:
    """Hold every row of every file of the view against the history.

    The caller keeps writers out, or a transaction under way shows as a difference. Reads every file: about a minute
    at 100 000 boards.
    """
    newest, lost = _Newest(), []
    yield from newest.take(entries)
    names: dict[str, list[str]] = defaultdict(list)
    for folder in FOLDERS:
        try:
            names[folder.split("/")[0]] += view.files(folder)
        except LedgerError as problem:
            lost.append(str(problem))
    problems: list[str] = []
    yield from _compare(newest, _documents(view, names["claims"] + names["lots"], problems))
    yield from problems
    yield from _indexed(view, set(names["index"]), newest.index)
    yield from lost


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


def _indexed(view: View, found: set[str], wanted: dict[tuple[str, str], set[str]]) -> Iterator[str]:
    files: dict[str, dict[str, bytes]] = defaultdict(dict)
    names: dict[tuple[str, str], tuple[str, str]] = {}
    for (kind, key), dev_euis in wanted.items():
        name, number, row = index_row(kind, key, dev_euis)
        files[name][number] = _digest(row)
        names[(name, number)] = (kind, key)
    for name in sorted(found | files.keys()):
        try:
            rows = view.rows(name) if name in found else {}
        except LedgerError as problem:
            yield str(problem)
            continue
        for number, row in rows.items():
            kept = _digest(orjson.dumps(row, option=orjson.OPT_SORT_KEYS))
            if files[name].pop(number, None) != kept:
                yield f"{view.path(name)}: row {number} of the index is not what the history says"
        for number in files[name]:
            kind, key = names[(name, number)]
            yield f"{view.path(name)}: the index entry for {kind} {key} is missing"


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
