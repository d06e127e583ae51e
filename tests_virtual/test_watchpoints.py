"""lorafab/virtual/watch.py: watchpoints halt behind the access, and the program goes on as if nothing had been."""

from itertools import product

import pytest

from lorafab.virtual.chip import CoreSpec
from tests_virtual.silicon.bare import CODE, CPACR, DEMCR, DFSR, DHCSR, FLASH, M0, M4, M4F, PORT, SRAM, Rig, halves

DWT_CTRL, CYCCNT, PCSR, COMP0, MASK0, FUNCTION0 = (0xE000_1000 + offset for offset in (0, 4, 0x1C, 0x20, 0x24, 0x28))
TRCENA, MATCHED, DWTTRAP = 1 << 24, 1 << 24, 4
PC_MATCH, READ, WRITE, ACCESS = 4, 5, 6, 7
BOTH = pytest.mark.parametrize("spec", [M4, M0], ids=["M4", "M0+"])
LOADS = {1: 0x7802, 2: 0x8802, 4: 0x6802}  # ldrb, ldrh, ldr r2, [r0]
STORES = {1: 0x7001, 2: 0x8001, 4: 0x6001}  # strb, strh, str r1, [r0]
PLACE = SRAM + 0x100


def watch(rig: Rig, address: int, size: int = 4, function: int = ACCESS, number: int = 0) -> None:
    """Arm a comparator as pyOCD does: MASK, COMP, FUNCTION."""
    rig.write(DEMCR, TRCENA)
    rig.write(MASK0 + 16 * number, size.bit_length() - 1)
    rig.write(COMP0 + 16 * number, address)
    rig.write(FUNCTION0 + 16 * number, function)


def start(code: bytes, spec: CoreSpec = M4, r0: int = PLACE) -> Rig:
    """A halted core about to execute the code, r0 pointing to the watched place."""
    rig = Rig(spec, code)
    rig.halt()
    rig.set_reg(0, r0)
    rig.set_reg(1, 42)
    return rig


def loop(size: int, reads: bool, writes: bool) -> bytes:
    """Counts in r4 and accesses [r0] at every turn; the accesses begin at offset 2."""
    code = [0x3401] + ([LOADS[size]] if reads else []) + ([STORES[size]] if writes else [])
    return halves(*code, 0xE000 | (-len(code) - 2) & 0x7FF)


@BOTH
@pytest.mark.parametrize("watched", [1, 2, 4])
@pytest.mark.parametrize("function", [READ, WRITE, ACCESS])
def test_every_size_kind_and_place(spec: CoreSpec, watched: int, function: int) -> None:
    """All that a debugger can ask for: an access of the right kind hits when it shares a byte with the watched span."""
    for offset, size, (reads, writes) in product(range(-4, 8), (1, 2, 4), ((1, 0), (0, 1), (1, 1))):
        if offset % watched:
            continue
        rig = start(loop(size, bool(reads), bool(writes)), spec)
        watch(rig, PLACE + offset, watched, function)
        rig.go(50_000)
        overlaps = offset < size and offset + watched > 0
        wanted = bool(overlaps and ((function != WRITE and reads) or (function != READ and writes)))
        assert rig.halted() == wanted, (offset, size, reads, writes)
        if not wanted:
            assert rig.core.cpu.get(70) > 4, "a program that nobody stops goes on"


@BOTH
def test_access_completes_and_core_halts_behind_it(spec: CoreSpec) -> None:
    """The value is stored, PC is at the next instruction, DFSR and MATCHED say why; reading FUNCTION clears MATCHED."""
    rig = start(loop(4, reads=False, writes=True), spec)
    watch(rig, PLACE, function=WRITE)
    rig.go()
    assert rig.halted()
    assert rig.read(PLACE) == 42
    assert rig.regs(15, 4) == [CODE + 4, 1]
    assert rig.read(DFSR) == 1 | DWTTRAP
    assert rig.read(FUNCTION0) == MATCHED | WRITE
    assert rig.read(FUNCTION0) == WRITE


@BOTH
@pytest.mark.parametrize("function", [READ, WRITE, ACCESS])
def test_watchpoint_hits_again_after_continue(spec: CoreSpec, function: int) -> None:
    """Continue from a watchpoint: one hit for every access, and the loop makes exactly one turn each time."""
    rig = start(loop(4, reads=True, writes=True), spec)
    watch(rig, PLACE, function=function)
    seen = []
    for _ in range(6):
        rig.go()
        assert rig.halted()
        seen.append((rig.reg(4), rig.reg(15) - CODE))
    turns = {
        READ: [(n, 4) for n in range(1, 7)],
        WRITE: [(n, 6) for n in range(1, 7)],
        ACCESS: [(n, at) for n in range(1, 4) for at in (4, 6)],
    }
    assert seen == turns[function]


def test_register_is_accessed_exactly_once() -> None:
    """Watched peripheral registers: a store and a load happen once each, with a halt behind either."""
    rig = start(halves(0x6001, 0x6802, 0xE7FE), r0=PORT + 8)
    watch(rig, PORT + 8)
    rig.go()
    assert (rig.halted(), rig.port.log) == (True, [("write", 8, 42)])
    rig.go()
    assert (rig.halted(), rig.port.log) == (True, [("write", 8, 42), ("read", 8, 42)])
    assert rig.regs(2, 15) == [42, CODE + 4]


def test_flash_can_be_watched() -> None:
    """Reads of a constant in flash, through a literal load."""
    rig = start(halves(0x4A00, 0xE7FE, 0x5678, 0x1234))  # ldr r2, =0x12345678; b .
    watch(rig, CODE + 4, function=READ)
    rig.go()
    assert rig.halted()
    assert rig.regs(2, 15) == [0x1234_5678, CODE + 2]


def test_push_and_pop_are_watched() -> None:
    """Instructions with several accesses: all of them are done, SP and PC moved once."""
    rig = start(halves(0xB407, 0xBC70, 0xE7FE))  # push {r0-r2}; pop {r4-r6}
    rig.set_reg(2, 0x77)
    rig.set_reg(13, SRAM + 0x210)
    watch(rig, SRAM + 0x208, function=ACCESS)
    rig.go()
    assert rig.regs(13, 15) == [SRAM + 0x204, CODE + 2]
    rig.go()
    assert rig.regs(4, 5, 6, 13, 15) == [PLACE, 42, 0x77, SRAM + 0x210, CODE + 4]


def test_load_that_overwrites_its_base() -> None:
    """LDRD of the pointer itself with a watched second word: it is not loaded through the new pointer."""
    rig = start(halves(0xE9D0, 0x0200, 0xE7FE))  # ldrd r0, r2, [r0]
    rig.write(PLACE, 0x1111_1111)
    rig.write(PLACE + 4, 0x2222_2222)
    watch(rig, PLACE + 4, function=READ)
    rig.go()
    assert rig.regs(0, 2, 15) == [0x1111_1111, 0x2222_2222, CODE + 4]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_conditional_access_in_any_place_of_an_it_block(at: int) -> None:
    """ITTT with one store among additions: the rest of the block is executed after continue, and only once."""
    block = [0x3501] * 3
    block[at] = 0x6001
    rig = start(halves(0x2A00, 0xBF02, *block, 0xE7F9))  # cmp r2, #0; ittt eq
    watch(rig, PLACE, function=WRITE)
    rig.go()
    assert rig.halted()
    assert rig.regs(5, 15) == [at, CODE + 6 + 2 * at]
    rig.go()
    assert rig.regs(5, 15) == [2 + at, CODE + 6 + 2 * at]


def test_skipped_access_of_an_it_block_does_not_hit() -> None:
    """The condition fails: nothing is stored, nothing halts."""
    rig = start(halves(0x2A01, 0xBF08, 0x6001, 0x3401, 0xE7FA))
    watch(rig, PLACE)
    rig.go()
    assert not rig.halted()


@BOTH
def test_pc_match(spec: CoreSpec) -> None:
    """FUNCTION 4 halts behind the matching instruction; without it the loop runs."""
    rig = start(loop(4, reads=True, writes=False), spec)
    watch(rig, CODE + 2, 1, PC_MATCH)
    for turn in (1, 2, 3):
        rig.go()
        assert rig.halted()
        assert rig.regs(4, 15) == [turn, CODE + 4]
        assert rig.read(FUNCTION0) & MATCHED
    rig.write(FUNCTION0, 0)
    rig.go()
    assert not rig.halted()


@pytest.mark.parametrize("at", [4, 6, 8])
def test_pc_match_within_an_it_block(at: int) -> None:
    """Behind the matching instruction, which is executed once."""
    rig = start(halves(0x2A00, 0xBF02, 0x3501, 0x3510, 0x3520, 0xE7F9))  # cmp r2, #0; ittt eq
    watch(rig, CODE + at, 1, PC_MATCH)
    rig.go()
    assert rig.halted()
    assert rig.regs(5, 15) == [{4: 0x01, 6: 0x11, 8: 0x31}[at], CODE + at + 2]
    rig.go()
    assert rig.regs(5, 15) == [0x31 + {4: 0x01, 6: 0x11, 8: 0x31}[at], CODE + at + 2]


def test_overlapping_watchpoints_both_match() -> None:
    """A word and one of its bytes: one halt, two MATCHED flags; a third comparator elsewhere stays quiet."""
    rig = start(loop(4, reads=False, writes=True))
    watch(rig, PLACE, 4, WRITE, 0)
    watch(rig, PLACE + 3, 1, ACCESS, 1)
    watch(rig, PLACE + 4, 4, ACCESS, 2)
    rig.go()
    assert rig.halted()
    assert [rig.read(FUNCTION0 + 16 * n) & MATCHED for n in range(3)] == [MATCHED, MATCHED, 0]
    assert rig.reg(4) == 1


def test_wide_mask_watches_a_region() -> None:
    """MASK 10: 1 KiB from the aligned address on."""
    for place, hit in ((SRAM + 0x3FC, False), (SRAM + 0x400, True), (SRAM + 0x7FC, True), (SRAM + 0x800, False)):
        rig = start(loop(4, reads=False, writes=True), r0=place)
        watch(rig, SRAM + 0x400, 1024, WRITE)
        rig.go()
        assert rig.halted() == hit


def test_debuggers_accesses_do_not_hit() -> None:
    """Reading and writing the watched place over the debug port."""
    rig = start(halves(0x3401, 0xE7FD))
    watch(rig, PLACE)
    rig.go()
    rig.write(PLACE, 7)
    assert rig.read(PLACE) == 7
    rig.advance()
    assert not rig.halted()
    assert not rig.read(FUNCTION0) & MATCHED


def test_no_watchpoints_without_trcena_or_debugger() -> None:
    """DEMCR.TRCENA off, or halting debug off: the program is not even slowed down."""
    rig = start(loop(4, reads=True, writes=True))
    watch(rig, PLACE)
    rig.write(DEMCR, 0)
    rig.go()
    assert not rig.halted()
    rig.write(DEMCR, TRCENA)
    rig.write(DHCSR, 0xA05F_0000)
    rig.advance()
    rig.halt()
    assert rig.read(DFSR) == 1
    assert rig.reg(4) > 500


@BOTH
def test_watched_program_makes_progress(spec: CoreSpec) -> None:
    """A watchpoint on a neighbour in the same page: as many turns as without it."""
    turns = []
    for armed in (False, True):
        rig = start(loop(4, reads=True, writes=True), spec)
        if armed:
            watch(rig, PLACE + 4)
        rig.go()
        rig.halt()
        turns.append(rig.reg(4))
    assert turns[0] == turns[1] > 900


def test_comparators_and_masks_read_back() -> None:
    """Number of comparators in CTRL; MASK of the Cortex-M4 has four bits, that of the Cortex-M0+ five."""
    for spec, count, mask in ((M4, 4, 0xF), (M0, 2, 0x1F)):
        rig = Rig(spec)
        assert rig.read(DWT_CTRL) >> 28 == count
        rig.write(MASK0, 0xFF)
        assert rig.read(MASK0) == mask
        last = COMP0 + 16 * (count - 1)
        rig.write(last, 0x1234_5678)
        rig.write(last + 16, 0x1234_5678)
        assert rig.read(last) == 0x1234_5678


def test_unmodelled_functions_are_complained_about() -> None:
    """Data value comparison and trace: visible, and nothing halts for them."""
    rig = start(loop(4, reads=True, writes=True))
    watch(rig, 42, 1, ACCESS | 1 << 8)
    assert "DWT: function 0x107 of comparator 0 is not modelled" in rig.bus.complaints
    rig.write(DWT_CTRL, 1 << 16)
    assert "0x10000 in CTRL" in rig.bus.complaints[-1]
    rig.go()
    assert not rig.halted()


def test_cycle_counter_counts_while_the_core_works() -> None:
    """CYCCNT: a cycle an instruction, none while halted or asleep; it can be set."""
    rig = start(halves(0x2000, 0x3001, 0x28C8, 0xD1FC, 0xBF30, 0xE7FD))  # 200 turns of three, then wfi
    rig.write(DEMCR, TRCENA)
    rig.write(CYCCNT, 1000)
    rig.write(DWT_CTRL, 1)
    rig.advance()
    assert rig.read(CYCCNT) == 1000
    rig.go(100_000_000)
    assert 1590 <= rig.read(CYCCNT) <= 1640
    rig.write(DEMCR, 0)
    assert rig.read(CYCCNT) == rig.read(CYCCNT)


def test_cortex_m0plus_has_no_cycle_counter() -> None:
    """CTRL shows nothing but the number of comparators, and CYCCNT reads zero."""
    rig = start(halves(0x3401, 0xE7FD), M0)
    rig.write(DEMCR, TRCENA)
    rig.write(DWT_CTRL, 1)
    rig.go()
    assert (rig.read(DWT_CTRL), rig.read(CYCCNT)) == (0x2000_0000, 0)


@BOTH
def test_pc_samples(spec: CoreSpec) -> None:
    """PCSR shows where a running program is, and all ones while it is halted."""
    rig = start(halves(0x3401, 0xE7FD), spec)
    rig.write(DEMCR, TRCENA)
    assert rig.read(PCSR) == 0xFFFF_FFFF
    rig.go()
    assert rig.read(PCSR) - CODE in (0, 2)


def test_debug_monitor_takes_watchpoints_when_no_debugger_is_there() -> None:
    """DEMCR.MON_EN: the exception comes behind the access, and the program goes on after it."""
    rig = Rig(M4, halves(0x6001, 0x3401, 0xE7FC, 0x3501, 0x4770), monitor=6)
    rig.halt()
    rig.set_reg(0, PLACE)
    watch(rig, PLACE, function=WRITE)
    rig.write(DEMCR, TRCENA | 1 << 16)
    rig.write(DHCSR, 0xA05F_0000)
    rig.advance()
    assert rig.read(DFSR) & DWTTRAP
    rig.halt()
    assert abs(rig.reg(5) - rig.reg(4)) <= 1 < rig.reg(5)


def test_flash_word_that_cannot_be_read_and_is_watched() -> None:
    """Both at once: the chip is told of the bad word, the core halts behind the load."""
    rig = start(halves(0x6802, 0x3401, 0xE7FC), r0=FLASH + 0x800)
    rig.core.cpu.watch_words({FLASH + 0x800})
    watch(rig, FLASH + 0x800, function=READ)
    rig.go()
    assert rig.halted()
    assert rig.calls == [f"bad word {FLASH + 0x800:#x}"]
    assert rig.reg(15) == CODE + 2


def test_floating_point_loads_are_watched() -> None:
    """VLDR of a double word: its second half hits."""
    rig = start(halves(0xED90, 0x1B00, 0xE7FE), M4F)  # vldr d1, [r0]
    rig.write(CPACR, 0xF << 20)
    rig.write(PLACE + 4, 0x3FF0_0000)
    watch(rig, PLACE + 4, function=READ)
    rig.go()
    assert rig.halted()
    assert (rig.reg(64 + 3), rig.reg(15)) == (0x3FF0_0000, CODE + 4)
