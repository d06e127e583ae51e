"""NVMC, the flash controller, with the memory it serves: 1 MiB of flash, UICR, and what the factory wrote (FICR).

Registers: MDK ``nrf52840.h`` (NRF_NVMC_Type, offsets 0x400 to 0x54C) and ``nrf52840_bitfields.h``. Rules: product
specification, chapter NVMC: whole aligned words only, a write clears bits and never sets one, the same word may be
written nWRITE times between erases, READYNEXT says that one more write is buffered, code in flash stands still during
an operation, an erase in slices (ERASEPAGEPARTIAL) leaves the page undefined until its time adds up. All of this
holds for UICR, too, but for slices; UICR is erased with ERASEUICR, or with everything.

Times: 41 us a word and 85 ms a page (product specification 1.11; 20 ms were measured on a part, see docs); 169 ms for
everything, 85 ms for UICR, nWRITE = 2 for this part and no set-up time of a slice are unverified.

Choices where the specification is silent (unverified): a write without CONFIG.WEN, and one that is no whole word, is
a bus fault; an erase without CONFIG.EEN is ignored, with a complaint; a word written more often than nWRITE, or
written after an interrupted erase, keeps some of the bits that should have been cleared; a system reset during an
operation tears it like a power cut; a register written during an operation waits for its end. There is no ECC: torn
words read as they are. Cache hits are not counted.

Anomaly 184 (revision 1, build codes C0 and before D0): an operation that a debugger starts while the core runs fails
or takes longer; here it takes four times as long, and the board complains.
"""

import mmap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from lorafab.virtual.array import FlashArray
from lorafab.virtual.boardfile import State
from lorafab.virtual.bus import BusFault, BusStall, Memory
from lorafab.virtual.clock import Event
from lorafab.virtual.exceptions import PRECISERR
from lorafab.virtual.nrf52.ficr import FICR_BASE, FICR_SIZE, factory_data
from lorafab.virtual.nrf52.peripheral import Peripheral
from lorafab.virtual.nvic import BUS_FAULT

if TYPE_CHECKING:
    from lorafab.virtual.chip import At
    from lorafab.virtual.silicon import Silicon

FLASH_BASE, UICR_BASE, UICR_SIZE = 0, 0x1000_1000, 0x1000
PAGE, WORD = 4096, 4
READY, READYNEXT, CONFIG, ERASEPAGE, ERASEALL, ERASEPCR0, ERASEUICR, ERASEPARTIAL, PARTIALCFG, ICACHECNF = (
    0x400, 0x408, 0x504, 0x508, 0x50C, 0x510, 0x514, 0x518, 0x51C, 0x540,
)  # fmt: skip
_IHIT, _IMISS = 0x548, 0x54C
REN, WEN, EEN = 0, 1, 2
_ERASES = (ERASEPAGE, ERASEPCR0, ERASEALL, ERASEUICR, ERASEPARTIAL)
_PARTIAL_MS = 10  # after reset
_WRITTEN_TWICE = 3  # state of a cell, beside those of State
_AFTER_WRITE = {int(State.ERASED): int(State.PROGRAMMED), int(State.PROGRAMMED): _WRITTEN_TWICE}
_DONE_BITS = 0x5555_5555  # of the bits that one write too many should clear: fixed, so that runs repeat
_CACHE_PROFILING = 1 << 8
_FIRST_WITHOUT_184, _SLOWED = "D0", 4  # anomaly 184


class Nvmc(Peripheral):
    """The part named ``flash``. ``settings``: ``build_code`` of the chip, such as ``F0``."""

    lacks: ClassVar = frozenset({"wrp", "key_lock"})
    """Faults that mean nothing here."""
    rdp_levels: ClassVar = (1,)
    """Levels of the fault ``rdp``: APPROTECT on."""

    def __init__(self, silicon: "Silicon", at: "At") -> None:
        self.on_program: list[Callable[[int], None]] = []
        self._build_code = str(at.settings["build_code"])
        self._times = silicon.chip.flash_times
        self.code = FlashArray(silicon, silicon.file.stores["flash"], (FLASH_BASE,))
        self.uicr = FlashArray(silicon, silicon.file.stores["uicr"], (UICR_BASE,))
        self._factory = factory_data(silicon.file.uid, self._build_code, silicon.faults)
        self._ficr = mmap.mmap(-1, FICR_SIZE)
        self._ficr[:] = self._factory
        self._busy: Event | None = None
        self._ending: Callable[[], None] = _nothing
        self._queued: Callable[[], None] | None = None
        self._in_flight: tuple[FlashArray, ...] = ()
        self._partial: dict[int, int] = {}  # ns of erase that a page has had so far
        self._programmed = 0  # words, since the board was opened
        self._config, self._partial_ms, self._cache, self._polled = REN, _PARTIAL_MS, 0, False
        self._counted: frozenset[int] | None = None
        super().__init__(silicon, at)

    def uicr_word(self, offset: int) -> int:
        """A word of UICR as it is now."""
        return int.from_bytes(self.uicr.store.read(offset, WORD), "little")

    # life

    def reset(self) -> None:
        """Registers after a reset; an operation in flight is torn."""
        self.stop()
        self._config, self._partial_ms, self._cache = REN, _PARTIAL_MS, 0
        self.settle()

    def stop(self) -> None:
        """Power or reset hits: an operation in flight leaves words with part of their bits changed."""
        self._queued = None
        if self._busy is not None:
            self._busy.cancel()
            self._busy = None
            self._partial.clear()  # what a slice has done so far is undefined
            self._tear()

    def _tear(self) -> None:
        for array in self._in_flight:
            array.torn()
        self._in_flight = ()

    # what the chip asks (FlashPart)

    @property
    def busy_until(self) -> int | None:
        """End of the operation in flight in simulated ns, or None."""
        return None if self._busy is None else self._busy.at_ns

    def memories(self) -> list[Memory]:
        """Flash, UICR and FICR."""
        factory = Memory(FICR_BASE, self._ficr, self.store, self._before_read)
        arrays = [array.memories(self.store, self._before_read) for array in (self.code, self.uicr)]
        return [*arrays[0], *arrays[1], factory]

    def boot_base(self) -> int:
        """The vector table lies at address 0."""
        return FLASH_BASE

    def fetches(self, pc: int) -> bool:
        """Code in flash stands still during an operation."""
        return self._array(pc) is not None

    def ecc_error(self, address: int) -> None:
        """Cannot happen: this flash has no ECC."""

    def bad_places(self) -> set[int]:
        """None: torn words read as they are."""
        return set()

    def counted_polls(self) -> frozenset[int]:
        """Counters that programs read in a loop: reading must not make time jump past the value they wait for."""
        if self._counted is None:
            blocks = [part for part in self.silicon.parts.values() if isinstance(part, Peripheral)]
            self._counted = frozenset(part.base + offset for part in blocks for offset in part.COUNTED)
        return self._counted

    def debug_enabled(self) -> bool:
        """Whether the access port protection leaves memory to a debugger."""
        port: Any = self.silicon.parts["ctrl_ap"]
        return bool(port.debug_enabled())

    def check_debugger(self, address: int, size: int, write: bool) -> None:
        """Raise BusFault while protection keeps the debugger out of everything."""
        if not self.debug_enabled():
            raise BusFault(address, "the access port protection (APPROTECT) is on")

    def reset_pin_enabled(self) -> bool:
        """Whether UICR makes P0.18 a reset pin: both PSELRESET words the same, and connected."""
        first, second = self.uicr_word(0x200), self.uicr_word(0x204)
        return first == second and not first >> 31

    # registers

    def read_word(self, offset: int) -> int:
        """Read a register; the second look at a busy flag lets time pass."""
        if offset == READY:
            return self._look(lambda: self._busy is None)
        if offset == READYNEXT:
            return self._look(lambda: self._queued is None)
        values = {CONFIG: self._config, PARTIALCFG: self._partial_ms, ICACHECNF: self._cache, _IHIT: 0, _IMISS: 0}
        values |= dict.fromkeys(_ERASES, 0)
        return values[offset] if offset in values else self.read_other(offset)

    def _look(self, ready: Callable[[], bool]) -> int:
        if not ready():
            if self._polled and self._busy is not None:
                self.silicon.wait_until(self._busy.at_ns)
            self._polled = True
        return int(ready())

    def write_word(self, offset: int, value: int) -> None:
        """Write a register; waits for an operation in flight."""
        while self._busy is not None:
            self._wait()
        if offset == CONFIG:
            self._config = value & (WEN | EEN)
            if self._config == WEN | EEN:
                self.silicon.complain("NVMC: CONFIG enables writing and erasing at once, which is not allowed")
        elif offset in _ERASES:
            self._erase(offset, value)
        elif offset == PARTIALCFG:
            self._partial_ms = value & 0x7F
        elif offset == ICACHECNF:
            self._cache = value & (_CACHE_PROFILING | 1)
            if value & _CACHE_PROFILING:
                self.silicon.complain("NVMC: the cache's hits and misses are not counted, IHIT and IMISS stay 0")
        else:
            self.write_other(offset, value)

    # writing

    def store(self, address: int, size: int, value: int) -> None:
        """A debugger's or the program's write to flash or UICR; raises BusFault where hardware does."""
        array = self._array(address)
        if array is None:
            raise BusFault(address, "what the factory wrote cannot be changed")
        if size != WORD or address % WORD:
            raise BusFault(address, "the flash takes whole aligned words only")
        if self._config != WEN:
            raise BusFault(address, "NVMC.CONFIG does not enable writing")
        while self._queued is not None:
            self._wait()
        factor = self._slowed()
        if self._busy is None:
            self._begin_write(array, address, value, factor)
        else:
            self._queued = lambda: self._begin_write(array, address, value, factor)

    def store_from_core(self, address: int, size: int, value: int) -> bool:
        """As :meth:`store`; False when what lands in the core's view is not what the flash will hold."""
        self.settle()
        array, start = self._array(address), address - address % WORD
        if array is not None:
            offset = start - array.bases[0]
            array.touch(offset, -(-(address + size - start) // WORD) * WORD)
            fits = int.from_bytes(array.store.read(offset, WORD), "little") & value == value
        try:
            self.store(address, size, value)
        except BusFault as fault:
            self._fault_core(fault)
            return False
        return fits

    def _fault_core(self, fault: BusFault) -> None:
        """A store that the bus answers with an error: the program gets a BusFault at that instruction."""
        core = self.silicon.core
        self.silicon.complain(f"core: write to {fault.address:#010x}: {fault.why}")
        core.when_stopped(lambda: core.exceptions.fault(BUS_FAULT, PRECISERR, fault.address))

    def settle(self) -> None:
        """Show the true contents where a store has landed in the core's view."""
        self.code.settle()
        self.uicr.settle()

    def _begin_write(self, array: FlashArray, address: int, value: int, factor: int) -> None:
        offset, store = address - array.bases[0], array.store
        old = int.from_bytes(store.read(offset, WORD), "little")
        new, after = old & value, _AFTER_WRITE.get(store.state(offset // WORD), int(State.BAD))
        if after == State.BAD:
            new = old & ~(old & ~value & _DONE_BITS)
            self.silicon.complain(
                f"NVMC: the word at {address:#010x} was written twice, or its erase was interrupted; its contents are "
                "undefined until the page is erased"
            )
        self._tell(address)
        store.begin_program(offset, new.to_bytes(WORD, "little"), after)
        duration = self._times.program_ns * factor
        self._begin((array,), duration, self._finish)
        self._programmed += 1
        if self.silicon.faults.cuts_power(self._programmed, address):
            self.silicon.clock.at(self.silicon.clock.now_ns + duration // 2, self.silicon.power_failed)
        self._stall_core()

    # erasing

    def _erase(self, offset: int, value: int) -> None:
        if offset in (ERASEALL, ERASEUICR) and not value & 1:
            return
        if self._config != EEN:
            self.silicon.complain("NVMC: an erase is asked for while CONFIG does not enable erasing; it is ignored")
        elif offset == ERASEALL:
            self.erase_everything(_nothing)
        elif offset == ERASEUICR:
            self._erase_uicr()
        elif value % PAGE or value >= self.code.store.size:
            self.silicon.complain(f"NVMC: {value:#010x} is not the address of a page; nothing is erased")
        elif offset == ERASEPARTIAL:
            self._erase_slice(value)
        else:
            self._partial.pop(value, None)
            self._start_erase(self.code, value, PAGE, self._times.erase_ns, self._finish)

    def erase_everything(self, done: Callable[[], None]) -> None:
        """Flash and UICR, then ``done``: ERASEALL, and that of CTRL-AP."""
        self._finish_first()
        for array in (self.code, self.uicr):
            array.store.begin_erase(0, array.store.size)

        def finish() -> None:
            self._finish()
            done()

        self._partial.clear()
        assert self._times.mass_ns is not None
        self._begin((self.code, self.uicr), self._times.mass_ns * self._erase_factor(), finish)
        self._stall_core()

    def _erase_uicr(self) -> None:
        if self.debug_enabled():
            self._start_erase(self.uicr, 0, UICR_SIZE, self._times.erase_ns, self._finish)
        else:
            self.silicon.complain("NVMC: ERASEUICR is refused while the access port protection is on")

    def _erase_slice(self, page: int) -> None:
        if not self._partial_ms:
            self.silicon.complain("NVMC: ERASEPAGEPARTIALCFG is 0 ms; nothing is erased")
            return
        slice_ns = self._partial_ms * 1_000_000
        total = self._partial.pop(page, 0) + slice_ns
        if total < self._times.erase_ns:
            self._partial[page] = total
        self._start_erase(self.code, page, PAGE, slice_ns, self._tear if page in self._partial else self._finish)

    def _start_erase(
        self, array: FlashArray, offset: int, size: int, duration_ns: int, ending: Callable[[], None]
    ) -> None:
        array.store.begin_erase(offset, size)
        self._begin((array,), duration_ns * self._erase_factor(), ending)
        self._stall_core()

    # operations

    def _erase_factor(self) -> int:
        return self.silicon.faults.slow_erase * self._slowed()

    def _slowed(self) -> int:
        """Anomaly 184: by how much longer an operation takes that starts now."""
        core = self.silicon.core
        if self._build_code >= _FIRST_WITHOUT_184 or core.running or core.stands_still:
            return 1
        self.silicon.complain("NVMC: a debugger starts an operation while the core runs (anomaly 184); halt it first")
        return _SLOWED

    def _begin(self, arrays: tuple[FlashArray, ...], duration_ns: int, ending: Callable[[], None]) -> None:
        self._polled = False
        self._in_flight, self._ending = arrays, ending
        self._busy = self.silicon.clock.at(self.silicon.clock.now_ns + duration_ns, self._end)

    def _stall_core(self) -> None:
        if self._busy is not None:
            self.silicon.stall(self._busy.at_ns)

    def _end(self) -> None:
        self._busy = None
        self._ending()
        if self._queued is not None:
            queued, self._queued = self._queued, None
            queued()

    def _finish(self) -> None:
        arrays, self._in_flight = self._in_flight, ()
        for array in arrays:
            offset, size = array.finished()
            if size == WORD:
                self._tell(array.bases[0] + offset)

    def _wait(self) -> None:
        """The bus waits for what is in flight: the core's clock jumps, a debugger is told to wait."""
        if self._busy is not None:
            if not self.silicon.core.running:
                raise BusStall(self._busy.at_ns)
            self.silicon.clock.advance_to(self._busy.at_ns)

    def _finish_first(self) -> None:
        """What is in flight comes to its end at once."""
        while self._busy is not None:
            self.silicon.clock.advance_to(self._busy.at_ns)

    def _tell(self, address: int) -> None:
        for hook in self.on_program:
            hook(address)

    # contents

    def _array(self, address: int) -> FlashArray | None:
        return next((array for array in (self.code, self.uicr) if array.offset(address) is not None), None)

    def _before_read(self, address: int, size: int) -> None:
        """A debugger's read is held during an operation."""
        if self._busy is not None:
            raise BusStall(self._busy.at_ns)
        self.settle()


def _nothing() -> None:
    """After an erase that nobody waits for."""
