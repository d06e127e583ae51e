"""The flash controller: what may be programmed and erased, how long it takes, and what a torn double word does.

Register offsets and bits: CMSIS header ``stm32wle5xx.h`` (FLASH_TypeDef and FLASH_*_Pos). Rules: RM0461, flash
chapter (3.3.8 programming), the HAL driver ``stm32wlxx_hal_flash.c``, and what users report of parts.

Modelled: key unlock, double-word program, page and mass erase, OTP, write protection as stored, ECC double errors,
EOP only with EOPIE. Not modelled, and answered visibly: fast row programming and programming of option bytes (a bus
fault and a complaint). Code that runs from flash stands still during an operation; code in RAM that only reads data
from flash does not. Stuck bits act after the ECC decoder.

Choices where the manual is silent (unverified): a double word whose ECC is bad can only be erased; a debugger's read
of one ends in a bus fault; a system reset during an operation tears it like a power cut.
"""

import mmap
from collections.abc import Callable
from typing import Protocol

from lorafab.virtual.boardfile import BoardFile, State
from lorafab.virtual.bus import BusFault, WordRegisters
from lorafab.virtual.clock import Clock, Event
from lorafab.virtual.faults import FaultPlan
from lorafab.virtual.profile import (
    BOOT_ALIAS,
    DOUBLE_WORDS,
    FLASH_BASE,
    FLASH_REG_BASE,
    FLASH_SIZE,
    MASS_ERASE_NS,
    OTP_BASE,
    OTP_SIZE,
    PAGE_ERASE_NS,
    PAGE_SIZE,
    PAGES,
    PROGRAM_NS,
    SYSTEM_BASE,
    SYSTEM_SIZE,
    WORD_SIZE,
)

KEYS = (0x4567_0123, 0xCDEF_89AB)  # HAL, stm32wlxx_hal_flash.h: FLASH_KEY1, FLASH_KEY2
_ACR, _KEYR, _OPTKEYR, _SR, _CR, _ECCR, _OPTR = 0x00, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x20
_WRP1AR, _WRP1BR = 0x2C, 0x30
_PCROP = {0x24: 0xFF, 0x28: 0x8000_0000, 0x34: 0xFF, 0x38: 0x0}  # no area: start after end (values unverified)

SR_EOP, SR_OPERR, SR_PROGERR, SR_WRPERR, SR_PGAERR, SR_SIZERR, SR_PGSERR = 1, 2, 8, 0x10, 0x20, 0x40, 0x80
SR_BSY, SR_CFGBSY = 1 << 16, 1 << 18
_SR_ERRORS = SR_PROGERR | SR_WRPERR | SR_PGAERR | SR_SIZERR | SR_PGSERR | 0x300  # 0x300: MISERR, FASTERR
_SR_CLEARABLE = SR_EOP | SR_OPERR | _SR_ERRORS | 0xC000  # RDERR, OPTVERR
CR_PG, CR_PER, CR_MER, CR_STRT, CR_FSTPG, CR_LOCK = 1, 2, 4, 1 << 16, 1 << 18, 1 << 31
_CR_EOPIE, _CR_ERRIE, _CR_OPTSTRT, _CR_OBL, _CR_OPTLOCK = 1 << 24, 1 << 25, 1 << 17, 1 << 27, 1 << 30
_CR_KEPT = CR_PG | CR_PER | CR_MER | 0x3F8 | _CR_EOPIE | _CR_ERRIE | 1 << 26
ECCR_ECCD, _ECCR_SYSF, _ECCR_ECCCIE, _ECCR_ECCC = 1 << 31, 1 << 20, 1 << 24, 1 << 30
_ACR_RESET, _ACR_EMPTY, _ACR_KEPT = 0x600, 1 << 16, 0x1_9F07


class Listener(Protocol):
    """What the controller tells the rest of the board."""

    def wait_until(self, at_ns: int) -> None:
        """Somebody polls a busy flag: let time jump there, as far as it may."""

    def stall(self, at_ns: int) -> None:
        """An operation until ``at_ns`` began: a core that fetches from flash stands still that long."""

    def flash_irq(self, level: bool) -> None:
        """Level of the FLASH interrupt line."""

    def contents_changed(self, address: int, size: int) -> None:
        """The core may have code of this span translated."""

    def bad_words_changed(self) -> None:
        """The set of ECC-bad double words is another."""

    def power_failed(self) -> None:
        """The fault plan's power cut happens now."""


class Flash(WordRegisters):
    """Controller and array. ``array`` and ``system`` are what the core sees; the file only ever holds whole states."""

    base = FLASH_REG_BASE

    def __init__(self, file: BoardFile, system: bytes, clock: Clock, faults: FaultPlan, listener: Listener) -> None:
        """``system`` is the 32 KiB of system memory (its OTP area comes from the file)."""
        self._file, self._rom, self._clock, self._faults, self._listener = file, system, clock, faults, listener
        self.array = mmap.mmap(-1, FLASH_SIZE)
        self.system = mmap.mmap(-1, SYSTEM_SIZE)
        self.on_program: list[Callable[[int], None]] = []  # called before and after each double word, with its address
        self.bad_words = set(file.bad_words())
        self._cut_at = None if faults.power_cut_at is None else (faults.power_cut_at - FLASH_BASE) // WORD_SIZE
        self._stuck = _stuck_masks(faults)
        self._touched: set[int] = set()  # double words whose view may hold a store that silicon does not keep
        self._busy: Event | None = None
        for index in self._stuck:
            self._apply_stuck(index, 1)
        self.array[:] = file.flash()
        self._show_system()
        self.power_on()

    def power_on(self) -> None:
        """Registers after power-on reset; ACR.EMPTY is evaluated here only (RM0461, p. 70)."""
        self._acr = _ACR_EMPTY if self._file.state(0) == State.ERASED else 0
        self.reset()

    @property
    def empty(self) -> bool:
        """ACR.EMPTY: reset starts the boot loader. Set by power-on with a blank first location, cleared by software."""
        return bool(self._acr & _ACR_EMPTY)

    def reset(self) -> None:
        """Registers after a system reset, ACR.EMPTY excepted; an operation in flight is torn."""
        self.tear()
        self._acr = _ACR_RESET | self._acr & _ACR_EMPTY
        self._sr, self._cr, self._eccr = 0, CR_LOCK | _CR_OPTLOCK, 0
        self._keys_seen, self._keys_refused, self._jammed = 0, False, False
        self._latch: tuple[int, int] | None = None
        self._polled = False
        self._update_irq()

    def tear(self) -> None:
        """Power or reset hits: an operation in flight leaves ECC-bad double words."""
        if self._busy is not None:
            self._busy.cancel()
            self._busy = None
            first, count = self._file.resolve()
            self._show(first, count)

    # registers

    @property
    def busy_until(self) -> int | None:
        """End of the operation in flight in simulated ns, or None."""
        return None if self._busy is None else self._busy.at_ns

    def read_word(self, offset: int) -> int:
        """Read a register."""
        self.settle()
        if offset == _SR:
            return self._read_sr()
        optr, wrp_a, wrp_b = self._file.options
        values = {_ACR: self._acr, _KEYR: 0, _OPTKEYR: 0, _CR: self._cr, _ECCR: self._eccr}
        values.update({_OPTR: optr, _WRP1AR: wrp_a, _WRP1BR: wrp_b, **_PCROP})
        if offset not in values:
            raise BusFault(self.base + offset, "the flash controller has no such register")
        return values[offset]

    def _read_sr(self) -> int:
        if self._busy is not None:
            if self._polled:  # the second look at a busy flag is a polling loop
                self._listener.wait_until(self._busy.at_ns)
            self._polled = True
        value = self._sr | (SR_BSY if self._busy is not None else 0)
        return value | (SR_CFGBSY if self._jammed or self._latch is not None or self._busy is not None else 0)

    def write_word(self, offset: int, value: int) -> None:
        """Write a register; a wrong key is a bus error until reset (unverified)."""
        self.settle()
        if offset == _SR:
            self._sr &= ~(value & _SR_CLEARABLE)
        elif offset == _CR:
            self._write_cr(value)
        elif offset == _KEYR:
            self._write_key(value)
        elif offset == _ACR:
            self._acr = value & _ACR_KEPT
        elif offset == _ECCR:
            self._eccr = (self._eccr & ~(value & (ECCR_ECCD | _ECCR_ECCC)) & ~_ECCR_ECCCIE) | value & _ECCR_ECCCIE
        else:
            raise BusFault(self.base + offset, "option bytes of this virtual chip cannot be programmed")
        self._update_irq()

    def peek_word(self, offset: int) -> int:
        """Lanes beside a small write."""
        return {_CR: self._cr, _ACR: self._acr}.get(offset, 0)

    def _write_key(self, value: int) -> None:
        if self._keys_refused:
            raise BusFault(self.base + _KEYR, "a wrong key locked the flash until reset")
        if not self._cr & CR_LOCK:
            return
        if value != KEYS[self._keys_seen]:
            self._keys_refused = True
            raise BusFault(self.base + _KEYR, "the key is wrong; the flash is locked until reset")
        self._keys_seen += 1
        if self._keys_seen == len(KEYS):
            self._keys_seen = 0
            self._cr &= ~CR_LOCK

    def _write_cr(self, value: int) -> None:
        self._finish_first()
        if self._cr & CR_LOCK:
            return
        if value & (_CR_OPTSTRT | _CR_OBL | CR_FSTPG):
            raise BusFault(self.base + _CR, "option bytes and fast programming are not modelled")
        self._cr = value & _CR_KEPT | self._cr & _CR_OPTLOCK | value & CR_LOCK
        if value & CR_STRT and not value & CR_LOCK:
            self._start_erase()

    def _update_irq(self) -> None:
        level = (self._sr & SR_EOP and self._cr & _CR_EOPIE) or (self._sr & SR_OPERR and self._cr & _CR_ERRIE)
        self._listener.flash_irq(bool(level))

    def _fail(self, error: int) -> None:
        self._latch = None
        self._sr |= error | (SR_OPERR if self._cr & _CR_ERRIE else 0)  # OPERR needs ERRIE (unverified)
        self._update_irq()

    # operations

    def store(self, address: int, size: int, value: int) -> bool:
        """A write of the debugger or the core to the array; answers whether it is part of a programming operation."""
        self._finish_first()
        index = self._index(address)
        if not self._cr & CR_PG:
            self._jammed = True  # seen on real parts: CFGBSY then stays until reset
            self._fail(SR_PGSERR)
        elif self._jammed:
            pass  # only a reset helps
        elif self._sr & _SR_ERRORS:
            self._fail(SR_PGSERR)
        elif size != 4:
            self._fail(SR_SIZERR)
        elif self._latch is None and address % WORD_SIZE == 0:
            self._latch = (index, value)
            return True
        elif self._latch is None or address % WORD_SIZE != 4 or index != self._latch[0]:
            self._fail(SR_PGAERR)
        else:
            low, self._latch = self._latch[1], None
            return self._start_program(index, (low | value << 32).to_bytes(WORD_SIZE, "little"))
        return False

    def store_from_core(self, address: int, size: int, value: int) -> bool:
        """As :meth:`store`; the core's store also lands in its view of the array until :meth:`settle`."""
        self.settle()
        self._touched.update(range(self._index(address), self._index(address + size - 1) + 1))
        return self.store(address, size, value)

    def settle(self) -> None:
        """Show the array's true contents where a store has landed in the core's view."""
        while self._touched:
            index = self._touched.pop()
            self._copy(index, 1)
            self._listener.contents_changed(self._address(index), WORD_SIZE)

    def _start_program(self, index: int, data: bytes) -> bool:
        state, blank = self._file.state(index), b"\xff" * WORD_SIZE
        zeroing = data == bytes(WORD_SIZE) and self._file.word(index) != blank and index < DOUBLE_WORDS
        if index < 0 or self._protected(index * WORD_SIZE // PAGE_SIZE):
            self._fail(SR_WRPERR)
        elif state == State.ECC_BAD or (state == State.PROGRAMMED and not zeroing):
            self._fail(SR_PROGERR)  # programmed with all ones counts as programmed (seen on parts)
        else:
            self._tell(index)
            self._file.begin_program(index, data)
            self._begin(PROGRAM_NS)
            if index == self._cut_at:
                self._cut_at = None
                self._clock.at(self._clock.now_ns + PROGRAM_NS // 2, self._listener.power_failed)
            self._stall_core()
            return True
        return False

    def _start_erase(self) -> None:
        page, mass = self._cr >> 3 & 0x7F, bool(self._cr & CR_MER)
        if self._jammed:
            return
        if self._sr & _SR_ERRORS or self._latch or self._cr & (CR_PG | CR_PER | CR_MER) not in (CR_PER, CR_MER):
            self._fail(SR_PGSERR)
        elif any(map(self._protected, range(PAGES) if mass else [page])):
            self._fail(SR_WRPERR)
        else:
            words = PAGE_SIZE // WORD_SIZE
            self._file.begin_erase(0 if mass else page * words, DOUBLE_WORDS if mass else words)
            self._begin((MASS_ERASE_NS if mass else PAGE_ERASE_NS) * self._faults.slow_erase)
            self._stall_core()

    def _begin(self, duration_ns: int) -> None:
        self._polled = False
        self._busy = self._clock.at(self._clock.now_ns + duration_ns, self._finish)

    def _stall_core(self) -> None:
        if self._busy is not None:
            self._listener.stall(self._busy.at_ns)

    def _finish(self) -> None:
        self._busy = None
        first, count = self._file.finish()
        self._apply_stuck(first, count)
        self._show(first, count)
        if self._cr & _CR_EOPIE:
            self._sr |= SR_EOP
        self._update_irq()
        if count == 1:
            self._tell(first)

    def _finish_first(self) -> None:
        """The bus waits for an operation in flight."""
        if self._busy is not None:
            self._clock.advance_to(self._busy.at_ns)

    def _tell(self, index: int) -> None:
        for hook in self.on_program:
            hook(self._address(index))

    def _protected(self, page: int) -> bool:
        return any(area & 0x7F <= page <= area >> 16 & 0x7F for area in self._file.options[1:] if page < PAGES)

    # the array

    def before_read(self, address: int, size: int) -> None:
        """A debugger's read: waits for an operation in flight; raises BusFault on an ECC-bad double word."""
        self._finish_first()
        self.settle()
        if self.bad_words:
            bad = self.bad_words & set(range(self._index(address), self._index(address + size - 1) + 1))
            if bad:
                self.ecc_error(self._address(min(bad)))
                words_on = min(bad) - self._index(address)  # counted from the request, which may be to the alias
                raise BusFault(
                    address - address % WORD_SIZE + words_on * WORD_SIZE, "the double word's ECC does not fit its data"
                )

    def ecc_error(self, address: int) -> None:
        """Latch a double error in ECCR, unless one is there already; ADDR_ECC in double words."""
        if not self._eccr & ECCR_ECCD:
            index = self._index(address)
            place = index if index < DOUBLE_WORDS else (OTP_BASE - SYSTEM_BASE) // WORD_SIZE + index - DOUBLE_WORDS
            system = _ECCR_SYSF if index >= DOUBLE_WORDS else 0
            self._eccr = self._eccr & _ECCR_ECCCIE | ECCR_ECCD | system | place

    def _index(self, address: int) -> int:
        """Number of the double word; -1 for system memory, which nobody can program."""
        if address < BOOT_ALIAS + FLASH_SIZE:
            return address // WORD_SIZE
        if FLASH_BASE <= address < FLASH_BASE + FLASH_SIZE:
            return (address - FLASH_BASE) // WORD_SIZE
        if OTP_BASE <= address < OTP_BASE + OTP_SIZE:
            return DOUBLE_WORDS + (address - OTP_BASE) // WORD_SIZE
        return -1

    def _address(self, index: int) -> int:
        if index < DOUBLE_WORDS:
            return FLASH_BASE + index * WORD_SIZE
        return OTP_BASE + (index - DOUBLE_WORDS) * WORD_SIZE

    def _apply_stuck(self, first: int, count: int) -> None:
        for index, (clear, set_) in self._stuck.items():
            if first <= index < first + count:
                self._file.force_bits(index, clear, set_)

    def _show(self, first: int, count: int) -> None:
        """Make a finished operation visible: contents, translated code, set of bad double words."""
        if not count:
            return
        self._copy(first, count)
        self._listener.contents_changed(self._address(first), count * WORD_SIZE)
        bad = {i for i in range(first, first + count) if self._file.state(i) == State.ECC_BAD}
        if bad or self.bad_words:
            now = self.bad_words - set(range(first, first + count)) | bad
            if now != self.bad_words:
                self.bad_words = now
                self._listener.bad_words_changed()

    def _copy(self, first: int, count: int) -> None:
        """Double words from the file to the core's view."""
        if first < 0 or first >= DOUBLE_WORDS:
            self._show_system()
        else:
            start, size = first * WORD_SIZE, count * WORD_SIZE
            self.array[start : start + size] = self._file.flash(start, size)

    def _show_system(self) -> None:
        self.system[:] = self._rom
        self.system[OTP_BASE - SYSTEM_BASE : OTP_BASE - SYSTEM_BASE + OTP_SIZE] = self._file.otp()


def _stuck_masks(faults: FaultPlan) -> dict[int, tuple[int, int]]:
    """For each double word with stuck bits: the bits that read 0 and those that read 1."""
    masks: dict[int, tuple[int, int]] = {}
    for stuck in faults.stuck_bits:
        index, byte = divmod(stuck.address - FLASH_BASE, WORD_SIZE)
        bit = 1 << 8 * byte + stuck.bit
        clear, set_ = masks.get(index, (0, 0))
        masks[index] = (clear, set_ | bit) if stuck.level else (clear | bit, set_)
    return masks
