"""The power goes at any instant of a ledger's work, and every disk that may be left is opened again.

    python -m bench.ledger_power [--boards 6] [--images 12]

All calls that reach the disk (open, write, fsync, sync, truncate, rename, unlink, mkdir, rmdir) of some boards' work
are recorded, from an empty folder to the last checkpoint and a rebuild. Then the trace is cut after every call, and for
each cut several disks are made that a power cut may leave there. The model, which is that of POSIX with journalled or
delayed metadata and nothing more:

- what was fsynced of a file is there; later writes are there, or not, or in part: each 512-byte sector of a file holds
  its old bytes, its new ones, or, beyond the old end, zeros, and the file may have its old or its new length;
- names (creations, renames, removals) of a folder are there up to some point in their order that lies at or behind the
  last fsync of that folder, each folder for itself; a file that is there under a name may still lack its bytes;
- a rename replaces a name at once; `sync` makes all of it durable.

On each disk the ledger must open (or, before its making was acknowledged, be made), hold everything that was
acknowledged until the cut, be sound by its own check, and take the next claim.
"""

import argparse
import builtins
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.ledger_cost import key, request
from lorafab.drivers.clock import SystemClock
from lorafab.errors import LedgerError
from lorafab.stores.tiny_ledger import TinyLedger

SECTOR = 512


@dataclass(frozen=True)
class Call:
    """One call that reached the disk, or a promise that was given."""

    name: str
    arguments: tuple[Any, ...]


@dataclass
class Trace:
    """Records what a process does to the files below ``root``; see :func:`recording`."""

    root: Path
    calls: list[Call] = field(default_factory=list)
    files: dict[int, int] = field(default_factory=dict)
    """Open descriptor -> number of the file in the trace."""
    made: int = 0

    def note(self, name: str, *arguments: Any) -> None:
        """Keep one call."""
        self.calls.append(Call(name, arguments))

    def inside(self, path: Any) -> str | None:
        """Name below the root; None for files elsewhere."""
        whole = Path(os.path.abspath(os.fspath(path)))
        return str(whole.relative_to(self.root)) if whole.is_relative_to(self.root) else None

    def opened(self, path: Any, fd: int, created: bool, truncated: bool) -> None:
        """A descriptor was opened for writing, or a folder for fsync."""
        name = self.inside(path)
        if name is not None:
            self.made += 1
            self.files[fd] = self.made
            self.note("open", self.made, name, created, truncated)


@contextmanager
def recording(root: Path) -> Iterator[Trace]:
    """Put a recorder between this process and the os module. The process has one thread."""
    trace = Trace(root)
    kept = {
        name: getattr(os, name)
        for name in (
            "open", "write", "pwrite", "fsync", "sync", "ftruncate", "replace", "rename", "unlink", "mkdir", "rmdir",
            "close",
        )
    }  # fmt: skip
    plain = builtins.open

    def opened(path: Any, flags: int, mode: int = 0o777, **named: Any) -> int:
        existed = os.path.exists(path) if not named else True
        fd: int = kept["open"](path, flags, mode, **named)
        if not named:
            trace.opened(path, fd, bool(flags & os.O_CREAT) and not existed, bool(flags & os.O_TRUNC))
        return fd

    def on_fd(name: str) -> Callable[..., Any]:
        def call(fd: int, *arguments: Any) -> Any:
            if fd in trace.files and name == "write":
                at = os.fstat(fd).st_size
                done = kept[name](fd, *arguments)
                trace.note("write", trace.files[fd], at, bytes(arguments[0])[:done])
                return done
            if fd in trace.files and name == "pwrite":
                trace.note("write", trace.files[fd], arguments[1], bytes(arguments[0]))
            elif fd in trace.files:
                trace.note(name, trace.files[fd], *arguments)
            result = kept[name](fd, *arguments)
            if name == "close":
                trace.files.pop(fd, None)
            return result

        return call

    def on_names(name: str) -> Callable[..., Any]:
        def call(*paths: Any, **named: Any) -> Any:
            result = kept[name](*paths, **named)
            count = 2 if name in ("replace", "rename") else 1
            names = tuple(map(trace.inside, paths[:count]))
            if "dir_fd" in named and named["dir_fd"] is not None:
                folder = os.readlink(f"/proc/self/fd/{named['dir_fd']}")
                names = (trace.inside(Path(folder) / paths[0]),)
            if None not in names:
                trace.note("rename" if name == "replace" else name, *names)
            return result

        return call

    def sync() -> None:
        kept["sync"]()
        trace.note("sync")

    def plain_open(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        existed = isinstance(file, int) or os.path.exists(file)
        handle = plain(file, mode, *arguments, **named)
        if "w" in mode and not isinstance(file, int):
            trace.opened(file, handle.fileno(), not existed, True)
            number, real = trace.made, handle.write

            def write(data: bytes) -> int:
                trace.note("write", number, handle.tell(), bytes(data))
                done: int = real(data)
                return done

            return _Written(handle, write)
        return handle

    os.open, os.sync = opened, sync
    for name in ("write", "pwrite", "fsync", "ftruncate", "close"):
        setattr(os, name, on_fd(name))
    for name in ("replace", "rename", "unlink", "mkdir", "rmdir"):
        setattr(os, name, on_names(name))
    import io

    plain_io = io.open
    io.open = plain_open
    try:
        yield trace
    finally:
        io.open = plain_io
        for name, function in kept.items():
            setattr(os, name, function)


class _Written:
    """A file object whose writes are recorded: `Path.write_bytes` asks for no more than this."""

    def __init__(self, handle: Any, write: Callable[[bytes], int]) -> None:
        self._handle, self.write = handle, write

    def __enter__(self) -> "_Written":
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()


# The disk


@dataclass
class Node:
    """One file or folder."""

    folder: bool = False
    now: bytearray = field(default_factory=bytearray)
    """A file's bytes as the processes see them."""
    safe: bytes = b""
    """Its bytes as of the last fsync."""
    names: dict[str, "Node"] = field(default_factory=dict)
    """A folder's names as of its last fsync."""
    later: list[tuple[str, "Node | None"]] = field(default_factory=list)
    """What happened to its names since, in order; None: the name went away."""

    def current(self, upto: int | None = None) -> dict[str, "Node"]:
        """Names after the first ``upto`` changes that were not synced (None: after all)."""
        names = dict(self.names)
        for name, node in self.later[:upto]:
            if node is None:
                names.pop(name, None)
            else:
                names[name] = node
        return names

    def sync(self) -> None:
        """All of it is on the disk now."""
        self.safe = bytes(self.now)
        self.names, self.later = self.current(), []


class Disk:
    """Files as a trace left them, and what of it would survive."""

    def __init__(self) -> None:
        self.root = Node(folder=True)
        self._open: dict[int, Node] = {}
        self._nodes = [self.root]

    def _at(self, name: str) -> Node:
        node = self.root
        for part in Path(name).parts:
            node = node.current()[part]
        return node

    def _parent(self, name: str) -> tuple[Node, str]:
        path = Path(name)
        return self._at(str(path.parent)), path.name

    def _new(self, name: str, folder: bool) -> None:
        node = Node(folder)
        self._nodes.append(node)
        parent, last = self._parent(name)
        parent.later.append((last, node))

    def do(self, call: Call) -> None:
        """Replay one call."""
        arguments = call.arguments
        if call.name == "open":
            number, name, created, truncated = arguments
            if created:
                self._new(name, folder=False)
            self._open[number] = self._at(name)
            if truncated:
                self._open[number].now.clear()
        elif call.name == "write":
            number, at, data = arguments
            self._open[number].now[at : at + len(data)] = data
        elif call.name == "ftruncate":
            number, size = arguments
            del self._open[number].now[size:]
        elif call.name == "fsync":
            self._open[arguments[0]].sync()
        elif call.name == "sync":
            for node in self._nodes:
                node.sync()
        elif call.name == "mkdir":
            self._new(arguments[0], folder=True)
        elif call.name in ("unlink", "rmdir"):
            parent, last = self._parent(arguments[0])
            parent.later.append((last, None))
        elif call.name == "rename":
            node = self._at(arguments[0])
            (source, old), (target, new) = self._parent(arguments[0]), self._parent(arguments[1])
            # Within one folder a rename is one change: both names, or neither.
            target.later.append((new, node))
            source.later.append((old, None))
        elif call.name not in ("close", "promise"):
            raise AssertionError(call)

    def leave(self, target: Path, choose: random.Random, kind: str) -> None:
        """Write the files that a power cut leaves: ``kind`` all, none, names, bytes, or random."""
        self._leave(self.root, target, choose, kind)

    def _leave(self, node: Node, target: Path, choose: random.Random, kind: str) -> None:
        if not node.folder:
            target.write_bytes(_bytes(node, choose, kind))
            return
        target.mkdir(exist_ok=True)
        upto = {"all": len(node.later), "names": len(node.later), "none": 0, "bytes": 0}.get(
            kind, choose.randint(0, len(node.later))
        )
        # The second half of a rename never stays behind.
        while 0 < upto < len(node.later) and node.later[upto][1] is None and node.later[upto - 1][1] is not None:
            upto += 1
        for name, child in node.current(upto).items():
            self._leave(child, target / name, choose, kind)


def _bytes(node: Node, choose: random.Random, kind: str) -> bytes:
    """What is left of a file's bytes."""
    old, new = node.safe, bytes(node.now)
    if kind in ("all", "bytes"):
        return new
    if kind in ("none", "names"):
        return old
    size = choose.choice((len(old), len(new), choose.randint(*sorted((len(old), len(new))))))
    left = bytearray()
    for at in range(0, size, SECTOR):
        zeros = bytes(SECTOR)
        choices = [new[at : at + SECTOR]]
        if new[at : at + SECTOR] != old[at : at + SECTOR]:
            choices.append((old[at : at + SECTOR] + zeros)[:SECTOR])
        left += choose.choice(choices).ljust(SECTOR, b"\0")[: min(SECTOR, size - at)]
    return bytes(left)


# The work, and what must be left of it


def work(data: Path, boards: int, promise: Callable[[str, int], None]) -> None:
    """Make a ledger, bring boards through the line, make checkpoints and a rebuild; promise what was acknowledged."""
    ledger = TinyLedger.open_or_create(data, SystemClock())
    promise("made", 0)
    for n in range(boards):
        asked = request(n)
        ledger.claim(asked)
        promise("claimed", n)
        ledger.add_key(asked.dev_eui, 1, [key(n)], asked.run)
        promise("sealed", n)
        ledger.mark_writing(asked.dev_eui, asked.run)
        ledger.mark_written(asked.dev_eui, 1, asked.run)
        ledger.note_nonce(asked.dev_eui, 7, asked.run)
        promise("nonce", n)
        ledger.mark_passed(asked.dev_eui, 1, asked.run)
        promise("passed", n)
        ledger.close()
        if n == boards - 2:
            TinyLedger.rebuild(data, SystemClock())
        ledger = TinyLedger.open(data, SystemClock())


def record_work(boards: int) -> list[Call]:
    """The trace of :func:`work` in an empty folder."""
    with tempfile.TemporaryDirectory(prefix="lorafab-power-") as folder:
        root = Path(folder)
        with recording(root) as trace:
            work(root / "data", boards, lambda what, n: trace.note("promise", what, n))
        return trace.calls


def judge(data: Path, promised: list[tuple[str, int]]) -> str | None:
    """What is wrong with the ledger that a power cut left under ``data``; None: nothing."""
    try:
        if ("made", 0) not in promised:
            ledger = TinyLedger.open_or_create(data, SystemClock())
        elif (data / "ledger" / "view").exists():
            ledger = TinyLedger.open(data, SystemClock())
        else:
            ledger = TinyLedger.rebuild(data, SystemClock())  # cut between two renames: every run says so
        problems = ledger.check()
        if problems:
            return f"check: {problems[0]}"
        for what, n in promised:
            wrong = _kept(ledger, what, n)
            if wrong:
                return wrong
        ledger.claim(request(1000))
        problems = ledger.check()
    except LedgerError as problem:
        return str(problem)
    return f"check after the next claim: {problems[0]}" if problems else None


def _kept(ledger: TinyLedger, what: str, n: int) -> str | None:
    if what == "made":
        return None
    found = ledger.find(request(n).chip_id)
    kept = found is not None and {
        "claimed": found["label"] == request(n).label,
        "sealed": len(found["generations"]) == 1 and ledger.sealed_keys(request(n).dev_eui)[0].boxes != (),
        "nonce": found["dev_nonce"] == 7,
        "passed": found["state"] == "passed",
    }.get(what)
    return None if kept else f"board {n} was {what}, and that is lost"


KINDS = ("all", "none", "names", "bytes")


def cut_everywhere(
    calls: list[Call], images: int, seed: int = 1, every: int = 1
) -> Iterator[tuple[int, str, str | None]]:
    """For each cut and each disk that it may leave: number of the cut, kind of disk, what is wrong."""
    disk, promised = Disk(), []
    choose = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="lorafab-cut-") as folder:
        for number, call in enumerate(calls):
            disk.do(call)
            if call.name == "promise":
                promised.append(call.arguments)
                continue
            if call.name == "close" or number % every:
                continue
            for kind in (*KINDS, *("random",) * max(0, images - len(KINDS))):
                place = Path(folder) / "disk"
                disk.leave(place, choose, kind)
                yield number, kind, judge(place / "data", promised)
                shutil.rmtree(place)


def main() -> int:
    """Record, cut, judge, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--boards", type=int, default=6, metavar="N")
    parser.add_argument("--images", type=int, default=12, metavar="N", help="disks for each cut")
    options = parser.parse_args()
    calls = record_work(options.boards)
    made, wrong, cuts = 0, 0, set()
    for number, kind, sentence in cut_everywhere(calls, options.images):
        made += 1
        cuts.add(number)
        if sentence is not None:
            wrong += 1
            print(f"cut after call {number} ({calls[number].name}), disk {kind!r}: {sentence}", flush=True)
    print(f"{len(calls)} calls, {len(cuts)} cuts, {made} disks: {wrong} of them wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
