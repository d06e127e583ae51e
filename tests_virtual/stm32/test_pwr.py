"""lorafab/virtual/stm32/pwr.py and dbgmcu.py: sleep depths, Standby, wake-up pins, flags, the radio's lines."""

from typing import ClassVar

import pytest

from lorafab.virtual.silicon import Reset, Sleep
from tests_virtual.stm32.bench import Bench
from tests_virtual.stm32.conftest import Make

CR1, CR3, CR4, SR1, SR2, SCR = 0x00, 0x08, 0x0C, 0x10, 0x14, 0x18


def _standby(bench: Bench) -> None:
    bench.set("power", 0x00, 2 if bench.family == "l0" else 3)
    bench.stop()
    assert bench.sleep is Sleep.STANDBY


@pytest.mark.parametrize("family", ["wl", "l4"])
@pytest.mark.parametrize(
    ("lpms", "depth"),
    [(0, Sleep.STOP), (1, Sleep.STOP), (2, Sleep.STOP), (3, Sleep.STANDBY), (4, Sleep.STANDBY), (7, Sleep.STANDBY)],
)
def test_lpms_says_how_deep(make: Make, family: str, lpms: int, depth: Sleep) -> None:
    """Stop 0, 1, 2, Standby, Shutdown."""
    bench = make(family)
    bench.write("power", CR1, lpms)
    bench.stop()
    assert bench.sleep is depth


def test_plain_wfi_only_sleeps(bench: Bench) -> None:
    """SLEEPDEEP 0."""
    bench.silicon.core_sleeps(False)
    assert bench.sleep is Sleep.SLEEP
    assert bench.silicon.hz() > 0


def test_wakeup_pin_ends_standby_as_a_reset(bench: Bench) -> None:
    """A rising edge of an enabled WKUP1; the flags of Standby and of the pin tell why, and no reset flag is set."""
    flags = 0x50 if bench.family == "l0" else 0x94
    bench.set("clocks", flags, 1 << 23)
    register, enable = (0x04, 1 << 8) if bench.family == "l0" else (CR3, 1)
    bench.set("power", register, enable)
    _standby(bench)
    bench.silicon.pins.board_drives("PA0", True)
    assert bench.sleep is Sleep.RUN
    assert bench.read("clocks", flags) >> 24 == 0
    bench.enable("power")
    if bench.family == "l0":
        assert bench.read("power", 0x04) & 3 == 3
        bench.set("power", 0x00, 0xC)
        assert bench.read("power", 0x04) & 3 == 0
        return
    assert bench.read("power", SR1) & 1
    standby = (0x88, 8) if bench.family == "wl" else (SR1, 8)
    assert bench.read("power", standby[0]) >> standby[1] & 1
    bench.write("power", SCR, 0x11F)
    assert bench.read("power", SR1) == 0


def _words(bench: Bench) -> dict[str, int]:
    return {ram.name: bench.silicon.bus.read(ram.base + 0x100, 4) for ram in bench.silicon.chip.rams}


@pytest.mark.parametrize("kept_by", ["nobody", "RRS", "RRS in Shutdown", "DBG_STANDBY"])
def test_standby_forgets_ram(make: Make, kept_by: str) -> None:
    """All of it; RRS keeps SRAM2 in Standby only, and a debugger (DBG_STANDBY) everything."""
    for family, retention in (("wl", 9), ("l4", 8), ("l0", None)):
        if retention is None and "RRS" in kept_by:
            continue
        bench = make(family)
        for ram in bench.silicon.chip.rams:
            bench.silicon.bus.write(ram.base + 0x100, 4, 0x600D)
        if "RRS" in kept_by:
            bench.set("power", CR3, 1 << (retention or 0))
        if kept_by == "DBG_STANDBY":
            bench.write("dbgmcu", 0x04, 4)
        bench.set("power", CR1, 2 if family == "l0" else 4 if "Shutdown" in kept_by else 3)
        bench.stop()
        bench.wake()
        kept = {"RRS": ["SRAM2"], "DBG_STANDBY": ["SRAM1", "SRAM2"]}.get(kept_by, [])
        assert [name for name, word in _words(bench).items() if word == 0x600D] == kept, family


def test_disabled_pin_does_not_wake(bench: Bench) -> None:
    """EWUP1 0."""
    _standby(bench)
    bench.silicon.pins.board_drives("PA0", True)
    assert bench.sleep is Sleep.STANDBY


def test_falling_edge_wakes_with_the_other_polarity(make: Make) -> None:
    """CR4.WP1."""
    bench = make("l4")
    bench.silicon.pins.board_drives("PA0", True)
    bench.write("power", CR4, 1)
    bench.write("power", CR3, 1)
    _standby(bench)
    bench.silicon.pins.board_drives("PA0", False)
    assert bench.sleep is Sleep.RUN


def test_msi_after_standby_has_the_range_that_was_stored_for_it(make: Make) -> None:
    """CSR.MSISRANGE 4 (1 MHz); after any other reset it is 4 MHz."""
    bench = make("l4")
    bench.write("clocks", 0x94, 4 << 8)
    bench.write("power", CR3, 1)
    _standby(bench)
    bench.silicon.pins.board_drives("PA0", True)
    assert bench.silicon.hz() == 1_000_000
    bench.silicon.reset(Reset.SOFTWARE)
    assert bench.silicon.hz() == 4_000_000


def test_dbp_opens_the_backup_domain_until_reset(bench: Bench) -> None:
    """Bit 8 of CR1 or CR."""
    power = bench.part("power")
    assert not power.backup_open
    bench.open_backup()
    assert power.backup_open
    bench.silicon.reset(Reset.SOFTWARE)
    assert not power.backup_open


def test_ready_flags_that_firmware_waits_for(bench: Bench) -> None:
    """VOSF is 0; REGLPF follows LPR."""
    register, vosf, reglpf = (0x04, 4, 5) if bench.family == "l0" else (SR2, 10, 9)
    assert not bench.read("power", register) >> vosf & 1
    assert not bench.read("power", register) >> reglpf & 1
    bench.set("power", 0x00, 1 << 14)
    assert bench.read("power", register) >> reglpf & 1


def test_voltage_detector_is_refused_visibly(bench: Bench) -> None:
    """PVDE."""
    register, bit = (0x00, 4) if bench.family == "l0" else (0x04, 0)
    bench.set("power", register, 1 << bit)
    assert bench.complaints == ["power: the voltage detector PVD is not modelled"]


class TestRadioLines:
    """NSS and busy of the WL's radio are pins for the radio's model."""

    def test_nss_follows_its_register(self, make: Make) -> None:
        """SUBGHZSPICR.NSS rests high."""
        bench = make("wl")
        assert bench.silicon.pins.level("SUBGHZ.NSS")
        bench.write("power", 0x90, 0)
        assert not bench.silicon.pins.level("SUBGHZ.NSS")
        bench.write("power", 0x90, 0x8000)
        assert bench.silicon.pins.level("SUBGHZ.NSS")

    def test_busy_shows_in_sr2_and_leaves_a_flag(self, make: Make) -> None:
        """RFBUSYS, RFBUSYMS; WRFBUSYF at the edge that WRFBUSYP selects, cleared by SCR."""
        bench = make("wl")
        bench.silicon.pins.board_drives("SUBGHZ.BUSY", True)
        assert bench.read("power", SR2) & 6 == 6
        assert bench.read("power", SR1) == 1 << 11
        bench.write("power", SCR, 1 << 11)
        bench.write("power", CR4, 1 << 11)
        bench.silicon.pins.board_drives("SUBGHZ.BUSY", False)
        assert bench.read("power", SR2) & 6 == 0
        assert bench.read("power", SR1) == 1 << 11

    def test_smps_or_ldo_is_ready(self, make: Make) -> None:
        """SMPSRDY with SMPSEN, LDORDY without."""
        bench = make("wl")
        assert bench.read("power", SR2) & 0x18 == 0x10
        bench.write("power", 0x1C, 1 << 15)
        assert bench.read("power", SR2) & 0x18 == 0x08

    def test_stop_flags(self, make: Make) -> None:
        """EXTSCR tells Stop 2 from Stop 0 and 1 until C1CSSF."""
        bench = make("wl")
        bench.write("power", CR1, 2)
        bench.stop()
        bench.wake()
        assert bench.read("power", 0x88) == 1 << 9
        bench.write("power", 0x88, 1)
        assert bench.read("power", 0x88) == 0


class TestDbgMcu:
    """Identity and what it keeps."""

    IDCODES: ClassVar = {"wl": 0x1001_6497, "l4": 0x1007_6415, "l0": 0x2008_6447}

    def test_identity(self, bench: Bench) -> None:
        """IDCODE is read-only."""
        bench.write("dbgmcu", 0x00, 0)
        assert bench.read("dbgmcu", 0x00) == self.IDCODES[bench.family]

    def test_only_power_on_resets_it(self, bench: Bench) -> None:
        """A debugger's wishes survive the reset that it makes."""
        bench.write("dbgmcu", 0x04, 7)
        bench.silicon.reset(Reset.SOFTWARE)
        if bench.family == "l0":
            bench.enable("dbgmcu")
        assert bench.read("dbgmcu", 0x04) == 7
        bench.silicon.power_off()
        bench.silicon.power_on()
        if bench.family == "l0":
            bench.enable("dbgmcu")
        assert bench.read("dbgmcu", 0x04) == 0
