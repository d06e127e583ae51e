"""lorafab/virtual/stm32/lptim.py: counting, matches, interrupts, sleep, freezing."""

import pytest

from lorafab.virtual.clock import NS_PER_S
from tests_virtual.stm32.bench import MS, TICK_NS, US, Bench
from tests_virtual.stm32.conftest import Make

ISR, ICR, IER, CFGR, CR, CMP, ARR, CNT, RCR = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x1C, 0x28
CMPM, ARRM, CMPOK, ARROK, UE, REPOK = 1, 2, 8, 16, 1 << 7, 1 << 8
LINES = {"wl": 29, "l4": 32, "l0": 29}


def _open(bench: Bench, enable: int = 0, prescaler: int = 0, source: int = 3) -> None:
    """Enabled, on LSE (3), LSI (1) or PCLK (0)."""
    if source == 3:
        bench.start_lse()
    bench.enable("lptim1")
    bench.set("clocks", 0x4C if bench.family == "l0" else 0x88, source << 18)
    bench.write("lptim1", CFGR, prescaler << 9)
    bench.write("lptim1", IER, enable)
    bench.write("lptim1", CR, 1)


def _start(bench: Bench, reload: int, compare: int = 0, single: bool = False) -> None:
    bench.write("lptim1", ARR, reload)
    bench.write("lptim1", CMP, compare)
    bench.wait(MS)
    bench.write("lptim1", ICR, 0x1FF)
    bench.write("lptim1", CR, 3 if single else 5)


def test_counts_periods_of_its_clock(bench: Bench) -> None:
    """32.768 kHz / 8: 4096 counts in a second; CNT begins again behind ARR."""
    _open(bench, prescaler=3)
    _start(bench, 9999)
    bench.wait(NS_PER_S)
    assert bench.read("lptim1", CNT) == 4096
    bench.wait(2 * NS_PER_S)
    assert bench.read("lptim1", CNT) == 3 * 4096 - 10_000


def test_registers_are_acknowledged_later(bench: Bench) -> None:
    """ARROK and CMPOK come some periods after the write, cleared by ICR."""
    _open(bench)
    bench.write("lptim1", ARR, 100)
    bench.write("lptim1", CMP, 50)
    assert bench.read("lptim1", ISR) == 0
    bench.wait(4 * TICK_NS)
    assert bench.read("lptim1", ISR) == ARROK | CMPOK
    bench.write("lptim1", ICR, ARROK)
    assert bench.read("lptim1", ISR) == CMPOK


def test_match_flags_at_their_counts(bench: Bench) -> None:
    """CMPM when CNT becomes CMP, ARRM when it becomes ARR."""
    _open(bench)
    _start(bench, 999, 500)
    bench.wait(500 * NS_PER_S // 32_768)
    assert bench.read("lptim1", ISR) & (CMPM | ARRM) == 0
    bench.wait(1 * US)
    assert bench.read("lptim1", ISR) & (CMPM | ARRM) == CMPM
    assert bench.read("lptim1", CNT) == 500
    bench.wait(499 * NS_PER_S // 32_768 + US)
    assert bench.read("lptim1", ISR) & (CMPM | ARRM) == CMPM | ARRM
    assert bench.read("lptim1", CNT) == 999


def test_interrupts_come_in_time(bench: Bench) -> None:
    """ARRMIE: each period again after it was cleared."""
    _open(bench, ARRM)
    _start(bench, 327)
    began = bench.clock.now_ns
    for periods in range(3):
        due = began + (327 + 328 * periods) * NS_PER_S // 32_768
        bench.wait(due - US - bench.clock.now_ns)
        assert not bench.line("lptim")
        bench.wait(2 * US)
        assert bench.line("lptim")
        bench.write("lptim1", ICR, ARRM)
        assert not bench.line("lptim")


def test_one_shot_stops_at_the_end(bench: Bench) -> None:
    """One ARRM; CNT rests at 0 until it is started again."""
    _open(bench, ARRM)
    _start(bench, 99, single=True)
    bench.wait(10 * MS)
    assert bench.line("lptim")
    assert bench.read("lptim1", CNT) == 0
    bench.write("lptim1", ICR, ARRM)
    bench.wait(NS_PER_S)
    assert not bench.line("lptim")
    bench.write("lptim1", CR, 3)
    bench.wait(2 * MS)
    assert 0 < bench.read("lptim1", CNT) < 99
    bench.wait(MS + MS)
    assert bench.line("lptim")


def test_runs_in_stop_and_wakes(bench: Bench) -> None:
    """With LSE, through an unmasked EXTI line."""
    _open(bench, ARRM)
    bench.unmask(LINES[bench.family], rising=False)
    _start(bench, 32_767)
    bench.stop()
    bench.wait(NS_PER_S - MS)
    assert not bench.line("lptim")
    bench.wait(2 * MS)
    assert bench.line("lptim")


def test_masked_line_waits_for_the_clock(make: Make) -> None:
    """The WL's IMR is 0 after reset: in Stop the interrupt is held back."""
    bench = make("wl")
    _open(bench, ARRM)
    _start(bench, 327)
    bench.stop()
    bench.wait(NS_PER_S)
    assert not bench.line("lptim")
    bench.wake()
    assert bench.line("lptim")


def test_bus_clock_stands_in_stop(bench: Bench) -> None:
    """PCLK: the count is the same after waking."""
    _open(bench, source=0, prescaler=7)
    _start(bench, 0xFFFF)
    bench.wait(10 * MS)
    before = bench.read("lptim1", CNT)
    assert before > 100
    bench.stop()
    bench.wait(NS_PER_S)
    bench.wake()
    assert bench.read("lptim1", CNT) == before


def test_follows_its_clock(bench: Bench) -> None:
    """PCLK at MSI, then at 16 MHz."""
    _open(bench, source=0, prescaler=7)
    _start(bench, 0xFFFF)
    bench.wait(10 * MS)
    slow = bench.read("lptim1", CNT)
    bench.start_hsi16()
    between = bench.read("lptim1", CNT)
    bench.wait(10 * MS)
    assert bench.read("lptim1", CNT) - between == pytest.approx(1250, abs=2)
    assert slow < 400


def test_values_want_an_enabled_timer_and_configuration_a_disabled_one(bench: Bench) -> None:
    """Each wrong order is told and does nothing."""
    bench.enable("lptim1")
    bench.write("lptim1", ARR, 100)
    bench.write("lptim1", CR, 1)
    bench.write("lptim1", CFGR, 1 << 9)
    assert bench.read("lptim1", ARR) == 1
    assert bench.read("lptim1", CFGR) == 0
    assert len(bench.complaints) == 2


def test_disable_resets_count_and_flags(bench: Bench) -> None:
    """ENABLE 0."""
    _open(bench)
    _start(bench, 99)
    bench.wait(10 * MS)
    assert bench.read("lptim1", ISR) & ARRM
    bench.write("lptim1", CR, 0)
    assert bench.read("lptim1", ISR) == 0
    assert bench.read("lptim1", CNT) == 0


def test_debugger_freezes_it(bench: Bench) -> None:
    """DBG_LPTIM1_STOP while the core is halted."""
    _open(bench)
    _start(bench, 0xFFFF)
    bench.write("dbgmcu", 0x3C if bench.family == "wl" else 0x08, 1 << 31)
    bench.wait(100 * MS)
    before = bench.read("lptim1", CNT)
    bench.halt(True)
    bench.wait(100 * MS)
    assert bench.read("lptim1", CNT) == before
    bench.halt(False)
    bench.wait(100 * MS)
    assert bench.read("lptim1", CNT) == pytest.approx(2 * before, abs=40)


def test_preload_waits_for_the_period_to_end(bench: Bench) -> None:
    """PRELOAD: the new ARR counts from the next period on."""
    bench.start_lse()
    bench.enable("lptim1")
    bench.set("clocks", 0x4C if bench.family == "l0" else 0x88, 3 << 18)
    bench.write("lptim1", CFGR, 1 << 22)
    bench.write("lptim1", CR, 1)
    _start(bench, 999)
    bench.wait(500 * TICK_NS)
    bench.write("lptim1", ARR, 99)
    bench.wait(400 * TICK_NS)
    assert bench.read("lptim1", CNT) > 850
    bench.wait(160 * TICK_NS)
    assert bench.read("lptim1", CNT) < 100


class TestWl:
    """What only the WL has."""

    def test_repetition_counter(self, make: Make) -> None:
        """UE after RCR + 1 periods, REPOK after the write."""
        bench = make("wl")
        _open(bench, UE)
        bench.write("lptim1", RCR, 2)
        bench.wait(MS)
        assert bench.read("lptim1", ISR) & REPOK
        _start(bench, 99)
        bench.wait(299 * TICK_NS)
        assert not bench.line("lptim")
        bench.wait(3 * TICK_NS)
        assert bench.line("lptim")

    def test_counter_reset(self, make: Make) -> None:
        """COUNTRST."""
        bench = make("wl")
        _open(bench)
        _start(bench, 0xFFFF)
        bench.wait(100 * MS)
        bench.write("lptim1", CR, 1 | 8)
        assert bench.read("lptim1", CNT) == 0
        bench.wait(10 * TICK_NS + US)
        assert bench.read("lptim1", CNT) == 10


def test_external_trigger_is_told(bench: Bench) -> None:
    """TRIGEN."""
    bench.enable("lptim1")
    bench.write("lptim1", CFGR, 1 << 17)
    assert bench.complaints == ["lptim1: an external trigger is not modelled"]
