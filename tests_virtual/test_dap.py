"""lorafab/virtual/dap.py and packets.py: what SWD answers, and what it costs."""

import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.virtual import dap
from lorafab.virtual.bus import BusFault
from lorafab.virtual.dap import Ack, MemAp, SwDp
from lorafab.virtual.packets import USB_ROUND_TRIP_NS, CmsisDap, TransferFailedError, UnpluggedError

RAM = 0x20000000
RAM_SIZE = 0x4000
POWER_UP = dap.CDBGPWRUPREQ | dap.CSYSPWRUPREQ
CLEAR_ALL = 0x1E


@dataclass
class NoFaults:
    unplug_after: int | None = None


@dataclass
class RamBoard:
    """16 KiB of RAM and nothing else."""

    powered: bool = True
    power_cycles: int = 1
    dpidr: int = 0x6BA02477
    lock: threading.RLock = field(default_factory=threading.RLock)
    faults: NoFaults = field(default_factory=NoFaults)
    now_ns: int = 0
    ram: bytearray = field(default_factory=lambda: bytearray(RAM_SIZE))

    def mem_read(self, address: int, size: int) -> int:
        offset = self._offset(address, size)
        return int.from_bytes(self.ram[offset : offset + size], "little")

    def mem_write(self, address: int, size: int, value: int) -> None:
        offset = self._offset(address, size)
        self.ram[offset : offset + size] = value.to_bytes(size, "little")

    def mem_read_words(self, address: int, count: int) -> list[int]:
        offset = self._offset(address, 4 * count)
        return list(struct.unpack_from(f"<{count}I", self.ram, offset))

    def mem_write_words(self, address: int, words: Sequence[int]) -> None:
        struct.pack_into(f"<{len(words)}I", self.ram, self._offset(address, 4 * len(words)), *words)

    def advance(self, ns: int) -> None:
        self.now_ns += ns

    def _offset(self, address: int, size: int) -> int:
        if not RAM <= address <= RAM + RAM_SIZE - size:
            raise BusFault(address)
        return address - RAM


def select_swd(port: SwDp) -> None:
    port.swj_sequence(51, (1 << 51) - 1)
    port.swj_sequence(16, 0xE79E)
    port.swj_sequence(51, (1 << 51) - 1)
    port.swj_sequence(8, 0)


@pytest.fixture
def board() -> RamBoard:
    return RamBoard()


@pytest.fixture
def port(board: RamBoard) -> SwDp:
    """A debug port that is ready for memory accesses."""
    port = SwDp(board)
    select_swd(port)
    assert port.read(False, dap.DPIDR) == (Ack.OK, 0x6BA02477)
    assert port.write(False, dap.CTRL_STAT, POWER_UP) is Ack.OK
    return port


def write_ap(port: SwDp, register: int, value: int) -> Ack:
    assert port.write(False, dap.SELECT, register & 0xF0) is Ack.OK
    return port.write(True, register & 0xC, value)


def read_ap(port: SwDp, register: int, ap: int = 0) -> int:
    assert port.write(False, dap.SELECT, ap << 24 | register & 0xF0) is Ack.OK
    assert port.read(True, register & 0xC)[0] is Ack.OK
    ack, value = port.read(False, dap.RDBUFF)
    assert ack is Ack.OK
    return value


def address_memory(port: SwDp, address: int, csw: int = 0x12) -> None:
    assert write_ap(port, dap.CSW, csw) is Ack.OK
    assert write_ap(port, dap.TAR, address) is Ack.OK


# -- the debug port


def test_nothing_answers_before_swd_is_selected(board: RamBoard) -> None:
    """A chip that still listens for JTAG leaves the wire alone."""
    assert SwDp(board).read(False, dap.DPIDR)[0] is Ack.NONE


def test_after_a_line_reset_only_dpidr_is_answered(port: SwDp) -> None:
    """A debugger must read DPIDR first, as the protocol wants."""
    port.swj_sequence(51, (1 << 51) - 1)
    assert port.read(False, dap.CTRL_STAT)[0] is Ack.NONE
    assert port.read(False, dap.DPIDR)[0] is Ack.OK
    assert port.read(False, dap.CTRL_STAT)[0] is Ack.OK


def test_a_board_without_power_is_silent_and_forgets(board: RamBoard, port: SwDp) -> None:
    """After a power cycle the debug port starts from JTAG again."""
    board.powered = False
    assert port.read(False, dap.DPIDR)[0] is Ack.NONE
    board.powered, board.power_cycles = True, 2
    assert port.read(False, dap.DPIDR)[0] is Ack.NONE
    select_swd(port)
    assert port.read(False, dap.DPIDR) == (Ack.OK, 0x6BA02477)
    assert port.read(False, dap.CTRL_STAT)[1] & POWER_UP == 0


def test_power_requests_are_acknowledged(port: SwDp) -> None:
    """Each power-up request has its acknowledge bit."""
    status = port.read(False, dap.CTRL_STAT)[1]
    assert status & (dap.CDBGPWRUPACK | dap.CSYSPWRUPACK) == dap.CDBGPWRUPACK | dap.CSYSPWRUPACK
    port.write(False, dap.CTRL_STAT, dap.CDBGPWRUPREQ)
    status = port.read(False, dap.CTRL_STAT)[1]
    assert status & (dap.CDBGPWRUPACK | dap.CSYSPWRUPACK) == dap.CDBGPWRUPACK


def test_access_ports_fault_until_debug_is_powered(port: SwDp) -> None:
    """No memory access without power-up: FAULT and STICKYERR."""
    port.write(False, dap.CTRL_STAT, 0)
    assert port.read(True, 0)[0] is Ack.FAULT
    assert port.read(False, dap.CTRL_STAT)[1] & dap.STICKYERR


def test_version_2_identity_registers(port: SwDp) -> None:
    """TARGETID and DLPIDR are banks 2 and 3 of register 4."""
    port.write(False, dap.SELECT, 2)
    assert port.read(False, dap.CTRL_STAT)[1] == 0x04970041
    port.write(False, dap.SELECT, 3)
    assert port.read(False, dap.CTRL_STAT)[1] == 0x00000001


def test_access_port_identities(port: SwDp) -> None:
    """AP 0 is the core's, AP 1 is there but dead, the others are not there."""
    assert [read_ap(port, dap.IDR, ap) for ap in range(4)] == [0x24770011, 0x84770001, 0, 0]
    assert [read_ap(port, dap.BASE, ap) for ap in range(2)] == [0xE00FF003, 0xF0000003]


def test_the_second_access_port_only_faults(port: SwDp) -> None:
    """AP 1 has no memory behind it."""
    port.write(False, dap.SELECT, 1 << 24)
    port.read(True, dap.DRW)
    assert port.read(False, dap.RDBUFF)[0] is Ack.FAULT


# -- posted reads and sticky errors


def test_reads_are_posted(board: RamBoard, port: SwDp) -> None:
    """Each read returns the result of the one before; RDBUFF returns the last, RESEND repeats it."""
    board.ram[:12] = bytes(range(12))
    address_memory(port, RAM)
    port.write(False, dap.SELECT, 0)
    port.read(True, dap.DRW)
    assert port.read(True, dap.DRW) == (Ack.OK, 0x03020100)
    assert port.read(True, dap.DRW) == (Ack.OK, 0x07060504)
    assert port.read(False, dap.RDBUFF) == (Ack.OK, 0x0B0A0908)
    assert port.read(False, dap.RESEND) == (Ack.OK, 0x0B0A0908)


def test_a_bus_fault_shows_in_the_next_transfer_and_stays(port: SwDp) -> None:
    """The faulting access itself is acknowledged; then everything is refused until ABORT clears the flag."""
    address_memory(port, 0x60000000)
    port.write(False, dap.SELECT, 0)
    assert port.read(True, dap.DRW)[0] is Ack.OK
    assert port.read(False, dap.RDBUFF)[0] is Ack.FAULT
    assert port.write(False, dap.SELECT, 0) is Ack.FAULT
    assert port.read(False, dap.DPIDR)[0] is Ack.OK
    assert port.read(False, dap.CTRL_STAT)[1] & (dap.STICKYERR | dap.READOK) == dap.STICKYERR
    assert port.write(False, dap.ABORT, CLEAR_ALL) is Ack.OK
    assert port.write(False, dap.SELECT, 0) is Ack.OK


def test_a_faulting_write_is_sticky_too(port: SwDp) -> None:
    """Writes are buffered: the error comes with the next transfer."""
    address_memory(port, 0x60000000)
    assert write_ap(port, dap.DRW, 1) is Ack.OK
    assert port.read(False, dap.RDBUFF)[0] is Ack.FAULT


def test_overrun_detection_latches(port: SwDp) -> None:
    """With ORUNDETECT a refused transfer sets STICKYORUN, which only its own ABORT bit clears."""
    port.write(False, dap.CTRL_STAT, POWER_UP | dap.ORUNDETECT)
    address_memory(port, 0x60000000)
    write_ap(port, dap.DRW, 1)
    port.read(False, dap.RDBUFF)
    assert port.read(False, dap.CTRL_STAT)[1] & dap.STICKYORUN
    port.write(False, dap.ABORT, 1 << 2)
    assert port.read(False, dap.RDBUFF)[0] is Ack.FAULT
    port.write(False, dap.ABORT, CLEAR_ALL)
    assert port.read(False, dap.RDBUFF)[0] is Ack.OK


# -- the memory access port


def test_the_address_wraps_within_four_kib(board: RamBoard, port: SwDp) -> None:
    """TAR increments within its 4 KiB page, so that a careless debugger writes to the wrong place, as in life."""
    address_memory(port, RAM + 0xFFC)
    write_ap(port, dap.DRW, 0x11111111)
    write_ap(port, dap.DRW, 0x22222222)
    assert read_ap(port, dap.TAR) == RAM + 4
    assert board.ram[0xFFC:0x1000] == b"\x11" * 4
    assert board.ram[0:4] == b"\x22" * 4


def test_blocks_wrap_as_single_transfers_do(board: RamBoard, port: SwDp) -> None:
    """The fast way through a block obeys the same rule."""
    address_memory(port, RAM + 0xFF8)
    port.write(False, dap.SELECT, 0)
    assert port.write_block(dap.DRW, [1, 2, 3, 4]) is Ack.OK
    assert struct.unpack_from("<2I", board.ram, 0) == (3, 4)
    address_memory(port, RAM + 0xFF8)
    port.write(False, dap.SELECT, 0)
    assert port.read_block(dap.DRW, 4) == (Ack.OK, [1, 2, 3, 4])


@pytest.mark.parametrize(("size", "code"), [(1, 0), (2, 1)])
def test_small_accesses_use_their_byte_lanes(board: RamBoard, port: SwDp, size: int, code: int) -> None:
    """Bytes and half-words sit in DRW where they sit in the word."""
    for index in range(4 // size):
        address_memory(port, RAM + 16 + index * size, 0x10 | code)
        write_ap(port, dap.DRW, 0xDDCCBBAA)
        assert read_ap(port, dap.TAR) == RAM + 16 + (index + 1) * size
    assert board.ram[16:20] == b"\xaa\xbb\xcc\xdd"
    address_memory(port, RAM + 18, 0x10 | code)
    assert read_ap(port, dap.DRW) == (0x00CC0000 if size == 1 else 0xDDCC0000)


def test_packed_transfers_fill_the_word(board: RamBoard, port: SwDp) -> None:
    """With packed increment one DRW access does four byte accesses."""
    address_memory(port, RAM + 8, 0x20)
    write_ap(port, dap.DRW, 0x04030201)
    assert board.ram[8:12] == bytes([1, 2, 3, 4])
    assert read_ap(port, dap.TAR) == RAM + 12


def test_banked_data_registers_do_not_move_the_address(board: RamBoard, port: SwDp) -> None:
    """BD0..BD3 reach the four words around TAR."""
    address_memory(port, RAM + 0x24)
    for index in range(4):
        write_ap(port, dap.BD0 + 4 * index, index + 1)
    assert struct.unpack_from("<4I", board.ram, 0x20) == (1, 2, 3, 4)
    assert read_ap(port, dap.BD0 + 8) == 3
    assert read_ap(port, dap.TAR) == RAM + 0x24


def test_impossible_sizes_read_back_as_possible_ones(port: SwDp) -> None:
    """A debugger finds out what the port can do by writing CSW and reading it back."""
    write_ap(port, dap.CSW, 0x15)
    assert read_ap(port, dap.CSW) & 0x37 == 0x12


def test_the_address_stays_where_an_access_faulted(board: RamBoard) -> None:
    """A refused access does not count as done."""
    ap = MemAp(board, idr=0, base=0, csw=0)
    ap.write(dap.CSW, 0x12)
    ap.write(dap.TAR, RAM + RAM_SIZE)
    with pytest.raises(BusFault):
        ap.read(dap.DRW)
    assert ap.read(dap.TAR) == RAM + RAM_SIZE


@given(start=st.integers(0, 0x7FF), words=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=1200))
def test_a_block_is_the_same_as_its_single_transfers(start: int, words: list[int]) -> None:
    """Whatever the place and length, the fast way and the slow way leave the same memory and the same TAR."""
    boards = RamBoard(), RamBoard()
    ports = [MemAp(board, idr=0, base=0, csw=0) for board in boards]
    for ap in ports:
        ap.write(dap.CSW, 0x12)
        ap.write(dap.TAR, RAM + 4 * start)
    ports[0].write_words(words)
    for word in words:
        ports[1].write(dap.DRW, word)
    assert boards[0].ram == boards[1].ram
    assert ports[0].read(dap.TAR) == ports[1].read(dap.TAR)
    for ap in ports:
        ap.write(dap.TAR, RAM + 4 * start)
    assert ports[0].read_words(len(words)) == [ports[1].read(dap.DRW) for _ in words]


def test_a_block_that_faults_leaves_the_address_at_the_fault() -> None:
    """As its single transfers would: a debugger may ask TAR how far it came."""

    class Torn(RamBoard):
        """One word faults."""

        def mem_read_words(self, address: int, count: int) -> list[int]:
            if address <= RAM + 16 < address + 4 * count:
                raise BusFault(RAM + 16)
            return super().mem_read_words(address, count)

        def mem_write_words(self, address: int, words: Sequence[int]) -> None:
            self.mem_read_words(address, len(words))

    ap = MemAp(Torn(), idr=0, base=0, csw=0)
    ap.write(dap.CSW, 0x12)
    for block in (lambda: ap.read_words(9), lambda: ap.write_words(range(9))):
        ap.write(dap.TAR, RAM + 8)
        with pytest.raises(BusFault):
            block()
        assert ap.read(dap.TAR) == RAM + 16


# -- the probe's packets


@pytest.fixture
def probe(board: RamBoard, port: SwDp) -> CmsisDap:
    """A probe on a ready debug port, addressing the start of RAM by words."""
    address_memory(port, RAM)
    port.write(False, dap.SELECT, 0)
    return CmsisDap(board, port)


def test_a_kib_of_words_takes_three_packets(board: RamBoard, probe: CmsisDap) -> None:
    """126 words fit into a block write of 512 bytes; each packet ends with a check of its last write."""
    probe.write(True, dap.DRW, range(256))
    probe.flush()
    assert (probe.packets, probe.transfers) == (3, 256 + 3)
    assert struct.unpack_from("<256I", board.ram) == tuple(range(256))


def test_reading_a_kib_takes_three_packets(board: RamBoard, probe: CmsisDap) -> None:
    """127 words fit into the answer of a block read; one more transfer fetches the last word."""
    struct.pack_into("<256I", board.ram, 0, *range(256))
    assert probe.read(True, dap.DRW, 256).result() == list(range(256))
    assert (probe.packets, probe.transfers) == (3, 256 + 3)


def test_time_is_clocks_and_round_trips(board: RamBoard, probe: CmsisDap) -> None:
    """A register read is one round trip and two transfers of 48 clocks."""
    probe.clock_hz = 4_000_000
    probe.read(True, dap.DRW).result()
    assert board.now_ns == USB_ROUND_TRIP_NS + 2 * 48 * 250


def test_requests_wait_for_a_reason_to_be_sent(board: RamBoard, probe: CmsisDap) -> None:
    """Nothing moves before somebody wants an answer; then everything goes in one packet, in order."""
    probe.write(True, dap.DRW, (7,))
    probe.write(True, dap.TAR, (RAM,))
    reply = probe.read(True, dap.DRW)
    other = probe.read(False, dap.CTRL_STAT)
    assert probe.packets == 0
    assert reply.result() == [7]
    assert other.result()[0] & POWER_UP == POWER_UP
    assert probe.packets == 1


def test_mixed_packets_keep_the_order_of_posted_reads(board: RamBoard, probe: CmsisDap) -> None:
    """Reads of two registers in a row, and blocks after single reads, get their own values."""
    board.ram[:16] = bytes(range(16))
    first, address, rest = probe.read(True, dap.DRW), probe.read(True, dap.TAR), probe.read(True, dap.DRW, 3)
    assert rest.result() == [0x07060504, 0x0B0A0908, 0x0F0E0D0C]
    assert first.result() == [0x03020100]
    assert address.result() == [RAM + 4]


def test_a_write_fault_surfaces_with_its_packet(probe: CmsisDap) -> None:
    """A bad write is told when the packet goes out, to everybody who waits for it."""
    probe.write(True, dap.TAR, (0x60000000,))
    probe.write(True, dap.DRW, (1,))
    reply = probe.read(True, dap.TAR)
    with pytest.raises(TransferFailedError) as caught:
        probe.flush()
    assert caught.value.ack is Ack.FAULT
    with pytest.raises(TransferFailedError):
        reply.result()


def test_the_last_write_of_a_packet_is_checked(probe: CmsisDap) -> None:
    """A packet of writes only does not hide that the last one failed."""
    probe.write(True, dap.TAR, (0x60000000,))
    probe.write(True, dap.DRW, (1,))
    with pytest.raises(TransferFailedError):
        probe.flush()


def test_refused_transfers_are_short(board: RamBoard, probe: CmsisDap) -> None:
    """A FAULT answer ends the transfer after 13 clocks."""
    probe.clock_hz = 1_000_000
    board.powered = True
    probe.write(True, dap.TAR, (0x60000000,))
    with pytest.raises(TransferFailedError):
        probe.read(True, dap.DRW).result()
    assert board.now_ns == USB_ROUND_TRIP_NS + (2 * 48 + 13) * 1000


def test_an_unplugged_probe_is_gone_for_good(board: RamBoard, probe: CmsisDap) -> None:
    """After the planned number of transfers nothing works any more, and no further word arrives."""
    board.faults.unplug_after = 10
    with pytest.raises(UnpluggedError):
        probe.write(True, dap.DRW, range(1, 400))
    assert struct.unpack_from("<12I", board.ram) == (*range(1, 11), 0, 0)
    assert probe.transfers == 10
    with pytest.raises(UnpluggedError):
        probe.swj_sequence(51, (1 << 51) - 1)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 300)), min_size=1, max_size=12))
def test_any_mix_of_reads_and_writes_arrives_in_order(steps: list[tuple[bool, int]]) -> None:
    """However requests are packed, reads return what a plain memory would hold at that moment."""
    board = RamBoard()
    port = SwDp(board)
    select_swd(port)
    port.read(False, dap.DPIDR)
    port.write(False, dap.CTRL_STAT, POWER_UP)
    address_memory(port, RAM)
    port.write(False, dap.SELECT, 0)
    probe = CmsisDap(board, port)
    model, at, stamp, replies = [0] * 1024, 0, 0, []
    for reading, count in steps:
        places = [(at + index) % 1024 for index in range(count)]
        at = (at + count) % 1024
        if reading:
            replies.append((probe.read(True, dap.DRW, count), [model[place] for place in places]))
            continue
        words = range(stamp + 1, stamp + 1 + count)
        stamp += count
        for place, word in zip(places, words, strict=True):
            model[place] = word
        probe.write(True, dap.DRW, words)
    probe.flush()
    assert [reply.result() for reply, _ in replies] == [wanted for _, wanted in replies]
    assert list(struct.unpack_from("<1024I", board.ram)) == model
