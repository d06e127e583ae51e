"""STM32WLE5JC for pyOCD, which has no built-in target for it; importing this module imports pyOCD."""

from pathlib import Path
from typing import Any

from pyocd.core.memory_map import FlashRegion, MemoryMap, RamRegion, RomRegion
from pyocd.core.session import Session
from pyocd.coresight.coresight_target import CoreSightTarget

from lorafab.targets.algorithm import load_algorithm
from lorafab.targets.mcus import STM32WLE5JC as FACTS

ALGORITHM = Path(__file__).with_name("stm32wle5.elf")

# RM0453 section 38 (DBGMCU_CR): keep the debug port alive in Sleep, Stop and Standby, where LoRaWAN nodes spend
# their lives. Cleared by a power cycle, so the sleep current must be measured after one.
DBGMCU_CR = 0xE0042004
DBG_SLEEP_STOP_STANDBY = 0x7


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


def _memory_map() -> MemoryMap:
    return MemoryMap(
        FlashRegion(
            name="flash",
            start=FACTS.flash_start,
            length=FACTS.flash_size,
            sector_size=FACTS.page_size,
            page_size=FACTS.page_size,
            phrase_size=FACTS.word_size,
            erased_byte_value=0xFF,
            is_boot_memory=True,
            algo=load_algorithm(ALGORITHM, FACTS.word_size),
        ),
        # BOOT0 low: the flash is seen at 0, too (RM0453 section 2.3). Reading through it is the same as above.
        RomRegion(name="boot alias", start=0, length=FACTS.flash_size, alias="flash", is_testable=False),
        RomRegion(name="system memory", start=0x1FFF0000, length=0x7000, is_testable=False),
        # Programmed once for ever, hence not a FlashRegion: nobody shall write it by accident.
        RomRegion(name="otp", start=0x1FFF7000, length=0x400, is_testable=False),
        RomRegion(name="engineering bytes", start=0x1FFF7400, length=0x400, is_testable=False),
        RamRegion(name="sram1", start=0x20000000, length=0x8000),
        RamRegion(name="sram2", start=0x20008000, length=0x8000),
    )
