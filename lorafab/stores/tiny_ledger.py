"""The ledger of one computer, in TinyDB files behind a hash-chained history.

Under ``DATA/ledger/``: ``ledger.json`` (id, schema, written once), ``lock``, ``history.jsonl`` (the truth, see
:mod:`lorafab.stores.history`), ``view/`` (claims, index and lots, see :mod:`lorafab.stores.view`).

A transaction holds the one lock, repairs what a killed run left (a torn last line is cut off, a last entry that is
not yet in the view is applied again), writes its history entry durably, then the view. fsyncs: 9 for a first claim, 3
for a rework or a change of state, 5 for a new key, 7 for two. Nothing that a run does takes longer on a larger ledger.
Several processes may use a ledger, several computers may not.
"""

import uuid
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lorafab.errors import LedgerError
from lorafab.interfaces import Clock
from lorafab.stores.atomic import disk_errors, make_folder, require_space, sync_folder, to_json, write_file
from lorafab.stores.audit import audit_records, audit_view
from lorafab.stores.claims import ClaimDocument
from lorafab.stores.history import Entry, History
from lorafab.stores.ledger import BaseLedger, Change, Document, Work
from lorafab.stores.lock import FileLock, refuse_network
from lorafab.stores.records import RecordStore
from lorafab.stores.view import View

_NEEDED = 4 << 20  # bytes free before a transaction: the files that it writes, a hundred times over
_LOCK_TIMEOUT_S = 30.0  # a transaction takes milliseconds; on slow flash with a queue of stations, seconds


class _About(BaseModel):
    """``ledger.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    schema_version: Literal["lorafab.ledger/2"] = "lorafab.ledger/2"
    ledger_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    driver: Literal["tinydb"] = "tinydb"


class TinyLedger(BaseLedger):
    """The ledger of one computer; made by :meth:`create` or :meth:`open`."""

    def __init__(self, folder: Path, about: _About, clock: Clock, read_only: bool) -> None:
        super().__init__(clock)
        self._folder, self._about, self._read_only = folder, about, read_only
        self._history = History(folder / "history.jsonl", about.ledger_id)
        self._view = View(folder)
        self._last: Entry | None = None
        self._applied = 0  # newest entry of which this process knows that the view has it

    @classmethod
    def create(cls, data_dir: Path, clock: Clock) -> Self:
        """Start a new, empty ledger under ``data_dir``. Raises LedgerError when there is one, or on a network disk."""
        folder = data_dir / "ledger"
        make_folder(folder, LedgerError)
        refuse_network(folder, LedgerError)
        with _lock(folder):
            if (folder / "ledger.json").exists():
                raise LedgerError(f"{folder} already holds a ledger; use it, or choose another data folder")
            _lay_out(folder)
        return cls.open(data_dir, clock)

    @classmethod
    def open(cls, data_dir: Path, clock: Clock, read_only: bool = False) -> Self:
        """Open the ledger under ``data_dir`` and, unless ``read_only``, repair what a killed run left.

        Read-only needs no lock and no write permission, and opens a damaged ledger too, whose questions then raise.
        Raises LedgerError when there is none, or, for writing, when its newest part is damaged.
        """
        folder = data_dir / "ledger"
        ledger = cls(folder, _read_about(folder), clock, read_only)
        if not read_only:
            refuse_network(folder, LedgerError)
            with _lock(folder):
                ledger._recover()
        return ledger

    @classmethod
    def rebuild(cls, data_dir: Path, clock: Clock) -> Self:
        """Make the view (claims, index, lots) anew from the history, all of it or nothing, and open the ledger.

        Raises LedgerError when the history is damaged, or when the view or a record knows of a later entry: then
        the history is what must be restored.
        """
        folder = data_dir / "ledger"
        ledger = cls(folder, _read_about(folder), clock, read_only=False)
        with _lock(folder):
            ledger._refuse_unsound_history(RecordStore(data_dir))
            ledger._view.replace(entry.document for entry in ledger.entries() if isinstance(entry, Entry))
        return cls.open(data_dir, clock)

    @classmethod
    def open_or_create(cls, data_dir: Path, clock: Clock) -> Self:
        """Open the ledger, or start one silently: only the station ``sim`` may do that. Raises LedgerError."""
        folder = data_dir / "ledger"
        if not (folder / "ledger.json").exists():
            make_folder(folder, LedgerError)
            with _lock(folder):
                if not (folder / "ledger.json").exists():
                    refuse_network(folder, LedgerError)
                    _lay_out(folder)
        return cls.open(data_dir, clock)

    @property
    def ledger_id(self) -> str:
        """Which ledger this is, 32 hex digits; a lot names the one that it belongs to."""
        return self._about.ledger_id

    def head(self) -> str:
        """Hash of the newest whole entry of the history, 64 lower-case hex digits. Raises LedgerError."""
        last = self._history.tail()
        return last.hash if last else self._history.genesis

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written into it."""
        return self._history.tail() is None

    def entries(self) -> Iterator[Entry | str]:
        """Walk the whole chain: each entry, and between them one sentence for each thing that is wrong."""
        return self._history.entries()

    def documents(self, lot: str | None = None) -> Iterator[ClaimDocument]:
        """Every identity (of one lot), file by file. Raises LedgerError at a damaged file."""
        return (document for document in self._view.all() if lot is None or document.lot == lot)

    def check(self) -> list[str]:
        """Check everything (see :func:`lorafab.stores.audit.audit_view`); an empty list: the ledger is sound."""
        try:
            with nullcontext() if self._read_only else _lock(self._folder):
                if not self._read_only:
                    with suppress(LedgerError):  # the audit says it again, with the place
                        self._recover()
                    self._view.clean()
                return list(audit_view(self.entries(), self._view))
        except LedgerError as problem:
            return [str(problem)]

    def close(self) -> None:
        """Nothing stays open between calls."""

    # Inside

    def _read(self) -> View:
        return self._view

    def _change(self, work: Work) -> Document:
        if self._read_only:
            raise LedgerError(f"{self._folder} was opened for reading only; open it for writing to change it")
        with _lock(self._folder):
            require_space(self._folder, _NEEDED, LedgerError)
            self._recover()
            change = work(self._view)
            return self._commit(change) if isinstance(change, Change) else change

    def _recover(self) -> None:
        self._view.require()
        self._last = self._history.repair(self._refuse_all_ahead)
        if self._last is None:
            self._refuse_ahead(next(self._view.all(), None), self._last)
            return
        if self._last.seq == self._applied:
            return
        wanted = self._last.document
        current = self._view.current(wanted)
        if current is None or current.seq < wanted.seq:
            self._view.apply(wanted, current)
        self._refuse_ahead(current, self._last)
        self._applied = wanted.seq

    def _refuse_all_ahead(self, last: Entry | None) -> None:
        """What looks torn may have been acknowledged and damaged since: then the view has it."""
        for document in self._view.all():
            self._refuse_ahead(document, last)

    def _refuse_ahead(self, document: Document | None, last: Entry | None) -> None:
        """A claim newer than the newest entry means that acknowledged entries are gone."""
        end = last.seq if last else 0
        if document is not None and document.seq > end:
            raise LedgerError(
                f"the history of {self._folder} ends at entry {end}, but {document.name} was changed by "
                f"entry {document.seq}: the end of the history is lost; stop, and restore the ledger from the backup"
            )

    def _refuse_unsound_history(self, records: RecordStore) -> None:
        problems = [entry for entry in self.entries() if isinstance(entry, str)]
        problems += audit_records(self._history.genesis, self.entries(), records)
        if problems:
            raise LedgerError(
                f"the view cannot be made again from a damaged history ({problems[0]}); restore the history from the "
                "backup first"
            )
        last = self._history.tail()
        for name in self._view.names():
            with suppress(LedgerError):  # damaged: that is why it is made again
                for document in self._view.documents(name):
                    self._refuse_ahead(document, last)

    def _commit(self, change: Change) -> Document:
        self._refuse_ahead(change.previous, self._last)
        now = self._now()
        new = change.new.changed(seq=self._last.seq + 1 if self._last else 1, updated=now)
        self._last = self._history.append(change.entry(now), new, self._last)
        self._view.apply(new, change.previous)
        self._applied = new.seq
        return new


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / "lock", f"the ledger {folder}", LedgerError, _LOCK_TIMEOUT_S)


def _lay_out(folder: Path) -> None:
    """Make an empty ledger; ``ledger.json`` comes last, so that a killed attempt is started over."""
    history = folder / "history.jsonl"
    if history.exists() and history.stat().st_size:
        raise LedgerError(f"{folder} has a history but no ledger.json; restore the ledger from the backup")
    View(folder).create()
    write_file(history, b"", LedgerError)
    path = folder / "ledger.json"
    write_file(path, _about_bytes(_About(ledger_id=uuid.uuid4().hex), path), LedgerError)
    with disk_errors(folder, LedgerError):
        sync_folder(folder.parent)


def _read_about(folder: Path) -> _About:
    path = folder / "ledger.json"
    if not path.exists():
        raise LedgerError(
            f"there is no ledger in {folder}; start one with `lorafab ledger init`, once, on the computer that keeps it"
        )
    with disk_errors(path, LedgerError):
        data = path.read_bytes()
    try:
        about = _About.model_validate(orjson.loads(data))
    except (orjson.JSONDecodeError, ValidationError):
        about = None
    if about is None or _about_bytes(about, path) != data:
        raise LedgerError(
            f"{path} is damaged or of another version of lorafab; restore it from the backup, or use that version"
        )
    return about


def _about_bytes(about: _About, path: Path) -> bytes:
    return to_json(about.model_dump(), path, LedgerError) + b"\n"
