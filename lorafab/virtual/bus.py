"""The address map: plain memories and register blocks, as the core and the debug port see them.

An access that nothing answers is a :class:`BusFault` and a sentence in ``Bus.complaints``, never a quiet zero.
"""

import mmap
from collections.abc import Callable
from typing import Protocol

COMPLAINTS_KEPT = 200  # firmware in a loop must not fill the computer's memory with sentences
_MASK = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFF_FFFF}


class BusFault(Exception):
    """An access that the bus answers with an error; ``address`` in bytes."""

    def __init__(self, address: int, why: str = "nothing answers there") -> None:
        super().__init__(f"bus fault at {address:#010x}: {why}")
        self.address, self.why = address, why


class BusStall(Exception):
    """An access that the bus holds until simulated time ``until_ns``; it may be repeated then."""

    def __init__(self, until_ns: int) -> None:
        super().__init__(f"the bus waits until {until_ns} ns")
        self.until_ns = until_ns


class Device(Protocol):
    """A block of registers; ``offset`` in bytes from its base, ``size`` 1, 2 or 4 bytes."""

    def read(self, offset: int, size: int) -> int:
        """Value read; raises BusFault."""
        ...

    def write(self, offset: int, size: int, value: int) -> None:
        """Write ``value``; raises BusFault."""
        ...


class WordRegisters:
    """Base of devices made of 32-bit registers: smaller accesses are lanes of a word.

    A small write keeps the other lanes as ``peek_word`` gives them; reading them has no side effect.
    """

    base = 0

    def read(self, offset: int, size: int) -> int:
        """Read a register or a lane of it."""
        if size == 4 and not offset & 3:
            return self.read_word(offset)
        if offset % size:
            raise BusFault(self.base + offset, "the access is not aligned")
        return self.read_word(offset & ~3) >> 8 * (offset & 3) & _MASK[size]

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register or a lane of it."""
        if offset % size:
            raise BusFault(self.base + offset, "the access is not aligned")
        if size != 4:
            shift = 8 * (offset & 3)
            value = self.peek_word(offset & ~3) & ~(_MASK[size] << shift) | (value & _MASK[size]) << shift
        self.write_word(offset & ~3, value)

    def read_word(self, offset: int) -> int:
        """Value of the register at ``offset``, with the side effects of a read."""
        raise NotImplementedError

    def write_word(self, offset: int, value: int) -> None:
        """Write the register at ``offset``."""
        raise NotImplementedError

    def peek_word(self, offset: int) -> int:
        """What the untouched lanes hold during a smaller write; zero suits registers without memory."""
        return 0


class Memory:
    """Plain bytes from ``base`` on, in a buffer that the core shares.

    ``store`` takes the writes of a memory that cannot simply be written (flash); ``before_read(address, size)`` may
    let time pass or raise BusFault.
    """

    def __init__(
        self,
        base: int,
        data: mmap.mmap,
        store: Callable[[int, int, int], object] | None = None,
        before_read: Callable[[int, int], None] | None = None,
    ) -> None:
        self.base, self.data, self.store, self.before_read = base, data, store, before_read
        self.end = base + len(data)
        self.locked = False  # read-out protection: nobody gets in any more


class Bus:
    """Finds who answers for an address; raises BusFault when nobody does."""

    def __init__(self) -> None:
        self.memories: list[Memory] = []
        self.complaints: list[str] = []
        self._devices: dict[int, tuple[int, Device]] = {}  # by KiB: every block starts on one

    def add_device(self, base: int, size: int, device: Device) -> None:
        """Let ``device`` answer for ``size`` bytes from ``base`` (both multiples of 1 KiB)."""
        for kib in range(base >> 10, (base + size) >> 10):
            self._devices[kib] = (base, device)

    def memory_at(self, address: int, size: int) -> Memory | None:
        """The plain memory that holds all of the span, or None; raises BusFault when it is locked."""
        for memory in self.memories:
            if memory.base <= address and address + size <= memory.end:
                if memory.locked:
                    raise BusFault(address, "read-out protection closed this memory")
                return memory
        return None

    def device_read(self, address: int, size: int) -> int:
        """Read a register."""
        found = self._devices.get(address >> 10)
        if found is None:
            raise BusFault(address, "no such peripheral is modelled")
        return found[1].read(address - found[0], size)

    def device_write(self, address: int, size: int, value: int) -> None:
        """Write a register."""
        found = self._devices.get(address >> 10)
        if found is None:
            raise BusFault(address, "no such peripheral is modelled")
        found[1].write(address - found[0], size, value)

    def read(self, address: int, size: int) -> int:
        """Read 1, 2 or 4 bytes, little-endian."""
        memory = self.memory_at(address, size)
        if memory is None:
            return self.device_read(address, size)
        if memory.before_read is not None:
            memory.before_read(address, size)
        offset = address - memory.base
        return int.from_bytes(memory.data[offset : offset + size], "little")

    def write(self, address: int, size: int, value: int) -> None:
        """Write 1, 2 or 4 bytes, little-endian."""
        memory = self.memory_at(address, size)
        if memory is None:
            self.device_write(address, size, value)
        elif memory.store is not None:
            memory.store(address, size, value)
        else:
            offset = address - memory.base
            memory.data[offset : offset + size] = (value & _MASK[size]).to_bytes(size, "little")

    def peek(self, address: int, size: int) -> bytes:
        """Bytes of plain memory without side effects; raises BusFault elsewhere."""
        memory = self.memory_at(address, size)
        if memory is None:
            raise BusFault(address)
        return memory.data[address - memory.base : address - memory.base + size]

    def complain(self, sentence: str) -> None:
        """Keep a sentence about something that this board cannot do."""
        if len(self.complaints) < COMPLAINTS_KEPT:
            self.complaints.append(sentence)
