"""lorafab/virtual/stm32/gpio.py: what pins drive and read."""

import pytest

from lorafab.virtual.silicon import Silicon
from lorafab.virtual.stm32.gpio import reaches
from tests_virtual.stm32.bench import Bench
from tests_virtual.stm32.conftest import Make

MODER, OTYPER, PUPDR, IDR, ODR, BSRR, LCKR, AFRL, BRR = 0x00, 0x04, 0x0C, 0x10, 0x14, 0x18, 0x1C, 0x20, 0x28


@pytest.fixture(autouse=True)
def _clocked(bench: Bench) -> None:
    for name in ("gpioA", "gpioB"):
        bench.enable(name)


def _mode(bench: Bench, pin: int, mode: int) -> None:
    bench.write("gpioB", MODER, bench.read("gpioB", MODER) & ~(3 << 2 * pin) | mode << 2 * pin)


def _level(silicon: Silicon, pin: int) -> bool:
    return silicon.pins.level(f"PB{pin}")


def test_after_reset_pins_are_analog_but_for_the_debug_port(bench: Bench) -> None:
    """PA13 and PA14 are alternate, pulled up and down; with JTAG PA15, PB3 and PB4, too."""
    jtag = bench.family != "l0"
    assert bench.read("gpioA", MODER) == (0xABFF_FFFF if jtag else 0xEBFF_FFFF)
    assert bench.read("gpioA", PUPDR) == (0x6400_0000 if jtag else 0x2400_0000)
    assert bench.read("gpioB", MODER) == (0xFFFF_FEBF if jtag else 0xFFFF_FFFF)
    assert bench.read("gpioB", IDR) & ~0x18 == 0


def test_output_drives_its_pin(bench: Bench) -> None:
    """ODR, BSRR (where both, setting wins) and BRR; IDR shows the pin."""
    _mode(bench, 5, 1)
    bench.write("gpioB", ODR, 1 << 5)
    assert _level(bench.silicon, 5)
    assert bench.read("gpioB", IDR) >> 5 & 1
    bench.write("gpioB", BSRR, 1 << 21)
    assert not _level(bench.silicon, 5)
    bench.write("gpioB", BSRR, 1 << 21 | 1 << 5)
    assert _level(bench.silicon, 5)
    bench.write("gpioB", BRR, 1 << 5)
    assert not _level(bench.silicon, 5)
    assert bench.read("gpioB", ODR) == 0


def test_half_word_write_to_bsrr_touches_one_half(bench: Bench) -> None:
    """The upper half resets."""
    bench.write("gpioB", ODR, 0xFF)
    bench.write("gpioB", BSRR + 2, 0x0F, size=2)
    assert bench.read("gpioB", ODR) == 0xF0


def test_open_drain_lets_go_of_a_high(bench: Bench) -> None:
    """The board's level is read; a low wins over it."""
    _mode(bench, 5, 1)
    bench.write("gpioB", OTYPER, 1 << 5)
    bench.write("gpioB", ODR, 1 << 5)
    bench.silicon.pins.board_drives("PB5", False)
    assert not bench.read("gpioB", IDR) >> 5 & 1
    bench.silicon.pins.board_drives("PB5", True)
    assert bench.read("gpioB", IDR) >> 5 & 1
    bench.write("gpioB", ODR, 0)
    assert not bench.read("gpioB", IDR) >> 5 & 1


def test_input_reads_pulls_and_the_board(bench: Bench) -> None:
    """The board wins over a pull."""
    _mode(bench, 6, 0)
    bench.write("gpioB", PUPDR, 1 << 12)
    assert bench.read("gpioB", IDR) >> 6 & 1
    bench.silicon.pins.board_drives("PB6", False)
    assert not bench.read("gpioB", IDR) >> 6 & 1
    bench.silicon.pins.board_drives("PB6", None)
    bench.write("gpioB", PUPDR, 2 << 12)
    assert not bench.read("gpioB", IDR) >> 6 & 1


def test_analog_pin_has_no_pull_and_reads_zero(bench: Bench) -> None:
    """Although the board drives it."""
    bench.silicon.pins.board_drives("PB6", True)
    bench.write("gpioB", PUPDR, 1 << 12)
    assert not bench.read("gpioB", IDR) >> 6 & 1
    bench.silicon.pins.board_drives("PB6", None)
    assert not _level(bench.silicon, 6)


def test_lock_keeps_the_configuration(bench: Bench) -> None:
    """LCKK 1, 0, 1: mode and pull of the named pins are fixed until reset, their outputs are not."""
    _mode(bench, 5, 1)
    for value in (1 << 16 | 1 << 5, 1 << 5, 1 << 16 | 1 << 5):
        bench.write("gpioB", LCKR, value)
    assert bench.read("gpioB", LCKR) == 1 << 16 | 1 << 5
    _mode(bench, 5, 0)
    _mode(bench, 6, 0)
    assert bench.read("gpioB", MODER) >> 10 & 0xF == 1, "PB5 output, PB6 input"
    bench.write("gpioB", ODR, 1 << 5)
    assert _level(bench.silicon, 5)


def test_wrong_lock_sequence_locks_nothing(bench: Bench) -> None:
    """Other pins in the middle."""
    for value in (1 << 16 | 1 << 5, 1 << 6, 1 << 16 | 1 << 5):
        bench.write("gpioB", LCKR, value)
    assert not bench.read("gpioB", LCKR) >> 16


def test_alternate_function_is_told_to_peripherals(bench: Bench) -> None:
    """MODER and AFR together."""
    assert not reaches(bench.silicon, {"PB6": 7})
    _mode(bench, 6, 2)
    assert not reaches(bench.silicon, {"PB6": 7})
    bench.write("gpioB", AFRL, 7 << 24)
    assert reaches(bench.silicon, {"PA9": 7, "PB6": 7})


def test_reset_lets_go(bench: Bench) -> None:
    """A driven pin is free after a system reset, and after the power went."""
    _mode(bench, 5, 1)
    bench.write("gpioB", ODR, 1 << 5)
    bench.silicon.drive_reset_pin(True)
    bench.silicon.drive_reset_pin(False)
    assert not _level(bench.silicon, 5)


def test_standby_lets_go(make: Make) -> None:
    """Outputs have no power in Standby."""
    bench = make("wl")
    bench.enable("gpioB")
    _mode(bench, 5, 1)
    bench.write("gpioB", ODR, 1 << 5)
    bench.write("power", 0x00, 3)
    bench.stop()
    assert not _level(bench.silicon, 5)
