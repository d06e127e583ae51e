"""Which exception comes next: pending, enabled and active exceptions and their priorities; and SysTick.

Exceptions are numbered as in the vector table (Armv7-M ARM DDI 0403, B1.5.2; Armv6-M ARM DDI 0419, B1.5.2); external
interrupt n is 16 + n.
"""

from collections.abc import Callable

from lorafab.virtual.clock import NS_PER_S, Clock, Event

NMI, HARD_FAULT, MEM_MANAGE, BUS_FAULT, USAGE_FAULT = 2, 3, 4, 5, 6
SVCALL, DEBUG_MONITOR, PENDSV, SYSTICK = 11, 12, 14, 15
FIRST_IRQ = 16
THREAD_PRIORITY = 256  # lower than any exception
_ALWAYS = {NMI, HARD_FAULT, SVCALL, DEBUG_MONITOR, PENDSV, SYSTICK}


class Nvic:
    """State and rules of the interrupt controller."""

    def __init__(self, irqs: int, priority_bits: int) -> None:
        self.irqs = irqs
        self.priority_mask = 0xFF << (8 - priority_bits) & 0xFF
        self.lines = 0  # levels of the interrupt wires; they belong to the peripherals, so a core reset keeps them
        self.news = False  # something may happen that could not happen before: the core has to look
        self.became_pending = False  # for SCR.SEVONPEND
        self.reset()

    def reset(self) -> None:
        """State after reset."""
        self.enabled = 0  # one bit an external interrupt
        self.pending: set[int] = set()
        self.active: set[int] = set()
        self.fault_enables = 0  # SHCSR bits 18:16
        self.priority_group = 0  # AIRCR.PRIGROUP
        self.priorities = bytearray(FIRST_IRQ + self.irqs)
        self.news = self.became_pending = False

    def set_priority(self, exception: int, value: int) -> None:
        """Set a configurable priority (0 to 255; the low bits are not there)."""
        if 4 <= exception < FIRST_IRQ + self.irqs:
            self.priorities[exception] = value & self.priority_mask
            self.news = True

    def set_line(self, irq: int, level: bool) -> None:
        """A peripheral drives its interrupt wire; a high level makes the interrupt pending."""
        if level:
            if not self.lines >> irq & 1:
                self.lines |= 1 << irq
                self.set_pending(FIRST_IRQ + irq)
        else:
            self.lines &= ~(1 << irq)

    def set_pending(self, exception: int) -> None:
        """Make an exception pending."""
        if exception not in self.pending:
            self.pending.add(exception)
            self.news = self.became_pending = True

    def can_happen(self, exception: int) -> bool:
        """Enabled, as far as it can be disabled."""
        if exception >= FIRST_IRQ:
            return bool(self.enabled >> (exception - FIRST_IRQ) & 1)
        return exception in _ALWAYS or bool(self.fault_enables >> (exception - MEM_MANAGE + 16) & 1)

    def priority(self, exception: int) -> int:
        """-2 for NMI, -1 for HardFault, else 0 to 255."""
        if exception in (NMI, HARD_FAULT):
            return exception - 4
        return self.priorities[exception]

    def group(self, priority: int) -> int:
        """The part of a priority that decides about preemption."""
        return priority if priority < 0 else priority & 0xFF << (self.priority_group + 1) & 0xFF

    def running_priority(self) -> int:
        """Of the active exceptions alone, without the mask registers."""
        return min((self.group(self.priority(n)) for n in self.active), default=THREAD_PRIORITY)

    def best_pending(self) -> tuple[int, int] | None:
        """(priority, number) of the pending exception that goes first, or None."""
        return min(((self.priority(n), n) for n in self.pending if self.can_happen(n)), default=None)

    def preempting(self, mask_priority: int) -> int | None:
        """The exception to take now; ``mask_priority`` is what PRIMASK, FAULTMASK and BASEPRI allow at most."""
        best = self.best_pending()
        if best is None or self.group(best[0]) >= min(self.running_priority(), mask_priority):
            return None
        return best[1]

    def waits(self, mask_priority: int = THREAD_PRIORITY) -> bool:
        """Something pending would preempt, were it not for mask registers other than ``mask_priority`` stands for."""
        return bool(self.pending) and self.preempting(mask_priority) is not None

    def enter(self, exception: int) -> None:
        """The core takes the exception."""
        self.pending.discard(exception)
        self.active.add(exception)

    def leave(self, exception: int) -> None:
        """The core returns from it; a wire that is still high pends it again."""
        self.active.discard(exception)
        if exception >= FIRST_IRQ and self.lines >> (exception - FIRST_IRQ) & 1:
            self.set_pending(exception)

    # register views: 32 interrupts a word

    def enable_bits(self, word: int) -> int:
        """ISER/ICER ``word``."""
        return self.enabled >> 32 * word & 0xFFFF_FFFF

    def enable(self, word: int, bits: int, on: bool) -> None:
        """Write ISER or ICER."""
        mask = bits << 32 * word & (1 << self.irqs) - 1
        self.enabled = self.enabled | mask if on else self.enabled & ~mask
        self.news = True

    def pending_bits(self, word: int) -> int:
        """ISPR/ICPR ``word``."""
        return _bits(self.pending, word)

    def pend(self, word: int, bits: int, on: bool) -> None:
        """Write ISPR or ICPR; a wire that is high pends again at once."""
        for irq in range(32 * word, min(32 * word + 32, self.irqs)):
            if bits >> (irq - 32 * word) & 1:
                if on or self.lines >> irq & 1:
                    self.set_pending(FIRST_IRQ + irq)
                else:
                    self.pending.discard(FIRST_IRQ + irq)

    def active_bits(self, word: int) -> int:
        """IABR ``word``."""
        return _bits(self.active, word)


def _bits(exceptions: set[int], word: int) -> int:
    return sum(1 << n - FIRST_IRQ for n in exceptions if n >= FIRST_IRQ) >> 32 * word & 0xFFFF_FFFF


class SysTick:
    """The core's own timer (B3.3): counts down from LOAD, pends SysTick when it reaches zero."""

    _ENABLE, _TICKINT, _CLKSOURCE, _COUNTFLAG = 1, 2, 4, 1 << 16

    def __init__(self, clock: Clock, hclk_hz: Callable[[], int], pend: Callable[[], None]) -> None:
        self._clock, self._hclk_hz, self._pend = clock, hclk_hz, pend
        self._event: Event | None = None
        self._holds: set[str] = set()
        self.reset()

    def reset(self) -> None:
        """Stopped, everything zero."""
        self._control = self._load = self._value = 0
        self._since_ns, self._hz = self._clock.now_ns, 1
        self._schedule()

    @property
    def running(self) -> bool:
        """The counter counts."""
        return self._event is not None

    def hold(self, why: str, on: bool) -> None:
        """Let its clock stand still for a reason, or no more: in the chip's deep sleep, in debug state (B3.3.1)."""
        if on != (why in self._holds):
            self._value = self._current()
            (self._holds.add if on else self._holds.discard)(why)
            self._schedule()

    def clock_changed(self) -> None:
        """HCLK is another: what was counted so far counts, the rest goes at the new rate."""
        self._value = self._current()
        self._schedule()

    def _current(self) -> int:
        if self._event is None:
            return self._value
        counted = (self._clock.now_ns - self._since_ns) * self._hz // NS_PER_S
        if self._value == 0:
            return self._load + 1 - counted if counted else 0
        return max(self._value - counted, 0)

    def _schedule(self) -> None:
        """Next time that the counter reaches zero, from ``_value`` now."""
        if self._event is not None:
            self._event.cancel()
            self._event = None
        self._since_ns = self._clock.now_ns
        if self._control & self._ENABLE and self._load and not self._holds:
            self._hz = max(self._hclk_hz() // (1 if self._control & self._CLKSOURCE else 8), 1)
            cycles = self._value or self._load + 1
            self._event = self._clock.at(self._since_ns + -(-cycles * NS_PER_S // self._hz), self._zero)

    def _zero(self) -> None:
        self._value = 0
        self._control |= self._COUNTFLAG
        if self._control & self._TICKINT:
            self._pend()
        self._schedule()

    def read(self, offset: int) -> int:
        """CTRL 0, LOAD 4, VAL 8, CALIB 12; reading CTRL clears COUNTFLAG."""
        if offset == 0:
            control, self._control = self._control, self._control & ~self._COUNTFLAG
            return control
        return {4: self._load, 8: self._current()}.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Write a register; any write to VAL clears it."""
        if offset == 0:
            self._value = self._current()
            self._control = self._control & self._COUNTFLAG | value & 7
        elif offset == 4:
            self._value = self._current()
            self._load = value & 0xFF_FFFF
        elif offset == 8:
            self._value = 0
            self._control &= ~self._COUNTFLAG
        self._schedule()
