"""Facts about microcontrollers that the line checks before it writes: identity registers and flash geometry."""

from dataclasses import dataclass


@dataclass(frozen=True)
class McuFacts:
    """One microcontroller. Addresses and sizes in bytes; register values as 32-bit words."""

    name: str
    """Name of the pyOCD target."""
    dpidr: int
    """Debug port identification register (ADIv5 DPIDR)."""
    idcode_address: int
    """DBGMCU_IDCODE register."""
    device_id: int
    """DEV_ID, bits 11:0 of DBGMCU_IDCODE."""
    flash_size_address: int
    """Half-word with the flash size in KiB."""
    flash_start: int
    flash_size: int
    page_size: int
    """Smallest erasable unit."""
    word_size: int
    """Smallest programmable unit, programmed at once."""
    uid_address: int
    uid_length: int


STM32WLE5JC = McuFacts(
    name="stm32wle5jc",
    # OpenOCD tcl/target/stm32wlx.cfg, and logs of real parts (SW-DP v2).
    dpidr=0x6BA02477,
    # stm32wle5xx.h: DBGMCU_BASE 0xE0042000; DEV_ID: RM0453 section 38 (DBGMCU_IDCODE).
    idcode_address=0xE0042000,
    device_id=0x497,
    # stm32wle5xx.h: FLASHSIZE_BASE 0x1FFF75E0, in KiB.
    flash_size_address=0x1FFF75E0,
    # RM0461 section 3.3.1 (same flash as RM0453 section 3.3): 128 pages of 2 KiB, double words with ECC.
    flash_start=0x08000000,
    flash_size=256 * 1024,
    page_size=2048,
    word_size=8,
    # stm32wle5xx.h: UID_BASE 0x1FFF7590, 96 bit.
    uid_address=0x1FFF7590,
    uid_length=12,
)

MCUS: dict[str, McuFacts] = {facts.name: facts for facts in (STM32WLE5JC,)}
"""All known microcontrollers by name."""
