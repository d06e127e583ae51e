"""The STM32WLE5 board with two SPI memories on SPI1: an AT25SF041 (NOR flash, chip-select PA4) and a 25AA02E64 (EEPROM
with an EUI-64, chip-select PA9).

The EEPROM's EUI-64 begins with 02-4C-45, which is locally administered: a virtual part carries no address of
Microchip's.
"""

from dataclasses import replace

from lorafab.virtual.chip import At
from lorafab.virtual.chips.wle5 import CHIP as WLE5
from lorafab.virtual.parts.spi_eeprom import EEPROM_25AA02E64, SpiEeprom
from lorafab.virtual.parts.spi_nor import AT25SF041, SpiNor

OUI = b"\x02LE"

CHIP = replace(
    WLE5,
    name="wle5spi",
    title="STM32WLE5JC with SPI memories",
    stores=(*WLE5.stores, AT25SF041.store("nor"), EEPROM_25AA02E64.store("eeprom")),
    parts=(
        *WLE5.parts,
        At("nor", SpiNor, settings={"bus": "spi1", "cs": "PA4", "store": "nor", "part": AT25SF041}),
        At("eeprom", SpiEeprom, settings={
            "bus": "spi1", "cs": "PA9", "store": "eeprom", "part": EEPROM_25AA02E64, "oui": OUI}),
    ),
)  # fmt: skip
