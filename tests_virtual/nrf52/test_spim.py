"""lorafab/virtual/nrf52/spim.py: transfers by EasyDMA to the memories on the board."""

import pytest

from lorafab.virtual.bus import BusFault
from tests_virtual.nrf52.programs import SHELL
from tests_virtual.nrf52.rig import MS, RAM, Boards, Probe

BASE, P0 = 0x4000_3000, 0x5000_0000
START, STOP, ENDRX, END, ENDTX, STARTED = (
    BASE + 0x10, BASE + 0x14, BASE + 0x110, BASE + 0x118, BASE + 0x120, BASE + 0x14C,
)  # fmt: skip
ENABLE, FREQUENCY, RX_PTR, RX_MAX, TX_PTR, TX_MAX, CONFIG = (
    BASE + 0x500, BASE + 0x524, BASE + 0x534, BASE + 0x538, BASE + 0x544, BASE + 0x548, BASE + 0x554,
)  # fmt: skip
OUT, IN = RAM + 0x1000, RAM + 0x1100
NOR, EEPROM = 17, 20


@pytest.fixture
def spi(probe: Probe) -> Probe:
    """A debugger that has set SPIM0 up at 1 MHz and both chip-selects high."""
    selects = 1 << NOR | 1 << EEPROM
    for register, value in (
        (P0 + 0x508, selects), (P0 + 0x518, selects), (BASE + 0x508, 19), (BASE + 0x50C, 22), (BASE + 0x510, 23),
        (FREQUENCY, 0x1000_0000), (ENABLE, 7), (TX_PTR, OUT), (RX_PTR, IN),
    ):  # fmt: skip
        probe.write(register, value)
    return probe


def start(spi: Probe, data: bytes, answer: int) -> None:
    spi.put(OUT, data.ljust(-(-len(data) // 4) * 4, b"\0"))
    spi.write(TX_MAX, len(data))
    spi.write(RX_MAX, answer)
    spi.write(END, 0)
    spi.write(START, 1)


def transfer(spi: Probe, pin: int, data: bytes, answer: int) -> bytes:
    spi.write(P0 + 0x50C, 1 << pin)
    start(spi, data, answer)
    spi.board.advance(8_000 * max(len(data), answer) + 1)
    assert spi.read(END) == 1
    spi.write(P0 + 0x508, 1 << pin)
    return spi.bytes(IN, answer)


def test_both_memories_answer_to_their_chip_select(spi: Probe) -> None:
    """The NOR flash with its id, the EEPROM with the address that the factory wrote."""
    assert transfer(spi, NOR, b"\x9f", 4)[1:] == b"\x1f\x84\x01"
    assert transfer(spi, EEPROM, b"\x03\xf8", 10)[2:5] == b"\x02LF"


def test_a_transfer_takes_its_time(spi: Probe) -> None:
    """Ten bytes at 1 MHz are 80 us; END comes then, and RAM is filled then."""
    spi.write(P0 + 0x50C, 1 << NOR)
    started = spi.now_ns
    start(spi, b"\x9f", 10)
    due = spi.board.clock.next_ns
    assert due is not None
    assert spi.read(STARTED) == 1
    assert spi.read(END) == 0
    assert 80_000 <= due - started <= 80_000 + 60_000
    spi.board.clock.advance_to(due)
    assert [spi.read(event) for event in (ENDRX, ENDTX, END)] == [1, 1, 1]
    assert [spi.read(BASE + 0x53C), spi.read(BASE + 0x54C)] == [10, 1]


def test_nobody_selected_reads_ones(spi: Probe) -> None:
    """And what is sent reaches nobody."""
    start(spi, b"\x9f", 4)
    spi.board.advance(1 * MS)
    assert spi.bytes(IN, 4) == b"\xff" * 4


def test_chip_select_lifted_too_early_loses_the_bytes(spi: Probe) -> None:
    """As on a real board."""
    spi.write(P0 + 0x50C, 1 << NOR)
    start(spi, b"\x9f", 4)
    spi.write(P0 + 0x508, 1 << NOR)
    spi.board.advance(1 * MS)
    assert spi.bytes(IN, 4) == b"\xff" * 4


def test_least_significant_bit_first(spi: Probe) -> None:
    """The wire is reversed in both directions."""
    spi.write(CONFIG, 1)
    mirrored = transfer(spi, NOR, bytes([int(f"{0x9F:08b}"[::-1], 2)]), 4)
    assert [int(f"{byte:08b}"[::-1], 2) for byte in mirrored[1:]] == [0x1F, 0x84, 0x01]


@pytest.mark.parametrize(("register", "value"), [(FREQUENCY, 0x0A00_0000), (ENABLE, 1), (ENABLE, 6), (BASE + 0x540, 1)])
def test_what_is_not_there_is_refused(spi: Probe, register: int, value: int) -> None:
    """16 MHz is SPIM3's, the legacy SPI and TWIM share the address, lists are not modelled."""
    with pytest.raises(BusFault):
        spi.write(register, value)


def test_easydma_reaches_ram_only(spi: Probe) -> None:
    """A constant in flash cannot be sent."""
    spi.write(TX_PTR, 0x1000)
    spi.write(TX_MAX, 1)
    with pytest.raises(BusFault):
        spi.write(START, 1)


@pytest.mark.parametrize(("register", "value", "said"), [
    (ENABLE, 0, "ENABLE is off"), (CONFIG, 2, "modes 1 and 2"), (BASE + 0x508, 0xFFFF_FFFF, "names no pin"),
])  # fmt: skip
def test_a_controller_that_is_set_up_wrongly(spi: Probe, register: int, value: int, said: str) -> None:
    """Nothing comes back, and the board says why."""
    spi.write(register, value)
    spi.write(P0 + 0x50C, 1 << NOR)
    start(spi, b"\x9f", 4)
    spi.board.advance(1 * MS)
    assert spi.bytes(IN, 4)[1:] != b"\x1f\x84\x01"
    assert said in spi.complaints


def test_a_program_reads_the_id(boards: Boards) -> None:
    """At 8 MHz, by polling END."""
    shell = boards(program=SHELL)
    shell.board.advance(10 * MS)
    assert shell.ask("J") == "001F8401\n"
    assert not shell.complaints


SHORTS, END_START = BASE + 0x200, 1 << 17


def test_a_short_with_nothing_to_transfer_lets_time_pass(spi: Probe) -> None:
    """END starts the next transfer without a byte, for ever, and the board lives on."""
    spi.write(SHORTS, END_START)
    started = spi.now_ns
    start(spi, b"", 0)
    spi.board.advance(1 * MS)
    assert spi.now_ns - started >= 1 * MS
    assert spi.read(END) == 1


def test_a_short_to_an_unusable_buffer_is_complained_about(spi: Probe) -> None:
    """The next transfer would read flash: it does not begin, and nobody else gets the error."""
    spi.write(SHORTS, END_START)
    start(spi, b"\x9f", 4)
    spi.write(TX_PTR, 0)
    spi.board.advance(1 * MS)
    assert spi.read(END) == 1
    assert "next buffer is unusable" in spi.complaints
