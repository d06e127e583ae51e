"""lorafab/virtual/nrf52/wdt.py: what bites, and what keeps it from biting."""

from tests_virtual.nrf52.programs import SHELL
from tests_virtual.nrf52.rig import AIRCR, MS, SYSRESETREQ, Boards, Probe

WDT = 0x4001_0000


def test_a_watchdog_that_nobody_feeds(boards: Boards) -> None:
    """0.1 s after its start the chip resets, and says why."""
    shell = boards(program=SHELL)
    shell.board.advance(10 * MS)
    assert shell.ask("D", 95) == ""
    assert shell.ask("", 30) == "ready\n"
    assert shell.ask("R") == "00000002\n"


def test_feeding_halting_and_soft_resets(probe: Probe) -> None:
    """A halted core is not punished; a soft reset does not stop the watchdog; every enabled register must be fed."""
    probe.write(WDT + 0x504, 3276)
    probe.write(WDT + 0x508, 3)
    probe.write(WDT, 1)
    probe.board.advance(500 * MS)
    assert probe.read(WDT + 0x400) == 1
    probe.write(AIRCR, SYSRESETREQ)
    assert probe.read(WDT + 0x400) == 1
    probe.write(WDT + 0x600, 0x6E52_4635)
    assert probe.read(WDT + 0x404) == 2
    probe.write(WDT + 0x604, 0x6E52_4635)
    assert probe.read(WDT + 0x404) == 3
    probe.write(WDT + 0x504, 1)
    assert probe.read(WDT + 0x504) == 3276
