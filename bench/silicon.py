"""Speed, repeatability and clean exits of the virtual boards.

python -m bench.silicon speed        wall times of what people wait for (compare within one run only)
python -m bench.silicon twins        the same scenario in two processes: counters, simulated times, hashes
python -m bench.silicon exits [N]    N processes that leave a running board behind (default 100)
"""

import hashlib
import json
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lorafab.domain.memory_map import Segment, Span
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.virtual import bench, chips, cost, registry
from lorafab.virtual.board import Board
from lorafab.virtual.cpu import GENERAL

ROOT = Path(__file__).resolve().parents[1]
FIRMWARE = ROOT / "firmware" / "endnode-wle5" / "endnode-wle5.hex"

# Thumb at 0x40: SysTick LOAD = 3999, VAL = 0, CTRL = 7 (1 kHz of MSI's 4 MHz); wfi; b .-2. At 0x5C: r4 += 1; bx lr.
_TICK = bytes.fromhex("0448054941600021816007210160 30bffdE7 00bf 10e000e0 9f0f0000 01347047")
_TICK_HANDLER = 0x5C
_LONG = b"NO SUCH COMMAND AS THIS ONE.\r\n"


def _median_ms(what: Callable[[], None], runs: int) -> tuple[float, float, float]:
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        what()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times), min(times), max(times)


def speed() -> int:
    """Wall times of flashing, idling and talking; the limits are the project's goals for an idle machine."""
    image = bench.random_image(64 * 1024)
    _flashing(image, 1)  # imports
    rows = [
        ("64 KiB erase and program on wle5", 400.0, _flashing(image, 9)),
        ("5 s of simulated idle with a 1 kHz tick", 600.0, _median_ms(_ticking, 5)),
        ("shell round trip, UID? and its answer, 40 bytes in all", 6.0, _shell(b"UID?\r\n", b"OK\r\n", 200)),
        ("shell round trip, 30 bytes and an answer of 60", None, _shell(_LONG, b"TEST\r\n", 200)),
    ]
    print("| what | median ms | min | max | goal |\n|---|---|---|---|---|")
    for name, goal, (median, low, high) in rows:
        print(f"| {name} | {median:.1f} | {low:.1f} | {high:.1f} | {'' if goal is None else f'{goal:g}'} |")
    return 0 if all(goal is None or median <= goal for _, goal, (median, _, _) in rows) else 1


def _flashing(image: bytes, rounds: int) -> tuple[float, float, float]:
    """Erase and program through the line's own driver; connecting and reading back are not counted."""
    times = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            board = Board.open(Path(folder) / "b.board")
            registry.attach("bench", board)
            board.power(True)
            programmer = PyocdProgrammer("lorafab:bench", "stm32wle5jc", 4000)
            programmer.connect()
            span = Span(board.chip.flash_base, len(image))
            started = time.perf_counter()
            programmer.program([span], [Segment(span.start, image)])
            times.append((time.perf_counter() - started) * 1000)
            assert programmer.read(span) == image
            programmer.close()
            registry.detach("bench")
            board.close()
    return statistics.median(times), min(times), max(times)


def _ticking() -> None:
    vectors = struct.pack("<16I", 0x2000_4000, *[0x0800_0041] * 14, 0x0800_0000 + _TICK_HANDLER + 1)
    with tempfile.TemporaryDirectory() as folder:
        board = _board(Path(folder) / "b.board", vectors + _TICK)
        board.attach_debugger(True)  # no thread paces it meanwhile
        board.power(True)
        board.advance(5_000_000_000)
        ticks = board.core.cpu.get(GENERAL[4])
        board.close()
    assert 4990 < ticks < 5010, ticks


def _board(path: Path, program: bytes, link: Path | None = None) -> Board:
    """A new board with a program in its flash, without power."""
    board = Board.open(path)
    flash = board.silicon.file.stores["flash"]
    flash.put(0, program)
    for cell in range(-(-len(program) // 8)):
        flash.set_state(cell, 1)
    board.close()
    return Board.open(path, uart_link=link)


def _shell(command: bytes, end: bytes, rounds: int) -> tuple[float, float, float]:
    import serial
    from intelhex import IntelHex

    image = bytes(IntelHex(str(FIRMWARE)).tobinarray(start=0x0800_0000))
    with tempfile.TemporaryDirectory() as folder:
        board = _board(Path(folder) / "b.board", image, Path(folder) / "uart")
        with serial.Serial(str(Path(folder) / "uart"), 115200, timeout=5) as port:
            board.power(True)
            assert port.readline().endswith(b"ready\r\n")

            def ask() -> None:
                port.write(command)
                assert port.read_until(end).endswith(end)

            figures = _median_ms(ask, rounds)
        board.close()
    return figures


def scenario() -> dict[str, object]:
    """Flash, run and talk on every board, paced by the debug port alone; everything that must repeat."""
    image = bench.random_image(32 * 1024)
    found: dict[str, object] = {}
    for name in chips.names():
        results = [
            bench.measure(name, khz, "virgin", image, way, bench.pyocd_way(way)).to_json()
            for khz in (4000, 10000)
            for way in ("sector", "chip")
        ]
        found[name] = {"model": cost.digest(chips.named(name)), "results": results}
    return found


def twins() -> int:
    """The scenario in two processes must give the same figures."""
    command = [sys.executable, "-c", "import json; from bench import silicon; print(json.dumps(silicon.scenario()))"]
    said = [
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip().splitlines()[-1]
        for _ in range(2)
    ]
    for name in chips.names():
        parts = [json.dumps(json.loads(one)[name], sort_keys=True).encode() for one in said]
        print(f"{name}: {' '.join(hashlib.sha256(part).hexdigest()[:16] for part in parts)}")
        first = json.loads(said[0])[name]
        for one in first["results"]:
            print(f"   {one['swd_khz']} kHz {one['erase']}: {one['simulated_ms']} ms, {one['transfers']} transfers")
    print("identical" if said[0] == said[1] else "DIFFERENT")
    return 0 if said[0] == said[1] else 1


_LEAVE = """
import sys, tempfile, pathlib
from bench.silicon import _board, _TICK, _TICK_HANDLER
import struct
vectors = struct.pack("<16I", 0x20004000, *[0x08000041] * 14, 0x08000000 + _TICK_HANDLER + 1)
folder = tempfile.mkdtemp(dir=sys.argv[1])
board = _board(pathlib.Path(folder) / "b.board", vectors + _TICK)
board.power(True)
board.mem_read(0x20000000, 4)
"""


def exits(count: int) -> int:
    """Processes that end while their board's thread runs: every one must end with status 0 and say nothing."""
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(count):
            done = subprocess.run(
                [sys.executable, "-c", _LEAVE, folder], cwd=ROOT, capture_output=True, text=True, check=False
            )
            if done.returncode or done.stderr:
                bad += 1
                print(f"status {done.returncode}: {done.stderr.strip()}")
    print(f"{count - bad} of {count} processes ended cleanly")
    return 1 if bad else 0


def main() -> int:
    """Run what the command line names."""
    what = sys.argv[1] if len(sys.argv) > 1 else "speed"
    if what == "exits":
        return exits(int(sys.argv[2]) if len(sys.argv) > 2 else 100)
    return {"speed": speed, "twins": twins}[what]()


if __name__ == "__main__":
    sys.exit(main())
