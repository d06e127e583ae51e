"""One fault after the other on the whole line: what the run says with it, and that the next run passes without it.

    python -m bench.faults [WORD ...]

Prints a Markdown table. Each fault gets a new board: one run with the fault, then one of the same board without it,
taken up again with `lorafab ledger rework` where the first run has put it into quarantine.
WORDs choose the faults whose text contains one of them. Status 1 when a run does not end as it should.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LABELS = {0: "PASS", 1: "FAIL", 2: "ABORTED", 3: "ERROR", 4: "usage"}


@dataclass(frozen=True)
class Case:
    """A fault, how the run must end, and words of the sentence that the operator reads."""

    fault: str
    verdict: str
    says: str = ""


# A whole byte, because one bit may be right by chance.
STUCK_KEY = "; ".join(f"stuck_bit=0x0803E81D.{bit}=1" for bit in range(8))

LOST, MUTE = "connection to the chip was lost", "sent no line"
CASES = (
    Case("unplug@transfer:1500", "ERROR", LOST),
    Case("unplug@time:100ms", "ERROR", "the probe's cable"),
    Case("wait@transfer:1500*100", "PASS"),  # the probe tries 151 times
    Case("wait@transfer:1500*1000", "ERROR", LOST),
    Case("no_ack@transfer:1500", "ERROR", LOST),
    Case("parity@transfer:700", "ERROR", LOST),
    Case("parity@transfer:1500", "ERROR", LOST),
    Case("dpidr=0x0BC11477", "FAIL", "debug port id 0xbc11477"),
    Case("idcode=0x10016415", "FAIL", "device id 0x415"),
    Case("flash_size=128", "FAIL", "flash size 0x20000"),
    Case("power_cut@word:37", "ERROR", LOST),
    Case("power_cut@address:0x0803E820", "ERROR", LOST),
    Case("power_cut@byte:1", "ERROR", LOST),
    Case("power_cut@host_byte:20", "ERROR", LOST),
    Case("stuck_bit=0x08000003.5=0", "FAIL", "1 byte from 0x08000003 on differ"),
    Case(STUCK_KEY, "FAIL", "1 byte from 0x0803e81d on differ"),
    Case("slow_erase=100", "PASS"),
    Case("slow_erase=1000", "PASS"),  # nothing is erased on a new board
    Case("wrp=125", "FAIL", "could not be erased at 0x0803e800"),  # what the second try begins with
    Case("rdp=1", "FAIL", "read-out protection is on"),
    Case("rdp=2", "ERROR", "cannot be reached"),
    Case("key_lock", "FAIL", "flash controller does not work"),
    Case("lockup@byte:1", "FAIL", MUTE),
    Case("lockup@instruction:30000", "PASS"),  # inside the probe's own code in RAM, which the driver then does without
    Case("hang@byte:40", "FAIL", MUTE),
    Case("uart=silent", "FAIL", MUTE),
    Case("uart=noisy@byte:35", "FAIL", "the board answers ID? with"),
    Case("uart=garbage", "FAIL", MUTE),
    Case("uart=drop@byte:36", "FAIL", "the firmware says dev_eui 'nothing'"),
    Case("uart=drop@host_byte:3", "FAIL", "unknown command"),
    Case("baud=9600", "FAIL", MUTE),
    Case("baud=112000", "PASS"),  # 2.8 % are put up with
    Case("swap@transfer:1500", "ERROR", LOST),
    Case("swap@host_byte:60", "ERROR", LOST),
    Case("jig=empty", "ERROR", "the jig is empty"),
    Case("jig=open", "ERROR", "the lid is open"),
)


@dataclass(frozen=True)
class Shown:
    """What one run showed."""

    status: int
    sentence: str

    @property
    def verdict(self) -> str:
        """Its word."""
        return LABELS.get(self.status, "?")


@dataclass(frozen=True)
class Row:
    """A fault switched on, and off again."""

    case: Case
    on: Shown
    off: Shown

    @property
    def trouble(self) -> str:
        """Why this is not what was wanted; empty when it is."""
        if self.on.verdict != self.case.verdict:
            return f"{self.case.fault}: {self.on.verdict}, wanted {self.case.verdict}"
        if self.case.says not in self.on.sentence:
            return f"{self.case.fault}: the sentence lacks {self.case.says!r}: {self.on.sentence}"
        return (
            ""
            if self.off.verdict == "PASS"
            else f"{self.case.fault}: {self.off.verdict} without it: {self.off.sentence}"
        )


def produce(folder: Path, name: str, faults: str) -> Shown:
    """One run of the board ``name``, in a process of its own."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("LORAFAB_", "PYTEST_"))}
    data = folder / "data"
    before = _runs(data)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--station=sim", f"--data={data}"],
        cwd=ROOT,
        env={
            **inherited,
            "LORAFAB_VIRTUAL_BOARD": str(folder / f"{name}.board"),
            "LORAFAB_VIRTUAL_FAULTS": faults,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    new = {run: cause for run, cause in _runs(data).items() if run not in before}
    if len(new) == 1:
        return Shown(done.returncode, next(iter(new.values())))
    return Shown(done.returncode, " ".join((done.stdout + done.stderr).split()))


def _runs(data: Path) -> dict[str, str]:
    """Run id and deciding sentence of every record."""
    files = [json.loads(path.read_text()) for path in (data / "records").rglob("*.json")]
    return {attempt["run"]: attempt["cause"] for file in files for attempt in file["attempts"].values()}


def run_case(folder: Path, case: Case) -> Row:
    """With the fault, then without it, on a new board."""
    name = f"b{CASES.index(case)}" if case in CASES else "b"
    on = produce(folder, name, case.fault)
    _take_up(folder / "data")
    return Row(case, on, produce(folder, name, ""))


def _take_up(data: Path) -> None:
    """Let the line have boards again that it has set aside for good."""
    lorafab = [sys.executable, "-m", "lorafab.cli", "ledger"]
    listed = subprocess.run(
        [*lorafab, "list", "--json", "--state=quarantined", f"--data={data}"], cwd=ROOT, capture_output=True, check=True
    )
    for board in json.loads(listed.stdout):
        why = ["--reason=the fault is switched off", "--operator=bench"]
        subprocess.run([*lorafab, "rework", board["dev_eui"], *why, f"--data={data}"], cwd=ROOT, check=True)


def table(rows: list[Row]) -> str:
    """All of it in Markdown."""
    lines = ["| fault | switched off | switched on | exit | sentence |", "|---|---|---|---|---|"]
    for row in rows:
        fault = "eight stuck bits at 0x0803E81D" if row.case.fault == STUCK_KEY else f"`{row.case.fault}`"
        lines.append(f"| {fault} | {row.off.verdict} | {row.on.verdict} | {row.on.status} | {row.on.sentence} |")
    return "\n".join(lines)


def main() -> int:
    """Run, print, judge."""
    wanted = sys.argv[1:]
    chosen = [case for case in CASES if not wanted or any(word in case.fault for word in wanted)]
    with tempfile.TemporaryDirectory(prefix="lorafab-faults-") as folder:
        rows = [run_case(Path(folder), case) for case in chosen]
    print(table(rows))
    troubles = [row.trouble for row in rows if row.trouble]
    print("\n".join(["", *troubles] if troubles else ["", f"{len(rows)} faults, each as it should be"]))
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
