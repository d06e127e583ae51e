"""Fast programming of the STM32WL: a row of 32 double words at once, by a program that keeps up."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests_virtual.silicon.rig import CR, FLASH, SR, Debugger, open_board

FSTPG, PGAERR, MISERR, FASTERR = 1 << 18, 0x20, 0x100, 0x200
RCC_CR, ROW = 0x5800_0000, FLASH + 0x10000
DATA = bytes(range(256))


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[Debugger]:
    """A debugger on a blank board at 16 MHz with its flash unlocked."""
    debugger = Debugger(open_board(tmp_path / "b.board"))
    debugger.write(RCC_CR, 0x89)  # MSI range 8: 16 MHz
    debugger.unlock()
    debugger.write(CR, FSTPG)
    yield debugger
    debugger.board.close()


def load(probe: Debugger, address: int, data: bytes, pause_ns: int = 0) -> None:
    """Store words back to back, as code in RAM does."""
    for at in range(0, len(data), 4):
        probe.board.advance(pause_ns)
        probe.board.mem_write(address + at, 4, int.from_bytes(data[at : at + 4], "little"))


def test_a_row_is_programmed_in_its_time(probe: Debugger) -> None:
    """All 256 bytes, in less time than 32 single double words take."""
    before = probe.board.clock.now_ns
    load(probe, ROW, DATA)
    assert probe.wait_flash() == 0
    probe.board.advance(3_000_000)
    assert probe.bytes(ROW, 256) == DATA
    assert 1_900_000 < probe.board.clock.now_ns - before - 3_000_000 < 2_600_000


def test_a_row_begins_at_a_row(probe: Debugger) -> None:
    """Anywhere else is an alignment error and nothing is programmed."""
    load(probe, ROW + 8, DATA[:8])
    assert probe.read(SR) & PGAERR
    assert probe.bytes(ROW, 256) == b"\xff" * 256


def test_a_late_word_misses_its_row(probe: Debugger) -> None:
    """MISERR, and the array is unchanged."""
    load(probe, ROW, DATA[:16])
    load(probe, ROW + 16, DATA[16:24], pause_ns=500_000)
    assert probe.read(SR) & MISERR
    assert probe.bytes(ROW, 256) == b"\xff" * 256


def test_a_slow_core_may_not(probe: Debugger) -> None:
    """HCLK3 below 8 MHz: FASTERR and a complaint."""
    probe.write(RCC_CR, 0x69)  # 4 MHz
    load(probe, ROW, DATA[:8])
    assert probe.read(SR) & FASTERR
    assert any("8 MHz" in sentence for sentence in probe.board.complaints)


def test_power_cut_tears_one_double_word_of_the_row(probe: Debugger) -> None:
    """What came before is whole, what comes after is erased."""
    load(probe, ROW, DATA)
    probe.board.advance(59_700 * 10 + 30_000)
    probe.board.power(False)
    states = [probe.board.silicon.file.stores["flash"].state(0x2000 + i) for i in range(32)]
    assert states == [1] * 10 + [2] + [0] * 21
