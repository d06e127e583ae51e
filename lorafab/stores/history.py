"""The ledger's history: append-only JSON lines, each with the hash of the one before.

It is the write-ahead log as well. An entry is one line, written and fsynced before anything else changes, and holds
the whole new claim document. The newest hash is repeated in every record, so that a changed, removed or cut-off entry
shows. Only the end that the view does not have yet is read in daily work.

Line: canonical JSON (sorted keys, no blanks) with ``seq, time, event, run, station, operator, reason, claim, lot, prev,
hash``, where ``claim`` or ``lot`` is the whole new document and the other null; ``hash`` is SHA-256 over the same JSON
without ``hash``; ``prev`` of entry 1 is derived from the ledger id, so that histories of two ledgers cannot be mixed.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from lorafab.errors import LedgerError
from lorafab.stores.atomic import disk_errors, write_all
from lorafab.stores.claims import ClaimDocument, LotDocument

_SECTOR = 512  # bytes that a disk writes whole or not at all


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
    return orjson.dumps(entry.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)


def is_genuine(entry: Entry) -> bool:
    """Whether the entry is as it was written."""
    return entry.hash == _hash(entry) and entry.document.seq == entry.seq


def _hash(entry: Entry) -> str:
    body = entry.model_dump(mode="json", exclude={"hash"})
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def chained(found: Iterable[tuple[str, Entry | str]], start: str) -> Iterator[Entry | str]:
    """Hold entries against each other, the first against hash ``start``; ``found`` has the place of each.

    Gives the entries, and between them one sentence for each thing that is wrong: with one (a text), or with the chain.
    """
    prev, seq = start, 0
    for place, entry in found:
        if isinstance(entry, str):
            yield f"{place}: {entry}"
            continue
        if entry.prev != prev or entry.seq != seq + 1:
            yield f"{place}: entry {entry.seq} does not follow entry {seq}; an entry was removed, added or changed"
        prev, seq = entry.hash, entry.seq
        yield entry


@dataclass(frozen=True)
class Read:
    """What :meth:`History.since` found."""

    entries: list[Entry]
    end: int
    """Offset after the last whole entry."""
    torn: bytes
    """What comes after it: the beginning of a line that was never acknowledged."""


class History:
    """The file ``path`` of the ledger ``ledger_id``; whoever changes it holds the ledger's lock."""

    def __init__(self, path: Path, ledger_id: str) -> None:
        self._path = path
        self.genesis = genesis(ledger_id)

    def since(self, offset: int, prev: str, seq: int) -> "Read":
        """Read the entries from byte ``offset`` on, which follow entry ``seq`` with hash ``prev``.

        Raises LedgerError for a history that ends before ``offset``, and for a whole line that is damaged: that is no
        crash, and nothing may be cut.
        """
        with disk_errors(self._path, LedgerError), self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(min(offset, size))
            data = file.read()
        if size < offset:
            raise LedgerError(
                f"{self._path} ends at byte {size}, but had {offset} at entry {seq}: the end of the history is lost; "
                "stop, and restore the ledger from the backup"
            )
        *lines, torn = data.split(b"\n")
        if lines and not torn and _is_torn(lines[-1], offset + len(data) - 1 - len(lines[-1])):
            torn = lines.pop() + b"\n"
        entries: list[Entry] = []
        for line in lines:
            entry = self._parse(line + b"\n")
            if not isinstance(entry, str) and (entry.prev, entry.seq) != (prev, seq + 1):
                entry = f"entry {entry.seq} does not follow entry {seq}"
            if isinstance(entry, str):
                raise LedgerError(_stop(self._path, entry))
            entries.append(entry)
            prev, seq = entry.hash, entry.seq
        return Read(entries, offset + len(data) - len(torn), torn)

    def repair(self, read: "Read") -> Entry | None:
        """Put an end to what :meth:`since` read, durably (1 fsync), before anything is appended.

        A last line that a crash tore was never acknowledged and is cut off; one that lacks its newline only is
        completed and returned. Raises LedgerError for one whose newline became another character: no crash does that.
        """
        whole = self._parse(read.torn.rstrip(b"\0") + b"\n")
        if isinstance(whole, str) and not isinstance(self._parse(read.torn[:-1] + b"\n"), str):
            raise LedgerError(_stop(self._path, "the newline of the last entry was changed"))
        with disk_errors(self._path, LedgerError):
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                if isinstance(whole, str):
                    os.ftruncate(fd, read.end)
                else:
                    os.ftruncate(fd, read.end + len(read.torn.rstrip(b"\0")))
                    write_all(fd, b"\n")
                os.fsync(fd)
            finally:
                os.close(fd)
        return None if isinstance(whole, str) else whole

    def append(self, entry: Entry) -> int:
        """Make one entry durable after the file's newest: 1 fsync; on failure the file is as before.

        Returns how many bytes it has. Raises LedgerError.
        """
        line = canonical(entry) + b"\n"
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
        return len(line)

    def entries(self) -> Iterator[Entry | str]:
        """Walk the whole chain: each entry, and between them one sentence for each thing that is wrong."""
        return chained(self._lines(), self.genesis)

    def _lines(self) -> Iterator[tuple[str, Entry | str]]:
        with disk_errors(self._path, LedgerError), self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                place = f"{self._path}:{number}"
                if not line.endswith(b"\n"):
                    yield place, "the last line is torn; the next transaction cuts it off"
                    return
                yield place, self._parse(line)

    def _parse(self, line: bytes) -> Entry | str:
        """Read one line with its newline; a text says what is wrong with it."""
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError:
            return "this line is no entry of a ledger"
        if canonical(entry) + b"\n" != line or not is_genuine(entry):
            return f"entry {entry.seq} was changed after it was written (its hash is wrong)"
        return entry


def _is_torn(line: bytes, start: int) -> bool:
    """Whether a whole line that begins at byte ``start`` has sectors that a power cut left unwritten: all NUL.

    NUL bytes elsewhere are damage.
    """
    holes = [hole.span() for hole in re.finditer(b"\0+", line)]
    return bool(holes) and all(
        (begin == 0 or (start + begin) % _SECTOR == 0) and (end == len(line) or (start + end) % _SECTOR == 0)
        for begin, end in holes
    )


def _stop(path: Path, what: str) -> str:
    return f"{path}: {what}; stop, keep a copy of the ledger, and restore it from the backup"
