"""lorafab/virtual/serial_line.py: bytes between board and host, and what a line in trouble does to them."""

import select
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import serial
from hypothesis import given
from hypothesis import strategies as st

from lorafab.virtual.clock import Clock
from lorafab.virtual.faults import Action, ActiveFaults, FaultPlan
from lorafab.virtual.serial_line import SerialLine, host_baud, misread
from lorafab.virtual.wire import SerialWire

HZ = 115_200
TEXT = b"LORAFAB endnode\r\nOK\r\n" * 8


class Wire(SerialWire):
    """A pty whose far end is the test itself: the kernel carries bytes in its own time, which is not tested here."""

    def __init__(self) -> None:
        super().__init__(None)
        self.sent = bytearray()
        self.coming = bytearray()

    def send(self, byte: int) -> None:
        """Keep it."""
        self.sent.append(byte)

    def receive(self) -> bytes:
        """All that the test has put on the line."""
        data = bytes(self.coming)
        self.coming.clear()
        return data


class Bench:
    """A line between a host's port and the hands of a test in the board's place."""

    def __init__(self, stack: ExitStack, faults: str, host_hz: int) -> None:
        self.clock, self.happened = Clock(), list[Action]()
        self.wire = Wire()
        stack.callback(self.wire.close)
        active = ActiveFaults(FaultPlan.parse(faults), self.clock, self.happened.append)
        self.line = SerialLine(self.wire, active, self.clock)
        self.port = serial.Serial(str(self.wire.path), host_hz)
        stack.callback(self.port.close)

    def from_board(self, data: bytes, hz: int = HZ) -> bytes:
        """What the host gets of what the board sends."""
        self.wire.sent.clear()
        for byte in data:
            self.line.send(byte, hz)
        return bytes(self.wire.sent)

    def to_board(self, data: bytes, hz: int = HZ) -> bytes:
        """What the board gets of what the host sends."""
        self.wire.coming += data
        return self.line.receive(hz)


Make = Callable[..., Bench]


@pytest.fixture
def bench() -> Iterator[Make]:
    """Makes lines with faults; closed after the test."""
    with ExitStack() as stack:
        yield lambda faults="", host_hz=HZ: Bench(stack, faults, host_hz)


def test_a_healthy_line_carries_every_byte(bench: Make) -> None:
    """Both ways, all values."""
    line = bench()
    assert line.from_board(bytes(range(256))) == bytes(range(256))
    assert line.to_board(bytes(range(256))) == bytes(range(256))


def test_a_silent_line_is_silent_from_its_byte_on(bench: Make) -> None:
    """What the host sends still reaches the board."""
    line = bench("uart=silent@byte:5")
    assert line.from_board(b"0123456789") == b"0123"
    assert line.to_board(b"abc") == b"abc"


def test_a_dropped_byte_is_one_byte(bench: Make) -> None:
    """On the wire that the trigger names."""
    line = bench("uart=drop@byte:3; uart=drop@host_byte:2*2")
    assert line.from_board(b"01234567") == b"0134567"
    assert line.to_board(b"abcdef") == b"adef"


def test_garbage_damages_every_byte(bench: Make) -> None:
    """Line ends, too."""
    got = bench("uart=garbage").from_board(TEXT)
    assert len(got) == len(TEXT)
    assert all(one != other for one, other in zip(got, TEXT, strict=True))


def test_noise_flips_single_bits_and_repeats(bench: Make) -> None:
    """About one byte of eight; the same again for the same seed, another noise for another one, on each wire."""
    got, again, other = (
        bench(faults).from_board(TEXT) for faults in ("uart=noisy", "uart=noisy", "uart=noisy; seed=7")
    )
    flipped = [(one ^ sent).bit_count() for one, sent in zip(got, TEXT, strict=True)]
    assert set(flipped) == {0, 1}
    assert len(TEXT) // 16 < sum(flipped) < len(TEXT) // 4
    assert got == again != other
    assert TEXT != bench("uart=noisy").to_board(TEXT) != got


def test_the_port_has_the_boards_usual_speed_until_somebody_sets_one(bench: Make) -> None:
    """A client that only opens the file reads what the board says."""
    wire = SerialWire(None)
    try:
        assert host_baud(wire.fd) == 38_400  # the kernel's own for a new pty (include/linux/tty.h, tty_std_termios)
        SerialLine(wire, ActiveFaults(FaultPlan()), Clock())
        assert host_baud(wire.fd) == 115_200
    finally:
        wire.close()


def test_bytes_arrive_at_a_real_port(bench: Make) -> None:
    """Through the kernel's pty, both ways."""
    wire = SerialWire(None)
    try:
        line = SerialLine(wire, ActiveFaults(FaultPlan.parse("uart=drop@byte:2; uart=drop@host_byte:1")), Clock())
        with serial.Serial(str(wire.path), HZ, timeout=10) as port:
            for byte in b"0123":
                line.send(byte, HZ)
            wire.flush()
            assert port.read(3) == b"023"
            port.write(b"abc")
            got = b""
            while len(got) < 2:
                select.select([wire.fd], [], [], 10)
                got += line.receive(HZ)
            assert got == b"bc"
    finally:
        wire.close()


@pytest.mark.parametrize("hz", [2400, 9600, 57_600, 115_200, 921_600, 117_000])
def test_the_hosts_speed_is_seen_from_the_board(bench: Make, hz: int) -> None:
    """Also one that is not among the standard ones."""
    assert host_baud(bench(host_hz=hz).wire.fd) == hz


@pytest.mark.parametrize("host_hz", [9600, 57_600, 108_000, 122_000, 230_400])
def test_rates_that_do_not_match_damage_both_directions(bench: Make, host_hz: int) -> None:
    """And the same way each time."""
    line = bench(host_hz=host_hz)
    got = line.from_board(TEXT)
    assert got != TEXT
    assert bench(host_hz=host_hz).from_board(TEXT) == got
    assert line.to_board(TEXT) != TEXT


@pytest.mark.parametrize("host_hz", [111_000, 115_200, 119_500])
def test_rates_within_four_percent_are_one_rate(bench: Make, host_hz: int) -> None:
    """As real receivers put up with."""
    line = bench(host_hz=host_hz)
    assert (line.from_board(TEXT), line.to_board(TEXT)) == (TEXT, TEXT)


def test_a_host_that_follows_is_understood(bench: Make) -> None:
    """The rates are compared at each byte: both ends may change theirs."""
    line = bench()
    assert line.from_board(TEXT, hz=9600) != TEXT
    line.port.baudrate = 9600
    assert line.from_board(TEXT, hz=9600) == TEXT


def test_a_wrong_oscillator(bench: Make) -> None:
    """The firmware sets 115200 and the wire sees another rate; a host at that rate reads everything."""
    assert bench("baud=9600").from_board(TEXT) != TEXT
    assert bench("baud=9600").to_board(TEXT) != TEXT
    assert bench("baud=9600", host_hz=9600).from_board(TEXT) == TEXT


def test_a_uart_that_is_off_hears_nothing(bench: Make) -> None:
    """No rate: the bytes are gone, and do not come later; an oscillator fault changes nothing."""
    for faults in ("", "baud=9600"):
        line = bench(faults)
        assert line.to_board(b"abc", hz=0) == b""
        assert line.to_board(b"d", hz=HZ)[-1:] != b"c"
    line = bench()
    line.wire.coming += TEXT
    line.line.power_off()
    assert line.line.receive(HZ) == b""


def test_what_waits_for_a_byte_happens_after_it(bench: Make) -> None:
    """The byte itself still goes out."""
    line = bench("hang@byte:2")
    assert line.from_board(b"01") == b"01"
    line.clock.advance_to(1)
    assert line.happened == [Action.HANG]


# --- the receiver ---


@given(st.integers(0, 255), st.integers(1200, 1_000_000))
def test_equal_rates_are_read_right(byte: int, hz: int) -> None:
    """Every byte, at every rate."""
    assert misread(byte, hz, hz) == bytes([byte])


@given(st.integers(0, 255), st.integers(300, 1_000_000), st.integers(300, 1_000_000))
def test_a_frame_gives_few_bytes(byte: int, sender_hz: int, receiver_hz: int) -> None:
    """A frame has at most five falling edges, and a slow receiver sees at most one byte of it."""
    got = misread(byte, sender_hz, receiver_hz)
    assert len(got) <= 5
    if receiver_hz < sender_hz:
        assert len(got) <= 1


def test_frames_worked_out_by_hand() -> None:
    """0x00 is nine low bits and then the idle line; 0x55 toggles at every bit."""
    # Twice as fast: a low of 9 bits is 18 for the receiver: 0x00, and no second edge.
    assert misread(0x00, 9600, 19_200) == b"\x00"
    # Twice as fast, 0x55 = 0 10101010 1: receiver's bits 00 11 00 11 00 ..., that is start, 0, 1, 1, 0, 0, 1, 1, 0 and,
    # from the edge at bit 6 on, 0 0 1 1 0 0 1 1 1 once more.
    assert misread(0x55, 9600, 19_200) == b"\x66\xe6"
    # Half as fast, 0x00: low for 4.5 of its bits: the start bit and four zeros (the late look is at 4.69 bits: idle).
    assert misread(0x00, 19_200, 9600) == b"\xf8"
    # Twelve times slower: the frame ends before the first data bit, so that there are only ones, if the start bit is
    # taken for one: in its middle, at bit 6 of the frame, 0x55 is low and 0xFF is not.
    assert misread(0x55, 115_200, 9600) == b"\xff"
    assert misread(0xFF, 115_200, 9600) == b""
