"""lorafab.steps.external_store: what it asks the RAM program for, and what it makes of the answers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain import identity_block
from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.identity_block import BLOCK_SIZE, BlockState
from lorafab.domain.ram_program import RamProgram
from lorafab.domain.secret import Secret
from lorafab.drivers.image_file import load_image
from lorafab.errors import ForeignIdentity, StationError, StoreRefused
from lorafab.steps.external_store import ExternalStore, Wiring
from lorafab.targets.algorithm import load_program
from lorafab.targets.spi_memories import SPI_BUSES, SPI_MEMORIES, SpiMemory
from tests_unit.fakes import IMAGE, FakeBoard, FakeProgrammer

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = load_program(SPI_BUSES["stm32wle5jc", "spi1"].program)
WIRING = Wiring("PA5", "PA6", "PA7", "PA4", ("PA9",))
NOR, EEPROM = SPI_MEMORIES["at25sf041"], SPI_MEMORIES["25aa02e64"]
EUI = bytes.fromhex("0004A30B001A2C3D")
IDENTITY = Identity(
    serial="LX00000001",
    dev_eui=Eui64(0x024C464200050001),
    join_eui=Eui64(0x00005EEF10000001),
    app_key=Secret(bytes(range(0xA0, 0xB0))),
    nwk_key=None,
    generation=1,
    region=5,
    lot="demo-nor",
)


@dataclass
class FakePart(FakeProgrammer):
    """A programmer whose RAM program answers as `firmware/spi-memory` does, and refuses what a part refuses."""

    part: SpiMemory
    answers: bytes
    """To RDID."""
    cells: bytearray = field(default_factory=lambda: bytearray(b"\xff" * 0x1000))
    status: bytes = b"\0\0"
    fails: dict[int, int] = field(default_factory=dict)
    """Command -> status that the program gives instead of doing it."""
    asked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(FakeBoard(powered=True))

    def call(
        self, program: RamProgram, entry: str, arguments: Sequence[int], mailbox: bytes, answer: int, timeout_s: float
    ) -> tuple[int, bytes]:
        """By the layout that mailbox.h has."""
        assert entry in program.symbols
        assert len(mailbox) <= program.mailbox_size
        assert answer <= program.mailbox_size
        assert 1 < timeout_s < 120
        command, address, length = (int.from_bytes(mailbox[at : at + 4], "little") for at in (0, 12, 16))
        self.asked.append(command)
        status, data = self.fails.get(command, 0), b""
        if not status:
            data = self._obey(command, address, length, mailbox)
        return status, (bytes(4) + status.to_bytes(4, "little") + mailbox[8:38] + data.ljust(256, b"\0"))[:answer]

    def _obey(self, command: int, address: int, length: int, mailbox: bytes) -> bytes:
        if command == 1:
            return self.answers
        if command == 2:
            return bytes(self.cells[address : address + length])
        if command == 3:
            return self.status
        if command == 4:
            assert mailbox[27] == 0x20
            assert address % 0x1000 == 0
            self.cells[address : address + 0x1000] = b"\xff" * 0x1000
            return b""
        assert command == 5
        for n, byte in enumerate(mailbox[38 : 38 + length]):
            self.cells[address + n] = byte if self.part.erase is None else self.cells[address + n] & byte
        return b""


def nor(**differently: object) -> FakePart:
    """An AT25SF041."""
    made = FakePart(NOR, b"\x1f\x84\x01")
    for name, value in differently.items():
        setattr(made, name, value)
    return made


def eeprom(eui: bytes = EUI) -> FakePart:
    """A 25AA02E64, as its factory delivers it."""
    return FakePart(EEPROM, b"", bytearray(b"\xff" * 0xF8 + eui), b"\x04\0")


def store(part: FakePart, address: int = 0) -> ExternalStore:
    """As a run makes it."""
    return ExternalStore(part, PROGRAM, part.part, WIRING, address, part.part.ouis)


def refusal(part: FakePart, act: str = "look") -> str:
    """The sentence."""
    acts = {"look": store(part).look, "write": lambda: store(part).write(IDENTITY), "eui": store(part).factory_eui}
    with pytest.raises(StoreRefused) as caught:
        acts[act]()
    return str(caught.value)


def test_the_mailbox_is_laid_out_as_the_program_has_it() -> None:
    """Offsets of mailbox.h: what the store packs is what the program's structure reads."""
    header = (ROOT / "firmware/spi-memory/mailbox.h").read_text()
    rows = [(int(at), int(size)) for at, size in re.findall(r"^ \* +(\d+) +(\d+)  ", header, re.MULTILINE)]
    assert [at for at, _ in rows] == [sum(size for _, size in rows[:n]) for n in range(len(rows))]
    assert rows[-1] == (38, 256)
    assert PROGRAM.mailbox_size == sum(rows[-1])


def test_pins_are_numbered_as_the_program_wants_them() -> None:
    """STM32 ports have 16 pins, nRF ports 32; chip-selects that are not there are 0xFF."""
    assert Wiring("PA5", "PB6", "PC15", "PH3").to_bytes() == bytes([5, 22, 47, 115, 255, 255, 255, 255])
    assert Wiring("P0.19", "P0.22", "P1.15", "P0.17", ("P0.20",)).to_bytes() == bytes(
        [19, 22, 47, 17, 20, 255, 255, 255]
    )


@given(st.binary(min_size=BLOCK_SIZE, max_size=BLOCK_SIZE))
def test_whatever_the_part_holds_is_blank_damaged_or_valid(data: bytes) -> None:
    """As the identity block's own rules say, and nothing is written by looking."""
    part = nor(cells=bytearray(data))
    assert store(part).look().state is identity_block.state(data)
    assert part.cells == data


@pytest.mark.parametrize("part", [nor(), eeprom()], ids=["nor", "eeprom"])
def test_a_written_block_is_read_back_from_the_part(part: FakePart) -> None:
    """The image carries none of it."""
    image = load_image(IMAGE, named_by="this test")
    assert store(part).in_image(image, IDENTITY) == image.segments
    store(part).write(IDENTITY)
    held, evidence = store(part).read_back()
    assert (held.dev_eui, held.kcv_app, evidence) == (IDENTITY.dev_eui, IDENTITY.app_key.kcv(), "read back")


def test_a_sector_is_erased_only_when_its_block_is_not_blank() -> None:
    """What is behind the block in the sector is nobody's."""
    part = nor(cells=bytearray(b"\xff" * BLOCK_SIZE + b"\0" * (0x1000 - BLOCK_SIZE)))
    store(part).write(IDENTITY)
    assert 4 not in part.asked
    part.cells[5] ^= 1
    store(part).write(IDENTITY)
    assert 4 in part.asked
    assert store(part).look().state is BlockState.VALID


def test_the_factory_eui_names_the_board() -> None:
    """Most significant byte first; a flash has none."""
    assert store(eeprom()).factory_eui() == Eui64(0x0004A30B001A2C3D)
    assert store(nor()).factory_eui() is None


@pytest.mark.parametrize("number", [bytes(8), b"\xff" * 8])
def test_a_line_that_does_not_move_is_no_eui(number: bytes) -> None:
    """Nobody drives it, or it is shorted."""
    assert refusal(eeprom(number), "eui") == (
        f"the 25AA02E64 on pin PA4: it reads {number.hex().upper()} where its factory EUI-64 belongs; it does not "
        "answer, wanted its status register; check its soldering and the wiring in product.yaml, power the board off "
        "and on and repeat once, then set it aside"
    )


@pytest.mark.parametrize("found", [bytes(3), b"\xff" * 3])
def test_an_id_of_equal_bits_is_no_part(found: bytes) -> None:
    """A part that is not there is not called another one."""
    assert refusal(nor(answers=found)).startswith("the AT25SF041 on pin PA4: it does not answer, wanted")


def test_another_part_is_named_by_its_id() -> None:
    """The one that answers, and the one that is wanted."""
    assert refusal(nor(answers=b"\xef\x40\x18")) == (
        "the AT25SF041 on pin PA4: another part answers (id EF4018), wanted 1F8401; check that the right part is "
        "mounted, then set the board aside"
    )


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (2, "the microcontroller's SPI does not move, wanted its clock; power the board off and on"),
        (3, "it does not answer, wanted its status register; check its soldering"),
        (4, "it does not let itself be written (its write enable latch stays 0), wanted it to; power the board off"),
        (5, "it is still busy after its longest time, wanted the end of a write; power the board off and on"),
    ],
)
def test_what_the_program_says_becomes_a_sentence(status: int, sentence: str) -> None:
    """Each of its answers; the block's bytes are in none of them."""
    said = refusal(nor(fails={5: status}), "write")
    assert said.startswith(f"the AT25SF041 on pin PA4: {sentence}")
    assert IDENTITY.app_key.reveal().hex() not in said.lower()


@pytest.mark.parametrize("status", [1, 77])
def test_a_program_that_does_not_understand_the_store_is_not_the_boards_fault(status: int) -> None:
    """A request that it refuses, and an answer that it does not have."""
    with pytest.raises(StationError) as caught:
        store(nor(fails={1: status})).look()
    assert str(caught.value) == (
        f"spi-memory-stm32wle5 does not take command 1 (answer {status}), wanted a program and a store that fit each "
        "other; restore lorafab's files from version control"
    )


@pytest.mark.parametrize("status", [b"\x04\0", b"\x10\0", b"\0\x40"])
def test_a_protected_flash_is_not_touched(status: bytes) -> None:
    """Any protection counts: which blocks it covers is not worked out."""
    part = nor(status=status)
    assert refusal(part, "write") == (
        f"the AT25SF041 on pin PA4: its status register ({status[0]:#04x}, {status[1]:#04x}) protects the place of the "
        "identity block, wanted it open; lorafab takes no protection off: clear it on the bench, or set the board aside"
    )
    assert not {4, 5} & set(part.asked)


@given(st.integers(0, 255))
def test_an_eeprom_is_written_where_its_protection_allows(status: int) -> None:
    """BP1:BP0 protect a quarter, half or all from the top; the block lies in the lowest half."""
    part = eeprom()
    part.status = bytes([status, 0])
    if status >> 2 & 3 == 3:
        assert "protects the place" in refusal(part, "write")
    else:
        store(part).write(IDENTITY)


def test_the_factory_quarter_is_not_a_place_for_a_block() -> None:
    """Its protection may be off, and still nothing is written there."""
    for part in SPI_MEMORIES.values():
        if part.factory_eui is not None:
            assert not part.writable.overlaps(part.factory_eui)


def test_a_blank_part_is_not_read_back_as_an_identity() -> None:
    """The sentence names the part."""
    with pytest.raises(ForeignIdentity, match="the identity block in the AT25SF041 reads blank, wanted a whole block"):
        store(nor()).read_back()
