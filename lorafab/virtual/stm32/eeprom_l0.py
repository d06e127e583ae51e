"""The STM32L0's data EEPROM as the bus shows it: words that are erased one by one, to zero.

The emulator maps whole pages of 4 KiB. A program that reads behind the end of the 6 KiB, where a chip answers with a
bus error, reads zeros here; a debugger gets the error.
"""

import mmap
from collections.abc import Callable

from lorafab.virtual.array import FlashArray
from lorafab.virtual.boardfile import StoreFile
from lorafab.virtual.bus import Memory
from lorafab.virtual.silicon import Silicon

WORD, _PAGE = 4, 4096


class DataEeprom:
    """Contents from the board file, and the core's view of them."""

    def __init__(self, silicon: Silicon, store: StoreFile, base: int) -> None:
        self._silicon, self.store, self.base = silicon, store, base
        self._array = FlashArray(silicon, store, (base,))
        self._view = mmap.mmap(-1, -(-store.size // _PAGE) * _PAGE)
        self._memory: Memory | None = None
        self._touched = False
        self._show()

    def memory(self, store: Callable[[int, int, int], object], before_read: Callable[[int, int], None]) -> Memory:
        """What the bus shows; arguments as of :class:`~lorafab.virtual.bus.Memory`."""
        self._memory = Memory(self.base, self._view, store, before_read)
        self._memory.end = self.base + self.store.size
        return self._memory

    def offset(self, address: int) -> int | None:
        """Where an address lies in it, or None."""
        return self._array.offset(address)

    def overlaps(self, address: int, size: int) -> bool:
        """Part of the span is in it."""
        return self._array.overlaps(address, size)

    def lock(self, locked: bool) -> None:
        """Read-out protection closes it to everybody, or opens it."""
        if self._memory is not None:
            self._memory.locked = locked
            self._silicon.core.cpu.forbid(self.base, locked)

    def word_after(self, offset: int, size: int, value: int) -> tuple[bytes, bytes]:
        """The word around a byte, half-word or word: as it is, and with ``value`` written."""
        place = offset % WORD
        before = self.store.read(offset - place, WORD)
        return before, before[:place] + value.to_bytes(size, "little") + before[place + size :]

    def touch(self) -> None:
        """A store of the core is about to land in the view."""
        self._touched = True

    def settle(self) -> None:
        """Put the truth back where stores have landed."""
        if self._touched:
            self._touched = False
            self._show()

    def finish(self) -> None:
        """The operation in flight, if any, has happened."""
        if self.store.in_flight:
            self._array.finished()
            self._show()

    def tear(self) -> None:
        """The operation in flight, if any, is cut short."""
        self._array.torn()
        self._show()

    def _show(self) -> None:
        self._view[: self.store.size] = self.store.read()
