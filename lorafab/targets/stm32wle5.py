"""STM32WLE5JC for pyOCD, which has no built-in target for it; importing this module imports pyOCD."""

from pathlib import Path
from typing import Any

from pyocd.core.exceptions import TransferError
from pyocd.core.memory_map import FlashRegion, MemoryMap, RamRegion, RomRegion
from pyocd.core.session import Session
from pyocd.core.target import Target
from pyocd.coresight.coresight_target import CoreSightTarget

from lorafab.targets.algorithm import load_algorithm
from lorafab.targets.mcus import STM32WLE5JC as FACTS

FLASH = FACTS.flash
ALGORITHM = Path(__file__).with_name("stm32wle5.elf")

# RM0453 section 38 (DBGMCU_CR): keep the debug port alive in Sleep, Stop and Standby, where LoRaWAN nodes spend
# their lives. Cleared by a power cycle, so the sleep current must be measured after one.
DBGMCU_CR = 0xE0042004
DBG_SLEEP_STOP_STANDBY = 0x7

# stm32wle5xx.h: FLASH_REG_BASE 0x58004000; keys: stm32wlxx_hal_flash.h (FLASH_KEY1 to FLASH_OPTKEY2).
FLASH_ACR, FLASH_CR = 0x58004000, 0x58004014
FLASH_ACR_EMPTY = 1 << 16
FLASH_CR_LOCKS = (
    (1 << 31, 0x58004008, (0x45670123, 0xCDEF89AB)),  # LOCK, KEYR
    (1 << 30, 0x5800400C, (0x08192A3B, 0x4C5D6E7F)),  # OPTLOCK, OPTKEYR
)
FLASH_CR_OBL_LAUNCH = 1 << 27
ERASED = b"\xff" * 8


class STM32WLE5JC(CoreSightTarget):
    """Single Cortex-M4 behind AP 0; addresses and sizes from RM0453 section 2 and stm32wle5xx.h."""

    VENDOR = "STMicroelectronics"
    PART_FAMILIES = ("STM32WL", "STM32WLE5")
    PART_NUMBER = "STM32WLE5JC"

    def __init__(self, session: Session) -> None:
        super().__init__(session, _memory_map())
        # The part has a second AP (IDR 0x84770001, for the second core of the WL55) whose memory reads only fault:
        # pyOCD would report an error for its ROM table at every connect.
        port: Any = self.dp  # annotated as a list of address objects, used by pyOCD as a list of numbers
        port.valid_aps = [0]

    def post_connect_hook(self) -> None:
        """Keep debug access while the firmware sleeps."""
        self.write32(DBGMCU_CR, DBG_SLEEP_STOP_STANDBY)

    def reset(self, reset_type: Target.ResetType | None = None) -> None:
        """Reset; a part that still believes that its flash is empty loads its option bytes first.

        The empty check is made by power-on and option byte loading only (RM0461 section 3.3, p. 70): a part that was
        blank when its power came would start its ROM loader at every reset, whatever has been programmed since. The
        flash algorithm clears the flag, which the manual allows; this is for parts that do not let it.
        """
        if self.read32(FLASH_ACR) & FLASH_ACR_EMPTY and self._is_programmed():
            self._load_options()
        parent: Any = super()  # without annotations
        parent.reset(reset_type)

    def _is_programmed(self) -> bool:
        return bytes(self.read_memory_block8(FLASH.start, len(ERASED))) != ERASED

    def _load_options(self) -> None:
        for lock, key_register, keys in FLASH_CR_LOCKS:
            if self.read32(FLASH_CR) & lock:
                for key in keys:
                    self.write32(key_register, key)
        try:
            self.write32(FLASH_CR, FLASH_CR_OBL_LAUNCH)
            self.flush()
        except TransferError:
            pass  # it is a reset, which may take the bus away under the debugger's access


def _memory_map() -> MemoryMap:
    return MemoryMap(
        FlashRegion(
            name="flash",
            start=FLASH.start,
            length=FLASH.size,
            sector_size=FLASH.page_size,
            page_size=FLASH.page_size,
            phrase_size=FLASH.word_size,
            erased_byte_value=FLASH.erased,
            is_boot_memory=True,
            algo=load_algorithm(ALGORITHM, FLASH.word_size),
        ),
        # BOOT0 low: the flash is seen at 0, too (RM0453 section 2.3). Reading through it is the same as above.
        RomRegion(name="boot alias", start=0, length=FLASH.size, alias="flash", is_testable=False),
        RomRegion(name="system memory", start=0x1FFF0000, length=0x7000, is_testable=False),
        # Programmed once for ever, hence not a FlashRegion: nobody shall write it by accident.
        RomRegion(name="otp", start=0x1FFF7000, length=0x400, is_testable=False),
        RomRegion(name="engineering bytes", start=0x1FFF7400, length=0x400, is_testable=False),
        RamRegion(name="sram1", start=0x20000000, length=0x8000),
        RamRegion(name="sram2", start=0x20008000, length=0x8000),
    )
