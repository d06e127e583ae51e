"""SPI EEPROMs: small pages that are erased and written in one cycle, and the node address that some come with.

Sources: Microchip 25AA02E48/25AA02E64, DS20002123F (table 1-2: write cycle 5 ms; section 3: node address in the upper
quarter, BP1:BP0 = 0:1 from the factory, "can be utilized for writing by clearing the BP bits with a Write Status
Register instruction"; E48 at 0xFA). The E64's place 0xF8 is that of its siblings 24AA02E64 (DS20002124) and
11AA02E64 (DS20002122). How instructions end, and what resets the write enable latch: section 2 of the same family's
25A512 (DS22237C, 2.2) and 25AA512 (DS22021F, 2.4). ST M95M02-DR (Doc ID 18203): 256 KiB in pages of 256 bytes.
Unverified: that bit 3 of the 25AA02's instructions is looked at by nobody (table 2-1 as remembered), that the unused
status bits read 0, that a refused write leaves the latch set, M95M02's 10 ms and currents.

Write cycles take the data sheet's longest time, which is the only one that it gives. Not modelled: the M95M02-DR's
identification page (instructions 0x82 and 0x83), SRWD (it needs a low WP pin).

A virtual EEPROM must not carry an address of Microchip's (their OUIs: 00-04-A3, 00-1E-C0, D8-80-39, 54-10-EC). The
first three bytes are ``settings["oui"]``, by default 02-4C-46: locally administered, and "LF" in ASCII; the others are
derived from the board's unique id.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lorafab.virtual.chip import At, Store
from lorafab.virtual.parts.spi_memory import ANY_DATA, Draws, Instruction, SpiMemory, store_of
from lorafab.virtual.silicon import Silicon

VIRTUAL_OUI = b"\x02LF"
_BP_SHIFT, _BP_MASK = 2, 0b11


@dataclass(frozen=True)
class EepromPart:
    """An EEPROM as its data sheet has it."""

    name: str
    size: int
    """In bytes; a power of two."""
    page: int
    """In bytes; a write wraps in it."""
    address: int
    """Address bytes of an instruction."""
    write_ns: int
    draws: Draws
    status: int = 0
    """The status register of a new part."""
    writable: int = 0b1100
    """Bits of the status register that WRSR writes."""
    opcode_mask: int = 0xFF
    """Bits of an instruction that the part looks at."""
    node_address: int = 0
    """Bytes of the EUI in the last bytes of the array: 6, 8 or none."""

    def store(self, name: str) -> Store:
        """What it needs in the board file."""
        return store_of(name, self.size)


_MICROCHIP_DRAWS = Draws(standby=1_000, read=5_000_000, write=5_000_000)  # DS20002123F p. 1, the largest figures
EEPROM_25AA02E48 = EepromPart(
    "25AA02E48", 256, 16, 1, 5_000_000, _MICROCHIP_DRAWS, status=0b0100, opcode_mask=0xF7, node_address=6
)
EEPROM_25AA02E64 = EepromPart(
    "25AA02E64", 256, 16, 1, 5_000_000, _MICROCHIP_DRAWS, status=0b0100, opcode_mask=0xF7, node_address=8
)
M95M02 = EepromPart(
    "M95M02", 0x40000, 256, 3, 10_000_000, Draws(standby=2_000, read=2_000_000, write=2_000_000), writable=0x8C
)


class SpiEeprom(SpiMemory):
    """An SPI EEPROM; settings as for :class:`SpiMemory`, and ``part`` (an :class:`EepromPart`), ``oui`` (3 bytes)."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        part = at.settings["part"]
        assert isinstance(part, EepromPart)
        super().__init__(silicon, at, part.size, part.draws)
        self.part = part
        address = part.address
        self._instructions = MappingProxyType(
            {
                0x01: Instruction("WRSR", execute=self._write_status, data=range(1, 2), writes=True),
                0x02: Instruction("WRITE", address, execute=self._write, data=ANY_DATA, writes=True),
                0x03: Instruction("READ", address, answer=self.array),
                0x04: Instruction("WRDI", execute=lambda _address, _data: self.latch(False)),
                0x05: Instruction("RDSR", answer=lambda _address, _n: self.status(self.register(0)), while_busy=True),
                0x06: Instruction("WREN", execute=lambda _address, _data: self.latch(True)),
            }
        )

    @property
    def instructions(self) -> Mapping[int, Instruction]:
        """The six of the data sheets' tables."""
        return self._instructions

    def opcode(self, byte: int) -> int:
        """Without the bits that nobody looks at."""
        return byte & self.part.opcode_mask

    def factory(self) -> tuple[bytes, Mapping[int, bytes]]:
        """The node address, and the protection that covers it."""
        length = self.part.node_address
        return bytes([self.part.status]), {self.size - length: self.node_address()} if length else {}

    def node_address(self) -> bytes:
        """The EUI that the factory gave this board's part, empty for parts without."""
        if not self.part.node_address:
            return b""
        oui = self.at.settings.get("oui", VIRTUAL_OUI)
        assert isinstance(oui, bytes)
        unique = hashlib.sha256(self.part.name.encode() + self.silicon.file.uid).digest()
        return (oui + unique)[: self.part.node_address]

    def protected(self) -> range:
        """None, the upper quarter, the upper half, or all (data sheets' array protection table)."""
        block_protect = self.register(0) >> _BP_SHIFT & _BP_MASK
        guarded = (0, self.size // 4, self.size // 2, self.size)[block_protect]
        return range(self.size - guarded, self.size)

    def _write(self, address: int, data: bytes) -> None:
        start, given = self.page(address, data, self.part.page)
        if not self.allowed("WRITE", address % self.size, 1):  # protection covers whole pages
            return
        content = bytearray(self.store.read(start, self.part.page))
        for place, byte in given.items():
            content[place] = byte
        self.store.begin_program(start, bytes(content))
        self.operate(self.part.write_ns)

    def _write_status(self, _address: int, data: bytes) -> None:
        kept = self.register(0) & ~self.part.writable
        self.store.begin_program(self.size, bytes([kept | data[0] & self.part.writable]))
        self.operate(self.part.write_ns)
