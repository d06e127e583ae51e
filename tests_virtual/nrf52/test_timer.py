"""lorafab/virtual/nrf52/timer.py: counting, comparing, capturing."""

from tests_virtual.nrf52.rig import MS, Probe

TIMER = 0x4000_8000


def test_a_timer_compares_captures_and_clears(probe: Probe) -> None:
    """1 MHz: a compare every 500 us with the clear shortcut; capture reads the counter."""
    for register, value in ((0x508, 3), (0x540, 500), (0x200, 1)):
        probe.write(TIMER + register, value)
    probe.write(TIMER, 1)
    started = probe.now_ns
    for n in (1, 2, 3):
        due = probe.board.clock.next_ns
        assert due == started + n * 500_000
        probe.board.clock.advance_to(due)
        assert probe.read(TIMER + 0x140) == 1
        probe.write(TIMER + 0x140, 0)
    probe.write(TIMER + 0x044, 1)
    assert 24 <= probe.read(TIMER + 0x544) <= 40
    probe.write(TIMER + 4, 1)
    probe.write(TIMER + 0x044, 1)
    stopped = probe.read(TIMER + 0x544)
    probe.board.advance(1 * MS)
    probe.write(TIMER + 0x044, 1)
    assert probe.read(TIMER + 0x544) == stopped


def test_counter_mode_counts_tasks(probe: Probe) -> None:
    """Each COUNT is one; a compare with the stop shortcut ends it."""
    for register, value in ((0x504, 1), (0x544, 3), (0x200, 2 << 8)):
        probe.write(TIMER + register, value)
    probe.write(TIMER, 1)
    seen = []
    for _ in range(5):
        probe.write(TIMER + 8, 1)
        probe.write(TIMER + 0x040, 1)
        seen.append(probe.read(TIMER + 0x540))
    assert seen == [1, 2, 3, 3, 3]
    assert probe.read(TIMER + 0x144) == 1
