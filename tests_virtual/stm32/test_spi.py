"""lorafab/virtual/stm32/spi.py: frames on the board's bus, flags, time, order of bytes and bits."""

import pytest

from tests_virtual.stm32.bench import MS, US, Bench
from tests_virtual.stm32.conftest import Make

CR1, CR2, SR, DR = 0x00, 0x04, 0x08, 0x0C
MSTR, SPE, LSBFIRST, SSI, SSM = 1 << 2, 1 << 6, 1 << 7, 1 << 8, 1 << 9
MASTER = MSTR | SPE | SSI | SSM
RXNE, TXE, MODF, OVR, BSY = 1, 2, 1 << 5, 1 << 6, 1 << 7
FRXTH = 1 << 12
SLOW = 3 << 3  # divide by 16


class Echo:
    """A device that answers each byte with its complement, one byte later."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.selected = True
        self._next = 0x99

    def exchange(self, byte: int) -> int:
        answer, self._next = self._next, byte ^ 0xFF
        self.heard.append(byte)
        return answer


def _open(bench: Bench, control: int = MASTER | SLOW, second: int = 0, wide: bool = False) -> Echo:
    echo = Echo()
    bench.silicon.spi_bus("spi1").devices.append(echo)
    bench.start_hsi16()
    bench.enable("spi1")
    if bench.family == "l0":
        control |= 1 << 11 if wide else 0
        bench.write("spi1", CR2, second & ~0xF00)
    else:
        bench.write("spi1", CR2, (15 if wide else 7) << 8 | FRXTH * (not wide) | second)
    bench.write("spi1", CR1, control)
    return echo


def _exchange(bench: Bench, value: int, size: int = 1) -> int:
    bench.write("spi1", DR, value, size)
    for _ in range(100):
        if bench.read("spi1", SR) & RXNE:
            return bench.read("spi1", DR, size)
        bench.wait(US)
    raise AssertionError("nothing was received")


def test_byte_takes_eight_divided_clocks(bench: Bench) -> None:
    """16 MHz / 16: 8 us, BSY meanwhile."""
    echo = _open(bench)
    bench.write("spi1", DR, 0x9F, 1)
    assert bench.read("spi1", SR) & (BSY | RXNE) == BSY
    bench.wait(8 * US - 1)
    assert echo.heard == []
    assert bench.read("spi1", SR) & BSY
    bench.wait(1)
    assert echo.heard == [0x9F]
    assert bench.read("spi1", SR) & (BSY | RXNE) == RXNE
    assert bench.read("spi1", DR, 1) == 0x99
    assert not bench.read("spi1", SR) & RXNE


def test_bytes_one_after_another(bench: Bench) -> None:
    """What the device answers comes back in order."""
    echo = _open(bench)
    assert [_exchange(bench, byte) for byte in b"\x01\x02\x03"] == [0x99, 0xFE, 0xFD]
    assert echo.heard == [1, 2, 3]


def test_sixteen_bits_go_high_byte_first(bench: Bench) -> None:
    """0x1234 is 0x12, 0x34 on the line, 16 us."""
    echo = _open(bench, wide=True)
    bench.write("spi1", DR, 0x1234, 2)
    bench.wait(16 * US)
    assert echo.heard == [0x12, 0x34]
    assert bench.read("spi1", DR, 2) == 0x99ED


def test_low_bit_first(bench: Bench) -> None:
    """LSBFIRST turns the bits of both directions."""
    echo = _open(bench, MASTER | SLOW | LSBFIRST)
    assert _exchange(bench, 0x01) == 0x99
    assert echo.heard == [0x80]
    assert _exchange(bench, 0x00) == 0xFE


def test_nobody_selected_reads_all_ones(bench: Bench) -> None:
    """MISO is pulled up."""
    _open(bench).selected = False
    assert _exchange(bench, 0) == 0xFF


def test_interrupts(bench: Bench) -> None:
    """TXEIE and RXNEIE."""
    _open(bench, second=1 << 7)
    assert bench.line("spi")
    _open(bench, second=1 << 6)
    assert not bench.line("spi")
    bench.write("spi1", DR, 1, 1)
    bench.wait(8 * US)
    assert bench.line("spi")
    bench.read("spi1", DR, 1)
    assert not bench.line("spi")


@pytest.mark.parametrize("family", ["wl", "l4"])
def test_half_word_packs_two_bytes(make: Make, family: str) -> None:
    """With frames of 8 bits the low byte goes first; FRXTH 0 waits for two."""
    bench = make(family)
    echo = _open(bench)
    bench.write("spi1", CR2, 7 << 8)
    bench.write("spi1", DR, 0x3412, 2)
    bench.wait(8 * US)
    assert not bench.read("spi1", SR) & RXNE
    assert bench.read("spi1", SR) >> 9 & 3 == 1
    bench.wait(8 * US)
    assert echo.heard == [0x12, 0x34]
    assert bench.read("spi1", SR) & RXNE
    assert bench.read("spi1", DR, 2) == 0xED99


@pytest.mark.parametrize(("family", "fits"), [("wl", 4), ("l4", 4), ("l0", 1)])
def test_overrun(make: Make, family: str, fits: int) -> None:
    """What does not fit is lost with OVR, which reading DR, then SR, clears."""
    bench = make(family)
    _open(bench)
    for byte in range(fits):
        bench.write("spi1", DR, byte, 1)
        bench.wait(8 * US)
    assert not bench.read("spi1", SR) & OVR
    bench.write("spi1", DR, 0x77, 1)
    bench.wait(8 * US)
    assert bench.read("spi1", SR) & OVR
    assert bench.read("spi1", DR, 1) == 0x99
    assert bench.read("spi1", SR) & OVR
    assert not bench.read("spi1", SR) & OVR


@pytest.mark.parametrize(("family", "fits"), [("wl", 5), ("l4", 5), ("l0", 2)])
def test_too_much_is_told(make: Make, family: str, fits: int) -> None:
    """One frame shifts, four bytes (L0: one) wait; TXE said so."""
    bench = make(family)
    echo = _open(bench)
    for byte in range(fits):
        bench.write("spi1", DR, byte, 1)
    assert not bench.read("spi1", SR) & TXE
    assert bench.complaints == []
    bench.write("spi1", DR, 0x77, 1)
    assert "TXE is 0" in bench.complaints[0]
    bench.wait(MS)
    assert echo.heard == list(range(fits))


def test_mode_fault(bench: Bench) -> None:
    """MSTR with SSM and SSI 0: MODF, and SPE and MSTR fall."""
    _open(bench, MSTR | SPE | SSM)
    assert bench.read("spi1", SR) & MODF
    assert not bench.read("spi1", CR1) & (MSTR | SPE)
    bench.write("spi1", CR1, MASTER)
    assert not bench.read("spi1", SR) & MODF


def test_nss_by_hardware(make: Make) -> None:
    """SSOE: the pin is low while SPE is set."""
    bench = make("l4")
    _open(bench, MSTR, second=1 << 2)
    bench.write("spi1", CR1, MSTR | SPE)
    assert not bench.silicon.pins.level("PA4")
    bench.write("spi1", CR1, MSTR)
    assert bench.silicon.pins.level("PA4")


def test_radio_bus_runs_from_pclk3(make: Make) -> None:
    """SUBGHZSPI drives the bus of that name."""
    bench = make("wl")
    echo = Echo()
    bench.silicon.spi_bus("subghz").devices.append(echo)
    bench.start_hsi16()
    bench.write("clocks", 0x108, 8)
    bench.enable("subghzspi")
    bench.write("subghzspi", CR2, 7 << 8 | FRXTH)
    bench.write("subghzspi", CR1, MASTER | 0 << 3)
    bench.write("subghzspi", DR, 0xC0, 1)
    bench.wait(2 * US - 1)
    assert echo.heard == []
    bench.wait(1)
    assert echo.heard == [0xC0]
    assert bench.read("subghzspi", DR, 1) == 0x99


def test_stop_cuts_a_frame(bench: Bench) -> None:
    """It is lost, and told."""
    echo = _open(bench)
    bench.write("spi1", DR, 1, 1)
    bench.stop()
    bench.wait(MS)
    bench.wake()
    bench.wait(MS)
    assert echo.heard == []
    assert "clock stopped" in bench.complaints[0]


def test_unmodelled_modes_are_told(bench: Bench) -> None:
    """Slave mode, DMA, receive-only."""
    _open(bench, SPE)
    bench.write("spi1", CR1, MASTER | 1 << 10)
    bench.set("spi1", CR2, 1)
    assert [sentence.split(": ")[1] for sentence in bench.complaints] == [
        "slave mode is not modelled", "receive-only mode is not modelled", "DMA is not modelled",
    ]  # fmt: skip
