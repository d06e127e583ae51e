"""lorafab/virtual/debugunit.py and scs.py: what a debugger may do to the core."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lorafab.virtual.bus import BusFault
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
