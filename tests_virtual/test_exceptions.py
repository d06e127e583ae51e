"""lorafab/virtual/exceptions.py: entry, return, faults, escalation, lockup and vector catch, on bare cores."""

import struct

import pytest

from lorafab.virtual import cpu
from lorafab.virtual.chip import CoreSpec
from tests_virtual.silicon.bare import (
    AIRCR,
    BFAR,
    CCR,
    CFSR,
    CODE,
    CPACR,
    DEMCR,
    DFSR,
    DHCSR,
    FLASH,
    HFSR,
    ICSR,
    M0,
    M4,
    M4F,
    PORT,
    SHCSR,
    SRAM,
    STACK,
    VTOR,
    Rig,
    halves,
)  # fmt: skip

BOTH = pytest.mark.parametrize("spec", [M4, M0], ids=["M4", "M0+"])
ALL_FAULTS = 7 << 16
HARDERR, INTERR, BUSERR, STATERR, CHKERR, NOCPERR, MMERR = (1 << n for n in range(10, 3, -1))
VCATCH = 8
UDF, BKPT, SVC, NOP, STAY = 0xDE00, 0xBE00, 0xDF00, 0xBF00, 0xE7FE
LOAD, STORE = 0x6802, 0x6001  # ldr r2, [r0]; str r1, [r0]
NOWHERE = 0x6000_0000


def halted(code: bytes, spec: CoreSpec = M4, **handlers: int) -> Rig:
    """A halted core about to execute the code."""
    rig = Rig(spec, code, **handlers)
    rig.halt()
    return rig


# entry and return


@BOTH
def test_frame_holds_the_interrupted_context(spec: CoreSpec) -> None:
    """Eight words, the stack aligned to eight bytes with bit 9 of xPSR saying so, EXC_RETURN in LR."""
    rig = halted(halves(SVC, STAY, STAY), spec, svcall=4)
    for number in (*range(13), 14):
        rig.set_reg(number, 0x1000 + number)
    rig.set_reg(13, STACK - 4)
    rig.set_reg(16, 0xF100_0000)
    rig.go()
    rig.halt()
    frame = STACK - 4 - 32 - 4
    assert rig.reg(13) == frame
    stacked = struct.unpack("<8I", bytes(rig.ram[frame - SRAM : frame - SRAM + 32]))
    assert stacked == (0x1000, 0x1001, 0x1002, 0x1003, 0x100C, 0x100E, CODE + 2, 0xF100_0200)
    assert rig.regs(14, 15, 16) == [0xFFFF_FFF9, CODE + 4, 0xF100_000B]


@BOTH
def test_everything_is_restored(spec: CoreSpec) -> None:
    """The handler changes what it may; afterwards all of it is as before."""
    handler = [0x2001, 0x2102, 0x2203, 0x2304, 0x4684, 0x4770]  # movs r0..r3; mov r12, r0; bx lr
    rig = halted(halves(SVC, STAY, *handler), spec, svcall=4)
    for number in (*range(13), 14):
        rig.set_reg(number, 0x1000 + number)
    rig.set_reg(16, 0xB100_0000)
    rig.go()
    rig.halt()
    assert rig.regs(*range(13), 14) == [0x1000 + number for number in (*range(13), 14)]
    assert rig.regs(13, 15, 16) == [STACK, CODE + 2, 0xB100_0000]


@BOTH
def test_process_stack_takes_the_frame_and_keeps_it(spec: CoreSpec) -> None:
    """With CONTROL.SPSEL: the frame on PSP, the handler on MSP, and the same stack again afterwards."""
    rig = halted(halves(SVC, STAY, 0xB401, 0xBC01, 0x4770), spec, svcall=4)  # push {r0}; pop {r0}; bx lr
    rig.set_reg(18, SRAM + 0x800)
    rig.set_reg(20, 0x0200_0000)
    rig.write(DEMCR, 0)
    rig.go(5_000)
    rig.halt()
    assert rig.regs(13, 17, 18) == [SRAM + 0x800, STACK, SRAM + 0x800]
    rig = halted(halves(SVC, STAY, STAY), spec, svcall=4)
    rig.set_reg(18, SRAM + 0x800)
    rig.set_reg(20, 0x0200_0000)
    rig.go()
    rig.halt()
    assert rig.regs(13, 14, 18, 20) == [STACK, 0xFFFF_FFFD, SRAM + 0x7E0, 0]


@BOTH
def test_nested_handlers_return_one_by_one(spec: CoreSpec) -> None:
    """An interrupt of higher priority within SVC: EXC_RETURN 0xFFFFFFF1, then back to thread."""
    pend = [0x6001, 0x3401, 0x4770]  # svcall: str r1, [r0]; adds r4, #1; bx lr
    inner = [0x4675, 0x1C26, 0x4770]  # irq0: mov r5, lr; adds r6, r4, #0; bx lr
    rig = halted(halves(SVC, STAY, *pend, *inner), spec, svcall=4, irq0=10)
    rig.write(0xE000_E100, 1)
    rig.write(0xE000_ED1C, 0xC0 << 24)
    rig.set_reg(0, 0xE000_E200)
    rig.set_reg(1, 1)
    rig.go()
    rig.halt()
    assert rig.regs(4, 5, 6, 15) == [1, 0xFFFF_FFF1, 0, CODE + 2], "taken right behind the store that pended it"


@BOTH
def test_pend_behind_masks_is_taken_when_they_open(spec: CoreSpec) -> None:
    """A context switch: PENDSVSET under PRIMASK, then CPSIE; the exception comes before what follows ISB."""
    code = [0xB672, STORE, 0x2401, 0xB662, 0xF3BF, 0x8F6F, 0x2402, STAY, 0x1C25, 0x4770]
    rig = halted(halves(*code), spec, pendsv=16)
    rig.set_reg(0, ICSR)
    rig.set_reg(1, 1 << 28)
    rig.go()
    rig.halt()
    assert rig.regs(4, 5) == [2, 1]


# faults


@pytest.mark.parametrize(
    ("name", "code", "status", "handler"),
    [
        ("undefined", [UDF], 1 << 16, "usage_fault"),
        ("state", [0x4780], 1 << 17, "usage_fault"),  # blx r0 to an even address
        ("data", [LOAD], 1 << 9 | 1 << 15, "bus_fault"),
        ("store", [STORE], 1 << 9 | 1 << 15, "bus_fault"),
    ],
)
def test_enabled_faults_have_their_own_handlers(name: str, code: list[int], status: int, handler: str) -> None:
    """SHCSR enables them; CFSR tells which it was, BFAR where."""
    handlers = {handler: 2 * len(code) + 2}
    rig = Rig(M4, halves(*code, STAY, 0x2505, STAY), **handlers)
    rig.halt()
    rig.write(SHCSR, ALL_FAULTS)
    rig.set_reg(0, FLASH if name == "state" else NOWHERE)
    rig.go()
    rig.halt()
    assert rig.reg(5) == 5
    assert rig.read(CFSR) == status
    assert rig.read(HFSR) == 0
    if status & 1 << 15:
        assert rig.read(BFAR) == NOWHERE
    assert len(rig.bus.complaints) == 1


@pytest.mark.parametrize("code", [[UDF], [LOAD], [0x4780], [BKPT]], ids=["undefined", "data", "state", "bkpt"])
@BOTH
def test_disabled_faults_escalate(spec: CoreSpec, code: list[int]) -> None:
    """To HardFault, which on Armv6-M is the only one; the stacked PC is that of the culprit."""
    rig = halted(halves(*code, STAY, 0x2505, STAY), spec, hard_fault=4)
    rig.set_reg(0, FLASH if code == [0x4780] else NOWHERE)
    rig.write(DHCSR, 0xA05F_0000)
    rig.advance()
    rig.halt()
    assert rig.reg(5) == 5
    assert rig.reg(16) & 0x1FF == 3
    wanted = FLASH if code == [0x4780] else CODE
    assert rig.read(rig.reg(13) + 24) == wanted
    if spec.mainline:
        assert rig.read(HFSR) == (1 << 31 if code == [BKPT] else 1 << 30)


@BOTH
def test_fault_in_hard_fault_locks_up(spec: CoreSpec) -> None:
    """DHCSR.S_LOCKUP, a complaint, and PC 0xFFFFFFFE; a halt ends it and another PC lets the core go on."""
    rig = Rig(spec, halves(UDF, STAY, UDF, 0x2507, STAY), hard_fault=4)
    rig.write(DHCSR, 0xA05F_0001)
    rig.advance()
    assert rig.read(DHCSR) & 1 << 19
    assert "locked up" in rig.bus.complaints[-1]
    rig.halt()
    assert not rig.read(DHCSR) & 1 << 19
    assert rig.reg(15) == 0xFFFF_FFFE
    rig.go()
    assert rig.read(DHCSR) & 1 << 19, "the same PC locks up again"
    rig.halt()
    rig.set_reg(15, CODE + 6)
    rig.go()
    assert not rig.read(DHCSR) & 1 << 19
    rig.halt()
    assert rig.reg(5) == 7


@BOTH
def test_nmi_leaves_lockup(spec: CoreSpec) -> None:
    """The NMI handler runs, and returning from it locks up again."""
    rig = Rig(spec, halves(UDF, STAY, UDF, 0x3501, 0x4770), hard_fault=4, nmi=6)
    rig.advance()
    assert rig.core.exceptions.locked_up
    rig.write(ICSR, 1 << 31)
    rig.advance()
    assert rig.core.exceptions.locked_up
    assert rig.core.cpu.get(cpu.GENERAL[5]) == 1


def test_stack_outside_of_memory() -> None:
    """STKERR; the derived BusFault escalates to HardFault, and its handler runs."""
    rig = halted(halves(SVC, STAY, STAY, 0x2505, STAY), svcall=4, hard_fault=6)
    rig.set_reg(13, 0x3000_0000)
    rig.go()
    rig.halt()
    assert rig.reg(5) == 5
    assert rig.read(CFSR) == 1 << 12
    assert rig.read(HFSR) == 1 << 30


def test_unreadable_vector() -> None:
    """VECTTBL: HardFault instead of the exception; an unreadable HardFault vector locks up."""
    rig = halted(halves(SVC, STAY, 0x2505, STAY), hard_fault=4)
    rig.write(SRAM + 0x0C, (CODE + 4) | 1)
    rig.write(VTOR, 0x3000_0000)
    rig.go()
    assert rig.core.exceptions.locked_up
    assert rig.read(HFSR) & 2


def test_return_with_nonsense_is_a_usage_fault() -> None:
    """EXC_RETURN to a handler when none is active: INVPC; the frame stays where it was."""
    rig = halted(halves(SVC, STAY, 0x4738, STAY, 0x2505, STAY), svcall=4, usage_fault=8)  # bx r7
    rig.set_reg(7, 0xFFFF_FFF1)
    rig.write(SHCSR, ALL_FAULTS)
    rig.go()
    rig.halt()
    assert rig.reg(5) == 5
    assert rig.read(CFSR) == 1 << 18
    assert rig.regs(13, 14) == [STACK - 32, 0xFFFF_FFF1]


def test_frame_with_wrong_exception_number() -> None:
    """A thread frame whose stacked IPSR is not zero: INVPC."""
    rig = halted(halves(SVC, STAY, 0x9807, 0x1C40, 0x9007, 0x4770), svcall=4)  # ldr r0, [sp, #28]; adds; str; bx lr
    rig.write(DEMCR, HARDERR)
    rig.go()
    assert rig.halted()
    assert rig.read(CFSR) == 1 << 18


def test_fetch_from_where_code_may_not_run() -> None:
    """Peripherals are execute-never: MemManage IACCVIOL; unmapped memory: BusFault IBUSERR."""
    for place, status in ((PORT, 1), (NOWHERE, 1 << 8), (0x2100_0000, 1 << 8)):
        rig = halted(halves(0x4780, STAY, STAY), hard_fault=4)
        rig.set_reg(0, place | 1)
        rig.go()
        assert rig.read(CFSR) == status, hex(place)


def test_unprivileged_code_has_no_system_registers() -> None:
    """BusFault for a thread with CONTROL.nPRIV, not for its handlers."""
    rig = halted(halves(LOAD, STAY, LOAD, STAY), hard_fault=4)
    rig.set_reg(0, CFSR)
    rig.set_reg(20, 0x0100_0000)
    rig.go()
    rig.halt()
    assert "unprivileged" in rig.bus.complaints[0]
    assert rig.reg(2) == 1 << 9 | 1 << 15
    assert rig.reg(15) == CODE + 6


# traps


@pytest.mark.parametrize("code", [[0xFBB0, 0xF2F1], [0xFB90, 0xF2F1]], ids=["udiv", "sdiv"])
@pytest.mark.parametrize("block", [False, True], ids=["plain", "it block"])
def test_division_by_zero_traps_when_asked(code: list[int], block: bool) -> None:
    """CCR.DIV_0_TRP; without it the quotient is zero."""
    program = [0x2800, 0xBF1C, 0x3401, *code, STAY] if block else [*code, STAY]  # cmp r0, #0; itt ne
    for trap in (False, True):
        rig = halted(halves(*program, 0x2505, STAY), usage_fault=2 * len(program))
        rig.write(SHCSR, ALL_FAULTS)
        rig.write(CCR, 0x200 | trap << 4)
        for number, value in ((0, 42), (1, 0), (2, 7), (4, 0)):
            rig.set_reg(number, value)
        rig.go()
        rig.halt()
        assert rig.reg(4) == block
        assert rig.regs(2, 5) == ([7, 5] if trap else [0, 0])
        assert rig.read(CFSR) == (1 << 25 if trap else 0)


def test_divisions_by_something_do_not_trap() -> None:
    """With DIV_0_TRP the quotient is right."""
    rig = halted(halves(0xFBB0, 0xF2F1, STAY))
    rig.write(CCR, 0x210)
    rig.set_reg(0, 42)
    rig.set_reg(1, 6)
    rig.go()
    rig.halt()
    assert rig.reg(2) == 7


@pytest.mark.parametrize("code", [LOAD, STORE, 0x8802, 0x8001, 0xC80C], ids=["ldr", "str", "ldrh", "strh", "ldm"])
def test_unaligned_accesses_trap_when_asked(code: int) -> None:
    """CCR.UNALIGN_TRP: UsageFault UNALIGNED, and nothing was written."""
    rig = halted(halves(code, STAY, 0x2505, STAY), usage_fault=4)
    rig.write(SHCSR, ALL_FAULTS)
    rig.write(CCR, 0x208)
    rig.set_reg(0, SRAM + 0x101)
    rig.set_reg(1, 0xFFFF_FFFF)
    rig.go()
    rig.halt()
    assert rig.reg(5) == 5
    assert rig.read(CFSR) == 1 << 24
    assert rig.read(SRAM + 0x100) == 0


def test_aligned_program_runs_with_the_unaligned_trap() -> None:
    """Bytes, half-words, words, pushes: all as ever."""
    rig = halted(halves(STORE, 0x7842, 0x8843, 0xB406, 0xBC30, STAY))
    rig.write(CCR, 0x208)
    rig.set_reg(0, SRAM + 0x100)
    rig.set_reg(1, 0x1234_5678)
    rig.go()
    rig.halt()
    assert rig.regs(2, 3, 4, 5) == [0x56, 0x1234, 0x1234_5678, 0x56]


def test_armv6m_always_traps_unaligned_accesses() -> None:
    """HardFault, and CCR says that it cannot be changed; Armv7-M reads what it asked for."""
    for spec in (M0, M4):
        rig = halted(halves(LOAD, STAY, 0x2505, STAY), spec, hard_fault=4)
        rig.write(SRAM + 0x100, 0x4433_2211)
        rig.set_reg(0, SRAM + 0x101)
        rig.write(CCR, 0)
        rig.go()
        rig.halt()
        assert rig.regs(2, 5) == ([0, 5] if spec is M0 else [0x0044_3322, 0])
        assert rig.read(CCR) == (0x208 if spec is M0 else 0)


# floating point


def test_floating_point_needs_an_fpu_that_is_on() -> None:
    """NOCP without FPU, and with one before CPACR opens it; precisely at the instruction."""
    for spec, access, fault in ((M4, 0xF << 20, True), (M4F, 0, True), (M4F, 0xF << 20, False)):
        rig = halted(halves(NOP, 0xEE00, 0x0A10, STAY, 0x2505, STAY), spec, usage_fault=8)  # vmov s0, r0
        rig.write(SHCSR, ALL_FAULTS)
        rig.write(CPACR, access)
        rig.set_reg(0, 0x3F80_0000)
        rig.go()
        rig.halt()
        assert rig.reg(5) == (5 if fault else 0)
        assert rig.read(CFSR) == (1 << 19 if fault else 0)
        assert rig.reg(64) == (0 if fault else 0x3F80_0000)
        if fault:
            assert rig.read(rig.reg(13) + 24) == CODE + 2


def test_floating_point_context_is_stacked() -> None:
    """Extended frame of 26 words while CONTROL.FPCA is set; the handler's own use of the FPU does no harm."""
    thread = [0xEE00, 0x0A10, 0xEE0F, 0x1A90, SVC, STAY]  # vmov s0, r0; vmov s31, r1; svc
    handler = [0xEE00, 0x2A10, 0x4675, 0x466E, 0x4770]  # vmov s0, r2; mov r5, lr; mov r6, sp; bx lr
    rig = halted(halves(*thread, *handler), M4F, svcall=2 * len(thread))
    rig.write(CPACR, 0xF << 20)
    for number, value in ((0, 0x3F80_0000), (1, 0x4000_0000), (2, 0xDEAD_BEEF)):
        rig.set_reg(number, value)
    rig.go()
    rig.halt()
    assert rig.regs(5, 6) == [0xFFFF_FFE9, STACK - 0x68]
    assert rig.regs(64, 95, 13) == [0x3F80_0000, 0x4000_0000, STACK]
    assert rig.reg(20) >> 24 == 4, "FPCA again"


def test_handler_without_floating_point_has_a_basic_frame() -> None:
    """FPCA clear: 32 bytes."""
    rig = halted(halves(SVC, STAY, 0x4675, 0x4770), M4F, svcall=4)
    rig.write(CPACR, 0xF << 20)
    rig.go()
    rig.halt()
    assert rig.regs(5, 13) == [0xFFFF_FFF9, STACK]


# vector catch


@pytest.mark.parametrize(
    ("catch", "code", "status"),
    [
        (STATERR, [UDF], 1 << 16), (STATERR, [0x4780], 1 << 17), (BUSERR, [LOAD], 1 << 9 | 1 << 15),
        (CHKERR, [0xFBB0, 0xF2F1], 1 << 25), (NOCPERR, [0xEE00, 0x0A10], 1 << 19), (MMERR, [0x4798], 1),
    ],
    ids=["undefined", "state", "bus", "check", "no coprocessor", "mem manage"],
)  # fmt: skip
def test_each_fault_is_caught_by_its_own_bit(catch: int, code: list[int], status: int) -> None:
    """The core halts at the first instruction of the handler; with all other bits set it does not."""
    every = HARDERR | INTERR | BUSERR | STATERR | CHKERR | NOCPERR | MMERR
    for bits in (catch, every & ~catch):
        place = 2 * len(code) + 2
        rig = halted(halves(*code, STAY, STAY), bus_fault=place, usage_fault=place, mem_manage=place)
        rig.write(SHCSR, ALL_FAULTS)
        rig.write(CCR, 0x210)
        rig.write(DEMCR, bits)
        rig.set_reg(0, FLASH if code == [0x4780] else NOWHERE)
        rig.set_reg(3, PORT | 1)
        rig.go()
        assert rig.halted() == (bits == catch)
        assert rig.read(CFSR) == status
        if bits == catch:
            assert rig.read(DFSR) == 1 | VCATCH
            assert rig.reg(15) == CODE + place


@BOTH
def test_hard_fault_is_caught(spec: CoreSpec) -> None:
    """VC_HARDERR for an escalated fault, and none of the other bits."""
    for bits in (HARDERR, INTERR | BUSERR | STATERR):
        rig = halted(halves(UDF, STAY, STAY), spec, hard_fault=4)
        rig.write(DEMCR, bits)
        rig.go()
        assert rig.halted() == (bits == HARDERR)
        if bits == HARDERR:
            assert rig.regs(15, 16) == [CODE + 4, 0x0100_0003]
            assert rig.read(DFSR) & VCATCH


def test_fault_of_exception_entry_is_caught() -> None:
    """VC_INTERR."""
    rig = halted(halves(SVC, STAY, STAY), svcall=4, hard_fault=4)
    rig.write(DEMCR, INTERR)
    rig.set_reg(13, 0x3000_0000)
    rig.go()
    assert rig.halted()
    assert rig.read(DFSR) & VCATCH


def test_catch_needs_halting_debug() -> None:
    """DEMCR alone does nothing."""
    rig = Rig(M4, halves(UDF, STAY, 0x2505, STAY), hard_fault=4)
    rig.write(DEMCR, HARDERR)
    rig.advance()
    rig.halt()
    assert rig.read(DFSR) == 1
    assert rig.reg(5) == 5


@BOTH
def test_active_state_can_be_cleared(spec: CoreSpec) -> None:
    """AIRCR.VECTCLRACTIVE in debug state: thread mode, and faults are HardFaults again instead of lockup."""
    rig = halted(halves(UDF, STAY, STAY, 0x2505, UDF, STAY), spec, hard_fault=4)
    rig.go()
    rig.halt()
    rig.write(AIRCR, 0x05FA_0002)
    assert rig.reg(16) & 0x1FF == 0
    rig.set_reg(15, CODE + 6)
    rig.go()
    assert not rig.core.exceptions.locked_up
    rig.halt()
    assert rig.regs(5, 15) == [5, CODE + 4]


# register access within IT blocks


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_registers_are_read_and_written_within_it_blocks(at: int) -> None:
    """What follows the block is executed as usual, whichever instruction of it was an access."""
    block = [0x3501] * 4
    block[at] = LOAD
    code = [0x2C00, 0xBF01, *block, 0x2F01, 0xD001, 0x2600, STAY, 0x2609, STAY]  # cmp; itttt eq; cmp r7, #1; beq
    rig = halted(halves(*code))
    rig.port.words[1] = 0x77
    rig.set_reg(0, PORT + 4)
    rig.set_reg(7, 1)
    rig.go()
    rig.halt()
    assert rig.regs(2, 5, 6) == [0x77, 3, 9]
    assert rig.port.log == [("read", 4, 0x77)]


@pytest.mark.parametrize("access", [LOAD, STORE], ids=["load", "store"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_fault_within_an_it_block_is_precise(access: int, at: int) -> None:
    """The stacked PC and ITSTATE are those of the culprit; returning behind it executes the rest of the block."""
    block = [0x3501] * 3
    block[at] = access
    skip = [0x9806, 0x3002, 0x9006, 0x9807, 0x1C06, 0x4770]  # PC += 2; r6 = xPSR as stacked
    code = [0x2C00, 0xBF02, *block, STAY, *skip]
    rig = halted(halves(*code), hard_fault=12)
    rig.set_reg(0, PORT + 64)
    rig.set_reg(1, 1)
    rig.go()
    rig.halt()
    assert rig.regs(5, 15) == [2, CODE + 10]
    assert "no such register" in rig.bus.complaints[0]
    assert f"PC {CODE + 4 + 2 * at:#010x}" in rig.bus.complaints[0]
    state = (0x02, 0x04, 0x08)[at]
    assert rig.reg(6) == 0x6100_0000 | (state & 3) << 25 | (state >> 2) << 10
    assert rig.port.log == []


def test_registers_are_reset_with_the_core() -> None:
    """All general registers, CONTROL and the masks; LR is all ones."""
    rig = halted(halves(STAY))
    for number in range(13):
        rig.set_reg(number, 0xAAAA_0000 + number)
    rig.set_reg(20, 0x0301_F001)
    rig.write(DEMCR, 1)
    rig.write(AIRCR, 0x05FA_0004)
    assert rig.halted()
    assert rig.regs(*range(13), 14, 20) == [0] * 13 + [0xFFFF_FFFF, 0]
    assert rig.regs(13, 15, 16) == [STACK, CODE, 0x0100_0000]
    assert rig.read(VTOR) == FLASH
