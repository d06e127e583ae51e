"""The ledger's history: append-only JSON lines, each with the hash of the one before.

It is the write-ahead log as well. An entry is one line, written and fsynced before anything else changes, and holds
the whole new claim document. The newest hash is repeated in every record, so that a changed, removed or cut-off entry
shows. Only the tail is read in daily work.

Line: canonical JSON (sorted keys, no blanks) with ``seq, time, event, run, station, operator, reason, claim, lot, prev,
hash``, where ``claim`` or ``lot`` is the whole new document and the other null; ``hash`` is SHA-256 over the same JSON
without ``hash``; ``prev`` of entry 1 is derived from the ledger id, so that histories of two ledgers cannot be mixed.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from lorafab.errors import LedgerError
from lorafab.stores.atomic import disk_errors, write_all
from lorafab.stores.claims import ClaimDocument, LotDocument

_BLOCK = 64 * 1024  # bytes read from the end at first: some dozens of entries


class Entry(BaseModel):
    """One change of one identity."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    seq: int
    """1 for the first entry, then without gap."""
    time: str
    event: str
    run: str
    station: str
    operator: str
    reason: str
    claim: ClaimDocument | None = None
    lot: LotDocument | None = None
    prev: str
    hash: str

    @property
    def document(self) -> ClaimDocument | LotDocument:
        """What the entry changed, as it was afterwards."""
        document = self.claim or self.lot
        assert document is not None
        return document

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.claim is None) == (self.lot is None):
            raise ValueError("an entry is about a claim or a lot")
        return self


def genesis(ledger_id: str) -> str:
    """What the first entry of a ledger follows, so that histories of two ledgers cannot be mixed."""
    return hashlib.sha256(f"lorafab/1/ledger/{ledger_id}".encode()).hexdigest()


def make_entry(facts: dict[str, object], new: ClaimDocument | LotDocument, prev: str) -> Entry:
    """Chain a change to the entry with hash ``prev``; ``facts`` are time, event, run, station, operator, reason."""
    kind = "claim" if isinstance(new, ClaimDocument) else "lot"
    entry = Entry.model_validate({**facts, "seq": new.seq, kind: new, "prev": prev, "hash": ""})
    return entry.model_copy(update={"hash": _hash(entry)})


def canonical(entry: Entry) -> bytes:
    """Write an entry as the history keeps it."""
    return orjson.dumps(entry.model_dump(mode="json", exclude_none=False), option=orjson.OPT_SORT_KEYS)


def is_genuine(entry: Entry) -> bool:
    """Whether the entry is as it was written."""
    return entry.hash == _hash(entry) and entry.document.seq == entry.seq


def _hash(entry: Entry) -> str:
    body = entry.model_dump(mode="json", exclude={"hash"})
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


class History:
    """The file ``path`` of the ledger ``ledger_id``; whoever changes it holds the ledger's lock."""

    def __init__(self, path: Path, ledger_id: str) -> None:
        self._path = path
        self.genesis = genesis(ledger_id)

    def tail(self) -> Entry | None:
        """Read the newest whole entry, None when there is none; raises LedgerError when it is damaged."""
        return self._tail()[0]

    def repair(self, check: Callable[[Entry | None], None]) -> Entry | None:
        """Cut off a last line that a crash tore (it was never acknowledged) and return the newest whole entry.

        ``check`` is called before anything is cut, with that entry: it raises when something says that there was a
        later one. Raises LedgerError for a whole line that is damaged: that is no crash, and nothing is cut.
        """
        entry, end, size = self._tail()
        if size > end:
            check(entry)
            with disk_errors(self._path, LedgerError):
                fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
                try:
                    os.ftruncate(fd, end)
                    os.fsync(fd)
                finally:
                    os.close(fd)
        return entry

    def append(self, entry: dict[str, object], new: ClaimDocument | LotDocument, last: Entry | None) -> Entry:
        """Make one entry durable after ``last`` (the file's newest): 1 fsync; on failure the file is as before.

        ``entry`` has time, event, run, station, operator, reason. Raises LedgerError.
        """
        made = make_entry(entry, new, last.hash if last else self.genesis)
        self._append_line(canonical(made) + b"\n")
        return made

    def _append_line(self, line: bytes) -> None:
        with disk_errors(self._path, LedgerError):
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                size = os.fstat(fd).st_size
                try:
                    write_all(fd, line)
                    os.fsync(fd)
                except OSError:
                    with suppress(OSError):  # the next transaction cuts what this cannot
                        os.ftruncate(fd, size)
                    raise
            finally:
                os.close(fd)

    def entries(self) -> Iterator[Entry | str]:
        """Walk the whole chain: each entry, and between them one sentence for each thing that is wrong."""
        prev, seq = self.genesis, 0
        with disk_errors(self._path, LedgerError), self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    yield (
                        f"{self._path}:{number}: the last line is torn; the next transaction cuts it off, unless the "
                        "view knows it"
                    )
                    return
                entry = self._parse(line)
                if isinstance(entry, str):
                    yield f"{self._path}:{number}: {entry}"
                    continue
                if entry.prev != prev or entry.seq != seq + 1:
                    yield (
                        f"{self._path}:{number}: entry {entry.seq} does not follow entry {seq}; "
                        "an entry was removed, added or changed"
                    )
                prev, seq = entry.hash, entry.seq
                yield entry

    def _parse(self, line: bytes) -> Entry | str:
        """Read one line with its newline; a text says what is wrong with it."""
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError:
            return "this line is no entry of a ledger"
        if canonical(entry) + b"\n" != line or not is_genuine(entry):
            return f"entry {entry.seq} was changed after it was written (its hash is wrong)"
        return entry

    def _tail(self) -> tuple[Entry | None, int, int]:
        """Newest whole entry, offset after it, size of the file."""
        with disk_errors(self._path, LedgerError), self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            block = _BLOCK
            while True:
                start = max(0, size - block)
                file.seek(start)
                data = file.read(size - start)
                line, end = _last_line(data, start == 0)
                if line is not None or start == 0:
                    break
                block *= 4
        if line is None:
            return None, 0, size
        entry = self._parse(line)
        if isinstance(entry, str):
            raise LedgerError(f"{self._path}: {entry}; stop, keep a copy of the ledger, and restore it from the backup")
        return entry, start + end, size


def _last_line(data: bytes, from_start: bool) -> tuple[bytes | None, int]:
    """Last whole line in ``data`` and the offset after it; None when its beginning is not in ``data``.

    A line without newline is torn; one with NUL bytes too (a power cut may leave blocks of a grown file unwritten).
    """
    end = data.rfind(b"\n") + 1
    while end:
        begin = data.rfind(b"\n", 0, end - 1) + 1
        if begin == 0 and not from_start:
            return None, 0
        if b"\0" not in data[begin:end]:
            return data[begin:end], end
        end = begin
    return None, 0
