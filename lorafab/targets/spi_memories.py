"""SPI memories that can hold an identity, and the microcontrollers' SPI behind which they lie.

Sources: AT25SF041: Adesto DS-25SF041-044G (id, page, 4 KiB blocks, typical times 0.7 ms and 70 ms). W25Q128JV: Winbond,
revision F (id, page, 4 KiB sectors; 3 ms and 400 ms at most). 25AA02E64: Microchip DS20002123F (table 1-2: 5 ms at
most; section 3: factory EUI in the upper quarter, which BP1:BP0 = 0:1 protects; OUIs); that the EUI-64 lies at 0xF8 is
said of its siblings 24AA02E64 (DS20002124H, p. 15) and 11AA02E64 (DS20002122B, p. 18).

*Unverified*: longest times of the AT25SF041 (here five times the typical ones: they only decide when a write counts
as failed); that CMP is bit 6 of status register 2 in the AT25SF041, as in the W25Q128JV.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lorafab.domain.memory_map import Span


@dataclass(frozen=True)
class SectorErase:
    """How a NOR flash erases its smallest sector."""

    opcode: int
    size: int
    """Bytes."""
    max_ms: int


@dataclass(frozen=True)
class SpiMemory:
    """One part. Addresses and sizes in bytes."""

    name: str
    size: int
    address_bytes: int
    page: int
    """A program instruction wraps in it."""
    program_max_ms: int
    """Of one page."""
    block_protect: Mapping[int, int]
    """Value of the status register's BP bits -> first address that they protect; other values protect everything."""
    block_protect_mask: int
    """Of the BP bits, as they lie in status register 1."""
    jedec: bytes | None = None
    """What RDID answers; None for a part without."""
    erase: SectorErase | None = None
    """None for a part that writes over what is there."""
    wake: int | None = None
    """Instruction that ends deep power-down, for parts that have it."""
    status_2: tuple[int, int] | None = None
    """Instruction that reads status register 2, and its bit that turns the protection over."""
    factory_eui: Span | None = None
    """Where the factory put an EUI-64, most significant byte first."""
    ouis: tuple[str, ...] = ()
    """How the factory's EUI-64s begin."""

    @property
    def longest_ms(self) -> int:
        """What the slowest of its writes may take."""
        return max(self.program_max_ms, self.erase.max_ms if self.erase else 0)

    @property
    def unit(self) -> int:
        """What an identity block must begin at a multiple of: nothing else may live in its sectors or pages."""
        return self.page if self.erase is None else self.erase.size

    @property
    def writable(self) -> Span:
        """Where a block may lie: the quarter with the factory's EUI stays as it is."""
        return Span(0, self.size if self.factory_eui is None else self.size * 3 // 4)


_NOR_PROTECT = {0: 1 << 24}  # which blocks the other values protect also depends on TB and SEC: taken for all of them
_NOR_PROTECT_MASK = 0b0001_1100

AT25SF041 = SpiMemory(
    name="AT25SF041",
    size=0x80000,
    address_bytes=3,
    page=256,
    program_max_ms=4,
    block_protect=_NOR_PROTECT,
    block_protect_mask=_NOR_PROTECT_MASK,
    jedec=b"\x1f\x84\x01",
    erase=SectorErase(0x20, 0x1000, max_ms=350),
    wake=0xAB,
    status_2=(0x35, 1 << 6),
)
W25Q128JV = SpiMemory(
    name="W25Q128JV",
    size=0x1000000,
    address_bytes=3,
    page=256,
    program_max_ms=3,
    block_protect=_NOR_PROTECT,
    block_protect_mask=_NOR_PROTECT_MASK,
    jedec=b"\xef\x40\x18",
    erase=SectorErase(0x20, 0x1000, max_ms=400),
    wake=0xAB,
    status_2=(0x35, 1 << 6),
)
EEPROM_25AA02E64 = SpiMemory(
    name="25AA02E64",
    size=256,
    address_bytes=1,
    page=16,
    program_max_ms=5,
    block_protect={0b0000: 256, 0b0100: 192, 0b1000: 128},
    block_protect_mask=0b1100,
    factory_eui=Span(0xF8, 8),
    ouis=("0004A3", "001EC0", "D88039", "5410EC"),
)

SPI_MEMORIES: dict[str, SpiMemory] = {part.name.lower(): part for part in (AT25SF041, W25Q128JV, EEPROM_25AA02E64)}
"""All known parts by the name that product.yaml uses."""


@dataclass(frozen=True)
class SpiBus:
    """One SPI of a microcontroller, and the RAM program that drives it."""

    program: Path
    pins: str
    """The microcontroller's pins, as a regular expression."""
    sck: frozenset[str]
    """Pins that it can use, as are the next two; empty: any."""
    miso: frozenset[str]
    mosi: frozenset[str]


_HERE = Path(__file__).parent

SPI_BUSES: dict[tuple[str, str], SpiBus] = {
    # mbed OS, NUCLEO_WL55JC, PeripheralPins.c (made from CubeMX data): alternate function 5 of all of them.
    ("stm32wle5jc", "spi1"): SpiBus(
        _HERE / "spi-memory-stm32wle5.elf",
        pins=r"P[ABCH][0-9]+",
        sck=frozenset({"PA1", "PA5", "PB3"}),
        miso=frozenset({"PA6", "PA11", "PB4"}),
        mosi=frozenset({"PA7", "PA12", "PB5"}),
    ),
    # SPIM0; nRF52840 PS, SPIM: PSEL takes every pin.
    ("nrf52840", "spi0"): SpiBus(
        _HERE / "spi-memory-nrf52840.elf",
        pins=r"P(0\.[0-9]+|1\.([0-9]|1[0-5]))",
        sck=frozenset(),
        miso=frozenset(),
        mosi=frozenset(),
    ),
}
"""By microcontroller and name of the bus."""
