"""lorafab/virtual/stm32/rcc.py and rcc_base.py: oscillators, PLL, bus and kernel clocks, enables, resets, flags."""

from typing import ClassVar

import pytest

from lorafab.virtual.clock import NS_PER_S
from lorafab.virtual.silicon import Reset
from tests_virtual.stm32.bench import MS, US, Bench
from tests_virtual.stm32.conftest import Make


class TestAfterReset:
    """What runs when nobody has touched anything."""

    MSI: ClassVar = {"wl": 4_000_000, "l4": 4_000_000, "l0": 2_097_152}

    def test_runs_from_msi(self, bench: Bench) -> None:
        """MSI at 4 MHz, in L0 at 2.097 MHz, feeds all buses; the crystals and HSI16 stand."""
        hz = bench.silicon.hz
        assert hz() == hz("sysclk") == hz("pclk1") == hz("pclk2") == hz("msi") == self.MSI[bench.family]
        assert hz("hsi16") == hz("hse") == hz("lse") == hz("lsi") == hz("pll") == 0

    def test_flags_name_power_on_and_pin(self, bench: Bench) -> None:
        """BORRSTF or PORRSTF comes with PINRSTF; RMVF clears both, and the next reset sets its own."""
        register = 0x50 if bench.family == "l0" else 0x94
        assert bench.read("clocks", register) >> 24 == 0b0000_1100
        bench.set("clocks", register, 1 << 23)
        assert bench.read("clocks", register) >> 23 == 0
        bench.silicon.reset(Reset.SOFTWARE)
        assert bench.read("clocks", register) >> 24 == 0b0001_0100
        bench.silicon.reset(Reset.WATCHDOG)
        assert bench.read("clocks", register) >> 24 == 0b0011_0100, "flags gather until they are removed"
        bench.silicon.power_off()
        bench.silicon.power_on()
        assert bench.read("clocks", register) >> 24 == 0b0000_1100, "power-on forgets the others"


class TestOscillators:
    """On and ready bits."""

    def test_hsi16_becomes_the_system_clock(self, bench: Bench) -> None:
        """SWS follows SW."""
        bench.start_hsi16()
        assert bench.silicon.hz() == 16_000_000

    def test_crystal_takes_its_time(self, bench: Bench) -> None:
        """LSERDY comes seconds after LSEON, LSIRDY within a millisecond."""
        bench.open_backup()
        register, bit = (0x50, 8) if bench.family == "l0" else (0x90, 0)
        bench.set("clocks", register, 1 << bit)
        bench.wait(MS)
        assert not bench.read("clocks", register) >> bit & 2
        assert bench.silicon.hz("lse") == 0
        bench.wait(3 * NS_PER_S)
        assert bench.read("clocks", register) >> bit & 2
        assert bench.silicon.hz("lse") == 32_768
        bench.start_lsi()
        assert bench.silicon.hz("lsi") == (37_000 if bench.family == "l0" else 32_000)

    def test_switch_waits_for_a_clock_that_is_not_ready(self, bench: Bench) -> None:
        """SW may be ahead of SWS."""
        config = 0x0C if bench.family == "l0" else 0x08
        bench.set("clocks", config, 1)
        assert bench.read("clocks", config) & 0xF == 1
        assert bench.silicon.hz() < 16_000_000
        bench.set("clocks", 0x00, 1 if bench.family == "l0" else 1 << 8)
        bench.wait(10 * US)
        assert bench.read("clocks", config) & 0xF == 5
        assert bench.silicon.hz() == 16_000_000

    def test_clock_in_use_cannot_be_switched_off(self, bench: Bench) -> None:
        """HSION stays 1 while HSI16 is the system clock."""
        bench.start_hsi16()
        before = bench.read("clocks", 0x00)
        bench.write("clocks", 0x00, before & ~(1 if bench.family == "l0" else 1 << 8))
        assert bench.read("clocks", 0x00) == before
        assert bench.silicon.hz() == 16_000_000

    @pytest.mark.parametrize(("family", "hz"), [("l0", 0), ("l4", 8_000_000), ("wl", 32_000_000)])
    def test_only_a_crystal_that_is_there_starts(self, make: Make, family: str, hz: int) -> None:
        """Without one on the board HSERDY stays 0."""
        bench = make(family)
        bench.set("clocks", 0x00, 1 << 16)
        bench.wait(NS_PER_S)
        assert bool(bench.read("clocks", 0x00) & 1 << 17) == bool(hz)
        assert bench.silicon.hz("hse") == hz

    def test_ready_interrupt(self, bench: Bench) -> None:
        """HSIRDYIE: flag and interrupt when HSI16 is ready, until CICR."""
        base, bit, irq = (0x10, 2, 4) if bench.family == "l0" else (0x18, 3, 5)
        bench.write("clocks", base, 1 << bit)
        bench.start_hsi16()
        assert bench.read("clocks", base + 4) == 1 << bit
        assert bench.irq(irq)
        bench.write("clocks", base + 8, 1 << bit)
        assert bench.read("clocks", base + 4) == 0
        assert not bench.irq(irq)


class TestFrequencies:
    """Numbers that other parts divide."""

    @pytest.mark.parametrize(("code", "hz"), [(0, 100_000), (6, 4_000_000), (8, 16_000_000), (11, 48_000_000)])
    @pytest.mark.parametrize("family", ["wl", "l4"])
    def test_msi_ranges(self, make: Make, family: str, code: int, hz: int) -> None:
        """MSIRANGE counts once MSIRGSEL is set."""
        bench = make(family)
        bench.write("clocks", 0x00, 0x63 & ~0xF0 | code << 4)
        assert bench.silicon.hz() == 4_000_000
        bench.set("clocks", 0x00, 1 << 3)
        assert bench.silicon.hz() == hz

    @pytest.mark.parametrize(("code", "hz"), [(0, 65_536), (5, 2_097_152), (6, 4_194_304)])
    def test_msi_ranges_of_l0(self, make: Make, code: int, hz: int) -> None:
        """ICSCR.MSIRANGE."""
        bench = make("l0")
        bench.write("clocks", 0x04, code << 13)
        assert bench.silicon.hz() == hz

    def test_prescalers(self, bench: Bench) -> None:
        """HPRE 2, PPRE1 4, PPRE2 8."""
        bench.start_hsi16()
        config = 0x0C if bench.family == "l0" else 0x08
        bench.set("clocks", config, 0x8 << 4 | 5 << 8 | 6 << 11)
        hz = bench.silicon.hz
        assert (hz("hclk"), hz("pclk1"), hz("pclk2")) == (8_000_000, 2_000_000, 1_000_000)

    def test_wl_divides_by_odd_numbers_and_hclk3_by_its_own(self, make: Make) -> None:
        """HPRE 1 is a division by 3; SHDHPRE acts on HCLK3 alone."""
        bench = make("wl")
        bench.start_hsi16()
        bench.set("clocks", 0x08, 1 << 4)
        bench.write("clocks", 0x108, 9)
        hz = bench.silicon.hz
        assert (hz("hclk"), hz("hclk3"), hz("pclk3")) == (16_000_000 // 3, 4_000_000, 4_000_000)

    @pytest.mark.parametrize(
        ("family", "config"),
        [("wl", 2 | 6 << 8 | 1 << 28 | 1 << 29), ("l4", 2 | 8 << 8 | 1 << 24 | 0 << 25), ("l0", None)],
    )
    def test_pll(self, make: Make, family: str, config: int | None) -> None:
        """WL: 16 MHz x 6 / 2 = 48 MHz; L4: 16 MHz x 8 / 2 = 64 MHz; L0: 16 MHz x 4 / 2 = 32 MHz."""
        bench = make(family)
        bench.start_hsi16()
        if config is None:
            bench.set("clocks", 0x0C, 1 << 18 | 1 << 22)
        else:
            bench.write("clocks", 0x0C, config)
        bench.set("clocks", 0x00, 1 << 24)
        bench.wait(100 * US)
        register = 0x0C if family == "l0" else 0x08
        bench.set("clocks", register, 3)
        assert bench.silicon.hz() == {"wl": 48_000_000, "l4": 64_000_000, "l0": 32_000_000}[family]
        assert bench.complaints == []

    def test_pll_without_its_output_stands_and_keeps_its_factors(self, make: Make) -> None:
        """PLLREN 0 gives no clock; with the PLL on, only the enables of the outputs can be changed."""
        bench = make("wl")
        bench.start_hsi16()
        bench.write("clocks", 0x0C, 2 | 6 << 8 | 1 << 29)
        bench.set("clocks", 0x00, 1 << 24)
        bench.wait(100 * US)
        assert bench.silicon.hz("pll") == 0
        bench.write("clocks", 0x0C, 2 | 20 << 8 | 1 << 28 | 1 << 29)
        assert bench.silicon.hz("pll") == 48_000_000

    def test_too_fast_is_complained_about(self, make: Make) -> None:
        """48 MHz is the limit of the WL."""
        bench = make("wl")
        bench.start_hsi16()
        bench.write("clocks", 0x0C, 2 | 9 << 8 | 1 << 28 | 1 << 29)
        bench.set("clocks", 0x00, 1 << 24)
        bench.wait(100 * US)
        bench.set("clocks", 0x08, 3)
        assert bench.complaints == ["clocks: SYSCLK is 72000000 Hz, more than 48000000 Hz"]

    def test_kernel_clock_of_a_usart(self, bench: Bench) -> None:
        """CCIPR: bus clock, SYSCLK, HSI16, LSE."""
        name, position = ("usart2", 2) if bench.family == "l0" else ("usart1", 0)
        select = 0x4C if bench.family == "l0" else 0x88
        bench.start_lse()
        bench.start_hsi16()
        config = 0x0C if bench.family == "l0" else 0x08
        bench.set("clocks", config, 4 << 8 | 4 << 11)
        found = []
        for code in range(4):
            bench.write("clocks", select, code << position)
            found.append(bench.silicon.hz(name))
        assert found == [8_000_000, 16_000_000, 16_000_000, 32_768]


class TestWl:
    """What HAL drivers of the WL wait for."""

    def test_lse_reaches_others_through_lsesysen(self, make: Make) -> None:
        """LSESYSRDY follows; without it a LPTIM on LSE stands."""
        bench = make("wl")
        bench.start_lse()
        bench.set("clocks", 0x88, 3 << 18)
        assert bench.read("clocks", 0x90) >> 11 & 1
        assert bench.silicon.hz("lptim1") == 32_768
        bench.write("clocks", 0x90, 1)
        assert not bench.read("clocks", 0x90) >> 11 & 1
        assert (bench.silicon.hz("lptim1"), bench.silicon.hz("lse")) == (0, 32_768)

    def test_radio_leaves_reset(self, make: Make) -> None:
        """RFRSTF and the radio's reset line follow RFRST, which is set after reset."""
        bench = make("wl")
        assert bench.read("clocks", 0x94) & 0xC000 == 0xC000
        assert not bench.silicon.pins.level("SUBGHZ.NRST")
        bench.write("clocks", 0x94, 0x600)
        assert bench.read("clocks", 0x94) & 0xC000 == 0
        assert bench.silicon.pins.level("SUBGHZ.NRST")

    def test_kernel_hsi16_is_ready_with_hsi16(self, make: Make) -> None:
        """HSIKERDY; HSIKERON keeps HSI16 alive in Stop."""
        bench = make("wl")
        bench.set("clocks", 0x00, 1 << 9)
        bench.start_hsi16()
        assert bench.read("clocks", 0x00) >> 12 & 1
        bench.stop()
        assert (bench.silicon.hz("hsi16"), bench.silicon.hz()) == (16_000_000, 0)
        bench.wake()
        assert bench.silicon.hz("hsi16") == 16_000_000


class TestGates:
    """Clock enables and peripheral resets."""

    def test_part_without_clock_reads_zero_with_a_complaint(self, bench: Bench) -> None:
        """Its registers come to life with the enable bit."""
        assert bench.read("console", 0x1C) == 0
        assert len(bench.complaints) == 1
        assert "while its clock is off" in bench.complaints[0]
        bench.enable("console")
        assert bench.read("console", 0x1C) == 0xC0

    def test_reset_register_resets_the_part(self, bench: Bench) -> None:
        """RSTR has the bits of ENR."""
        bench.enable("console")
        bench.write("console", 0x0C, 0x123)
        offset, bit = bench.enable_bit("console")
        reset = offset - (0x10 if bench.family == "l0" else 0x20)
        bench.write("clocks", reset, 1 << bit)
        bench.write("clocks", reset, 0)
        assert bench.read("console", 0x0C) == 0


class TestStop:
    """Only the slow clocks survive."""

    def test_fast_clocks_stand_and_come_back_as_msi(self, bench: Bench) -> None:
        """LSE runs on; after waking SYSCLK is MSI and HSI16 is off."""
        bench.start_lse()
        bench.start_hsi16()
        msi = TestAfterReset.MSI[bench.family]
        bench.stop()
        assert bench.silicon.hz() == bench.silicon.hz("hsi16") == bench.silicon.hz("pclk1") == 0
        assert bench.silicon.hz("lse") == 32_768
        bench.wake()
        assert bench.silicon.hz() == msi
        assert bench.silicon.hz("hsi16") == 0
        config = 0x0C if bench.family == "l0" else 0x08
        assert bench.read("clocks", config) & 0xF == 0

    def test_stopwuck_wakes_on_hsi16(self, bench: Bench) -> None:
        """STOPWUCK 1."""
        config = 0x0C if bench.family == "l0" else 0x08
        bench.set("clocks", config, 1 << 15)
        bench.stop()
        bench.wake()
        assert bench.silicon.hz() == 16_000_000
        assert bench.read("clocks", config) & 0xF == 5

    def test_debugger_keeps_the_clocks(self, bench: Bench) -> None:
        """DBG_STOP."""
        bench.write("dbgmcu", 0x04, 2)
        bench.stop()
        assert bench.silicon.hz() == TestAfterReset.MSI[bench.family]


class TestBackupDomain:
    """What lies behind DBP."""

    def test_closed_until_dbp(self, bench: Bench) -> None:
        """Without DBP a write to the crystal's register does nothing, visibly."""
        register, bit = (0x50, 8) if bench.family == "l0" else (0x90, 0)
        bench.set("clocks", register, 1 << bit)
        assert not bench.read("clocks", register) >> bit & 1
        assert any("DBP" in sentence for sentence in bench.complaints)

    def test_survives_a_system_reset_but_not_its_own(self, bench: Bench) -> None:
        """LSE and RTCSEL stay over a reset; BDRST or RTCRST clears them."""
        register, bit, reset = (0x50, 8, 19) if bench.family == "l0" else (0x90, 0, 16)
        bench.start_lse()
        bench.select_rtc_clock()
        bench.silicon.reset(Reset.SOFTWARE)
        assert bench.silicon.hz("lse") == bench.silicon.hz("rtc") == 32_768
        bench.enable("power")
        bench.open_backup()
        bench.set("clocks", register, 1 << reset)
        assert bench.silicon.hz("lse") == bench.silicon.hz("rtc") == 0
        bench.write("clocks", register, 0)
        assert not bench.read("clocks", register) >> bit & 3
