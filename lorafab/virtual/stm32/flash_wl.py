"""Flash controller of STM32WL and STM32L4: what may be programmed and erased, how long it takes, what a torn word does.

Register offsets and bits: CMSIS headers ``stm32wle5xx.h`` and ``stm32l476xx.h`` (FLASH_TypeDef, FLASH_*_Pos). Rules:
RM0461/RM0453 section 3.3 and RM0351 section 3.3 (operations), 3.4 (option bytes), 3.5 (protections); the HAL drivers
``stm32wlxx_hal_flash.c`` and ``_flash_ex.c``; and what users report of parts.

``At.settings``: ``fast_ns`` (one double word in a fast row); ``banks`` of the array; ``alias`` address where the booted
flash is seen; ``system`` (base, size) and ``otp`` address of the system memory, ``rom`` what it holds by address;
``empty`` and ``cfgbsy``, whether ACR.EMPTY and SR.CFGBSY exist; ``wait_states`` (clock of the flash, its highest Hz by
ACR.LATENCY, in the regulator's highest range; too few are complained about, default: not checked); ``wrp`` and
``pcrop`` register offsets; ``guarded`` (start, end) spans that level 1 hides from a debugger besides the flash;
``wiped`` names of the RAMs that a regression wipes. Option words of the board file: OPTR, then the WRP registers.

Modelled: key unlock, double words, fast rows, page and mass erase, OTP, option bytes and their loading, write
protection, read-out protection levels 0, 1 and 2, double ECC errors, EOP only with EOPIE. Not modelled and refused with
a complaint: PCROP areas, securing, single ECC errors, a read of the flash by code in RAM during an operation (it sees
the old contents instead of waiting). Stuck bits act after the ECC decoder.

Choices where the manuals are silent (unverified): a bad double word can only be erased; a debugger's read of one ends
in a bus fault; a system reset during an operation tears it like a power cut; a wrong key is a bus error; any access of
a debugger to memory counts as the intrusion that closes a level 1 part's flash until the next power-on; the part's own
program then faults at its next fetch; a late word of a fast row is one that comes after twice its time.
"""

import mmap
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from lorafab.virtual.array import FlashArray
from lorafab.virtual.boardfile import State, StoreFile
from lorafab.virtual.bus import BusFault, BusStall, Memory
from lorafab.virtual.chip import At
from lorafab.virtual.clock import Event
from lorafab.virtual.silicon import Part, Reset, Silicon
from lorafab.virtual.stm32.options_wl import OptionBytes

WORD = 8
ROW_WORDS = 32  # double words of a fast row: RM0461 3.3.8
KEYS = (0x4567_0123, 0xCDEF_89AB)  # HAL, FLASH_KEY1, FLASH_KEY2
_ACR, _KEYR, _OPTKEYR, _SR, _CR, _ECCR, _OPTR = 0x00, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x20

SR_EOP, SR_OPERR, SR_PROGERR, SR_WRPERR, SR_PGAERR, SR_SIZERR, SR_PGSERR = 1, 2, 8, 0x10, 0x20, 0x40, 0x80
SR_MISERR, SR_FASTERR, SR_OPTVERR = 0x100, 0x200, 0x8000
SR_BSY, SR_CFGBSY = 1 << 16, 1 << 18
_SR_ERRORS = SR_PROGERR | SR_WRPERR | SR_PGAERR | SR_SIZERR | SR_PGSERR | SR_MISERR | SR_FASTERR
_SR_CLEARABLE = SR_EOP | SR_OPERR | _SR_ERRORS | 0xC000  # RDERR, OPTVERR
CR_PG, CR_PER, CR_MER1, CR_BKER, CR_MER2 = 1, 2, 4, 1 << 11, 1 << 15
CR_STRT, CR_OPTSTRT, CR_FSTPG, CR_OBL, CR_OPTLOCK, CR_LOCK = (
    1 << 16, 1 << 17, 1 << 18, 1 << 27, 1 << 30, 1 << 31,
)  # fmt: skip
_CR_EOPIE, _CR_ERRIE = 1 << 24, 1 << 25
_CR_KEPT = CR_PG | CR_PER | CR_MER1 | 0x3F8 | CR_FSTPG | _CR_EOPIE | _CR_ERRIE | 1 << 26
_CR_TWO_BANKS = 1 << 10 | CR_BKER | CR_MER2  # the highest bit of PNB, too
ECCR_ECCD, _ECCR_SYSF, _ECCR_ECCCIE, _ECCR_ECCC = 1 << 31, 1 << 20, 1 << 24, 1 << 30
_ACR_RESET, _ACR_LATENCY, _ACR_EMPTY, _ACR_KEPT = 0x600, 7, 1 << 16, 0x1_FF07
_FAST_MIN_HZ = 8_000_000  # HCLK3 for fast rows: RM0461 3.3.8


class FlashWl(Part):
    """Controller and array; the file only ever holds whole states. Implements the ``flash`` role."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        super().__init__(silicon, at)
        file = silicon.file
        self._set: dict[str, Any] = dict(at.settings)
        self._flash, self._otp = file.stores["flash"], file.stores["otp"]
        self._times = silicon.chip.flash_times
        self._page = self._times.page
        self.array = FlashArray(silicon, self._flash, (silicon.chip.flash_base, self._set["alias"]))
        self._system_base: int
        self._system_base, size = self._set["system"]
        self.system = mmap.mmap(-1, size)
        self.on_program: list[Callable[[int], None]] = []
        self._busy: Event | None = None
        self._row: list[tuple[StoreFile, int, bytes]] = []  # a fast row that is being filled
        self._waiting: deque[tuple[StoreFile, int, bytes]] = deque()  # one that is being programmed
        self._programmed = 0
        self._intruded = self._system_touched = False
        self._show_system()
        self._acr = 0
        bank_pages = self._flash.size // self._page // self._set.get("banks", 1)
        self._options = OptionBytes(silicon, self.base + _OPTKEYR, self._set["wrp"], bank_pages)
        self._load_options()
        self.reset()

    # life

    def power_on(self) -> None:
        """Options are loaded, the empty check is done, the intrusion latch opens."""
        self._intruded = False
        self.array.lock(False)
        self._load_options()

    def power_off(self) -> None:
        """What is in flight is torn."""
        self.tear()

    def reset(self) -> None:
        """Registers after a system reset, ACR.EMPTY excepted; an operation in flight is torn."""
        self.tear()
        self._acr = _ACR_RESET | self._acr & _ACR_EMPTY
        self._sr, self._cr, self._eccr = 0, CR_LOCK, 0
        self._options.reset()
        self._keys_seen, self._keys_refused, self._jammed = 0, False, False
        self._latch: tuple[int, int] | None = None  # address and value of a first word
        self._last_word_ns = 0
        self._polled = False
        self.settle()
        self._update_irq()

    def _load_options(self) -> None:
        """Option byte loading: by power-on and OBL_LAUNCH (RM0461 3.4.2); with it the empty check (p. 70)."""
        self._options.load()
        self._acr &= ~_ACR_EMPTY
        if self._set.get("empty") and self._flash.state(0) == State.ERASED:
            self._acr |= _ACR_EMPTY

    def tear(self) -> None:
        """The supply or a reset ends an operation in flight."""
        self._row.clear()
        self._waiting.clear()
        if self._busy is not None:
            self._busy.cancel()
            self._busy = None
            self.array.torn()
            if self._otp.resolve()[1]:
                self.silicon.bad_words_changed()
            self._show_system()

    def clock_changed(self) -> None:
        """A faster clock may want more wait states."""
        self._check_wait_states()

    def _check_wait_states(self) -> None:
        if "wait_states" not in self._set:
            return
        clock, highest = self._set["wait_states"]
        hz, latency = self.silicon.hz(clock), self._acr & _ACR_LATENCY
        if latency < len(highest) and hz > highest[latency]:
            enough = f"{latency} wait states are enough for {highest[latency]} Hz"
            sentence = f"flash: {clock} is {hz} Hz, and {enough}; a part may read anything"
            if sentence not in self.silicon.bus.complaints:
                self.silicon.complain(sentence)

    # what the rest of the chip asks

    @property
    def busy_until(self) -> int | None:
        """End of the operation in flight in simulated ns, the rest of a fast row included; or None."""
        return None if self._busy is None else self._busy.at_ns + len(self._waiting) * self._set["fast_ns"]

    def memories(self) -> list[Memory]:
        """The array, its alias, and system memory."""
        system = Memory(self._system_base, self.system, self.store, self._before_read)
        return [*self.array.memories(self.store, self._before_read), system]

    def boot_base(self) -> int:
        """ACR.EMPTY: the boot loader in system memory."""
        base: int = self._system_base if self._acr & _ACR_EMPTY else self._set["alias"]
        return base

    def fetches(self, pc: int) -> bool:
        """Code at ``pc`` runs from the array."""
        return self.array.offset(pc) is not None

    def counted_polls(self) -> frozenset[int]:
        """SR: with nothing in flight and a bit that stays up, programs count their looks."""
        return frozenset({self.base + _SR})

    def bad_places(self) -> set[int]:
        """Addresses of the bad double words, aliases included."""
        places = {base + cell * WORD for cell in self.array.bad for base in self.array.bases}
        return places | {self._set["otp"] + cell * WORD for cell in self._otp.bad_cells()}

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
        """Level 1: a debugger's access closes the flash until power-on; flash and the guarded spans answer with errors.

        RM0453 Rev 2 p. 118: no read, program or erase; SRAM2 and backup registers hidden; SRAM1, system memory and
        the option bytes stay open.
        """
        if self._options.level != 1:
            return
        if not self._intruded:
            self._intruded = True
            self.array.lock(True)
        if self.array.overlaps(address, size):
            raise BusFault(address, "read-out protection level 1 hides the flash from a debugger")
        if any(start <= address + size - 1 and address < end for start, end in self._set["guarded"]):
            raise BusFault(address, "read-out protection level 1 hides this memory from a debugger")

    @property
    def _closed(self) -> bool:
        """A debugger came to a part of level 1."""
        return self._intruded and self._options.level == 1

    def ecc_error(self, address: int) -> None:
        """Latch a double error in ECCR, unless one is there already; ADDR_ECC in double words."""
        if self._eccr & ECCR_ECCD:
            return
        store, offset = self._place(address)
        if store is self._flash:
            place = offset // WORD
        else:
            place = _ECCR_SYSF | (self._set["otp"] + offset - self._system_base) // WORD
        self._eccr = self._eccr & _ECCR_ECCCIE | ECCR_ECCD | place

    # registers

    def read_word(self, offset: int) -> int:
        """Read a register."""
        self.settle()
        if offset == _SR:
            return self._read_sr()
        optlock = CR_OPTLOCK if self._options.locked else 0
        values = {_ACR: self._acr, _KEYR: 0, _OPTKEYR: 0, _CR: self._cr | optlock, _ECCR: self._eccr}
        values |= self._options.values() | self._set["pcrop"]
        if offset not in values:
            raise BusFault(self.base + offset, "the flash controller has no such register")
        return values[offset]

    def _read_sr(self) -> int:
        until = self.busy_until
        if until is not None:
            if self._polled:  # the second look at a busy flag is a polling loop
                self.silicon.wait_until(until)
            self._polled = True
        value = self._sr | (SR_BSY if self._busy is not None else 0)
        busy = self._jammed or self._latch is not None or self._busy is not None
        return value | (SR_CFGBSY if busy and self._set.get("cfgbsy") else 0)

    def write_word(self, offset: int, value: int) -> None:
        """Write a register."""
        self.settle()
        if offset == _SR:
            self._sr &= ~(value & _SR_CLEARABLE)
        elif offset == _CR:
            self._write_cr(value)
        elif offset == _KEYR:
            self._write_key(value)
        elif offset == _OPTKEYR:
            if not self._cr & CR_LOCK:
                self._options.unlock(value)
        elif offset == _ACR:
            empty = _ACR_EMPTY if self._set.get("empty") else 0
            self._acr = value & (_ACR_KEPT & ~_ACR_EMPTY | empty)
            self._check_wait_states()
        elif offset == _ECCR:
            self._eccr = (self._eccr & ~(value & (ECCR_ECCD | _ECCR_ECCC)) & ~_ECCR_ECCCIE) | value & _ECCR_ECCCIE
        elif offset == _OPTR or offset in self._set["wrp"]:
            self._finish_first()  # what OPTSTRT programs must not change under its hands
            self._options.write(offset, value)
        else:
            raise BusFault(self.base + offset, "this register of the flash controller cannot be written here")
        self._update_irq()

    def peek_word(self, offset: int) -> int:
        """Lanes beside a small write."""
        return {_CR: self._cr, _ACR: self._acr}.get(offset, 0)

    def _write_key(self, value: int) -> None:
        if self._keys_refused:
            raise BusFault(self.base + _KEYR, "a wrong key locked the flash until reset")
        if not self._cr & CR_LOCK or self.silicon.faults.key_lock:
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
        if value & (CR_LOCK | CR_OPTLOCK):
            self._options.locked = True
        if not value & CR_FSTPG and self._cr & CR_FSTPG and self._row:
            self._row.clear()
            self._fail(SR_FASTERR)
        self._cr = value & (_CR_KEPT | CR_LOCK | (_CR_TWO_BANKS if self._set.get("banks", 1) == 2 else 0))
        if value & CR_LOCK:
            return
        if value & CR_STRT:
            self._start_erase()
        elif value & CR_OPTSTRT and not self._options.locked:
            self._start_options()
        elif value & CR_OBL and not self._options.locked:
            self._launch()

    def _update_irq(self) -> None:
        level = (self._sr & SR_EOP and self._cr & _CR_EOPIE) or (self._sr & SR_OPERR and self._cr & _CR_ERRIE)
        self.irq(bool(level))

    def _fail(self, error: int) -> None:
        self._latch = None
        self._sr |= error | (SR_OPERR if self._cr & _CR_ERRIE else 0)  # OPERR needs ERRIE (unverified)
        self._update_irq()

    # option bytes

    def _start_options(self) -> None:
        """OPTSTRT; giving up level 1 erases everything first (RM0453 3.5: the only way that mass-erases)."""
        if self._options.level == 2 or self._sr & _SR_ERRORS:
            self._fail(SR_WRPERR if self._options.level == 2 else SR_PGSERR)
            return
        duration = self._times.erase_ns  # option bytes live in a page of their own; its time (unverified)
        regression = self._options.regresses
        if regression:
            self._flash.begin_erase(0, self._flash.size)
            duration += self._mass_ns
        self._polled = False
        self._busy = self.silicon.clock.at(self.silicon.clock.now_ns + duration, lambda: self._options_done(regression))
        self.silicon.stall(self._busy.at_ns)

    def _options_done(self, regression: bool) -> None:
        self._busy = None
        if regression:
            self.array.finished()
            for name in self._set["wiped"]:
                self.silicon.wipe_ram(name)
            self.silicon.wipe_backup()
        self._options.program()
        if self._cr & _CR_EOPIE:
            self._sr |= SR_EOP
        self._update_irq()

    def _launch(self) -> None:
        """OBL_LAUNCH: reset with new options; a change of RDP with a debugger attached waits for power-on."""
        if self._intruded and self._options.level_waits:
            self.silicon.complain(
                "flash: a change of the read-out protection that a debugger made takes effect at the next power-on only"
            )
        else:
            self._load_options()
        self.silicon.reset(Reset.OPTIONS)

    # operations

    def store(self, address: int, size: int, value: int) -> bool:
        """A write of the debugger or the core to the array; answers whether it is part of a programming operation."""
        self._finish_first()
        word = address & ~(WORD - 1)
        if not self._cr & (CR_PG | CR_FSTPG):
            self._jammed = True  # seen on real parts: CFGBSY then stays until reset
            self._fail(SR_PGSERR)
        elif self._jammed:
            pass  # only a reset helps
        elif self._sr & _SR_ERRORS:
            self._fail(SR_PGSERR)
        elif size != 4:
            self._fail(SR_SIZERR)
        elif self._latch is None and address == word:
            self._latch = (word, value)
            return True
        elif self._latch is None or address == word or word != self._latch[0]:
            self._fail(SR_PGAERR)
        else:
            data = (self._latch[1] | value << 32).to_bytes(WORD, "little")
            self._latch = None
            return self._double_word(word, data)
        return False

    def _double_word(self, address: int, data: bytes) -> bool:
        store, offset = self._place(address)
        if store is None:
            self._fail(SR_WRPERR)  # system memory: nobody can program it
            return False
        return self._add_to_row(store, offset, data) if self._cr & CR_FSTPG else self._start(store, offset, data)

    def store_from_core(self, address: int, size: int, value: int) -> bool:
        """As :meth:`store`; the core's store also lands in its view of the array until :meth:`settle`."""
        self.settle()
        offset = self.array.offset(address)
        if offset is None:
            self._system_touched = True
        else:
            self.array.touch(offset & ~(WORD - 1), (offset + size - 1 | WORD - 1) + 1 - (offset & ~(WORD - 1)))
        return self.store(address, size, value)

    def settle(self) -> None:
        """Show the true contents where a store has landed in the core's view."""
        if self.array.touched:
            self.array.settle()
        if self._system_touched:
            self._system_touched = False
            self._show_system()

    def _refusal(self, store: StoreFile, offset: int, data: bytes) -> int:
        """Error bit that keeps this double word from being programmed, or 0."""
        state, flash = store.state(offset // WORD), store is self._flash
        zeroing = flash and data == bytes(WORD) and store.read(offset, WORD) != b"\xff" * WORD
        if self._closed or (flash and self._options.protected(offset // self._page)):
            return SR_WRPERR
        if state == State.BAD or (state == State.PROGRAMMED and not zeroing):
            return SR_PROGERR  # programmed with all ones counts as programmed (seen on parts)
        return 0

    def _start(self, store: StoreFile, offset: int, data: bytes) -> bool:
        refusal = self._refusal(store, offset, data)
        if refusal:
            self._fail(refusal)
            return False
        self._program(store, offset, data, self._times.program_ns)
        return True

    def _program(self, store: StoreFile, offset: int, data: bytes, duration_ns: int) -> None:
        self._tell(store, offset)
        store.begin_program(offset, data)
        self._begin(duration_ns)
        self._programmed += 1
        if self.silicon.faults.cuts_power(self._programmed, self._address(store, offset)):
            self.silicon.clock.at(self.silicon.clock.now_ns + duration_ns // 2, self.silicon.power_failed)
        self._stall_core()

    def _add_to_row(self, store: StoreFile, offset: int, data: bytes) -> bool:
        """Fast programming: a whole row, in order, without pauses; it starts when the row is complete."""
        now, row = self.silicon.clock.now_ns, self._row
        refusal = self._refusal(store, offset, data)
        if self.silicon.hz() < _FAST_MIN_HZ:
            self.silicon.complain("flash: fast programming needs HCLK3 of at least 8 MHz")
            refusal = refusal or SR_FASTERR
        if row and now - self._last_word_ns > 2 * self._set["fast_ns"]:
            refusal = SR_MISERR
        if offset != (row[-1][1] + WORD if row else offset - offset % (ROW_WORDS * WORD)):
            refusal = SR_PGAERR
        if refusal:
            row.clear()
            self._fail(refusal)
            return False
        row.append((store, offset, data))
        self._last_word_ns = now
        if len(row) == ROW_WORDS:
            self._waiting.extend(row)
            row.clear()
            self._program(*self._waiting.popleft(), self._set["fast_ns"])
        return True

    def _start_erase(self) -> None:
        kind = self._cr & (CR_PG | CR_PER | CR_MER1 | CR_MER2 | CR_FSTPG)
        pages = self._pages()
        if self._jammed:
            return
        if self._sr & _SR_ERRORS or self._latch or kind not in (CR_PER, CR_MER1, CR_MER2, CR_MER1 | CR_MER2):
            self._fail(SR_PGSERR)
        elif self._closed or any(map(self._options.protected, pages)):
            self._fail(SR_WRPERR)
        else:
            duration = self._times.erase_ns if self._cr & CR_PER else self._mass_ns
            self._flash.begin_erase(pages.start * self._page, len(pages) * self._page)
            self._begin(duration * self.silicon.faults.slow_erase)
            self._stall_core()

    def _pages(self) -> range:
        """Pages that the control register asks to erase; a bank is half of the array where there are two."""
        count = self._flash.size // self._page
        bank = count // self._set.get("banks", 1)
        if self._cr & CR_PER:
            page = self._cr >> 3 & (0xFF if bank < count else 0x7F)
            page += bank if bank < count and self._cr & CR_BKER else 0
            return range(page, page + 1)
        start = 0 if self._cr & CR_MER1 else bank
        return range(start, count if self._cr & CR_MER2 and bank < count else bank)

    @property
    def _mass_ns(self) -> int:
        assert self._times.mass_ns is not None  # these families have a mass erase
        return self._times.mass_ns

    def _begin(self, duration_ns: int) -> None:
        if not self._waiting:
            self._polled = False
        self._busy = self.silicon.clock.at(self.silicon.clock.now_ns + duration_ns, self._finish)

    def _stall_core(self) -> None:
        if self.busy_until is not None:
            self.silicon.stall(self.busy_until)

    def _finish(self) -> None:
        self._busy = None
        store = self._flash if self._flash.in_flight else self._otp
        if store is self._flash:
            offset, size = self.array.finished()
        else:
            offset, size = store.finish()
            self._show_system()
        if size == WORD:
            self._tell(store, offset)
        if self._waiting:
            self._program(*self._waiting.popleft(), self._set["fast_ns"])
            return
        if self._cr & _CR_EOPIE:
            self._sr |= SR_EOP
        self._update_irq()

    def _finish_first(self) -> None:
        """The bus waits for an operation in flight; the core's clock jumps, a debugger is told to wait."""
        until = self.busy_until
        if until is not None:
            if not self.silicon.core.running:
                raise BusStall(until)
            self.silicon.clock.advance_to(until)

    def _tell(self, store: StoreFile, offset: int) -> None:
        for hook in self.on_program:
            hook(self._address(store, offset))

    # the array

    def _before_read(self, address: int, size: int) -> None:
        """A debugger's read: waits for an operation in flight; raises BusFault on an ECC-bad double word."""
        self._finish_first()
        self.settle()
        otp = self._set["otp"] < address + size and address < self._set["otp"] + self._otp.size
        if not self.array.bad and not otp:
            return
        for word in range(address & ~(WORD - 1), address + size, WORD):
            store, offset = self._place(word)
            if store is not None and store.state(offset // WORD) == State.BAD:
                self.ecc_error(word)
                raise BusFault(word, "the double word's ECC does not fit its data")

    def _place(self, address: int) -> tuple[StoreFile | None, int]:
        """Store and offset; no store for system memory that nobody can program."""
        offset = self.array.offset(address)
        if offset is not None:
            return self._flash, offset
        if self._set["otp"] <= address < self._set["otp"] + self._otp.size:
            return self._otp, address - self._set["otp"]
        return None, 0

    def _address(self, store: StoreFile, offset: int) -> int:
        base: int = self.array.bases[0] if store is self._flash else self._set["otp"]
        return base + offset

    def _show_system(self) -> None:
        """System memory as read: what the profile says is there, the OTP area, and 0xFF (boot loader not modelled)."""
        image = bytearray(b"\xff" * len(self.system))
        for address, data in self._rom().items():
            image[address - self._system_base : address - self._system_base + len(data)] = data
        start = self._set["otp"] - self._system_base
        image[start : start + self._otp.size] = self._otp.read()
        self.system[:] = image

    def _rom(self) -> dict[int, bytes]:
        rom: Callable[[bytes, int | None], dict[int, bytes]] = self._set["rom"]
        return rom(self.silicon.file.uid, self.silicon.faults.flash_size)


def boot_loader(base: int, entry: int, stack: int) -> dict[int, bytes]:
    """A stand-in for the ROM loader that answers nobody: vectors, and a loop that sleeps at ``entry`` (wfi; b .-2)."""
    return {base: struct.pack("<II", stack, entry | 1), entry: bytes.fromhex("30bffde7")}
