"""Option bytes, factory bytes and key locks of the STM32L0.

Register bits and layout: CMSIS header ``stm32l072xx.h`` (FLASH_OPTR_*, OB_TypeDef); keys: HAL header
``stm32l0xx_hal_flash.h``. Rules: RM0367 section 3.4 (Rev 7 p. 101, levels). An option word holds 16 bits and, above
them, their complement; a word whose halves do not fit counts as its safest value (level 1, everything protected) and
sets OPTVERR. Programmed words act after loading, by power-on or OBL_LAUNCH.

Choices where the manual is silent (unverified): a wrong key, or a third one, is a bus error and locks until reset; an
option word whose programming was cut short holds zero. What the factory wrote beside unique id and flash size is not
known here and reads 0xFF.
"""

import mmap
from collections.abc import Callable, Mapping

from lorafab.virtual.bus import BusFault, Memory
from lorafab.virtual.silicon import Silicon

WORDS = 5  # OB_TypeDef: RDP, USER, WRP01, WRP23, WRP45
WPRMOD, BFB2 = 1 << 8, 1 << 23
_BLOCK = 4096  # the emulator maps no less
_SECTORS = 16  # write protection bits in a word
_LEVELS = {0xAA: 0, 0xCC: 2}  # low byte of the first word; any other value is level 1


class KeyLock:
    """One lock of the controller, opened by two keys in a row."""

    def __init__(self, silicon: Silicon, address: int, keys: tuple[int, int]) -> None:
        """``address``: of its key register."""
        self._silicon, self._address, self._keys = silicon, address, keys
        self.reset()

    def reset(self) -> None:
        """Closed, and ready for keys."""
        self.closed, self._refused, self._seen = True, False, 0

    def close(self) -> None:
        """Closed by software."""
        self.closed, self._seen = True, 0

    def write(self, value: int) -> None:
        """A key arrives."""
        if self._silicon.faults.key_lock:
            return
        if self._refused or not self.closed or value != self._keys[self._seen]:
            self.closed = self._refused = True
            raise BusFault(self._address, "a wrong key, or one too many, locks this until reset")
        self._seen = (self._seen + 1) % len(self._keys)
        self.closed = self._seen != 0


def complete(half: int) -> int:
    """The option word that holds these 16 bits."""
    return half | (half ^ 0xFFFF) << 16


def _level(word: int) -> int:
    fits = complete(word & 0xFFFF) & 0x00FF_00FF == word & 0x00FF_00FF
    return _LEVELS.get(word & 0xFF, 1) if fits else 1


class OptionsL0:
    """The words as programmed (in the board file) and as loaded, and the block of memory that shows the former."""

    def __init__(self, silicon: Silicon, base: int, factory: Mapping[int, bytes]) -> None:
        """``factory``: bytes that can only be read, by address."""
        self._silicon, self._base = silicon, base
        self._view = mmap.mmap(-1, _BLOCK)
        self._view[:] = b"\xff" * _BLOCK
        for address, data in factory.items():
            self._view[address - base : address - base + len(data)] = data
        self._factory = bytes(self._view)
        self._in_flight: tuple[int, int] | None = None
        self._planned = silicon.faults.rdp  # the fault plan's level, until somebody programs another
        self.show()
        self.load()

    def memory(self, store: Callable[[int, int, int], object], before_read: Callable[[int, int], None]) -> Memory:
        """What the bus shows; arguments as of :class:`~lorafab.virtual.bus.Memory`."""
        return Memory(self._base, self._view, store, before_read)

    def show(self) -> None:
        """The block as it reads; puts back what stores of the core have done to the view."""
        words = b"".join(word.to_bytes(4, "little") for word in self._silicon.file.options)
        self._view[:] = words + self._factory[len(words) :]

    def load(self) -> None:
        """Put the programmed words in force."""
        words = list(self._silicon.file.options)
        if self._planned is not None:
            words[0] = complete(words[0] & 0xFF00 | {0: 0xAA, 2: 0xCC}.get(self._planned, 0xBB))
        self.level = _level(words[0])
        self.mismatch = any(complete(word & 0xFFFF) != word for word in words)
        self._halves = [
            word & 0xFFFF if complete(word & 0xFFFF) == word else _safest(n) for n, word in enumerate(words)
        ]
        for bit, what in ((WPRMOD, "PCROP (WPRMOD)"), (BFB2, "a boot from bank 2 (BFB2)")):
            if self.optr & bit:
                self._silicon.complain(f"flash: the option bytes ask for {what}, which is not modelled")

    def loaded(self, number: int) -> int:
        """The 16 bits of an option word as they are in force."""
        return self._halves[number]

    @property
    def optr(self) -> int:
        """FLASH_OPTR."""
        return self._halves[0] | self._halves[1] << 16

    @property
    def protection(self) -> int:
        """FLASH_WRPR2 and FLASH_WRPR: a bit for each sector of 4 KiB."""
        return self._halves[2] | self._halves[3] << _SECTORS | self._halves[4] << 2 * _SECTORS

    def regresses(self, index: int, word: int) -> bool:
        """Programming this word gives up level 1, which erases everything (RM0367 Rev 7 p. 101)."""
        return index == 0 and self.level == 1 and _level(word) == 0

    def index(self, address: int) -> int | None:
        """Number of the option word at an address, or None for what the factory wrote."""
        offset = address - self._base
        return offset // 4 if 0 <= offset < 4 * WORDS else None

    def begin(self, index: int, word: int) -> None:
        """Note that an option word is about to change."""
        self._in_flight = index, word

    def finish(self) -> None:
        """It has changed."""
        if self._in_flight is not None:
            self._put(*self._in_flight)

    def tear(self) -> None:
        """Its programming was cut short."""
        if self._in_flight is not None:
            self._put(self._in_flight[0], 0)

    def _put(self, index: int, word: int) -> None:
        words = list(self._silicon.file.options)
        words[index] = word
        self._planned = None if index == 0 else self._planned
        self._silicon.file.set_options(words)
        self._in_flight = None
        self.show()


def _safest(index: int) -> int:
    """What a word that does not fit counts as: level 1; user options as erased (unverified); all sectors protected."""
    return (0, 0, 0xFFFF, 0xFFFF, 0xFFFF)[index]
