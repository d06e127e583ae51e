"""lorafab/virtual/nrf52/gpiote.py: edges, tasks, the PORT event."""

from tests_virtual.nrf52.rig import Probe

P1 = 0x5000_0300
DIRSET, LATCH, DETECTMODE = 0x518, 0x520, 0x524
GPIOTE = 0x4000_6000
PULL_DOWN, SENSE_HIGH = 1 << 2, 2 << 16


def test_the_port_event_comes_with_detect(probe: Probe) -> None:
    """Once for two pins by default; with LDETECT again for each bit that is left when LATCH is cleared."""
    pins = probe.board.silicon.pins
    for pin in (3, 4):
        probe.write(P1 + 0x700 + 4 * pin, PULL_DOWN | SENSE_HIGH)
    port_event = GPIOTE + 0x17C
    pins.board_drives("P1.03", True)
    assert probe.read(port_event) == 1
    probe.write(port_event, 0)
    pins.board_drives("P1.04", True)
    assert probe.read(port_event) == 0
    probe.write(P1 + DETECTMODE, 1)
    probe.write(P1 + LATCH, 1 << 3)
    assert probe.read(port_event) == 1


def test_gpiote_counts_edges_it_was_asked_for(probe: Probe) -> None:
    """Rising, falling, both."""
    pins = probe.board.silicon.pins
    for channel, polarity in enumerate((1, 2, 3)):
        probe.write(GPIOTE + 0x510 + 4 * channel, 1 | 11 << 8 | polarity << 16)
    seen = []
    for level in (True, False):
        pins.board_drives("P0.11", level)
        seen.append([probe.read(GPIOTE + 0x100 + 4 * channel) for channel in range(3)])
        for channel in range(3):
            probe.write(GPIOTE + 0x100 + 4 * channel, 0)
    assert seen == [[1, 0, 1], [0, 1, 1]]


def test_gpiote_tasks_drive_a_pin(probe: Probe) -> None:
    """OUTINIT, OUT by polarity, SET and CLR; GPIO has no say meanwhile, and gets the pin back."""
    pins = probe.board.silicon.pins
    probe.write(GPIOTE + 0x510, 3 | (32 + 10) << 8 | 3 << 16 | 1 << 20)
    levels = [pins.level("P1.10")]
    for task in (0x000, 0x000, 0x060, 0x030):
        probe.write(GPIOTE + task, 1)
        levels.append(pins.level("P1.10"))
    assert levels == [True, False, True, False, True]
    probe.write(P1 + DIRSET, 1 << 10)
    assert pins.level("P1.10")
    probe.write(GPIOTE + 0x510, 0)
    assert not pins.level("P1.10")
