"""Whatever moment a run is killed in, and however full the disk is: what was acknowledged is there, once."""

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lorafab.errors import LedgerError
from lorafab.interfaces import ClaimRequest, Clock, SealedKey
from lorafab.stores.tiny_ledger import TinyLedger

pytestmark = pytest.mark.slow

Ask = Callable[..., ClaimRequest]
Key = Callable[[int], SealedKey]
CALLS = ("fsync", "replace", "write", "ftruncate")


def arm(die_at: int, after: bool) -> Callable[[], int]:
    """Kill this process at the die_at-th of the calls that reach the disk; return the count so far."""
    count = 0

    def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == die_at and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*args, **named)
            if count == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in CALLS:
        setattr(os, name, deadly(getattr(os, name)))
    return lambda: count


def work(folder: Path, clock: Clock, ask: Ask, key: Key, acknowledge: Callable[[str], object]) -> None:
    """One board through the line, the second one in this ledger, and then as many claims as make a checkpoint."""
    ledger = TinyLedger.open(folder, clock)
    eui = ask(2).dev_eui
    ledger.claim(ask(2, run="r2"))
    acknowledge("c")
    ledger.add_key(eui, 1, [key(2)], "r2")
    acknowledge("k")
    ledger.mark_written(eui, 1, "r2")
    acknowledge("w")
    ledger.note_nonce(eui, 7, "r2")
    acknowledge("n")
    ledger.mark_passed(eui, 1, "r2")
    acknowledge("p")
    for n in range(3, 11):
        ledger.claim(ask(n, run="r2"))
    ledger.close()


def in_child(act: Callable[[Callable[[str], object]], None]) -> tuple[str, int]:
    """Run ``act`` in a child; return what it acknowledged before it ended, and its status."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        send = os.write
        status = 1
        try:
            act(lambda text: send(write, text.encode()))
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read().decode()
    return text, os.waitpid(child, 0)[1]


def expect_kept(folder: Path, clock: Clock, ask: Ask, acknowledged: str) -> None:
    """Open as the next run does, and look for everything that was acknowledged; then finish the work."""
    ledger = TinyLedger.open(folder, clock)
    assert ledger.check() == []
    assert ledger.is_used(ask(1).dev_eui)
    found = ledger.find(str(ask(2).dev_eui))
    if acknowledged:
        assert found is not None
        assert found["chip_id"] == ask(2).chip_id
        assert len(found["generations"]) >= ("k" in acknowledged)
        assert found["dev_nonce"] == 7 or "n" not in acknowledged
        assert found["state"] in ("written", "passed") or "w" not in acknowledged
        assert found["state"] == "passed" or "p" not in acknowledged
        assert found["attempts"] == 1
    assert not list((folder / "ledger").rglob("*.tmp"))
    claim = ledger.claim(ask(2, run="r3"))
    assert claim.attempts == (2 if found else 1)
    assert ledger.find(ask(2).label) == ledger.find(ask(2).chip_id)
    assert ledger.check() == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_call_that_reaches_the_disk(
    tmp_path: Path, clock: Clock, ask: Ask, key: Key, after: bool
) -> None:
    """Before and after every write, fsync, rename and truncate of a whole board."""
    template = tmp_path / "template"
    TinyLedger.create(template, clock).claim(ask(1))
    die_at, ended = 0, False
    while not ended:
        die_at += 1
        folder = tmp_path / str(die_at)
        shutil.copytree(template, folder)

        def act(acknowledge: Callable[[str], object], folder: Path = folder, die_at: int = die_at) -> None:
            arm(die_at, after)
            work(folder, clock, ask, key, acknowledge)

        acknowledged, status = in_child(act)
        ended = status == 0
        assert ended or os.WTERMSIG(status) == signal.SIGKILL
        expect_kept(folder, clock, ask, acknowledged)
        shutil.rmtree(folder)
    assert die_at > 50


def test_a_torn_last_line_is_cut_off_at_every_length(tmp_path: Path, clock: Clock, ask: Ask) -> None:
    """A power cut may leave any part of the entry that was being written, or sectors that were never filled."""
    ledger = TinyLedger.create(tmp_path, clock)
    ledger.claim(ask(1))
    history = tmp_path / "ledger" / "history.jsonl"
    whole, head = history.read_bytes(), ledger.head()
    line = whole.replace(b'"seq":1', b'"seq":2')
    for length in range(1, len(line)):
        for torn in (line[:length], b"\0" * length):
            history.write_bytes(whole + torn)
            assert TinyLedger.open(tmp_path, clock, read_only=True).head() == head
    edge = 512 - len(whole) % 512
    for torn in (b"\0" * edge + line[edge:], line[:edge] + b"\0" * (len(line) - edge - 1) + b"\n"):
        history.write_bytes(whole + torn)
        assert TinyLedger.open(tmp_path, clock, read_only=True).head() == head
    TinyLedger.open(tmp_path, clock)
    assert history.read_bytes() == whole


def test_a_kill_while_the_ledger_is_made(tmp_path: Path, clock: Clock, ask: Ask) -> None:
    """The next start makes a whole one, and no half one is ever opened."""
    die_at, ended = 0, False
    while not ended:
        die_at += 1
        folder = tmp_path / str(die_at)

        def act(_: Callable[[str], object], folder: Path = folder, die_at: int = die_at) -> None:
            arm(die_at, after=True)
            TinyLedger.open_or_create(folder, clock)

        ended = in_child(act)[1] == 0
        ledger = TinyLedger.open_or_create(folder, clock)
        ledger.claim(ask(1))
        assert ledger.check() == []


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_at_any_call_loses_nothing(
    tmp_path: Path, clock: Clock, ask: Ask, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """In a claim and in a checkpoint; with space again the work goes on, and nothing is there twice."""
    ledger = TinyLedger.create(tmp_path, clock)
    real = getattr(os, call)
    sentences: list[str] = []
    done = 0
    for full_at in (1, 2, 3, 5, 8, 13, 21, 34, 55):
        for _ in range(33):  # as many as make a checkpoint
            ledger.claim(ask(done := done + 1))
        count = 0

        def refuse(*args: Any, full_at: int = full_at) -> Any:
            nonlocal count
            count += 1
            if count >= full_at:
                raise OSError(28, "No space left on device")
            return real(*args)

        monkeypatch.setattr(os, call, refuse)
        try:
            for n in range(done + 1, done + 40):
                ledger.claim(ask(n))
        except LedgerError as problem:
            sentences.append(str(problem))
        monkeypatch.undo()
        for n in range(done + 1, done + 40):
            assert ledger.claim(ask(n)).attempts == 1
        done += 39
        assert ledger.check() == []
    assert len(sentences) == 9
    assert all("free space and start again" in sentence for sentence in sentences)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 6 MB, where the user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a file system, and not everywhere")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("needed", [4 << 20, 0], ids=["noticed before", "in the middle"])
def test_a_real_disk_that_fills_up(
    small_disk: Path, clock: Clock, ask: Ask, key: Key, monkeypatch: pytest.MonkeyPatch, needed: int
) -> None:
    """The claim is refused, which no board outlives: everything acknowledged is there, and goes on with space."""
    monkeypatch.setattr("lorafab.stores.tiny_ledger._NEEDED", needed)
    ledger = TinyLedger.create(small_disk, clock)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1 << 20))
    claimed, sentence = 0, ""
    while not sentence:
        try:
            ledger.claim(ask(claimed + 1))
            claimed += 1
        except LedgerError as problem:
            sentence = str(problem)
    assert "free space and start again" in sentence
    assert claimed > 10
    head = ledger.head()
    with pytest.raises(LedgerError, match="free space"):
        ledger.add_key(ask(1).dev_eui, 1, [key(1)], "r1")
    reader = TinyLedger.open(small_disk, clock, read_only=True)
    assert reader.head() == head
    assert reader.check() == []
    ballast.unlink()
    again = TinyLedger.open(small_disk, clock)
    assert {found["label"] for found in again.all_claims()} >= {ask(n).label for n in range(1, claimed + 1)}
    again.add_key(ask(1).dev_eui, 1, [key(1)], "r1")
    assert again.check() == []


def test_a_file_size_limit_is_a_full_disk(tmp_path: Path, clock: Clock, ask: Ask) -> None:
    """The kernel takes a part of the entry and refuses the rest: nothing of it stays."""
    TinyLedger.create(tmp_path, clock).claim(ask(1))
    history = tmp_path / "ledger" / "history.jsonl"
    kept = history.read_bytes()

    def act(acknowledge: Callable[[str], object]) -> None:
        ledger = TinyLedger.open(tmp_path, clock)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(kept) + 100, resource.RLIM_INFINITY))
        try:
            ledger.claim(ask(2))
        except LedgerError as problem:
            acknowledge(str(problem))

    text, status = in_child(act)
    assert status == 0
    assert "the disk is full" in text
    assert history.read_bytes() == kept
    assert TinyLedger.open(tmp_path, clock).claim(ask(2)).attempts == 1


def test_no_claim_starts_on_a_disk_that_is_nearly_full(
    tmp_path: Path, clock: Clock, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told before the board is touched."""
    ledger = TinyLedger.create(tmp_path, clock)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(LedgerError, match="KiB are free"):
        ledger.claim(ask(1))
