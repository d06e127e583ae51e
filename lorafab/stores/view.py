"""The ledger's view of its history: small TinyDB files in which one identity is found with one read.

``claims/xx.json``: claim documents by DevEUI, xx = crc32(DevEUI) & 0xff. ``index/xx.json``: label, serial, chip id
and key check value -> DevEUI. 256 files each, so that at 100 000 boards a file has some 400 or 1600 documents. Index
entries are written before the document; one that its document does not confirm is stale and is ignored.
"""

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError
from tinydb.table import Document, Table

from lorafab.domain.identity import Eui64
from lorafab.errors import LedgerError
from lorafab.stores.atomic import make_folder, open_table, remove_leftovers
from lorafab.stores.claims import ClaimDocument, LotDocument, unique_keys


class View:
    """The folders ``claims`` and ``index`` under ``folder``; whoever changes them holds the ledger's lock."""

    def __init__(self, folder: Path) -> None:
        self._claims, self._index, self._lots = folder / "claims", folder / "index", folder / "lots"

    def create(self) -> None:
        """Make the folders durable. Raises LedgerError."""
        make_folder(self._claims, LedgerError)
        make_folder(self._index, LedgerError)
        make_folder(self._lots, LedgerError)

    def clean(self) -> None:
        """Remove temporary files that a killed run left."""
        remove_leftovers(self._claims)
        remove_leftovers(self._index)
        remove_leftovers(self._lots)

    def get(self, dev_eui: Eui64) -> ClaimDocument | None:
        """Find an identity. Raises LedgerError when its file is damaged."""
        path = self._claims / _shard(dev_eui.to_bytes())
        found = open_table(path, "claims", LedgerError).get(doc_id=dev_eui.value)
        return _parse(found, path) if isinstance(found, Document) else None

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
                    f"DevEUI {name} has {kind} {key}, but its claim is missing from {self._claims}: a file was lost; "
                    "stop, and restore the ledger from the backup"
                )
        return [document for _, document in documents if document and (kind, key) in unique_keys(document)]

    def lot(self, name: str) -> LotDocument | None:
        """What is noted of a lot. Raises LedgerError when its file is damaged."""
        found = open_table(self._lots / f"{name}.json", "lot", LedgerError).get(doc_id=1)
        return LotDocument.model_validate(found) if isinstance(found, Document) else None

    def current(self, wanted: ClaimDocument | LotDocument) -> ClaimDocument | LotDocument | None:
        """Find what the view has of the same identity or lot."""
        return self.lot(wanted.lot) if isinstance(wanted, LotDocument) else self.get(Eui64.parse(wanted.dev_eui))

    def apply(self, new: ClaimDocument | LotDocument, previous: ClaimDocument | LotDocument | None) -> None:
        """Bring the view to ``new``: index entries first, the document last; may be repeated. 2 fsyncs a file."""
        if isinstance(new, LotDocument):
            table = open_table(self._lots / f"{new.lot}.json", "lot", LedgerError)
            _put(table, 1, new.model_dump(mode="json"), previous is not None)
            return
        assert not isinstance(previous, LotDocument)
        for kind, key in sorted(unique_keys(new) - (unique_keys(previous) if previous else set())):
            self._point(kind, key, new.dev_eui)
        dev_eui = Eui64.parse(new.dev_eui)
        path = self._claims / _shard(dev_eui.to_bytes())
        _put(open_table(path, "claims", LedgerError), dev_eui.value, new.model_dump(mode="json"), previous is not None)

    def _point(self, kind: str, key: str, dev_eui: str) -> None:
        table, found = self._entry(kind, key)
        wanted = sorted({*found, dev_eui})  # equal serials of several lots, and stale ones, which no reader believes
        if wanted != found:
            _put(table, _number(kind, key), {"kind": kind, "key": key, "dev_euis": wanted}, bool(found))

    def _entry(self, kind: str, key: str) -> tuple[Table, list[str]]:
        path = self._index / _shard(f"{kind}:{key}".encode())
        table = open_table(path, "index", LedgerError)
        entry = table.get(doc_id=_number(kind, key))
        return table, _owners(entry, path) if isinstance(entry, Document) else []

    def index(self) -> dict[tuple[str, str], list[str]]:
        """Read the whole index: (kind, key) -> DevEUIs. Raises LedgerError when a file of it is damaged."""
        whole: dict[tuple[str, str], list[str]] = {}
        for path in sorted(self._index.glob("??.json")):
            for entry in open_table(path, "index", LedgerError):
                whole[(str(entry.get("kind")), str(entry.get("key")))] = _owners(entry, path)
        return whole

    def paths(self) -> Iterator[Path]:
        """Files with claim documents, in order."""
        yield from sorted(self._claims.glob("??.json"))

    def all(self) -> Iterator[ClaimDocument]:
        """Read every document. Raises LedgerError at a damaged file."""
        for path in self.paths():
            yield from self.documents(path)

    def documents(self, path: Path) -> Iterator[ClaimDocument]:
        """Read all documents of one file. Raises LedgerError when it is damaged."""
        for found in open_table(path, "claims", LedgerError):
            document = _parse(found, path)
            if found.doc_id != int(document.dev_eui, 16) or path.name != _shard(bytes.fromhex(document.dev_eui)):
                raise LedgerError(f"{path} is damaged: DevEUI {document.dev_eui} does not belong there; restore it")
            yield document


def _put(table: Table, number: int, document: dict[str, object], exists: bool) -> None:
    if exists:
        table.update(document, doc_ids=[number])
    else:
        table.insert(Document(document, number))


def _shard(key: bytes) -> str:
    return f"{zlib.crc32(key) & 0xFF:02x}.json"


def _number(kind: str, key: str) -> int:
    """TinyDB's document ids are integers: 128 bits of a hash do not collide."""
    return int.from_bytes(hashlib.blake2b(f"{kind}:{key}".encode(), digest_size=16).digest(), "big")


def _owners(entry: Document, path: Path) -> list[str]:
    try:
        return [str(Eui64.parse(name)) for name in entry["dev_euis"]]
    except (KeyError, TypeError, ValueError) as problem:
        raise LedgerError(
            f"{path} is damaged (an index entry without DevEUIs); restore it from the backup"
        ) from problem


def _parse(found: Document, path: Path) -> ClaimDocument:
    try:
        document = ClaimDocument.model_validate(found)
        Eui64.parse(document.dev_eui)
    except (ValidationError, ValueError) as problem:
        raise LedgerError(
            f"{path} is damaged (document {found.doc_id:016X} is no claim); keep a copy of it, then restore it from "
            "the backup"
        ) from problem
    return document
