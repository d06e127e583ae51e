"""Option bytes of STM32WL and STM32L4: what is programmed, what is in force, and what a debugger may do at which level.

Register bits: CMSIS headers ``stm32wle5xx.h`` and ``stm32l476xx.h`` (FLASH_OPTR_*, FLASH_WRP1AR_*). Rules: RM0453
sections 3.4 and 3.5 (level table: Rev 2 p. 118), RM0351 section 3.5. Programmed values act after loading: by power-on,
or by OBL_LAUNCH, which is a reset too; a change of the level made by a debugger acts after power-on only (a note of the
manual that OpenOCD's stm32l4x.c quotes).
"""

from collections.abc import Sequence

from lorafab.virtual.bus import BusFault
from lorafab.virtual.silicon import Silicon

OPTION_KEYS = (0x0819_2A3B, 0x4C5D_6E7F)  # HAL, stm32wlxx_hal_flash.h: FLASH_OPTKEY1, FLASH_OPTKEY2
_LEVELS = {0xAA: 0, 0xCC: 2}  # RDP byte; any other value is level 1


def level_of(optr: int) -> int:
    """Read-out protection level that an OPTR value asks for: 0, 1 or 2."""
    return _LEVELS.get(optr & 0xFF, 1)


class OptionBytes:
    """OPTR and the write protection areas of one chip; the board file has the programmed values."""

    def __init__(self, silicon: Silicon, optkeyr: int, wrp: Sequence[int], bank_pages: int) -> None:
        """``optkeyr``: address of the key register; ``wrp``: register offsets of the areas, two for each bank."""
        self._silicon, self._optkeyr, self._wrp, self._bank_pages = silicon, optkeyr, tuple(wrp), bank_pages
        self._planned = silicon.faults.rdp  # the fault plan's level, until somebody programs another
        self.load()
        self.reset()

    def load(self) -> None:
        """Put the programmed values in force."""
        self._loaded = list(self._silicon.file.options)
        if self._planned is not None:
            self._loaded[0] = self._loaded[0] & ~0xFF | {0: 0xAA, 2: 0xCC}.get(self._planned, 0xBB)
        self._open = all(area & 0xFF > area >> 16 & 0xFF for area in self._loaded[1:])  # no area begins before its end

    def reset(self) -> None:
        """Registers show what is in force; the lock is closed."""
        self._registers = list(self._loaded)
        self.locked, self._refused, self._keys_seen = True, False, 0

    @property
    def level(self) -> int:
        """Read-out protection in force."""
        return level_of(self._loaded[0])

    @property
    def regresses(self) -> bool:
        """What is about to be programmed gives up level 1."""
        return self.level == 1 and level_of(self._registers[0]) == 0

    @property
    def level_waits(self) -> bool:
        """The programmed level is another than the one in force."""
        return level_of(self._silicon.file.options[0]) != self.level

    def values(self) -> dict[int, int]:
        """Registers by offset."""
        return dict(zip((0x20, *self._wrp), self._registers, strict=True))

    def unlock(self, value: int) -> None:
        """Write of OPTKEYR; a wrong key is a bus error until reset (unverified)."""
        if self._refused:
            raise BusFault(self._optkeyr, "a wrong key locked the option bytes until reset")
        if not self.locked:
            return
        if value != OPTION_KEYS[self._keys_seen]:
            self._refused = True
            raise BusFault(self._optkeyr, "the key is wrong; the option bytes are locked until reset")
        self._keys_seen = (self._keys_seen + 1) % len(OPTION_KEYS)
        self.locked = self._keys_seen != 0

    def write(self, offset: int, value: int) -> None:
        """Write of OPTR or an area; ignored while locked."""
        if not self.locked:
            self._registers[(0x20, *self._wrp).index(offset)] = value

    def program(self) -> None:
        """The registers become the programmed values."""
        self._planned = None
        self._silicon.file.set_options(self._registers)

    def loaded(self, number: int) -> int:
        """An option word as it is in force."""
        return self._loaded[number]

    def protected(self, page: int) -> bool:
        """Write protection of a page of the array, as loaded or by the fault plan."""
        if self._open and not self._silicon.faults.protect_pages:
            return False
        bank, place = divmod(page, self._bank_pages)
        areas = self._loaded[1 + 2 * bank : 3 + 2 * bank]
        return page in self._silicon.faults.protect_pages or any(
            area & 0xFF <= place <= area >> 16 & 0xFF for area in areas
        )
