"""lorafab/virtual/pins.py: levels between a chip's ports and the parts around it, and SPI buses."""

from lorafab.virtual.pins import Pins, SpiBus


def test_a_driver_wins_over_a_pull() -> None:
    """The chip over the board, the board over a resistor, and nobody is low."""
    pins = Pins()
    assert not pins.level("PA4")
    pins.pull("PA4", True)
    assert pins.level("PA4")
    pins.board_drives("PA4", False)
    assert not pins.level("PA4")
    pins.chip_drives("PA4", True)
    assert pins.level("PA4")
    pins.chip_drives("PA4", None)
    pins.board_drives("PA4", None)
    assert pins.level("PA4")


def test_watchers_hear_of_changes_only() -> None:
    """Driving the level that is there already is silent."""
    pins, seen = Pins(), list[bool]()
    pins.watch("P0.17", seen.append)
    for level in (False, True, True, None, True):
        pins.chip_drives("P0.17", level)
    assert seen == [True, False, True]


def test_power_off_lets_go_but_resistors_stay() -> None:
    """Outputs of a dead chip do not drive."""
    pins, seen = Pins(), list[bool]()
    pins.pull("A", True)
    pins.chip_drives("A", False)
    pins.board_drives("B", True)
    pins.watch("A", seen.append)
    pins.power_off()
    assert (pins.level("A"), pins.level("B"), seen) == (True, False, [True])


class _Device:
    def __init__(self, answer: int) -> None:
        self.selected, self._answer = False, answer

    def exchange(self, byte: int) -> int:
        return byte ^ self._answer


def test_only_selected_devices_answer() -> None:
    """Nobody: all ones; one: its byte; two at once: the wired AND of both."""
    bus, one, two = SpiBus(), _Device(0x0F), _Device(0xFF)
    bus.devices += [one, two]
    assert bus.exchange(0x55) == 0xFF
    one.selected = True
    assert bus.exchange(0x55) == 0x5A
    two.selected = True
    assert bus.exchange(0x55) == 0x5A & 0xAA
