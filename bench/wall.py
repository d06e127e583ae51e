"""Wall time of `pytest --station=sim`: median of several runs, and where it goes.

    python -m bench.wall [RUNS]

The breakdown comes from one more run under the same conditions, with the parts timed inside the process.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROBE = """
import sys, time
start = time.perf_counter()
import pytest
marks = {"import pytest": time.perf_counter() - start}
def timed(name, owner, attribute):
    function = getattr(owner, attribute)
    def call(*a, **k):
        began = time.perf_counter()
        try:
            return function(*a, **k)
        finally:
            marks[name] = marks.get(name, 0.0) + time.perf_counter() - began
    setattr(owner, attribute, call)
began = time.perf_counter()
import lorafab.plugin, lorafab.drivers.pyocd_programmer, lorafab.virtual.jig, lorafab.report.board
marks["import lorafab"] = time.perf_counter() - began
began = time.perf_counter()
import pyocd.core.helpers
marks["import pyocd"] = time.perf_counter() - began
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.run.session import Session
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.stores.vault import Vault
from lorafab.stores.journal import RunJournal
from lorafab.steps.shell import Shell
import lorafab.run.recording as recording
timed("open station", Session, "begin")
timed("connect", PyocdProgrammer, "connect")
timed("flash", PyocdProgrammer, "program")
timed("read memory", PyocdProgrammer, "read")
timed("firmware on the line", Shell, "ask")
timed("firmware start", Shell, "wait_for_start")
for name in ("claim", "add_key", "mark_written", "note_nonce", "mark_passed"):
    timed("ledger", TinyLedger, name)
timed("vault", Vault, "new_key")
timed("journal", RunJournal, "note")
timed("report", recording, "write_report")
began = time.perf_counter()
status = pytest.main(sys.argv[1:])
marks["whole session"] = time.perf_counter() - began
for name, seconds in marks.items():
    print(f"MARK {name}: {seconds * 1000:.0f} ms")
sys.exit(int(status))
"""


def main() -> int:
    """Measure and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory(prefix="lorafab-wall-") as folder:
        command = ["--station=sim", f"--data={folder}"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        seconds = []
        for number in range(runs + 1):
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *command], cwd=ROOT, env=environment, capture_output=True
            )
            assert done.returncode == 0, done.stdout.decode()
            if number:  # the first one warms the caches
                seconds.append(time.perf_counter() - began)
        print(
            f"wall, {runs} runs: median {statistics.median(seconds):.2f} s, {min(seconds):.2f} to {max(seconds):.2f} s"
        )
        done = subprocess.run([sys.executable, "-c", PROBE, *command], cwd=ROOT, env=environment, capture_output=True)
        for line in re.findall(r"MARK (.*)", done.stdout.decode()):
            print(" ", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
