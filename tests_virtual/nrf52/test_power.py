"""lorafab/virtual/nrf52/power.py: reset reasons, retained registers, System OFF."""

import pytest

from lorafab.virtual.bus import BusFault
from lorafab.virtual.nrf52.power import Power
from lorafab.virtual.silicon import Sleep
from tests_virtual.nrf52.programs import SHELL
from tests_virtual.nrf52.rig import AIRCR, MS, POWER, RAM, SYSRESETREQ, Boards, Probe

RESETREAS, GPREGRET = POWER + 0x400, POWER + 0x51C


def test_reset_reasons_add_up(boards: Boards) -> None:
    """Soft and pin reset; written ones are cleared, and power-on clears all."""
    shell = boards(program=SHELL, uicr={0x208: 0xFFFF_FF5A, 0x200: 18, 0x204: 18})
    shell.board.advance(10 * MS)
    assert shell.ask("R") == "00000000\n"
    shell.ask("S")
    assert shell.ask("R") == "00000004\n"
    for asserted in (True, False):
        shell.board.set_reset_pin(asserted)
    shell.board.advance(10 * MS)
    assert shell.ask("R") == "00000005\n"
    shell.write(RESETREAS, 4)
    assert shell.read(RESETREAS) == 1
    shell.board.power(False)
    shell.board.power(True)
    shell.board.advance(10 * MS)
    assert shell.ask("R") == "00000000\n"


def test_gpregret_outlives_a_soft_reset(probe: Probe) -> None:
    """A boot loader's mailbox."""
    probe.write(GPREGRET, 0x1B1)
    probe.write(AIRCR, SYSRESETREQ)
    assert probe.read(GPREGRET) == 0xB1


def test_system_off_until_a_pin_wakes(boards: Boards) -> None:
    """Nothing runs, RAM without retention is forgotten, a low level on P0.11 resets, and the reason is told."""
    shell = boards(program=SHELL, uicr={0x208: 0xFFFF_FF5A})
    shell.board.advance(10 * MS)
    shell.put(RAM + 0x1F00, b"lost")
    shell.put(RAM + 0x2F00, b"kept")
    shell.write(POWER + 0x914, 1 << 16)
    assert shell.ask("O", 1000) == ""
    assert shell.board.silicon.sleep is Sleep.STANDBY
    assert shell.board.supply.draws == {"chip": 400, "nor": 10_000, "eeprom": 1_000}
    shell.board.silicon.pins.board_drives("P0.11", False)
    shell.board.advance(10 * MS)
    assert shell.said == b"ready\n"
    assert shell.ask("R") == "00010000\n"
    assert shell.bytes(RAM + 0x2F00, 4) == b"kept"
    assert shell.bytes(RAM + 0x1F00, 4) != b"lost"
    assert shell.read(0x5000_0520) == 1 << 11


def test_system_off_with_the_pin_already_low_wakes_at_once(boards: Boards) -> None:
    """DETECT is a level."""
    shell = boards(program=SHELL)
    shell.board.advance(10 * MS)
    shell.board.silicon.pins.board_drives("P0.11", False)
    assert shell.ask("O") == "ready\n"


def test_a_debugger_wakes_from_system_off(boards: Boards) -> None:
    """With a reason of its own."""
    shell = boards(program=SHELL)
    shell.board.advance(10 * MS)
    shell.ask("O")
    power = shell.board.silicon.parts["power"]
    assert isinstance(power, Power)
    power.on_debug_power(True)
    shell.board.advance(10 * MS)
    assert shell.said == b"ready\n"
    assert shell.ask("R") == "00040000\n"


def test_ram_registers_set_and_clear(probe: Probe) -> None:
    """POWERSET and POWERCLR work on POWER; switching a section off is noted."""
    probe.write(POWER + 0x904, 3 << 16)
    assert probe.read(POWER + 0x900) == 0x3_FFFF
    probe.write(POWER + 0x908, 1 << 16 | 1)
    assert probe.read(POWER + 0x900) == 0x2_FFFE
    assert "a section of RAM is switched off" in probe.complaints


def test_registers_that_do_not_exist(probe: Probe) -> None:
    """A bus fault in CLOCK's, POWER's and APPROTECT's common block."""
    for offset in (0x404, 0x600, 0x990):
        with pytest.raises(BusFault):
            probe.read(POWER + offset)
