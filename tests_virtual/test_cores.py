"""lorafab/virtual/cores.py: what tells a Cortex-M0+ from a Cortex-M4, as a debugger and a program see it."""

from dataclasses import replace

import pytest

from lorafab.virtual.bus import BusFault
from lorafab.virtual.chip import CoreSpec
from lorafab.virtual.cores import CORTEX_M0PLUS, CORTEX_M4
from tests_virtual.silicon.bare import (
    AIRCR,
    CCR,
    CFSR,
    CODE,
    CPACR,
    DEMCR,
    DHCSR,
    HFSR,
    M0,
    M4,
    M4F,
    SHCSR,
    SRAM,
    STACK,
    VTOR,
    Rig,
    halves,
)  # fmt: skip

FP_CTRL, FP_COMP0, DWT_CTRL = 0xE000_2000, 0xE000_2008, 0xE000_1000


def peripheral_id(rig: Rig, base: int) -> int:
    """PIDR7..0 as one number."""
    low = sum((rig.read(base + 0xFE0 + 4 * n) & 0xFF) << 8 * n for n in range(4))
    return low | sum((rig.read(base + 0xFD0 + 4 * n) & 0xFF) << 32 + 8 * n for n in range(4))


def component_id(rig: Rig, base: int) -> int:
    """CIDR3..0 as one number."""
    return sum((rig.read(base + 0xFF0 + 4 * n) & 0xFF) << 8 * n for n in range(4))


def walk(rig: Rig, base: int) -> dict[int, int]:
    """Base and peripheral id of everything that a ROM table leads to."""
    found = {base: peripheral_id(rig, base)}
    if component_id(rig, base) == 0xB105_100D:
        for offset in range(0, 0xF00, 4):
            entry = rig.read(base + offset)
            if entry == 0:
                break
            if entry & 1:
                found |= walk(rig, base + (entry & 0xFFFF_F000) & 0xFFFF_FFFF)
    return found


def test_cortex_m4_is_found_through_its_rom_table() -> None:
    """One table with the chip's id; SCS, DWT, FPB, ITM and TPIU."""
    assert walk(Rig(M4), 0xE00F_F000) == {
        0xE00F_F000: 0x0A_0497, 0xE000_E000: 0x4_000B_B00C, 0xE000_1000: 0x4_003B_B002, 0xE000_2000: 0x4_002B_B003,
        0xE000_0000: 0x4_003B_B001, 0xE004_0000: 0x4_000B_B9A1,
    }  # fmt: skip


def test_cortex_m0plus_is_found_through_two_rom_tables() -> None:
    """The chip's table leads to Arm's: SCS, DWT and BPU, and no trace."""
    rig = Rig(M0)
    assert walk(rig, 0xF000_0000) == {
        0xF000_0000: 0x0A_0447, 0xE00F_F000: 0x4_000B_B4C0, 0xE000_E000: 0x4_000B_B008,
        0xE000_1000: 0x4_000B_B00A, 0xE000_2000: 0x4_000B_B00B,
    }  # fmt: skip
    assert rig.read(0xF000_0004) == 2, "the second entry is not present"
    for absent in (0xE000_0000, 0xE004_0000):
        with pytest.raises(BusFault):
            rig.read(absent)


def test_identities() -> None:
    """CPUID; ICTR and FPU registers where there are some."""
    assert Rig(M4).read(0xE000_ED00) == 0x410F_C241
    assert Rig(M0).read(0xE000_ED00) == 0x410C_C601
    assert Rig(M4).read(0xE000_E004) == 1
    assert [Rig(M4F).read(0xE000_EF40 + 4 * n) for n in range(3)] == [0x1011_0021, 0x1100_0011, 0]
    assert [Rig(M4).read(0xE000_EF40 + 4 * n) for n in range(3)] == [0, 0, 0]


@pytest.mark.parametrize(("spec", "read", "count"), [(M4, 0x260, 6), (M0, 0x40, 4)], ids=["M4", "M0+"])
def test_breakpoint_units(spec: CoreSpec, read: int, count: int) -> None:
    """CTRL shows the comparators; each of them stops the core, and one more is not there."""
    rig = Rig(spec, halves(*[0xBF00] * 20, 0xE7FE))
    rig.halt()
    assert rig.read(FP_CTRL) == read
    rig.write(FP_CTRL, 3)
    assert rig.read(FP_CTRL) == read | 1
    for n in range(count + 1):
        address = CODE + 2 + 4 * n
        rig.write(FP_COMP0 + 4 * n, address & 0x1FFF_FFFC | 0x8000_0001)
    for n in range(count):
        rig.go()
        assert rig.halted()
        assert rig.reg(15) == CODE + 2 + 4 * n
        rig.write(FP_COMP0 + 4 * n, 0)
    rig.go()
    assert not rig.halted()


@pytest.mark.parametrize("spec", [M4, M0], ids=["M4", "M0+"])
def test_key_bit_guards_the_breakpoint_unit(spec: CoreSpec) -> None:
    """CTRL is written only together with its KEY."""
    rig = Rig(spec)
    rig.write(FP_CTRL, 3)
    rig.write(FP_CTRL, 0)
    assert rig.read(FP_CTRL) & 1
    rig.write(FP_CTRL, 2)
    assert not rig.read(FP_CTRL) & 1


def test_armv6m_special_registers() -> None:
    """CONTROL and PRIMASK; neither BASEPRI nor FAULTMASK."""
    rig = Rig(M0)
    rig.halt()
    rig.set_reg(20, 0x0201_FF01)
    assert rig.reg(20) == 0x0200_0001
    assert Rig(M4).core.spec.priority_bits == 4


@pytest.mark.parametrize(("spec", "mask"), [(M4, 0xF0F0_F0F0), (M4F, 0xE0E0_E0E0), (M0, 0xC0C0_C0C0)])
def test_priority_bits(spec: CoreSpec, mask: int) -> None:
    """Only the implemented bits of a priority stick."""
    rig = Rig(spec)
    rig.write(0xE000_E400, 0xFFFF_FFFF)
    rig.write(0xE000_ED20, 0xFFFF_FFFF)
    assert rig.read(0xE000_E400) == mask
    assert rig.read(0xE000_ED20) >> 16 == mask >> 16


def test_armv6m_system_registers_take_words_only() -> None:
    """Smaller accesses are bus faults, because silicon may do anything; Armv7-M takes them."""
    for address in (0xE000_E400, 0xE000_ED1F, 0xE000_ED23):
        with pytest.raises(BusFault, match="by words only"):
            Rig(M0).write(address, 0xC0, 1)
        rig = Rig(M4)
        rig.write(address, 0xC0, 1)
        assert rig.read(address, 1) == 0xC0


def test_armv6m_has_no_fault_registers() -> None:
    """Reserved registers read zero; a program that uses them is complained about, a debugger is not."""
    for address in (CFSR, HFSR, CPACR):
        rig = Rig(M0, halves(0x6001, 0x6802, 0xE7FE))
        rig.halt()
        rig.write(address, 0xFFFF_FFFF)
        assert rig.read(address) == 0
        assert rig.bus.complaints == []
        rig.set_reg(0, address)
        rig.set_reg(2, 5)
        rig.go()
        rig.halt()
        assert rig.reg(2) == 0
        assert rig.bus.complaints == [f"Cortex-M0+: {address:#010x} is reserved and reads zero"] * 2
    rig.write(SHCSR, 7 << 16)
    assert rig.read(SHCSR) == 0


def test_armv6m_debug_registers() -> None:
    """DEMCR keeps VC_CORERESET, VC_HARDERR and DWTENA only; there is no reset of the core alone."""
    rig = Rig(M0)
    rig.halt()
    rig.write(DEMCR, 0xFFFF_FFFF)
    assert rig.read(DEMCR) == 0x0100_0401
    rig.write(AIRCR, 0x05FA_0001)
    assert rig.calls == []
    rig.write(AIRCR, 0x05FA_0004)
    assert rig.calls == ["system reset"]
    assert rig.halted()


def test_core_reset_of_armv7m() -> None:
    """VECTRESET resets the core and leaves the rest alone; debug registers stay."""
    rig = Rig(M4)
    rig.halt()
    rig.write(DEMCR, 0x0100_0401)
    rig.set_reg(13, SRAM + 0x100)
    rig.write(AIRCR, 0x05FA_0001)
    assert rig.calls == ["core reset"]
    assert rig.read(DHCSR) & (1 << 25 | 1 << 17) == 1 << 25 | 1 << 17, "reset, and halted by the vector catch"
    assert rig.read(DEMCR) == 0x0100_0401
    assert rig.reg(13) == STACK


@pytest.mark.parametrize("halves_", [[0xF240, 0x0001], [0xBF08, 0x2001], [0xFBB0, 0xF0F1], [0xE9D0, 0x1200]])
def test_armv7m_instructions_are_undefined_on_armv6m(halves_: list[int]) -> None:
    """MOVW, IT, UDIV, LDRD: HardFault at the instruction."""
    rig = Rig(M0, halves(*halves_, 0xE7FE, 0x2505, 0xE7FE), hard_fault=2 * len(halves_) + 2)
    rig.advance()
    rig.halt()
    assert rig.reg(5) == 5
    assert rig.read(rig.reg(13) + 24) == CODE
    assert "undefined" in rig.bus.complaints[0]


def test_vector_table_of_cortex_m0plus_can_move() -> None:
    """It has a VTOR."""
    rig = Rig(M0, halves(0xDF00, 0xE7FE))
    rig.halt()
    rig.load(SRAM + 0x400, halves(0x2509, 0xE7FE))
    rig.write(SRAM + 0x200 + 44, SRAM + 0x401)
    rig.write(VTOR, SRAM + 0x200)
    rig.go()
    rig.halt()
    assert rig.reg(5) == 9


def test_entry_costs_more_cycles_on_armv6m() -> None:
    """15 cycles there, 12 on the Cortex-M4."""
    spent = {}
    for spec in (M4, M0):
        rig = Rig(spec, halves(0xDF00, 0xE7FE, 0xE7FE), svcall=4)
        rig.halt()
        before = rig.clock.now_ns
        rig.step()
        spent[spec.name] = (rig.clock.now_ns - before) // 250
    assert spent == {"Cortex-M4": 13, "Cortex-M0+": 16}


def test_floating_point_registers_need_an_fpu() -> None:
    """DCRSR 33 and 64 to 95."""
    rig = Rig(M4F)
    rig.halt()
    values = {64 + n: 0x3F80_0000 + n for n in range(32)} | {33: 0xF7C0_009F}
    for number, value in values.items():
        rig.set_reg(number, value)
    assert {number: rig.reg(number) for number in values} == values
    rig.set_reg(20, 0x0400_0000)
    assert rig.reg(20) == 0x0400_0000
    without = Rig(M4)
    without.halt()
    without.set_reg(64, 5)
    assert without.reg(64) == 0


def test_chips_take_a_core_and_change_what_is_theirs() -> None:
    """The values are data: replacing a field changes only that."""
    chip = replace(CORTEX_M4, irqs=48, priority_bits=3, fpu=True)
    assert (chip.cpuid, chip.watchpoints, chip.irqs, chip.fpu) == (CORTEX_M4.cpuid, 4, 48, True)
    assert (CORTEX_M0PLUS.mainline, CORTEX_M0PLUS.priority_bits, CORTEX_M0PLUS.watchpoints) == (False, 2, 2)
    assert Rig(M0).read(DWT_CTRL) == 0x2000_0000
    assert Rig(M0).read(CCR) == 0x208
