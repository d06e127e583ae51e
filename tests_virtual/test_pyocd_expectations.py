"""What pyOCD takes for granted about a chip at the end of its probe, held against every virtual board.

pyOCD's own hardware tests need a board on the desk. Here are the promises behind them, in our words, through the same
door: a session of stock pyOCD with a probe whose wires end at a virtual board. A program of a dozen instructions counts
its turns in RAM, and every promise ends with a look at that counter, because a core that looks right and stands still
is not right.
"""

import itertools
import os
import random
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyocd.core import exceptions
from pyocd.core.session import Session
from pyocd.core.target import Target

from lorafab.virtual import chips, registry
from lorafab.virtual.board import Board
from lorafab.virtual.boardfile import BoardFile, State
from lorafab.virtual.chip import Chip
from lorafab.virtual.chips import nrf52
from lorafab.virtual.probe import VirtualProbe
from tests_virtual.silicon.bare import halves

SITE = "expectations"
RAM = 0x2000_0000
STACK, COUNTER, PLACE = RAM + 0x1000, RAM + 0x1800, RAM + 0x1810
NOWHERE = 0x3E00_0000  # no chip has anything there
MS = 1_000_000

# Offsets in the flash. The program, in the instructions that Armv6-M has, too:
#   start: ldr r0, =COUNTER    ldr r3, =PLACE      movs r4, #0
#   turn:  adds r4, #1         str r4, [r0]        bl visit
#          ldrb r1, [r3, #0]   strh r1, [r3, #2]   ldr r1, [r3, #4]   str r1, [r3, #8]   b turn   nop
#   visit: adds r2, #1         bx lr
#   fault: udf                 (which locks up, because that is where HardFault goes)
ENTRY, TURN, VISIT, FAULT = 0x40, 0x46, 0x5A, 0x5E
CODE = halves(
    0x4807, 0x4B08, 0x2400,
    0x3401, 0x6004, 0xF000, 0xF806, 0x7819, 0x8059, 0x6859, 0x6099, 0xE7F6, 0xBF00,
    0x3201, 0x4770,
    0xDE00,
) + struct.pack("<II", COUNTER, PLACE)  # fmt: skip
BEHIND = {"ldrb": 0x50, "strh": 0x52, "ldr": 0x54, "str": 0x56}  # where the core stands after each access
WALK = [0x42, 0x44, 0x46, 0x48, 0x4A, 0x5A, 0x5C, 0x4E, 0x50, 0x52, 0x54, 0x56, 0x46]  # one turn, step by step

# Something that a reset of the system resets and one of the core does not, with a value that it can hold: RCC_AHB2ENR,
# RCC_IOPENR (CMSIS headers), GPIO OUT (MDK).
PERIPHERAL = {"wle5": (0x5800_004C, 1), "l072": (0x4002_102C, 1), "nrf52": (0x5000_0504, 1 << 13)}
# An nRF52840 of before the hardened protection, because others lock at a pin reset; its reset pin is connected.
UICR = {0x200: 18, 0x204: 18}
SILICON = [name for name in chips.names() if name in PERIPHERAL]  # other boards have other parts beside these chips
CHIPS: dict[str, Chip] = {name: chips.named(name) for name in SILICON} | {"nrf52": nrf52.with_build_code("C0")}

Access, Reset = Target.WatchpointType, Target.ResetType


class Bench:
    """A board with the program above at work, in a nest."""

    def __init__(self, folder: Path, chip: Chip) -> None:
        self.chip, self.base = chip, chip.flash_base
        vectors = struct.pack("<16I", STACK, self.base + ENTRY + 1, *[self.base + FAULT + 1] * 14)
        self.board = Board.open(self._file(folder / "b.board", vectors + CODE), chip=chip)
        registry.attach(SITE, self.board)
        self.board.lock.acquire()  # time passes here only, however loaded the computer is
        self.board.power(True)
        self.board.advance(MS)

    def _file(self, path: Path, image: bytes) -> Path:
        file = BoardFile(path, self.chip)
        cells = {"flash": {0: image}, "uicr": {at: struct.pack("<I", word) for at, word in UICR.items()}}
        for name, contents in cells.items():
            for offset, data in contents.items() if name in file.stores else ():
                store = file.stores[name]
                store.put(offset, data)
                for cell in range(offset // store.spec.cell, -(-(offset + len(data)) // store.spec.cell)):
                    store.set_state(cell, State.PROGRAMMED)
        file.close()
        return path

    def close(self) -> None:
        registry.detach(SITE)
        self.board.lock.release()
        self.board.close()

    @contextmanager
    def session(self, **options: Any) -> Iterator[Any]:
        """The target as stock pyOCD sees it."""
        told = {
            "target_override": self.chip.target, "frequency": 4_000_000, "no_config": True, "user_script": os.devnull,
            "auto_unlock": False, "reset.post_delay": 0.001,
        } | options  # fmt: skip
        with Session(VirtualProbe(SITE), options=told) as session:
            yield session.target

    def peek(self, address: int, size: int) -> bytes:
        """Memory, past the debug port."""
        return self.board.silicon.bus.peek(address, size)

    @property
    def turns(self) -> int:
        """How often the program has been round."""
        return int.from_bytes(self.peek(COUNTER, 4), "little")

    def gets_on(self) -> bool:
        """Whether the program makes progress; a millisecond is hundreds of turns."""
        before = self.turns
        self.board.advance(MS)
        return self.turns > before

    def at(self, target: Any) -> int:
        """Where the core stands, as an offset in the flash."""
        return int(target.read_core_register("pc")) - self.base


def eventually(target: Any, state: Target.State, board: Board) -> None:
    """The core is in this state within 10 simulated ms."""
    for _ in range(10):
        if target.get_state() is state:
            return
        board.advance(MS)
    raise AssertionError(f"{target.get_state()}, wanted {state}")


def go_on(target: Any, kind: Any = Target.BreakpointType.HW) -> None:
    """Leave a breakpoint as debuggers do, because it would hit again at once: without it one step, then run."""
    here = target.read_core_register("pc")
    target.remove_breakpoint(here)
    target.step()
    assert target.set_breakpoint(here, kind)
    target.resume()


@pytest.fixture(autouse=True)
def no_register_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyOCD leaves the archive with the SVD files open, which warns; nothing here asks for them."""
    monkeypatch.setattr("pyocd.debug.svd.loader.SVDFile.from_builtin", lambda _name: None)


@pytest.fixture(params=sorted(CHIPS))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Each board in turn."""
    made = Bench(tmp_path, CHIPS[request.param])
    yield made
    made.close()


@pytest.fixture
def target(bench: Bench) -> Iterator[Any]:
    """Connected, with the core halted."""
    with bench.session() as connected:
        yield connected


# -- connecting


def test_attaching_disturbs_nothing(bench: Bench) -> None:
    """The program goes on during connect and after disconnect, and was not started anew."""
    before = bench.turns
    with bench.session(connect_mode="attach") as target:
        assert target.get_state() is Target.State.RUNNING
        assert bench.turns > before
        assert bench.gets_on()
    assert bench.gets_on()


def test_halting_connect_stops_where_the_program_is(bench: Bench) -> None:
    """No reset: the counter stands, and goes on from there."""
    before = bench.turns
    with bench.session(connect_mode="halt") as target:
        assert target.get_state() is Target.State.HALTED
        assert bench.turns >= before
        assert not bench.gets_on()
        assert target.read_core_register("r4") - bench.turns in (0, 1)
    assert bench.gets_on()


def test_connecting_behind_a_reset(bench: Bench) -> None:
    """pre-reset pulls the pin before it connects: the program has begun again, and is halted somewhere in it."""
    bench.board.advance(100 * MS)
    before = bench.turns
    with bench.session(connect_mode="pre-reset") as target:
        assert target.get_state() is Target.State.HALTED
        assert not target.session.probe.is_reset_asserted()
        assert bench.turns < before
    assert bench.gets_on()


def test_connecting_under_reset(bench: Bench) -> None:
    """The core has not executed anything: it stands at the first instruction, with the first stack."""
    with bench.session(connect_mode="under-reset") as target:
        assert target.get_state() is Target.State.HALTED
        assert not target.session.probe.is_reset_asserted()
        assert bench.at(target) == ENTRY
        assert target.read_core_register("sp") == STACK
    assert bench.gets_on()


def test_what_a_session_leaves_the_next_one_finds(bench: Bench) -> None:
    """Halted stays halted from session to session, running stays running, for every way in and out."""
    halted = False
    for mode, resume in itertools.product(("attach", "halt", "attach"), (False, True, False)):
        with bench.session(connect_mode=mode, resume_on_disconnect=resume) as target:
            halted = halted or mode == "halt"
            assert target.get_state() is (Target.State.HALTED if halted else Target.State.RUNNING)
        halted = halted and not resume
        assert bench.gets_on() is not halted


# -- resets

KINDS = (Reset.NSRST, Reset.SYSRESETREQ, Reset.VECTRESET, Reset.EMULATED)


def test_the_kinds_of_reset_are_the_cores(bench: Bench, target: Any) -> None:
    """VECTRESET is a thing of Armv7-M."""
    kinds = target.selected_core.supported_reset_types
    assert {Reset.NSRST, Reset.SYSRESETREQ, Reset.EMULATED} <= kinds
    assert (Reset.VECTRESET in kinds) is bench.chip.core.mainline


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_reset_starts_the_program_anew(bench: Bench, target: Any, kind: Any) -> None:
    """The counter begins again, and runs."""
    if kind not in target.selected_core.supported_reset_types:
        pytest.skip("Armv6-M has no such reset")
    target.resume()
    bench.board.advance(100 * MS)
    before = bench.turns
    target.reset(kind)
    assert target.get_state() is Target.State.RUNNING
    assert bench.turns < before
    assert bench.gets_on()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_reset_and_halt_stops_before_the_first_instruction(bench: Bench, target: Any, kind: Any) -> None:
    """At the reset vector with the first stack in Thumb state; breakpoints live on, and no catch is left behind."""
    if kind not in target.selected_core.supported_reset_types:
        pytest.skip("Armv6-M has no such reset")
    assert target.set_breakpoint(bench.base + VISIT)
    before = bench.turns
    target.reset_and_halt(kind)
    assert target.get_state() is Target.State.HALTED
    assert (bench.at(target), target.read_core_register("msp")) == (ENTRY, STACK)
    assert target.read_core_register("xpsr") & 1 << 24
    assert target.read_core_register("control") == 0
    assert bench.turns == before, "RAM is as it was"
    target.resume()
    eventually(target, Target.State.HALTED, bench.board)
    assert (bench.at(target), bench.turns) == (VISIT, 1)
    target.remove_breakpoint(bench.base + VISIT)
    target.resume()
    assert bench.gets_on()
    target.reset(kind)
    assert bench.gets_on()


@pytest.mark.parametrize("kind", KINDS[:3], ids=lambda kind: kind.name)
def test_how_much_a_reset_resets(bench: Bench, target: Any, kind: Any) -> None:
    """The pin and SYSRESETREQ reset the chip, VECTRESET the core alone."""
    if kind not in target.selected_core.supported_reset_types:
        pytest.skip("Armv6-M has no such reset")
    address, value = PERIPHERAL[bench.chip.name]
    after_reset = target.read32(address) & value
    target.write32(address, target.read32(address) | value)
    assert after_reset == 0
    assert target.read32(address) & value
    target.reset_and_halt(kind)
    assert target.read32(address) & value == (value if kind is Reset.VECTRESET else 0)


# -- core registers


def writable(chip: Chip) -> dict[str, int]:
    """Registers with the bits that take any value."""
    general = {f"r{n}": 0xFFFF_FFFF for n in range(13)} | {"lr": 0xFFFF_FFFF, "pc": 0xFFFF_FFFE}
    stacks = {"msp": 0xFFFF_FFFC, "psp": 0xFFFF_FFFC}
    special = {"xpsr": 0xF000_0000 | 1 << 24, "primask": 1, "control": 2}
    mainline = {"faultmask": 1, "basepri": 0xFF & -1 << 8 - chip.core.priority_bits, "xpsr": 0xF90F_0000}
    floats = {f"s{n}": 0xFFFF_FFFF for n in range(32)} | {"fpscr": 0xF7C0_009F}
    return general | stacks | special | (mainline if chip.core.mainline else {}) | (floats if chip.core.fpu else {})


def test_every_core_register_keeps_what_is_written(bench: Bench, target: Any) -> None:
    """Each by itself and back again, with patterns that tell neighbours apart; the T bit of xPSR, too."""
    for name, mask in writable(bench.chip).items():
        before = target.read_core_register_raw(name)
        for pattern in (0xDEAD_BEEF, 0x5A5A_5A5A, 0xFFFF_FFFF, 0):
            target.write_core_register_raw(name, pattern & mask)
            assert target.read_core_register_raw(name) & mask == pattern & mask, name
        target.write_core_register_raw(name, before)
        assert target.read_core_register_raw(name) == before, name
    target.resume()
    assert bench.gets_on()


def test_many_registers_at_once(target: Any) -> None:
    """None disturbs another, and everything that pyOCD lists for this core can be read."""
    names = [f"r{n}" for n in range(13)]
    target.write_core_registers_raw(names, [0x0101_0101 * n for n in range(13)])
    assert target.read_core_registers_raw(names) == [0x0101_0101 * n for n in range(13)]
    listed = [register.name for register in target.selected_core.core_registers.as_set]
    assert len(target.read_core_registers_raw(listed)) == len(listed)


def test_the_stack_pointer_is_the_selected_one(target: Any) -> None:
    """CONTROL.SPSEL decides what SP is in thread mode."""
    target.write_core_register("msp", RAM + 0x100)
    target.write_core_register("psp", RAM + 0x200)
    for control, stack in ((2, 0x200), (0, 0x100)):
        target.write_core_register("control", control)
        assert target.read_core_register("sp") == RAM + stack


def test_a_running_core_keeps_its_registers_to_itself(bench: Bench, target: Any) -> None:
    """Reading and writing are errors in pyOCD's words, and the program does not notice."""
    target.resume()
    with pytest.raises(exceptions.CoreRegisterAccessError):
        target.read_core_register("r0")
    with pytest.raises(exceptions.CoreRegisterAccessError):
        target.write_core_register("r0", 0x1234)
    assert bench.gets_on()


def test_floats_are_floats_where_there_is_a_unit(bench: Bench, target: Any) -> None:
    """PyOCD finds the FPU by itself."""
    assert bool(target.selected_core.has_fpu) is bench.chip.core.fpu
    if bench.chip.core.fpu:
        target.write_core_register("s31", 32.5)
        assert target.read_core_register("s31") == 32.5
        assert target.read_core_register_raw("s31") == 0x4202_0000


# -- halting, stepping, breakpoints


def test_halt_and_resume(bench: Bench, target: Any) -> None:
    """The counter runs exactly while the core does."""
    for _ in range(5):
        assert not bench.gets_on()
        target.resume()
        assert target.get_state() is Target.State.RUNNING
        assert bench.gets_on()
        target.halt()
        assert target.get_halt_reason() is Target.HaltReason.DEBUG


def test_steps_walk_through_the_program(bench: Bench, target: Any) -> None:
    """One instruction each, through a call and back; three turns are counted three times."""
    target.reset_and_halt()
    for where in WALK + 2 * WALK[3:]:
        target.step()
        assert bench.at(target) == where
    assert bench.turns == 3
    assert target.get_halt_reason() is Target.HaltReason.DEBUG


def test_stepping_over_a_range(bench: Bench, target: Any) -> None:
    """It ends behind the range, or at a breakpoint instruction in it; the registers say that all of it was executed."""
    code = halves(0x3501, 0x3501, 0x3501, 0xBE00, 0xBF00)  # three times adds r5, #1; bkpt; nop
    target.write_memory_block8(RAM, list(code))
    target.write_core_register("r5", 0)
    for last, reason in ((6, Target.HaltReason.DEBUG), (10, Target.HaltReason.BREAKPOINT)):
        target.write_core_register("pc", RAM)
        target.step(start=RAM, end=RAM + last)
        assert target.read_core_register("pc") == RAM + 6
        assert target.get_halt_reason() is reason
    assert target.read_core_register("r5") == 6


def test_a_breakpoint_hits_once_a_turn(bench: Bench, target: Any) -> None:
    """Again and again, exactly one turn later; without it the program goes on."""
    target.reset_and_halt()
    assert target.set_breakpoint(bench.base + VISIT, Target.BreakpointType.HW)
    target.resume()
    for turn in range(1, 8):
        eventually(target, Target.State.HALTED, bench.board)
        assert (bench.at(target), bench.turns) == (VISIT, turn)
        assert target.get_halt_reason() is Target.HaltReason.BREAKPOINT
        go_on(target)
    target.halt()
    target.remove_breakpoint(bench.base + VISIT)
    target.resume()
    assert bench.gets_on()


def test_there_are_as_many_breakpoints_as_the_core_has(bench: Bench, target: Any) -> None:
    """Each of them hits; one more is refused, in flash where no other kind is possible."""
    units = bench.chip.core.breakpoints
    places = [0x46, 0x48, 0x4E, 0x50, 0x52, 0x54, 0x56][:units]
    assert all(target.set_breakpoint(bench.base + at, Target.BreakpointType.HW) for at in places)
    assert not target.set_breakpoint(bench.base + VISIT, Target.BreakpointType.HW)
    target.reset_and_halt()
    target.write32(COUNTER, 0)
    target.resume()
    for turn, at in itertools.product((0, 1), places):
        eventually(target, Target.State.HALTED, bench.board)
        assert (bench.at(target), bench.turns) == (at, turn + (at > 0x48))
        go_on(target)


def test_a_breakpoint_in_ram_is_hidden_from_readers(bench: Bench, target: Any) -> None:
    """It is an instruction in memory that hits, but every way to read shows the program as it was."""
    code = halves(0x3501, 0x3601, 0xE7FC)  # adds r5, #1; adds r6, #1; b back
    target.write_memory_block8(RAM, list(code))
    assert target.set_breakpoint(RAM + 2, Target.BreakpointType.SW)
    for register, value in (("pc", RAM), ("r5", 0), ("r6", 0)):
        target.write_core_register(register, value)
    target.flush()
    target.resume()
    for turn in range(1, 4):
        eventually(target, Target.State.HALTED, bench.board)
        assert [target.read_core_register(name) for name in ("pc", "r5", "r6")] == [RAM + 2, turn, turn - 1]
        go_on(target, Target.BreakpointType.SW)
    eventually(target, Target.State.HALTED, bench.board)
    assert bench.peek(RAM + 2, 2) == b"\x00\xbe"
    assert bytes(target.read_memory_block8(RAM, len(code))) == code
    assert [target.read8(RAM + 2), target.read16(RAM + 2), target.read32(RAM)] == [0x01, 0x3601, 0x3601_3501]
    target.remove_breakpoint(RAM + 2)
    target.resume()
    bench.board.advance(MS)
    target.halt()
    assert bench.peek(RAM, len(code)) == code
    assert target.read_core_register("r6") > 100


# -- watchpoints

# Offset from PLACE, size and kind of a watchpoint, and behind which access of a turn it halts. The program reads a byte
# at 0 and a word at 4, and writes two bytes at 2 and a word at 8.
WATCHED = [
    (0, 1, Access.READ, ["ldrb"]),
    (0, 1, Access.WRITE, []),
    (0, 4, Access.READ, ["ldrb"]),
    (0, 4, Access.WRITE, ["strh"]),
    (0, 4, Access.READ_WRITE, ["ldrb", "strh"]),
    (2, 2, Access.WRITE, ["strh"]),
    (3, 1, Access.WRITE, ["strh"]),
    (3, 1, Access.READ, []),
    (4, 4, Access.READ, ["ldr"]),
    (5, 1, Access.READ, ["ldr"]),
    (6, 2, Access.READ_WRITE, ["ldr"]),
    (4, 4, Access.WRITE, []),
    (8, 4, Access.WRITE, ["str"]),
    (10, 2, Access.READ_WRITE, ["str"]),
    (11, 1, Access.WRITE, ["str"]),
    (12, 4, Access.READ_WRITE, []),
]


def watch_turns(bench: Bench, target: Any, wanted: list[str]) -> None:
    """Three turns from reset halt behind the wanted accesses and nowhere else."""
    target.reset_and_halt()
    for turn, access in itertools.product((1, 2, 3), wanted):
        target.resume()
        eventually(target, Target.State.HALTED, bench.board)
        assert (bench.at(target), bench.turns) == (BEHIND[access], turn)
        assert target.get_halt_reason() is Target.HaltReason.WATCHPOINT
    target.resume()
    if not wanted:
        assert bench.gets_on()
        assert target.get_state() is Target.State.RUNNING


def test_watchpoints_of_every_size_and_kind(bench: Bench, target: Any) -> None:
    """A watchpoint hits once at each access that shares a byte with it, and the access is done when it does."""
    for offset, size, kind, wanted in WATCHED:
        assert target.set_watchpoint(PLACE + offset, size, kind)
        watch_turns(bench, target, wanted)
        target.halt()
        target.remove_watchpoint(PLACE + offset, size, kind)
    target.resume()
    assert bench.gets_on()


def test_overlapping_watchpoints_hit_where_any_of_them_does(bench: Bench, target: Any) -> None:
    """Two on the same bytes halt once an access, not twice."""
    assert target.set_watchpoint(PLACE, 4, Access.READ_WRITE)
    assert target.set_watchpoint(PLACE + 3, 1, Access.WRITE)
    watch_turns(bench, target, ["ldrb", "strh"])


def test_a_watched_store_is_done_once(bench: Bench, target: Any) -> None:
    """A push is watched: all its words are there and SP has moved once; so has the counter behind it."""
    code = halves(0xB430, 0x3501, 0xE7FE)  # push {r4, r5}; adds r5, #1; b .
    target.write_memory_block8(RAM, list(code))
    for register, value in (("pc", RAM), ("sp", RAM + 0x210), ("r4", 0x44), ("r5", 0x55)):
        target.write_core_register(register, value)
    assert target.set_watchpoint(RAM + 0x208, 4, Access.WRITE)
    target.resume()
    eventually(target, Target.State.HALTED, bench.board)
    assert [target.read_core_register(name) for name in ("pc", "sp", "r5")] == [RAM + 2, RAM + 0x208, 0x55]
    assert target.read_memory_block32(RAM + 0x208, 2) == [0x44, 0x55]
    target.resume()
    bench.board.advance(MS)
    target.halt()
    assert [target.read_core_register(name) for name in ("pc", "r5")] == [RAM + 4, 0x56]


def test_there_are_as_many_watchpoints_as_the_core_has(bench: Bench, target: Any) -> None:
    """One more is refused, and says so."""
    units = bench.chip.core.watchpoints
    assert target.selected_core.dwt.watchpoint_count == units
    assert all(target.set_watchpoint(RAM + 8 * n, 4, Access.WRITE) for n in range(units))
    assert not target.set_watchpoint(RAM + 0x80, 4, Access.WRITE)


def test_a_debuggers_own_accesses_hit_nothing(bench: Bench, target: Any) -> None:
    """Looking at a watched place, or changing it, halts nobody."""
    assert target.set_watchpoint(PLACE + 12, 4, Access.READ_WRITE)
    target.resume()
    target.write32(PLACE + 12, 0x1234_5678)
    assert target.read32(PLACE + 12) == 0x1234_5678
    assert target.get_state() is Target.State.RUNNING
    assert bench.gets_on()


# -- memory


def test_single_accesses_of_every_size(bench: Bench, target: Any) -> None:
    """Bytes and half words change nothing beside them; deferred reads say the same."""
    target.write32(RAM, 0x1122_3344)
    target.write16(RAM + 2, 0xABCD)
    target.write8(RAM + 1, 0x77)
    target.flush()
    assert bench.peek(RAM, 4) == bytes.fromhex("4477cdab")
    for now in (True, False):
        seen = [
            target.read32(RAM, now), target.read16(RAM, now), target.read16(RAM + 2, now),
            *(target.read8(RAM + n, now) for n in range(4)),
        ]  # fmt: skip
        values = [one if now else one() for one in seen]
        assert values == [0xABCD_7744, 0x7744, 0xABCD, 0x44, 0x77, 0xCD, 0xAB]


@pytest.mark.parametrize("start", [0x000, 0x3FD, 0x3FE, 0x3FF, 0x401, 0x7FF, 0xFF9, 0xFFC, 0xFFF, 0x1003])
def test_blocks_across_the_wraps_of_the_address(bench: Bench, target: Any, start: int) -> None:
    """Wherever a block begins and ends, seen from 1 KiB and 4 KiB: all bytes arrive, and none beside them changes."""
    noise = random.Random(start)
    memory = bytearray(bench.peek(RAM, 0x2400))
    for size in (1, 3, 7, 0x502, 0x1003):
        data = noise.randbytes(size)
        memory[start : start + size] = data
        target.write_memory_block8(RAM + start, list(data))
        target.flush()
        assert bench.peek(RAM, len(memory)) == memory
        assert bytes(target.read_memory_block8(RAM + start, size)) == data


@pytest.mark.parametrize("offset", [0, 1])
def test_a_faulting_access_is_told_and_gotten_over(bench: Bench, target: Any, offset: int) -> None:
    """Reads, writes and blocks where nothing is: pyOCD's fault error, and the next access is sound."""
    block = list(random.Random(offset).randbytes(0x502))
    attempts: list[Callable[[], object]] = [
        lambda: target.read_memory_block8(NOWHERE + offset, 0x1000),
        lambda: (target.write_memory_block8(NOWHERE + offset, [0] * 0x1000), target.flush()),
        lambda: target.read8(NOWHERE + offset),
        lambda: (target.write8(NOWHERE + offset, 1), target.flush()),
    ]
    for attempt in attempts:
        with pytest.raises(exceptions.TransferFaultError):
            attempt()
        target.write_memory_block8(RAM + offset, block)
        assert target.read_memory_block8(RAM + offset, len(block)) == block
    target.resume()
    assert bench.gets_on()


def test_a_block_that_runs_off_the_end_of_ram(bench: Bench, target: Any) -> None:
    """It faults; what lies before the end was written."""
    end = max(ram.base + ram.size for ram in bench.chip.rams)
    words = [0xC0DE_0000 + n for n in range(64)]
    target.write_memory_block32(end - 64, words)
    with pytest.raises(exceptions.TransferFaultError):
        target.flush()
    assert target.read_memory_block32(end - 64, 16) == words[:16]
    with pytest.raises(exceptions.TransferFaultError):
        target.read_memory_block32(end - 64, 64)
    target.resume()
    assert bench.gets_on()


def test_threads_share_the_probe(bench: Bench, target: Any) -> None:
    """Four threads at four places at once, as a debugger with views does; the bytes end up where they belong."""
    data = [random.Random(n).randbytes(0x300) for n in range(4)]
    found: dict[int, bytes] = {}

    def work(n: int) -> None:
        target.write_memory_block8(RAM + 0x401 * n, list(data[n]))
        found[n] = bytes(target.read_memory_block8(RAM + 0x401 * n, len(data[n])))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    bench.board.lock.release()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bench.board.lock.acquire()
    assert [found.get(n) for n in range(4)] == data
    assert bench.peek(RAM + 0x401, 0x300) == data[1]


# -- faults of the program


def test_a_hard_fault_can_be_caught(bench: Bench, target: Any) -> None:
    """The core halts at the handler's first instruction, with the frame on the stack that says where it came from."""
    target.reset_and_halt()
    target.set_vector_catch(Target.VectorCatch.HARD_FAULT)
    target.write_core_register("pc", bench.base + FAULT)
    target.resume()
    eventually(target, Target.State.HALTED, bench.board)
    assert target.get_halt_reason() is Target.HaltReason.VECTOR_CATCH
    assert (bench.at(target), target.read_core_register("ipsr")) == (FAULT, 3)
    assert target.read_core_register("lr") == 0xFFFF_FFF9
    stack = target.read_core_register("msp")
    assert stack == STACK - 32
    assert target.read32(stack + 24) == bench.base + FAULT


def test_without_a_catch_it_locks_up_and_recovers(bench: Bench, target: Any) -> None:
    """A fault in the fault handler: the core says lockup, can be halted, and a reset makes it whole."""
    target.reset_and_halt()
    target.set_vector_catch(Target.VectorCatch.NONE)
    target.write_core_register("pc", bench.base + FAULT)
    target.resume()
    eventually(target, Target.State.LOCKUP, bench.board)
    assert not bench.gets_on()
    target.halt()
    assert target.get_state() is Target.State.HALTED
    target.write32(RAM, 0x600D_F00D)
    assert target.read32(RAM) == 0x600D_F00D
    target.reset_and_halt()
    assert bench.at(target) == ENTRY
    target.resume()
    assert bench.gets_on()


def test_a_locked_up_core_is_reset_without_being_halted(bench: Bench, target: Any) -> None:
    """By request to the system, and by the pin."""
    for kind in (Reset.SYSRESETREQ, Reset.NSRST):
        target.halt()
        target.set_vector_catch(Target.VectorCatch.NONE)
        target.write_core_register("pc", bench.base + FAULT)
        target.resume()
        eventually(target, Target.State.LOCKUP, bench.board)
        target.reset(kind)
        assert target.get_state() is Target.State.RUNNING
        assert bench.gets_on()


def test_a_cleared_thumb_bit_is_kept_and_faults(bench: Bench, target: Any) -> None:
    """xPSR.T as it was written reads back; going on with it is a fault, and not an instruction."""
    target.reset_and_halt()
    target.set_vector_catch(Target.VectorCatch.HARD_FAULT)
    xpsr = target.read_core_register("xpsr")
    target.write_core_register("xpsr", xpsr & ~(1 << 24))
    assert target.read_core_register("xpsr") == xpsr & ~(1 << 24)
    before = bench.turns
    target.resume()
    eventually(target, Target.State.HALTED, bench.board)
    assert (bench.at(target), bench.turns) == (FAULT, before)
    target.reset()
    assert bench.gets_on()
