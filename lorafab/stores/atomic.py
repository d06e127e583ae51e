"""Files that are whole or absent, after a kill, a power cut or a full disk alike.

TinyDB's own ``JSONStorage`` overwrites its one file in place and truncates it afterwards: a kill in between, a
second process or a full disk makes every record in it unreadable. Here a file is written beside its old version,
synced and renamed over it, and the folder is synced: 2 fsyncs a replaced file. Nothing here locks; that is
:mod:`lorafab.stores.lock`.
"""

import errno
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
from tinydb import Storage, TinyDB
from tinydb.table import Table

from lorafab.errors import LedgerError, StationError

# EFBIG: a file size limit (ulimit -f) is hit like a full disk, and cured like one.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_TMP = ".tmp"


@contextmanager
def disk_errors(path: Path, error: type[StationError]) -> Iterator[None]:
    """Turn an OSError into ``error`` with a sentence that names ``path`` and what to do next."""
    try:
        yield
    except OSError as problem:
        raise error(_sentence(path, problem)) from problem


def _sentence(path: Path, problem: OSError) -> str:
    if problem.errno in _FULL:
        return f"the disk is full: {path} could not be written and is as it was before; free space and start again"
    if problem.errno in _FORBIDDEN:
        return f"{path} may not be read or written ({problem.strerror}); correct owner, mode or mount, and start again"
    return f"{path} could not be read or written ({problem.strerror}); check the disk, then start again"


def require_space(folder: Path, needed: int, error: type[StationError]) -> None:
    """Raise ``error`` when fewer than ``needed`` bytes are free for us on the file system of ``folder``."""
    with disk_errors(folder, error):
        free = shutil.disk_usage(folder).free
    if free < needed:
        raise error(
            f"only {free // 1024} KiB are free on the disk of {folder}, and {needed // 1024} KiB are wanted; "
            "free space and start again"
        )


def make_folder(folder: Path, error: type[StationError], mode: int = 0o777) -> None:
    """Create ``folder`` and its parents, each durable in its parent. Raises ``error``."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent, error)
    with disk_errors(folder, error):
        folder.mkdir(mode=mode, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make renames, creations and removals in ``folder`` durable. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte: a disk that is nearly full takes a part and refuses the rest. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def write_file(path: Path, data: bytes, error: type[StationError], mode: int = 0o666) -> None:
    """Replace ``path`` by ``data``: afterwards the new version is durable; on any failure the old one stands.

    ``mode`` is that of a new file before umask. The temporary file is named after the thread, so that two writers of
    one file do not mix (the later one wins); a leftover of a kill is ignored by every reader, see
    :func:`remove_leftovers`. Raises ``error``.
    """
    write_files({path: data}, error, mode)


def write_files(files: Mapping[Path, bytes], error: type[StationError], mode: int = 0o666) -> None:
    """Replace each file as :func:`write_file` does, in no order; one fsync a file and one a folder.

    A kill leaves some of them replaced. Raises ``error``; then the sentence's file and perhaps others stand as before.
    """
    made: list[tuple[Path, Path]] = []
    try:
        for path, data in files.items():
            tmp = path.with_name(f".{path.name}.{threading.get_native_id()}{_TMP}")
            made.append((tmp, path))
            with disk_errors(path, error):
                _write_synced(tmp, data, mode)
        for tmp, path in made:
            with disk_errors(path, error):
                os.replace(tmp, path)
    except BaseException:
        for tmp, _ in made:
            with suppress(OSError):
                tmp.unlink(missing_ok=True)
        raise
    for folder in dict.fromkeys(path.parent for path in files):
        with disk_errors(folder, error):
            sync_folder(folder)


def _write_synced(tmp: Path, data: bytes, mode: int) -> None:
    tmp.unlink(missing_ok=True)
    fd = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that a kill left; only while a lock keeps every writer of ``folder`` out."""
    with suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(".") and name.endswith(_TMP):
                (folder / name).unlink(missing_ok=True)


def to_json(document: object, path: Path, error: type[StationError]) -> bytes:
    """Write compact JSON with sorted keys; raises ``error`` for what JSON cannot hold (keys, bytes, NaN excepted)."""
    try:
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except TypeError as problem:
        raise error(f"an entry for {path} cannot be written as JSON ({problem}); nothing was changed") from problem


class AtomicStorage(Storage):
    """TinyDB storage of one file with orjson and :func:`write_file`; ``error`` is raised for every trouble.

    The caller holds a lock from read to write. A missing file is an empty database; a damaged one is an error and
    stays as it is, so that somebody can still look at it.
    """

    def __init__(self, path: Path, error: type[StationError] = LedgerError) -> None:
        self._path = Path(path)
        self._error = error

    def read(self) -> dict[str, dict[str, Any]] | None:
        """Read all tables; None when the file does not exist."""
        try:
            with disk_errors(self._path, self._error):
                data = self._path.read_bytes()
        except StationError as problem:
            if isinstance(problem.__cause__, FileNotFoundError):
                return None
            raise
        try:
            tables = orjson.loads(data)
        except orjson.JSONDecodeError as problem:
            raise self._error(self._damaged("no JSON")) from problem
        if not isinstance(tables, dict) or not all(map(_is_table, tables.values())):
            raise self._error(self._damaged("no TinyDB tables"))
        return tables

    def _damaged(self, what: str) -> str:
        return (
            f"{self._path} is damaged (it holds {what}) and was left as it is; keep a copy of it, "
            "then restore it from the backup"
        )

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Replace the file as a whole; 2 fsyncs."""
        write_file(self._path, to_json(data, self._path, self._error), self._error)


class Batch:
    """Changes of many TinyDB files, written together by :meth:`commit`."""

    def __init__(self, error: type[StationError] = LedgerError) -> None:
        self._error = error
        self.pending: dict[Path, dict[str, dict[str, Any]]] = {}

    def table(self, path: Path, name: str) -> Table:
        """Table ``name`` of the file ``path``, as the batch has it."""
        return TinyDB(path, self, storage=_BatchStorage, error=self._error).table(name, cache_size=0)

    def commit(self) -> None:
        """Make all of it durable, see :func:`write_files`. Raises ``error``."""
        write_files({path: to_json(data, path, self._error) for path, data in self.pending.items()}, self._error)


class _BatchStorage(AtomicStorage):
    """Reads what the batch will write, and leaves writing to it."""

    def __init__(self, path: Path, batch: Batch, error: type[StationError]) -> None:
        super().__init__(path, error)
        self._batch = batch

    def read(self) -> dict[str, dict[str, Any]] | None:
        """Read all tables; None when the file does not exist."""
        pending = self._batch.pending.get(self._path)
        return super().read() if pending is None else pending

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Keep it for :meth:`Batch.commit`."""
        self._batch.pending[self._path] = data


def _is_table(table: object) -> bool:
    """TinyDB's tables: documents by number."""
    return isinstance(table, dict) and all(key.isdigit() and isinstance(row, dict) for key, row in table.items())


def open_table(path: Path, name: str, error: type[StationError]) -> Table:
    """Table ``name`` of the TinyDB file ``path``; nothing is read or written yet."""
    return TinyDB(path, storage=AtomicStorage, error=error).table(name, cache_size=0)
