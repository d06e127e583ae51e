"""The core's view of a flash array: contents from the board file, at one or more addresses, with what is wrong in it.

The file holds the truth. The view is a copy that the core shares, because stores that silicon refuses may land in it
for an instant (see ``cpu``); :meth:`FlashArray.settle` puts the truth back.
"""

import mmap
from collections.abc import Callable, Iterable

from lorafab.virtual.boardfile import State, StoreFile
from lorafab.virtual.bus import Memory
from lorafab.virtual.silicon import Silicon


class FlashArray:
    """View of one store; ``bases`` are the addresses where it is seen, the first being its own."""

    def __init__(self, silicon: Silicon, store: StoreFile, bases: Iterable[int]) -> None:
        self._silicon, self.store, self.bases = silicon, store, tuple(bases)
        self.view = mmap.mmap(-1, store.size)
        self.bad = store.bad_cells()  # cells whose ECC does not fit
        self.touched: set[tuple[int, int]] = set()  # spans where a store of the core may have landed
        self._stuck = self._stuck_masks()
        self._apply_stuck(0, store.size)
        self.view[:] = store.read()
        self._memories: list[Memory] = []

    def memories(
        self, store: Callable[[int, int, int], object], before_read: Callable[[int, int], None]
    ) -> list[Memory]:
        """What the bus shows; arguments as of :class:`~lorafab.virtual.bus.Memory`."""
        self._memories = [Memory(base, self.view, store, before_read) for base in self.bases]
        return self._memories

    def offset(self, address: int) -> int | None:
        """Where an address lies in the store, or None."""
        for base in self.bases:
            if base <= address < base + self.store.size:
                return address - base
        return None

    def overlaps(self, address: int, size: int) -> bool:
        """Part of the span is in the array."""
        return any(base < address + size and address < base + self.store.size for base in self.bases)

    def lock(self, locked: bool) -> None:
        """Read-out protection closes the array to everybody, or opens it."""
        for memory in self._memories:
            memory.locked = locked
            self._silicon.core.cpu.forbid(memory.base, locked)

    # contents

    def touch(self, offset: int, size: int) -> None:
        """A store of the core is about to land in the view."""
        self.touched.add((offset, size))

    def settle(self) -> None:
        """Put the truth back where stores have landed."""
        while self.touched:
            offset, size = self.touched.pop()
            self._copy(offset, size)

    def finished(self) -> tuple[int, int]:
        """Apply the operation in flight and show it; answers its offset and size."""
        offset, size = self.store.finish()
        self._apply_stuck(offset, size)
        self._show(offset, size)
        return offset, size

    def torn(self) -> None:
        """The operation in flight, if any, is cut short."""
        offset, size = self.store.resolve()
        if size:
            self._apply_stuck(offset, size)
            self._show(offset, size)

    def _show(self, offset: int, size: int) -> None:
        self._copy(offset, size)
        cell = self.store.spec.cell
        if not cell:
            return
        cells = range(offset // cell, -(-(offset + size) // cell))
        states = (
            self.store.states()[cells.start : cells.stop] if len(cells) > 1 else bytes([self.store.state(cells[0])])
        )
        if self.bad or State.BAD in states:
            now = self.bad.difference(cells) | {cells.start + n for n, state in enumerate(states) if state == State.BAD}
            if now != self.bad:
                self.bad = now
                self._silicon.bad_words_changed()

    def _copy(self, offset: int, size: int) -> None:
        self.view[offset : offset + size] = self.store.read(offset, size)
        forget = self._silicon.core.cpu.forget_code
        for base in self.bases:
            forget(base + offset, size)

    # stuck bits

    def _stuck_masks(self) -> dict[int, tuple[int, int]]:
        """For each byte offset with stuck bits: the bits that read 0 and those that read 1."""
        masks: dict[int, tuple[int, int]] = {}
        for stuck in self._silicon.faults.stuck_bits:
            offset = self.offset(stuck.address)
            if offset is not None:
                clear, set_ = masks.get(offset, (0, 0))
                bit = 1 << stuck.bit
                masks[offset] = (clear, set_ | bit) if stuck.level else (clear | bit, set_)
        return masks

    def _apply_stuck(self, start: int, size: int) -> None:
        for offset, (clear, set_) in self._stuck.items():
            if start <= offset < start + size:
                self.store.put(offset, bytes([self.store.read(offset, 1)[0] & ~clear & 0xFF | set_]))
