"""lorafab/virtual/dap.py: what the chip answers on SWD."""

import pytest

from lorafab.virtual import access_ports as ap
from lorafab.virtual import dap
from lorafab.virtual.chip import MemoryAp
from lorafab.virtual.dap import Ack, SwDp
from tests_virtual.ram_board import RAM, SLOW, RamBoard, chip, select_swd

POWER_UP = dap.CDBGPWRUPREQ | dap.CSYSPWRUPREQ
CLEAR_ALL = 0x1E
VERSION_1 = {"dpidr": 0x2BA0_1477, "targetid": None}
MINIMAL = {"dpidr": 0x0BC1_1477, "targetid": None}


def ready(board: RamBoard) -> SwDp:
    """Its debug port, selected and powered up."""
    port = board.swd
    select_swd(port)
    assert port.read(False, dap.DPIDR) == (Ack.OK, board.chip.dpidr)
    assert port.write(False, dap.CTRL_STAT, POWER_UP) is Ack.OK
    return port


@pytest.fixture
def board() -> RamBoard:
    """A board with power."""
    return RamBoard()


@pytest.fixture
def port(board: RamBoard) -> SwDp:
    """A debug port that is ready for memory accesses."""
    return ready(board)


def write_ap(port: SwDp, register: int, value: int, number: int = 0) -> Ack:
    """Select and write; the answer to the write."""
    assert port.write(False, dap.SELECT, number << 24 | register & 0xF0) is Ack.OK
    return port.write(True, register & 0xC, value)


def read_ap(port: SwDp, register: int, number: int = 0) -> int:
    """Select, post and fetch."""
    assert port.write(False, dap.SELECT, number << 24 | register & 0xF0) is Ack.OK
    assert port.read(True, register & 0xC)[0] is Ack.OK
    ack, value = port.read(False, dap.RDBUFF)
    assert ack is Ack.OK
    return value


def address_memory(port: SwDp, address: int, csw: int = 0x12) -> None:
    """Words from ``address`` on, with DRW selected."""
    assert write_ap(port, ap.CSW, csw) is Ack.OK
    assert write_ap(port, ap.TAR, address) is Ack.OK


# -- the debug port


def test_nothing_answers_before_swd_is_selected(board: RamBoard) -> None:
    """A chip that still listens for JTAG leaves the wire alone."""
    assert board.swd.read(False, dap.DPIDR)[0] is Ack.NONE


def test_a_port_without_jtag_needs_no_switch() -> None:
    """SWD version 1 here: a line reset is enough."""
    port = RamBoard(of=chip(**VERSION_1)).swd
    port.swj_sequence(51, (1 << 51) - 1)
    port.swj_sequence(2, 0)
    assert port.read(False, dap.DPIDR) == (Ack.OK, 0x2BA01477)


def test_after_a_line_reset_only_dpidr_is_answered(port: SwDp) -> None:
    """A debugger must read DPIDR first, as the protocol wants."""
    port.swj_sequence(51, (1 << 51) - 1)
    port.swj_sequence(2, 0)
    assert port.read(False, dap.CTRL_STAT)[0] is Ack.NONE
    assert port.write(False, dap.SELECT, 0) is Ack.NONE
    assert port.read(False, dap.DPIDR)[0] is Ack.OK
    assert port.read(False, dap.CTRL_STAT)[0] is Ack.OK


def test_a_line_reset_keeps_the_registers(port: SwDp) -> None:
    """It brings the bits into step and nothing else: a debugger that lost the thread goes on."""
    write_ap(port, ap.TAR, RAM + 8)
    port.swj_sequence(51, (1 << 51) - 1)
    port.swj_sequence(2, 0)
    port.read(False, dap.DPIDR)
    assert port.read(False, dap.CTRL_STAT)[1] & POWER_UP == POWER_UP
    assert read_ap(port, ap.TAR) == RAM + 8


def test_a_board_without_power_is_silent_and_forgets(board: RamBoard, port: SwDp) -> None:
    """After a power cycle the debug port starts from JTAG again, and nobody holds the debug domain."""
    board.powered = False
    assert port.read(False, dap.DPIDR)[0] is Ack.NONE
    board.powered, board.power_cycles = True, 2
    assert port.read(False, dap.DPIDR)[0] is Ack.NONE
    assert not board.holds_power
    select_swd(port)
    assert port.read(False, dap.DPIDR) == (Ack.OK, 0x6BA02477)
    assert port.read(False, dap.CTRL_STAT)[1] & POWER_UP == 0


def test_power_requests_are_acknowledged(board: RamBoard, port: SwDp) -> None:
    """Each power-up request has its acknowledge bit, and the board knows who holds the debug domain."""
    status = port.read(False, dap.CTRL_STAT)[1]
    assert status & (dap.CDBGPWRUPACK | dap.CSYSPWRUPACK) == dap.CDBGPWRUPACK | dap.CSYSPWRUPACK
    assert board.holds_power
    port.write(False, dap.CTRL_STAT, dap.CDBGPWRUPREQ)
    status = port.read(False, dap.CTRL_STAT)[1]
    assert status & (dap.CDBGPWRUPACK | dap.CSYSPWRUPACK) == dap.CDBGPWRUPACK
    assert board.holds_power
    port.write(False, dap.CTRL_STAT, 0)
    assert not board.holds_power


def test_access_ports_fault_until_debug_is_powered(port: SwDp) -> None:
    """No memory access without power-up: FAULT and STICKYERR."""
    port.write(False, dap.CTRL_STAT, 0)
    assert port.read(True, 0)[0] is Ack.FAULT
    assert port.read(False, dap.CTRL_STAT)[1] & dap.STICKYERR


def test_version_2_identity_registers(port: SwDp) -> None:
    """TARGETID and DLPIDR are banks 2 and 3 of register 4, beside DLCR in bank 1."""
    read = []
    for bank in (2, 3, 4, 1):
        port.write(False, dap.SELECT, bank)
        read.append(port.read(False, dap.CTRL_STAT)[1])
    assert read == [0x04970041, 0x00000001, 0, 0]
    port.write(False, dap.CTRL_STAT, 0x100)
    assert port.read(False, dap.CTRL_STAT)[1] == 0x100


def test_version_1_has_no_identity_registers() -> None:
    """The banks behind register 4 are reserved and read zero."""
    port = ready(RamBoard(of=chip(**VERSION_1)))
    for bank in (2, 3):
        port.write(False, dap.SELECT, bank)
        assert port.read(False, dap.CTRL_STAT) == (Ack.OK, 0)


@pytest.mark.parametrize(("of", "kept"), [({}, 0xF00), (VERSION_1, 0xF00), (MINIMAL, 0)])
def test_a_minimal_port_has_no_lane_mask(of: dict[str, object], kept: int) -> None:
    """MINDP, bit 16 of DPIDR: MASKLANE and TRNCNT are not there; pyOCD writes MASKLANE and does not mind."""
    port = ready(RamBoard(of=chip(**of)))
    port.write(False, dap.CTRL_STAT, POWER_UP | 0xF00)
    assert port.read(False, dap.CTRL_STAT)[1] & 0xFFFF00 == kept


def test_access_port_identities(port: SwDp) -> None:
    """AP 0 is the core's, AP 1 is there but dead, AP 2 is a part's, the others are not there."""
    assert [read_ap(port, ap.IDR, number) for number in range(5)] == [0x24770011, 0x84770001, 0x02880000, 0, 0]
    assert [read_ap(port, ap.BASE, number) for number in range(2)] == [0xE00FF003, 0xF0000003]


def test_a_part_is_an_access_port(board: RamBoard, port: SwDp) -> None:
    """All of its registers reach it, in every bank, and blocks as well."""
    assert write_ap(port, 0x04, 1, number=2) is Ack.OK
    assert write_ap(port, 0x1C, 2, number=2) is Ack.OK
    assert read_ap(port, 0x1C, number=2) == 2
    assert board.door.registers == {0x04: 1, 0x1C: 2, 0xFC: 0x02880000}
    port.write(False, dap.SELECT, 2 << 24)
    assert port.write_block(0xC, [1, 2]) == 0
    assert port.read_block(0xC, 2) == []


def test_the_second_access_port_only_faults(port: SwDp) -> None:
    """AP 1 has no memory behind it."""
    port.write(False, dap.SELECT, 1 << 24)
    port.read(True, ap.DRW)
    assert port.read(False, dap.RDBUFF)[0] is Ack.FAULT


def test_protection_closes_the_way_to_memory_only(board: RamBoard, port: SwDp) -> None:
    """With debugging disabled DeviceEn reads 0 and memory faults; IDR and the other port work."""
    board.enabled = False
    assert not read_ap(port, ap.CSW) & ap.CSW_DEVICEEN
    assert read_ap(port, ap.IDR) == 0x24770011
    assert read_ap(port, ap.IDR, number=2) == 0x02880000
    address_memory(port, RAM)
    port.read(True, ap.DRW)
    assert port.read(False, dap.RDBUFF)[0] is Ack.FAULT


# -- posted reads and sticky errors


def test_reads_are_posted(board: RamBoard, port: SwDp) -> None:
    """Each read returns the result of the one before; RDBUFF returns the last, RESEND repeats it."""
    board.ram[:12] = bytes(range(12))
    address_memory(port, RAM)
    port.read(True, ap.DRW)
    assert port.read(True, ap.DRW) == (Ack.OK, 0x03020100)
    assert port.read(True, ap.DRW) == (Ack.OK, 0x07060504)
    assert port.read(False, dap.RDBUFF) == (Ack.OK, 0x0B0A0908)
    assert port.read(False, dap.RESEND) == (Ack.OK, 0x0B0A0908)


def test_blocks_are_posted_reads_too(board: RamBoard, port: SwDp) -> None:
    """The first value belongs to the read before the block, the last is fetched by whatever follows."""
    board.ram[:20] = bytes(range(20))
    address_memory(port, RAM)
    port.read(True, ap.DRW)
    assert port.read_block(ap.DRW, 3) == [0x03020100, 0x07060504, 0x0B0A0908]
    assert port.read(True, ap.DRW) == (Ack.OK, 0x0F0E0D0C)


def test_no_block_while_something_is_wrong(port: SwDp) -> None:
    """What will not be answered with OK must be a single transfer, so that its answer is seen."""
    address_memory(port, RAM)
    port.write(False, dap.CTRL_STAT, 0)
    assert port.read_block(ap.DRW, 3) == []
    assert port.write_block(ap.DRW, [1, 2]) == 0


def test_a_bus_fault_shows_in_the_next_transfer_and_stays(port: SwDp) -> None:
    """The faulting access itself is acknowledged; then everything is refused until ABORT clears the flag."""
    address_memory(port, 0x60000000)
    assert port.read(True, ap.DRW)[0] is Ack.OK
    assert port.read(False, dap.RDBUFF)[0] is Ack.FAULT
    assert port.write(False, dap.SELECT, 0) is Ack.FAULT
    assert port.read(False, dap.DPIDR)[0] is Ack.OK
    assert port.read(False, dap.CTRL_STAT)[1] & (dap.STICKYERR | dap.READOK) == dap.STICKYERR
    assert port.write(False, dap.ABORT, CLEAR_ALL) is Ack.OK
    assert port.write(False, dap.SELECT, 0) is Ack.OK


def test_a_faulting_write_is_sticky_too(port: SwDp) -> None:
    """Writes are buffered: the error comes with the next transfer."""
    address_memory(port, 0x60000000)
    assert write_ap(port, ap.DRW, 1) is Ack.OK
    assert port.read(False, dap.RDBUFF)[0] is Ack.FAULT


def test_damaged_data_is_not_written(board: RamBoard, port: SwDp) -> None:
    """A write with a wrong parity bit is acknowledged, sets WDATAERR and is not done."""
    address_memory(port, RAM)
    assert port.write(True, ap.DRW, 0x12345678, damaged=True) is Ack.OK
    assert port.read(False, dap.RDBUFF)[0] is Ack.FAULT
    assert port.read(False, dap.CTRL_STAT)[1] & dap.WDATAERR
    assert port.write(False, dap.ABORT, 1 << 3) is Ack.OK
    assert port.read(False, dap.RDBUFF)[0] is Ack.OK
    assert board.ram[:4] == bytes(4)


def test_overrun_detection_latches(port: SwDp) -> None:
    """With ORUNDETECT a refused transfer sets STICKYORUN, which only its own ABORT bit clears."""
    port.write(False, dap.CTRL_STAT, POWER_UP | dap.ORUNDETECT)
    address_memory(port, 0x60000000)
    write_ap(port, ap.DRW, 1)
    port.read(False, dap.RDBUFF)
    assert port.read(False, dap.CTRL_STAT)[1] & dap.STICKYORUN
    port.write(False, dap.ABORT, 1 << 2)
    assert port.read(False, dap.RDBUFF)[0] is Ack.FAULT
    port.write(False, dap.ABORT, CLEAR_ALL)
    assert port.read(False, dap.RDBUFF)[0] is Ack.OK


# -- accesses that the bus holds


def stalled_read(board: RamBoard, port: SwDp) -> None:
    """Post a read that the bus holds for 1000 ns."""
    address_memory(port, SLOW, 0x02)
    board.slow_until = board.now_ns + 1000
    assert port.read(True, ap.DRW)[0] is Ack.OK


def test_a_held_access_makes_the_next_transfer_wait(board: RamBoard, port: SwDp) -> None:
    """WAIT until the bus is through; then the access completes, with the value of that time."""
    stalled_read(board, port)
    assert port.held_until == 1000
    assert port.read(False, dap.RDBUFF)[0] is Ack.WAIT
    assert port.read(True, ap.DRW)[0] is Ack.WAIT
    assert port.write(True, ap.TAR, RAM) is Ack.WAIT
    board.advance(999)
    assert port.read(False, dap.RDBUFF)[0] is Ack.WAIT
    board.advance(1)
    board.slow_word = 0xC0FFEE
    assert port.read(False, dap.RDBUFF) == (Ack.OK, 0xC0FFEE)
    assert port.held_until is None


def test_what_a_debugger_needs_to_find_out_never_waits(board: RamBoard, port: SwDp) -> None:
    """DPIDR, CTRL/STAT and ABORT are answered while an access is in progress."""
    stalled_read(board, port)
    assert port.read(False, dap.DPIDR)[0] is Ack.OK
    assert port.read(False, dap.CTRL_STAT)[0] is Ack.OK
    assert port.write(False, dap.ABORT, CLEAR_ALL) is Ack.OK
    assert port.read(False, dap.RDBUFF)[0] is Ack.WAIT


def test_an_abort_cancels_the_access(board: RamBoard, port: SwDp) -> None:
    """DAPABORT: the port is free at once, TrInProg says that the bus is not, and the write never happens."""
    address_memory(port, SLOW, 0x02)
    board.slow_until = 1000
    assert port.write(True, ap.DRW, 7) is Ack.OK
    assert port.read(False, dap.RDBUFF)[0] is Ack.WAIT
    assert port.write(False, dap.ABORT, dap.DAPABORT) is Ack.OK
    assert port.read(False, dap.RDBUFF)[0] is Ack.OK
    assert read_ap(port, ap.CSW) & ap.CSW_TRINPROG
    board.advance(1000)
    assert not read_ap(port, ap.CSW) & ap.CSW_TRINPROG
    assert board.slow_writes == []


def test_a_held_write_happens_when_its_time_has_come(board: RamBoard, port: SwDp) -> None:
    """Once."""
    address_memory(port, SLOW, 0x02)
    board.slow_until = 1000
    port.write(True, ap.DRW, 7)
    board.advance(1000)
    assert port.read(False, dap.RDBUFF)[0] is Ack.OK
    assert board.slow_writes == [7]


def test_an_access_may_be_held_again(board: RamBoard, port: SwDp) -> None:
    """Another operation began meanwhile: WAIT goes on."""
    stalled_read(board, port)
    board.slow_until = 3000
    board.advance(2000)
    assert port.read(False, dap.RDBUFF)[0] is Ack.WAIT
    assert port.held_until == 3000


def test_waiting_with_overrun_detection_latches(board: RamBoard, port: SwDp) -> None:
    """With ORUNDETECT a WAIT sets STICKYORUN, too."""
    port.write(False, dap.CTRL_STAT, POWER_UP | dap.ORUNDETECT)
    stalled_read(board, port)
    assert port.read(False, dap.RDBUFF)[0] is Ack.WAIT
    assert port.read(False, dap.CTRL_STAT)[1] & dap.STICKYORUN


def test_power_off_ends_a_held_access(board: RamBoard, port: SwDp) -> None:
    """With everything else."""
    stalled_read(board, port)
    board.power_cycles += 1
    select_swd(port)
    assert port.read(False, dap.DPIDR)[0] is Ack.OK
    assert port.held_until is None


def test_a_chip_of_another_kind_after_a_power_cycle(board: RamBoard, port: SwDp) -> None:
    """The port is the board's: another chip in the nest is found out about at the next power-on."""
    board.chip = chip(**VERSION_1, aps=(MemoryAp(0, idr=0x0477_0031, base=0xF000_0003, csw=0x0300_0040, wrap=0x400),))
    board.power_cycles += 1
    port.swj_sequence(51, (1 << 51) - 1)
    port.swj_sequence(2, 0)
    assert port.read(False, dap.DPIDR)[0] is Ack.OK
    assert port.write(False, dap.CTRL_STAT, POWER_UP) is Ack.OK
    assert [read_ap(port, ap.IDR, number) for number in range(2)] == [0x04770031, 0]
