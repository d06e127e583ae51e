"""Every identity store on the virtual boards that have it: a new board, the same again, another label on it.

    python -m bench.identity_stores [LOT ...]

Prints a Markdown table, one line a lot: the verdict of the first run and of the rework, the key generations of both,
how the key is known, DevNonces, and what the line says when another board's label comes to this board. Status 1 when
one of them does not end as it should.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
LOTS = sorted(path.stem for path in (ROOT / "stations" / "lots").glob("demo*.yaml"))


@dataclass(frozen=True)
class Shown:
    """What one run showed, and its record."""

    status: int
    text: str
    record: dict[str, Any] | None

    @property
    def sentence(self) -> str:
        """Why it ended as it did."""
        return str(self.record["cause"]) if self.record else self.text.strip().splitlines()[-1]


def run(folder: Path, lot: str, *arguments: str) -> Shown:
    """One run of the board in ``folder``."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("LORAFAB_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--station=sim", f"--lot={lot}", f"--data={folder / 'data'}", *arguments],
        cwd=ROOT,
        env=inherited | {"LORAFAB_VIRTUAL_BOARD": str(folder / "board")},
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stdout.rstrip().splitlines()[-1].split()
    name = last[2] if last[2] != "-" else f"unidentified/{last[3]}"
    file = folder / "data" / "records" / f"{name}.json"
    attempts = json.loads(file.read_text())["attempts"].values() if file.exists() else ()
    return Shown(done.returncode, done.stdout + done.stderr, next((r for r in attempts if r["run"] == last[3]), None))


def nonce(record: dict[str, Any] | None) -> str:
    """DevNonce that a run measured."""
    steps = record["steps"] if record else ()
    values = [m["value"] for step in steps for m in step["measurements"] if m["name"] == "dev_nonce"]
    return str(values[0]) if values else "-"


def line(lot: str) -> tuple[str, bool]:
    """A line of the table, and whether all was as it should be."""
    order = yaml.safe_load((ROOT / "stations" / "lots" / f"{lot}.yaml").read_text())
    product = yaml.safe_load((ROOT / "firmware" / order["product"] / "product.yaml").read_text())
    locked = "lock" in product
    with tempfile.TemporaryDirectory(prefix="lorafab-stores-") as name:
        folder = Path(name)
        first = run(folder, lot)
        again = run(folder, lot, *(["--permit=unlock:bench"] if locked else []))
        serial = order["serial"]
        label = f"{serial['prefix']}{serial.get('first', 1) + 7:0{serial['digits']}}"
        if order["dev_eui"]["source"] == "label":
            dev_eui = int(order["dev_eui"]["first"], 16) + 7
            label = f"LW:D0:{order['join_eui']}:{dev_eui:016X}:{order.get('profile', 'FFFF0000')}:S{label}"
        other = run(folder, lot, f"--label={label}")
    keys = [shown.record["keys"] if shown.record else None for shown in (first, again)]
    generations = "/".join("-" if one is None else str(one["generation"]) for one in keys)
    good = (first.status, again.status, other.status) == (0, 0, 1)
    cells = [
        *(lot, product["identity"]["store"], product["mcu"]),
        *(shown.record["verdict"] if shown.record else str(shown.status) for shown in (first, again)),
        *(generations, keys[1]["evidence"] if keys[1] else "-"),
        f"{nonce(first.record)}/{nonce(again.record)}",
        *(other.record["verdict"] if other.record else str(other.status), other.sentence[:110]),
    ]
    if not good:
        cells.append(f"NOT AS IT SHOULD BE: {first.sentence or again.sentence}")
    return f"| {' | '.join(cells)} |", good


def main() -> int:
    """Run the table."""
    print("| lot | store | MCU | new | again | generations | evidence | DevNonces | other label | which is told |")
    print("|" + "---|" * 10)
    sound = True
    for lot in sys.argv[1:] or LOTS:
        text, good = line(lot)
        print(text, flush=True)
        sound = sound and good
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
