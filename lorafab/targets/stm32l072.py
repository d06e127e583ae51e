"""STM32L072xZ for pyOCD, which has no built-in target for it; importing this module imports pyOCD.

It is the microcontroller of the CMWX1ZZABZ module (STM32L072CZ) as well.
"""

from pathlib import Path

from pyocd.core.memory_map import FlashRegion, MemoryMap, RamRegion, RomRegion
from pyocd.core.session import Session
from pyocd.coresight.coresight_target import CoreSightTarget

from lorafab.targets.algorithm import load_algorithm
from lorafab.targets.mcus import STM32L072XZ as FACTS

FLASH, EEPROM = FACTS.flash, FACTS.eeprom
ALGORITHM = Path(__file__).with_name("stm32l072.elf")

# The debug registers of the chip have a clock of their own, off after each reset (stm32l072xx.h: RCC_APB2ENR_DBGEN).
RCC_APB2ENR = 0x40021034
DBGEN = 1 << 22
# RM0367, DBGMCU_CR: keep the debug port alive in Sleep, Stop and Standby, where LoRaWAN nodes spend their lives.
# Cleared by a power cycle, so the sleep current must be measured after one.
DBGMCU_CR = 0x40015804
DBG_SLEEP_STOP_STANDBY = 0x7


class STM32L072XZ(CoreSightTarget):
    """Single Cortex-M0+ behind AP 0; addresses and sizes from RM0367 section 2 and stm32l072xx.h."""

    VENDOR = "STMicroelectronics"
    PART_FAMILIES = ("STM32L0", "STM32L072")
    PART_NUMBER = "STM32L072xZ"

    def __init__(self, session: Session) -> None:
        super().__init__(session, _memory_map())

    def post_connect_hook(self) -> None:
        """Open the chip's debug registers, and keep debug access while the firmware sleeps."""
        self.write32(RCC_APB2ENR, self.read32(RCC_APB2ENR) | DBGEN)
        self.write32(DBGMCU_CR, DBG_SLEEP_STOP_STANDBY)


def _memory_map() -> MemoryMap:
    assert EEPROM is not None
    return MemoryMap(
        FlashRegion(
            name="flash",
            start=FLASH.start,
            length=FLASH.size,
            sector_size=FLASH.page_size,
            # As small as what is erased: where a unit to program is larger than a sector, stock pyOCD erases that many
            # bytes from the first sector on that it touches, neighbours of a small image included. It costs time: 64
            # KiB at 4 MHz, simulated: 4.39 s by 128 bytes, 3.53 s by 1 KiB, of which 3.36 s are the flash.
            page_size=FLASH.page_size,
            phrase_size=FLASH.word_size,
            erased_byte_value=FLASH.erased,
            is_boot_memory=True,
            algo=load_algorithm(ALGORITHM, FLASH.word_size),
        ),
        # Not boot memory and not what stock pyOCD erases with the flash's sectors; `pyocd erase --chip` does take it.
        FlashRegion(
            name="eeprom",
            start=EEPROM.start,
            length=EEPROM.size,
            sector_size=EEPROM.page_size,
            page_size=EEPROM.page_size,
            phrase_size=EEPROM.word_size,
            erased_byte_value=EEPROM.erased,
            # Without pyOCD's CRC code: stock pyOCD reads these few bytes to compare.
            algo=load_algorithm(ALGORITHM, EEPROM.word_size, erase_all="EraseEeprom") | {"analyzer_supported": False},
        ),
        # BOOT0 low: the flash is seen at 0, too (RM0367 section 2.4). Reading through it is the same as above.
        RomRegion(name="boot alias", start=0, length=FLASH.size, alias="flash", is_testable=False),
        RomRegion(name="system memory", start=0x1FF00000, length=0x2000, is_testable=False),
        # Written by their own rules, hence not a FlashRegion: nobody shall write them by accident.
        RomRegion(name="option bytes", start=0x1FF80000, length=0x20, is_testable=False),
        RomRegion(name="factory bytes", start=0x1FF80020, length=0x60, is_testable=False),
        RamRegion(name="sram", start=0x20000000, length=0x5000),
    )
