"""The core in time: runs the processor in slices up to a moment, takes interrupts, sleeps, halts for a debugger.

A slice is a run of at most ``_SLICE_IRQ`` instructions while interrupts are in use; it ends behind a write that lets
an exception happen. An instruction counts as one cycle of HCLK, an exception entry as 12 or 15 (DDI 0439, 3.9; DDI
0484, 3.6). So simulated time is reproducible but not cycle exact.
"""

from collections.abc import Callable, Iterable

from lorafab.virtual import cpu as regs
from lorafab.virtual.accesses import Accesses
from lorafab.virtual.bus import Bus
from lorafab.virtual.chip import CoreSpec
from lorafab.virtual.clock import NS_PER_S, Clock
from lorafab.virtual.cpu import Cpu, Stop, Why
from lorafab.virtual.debugunit import DebugUnit
from lorafab.virtual.exceptions import (
    DIVBYZERO,
    HFSR_DEBUGEVT,
    IACCVIOL,
    IBUSERR,
    INVSTATE,
    NOCP,
    PRECISERR,
    SCR_SEVONPEND,
    SCR_SLEEPDEEP,
    SCR_SLEEPONEXIT,
    UNALIGNED,
    UNDEFINSTR,
    VC_HARDERR,
    XPSR_EXCEPTION,
    Exceptions,
)
from lorafab.virtual.nvic import BUS_FAULT, MEM_MANAGE, NMI, SYSTICK, USAGE_FAULT, Nvic, SysTick
from lorafab.virtual.scs import SCS_BASE, SystemControl
from lorafab.virtual.surroundings import Surroundings

DFSR_HALTED, DFSR_BKPT, DFSR_DWTTRAP, DFSR_VCATCH = 1, 2, 4, 8  # Armv7-M ARM, C1.6.1
VC_CORERESET = 1
_SLICE, _SLICE_IRQ = 4000, 400
_MASKED_STEPS, _GOLDEN = 64, 0x9E37_79B1
_ENTRY_CYCLES, _ENTRY_CYCLES_V6M = 12, 15
_EXECUTE_NEVER = ((0x4000_0000, 0x6000_0000), (0xA000_0000, 1 << 32))  # B3.1
_UNFINISHED = {Why.BAD_WORD, Why.WATCH, Why.WATCH_FETCH, Why.REFUSED, Why.WROTE}
_FAULTS = {
    Why.INVALID_STATE: (INVSTATE, "branch to {0:#010x} without the Thumb bit"),
    Why.UNALIGNED: (UNALIGNED, "access to {1:#010x} at PC {0:#010x} is not aligned"),
    Why.DIVIDE_BY_ZERO: (DIVBYZERO, "division by zero at PC {0:#010x}"),
    Why.NO_COPROCESSOR: (NOCP, "floating-point instruction at PC {0:#010x}, but there is no FPU or it is off (CPACR)"),
    Why.UNDEFINED: (UNDEFINSTR, "undefined instruction at PC {0:#010x}: {2}"),
}


class Core:
    """Processor, exceptions and debug state of one board. Not thread-safe: the board's lock guards it."""

    def __init__(self, bus: Bus, clock: Clock, spec: CoreSpec, around: Surroundings, rom: tuple[int, int]) -> None:
        """``rom`` is base and peripheral id of the chip's ROM table."""
        self.bus, self.clock, self.spec, self.around = bus, clock, spec, around
        self._accesses = Accesses(self)
        self.cpu = Cpu(self._accesses.read, self._accesses.write, around.store_from_core, spec.model)
        self.nvic = Nvic(spec.irqs, spec.priority_bits)
        self.systick = SysTick(clock, around.hclk_hz, lambda: self.nvic.set_pending(SYSTICK))
        self.exceptions = Exceptions(self.cpu, bus, self.nvic, spec)
        self.powered = self.in_reset = self.halted = self.sleeping = False
        self.running = False  # inside a slice: time may be moved by what the program polls
        self._resets = 0
        self.hung = False  # the program spins for ever without a trace (fault plan); a halt or a reset ends it
        self.instructions = 0  # executed since the board was opened
        self.cycles = 0  # of a core that neither sleeps nor is halted
        self._entry_cycles = _ENTRY_CYCLES if spec.mainline else _ENTRY_CYCLES_V6M
        self._awaited: tuple[int, Callable[[int], None]] | None = None
        self.debug_enabled = self.mask_interrupts = self.monitor_enabled = False
        self.vector_catch = self.dfsr = 0
        self.was_reset = False  # since the debugger last looked
        self.on_debugger_poll: Callable[[], None] = lambda: None  # a debugger asks a running core for its state
        self.one_by_one = False  # a single instruction is executed, which no jump of time may cut short
        self.masked = 0  # since something is pending and masked
        self._to_ns = self._fraction = 0
        self._wfe = False
        self._deferred: Callable[[], None] | None = None
        self.debug = DebugUnit(self)
        self.scs = SystemControl(self, self.debug)
        bus.add_device(SCS_BASE, 0x1000, self.scs)
        self.debug.attach(bus, rom)

    # state

    @property
    def stands_still(self) -> bool:
        """No instruction can execute before somebody outside does something."""
        return self.halted or self.in_reset or self.hung or not self.powered or self._locked_up

    @property
    def _locked_up(self) -> bool:
        """In lockup, and no NMI is about to end it."""
        nmi = NMI in self.nvic.pending and NMI not in self.nvic.active
        return self.exceptions.locked_up and not nmi

    def power_on(self) -> None:
        """The supply comes; :meth:`system_reset` follows."""
        self.debug.power_on()
        self.powered = True

    def power_off(self) -> None:
        """The supply goes; within a slice this is its end."""
        self.powered = False
        if self.running:
            self.cpu.stop_now()

    def system_reset(self) -> None:
        """Reset of everything, hence of the core, too; ``in_reset`` says whether it lasts."""
        self.reset()

    def reset(self) -> None:
        """System or core reset: start at the reset vector, or halt there if the debugger catches it."""
        self.resume()
        self.sleeping = self.hung = False
        self._resets += 1
        self.was_reset = True
        self.systick.reset()
        self.exceptions.reset(self.around.boot_base())
        self.scs.reset()
        self._accesses.reset()
        if self.debug_enabled and self.vector_catch & VC_CORERESET:
            self.halt(DFSR_VCATCH)

    def when_stopped(self, action: Callable[[], None]) -> None:
        """Do something that replaces the processor's state; within a slice this ends the slice first."""
        if self.running:
            self._deferred = action
            self.cpu.stop_now()
        else:
            action()

    def halt(self, why: int) -> None:
        """Enter debug state; ``why`` is a bit of DFSR. A locked-up core leaves lockup (its PC stays)."""
        if self.sleeping:
            self._wake()
        if not self.halted:
            self.halted, self.hung = True, False
            self.exceptions.locked_up = False
            self.systick.hold("debug", True)
            self.around.core_halted(True)
        self.dfsr |= why

    def lock_up(self) -> None:
        """Enter lockup, as a fault in a HardFault handler does."""
        self.when_stopped(self.exceptions.lock_up)

    def hang(self) -> None:
        """Let the program spin without doing anything."""
        self.hung = True
        if self.running:
            self.cpu.stop_now()

    def await_instruction(self, number: int, reached: Callable[[int], None]) -> None:
        """Call ``reached(instructions)`` when that many have been executed; replaces an earlier request."""
        self._awaited = (number, reached)

    def resume(self) -> None:
        """Leave debug state."""
        if self.halted:
            self.halted = False
            self.systick.hold("debug", False)
            self.around.core_halted(False)

    def step(self) -> None:
        """Leave debug state for one instruction, or for the entry of a pending exception (C1.5.4).

        A breakpoint on the instruction halts before it; WFI and WFE do nothing.
        """
        self.resume()
        why = DFSR_HALTED
        if not self._take_pending():
            if self.cpu.breakpoint_at(self.cpu.get(regs.PC)):
                why |= DFSR_BKPT
            else:
                self._execute(1, one=True)
        self.halt(why)

    # time

    @property
    def idle(self) -> bool:
        """Nothing will happen before somebody outside does something."""
        return (self.stands_still or self._sleeps_on()) and self.clock.next_ns is None

    def run_until(self, to_ns: int, only_while_busy: bool = False, only_while_running: bool = False) -> None:
        """Let simulated time reach ``to_ns``; the core lives through it.

        ``only_while_running`` stops time early where the core halts, locks up or loses its power;
        ``only_while_busy`` also where it sleeps and nothing is due. So the moment does not depend on ``to_ns``.
        """
        self._to_ns = to_ns
        while self.clock.now_ns < to_ns:
            stands = self.stands_still
            if (only_while_running and stands) or (only_while_busy and self.idle):
                return
            if stands or (self.sleeping and self._sleeps_on()):
                self.clock.advance_to(self._next_event(to_ns))
                continue
            if self.sleeping:
                self._wake()
                if self.stands_still:
                    continue
            self._slice()

    def _next_event(self, limit_ns: int) -> int:
        event_ns = self.clock.next_ns
        return limit_ns if event_ns is None or event_ns > limit_ns else event_ns

    def _slice(self) -> None:
        if self.nvic.pending:
            self._take_pending()
            if self.stands_still:
                return
        stalled_until = self.around.fetch_stalls_until()
        if stalled_until is not None:
            self.live_until(stalled_until)
        else:
            self._execute(self._budget())

    def _budget(self) -> int:
        """How many instructions until something has to be looked at."""
        hz = self.around.hclk_hz()
        count = max((self._next_event(self._to_ns) - self.clock.now_ns) * hz // NS_PER_S, 1)
        if self._awaited is not None:
            count = min(count, max(self._awaited[0] - self.instructions, 1))
        if self.nvic.pending and self.nvic.waits():
            # Something is pending and masked. Exceptions are taken between slices only, so a short window between
            # CPSIE and CPSID inside one slice would be missed for ever: look at every instruction, later at few, in
            # steps without a period that could be in tune with the program's loop.
            self.masked += 1
            return 1 if self.masked <= _MASKED_STEPS else min(count, 11 + (self.masked * _GOLDEN >> 16) % 7)
        self.masked = 0
        return min(count, _SLICE_IRQ if self.nvic.enabled or self.systick.running else _SLICE)

    def _execute(self, count: int, one: bool = False) -> None:
        """Run instructions, finish what was stopped at half-way, and see to why they ended."""
        if self.exceptions.invalid_state:
            self._charge(1)
            self._handle(Stop(Why.INVALID_STATE))
            return
        stop = self._launch((lambda: self.cpu.step()) if one else (lambda: self.cpu.run(count)), one)
        executed = self.cpu.executed
        hits: list[Stop] = []
        if stop.why in _UNFINISHED:
            stop = self._finish(stop, hits)
            executed += self.cpu.executed
        self.around.settle()
        self.instructions += executed
        resets = self._resets
        self._charge(executed or 1)
        if self._awaited is not None and self.instructions >= self._awaited[0]:
            (_, reached), self._awaited = self._awaited, None
            reached(self.instructions)
        if self._deferred is not None:
            action, self._deferred = self._deferred, None
            action()
        elif self.powered and resets == self._resets:  # otherwise a watchdog bit meanwhile: that stop is history
            self._handle(stop)
            if hits:
                self._watched(hits)

    def _launch(self, go: Callable[[], Stop], one: bool) -> Stop:
        self.one_by_one = one
        self._accesses.begin()
        self.running = True
        try:
            return go()
        finally:
            self.running = False

    def _finish(self, stop: Stop, hits: list[Stop]) -> Stop:
        """Execute the rest of the instruction that was stopped at; ``hits`` gets the watched accesses."""
        passing: set[Why] = set()
        while stop.why in _UNFINISHED and self._deferred is None and self.powered:
            passing.add(stop.why)
            if stop.why is Why.BAD_WORD:
                self.around.bad_word(stop.address)
                self.nvic.set_pending(NMI)
            elif stop.why in (Why.WATCH, Why.WATCH_FETCH):
                hits.append(stop)
            stop = self._launch(lambda: self.cpu.step(frozenset(passing)), one=True)
        return stop

    def _charge(self, cycles: int) -> None:
        """Let so many cycles of the core pass."""
        self.cycles += cycles
        ns, self._fraction = divmod(cycles * NS_PER_S + self._fraction, self.around.hclk_hz())
        self.clock.advance_to(self.clock.now_ns + ns)

    def live_until(self, at_ns: int) -> None:
        """Time passes while the core is awake and waits."""
        before_ns = self.clock.now_ns
        self.clock.advance_to(at_ns)
        self.cycles += (self.clock.now_ns - before_ns) * self.around.hclk_hz() // NS_PER_S

    # why instructions ended

    def _handle(self, stop: Stop) -> None:
        why = stop.why
        if why in (Why.COUNT, Why.EARLY):
            return
        if why in (Why.WFI, Why.WFE):
            self._sleep(why is Why.WFE)
            return
        if why is Why.SVC:
            self._charge(self._entry_cycles)
            self.exceptions.call()
        elif why is Why.EXCEPTION_RETURN:
            self.exceptions.return_()
        elif why is Why.BREAKPOINT:
            if not self._debug_event(DFSR_BKPT):
                self._execute(1, one=True)  # a match that nobody wants is ignored (C1.6)
        elif why is not Why.BKPT:
            self._fault(stop)
        elif not self._debug_event(DFSR_BKPT):
            self.exceptions.escalate(HFSR_DEBUGEVT)
        if self.exceptions.caught or self.exceptions.locked_up:
            self._catch()
        if why is Why.EXCEPTION_RETURN and self.exceptions.state.scr & SCR_SLEEPONEXIT and not self.nvic.active:
            self._sleep(wfe=False)

    def _debug_event(self, why: int) -> bool:
        """Halt, or take the DebugMonitor exception (C1.4.1); False when neither is enabled."""
        if self.debug_enabled:
            self.halt(why)
            return True
        if self.monitor_enabled and self.exceptions.monitor():
            self.dfsr |= why
            return True
        return False

    def _fault(self, stop: Stop) -> None:
        self._charge(self._entry_cycles)
        pc = self.cpu.get(regs.PC)
        if stop.why is Why.DATA_FAULT:
            kind = "write to" if stop.write else "read of"
            self.around.complain(f"core: {kind} {stop.address:#010x} at PC {pc:#010x}: {stop.text}")
            self.exceptions.fault(BUS_FAULT, PRECISERR, stop.address)
        elif stop.why is Why.FETCH_FAULT:
            self.around.complain(f"core: fetch from {stop.address:#010x} (PC {pc:#010x}): {stop.text}")
            if any(first <= stop.address < end for first, end in _EXECUTE_NEVER):
                self.exceptions.fault(MEM_MANAGE, IACCVIOL)
            else:
                self.exceptions.fault(BUS_FAULT, IBUSERR)
        else:
            status, sentence = _FAULTS[stop.why]
            self.around.complain("core: " + sentence.format(pc, stop.address, stop.text))
            self.exceptions.fault(USAGE_FAULT, status)

    def _catch(self) -> None:
        """Vector catch (C1.6.5), and lockup."""
        caught, self.exceptions.caught = self.exceptions.caught & self.vector_catch, 0
        if self.exceptions.locked_up:
            at = self.exceptions.locked_up_at
            self.around.complain(f"core: locked up after a fault at PC {at:#010x} inside a fault handler")
            caught |= self.vector_catch & VC_HARDERR
        if caught and self.debug_enabled:
            self.halt(DFSR_VCATCH)

    def _watched(self, hits: list[Stop]) -> None:
        for hit in hits:
            self.debug.dwt.matched(hit)
        self._debug_event(DFSR_DWTTRAP)

    def _take_pending(self) -> bool:
        if not self.nvic.pending:
            return False
        self.nvic.news = False
        masked = self.mask_interrupts and self.debug_enabled  # C_MASKINTS: C1.6.2
        taken = self.exceptions.take_pending(only_nmi=masked)
        if taken:
            self._charge(self._entry_cycles)
            if self.exceptions.caught:
                self._catch()
        return taken

    # sleep

    def _sleep(self, wfe: bool) -> None:
        """WFI, WFE, or a return with SLEEPONEXIT; not with something pending, nor in a step (B1.5.18, B1.5.19)."""
        if self.one_by_one or self.halted:
            return
        self._wfe = wfe
        self.sleeping = True
        if self._sleeps_on():
            self.around.core_sleeps(bool(self.exceptions.state.scr & SCR_SLEEPDEEP))
        else:
            self.sleeping = False
            self.cpu.event = self.cpu.event and not wfe

    def _sleeps_on(self) -> bool:
        """Asleep, and nothing that ends it is there: BASEPRI keeps the core asleep, PRIMASK only in WFE."""
        if not self.sleeping:
            return False
        if self.nvic.became_pending:
            self.nvic.became_pending = False
            if self.exceptions.state.scr & SCR_SEVONPEND:
                self.cpu.event = True
        if self._wfe and self.cpu.event:
            return False
        if not self.nvic.pending:
            return True
        return not self.nvic.waits(self.exceptions.mask_priority() if self._wfe else self.exceptions.waking_priority())

    def _wake(self) -> None:
        self.sleeping = False
        if self._wfe:
            self.cpu.event = False
        self.around.core_wakes()

    # what the program does to registers

    def fetch_stalls(self) -> bool:
        """The next instruction waits for an operation of the flash."""
        return self.around.fetch_stalls_until() is not None

    def poll_jump(self, at_ns: int) -> None:
        """The program polls for something that happens at ``at_ns``: go there, or as far as this run may."""
        if not self.running:
            self.clock.advance_to(at_ns)
        elif not self.one_by_one:  # a single instruction must come to its end
            self.live_until(min(self._next_event(self._to_ns), at_ns))
            if self.clock.now_ns >= self._to_ns or self.nvic.waits() or not self.powered:
                self._accesses.jumped_out()
                self.cpu.stop_polling()

    def poll_on(self) -> None:
        """The program polls for something that nobody knows the time of."""
        self.poll_jump(self._to_ns)

    # debugger's view

    def set_breakpoints(self, addresses: Iterable[int]) -> None:
        """Halt before these instructions; replaces the earlier set."""
        self.cpu.set_breakpoints(addresses)

    @property
    def exception_number(self) -> int:
        """IPSR."""
        return self.cpu.get(regs.XPSR) & XPSR_EXCEPTION
