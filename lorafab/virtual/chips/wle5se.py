"""The STM32WLE5 board with a secure element beside it: an ATECC608 for LoRaWAN on PB15 (SCL) and PA15 (SDA).

The pins are those of I2C2 on the LoRa-E5 module (Seeed, LoRa-E5 pinout), here driven as plain open-drain pins.
"""

from dataclasses import replace

from lorafab.virtual.chip import At
from lorafab.virtual.chips.wle5 import CHIP as PLAIN
from lorafab.virtual.parts.atecc608 import Atecc608

CHIP = replace(
    PLAIN,
    name="wle5se",
    title="STM32WLE5JC with ATECC608",
    parts=(
        *PLAIN.parts,
        # The JoinEUI of the demo lots: of the range that RFC 9542 keeps for documentation.
        At("element", Atecc608, settings={"scl": "PB15", "sda": "PA15", "join_eui": "00005EEF10000001"}),
    ),
)
