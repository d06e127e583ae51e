"""The emulated processor: executes instructions and says why it stopped.

It knows nothing of exceptions, time or debugging. Only this module, ``engine`` and ``sites`` know unicorn, and these
are the ways of unicorn 2.1.4 that shape this one:

* A refused access ends the run exactly before its instruction. Within an IT block a refused store lets the block come
  to its end: what it did to registers is undone here; other stores of the block happen twice. While something is
  watched, IT blocks are gone through by hand instead, as they are when there is something else to stop at inside.
* Everything else that stops from within an IT block is undone by unicorn, which takes the block for one instruction.
* WFI, SEV, divisions and floating point leave no trace. Each block is looked at when it is translated, and the
  instructions that matter get a hook.

Limits: no check of alignment for LDM, STM, LDRD and STRD unless all unaligned accesses trap; the Cortex-M0 model has
no unprivileged mode; exclusive accesses compare values instead of watching the bus; what code that was loaded by the
program itself does is looked at like any other, but a hook outlives the instruction it was made for until then.
"""

import mmap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from unicorn import unicorn_const
from unicorn.unicorn_const import (
    UC_HOOK_CODE,
    UC_HOOK_INTR,
    UC_HOOK_MEM_FETCH_UNMAPPED,
    UC_HOOK_MEM_READ,
    UC_HOOK_MEM_READ_UNMAPPED,
    UC_HOOK_MEM_WRITE,
    UC_HOOK_MEM_WRITE_UNMAPPED,
)

from lorafab.virtual import thumb
from lorafab.virtual.bus import BusFault
from lorafab.virtual.engine import (
    BASEPRI,
    CONTROL,
    FAULTMASK,
    FLAGS,
    FPSCR,
    GENERAL,
    LR,
    MSP,
    PAGE,
    PC,
    PRIMASK,
    PSP,
    PSR,
    R0,
    R1,
    R2,
    R3,
    R12,
    SINGLES,
    SP,
    XPSR,
    Engine,
    Memory,
)
from lorafab.virtual.sites import Sites
from lorafab.virtual.stops import COUNT, EARLY, REPEATED, Span, Stop, Why
from lorafab.virtual.thumb import Kind

__all__ = [
    "BASEPRI", "CONTROL", "FAULTMASK", "FLAGS", "FPSCR", "GENERAL", "LR", "MSP", "PC", "PRIMASK", "PSP", "PSR", "R0",
    "R1", "R2", "R3", "R12", "SINGLES", "SP", "XPSR", "Cpu", "Span", "Stop", "Why",
]  # fmt: skip

_THUMB = 1 << 24
_NOWHERE = 0xF000_0001
_MANY_HOOKS = 64
_MASK = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFF_FFFF, 8: 0xFFFF_FFFF_FFFF_FFFF}
_COMPLETED = {Why.COUNT, Why.EARLY, Why.WFI, Why.WFE, Why.SVC, Why.EXCEPTION_RETURN}


_NOTHING: frozenset[Why] = frozenset()
# numbers that unicorn hands to interrupt hooks (QEMU, target/arm/cpu.h, EXCP_*)
_INTERRUPTS = {
    2: Why.SVC,
    3: Why.FETCH_FAULT,
    4: Why.UNALIGNED,
    7: Why.BKPT,
    8: Why.EXCEPTION_RETURN,
    17: Why.NO_COPROCESSOR,
    18: Why.INVALID_STATE,
}


class Cpu:
    """One processor. ``read`` and ``write`` answer for registers, ``store`` takes writes to read-only memory.

    ``read`` and ``write`` may raise BusFault, which stops the processor before the instruction has happened;
    ``write`` says whether somebody has to look (Why.WROTE), ``store`` whether the memory takes the write.
    """

    def __init__(
        self,
        read: Callable[[int, int], int],
        write: Callable[[int, int, int], bool],
        store: Callable[[int, int, int], bool],
        model: str,
    ) -> None:
        """``model`` is the name of the emulator's model, such as ``CORTEX_M4``."""
        self._read, self._write, self._store = read, write, store
        self._engine = Engine(model, self._ask_register, self._ask_memory)
        self.get, self.put, self.batch = self._engine.get, self._engine.put, self._engine.batch
        self._where = self.batch((PC, PSR))
        self._all_read = self.batch((*GENERAL, SP, LR, PC, PSR))
        self._all_written = self.batch((*GENERAL, SP, LR, PC, XPSR, FLAGS))
        self._stop: Stop | None = None
        self._before: list[int] | None = None  # registers as they were before a store that was refused in an IT block
        self._passing = _NOTHING
        self._breakpoints: dict[int, int] = {}
        self._fetch_hooks: list[int] = []
        self._fetch_watches: tuple[Span, ...] = ()
        self._bad_words: tuple[Span, ...] = ()
        self._watches: tuple[Span, ...] = ()
        self._spans: tuple[Span, ...] = ()
        self._slow: int | None = None  # the hook that keeps unicorn off its fast path
        self._sites = Sites(self._engine, model != "CORTEX_M0", self._leave_with, self._stops_at)
        self._done: list[tuple[int, int]] = []  # registers that the unfinished instruction has written
        self._stepping = False
        self._postponed: list[Callable[[], None]] = []
        self._stale: dict[int, tuple[int, int]] = {}  # by memory (16 MiB each): span changed since the last run
        self._trap_unaligned = False
        self.executed = 0  # instructions of the last run
        self._engine.hook(UC_HOOK_INTR, self._on_interrupt)
        unmapped = UC_HOOK_MEM_READ_UNMAPPED | UC_HOOK_MEM_WRITE_UNMAPPED | UC_HOOK_MEM_FETCH_UNMAPPED
        self._engine.hook(unmapped, self._on_unmapped)

    # memory

    def map(self, base: int, buffer: mmap.mmap, writable: bool) -> None:
        """Show ``buffer`` at ``base``; it stays shared with the caller, who must not resize it."""
        self._engine.map(base, buffer, writable)

    def forbid(self, base: int, forbidden: bool) -> None:
        """Close the memory at ``base`` to the program, or open it again."""
        memory = self._engine.memory_at(base)
        if memory is not None and memory.forbidden != forbidden:
            memory.forbidden = forbidden
            self._between_runs(self._protect)

    def forget_code(self, start: int, size: int) -> None:
        """Memory was changed from outside: translated code of the span is stale (thrown away before the next run)."""
        known = self._stale.get(start >> 24)
        if known is None:
            self._stale[start >> 24] = (start, start + size)
        elif start < known[0] or start + size > known[1]:
            self._stale[start >> 24] = (min(known[0], start), max(known[1], start + size))

    # what to stop at

    def set_breakpoints(self, addresses: Iterable[int]) -> None:
        """Stop before the instructions at ``addresses``; replaces the earlier set."""
        wanted = tuple(addresses)
        self._between_runs(lambda: self._hook_breakpoints(wanted))

    def _hook_breakpoints(self, addresses: tuple[int, ...]) -> None:
        self._unhook(self._breakpoints.values())
        hook = self._engine.hook
        self._breakpoints = {a: hook(UC_HOOK_CODE, self._on_breakpoint, a, a) for a in addresses}
        self._forget_all()

    @property
    def event(self) -> bool:
        """The event register of WFE and SEV."""
        return self._sites.event

    @event.setter
    def event(self, event: bool) -> None:
        self._sites.event = event

    def _stops_at(self, address: int) -> bool:
        """There is a breakpoint or a watch on this instruction."""
        return address in self._breakpoints or any(s.first <= address <= s.last for s in self._fetch_watches)

    def breakpoint_at(self, address: int) -> bool:
        """A breakpoint is set there."""
        return address in self._breakpoints

    def watch_words(self, addresses: set[int]) -> None:
        """Stop before reading or executing one of these 8-byte words; replaces the earlier set."""
        runs: list[tuple[int, int]] = []  # neighbours together: a cut mass erase leaves tens of thousands
        for address in sorted(addresses):
            first = runs.pop()[0] if runs and runs[-1][1] + 1 == address else address
            runs.append((first, address + 7))
        words = tuple(Span(first, last, True, False, Why.BAD_WORD) for first, last in runs)
        if words != self._bad_words:
            self._bad_words = words
            self._between_runs(self._watch)

    def watch(self, data: Iterable[Span], fetches: Iterable[Span]) -> None:
        """Stop before accesses to ``data``, and before instructions at ``fetches``; replaces the earlier ones."""
        wanted = tuple(data), tuple(fetches)
        if wanted != (self._watches, self._fetch_watches):
            self._watches, self._fetch_watches = wanted
            self._between_runs(self._watch)

    def _watch(self) -> None:
        self._spans = self._bad_words + self._watches
        self._unhook(self._fetch_hooks)
        spans = [(s.first, s.last) for s in self._bad_words + self._fetch_watches]
        if len(spans) > _MANY_HOOKS:
            regions: dict[int, list[int]] = {}  # one span for each memory, of 16 MiB at most
            for first, last in spans:
                regions.setdefault(first >> 24, []).extend((first, last))
            spans = [(min(region), max(region)) for region in regions.values()]
        hook = self._engine.hook
        self._fetch_hooks = [hook(UC_HOOK_CODE, self._on_watched_code, max(a - 2, 0), b) for a, b in spans]
        self._protect()

    def trap(self, *, floating_point: bool, divide_by_zero: bool, unaligned: bool) -> None:
        """Which instructions are errors: of the FPU, divisions by zero, accesses that are not aligned."""
        wanted = floating_point, divide_by_zero, unaligned
        if wanted != (self._sites.float_off, self._sites.trap_divide, self._trap_unaligned):
            self._sites.float_off, self._sites.trap_divide, self._trap_unaligned = wanted
            self._between_runs(self._protect)

    def _protect(self) -> None:
        """Have unicorn ask about what is watched: protected pages, and nothing on the fast path."""
        self._sites.by_hand = self._by_hand
        if self._by_hand and self._slow is None:
            self._slow = self._engine.hook(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, _unused, _NOWHERE, _NOWHERE)
        elif not self._by_hand and self._slow is not None:
            self._unhook([self._slow])
            self._slow = None
        for memory in self._engine.memories:
            self._engine.protect(memory, self._watched_pages(memory))
        self._forget_all()

    @property
    def _by_hand(self) -> bool:
        """Any access may have to be stopped at."""
        return bool(self._spans) or self._trap_unaligned

    def _watched_pages(self, memory: Memory) -> Sequence[int]:
        if memory.forbidden:
            return ()
        if self._trap_unaligned:
            return range(memory.base, memory.end, PAGE)
        pages: set[int] = set()
        for span in self._spans:
            first, last = max(span.first, memory.base), min(span.last, memory.end - 1)
            if first <= last:  # an access may begin before the page
                pages.update(range(max(first - 7, memory.base) & -PAGE, last + 1, PAGE))
        return sorted(pages)

    def _forget_all(self) -> None:
        """Translate everything anew, and look at it again."""
        self._sites.forget(0, 1 << 32)
        self._engine.uc.ctl_flush_tb()

    def _unhook(self, handles: Iterable[int]) -> None:
        for handle in handles:
            self._engine.uc.hook_del(handle)

    def _between_runs(self, action: Callable[[], None]) -> None:
        """Translated code and hooks must not be taken away under unicorn's feet: it crashes within a hook."""
        if self._engine.executing:
            self._postponed.append(action)
        else:
            action()

    def _run_postponed(self) -> None:
        while self._postponed:
            self._postponed.pop(0)()

    def _forget_stale(self) -> None:
        for start, end in self._stale.values():
            self._engine.uc.ctl_remove_cache(start, end)
            self._sites.forget(start, end)
        self._stale.clear()

    # execution

    def run(self, count: int) -> Stop:
        """Execute up to ``count`` instructions from PC; ``executed`` says how many it were."""
        self._stepping = self._sites.stepping = False
        self._passing, self.executed = _NOTHING, 0
        self._done.clear()
        pc, xpsr = self._where.read()
        if xpsr & thumb.XPSR_IT:
            return self._finish_block(0)
        stop = self._go(count, pc)
        if stop is REPEATED and self.get(PC) in self._sites:  # an IT block that has to be gone through by hand
            executed = self.executed
            self.step()
            return self._finish_block(executed + 1)
        return stop

    def _finish_block(self, executed: int) -> Stop:
        """The rest of an IT block, instruction by instruction, after so many others."""
        stop = COUNT
        while stop.why is Why.COUNT:
            pc, xpsr = self._where.read()
            if not xpsr & thumb.XPSR_IT:
                stop = EARLY
            elif pc in self._breakpoints:
                stop = Stop(Why.BREAKPOINT, pc)
            else:
                stop = self.step()
                executed += self.executed
        self.executed = executed
        return stop

    def step(self, passing: frozenset[Why] = _NOTHING) -> Stop:
        """Execute exactly one instruction, whatever breakpoint lies on it.

        ``passing``: reasons not to stop at once more; it finishes an instruction that was stopped at for them.
        """
        self._stepping = self._sites.stepping = True
        self._passing, self.executed = passing, 0
        if Why.WROTE not in passing:
            self._done.clear()
        pc, xpsr = self._where.read()
        code = self._engine.code(pc, 4)
        if xpsr & thumb.XPSR_IT:
            return self._step_in_block(pc, xpsr, code)
        if self._sites.has_it and thumb.kind(code) is Kind.IT:
            self.put(XPSR, thumb.with_it_state(xpsr, thumb.first_it_state(code)))
            return self._skip(pc, 2)
        return self._go(1, pc)

    def _skip(self, pc: int, size: int) -> Stop:
        self.put(PC, pc + size)
        self.executed = 1
        return COUNT

    def _step_in_block(self, pc: int, xpsr: int, code: bytes) -> Stop:
        state, size = thumb.it_state(xpsr), thumb.size(int.from_bytes(code[:2], "little"))
        after = thumb.next_it_state(state)
        bkpt = code[1:2] == b"\xbe"  # BKPT has no condition
        if not bkpt and not thumb.passes(state, xpsr):
            self.put(XPSR, thumb.with_it_state(xpsr, after))
            return self._skip(pc, size)
        watched = self._watched_code(pc, size)
        if watched is not None:
            return watched
        trapped = self._sites.trapped(code)
        if trapped is not None:
            return Stop(trapped, pc)
        self.put(XPSR, thumb.with_it_state(xpsr, thumb.last_of_block(state)))
        stop = self._go(1, pc)
        if stop.why is not Why.EXCEPTION_RETURN:
            now = after if stop.why in _COMPLETED else state
            self.put(XPSR, thumb.with_it_state(self.get(XPSR), now))
        return stop

    def _go(self, count: int, pc: int) -> Stop:
        self._stop, begun = None, 0
        self._sites.begin()
        if self._stale:
            self._forget_stale()
        if self._postponed:
            self._run_postponed()  # some may be left when an exception ended the run before
        while True:
            error, more = self._engine.emulate(pc, count - begun)
            begun += more
            if self._postponed:
                self._run_postponed()
            if not self._sites.hook_found():
                break
            pc = self.get(PC)
        stop = self._stop or self._ended(error)
        if self._before is not None:
            registers, self._before = self._before, None
            self._all_written.write(*registers, registers[-1])
        self.executed = begun - (0 if stop.why in _COMPLETED and stop is not REPEATED else 1)
        return stop

    def _ended(self, error: Any) -> Stop:
        """What the end of a run means that no hook has asked for."""
        pc = self.get(PC)
        if pc == self._sites.hint[0]:
            return self._sites.hint[1]
        if error is None:
            return COUNT
        if not self.get(XPSR) & _THUMB:
            return Stop(Why.INVALID_STATE, pc)
        if error.errno in (unicorn_const.UC_ERR_FETCH_UNMAPPED, unicorn_const.UC_ERR_FETCH_PROT):
            return Stop(Why.FETCH_FAULT, pc, "no code can be fetched there")
        return Stop(Why.UNDEFINED, pc, str(error))

    def stop_polling(self) -> None:
        """From within ``read``: end the run; the polling read is repeated by the next one."""
        self._refuse(REPEATED)

    def stop_now(self) -> None:
        """From within ``read``, ``write`` or ``store``, when the core will not go on from here (reset, power off)."""
        self._refuse(REPEATED)

    def _refuse(self, stop: Stop) -> bool:
        if self._stop is None:
            self._stop = stop
        return False

    def _refuse_store(self, stop: Stop) -> bool:
        """Refuse; an IT block will come to its end nevertheless (see above)."""
        registers = self._all_read.read()
        if self._stop is None and registers[-1] & thumb.XPSR_IT:
            self._before = registers
        return self._refuse(stop)

    def _refuse_load(self, stop: Stop, address: int) -> bool:
        """Refuse; an LDRD that has loaded its own base gets it back."""
        pc = self.get(PC)
        base = thumb.double_load_over_base(self._engine.code(pc, 4))
        if base is not None:
            register, offset = GENERAL[base[0]], base[1]
            if (self.get(register) + offset) & 0xFFFF_FFFF != address:
                self.put(register, (address - 4 - offset) & 0xFFFF_FFFF)
        return self._refuse(stop)

    def _refuse_access(self, reading: bool, stop: Stop, address: int | None = None) -> bool:
        if reading:
            return self._refuse_load(stop, stop.address if address is None else address)
        return self._refuse_store(stop)

    def _leave_with(self, stop: Stop) -> None:
        self._refuse(stop)
        self._engine.uc.emu_stop()

    # questions of the engine

    def _ask_register(self, reading: bool, address: int, size: int, value: int) -> bool:
        if self._stop is not None:
            return False  # the rest of an IT block whose store was refused
        if address % size:
            return self._refuse_access(reading, Stop(Why.UNALIGNED, address, "", not reading, size))
        if self._spans and self._watched(reading, address, size):
            return False
        try:
            if reading:
                self._engine.value = self._read(address, size)
            elif (address, size) not in self._done and self._write(address, size, value & _MASK[size]):
                self._done.append((address, size))
                return self._refuse_store(Stop(Why.WROTE, address))
        except BusFault as fault:
            return self._refuse_access(reading, Stop(Why.DATA_FAULT, address, fault.why, not reading, size))
        return self._stop is None

    def _ask_memory(self, reading: bool, address: int, size: int, value: int) -> bool:
        memory = self._engine.memory_at(address)
        if self._stop is not None or memory is None:
            return False
        if memory.forbidden:
            stop = Stop(Why.DATA_FAULT, address, "read-out protection closed this memory", not reading, size)
            return self._refuse_access(reading, stop)
        if self._trap_unaligned and address % min(size, 4):
            return self._refuse_access(reading, Stop(Why.UNALIGNED, address, "", not reading, size))
        if self._spans and self._watched(reading, address, size):
            return False
        if not reading:
            value &= _MASK[size]
            taken = memory.writable or Why.REFUSED in self._passing or self._store(address, size, value)
            if not taken:
                return self._refuse_store(Stop(Why.REFUSED, address))
            if memory.divided:
                offset = address - memory.base
                memory.buffer[offset : offset + size] = value.to_bytes(size, "little")
                self.forget_code(address, size)
        return self._stop is None

    def _watched(self, reading: bool, address: int, size: int) -> bool:
        last = address + size - 1
        for span in self._spans:
            if span.first <= last and address <= span.last and (span.reads if reading else span.writes):
                if span.why in self._passing:
                    continue
                at = max(span.first, address & ~7) if span.why is Why.BAD_WORD else address
                self._refuse_access(reading, Stop(span.why, at, "", not reading, size), address)
                return True
        return False

    # hooks: what unicorn calls

    def _on_unmapped(self, _uc: object, access: int, address: int, size: int, _value: int, _data: object) -> bool:
        write = access == unicorn_const.UC_MEM_WRITE_UNMAPPED
        if access == unicorn_const.UC_MEM_FETCH_UNMAPPED:
            return self._refuse(Stop(Why.FETCH_FAULT, address, "nothing answers there", size=size))
        return self._refuse_access(not write, Stop(Why.DATA_FAULT, address, "nothing answers there", write, size))

    def _on_interrupt(self, _uc: object, number: int, _data: object) -> None:
        pc, why = self.get(PC), _INTERRUPTS.get(number, Why.UNDEFINED)
        self._leave_with(Stop(why, pc, "no code can be fetched there" if why is Why.FETCH_FAULT else ""))

    def _on_breakpoint(self, _uc: object, address: int, _size: int, _data: object) -> None:
        if not self._stepping:
            self._leave_with(Stop(Why.BREAKPOINT, address))

    def _on_watched_code(self, _uc: object, address: int, size: int, _data: object) -> None:
        stop = self._watched_code(address, size)
        if stop is not None:
            self._leave_with(stop)

    def _watched_code(self, address: int, size: int) -> Stop | None:
        last = address + size - 1
        for span in self._bad_words + self._fetch_watches:
            end = address if span.why is Why.WATCH_FETCH else last  # which matches by its first byte
            if span.why not in self._passing and span.first <= end and address <= span.last:
                at = max(span.first, address & ~7) if span.why is Why.BAD_WORD else address
                return Stop(span.why, at, size=size)
        return None


def _unused(*_args: object) -> None:
    """A hook that is never called."""
