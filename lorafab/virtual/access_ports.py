"""Access ports: a debugger's ways into the chip, register by register.

A MEM-AP does bus accesses, one for each access of DRW or BD0..BD3. The bus may hold one (``BusStall``): then it stays
in progress until it is resumed or given up, and nobody but the debug port's WAIT tells the debugger.

Sources: Arm IHI 0031 (ADIv5.2), C2.2 (MEM-AP operation), C2.6 (registers); Arm DDI 0439 (Cortex-M4 TRM), AHB-AP, for
the bits of CSW that can be written. That the AHB-AP of the Cortex-M0+ has the same ones is unverified.
"""

from collections.abc import Sequence
from typing import Protocol

from lorafab.virtual.bus import BusFault, BusStall
from lorafab.virtual.chip import Chip, MemoryAp
from lorafab.virtual.clock import Clock

# ADIv5.2 C2.6: MEM-AP registers; C1.2: IDR, which every access port has.
CSW, TAR, DRW, BD0, BD3, CFG, BASE, IDR = 0x00, 0x04, 0x0C, 0x10, 0x1C, 0xF4, 0xF8, 0xFC
CSW_TRINPROG = 1 << 7
CSW_DEVICEEN = 1 << 6
_CSW_WRITABLE = 1 << 29 | 1 << 25 | 0x37  # DDI 0439: MasterType, HPROT1, AddrInc, Size
_CSW_SIZE = 0x7
_CSW_WORD = 0x2
_CSW_INCREMENT = 0x30
_CSW_SINGLE = 0x10
_CSW_PACKED = 0x20


class AccessPort(Protocol):
    """What the debug port asks of an access port; also how a part of the chip is one."""

    def ap_read(self, register: int) -> int:
        """Read a register (byte offset, multiple of 4); raises BusFault and BusStall."""
        ...

    def ap_write(self, register: int, value: int) -> None:
        """Write a register; writes to read-only ones are ignored. Raises BusFault and BusStall."""
        ...


class DebuggedBus(Protocol):
    """A board as its memory access ports meet it."""

    @property
    def clock(self) -> Clock:
        """Simulated time."""
        ...

    @property
    def chip(self) -> Chip:
        """The profile of the chip."""
        ...

    def debug_enabled(self, ap_number: int) -> bool:
        """Whether protection leaves this MEM-AP its way to memory."""
        ...

    def mem_read(self, address: int, size: int) -> int:
        """Read 1, 2 or 4 bytes, little-endian; raises BusFault, or BusStall before anything happened."""
        ...

    def mem_write(self, address: int, size: int, value: int) -> None:
        """Write 1, 2 or 4 bytes, little-endian; raises BusFault, or BusStall before anything happened."""
        ...

    def mem_read_words(self, address: int, count: int) -> list[int]:
        """Read aligned words of plain memory; raises BusFault or BusStall when they cannot all be read at once."""
        ...

    def mem_write_words(self, address: int, words: Sequence[int]) -> None:
        """Write aligned words of RAM; raises BusFault or BusStall, and has written none of them then."""
        ...


class _Access:
    """What one access of DRW or BDx does on the bus: ``left`` accesses of ``size`` bytes; ``value`` None: reads."""

    __slots__ = ("address", "left", "result", "size", "value")

    def __init__(self, value: int | None, left: int, size: int, address: int | None) -> None:
        self.value, self.left, self.size, self.result = value, left, size, 0
        self.address = address
        """Fixed for BDx; None: TAR's, which moves on."""


class MemAp:
    """A memory access port; one that ``reaches`` nothing faults at every memory access."""

    def __init__(self, bus: DebuggedBus, spec: MemoryAp) -> None:
        self._bus, self._spec = bus, spec
        self._fixed = {IDR: spec.idr, BASE: spec.base, CFG: 0}
        self._csw = spec.csw
        self._tar = 0
        self._access: _Access | None = None
        self._held_until = 0
        chip = bus.chip
        rams = [(ram.base, ram.base + ram.size) for ram in chip.rams]
        # Where a block may go in one call of the bus: no side effects there, and a refusal leaves everything as it was.
        self._plain = {True: rams, False: [*rams, (chip.flash_base, chip.flash_base + chip.flash_size)]}

    # registers

    def ap_read(self, register: int) -> int:
        """Read a register; raises BusFault and BusStall from DRW and BD0..BD3."""
        if register == DRW:
            return self._start(None)
        if register == CSW:
            return self._read_csw()
        if register == TAR:
            return self._tar
        if BD0 <= register <= BD3:
            return self._start(None, (self._tar & ~0xF) + register - BD0)
        return self._fixed.get(register, 0)  # ADIv5.2 C2.5: reserved registers are RES0

    def ap_write(self, register: int, value: int) -> None:
        """Write a register; raises BusFault and BusStall from DRW and BD0..BD3."""
        if register == DRW:
            self._start(value)
        elif register == TAR:
            self._tar = value
        elif register == CSW:
            self._write_csw(value)
        elif BD0 <= register <= BD3:
            self._start(value, (self._tar & ~0xF) + register - BD0)

    def _read_csw(self) -> int:
        value = self._csw & ~(CSW_TRINPROG | CSW_DEVICEEN)
        if self._bus.clock.now_ns < self._held_until:
            value |= CSW_TRINPROG  # of an access that was given up: C2.2.5
        return value | self._csw & CSW_DEVICEEN if self._bus.debug_enabled(self._spec.number) else value

    def _write_csw(self, value: int) -> None:
        if value & _CSW_SIZE > _CSW_WORD:  # no wider than the bus: the field keeps a size that exists
            value = value & ~_CSW_SIZE | _CSW_WORD
        if value & _CSW_INCREMENT == _CSW_INCREMENT:  # reserved
            value &= ~_CSW_INCREMENT
        self._csw = self._csw & ~_CSW_WRITABLE | value & _CSW_WRITABLE

    # accesses

    def _start(self, value: int | None, address: int | None = None) -> int:
        size = 4 if address is not None else 1 << (self._csw & _CSW_SIZE)
        packed = address is None and self._csw & _CSW_INCREMENT == _CSW_PACKED
        self._access = _Access(value, 4 // size if packed else 1, size, address)
        return self.resume()

    def resume(self) -> int:
        """Go on with the access in progress; its result. Raises BusFault, or BusStall when the bus holds it again."""
        access = self._access
        assert access is not None
        try:
            while access.left:
                self._do(access)
                access.left -= 1
        except BusStall as stall:
            self._held_until = stall.until_ns
            raise
        except BusFault:
            self._access = None
            raise
        self._access = None
        return access.result

    def give_up(self) -> None:
        """Forget the access in progress (DAPABORT); the bus itself goes on waiting."""
        self._access = None

    def _do(self, access: _Access) -> None:
        """One access on the bus; bytes sit in their lanes of the word."""
        size = access.size
        address = (self._tar if access.address is None else access.address) & ~(size - 1)
        if not self._spec.reaches or not self._bus.debug_enabled(self._spec.number):
            raise BusFault(address, "the access port does not reach memory")
        shift = 8 * (address & 3)
        if access.value is None:
            access.result |= self._bus.mem_read(address, size) << shift
        else:
            self._bus.mem_write(address, size, access.value >> shift & (1 << 8 * size) - 1)
        if access.address is None and self._csw & _CSW_INCREMENT:
            self._advance(size)

    def _advance(self, count: int) -> None:
        wrap = self._spec.wrap
        self._tar = self._tar & ~(wrap - 1) | (self._tar + count) % wrap

    # blocks

    def read_words(self, count: int) -> list[int]:
        """Do up to ``count`` reads of DRW at once; none where they must be done one by one."""
        here = self._at_once(count, writing=False)
        if not here:
            return []
        try:
            words = self._bus.mem_read_words(self._tar, here)
        except (BusFault, BusStall):
            return []
        self._advance(4 * here)
        return words

    def write_words(self, words: Sequence[int]) -> int:
        """Do as many writes of DRW at once as possible; answers how many, 0 where they must be done one by one."""
        here = self._at_once(len(words), writing=True)
        if not here:
            return 0
        try:
            self._bus.mem_write_words(self._tar, words[:here])
        except (BusFault, BusStall):
            return 0
        self._advance(4 * here)
        return here

    def _at_once(self, count: int, writing: bool) -> int:
        """How many of ``count`` DRW accesses are rising words of plain memory, before TAR wraps."""
        start = self._tar
        if self._csw & (_CSW_SIZE | _CSW_INCREMENT) != _CSW_WORD | _CSW_SINGLE or start & 3:
            return 0
        if not self._spec.reaches or not self._bus.debug_enabled(self._spec.number):
            return 0
        here = min(count, (self._spec.wrap - start % self._spec.wrap) // 4)
        if any(low <= start and start + 4 * here <= high for low, high in self._plain[writing]):
            return here
        return 0


class PartPort:
    """An access port that a part of the chip is; it never makes the bus wait."""

    def __init__(self, part: AccessPort) -> None:
        self.ap_read, self.ap_write = part.ap_read, part.ap_write

    def resume(self) -> int:
        """Nothing is ever in progress."""
        return 0

    def give_up(self) -> None:
        """Nothing is ever in progress."""

    def read_words(self, count: int) -> list[int]:
        """One by one."""
        return []

    def write_words(self, words: Sequence[int]) -> int:
        """One by one."""
        return 0
