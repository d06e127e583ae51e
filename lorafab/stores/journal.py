"""The journal: what a run was about to do, on disk before it did it.

``DATA/journal/<station>/<run>.jsonl``: one JSON line an event, each fsynced, the file locked for the run's life. A
journal that nobody locks is an orphan: its run was killed, and the next start on that station makes an INTERRUPTED
attempt of it. A finished journal is deleted rather than kept, because it is closed only after the record is durable,
and the record says the same and more; what still lies there is then always something to look at.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from lorafab.errors import RecordError, StationBusy
from lorafab.interfaces import Clock
from lorafab.stores.atomic import disk_errors, make_folder, sync_folder, to_json, write_all
from lorafab.stores.lock import FileLock, try_flock
from lorafab.stores.records import checked_run
from lorafab.stores.stamp import utc_text

_STATION = re.compile(r"[0-9A-Za-z_][0-9A-Za-z._-]{0,63}", re.ASCII)
_NEW = ".new"


def _folder(data_dir: Path, station: str) -> Path:
    if not _STATION.fullmatch(station):
        raise RecordError(f"{station[:80]!r} is no station's name; one has letters, digits, dots, dashes and _")
    folder = data_dir / "journal" / station
    make_folder(folder, RecordError)
    return folder


class StationLock(FileLock):
    """One run per station: held for the run's life, tried once.

    ``acquire`` raises StationBusy ("station sim is in use by pid 123 (run ...); wait for it to end or stop it").
    """

    def __init__(self, data_dir: Path, station: str, run: str = "") -> None:
        path = _folder(data_dir, station) / "station.lock"
        super().__init__(path, f"station {station}", StationBusy, timeout_s=0, note=f"run {run}" if run else "")


class RunJournal:
    """The journal of the run that is going on; made by :meth:`start`."""

    def __init__(self, path: Path, fd: int, clock: Clock) -> None:
        self.path = path
        self._fd: int | None = fd
        self._clock = clock
        self._seq = 0

    @classmethod
    def start(cls, data_dir: Path, station: str, run_id: str, facts: Mapping[str, Any], clock: Clock) -> Self:
        """Begin a journal with an event ``start`` that carries ``facts`` (JSON-ready, never a key).

        It appears locked and with its first line, or not at all. Raises RecordError, also when the run has one.
        """
        path = _folder(data_dir, station) / f"{checked_run(run_id)}.jsonl"
        new = path.with_name(f".{path.name}{_NEW}")
        with disk_errors(path, RecordError):
            if path.exists():
                raise RecordError(f"{path} exists: a run id was used twice; start again with a new one")
            fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o666)
        journal = cls(path, fd, clock)
        try:
            try_flock(fd)  # nobody else knows the file yet
            journal.note("start", run=run_id, station=station, pid=os.getpid(), facts=dict(facts))
            with disk_errors(path, RecordError):
                os.rename(new, path)
                sync_folder(path.parent)
        except BaseException:
            journal.leave()
            new.unlink(missing_ok=True)
            raise
        return journal

    def note(self, event: str, **facts: Any) -> None:
        """Add one event, durably (1 fsync). Raises RecordError, also for facts that JSON cannot hold."""
        if self._fd is None:
            raise RecordError(f"{self.path} is closed, and {event} came after it; this is a fault of the run")
        self._seq += 1
        line = {"time": utc_text(self._clock.now()), "seq": self._seq, "event": event, "facts": facts}
        data = to_json(line, self.path, RecordError) + b"\n"
        with disk_errors(self.path, RecordError):
            size = os.fstat(self._fd).st_size
            try:
                write_all(self._fd, data)
                os.fsync(self._fd)
            except OSError:
                os.ftruncate(self._fd, size)  # so that the next line does not continue half of this one
                raise

    def close(self, final: str) -> None:
        """Note the end with the verdict ``final`` and delete the journal; only after the record is durable.

        Raises RecordError.
        """
        self.note("end", verdict=final)
        with disk_errors(self.path, RecordError):
            self.path.unlink()
            sync_folder(self.path.parent)
        self.leave()

    def leave(self) -> None:
        """Let go without an end: the record could not be kept, so the next start finds an orphan. May be repeated."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)


@dataclass(frozen=True)
class OrphanJournal:
    """What a killed run left."""

    run: str
    station: str
    path: Path
    events: tuple[Mapping[str, Any], ...]
    """In order, each with ``time``, ``seq``, ``event``, ``facts``; the first is ``start``."""
    unreadable: int
    """Lines that are no events; 1 is usual, for a last line that the kill tore."""

    def set_aside(self) -> Path:
        """Move it to ``unreadable/``, where no start looks; returns where it is now. Raises RecordError."""
        folder = self.path.parent / "unreadable"
        make_folder(folder, RecordError)
        with disk_errors(self.path, RecordError):
            os.replace(self.path, folder / self.path.name)
            sync_folder(folder)
        return folder / self.path.name

    def settle(self) -> None:
        """Delete it, after the INTERRUPTED record is durable. Raises RecordError."""
        with disk_errors(self.path, RecordError):
            self.path.unlink(missing_ok=True)
            sync_folder(self.path.parent)


def orphans(data_dir: Path, station: str) -> Iterator[OrphanJournal]:
    """Journals of this station that no living process holds; each stays locked until the next one is asked for.

    To be called under the :class:`StationLock`. The run may have ended after its record was kept: appending an
    INTERRUPTED record then changes nothing (:meth:`RecordStore.append`). Raises RecordError.
    """
    folder = _folder(data_dir, station)
    for leftover in folder.glob(f".*{_NEW}"):
        leftover.unlink(missing_ok=True)  # killed before its first line was durable: nothing was done yet
    for path in sorted(path for path in folder.glob("*.jsonl") if path.is_file()):
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            if try_flock(fd) and path.exists():  # a run that ends deletes it while it holds the lock
                events, unreadable = _events(path)
                yield OrphanJournal(path.stem, station, path, events, unreadable)
        finally:
            os.close(fd)


def _events(path: Path) -> tuple[tuple[Mapping[str, Any], ...], int]:
    with disk_errors(path, RecordError):
        lines = path.read_bytes().splitlines()
    events: list[Mapping[str, Any]] = []
    for line in lines:
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(event, dict) and {"time", "seq", "event", "facts"} <= event.keys():
            events.append(event)
    return tuple(events), len(lines) - len(events)
