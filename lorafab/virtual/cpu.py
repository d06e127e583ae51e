"""The emulated Cortex-M4: the only module that knows unicorn.

It executes instructions and says why it stopped. It knows nothing of exceptions, time or debugging. Work-arounds are
for unicorn 2.1.4: stopping inside a hook repeats the interrupted instruction, so it is done only where that is right
(faults, polling reads, breakpoints); a store to protected memory lands in the buffer when its hook answers True.
"""

import ctypes
import mmap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from unicorn import arm_const as arm
from unicorn import unicorn_const
from unicorn.unicorn_const import (
    UC_ARCH_ARM,
    UC_HOOK_CODE,
    UC_HOOK_INTR,
    UC_HOOK_MEM_FETCH_UNMAPPED,
    UC_HOOK_MEM_READ,
    UC_HOOK_MEM_READ_UNMAPPED,
    UC_HOOK_MEM_WRITE_PROT,
    UC_HOOK_MEM_WRITE_UNMAPPED,
    UC_MODE_MCLASS,
    UC_MODE_THUMB,
    UC_PROT_ALL,
    UC_PROT_EXEC,
    UC_PROT_READ,
)
from unicorn.unicorn_py3.unicorn import Uc, UcError

from lorafab.virtual.bus import BusFault

R0, R1, R2, R3, R12 = arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2, arm.UC_ARM_REG_R3, arm.UC_ARM_REG_R12
GENERAL = tuple(getattr(arm, f"UC_ARM_REG_R{n}") for n in range(13))
SP, LR, PC, XPSR = arm.UC_ARM_REG_SP, arm.UC_ARM_REG_LR, arm.UC_ARM_REG_PC, arm.UC_ARM_REG_XPSR
MSP, PSP, CONTROL = arm.UC_ARM_REG_MSP, arm.UC_ARM_REG_PSP, arm.UC_ARM_REG_CONTROL
PRIMASK, BASEPRI, FAULTMASK = arm.UC_ARM_REG_PRIMASK, arm.UC_ARM_REG_BASEPRI, arm.UC_ARM_REG_FAULTMASK

_PRIVILEGED = {MSP, PSP, PRIMASK, BASEPRI, FAULTMASK}
_SOME_HANDLER = 3
_THUMB = 1 << 24
_NEVER = 0xF000_0001  # an end address that no program reaches
_WFI = (b"\x30\xbf", b"\xaf\xf3\x03\x80")  # 16 and 32 bits wide
_HINTS = (b"\x20\xbf", b"\xaf\xf3\x02\x80", b"\x10\xbf", b"\xaf\xf3\x01\x80")  # WFE and YIELD: may do nothing
_IO_SPANS = ((0x4000_0000, 0x2000_0000), (0xE000_0000, 0x10_0000))  # peripherals; private peripheral bus
_MANY_WATCHES = 64


class Why(Enum):
    """Why the processor stopped."""

    COUNT = auto()  # the instructions are used up, or a polling read let time jump
    WFI = auto()
    WOKEN = auto()  # a WFI that ended at once, or a WFE or YIELD
    SVC = auto()
    BKPT = auto()
    BREAKPOINT = auto()
    EXCEPTION_RETURN = auto()
    DATA_FAULT = auto()
    FETCH_FAULT = auto()
    UNDEFINED = auto()
    INVALID_STATE = auto()
    BAD_WORD = auto()  # about to read or execute a watched word
    REFUSED = auto()  # a store that read-only memory did not take; it is about to land all the same


@dataclass(frozen=True, slots=True)
class Stop:
    """Reason, address of a faulting or watched access, a sentence about it, and whether it was a write."""

    why: Why
    address: int = 0
    text: str = ""
    write: bool = False


_COUNT, _WFI_STOP, _WOKEN = Stop(Why.COUNT), Stop(Why.WFI), Stop(Why.WOKEN)
# numbers that unicorn hands to interrupt hooks (QEMU, target/arm/cpu.h, EXCP_*)
_INTERRUPTS = {
    2: Why.SVC,
    3: Why.FETCH_FAULT,
    7: Why.BKPT,
    8: Why.EXCEPTION_RETURN,
    18: Why.INVALID_STATE,
}


class Cpu:
    """One processor. ``read`` and ``write`` answer for registers, ``store`` takes writes to read-only memory.

    ``read`` and ``write`` may raise BusFault, which stops the processor before the instruction has happened;
    ``store`` says whether the memory takes the write.
    """

    def __init__(
        self,
        read: Callable[[int, int], int],
        write: Callable[[int, int, int], None],
        store: Callable[[int, int, int], bool],
    ) -> None:
        self._read, self._write, self._store = read, write, store
        self._uc: Any = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        self._uc.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
        self._buffers: dict[int, mmap.mmap] = {}
        self._exports: list[Any] = []  # unicorn holds bare pointers into the buffers; these keep them alive
        self._stop: Stop | None = None
        self._breakpoints: dict[int, int] = {}
        self._watches: list[int] = []
        self._watched: set[int] = set()
        self._hint_hooks: dict[int, int] = {}
        self._hint_at: int | None = None
        self._stepping = self._finishing = False
        self._executing = False
        self._postponed: list[Callable[[], None]] = []
        self._stale: dict[int, tuple[int, int]] = {}  # by memory (16 MiB each): span changed since the last run
        self.io_accesses = 0
        self._install()

    def _install(self) -> None:
        for base, size in _IO_SPANS:
            self._uc.mmio_map(base, size, self._on_read, base, self._on_write, base)
        self._uc.hook_add(UC_HOOK_INTR, self._on_interrupt)
        unmapped = UC_HOOK_MEM_READ_UNMAPPED | UC_HOOK_MEM_WRITE_UNMAPPED | UC_HOOK_MEM_FETCH_UNMAPPED
        self._uc.hook_add(unmapped, self._on_unmapped)
        self._uc.hook_add(UC_HOOK_MEM_WRITE_PROT, self._on_store)

    def map(self, base: int, buffer: mmap.mmap, writable: bool) -> None:
        """Show ``buffer`` at ``base``; it stays shared with the caller, who must not resize it."""
        view = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        self._exports.append(view)
        self._buffers[base] = buffer
        rights = UC_PROT_ALL if writable else UC_PROT_READ | UC_PROT_EXEC
        self._uc.mem_map_ptr(base, len(buffer), rights, ctypes.addressof(view))

    def get(self, register: int) -> int:
        """Value of a register (constants of this module)."""
        if register in _PRIVILEGED and self._uc.reg_read(CONTROL) & 1:
            return self._get_privileged(register)
        value: int = self._uc.reg_read(register)
        return value

    def _get_privileged(self, register: int) -> int:
        """Unicorn hides these from unprivileged thread mode; in a handler it shows them."""
        xpsr = self._uc.reg_read(XPSR)
        self._uc.reg_write(XPSR, xpsr | _SOME_HANDLER)
        value: int = self._uc.reg_read(register)
        self._uc.reg_write(XPSR, xpsr)
        return value

    def put(self, register: int, value: int) -> None:
        """Set a register."""
        if (register in _PRIVILEGED or register == CONTROL) and self._uc.reg_read(CONTROL) & 1:
            self._put_privileged(register, value)
        else:
            self._uc.reg_write(register, value)

    def _put_privileged(self, register: int, value: int) -> None:
        """Unicorn ignores these in unprivileged thread mode, and CONTROL.SPSEL in a handler: be neither meanwhile."""
        xpsr, control = self._uc.reg_read(XPSR), self._uc.reg_read(CONTROL)
        self._uc.reg_write(XPSR, xpsr | _SOME_HANDLER)
        self._uc.reg_write(CONTROL, control & ~1)
        self._uc.reg_write(XPSR, xpsr)
        self._uc.reg_write(register, value)
        if register != CONTROL:
            self._uc.reg_write(CONTROL, control)

    def forget_code(self, start: int, size: int) -> None:
        """Memory was changed from outside: translated code of the span is stale (thrown away before the next run)."""
        low, high = self._stale.get(start >> 24, (start, start))
        self._stale[start >> 24] = (min(low, start), max(high, start + size))

    def _between_runs(self, action: Callable[[], None]) -> None:
        """Translated code and hooks must not be taken away under unicorn's feet: it crashes within a hook."""
        if self._executing:
            self._postponed.append(action)
        else:
            action()

    def _forget_stale(self) -> None:
        for start, end in self._stale.values():
            self._uc.ctl_remove_cache(start, end)
            for address in [a for a in self._hint_hooks if start <= a < end]:
                self._uc.hook_del(self._hint_hooks.pop(address))
        self._stale.clear()

    def set_breakpoints(self, addresses: Iterable[int]) -> None:
        """Stop before the instructions at ``addresses``; replaces the earlier set."""
        wanted = tuple(addresses)
        self._between_runs(lambda: self._hook_breakpoints(wanted))

    def _hook_breakpoints(self, addresses: tuple[int, ...]) -> None:
        for handle in self._breakpoints.values():
            self._uc.hook_del(handle)
        self._breakpoints = {
            address: self._uc.hook_add(UC_HOOK_CODE, self._on_breakpoint, None, address, address)
            for address in addresses
        }
        self._uc.ctl_flush_tb()

    def watch_words(self, addresses: set[int]) -> None:
        """Stop before reading or executing one of these 8-byte words; replaces the earlier set.

        Unicorn slows all reads down while there is such a hook, so there is none while the set is empty.
        """
        self._watched = set(addresses)
        self._between_runs(lambda: self._hook_watches(addresses))

    def _hook_watches(self, addresses: set[int]) -> None:
        for handle in self._watches:
            self._uc.hook_del(handle)
        self._watches = []
        spans = [(a, a) for a in addresses]
        if len(spans) > _MANY_WATCHES:
            halves = ([a for a in addresses if a < 0x0800_0000], [a for a in addresses if a >= 0x0800_0000])
            spans = [(min(half), max(half)) for half in halves if half]
        for first, last in spans:
            begin = max(first - 7, 0)  # a read may start before the word
            self._watches.append(self._uc.hook_add(UC_HOOK_MEM_READ, self._on_watched_read, None, begin, last + 7))
            self._watches.append(self._uc.hook_add(UC_HOOK_CODE, self._on_watched_code, None, begin, last + 7))
        self._uc.ctl_flush_tb()

    def run(self, count: int, stepping: bool = False, finishing: bool = False) -> Stop:
        """Execute up to ``count`` instructions from PC; unicorn counts an IT block as one.

        ``stepping`` passes over breakpoints. ``finishing`` is for the instruction that BAD_WORD or REFUSED stopped
        at: it also passes over watched words, and stores to read-only memory land without being told.
        """
        self._stop, self._hint_at, self.io_accesses = None, None, 0
        self._stepping, self._finishing = stepping or finishing, finishing
        error = None
        if self._stale:
            self._forget_stale()
        self._run_postponed()  # some may be left when a signal's exception ended the run before
        self._executing = True
        try:
            self._uc.emu_start(self.get(PC) | 1, _NEVER, 0, count)
        except UcError as failure:
            error = failure
        finally:
            self._executing = False
        self._run_postponed()
        if self._stop is not None:
            return self._stop
        pc = self.get(PC)
        if error is not None:
            if not self._uc.reg_read(XPSR) & _THUMB:
                return Stop(Why.INVALID_STATE, pc)
            undefined = error.errno == unicorn_const.UC_ERR_INSN_INVALID  # so it leaves at WFE and YIELD, too
            return _WOKEN if undefined and self._is_behind(_HINTS, pc) else _explain(error, pc)
        return self._sleep_or_count(pc)

    def _run_postponed(self) -> None:
        while self._postponed:
            self._postponed.pop(0)()

    def _sleep_or_count(self, pc: int) -> Stop:
        """Unicorn leaves at WFI without a word. The first WFI at an address counts as woken at once, which it may."""
        known = self._hint_at is not None
        if not self._is_behind(_WFI, pc):
            return _COUNT
        return _WFI_STOP if known else _WOKEN

    def _is_behind(self, codes: tuple[bytes, ...], pc: int) -> bool:
        """Whether the run ended with one of these instructions.

        PC behind one may also be a branch target, hence an exact hook, which the first one at an address installs.
        """
        if self._hint_at is not None:
            return pc - self._hint_at in (2, 4)
        found = False
        for code in codes:
            at = pc - len(code)
            if at not in self._hint_hooks and self._code(at, len(code)) == code:
                self._hint_hooks[at] = self._uc.hook_add(UC_HOOK_CODE, self._on_hint, None, at, at)
                self._uc.ctl_remove_cache(at, at + len(code))
                found = True
        return found

    def _code(self, address: int, size: int) -> bytes:
        for base, buffer in self._buffers.items():
            if base <= address < base + len(buffer):
                return buffer[address - base : address - base + size]
        return b""

    def stop_polling(self) -> None:
        """From within ``read``: end the run; the polling read is repeated by the next one."""
        self._stop_with(_COUNT)

    def stop_now(self) -> None:
        """From within ``write``, when the core will not go on from here (reset, power off)."""
        self._stop_with(_COUNT)

    def _stop_with(self, stop: Stop) -> None:
        if self._stop is None:
            self._stop = stop
        self._uc.emu_stop()

    # hooks: what unicorn calls; nothing may be raised through it

    def _on_read(self, _uc: object, offset: int, size: int, base: int) -> int:
        self.io_accesses += 1
        try:
            return self._read(base + offset, size)
        except BusFault as fault:
            self._stop_with(Stop(Why.DATA_FAULT, base + offset, fault.why))
            return 0

    def _on_write(self, _uc: object, offset: int, size: int, value: int, base: int) -> None:
        self.io_accesses += 1
        try:
            self._write(base + offset, size, value)
        except BusFault as fault:
            self._stop_with(Stop(Why.DATA_FAULT, base + offset, fault.why, write=True))

    def _on_store(self, _uc: object, _access: int, address: int, size: int, value: int, _data: object) -> bool:
        self.io_accesses += 1
        if not self._finishing and not self._store(address, size, value & (1 << 8 * size) - 1):
            self._stop_with(Stop(Why.REFUSED, address))
        return True

    def _on_unmapped(self, _uc: object, access: int, address: int, _size: int, _value: int, _data: object) -> bool:
        if self._stop is None:
            fetch = access == unicorn_const.UC_MEM_FETCH_UNMAPPED
            self._stop = Stop(
                Why.FETCH_FAULT if fetch else Why.DATA_FAULT,
                address,
                "nothing answers there",
                access == unicorn_const.UC_MEM_WRITE_UNMAPPED,
            )
        return False

    def _on_interrupt(self, _uc: object, number: int, _data: object) -> None:
        pc, why = self.get(PC), _INTERRUPTS.get(number, Why.UNDEFINED)
        self._stop_with(Stop(why, pc, "no code can be fetched there" if why is Why.FETCH_FAULT else ""))

    def _on_breakpoint(self, _uc: object, address: int, _size: int, _data: object) -> None:
        if not self._stepping:
            self._stop_with(Stop(Why.BREAKPOINT, address))

    def _on_hint(self, _uc: object, address: int, _size: int, _data: object) -> None:
        self._hint_at = address

    def _on_watched_read(self, _uc: object, _access: int, address: int, size: int, _value: int, _data: object) -> None:
        self._check_watch(address, size)

    def _on_watched_code(self, _uc: object, address: int, size: int, _data: object) -> None:
        self._check_watch(address, size)

    def _check_watch(self, address: int, size: int) -> None:
        if not self._finishing:
            hit = self._watched & {address & ~7, address + size - 1 & ~7}
            if hit:
                self._stop_with(Stop(Why.BAD_WORD, min(hit)))


def _explain(error: Any, pc: int) -> Stop:
    """What an error of unicorn means for the core."""
    if error.errno in (unicorn_const.UC_ERR_FETCH_UNMAPPED, unicorn_const.UC_ERR_FETCH_PROT):
        return Stop(Why.FETCH_FAULT, pc, "no code can be fetched there")
    return Stop(Why.UNDEFINED, pc, str(error))
