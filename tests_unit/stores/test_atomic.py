"""Files are whole or absent."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from tinydb.table import Document

from lorafab.errors import LedgerError, RecordError
from lorafab.stores.atomic import (
    AtomicStorage,
    Batch,
    make_folder,
    open_table,
    remove_leftovers,
    require_space,
    to_json,
    write_all,
    write_file,
)


def refuse(number: int) -> Any:
    def write(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return write


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_write_that_fails_leaves_the_old_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Whatever call the disk refuses: the old file stands, no temporary file stays, and a sentence names the file."""
    path = tmp_path / "file"
    write_file(path, b"old", RecordError)
    monkeypatch.setattr(os, call, refuse(number))
    with pytest.raises(RecordError, match="file") as caught:
        write_file(path, b"new", RecordError)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]
    if number in (errno.ENOSPC, errno.EDQUOT):
        assert "free space" in str(caught.value)


def test_a_disk_that_takes_a_part_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short write is continued, not taken for a whole one."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    write_file(tmp_path / "file", b"0123456789", RecordError)
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_two_fsyncs_make_a_file_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The contents are synced before the rename, the folder after it."""
    calls: list[str] = []

    def noted(name: str, real: Any) -> Any:
        def call(*args: Any) -> Any:
            calls.append(name)
            return real(*args)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    write_file(tmp_path / "file", b"x", RecordError)
    assert calls == ["fsync", "replace", "fsync"]


def test_a_private_file_is_private_from_its_first_moment(tmp_path: Path) -> None:
    """The mode is that of the temporary file already."""
    write_file(tmp_path / "key", b"x", RecordError, mode=0o600)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_missing_table_is_empty_and_a_written_one_is_read_back(tmp_path: Path) -> None:
    """TinyDB works on the storage as on its own."""
    table = open_table(tmp_path / "a.json", "boards", LedgerError)
    assert table.all() == []
    table.insert({"name": "ä", "count": 1})
    assert [dict(found) for found in open_table(tmp_path / "a.json", "boards", LedgerError)] == [
        {"name": "ä", "count": 1}
    ]


@pytest.mark.parametrize("damage", [b"", b'{"t": {', b"[]", b'{"t": 1}', b"\0" * 100, b"\xff\xfe"])
def test_a_damaged_file_is_named_and_never_emptied(tmp_path: Path, damage: bytes) -> None:
    """Reading and writing both refuse it, and its bytes stay for whoever looks into it."""
    path = tmp_path / "a.json"
    path.write_bytes(damage)
    with pytest.raises(LedgerError, match=r"a\.json is damaged.*restore it from the backup"):
        AtomicStorage(path).read()
    with pytest.raises(LedgerError):
        open_table(path, "t", LedgerError).insert({"a": 1})
    assert path.read_bytes() == damage


def test_what_json_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """Bytes and lone surrogates are refused with the name of the file."""
    for wrong in ({"a": b"bytes"}, {"a": "\ud800"}):
        with pytest.raises(RecordError, match=r"x\.json"):
            to_json(wrong, tmp_path / "x.json", RecordError)


def test_leftovers_of_a_kill_are_removed_and_nothing_else(tmp_path: Path) -> None:
    """Only our temporary files go."""
    for name in (".a.json.123.tmp", "a.json", ".hidden", "b.tmp"):
        (tmp_path / name).write_bytes(b"")
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden", "a.json", "b.tmp"]


def test_too_little_space_is_told_before_it_is_needed(tmp_path: Path) -> None:
    """The sentence says how much is free and how much is wanted."""
    require_space(tmp_path, 1, LedgerError)
    with pytest.raises(LedgerError, match=r"only \d+ KiB are free .* 1099511627776 KiB are wanted; free space"):
        require_space(tmp_path, 1 << 50, LedgerError)
    with pytest.raises(LedgerError, match="could not be read"):
        require_space(tmp_path / "none", 1, LedgerError)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    """A file in the way is named."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RecordError, match="file"):
        make_folder(tmp_path / "file" / "sub", RecordError)
    make_folder(tmp_path / "a" / "b", RecordError)
    assert (tmp_path / "a" / "b").is_dir()


def test_write_all_of_nothing_writes_nothing() -> None:
    """No bytes are no call."""
    write_all(-1, b"")


def test_a_batch_is_read_as_it_will_be_and_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fsync a file and one for the folder; until then no file has changed."""
    paths = [tmp_path / f"{name}.json" for name in "ab"]
    open_table(paths[0], "t", LedgerError).insert(Document({"n": 1}, 1))
    kept = paths[0].read_bytes()
    batch = Batch()
    for path in paths:
        for n in (1, 2):
            batch.table(path, "t").upsert(Document({"n": n + 10}, n))
    assert [dict(row) for row in batch.table(paths[0], "t")] == [{"n": 11}, {"n": 12}]
    assert (paths[0].read_bytes(), paths[1].exists()) == (kept, False)
    count, real = 0, os.fsync

    def fsync(fd: int) -> None:
        nonlocal count
        count += 1
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    batch.commit()
    assert count == 3
    for path in paths:
        assert [dict(row) for row in open_table(path, "t", LedgerError)] == [{"n": 11}, {"n": 12}]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_batch_that_fails_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """And the sentence says that the disk is full."""
    batch = Batch(RecordError)
    for name in "ab":
        batch.table(tmp_path / f"{name}.json", "t").insert({"n": 1})
    monkeypatch.setattr(os, call, refuse(errno.ENOSPC))
    with pytest.raises(RecordError, match="free space"):
        batch.commit()
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []
