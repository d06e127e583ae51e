"""The ledger of one computer, in TinyDB files behind a hash-chained history.

Under ``DATA/ledger/``: ``ledger.json`` (id, schema, written once), ``lock``, ``history.jsonl`` (the truth, see
:mod:`lorafab.stores.history`), ``view/`` (claims, index and lots, see :mod:`lorafab.stores.view`).

A transaction holds the one lock, cuts off a last line that a killed run tore, reads the entries that the view does not
have yet, and writes one entry durably: one fsync. A checkpoint brings them into the view, with one fsync a file: when a
ledger is closed with 12 of them, between boards, or at the latest before the 33rd. Nothing that a run does takes longer
on a larger ledger. Several processes may use a ledger, several computers may not.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lorafab.errors import LedgerError
from lorafab.interfaces import Clock
from lorafab.stores.atomic import disk_errors, make_folder, require_space, sync_folder, to_json, write_file
from lorafab.stores.audit import audit_records, audit_view
from lorafab.stores.claims import ClaimDocument
from lorafab.stores.history import Entry, History, genesis, make_entry
from lorafab.stores.ledger import BaseLedger, Change, Document, Work
from lorafab.stores.lock import FileLock, refuse_network
from lorafab.stores.records import RecordStore
from lorafab.stores.tail import Tail
from lorafab.stores.view import Checkpoint, View

_EARLY, _LATE = 12, 32  # entries between two checkpoints: two boards', or five; reading 32 takes 2 ms
_NEEDED = 4 << 20  # bytes free before a transaction: the files that it writes, a hundred times over
_LOCK_TIMEOUT_S = 30.0  # a transaction takes milliseconds; on slow flash with a queue of stations, seconds


class Moved(BaseModel):
    """Where a ledger went, and the head that its history had then."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    place: str
    head: str


class _About(BaseModel):
    """``ledger.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    schema_version: Literal["lorafab.ledger/2"] = "lorafab.ledger/2"
    ledger_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    driver: Literal["tinydb"] = "tinydb"
    moved: Moved | None = None


class TinyLedger(BaseLedger):
    """The ledger of one computer; made by :meth:`create` or :meth:`open`."""

    def __init__(self, folder: Path, about: _About, clock: Clock, read_only: bool) -> None:
        super().__init__(clock)
        self._folder, self._about, self._read_only = folder, about, read_only
        self._history = History(folder / "history.jsonl", about.ledger_id)
        self._view = View(folder)
        self._tail = Tail(self._view)
        self._seen = Checkpoint(0, self._history.genesis, 0)  # how much of the history this process has read

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
        ledger = cls(folder, _open_about(folder), clock, read_only)
        if not read_only:
            refuse_network(folder, LedgerError)
            with _lock(folder):
                ledger._refresh(repair=True)
        return ledger

    @classmethod
    def rebuild(cls, data_dir: Path, clock: Clock) -> Self:
        """Make the view (claims, index, lots) anew from the history, all of it or nothing, and open the ledger.

        Raises LedgerError when the history is damaged, or when the view or a record knows an entry that it lacks: then
        the history is what must be restored.
        """
        folder = data_dir / "ledger"
        ledger = cls(folder, _open_about(folder), clock, read_only=False)
        with _lock(folder):
            ledger._require_history(RecordStore(data_dir))
            entries = (entry for entry in ledger.entries() if isinstance(entry, Entry))
            ledger._view.replace(entries, ledger._history.genesis)
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

    @staticmethod
    def moved(data_dir: Path) -> tuple[str, Moved | None]:
        """Ledger id, and where the ledger under ``data_dir`` was moved to (None: nowhere). Raises LedgerError."""
        about = _read_about(data_dir / "ledger")
        return about.ledger_id, about.moved

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every process from changing the ledger, while one that was opened read-only is moved away."""
        with _lock(self._folder):
            _open_about(self._folder)
            yield

    def seal(self, place: str) -> None:
        """Close it for ever: it goes on at ``place``. To be called while it is :meth:`held`. Raises LedgerError."""
        path = self._folder / "ledger.json"
        about = self._about.model_copy(update={"moved": Moved(place=place, head=self.head())})
        write_file(path, _about_bytes(about, path), LedgerError)

    @property
    def ledger_id(self) -> str:
        """Which ledger this is, 32 hex digits; a lot names the one that it belongs to."""
        return self._about.ledger_id

    def head(self) -> str:
        """Hash of the newest whole entry of the history, 64 lower-case hex digits. Raises LedgerError."""
        self._refresh()
        return self._seen.hash

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written into it."""
        self._refresh()
        return self._seen.seq == 0

    def entries(self) -> Iterator[Entry | str]:
        """Walk the whole chain: each entry, and between them one sentence for each thing that is wrong."""
        return self._history.entries()

    def documents(self, lot: str | None = None) -> Iterator[ClaimDocument]:
        """Every identity (of one lot), file by file. Raises LedgerError at a damaged file."""
        return (document for document in self._read().all() if lot is None or document.lot == lot)

    def check(self) -> list[str]:
        """Check everything (see :func:`lorafab.stores.audit.audit_view`); an empty list: the ledger is sound.

        One that is, is tidied up: a checkpoint is made, and what killed runs left is removed.
        """
        try:
            with nullcontext() if self._read_only else _lock(self._folder):
                if not self._read_only:
                    with suppress(LedgerError):  # the audit says it again, with the place
                        self._refresh(repair=True)
                problems = list(audit_view(self._history.genesis, self.entries(), self._view))
                if not problems and not self._read_only:
                    self._checkpoint()
                    self._view.clean()
                return problems
        except LedgerError as problem:
            return [str(problem)]

    def close(self) -> None:
        """Bring a view that has fallen behind up to date: between boards, when nobody waits. Never raises.

        Every change is in the history already; a checkpoint that fails here is tried again, and told, by a later run.
        """
        if not self._read_only and len(self._tail.entries) >= _EARLY:
            with suppress(LedgerError), _lock(self._folder):
                self._refresh(repair=True)
                self._checkpoint()

    # Inside

    def _read(self) -> Tail:
        self._refresh()
        return self._tail

    def _change(self, work: Work) -> Document:
        if self._read_only:
            raise LedgerError(f"{self._folder} was opened for reading only; open it for writing to change it")
        with _lock(self._folder):
            _open_about(self._folder)  # it may have been moved since this process opened it
            require_space(self._folder, _NEEDED, LedgerError)
            self._refresh(repair=True)
            if len(self._tail.entries) >= _LATE:
                self._checkpoint()
            change = work(self._tail)
            return self._commit(change) if isinstance(change, Change) else change

    def _commit(self, change: Change) -> Document:
        now = self._now()
        new = change.new.changed(seq=self._seen.seq + 1, updated=now)
        entry = make_entry(change.entry(now), new, self._seen.hash)
        self._take(entry, self._seen.offset + self._history.append(entry))
        return new

    def _refresh(self, repair: bool = False) -> None:
        """Read what other processes have added; ``repair``: under the lock, so that what is torn was left by a kill."""
        checkpoint = self._view.checkpoint()
        if checkpoint.seq > self._seen.seq:
            self._seen, self._tail = checkpoint, Tail(self._view)
        elif self._tail.entries and checkpoint.seq >= self._tail.entries[0].seq:
            self._tail = Tail(self._view, (entry for entry in self._tail.entries if entry.seq > checkpoint.seq))
        read = self._history.since(self._seen.offset, self._seen.hash, self._seen.seq)
        for entry in read.entries:
            self._take(entry, 0)
        self._seen = replace(self._seen, offset=read.end)
        if read.torn and repair:
            entry_left = self._history.repair(read)
            if entry_left is not None:
                self._take(entry_left, read.end + len(read.torn.rstrip(b"\0")) + 1)

    def _take(self, entry: Entry, offset: int) -> None:
        self._tail.add(entry)
        self._seen = Checkpoint(entry.seq, entry.hash, offset)

    def _checkpoint(self) -> None:
        """Bring the tail into the view; the caller holds the lock and has refreshed. May be killed, and repeated."""
        if not self._tail.entries:
            return
        self._view.take(self._tail.entries, self._seen)
        self._tail = Tail(self._view)

    def _require_history(self, records: RecordStore) -> None:
        """Raise LedgerError when the history is damaged, or lacks an entry that the view or a record knows."""
        known = last = Checkpoint(0, self._history.genesis, 0)
        with suppress(LedgerError):  # a damaged view: that is why it is made again
            known = self._view.checkpoint()
        problems = []
        for entry in self.entries():
            if isinstance(entry, str):
                problems.append(entry)
            elif last != known:
                last = last.after(entry)
        if last != known:
            problems.append(f"it lacks entry {known.seq}, from which the view was made")
        problems += audit_records(self._history.genesis, self.entries(), records)
        if problems:
            raise LedgerError(
                f"the view cannot be made again from a damaged history ({problems[0]}); restore the history from the "
                "backup first"
            )


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / "lock", f"the ledger {folder}", LedgerError, _LOCK_TIMEOUT_S)


def _lay_out(folder: Path) -> None:
    """Make an empty ledger; ``ledger.json`` comes last, so that a killed attempt is started over."""
    history = folder / "history.jsonl"
    if (history.exists() and history.stat().st_size) or any((folder / "view").glob("claims/*.json")):
        raise LedgerError(f"{folder} holds boards but no ledger.json; restore the ledger from the backup")
    about = _About(ledger_id=uuid.uuid4().hex)
    View(folder).create(genesis(about.ledger_id))
    write_file(history, b"", LedgerError)
    path = folder / "ledger.json"
    write_file(path, _about_bytes(about, path), LedgerError)
    with disk_errors(folder, LedgerError):
        sync_folder(folder.parent)


def _open_about(folder: Path) -> _About:
    about = _read_about(folder)
    if about.moved is not None:
        raise LedgerError(
            f"the ledger in {folder} was moved to PostgreSQL, {about.moved.place}, and nothing may be claimed here any "
            "more; name the driver postgresql as the station's store, or give --dsn-env"
        )
    return about


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
    return to_json(about.model_dump(exclude_none=True), path, LedgerError) + b"\n"
