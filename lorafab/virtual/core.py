"""The core in time: runs the processor in slices up to a moment, takes interrupts, sleeps, halts for a debugger.

A slice is a run of at most ``_SLICE_IRQ`` instructions while interrupts are in use; an instruction counts as one
cycle of HCLK. A slice that ends early is charged an estimate, so simulated time is reproducible but not cycle exact.
"""

from collections.abc import Callable, Iterable

from lorafab.virtual import cpu as regs
from lorafab.virtual.bus import Bus
from lorafab.virtual.clock import NS_PER_S, Clock
from lorafab.virtual.cpu import Cpu, Stop, Why
from lorafab.virtual.exceptions import (
    HFSR_DEBUGEVT,
    IBUSERR,
    INVSTATE,
    PRECISERR,
    UNDEFINSTR,
    XPSR_EXCEPTION,
    Exceptions,
)
from lorafab.virtual.nvic import BUS_FAULT, HARD_FAULT, MEM_MANAGE, NMI, USAGE_FAULT, Nvic, SysTick
from lorafab.virtual.profile import BOOT_ALIAS, FLASH_BASE, FLASH_REG_BASE, FLASH_SIZE

DFSR_HALTED, DFSR_BKPT, DFSR_VCATCH = 1, 2, 8  # Armv7-M ARM, C1.6.1
VC_CORERESET = 1
_VC_OF = {MEM_MANAGE: 1 << 4, BUS_FAULT: 1 << 8, USAGE_FAULT: 0xE0, HARD_FAULT: 1 << 10}  # DEMCR, C1.6.5
_SLICE, _SLICE_IRQ = 4000, 400
_MASKED_STEPS, _GOLDEN = 64, 0x9E37_79B1
_POLLS = 8  # so many equal reads of one register in a row are a polling loop
_SYSTICK_CTRL, _SYSTICK_VAL, _CYCCNT = 0xE000_E010, 0xE000_E018, 0xE000_1004
_TIME_REGISTERS = {_SYSTICK_VAL, _CYCCNT}
# The controller knows when an operation ends. When none is in flight and a bit stays up all the same, time must not
# jump: programs count their looks to give up (CMSIS header: FLASH_SR).
_COUNTED_POLLS = {FLASH_REG_BASE + 0x10}
_PPB = 0xE000_0000


class Core:
    """Processor, exceptions and debug state of one board. Not thread-safe: the board's lock guards it."""

    def __init__(
        self, bus: Bus, clock: Clock, hclk_hz: Callable[[], int], store: Callable[[int, int, int], bool]
    ) -> None:
        """``store`` takes the core's stores to flash and says whether it accepts them."""
        self.bus, self.clock, self._hclk_hz = bus, clock, hclk_hz
        self.cpu = Cpu(self._io_read, self._io_write, store)
        self.nvic = Nvic()
        self.systick = SysTick(clock, hclk_hz, lambda: self.nvic.pending.add(15))
        self.exceptions = Exceptions(self.cpu, bus, self.nvic)
        self.powered = self.in_reset = self.halted = self.sleeping = False
        self.running = False  # inside a slice: time may be moved by what the program polls
        self.debug_enabled = self.mask_interrupts = False
        self.vector_catch = self.dfsr = 0
        self.was_reset = False  # since the debugger last looked
        self.flash_busy_until: Callable[[], int | None] = lambda: None
        self.on_bad_word: Callable[[int], None] = lambda _address: None
        self.settle_flash: Callable[[], None] = lambda: None
        self.boot_base: Callable[[], int] = lambda: BOOT_ALIAS
        self._to_ns = self._masked = self._poll_count = 0
        self._poll_seen = (0, 0)
        self._jumped_out = self._one_by_one = False
        self._deferred: Callable[[], None] | None = None

    # state

    @property
    def stands_still(self) -> bool:
        """No instruction can execute before somebody outside does something."""
        return self.halted or self.in_reset or self.exceptions.locked_up or not self.powered

    def reset(self) -> None:
        """System or core reset: start at the reset vector, or halt there if the debugger catches it."""
        self.sleeping = self.halted = False
        self.was_reset = True
        self.systick.reset()
        self.exceptions.reset(self.boot_base())
        self._poll_count = 0
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
        if not self.halted:
            self.halted, self.sleeping = True, False
            self.exceptions.locked_up = False
            self.dfsr |= why

    def resume(self) -> None:
        """Leave debug state."""
        self.halted = False

    def step(self) -> None:
        """Execute one instruction in debug state, breakpoints aside; WFI does nothing."""
        self.halted = False
        self._take_pending()
        self._execute(1, stepping=True)
        self.sleeping = False
        self.halt(DFSR_HALTED)

    # time

    @property
    def idle(self) -> bool:
        """Nothing will happen before somebody outside does something."""
        return (self.stands_still or self._sleeps_on()) and self.clock.next_ns is None

    def _sleeps_on(self) -> bool:
        """In WFI, and nothing that ends it is pending: BASEPRI keeps the core asleep, PRIMASK does not (B1.5.19)."""
        return self.sleeping and not (self.nvic.pending and self.nvic.waits(self.exceptions.base_priority()))

    def run_until(self, to_ns: int, only_while_busy: bool = False, only_while_running: bool = False) -> None:
        """Let simulated time reach ``to_ns``; the core lives through it.

        ``only_while_running`` stops time early where the core halts, locks up or loses its power;
        ``only_while_busy`` also where it sleeps and nothing is due. So the moment does not depend on ``to_ns``.
        """
        self._to_ns = to_ns
        while self.clock.now_ns < to_ns:
            if (only_while_running and self.stands_still) or (only_while_busy and self.idle):
                return
            if self.stands_still or self._sleeps_on():
                self.clock.advance_to(self._next_event(to_ns))
            else:
                self.sleeping = False
                self._slice()

    def _next_event(self, limit_ns: int) -> int:
        event_ns = self.clock.next_ns
        return limit_ns if event_ns is None else min(limit_ns, event_ns)

    def _slice(self) -> None:
        self._take_pending()
        if self.stands_still:
            return
        busy_until = self.flash_busy_until()
        if busy_until is not None and self.fetches_from_flash():
            self.clock.advance_to(busy_until)  # the fetch waits for the operation in flight
        else:
            self._execute(self._budget())

    def _budget(self) -> int:
        """How many instructions until something has to be looked at."""
        hz = self._hclk_hz()
        count = max((self._next_event(self._to_ns) - self.clock.now_ns) * hz // NS_PER_S, 1)
        if self.nvic.waits():
            # Something is pending and masked. Exceptions are taken between slices only, so a short window between
            # CPSIE and CPSID inside one slice would be missed for ever: look at every instruction, later at few, in
            # steps without a period that could be in tune with the program's loop.
            self._masked += 1
            return 1 if self._masked <= _MASKED_STEPS else min(count, 11 + (self._masked * _GOLDEN >> 16) % 7)
        self._masked = 0
        return min(count, _SLICE_IRQ if self.nvic.enabled or self.systick.running else _SLICE)

    def _execute(self, count: int, stepping: bool = False, finishing: bool = False) -> None:
        if self.exceptions.invalid_state:
            self._fault(Stop(Why.INVALID_STATE))
            self._charge(1)
            return
        self._jumped_out, self._one_by_one = False, stepping or finishing
        self.running = True
        try:
            stop = self.cpu.run(count, stepping, finishing)
        finally:
            self.running = False
        if stop.why is not Why.REFUSED:  # otherwise the store is still about to land
            self.settle_flash()
        early = stop.why is not Why.COUNT or self._jumped_out
        self._charge(min(count, 20 + 8 * self.cpu.io_accesses) if early else count)
        if self._deferred is not None:
            action, self._deferred = self._deferred, None
            action()
        elif self.powered:
            self._handle(stop)

    def _charge(self, cycles: int) -> None:
        self.clock.advance_to(self.clock.now_ns + cycles * NS_PER_S // self._hclk_hz())

    def _handle(self, stop: Stop) -> None:
        if stop.why in (Why.COUNT, Why.WOKEN):
            return
        if stop.why is Why.WFI:
            self.sleeping = True
        elif stop.why is Why.SVC:
            self.exceptions.call()
        elif stop.why is Why.EXCEPTION_RETURN:
            self.exceptions.return_()
        elif stop.why is Why.BREAKPOINT:
            if self.debug_enabled:
                self.halt(DFSR_BKPT)
            else:
                self._execute(1, stepping=True)  # a match without halting debug is ignored (C1.6)
        elif stop.why is Why.BAD_WORD:
            self.on_bad_word(stop.address)
            self._execute(1, finishing=True)
            self.nvic.pending.add(NMI)
        elif stop.why is Why.REFUSED:
            self._execute(1, finishing=True)
        elif stop.why is Why.BKPT and self.debug_enabled:
            self.halt(DFSR_BKPT)
        else:
            self._fault(stop)

    def _fault(self, stop: Stop) -> None:
        pc = self.cpu.get(regs.PC)
        self.exceptions.last_taken = 0
        if stop.why is Why.BKPT:
            self.exceptions.escalate(HFSR_DEBUGEVT)
        elif stop.why is Why.DATA_FAULT:
            kind = "write to" if stop.write else "read of"
            self.bus.complain(f"core: {kind} {stop.address:#010x} at PC {pc:#010x}: {stop.text}")
            self.exceptions.fault(BUS_FAULT, PRECISERR, stop.address)
        elif stop.why is Why.FETCH_FAULT:
            self.bus.complain(f"core: fetch from {stop.address:#010x} (PC {pc:#010x}): {stop.text}")
            self.exceptions.fault(BUS_FAULT, IBUSERR)
        elif stop.why is Why.INVALID_STATE:
            self.bus.complain(f"core: branch to {pc:#010x} without the Thumb bit")
            self.exceptions.fault(USAGE_FAULT, INVSTATE)
        else:
            self.bus.complain(f"core: undefined instruction at PC {pc:#010x}: {stop.text}")
            self.exceptions.fault(USAGE_FAULT, UNDEFINSTR)
        self._after_fault(pc)

    def _after_fault(self, pc: int) -> None:
        caught = _VC_OF.get(self.exceptions.last_taken, 0) & self.vector_catch
        if self.exceptions.locked_up:
            self.bus.complain(f"core: locked up after a fault at PC {pc:#010x} inside a fault handler")
            if self.debug_enabled and self.vector_catch & _VC_OF[HARD_FAULT]:
                self.halt(DFSR_VCATCH)
        elif caught and self.debug_enabled:
            self.halt(DFSR_VCATCH)

    def _take_pending(self) -> None:
        if self.nvic.pending:
            self.exceptions.take_pending(only_nmi=self.mask_interrupts and self.debug_enabled)  # C_MASKINTS: C1.6.2

    def fetches_from_flash(self) -> bool:
        """The program runs from flash or its alias."""
        pc = self.cpu.get(regs.PC)
        return pc < BOOT_ALIAS + FLASH_SIZE or FLASH_BASE <= pc < FLASH_BASE + FLASH_SIZE

    # what the program does to registers

    def poll_jump(self, at_ns: int) -> None:
        """The program polls for something that happens at ``at_ns``: go there, or as far as this run may."""
        if not self.running:
            self.clock.advance_to(at_ns)
        elif not self._one_by_one:  # a single instruction must come to its end
            self.clock.advance_to(min(self._next_event(self._to_ns), at_ns))
            if self.clock.now_ns >= self._to_ns or self.nvic.waits() or not self.powered:
                self._jumped_out, self._poll_count = True, _POLLS - 1  # look once more before the next jump
                self.cpu.stop_polling()

    def _io_read(self, address: int, size: int) -> int:
        if address in _TIME_REGISTERS:
            self._charge(8)  # so that waiting for a counter gets somewhere within a slice
        elif (
            self._poll_count >= _POLLS
            and self._poll_seen[0] == address
            and (address < _PPB or address == _SYSTICK_CTRL)
            and address not in _COUNTED_POLLS
        ):
            self.poll_jump(self._to_ns)
            if self._jumped_out:
                return 0  # this read will be repeated: reading has side effects, which must not happen twice
        value = self.bus.device_read(address, size)
        self._poll_count = self._poll_count + 1 if self._poll_seen == (address, value) else 0
        self._poll_seen = (address, value)
        return value

    def _io_write(self, address: int, size: int, value: int) -> None:
        self._poll_count = 0
        self.bus.device_write(address, size, value)

    # debugger's view

    def set_breakpoints(self, addresses: Iterable[int]) -> None:
        """Halt before these instructions; replaces the earlier set."""
        self.cpu.set_breakpoints(addresses)

    @property
    def exception_number(self) -> int:
        """IPSR."""
        return self.cpu.get(regs.XPSR) & XPSR_EXCEPTION
