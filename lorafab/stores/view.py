"""The ledger's view of its history: small TinyDB files in which one identity is found with one read.

``view/claims/xx/yy.json``: claim documents by DevEUI, xxyy = crc32(DevEUI) & 0xffff. ``view/index/xx/yy.json``: label,
serial, chip id and key check value -> DevEUI. ``view/lots/<lot>.json``. With 65 536 files of each kind a file has one
or two claims at 100 000 boards and 15 at 1 000 000, so that the cost of a change does not grow (measured in
docs/decisions/0001). All folders are made with the ledger: one that is missing later was lost.

Index entries are written before the document; one that its document does not confirm is stale and is ignored. Every
byte of the view follows from the history, so that it can be held against it, and be made again.
"""

import hashlib
import os
import shutil
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError
from tinydb.table import Document, Table

from lorafab.domain.identity import Eui64
from lorafab.errors import LedgerError
from lorafab.stores.atomic import disk_errors, open_table, remove_leftovers, sync_folder
from lorafab.stores.claims import ClaimDocument, LotDocument, unique_keys

_KINDS = ("claims", "index", "lots")
_TABLES = {"claims": "claims", "index": "index", "lots": "lot"}
FOLDERS = ("lots", *(f"{kind}/{number:02x}" for kind in ("claims", "index") for number in range(256)))
"""Where the files of a view lie; every one is made with it."""
_REBUILD = "make the view again with `lorafab ledger check --rebuild`"

Rows = dict[str, Any]


class View:
    """The folder ``view`` under ``folder``; whoever changes it holds the ledger's lock."""

    def __init__(self, folder: Path) -> None:
        self._parent = folder
        self._root = folder / "view"

    # Making

    def create(self) -> None:
        """Make an empty view, durably. Raises LedgerError."""
        self.replace(())

    def require(self) -> None:
        """Raise LedgerError when the view is gone: it must not be taken for an empty one."""
        for kind in _KINDS:
            self._require(kind)

    def replace(self, history: Iterable[ClaimDocument | LotDocument]) -> None:
        """Make the whole view from all documents that the history ever had, in order, and swap it in.

        A kill leaves the old view or the new one, or, between two renames, none, which every user of it refuses.
        Takes about 3 kB of memory a board. Raises LedgerError.
        """
        new, old = (self._root.with_name(f"view.{name}") for name in ("new", "old"))
        files = _files(history)
        with disk_errors(new, LedgerError):
            for leftover in (new, old):
                shutil.rmtree(leftover, ignore_errors=True)
            for name in FOLDERS:
                (new / name).mkdir(parents=True)
            for kind in ("", *_KINDS):
                sync_folder(new / kind)
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
        """Remove temporary files that killed runs left. Looks into every folder."""
        for name in FOLDERS:
            remove_leftovers(self._root / name)

    # Asking

    def get(self, dev_eui: Eui64) -> ClaimDocument | None:
        """Find an identity. Raises LedgerError when its file is damaged."""
        name = _shard("claims", dev_eui.to_bytes())
        found = self._table(name).get(doc_id=dev_eui.value)
        return self._parse(found, str(dev_eui.value), name) if isinstance(found, Document) else None

    def holders(self, kind: str, key: str, settled: bool = False) -> list[ClaimDocument]:
        """Identities that have this label, serial, chip or kcv, as their documents confirm.

        ``settled`` says that no transaction is pending: then an index entry without a document is not early but
        orphaned, its file of claims is lost, and LedgerError is raised before an identity is given away twice.
        """
        found = self._entry(kind, key)[1]
        documents = [(name, self.get(Eui64.parse(name))) for name in found]
        for name, document in documents:
            if settled and document is None:
                raise LedgerError(
                    f"DevEUI {name} has {kind} {key}, but its claim is missing from {self._root}: a file was lost; "
                    f"stop, and {_REBUILD}"
                )
        return [document for _, document in documents if document and (kind, key) in unique_keys(document)]

    def lot(self, name: str) -> LotDocument | None:
        """What is noted of a lot. Raises LedgerError when its file is damaged."""
        path = f"lots/{name}.json"
        found = self._table(path).get(doc_id=1)
        try:
            return LotDocument.model_validate(found) if isinstance(found, Document) else None
        except ValidationError as problem:
            raise LedgerError(f"{self._root / path} is damaged (this is no lot); {_REBUILD}") from problem

    def current(self, wanted: ClaimDocument | LotDocument) -> ClaimDocument | LotDocument | None:
        """Find what the view has of the same identity or lot."""
        return self.lot(wanted.lot) if isinstance(wanted, LotDocument) else self.get(Eui64.parse(wanted.dev_eui))

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

    def apply(self, new: ClaimDocument | LotDocument, previous: ClaimDocument | LotDocument | None) -> None:
        """Bring the view to ``new``: index entries first, the document last; may be repeated. 2 fsyncs a file."""
        if isinstance(new, LotDocument):
            _put(self._table(f"lots/{new.lot}.json"), 1, new.model_dump(mode="json"), previous is not None)
            return
        assert not isinstance(previous, LotDocument)
        for kind, key in sorted(unique_keys(new) - (unique_keys(previous) if previous else set())):
            self._point(kind, key, new.dev_eui)
        dev_eui = Eui64.parse(new.dev_eui)
        table = self._table(_shard("claims", dev_eui.to_bytes()))
        _put(table, dev_eui.value, new.model_dump(mode="json"), previous is not None)

    def _point(self, kind: str, key: str, dev_eui: str) -> None:
        table, found = self._entry(kind, key)
        wanted = sorted({*found, dev_eui})  # equal serials of several lots, and stale ones, which no reader believes
        if wanted != found:
            _put(table, _number(kind, key), {"kind": kind, "key": key, "dev_euis": wanted}, bool(found))

    def _entry(self, kind: str, key: str) -> tuple[Table, list[str]]:
        name = _shard("index", f"{kind}:{key}".encode())
        table = self._table(name)
        entry = table.get(doc_id=_number(kind, key))
        return table, self._owners(entry, name) if isinstance(entry, Document) else []

    # Checking

    def names(self) -> Iterator[str]:
        """Every file of the view, as ``kind/...``, but for temporary ones. Raises LedgerError for a lost folder."""
        for folder in FOLDERS:
            yield from self.files(folder)

    def files(self, folder: str) -> list[str]:
        """The :meth:`names` of one of the `FOLDERS`. Raises LedgerError when it is lost."""
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
            rows = tables[_TABLES[name.split("/")[0]]]
            if tables and orjson.dumps(tables, option=orjson.OPT_SORT_KEYS) == data and len(tables) == 1:
                return dict(rows)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            pass
        raise LedgerError(f"{path} is damaged (not as lorafab writes it)")

    # Inside

    def _table(self, name: str) -> Table:
        self._require(os.path.dirname(name))
        return open_table(self._root / name, _TABLES[name.split("/")[0]], LedgerError)

    def _require(self, folder: str) -> None:
        if not (self._root / folder).is_dir():
            raise LedgerError(f"{self._root / folder} is missing, and with it who has which identity; {_REBUILD}")

    def _owners(self, entry: Document, name: str) -> list[str]:
        try:
            return [str(Eui64.parse(owner)) for owner in entry["dev_euis"]]
        except (KeyError, TypeError, ValueError) as problem:
            raise LedgerError(
                f"{self._root / name} is damaged (an index entry without DevEUIs); {_REBUILD}"
            ) from problem

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


def expected_rows(history: Iterable[ClaimDocument | LotDocument]) -> Iterator[tuple[str, str, bytes]]:
    """Every row of the view that follows from all documents that the history ever had, in order."""
    newest: dict[tuple[str, str], bytes] = {}
    index: dict[tuple[str, str], set[str]] = defaultdict(set)
    for document in history:
        if isinstance(document, LotDocument):
            name, number, row = lot_row(document)
        else:
            name, number, row = claim_row(document)
            for pair in unique_keys(document):
                index[pair].add(document.dev_eui)
        newest[(name, number)] = row
    for (name, number), row in newest.items():
        yield name, number, row
    for (kind, key), dev_euis in index.items():
        yield index_row(kind, key, dev_euis)


def _files(history: Iterable[ClaimDocument | LotDocument]) -> dict[str, dict[str, bytes]]:
    files: dict[str, dict[str, bytes]] = defaultdict(dict)
    for name, number, row in expected_rows(history):
        files[name][number] = row
    return files


def _file(name: str, rows: dict[str, bytes]) -> bytes:
    """What TinyDB and our storage write for these rows."""
    table = {number: orjson.Fragment(rows[number]) for number in sorted(rows)}
    return orjson.dumps({_TABLES[name.split("/")[0]]: table})


def _json(row: object) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_SORT_KEYS)


def _put(table: Table, number: int, document: dict[str, object], exists: bool) -> None:
    if exists:
        table.update(document, doc_ids=[number])
    else:
        table.insert(Document(document, number))


def _shard(kind: str, key: bytes) -> str:
    number = zlib.crc32(key)
    return f"{kind}/{number >> 8 & 0xFF:02x}/{number & 0xFF:02x}.json"


def _number(kind: str, key: str) -> int:
    """TinyDB's document ids are integers: 128 bits of a hash do not collide."""
    return int.from_bytes(hashlib.blake2b(f"{kind}:{key}".encode(), digest_size=16).digest(), "big")
