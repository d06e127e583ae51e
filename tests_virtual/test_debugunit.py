"""lorafab/virtual/debugunit.py and scs.py: what a debugger may do to the core."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lorafab.virtual.bus import BusFault
from lorafab.virtual.chip import CoreSpec
from tests_virtual.silicon import bare
from tests_virtual.silicon.rig import AIRCR, DEMCR, DFSR, DHCSR, SRAM, Debugger, open_board

COUNT = 0x0800_0100  # movs r0, #0; loop: adds r0, #1; b loop
FP_CTRL, FP_COMP0 = 0xE000_2000, 0xE000_2008
PC, XPSR, SP, LR = 15, 16, 13, 14


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[Debugger]:
    """A debugger that has halted a board which counts in r0."""
    vectors = (0x2000_8000).to_bytes(4, "little") + (COUNT | 1).to_bytes(4, "little") + b"\x81\x00\x00\x08" * 62
    code = bytes.fromhex("0020") + bytes.fromhex("0130") + bytes.fromhex("fde7") + bytes.fromhex("00be")
    debugger = Debugger(open_board(tmp_path / "b", vectors + code))
    yield debugger
    debugger.board.close()


def test_identity_registers(probe: Debugger) -> None:
    """What a tool looks for when it meets a chip."""
    assert probe.read(0xE000_ED00) == 0x410F_C241
    assert probe.read(0xE004_2000) == 0x1001_6497
    assert probe.read(FP_CTRL) == 0x260
    assert probe.read(0xE000_1000) >> 28 == 4
    assert probe.read(0x1FFF_75E0, 2) == 256
    assert probe.read(0x1FFF_7584) == 0x0080_E115
    assert probe.bytes(0x1FFF_7590, 12).hex().upper() == probe.board.chip_id
    assert probe.board.chip_id.startswith(b"LFVB".hex().upper())
    assert (probe.read(0xE000_EF40), probe.read(0xE000_ED90)) == (0, 0), "neither FPU nor MPU"


def test_rom_table_leads_to_components(probe: Debugger) -> None:
    """Each present entry has a component with a valid id; the debugger may walk them all."""
    entries = probe.board.mem_read_words(0xE00F_F000, 7)
    assert entries[-1] == 0
    bases = [0xE00F_F000 + (entry & 0xFFFF_F000) & 0xFFFF_FFFF for entry in entries if entry & 1]
    assert bases == [0xE000_E000, 0xE000_1000, 0xE000_2000, 0xE000_0000, 0xE004_0000]
    for base in (*bases, 0xE00F_F000):
        cid = [word & 0xFF for word in probe.board.mem_read_words(base + 0xFF0, 4)]
        assert (cid[0], cid[2], cid[3]) == (0x0D, 0x05, 0xB1)


def test_registers_read_back(probe: Debugger) -> None:
    """All of them in debug state, special ones included."""
    values = {number: 0x1000_0000 + 4 * number for number in (*range(13), SP, LR, PC, 18)}
    for number, value in values.items():
        probe.set_register(number, value)
    assert {number: probe.register(number) for number in values} == values
    probe.set_register(20, 0x0301_A001)
    assert probe.register(20) == 0x0301_A001


def test_thumb_bit_stays_as_written(probe: Debugger) -> None:
    """A cleared T bit reads back, and running then faults."""
    probe.set_register(XPSR, 0)
    assert probe.register(XPSR) == 0
    probe.run(100_000)
    assert probe.read(0xE000_ED28) & 1 << 17
    probe.write(DHCSR, 0xA05F_0003)
    probe.set_register(XPSR, 0x0100_0000)
    assert probe.register(XPSR) == 0x0100_0000


def test_steps_are_one_instruction(probe: Debugger) -> None:
    """From reset, along the loop; the core is halted again after each."""
    probe.set_register(PC, COUNT)
    seen = []
    for _ in range(4):
        probe.write(DHCSR, 0xA05F_0005)
        assert probe.halted()
        seen.append((probe.register(PC) - COUNT, probe.register(0)))
    assert seen == [(2, 0), (4, 1), (2, 1), (4, 2)]


def test_breakpoint_halts_before_its_instruction(probe: Debugger) -> None:
    """An FPB comparator for the upper half-word; without it the program runs on."""
    probe.set_register(PC, COUNT)
    probe.write(FP_COMP0, 0x8000_0001 | COUNT)
    probe.write(FP_CTRL, 3)
    probe.run(1_000_000)
    assert probe.halted()
    assert (probe.register(PC), probe.register(0)) == (COUNT + 2, 0)
    assert probe.read(DFSR) & 2
    probe.write(FP_CTRL, 2)
    probe.run(1_000_000)
    assert not probe.halted()


def test_breakpoint_instruction_halts(probe: Debugger) -> None:
    """BKPT in memory, with debugging on; PC stays on it."""
    probe.board.mem_write(SRAM, 2, 0xBE00)
    probe.set_register(PC, SRAM)
    probe.run(1_000_000)
    assert probe.halted()
    assert probe.register(PC) == SRAM


def test_changed_code_is_executed(probe: Debugger) -> None:
    """A program in RAM is replaced by the debugger: the new one runs."""
    for value in (5, 6):
        probe.board.mem_write_words(SRAM, [0xBE00_2000 | value])
        probe.set_register(PC, SRAM)
        probe.run(1_000_000)
        assert probe.register(0) == value


def test_reset_runs_unless_caught(probe: Debugger) -> None:
    """SYSRESETREQ ends a halt; with VC_CORERESET the core halts on its first instruction."""
    probe.write(AIRCR, 0x05FA_0004)
    assert probe.read(DHCSR) & (1 << 25 | 1 << 17) == 1 << 25
    assert not probe.read(DHCSR) & 1 << 25, "S_RESET_ST clears on read"
    probe.write(DEMCR, 1)
    probe.write(AIRCR, 0x05FA_0004)
    assert probe.halted()
    assert (probe.register(PC), probe.register(SP)) == (COUNT, 0x2000_8000)
    assert probe.read(DFSR) & 8


def test_reset_pin_holds_the_core(probe: Debugger) -> None:
    """Memory stays reachable, instructions wait, and the catch works at release."""
    probe.write(DEMCR, 1)
    probe.board.set_reset_pin(True)
    probe.board.mem_write(SRAM, 4, 0x1234)
    assert probe.read(DHCSR) & 1 << 25
    assert probe.read(SRAM) == 0x1234
    probe.board.set_reset_pin(False)
    assert probe.halted()
    assert probe.register(PC) == COUNT


def test_hard_fault_can_be_caught(probe: Debugger) -> None:
    """VC_HARDERR halts at the handler's first instruction."""
    probe.write(DEMCR, 1 << 10)
    probe.board.mem_write(SRAM, 2, 0xDE00)
    probe.set_register(PC, SRAM)
    probe.run(1_000_000)
    assert probe.halted()
    assert probe.register(XPSR) & 0x1FF == 3
    assert probe.read(DFSR) & 8


def test_missing_peripheral_is_a_fault_and_a_complaint(probe: Debugger) -> None:
    """Never a quiet zero."""
    for address in (0x4000_0000, 0x5800_1800, 0x6000_0000, 0x2001_0000, 0xE000_5000):
        with pytest.raises(BusFault) as caught:
            probe.read(address)
        assert caught.value.address == address
        assert f"{address:#010x}" in probe.board.complaints[-1]


def test_priorities_are_written_by_the_byte(probe: Debugger) -> None:
    """NVIC_IPR takes bytes, of which four bits are there."""
    probe.write(0xE000_E424, 0xFF, 1)
    probe.write(0xE000_E425, 0x2F, 1)
    assert probe.read(0xE000_E424) == 0x0000_20F0


def test_debug_registers_survive_a_reset_but_not_the_power(probe: Debugger) -> None:
    """DEMCR, DBGMCU_CR and breakpoints after SYSRESETREQ, and after a power cycle."""
    values = {DEMCR: 1 << 10, 0xE004_2004: 7, FP_COMP0: 0x8000_0001 | COUNT}
    probe.write(FP_CTRL, 3)
    for address, value in values.items():
        probe.write(address, value)
    probe.write(AIRCR, 0x05FA_0004)
    assert {address: probe.read(address) for address in values} == values
    probe.board.power(False)
    probe.board.power(True)
    assert {address: probe.read(address) for address in values} == dict.fromkeys(values, 0)
    probe.write(DHCSR, 0xA05F_0001)
    probe.board.advance(1_000_000)
    assert not probe.halted()


def test_breakpoint_without_halting_debug_is_passed(probe: Debugger) -> None:
    """A debugger that went and left its breakpoints behind does not stop the firmware."""
    probe.write(FP_COMP0, 0x8000_0001 | COUNT)
    probe.write(FP_CTRL, 3)
    probe.set_register(0, 0)
    probe.set_register(PC, COUNT)
    probe.write(DHCSR, 0xA05F_0000)
    probe.board.advance(1_000_000)
    assert not probe.halted()
    probe.write(DHCSR, 0xA05F_0003)
    assert probe.register(0) > 100


def test_special_registers_can_be_set_for_an_unprivileged_thread(probe: Debugger) -> None:
    """The debugger needs no privilege of the program."""
    probe.set_register(20, 0x0300_0000)
    for value in (0x0101_F001, 0x0300_0000, 0):
        probe.set_register(20, value)
        assert probe.register(20) == value
    probe.set_register(20, 0x0300_0000)
    probe.set_register(17, 0x2000_1000)
    probe.set_register(18, 0x2000_2000)
    assert [probe.register(number) for number in (13, 17, 18)] == [0x2000_2000, 0x2000_1000, 0x2000_2000]


def test_basepri_has_four_bits(probe: Debugger) -> None:
    """Priorities have four bits on this part, and so has BASEPRI."""
    probe.set_register(20, 0xFF00)
    assert probe.register(20) == 0xF000


def test_steps_get_through_a_polling_loop(probe: Debugger) -> None:
    """Time jumps while a program polls, but not under a debugger's steps: each executes its instruction."""
    wait = bytes.fromhex("02480168ca07fcd5fee700bf1c380140")  # until bit 0 of USART ISR
    probe.board.mem_write_words(SRAM, [int.from_bytes(wait[i : i + 4], "little") for i in range(0, 16, 4)])
    probe.set_register(PC, SRAM)
    probe.run(10_000_000)
    probe.write(DHCSR, 0xA05F_0003)
    probe.set_register(PC, SRAM + 2)
    before, seen = probe.board.clock.now_ns, []
    for _ in range(30):
        probe.write(DHCSR, 0xA05F_0005)
        seen.append(probe.register(PC) - SRAM)
    assert seen == [4, 6, 2] * 10
    assert probe.board.clock.now_ns - before < 10_000_000


def test_masked_interrupts_let_the_nmi_through(probe: Debugger) -> None:
    """DHCSR.C_MASKINTS holds PendSV, SysTick and external interrupts only."""
    probe.write(DHCSR, 0xA05F_000B)
    probe.write(DHCSR, 0xA05F_0009)
    probe.write(0xE000_ED04, 1 << 28)
    probe.board.advance(100_000)
    assert probe.read(0xE000_ED04) & 0x1FF == 0
    probe.write(0xE000_ED04, 1 << 31)
    probe.board.advance(100_000)
    assert probe.read(0xE000_ED04) & 0x1FF == 2


# stepping and halting, on a bare core

BOTH = pytest.mark.parametrize("spec", [bare.M4, bare.M0], ids=["M4", "M0+"])
ISER, ISPR = 0xE000_E100, 0xE000_E200
HALTED, BKPT, VCATCH = 1, 2, 8
WFI, WFE, SVC, STAY = 0xBF30, 0xBF20, 0xDF00, 0xE7FE


def stopped(spec: CoreSpec, *code: int, **handlers: int) -> bare.Rig:
    """A halted core about to execute the code; DFSR is clear."""
    rig = bare.Rig(spec, bare.halves(*code), **handlers)
    rig.halt()
    rig.write(DFSR, 0x1F)
    return rig


def offsets(rig: bare.Rig, steps: int) -> list[int]:
    """PC after each of some steps."""
    seen = []
    for _ in range(steps):
        rig.step()
        assert rig.halted()
        seen.append(rig.reg(15) - bare.CODE)
    return seen


@BOTH
def test_step_into_an_exception_and_out_again(spec: CoreSpec) -> None:
    """SVC: halted at the handler's first instruction; BX LR: halted behind the SVC."""
    rig = stopped(spec, SVC, STAY, 0x3501, 0x4770, svcall=4)
    assert offsets(rig, 3) == [4, 6, 2]
    assert rig.read(DFSR) == HALTED


@BOTH
def test_step_takes_a_pending_interrupt_without_executing(spec: CoreSpec) -> None:
    """Halted at the handler's first instruction, the interrupted one is yet to come."""
    rig = stopped(spec, 0x3401, STAY, 0x3501, 0x4770, irq0=4)
    rig.write(ISER, 1)
    rig.write(ISPR, 1)
    assert offsets(rig, 4) == [4, 6, 0, 2]
    assert rig.regs(4, 5) == [1, 1]


@BOTH
def test_masked_steps_do_not_take_interrupts(spec: CoreSpec) -> None:
    """C_MASKINTS: the interrupt waits for the first step without it."""
    rig = stopped(spec, 0x3401, 0x3401, STAY, 0x3501, 0x4770, irq0=6)
    rig.write(ISER, 1)
    rig.write(ISPR, 1)
    rig.write(DHCSR, 0xA05F_000B)
    rig.step(mask=True)
    rig.step(mask=True)
    assert rig.regs(4, 5, 15) == [2, 0, bare.CODE + 4]
    rig.write(DHCSR, 0xA05F_0003)
    assert offsets(rig, 1) == [6]


@BOTH
@pytest.mark.parametrize("hint", [WFI, WFE])
def test_step_over_a_sleep(spec: CoreSpec, hint: int) -> None:
    """It does nothing, and the chip does not sleep."""
    rig = stopped(spec, hint, 0x3401, STAY)
    assert offsets(rig, 2) == [2, 4]
    assert rig.calls == []


def test_steps_go_through_it_blocks_one_by_one() -> None:
    """ITTE EQ with Z set: four steps behind IT's, flags and ITSTATE as the architecture has them."""
    code = (0x2C00, 0xBF06, 0x3501, 0xF105, 0x0502, 0x3508, STAY)  # cmp r4, #0; itte eq; adds; add.w; adds
    rig = stopped(bare.M4, *code)
    states = []
    for _ in range(5):
        rig.step()
        xpsr = rig.reg(16)
        states.append((rig.reg(15) - bare.CODE, xpsr >> 25 & 3 | (xpsr >> 10 & 0x3F) << 2, rig.reg(5)))
    assert states == [(2, 0, 0), (4, 0x06, 0), (6, 0x0C, 1), (10, 0x18, 3), (12, 0, 3)]


@pytest.mark.parametrize("at", [4, 6, 10])
def test_breakpoint_within_an_it_block(at: int) -> None:
    """It halts there, at every turn, and going on executes the rest; also on an instruction that will be skipped."""
    rig = stopped(bare.M4, 0x2C00, 0xBF06, 0x3501, 0xF105, 0x0502, 0x3508, 0x3701, 0xE7F7)
    rig.write(FP_COMP0, bare.CODE + at & 0x1FFF_FFFC | (0x8000_0001 if at & 2 else 0x4000_0001))
    rig.write(FP_CTRL, 3)
    seen = []
    for _ in range(3):
        rig.go()
        assert rig.halted()
        seen.append((rig.reg(15) - bare.CODE, rig.reg(7), rig.reg(5)))
        rig.write(FP_CTRL, 2)
        rig.step()
        rig.write(FP_CTRL, 3)
    before = {4: 0, 6: 1, 10: 3}[at]
    assert seen == [(at, turn, 3 * turn + before) for turn in range(3)]


@BOTH
def test_step_onto_and_from_a_breakpoint(spec: CoreSpec) -> None:
    """Onto it as ever; from it not, until it is taken away: DFSR says BKPT."""
    rig = stopped(spec, 0x3401, 0x3401, 0x3401, STAY)
    rig.write(FP_COMP0, bare.CODE | 0x8000_0001)
    rig.write(FP_CTRL, 3)
    assert offsets(rig, 1) == [2]
    assert rig.read(DFSR) == HALTED
    assert offsets(rig, 2) == [2, 2]
    assert rig.read(DFSR) == HALTED | BKPT
    rig.go()
    assert (rig.halted(), rig.reg(15)) == (True, bare.CODE + 2)
    rig.write(FP_COMP0, 0)
    assert offsets(rig, 1) == [4]


@BOTH
def test_step_onto_bkpt_instruction(spec: CoreSpec) -> None:
    """BKPT halts before itself."""
    rig = stopped(spec, 0x3401, 0xBE00, STAY)
    assert offsets(rig, 2) == [2, 2]
    assert rig.read(DFSR) == HALTED | BKPT


@BOTH
def test_step_of_a_fault(spec: CoreSpec) -> None:
    """Halted at the first instruction of the HardFault handler."""
    rig = stopped(spec, 0xDE00, STAY, STAY, hard_fault=4)
    assert offsets(rig, 1) == [4]
    assert rig.reg(16) & 0x1FF == 3


@BOTH
def test_halting_a_sleeping_core(spec: CoreSpec) -> None:
    """S_SLEEP while it sleeps; a halt wakes it, and it goes on behind the WFI."""
    rig = stopped(spec, WFI, 0x3401, STAY)
    rig.go()
    assert rig.read(DHCSR) & (1 << 18 | 1 << 17) == 1 << 18
    rig.halt()
    assert rig.read(DHCSR) & (1 << 18 | 1 << 17) == 1 << 17
    assert rig.reg(15) == bare.CODE + 2
    rig.go()
    rig.halt()
    assert rig.reg(4) == 1


@BOTH
def test_stacks_and_control_are_written_while_halted(spec: CoreSpec) -> None:
    """SP is the stack that CONTROL chooses; the program uses it."""
    rig = stopped(spec, 0xB401, STAY)  # push {r0}
    rig.set_reg(17, SRAM + 0x103)
    rig.set_reg(18, SRAM + 0x203)
    assert rig.regs(13, 17, 18) == [SRAM + 0x100, SRAM + 0x100, SRAM + 0x200]
    rig.set_reg(20, 0x0200_0000)
    assert rig.reg(13) == SRAM + 0x200
    rig.set_reg(0, 0x1234)
    rig.step()
    assert rig.regs(13, 17, 18) == [SRAM + 0x1FC, SRAM + 0x100, SRAM + 0x1FC]
    assert rig.read(SRAM + 0x1FC) == 0x1234


@BOTH
def test_cleared_thumb_bit_faults_at_the_next_instruction(spec: CoreSpec) -> None:
    """It reads back as written; running is a HardFault, whose frame shows the cleared bit."""
    rig = stopped(spec, 0x3401, STAY, STAY, hard_fault=4)
    rig.set_reg(16, 0xD000_0000)
    assert rig.reg(16) == 0xD000_0000
    rig.step()
    assert rig.reg(15) == bare.CODE + 4
    assert rig.read(rig.reg(13) + 28) == 0xD000_0000


@BOTH
def test_timer_and_chip_know_of_debug_state(spec: CoreSpec) -> None:
    """SysTick does not count in debug state, and the chip is told of every halt."""
    rig = stopped(spec, STAY)
    rig.write(0xE000_E014, 0xFF_FFFF)
    rig.write(0xE000_E018, 0)
    rig.write(0xE000_E010, 5)
    rig.go(1_000_000)
    rig.halt()
    value = rig.read(0xE000_E018)
    assert 0xFF_FFFF - value == pytest.approx(4000, abs=4)
    rig.advance(1_000_000)
    assert rig.read(0xE000_E018) == value
    assert rig.halts == [True, False, True]


def test_registers_are_out_of_reach_while_the_core_runs() -> None:
    """DCRSR needs debug state: DCRDR keeps what it held."""
    rig = stopped(bare.M4, 0x3401, 0xE7FD)
    rig.go()
    rig.write(0xE000_EDF8, 0x5A5A)
    rig.write(0xE000_EDF4, 4)
    assert rig.read(0xE000_EDF8) == 0x5A5A


def test_program_cannot_switch_halting_debug_on() -> None:
    """DHCSR is the debugger's."""
    rig = bare.Rig(bare.M4, bare.halves(0x4801, 0x4902, 0x6001, STAY, 0xEDF0, 0xE000, 0x0003, 0xA05F))
    rig.advance()
    assert rig.read(DHCSR) & 3 == 0


@BOTH
def test_retired_instructions_show_once(spec: CoreSpec) -> None:
    """S_RETIRE_ST: something was executed since the last look; reading clears it."""
    retired = 1 << 24
    rig = stopped(spec, 0x3401, WFI, STAY)
    rig.read(DHCSR)
    assert not rig.read(DHCSR) & retired
    rig.step()
    assert rig.read(DHCSR) & retired
    assert not rig.read(DHCSR) & retired
    rig.go()
    assert rig.read(DHCSR) & retired
    rig.advance()
    assert not rig.read(DHCSR) & retired, "it sleeps"
