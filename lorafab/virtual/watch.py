"""DWT: watchpoints, the cycle counter and PC samples (0xE0001000).

Armv7-M ARM DDI 0403, C1.8; Armv6-M ARM DDI 0419, C1.8, which has comparators and PC samples only. A watchpoint halts
the core behind the instruction that made the access (C1.8.1), a PC match behind the matching instruction. Accesses of a
debugger and of exception entry do not match. The other counters, trace and the comparison of data values are not
modelled: the board complains when they are switched on. The limits of MASK are those of the Cortex-M3 family
(unverified).
"""

from typing import TYPE_CHECKING

from lorafab.virtual import cpu as regs
from lorafab.virtual.component import CID_GENERIC, Component
from lorafab.virtual.cpu import Span, Stop, Why

if TYPE_CHECKING:
    from lorafab.virtual.core import Core

DWT_BASE = 0xE000_1000
_PID, _PID_V6M = 0x04_003B_B002, 0x04_000B_B00A
_CTRL, _CYCCNT, _PCSR, _COMP0 = 0x00, 0x04, 0x1C, 0x20
_COUNTERS = {0x08, 0x0C, 0x10, 0x14, 0x18}  # CPICNT to FOLDCNT
_CYCCNTENA, _CTRL_WRITABLE = 1, 0x007F_1FFF
_MASK_BITS, _MASK_BITS_V6M = 0xF, 0x1F
_FUNCTION_WRITABLE, _FUNCTION_V6M = 0x000F_FFAF, 0xF
_MATCHED = 1 << 24
_DATAVMATCH, _CYCMATCH, _FUNCTION = 1 << 8, 1 << 7, 0xF
_DISABLED, _PC, _READ, _WRITE, _ACCESS = 0, 4, 5, 6, 7
_NO_SAMPLE = 0xFFFF_FFFF


class Dwt(Component):
    """The unit; ``enabled`` is DEMCR.TRCENA (DWTENA in Armv6-M)."""

    def __init__(self, core: "Core") -> None:
        self._core, self._mainline = core, core.spec.mainline
        self._count = core.spec.watchpoints
        self.enabled = False
        self._matched = [False] * self._count
        self._counted_from = 0
        super().__init__(DWT_BASE, _PID if self._mainline else _PID_V6M, CID_GENERIC)

    def reset(self) -> None:
        """As after power-on."""
        self._ctrl = self._cyccnt = 0
        self._comparators = [[0, 0, 0] for _ in range(self._count)]
        self._matched = [False] * self._count
        self.arm()

    # registers

    def read_word(self, offset: int) -> int:
        """Read a register."""
        if offset == _CTRL:
            return self._ctrl | self._count << 28
        if offset == _CYCCNT and self._mainline:
            return self._cycles()
        if offset == _PCSR:
            return self._sample()
        if offset in _COUNTERS and self._mainline:
            return 0
        number, register = self._place(offset)
        if number is None:
            return super().read_word(offset)
        value = self._comparators[number][register]
        if register == 2 and self._matched[number]:
            self._matched[number] = False  # reading clears it
            value |= _MATCHED
        return value

    def write_word(self, offset: int, value: int) -> None:
        """Write a register."""
        number, register = self._place(offset)
        if offset == _CTRL:
            self._write_ctrl(value)
        elif offset == _CYCCNT and self._mainline:
            self._cyccnt, self._counted_from = value, self._core.cycles
        elif number is not None:
            self._write_comparator(number, register, value)
        elif offset != _PCSR and not (offset in _COUNTERS and self._mainline):
            super().write_word(offset, value)

    def _place(self, offset: int) -> tuple[int | None, int]:
        """Comparator and which of its registers (COMP, MASK, FUNCTION)."""
        number, register = divmod(offset - _COMP0, 16)
        if 0 <= number < self._count and register < 12:
            return number, register // 4
        return None, 0

    def _write_ctrl(self, value: int) -> None:
        if not self._mainline:
            return
        self._cyccnt, self._counted_from = self._cycles(), self._core.cycles
        self._ctrl = value & _CTRL_WRITABLE
        if self._ctrl & ~_CYCCNTENA:
            self._core.around.complain(f"DWT: counters and trace ({self._ctrl:#x} in CTRL) are not modelled")

    def _write_comparator(self, number: int, register: int, value: int) -> None:
        if register == 1:
            value &= _MASK_BITS if self._mainline else _MASK_BITS_V6M
        elif register == 2:
            value &= _FUNCTION_WRITABLE if self._mainline else _FUNCTION_V6M
            function = value & _FUNCTION
            odd = function not in (_DISABLED, _PC, _READ, _WRITE, _ACCESS)
            if odd or (function and value & (_DATAVMATCH | _CYCMATCH)):
                self._core.around.complain(f"DWT: function {value:#x} of comparator {number} is not modelled")
        self._comparators[number][register] = value
        self.arm()

    # what it does

    def _cycles(self) -> int:
        counting = self._ctrl & _CYCCNTENA and self.enabled
        return self._cyccnt + (self._core.cycles - self._counted_from if counting else 0) & 0xFFFF_FFFF

    def enable(self, enabled: bool) -> None:
        """DEMCR.TRCENA."""
        self._cyccnt, self._counted_from = self._cycles(), self._core.cycles
        self.enabled = enabled

    def _sample(self) -> int:
        core = self._core
        if core.halted or core.in_reset or not self.enabled:
            return _NO_SAMPLE
        return core.cpu.get(regs.PC)

    def arm(self) -> None:
        """Watch what the comparators say; only where a debugger or the monitor wants to know."""
        wanted = self.enabled and (self._core.debug_enabled or self._core.monitor_enabled)
        data, fetches = [], []
        for address, mask, control in self._comparators:
            function = control & _FUNCTION
            if not wanted or control & (_DATAVMATCH | _CYCMATCH):
                continue
            first = address & -1 << mask & 0xFFFF_FFFF
            last = first + (1 << mask) - 1
            if function == _PC:
                fetches.append(Span(first & ~1, max(last & ~1, first & ~1), False, False, Why.WATCH_FETCH))
            elif function in (_READ, _WRITE, _ACCESS):
                data.append(Span(first, last, function != _WRITE, function != _READ))
        self._core.cpu.watch(data, fetches)

    def matched(self, hit: Stop) -> None:
        """Note which comparators an access or an instruction matched."""
        for number, (address, mask, control) in enumerate(self._comparators):
            function = control & _FUNCTION
            first = address & -1 << mask & 0xFFFF_FFFF
            overlaps = first <= hit.address + max(hit.size, 1) - 1 and hit.address < first + (1 << mask)
            wanted = (_PC,) if hit.why is Why.WATCH_FETCH else (_WRITE if hit.write else _READ, _ACCESS)
            if overlaps and function in wanted:
                self._matched[number] = True
