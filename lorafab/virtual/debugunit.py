"""What a debugger finds in the core: halting debug registers, breakpoint and watchpoint units, the ROM table.

Registers: Armv7-M ARM DDI 0403, C1.6 (DHCSR to DEMCR), C1.11 (FPB), C1.8 (DWT), C1.2 (ROM table). Peripheral ids:
as Arm's Cortex-M4 r0p1 TRM gives them. Watchpoint comparators keep what is written and never match. Literal
comparators of the FPB do nothing; breakpoints beyond 0x1FFFFFFF are impossible in this version of the unit.
"""

from collections.abc import Callable

from lorafab.virtual import cpu as regs
from lorafab.virtual.bus import Bus
from lorafab.virtual.core import Core
from lorafab.virtual.nvic import PRIORITY_MASK
from lorafab.virtual.system import RegisterFile

ROM_BASE, DWT_BASE, FPB_BASE, ITM_BASE, TPIU_BASE = 0xE00F_F000, 0xE000_1000, 0xE000_2000, 0xE000_0000, 0xE004_0000
# SCS, DWT, FPB, ITM, TPIU present; ETM (offset 0xFFF42000) not present
_ROM_ENTRIES = (0xFFF0_F003, 0xFFF0_2003, 0xFFF0_3003, 0xFFF0_1003, 0xFFF4_1003, 0xFFF4_2002, 0)
_CID_GENERIC, _CID_ROM, _CID_CORESIGHT = 0xB105_E00D, 0xB105_100D, 0xB105_900D
_PID_ROM = 0x00_000A_0497  # ST (JEP106 0x20), part 0x497
_PID_DWT, _PID_FPB, _PID_ITM, _PID_TPIU = 0x04_003B_B002, 0x04_002B_B003, 0x04_003B_B001, 0x04_000B_B9A1

_DBGKEY = 0xA05F
C_DEBUGEN, C_HALT, C_STEP, C_MASKINTS = 1, 2, 4, 8
S_REGRDY, S_HALT, S_SLEEP, S_LOCKUP, S_RETIRE_ST, S_RESET_ST = 1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 24, 1 << 25
_DEMCR_KEPT = 0x0100_07F1 | 0x10_0000
_TRCENA = 1 << 24


def _identity(pid: int, cid: int) -> dict[int, int]:
    """PIDR4 to 7, PIDR0 to 3 and CIDR0 to 3 at their offsets."""
    values = {0xFD0 + 4 * i: pid >> 32 + 8 * i & 0xFF for i in range(4)}
    values |= {0xFE0 + 4 * i: pid >> 8 * i & 0xFF for i in range(4)}
    return values | {0xFF0 + 4 * i: cid >> 8 * i & 0xFF for i in range(4)}


class _Component(RegisterFile):
    """A trace or debug component: identification is fixed, the rest of its 4 KiB only remembers."""

    def __init__(self, base: int, pid: int, cid: int, fixed: dict[int, int] | None = None) -> None:
        self._fixed = _identity(pid, cid) | (fixed or {})
        super().__init__(base, set(range(0, 0x1000, 4)))

    def read_word(self, offset: int) -> int:
        return self._fixed[offset] if offset in self._fixed else super().read_word(offset)

    def write_word(self, offset: int, value: int) -> None:
        if offset not in self._fixed:
            super().write_word(offset, value)


class _Dwt(_Component):
    """Four comparators that keep what is written, and the cycle counter (from simulated time)."""

    _CTRL, _CYCCNT, _COMPARATORS = 0x0, 0x4, 4

    def __init__(self, cycles: Callable[[], int]) -> None:
        super().__init__(DWT_BASE, _PID_DWT, _CID_GENERIC)
        self._cycles = cycles

    def read_word(self, offset: int) -> int:
        value = super().read_word(offset)
        if offset == self._CTRL:
            return value & 0x0FFF_FFFF | self._COMPARATORS << 28
        if offset == self._CYCCNT and self.values[self._CTRL] & 1:
            return value + self._cycles() & 0xFFFF_FFFF
        return value

    def write_word(self, offset: int, value: int) -> None:
        if offset == self._CYCCNT and self.values[self._CTRL] & 1:
            value = value - self._cycles() & 0xFFFF_FFFF
        super().write_word(offset, value)


class _Fpb(_Component):
    """Breakpoint unit, version 1: six code and two literal comparators."""

    _CTRL, _CTRL_READ, _CODE = 0x0, 0x260, 6

    def __init__(self, changed: Callable[[list[int]], None]) -> None:
        self._changed = changed
        self._armed: list[int] = []
        super().__init__(FPB_BASE, _PID_FPB, _CID_GENERIC)

    def reset(self) -> None:
        """Nothing armed."""
        super().reset()
        self._arm([])

    def read_word(self, offset: int) -> int:
        value = super().read_word(offset)
        return value & 1 | self._CTRL_READ if offset == self._CTRL else value

    def write_word(self, offset: int, value: int) -> None:
        if offset == self._CTRL and not value & 2:
            return  # without the key bit the write is ignored
        super().write_word(offset, value)
        self._arm(self._addresses() if self.values[self._CTRL] & 1 else [])

    def _arm(self, armed: list[int]) -> None:
        if armed != self._armed:
            self._armed = armed
            self._changed(armed)

    def _addresses(self) -> list[int]:
        found = set()
        for n in range(self._CODE):
            comparator = self.values[8 + 4 * n]
            if comparator & 1:
                address, replace = comparator & 0x1FFF_FFFC, comparator >> 30
                found |= ({address} if replace & 1 else set()) | ({address + 2} if replace & 2 else set())
        return sorted(found)


class DebugUnit:
    """DHCSR, DCRSR, DCRDR, DEMCR and DFSR. ``poll`` is called when a debugger asks a running core for its state."""

    def __init__(self, core: Core, poll: Callable[[], None]) -> None:
        self._core, self._poll = core, poll
        self._control = self._dcrdr = self._demcr = 0
        self._components: tuple[_Component, ...] = ()

    def attach(self, bus: Bus, cycles: Callable[[], int]) -> None:
        """Put the other components on the bus."""
        self._components = (
            _Component(ROM_BASE, _PID_ROM, _CID_ROM, {4 * i: e for i, e in enumerate(_ROM_ENTRIES)} | {0xFCC: 1}),
            _Dwt(cycles),
            _Fpb(self._core.set_breakpoints),
            _Component(ITM_BASE, _PID_ITM, _CID_GENERIC),
            _Component(TPIU_BASE, _PID_TPIU, _CID_CORESIGHT, {0xFC8: 0xCA1, 0xFCC: 0x11}),
        )
        for component in self._components:
            bus.add_device(component.base, 0x1000, component)

    def power_on(self) -> None:
        """Debug registers keep their values over a system reset, but not without power."""
        self._control = self._dcrdr = self._demcr = 0
        self._core.debug_enabled = self._core.mask_interrupts = False
        self._core.vector_catch = self._core.dfsr = 0
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
            self._demcr = value & _DEMCR_KEPT
            self._core.vector_catch = value & 0x7F1

    def _dhcsr(self) -> int:
        core = self._core
        if not core.running and not core.stands_still:
            self._poll()
        value = self._control & (C_DEBUGEN | C_STEP | C_MASKINTS) | S_REGRDY
        value |= S_HALT | C_HALT if core.halted else S_RETIRE_ST
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

    def _transfer(self, value: int) -> None:
        """DCRSR: move a core register to or from DCRDR; only in debug state."""
        if not self._core.halted:
            return
        if value >> 16 & 1:
            self._set_register(value & 0x7F, self._dcrdr)
        else:
            self._dcrdr = self._get_register(value & 0x7F)

    def _get_register(self, number: int) -> int:
        cpu = self._core.cpu
        if number < 18:
            if number == 16:
                return self._core.exceptions.xpsr()
            return cpu.get(_REGISTERS[number])
        if number == 18:
            return cpu.get(regs.PSP)
        if number == 20:
            return (
                cpu.get(regs.CONTROL) << 24
                | cpu.get(regs.FAULTMASK) << 16
                | (cpu.get(regs.BASEPRI) & PRIORITY_MASK) << 8
                | cpu.get(regs.PRIMASK)
            )
        return 0

    def _set_register(self, number: int, value: int) -> None:
        cpu = self._core.cpu
        if number == 16:
            self._core.exceptions.set_xpsr(value)
        elif number < 18:
            cpu.put(_REGISTERS[number], value & ~1 if number == 15 else value & ~3 if number in (13, 17) else value)
        elif number == 18:
            cpu.put(regs.PSP, value & ~3)
        elif number == 20:
            cpu.put(regs.FAULTMASK, value >> 16 & 1)
            cpu.put(regs.BASEPRI, value >> 8 & PRIORITY_MASK)
            cpu.put(regs.PRIMASK, value & 1)
            cpu.put(regs.CONTROL, value >> 24 & 3)


_REGISTERS = (*regs.GENERAL, regs.SP, regs.LR, regs.PC, regs.XPSR, regs.MSP)
