"""What a debugger finds in the core: halting debug registers, the breakpoint unit, the ROM table.

Registers: Armv7-M ARM DDI 0403, C1.6 (DHCSR to DEMCR), C1.11 (FPB), C1.2 (ROM table); Armv6-M ARM DDI 0419, C1.6 and
C1.9 (BPU). Peripheral ids: Cortex-M4 TRM DDI 0439, Cortex-M0+ TRM DDI 0484. The DWT is in ``watch``. Literal
comparators of the FPB do nothing; breakpoints beyond 0x1FFFFFFF are impossible in this version of the unit.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from lorafab.virtual import cpu as regs
from lorafab.virtual.bus import Bus
from lorafab.virtual.component import CID_CORESIGHT, CID_GENERIC, CID_ROM, Component
from lorafab.virtual.watch import Dwt

if TYPE_CHECKING:
    from lorafab.virtual.core import Core

ROM_BASE, FPB_BASE, ITM_BASE, TPIU_BASE = 0xE00F_F000, 0xE000_2000, 0xE000_0000, 0xE004_0000
# SCS, DWT, FPB, ITM, TPIU present; ETM (offset 0xFFF42000) not present
_ENTRIES = (0xFFF0_F003, 0xFFF0_2003, 0xFFF0_3003, 0xFFF0_1003, 0xFFF4_1003, 0xFFF4_2002, 0)
_ENTRIES_V6M = (0xFFF0_F003, 0xFFF0_2003, 0xFFF0_3003, 0)  # SCS, DWT, BPU
_MEMTYPE = {0xFCC: 1}  # system memory is reachable
_PID_CORE_ROM = 0x04_000B_B4C0  # Cortex-M0+: Arm's table below the chip's
_PID_FPB, _PID_BPU, _PID_ITM, _PID_TPIU = 0x04_002B_B003, 0x04_000B_B00B, 0x04_003B_B001, 0x04_000B_B9A1

_DBGKEY = 0xA05F
C_DEBUGEN, C_HALT, C_STEP, C_MASKINTS = 1, 2, 4, 8
S_REGRDY, S_HALT, S_SLEEP, S_LOCKUP, S_RETIRE_ST, S_RESET_ST = 1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 24, 1 << 25
_DEMCR_WRITABLE, _DEMCR_V6M, _CATCHES = 0x010F_07F1, 0x0100_0401, 0x7F1
_TRCENA, _MON_REQ, _MON_STEP, _MON_PEND, _MON_EN = 1 << 24, 1 << 19, 1 << 18, 1 << 17, 1 << 16
_XPSR, _MSP, _PSP, _SPECIAL, _FPSCR, _S0 = 16, 17, 18, 20, 33, 64


class _Breakpoints(Component):
    """Breakpoint unit, version 1: the FPB of Armv7-M, the BPU of Armv6-M."""

    _CTRL = 0x0

    def __init__(self, pid: int, codes: int, literals: int, changed: Callable[[list[int]], None]) -> None:
        self._changed, self._codes, self._literals = changed, codes, literals
        self._armed: list[int] = []
        super().__init__(FPB_BASE, pid, CID_GENERIC)

    def reset(self) -> None:
        """Nothing armed."""
        super().reset()
        self._arm([])

    def read_word(self, offset: int) -> int:
        """Read a register."""
        value = super().read_word(offset)
        if offset != self._CTRL:
            return value
        return value & 1 | (self._codes & 0xF) << 4 | self._literals << 8 | (self._codes >> 4) << 12

    def write_word(self, offset: int, value: int) -> None:
        """Write a register; CTRL needs its key bit."""
        if offset == self._CTRL and not value & 2:
            return
        super().write_word(offset, value)
        self._arm(self._addresses() if self.values.get(self._CTRL, 0) & 1 else [])

    def _arm(self, armed: list[int]) -> None:
        if armed != self._armed:
            self._armed = armed
            self._changed(armed)

    def _addresses(self) -> list[int]:
        found = set()
        for n in range(self._codes):
            comparator = self.values.get(8 + 4 * n, 0)
            if comparator & 1:
                address, replace = comparator & 0x1FFF_FFFC, comparator >> 30
                found |= ({address} if replace & 1 else set()) | ({address + 2} if replace & 2 else set())
        return sorted(found)


def _rom_tables(base: int, pid: int, mainline: bool) -> list[Component]:
    """The chip's table; where it is not the core's own, it points to that."""
    own = {4 * i: entry for i, entry in enumerate(_ENTRIES if mainline else _ENTRIES_V6M)} | _MEMTYPE
    if base == ROM_BASE:
        return [Component(base, pid, CID_ROM, own)]
    chip = {0: (ROM_BASE - base & 0xFFFF_F000) | 3, 4: 2, 8: 0} | _MEMTYPE
    return [Component(base, pid, CID_ROM, chip), Component(ROM_BASE, _PID_CORE_ROM, CID_ROM, own)]


class DebugUnit:
    """DHCSR, DCRSR, DCRDR, DEMCR and DFSR, and the components beside them."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._control = self._dcrdr = self._demcr = 0
        self._retired = 0  # instructions executed when the debugger last looked
        self._components: tuple[Component, ...] = ()
        self.dwt = Dwt(core)

    def attach(self, bus: Bus, rom: tuple[int, int]) -> None:
        """Put the other components on the bus; ``rom`` is base and peripheral id of the chip's ROM table."""
        spec = self._core.spec
        pid = _PID_FPB if spec.mainline else _PID_BPU
        trace = (
            Component(ITM_BASE, _PID_ITM, CID_GENERIC),
            Component(TPIU_BASE, _PID_TPIU, CID_CORESIGHT, {0xFC8: 0xCA1, 0xFCC: 0x11}),
        )
        self._components = (
            *_rom_tables(*rom, spec.mainline),
            self.dwt,
            _Breakpoints(pid, spec.breakpoints, spec.literals, self._core.set_breakpoints),
            *(trace if spec.mainline else ()),
        )
        for component in self._components:
            bus.add_device(component.base, 0x1000, component)

    def power_on(self) -> None:
        """Debug registers keep their values over a system reset, but not without power."""
        core = self._core
        self._control = self._dcrdr = self._demcr = core.vector_catch = core.dfsr = 0
        core.debug_enabled = core.mask_interrupts = core.monitor_enabled = core.halted = False
        self.dwt.enable(False)
        for component in self._components:
            component.reset()

    def read(self, offset: int) -> int:
        """Read a register by its offset in the system control space."""
        if offset == 0xDF0:
            return self._dhcsr()
        if offset == 0xD30:
            return self._core.dfsr
        return {0xDF8: self._dcrdr, 0xDFC: self._demcr}.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Write a register; the program itself cannot switch halting debug on (C1.6.2)."""
        if offset == 0xDF0:
            if not self._core.running:
                self._write_dhcsr(value)
        elif offset == 0xD30:
            self._core.dfsr &= ~value
        elif offset == 0xDF4:
            self._transfer(value)
        elif offset == 0xDF8:
            self._dcrdr = value
        elif offset == 0xDFC:
            self._write_demcr(value)

    def _dhcsr(self) -> int:
        core = self._core
        if not core.running and not core.stands_still:
            core.on_debugger_poll()
        value = self._control & (C_DEBUGEN | C_STEP | C_MASKINTS) | S_REGRDY
        value |= S_HALT | C_HALT if core.halted else 0
        value |= S_RETIRE_ST if core.instructions != self._retired else 0
        self._retired = core.instructions
        value |= (S_SLEEP if core.sleeping else 0) | (S_LOCKUP if core.exceptions.locked_up else 0)
        if core.was_reset:
            value |= S_RESET_ST
            core.was_reset = core.in_reset
        return value

    def _write_dhcsr(self, value: int) -> None:
        if value >> 16 != _DBGKEY:
            return
        core = self._core
        core.debug_enabled = bool(value & C_DEBUGEN)
        self._control = value & 0xF if core.debug_enabled else 0
        core.mask_interrupts = bool(self._control & C_MASKINTS)
        self.dwt.arm()
        if not core.debug_enabled:
            core.resume()
        elif value & C_HALT:
            if not core.in_reset:
                core.halt(1)
        elif core.halted:
            if value & C_STEP:
                core.step()
            else:
                core.resume()

    def _write_demcr(self, value: int) -> None:
        core = self._core
        self._demcr = value & (_DEMCR_WRITABLE if core.spec.mainline else _DEMCR_V6M)
        core.vector_catch = self._demcr & _CATCHES
        core.monitor_enabled = bool(self._demcr & _MON_EN)
        if self._demcr & (_MON_STEP | _MON_PEND):
            core.around.complain("DebugMonitor: pending and stepping it by DEMCR is not modelled")
        self.dwt.enable(bool(self._demcr & _TRCENA))
        self.dwt.arm()

    # DCRSR and DCRDR

    def _transfer(self, value: int) -> None:
        """Move a core register to or from DCRDR; only in debug state."""
        if not self._core.halted:
            return
        if value >> 16 & 1:
            self._set_register(value & 0x7F, self._dcrdr)
        else:
            self._dcrdr = self._get_register(value & 0x7F)

    def _get_register(self, number: int) -> int:
        cpu = self._core.cpu
        if number == _XPSR:
            return self._core.exceptions.xpsr()
        if number in _REGISTERS:
            return cpu.get(_REGISTERS[number])
        if number == _SPECIAL:
            primask, basepri, faultmask = self._core.exceptions.masks()
            return cpu.get(regs.CONTROL) << 24 | faultmask << 16 | basepri << 8 | primask
        return cpu.get(_FLOATS[number]) if number in _FLOATS and self._core.spec.fpu else 0

    def _set_register(self, number: int, value: int) -> None:
        cpu = self._core.cpu
        if number == _XPSR:
            self._core.exceptions.set_xpsr(value)
        elif number in _REGISTERS:
            cpu.put(_REGISTERS[number], value & _WRITABLE.get(number, 0xFFFF_FFFF))
        elif number == _SPECIAL:
            if self._core.spec.mainline:
                cpu.put(regs.FAULTMASK, value >> 16 & 1)
                cpu.put(regs.BASEPRI, value >> 8 & self._core.nvic.priority_mask)
            cpu.put(regs.PRIMASK, value & 1)
            cpu.put(regs.CONTROL, value >> 24 & (7 if self._core.spec.fpu else 3))
        elif number in _FLOATS and self._core.spec.fpu:
            cpu.put(_FLOATS[number], value)


_REGISTERS = dict(enumerate((*regs.GENERAL, regs.SP, regs.LR, regs.PC))) | {_MSP: regs.MSP, _PSP: regs.PSP}
_WRITABLE = {13: 0xFFFF_FFFC, 15: 0xFFFF_FFFE, _MSP: 0xFFFF_FFFC, _PSP: 0xFFFF_FFFC}
_FLOATS = {_S0 + n: register for n, register in enumerate(regs.SINGLES)} | {_FPSCR: regs.FPSCR}
