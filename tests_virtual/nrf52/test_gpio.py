"""lorafab/virtual/nrf52/gpio.py: levels, pulls, sensing."""

from hypothesis import given
from hypothesis import strategies as st

from lorafab.virtual.nrf52.gpio import pin_name
from tests_virtual.nrf52.rig import Probe

P0, P1 = 0x5000_0000, 0x5000_0300
OUT, OUTSET, OUTCLR, IN, DIR, DIRSET, DIRCLR, LATCH, DETECTMODE = (
    0x504, 0x508, 0x50C, 0x510, 0x514, 0x518, 0x51C, 0x520, 0x524,
)  # fmt: skip
GPIOTE = 0x4000_6000
INPUT, PULL_DOWN, PULL_UP, SENSE_HIGH, SENSE_LOW = 0, 1 << 2, 3 << 2, 2 << 16, 3 << 16


def cnf(port: int, pin: int) -> int:
    return port + 0x700 + 4 * pin


@given(st.integers(0, 47))
def test_names(number: int) -> None:
    """Port and pin with two digits, as on the schematic; numbers are those of PSEL."""
    port, pin = pin_name(number)[1:].split(".")
    assert (int(port) << 5) + int(pin) == number
    assert len(pin) == 2


def test_outputs_of_both_ports(probe: Probe) -> None:
    """Set, clear and whole writes; a pin is driven only when its direction says so."""
    pins = probe.board.silicon.pins
    for port, name in ((P0, "P0.13"), (P1, "P1.09")):
        bit = 1 << int(name[3:])
        probe.write(port + OUTSET, bit)
        assert not pins.level(name)
        probe.write(port + DIRSET, bit)
        assert pins.level(name)
        assert probe.read(port + OUT) == probe.read(port + DIR) == bit
        probe.write(port + OUTCLR, bit)
        assert not pins.level(name)
        probe.write(port + OUT, bit)
        probe.write(port + DIRCLR, bit)
        assert not pins.level(name)
        assert probe.read(cnf(port, int(name[3:]))) & 1 == 0


def test_an_input_reads_its_pin(probe: Probe) -> None:
    """Only with its buffer connected; pulls hold an open pin."""
    probe.board.silicon.pins.board_drives("P0.11", True)
    assert probe.read(P0 + IN) == 0
    probe.write(cnf(P0, 11), INPUT)
    assert probe.read(P0 + IN) == 1 << 11
    probe.board.silicon.pins.board_drives("P0.11", None)
    probe.write(cnf(P0, 11), PULL_UP)
    assert probe.read(P0 + IN) == 1 << 11
    probe.write(cnf(P0, 11), PULL_DOWN)
    assert probe.read(P0 + IN) == 0


def test_open_drain_lets_go(probe: Probe) -> None:
    """DRIVE S0D1: low is driven, high is left to the pull."""
    pins = probe.board.silicon.pins
    pins.pull("P0.26", True)
    probe.write(cnf(P0, 26), 1 | 6 << 8)
    assert not pins.level("P0.26")
    probe.write(P0 + OUTSET, 1 << 26)
    assert pins.level("P0.26")
    pins.board_drives("P0.26", False)
    assert not pins.level("P0.26")


def test_latch_remembers_what_was_sensed(probe: Probe) -> None:
    """A bit stays after the level has gone; written 1 it is cleared, and comes back while the level fits."""
    pins = probe.board.silicon.pins
    pins.board_drives("P0.11", True)
    probe.write(cnf(P0, 11), PULL_UP | SENSE_LOW)
    assert probe.read(P0 + LATCH) == 0
    pins.board_drives("P0.11", False)
    probe.write(P0 + LATCH, 1 << 11)
    assert probe.read(P0 + LATCH) == 1 << 11
    pins.board_drives("P0.11", True)
    assert probe.read(P0 + LATCH) == 1 << 11
    probe.write(P0 + LATCH, 1 << 11)
    assert probe.read(P0 + LATCH) == 0
