"""The hull around unicorn: registers, memory, the count of instructions, and how to be asked about accesses.

For unicorn 2.1.4 (QEMU 5), whose ways are these:

* The flag for M-class cores always makes a Cortex-M33; without it the model that is asked for is emulated.
* The translation of a block depends on the mode (thread or handler), which only takes effect after APSR_NZCV was
  written.
* The number of executed instructions is counted but not shown: it lies in the library's own structure, beside the
  number that was asked for, where it is looked for once.
* Memory without a right asks its hook. A store that the hook lets through is thrown away in memory whose rights were
  ever changed, so it is done by hand.
* Before it asks, it restores ITSTATE for the hook to see; when the program goes on it must be zero again, as it always
  is within a translated block.
"""

import ctypes
import mmap
from collections.abc import Callable, Sequence
from typing import Any

from unicorn import arm_const as arm
from unicorn.unicorn_const import (
    UC_ARCH_ARM,
    UC_HOOK_MEM_READ_PROT,
    UC_HOOK_MEM_WRITE_PROT,
    UC_MEM_READ_PROT,
    UC_MODE_THUMB,
    UC_PROT_ALL,
    UC_PROT_EXEC,
    UC_PROT_NONE,
    UC_PROT_READ,
)
from unicorn.unicorn_py3.unicorn import (
    HOOK_MEM_INVALID_CFUNC,
    MMIO_READ_CFUNC,
    MMIO_WRITE_CFUNC,
    Uc,
    UcError,
    uclib,
)

R0, R1, R2, R3, R12 = arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2, arm.UC_ARM_REG_R3, arm.UC_ARM_REG_R12
GENERAL = tuple(getattr(arm, f"UC_ARM_REG_R{n}") for n in range(13))
SP, LR, PC, XPSR = arm.UC_ARM_REG_SP, arm.UC_ARM_REG_LR, arm.UC_ARM_REG_PC, arm.UC_ARM_REG_XPSR_NZCVQG
PSR = arm.UC_ARM_REG_XPSR  # XPSR for batches that read
FLAGS = arm.UC_ARM_REG_APSR_NZCV  # to be written behind XPSR in a batch, with the same value (see above)
MSP, PSP, CONTROL = arm.UC_ARM_REG_MSP, arm.UC_ARM_REG_PSP, arm.UC_ARM_REG_CONTROL
PRIMASK, BASEPRI, FAULTMASK = arm.UC_ARM_REG_PRIMASK, arm.UC_ARM_REG_BASEPRI, arm.UC_ARM_REG_FAULTMASK
SINGLES = tuple(getattr(arm, f"UC_ARM_REG_S{n}") for n in range(32))
FPSCR = arm.UC_ARM_REG_FPSCR

_PRIVILEGED = {MSP, PSP, PRIMASK, BASEPRI, FAULTMASK}
_EPSR, _THUMB = arm.UC_ARM_REG_EPSR, 1 << 24
_SOME_HANDLER = 3
_NEVER = 0xF000_0001  # an end address that no program reaches
_IO_SPANS = ((0x4000_0000, 0x2000_0000), (0xE000_0000, 0x10_0000))  # peripherals; private peripheral bus
_IO_BEGIN = 0x4000_0000
_PRIMER = 0x1000_0000  # anywhere that code may run
_COUNTS = (4099, 5003, 6007)
_SEARCHED = 256  # words of the library's structure, which has thousands
PAGE = 0x1000

Ask = Callable[[bool, int, int, int], bool]
"""May the program read (True) or write at an address, so many bytes, a value? False ends the run before it."""


class Memory:
    """Plain memory as the emulator shows it."""

    def __init__(self, base: int, buffer: mmap.mmap, writable: bool) -> None:
        self.base, self.buffer, self.end, self.writable = base, buffer, base + len(buffer), writable
        self.forbidden = self.divided = False

    @property
    def rights(self) -> int:
        """What the emulator may do without asking."""
        if self.forbidden:
            return UC_PROT_NONE
        return UC_PROT_ALL if self.writable else UC_PROT_READ | UC_PROT_EXEC


class Batch:
    """Several registers in one call. Privileged ones are right only while the program is privileged."""

    def __init__(self, handle: Any, registers: Sequence[int]) -> None:
        self._handle, self._count = handle, len(registers)
        self._ids = (ctypes.c_int32 * self._count)(*registers)
        self._values = (ctypes.c_uint32 * self._count)()
        first = ctypes.addressof(self._values)
        self._places = (ctypes.c_void_p * self._count)(*(first + 4 * n for n in range(self._count)))

    def read(self) -> list[int]:
        """Values in the order of the registers."""
        uclib.uc_reg_read_batch(self._handle, self._ids, self._places, self._count)
        return self._values[:]

    def write(self, *values: int) -> None:
        """Set all, in order."""
        self._values[:] = list(values)
        uclib.uc_reg_write_batch(self._handle, self._ids, self._places, self._count)


class Engine:
    """One emulator. ``ask_register`` and ``ask_memory`` are asked about accesses to registers and protected memory.

    A register's value is left in :attr:`value` by the answer. Nothing may be raised through the emulator: what the
    questions raise ends the run, and :meth:`emulate` raises it.
    """

    def __init__(self, model: str, ask_register: Ask, ask_memory: Ask) -> None:
        self.uc: Any = Uc(UC_ARCH_ARM, UC_MODE_THUMB)
        self.uc.ctl_set_cpu_model(getattr(arm, f"UC_CPU_ARM_{model}"))
        self.memories: list[Memory] = []
        self.value = 0
        self.executing = False
        self._handle = self.uc._uch
        self._one = ctypes.c_uint32()
        self._one_at = ctypes.byref(self._one)
        self._no_it = ctypes.byref(ctypes.c_uint32(_THUMB))
        self._kept: list[Any] = []  # unicorn holds bare pointers to buffers and functions; these keep them alive
        self._raised: BaseException | None = None
        self._executed = self._find_counter()
        self._map_registers(ask_register, ask_memory)

    def _find_counter(self) -> Any:
        """Where the library counts; and the translation hook, silent until a block has followed another, wakes up."""
        words = (ctypes.c_size_t * _SEARCHED).from_address(self._handle.value or 0)
        self.uc.mem_map(_PRIMER, PAGE)
        self.uc.mem_write(_PRIMER, b"\xfe\xe7")
        places = set(range(_SEARCHED - 1))
        for count in _COUNTS:
            self.uc.emu_start(_PRIMER | 1, _NEVER, 0, count)
            places = {n for n in places if words[n] == count + 1 and words[n + 1] == count}
        self.uc.mem_unmap(_PRIMER, PAGE)
        if len(places) != 1:
            raise RuntimeError("this release of unicorn does not count instructions where 2.1.4 does")
        return ctypes.c_size_t.from_address(ctypes.addressof(words) + ctypes.sizeof(ctypes.c_size_t) * places.pop())

    def _map_registers(self, ask_register: Ask, ask_memory: Ask) -> None:
        answer, ignore = MMIO_READ_CFUNC(lambda *_: self.value), MMIO_WRITE_CFUNC(lambda *_: None)
        self._kept += [answer, ignore]
        for base, size in _IO_SPANS:
            uclib.uc_mmio_map(self._handle, base, size, answer, 0, ignore, 0)
            self.uc.mem_protect(base, size, UC_PROT_NONE)
        for ask, begin, end in ((ask_register, _IO_BEGIN, 0xFFFF_FFFF), (ask_memory, 0, _IO_BEGIN - 1)):
            question = HOOK_MEM_INVALID_CFUNC(self._question(ask))
            self._kept.append(question)
            kind, place = UC_HOOK_MEM_READ_PROT | UC_HOOK_MEM_WRITE_PROT, ctypes.byref(ctypes.c_size_t())
            uclib.uc_hook_add(self._handle, place, kind, question, ctypes.c_void_p(0), begin, end)

    def _question(self, ask: Ask) -> Callable[..., bool]:
        def question(_uc: int, access: int, address: int, size: int, value: int, _data: object) -> bool:
            try:
                allowed = ask(access == UC_MEM_READ_PROT, address, size, value)
                if allowed:
                    uclib.uc_reg_write(self._handle, _EPSR, self._no_it)
                return allowed
            except BaseException as failure:  # noqa: BLE001 (to be raised again behind unicorn)
                self._raised = failure
                return False

        return question

    # memory

    def map(self, base: int, buffer: mmap.mmap, writable: bool) -> None:
        """Show ``buffer`` at ``base``."""
        view = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        self._kept.append(view)
        memory = Memory(base, buffer, writable)
        self.memories.append(memory)
        self.uc.mem_map_ptr(base, len(buffer), memory.rights, ctypes.addressof(view))

    def memory_at(self, address: int) -> Memory | None:
        """The memory that an address lies in."""
        for memory in self.memories:
            if memory.base <= address < memory.end:
                return memory
        return None

    def code(self, address: int, size: int) -> bytes:
        """Bytes of memory, fewer where it ends."""
        memory = self.memory_at(address)
        return b"" if memory is None else memory.buffer[address - memory.base : address - memory.base + size]

    def protect(self, memory: Memory, pages: Sequence[int]) -> None:
        """Ask about all accesses to these pages, and about no other pages than the memory's rights say."""
        if pages or memory.divided or memory.forbidden:
            self.uc.mem_protect(memory.base, len(memory.buffer), memory.rights)
        memory.divided = bool(pages) or memory.forbidden
        for page in pages:
            self.uc.mem_protect(page, PAGE, UC_PROT_EXEC)

    # registers

    def batch(self, registers: Sequence[int]) -> Batch:
        """A way to several registers at once."""
        return Batch(self._handle, registers)

    def get(self, register: int) -> int:
        """Value of a register (constants of this module)."""
        if register in _PRIVILEGED and self._get(CONTROL) & 1:
            return self._get_privileged(register)
        return self._get(PSR if register == XPSR else register)

    def _get(self, register: int) -> int:
        uclib.uc_reg_read(self._handle, register, self._one_at)
        return self._one.value

    def _put(self, register: int, value: int) -> None:
        self._one.value = value
        uclib.uc_reg_write(self._handle, register, self._one_at)
        if register == XPSR:
            uclib.uc_reg_write(self._handle, FLAGS, self._one_at)

    def _get_privileged(self, register: int) -> int:
        """Unicorn hides these from unprivileged thread mode; in a handler it shows them."""
        xpsr = self._get(PSR)
        self._put(XPSR, xpsr | _SOME_HANDLER)
        value = self._get(register)
        self._put(XPSR, xpsr)
        return value

    def put(self, register: int, value: int) -> None:
        """Set a register."""
        if (register in _PRIVILEGED or register == CONTROL) and self._get(CONTROL) & 1:
            self._put_privileged(register, value)
        else:
            self._put(register, value)

    def _put_privileged(self, register: int, value: int) -> None:
        """Unicorn ignores these in unprivileged thread mode, and CONTROL.SPSEL in a handler: be neither meanwhile."""
        xpsr, control = self._get(PSR), self._get(CONTROL)
        self._put(XPSR, xpsr | _SOME_HANDLER)
        self._put(CONTROL, control & ~1)
        self._put(XPSR, xpsr)
        self._put(register, value)
        if register != CONTROL:
            self._put(CONTROL, control)
        self._put(XPSR, xpsr)

    # execution

    def emulate(self, pc: int, count: int) -> tuple[Any, int]:
        """Execute up to ``count`` instructions; answers unicorn's error, if any, and how many were begun."""
        self.executing, self.uc._hook_exception = True, None
        try:
            status = uclib.uc_emu_start(self._handle, pc | 1, _NEVER, 0, count)
        finally:
            self.executing = False
        error = UcError(status) if status else None
        raised = self._raised or self.uc._hook_exception
        if raised is not None:
            self._raised = None
            raise raised
        return error, min(self._executed.value, count)

    def hook(self, kind: int, function: Callable[..., object], begin: int = 1, end: int = 0) -> int:
        """Have ``function`` called; everywhere unless there are bounds."""
        handle: int = self.uc.hook_add(kind, function, None, begin, end)
        return handle
