"""lorafab/virtual/access_ports.py: what the registers of an access port do to memory."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.virtual import access_ports as ap
from lorafab.virtual.access_ports import MemAp
from lorafab.virtual.bus import BusFault, BusStall
from lorafab.virtual.chip import MemoryAp
from tests_virtual.ram_board import RAM, RAM_SIZE, SLOW, RamBoard

WORDS, BYTES, PACKED = 0x12, 0x10, 0x20


def port(board: RamBoard, address: int = RAM, csw: int = WORDS, wrap: int = 0x1000) -> MemAp:
    """A MEM-AP that addresses memory by words."""
    made = MemAp(board, MemoryAp(0, idr=0x2477_0011, base=0xE00F_F003, csw=0x2300_0040, wrap=wrap))
    made.ap_write(ap.CSW, csw)
    made.ap_write(ap.TAR, address)
    return made


@pytest.fixture
def board() -> RamBoard:
    """RAM with rising bytes at its start."""
    board = RamBoard()
    board.ram[:16] = bytes(range(16))
    return board


def test_identity_registers(board: RamBoard) -> None:
    """IDR, BASE and CFG are what the profile says; reserved registers read zero."""
    made = port(board)
    assert [made.ap_read(register) for register in (ap.IDR, ap.BASE, ap.CFG, 0xF0)] == [0x24770011, 0xE00FF003, 0, 0]


@pytest.mark.parametrize("wrap", [0x1000, 0x400])
def test_the_address_wraps_where_this_port_wraps(board: RamBoard, wrap: int) -> None:
    """4 KiB with a Cortex-M4, 1 KiB with a Cortex-M0+: a careless debugger writes to the wrong place, as in life."""
    made = port(board, RAM + wrap - 4, wrap=wrap)
    made.ap_write(ap.DRW, 0x11111111)
    made.ap_write(ap.DRW, 0x22222222)
    assert made.ap_read(ap.TAR) == RAM + 4
    assert board.ram[wrap - 4 : wrap] == b"\x11" * 4
    assert board.ram[0:4] == b"\x22" * 4
    assert board.ram[wrap : wrap + 4] == bytes(4)


@pytest.mark.parametrize(("size", "code"), [(1, 0), (2, 1)])
def test_small_accesses_use_their_byte_lanes(board: RamBoard, size: int, code: int) -> None:
    """Bytes and half-words sit in DRW where they sit in the word."""
    for index in range(4 // size):
        made = port(board, RAM + 16 + index * size, BYTES | code)
        made.ap_write(ap.DRW, 0xDDCCBBAA)
        assert made.ap_read(ap.TAR) == RAM + 16 + (index + 1) * size
    assert board.ram[16:20] == b"\xaa\xbb\xcc\xdd"
    assert port(board, RAM + 18, BYTES | code).ap_read(ap.DRW) == (0x00CC0000 if size == 1 else 0xDDCC0000)


def test_packed_transfers_fill_the_word(board: RamBoard) -> None:
    """With packed increment one DRW access does four byte accesses."""
    made = port(board, RAM + 8, PACKED)
    made.ap_write(ap.DRW, 0x04030201)
    assert board.ram[8:12] == bytes([1, 2, 3, 4])
    assert made.ap_read(ap.TAR) == RAM + 12


def test_banked_data_registers_do_not_move_the_address(board: RamBoard) -> None:
    """BD0..BD3 reach the four words around TAR."""
    made = port(board, RAM + 0x24)
    for index in range(4):
        made.ap_write(ap.BD0 + 4 * index, index + 1)
    assert struct.unpack_from("<4I", board.ram, 0x20) == (1, 2, 3, 4)
    assert made.ap_read(ap.BD0 + 8) == 3
    assert made.ap_read(ap.TAR) == RAM + 0x24


@pytest.mark.parametrize(("written", "kept"), [(0x15, 0x12), (0x32, 0x02), (0x22, 0x22)])
def test_impossible_modes_read_back_as_possible_ones(board: RamBoard, written: int, kept: int) -> None:
    """A debugger finds out what the port can do by writing CSW and reading it back."""
    assert port(board, csw=written).ap_read(ap.CSW) & 0x37 == kept


def test_the_address_stays_where_an_access_faulted(board: RamBoard) -> None:
    """A refused access does not count as done."""
    made = port(board, RAM + RAM_SIZE)
    with pytest.raises(BusFault):
        made.ap_read(ap.DRW)
    assert made.ap_read(ap.TAR) == RAM + RAM_SIZE


def test_a_port_without_memory_faults(board: RamBoard) -> None:
    """Its registers are there, its memory is not."""
    made = MemAp(board, MemoryAp(1, idr=0x8477_0001, base=0xF000_0003, csw=0x4380_0040, reaches=False))
    made.ap_write(ap.CSW, WORDS)
    made.ap_write(ap.TAR, RAM)
    assert made.ap_read(ap.IDR) == 0x84770001
    with pytest.raises(BusFault):
        made.ap_read(ap.DRW)
    assert made.read_words(4) == []
    assert made.write_words([1, 2]) == 0


def test_a_protected_port_says_so_and_faults(board: RamBoard) -> None:
    """CSW.DeviceEn reads 0, IDR is still there, memory is not; and back again when the protection is lifted."""
    made = port(board)
    board.enabled = False
    assert not made.ap_read(ap.CSW) & ap.CSW_DEVICEEN
    assert made.ap_read(ap.IDR) == 0x24770011
    with pytest.raises(BusFault):
        made.ap_read(ap.DRW)
    with pytest.raises(BusFault):
        made.ap_write(ap.DRW, 1)
    assert made.read_words(4) == []
    assert made.write_words([1, 2]) == 0
    board.enabled = True
    assert made.ap_read(ap.CSW) & ap.CSW_DEVICEEN
    assert made.ap_read(ap.DRW) == 0x03020100


# -- accesses that the bus holds


def test_a_held_read_is_resumed(board: RamBoard) -> None:
    """The access is in progress until the bus lets it through, and then has the value of that moment."""
    made = port(board, SLOW, 0x02)
    board.slow_until = 1000
    with pytest.raises(BusStall):
        made.ap_read(ap.DRW)
    board.advance(999)
    with pytest.raises(BusStall):
        made.resume()
    board.advance(1)
    board.slow_word = 0xC0FFEE
    assert made.resume() == 0xC0FFEE


def test_a_held_write_happens_once(board: RamBoard) -> None:
    """When its time has come, and not before."""
    made = port(board, SLOW, 0x02)
    board.slow_until = 1000
    with pytest.raises(BusStall):
        made.ap_write(ap.DRW, 7)
    assert board.slow_writes == []
    board.advance(1000)
    made.resume()
    assert board.slow_writes == [7]


def test_an_access_that_was_given_up_never_happens(board: RamBoard) -> None:
    """DAPABORT: TrInProg tells that the bus still waits, the address stays, the write is lost."""
    made = port(board, SLOW)
    board.slow_until = 1000
    with pytest.raises(BusStall):
        made.ap_write(ap.DRW, 7)
    made.give_up()
    assert made.ap_read(ap.CSW) & ap.CSW_TRINPROG
    board.advance(1000)
    assert not made.ap_read(ap.CSW) & ap.CSW_TRINPROG
    assert made.ap_read(ap.TAR) == SLOW
    assert board.slow_writes == []


# -- blocks


@pytest.mark.parametrize("wrap", [0x1000, 0x400])
@given(start=st.integers(0, 0x7FF), words=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=1200))
def test_a_block_is_the_same_as_its_single_accesses(wrap: int, start: int, words: list[int]) -> None:
    """Whatever the place and length, the fast way and the slow way leave the same memory and the same TAR."""
    boards = RamBoard(), RamBoard()
    fast, slow = (port(board, RAM + 4 * start, wrap=wrap) for board in boards)
    done = 0
    while done < len(words):
        done += fast.write_words(words[done:])
    for word in words:
        slow.ap_write(ap.DRW, word)
    assert boards[0].ram == boards[1].ram
    assert fast.ap_read(ap.TAR) == slow.ap_read(ap.TAR)
    for made in (fast, slow):
        made.ap_write(ap.TAR, RAM + 4 * start)
    read: list[int] = []
    while len(read) < len(words):
        read += fast.read_words(len(words) - len(read))
    assert read == [slow.ap_read(ap.DRW) for _ in words]


@pytest.mark.parametrize(
    ("address", "csw"), [(RAM, 0x02), (RAM, PACKED), (RAM, BYTES), (RAM + 2, WORDS), (SLOW, WORDS), (0x60000000, WORDS)]
)
def test_no_block_where_single_accesses_would_differ(board: RamBoard, address: int, csw: int) -> None:
    """Other sizes and increments, odd addresses, registers, and nothing at all: one by one, and untouched so far."""
    made = port(board, address, csw)
    accesses = board.accesses
    assert made.read_words(4) == []
    assert made.write_words([1, 2, 3]) == 0
    assert board.accesses == accesses
    assert made.ap_read(ap.TAR) == address


def test_a_block_beyond_the_end_is_left_to_single_accesses(board: RamBoard) -> None:
    """They find the word that faults; the block has done nothing."""
    made = port(board, RAM + RAM_SIZE - 8)
    before = bytes(board.ram)
    assert made.write_words([1, 2, 3]) in (0, 2)
    assert board.ram[:-8] == before[:-8]
