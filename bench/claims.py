"""Processes that fight for identities: nothing is given twice, nothing that was acknowledged is lost.

python -m bench.claims --driver tinydb|postgresql [--kill] [--restarts N] [--processes N] [--claims N]

Half of each process' claims are its own. The other half collide on purpose: all processes want the same DevEUI, the
same label, the same serial or the same chip, each with everything else different, so that one of them may have it and
all others must be told which run was first. ``--kill`` sends SIGKILL to a random process every 50 ms and starts it
again; ``--restarts`` restarts the PostgreSQL server, in turn like a crash and in good order. A process that is told of
a lost connection asks again, as the next run of that board would.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

from lorafab.domain.identity import Eui64
from lorafab.drivers.clock import SystemClock
from lorafab.errors import BoundElsewhere, LedgerError
from lorafab.interfaces import ClaimRequest
from lorafab.stores.claims import ClaimDocument
from lorafab.stores.ledger import BaseLedger, Document, Work
from lorafab.stores.postgres_ledger import PostgresLedger
from lorafab.stores.tiny_ledger import TinyLedger
from tests_unit.postgres_server import PostgresServer, running_server

KINDS = ("dev_eui", "label", "serial", "chip_id")
KILL_EVERY_S = 0.05
FORK = multiprocessing.get_context("fork")  # a killed process is back after a millisecond, not after an import

Opener = Callable[[], BaseLedger]


@dataclass(frozen=True)
class Want:
    """One claim to make; ``contest`` names what others want as well, "" when nobody does."""

    request: ClaimRequest
    contest: str


def wants(process: int, claims: int) -> list[Want]:
    """What one process is to claim."""
    own = [_want(process, number, 0, "") for number in range(claims - claims // 2)]
    contested = [_want(process, number, 1, KINDS[number % len(KINDS)]) for number in range(claims // 2)]
    mixed = own + contested
    random.Random(process).shuffle(mixed)
    return mixed


def _want(process: int, number: int, half: int, kind: str) -> Want:
    mine = (half << 20) + (process + 1 << 24) + number
    fields: dict[str, int] = dict.fromkeys(KINDS, mine)
    if kind:
        fields[kind] = (1 << 28) + number  # the same for every process
    return Want(
        ClaimRequest(
            dev_eui=Eui64(0x70B3D54990000000 + fields["dev_eui"]),
            join_eui=Eui64(0x70B3D57ED0000001),
            serial=f"S{fields['serial']:08X}",
            label=f"LW:D0:{fields['label']:016X}",
            chip_id=f"{fields['chip_id']:024X}",
            lot="bench",
            run=f"run-{process}-{half}-{number}",
            station=f"P{process}",
            operator="bench",
        ),
        f"{kind}-{number}" if kind else "",
    )


class CountingLedger(PostgresLedger):
    """Counts attempts, to show how often one had to start over."""

    attempts = 0

    def _attempt(self, work: Work) -> Document | None:
        self.attempts += 1
        return super()._attempt(work)


def worker(process: int, claims: int, opened: Opener, journal: Path) -> None:
    """Claim whatever the journal does not name yet; one line a verdict, written after the ledger has spoken."""
    done = {json.loads(line)["run"] for line in _whole_lines(journal)}
    fd = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ledger: BaseLedger | None = None
    for want in wants(process, claims):
        if want.request.run in done:
            continue
        errors, begin = 0, time.perf_counter()
        before = getattr(ledger, "attempts", 0)
        while True:
            try:
                ledger = ledger or opened()
                ledger.claim(want.request)
                refusal = ""
            except BoundElsewhere as refused:
                refusal = str(refused)
            except LedgerError as problem:
                errors += 1
                parent = multiprocessing.parent_process()
                if parent is None or not parent.is_alive():
                    return  # the fight was called off
                if "lost" not in str(problem) and "cannot be reached" not in str(problem):
                    print(f"P{process}: {problem}", flush=True)
                time.sleep(0.05)
                continue
            break
        line = {
            "run": want.request.run,
            "refusal": refusal,
            "ms": (time.perf_counter() - begin) * 1e3,
            "attempts": getattr(ledger, "attempts", 1) - before,
            "errors": errors,
        }
        os.write(fd, json.dumps(line).encode() + b"\n")


def _whole_lines(journal: Path) -> list[bytes]:
    """Lines that a kill did not tear."""
    data = journal.read_bytes() if journal.exists() else b""
    return data[: data.rfind(b"\n") + 1].splitlines()


def _cut_torn(journal: Path) -> None:
    lines = _whole_lines(journal)
    if journal.exists():
        journal.write_bytes(b"".join(line + b"\n" for line in lines))


@dataclass
class Fight:
    """All processes, and what happens to them."""

    opened: Opener
    folder: Path
    processes: int
    claims: int
    kills: int = 0
    restarts: int = 0

    def journal(self, process: int) -> Path:
        """Where a process notes what it was told."""
        return self.folder / f"{process}.jsonl"

    def start(self, process: int) -> BaseProcess:
        """Start one, or start it again."""
        _cut_torn(self.journal(process))
        started = FORK.Process(target=worker, args=(process, self.claims, self.opened, self.journal(process)))
        started.start()
        return started

    def run(self, kill: bool, server: PostgresServer | None, restarts: int) -> float:
        """Until every claim has its verdict; returns seconds."""
        begin = time.perf_counter()
        alive = {process: self.start(process) for process in range(self.processes)}
        dice, step = random.Random(), self.processes * self.claims // (restarts + 1)
        while alive:
            time.sleep(KILL_EVERY_S)
            for process, running in list(alive.items()):
                if running.exitcode == 0:
                    del alive[process]
                elif running.exitcode is not None:
                    alive[process] = self.start(process)
            victim = alive.get(dice.randrange(self.processes))  # None: that one has finished
            if kill and victim is not None and victim.pid is not None and victim.exitcode is None:
                os.kill(victim.pid, signal.SIGKILL)
                self.kills += 1
            if server is not None and self.restarts < restarts and self.answered() >= step * (self.restarts + 1):
                server.restart("immediate" if self.restarts % 2 == 0 else "fast")
                self.restarts += 1
        return time.perf_counter() - begin

    def answered(self) -> int:
        """Claims that have a verdict."""
        return sum(len(_whole_lines(self.journal(process))) for process in range(self.processes))

    def verdicts(self) -> dict[str, dict[str, object]]:
        """What was said to each run."""
        lines = (json.loads(line) for process in range(self.processes) for line in _whole_lines(self.journal(process)))
        return {str(line["run"]): line for line in lines}


def problems_of(fight: Fight, ledger: BaseLedger) -> list[str]:
    """Everything that must hold, and does not."""
    problems = ledger.check()
    verdicts = fight.verdicts()
    kept = {document.first_run: document for document in ledger.documents()}
    problems += [f"{name} is in two claims" for name in _duplicates(list(kept.values()))]
    winners: dict[str, list[str]] = {}
    refused: list[Want] = []
    for want in (want for process in range(fight.processes) for want in wants(process, fight.claims)):
        run, said = want.request.run, verdicts.get(want.request.run)
        if said is None:
            problems.append(f"{run} has no verdict")
        elif said["refusal"]:
            refused.append(want)
        elif run not in kept or not _same(kept[run], want.request):
            problems.append(f"{run} was acknowledged and is not in the ledger as it was asked for")
        elif want.contest:
            winners.setdefault(want.contest, []).append(run)
    problems += [f"{name} was given to {runs}" for name, runs in winners.items() if len(runs) != 1]
    for want in refused:
        earlier = winners.get(want.contest, [])
        if not want.contest:
            problems.append(f"{want.request.run} was refused, and nobody else wanted it")
        elif f"run {earlier[0] if earlier else None}" not in str(verdicts[want.request.run]["refusal"]).replace(
            ",", " "
        ):
            problems.append(f"the refusal of {want.request.run} does not name {earlier}")
    acknowledged = sum(not said["refusal"] for said in verdicts.values())
    if len(kept) != acknowledged:
        problems.append(f"{acknowledged} claims were acknowledged and {len(kept)} are kept")
    return problems


def _same(document: ClaimDocument, request: ClaimRequest) -> bool:
    return (document.dev_eui, document.label, document.serial, document.chip_id) == (
        str(request.dev_eui),
        request.label,
        request.serial,
        request.chip_id,
    )


def _duplicates(documents: list[ClaimDocument]) -> list[str]:
    counts = Counter(
        (kind, getattr(document, kind)) for document in documents for kind in ("dev_eui", "label", "serial", "chip_id")
    )
    return [f"{kind} {value}" for (kind, value), number in counts.items() if number > 1]


def show(fight: Fight, seconds: float, head: str) -> None:
    """Print the figures."""
    said = list(fight.verdicts().values())
    refused = sum(bool(one["refusal"]) for one in said)
    times = sorted(float(str(one["ms"])) for one in said)
    attempts = sorted(int(str(one["attempts"])) for one in said)
    print(
        f"{fight.processes} processes x {fight.claims} claims in {seconds:.1f} s: {len(said) - refused} acknowledged, "
        f"{refused} refused; {fight.kills} kills, {fight.restarts} server restarts, "
        f"{sum(int(str(one['errors'])) for one in said)} times ERROR and asked again"
    )
    print(
        f"one claim: median {statistics.median(times):.1f} ms, 99 % {times[len(times) * 99 // 100]:.1f} ms, "
        f"longest {times[-1]:.0f} ms; attempts: mean {statistics.mean(attempts):.2f}, "
        f"99 % {attempts[len(attempts) * 99 // 100]}, most {attempts[-1]}"
    )
    print(f"head {head[:16]}...")


def main() -> int:
    """Fight, then count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--driver", choices=("tinydb", "postgresql"), required=True)
    parser.add_argument("--kill", action="store_true", help="SIGKILL a random process every 50 ms")
    parser.add_argument("--restarts", type=int, default=0, help="restart the PostgreSQL server so many times")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--claims", type=int, default=500, help="of each process")
    options = parser.parse_args()
    if options.restarts and options.driver == "tinydb":
        parser.error("tinydb has no server to restart")
    clock = SystemClock()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lorafab-claims-")))
        server: PostgresServer | None = None
        if options.driver == "postgresql":
            server = stack.enter_context(running_server())
            dsn = server.database()
            PostgresLedger.create(dsn, clock).close()
            opened: Opener = partial(CountingLedger.open, dsn, clock)
        else:
            TinyLedger.create(folder, clock)
            opened = partial(TinyLedger.open, folder, clock)
        fight = Fight(opened, folder, options.processes, options.claims)
        seconds = fight.run(options.kill, server, options.restarts)
        ledger = opened()
        problems = problems_of(fight, ledger)
        show(fight, seconds, ledger.head())
        ledger.close()
    print(f"{len(problems)} problems", *problems[:20], sep="\n  ")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
