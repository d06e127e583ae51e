"""Kills runs at every instant that matters, then proves that nothing was lost and nothing given twice.

python -m bench.kill [--random N] [--every N] [--keep DIR]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lorafab.domain import identity_block
from lorafab.domain.identity import Eui64
from lorafab.drivers.clock import SystemClock
from lorafab.stores.keyring import demo_paths, load_private, open_key
from lorafab.stores.records import RecordStore
from lorafab.stores.tiny_ledger import TinyLedger

ROOT = Path(__file__).resolve().parents[1]
IDENTITY_OFFSET = 0x3E800


@dataclass(frozen=True)
class Shot:
    """One run that is to be killed."""

    point: str
    board: Path


def run(data: Path, board: Path, *, kill: str = "", count: Path | None = None) -> subprocess.CompletedProcess[str]:
    """One run of one board, with a kill point or none."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "LORAFAB_VIRTUAL_BOARD": str(board),
        "LORAFAB_KILL": kill,
        "LORAFAB_KILL_COUNT": str(count or ""),
    }
    command = [sys.executable, "-m", "pytest", "-p", "bench.kill_points", "-p", "no:cacheprovider"]
    command += ["--station=sim", f"--data={data}"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)


def points(counts: dict[str, int], steps: dict[str, float], per_step: int, every: int) -> Iterator[str]:
    """All instants: deterministic ones before and after, random ones within each step."""
    for kind in ("fsync", "replace"):
        for number in range(1, counts[kind] + 1, every):
            yield f"{kind}:{number}:before"
            yield f"{kind}:{number}:after"
    for number in range(1, counts["word"] // 2 + 1, every):
        yield f"word:{number}:before"
        yield f"word:{number}:after"
    dice = random.Random()
    for name, seconds in steps.items():
        for _ in range(per_step):
            yield f"step:{name}:{dice.uniform(0, seconds):.4f}"


def journal_state(data: Path) -> str:
    """Last event that the killed run had noted."""
    for path in sorted((data / "journal" / "sim").glob("*.jsonl")):
        lines = path.read_bytes().splitlines()
        event = json.loads(lines[-1])
        if event["event"] in ("step", "step end"):
            test = event["facts"].get("test") or event["facts"]["step"]["test"]
            return f"{event['event']} {test.split('::')[0]}"
        return str(event["event"])
    return "no journal"


def check_all(data: Path, boards: list[Path]) -> list[str]:
    """Everything that must hold however the runs ended."""
    problems = TinyLedger.open(data, SystemClock()).check()
    list(RecordStore(data).all_runs())  # raises at a file that does not parse
    ledger = TinyLedger.open(data, SystemClock(), read_only=True)
    private = load_private(demo_paths(data)[0], None)
    owners: dict[str, Path] = {}
    for board in boards:
        block = identity_block.decode(board.read_bytes()[IDENTITY_OFFSET : IDENTITY_OFFSET + identity_block.BLOCK_SIZE])
        if block is None:
            continue
        eui = str(block.dev_eui)
        if eui in owners:
            problems.append(f"{eui} is on {owners[eui].name} and on {board.name}")
        owners[eui] = board
        keys = {key.generation: key for key in ledger.sealed_keys(Eui64.parse(eui))}
        if block.generation not in keys:
            problems.append(f"{board.name} holds generation {block.generation} of {eui}, which the ledger lacks")
        elif not open_key(private, block.dev_eui, keys[block.generation], "appkey").same_as(block.app_key):
            problems.append(f"the vault's key of {eui} is not the one on {board.name}")
        claim = ledger.find(eui)
        if claim is not None and claim["state"] == "passed" and claim["proven"] != block.generation:
            problems.append(f"{eui} ships generation {claim['proven']}, and {board.name} holds {block.generation}")
    return problems


def main() -> int:
    """Shoot, check, run again, check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random", type=int, default=20, help="random kills in each step")
    parser.add_argument("--every", type=int, default=1, help="take only every N-th deterministic point")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="lorafab-kill-"))
    folder.mkdir(parents=True, exist_ok=True)
    data, count = folder / "data", folder / "count.json"
    # The first run makes ledger and vault; the second one is like those that will be killed.
    whole = [folder / "first.board", folder / "second.board"]
    for board in whole:
        done = run(data, board, count=count)
        if done.returncode != 0:
            print(done.stdout, done.stderr)
            return 1
    baseline = json.loads(count.read_text(encoding="utf-8"))
    print("a whole run has", baseline["counts"], {name: round(value, 2) for name, value in baseline["steps"].items()})
    shots = [
        Shot(point, folder / f"b{number:04d}.board")
        for number, point in enumerate(points(baseline["counts"], baseline["steps"], options.random, options.every))
    ]
    failures: list[str] = []
    states: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for number, shot in enumerate(shots, 1):
        kind = shot.point.split(":", 1)[0]
        totals[kind] += 1
        killed = run(data, shot.board, kill=shot.point)
        if killed.returncode == -9:
            hits[kind] += 1
            states[journal_state(data)] += 1
        elif killed.returncode != 0:
            failures.append(f"{shot.point}: status {killed.returncode}: {killed.stdout[-600:]}")
        failures += [
            f"{shot.point}: {problem}" for problem in check_all(data, [shot.board] if shot.board.exists() else [])
        ]
        again = run(data, shot.board)
        if again.returncode != 0:
            failures.append(f"{shot.point}: the rerun ended with {again.returncode}: {again.stdout[-900:]}")
        if number % 25 == 0:
            print(f"{number}/{len(shots)} shots, {sum(hits.values())} hit, {len(failures)} failures", flush=True)
    failures += check_all(data, [*whole, *(shot.board for shot in shots)])
    print(f"{len(shots)} shots, {sum(hits.values())} hit a live process ({sum(hits.values()) / len(shots):.0%})")
    print("by kind:", {kind: f"{hits[kind]}/{totals[kind]}" for kind in totals})
    print("journal at the kill:")
    for state, number in states.most_common():
        print(f"  {number:4d}  {state}")
    print("failures:", len(failures))
    for failure in failures[:20]:
        print(" ", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
