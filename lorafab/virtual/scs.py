"""System control space (0xE000E000, 4 KiB): NVIC, SysTick and SCB registers, and debug registers.

Offsets: Armv7-M ARM DDI 0403, B3.2 (SCB), B3.3 (SysTick), B3.4 (NVIC), B4.6 (FPU); Armv6-M ARM DDI 0419, B3.2 to B3.4,
which has fewer. The debug registers of C1.6 are in ``debugunit``. Identification values: Cortex-M4 TRM DDI 0439, table
4-1, MVFR0 and MVFR1 from its table 7-2; Cortex-M0+ TRM DDI 0484. There is no MPU in this model, so MPU_TYPE reads 0.

In Armv6-M reserved registers read zero and ignore writes, as the architecture lets them; where a program uses one the
board complains. Its registers take words only (B3.4.7): smaller accesses are bus faults here, because silicon may do
anything.
"""

from typing import TYPE_CHECKING, Protocol

from lorafab.virtual import exceptions as states
from lorafab.virtual.bus import BusFault, WordRegisters
from lorafab.virtual.nvic import BUS_FAULT, FIRST_IRQ, MEM_MANAGE, NMI, PENDSV, SVCALL, SYSTICK, USAGE_FAULT

if TYPE_CHECKING:
    from lorafab.virtual.core import Core

SCS_BASE = 0xE000_E000
_MAINLINE_CONSTANTS = {
    0xD40: 0x0000_0030, 0xD44: 0x0000_0200, 0xD48: 0x0010_0000, 0xD4C: 0x0000_0000,  # PFR0, PFR1, DFR0, AFR0
    0xD50: 0x0010_0030, 0xD54: 0x0000_0000, 0xD58: 0x0100_0000, 0xD5C: 0x0000_0000,  # MMFR0 to MMFR3
    0xD60: 0x0114_1110, 0xD64: 0x0211_1000, 0xD68: 0x2111_2231, 0xD6C: 0x0111_1110, 0xD70: 0x0131_0102,  # ISAR0 to 4
    0xD78: 0, 0xD7C: 0,  # CLIDR, CTR: no caches
    0xF40: 0, 0xF44: 0, 0xF48: 0,  # MVFR0 to MVFR2: no FPU
}  # fmt: skip
_FPU_CONSTANTS = {0xF40: 0x1011_0021, 0xF44: 0x1100_0011, 0xF48: 0}
_IDENTITY = {0xFD0: 0x04, 0xFE0: 0x0C, 0xFE4: 0xB0, 0xFE8: 0x0B, 0xFF0: 0x0D, 0xFF4: 0xE0, 0xFF8: 0x05, 0xFFC: 0xB1}
_PART_OF_V6M = 0x08  # PIDR0; the Cortex-M4 has 0x0C
_KEPT = {0x008, 0xD3C, 0xD88, 0xF3C}  # ACTLR, AFSR, CPACR, FPDSCR
_V6M_REGISTERS = {0xD04, 0xD08, 0xD0C, 0xD10, 0xD14, 0xD1C, 0xD20, 0xD24}
_CPACR, _FPCCR, _FPCAR, _FPDSCR, _STIR, _DFSR = 0xD88, 0xF34, 0xF38, 0xF3C, 0xF00, 0xD30
_AIRCR_KEY, _AIRCR_READ_KEY = 0x05FA, 0xFA05_0000
_SYSRESETREQ, _VECTCLRACTIVE, _VECTRESET = 4, 2, 1
_SHCSR_ACTIVE = {MEM_MANAGE: 0, BUS_FAULT: 1, USAGE_FAULT: 3, SVCALL: 7, PENDSV: 10, SYSTICK: 11}
_SHCSR_PENDING = {USAGE_FAULT: 12, MEM_MANAGE: 13, BUS_FAULT: 14, SVCALL: 15}
_SHCSR_ENABLES = 7 << 16
_CCR_WRITABLE, _CCR_UNMODELLED = 0x31B, 1 << 8  # BFHFNMIGN
_CP10_CP11, _FULL_ACCESS = 0xF << 20, 3


class DebugRegisters(Protocol):
    """DHCSR, DCRSR, DCRDR, DEMCR and DFSR, by offset in the space."""

    def read(self, offset: int) -> int:
        """Read one."""
        ...

    def write(self, offset: int, value: int) -> None:
        """Write one."""
        ...


class SystemControl(WordRegisters):
    """The register face of the core."""

    base = SCS_BASE

    def __init__(self, core: "Core", debug: DebugRegisters) -> None:
        self._core, self._debug = core, debug
        spec = core.spec
        self._mainline = spec.mainline
        self._constants = {0xD00: spec.cpuid, 0xD90: 0}
        if spec.mainline:
            self._constants |= _MAINLINE_CONSTANTS | {0x004: (spec.irqs - 1) // 32}  # ICTR
        if spec.fpu:
            self._constants |= _FPU_CONSTANTS
        self._identity = _IDENTITY if spec.mainline else _IDENTITY | {0xFE0: _PART_OF_V6M}
        self.reset()

    def reset(self) -> None:
        """Registers that this class keeps itself."""
        self.kept = dict.fromkeys(_KEPT if self._mainline else {0x008}, 0)
        self._set_traps()

    def _set_traps(self) -> None:
        state, spec = self._core.exceptions.state, self._core.spec
        access = self.kept.get(_CPACR, 0) >> 20 & 3
        self._core.cpu.trap(
            floating_point=spec.mainline and not (spec.fpu and access in (1, _FULL_ACCESS)),
            divide_by_zero=spec.mainline and bool(state.ccr & states.CCR_DIV_0_TRP),
            unaligned=spec.mainline and bool(state.ccr & states.CCR_UNALIGN_TRP),
        )

    def read(self, offset: int, size: int) -> int:
        """Read a register or a lane of it."""
        self._check_size(offset, size)
        return super().read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register or a lane of it."""
        self._check_size(offset, size)
        super().write(offset, size, value)

    def _check_size(self, offset: int, size: int) -> None:
        if size != 4 and not self._mainline:
            raise BusFault(self.base + offset, "system registers of an Armv6-M core are accessed by words only")

    def read_word(self, offset: int) -> int:
        """Read a register; unknown ones are bus faults."""
        if offset in self._constants:
            return self._constants[offset]
        if offset in self.kept:
            return self.kept[offset]
        if 0x010 <= offset < 0x020:
            return self._core.systick.read(offset - 0x010)
        if 0x100 <= offset < 0x500:
            return self._read_nvic(offset)
        if offset == _DFSR or 0xDF0 <= offset < 0xE00:
            return self._debug.read(offset)
        if self._has_scb(offset):
            return self._read_scb(offset)
        if 0xFD0 <= offset < 0x1000:
            return self._identity.get(offset, 0)
        return self._unknown(offset)

    def write_word(self, offset: int, value: int) -> None:
        """Write a register; unknown ones are bus faults, constants ignore it."""
        if offset in self.kept:
            self._write_kept(offset, value)
        elif 0x010 <= offset < 0x020:
            self._core.systick.write(offset - 0x010, value)
        elif 0x100 <= offset < 0x500:
            self._write_nvic(offset, value)
        elif offset == _DFSR or 0xDF0 <= offset < 0xE00:
            self._debug.write(offset, value)
        elif self._has_scb(offset):
            self._write_scb(offset, value)
        elif offset == _STIR and self._mainline:
            self._core.nvic.set_pending(FIRST_IRQ + value % self._core.spec.irqs)
        elif offset not in self._constants and offset < 0xFD0:
            self._unknown(offset)

    def peek_word(self, offset: int) -> int:
        """Lanes beside a small write: priorities are often written by the byte; other registers act on ones."""
        if 0x400 <= offset < 0x500 or 0xD18 <= offset < 0xD24:
            return self.read_word(offset)
        return self.kept.get(offset, 0)

    def _has_scb(self, offset: int) -> bool:
        if not self._mainline:
            return offset in _V6M_REGISTERS
        return 0xD04 <= offset < 0xD3C or offset in (_FPCCR, _FPCAR)

    def _unknown(self, offset: int) -> int:
        address = self.base + offset
        if self._mainline:
            raise BusFault(address, "no such system register is modelled")
        if self._core.running:  # debuggers look for what a core has
            self._core.around.complain(f"{self._core.spec.name}: {address:#010x} is reserved and reads zero")
        return 0

    def _write_kept(self, offset: int, value: int) -> None:
        if offset == _CPACR:
            value &= _CP10_CP11 if self._core.spec.fpu else 0
        elif offset == _FPDSCR and value:
            self._core.around.complain("core: FPDSCR is kept but new floating-point contexts begin with FPSCR 0")
        self.kept[offset] = value
        self._set_traps()

    # NVIC

    def _read_nvic(self, offset: int) -> int:
        nvic, word = self._core.nvic, (offset & 0x7F) // 4
        if offset < 0x200:
            return nvic.enable_bits(word)
        if offset < 0x300:
            return nvic.pending_bits(word)
        if offset < 0x400:
            return nvic.active_bits(word) if self._mainline else self._unknown(offset)
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
            return _AIRCR_READ_KEY | core.nvic.priority_group << 8
        if 0xD18 <= offset < 0xD24:
            first = 4 + offset - 0xD18
            return int.from_bytes(core.nvic.priorities[first : first + 4], "little")
        if offset == 0xD24:
            return self._shcsr()
        values = {0xD08: state.vtor, 0xD10: state.scr, 0xD14: state.ccr, 0xD28: state.cfsr, 0xD2C: state.hfsr}
        faults = {0xD34: state.mmfar, 0xD38: state.bfar}
        floats = {_FPCCR: state.fpccr if core.spec.fpu else 0, _FPCAR: state.fpcar}
        return (values | faults | floats)[offset]

    def _shcsr(self) -> int:
        nvic = self._core.nvic
        pending = sum(1 << bit for n, bit in _SHCSR_PENDING.items() if n in nvic.pending)
        if not self._mainline:
            return pending & 1 << _SHCSR_PENDING[SVCALL]
        active = sum(1 << bit for n, bit in _SHCSR_ACTIVE.items() if n in nvic.active)
        return active | pending | nvic.fault_enables

    def _write_scb(self, offset: int, value: int) -> None:
        nvic, state = self._core.nvic, self._core.exceptions.state
        if offset == 0xD04:
            self._write_icsr(value)
        elif offset == 0xD08:
            state.vtor = value & 0xFFFF_FF80
        elif offset == 0xD0C:
            self._write_aircr(value)
        elif offset == 0xD10:
            state.scr = value & 0x16
        elif offset == 0xD14:
            self._write_ccr(value)
        elif 0xD18 <= offset < 0xD24:
            for lane in range(4):
                nvic.set_priority(4 + offset - 0xD18 + lane, value >> 8 * lane & 0xFF)
        elif offset == 0xD24:
            self._write_shcsr(value)
        elif offset == 0xD28:
            state.cfsr &= ~value
        elif offset == 0xD2C:
            state.hfsr &= ~value
        elif offset == 0xD34:
            state.mmfar = value
        elif offset == 0xD38:
            state.bfar = value
        elif offset == _FPCCR and self._core.spec.fpu:
            state.fpccr = value & (states.FPCCR_ASPEN | states.FPCCR_LSPEN)
        elif offset == _FPCAR:
            state.fpcar = value & ~7

    def _write_ccr(self, value: int) -> None:
        if not self._mainline:
            return  # Armv6-M: STKALIGN and UNALIGN_TRP are always one
        if value & _CCR_UNMODELLED:
            self._core.around.complain("core: CCR.BFHFNMIGN is kept but bus faults in HardFault and NMI still lock up")
        self._core.exceptions.state.ccr = value & _CCR_WRITABLE
        self._set_traps()

    def _write_shcsr(self, value: int) -> None:
        nvic = self._core.nvic
        nvic.fault_enables = value & _SHCSR_ENABLES if self._mainline else 0
        for exception, bit in _SHCSR_PENDING.items():
            if not self._mainline and exception != SVCALL:
                continue
            if value >> bit & 1:
                nvic.set_pending(exception)
            else:
                nvic.pending.discard(exception)
        nvic.news = True

    def _icsr(self) -> int:
        nvic, best = self._core.nvic, self._core.nvic.best_pending()
        value = self._core.exception_number
        value |= best[1] << 12 if best else 0
        if self._mainline:
            value |= 0 if len(nvic.active) > 1 else 1 << 11  # RETTOBASE
        value |= 1 << 22 if any(n >= FIRST_IRQ for n in nvic.pending) else 0
        for exception, bit in ((NMI, 31), (PENDSV, 28), (SYSTICK, 26)):
            value |= 1 << bit if exception in nvic.pending else 0
        return value

    def _write_icsr(self, value: int) -> None:
        nvic = self._core.nvic
        if value >> 31:
            nvic.set_pending(NMI)
        for exception, set_bit in ((PENDSV, 28), (SYSTICK, 26)):
            if value >> set_bit & 1:
                nvic.set_pending(exception)
            elif value >> (set_bit - 1) & 1:
                nvic.pending.discard(exception)

    def _write_aircr(self, value: int) -> None:
        if value >> 16 != _AIRCR_KEY:
            return
        core = self._core
        if self._mainline:
            core.nvic.priority_group = value >> 8 & 7
            core.nvic.news = True
        if value & _VECTCLRACTIVE and core.halted:
            core.exceptions.clear_active()
        if value & _SYSRESETREQ:
            core.around.core_reset_asked(True)
        elif value & _VECTRESET and self._mainline and core.debug_enabled:  # for debuggers only (B3.2.6)
            core.around.core_reset_asked(False)
