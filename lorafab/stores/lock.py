"""Locks between the processes of one computer.

``flock`` belongs to the open file and ends with the process, however it ends, so that no lock is ever left behind.
The file's text says who holds it; it is never removed, because a removed lock file can be held twice.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from lorafab.errors import StationError
from lorafab.stores.atomic import disk_errors

_MOUNTS = Path("/proc/self/mounts")
# File systems of another computer: flock there is unknown to the other clients, or emulated.
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "fuse.sshfs", "fuse.glusterfs", "davfs"})
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.02


class FileLock:
    """An exclusive lock on ``path`` (created when missing), held between ``acquire`` and ``release``.

    ``what`` names the locked thing in the sentence of ``error``, which is raised when another process still holds
    the lock after ``timeout_s`` seconds (0: one try). ``note`` is shown to whoever has to wait. Not reentrant: a
    second lock on the same path waits for the first, in the same process too.
    """

    def __init__(
        self, path: Path, what: str, error: type[StationError], timeout_s: float = 10.0, note: str = ""
    ) -> None:
        self._path, self._what, self._error = path, what, error
        self._timeout_s, self._note = timeout_s, note
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises ``error`` when it stays taken, or when the file cannot be opened."""
        with disk_errors(self._path, self._error):
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._wait(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        with suppress(OSError):  # a full disk: the text is a courtesy, the lock holds without it
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"pid {os.getpid()}{f' ({self._note})' if self._note else ''}\n".encode(), 0)

    def _wait(self, fd: int) -> None:
        deadline, pause = time.monotonic() + self._timeout_s, _FIRST_PAUSE_S
        while not try_flock(fd):
            if time.monotonic() >= deadline:
                holder = os.pread(fd, 200, 0).decode(errors="replace").strip() or "another process"
                raise self._error(f"{self._what} is in use by {holder}; wait for it to end or stop it")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def release(self) -> None:
        """Let go; may be called twice."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def try_flock(fd: int) -> bool:
    """Take an exclusive flock on ``fd`` without waiting; whether it was free."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def refuse_network(folder: Path, error: type[StationError], mounts: Path = _MOUNTS) -> None:
    """Raise ``error`` when ``folder`` lies on a network file system, where flock does not keep others out.

    Reads the kernel's mount table (proc(5), /proc/pid/mounts: fstab(5) format, blanks as ``\\040``). Does nothing
    where there is no such table.
    """
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    place, best, kind = folder.resolve(), Path("/"), ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(_unescape(fields[1]))
        # Not shorter than the best so far: of two mounts on one point the later one is seen.
        if place.is_relative_to(point) and len(point.parts) >= len(best.parts):
            best, kind = point, fields[2]
    if kind in _NETWORK:
        raise error(
            f"{folder} lies on a network file system ({kind}), where locks do not keep other computers out; "
            "choose a local disk, or PostgreSQL for several computers"
        )


def _unescape(text: str) -> str:
    for code in ("\\040", "\\011", "\\012", "\\134"):
        text = text.replace(code, chr(int(code[1:], 8)))
    return text
