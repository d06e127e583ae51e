"""lorafab.virtual.parts.atecc608: a secure element on two wires, as its data sheet has it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.virtual.board import Board
from lorafab.virtual.parts.atecc608 import ADDRESS, READ_NS, Atecc608, crc16, group

SCL, SDA = "PB15", "PA15"
HALF_NS = 5_000
COMMAND, SLEEP, IDLE, RESET = b"\x03", b"\x01", b"\x02", b"\x00"
CONFIG, SLOT = 0x80, 0x82


class Controller:
    """An I2C controller with open-drain pins in a chip's place."""

    def __init__(self, board: Board) -> None:
        self.board, self.pins = board, board.silicon.pins

    def line(self, pin: str, high: bool) -> None:
        """Pull it low, or let go of it, and give it time."""
        self.pins.chip_drives(pin, None if high else False)
        self.board.advance(HALF_NS)

    def wake(self, low_ns: int = 60_000, wait_ns: int = 1_500_000) -> None:
        """SDA low for so long, then patience."""
        self.pins.chip_drives(SDA, False)
        self.board.advance(low_ns)
        self.pins.chip_drives(SDA, None)
        self.board.advance(wait_ns)

    def start(self) -> None:
        """SDA falls while SCL is high."""
        self.line(SDA, True)
        self.line(SCL, True)
        self.line(SDA, False)
        self.line(SCL, False)

    def stop(self) -> None:
        """SDA rises while SCL is high."""
        self.line(SDA, False)
        self.line(SCL, True)
        self.line(SDA, True)

    def bit(self, high: bool) -> bool:
        """One clock; what the line reads."""
        self.line(SDA, high)
        self.line(SCL, True)
        level = self.pins.level(SDA)
        self.line(SCL, False)
        return level

    def put(self, byte: int) -> bool:
        """Send a byte; whether it was acknowledged."""
        for place in range(7, -1, -1):
            self.bit(bool(byte >> place & 1))
        return not self.bit(True)

    def get(self, more: bool) -> int:
        """Receive a byte."""
        value = 0
        for _ in range(8):
            value = value << 1 | self.bit(True)
        self.bit(not more)
        return value

    def write(self, data: bytes, address: int = ADDRESS) -> bool:
        """One transfer; whether all of it was acknowledged."""
        self.start()
        taken = self.put(address) and all(self.put(byte) for byte in data)
        self.stop()
        return taken

    def read(self, size: int) -> bytes | None:
        """One transfer; None when the address was not acknowledged."""
        self.start()
        taken = self.put(ADDRESS | 1)
        data = bytes(self.get(place + 1 < size) for place in range(size)) if taken else None
        self.stop()
        return data

    def ask(self, opcode: int, mode: int, address: int, size: int) -> bytes:
        """A command and its packet, checksums compared."""
        packet = bytes([opcode, mode]) + address.to_bytes(2, "little")
        assert self.write(COMMAND + group(packet))
        self.board.advance(READ_NS)
        answer = self.read(size + 3)
        assert answer is not None
        assert crc16(answer[:-2]) == answer[-2:]
        assert answer[0] == size + 3
        return answer[1:-2]


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """A blank board with power: its core does not touch the pins."""
    board = Board.open(tmp_path / "b", chip="wle5se")
    board.power(True)
    yield board
    assert board.complaints == []
    board.close()


@pytest.fixture
def wire(board: Board) -> Controller:
    """A controller on its two wires."""
    return Controller(board)


@pytest.fixture
def element(board: Board) -> Atecc608:
    """The part itself."""
    part = board.silicon.parts["element"]
    assert isinstance(part, Atecc608)
    return part


def test_the_checksum_is_the_published_one() -> None:
    """The answer after a wake-up, as every driver of the family has it written down."""
    assert group(b"\x11") == bytes.fromhex("04113343")


@given(st.binary(min_size=1, max_size=40), st.integers(0), st.integers(0, 7))
def test_the_checksum_finds_every_flipped_bit(data: bytes, place: int, bit: int) -> None:
    """One of them, anywhere."""
    flipped = bytearray(data)
    flipped[place % len(data)] ^= 1 << bit
    assert crc16(bytes(flipped)) != crc16(data)


def test_it_sleeps_until_it_is_woken(wire: Controller) -> None:
    """60 us of low SDA, then 1.5 ms; before that it acknowledges nothing."""
    assert wire.read(4) is None
    wire.wake(low_ns=50_000)
    assert wire.read(4) is None
    wire.wake(wait_ns=1_000_000)
    assert wire.read(4) is None
    wire.board.advance(500_000)
    assert wire.read(4) == bytes.fromhex("04113343")


def test_it_says_who_it_is(wire: Controller, element: Atecc608) -> None:
    """Serial number in the configuration zone, JoinEUI as bytes, DevEUI as ASCII digits."""
    wire.wake()
    config = wire.ask(0x02, CONFIG, 0, 32)
    assert config[:4] + config[8:13] == element.serial
    assert (element.serial[:2], element.serial[8]) == (b"\x01\x23", 0xEE)
    assert wire.ask(0x02, SLOT, 9 << 3, 32)[:8] == element.join_eui == bytes.fromhex("00005EEF10000001")
    assert wire.ask(0x02, SLOT, 10 << 3, 32)[:16].decode() == element.dev_eui.hex().upper()
    assert wire.ask(0x02, 0x02, 10 << 3 | 1, 4).decode() == element.dev_eui.hex().upper()[4:8]
    assert wire.ask(0x30, 0, 0, 4)[2] == 0x60


@pytest.mark.parametrize("slot", [0, 8])
def test_no_key_is_read(wire: Controller, slot: int) -> None:
    """Execution error."""
    wire.wake()
    assert wire.ask(0x02, SLOT, slot << 3, 1) == b"\x0f"


def test_two_boards_have_two_elements_and_each_keeps_its_own(tmp_path: Path) -> None:
    """They follow from the board's unique id."""
    seen = set()
    for name in ("a", "b", "a"):
        board = Board.open(tmp_path / name, chip="wle5se")
        part = board.silicon.parts["element"]
        assert isinstance(part, Atecc608)
        seen.add((part.serial, part.dev_eui))
        board.close()
    assert len(seen) == 2


def test_it_hears_nothing_while_it_works(wire: Controller) -> None:
    """And answers afterwards; the answer can be read on, or from its beginning."""
    wire.wake()
    packet = bytes([0x02, SLOT]) + (10 << 3).to_bytes(2, "little")
    assert wire.write(COMMAND + group(packet))
    wire.board.advance(READ_NS // 10)
    assert wire.read(1) is None
    wire.board.advance(READ_NS)
    whole = wire.read(3)
    assert whole is not None
    assert whole[:1] == b"\x23"
    wire.write(RESET)
    assert wire.read(3) == whole


@pytest.mark.parametrize("word", [SLEEP, IDLE])
def test_it_can_be_sent_to_sleep(wire: Controller, word: bytes) -> None:
    """Then it has to be woken again."""
    wire.wake()
    assert wire.write(word)
    assert wire.read(4) is None
    wire.wake()
    assert wire.read(4) == bytes.fromhex("04113343")


def test_its_watchdog_sends_it_to_sleep(wire: Controller) -> None:
    """1.3 s after it woke, whatever it does."""
    wire.wake()
    wire.board.advance(1_200_000_000)
    assert wire.read(4) is not None
    wire.board.advance(200_000_000)
    assert wire.read(4) is None


def test_power_is_a_new_beginning(wire: Controller) -> None:
    """Asleep again."""
    wire.wake()
    wire.board.power(False)
    wire.board.power(True)
    assert wire.read(4) is None


def test_other_addresses_are_not_its(wire: Controller) -> None:
    """It shares its wires."""
    wire.wake()
    assert not wire.write(COMMAND, address=0xC0)
    assert wire.write(COMMAND)


@pytest.mark.parametrize(
    ("data", "status", "complaint"),
    [
        (COMMAND + b"\x07\x02\x80\x00\x00\x00\x00", 0xFF, "a command came with a wrong count or checksum"),
        (COMMAND + b"\x09\x02\x80\x00\x00", 0xFF, "a command came with a wrong count or checksum"),
        (COMMAND + group(b"\x40\x00\x00\x00"), 0x03, "command 0x40, mode 0x00 is not modelled"),
    ],
)
def test_what_it_cannot_do_is_answered_and_complained_about(
    tmp_path: Path, data: bytes, status: int, complaint: str
) -> None:
    """No quiet zero."""
    board = Board.open(tmp_path / "b", chip="wle5se")
    board.power(True)
    wire = Controller(board)
    wire.wake()
    assert wire.write(data)
    board.advance(READ_NS)
    assert wire.read(4) == group(bytes([status]))
    assert board.complaints == [f"element: {complaint}"]
    board.close()
