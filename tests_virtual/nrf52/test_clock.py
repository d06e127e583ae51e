"""lorafab/virtual/nrf52/clock.py: oscillators, and what stands while the core sleeps."""

from lorafab.virtual.silicon import Sleep
from tests_virtual.nrf52.programs import SHELL
from tests_virtual.nrf52.rig import MS, POWER, Boards, Probe

HFCLKSTART, LFCLKSTART, HFSTARTED, LFSTARTED, HFSTAT, LFSTAT, LFSRC, SLEEPENTER, SLEEPEXIT = (
    POWER, POWER + 8, POWER + 0x100, POWER + 0x104, POWER + 0x40C, POWER + 0x418, POWER + 0x518, POWER + 0x114,
    POWER + 0x118,
)  # fmt: skip
SYST_CSR, SYST_RVR, SYST_CVR = 0xE000_E010, 0xE000_E014, 0xE000_E018


def test_oscillators_take_their_time(probe: Probe) -> None:
    """The crystals start later than the RC oscillator."""
    probe.write(HFCLKSTART, 1)
    assert probe.read(HFSTARTED) == 0
    probe.board.advance(1 * MS)
    assert (probe.read(HFSTARTED), probe.read(HFSTAT)) == (1, 1 << 16 | 1)
    probe.write(LFSRC, 1)
    probe.write(LFCLKSTART, 1)
    probe.board.advance(100 * MS)
    assert probe.read(LFSTAT) == 1
    probe.board.advance(200 * MS)
    assert (probe.read(LFSTARTED), probe.read(LFSTAT)) == (1, 1 << 16 | 1)


def test_calibration_wants_the_crystal(probe: Probe) -> None:
    """DONE comes some time later; without HFXO the board says what is missing."""
    probe.write(POWER + 0x10, 1)
    assert "only while the crystal" in probe.complaints
    probe.write(HFCLKSTART, 1)
    probe.board.advance(1 * MS)
    probe.write(POWER + 0x10, 1)
    assert probe.read(POWER + 0x10C) == 0
    probe.board.advance(20 * MS)
    assert probe.read(POWER + 0x10C) == 1


def test_systick_stands_while_the_core_sleeps(boards: Boards) -> None:
    """The trap of this family: in System ON idle only the RTC wakes."""
    shell = boards(program=SHELL, uicr={0x208: 0xFFFF_FF5A})
    shell.board.advance(10 * MS)
    assert shell.board.silicon.sleep is Sleep.SLEEP
    for register, value in ((SYST_RVR, 0xFF_FFFF), (SYST_CVR, 0), (SYST_CSR, 5)):
        shell.write(register, value)
    first = shell.read(SYST_CVR)
    shell.board.advance(100 * MS)
    assert shell.read(SYST_CVR) == first
    assert shell.read(SLEEPENTER) == 1
    shell.write(SLEEPEXIT, 0)
    assert shell.ask("V") == "nrf52\n"
    assert shell.read(SLEEPEXIT) == 1
    assert shell.read(SYST_CVR) != first


def test_a_debugger_keeps_the_core_clock_alive(boards: Boards) -> None:
    """While it holds the debug power domain SysTick counts through sleep, which hides that trap."""
    shell = boards(program=SHELL, uicr={0x208: 0xFFFF_FF5A})
    shell.board.hold_debug_power(True)
    shell.board.advance(10 * MS)
    for register, value in ((SYST_RVR, 0xFF_FFFF), (SYST_CVR, 0), (SYST_CSR, 5)):
        shell.write(register, value)
    first = shell.read(SYST_CVR)
    shell.board.advance(1 * MS)
    assert shell.read(SYST_CVR) != first
    assert "idle" not in shell.board.supply.draws
