"""Exception entry, return, escalation and lockup (Armv7-M ARM DDI 0403, B1.5), on top of a processor that has none.

Not modelled: lazy floating-point frames (this part has no FPU), tail-chaining and late-arrival timing, memory
protection; the traps of CCR (division by zero, unaligned access) and the fault of an unaligned LDM or LDRD;
SCR.SLEEPONEXIT; an NMI that leaves lockup; the check of the popped IPSR against EXC_RETURN. Faults of stacking are
not re-ordered: the handler starts with whatever the stack pointer became.
"""

import struct
from dataclasses import dataclass

from lorafab.virtual import cpu as regs
from lorafab.virtual.bus import Bus, BusFault
from lorafab.virtual.cpu import Cpu
from lorafab.virtual.nvic import (
    BUS_FAULT,
    HARD_FAULT,
    MEM_MANAGE,
    NMI,
    PRIORITY_MASK,
    SVCALL,
    THREAD_PRIORITY,
    USAGE_FAULT,
    Nvic,
)

FRAME = struct.Struct("<8I")
XPSR_T, _XPSR_ALIGNED, XPSR_EXCEPTION = 1 << 24, 1 << 9, 0x1FF
_TO_HANDLER, _TO_THREAD_MSP, _TO_THREAD_PSP = 0xFFFF_FFF1, 0xFFFF_FFF9, 0xFFFF_FFFD
_FRAME_REGISTERS = (regs.R0, regs.R1, regs.R2, regs.R3, regs.R12, regs.LR)

# CFSR, HFSR, SHCSR bits: B3.2.13 to B3.2.16
IBUSERR, PRECISERR, UNSTKERR, STKERR, BFARVALID = 1 << 8, 1 << 9, 1 << 11, 1 << 12, 1 << 15
UNDEFINSTR, INVSTATE, INVPC = 1 << 16, 1 << 17, 1 << 18
HFSR_VECTTBL, HFSR_FORCED, HFSR_DEBUGEVT = 1 << 1, 1 << 30, 1 << 31
_CCR_STKALIGN = 1 << 9


@dataclass
class FaultState:
    """System control registers that exceptions read and write; reset values of the Cortex-M4."""

    vtor: int = 0
    ccr: int = _CCR_STKALIGN
    cfsr: int = 0
    hfsr: int = 0
    mmfar: int = 0
    bfar: int = 0


class Exceptions:
    """Takes and returns from exceptions; ``locked_up`` when a fault happened where none may."""

    def __init__(self, cpu: Cpu, bus: Bus, nvic: Nvic) -> None:
        self._cpu, self._bus, self._nvic = cpu, bus, nvic
        self.state = FaultState()
        self.locked_up = False
        self.invalid_state = False  # xPSR.T is 0; unicorn cannot show it, so it is kept here
        self.last_taken = 0

    def reset(self, boot_base: int) -> None:
        """Registers of the processor as after reset, PC and SP from the vector table at ``boot_base``."""
        # On silicon VTOR is 0 and the alias there shows the memory that was booted; here the alias is always the flash.
        self.state = FaultState(vtor=boot_base)
        self._nvic.reset()
        self.locked_up, self.last_taken = False, 0
        self._cpu.put(regs.XPSR, XPSR_T)  # thread mode first: a handler cannot change CONTROL.SPSEL
        for register in (regs.CONTROL, *regs.GENERAL, regs.PRIMASK, regs.BASEPRI, regs.FAULTMASK, regs.PSP):
            self._cpu.put(register, 0)
        stack, entry = struct.unpack("<II", self._bus.peek(boot_base, 8))
        self._cpu.put(regs.SP, stack & ~3)
        self._cpu.put(regs.LR, 0xFFFF_FFFF)
        self._jump(entry)

    def _jump(self, address: int) -> None:
        self._cpu.put(regs.PC, address & ~1)
        self.invalid_state = not address & 1

    def mask_priority(self) -> int:
        """The priority that PRIMASK, FAULTMASK and BASEPRI give to the running code."""
        if self._cpu.get(regs.FAULTMASK):
            return -1
        if self._cpu.get(regs.PRIMASK):
            return 0
        return self.base_priority()

    def base_priority(self) -> int:
        """What BASEPRI alone masks; only its implemented bits count, and of them only the group (B1.5.4)."""
        priority = self._cpu.get(regs.BASEPRI) & PRIORITY_MASK
        return self._nvic.group(priority) if priority else THREAD_PRIORITY

    def take_pending(self, only_nmi: bool = False) -> bool:
        """Enter the pending exception that may preempt now, if any."""
        if not self._nvic.pending:
            return False
        exception = self._nvic.preempting(-1 if only_nmi else self.mask_priority())
        if exception is None:
            return False
        self._enter(exception)
        return True

    def call(self) -> None:
        """SVC: taken at once, or a HardFault where it may not be."""
        if min(self._nvic.running_priority(), self.mask_priority()) <= self._nvic.priority(SVCALL):
            self.escalate()
        else:
            self._enter(SVCALL)

    def fault(self, exception: int, status: int, address: int | None = None) -> None:
        """A fault of the running instruction: CFSR bits and, for a data access, the address for BFAR."""
        self.state.cfsr |= status
        if address is not None:
            self.state.bfar = address
            self.state.cfsr |= BFARVALID
        now = min(self._nvic.running_priority(), self.mask_priority())
        if self._nvic.can_happen(exception) and self._nvic.priority(exception) < now:
            self._enter(exception)
        else:
            self.escalate()

    def escalate(self, status: int = HFSR_FORCED) -> None:
        """HardFault; lockup when the core already runs at its priority or above."""
        self.state.hfsr |= status
        if min(self._nvic.running_priority(), self.mask_priority()) <= self._nvic.priority(HARD_FAULT):
            self.locked_up = True
            self._cpu.put(regs.PC, 0xFFFF_FFFE)
        else:
            self._enter(HARD_FAULT)

    def _enter(self, exception: int) -> None:
        xpsr = self.xpsr()
        thread = not xpsr & XPSR_EXCEPTION
        on_psp = thread and bool(self._cpu.get(regs.CONTROL) & 2)
        self._push_frame(xpsr)
        self._nvic.enter(exception)
        self.last_taken = exception
        if self._cpu.get(regs.CONTROL) & 2:
            self._cpu.put(regs.CONTROL, self._cpu.get(regs.CONTROL) & ~2)
        self._cpu.put(regs.XPSR, xpsr & 0xF80F_0000 | XPSR_T | exception)
        if thread:
            self._cpu.put(regs.LR, _TO_THREAD_PSP if on_psp else _TO_THREAD_MSP)
        else:
            self._cpu.put(regs.LR, _TO_HANDLER)
        try:
            self._jump(int.from_bytes(self._bus.peek(self.state.vtor + 4 * exception, 4), "little"))
        except BusFault:
            self.escalate(HFSR_VECTTBL)

    def _push_frame(self, xpsr: int) -> None:
        stack = self._cpu.get(regs.SP)
        padded = bool(self.state.ccr & _CCR_STKALIGN and stack & 4)
        frame = (stack - FRAME.size) & (~7 if self.state.ccr & _CCR_STKALIGN else ~3)
        values = [self._cpu.get(register) for register in _FRAME_REGISTERS]
        values += [self._cpu.get(regs.PC), xpsr | (_XPSR_ALIGNED if padded else 0)]
        memory = self._bus.memory_at(frame, FRAME.size)
        if memory is None or memory.store is not None:
            self.state.cfsr |= STKERR
        else:
            FRAME.pack_into(memory.data, frame - memory.base, *values)
        self._cpu.put(regs.SP, frame & 0xFFFF_FFFF)

    def return_(self) -> None:
        """The processor branched to an EXC_RETURN value, which is in its PC (bit 0 dropped)."""
        value = self._cpu.get(regs.PC) | 1
        exception = self._cpu.get(regs.XPSR) & XPSR_EXCEPTION
        if not exception:  # in thread mode it is a branch to nowhere
            self.fault(MEM_MANAGE, 1)
            return
        self._nvic.leave(exception)
        if exception != NMI:
            self._cpu.put(regs.FAULTMASK, 0)
        to_handler = bool(self._nvic.active)
        if value not in ((_TO_HANDLER,) if to_handler else (_TO_THREAD_MSP, _TO_THREAD_PSP)):
            self.fault(USAGE_FAULT, INVPC)
            return
        self._pop_frame(value)

    def _pop_frame(self, value: int) -> None:
        stack = self._cpu.get(regs.PSP if value == _TO_THREAD_PSP else regs.MSP)
        memory = self._bus.memory_at(stack, FRAME.size)
        if memory is None:
            self.fault(BUS_FAULT, UNSTKERR)
            return
        *values, pc, xpsr = FRAME.unpack_from(memory.data, stack - memory.base)
        self._cpu.put(regs.XPSR, xpsr & ~_XPSR_ALIGNED | XPSR_T)
        control = self._cpu.get(regs.CONTROL) & ~2
        self._cpu.put(regs.CONTROL, control | (2 if value == _TO_THREAD_PSP else 0))
        for register, content in zip(_FRAME_REGISTERS, values, strict=True):
            self._cpu.put(register, content)
        self._cpu.put(regs.SP, (stack + FRAME.size) | (4 if xpsr & _XPSR_ALIGNED else 0))
        self._jump(pc | 1)
        self.invalid_state = not xpsr & XPSR_T

    def xpsr(self) -> int:
        """xPSR with the T bit as the program sees it."""
        return self._cpu.get(regs.XPSR) & ~XPSR_T | (0 if self.invalid_state else XPSR_T)

    def set_xpsr(self, value: int) -> None:
        """Write xPSR (debugger): T may be cleared, which faults at the next instruction."""
        self._cpu.put(regs.XPSR, value | XPSR_T)
        self.invalid_state = not value & XPSR_T
