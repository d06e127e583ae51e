"""lorafab/virtual/nrf52/uarte.py: sending and receiving by EasyDMA, byte by byte in time."""

import pytest

from lorafab.virtual.bus import BusFault
from tests_virtual.nrf52.programs import SHELL
from tests_virtual.nrf52.rig import MS, RAM, Boards, Probe

BASE = 0x4000_2000
STARTRX, STOPRX, STARTTX, STOPTX, FLUSHRX = BASE, BASE + 4, BASE + 8, BASE + 0xC, BASE + 0x2C
RXDRDY, ENDRX, TXDRDY, ENDTX, ERROR, RXTO, RXSTARTED, TXSTOPPED = (
    BASE + 0x108, BASE + 0x110, BASE + 0x11C, BASE + 0x120, BASE + 0x124, BASE + 0x144, BASE + 0x14C, BASE + 0x158,
)  # fmt: skip
SHORTS, INTENSET, ERRORSRC, ENABLE, BAUDRATE, CONFIG = (
    BASE + 0x200, BASE + 0x304, BASE + 0x480, BASE + 0x500, BASE + 0x524, BASE + 0x56C,
)  # fmt: skip
RX_PTR, RX_MAX, RX_AMOUNT, TX_PTR, TX_MAX, TX_AMOUNT = (
    BASE + 0x534, BASE + 0x538, BASE + 0x53C, BASE + 0x544, BASE + 0x548, BASE + 0x54C,
)  # fmt: skip
BUFFER = RAM + 0x1000
BYTE_NS = 86_875  # at 115200: ten bits of 139 ticks of 16 MHz


@pytest.fixture
def port(probe: Probe) -> Probe:
    """A debugger that has set the console's UARTE up at 115200."""
    for register, value in ((BAUDRATE, 0x01D6_0000), (BASE + 0x50C, 6), (BASE + 0x514, 8), (ENABLE, 8)):
        probe.write(register, value)
    return probe


def send(port: Probe, data: bytes) -> None:
    port.put(BUFFER, data.ljust(-(-len(data) // 4) * 4, b"\0"))
    port.write(TX_PTR, BUFFER)
    port.write(TX_MAX, len(data))
    port.write(STARTTX, 1)


def listen(port: Probe, size: int, at: int = BUFFER) -> None:
    port.write(RX_PTR, at)
    port.write(RX_MAX, size)
    port.write(STARTRX, 1)


def arrive(port: Probe, data: bytes) -> None:
    port.board.console.receive(data)
    port.board.advance(len(data) * BYTE_NS + 1000)


def test_bytes_leave_at_the_baud_rate(port: Probe) -> None:
    """Three bytes take three byte times; ENDTX and the amount come with the last."""
    send(port, b"abc")
    port.board.advance(3 * BYTE_NS - 20_000)
    assert port.said == b"ab"
    assert port.read(ENDTX) == 0
    port.board.advance(20_000)
    assert port.said == b"abc"
    assert (port.read(TXDRDY), port.read(ENDTX), port.read(TX_AMOUNT)) == (1, 1, 3)


@pytest.mark.parametrize(
    ("code", "baud"), [(0x0027_5000, 9598), (0x004E_A000, 19208), (0x00EB_0000, 57554), (0x01D6_0000, 115108)]
)
def test_real_rates(port: Probe, code: int, baud: int) -> None:
    """What the divider gives, as the header of the vendor names it."""
    port.write(BAUDRATE, code)
    assert port.board.console.baud == baud


def test_received_bytes_land_in_ram(port: Probe) -> None:
    """A full buffer is ENDRX; each byte is RXDRDY."""
    listen(port, 4)
    assert port.read(RXSTARTED) == 1
    arrive(port, b"wxy")
    assert (port.read(RXDRDY), port.read(ENDRX)) == (1, 0)
    arrive(port, b"z")
    assert (port.read(ENDRX), port.read(RX_AMOUNT)) == (1, 4)
    assert port.bytes(BUFFER, 4) == b"wxyz"


def test_the_next_buffer_is_set_up_ahead(port: Probe) -> None:
    """With ENDRX_STARTRX no byte is lost between two buffers."""
    port.write(SHORTS, 1 << 5)
    listen(port, 4)
    port.write(RX_PTR, BUFFER + 0x100)
    arrive(port, b"01234567")
    assert port.bytes(BUFFER, 4) == b"0123"
    assert port.bytes(BUFFER + 0x100, 4) == b"4567"


def test_the_fifo_holds_what_comes_between_two_starts(port: Probe) -> None:
    """Five bytes; the sixth is an overrun."""
    listen(port, 1)
    arrive(port, b"a12345")
    assert port.read(ERROR) == 0
    arrive(port, b"6")
    assert (port.read(ERROR), port.read(ERRORSRC)) == (1, 1)
    listen(port, 5, BUFFER + 0x100)
    assert port.bytes(BUFFER + 0x100, 5) == b"12345"
    port.write(ERRORSRC, 1)
    assert port.read(ERRORSRC) == 0


def test_stopping_ends_the_buffer_first(port: Probe) -> None:
    """ENDRX with what has come, then RXTO; later bytes are lost."""
    listen(port, 8)
    arrive(port, b"ab")
    port.write(STOPRX, 1)
    assert (port.read(ENDRX), port.read(RXTO)) == (0, 0)
    port.board.advance(4 * BYTE_NS)
    assert (port.read(ENDRX), port.read(RXTO), port.read(RX_AMOUNT)) == (1, 1, 2)
    arrive(port, b"c")
    assert port.read(RX_AMOUNT) == 2


def test_flush_moves_the_fifo(port: Probe) -> None:
    """What came after the last buffer was full; an empty FIFO leaves AMOUNT as it was."""
    listen(port, 2)
    arrive(port, b"abcd")
    port.write(STOPRX, 1)
    port.board.advance(5 * BYTE_NS)
    port.write(ENDRX, 0)
    port.write(RX_PTR, BUFFER + 0x100)
    port.write(FLUSHRX, 1)
    assert (port.read(ENDRX), port.read(RX_AMOUNT), port.bytes(BUFFER + 0x100, 2)) == (1, 2, b"cd")
    port.write(ENDRX, 0)
    port.write(FLUSHRX, 1)
    assert (port.read(ENDRX), port.read(RX_AMOUNT)) == (1, 2)


def test_stopping_a_transmission(port: Probe) -> None:
    """The byte on the line is finished; ENDTX and TXSTOPPED follow."""
    send(port, b"long text")
    port.write(STOPTX, 1)
    port.board.advance(3 * BYTE_NS)
    assert port.said == b"l"
    assert (port.read(ENDTX), port.read(TXSTOPPED), port.read(TX_AMOUNT)) == (1, 1, 1)


@pytest.mark.parametrize("address", [0x0000_1000, RAM + 0x4_0000 - 1, 0x4000_2000])
def test_easydma_reaches_ram_only(port: Probe, address: int) -> None:
    """Flash, the end of RAM and registers are refused in both directions."""
    for pointer, size, task in ((TX_PTR, TX_MAX, STARTTX), (RX_PTR, RX_MAX, STARTRX)):
        port.write(pointer, address)
        port.write(size, 2)
        with pytest.raises(BusFault):
            port.write(task, 1)


def test_a_disabled_port_does_nothing(probe: Probe) -> None:
    """And the board says so."""
    listen(probe, 4)
    assert probe.read(RXSTARTED) == 0
    assert "ENABLE is off" in probe.complaints


def test_a_port_without_pins_reaches_nobody(port: Probe) -> None:
    """PSEL decides; the board says what is missing."""
    port.write(BASE + 0x50C, 0xFFFF_FFFF)
    port.write(BASE + 0x514, 0xFFFF_FFFF)
    send(port, b"a")
    listen(port, 1, BUFFER + 0x100)
    arrive(port, b"b")
    assert port.said == b""
    assert port.read(ENDRX) == 0
    assert "PSEL.TXD" in port.complaints
    assert "PSEL.RXD" in port.complaints


@pytest.mark.parametrize(("register", "value"), [(ENABLE, 4), (CONFIG, 1), (CONFIG, 0xE)])
def test_what_is_not_modelled_is_refused(port: Probe, register: int, value: int) -> None:
    """The legacy UART, flow control, parity."""
    with pytest.raises(BusFault):
        port.write(register, value)


def test_interrupts_follow_events(port: Probe) -> None:
    """The line is up while an enabled event stands."""
    port.write(INTENSET, 1 << 8)
    lines = port.board.core.nvic
    send(port, b"a")
    port.board.advance(BYTE_NS)
    assert lines.lines >> 2 & 1
    port.write(ENDTX, 0)
    assert not lines.lines >> 2 & 1


def test_a_program_talks(boards: Boards) -> None:
    """Interrupts, sleep and EasyDMA together: a line after start-up and an answer to a letter."""
    shell = boards(program=SHELL)
    shell.board.advance(10 * MS)
    assert shell.said == b"ready\n"
    assert shell.ask("V") == "nrf52\n"
    assert not shell.complaints
