import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.virtual.parts.spi_eeprom import EEPROM_25AA02E48, EEPROM_25AA02E64, M95M02, SpiEeprom
from tests_virtual.parts.spi_bench import SpiBench

MS = 1_000_000


@pytest.fixture
def eeprom() -> SpiBench:
    return SpiBench(SpiEeprom, EEPROM_25AA02E64)


def test_a_new_part_carries_a_recognisably_virtual_node_address(eeprom: SpiBench) -> None:
    """EUI-64 in F8 to FF, locally administered and none of Microchip's; the upper quarter is protected."""
    eui = eeprom.ask(b"\x03\xf8", 8)
    assert eui[:3] == b"\x02LF"
    assert eui[0] & 0b11 == 0b10, "locally administered, not a group"
    assert eeprom.array[:0xF8] == b"\xff" * 0xF8
    assert eeprom.ask(b"\x05", 1) == b"\x04"
    assert eeprom.complaints == []


def test_the_e48_has_six_bytes() -> None:
    """EUI-48 in FA to FF."""
    bench = SpiBench(SpiEeprom, EEPROM_25AA02E48)
    assert bench.array[:0xFA] == b"\xff" * 0xFA
    assert bench.ask(b"\x03\xfa", 3) == b"\x02LF"


def test_boards_differ_and_a_board_keeps_its_address() -> None:
    """The address comes from the board's unique id: same id, same address; another id, another address."""
    first, again, other = (
        SpiBench(SpiEeprom, EEPROM_25AA02E64, uid=uid) for uid in (b"LFVB0000001a", b"LFVB0000001a", b"LFVB0000001b")
    )
    assert first.array == again.array
    assert first.array != other.array


def test_the_address_is_written_once_in_the_life_of_a_board(eeprom: SpiBench) -> None:
    """What firmware destroyed stays destroyed: the next power-on is not a visit to the factory."""
    eeprom.write(b"\x01\x00")
    eeprom.wait_ready()
    eeprom.write(b"\x02\xf8" + b"\xff" * 8)
    eeprom.wait_ready()
    eeprom.cut_power()
    eeprom.power_on()
    assert eeprom.array == b"\xff" * 256
    assert eeprom.ask(b"\x05", 1) == b"\0"


def test_the_upper_quarter_is_protected_until_the_bits_are_cleared(eeprom: SpiBench) -> None:
    """C0 to FF refuse writes, BF takes them; WREN and WRSR with 0 open all of it (DS20002123, 3.1)."""
    before = eeprom.array
    for address in (0xC0, 0xF8, 0xFF):
        eeprom.write(bytes([0x02, address, 0]))
        assert not eeprom.memory.busy
        assert "protects it" in eeprom.complaints[-1]
    assert eeprom.array == before
    eeprom.write(b"\x02\xbf\0")
    eeprom.wait_ready()
    assert eeprom.array[0xBF] == 0
    eeprom.write(b"\x01\x00")
    eeprom.wait_ready()
    eeprom.write(b"\x02\xf8\0")
    eeprom.wait_ready()
    assert eeprom.array[0xF8] == 0


@pytest.mark.parametrize(("bits", "first"), [(0b00, 256), (0b01, 0xC0), (0b10, 0x80), (0b11, 0)])
def test_block_protection(eeprom: SpiBench, bits: int, first: int) -> None:
    """None, the upper quarter, the upper half, all."""
    eeprom.write(bytes([0x01, bits << 2]))
    eeprom.wait_ready()
    assert eeprom.ask(b"\x05", 1) == bytes([bits << 2])
    for address in {0, first - 1, first} & set(range(256)):
        eeprom.write(bytes([0x02, address, 0x5A]))
        eeprom.wait_ready()
        assert (eeprom.array[address] == 0x5A) == (address < first)


def test_a_write_cycle_takes_5_ms_and_is_polled(eeprom: SpiBench) -> None:
    """WIP and WEL are set for 5 ms from the rise of chip-select, both are clear afterwards."""
    eeprom.write(b"\x02\x10\x12")
    assert eeprom.ask(b"\x05", 1) == b"\x07"
    assert 4.9 * MS < eeprom.wait_ready() < 5 * MS
    assert eeprom.ask(b"\x05", 1) == b"\x04"
    assert eeprom.ask(b"\x03\x10", 1) == b"\x12"


def test_writes_need_no_erase_and_set_bits_too(eeprom: SpiBench) -> None:
    """It is an EEPROM: 00 over FF and FF over 00."""
    for value in (b"\x00", b"\xa5", b"\xff"):
        eeprom.write(b"\x02\x20" + value)
        eeprom.wait_ready()
        assert eeprom.ask(b"\x03\x20", 1) == value


def test_a_write_wraps_in_its_page_of_16(eeprom: SpiBench) -> None:
    """The seventeenth byte overwrites the first; the neighbouring pages stay as they are."""
    eeprom.write(b"\x02\x2e" + bytes(range(17)))
    eeprom.wait_ready()
    assert eeprom.array[0x20:0x30] == bytes([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1])
    assert eeprom.array[0x1F] == eeprom.array[0x30] == 0xFF


def test_reads_roll_over(eeprom: SpiBench) -> None:
    """Sequential read goes from FF to 00."""
    assert eeprom.ask(b"\x03\xff", 2) == eeprom.array[0xFF:] + b"\xff"


def test_the_latch(eeprom: SpiBench) -> None:
    """Writes without WREN do nothing; WREN needs chip-select to rise after its eight bits; WRDI takes it back."""
    eeprom.transfer(b"\x02\x00\x00")
    assert "not enabled by WREN" in eeprom.complaints[-1]
    eeprom.transfer(b"\x06\x02\x00\x00")
    assert eeprom.ask(b"\x05", 1) == b"\x04"
    eeprom.transfer(b"\x06")
    eeprom.transfer(b"\x04")
    assert eeprom.ask(b"\x05", 1) == b"\x04"
    assert eeprom.array[0] == 0xFF


def test_a_write_that_ends_within_a_byte_is_not_executed(eeprom: SpiBench) -> None:
    """Chip-select must rise after the last bit of a byte."""
    eeprom.transfer(b"\x06")
    eeprom.transfer(b"\x02\x00\x00", cut_bits=5)
    assert not eeprom.memory.busy
    assert eeprom.array[0] == 0xFF


def test_reads_during_a_write_cycle_are_ignored(eeprom: SpiBench) -> None:
    """A read of the array is not possible then, and the board says so."""
    eeprom.write(b"\x02\x00\x00")
    assert eeprom.ask(b"\x03\xf8", 2) == b"\xff\xff"
    assert "READ while it is busy is ignored" in eeprom.complaints[-1]


def test_bit_3_of_an_instruction_is_looked_at_by_nobody(eeprom: SpiBench) -> None:
    """In the 4-kbit sibling it is an address bit; here 0x0B reads as 0x03 does."""
    assert eeprom.ask(b"\x0b\xf8", 8) == eeprom.ask(b"\x03\xf8", 8)


def test_a_bigger_part_by_data_alone() -> None:
    """M95M02: three address bytes, pages of 256, 10 ms, nothing protected, no node address."""
    bench = SpiBench(SpiEeprom, M95M02)
    assert bench.array == b"\xff" * 0x40000
    bench.write(b"\x02\x03\xff\xfe" + b"\1\2\3")
    assert bench.wait_ready() == 10 * MS
    assert bench.ask(b"\x03\x03\xff\xfe", 2) == b"\1\2"
    assert bench.ask(b"\x03\x03\xff\x00", 2) == b"\3\xff"


STREAM = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(0, 7) | st.integers(0, 255),
        st.binary(max_size=20),
        st.sampled_from((0, 0, 0, 5)),
        st.sampled_from((0, 1 * MS, 6 * MS)),
    ),
    max_size=15,
)


def run(transactions: list[tuple[bool, int, bytes, int, int]]) -> list[object]:
    bench = SpiBench(SpiEeprom, EEPROM_25AA02E64)
    seen: list[object] = []
    for enable, opcode, data, cut_bits, wait_ns in transactions:
        if enable:
            bench.transfer(b"\x06")
        before, guarded = bench.array, bench.memory.protected()
        seen.append(bench.transfer(bytes([opcode]) + data, cut_bits))
        bench.wait(wait_ns)
        assert bench.array[guarded.start : guarded.stop] == before[guarded.start : guarded.stop]
        seen.append((bench.clock.now_ns, bench.supply.charge, bench.memory.busy))
    return [*seen, bench.array, *bench.complaints]


@settings(max_examples=200, deadline=None)
@given(STREAM)
def test_any_stream_repeats_and_respects_protection(transactions: list[tuple[bool, int, bytes, int, int]]) -> None:
    """Nothing crashes the part, protected bytes stay, and the same stream gives the same answers and times."""
    assert run(transactions) == run(transactions)


@settings(max_examples=100, deadline=None)
@given(
    first=st.binary(min_size=16, max_size=16),
    second=st.binary(min_size=1, max_size=16),
    cut_ns=st.integers(0, 6 * MS),
)
def test_a_power_cut_leaves_each_bit_old_or_new(first: bytes, second: bytes, cut_ns: int) -> None:
    """Only the page of the write may be torn, each of its bits old or new; the node address survives."""
    bench = SpiBench(SpiEeprom, EEPROM_25AA02E64)
    bench.write(b"\x02\x40" + first)
    bench.wait_ready()
    old = bench.array
    bench.write(b"\x02\x40" + second)
    bench.wait(cut_ns)
    done = not bench.memory.busy
    bench.cut_power()
    bench.power_on()
    new = second + first[len(second) :]
    for was, wanted, now in zip(first, new, bench.array[0x40:0x50], strict=True):
        assert now == wanted if done else (now ^ was) & ~(was ^ wanted) == 0
    assert bench.array[:0x40] + bench.array[0x50:] == old[:0x40] + old[0x50:]
    assert bench.ask(b"\x05", 1) == b"\x04"
