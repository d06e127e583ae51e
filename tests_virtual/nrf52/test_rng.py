"""lorafab/virtual/nrf52/rng.py: bytes that are not random."""

from tests_virtual.nrf52.rig import MS, Boards, Probe

RNG = 0x4000_D000


def test_random_bytes_repeat(boards: Boards) -> None:
    """They are not random: the same board draws the same again after each power-on."""
    drawn = []
    for _ in range(2):
        probe = boards()
        probe.unlock()
        probe.write(RNG, 1)
        got = []
        for _ in range(8):
            while not probe.read(RNG + 0x100):
                pass
            probe.write(RNG + 0x100, 0)
            got.append(probe.read(RNG + 0x508))
        drawn.append(got)
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 4


def test_the_generator_stops_with_its_shortcut(probe: Probe) -> None:
    """One byte, and no event after it."""
    probe.write(RNG + 0x200, 1)
    probe.write(RNG, 1)
    probe.board.advance(1 * MS)
    probe.write(RNG + 0x100, 0)
    probe.board.advance(1 * MS)
    assert probe.read(RNG + 0x100) == 0
