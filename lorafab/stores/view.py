"""The ledger's view of its history up to a checkpoint: small TinyDB files, of which one names any identity.

``view/claims/xxxx.json``: claim documents by DevEUI, xxxx = crc32(DevEUI) & 0xffff. ``view/index/xxxx.json``: label,
serial, chip id and key check value -> DevEUI. ``view/lots/<lot>.json``. With 65 536 files of each kind a file has one
or two claims at 100 000 boards and 15 at 1 000 000, so that the cost of a change does not grow (measured in
docs/decisions/0001). The folders are made with the ledger: one that is missing later was lost.

``view/checkpoint.json`` says how much of the history the files have; it is written after them, so that a checkpoint
that was killed is made once more. An index entry that its document does not confirm is stale and is ignored. Every byte
of the view follows from the history, so that it can be held against it, and be made again.
"""

import hashlib
import os
import re
import shutil
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError
from tinydb.table import Document, Table

from lorafab.domain.identity import Eui64
from lorafab.errors import LedgerError
from lorafab.stores.atomic import Batch, disk_errors, open_table, remove_leftovers, sync_folder, write_file
from lorafab.stores.claims import ClaimDocument, LotDocument, unique_keys
from lorafab.stores.history import Entry, canonical

FOLDERS = {"claims": "claims", "index": "index", "lots": "lot"}
"""Folder of a view -> table in its files."""

_CHECKPOINT = "checkpoint.json"
_REBUILD = "make the view again with `lorafab ledger check --rebuild`"

Rows = dict[str, Any]
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Checkpoint:
    """How much of the history a view has."""

    seq: int
    """Newest entry that it has; 0 for none."""
    hash: str
    """Of that entry, or the ledger's genesis."""
    offset: int
    """Bytes of the history up to and with that entry."""

    def after(self, entry: Entry) -> "Checkpoint":
        """The one behind the next entry."""
        return Checkpoint(entry.seq, entry.hash, self.offset + len(canonical(entry)) + 1)

    def to_bytes(self) -> bytes:
        """As the file holds it."""
        return _json(asdict(self)) + b"\n"


class View:
    """The folder ``view`` under ``folder``; whoever changes it holds the ledger's lock."""

    def __init__(self, folder: Path) -> None:
        self._parent = folder
        self._root = folder / "view"

    # Making

    def create(self, genesis: str) -> None:
        """Make the view of an empty history, durably. Raises LedgerError."""
        self.replace((), genesis)

    def replace(self, history: Iterable[Entry], genesis: str) -> None:
        """Make the whole view from all entries of a history, in order, and swap it in.

        A kill leaves the old view or the new one, or, between two renames, none, which every user of it refuses.
        Takes about 5 kB of memory a board. Raises LedgerError.
        """
        new, old = (self._root.with_name(f"view.{name}") for name in ("new", "old"))
        files, checkpoint = _files(history, genesis)
        with disk_errors(new, LedgerError):
            for leftover in (new, old):
                shutil.rmtree(leftover, ignore_errors=True)
            for name in FOLDERS:
                (new / name).mkdir(parents=True)
            write_file(new / _CHECKPOINT, checkpoint.to_bytes(), LedgerError)
            for name, rows in files.items():
                (new / name).write_bytes(_file(name, rows))
            if files:
                os.sync()  # one call for all files, where an fsync of each takes a minute
            if self._root.exists():
                os.rename(self._root, old)
            os.rename(new, self._root)
            sync_folder(self._parent)
            shutil.rmtree(old, ignore_errors=True)

    def clean(self) -> None:
        """Remove temporary files that killed runs left. Looks at every file's name."""
        for name in (".", *FOLDERS):
            remove_leftovers(self._root / name)

    def checkpoint(self) -> Checkpoint:
        """Read how much of the history the view has.

        Raises LedgerError when that is damaged, or when the view is gone: it must not be taken for an empty one.
        """
        for folder in FOLDERS:
            self._require(folder)
        path = self._root / _CHECKPOINT
        if not path.exists():
            raise LedgerError(f"{path} is missing, and with it what the view is worth; {_REBUILD}")
        with disk_errors(path, LedgerError):
            data = path.read_bytes()
        with suppress(orjson.JSONDecodeError, TypeError):
            found = Checkpoint(**orjson.loads(data))
            if found.to_bytes() == data and isinstance(found.hash, str) and _HASH.fullmatch(found.hash):
                return found
        raise LedgerError(f"{path} is damaged; {_REBUILD}")

    # Asking

    def get(self, dev_eui: Eui64) -> ClaimDocument | None:
        """Find an identity. Raises LedgerError when its file is damaged."""
        name = _shard("claims", dev_eui.to_bytes())
        found = self._table(name).get(doc_id=dev_eui.value)
        return self._parse(found, str(dev_eui.value), name) if isinstance(found, Document) else None

    def owners(self, kind: str, key: str, batch: Batch | None = None) -> list[str]:
        """DevEUIs that ever had this label, serial, chip or kcv (``batch``: as it will be). Raises LedgerError."""
        name = _shard("index", f"{kind}:{key}".encode())
        entry = self._table(name, batch).get(doc_id=_number(kind, key))
        try:
            return [str(Eui64.parse(owner)) for owner in entry["dev_euis"]] if isinstance(entry, Document) else []
        except (KeyError, TypeError, ValueError) as problem:
            raise LedgerError(
                f"{self._root / name} is damaged (an index entry without DevEUIs); {_REBUILD}"
            ) from problem

    def lot(self, name: str) -> LotDocument | None:
        """What is noted of a lot. Raises LedgerError when its file is damaged."""
        path = f"lots/{name}.json"
        found = self._table(path).get(doc_id=1)
        try:
            return LotDocument.model_validate(found) if isinstance(found, Document) else None
        except ValidationError as problem:
            raise LedgerError(f"{self._root / path} is damaged (this is no lot); {_REBUILD}") from problem

    def all(self) -> Iterator[ClaimDocument]:
        """Read every claim document. Raises LedgerError at a damaged file."""
        for name in self.names():
            yield from self.documents(name)

    def documents(self, name: str) -> Iterator[ClaimDocument]:
        """Read the claim documents of one file of :meth:`names`. Raises LedgerError when it is damaged."""
        if name.startswith("claims/"):
            for number, row in self.rows(name).items():
                yield self._parse(row, number, name)

    # Changing

    def take(self, entries: Iterable[Entry], checkpoint: Checkpoint) -> None:
        """Bring the view up to ``checkpoint`` with the entries since the last one; may be killed, and repeated.

        One fsync a file that changes, and some more. Raises LedgerError.
        """
        batch = Batch()
        newest: dict[str, ClaimDocument | LotDocument] = {}
        for entry in entries:
            newest[entry.document.name] = entry.document
            if entry.claim is not None:
                self._point(batch, entry.claim)
        for document in newest.values():
            name, number, _ = claim_row(document) if isinstance(document, ClaimDocument) else lot_row(document)
            _put(self._table(name, batch), Document(document.model_dump(mode="json"), int(number)))
        batch.commit()
        write_file(self._root / _CHECKPOINT, checkpoint.to_bytes(), LedgerError)

    def _point(self, batch: Batch, claim: ClaimDocument) -> None:
        """Have the index lead to this version of a claim, beside those that had the same keys before."""
        for kind, key in unique_keys(claim):
            found = self.owners(kind, key, batch)
            if claim.dev_eui not in found:
                row = {"kind": kind, "key": key, "dev_euis": sorted([*found, claim.dev_eui])}
                name = _shard("index", f"{kind}:{key}".encode())
                _put(self._table(name, batch), Document(row, _number(kind, key)))

    # Checking

    def names(self) -> Iterator[str]:
        """Every file of the view, as ``kind/...``, but for temporary ones. Raises LedgerError for a lost folder."""
        for folder in FOLDERS:
            yield from self.files(folder)

    def files(self, folder: str) -> list[str]:
        """The :meth:`names` in one folder. Raises LedgerError when it is lost."""
        self._require(folder)
        with disk_errors(self._root / folder, LedgerError):
            return [f"{folder}/{name}" for name in sorted(os.listdir(self._root / folder)) if name[0] != "."]

    def path(self, name: str) -> Path:
        """Where a file of :meth:`names` lies."""
        return self._root / name

    def rows(self, name: str) -> Rows:
        """Read a file of :meth:`names` strictly: row id -> row. Raises LedgerError unless lorafab wrote it so."""
        path = self._root / name
        with disk_errors(path, LedgerError):
            data = path.read_bytes()
        try:
            tables = orjson.loads(data)
            rows = tables[FOLDERS[name.split("/")[0]]]
            if tables and orjson.dumps(tables, option=orjson.OPT_SORT_KEYS) == data and len(tables) == 1:
                return dict(rows)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            pass
        raise LedgerError(f"{path} is damaged (not as lorafab writes it)")

    # Inside

    def _table(self, name: str, batch: Batch | None = None) -> Table:
        folder = name.split("/")[0]
        self._require(folder)
        path = self._root / name
        return open_table(path, FOLDERS[folder], LedgerError) if batch is None else batch.table(path, FOLDERS[folder])

    def _require(self, folder: str) -> None:
        if not (self._root / folder).is_dir():
            raise LedgerError(f"{self._root / folder} is missing, and with it who has which identity; {_REBUILD}")

    def _parse(self, row: Any, number: str, name: str) -> ClaimDocument:
        path = self._root / name
        try:
            document = ClaimDocument.model_validate(row)
            dev_eui = Eui64.parse(document.dev_eui)
        except (ValidationError, ValueError) as problem:
            raise LedgerError(f"{path} is damaged (row {number} is no claim); {_REBUILD}") from problem
        if (name, number) != (_shard("claims", dev_eui.to_bytes()), str(dev_eui.value)):
            raise LedgerError(f"{path} is damaged ({document.name} does not belong there); {_REBUILD}")
        return document


def claim_row(document: ClaimDocument) -> tuple[str, str, bytes]:
    """File, row id and row (canonical JSON) of a claim."""
    dev_eui = Eui64.parse(document.dev_eui)
    return _shard("claims", dev_eui.to_bytes()), str(dev_eui.value), _json(document.model_dump(mode="json"))


def lot_row(document: LotDocument) -> tuple[str, str, bytes]:
    """File, row id and row (canonical JSON) of a lot."""
    return f"lots/{document.lot}.json", "1", _json(document.model_dump(mode="json"))


def index_row(kind: str, key: str, dev_euis: Iterable[str]) -> tuple[str, str, bytes]:
    """File, row id and row (canonical JSON) of an index entry."""
    row = {"kind": kind, "key": key, "dev_euis": sorted(dev_euis)}
    return _shard("index", f"{kind}:{key}".encode()), str(_number(kind, key)), _json(row)


def _files(history: Iterable[Entry], genesis: str) -> tuple[dict[str, dict[str, bytes]], Checkpoint]:
    """File -> row id -> row, as they follow from a whole history, and where it ends."""
    files: dict[str, dict[str, bytes]] = defaultdict(dict)
    index: dict[tuple[str, str], set[str]] = defaultdict(set)
    last = Checkpoint(0, genesis, 0)
    for entry in history:
        document = entry.document
        name, number, row = claim_row(document) if isinstance(document, ClaimDocument) else lot_row(document)
        files[name][number] = row
        if isinstance(document, ClaimDocument):
            for pair in unique_keys(document):
                index[pair].add(document.dev_eui)
        last = last.after(entry)
    for (kind, key), dev_euis in index.items():
        name, number, row = index_row(kind, key, dev_euis)
        files[name][number] = row
    return files, last


def _file(name: str, rows: dict[str, bytes]) -> bytes:
    """What TinyDB and our storage write for these rows."""
    table = {number: orjson.Fragment(rows[number]) for number in sorted(rows)}
    return orjson.dumps({FOLDERS[name.split("/")[0]]: table})


def _json(row: object) -> bytes:
    # A copy: what orjson returns keeps the 4 kB in which it was written, which a million rows would multiply.
    return bytes(memoryview(orjson.dumps(row, option=orjson.OPT_SORT_KEYS)))


def _put(table: Table, row: Document) -> None:
    """Insert or replace; TinyDB's upsert would keep fields of the older row that the new one leaves out."""

    def replace(old: Any) -> None:
        old.clear()
        old.update(row)

    if not table.update(replace, doc_ids=[row.doc_id]):
        table.insert(row)


def _shard(kind: str, key: bytes) -> str:
    return f"{kind}/{zlib.crc32(key) & 0xFFFF:04x}.json"


def _number(kind: str, key: str) -> int:
    """TinyDB's document ids are integers: 128 bits of a hash do not collide."""
    return int.from_bytes(hashlib.blake2b(f"{kind}:{key}".encode(), digest_size=16).digest(), "big")
