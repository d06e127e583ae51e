"""The STM32L0's memory controller: flash that erases to zero, and data EEPROM that is written word by word.

Register offsets and bits: CMSIS header ``stm32l072xx.h`` (FLASH_TypeDef, FLASH_*_Pos); keys: HAL header
``stm32l0xx_hal_flash.h``. Rules: RM0367 section 3.3 and 3.4, the HAL drivers ``stm32l0xx_hal_flash_ramfunc.c`` (half
pages) and ``stm32l0xx_hal_flash_ex.c`` (EEPROM, option bytes), and the error bits as ``stm32l0x1-hal`` quotes them.
Category 5 parts: two banks, each half of the flash and half of the EEPROM; reading one while the other is written
does not wait (AN4808).

``At.settings``: ``alias`` address where the booted flash is seen; ``eeprom`` and ``options`` addresses; ``factory``
makes the bytes that the factory wrote, by address, from unique id and flash size in KiB (None: the chip's own). Times
and page size are the profile's ``flash_times``. Option words of the board file: as ``options_l0.OptionsL0`` has them.

Modelled: the three locks; words, half pages and page erase; EEPROM by byte, half-word and word with the erase that it
does by itself (FIX: always); option words and their loading, write protection, read-out protection levels 0, 1 and 2;
NOTZEROERR, PGAERR, SIZERR, WRPERR, FWWERR, OPTVERR. A torn word reads as something else: the ECC has no flag. Not
modelled and refused with a complaint: operations on both banks at once (PARALLBANK), power-down while running,
PCROP, boot from bank 2. A program's read of data in a bank that is busy sees the old contents instead of waiting.
Stuck bits act after the ECC decoder.

Choices where the manual is silent (unverified): loading a half page while the core fetches from either bank is aborted
(users report FWWERR for both); NZDISABLE ORs the bits and leaves a bad word; a page erase that does not begin with the
page's first word is PGAERR; the regression from level 1 takes one erase; any access of a debugger to memory counts as
the intrusion that closes a level 1 part's memories until the next power-on; a system reset tears like a power cut.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lorafab.virtual import cpu as regs
from lorafab.virtual.array import FlashArray
from lorafab.virtual.boardfile import State
from lorafab.virtual.bus import BusFault, BusStall, Memory
from lorafab.virtual.chip import At
from lorafab.virtual.clock import Event
from lorafab.virtual.silicon import Part, Reset, Silicon
from lorafab.virtual.stm32.eeprom_l0 import DataEeprom
from lorafab.virtual.stm32.options_l0 import KeyLock, OptionsL0

WORD, HALF_PAGE, SECTOR = 4, 64, 4096
PEKEYS, PRGKEYS = (0x89AB_CDEF, 0x0203_0405), (0x8C9D_AEBF, 0x1314_1516)
OPTKEYS = (0xFBEA_D9C8, 0x2425_2627)
_ACR, _PECR, _PEKEYR, _PRGKEYR, _OPTKEYR, _SR, _OPTR = 0x00, 0x04, 0x0C, 0x10, 0x14, 0x18, 0x1C
_WRPR, _WRPR2 = 0x20, 0x80

PECR_PELOCK, PECR_PRGLOCK, PECR_OPTLOCK, PECR_PROG, PECR_DATA = 1, 2, 4, 8, 16
PECR_FIX, PECR_ERASE, PECR_FPRG, PECR_PARALLBANK = 1 << 8, 1 << 9, 1 << 10, 1 << 15
PECR_EOPIE, PECR_ERRIE, PECR_OBL, PECR_NZDISABLE = 1 << 16, 1 << 17, 1 << 18, 1 << 22
_PECR_KEPT = PECR_PROG | PECR_DATA | PECR_FIX | PECR_ERASE | PECR_FPRG | PECR_EOPIE | PECR_ERRIE | PECR_NZDISABLE
SR_BSY, SR_EOP, SR_HVOFF, SR_READY = 1, 2, 4, 8
SR_WRPERR, SR_PGAERR, SR_SIZERR, SR_OPTVERR = 1 << 8, 1 << 9, 1 << 10, 1 << 11
SR_NOTZEROERR, SR_FWWERR = 1 << 16, 1 << 17
_SR_ERRORS = SR_WRPERR | SR_PGAERR | SR_SIZERR | SR_OPTVERR | 1 << 13 | SR_NOTZEROERR | SR_FWWERR  # 13: RDERR
_ACR_KEPT = 0x6B  # LATENCY, PRFTEN, SLEEP_PD, DISAB_BUF, PRE_READ; RUN_PD needs keys that are not modelled


@dataclass
class _Operation:
    """What is in flight, in which bank."""

    event: Event
    bank: int
    words: tuple[int, ...]
    """Addresses of the words that are programmed."""


class FlashL0(Part):
    """Controller, flash, data EEPROM and option bytes. Implements the ``flash`` role."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        super().__init__(silicon, at)
        self._set: dict[str, Any] = dict(at.settings)
        self._times = silicon.chip.flash_times
        stores = silicon.file.stores
        self.array = FlashArray(silicon, stores["flash"], (silicon.chip.flash_base, self._set["alias"]))
        self.eeprom = DataEeprom(silicon, stores["eeprom"], self._set["eeprom"])
        self.on_program: list[Callable[[int], None]] = []
        factory = self._set["factory"](silicon.file.uid, silicon.faults.flash_size)
        self._options = OptionsL0(silicon, self._set["options"], factory)
        self._pe = KeyLock(silicon, self.base + _PEKEYR, PEKEYS)
        self._prg = KeyLock(silicon, self.base + _PRGKEYR, PRGKEYS)
        self._opt = KeyLock(silicon, self.base + _OPTKEYR, OPTKEYS)
        self._op: _Operation | None = None
        self._programmed = 0
        self._intruded = self._options_touched = False
        self.reset()

    # life

    def power_on(self) -> None:
        """Options are loaded, the intrusion latch opens."""
        self._intruded = False
        self._options.load()
        self._lock(False)

    def power_off(self) -> None:
        """What is in flight is torn."""
        self._tear()

    def reset(self) -> None:
        """Registers after a system reset; an operation in flight is torn."""
        self._tear()
        self._acr = self._pecr = 0
        self._sr = SR_OPTVERR if self._options.mismatch else 0
        for lock in (self._pe, self._prg, self._opt):
            lock.reset()
        self._half: list[int] = []
        self._half_at = 0
        self._polled = False
        self.settle()
        self._update_irq()

    def _tear(self) -> None:
        if self._op is not None:
            self._op.event.cancel()
            self._op = None
            self.array.torn()
            self.eeprom.tear()
            self._options.tear()

    # what the rest of the chip asks

    @property
    def busy_until(self) -> int | None:
        """End of the operation in flight in simulated ns, or None."""
        return None if self._op is None else self._op.event.at_ns

    def memories(self) -> list[Memory]:
        """The flash and its alias, the EEPROM, and the block with option and factory bytes."""
        others = [one.memory(self.store, self._before_read) for one in (self.eeprom, self._options)]
        return [*self.array.memories(self.store, self._before_read), *others]

    def boot_base(self) -> int:
        """The flash (BOOT0 low)."""
        base: int = self._set["alias"]
        return base

    def fetches(self, pc: int) -> bool:
        """Code at ``pc`` runs from the bank that is busy."""
        offset = self.array.offset(pc)
        return offset is not None and self._op is not None and self._bank(pc) == self._op.bank

    def counted_polls(self) -> frozenset[int]:
        """SR: programs count their looks."""
        return frozenset({self.base + _SR})

    def bad_places(self) -> set[int]:
        """None: a word whose ECC does not fit reads as something else."""
        return set()

    def ecc_error(self, address: int) -> None:
        """There is no flag for it (RM0367 section 3.2)."""

    def loaded_option(self, number: int) -> int:
        """An option word as it is in force; what was programmed since the last loading is not."""
        return self._options.loaded(number)

    def reset_pin_enabled(self) -> bool:
        """NRST is always there."""
        return True

    def debug_enabled(self) -> bool:
        """Level 2 closes the debug port for ever."""
        return self._options.level != 2

    def check_debugger(self, address: int, size: int, write: bool) -> None:
        """Level 1: a debugger's access closes flash and EEPROM until power-on; RAM and option bytes stay open."""
        if self._options.level != 1:
            return
        if not self._intruded:
            self._intruded = True
            self._lock(True)
        if self.array.overlaps(address, size) or self.eeprom.overlaps(address, size):
            raise BusFault(address, "read-out protection level 1 hides flash and EEPROM from a debugger")

    def _lock(self, locked: bool) -> None:
        self.array.lock(locked)
        self.eeprom.lock(locked)

    @property
    def _shut(self) -> bool:
        """A debugger came to a part of level 1."""
        return self._intruded and self._options.level == 1

    # registers

    def read_word(self, offset: int) -> int:
        """Read a register."""
        self.settle()
        if offset == _SR:
            return self._read_sr()
        protection = self._options.protection
        values = {
            _ACR: self._acr, _PECR: self._read_pecr(), _PEKEYR: 0, _PRGKEYR: 0, _OPTKEYR: 0,
            _OPTR: self._options.optr, _WRPR: protection & 0xFFFF_FFFF, _WRPR2: protection >> 32,
        }  # fmt: skip
        if offset not in values:
            raise BusFault(self.base + offset, "the flash controller has no such register")
        return values[offset]

    def _read_sr(self) -> int:
        if self._op is None:
            return self._sr | SR_READY | SR_HVOFF
        if self._polled:  # the second look at a busy flag is a polling loop
            self.silicon.wait_until(self._op.event.at_ns)
        self._polled = True
        return self._sr | SR_READY | (SR_BSY if self._op is not None else SR_HVOFF)

    def _read_pecr(self) -> int:
        locks = PECR_PELOCK * self._pe.closed | PECR_PRGLOCK * self._prg.closed | PECR_OPTLOCK * self._opt.closed
        return self._pecr | locks

    def peek_word(self, offset: int) -> int:
        """Lanes beside a small write."""
        return {_ACR: self._acr, _PECR: self._read_pecr()}.get(offset, 0)

    def write_word(self, offset: int, value: int) -> None:
        """Write a register."""
        self.settle()
        if offset == _SR:
            self._sr &= ~(value & (_SR_ERRORS | SR_EOP))
        elif offset == _PECR:
            self._write_pecr(value)
        elif offset == _PEKEYR:
            self._pe.write(value)
        elif offset in (_PRGKEYR, _OPTKEYR):
            if self._pe.closed:
                raise BusFault(self.base + offset, "PELOCK is set; it is opened first")
            (self._prg if offset == _PRGKEYR else self._opt).write(value)
        elif offset == _ACR:
            self._acr = value & _ACR_KEPT
        else:
            raise BusFault(self.base + offset, "this register of the flash controller cannot be written here")
        self._update_irq()

    def _write_pecr(self, value: int) -> None:
        self._finish_first()
        if self._pe.closed:
            self.silicon.complain("flash: a write to FLASH_PECR while PELOCK is set does nothing")
            return
        if value & PECR_PARALLBANK:
            raise BusFault(self.base + _PECR, "operations on both banks at once (PARALLBANK) are not modelled")
        if value & (PECR_PELOCK | PECR_PRGLOCK):
            self._prg.close()
        if value & (PECR_PELOCK | PECR_OPTLOCK):
            self._opt.close()
        self._pecr = value & _PECR_KEPT
        if value & PECR_PELOCK:
            self._pe.close()
            self._pecr &= ~(PECR_PROG | PECR_DATA | PECR_ERASE | PECR_FPRG)
        if not self._pecr & PECR_FPRG:
            self._half.clear()
        if value & PECR_OBL and not self._opt.closed:
            self._options.load()
            self._lock(self._shut)
            self.silicon.reset(Reset.OPTIONS)

    def _update_irq(self) -> None:
        level = (self._sr & SR_EOP and self._pecr & PECR_EOPIE) or (self._sr & _SR_ERRORS and self._pecr & PECR_ERRIE)
        self.irq(bool(level))

    def _fail(self, error: int) -> bool:
        self._half.clear()
        self._sr |= error
        self._update_irq()
        return False

    # stores

    def store(self, address: int, size: int, value: int) -> bool:
        """A write of the debugger or the core; answers whether it is part of an operation."""
        self._finish_first()
        offset = self.array.offset(address)
        if offset is not None:
            return self._store_to_flash(offset, size, value)
        offset = self.eeprom.offset(address)
        if offset is not None:
            return self._store_to_eeprom(offset, size, value)
        return self._store_to_options(address, size, value)

    def store_from_core(self, address: int, size: int, value: int) -> bool:
        """As :meth:`store`; the core's store also lands in its view of the memory until :meth:`settle`."""
        self.settle()
        offset = self.array.offset(address)
        if offset is not None:
            self.array.touch(offset & ~(WORD - 1), WORD)
            if self._pecr & PECR_FPRG and self.array.offset(self.silicon.core.cpu.get(regs.PC)) is not None:
                return self._fail(SR_FWWERR)  # HAL: half pages are written by code in RAM only
        elif self.eeprom.overlaps(address, size):
            self.eeprom.touch()
        else:
            self._options_touched = True
        return self.store(address, size, value)

    def settle(self) -> None:
        """Show the true contents where a store has landed in the core's view."""
        self.array.settle()
        self.eeprom.settle()
        if self._options_touched:
            self._options_touched = False
            self._options.show()

    def _before_read(self, address: int, size: int) -> None:
        """A debugger's read: waits for an operation in the same bank."""
        if self._op is not None and self._op.bank in {self._bank(address), self._bank(address + size - 1)}:
            self._finish_first()
        self.settle()

    # flash

    def _store_to_flash(self, offset: int, size: int, value: int) -> bool:
        if self._pe.closed or self._prg.closed or self._shut or self._protected(offset):
            return self._fail(SR_WRPERR)
        if size != WORD:
            return self._fail(SR_SIZERR)
        mode = self._pecr & (PECR_PROG | PECR_ERASE | PECR_FPRG)
        if mode == PECR_PROG | PECR_ERASE:
            return self._erase_page(offset)
        if mode == PECR_PROG | PECR_FPRG:
            return self._load_half_page(offset, value)
        if mode & (PECR_ERASE | PECR_FPRG):
            return self._refuse_mode()
        return self._program(offset, [value])

    def _protected(self, offset: int) -> bool:
        sector = offset // SECTOR
        return bool(self._options.protection >> sector & 1) or sector in self.silicon.faults.protect_pages

    def _erase_page(self, offset: int) -> bool:
        size = self._times.page
        if offset % size:
            return self._fail(SR_PGAERR)
        self.array.store.begin_erase(offset, size)
        self._begin(self._bank(self.array.bases[0] + offset), self._times.erase_ns * self.silicon.faults.slow_erase)
        return True

    def _load_half_page(self, offset: int, value: int) -> bool:
        """Sixteen words, the first at the beginning of the half page, the others anywhere in it, in order."""
        if not self._half:
            self._half_at = offset
        if self._half_at % HALF_PAGE or offset // HALF_PAGE != self._half_at // HALF_PAGE:
            return self._fail(SR_PGAERR)
        self._half.append(value)
        if len(self._half) < HALF_PAGE // WORD:
            return True
        words, self._half = self._half, []
        return self._program(self._half_at, words)

    def _program(self, offset: int, values: list[int]) -> bool:
        data = b"".join(value.to_bytes(WORD, "little") for value in values)
        before = self.array.store.read(offset, len(data))
        state = State.PROGRAMMED
        if any(before):
            if not self._pecr & PECR_NZDISABLE:
                return self._fail(SR_NOTZEROERR)
            data, state = bytes(a | b for a, b in zip(before, data, strict=True)), State.BAD
        words = tuple(self.array.bases[0] + offset + n for n in range(0, len(data), WORD))
        self._tell(words)
        self.array.store.begin_program(offset, data, state)
        self._begin(self._bank(words[0]), self._times.program_ns, words)
        return True

    # data EEPROM and option bytes

    def _store_to_eeprom(self, offset: int, size: int, value: int) -> bool:
        """A byte, half-word or word; its word is erased first where it is not zero, or always with FIX."""
        if self._pe.closed or self._shut:
            return self._fail(SR_WRPERR)
        erase = self._pecr & (PECR_ERASE | PECR_DATA) == PECR_ERASE | PECR_DATA
        if self._pecr & (PECR_FPRG | PECR_PROG) or (self._pecr & PECR_ERASE and not erase):
            return self._refuse_mode()
        before, after = self.eeprom.word_after(offset, size, value)
        if erase:
            after = bytes(WORD)
        fixed = bool(self._pecr & PECR_FIX)
        erases = erase or fixed or any(before)
        programs = not erase and (fixed or not erases or any(after))
        erase_ns = self._times.erase_ns * self.silicon.faults.slow_erase
        words = (self.eeprom.base + (offset & ~(WORD - 1)),)
        self._tell(words)
        self.eeprom.store.begin_program(offset & ~(WORD - 1), after, State.PROGRAMMED if any(after) else State.ERASED)
        self._begin(self._bank(words[0]), erase_ns * erases + self._times.program_ns * programs, words)
        return True

    def _store_to_options(self, address: int, size: int, value: int) -> bool:
        index = self._options.index(address)
        if index is None or self._opt.closed or self._options.level == 2:
            return self._fail(SR_WRPERR)
        if size != WORD:
            return self._fail(SR_SIZERR)
        duration = self._times.erase_ns + self._times.program_ns
        if self._options.regresses(index, value):
            self.silicon.wipe_backup()  # RM0367, RTC_BKPxR: reset when the read-out protection is given up (unverified)
            for store in (self.array.store, self.eeprom.store):
                store.begin_erase(0, store.size)
            duration += self._times.erase_ns
        self._options.begin(index, value)
        self._begin(0, duration)
        return True

    def _refuse_mode(self) -> bool:
        self.silicon.complain(f"flash: a write with FLASH_PECR {self._read_pecr():#x} is no known operation")
        return self._fail(SR_PGAERR)

    # operations

    def _bank(self, address: int) -> int:
        """Each bank has half of the flash and half of the EEPROM; what else there is counts as bank 1 (here 0)."""
        for memory in (self.array, self.eeprom):
            offset = memory.offset(address)
            if offset is not None:
                return offset * 2 // memory.store.size
        return 0

    def _begin(self, bank: int, duration_ns: int, words: tuple[int, ...] = ()) -> None:
        self._polled = False
        now = self.silicon.clock.now_ns
        self._op = _Operation(self.silicon.clock.at(now + duration_ns, self._finish), bank, words)
        for address in words:
            self._programmed += 1
            if self.silicon.faults.cuts_power(self._programmed, address):
                self.silicon.clock.at(now + duration_ns // 2, self.silicon.power_failed)
        self.silicon.stall(now + duration_ns)

    def _finish(self) -> None:
        done, self._op = self._op, None
        if self.array.store.in_flight:
            self.array.finished()
        self.eeprom.finish()
        self._options.finish()
        if done is not None:
            self._tell(done.words)
        self._sr |= SR_EOP
        self._update_irq()

    def _finish_first(self) -> None:
        """The bus waits for an operation in flight; the core's clock jumps, a debugger is told to wait."""
        while self._op is not None:
            if not self.silicon.core.running:
                raise BusStall(self._op.event.at_ns)
            self.silicon.clock.advance_to(self._op.event.at_ns)

    def _tell(self, words: tuple[int, ...]) -> None:
        for address in words:
            for hook in self.on_program:
                hook(address)
