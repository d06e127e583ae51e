"""Exception entry, return, escalation and lockup, on top of a processor that has none.

Armv7-M ARM DDI 0403, B1.5; where Armv6-M (DDI 0419, B1.5) differs, every fault is a HardFault and there are no status
registers. Floating-point frames are always written at entry: lazy preservation shows in FPCCR.LSPACT only, which reads
0. Not modelled: memory protection, tail-chaining and late arrival as savings of time.
"""

import struct
from dataclasses import dataclass

from lorafab.virtual import cpu as regs
from lorafab.virtual.bus import Bus, BusFault
from lorafab.virtual.chip import CoreSpec
from lorafab.virtual.cpu import Cpu
from lorafab.virtual.nvic import (
    BUS_FAULT,
    DEBUG_MONITOR,
    HARD_FAULT,
    MEM_MANAGE,
    NMI,
    SVCALL,
    THREAD_PRIORITY,
    USAGE_FAULT,
    Nvic,
)

FRAME = struct.Struct("<8I")
FLOAT_FRAME = struct.Struct("<18I")  # S0 to S15, FPSCR, a gap; above the basic frame
XPSR_T, _XPSR_ALIGNED, XPSR_EXCEPTION, _XPSR_FLAGS = 1 << 24, 1 << 9, 0x1FF, 0xF80F_0000
_XPSR_STACKED = 0xFF0F_FDFF  # flags, IT, T, exception number
_TO_HANDLER, _TO_THREAD_MSP, _TO_THREAD_PSP = 0xFFFF_FFF1, 0xFFFF_FFF9, 0xFFFF_FFFD
_BASIC_FRAME = 1 << 4  # EXC_RETURN
_NPRIV, _SPSEL, _FPCA = 1, 2, 4  # CONTROL
_LOCKUP_PC = 0xFFFF_FFFE

# CFSR, HFSR bits: B3.2.15, B3.2.16
IACCVIOL, IBUSERR, PRECISERR, UNSTKERR, STKERR, BFARVALID = 1, 1 << 8, 1 << 9, 1 << 11, 1 << 12, 1 << 15
UNDEFINSTR, INVSTATE, INVPC, NOCP, UNALIGNED, DIVBYZERO = 1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 24, 1 << 25
HFSR_VECTTBL, HFSR_FORCED, HFSR_DEBUGEVT = 1 << 1, 1 << 30, 1 << 31
CCR_NONBASETHRDENA, CCR_UNALIGN_TRP, CCR_DIV_0_TRP, CCR_STKALIGN = 1, 1 << 3, 1 << 4, 1 << 9
SCR_SLEEPONEXIT, SCR_SLEEPDEEP, SCR_SEVONPEND = 2, 4, 16
FPCCR_ASPEN, FPCCR_LSPEN = 1 << 31, 1 << 30
# DEMCR, C1.6.5: which fault of which kind a debugger catches
_VC_MMERR, _VC_NOCPERR, _VC_CHKERR, _VC_STATERR, _VC_BUSERR, _VC_INTERR, VC_HARDERR = (1 << n for n in range(4, 11))
_CHECKS, _STATES = UNALIGNED | DIVBYZERO, UNDEFINSTR | INVSTATE | INVPC


@dataclass
class SystemState:
    """System control registers that exceptions read and write; reset values of B3.2 and B4.6 (FPU)."""

    vtor: int = 0
    ccr: int = CCR_STKALIGN
    scr: int = 0
    cfsr: int = 0
    hfsr: int = 0
    mmfar: int = 0
    bfar: int = 0
    fpccr: int = FPCCR_ASPEN | FPCCR_LSPEN
    fpcar: int = 0


class Exceptions:
    """Takes and returns from exceptions; ``locked_up`` when a fault happened where none may."""

    def __init__(self, cpu: Cpu, bus: Bus, nvic: Nvic, spec: CoreSpec) -> None:
        self._cpu, self._bus, self._nvic, self._spec = cpu, bus, nvic, spec
        self.state = SystemState()
        self.locked_up = False
        self.locked_up_at = 0  # PC of what could not be handled
        self.invalid_state = False  # xPSR.T is 0; unicorn cannot show it, so it is kept here
        self.caught = 0  # DEMCR bits of what was taken since the core last looked
        masks = (regs.CONTROL, regs.PRIMASK, regs.BASEPRI, regs.FAULTMASK)
        self._masks = cpu.batch(masks if spec.mainline else masks[:2])
        frame = (regs.R0, regs.R1, regs.R2, regs.R3, regs.R12, regs.LR, regs.PC)
        self._context = cpu.batch((*frame, regs.PSR, regs.SP, regs.CONTROL))
        names = (regs.PC, regs.PSR, regs.CONTROL, regs.MSP, regs.PSP)
        self._leaving = cpu.batch((*names, regs.FAULTMASK) if spec.mainline else names)
        self._entered = cpu.batch((regs.SP, regs.LR, regs.PC, regs.XPSR, regs.FLAGS))
        self._resumed = cpu.batch((regs.XPSR, regs.FLAGS, *frame, regs.SP))
        self._floats = cpu.batch((*regs.SINGLES[:16], regs.FPSCR))

    def reset(self, boot_base: int) -> None:
        """Registers of the processor as after reset, PC and SP from the vector table at ``boot_base``."""
        # On silicon VTOR is 0 and the alias there shows the memory that was booted; here the alias is always the flash.
        self.state = SystemState(vtor=boot_base)
        if not self._spec.mainline:
            self.state.ccr |= CCR_UNALIGN_TRP
        self._nvic.reset()
        self.locked_up, self.caught = False, 0
        self._cpu.put(regs.XPSR, XPSR_T)  # thread mode first: a handler cannot change CONTROL.SPSEL
        for register in (regs.CONTROL, *regs.GENERAL, regs.PRIMASK, regs.PSP):
            self._cpu.put(register, 0)
        if self._spec.mainline:
            self._cpu.put(regs.BASEPRI, 0)
            self._cpu.put(regs.FPSCR, 0)
            self._cpu.put(regs.FAULTMASK, 0)
        self._cpu.put(regs.LR, 0xFFFF_FFFF)
        try:
            stack, entry = struct.unpack("<II", self._bus.peek(boot_base, 8))
        except BusFault:
            self._nvic.active.add(HARD_FAULT)
            self.lock_up()
            return
        self._cpu.put(regs.SP, stack & ~3)
        self._jump(entry)

    def _jump(self, address: int) -> None:
        self._cpu.put(regs.PC, address & ~1)
        self.invalid_state = not address & 1

    # priorities

    def masks(self) -> tuple[int, int, int]:
        """PRIMASK, BASEPRI, FAULTMASK."""
        control, primask, *others = self._masks.read()
        if control & _NPRIV:
            names = (regs.PRIMASK, regs.BASEPRI, regs.FAULTMASK) if self._spec.mainline else (regs.PRIMASK,)
            primask, *others = (self._cpu.get(name) for name in names)
        basepri, faultmask = others or (0, 0)
        return primask, basepri & self._nvic.priority_mask, faultmask

    def mask_priority(self) -> int:
        """The priority that PRIMASK, FAULTMASK and BASEPRI give to the running code."""
        primask, basepri, faultmask = self.masks()
        if faultmask:
            return -1
        return 0 if primask else self._group(basepri)

    def waking_priority(self) -> int:
        """What masks the end of WFI: all but PRIMASK (B1.5.19)."""
        _, basepri, faultmask = self.masks()
        return -1 if faultmask else self._group(basepri)

    def _group(self, basepri: int) -> int:
        """Of BASEPRI only the group counts (B1.5.4)."""
        return self._nvic.group(basepri) if basepri else THREAD_PRIORITY

    def _priority(self) -> int:
        return min(self._nvic.running_priority(), self.mask_priority())

    # taking exceptions

    def take_pending(self, only_nmi: bool = False) -> bool:
        """Enter the pending exception that may preempt now, if any; only an NMI ends lockup (B1.5.15)."""
        if not self._nvic.pending:
            return False
        exception = self._nvic.preempting(-1 if only_nmi or self.locked_up else self.mask_priority())
        if exception is None:
            return False
        self.locked_up = False
        self._enter(exception)
        return True

    def call(self) -> None:
        """SVC: taken at once, or a HardFault where it may not be."""
        if self._priority() <= self._nvic.group(self._nvic.priority(SVCALL)):
            self.escalate()
        else:
            self._enter(SVCALL)

    def monitor(self) -> bool:
        """A debug event for the DebugMonitor exception: whether its priority lets it be taken (C1.4.1)."""
        if self._priority() <= self._nvic.group(self._nvic.priority(DEBUG_MONITOR)):
            return False
        self._enter(DEBUG_MONITOR)
        return True

    def fault(self, exception: int, status: int, address: int | None = None) -> None:
        """A fault of the running instruction: CFSR bits and, for a data access, the address for BFAR."""
        if not self._spec.mainline:
            self.escalate()
            return
        self._note(status, address)
        if self._nvic.can_happen(exception) and self._nvic.group(self._nvic.priority(exception)) < self._priority():
            self._enter(exception)
            self.caught |= _catch(exception, status)
        else:
            self.escalate()

    def _note(self, status: int, address: int | None = None) -> None:
        self.state.cfsr |= status
        if address is not None:
            self.state.bfar = address
            self.state.cfsr |= BFARVALID

    def escalate(self, status: int = HFSR_FORCED) -> None:
        """HardFault; lockup when the core already runs at its priority or above."""
        self.state.hfsr |= status
        if self._priority() <= self._nvic.priority(HARD_FAULT):
            self.lock_up()
        else:
            self._enter(HARD_FAULT)

    def lock_up(self) -> None:
        """Stop executing until a reset, an NMI or a debugger (B1.5.15)."""
        self.locked_up, self.locked_up_at = True, self._cpu.get(regs.PC)
        self._cpu.put(regs.PC, _LOCKUP_PC)

    def _enter(self, exception: int, frame_of: int | None = None) -> None:
        """Stack and start the handler; with ``frame_of``, an EXC_RETURN, the frame below SP stays in use."""
        *frame, xpsr, stack, control = self._context.read()
        xpsr = xpsr & ~XPSR_T | (0 if self.invalid_state else XPSR_T)
        thread = not xpsr & XPSR_EXCEPTION
        link, stacked = frame_of or 0, True
        if frame_of is None:
            link = _TO_HANDLER if not thread else _TO_THREAD_PSP if control & _SPSEL else _TO_THREAD_MSP
            if control & _FPCA and self._spec.fpu and self.state.fpccr & FPCCR_ASPEN:
                link &= ~_BASIC_FRAME
            stack, stacked = self._push(frame, xpsr, stack, not link & _BASIC_FRAME)
        if not stacked:
            exception = self._derive(STKERR, exception)
        self._nvic.enter(exception)
        self.caught |= VC_HARDERR if exception == HARD_FAULT else 0
        self._cpu.event = True
        try:
            handler = int.from_bytes(self._bus.peek(self.state.vtor + 4 * exception, 4), "little")
        except BusFault:
            self._no_vector(exception, link)
            return
        if control & ~_NPRIV:
            self._leave_thread(stack, control)
            stack = self._cpu.get(regs.MSP) if thread and control & _SPSEL else stack
        xpsr = xpsr & _XPSR_FLAGS | XPSR_T | exception
        self._entered.write(stack, link, handler & ~1, xpsr, xpsr)
        self.invalid_state = not handler & 1

    def _leave_thread(self, stack: int, control: int) -> None:
        """CONTROL.SPSEL and FPCA are 0 in a handler; the process stack keeps its frame."""
        self._cpu.put(regs.SP, stack)
        self._cpu.put(regs.CONTROL, control & _NPRIV)

    def _push(self, frame: list[int], xpsr: int, stack: int, floats: bool) -> tuple[int, bool]:
        """Write the frame; answers the new stack pointer and whether there was memory for it."""
        size = FRAME.size + (FLOAT_FRAME.size if floats else 0)
        align = floats or bool(self.state.ccr & CCR_STKALIGN)
        place = (stack - size) & (~7 if align else ~3) & 0xFFFF_FFFF
        try:
            memory = self._bus.memory_at(place, size)
        except BusFault:
            memory = None
        if memory is None or memory.store is not None:
            return place, False
        padded = _XPSR_ALIGNED if align and stack & 4 else 0
        FRAME.pack_into(memory.data, place - memory.base, *frame, xpsr | padded)
        if floats:
            self.state.fpcar = place + FRAME.size
            FLOAT_FRAME.pack_into(memory.data, self.state.fpcar - memory.base, *self._floats.read(), 0)
        return place, True

    def _derive(self, status: int, original: int) -> int:
        """A fault of entering ``original`` (B1.5.11); answers what is entered first, the other is left pending."""
        if self._spec.mainline:
            self.state.cfsr |= status
        enabled = self._spec.mainline and self._nvic.can_happen(BUS_FAULT)
        below = enabled and self._nvic.priority(BUS_FAULT) < self._nvic.priority(original)
        self.caught |= _VC_INTERR
        if original in (NMI, HARD_FAULT):
            return original  # goes on without a frame; the return from the handler faults
        if enabled and not below:
            self._nvic.set_pending(BUS_FAULT)
            return original
        self._nvic.set_pending(original)
        if below:
            self.caught |= _VC_BUSERR
            return BUS_FAULT
        self.state.hfsr |= HFSR_FORCED
        return HARD_FAULT

    def _no_vector(self, exception: int, link: int) -> None:
        """The vector cannot be read (B1.5.11): HardFault, or lockup when that was its vector."""
        self.state.hfsr |= HFSR_VECTTBL
        self.caught |= _VC_INTERR
        if exception in (NMI, HARD_FAULT):
            self.lock_up()
        else:
            self._nvic.leave(exception)
            self._enter(HARD_FAULT, frame_of=link)

    # returning

    def return_(self) -> None:
        """The processor branched to an EXC_RETURN value, which is in its PC (bit 0 dropped)."""
        pc, xpsr, control, *stacks = self._leaving.read()
        value, exception = pc | 1, xpsr & XPSR_EXCEPTION
        if not exception:  # in thread mode it is a branch to nowhere
            self.fault(MEM_MANAGE, IACCVIOL)
            return
        nested = len(self._nvic.active) > 1
        known = exception in self._nvic.active
        self._nvic.leave(exception)
        if stacks[2:] == [1] and exception != NMI:
            self._cpu.put(regs.FAULTMASK, 0)
        kinds = [_TO_HANDLER] if nested else [_TO_THREAD_MSP, _TO_THREAD_PSP]
        if self.state.ccr & CCR_NONBASETHRDENA:
            kinds = [_TO_HANDLER, _TO_THREAD_MSP, _TO_THREAD_PSP]
        if not known or value | (_BASIC_FRAME if self._spec.fpu else 0) not in kinds:
            self._fail_return(USAGE_FAULT, INVPC, value)
        else:
            self._pop(value, control, *stacks[:2])
            self._cpu.event = True

    def _fail_return(self, exception: int, status: int, value: int) -> None:
        """A fault of the return itself: its handler finds the frame that was not taken off (B1.5.8)."""
        self.caught |= _VC_INTERR
        if self._spec.mainline:
            self._note(status)
        if self._spec.mainline and self._nvic.can_happen(exception):
            priority = self._nvic.group(self._nvic.priority(exception))
            if priority < self._priority():
                self.caught |= _catch(exception, status)
                self._enter(exception, frame_of=value)
                return
        self.state.hfsr |= HFSR_FORCED
        if self._priority() <= self._nvic.priority(HARD_FAULT):
            self.lock_up()
        else:
            self._enter(HARD_FAULT, frame_of=value)

    def _pop(self, value: int, control: int, msp: int, psp: int) -> None:
        on_psp, floats = value | _BASIC_FRAME == _TO_THREAD_PSP, not value & _BASIC_FRAME
        stack = psp if on_psp else msp
        size = FRAME.size + (FLOAT_FRAME.size if floats else 0)
        try:
            memory = self._bus.memory_at(stack, size)
        except BusFault:
            memory = None
        if memory is None:
            self._fail_return(BUS_FAULT, UNSTKERR, value)
            return
        *frame, xpsr = FRAME.unpack_from(memory.data, stack - memory.base)
        to_thread = value | _BASIC_FRAME != _TO_HANDLER
        if to_thread == bool(xpsr & XPSR_EXCEPTION):
            self._fail_return(USAGE_FAULT, INVPC, value)
            return
        if floats:
            *values, _gap = FLOAT_FRAME.unpack_from(memory.data, stack + FRAME.size - memory.base)
            self._floats.write(*values)
        wanted = (_SPSEL if on_psp else 0) | (_FPCA if floats else 0)
        new_stack = (stack + size) | (4 if xpsr & _XPSR_ALIGNED else 0)
        psr = xpsr & _XPSR_STACKED | XPSR_T
        if control & ~_NPRIV != wanted:
            self._cpu.put(regs.XPSR, psr)
            self._cpu.put(regs.CONTROL, control & _NPRIV | wanted)
        self._resumed.write(psr, psr, *frame[:6], frame[6] & ~1, new_stack & 0xFFFF_FFFF)
        self.invalid_state = not xpsr & XPSR_T

    # debugger's view

    def clear_active(self) -> None:
        """AIRCR.VECTCLRACTIVE: no exception is active any more, and IPSR is 0 (Cortex-M0 TRM DDI 0432, AIRCR)."""
        self._nvic.active.clear()
        self.locked_up = False
        self._cpu.put(regs.XPSR, self._cpu.get(regs.XPSR) & ~XPSR_EXCEPTION)

    def xpsr(self) -> int:
        """xPSR with the T bit as the program sees it."""
        return self._cpu.get(regs.XPSR) & ~XPSR_T | (0 if self.invalid_state else XPSR_T)

    def set_xpsr(self, value: int) -> None:
        """Write xPSR (debugger): T may be cleared, which faults at the next instruction."""
        self._cpu.put(regs.XPSR, value | XPSR_T)
        self.invalid_state = not value & XPSR_T


def _catch(exception: int, status: int) -> int:
    """The bit of DEMCR that catches a fault which was taken as itself."""
    if exception == MEM_MANAGE:
        return _VC_MMERR
    if exception == BUS_FAULT:
        return _VC_BUSERR
    if status & NOCP:
        return _VC_NOCPERR
    return (_VC_CHKERR if status & _CHECKS else 0) | (_VC_STATERR if status & _STATES else 0)
