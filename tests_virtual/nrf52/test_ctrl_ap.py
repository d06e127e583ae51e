"""lorafab/virtual/nrf52/ctrl_ap.py: who gets in, by build code, UICR, firmware and erase."""

import pytest

from lorafab.virtual.bus import BusFault
from tests_virtual.nrf52.programs import SHELL
from tests_virtual.nrf52.rig import (
    AIRCR,
    APPROTECT_DISABLE,
    C0,
    CTRL_ERASEALL,
    CTRL_IDR,
    CTRL_PROTECT,
    CTRL_RESET,
    CTRL_STATUS,
    FORCEPROTECT,
    MS,
    RAM,
    SYSRESETREQ,
    UICR,
    UICR_APPROTECT,
    Boards,
    Probe,
)

OPEN_UICR = {0x208: 0xFFFF_FF5A}


def is_open(probe: Probe) -> bool:
    """What CTRL-AP says, and it is true."""
    told = probe.ctrl.ap_read(CTRL_PROTECT) == 1
    try:
        probe.read(RAM)
    except BusFault:
        assert not told
    else:
        assert told
    return told


def test_identity(probe: Probe) -> None:
    """The register by which tools know the port."""
    assert probe.ctrl.ap_read(CTRL_IDR) == 0x0288_0000


def test_a_new_part_is_locked(boards: Boards) -> None:
    """UICR is erased, which on build code F0 protects."""
    assert not is_open(boards())


def test_a_new_part_of_an_early_build_code_is_open(boards: Boards) -> None:
    """There, erased means open, and 0 protects from the next reset on."""
    probe = boards(chip=C0)
    assert is_open(probe)
    probe.halt()
    probe.store(UICR_APPROTECT, 0xFFFF_FF00)
    assert is_open(probe)
    probe.write(AIRCR, SYSRESETREQ)
    assert not is_open(probe)
    probe.unlock()
    assert is_open(probe)


def test_uicr_alone_does_not_open(boards: Boards) -> None:
    """HwDisabled without firmware that does its part."""
    assert not is_open(boards(uicr=OPEN_UICR))


def test_firmware_alone_does_not_open(boards: Boards) -> None:
    """Nordic's start-up code copies the erased UICR, which opens nothing."""
    probe = boards(program=SHELL)
    probe.board.advance(10 * MS)
    assert not is_open(probe)


def test_uicr_and_firmware_open(boards: Boards) -> None:
    """Both halves; after a soft reset, too, and again after each power-on."""
    probe = boards(program=SHELL, uicr=OPEN_UICR)
    assert not probe.board.debug_enabled(0), "the firmware has not run yet"
    probe.board.advance(10 * MS)
    assert is_open(probe)
    probe.write(AIRCR, SYSRESETREQ)
    assert is_open(probe), "a debugger can reset and halt"
    probe.board.power(False)
    probe.board.power(True)
    assert not probe.board.debug_enabled(0)
    probe.board.advance(10 * MS)
    assert is_open(probe)


def test_an_erase_through_ctrl_ap_opens_until_power_goes(boards: Boards) -> None:
    """CTRL-AP's own reset does not lock again, a power cycle does."""
    probe = boards()
    probe.unlock()
    assert is_open(probe)
    probe.board.power(False)
    probe.board.power(True)
    assert not is_open(probe)


def test_a_pin_reset_locks_again(probe: Probe) -> None:
    """It is a deep reset, where UICR makes P0.18 a reset pin."""
    probe.store(UICR + 0x200, 18, 18)
    probe.write(AIRCR, SYSRESETREQ)
    assert is_open(probe)
    for asserted in (True, False):
        probe.board.set_reset_pin(asserted)
    assert not is_open(probe)


def test_after_unlocking_uicr_keeps_the_part_open(boards: Boards) -> None:
    """What pyOCD does: erase, write 0x5A, program firmware that opens the other half; it is open for good."""
    probe = boards()
    probe.unlock()
    probe.store(UICR_APPROTECT, 0xFFFF_FF5A)
    words = [int.from_bytes(SHELL[at : at + 4].ljust(4, b"\xff"), "little") for at in range(0, len(SHELL), 4)]
    probe.store(0, *words)
    probe.board.power(False)
    probe.board.power(True)
    probe.board.advance(10 * MS)
    assert is_open(probe)


def test_firmware_without_uicr_ends_the_freedom_after_an_erase(probe: Probe) -> None:
    """Start-up code that copies an erased UICR to DISABLE locks the door."""
    probe.write(APPROTECT_DISABLE, 0xFFFF_FFFF)
    assert not is_open(probe)


def test_forceprotect_locks_until_the_next_reset(boards: Boards) -> None:
    """Firmware that wants to be left alone; a soft reset undoes it."""
    probe = boards()
    probe.unlock()
    probe.store(UICR_APPROTECT, 0xFFFF_FF5A)
    probe.write(FORCEPROTECT, 0)
    assert not is_open(probe)
    probe.ctrl.ap_write(CTRL_RESET, 1)
    probe.ctrl.ap_write(CTRL_RESET, 0)
    assert is_open(probe)


def test_an_erase_takes_everything(boards: Boards) -> None:
    """Flash, UICR and RAM; it is busy for 169 ms, and open only afterwards."""
    probe = boards(program=SHELL, uicr={0x208: 0xFFFF_FF5A, 0x80: 0x1234})
    probe.board.advance(10 * MS)
    probe.put(RAM + 0x2_0000, b"secret!!")
    probe.board.power(False)
    probe.board.power(True)
    started = probe.now_ns
    probe.ctrl.ap_write(CTRL_ERASEALL, 1)
    assert probe.ctrl.ap_read(CTRL_STATUS) == 1
    assert probe.ctrl.ap_read(CTRL_PROTECT) == 0
    while probe.ctrl.ap_read(CTRL_STATUS):
        pass
    assert (probe.now_ns - started) // MS == 169
    assert probe.read(RAM + 0x2_0000) == 0
    assert probe.read(0) == probe.read(UICR_APPROTECT) == probe.read(UICR_APPROTECT - 0x188) == 0xFFFF_FFFF


def test_reset_holds_the_core(boards: Boards) -> None:
    """1 holds it in reset, 0 lets it go; the reset reason is a soft reset."""
    probe = boards(program=SHELL, uicr=OPEN_UICR)
    probe.board.advance(10 * MS)
    probe.ctrl.ap_write(CTRL_RESET, 1)
    probe.said.clear()
    probe.board.advance(10 * MS)
    assert probe.said == b""
    probe.ctrl.ap_write(CTRL_RESET, 0)
    probe.board.advance(10 * MS)
    assert probe.said == b"ready\n"
    assert probe.ask("R") == "00000004\n"


def test_a_pin_reset_does_not_end_the_hold(boards: Boards) -> None:
    """RESET is 1: the core stays where it is when the reset pin comes and goes, until power goes."""
    probe = boards(program=SHELL, uicr=OPEN_UICR | {0x200: 18, 0x204: 18})
    probe.ctrl.ap_write(CTRL_RESET, 1)
    probe.board.set_reset_pin(True)
    probe.board.set_reset_pin(False)
    probe.said.clear()
    probe.board.advance(10 * MS)
    assert probe.said == b""
    probe.board.power(False)
    probe.board.power(True)
    probe.board.advance(10 * MS)
    assert probe.said == b"ready\n"


def test_unknown_registers_are_noted(probe: Probe) -> None:
    """They read zero, and the board says so."""
    assert probe.ctrl.ap_read(0x20) == 0
    probe.ctrl.ap_write(0x20, 1)
    assert "no register 0x20 to read" in probe.complaints
    assert "no register 0x20 to write" in probe.complaints


@pytest.mark.parametrize("chip_is_early", [False, True])
def test_the_fault_plan_can_protect(boards: Boards, chip_is_early: bool) -> None:
    """rdp=1 locks a part that would be open; an erase lifts it."""
    wanted = {"chip": C0} if chip_is_early else {}
    probe = boards(program=SHELL, uicr={0x208: 0xFFFF_FFFF if chip_is_early else 0xFFFF_FF5A}, faults="rdp=1", **wanted)
    probe.board.advance(10 * MS)
    assert not is_open(probe)
    probe.unlock()
    assert is_open(probe)
