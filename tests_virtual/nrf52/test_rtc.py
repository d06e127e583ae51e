"""lorafab/virtual/nrf52/rtc.py: counting LFCLK, compares, sleep."""

import pytest

from lorafab.virtual.silicon import Sleep
from tests_virtual.nrf52.programs import SHELL
from tests_virtual.nrf52.rig import MS, POWER, Boards, Probe

LFCLKSTART, LFSTARTED = POWER + 8, POWER + 0x104
RTC = 0x4001_1000
TICK_NS = 1e9 / 32768


def start_lfclk(probe: Probe) -> None:
    probe.write(LFCLKSTART, 1)
    probe.board.advance(1 * MS)
    assert probe.read(LFSTARTED) == 1


def test_the_counter_counts_lfclk(probe: Probe) -> None:
    """32768 a second, or a part of that with a prescaler, which cannot be changed on the way."""
    start_lfclk(probe)
    probe.write(RTC + 0x508, 3)
    probe.write(RTC, 1)
    probe.board.advance(1000 * MS)
    assert abs(probe.read(RTC + 0x504) - 8192) <= 1
    probe.write(RTC + 0x508, 0)
    assert probe.read(RTC + 0x508) == 3
    assert "PRESCALER is written while" in probe.complaints


def test_without_lfclk_it_stands(probe: Probe) -> None:
    """It goes on when the clock comes, and stops with it."""
    probe.write(RTC, 1)
    probe.board.advance(10 * MS)
    assert probe.read(RTC + 0x504) == 0
    assert "LFCLK does not run" in probe.complaints
    start_lfclk(probe)
    probe.board.advance(10 * MS)
    counted = probe.read(RTC + 0x504)
    assert counted > 300
    probe.write(POWER + 0xC, 1)
    stopped = probe.read(RTC + 0x504)
    probe.board.advance(10 * MS)
    assert probe.read(RTC + 0x504) == stopped


def test_a_compare_comes_when_it_is_enabled(probe: Probe) -> None:
    """To the LFCLK period; without EVTEN or INTEN there is no event."""
    start_lfclk(probe)
    probe.write(RTC + 0x540, 328)
    probe.write(RTC + 0x544, 328)
    probe.write(RTC + 0x344, 1 << 16)
    probe.write(RTC, 1)
    started = probe.now_ns
    due = probe.board.clock.next_ns
    assert due is not None
    assert due - started == pytest.approx(328 * TICK_NS, abs=1)
    probe.board.advance(11 * MS)
    assert [probe.read(RTC + 0x140), probe.read(RTC + 0x144)] == [1, 0]


def test_tick_and_overflow(probe: Probe) -> None:
    """TRIGOVRFLW sets the counter to 0xFFFFF0; sixteen counts later it is zero."""
    start_lfclk(probe)
    probe.write(RTC + 0x344, 3)
    probe.write(RTC, 1)
    probe.write(RTC + 0xC, 1)
    probe.board.advance(round(15 * TICK_NS))
    assert [probe.read(RTC + 0x100), probe.read(RTC + 0x104)] == [1, 0]
    probe.board.advance(round(2 * TICK_NS))
    assert probe.read(RTC + 0x104) == 1
    assert probe.read(RTC + 0x504) < 4


def test_a_compare_at_the_next_count_is_missed(probe: Probe) -> None:
    """As a part may do; the board says so, and two counts ahead is safe."""
    start_lfclk(probe)
    probe.write(RTC + 0x344, 1 << 16 | 1)
    probe.write(RTC, 1)
    rtc = probe.board.silicon.parts["rtc1"]
    rtc.write_word(0x540, rtc.read_word(0x504) + 1)
    probe.board.advance(1 * MS)
    assert probe.read(RTC + 0x140) == 0
    assert "that compare is missed" in probe.complaints
    rtc.write_word(0x540, rtc.read_word(0x504) + 2)
    probe.board.advance(1 * MS)
    assert probe.read(RTC + 0x140) == 1


def test_a_program_sleeps_a_second(boards: Boards) -> None:
    """WFI until the RTC's interrupt; the chip draws next to nothing meanwhile."""
    shell = boards(program=SHELL)
    shell.board.advance(10 * MS)
    assert shell.ask("T", 500) == ""
    assert shell.board.silicon.sleep is Sleep.SLEEP
    assert shell.board.supply.draws["idle"] == 1_500
    assert "chip" not in shell.board.supply.draws
    before = shell.now_ns
    while not shell.said:
        shell.board.advance(1 * MS)
    assert shell.said == b"" or abs(shell.now_ns - before - 500 * MS) < 3 * MS
    shell.board.advance(2 * MS)
    assert shell.said == b"woken\n"
