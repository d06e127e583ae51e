"""What one board costs in a ledger of many: claim, sealed key and a record of 10 kB.

    python -m bench.ledger_cost [--boards 100 10000 100000] [--driver tinydb|postgresql] [--dsn-env VARIABLE]
                                [--transactions 300] [--folder DIR]

Every size gets a ledger of its own, filled with boards that passed (one history entry each, without fsync) and one
record file a board (hard links of one 10 kB record: what grows is the folder). Then new boards are claimed, one by one
and in turn in each ledger, each with a sealed key and a record. ``open`` is the start of a run on that ledger,
``close`` its end, which sometimes makes a checkpoint; ``fsync`` is what the disk takes for 2 kB at that moment, ``x``
the ratio to the smallest ledger. The disk is the one of ``--folder``; fsyncs are counted, so that the cost on a slower
disk can be told: its fsync times their number.

With PostgreSQL the variable names an empty database, which is emptied again; records stay in files.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from lorafab.domain.identity import Eui64
from lorafab.domain.record import RunRecord
from lorafab.drivers.clock import SystemClock
from lorafab.interfaces import ClaimRequest, SealedBox, SealedKey
from lorafab.stores import claims
from lorafab.stores.history import Entry, canonical, genesis, make_entry
from lorafab.stores.ledger import BaseLedger
from lorafab.stores.records import RecordStore
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.stores.view import View

FIRST = 0x70B3D5499A000000
BOX = "QUJD" * 22  # as long as a sealed key: 64 bytes in base64
LINKS = 50_000  # ext4 allows 65 000 names of one file
NOW = "2026-03-01T12:00:00.000Z"


def request(n: int) -> ClaimRequest:
    """The claim of the n-th board."""
    eui = Eui64(FIRST + n)
    label = f"LW:D0:00005EEF10000001:{eui}:FFFF0000:SLF{n:08d}:C1234"
    return ClaimRequest(
        eui, Eui64(0x5EEF10000001), f"LF{n:08d}", label, f"C0FFEE{n:018X}", "bench", f"run-{n}", "A", "Eve"
    )


def key(n: int) -> SealedKey:
    """Its sealed key, for two public keys."""
    return SealedKey("appkey", f"{n:016X}", (SealedBox("0123456789abcdef", BOX), SealedBox("fedcba9876543210", BOX)))


def record(n: int) -> RunRecord:
    """Its record: 10 kB, most of it the transcript."""
    empty: dict[str, Any] = dict.fromkeys(("keys", "picture", "image_file", "image_version", "image_sha256"))
    same: dict[str, Any] = dict.fromkeys(
        ("start", "end", "plan_sha256", "config_sha256", "lorafab_version", "lorafab_commit"), NOW
    )
    asked = request(n)
    return RunRecord(
        **empty, **same, run=asked.run, station="A", site="1", operator="Eve", lot="bench", product="endnode",
        attempt=1, label=asked.label, serial=asked.serial, dev_eui=str(asked.dev_eui), join_eui=str(asked.join_eui),
        chip_id=asked.chip_id, steps=(), transcript=("> " + "x" * 91,) * 95, permits=(), verdict="PASS", code="",
        cause="", ledger_head="0" * 64, report_file=None,
    )  # fmt: skip


def passed_boards(ledger_id: str, count: int) -> Iterator[Entry]:
    """A history of ``count`` boards that passed, one entry each."""
    prev = genesis(ledger_id)
    for n in range(count):
        asked = request(n)
        board = claims.with_key(claims.first_claim(asked, NOW), 1, [key(n)], asked.run, NOW)
        board = claims.passed(claims.read_back(board, 1), 1, asked.run).changed(seq=n + 1)
        facts = {"time": NOW, "event": "passed", "run": asked.run, "station": "A", "operator": "Eve", "reason": ""}
        entry = make_entry(dict(facts), board, prev)
        prev = entry.hash
        yield entry


class TinyBed:
    """A data folder to measure in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, count: int) -> None:
        """Make a ledger of ``count`` boards: the history line by line, the view in one go."""
        ledger = TinyLedger.create(self.folder, SystemClock())

        def written() -> Iterator[Entry]:
            with (self.folder / "ledger" / "history.jsonl").open("wb") as file:
                for entry in passed_boards(ledger.ledger_id, count):
                    file.write(canonical(entry) + b"\n")
                    yield entry

        View(self.folder / "ledger").replace(written(), genesis(ledger.ledger_id))

    def open(self) -> BaseLedger:
        """As a run opens it."""
        return TinyLedger.open(self.folder, SystemClock())

    def close(self) -> None:
        """The folder goes with everything else."""


class PostgresBed:
    """An empty database to measure in."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def fill(self, count: int) -> None:
        """Make a ledger of ``count`` boards."""
        from bench.postgres_fill import fill
        from lorafab.stores.postgres_ledger import PostgresLedger

        fill(self.dsn, passed_boards(PostgresLedger.create(self.dsn, SystemClock()).ledger_id, count))

    def open(self) -> BaseLedger:
        """As a run opens it."""
        from lorafab.stores.postgres_ledger import PostgresLedger

        return PostgresLedger.open(self.dsn, SystemClock())

    def close(self) -> None:
        """Empty the database again."""
        import psycopg

        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("DROP SCHEMA lorafab CASCADE")


Bed = TinyBed | PostgresBed


def fill_records(folder: Path, count: int) -> None:
    """One file a board, as `RecordStore` names them."""
    store = RecordStore(folder)
    store.prepare()
    store.append(record(0))
    first = folder / "records" / f"{request(0).dev_eui}.json"
    for n in range(1, count):
        path = folder / "records" / f"{request(n).dev_eui}.json"
        if n % LINKS:
            os.link(first, path)
        else:
            shutil.copyfile(first, path)
            first = path


class Fsyncs:
    """Counts them."""

    def __init__(self) -> None:
        self.count = 0
        self._real = os.fsync

    def __enter__(self) -> "Fsyncs":
        def counted(fd: Any) -> None:
            self.count += 1
            self._real(fd)

        os.fsync = counted
        return self

    def __exit__(self, *_: object) -> None:
        os.fsync = self._real


PARTS = ("fsync", "open", "close", "claim", "key", "record", "claim+record", "all")


class Subject:
    """One ledger of some size, and what its boards cost."""

    def __init__(self, bed: Bed, folder: Path, count: int) -> None:
        self.bed, self.count, self._next = bed, count, count
        began = time.monotonic()
        bed.fill(count)
        fill_records(folder, count)
        self.filled_s = time.monotonic() - began
        self.times: dict[str, list[float]] = defaultdict(list)
        """Milliseconds."""
        self.fsyncs = 0
        self._ledger, self._store = bed.open(), RecordStore(folder)
        self._opened: list[BaseLedger] = []
        self._line = os.open(folder / "fsync", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def _timed(self, name: str, act: Callable[[], object]) -> float:
        began = time.perf_counter()
        act()
        took = (time.perf_counter() - began) * 1000
        self.times[name].append(took)
        return took

    def board(self) -> None:
        """One new board; before it, what the disk takes for a line of its own, and what a run takes to begin."""
        n = self._next
        self._next += 1
        asked, kept = request(n), record(n)
        os.write(self._line, bytes(2000))
        self._timed("fsync", lambda: os.fsync(self._line))
        with Fsyncs() as fsyncs:
            self._timed("open", lambda: self._opened.append(self.bed.open()))
            self._timed("close", lambda: self._opened.pop().close())
            claim = self._timed("claim", lambda: self._ledger.claim(asked))
            made = self._timed("key", lambda: self._ledger.add_key(asked.dev_eui, 1, [key(n)], asked.run))
            stored = self._timed("record", lambda: self._store.append(kept))
        self.times["claim+record"].append(claim + stored)
        self.times["all"].append(claim + made + stored)
        self.fsyncs += fsyncs.count

    def report(self, smallest: "Subject") -> None:
        """Print the figures."""
        boards = len(self.times["all"])
        print(
            f"{self.count} boards (filled in {self.filled_s:.0f} s), {self.fsyncs / boards:.1f} fsyncs a board, "
            f"checkpoints included:"
        )
        for name in PARTS:
            values = self.times[name]
            ratio = statistics.median(values) / statistics.median(smallest.times[name])
            print(
                f"  {name:13} median {statistics.median(values):7.2f} ms   p99 {centile(values, 0.99):7.2f} ms   "
                f"x {ratio:.2f}",
                flush=True,
            )

    def close(self) -> None:
        """Let go."""
        self._ledger.close()
        os.close(self._line)
        self.bed.close()


def centile(values: Iterable[float], share: float) -> float:
    """The value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> int:
    """Measure all sizes, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--boards", type=int, nargs="+", default=[100, 10_000, 100_000], metavar="N")
    parser.add_argument("--driver", choices=["tinydb", "postgresql"], default="tinydb")
    parser.add_argument("--dsn-env", default="LORAFAB_DSN", metavar="VARIABLE")
    parser.add_argument("--transactions", type=int, default=300, metavar="N")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="on the disk to measure (default: the temporary one)"
    )
    options = parser.parse_args()
    # A database holds one ledger: its sizes come one after the other, and the disk may be busier for one of them.
    rounds = [options.boards] if options.driver == "tinydb" else [[count] for count in options.boards]
    smallest: Subject | None = None
    for counts in rounds:
        place = Path(tempfile.mkdtemp(prefix="lorafab-cost-", dir=options.folder))
        subjects: list[Subject] = []
        try:
            for count in counts:
                folder = place / str(count)
                folder.mkdir()
                bed = TinyBed(folder) if options.driver == "tinydb" else PostgresBed(os.environ[options.dsn_env])
                subjects.append(Subject(bed, folder, count))
            for _ in range(options.transactions):
                for subject in subjects:
                    subject.board()
            smallest = smallest or subjects[0]
            for subject in subjects:
                subject.report(smallest)
        finally:
            for subject in subjects:
                subject.close()
            shutil.rmtree(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
