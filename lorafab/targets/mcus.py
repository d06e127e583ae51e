"""Facts about microcontrollers that the line checks before it writes: identity registers and memories."""

from collections.abc import Callable
from dataclasses import dataclass

from lorafab.domain.identity import Eui64
from lorafab.domain.memory_map import Area, Span, Times


@dataclass(frozen=True)
class Register:
    """Some bits of a 32-bit register at an aligned ``address``."""

    address: int
    mask: int = 0xFFFF_FFFF


@dataclass(frozen=True)
class FactoryEui:
    """An EUI-64 that the maker put into the chip: addresses of its two words of 32 bits."""

    number: int
    """Its lower half; all ones in a chip that was given none."""
    maker: int
    """Its upper half, which begins with the maker's OUI."""

    def read(self, read_word: Callable[[int], int]) -> Eui64 | None:
        """Get it, None for a chip that was given none; ``read_word`` reads 32 bits at an address."""
        number = read_word(self.number)
        return None if number == 0xFFFF_FFFF else Eui64(read_word(self.maker) << 32 | number)


@dataclass(frozen=True)
class McuFacts:
    """One microcontroller. Addresses and sizes in bytes; register values as 32-bit words."""

    name: str
    """Name of the pyOCD target."""
    dpidr: int
    """Debug port identification register (ADIv5 DPIDR)."""
    identity: Register
    """Register that tells which part this is."""
    identity_value: int
    """What its masked bits read."""
    flash: Area
    flash_size_registers: tuple[Register, ...]
    """Registers whose product, times ``flash_size_unit``, is the size of the flash in bytes."""
    flash_size_unit: int
    uid: tuple[Span, ...]
    """Where the factory's unique id lies, in the order in which its parts are read."""
    eeprom: Area | None = None
    """Data EEPROM, written by words without erasing first."""
    factory_eui: FactoryEui | None = None
    """None for a chip whose maker gave it no EUI-64."""

    @property
    def areas(self) -> tuple[Area, ...]:
        """All that may be erased and programmed; option bytes, UICR and the like are not among it."""
        return (self.flash,) if self.eeprom is None else (self.flash, self.eeprom)

    def area_of(self, span: Span) -> Area | None:
        """The area that holds all of ``span``, or None."""
        return next((area for area in self.areas if area.span.contains(span)), None)

    def read_flash_size(self, read_word: Callable[[int], int]) -> int:
        """Size of the chip's flash in bytes, as the chip itself says; ``read_word`` reads 32 bits at an address."""
        size = self.flash_size_unit
        for register in self.flash_size_registers:
            size *= read_word(register.address) & register.mask
        return size

    def read_unique_id(self, read: Callable[[Span], bytes]) -> str:
        """The factory's unique id in memory order, upper-case hex."""
        return b"".join(map(read, self.uid)).hex().upper()


_DEV_ID = 0xFFF  # DBGMCU_IDCODE bits 11:0
_KIB = 1024

# Table of the flash memory's characteristics in the data sheets of STM32L4, WB and WL, typical values, not read again:
# *unverified*. The page erase's maximum of the same flash, 24.47 ms, is quoted from the STM32L496's data sheet, 6.3.10.
_L4_FLASH_TIMES = Times(erase_s=22.02e-3, unit=8, program_s=81.69e-6, mass_erase_s=22.13e-3)

STM32WLE5JC = McuFacts(
    name="stm32wle5jc",
    # OpenOCD tcl/target/stm32wlx.cfg, and logs of real parts (SW-DP v2).
    dpidr=0x6BA02477,
    # stm32wle5xx.h: DBGMCU_BASE 0xE0042000; DEV_ID: RM0453 section 38 (DBGMCU_IDCODE).
    identity=Register(0xE0042000, _DEV_ID),
    identity_value=0x497,
    # RM0461 section 3.3.1 (same flash as RM0453 section 3.3): 128 pages of 2 KiB, double words with ECC.
    flash=Area(0x08000000, 256 * _KIB, page_size=2 * _KIB, word_size=8, erased=0xFF, times=_L4_FLASH_TIMES),
    # stm32wle5xx.h: FLASHSIZE_BASE 0x1FFF75E0, a half-word in KiB.
    flash_size_registers=(Register(0x1FFF75E0, 0xFFFF),),
    flash_size_unit=_KIB,
    # stm32wle5xx.h: UID_BASE 0x1FFF7590, 96 bit.
    uid=(Span(0x1FFF7590, 12),),
    # stm32wle5xx.h: UID64_BASE 0x1FFF7580; RM0461, device electronic signature: unique device number, then device id
    # (bits 7:0) and ST's company id 0080E1 (31:8). Order of the bytes, and that an erased number is none:
    # STM32CubeWL, GetUniqueId.
    factory_eui=FactoryEui(number=0x1FFF7580, maker=0x1FFF7584),
)

STM32L072XZ = McuFacts(
    name="stm32l072xz",
    # OpenOCD tcl/target/stm32l0.cfg, and logs of real parts (Cortex-M0+, SW-DP v1).
    dpidr=0x0BC11477,
    # stm32l072xx.h: DBGMCU_BASE 0x40015800; DEV_ID of category 5: OpenOCD src/flash/nor/stm32lx.c.
    identity=Register(0x40015800, _DEV_ID),
    identity_value=0x447,
    # RM0367 section 3.3.1: 1536 pages of 128 bytes; written by words, erased to zero.
    # One page erase, half page (RM0367 section 3.3: 16 words) or word of the EEPROM takes 3.28 ms, typical and
    # *unverified*; Zephyr's stm32l0.dtsi allows 4 ms. There is no mass erase but that of the read-out protection.
    flash=Area(
        0x08000000,
        192 * _KIB,
        page_size=128,
        word_size=4,
        erased=0x00,
        times=Times(erase_s=3.28e-3, unit=64, program_s=3.28e-3),
    ),
    # stm32l072xx.h: FLASHSIZE_BASE 0x1FF8007C, a half-word in KiB.
    flash_size_registers=(Register(0x1FF8007C, 0xFFFF),),
    flash_size_unit=_KIB,
    # stm32l072xx.h: UID_BASE 0x1FF80050; its third word lies at offset 0x14 (stm32l0xx_ll_utils.h, LL_GetUID_Word2).
    uid=(Span(0x1FF80050, 8), Span(0x1FF80064, 4)),
    # stm32l072xx.h: DATA_EEPROM_BASE, 6 KiB; RM0367 section 3.3.1: a page is one word.
    eeprom=Area(
        0x08080000,
        6 * _KIB,
        page_size=4,
        word_size=4,
        erased=0x00,
        overwrites=True,
        times=Times(erase_s=3.28e-3, unit=4, program_s=3.28e-3),
    ),
)

STM32L476XG = McuFacts(
    # pyOCD has no target of this name; the L475 differs by its missing LCD controller only.
    name="stm32l475xg",
    # OpenOCD tcl/target/stm32l4x.cfg.
    dpidr=0x2BA01477,
    # stm32l476xx.h: DBGMCU_BASE 0xE0042000; DEV_ID of L475, L476 and L486: OpenOCD src/flash/nor/stm32l4x.c.
    identity=Register(0xE0042000, _DEV_ID),
    identity_value=0x415,
    # RM0351 section 3.3.1: two banks of 256 pages of 2 KiB, double words with ECC.
    flash=Area(0x08000000, 1024 * _KIB, page_size=2 * _KIB, word_size=8, erased=0xFF, times=_L4_FLASH_TIMES),
    # stm32l476xx.h: FLASHSIZE_BASE 0x1FFF75E0, UID_BASE 0x1FFF7590.
    flash_size_registers=(Register(0x1FFF75E0, 0xFFFF),),
    flash_size_unit=_KIB,
    uid=(Span(0x1FFF7590, 12),),
)

NRF52840 = McuFacts(
    name="nrf52840",
    # OpenOCD tcl/target/nrf52.cfg.
    dpidr=0x2BA01477,
    # nRF52840 PS, FICR: INFO.PART at 0x100. The chip has no DBGMCU.
    identity=Register(0x10000100),
    identity_value=0x52840,
    # nRF52840 PS, NVMC: 256 pages of 4 KiB, words of 32 bits.
    # nRF52840 PS v1.11, NVMC: tERASEPAGE 85 ms, tWRITE 41 us. Its ERASEALL clears the UICR too, and with it what keeps
    # the debug port open: it is no mass erase for us.
    flash=Area(
        0x00000000,
        1024 * _KIB,
        page_size=4 * _KIB,
        word_size=4,
        erased=0xFF,
        times=Times(erase_s=85e-3, unit=4, program_s=41e-6),
    ),
    # nRF52840 PS, FICR: CODEPAGESIZE in bytes times CODESIZE in pages.
    flash_size_registers=(Register(0x10000010), Register(0x10000014)),
    flash_size_unit=1,
    # nRF52840 PS, FICR: DEVICEID[0] and [1], 64 bit. Neither this nor DEVICEADDR is an EUI-64: both are random numbers.
    uid=(Span(0x10000060, 8),),
)

MCUS: dict[str, McuFacts] = {facts.name: facts for facts in (STM32WLE5JC, STM32L072XZ, STM32L476XG, NRF52840)}
"""All known microcontrollers by name."""
