"""Option bytes and read-out protection of the STM32WL: what a debugger may do at each level, and what that costs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lorafab.virtual.bus import BusFault, BusStall
from tests_virtual.silicon import programs
from tests_virtual.silicon.rig import CR, FLASH, OPTR, PER, SRAM, STRT, Debugger, open_board

OPTKEYR, WRP1AR = 0x5800_400C, 0x5800_402C
OPTION_KEYS = (0x0819_2A3B, 0x4C5D_6E7F)
OPTSTRT, OBL_LAUNCH, OPTLOCK = 1 << 17, 1 << 27, 1 << 30
PLACE, DATA = FLASH + 0x10000, bytes.fromhex("1122334455667788")
SRAM2, UID96 = 0x2000_8000, 0x1FFF_7590
WRPERR = 0x10

Bench = Callable[..., Debugger]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Makes a debugger on a board; a second call opens the same file again."""
    made: list[Debugger] = []

    def make(faults: str = "", program: bytes = b"", halted: bool = True) -> Debugger:
        for old in made:
            old.board.close()
        made.append(Debugger(open_board(tmp_path / "b.board", program, faults), halted))
        return made[-1]

    yield make
    for debugger in made:
        debugger.board.close()


def unlock_options(probe: Debugger) -> None:
    probe.unlock()
    for key in OPTION_KEYS:
        probe.write(OPTKEYR, key)


def set_option(probe: Debugger, register: int, value: int) -> int:
    """Program one option word; SR afterwards."""
    unlock_options(probe)
    probe.write(register, value)
    probe.write(CR, OPTSTRT)
    return probe.wait_flash()


def protect(probe: Debugger, level_byte: int) -> int:
    """Program the RDP byte; SR afterwards."""
    return set_option(probe, OPTR, probe.read(OPTR) & ~0xFF | level_byte)


def power_cycle(probe: Debugger) -> None:
    probe.board.power(False)
    probe.board.power(True)


def faults(probe: Debugger, address: int) -> bool:
    try:
        probe.read(address)
    except BusFault:
        return True
    return False


def test_options_need_both_pairs_of_keys(bench: Bench) -> None:
    """Without the option keys OPTR keeps its value; a wrong key locks them until reset."""
    probe = bench()
    probe.unlock()
    before = probe.read(OPTR)
    probe.write(OPTR, 0)
    assert probe.read(OPTR) == before
    with pytest.raises(BusFault):
        probe.write(OPTKEYR, 0x1234)
    with pytest.raises(BusFault):
        probe.write(OPTKEYR, OPTION_KEYS[0])
    assert probe.read(CR) & OPTLOCK


def test_a_programmed_option_acts_after_loading(bench: Bench) -> None:
    """Write protection holds from OBL_LAUNCH on, which is a reset, and survives in the file."""
    probe = bench()
    assert set_option(probe, WRP1AR, 32 | 33 << 16) == 0
    assert probe.program(PLACE, DATA) == 0, "not yet in force"
    probe.write(CR, OBL_LAUNCH)
    probe.unlock()
    assert probe.erase_page(32) == WRPERR
    probe = bench()
    probe.unlock()
    assert probe.erase_page(33) == WRPERR
    assert probe.erase_page(34) == 0


def test_level_1_hides_flash_and_sram2_only(bench: Bench) -> None:
    """Flash, its alias and SRAM2 fault; SRAM1, unique id and option bytes read; nothing can be programmed or erased."""
    probe = bench()
    probe.unlock()
    probe.program(PLACE, DATA)
    assert protect(probe, 0xBB) == 0
    power_cycle(probe)
    assert [faults(probe, a) for a in (FLASH, PLACE, 0x0, SRAM2, SRAM2 + 0x7FFC)] == [True] * 5
    assert [faults(probe, a) for a in (SRAM, SRAM + 0x7FFC, UID96, OPTR)] == [False] * 4
    assert probe.read(UID96).to_bytes(4, "little") == b"LFVB"
    probe.unlock()
    with pytest.raises(BusFault):
        probe.program(PLACE, bytes(8))
    assert probe.board.path.read_bytes()[0x10000:0x10008] == DATA


@pytest.mark.parametrize("mode", [PER | 32 << 3, 4])
def test_level_1_refuses_erasing(bench: Bench, mode: int) -> None:
    """Page and mass erase by a debugger leave every byte alone."""
    probe = bench()
    probe.unlock()
    probe.program(PLACE, DATA)
    protect(probe, 0xBB)
    power_cycle(probe)
    probe.unlock()
    probe.write(CR, mode | STRT)
    assert probe.wait_flash() & WRPERR
    assert probe.board.path.read_bytes()[0x10000:0x10008] == DATA


def test_any_odd_byte_is_level_1(bench: Bench) -> None:
    """Only AA and CC mean something else."""
    probe = bench()
    protect(probe, 0x00)
    power_cycle(probe)
    assert faults(probe, FLASH)


def test_regression_erases_everything(bench: Bench) -> None:
    """Level 1 to 0: flash, SRAM2; the OTP area stays; the part opens at the next power-on and not before."""
    probe = bench()
    probe.unlock()
    probe.program(PLACE, DATA)
    probe.program(0x1FFF_7008, DATA)
    probe.write(SRAM2, 0x5EC2E7)
    protect(probe, 0xBB)
    power_cycle(probe)
    assert protect(probe, 0xAA) == 0
    probe.write(CR, OBL_LAUNCH)
    assert faults(probe, FLASH), "a debugger was attached: only power-on opens the part"
    power_cycle(probe)
    assert probe.bytes(FLASH, 256 * 1024) == b"\xff" * 256 * 1024
    assert probe.bytes(0x1FFF_7008, 8) == DATA
    probe.unlock()
    assert probe.program(PLACE, DATA) == 0


def test_raising_the_level_erases_nothing(bench: Bench) -> None:
    """0 to 1."""
    probe = bench()
    probe.unlock()
    probe.program(PLACE, DATA)
    protect(probe, 0xBB)
    power_cycle(probe)
    assert probe.board.path.read_bytes()[0x10000:0x10008] == DATA


def test_option_registers_wait_for_what_is_being_programmed(bench: Bench) -> None:
    """OPTR written between OPTSTRT and its end must not give up level 1 behind the mass erase's back."""
    probe = bench()
    probe.unlock()
    probe.program(PLACE, DATA)
    protect(probe, 0xBB)
    power_cycle(probe)
    unlock_options(probe)
    open_optr = probe.read(OPTR) & ~0xFF | 0xAA
    probe.write(CR, OPTSTRT)
    for register in (OPTR, WRP1AR):
        with pytest.raises(BusStall):
            probe.board.mem_write(register, 4, open_optr)
    probe.wait_flash()
    power_cycle(probe)
    assert faults(probe, PLACE)


def test_a_planned_level_can_be_given_up(bench: Bench) -> None:
    """rdp=1 of the fault plan ends as a real level 1 does: with everything erased, at the next power-on."""
    probe = bench("rdp=1", programs.ECHO)
    assert protect(probe, 0xAA) == 0
    power_cycle(probe)
    assert probe.bytes(FLASH, 256) == b"\xff" * 256


def test_regression_cut_short_opens_nothing(bench: Bench) -> None:
    """Power lost in the middle of the mass erase: still level 1, and the flash is no longer the old one."""
    probe = bench()
    probe.unlock()
    probe.program(PLACE, DATA)
    protect(probe, 0xBB)
    power_cycle(probe)
    unlock_options(probe)
    probe.write(OPTR, probe.read(OPTR) & ~0xFF | 0xAA)
    probe.write(CR, OPTSTRT)
    power_cycle(probe)
    assert faults(probe, FLASH)
    assert probe.board.path.read_bytes()[0x10000:0x10008] != DATA


def test_level_2_closes_the_port_and_stays(bench: Bench) -> None:
    """The debug port is dead from the next power-on, and programs cannot change the options any more."""
    probe = bench()
    protect(probe, 0xCC)
    assert probe.board.debug_enabled(0), "in force only after loading"
    power_cycle(probe)
    assert not probe.board.debug_enabled(0)


def test_the_program_itself_is_not_hindered_by_level_1(bench: Bench) -> None:
    """Code booted from flash erases, programs and reads as at level 0, as long as no debugger comes."""
    probe = bench(faults="rdp=1", program=programs.NVMTEST, halted=False)
    probe.board.advance(60_000_000)
    assert probe.board.path.read_bytes()[0x20000:0x20008] == bytes.fromhex("4433221188776655")


def test_a_debugger_stops_a_level_1_program(bench: Bench) -> None:
    """Its first access closes the flash: the program faults at its next fetch and locks up, until power-on."""
    probe = bench(faults="rdp=1", program=programs.EXCEPTIONS, halted=False)
    probe.board.advance(1_000_000)
    assert not probe.board.core.exceptions.locked_up
    probe.board.mem_read(SRAM, 4)
    probe.board.advance(1_000_000)
    assert probe.board.core.exceptions.locked_up
    power_cycle(probe)
    probe.board.advance(1_000_000)
    assert not probe.board.core.exceptions.locked_up
