"""One holder at a time, and everybody else knows who."""

import os
import signal
from pathlib import Path

import pytest

from lorafab.errors import LedgerError, StationBusy
from lorafab.stores.lock import FileLock, refuse_network


def test_a_second_holder_is_told_who_is_first(tmp_path: Path) -> None:
    """The sentence names the thing, the process and the note, and what to do."""
    first = FileLock(tmp_path / "lock", "station sim", StationBusy, timeout_s=0, note="run R1")
    second = FileLock(tmp_path / "lock", "station sim", StationBusy, timeout_s=0.01)
    with first, pytest.raises(StationBusy) as caught:
        second.acquire()
    assert str(caught.value) == (f"station sim is in use by pid {os.getpid()} (run R1); wait for it to end or stop it")
    with second:
        pass


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    """The kernel lets go for it."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        FileLock(tmp_path / "lock", "it", LedgerError).acquire()
        os.write(write, b"x")
        signal.pause()
        os._exit(0)
    os.read(read, 1)
    try:
        with pytest.raises(LedgerError, match=f"pid {child}"):
            FileLock(tmp_path / "lock", "it", LedgerError, timeout_s=0).acquire()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)
    with FileLock(tmp_path / "lock", "it", LedgerError, timeout_s=0):
        pass


def test_letting_go_twice_is_harmless(tmp_path: Path) -> None:
    """Clean-up code may run more than once."""
    lock = FileLock(tmp_path / "lock", "it", LedgerError)
    lock.acquire()
    lock.release()
    lock.release()


def test_a_lock_in_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    """Not a FileNotFoundError."""
    with pytest.raises(LedgerError, match="could not be read or written"):
        FileLock(tmp_path / "none" / "lock", "it", LedgerError).acquire()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_network_disk_is_refused(tmp_path: Path, kind: str) -> None:
    """Locks there do not keep other computers out; the sentence offers PostgreSQL."""
    table = tmp_path / "mounts"
    share = tmp_path / "my share"
    share.mkdir()
    name = str(share.resolve()).replace(" ", "\\040")
    table.write_text(f"dev / ext4 rw 0 0\nserver:/x {name} {kind} rw 0 0\nbroken\n")
    with pytest.raises(LedgerError, match=rf"network file system \({kind}\).*PostgreSQL"):
        refuse_network(share, LedgerError, table)
    refuse_network(tmp_path, LedgerError, table)


def test_of_two_mounts_on_one_point_the_later_counts(tmp_path: Path) -> None:
    """It covers the earlier one."""
    table = tmp_path / "mounts"
    table.write_text(f"a / ext4 rw 0 0\nb {tmp_path.resolve()} nfs rw 0 0\nc {tmp_path.resolve()} ext4 rw 0 0\n")
    refuse_network(tmp_path, LedgerError, table)
    refuse_network(tmp_path, LedgerError, tmp_path / "no table")
