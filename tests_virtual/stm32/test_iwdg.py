"""lorafab/virtual/stm32/iwdg.py: when the watchdogs bite, and when they are held."""

import pytest

from lorafab.virtual.clock import NS_PER_S
from lorafab.virtual.silicon import Reset, Sleep
from tests_virtual.stm32.bench import MS, US, Bench
from tests_virtual.stm32.conftest import Make

KR, PR, RLR, SR, WINR = 0x00, 0x04, 0x08, 0x0C, 0x10
START, FEED, UNLOCK = 0xCCCC, 0xAAAA, 0x5555
LSI = {"wl": 32_000, "l4": 32_000, "l0": 37_000}
FREEZE = {"wl": 0x3C, "l4": 0x08, "l0": 0x08}


def _bitten(bench: Bench, window: bool = False) -> bool:
    """IWDGRSTF or WWDGRSTF."""
    register = 0x50 if bench.family == "l0" else 0x94
    return bool(bench.read("clocks", register) & (1 << 30 if window else 1 << 29))


def _timeout(bench: Bench, prescaler: int, reload: int) -> int:
    return (reload + 1) * prescaler * NS_PER_S // LSI[bench.family]


def _start(bench: Bench, prescaler: int = 0, reload: int = 0xFFF) -> None:
    bench.write("iwdg", KR, START)
    bench.write("iwdg", KR, UNLOCK)
    bench.write("iwdg", PR, prescaler)
    bench.write("iwdg", RLR, reload)
    bench.write("iwdg", KR, FEED)


def test_bites_when_nobody_feeds(bench: Bench) -> None:
    """4096 periods of LSI / 4: half a second; not a moment earlier."""
    bench.write("iwdg", KR, START)
    bench.wait(_timeout(bench, 4, 0xFFF) - US)
    assert not _bitten(bench)
    bench.wait(2 * US)
    assert _bitten(bench)
    bench.wait(10 * NS_PER_S)


def test_prescaler_and_reload(bench: Bench) -> None:
    """PR 6 divides by 256."""
    _start(bench, 6, 124)
    bench.wait(_timeout(bench, 256, 124) - US)
    assert not _bitten(bench)
    bench.wait(2 * US)
    assert _bitten(bench)


def test_feeding_helps(bench: Bench) -> None:
    """Ten times nine tenths."""
    bench.write("iwdg", KR, START)
    for _ in range(10):
        bench.wait(_timeout(bench, 4, 0xFFF) * 9 // 10)
        bench.write("iwdg", KR, FEED)
    assert not _bitten(bench)


def test_registers_want_the_key_and_take_their_time(bench: Bench) -> None:
    """PVU and RVU are up for some periods of LSI; without 0x5555 nothing changes."""
    bench.write("iwdg", PR, 3)
    assert bench.read("iwdg", PR) == 0
    assert "0x5555" in bench.complaints[0]
    bench.write("iwdg", KR, UNLOCK)
    bench.write("iwdg", PR, 3)
    bench.write("iwdg", RLR, 100)
    assert (bench.read("iwdg", SR), bench.read("iwdg", PR), bench.read("iwdg", RLR)) == (3, 3, 100)
    bench.wait(MS)
    assert bench.read("iwdg", SR) == 0
    bench.write("iwdg", KR, FEED)
    bench.write("iwdg", PR, 0)
    assert bench.read("iwdg", PR) == 3, "any other key locks again"


def test_window(bench: Bench) -> None:
    """Feeding while the counter is above WINR bites."""
    _start(bench, 0, 0xFFF)
    bench.write("iwdg", KR, UNLOCK)
    bench.write("iwdg", WINR, 0x800)
    bench.wait(_timeout(bench, 4, 0xFFF) * 6 // 10)
    bench.write("iwdg", KR, FEED)
    assert not _bitten(bench)
    bench.wait(_timeout(bench, 4, 0xFFF) * 4 // 10)
    bench.write("iwdg", KR, FEED)
    assert _bitten(bench)


def test_only_a_reset_stops_it_and_it_stays_off_then(bench: Bench) -> None:
    """Software mode: it wants to be started again."""
    bench.write("iwdg", KR, START)
    bench.silicon.drive_reset_pin(True)
    bench.silicon.drive_reset_pin(False)
    bench.wait(10 * NS_PER_S)
    assert not _bitten(bench)


def test_runs_in_stop(bench: Bench) -> None:
    """LSI goes on; the bite ends Stop."""
    bench.write("iwdg", KR, START)
    bench.stop()
    bench.wait(NS_PER_S)
    assert _bitten(bench)
    assert bench.sleep is Sleep.RUN


@pytest.mark.parametrize(("option", "bit", "lpms"), [("stop", 17, 0), ("standby", 18, 3)])
def test_option_bytes_may_freeze_it(make: Make, option: str, bit: int, lpms: int) -> None:
    """IWDG_STOP and IWDG_STDBY 0."""
    bench = make("wl")
    values = bench.file.options
    bench.file.set_options((values[0] & ~(1 << bit), *values[1:]))
    bench.silicon.power_off()
    bench.silicon.power_on()
    bench.write("iwdg", KR, START)
    bench.write("power", 0x00, lpms)
    bench.stop()
    bench.wait(10 * NS_PER_S)
    assert not _bitten(bench), option
    bench.wake()


def test_option_bytes_may_start_it(make: Make) -> None:
    """IWDG_SW 0: it runs from reset on, and again after it has bitten."""
    bench = make("wl")
    values = bench.file.options
    bench.file.set_options((values[0] & ~(1 << 16), *values[1:]))
    bench.silicon.power_off()
    bench.silicon.power_on()
    bench.wait(_timeout(bench, 4, 0xFFF) + US)
    assert _bitten(bench)
    bench.set("clocks", 0x94, 1 << 23)
    bench.wait(_timeout(bench, 4, 0xFFF) + US)
    assert _bitten(bench)


def test_an_option_that_is_not_loaded_does_not_start_it(make: Make) -> None:
    """IWDG_SW 0 is programmed: a system reset is no loading of option bytes."""
    bench = make("wl")
    values = bench.file.options
    bench.file.set_options((values[0] & ~(1 << 16), *values[1:]))
    bench.silicon.reset(Reset.SOFTWARE)
    bench.wait(10 * NS_PER_S)
    assert not _bitten(bench)


def test_debugger_freezes_it(bench: Bench) -> None:
    """DBG_IWDG_STOP: the time with a halted core does not count; without the bit it does."""
    bench.write("dbgmcu", FREEZE[bench.family], 1 << 12)
    bench.write("iwdg", KR, START)
    bench.wait(_timeout(bench, 4, 0xFFF) // 2)
    bench.halt(True)
    bench.wait(10 * NS_PER_S)
    bench.halt(False)
    bench.wait(_timeout(bench, 4, 0xFFF) // 2 - MS)
    assert not _bitten(bench)
    bench.wait(2 * MS)
    assert _bitten(bench)


def test_halted_core_is_bitten_without_the_freeze_bit(bench: Bench) -> None:
    """As debuggers of real boards learn."""
    bench.write("iwdg", KR, START)
    bench.halt(True)
    bench.wait(NS_PER_S)
    assert _bitten(bench)


class TestWindowWatchdog:
    """PCLK1 / 4096 / 2^WDGTB."""

    CR, CFR, SR = 0x00, 0x04, 0x08

    def _step(self, bench: Bench) -> int:
        return 4096 * NS_PER_S // bench.silicon.hz("pclk1")

    def test_bites_below_0x40(self, bench: Bench) -> None:
        """From 0x7F on 64 steps; the early wake-up one before."""
        bench.enable("wwdg")
        bench.write("wwdg", self.CFR, 0x7F | 1 << 9)
        bench.write("wwdg", self.CR, 0xFF)
        bench.wait(63 * self._step(bench) - US)
        assert not bench.irq(0)
        bench.wait(2 * US)
        assert bench.irq(0)
        assert bench.read("wwdg", self.CR) & 0x7F == 0x40
        bench.wait(self._step(bench))
        assert _bitten(bench, window=True)

    def test_feeding_in_the_window(self, bench: Bench) -> None:
        """At 0x50 with a window of 0x5F it is fine, at 0x70 it bites."""
        bench.enable("wwdg")
        bench.write("wwdg", self.CFR, 0x5F)
        bench.write("wwdg", self.CR, 0xFF)
        bench.wait(0x2F * self._step(bench) + US)
        bench.write("wwdg", self.CR, 0xFF)
        assert not _bitten(bench, window=True)
        assert not (_bitten(bench))
        bench.wait(0x0F * self._step(bench))
        bench.write("wwdg", self.CR, 0xFF)
        assert _bitten(bench, window=True)

    def test_stands_in_stop(self, bench: Bench) -> None:
        """No PCLK1, no count."""
        bench.enable("wwdg")
        bench.write("wwdg", self.CR, 0xFF)
        bench.stop()
        bench.wait(10 * NS_PER_S)
        bench.wake()
        assert bench.read("wwdg", self.CR) == 0xFF
