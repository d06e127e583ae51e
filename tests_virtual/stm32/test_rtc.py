"""lorafab/virtual/stm32/rtc.py and tamp.py: what a program and a debugger see of both generations."""

import pytest

from lorafab.virtual.clock import NS_PER_S
from lorafab.virtual.silicon import Reset, Sleep
from tests_virtual.stm32.bench import MS, US, Bench
from tests_virtual.stm32.conftest import Make

_V2 = {
    "TR": 0x00, "DR": 0x04, "CR": 0x08, "ISR": 0x0C, "PRER": 0x10, "WUTR": 0x14, "ALRMAR": 0x1C, "ALRMBR": 0x20,
    "WPR": 0x24, "SSR": 0x28, "SHIFTR": 0x2C, "CALR": 0x3C, "ALRMASSR": 0x44, "ALRMBSSR": 0x48,
}  # fmt: skip
_WL = {
    "TR": 0x00, "DR": 0x04, "SSR": 0x08, "ISR": 0x0C, "PRER": 0x10, "WUTR": 0x14, "CR": 0x18, "WPR": 0x24,
    "CALR": 0x28, "SHIFTR": 0x2C, "ALRMAR": 0x40, "ALRMASSR": 0x44, "ALRMBR": 0x48, "ALRMBSSR": 0x4C, "SR": 0x50,
    "MISR": 0x54, "SCR": 0x5C, "ALRABINR": 0x70, "ALRBBINR": 0x74,
}  # fmt: skip
INIT, INITF, RSF, INITS = 1 << 7, 1 << 6, 1 << 5, 1 << 4
ALRAE, ALRBE, WUTE, ALRAIE, WUTIE, SSRUIE = 1 << 8, 1 << 9, 1 << 10, 1 << 12, 1 << 14, 1 << 7
ALRAF, ALRBF, WUTF, SSRUF = 1, 2, 4, 1 << 6
ALARM = {"wl": 17, "l4": 18, "l0": 17}
EVERY_SECOND = 0x8080_8080
NEW_YEAR = (0x23_5958, 0x24_F231)  # 23:59:58, Sunday 2024-12-31 as the calendar was told


class Rtc:
    """A running RTC on LSE, its registers by name."""

    def __init__(self, bench: Bench, time: int = 0x12_3000, date: int = 0x25_2615, prer: int = 0x7F_00FF) -> None:
        self.bench = bench
        self.map = _WL if bench.family == "wl" else _V2
        bench.start_lse()
        bench.select_rtc_clock()
        bench.enable("rtc")
        self.unlock()
        self.set_clock(time, date, prer)

    def read(self, name: str) -> int:
        return self.bench.read("rtc", self.map[name])

    def write(self, name: str, value: int) -> None:
        self.bench.write("rtc", self.map[name], value)

    def unlock(self) -> None:
        self.write("WPR", 0xCA)
        self.write("WPR", 0x53)

    def set_clock(self, time: int, date: int, prer: int = 0x7F_00FF, binary: int = 0) -> None:
        self.write("ISR", INIT)
        self.bench.wait(100 * US)
        assert self.read("ISR") & INITF
        self.write("ISR", INIT | binary)
        self.write("PRER", prer)
        self.write("TR", time)
        self.write("DR", date)
        self.write("ISR", binary)

    @property
    def now(self) -> tuple[int, int]:
        """TR and DR."""
        return self.read("TR"), self.read("DR")

    @property
    def flags(self) -> int:
        """As SR of the WL."""
        return self.read("SR") if self.bench.family == "wl" else self.read("ISR") >> 8 & 7

    def clear(self, flags: int) -> None:
        if self.bench.family == "wl":
            self.write("SCR", flags)
        else:
            self.write("ISR", self.read("ISR") & ~(flags << 8 | INIT))


class TestCalendar:
    """Time goes by."""

    def test_counts_seconds_over_the_year(self, bench: Bench) -> None:
        """23:59:58 on the last day of 2024; two seconds later it is Wednesday, 1 January 2025."""
        rtc = Rtc(bench, 0x23_5958, 0x24_5231)
        bench.wait(NS_PER_S)
        assert rtc.now == (0x23_5959, 0x24_5231)
        bench.wait(NS_PER_S)
        assert rtc.now == (0x00_0000, 0x25_6101)

    def test_leap_day(self, bench: Bench) -> None:
        """28 February 2028 is followed by the 29th."""
        rtc = Rtc(bench, 0x23_5959, 0x28_2228)
        bench.wait(NS_PER_S)
        assert rtc.now == (0, 0x28_4229)

    def test_sub_seconds_count_down(self, bench: Bench) -> None:
        """SSR goes from PREDIV_S to 0 within a second: 256 steps."""
        rtc = Rtc(bench)
        assert rtc.read("SSR") == 255
        bench.wait(NS_PER_S // 2 + 10 * US)
        assert rtc.read("SSR") == 127
        bench.wait(NS_PER_S // 2 - 20 * US)
        assert rtc.read("SSR") == 0

    def test_reading_holds_the_higher_registers(self, bench: Bench) -> None:
        """SSR holds TR and DR until DR is read, so that the three belong together; BYPSHAD does not."""
        rtc = Rtc(bench, *NEW_YEAR)
        bench.wait(NS_PER_S * 2 - 100 * US)
        assert rtc.read("SSR") == 0
        bench.wait(MS)
        assert rtc.read("TR") == 0x23_5959
        assert rtc.read("DR") & 0xFF_1F3F == 0x24_1231
        assert rtc.read("TR") == 0
        rtc.read("DR")
        rtc.write("CR", 1 << 5)
        bench.wait(NS_PER_S - 2 * MS)
        rtc.read("SSR")
        bench.wait(2 * MS)
        assert rtc.read("TR") == 1

    def test_twelve_hour_clock(self, bench: Bench) -> None:
        """FMT: 11:59:59 AM is followed by 12 PM."""
        rtc = Rtc(bench)
        rtc.write("CR", 1 << 6)
        rtc.set_clock(0x11_5959, 0x25_2615)
        bench.wait(NS_PER_S)
        assert rtc.read("TR") == 1 << 22 | 0x12_0000

    def test_summer_time(self, bench: Bench) -> None:
        """ADD1H and SUB1H move the hour and read 0."""
        rtc = Rtc(bench)
        rtc.write("CR", 1 << 16)
        assert rtc.read("TR") == 0x13_3000
        assert rtc.read("CR") == 0
        rtc.write("CR", 1 << 17)
        assert rtc.now == (0x12_3000, 0x25_2615)
        assert rtc.read("CR") == 0

    def test_calibration_changes_the_rate(self, bench: Bench) -> None:
        """CALM 256: 244 ppm slow, so 1000 s last 0.244 s longer."""
        rtc = Rtc(bench, 0)
        rtc.write("CALR", 256)
        bench.wait(1000 * NS_PER_S)
        assert rtc.now[0] == 0x00_1639
        bench.wait(NS_PER_S // 4)
        assert rtc.now[0] == 0x00_1640

    def test_shift(self, bench: Bench) -> None:
        """ADD1S and SUBFS 128: half a second ahead."""
        rtc = Rtc(bench)
        rtc.write("SHIFTR", 1 << 31 | 128)
        assert rtc.read("SSR") == 127
        bench.wait(NS_PER_S // 2)
        assert rtc.read("TR") == 0x12_3000, "held since SSR was read"
        rtc.read("DR")
        assert rtc.read("TR") == 0x12_3001

    def test_nonsense_is_told(self, bench: Bench) -> None:
        """Day 0x32."""
        Rtc(bench, 0, 0x25_2132)
        assert "no time and date" in bench.complaints[-1]


class TestProtection:
    """Who may write what."""

    def test_keys(self, bench: Bench) -> None:
        """Without the keys a write does nothing, visibly; a wrong key closes."""
        rtc = Rtc(bench)
        rtc.write("WPR", 0xFF)
        rtc.write("CR", 1 << 5)
        assert rtc.read("CR") == 0
        assert "0xCA, 0x53" in bench.complaints[-1]
        rtc.unlock()
        rtc.write("CR", 1 << 5)
        assert rtc.read("CR") == 1 << 5

    def test_backup_domain(self, bench: Bench) -> None:
        """DBP 0."""
        rtc = Rtc(bench)
        bench.write("power", 0x00, bench.read("power", 0x00) & ~(1 << 8))
        rtc.write("CR", 1 << 5)
        assert rtc.read("CR") == 0
        assert "DBP" in bench.complaints[-1]

    def test_calendar_wants_initialization_mode(self, bench: Bench) -> None:
        """TR outside of it."""
        rtc = Rtc(bench)
        rtc.write("TR", 0)
        assert rtc.now[0] == 0x12_3000
        assert "initialization mode" in bench.complaints[-1]

    def test_initialization_mode_takes_two_periods_and_stops_the_clock(self, bench: Bench) -> None:
        """INITF; RSF comes back after leaving; INITS says that a year was set."""
        rtc = Rtc(bench)
        assert rtc.read("ISR") & INITS
        rtc.write("ISR", INIT)
        assert not rtc.read("ISR") & INITF
        bench.wait(62 * US)
        assert rtc.read("ISR") & INITF
        bench.wait(5 * NS_PER_S)
        rtc.write("ISR", 0)
        assert not rtc.read("ISR") & RSF
        assert rtc.now[0] == 0x12_3000
        bench.wait(62 * US)
        assert rtc.read("ISR") & RSF

    def test_without_a_clock_initialization_never_begins(self, bench: Bench) -> None:
        """A dead crystal is met here by firmware."""
        bench.open_backup()
        bench.enable("rtc")
        bench.write("rtc", 0x24, 0xCA)
        bench.write("rtc", 0x24, 0x53)
        bench.write("rtc", 0x0C, INIT)
        bench.wait(NS_PER_S)
        assert not bench.read("rtc", 0x0C) & INITF

    def test_alarm_and_timer_are_fixed_while_they_run(self, bench: Bench) -> None:
        """ALRMAR with ALRAE, WUTR with WUTE."""
        rtc = Rtc(bench)
        rtc.write("CR", ALRAE | WUTE)
        rtc.write("ALRMAR", 5)
        rtc.write("WUTR", 5)
        assert rtc.read("ALRMAR") == 0
        assert rtc.read("WUTR") == 0xFFFF
        assert len(bench.complaints) == 2


class TestAlarm:
    """Alarm A and B."""

    def test_at_a_time_of_day(self, bench: Bench) -> None:
        """12:30:05: the flag, and the interrupt through its line."""
        rtc = Rtc(bench)
        bench.unmask(ALARM[bench.family], rising=bench.family != "wl")
        rtc.write("ALRMAR", 1 << 31 | 0x12_3005)
        rtc.write("CR", ALRAE | ALRAIE)
        bench.wait(5 * NS_PER_S - MS)
        assert rtc.flags == 0
        assert not bench.line("rtc alarm")
        bench.wait(2 * MS)
        assert rtc.flags == ALRAF
        assert bench.line("rtc alarm")
        rtc.clear(ALRAF)
        assert rtc.flags == 0
        if bench.family != "wl":
            bench.write("exti", 0x14, 1 << ALARM[bench.family])
        assert not bench.line("rtc alarm")

    def test_sub_seconds(self, bench: Bench) -> None:
        """MASKSS 8: at SSR 63 of every second."""
        rtc = Rtc(bench)
        rtc.write("ALRMBR", EVERY_SECOND)
        rtc.write("ALRMBSSR", 8 << 24 | 63)
        rtc.write("CR", ALRBE)
        for _ in range(3):
            bench.wait(NS_PER_S * 191 // 256)
            assert rtc.flags == 0
            bench.wait(NS_PER_S // 256 + US)
            assert rtc.flags == ALRBF
            rtc.clear(ALRBF)
            bench.wait(NS_PER_S * 64 // 256 - US)

    def test_wakes_from_stop(self, bench: Bench) -> None:
        """The calendar goes on, and the line comes through."""
        rtc = Rtc(bench)
        bench.unmask(ALARM[bench.family], rising=bench.family != "wl")
        rtc.write("ALRMAR", EVERY_SECOND)
        rtc.write("CR", ALRAE | ALRAIE)
        bench.stop()
        bench.wait(NS_PER_S - MS)
        assert not bench.line("rtc alarm")
        bench.wait(2 * MS)
        assert bench.line("rtc alarm")

    def test_wakes_from_standby_and_time_was_kept(self, bench: Bench) -> None:
        """A reset, with the time of before plus what passed, and the alarm's flag."""
        rtc = Rtc(bench)
        rtc.write("ALRMAR", 1 << 31 | 0x12_3130)
        rtc.write("CR", ALRAE | ALRAIE)
        bench.set("power", 0x00, 2 if bench.family == "l0" else 3)
        bench.stop()
        bench.wait(89 * NS_PER_S)
        standing = bench.sleep
        bench.wait(2 * NS_PER_S)
        assert (standing, bench.sleep) == (Sleep.STANDBY, Sleep.RUN)
        bench.enable("rtc")
        assert rtc.flags == ALRAF
        assert rtc.now == (0x12_3131, 0x25_2615)


class TestWakeUpTimer:
    """WUTR periods of its clock."""

    @pytest.mark.parametrize(("select", "count", "seconds"), [(0, 2047, 1), (3, 16_383, 1), (4, 9, 10), (6, 0, 65_537)])
    def test_period(self, bench: Bench, select: int, count: int, seconds: int) -> None:
        """RTCCLK / 16 and / 2, seconds, and seconds plus 0x10000."""
        rtc = Rtc(bench)
        rtc.write("WUTR", count)
        rtc.write("CR", WUTE | select)
        for _ in range(2):
            bench.wait(seconds * NS_PER_S - MS)
            assert rtc.flags & WUTF == 0
            bench.wait(2 * MS)
            assert rtc.flags & WUTF
            rtc.clear(WUTF)
            rtc.write("CR", 0)
            rtc.write("CR", WUTE | select)

    def test_interrupt_each_period(self, bench: Bench) -> None:
        """WUTIE, through EXTI line 20 in all three."""
        rtc = Rtc(bench)
        bench.unmask(20, rising=bench.family != "wl")
        rtc.write("WUTR", 0)
        rtc.write("CR", WUTE | WUTIE | 4)
        for _ in range(3):
            bench.wait(NS_PER_S)
            assert bench.line("rtc wakeup")
            rtc.clear(WUTF)
            if bench.family != "wl":
                bench.write("exti", 0x14, 1 << 20)
            assert not bench.line("rtc wakeup")


class TestBinaryMode:
    """The WL's free counter, as the LoRaWAN stack's timers use it."""

    def _start(self, make: Make) -> tuple[Bench, Rtc]:
        bench = make("wl")
        rtc = Rtc(bench)
        rtc.set_clock(0, 0, prer=31 << 16 | 0x7FFF, binary=1 << 8)
        return bench, rtc

    def test_counts_down_from_all_ones(self, make: Make) -> None:
        """RTCCLK / 32 = 1024 Hz, 32 bits."""
        bench, rtc = self._start(make)
        assert rtc.read("SSR") == 0xFFFF_FFFF
        bench.wait(10 * NS_PER_S)
        assert rtc.read("SSR") == 0xFFFF_FFFF - 10_240

    def test_alarm_compares_all_bits(self, make: Make) -> None:
        """MASKSS 32 and ALRABINR; ALRMASSR has its low 15 bits."""
        bench, rtc = self._start(make)
        bench.unmask(17, rising=False)
        rtc.write("ALRABINR", 0xFFFF_FFFF - 1024)
        assert rtc.read("ALRMASSR") == 0x7FFF - 1024
        rtc.write("ALRMASSR", 32 << 24 | 0x7FFF - 1024)
        assert rtc.read("ALRABINR") == 0xFFFF_FFFF - 1024
        rtc.write("CR", ALRAE | ALRAIE)
        bench.stop()
        bench.wait(NS_PER_S - 100 * US)
        assert not bench.irq(42)
        bench.wait(200 * US)
        assert bench.irq(42)
        assert rtc.read("MISR") == ALRAF
        rtc.clear(ALRAF)
        bench.wait(100 * NS_PER_S)
        assert rtc.flags == 0, "once in 2^32 counts"

    def test_underflow(self, make: Make) -> None:
        """SSRU interrupt after 2^32 counts (48 days at 1024 Hz)."""
        bench, rtc = self._start(make)
        bench.unmask(18, rising=False)
        rtc.write("CR", SSRUIE)
        bench.wait(((1 << 32) - 1) * NS_PER_S // 1024)
        assert not bench.irq(2)
        bench.wait(2 * MS)
        assert bench.irq(2)
        assert rtc.flags == SSRUF
        assert rtc.read("SSR") > 0xFFFF_FF00

    def test_alarm_may_end_the_cycle(self, make: Make) -> None:
        """SSCLR: SSR begins again behind ALRABINR."""
        bench, rtc = self._start(make)
        rtc.write("ALRMASSR", 1 << 31 | 32 << 24)
        rtc.write("ALRABINR", 0xFFFF_FFFF - 1023)
        rtc.write("CR", ALRAE)
        bench.wait(NS_PER_S + MS)
        assert rtc.read("SSR") >= 0xFFFF_FFFE
        assert rtc.flags == ALRAF


class TestLife:
    """What resets it and what does not."""

    def test_system_reset_closes_the_keys_only(self, bench: Bench) -> None:
        """Time, alarm and backup registers go on."""
        rtc = Rtc(bench)
        where, offset = ("tamp", 0x100) if bench.family == "wl" else ("rtc", 0x50)
        bench.write(where, offset, 0xDEAD_BEEF)
        bench.silicon.reset(Reset.SOFTWARE)
        bench.wait(NS_PER_S)
        bench.enable("power")
        bench.enable("rtc")
        bench.open_backup()
        assert rtc.now[0] == 0x12_3001
        assert bench.read(where, offset) == 0xDEAD_BEEF
        rtc.write("CR", 1 << 5)
        assert rtc.read("CR") == 0

    def test_power_off_forgets(self, bench: Bench) -> None:
        """No battery: 1 January 2000, backup registers 0."""
        rtc = Rtc(bench)
        where, offset = ("tamp", 0x100) if bench.family == "wl" else ("rtc", 0x50)
        bench.write(where, offset, 0xDEAD_BEEF)
        bench.silicon.power_off()
        bench.silicon.power_on()
        bench.enable("rtc")
        assert rtc.now == (0, 0x2101)
        assert bench.read(where, offset) == 0

    def test_backup_domain_reset_forgets(self, bench: Bench) -> None:
        """BDRST."""
        rtc = Rtc(bench)
        register, bit = (0x50, 19) if bench.family == "l0" else (0x90, 16)
        bench.set("clocks", register, 1 << bit)
        assert rtc.now == (0, 0x2101)
        assert rtc.read("PRER") == 0x7F_00FF

    def test_regression_of_the_protection_clears_the_backup_registers(self, bench: Bench) -> None:
        """And not the time."""
        rtc = Rtc(bench)
        where, offset = ("tamp", 0x100) if bench.family == "wl" else ("rtc", 0x50)
        bench.write(where, offset, 0xDEAD_BEEF)
        bench.silicon.wipe_backup()
        assert bench.read(where, offset) == 0
        assert rtc.now[0] == 0x12_3000

    def test_debugger_freezes_it(self, bench: Bench) -> None:
        """DBG_RTC_STOP while the core is halted."""
        rtc = Rtc(bench)
        bench.write("dbgmcu", 0x3C if bench.family == "wl" else 0x08, 1 << 10)
        bench.halt(True)
        bench.wait(10 * NS_PER_S)
        assert rtc.now[0] == 0x12_3000
        bench.halt(False)
        bench.wait(NS_PER_S)
        assert rtc.now[0] == 0x12_3001

    def test_looks_of_a_debugger_pass_no_time(self, bench: Bench) -> None:
        """However often it reads."""
        rtc = Rtc(bench)
        before = bench.clock.now_ns
        for _ in range(50):
            rtc.read("SSR")
            rtc.read("ISR")
        assert bench.clock.now_ns == before


def test_unmodelled_functions_are_told(bench: Bench) -> None:
    """Time stamp and output."""
    rtc = Rtc(bench)
    rtc.write("CR", 1 << 11 | 1 << 23)
    assert bench.complaints == ["rtc: the time stamp is not modelled", "rtc: an output is not modelled"]
