"""What a run was about to do is on disk before it does it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lorafab.domain.secret import Secret
from lorafab.errors import RecordError, StationBusy
from lorafab.interfaces import Clock
from lorafab.stores.journal import RunJournal, StationLock, orphans


def killed(act: Callable[[], object]) -> int:
    """Run ``act`` in a child that is killed right after it; return its pid."""
    child = os.fork()
    if child == 0:
        act()
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    return child


def test_every_event_is_durable_when_it_is_noted(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fsync a note, and a time in UTC."""
    count = 0
    real = os.fsync

    def fsync(fd: int) -> None:
        nonlocal count
        count += 1
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    journal = RunJournal.start(tmp_path, "sim", "R1", {"label": "L1"}, clock)
    count = 0
    journal.note("write", dev_eui="70B3", generation=1)
    assert count == 1
    lines = journal.path.read_text().splitlines()
    assert len(lines) == 2
    assert '"time":"2026-03-01T12:00:00.250Z"' in lines[1]
    journal.leave()


def test_a_killed_run_is_an_orphan_with_all_it_noted(tmp_path: Path, clock: Clock) -> None:
    """Until it is settled."""

    def run() -> None:
        journal = RunJournal.start(tmp_path, "sim", "R1", {"label": "L1"}, clock)
        journal.note("key", dev_eui="70B3", generation=2)

    pid = killed(run)
    (orphan,) = list(orphans(tmp_path, "sim"))
    assert (orphan.run, orphan.station, orphan.unreadable) == ("R1", "sim", 0)
    assert [event["event"] for event in orphan.events] == ["start", "key"]
    assert orphan.events[0]["facts"]["facts"] == {"label": "L1"}
    assert orphan.events[0]["facts"]["pid"] == pid
    assert orphan.events[1]["facts"]["generation"] == 2
    assert len(list(orphans(tmp_path, "sim"))) == 1
    orphan.settle()
    assert list(orphans(tmp_path, "sim")) == []
    assert list(orphans(tmp_path, "other")) == []


def test_a_living_run_is_no_orphan(tmp_path: Path, clock: Clock) -> None:
    """Nor is one that ended; one that could not keep its record is."""
    one = RunJournal.start(tmp_path, "sim", "R1", {}, clock)
    two = RunJournal.start(tmp_path, "sim", "R2", {}, clock)
    assert list(orphans(tmp_path, "sim")) == []
    one.close("PASS")
    two.leave()
    two.leave()
    assert [orphan.run for orphan in orphans(tmp_path, "sim")] == ["R2"]
    with pytest.raises(RecordError, match="is closed"):
        two.note("more")


def test_an_orphan_is_handled_by_one_process_at_a_time(tmp_path: Path, clock: Clock) -> None:
    """It stays locked while somebody looks at it."""
    killed(lambda: RunJournal.start(tmp_path, "sim", "R1", {}, clock))
    mine = orphans(tmp_path, "sim")
    next(mine)
    assert list(orphans(tmp_path, "sim")) == []
    mine.close()  # type: ignore[attr-defined]
    assert len(list(orphans(tmp_path, "sim"))) == 1


def test_a_torn_last_line_is_counted_and_the_rest_is_read(tmp_path: Path, clock: Clock) -> None:
    """At every length of the last line, and for rubbish in the middle."""
    journal = RunJournal.start(tmp_path, "sim", "R1", {}, clock)
    first = journal.path.read_bytes()
    journal.note("key", generation=1)
    whole = journal.path.read_bytes()
    journal.leave()
    for length in range(len(first) + 1, len(whole) - 1):
        journal.path.write_bytes(whole[:length])
        (orphan,) = list(orphans(tmp_path, "sim"))
        assert ([event["event"] for event in orphan.events], orphan.unreadable) == (["start"], 1)
    journal.path.write_bytes(first + b"\0\0\n[]\n" + whole[len(first) :])
    (orphan,) = list(orphans(tmp_path, "sim"))
    assert ([event["event"] for event in orphan.events], orphan.unreadable) == (["start", "key"], 2)


def test_a_kill_before_the_first_line_leaves_nothing_to_do(tmp_path: Path, clock: Clock) -> None:
    """A journal appears with its first line or not at all."""

    def run() -> None:
        os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)
        RunJournal.start(tmp_path, "sim", "R1", {}, clock)

    (tmp_path / "journal" / "sim").mkdir(parents=True)
    killed(run)
    assert list(orphans(tmp_path, "sim")) == []
    assert os.listdir(tmp_path / "journal" / "sim") == []


def test_a_full_disk_tears_no_line(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was noted before stays readable, and the run can go on when there is space."""
    journal = RunJournal.start(tmp_path, "sim", "R1", {}, clock)
    kept, real = journal.path.read_bytes(), os.write
    calls = 0

    def write(fd: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(28, "No space left on device")
        return real(fd, bytes(data)[:10])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(RecordError, match="the disk is full"):
        journal.note("key")
    monkeypatch.undo()
    assert journal.path.read_bytes() == kept
    journal.note("key")
    journal.leave()
    (orphan,) = list(orphans(tmp_path, "sim"))
    assert orphan.unreadable == 0


def test_a_key_cannot_be_noted(tmp_path: Path, clock: Clock) -> None:
    """Neither wrapped nor as bytes; the sentence does not show it."""
    journal = RunJournal.start(tmp_path, "sim", "R1", {}, clock)
    for wrong in (Secret(bytes(range(16))), bytes(range(16))):
        with pytest.raises(RecordError) as caught:
            journal.note("key", key=wrong)
        assert "0001" not in str(caught.value)
        assert "\\x01" not in str(caught.value)
    journal.leave()


def test_a_run_id_is_used_once(tmp_path: Path, clock: Clock) -> None:
    """A second journal of the same run is refused and the first one stays."""
    journal = RunJournal.start(tmp_path, "sim", "R1", {}, clock)
    with pytest.raises(RecordError, match="used twice"):
        RunJournal.start(tmp_path, "sim", "R1", {}, clock)
    journal.note("on")
    journal.leave()


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "ä"])
def test_a_name_that_is_a_path_is_refused(tmp_path: Path, clock: Clock, name: str) -> None:
    """Of a station and of a run."""
    with pytest.raises(RecordError):
        RunJournal.start(tmp_path, name, "R1", {}, clock)
    with pytest.raises(RecordError):
        RunJournal.start(tmp_path, "sim", name, {}, clock)
    assert not list(tmp_path.rglob("*.jsonl"))


def test_one_run_per_station(tmp_path: Path) -> None:
    """The second is told which process has it and what to do; another station is free."""
    with StationLock(tmp_path, "sim", "R1"):
        with pytest.raises(StationBusy) as caught:
            StationLock(tmp_path, "sim", "R2").acquire()
        with StationLock(tmp_path, "A", "R3"):
            pass
    assert str(caught.value) == (f"station sim is in use by pid {os.getpid()} (run R1); wait for it to end or stop it")
    killed(StationLock(tmp_path, "sim", "R4").acquire)
    with StationLock(tmp_path, "sim", "R5"):
        pass
