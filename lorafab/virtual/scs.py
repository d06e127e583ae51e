"""System control space of the Cortex-M4 (0xE000E000, 4 KiB): NVIC, SysTick and SCB registers, and debug registers.

Offsets: Armv7-M ARM DDI 0403, B3.2 (SCB), B3.3 (SysTick), B3.4 (NVIC); the debug registers of C1.6 are in
``debugunit``. Identification values: Cortex-M4 TRM DDI 0439, table 4-1, for a core without FPU and MPU
(CMSIS header ``stm32wle5xx.h``: __FPU_PRESENT 0; this model has no MPU, so MPU_TYPE reads 0).
"""

from collections.abc import Callable
from typing import Protocol

from lorafab.virtual.bus import BusFault, WordRegisters
from lorafab.virtual.core import Core
from lorafab.virtual.nvic import BUS_FAULT, FIRST_IRQ, MEM_MANAGE, NMI, PENDSV, SVCALL, SYSTICK, USAGE_FAULT
from lorafab.virtual.profile import CPUID, IRQ_COUNT

SCS_BASE = 0xE000_E000
_CONSTANTS = {
    0x004: (IRQ_COUNT - 1) // 32,  # ICTR
    0xD00: CPUID,
    0xD40: 0x0000_0030, 0xD44: 0x0000_0200, 0xD48: 0x0010_0000, 0xD4C: 0x0000_0000,  # PFR0, PFR1, DFR0, AFR0
    0xD50: 0x0010_0030, 0xD54: 0x0000_0000, 0xD58: 0x0100_0000, 0xD5C: 0x0000_0000,  # MMFR0 to MMFR3
    0xD60: 0x0114_1110, 0xD64: 0x0211_1000, 0xD68: 0x2111_2231, 0xD6C: 0x0111_1110, 0xD70: 0x0131_0102,  # ISAR0 to 4
    0xD78: 0, 0xD7C: 0, 0xD90: 0,  # CLIDR, CTR: no caches; MPU_TYPE: no regions
    0xF40: 0, 0xF44: 0, 0xF48: 0,  # MVFR0 to MVFR2: no FPU
}  # fmt: skip
_IDENTITY = {0xFD0: 0x04, 0xFE0: 0x0C, 0xFE4: 0xB0, 0xFE8: 0x0B, 0xFF0: 0x0D, 0xFF4: 0xE0, 0xFF8: 0x05, 0xFFC: 0xB1}
_KEPT = {0x008, 0xD10, 0xD3C, 0xD88, 0xF34, 0xF38, 0xF3C}  # ACTLR, SCR, AFSR, CPACR, FPCCR, FPCAR, FPDSCR
_AIRCR_KEY = 0x05FA
_SHCSR_ACTIVE = {MEM_MANAGE: 0, BUS_FAULT: 1, USAGE_FAULT: 3, SVCALL: 7, PENDSV: 10, SYSTICK: 11}
_SHCSR_PENDING = {USAGE_FAULT: 12, MEM_MANAGE: 13, BUS_FAULT: 14, SVCALL: 15}
_SHCSR_ENABLES = 7 << 16


class DebugRegisters(Protocol):
    """DHCSR, DCRSR, DCRDR, DEMCR and DFSR, by offset in the space."""

    def read(self, offset: int) -> int:
        """Read one."""
        ...

    def write(self, offset: int, value: int) -> None:
        """Write one."""
        ...


class SystemControl(WordRegisters):
    """The register face of :class:`Core`. ``reset(system)`` carries out AIRCR's system or core reset."""

    base = SCS_BASE

    def __init__(self, core: Core, debug: DebugRegisters, reset: Callable[[bool], None]) -> None:
        self._core, self._debug, self._reset = core, debug, reset
        self.kept = dict.fromkeys(_KEPT, 0)

    def reset(self) -> None:
        """Registers that this class keeps itself."""
        self.kept = dict.fromkeys(_KEPT, 0)

    def read_word(self, offset: int) -> int:
        """Read a register; unknown ones are bus faults."""
        if offset in _CONSTANTS:
            return _CONSTANTS[offset]
        if offset in self.kept:
            return self.kept[offset]
        if 0x010 <= offset < 0x020:
            return self._core.systick.read(offset - 0x010)
        if 0x100 <= offset < 0x500:
            return self._read_nvic(offset)
        if 0xD04 <= offset < 0xD3C and offset != 0xD30:
            return self._read_scb(offset)
        if offset == 0xD30 or 0xDF0 <= offset < 0xE00:
            return self._debug.read(offset)
        if 0xFD0 <= offset < 0x1000:
            return _IDENTITY.get(offset, 0)
        raise BusFault(self.base + offset, "no such system register is modelled")

    def write_word(self, offset: int, value: int) -> None:
        """Write a register; unknown ones are bus faults, constants ignore it."""
        if offset in self.kept:
            self.kept[offset] = value
        elif 0x010 <= offset < 0x020:
            self._core.systick.write(offset - 0x010, value)
        elif 0x100 <= offset < 0x500:
            self._write_nvic(offset, value)
        elif 0xD04 <= offset < 0xD3C and offset != 0xD30:
            self._write_scb(offset, value)
        elif offset == 0xD30 or 0xDF0 <= offset < 0xE00:
            self._debug.write(offset, value)
        elif offset == 0xF00:
            self._core.nvic.pending.add(FIRST_IRQ + value % IRQ_COUNT)  # STIR
        elif offset not in _CONSTANTS and offset < 0xFD0:
            raise BusFault(self.base + offset, "no such system register is modelled")

    def peek_word(self, offset: int) -> int:
        """Lanes beside a small write: priorities are often written by the byte; other registers act on ones."""
        if 0x400 <= offset < 0x500 or 0xD18 <= offset < 0xD24:
            return self.read_word(offset)
        return self.kept.get(offset, 0)

    # NVIC

    def _read_nvic(self, offset: int) -> int:
        nvic, word = self._core.nvic, (offset & 0x7F) // 4
        if offset < 0x200:
            return nvic.enable_bits(word)
        if offset < 0x300:
            return nvic.pending_bits(word)
        if offset < 0x400:
            return nvic.active_bits(word)
        first = FIRST_IRQ + offset - 0x400
        return int.from_bytes(nvic.priorities[first : first + 4].ljust(4, b"\0"), "little")

    def _write_nvic(self, offset: int, value: int) -> None:
        nvic, word = self._core.nvic, (offset & 0x7F) // 4
        if offset < 0x200:
            nvic.enable(word, value, on=offset < 0x180)
        elif offset < 0x300:
            nvic.pend(word, value, on=offset < 0x280)
        elif offset >= 0x400:
            for lane in range(4):
                nvic.set_priority(FIRST_IRQ + offset - 0x400 + lane, value >> 8 * lane & 0xFF)

    # SCB

    def _read_scb(self, offset: int) -> int:
        core, state = self._core, self._core.exceptions.state
        if offset == 0xD04:
            return self._icsr()
        if offset == 0xD0C:
            return 0xFA05_0000 | core.nvic.priority_group << 8
        if 0xD18 <= offset < 0xD24:
            first = 4 + offset - 0xD18
            return int.from_bytes(core.nvic.priorities[first : first + 4], "little")
        if offset == 0xD24:
            active = sum(1 << bit for n, bit in _SHCSR_ACTIVE.items() if n in core.nvic.active)
            pending = sum(1 << bit for n, bit in _SHCSR_PENDING.items() if n in core.nvic.pending)
            return active | pending | core.nvic.fault_enables
        values = {0xD08: state.vtor, 0xD14: state.ccr, 0xD28: state.cfsr, 0xD2C: state.hfsr}
        return (values | {0xD34: state.mmfar, 0xD38: state.bfar})[offset]

    def _write_scb(self, offset: int, value: int) -> None:
        nvic, state = self._core.nvic, self._core.exceptions.state
        if offset == 0xD04:
            self._write_icsr(value)
        elif offset == 0xD08:
            state.vtor = value & 0xFFFF_FF80
        elif offset == 0xD0C:
            self._write_aircr(value)
        elif offset == 0xD14:
            state.ccr = value & 0x31B
        elif 0xD18 <= offset < 0xD24:
            for lane in range(4):
                nvic.set_priority(4 + offset - 0xD18 + lane, value >> 8 * lane & 0xFF)
        elif offset == 0xD24:
            nvic.fault_enables = value & _SHCSR_ENABLES
        elif offset == 0xD28:
            state.cfsr &= ~value
        elif offset == 0xD2C:
            state.hfsr &= ~value
        elif offset == 0xD34:
            state.mmfar = value
        elif offset == 0xD38:
            state.bfar = value

    def _icsr(self) -> int:
        nvic, best = self._core.nvic, self._core.nvic.best_pending()
        value = self._core.exception_number
        value |= (best[1] << 12 if best else 0) | (0 if len(nvic.active) > 1 else 1 << 11)
        value |= 1 << 22 if any(n >= FIRST_IRQ for n in nvic.pending) else 0
        for exception, bit in ((NMI, 31), (PENDSV, 28), (SYSTICK, 26)):
            value |= 1 << bit if exception in nvic.pending else 0
        return value

    def _write_icsr(self, value: int) -> None:
        pending = self._core.nvic.pending
        if value >> 31:
            pending.add(NMI)
        for exception, set_bit in ((PENDSV, 28), (SYSTICK, 26)):
            if value >> set_bit & 1:
                pending.add(exception)
            elif value >> (set_bit - 1) & 1:
                pending.discard(exception)

    def _write_aircr(self, value: int) -> None:
        if value >> 16 != _AIRCR_KEY:
            return
        self._core.nvic.priority_group = value >> 8 & 7
        if value & 4:
            self._reset(True)
        elif value & 1 and self._core.debug_enabled:  # VECTRESET is for debuggers (B3.2.6)
            self._reset(False)
