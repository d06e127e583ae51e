"""What Nordic's peripherals have in common: tasks, events, interrupts, and EasyDMA.

A task is a register that does something when its bit 0 is written; an event is a register that software clears; both
lie in the first KiB of a peripheral. INTEN, INTENSET and INTENCLR are 0x300, 0x304 and 0x308. Source: Nordic's MDK,
``nrf52840.h`` and ``nrf52840_bitfields.h``, which name every register and bit of this package.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from lorafab.virtual.bus import BusFault, Memory
from lorafab.virtual.silicon import Part, Reset, Sleep

if TYPE_CHECKING:
    from lorafab.virtual.chip import At
    from lorafab.virtual.silicon import Silicon

INTEN, INTENSET, INTENCLR = 0x300, 0x304, 0x308
UNCONNECTED = 1 << 31  # PSEL: no pin


class Peripheral(Part):
    """A register block; what a kind of peripheral has is said by its class."""

    TASKS: ClassVar[Mapping[int, str]] = {}
    """By offset: name of the method that does it."""
    EVENTS: ClassVar[Mapping[int, int]] = {}
    """By offset: its bit in the interrupt registers."""
    PLAIN: ClassVar[Mapping[int, tuple[int, int]]] = {}
    """Registers that keep what is written: bits that can be written, value after reset."""
    COUNTED: ClassVar[tuple[int, ...]] = ()
    """Registers whose polling must not make time jump."""

    def __init__(self, silicon: "Silicon", at: "At") -> None:
        super().__init__(silicon, at)
        self.values: dict[int, int] = {}
        self.enabled = 0
        self._happened: set[int] = set()
        self._clear()

    def _clear(self) -> None:
        self.values = {offset: after_reset for offset, (_, after_reset) in self.PLAIN.items()}
        self.enabled = 0
        self._happened.clear()

    # life

    def reset(self) -> None:
        """Registers as after a system reset; what was going on ends."""
        self.stop()
        self._clear()
        self.irq(False)

    def power_off(self) -> None:
        """The supply goes."""
        self.stop()

    def on_sleep(self, depth: Sleep) -> None:
        """System OFF ends whatever goes on."""
        if depth is Sleep.STANDBY:
            self.stop()

    def stop(self) -> None:
        """Cancel what is due."""

    def note_reset(self, cause: Reset) -> None:
        """The chip was reset; called after all parts' :meth:`reset`."""

    # events

    def event(self, offset: int) -> None:
        """The event at ``offset`` happens."""
        self._happened.add(offset)
        self.update_irq()

    def happened(self, offset: int) -> bool:
        """The event register reads 1."""
        return offset in self._happened

    def update_irq(self) -> None:
        """Drive the interrupt line from events and enables."""
        self.irq(any(self.enabled >> self.EVENTS[offset] & 1 for offset in self._happened))

    # registers

    def read_word(self, offset: int) -> int:
        """Read a register; tasks read 0."""
        if offset in self.EVENTS:
            return int(offset in self._happened)
        if offset in self.values:
            return self.values[offset]
        if offset in (INTEN, INTENSET, INTENCLR) and self.EVENTS:
            return self.enabled
        if offset in self.TASKS:
            return 0
        return self.read_other(offset)

    def write_word(self, offset: int, value: int) -> None:
        """Write a register; a task starts with bit 0."""
        if offset in self.TASKS:
            if value & 1:
                getattr(self, self.TASKS[offset])()
        elif offset in self.EVENTS:
            if value & 1:
                self._happened.add(offset)
            else:
                self._happened.discard(offset)
        elif offset in (INTEN, INTENSET, INTENCLR) and self.EVENTS:
            self._write_enables(offset, value)
        elif offset in self.values:
            self.values[offset] = value & self.PLAIN[offset][0]
            self.written(offset)
        else:
            self.write_other(offset, value)
        self.update_irq()

    def peek_word(self, offset: int) -> int:
        """Lanes beside a small write."""
        return self.values.get(offset, 0)

    def _write_enables(self, offset: int, value: int) -> None:
        known = sum(1 << bit for bit in self.EVENTS.values())
        value &= known
        now = {INTEN: value, INTENSET: self.enabled | value, INTENCLR: self.enabled & ~value}
        self.enabled = now[offset]
        self.written(INTEN)

    def written(self, offset: int) -> None:
        """A plain register, or the interrupt enables (``INTEN``), got a new value."""

    def read_other(self, offset: int) -> int:
        """Registers that the tables do not describe."""
        raise BusFault(self.base + offset, f"{self.name} has no such register in this model")

    def write_other(self, offset: int, value: int) -> None:
        """Registers that the tables do not describe."""
        raise BusFault(self.base + offset, f"{self.name} has no such register in this model")


# EasyDMA


def _data_ram(silicon: "Silicon", address: int, size: int) -> Memory:
    memory = silicon.bus.memory_at(address, max(size, 1))
    if memory is None or memory.store is not None:
        raise BusFault(address, f"EasyDMA reaches RAM only, not the {size} bytes from there on")
    return memory


def dma_check(silicon: "Silicon", address: int, size: int) -> None:
    """Raise BusFault when the span is not in RAM: EasyDMA reaches nothing else (product specification, EasyDMA)."""
    _data_ram(silicon, address, size)


def dma_read(silicon: "Silicon", address: int, size: int) -> bytes:
    """Bytes of RAM; raises BusFault elsewhere."""
    memory = _data_ram(silicon, address, size)
    return memory.data[address - memory.base : address - memory.base + size]


def dma_write(silicon: "Silicon", address: int, data: bytes) -> None:
    """Change bytes of RAM; raises BusFault elsewhere."""
    memory = _data_ram(silicon, address, len(data))
    memory.data[address - memory.base : address - memory.base + len(data)] = data
    silicon.contents_changed(address, len(data))
