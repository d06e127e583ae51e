"""Every virtual board through the stock tools: flash, verify, read back, erase; then a debugger on its firmware.

    python -m bench.boards [NAME...]

The image is 100 KiB of noise. ``pyocd`` runs as a process of its own, as a user would run it; gdb-multiarch is asked to
debug the exerciser firmware where it is installed.
"""

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lorafab.virtual import bench, chips
from lorafab.virtual.board import Board

ROOT = Path(__file__).resolve().parents[1]
WAYS = ("sector", "chip")
IMAGE = bench.random_image(100 * 1024)
SECTORS = 0x2000
MCUS = {"wle5": "stm32wle5", "l072": "stm32l072", "nrf52": "nrf52840"}
GDB = """
set pagination off
set confirm off
target remote localhost:{port}
monitor reset halt
hbreak {breakpoint}
continue
echo AT breakpoint\\n
info registers pc
delete
printf "TURNS %d\\n", {counter}
watch {counter}
continue
printf "TURNS %d\\n", {counter}
continue
printf "TURNS %d\\n", {counter}
delete
stepi
stepi
hbreak {breakpoint}
continue
printf "WAKES %d\\n", {wakes}
continue
printf "WAKES %d\\n", {wakes}
detach
"""


class Rig:
    """One board file and the stock tools on it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.chip = chips.named(name)
        self.path, self.image = folder / f"{name}.board", folder / "image.bin"
        self.image.write_bytes(IMAGE)
        Board.open(self.path, chip=self.chip).close()
        self.folder = folder

    def pyocd(self, *arguments: str) -> str:
        """Run pyocd on the board; what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "pyocd", *arguments, "-t", self.chip.target],
            cwd=self.folder,
            env={"LORAFAB_VIRTUAL_BOARD": str(self.path), "PATH": "/usr/bin:/bin", "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"pyocd {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout + done.stderr

    def contents(self) -> bytes:
        """The flash, read through the debug port by a process of its own; from the file where it is locked then."""
        if self.locks:
            return self.path.read_bytes()[: len(IMAGE)]
        to = self.folder / "read.bin"
        self.pyocd("cmd", "-c", f"savemem {self.chip.flash_base:#x} {len(IMAGE)} {to}")
        return to.read_bytes()

    @property
    def locks(self) -> bool:
        """Any power-on locks the part, noise is no firmware that opens it, and pyocd opens it by erasing it."""
        return self.chip.name == "nrf52"

    def at_once(self) -> None:
        """Load, verify, read back, erase sectors and read again, in one process."""
        base, first, second = self.chip.flash_base, self.folder / "first.bin", self.folder / "second.bin"
        commands = (
            f"load {self.image} {base:#x}",
            f"compare {base:#x} {self.image}",
            f"savemem {base:#x} {len(IMAGE)} {first}",
            f"erase {base:#x} {SECTORS // self.chip.flash_times.page}",
            f"savemem {base:#x} {len(IMAGE)} {second}",
        )
        said = self.pyocd("cmd", "-O", "auto_unlock=1", *(part for one in commands for part in ("-c", one)))
        assert "match" in said.lower(), said
        _same(first.read_bytes(), IMAGE)
        _same(second.read_bytes(), self.erased(SECTORS) + IMAGE[SECTORS:])

    def erased(self, size: int) -> bytes:
        """What erased flash reads."""
        return bytes([self.chip.stores[0].erased]) * size


def stock_tools(rig: Rig) -> dict[str, float]:
    """Seconds of each step; raises AssertionError where one did not do its work."""
    base, seconds = rig.chip.flash_base, {}

    def timed(what: str, work: Callable[[], object]) -> None:
        started = time.perf_counter()
        work()
        seconds[what] = round(time.perf_counter() - started, 2)

    timed("load", lambda: rig.pyocd("load", "--base-address", f"{base:#x}", str(rig.image)))
    timed("read back", lambda: _same(rig.contents(), IMAGE))
    if not rig.locks:
        timed("erase sector", lambda: rig.pyocd("erase", "--sector", f"{base:#x}+{SECTORS:#x}"))
        _same(rig.contents(), rig.erased(SECTORS) + IMAGE[SECTORS:])
    timed("erase chip", lambda: rig.pyocd("erase", "--chip"))
    _same(rig.contents(), rig.erased(len(IMAGE)))
    timed("flash, chip erase", lambda: rig.pyocd("flash", "-e", "chip", "--base-address", f"{base:#x}", str(rig.image)))
    _same(rig.path.read_bytes()[: len(IMAGE)], IMAGE)
    timed("load, verify, read, erase sectors, read", rig.at_once)
    return seconds


def _same(found: bytes, wanted: bytes) -> None:
    assert found == wanted, f"{sum(a != b for a, b in zip(found, wanted, strict=False))} bytes differ"


def debugger(rig: Rig) -> str:
    """Let gdb break, watch, step and continue in the exerciser; what it saw."""
    elf = ROOT / "firmware" / "exerciser" / f"exerciser-{MCUS[rig.chip.name]}.elf"
    rig.pyocd("load", str(elf))
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "pyocd", "gdbserver", "-t", rig.chip.target, "-p", str(port), "-T", str(port + 1)],
        cwd=rig.folder,
        env={"LORAFAB_VIRTUAL_BOARD": str(rig.path), "PATH": "/usr/bin:/bin", "HOME": str(rig.folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        for line in server.stderr:
            if "listening on port" in line:
                break
        script = rig.folder / "script.gdb"
        script.write_text(
            GDB.format(
                port=port,
                breakpoint="*exerciser_woke",
                counter="*(int*)&exerciser_loops",
                wakes="*(int*)&exerciser_wakes",
            )
        )
        done = subprocess.run(
            ["gdb-multiarch", "-batch", "-x", str(script), str(elf)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        server.terminate()
        server.wait()
    turns, wakes = ([int(n) for n in re.findall(rf"{what} (\d+)", done.stdout)] for what in ("TURNS", "WAKES"))
    # pyOCD does not tell gdb that a stop is a watchpoint's (no "watch:" in its stop replies): the counter does.
    assert [turn - turns[0] for turn in turns] == [0, 1, 2], done.stdout + done.stderr
    assert [wake - wakes[0] for wake in wakes] == [0, 1], f"the firmware made no progress: {wakes}"
    return f"breakpoint hit, two watchpoint hits, stepped twice, turns {turns}, wakes {wakes}"


def main() -> int:
    """All boards, or those named."""
    for name in sys.argv[1:] or list(chips.names()):
        with tempfile.TemporaryDirectory(prefix="lorafab-boards-") as folder:
            rig = Rig(name, Path(folder))
            print(f"{name}: {stock_tools(rig)} s")
            results = [bench.measure(name, 4000, "virgin", IMAGE, way, bench.pyocd_way(way)) for way in WAYS]
            print(bench.table(results))
            assert all(result.verified for result in results)
            print(f"gdb: {debugger(rig) if shutil.which('gdb-multiarch') else 'gdb-multiarch is not installed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
