"""SPI NOR flash: pages that are programmed, blocks that are erased, and the rules between them.

Sources: Adesto AT25SF041, DS-25SF041-044G (page program 0.7 ms, erase 4 KiB 70 ms, 32 KiB 300 ms, 64 KiB 600 ms,
currents 10 uA standby, 2 uA deep power-down, 4 mA read). Winbond W25Q128JV, revision F (instructions, status
registers); its SFDP bytes are those that a part showed in the Linux change "mtd: spi-nor: winbond: Correct flags for
Winbond w25q128" (linux-mtd, July 2023), and they give its times to program a page (704 us; 32 us for the first byte
and 3 us for each other). Which blocks the BP, TB, SEC and CMP bits protect: flashrom, ``writeprotect_ranges.c``,
``decode_range_spi25``, and its ``flashchips`` (bits of W25Q128.V).

Unverified, from memory of the data sheets: erase times of the W25Q128JV (45, 120, 150 ms, 40 s), chip erase of the
AT25SF041 (5 s), status register times, device ids of 0x90 and 0xAB, times of deep power-down and reset, program and
erase currents, what a part drives after the third byte of RDID (here: the id again); that the AT25SF041 forgets its
write enable latch when an instruction is aborted, as the text of the AT25DF family says, and the W25Q128JV does not;
that WRSR with one byte leaves status register 2 alone; all currents of the W25Q128JV.

Times are typical ones, of parts that are new. Not modelled, and answered with a complaint: two and four data lines,
security registers and unique id, suspend and resume, volatile status writes (0x50), individual block locks (WPS), the
locks SRP1 (SRL) and LB. SRP0 is kept and without effect: WP is high.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from lorafab.virtual.chip import At, Store
from lorafab.virtual.parts.spi_memory import ANY_DATA, Draws, Instruction, SpiMemory, store_of
from lorafab.virtual.silicon import Silicon

PAGE = 256
_US, _MS = 1_000, 1_000_000
_BP_SHIFT, _BP_MASK, _TB, _SEC = 2, 0b111, 1 << 5, 1 << 6  # status register 1
_CMP = 1 << 6  # status register 2


@dataclass(frozen=True)
class StatusRegister:
    """One status register: how it is read and written, and what its bits are."""

    read: int
    write: int | None
    """Its own write instruction; register 1's (0x01) may be followed by a second byte for register 2."""
    writable: int
    unmodelled: int = 0
    """Bits whose effect is not modelled: asking for one is a complaint, and it stays as it was."""
    factory: int = 0


@dataclass(frozen=True)
class NorPart:
    """A NOR flash as its data sheet has it; times are typical ones."""

    name: str
    jedec: bytes
    """Manufacturer, memory type, capacity."""
    device_id: int
    """What 0x90 and 0xAB answer."""
    size: int
    """In bytes; a power of two."""
    program_ns: int
    """A whole page; also the longest that any program takes."""
    byte_ns: tuple[int, int]
    """First byte and each further one of a program."""
    erases: Mapping[int, tuple[int, int]]
    """Instruction to block size in bytes and time in ns."""
    chip_erase_ns: int
    status_ns: int
    down_ns: int
    """Until deep power-down is entered."""
    release_ns: int
    """Until it is left."""
    registers: tuple[StatusRegister, ...]
    draws: Draws
    sfdp: bytes = b""
    """The SFDP area from its offset 0 on; a part without one does not know the instruction."""
    reset_ns: int | None = None
    """Length of a reset by 0x66 and 0x99; None: the part has none."""
    forgets_latch: bool = False
    """An instruction that is aborted or refused resets the write enable latch."""

    def store(self, name: str) -> Store:
        """What it needs in the board file."""
        return store_of(name, self.size)


AT25SF041 = NorPart(
    name="AT25SF041",
    jedec=b"\x1f\x84\x01",
    device_id=0x12,
    size=0x80000,
    program_ns=700 * _US,
    byte_ns=(700 * _US, 0),  # no figure for fewer bytes was found
    erases=MappingProxyType({0x20: (0x1000, 70 * _MS), 0x52: (0x8000, 300 * _MS), 0xD8: (0x10000, 600 * _MS)}),
    chip_erase_ns=5_000 * _MS,
    status_ns=15 * _MS,
    down_ns=1 * _US,
    release_ns=5 * _US,
    registers=(StatusRegister(0x05, 0x01, 0xFC), StatusRegister(0x35, None, 0x42, unmodelled=0x39)),
    draws=Draws(standby=10_000, read=4_000_000, write=12_000_000, down=2_000),
    forgets_latch=True,
)

# Header at 0, basic flash parameter table (16 double words) at 0x80, 0xFF between them.
_W25Q128JV_SFDP = (
    bytes.fromhex("53464450050100ff00050110800000ff").ljust(0x80, b"\xff")
    + bytes.fromhex("e520f9ffffffff0744eb086b083b42bbfeffffffffff0000ffff40eb0c200f52")
    + bytes.fromhex("10d800003602a60082ea14c9e96376337a757a75f7a2d55c19f74dffe930f880")
)
W25Q128JV = NorPart(
    name="W25Q128JV",
    jedec=b"\xef\x40\x18",
    device_id=0x17,
    size=0x1000000,
    program_ns=704 * _US,
    byte_ns=(32 * _US, 3 * _US),
    erases=MappingProxyType({0x20: (0x1000, 45 * _MS), 0x52: (0x8000, 120 * _MS), 0xD8: (0x10000, 150 * _MS)}),
    chip_erase_ns=40_000 * _MS,
    status_ns=10 * _MS,
    down_ns=3 * _US,
    release_ns=3 * _US,
    registers=(
        StatusRegister(0x05, 0x01, 0xFC),
        StatusRegister(0x35, 0x31, 0x42, unmodelled=0x39, factory=0x02),  # the IQ version: QE is set
        StatusRegister(0x15, 0x11, 0xE0, unmodelled=0x04, factory=0x60),
    ),
    draws=Draws(standby=10_000, read=4_000_000, write=20_000_000, down=1_000),
    sfdp=_W25Q128JV_SFDP,
    reset_ns=30 * _US,
)


class SpiNor(SpiMemory):
    """An SPI NOR flash; settings as for :class:`SpiMemory`, and ``part`` (a :class:`NorPart`)."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        part = at.settings["part"]
        assert isinstance(part, NorPart)
        super().__init__(silicon, at, part.size, part.draws)
        self.part = part
        self._instructions = MappingProxyType(
            {
                0x02: Instruction("PP", 3, execute=self._program, data=ANY_DATA, writes=True),
                0x03: Instruction("READ", 3, answer=self.array),
                0x04: Instruction("WRDI", execute=lambda _address, _data: self.latch(False)),
                0x06: Instruction("WREN", execute=lambda _address, _data: self.latch(True)),
                0x0B: Instruction("FAST_READ", 3, 1, answer=self.array),
                0x60: Instruction("CE", execute=self._erase_chip, writes=True),
                0xC7: Instruction("CE", execute=self._erase_chip, writes=True),
                0x90: Instruction("REMS", 3, answer=lambda address, n: self._ids[(address + n) & 1]),
                0x9F: Instruction("RDID", answer=lambda _address, n: part.jedec[n % len(part.jedec)]),
                0xAB: Instruction(
                    "RDP", 0, 3, answer=lambda _address, _n: part.device_id, execute=self._release, while_down=True
                ),
                0xB9: Instruction("DPD", execute=lambda _address, _data: self.power_down(True, part.down_ns)),
                **self._block_erases(),
                **self._status_instructions(),
                **self._optional_instructions(),
            }
        )

    def forget(self) -> None:
        """That a reset was enabled, too."""
        super().forget()
        self._reset_enabled = False

    @property
    def _ids(self) -> tuple[int, int]:
        return self.part.jedec[0], self.part.device_id

    def _block_erases(self) -> dict[int, Instruction]:
        return {
            opcode: Instruction(
                f"erase {size >> 10} KiB", 3, execute=partial(self._erase_block, size, duration_ns), writes=True
            )
            for opcode, (size, duration_ns) in self.part.erases.items()
        }

    def _status_instructions(self) -> dict[int, Instruction]:
        made = {}
        for number, register in enumerate(self.part.registers):
            made[register.read] = Instruction(
                f"RDSR{number + 1}", answer=partial(self._read_status, number), while_busy=True
            )
            if register.write is not None:
                most = 2 if number == 0 else 1
                made[register.write] = Instruction(
                    f"WRSR{number + 1}",
                    execute=partial(self._write_status, number),
                    data=range(1, most + 1),
                    writes=True,
                )
        return made

    def _optional_instructions(self) -> dict[int, Instruction]:
        made = {}
        if self.part.sfdp:
            made[0x5A] = Instruction("RDSFDP", 3, 1, answer=self._read_sfdp)
        if self.part.reset_ns is not None:
            made[0x66] = Instruction("reset enable", execute=self._enable_reset, while_busy=True)
            made[0x99] = Instruction("reset", execute=self._reset_memory, while_busy=True)
        return made

    @property
    def instructions(self) -> Mapping[int, Instruction]:
        """Those of the part."""
        return self._instructions

    def begin(self, byte: int) -> Instruction | None:
        """Any instruction but a reset takes back that one was enabled."""
        if byte != 0x99:
            self._reset_enabled = False
        return super().begin(byte)

    def factory(self) -> tuple[bytes, Mapping[int, bytes]]:
        """Status registers; the array comes erased."""
        return bytes(register.factory for register in self.part.registers), {}

    def rejected(self) -> None:
        """Some parts forget the latch."""
        if self.part.forgets_latch:
            self.latch(False)

    # protection

    def protected(self) -> range:
        """What BP2..0, TB, SEC and CMP protect together."""
        status, second = self.register(0), self.register(1)
        level = status >> _BP_SHIFT & _BP_MASK
        if level == _BP_MASK:
            length = self.size
        elif level == 0:
            length = 0
        elif status & _SEC:
            length = min(0x1000 << level - 1, 0x8000)
        else:
            # Six levels that double: the highest is half of the array, in small ones the lowest is 64 KiB.
            length = min(max(self.size >> 6, 0x10000) << level - 1, self.size)
        at_top = not status & _TB
        if second & _CMP:
            length, at_top = self.size - length, not at_top
        return range(self.size - length, self.size) if at_top else range(length)

    # what changes the memory

    def _program(self, address: int, data: bytes) -> None:
        start, given = self.page(address, data, PAGE)
        if not self.allowed("PP", start, PAGE):
            return
        before = self.store.read(start, PAGE)
        self.store.begin_program(start, bytes(old & given.get(place, 0xFF) for place, old in enumerate(before)))
        first_ns, next_ns = self.part.byte_ns
        self.operate(min(first_ns + next_ns * (len(given) - 1), self.part.program_ns))

    def _erase_block(self, size: int, duration_ns: int, address: int, _data: bytes) -> None:
        self._erase(f"erase {size >> 10} KiB", address % self.size // size * size, size, duration_ns)

    def _erase_chip(self, _address: int, _data: bytes) -> None:
        self._erase("CE", 0, self.size, self.part.chip_erase_ns)

    def _erase(self, what: str, start: int, size: int, duration_ns: int) -> None:
        if self.allowed(what, start, size):
            self.store.begin_erase(start, size)
            self.operate(duration_ns)

    # registers

    def _read_status(self, number: int, _address: int, _place: int) -> int:
        value = self.register(number)
        return self.status(value) if number == 0 else value

    def _write_status(self, number: int, _address: int, data: bytes) -> None:
        values = []
        for index, byte in enumerate(data, number):
            register, before = self.part.registers[index], self.register(index)
            if asked := (byte & ~before) & register.unmodelled:
                self.silicon.complain(
                    f"{self.name}: WRSR{number + 1} asks for bits {asked:#04x} of status register {index + 1}, whose "
                    "effect is not modelled; they stay 0"
                )
            values.append(before & ~register.writable | byte & register.writable)
        self.store.begin_program(self.size + number, bytes(values))
        self.operate(self.part.status_ns)

    def _read_sfdp(self, address: int, place: int) -> int:
        # The area has 256 bytes (W25Q128JV, 8.2.28).
        return self.part.sfdp.ljust(0x100, b"\xff")[(address + place) & 0xFF]

    # deep power-down and reset

    def _release(self, _address: int, _data: bytes) -> None:
        if self.down:
            self.power_down(False, self.part.release_ns)

    def _enable_reset(self, _address: int, _data: bytes) -> None:
        self._reset_enabled = True

    def _reset_memory(self, _address: int, _data: bytes) -> None:
        if not self._reset_enabled or self.part.reset_ns is None:
            self.refuse("reset is not executed: it was not enabled by the instruction before it")
            return
        self.abort(self.part.reset_ns)
