"""Debugging the exerciser firmware on every board, as gdb does it: a real ``pyocd gdbserver``, and packets.

Nothing here depends on how fast the computer is, as long as an answer comes within two minutes.
"""

import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from lorafab.virtual import chips, registry
from lorafab.virtual.boardfile import BoardFile, State
from lorafab.virtual.chip import Chip
from tests_virtual.silicon.exerciser import FIRMWARE, MCU
from tests_virtual.silicon.rsp import (
    HARD_BREAK,
    PC,
    SP,
    WATCH_ACCESS,
    WATCH_READ,
    WATCH_WRITE,
    XPSR,
    RspClient,
    RspError,
)

pytestmark = pytest.mark.slow

PATIENCE_S = 120
NOWHERE = 0x3E00_0000
# Debuggers freeze the watchdog while the core stands (bit DBG_IWDG_STOP of DBGMCU_APB1FZR1, DBGMCU_APB1FZ in the CMSIS
# headers); that of the nRF52840 is told to pause by the firmware.
FREEZE_WATCHDOG = {"wle5": (0xE004_203C, 1 << 12), "l072": (0x4001_5808, 1 << 12)}
UICR_APPROTECT, HW_DISABLED = 0x208, 0x5A  # without it an nRF52840 is locked whenever it gets power


@dataclass(frozen=True)
class Server:
    """A server at work on a board with the exerciser in it."""

    chip: Chip
    port: int
    symbols: dict[str, int]

    def word(self, client: RspClient, name: str) -> int:
        """One of the firmware's counters."""
        return client.word(self.symbols[f"exerciser_{name}"])

    @contextmanager
    def debugger(self) -> Iterator[RspClient]:
        """A debugger at the firmware, which has just been reset and has come to its main loop."""
        with RspClient(self.port, PATIENCE_S) as client:
            client.monitor("reset halt")
            if self.chip.name in FREEZE_WATCHDOG:
                address, bit = FREEZE_WATCHDOG[self.chip.name]
                client.write(address, bit.to_bytes(4, "little"))
            woke = self.symbols["exerciser_woke"]
            client.insert(HARD_BREAK, woke, 2)
            assert client.resume() == woke
            client.remove(HARD_BREAK, woke, 2)
            yield client


def make_board(path: Path, chip: Chip) -> dict[str, int]:
    """A board file with the exerciser in its flash; returns the firmware's symbols."""
    with (FIRMWARE / f"exerciser-{MCU[chip.name]}.elf").open("rb") as stream:
        elf = ELFFile(stream)
        table: Any = elf.get_section_by_name(".symtab")
        symbols = {symbol.name: symbol["st_value"] & ~1 for symbol in table.iter_symbols()}
        image = next(segment for segment in elf.iter_segments() if segment["p_filesz"]).data()
    file = BoardFile(path, chip)
    contents = {"flash": (0, image), "uicr": (UICR_APPROTECT, HW_DISABLED.to_bytes(4, "little"))}
    for name, (offset, data) in contents.items():
        if name in file.stores:
            store = file.stores[name]
            store.put(offset, data)
            for cell in range(offset // store.spec.cell, -(-(offset + len(data)) // store.spec.cell)):
                store.set_state(cell, State.PROGRAMMED)
    file.close()
    return symbols


@contextmanager
def gdbserver(folder: Path, path: Path, chip: Chip, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process, and the port that the system chose for it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LORAFAB_VIRTUAL")}
    log = folder / "gdbserver.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pyocd", "gdbserver", "-t", chip.target, "-p", "0", "-T", "0", *options],
            cwd=folder,
            env=env | {registry.BOARD_VARIABLE: str(path)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process, _port(process, log)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"GDB server listening on port (\d+)", log.read_text()):
            return int(found[1])
        time.sleep(0.05)
    raise AssertionError(f"the server did not come up:\n{log.read_text()}")


@pytest.fixture(scope="module", params=[name for name in chips.names() if name in MCU])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for each board; debuggers come and go."""
    folder, chip = tmp_path_factory.mktemp("gdb"), chips.named(request.param)
    symbols = make_board(folder / "b.board", chip)
    with gdbserver(folder, folder / "b.board", chip, "--persist") as (_, port):
        yield Server(chip, port, symbols)


def gets_on(server: Server, client: RspClient, counter: str) -> bool:
    """The core runs until Ctrl-C, and this counter of the firmware goes up meanwhile."""
    before = server.word(client, counter)
    for _ in range(20):  # how far the firmware gets in a moment depends on the computer
        client.run_for(0.2)
        if server.word(client, counter) > before:
            return True
    return False


def go_on(client: RspClient, address: int) -> int:
    """Leave a breakpoint as gdb does: without it one step, then run; where the core stops next."""
    client.remove(HARD_BREAK, address, 2)
    client.step()
    client.insert(HARD_BREAK, address, 2)
    return client.resume()


def test_reset_halt_shows_a_core_about_to_begin(server: Server) -> None:
    """PC and SP are those of the vector table, Thumb state, and registers can be changed."""
    with RspClient(server.port, PATIENCE_S) as client:
        client.monitor("reset halt")
        registers = client.registers()
        assert registers[PC] == server.symbols["reset_handler"]
        assert registers[SP] == client.word(server.chip.flash_base)
        assert registers[XPSR] >> 24 & 1
        client.set_register(7, 0x1234_5678)
        registers[7] = 0x1234_5678
        assert client.registers() == registers


def test_a_hardware_breakpoint_hits_once_a_wake(server: Server) -> None:
    """Z1 in an interrupt handler: at each hit the firmware has counted one wake more, and none is missed."""
    woke = server.symbols["exerciser_woke"]
    with server.debugger() as client:
        client.insert(HARD_BREAK, woke, 2)
        before = server.word(client, "wakes")
        for hit in range(1, 6):
            assert go_on(client, woke) == woke
            assert server.word(client, "wakes") == before + hit
        client.remove(HARD_BREAK, woke, 2)
        assert gets_on(server, client, "wakes")


def test_steps_execute_one_instruction_each(server: Server) -> None:
    """The handler counts the wake within a few steps, each of them at another place in it."""
    woke = server.symbols["exerciser_woke"]
    with server.debugger() as client:
        before, passed = server.word(client, "wakes"), [woke]
        while server.word(client, "wakes") == before:
            passed.append(client.step())
            assert len(passed) < 10
        assert server.word(client, "wakes") == before + 1
        assert passed == sorted(set(passed))
        assert all(after - at in (2, 4) for at, after in itertools.pairwise(passed))


# What the counter of turns shows at six stops: an increment is one load and one store of the word.
TURNS = {
    WATCH_WRITE: [1, 2, 3, 4, 5, 6],
    WATCH_READ: [0, 1, 2, 3, 4, 5],
    WATCH_ACCESS: [0, 1, 1, 2, 2, 3],
}


@pytest.mark.parametrize("kind", sorted(TURNS))
def test_a_watchpoint_stops_at_each_access(server: Server, kind: int) -> None:
    """Z2, Z3 and Z4 on the counter of turns, or a part of it: every access stops once, done, and no turn is lost."""
    loops = server.symbols["exerciser_loops"]
    with server.debugger() as client:
        for offset, size in ((0, 4), (0, 2), (3, 1)):
            before, seen = server.word(client, "loops"), []
            client.insert(kind, loops + offset, size)
            for _ in range(6):
                client.resume()
                seen.append(server.word(client, "loops") - before)
            assert seen == TURNS[kind]
            client.remove(kind, loops + offset, size)
            client.step()  # the read watch stops before the store
            client.step()
        assert gets_on(server, client, "loops")


def test_watchpoints_that_overlap_stop_once(server: Server) -> None:
    """Two on the same word: the counter says that no access stopped twice."""
    loops = server.symbols["exerciser_loops"]
    with server.debugger() as client:
        before = server.word(client, "loops")
        client.insert(WATCH_WRITE, loops, 4)
        client.insert(WATCH_WRITE, loops + 2, 2)
        for turn in range(1, 5):
            client.resume()
            assert server.word(client, "loops") == before + turn
        client.remove(WATCH_WRITE, loops, 4)
        client.remove(WATCH_WRITE, loops + 2, 2)


def test_a_watchpoint_elsewhere_stops_nobody(server: Server) -> None:
    """The key's copy is not touched: the firmware runs until Ctrl-C, and has got on."""
    with server.debugger() as client:
        client.insert(WATCH_ACCESS, server.symbols["exerciser_stolen"], 4)
        assert gets_on(server, client, "wakes")
        client.remove(WATCH_ACCESS, server.symbols["exerciser_stolen"], 4)


def test_what_the_core_has_not_is_refused(server: Server) -> None:
    """One comparator more than there are, memory where nothing is: an error packet, and the debugger goes on."""
    core = server.chip.core
    with server.debugger() as client:
        places = {
            HARD_BREAK: (server.symbols["exerciser_panic"], 2),
            WATCH_WRITE: (server.symbols["exerciser_stolen"], 4),
        }
        for kind, count in ((HARD_BREAK, core.breakpoints), (WATCH_WRITE, core.watchpoints)):
            start, size = places[kind]
            for n in range(count):
                client.insert(kind, start + n * size, size)
            with pytest.raises(RspError, match="E01"):
                client.insert(kind, start + count * size, size)
            for n in range(count):
                client.remove(kind, start + n * size, size)
        with pytest.raises(RspError, match="E"):
            client.read(NOWHERE, 4)
        with pytest.raises(RspError, match="E"):
            client.write(NOWHERE, bytes(4))
        assert gets_on(server, client, "wakes")


def test_the_server_lets_go_of_the_board(tmp_path: Path) -> None:
    """Without --persist it ends when the debugger leaves, and the file is free for the next one."""
    chip, path = chips.named(chips.DEFAULT), tmp_path / "b.board"
    make_board(path, chip)
    for _ in range(2):
        with gdbserver(tmp_path, path, chip) as (process, port):
            with RspClient(port, PATIENCE_S) as client:
                client.monitor("reset halt")
            assert process.wait(PATIENCE_S) == 0
