from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.virtual.parts.spi_memory import REGISTERS
from lorafab.virtual.parts.spi_nor import AT25SF041, W25Q128JV, SpiNor
from tests_virtual.parts.spi_bench import SpiBench, new_store

US, MS = 1_000, 1_000_000
SMALL = replace(AT25SF041, size=0x40000)


@pytest.fixture
def at25() -> SpiBench:
    return SpiBench(SpiNor, AT25SF041)


@pytest.fixture(scope="module")
def w25_store() -> object:
    return new_store(W25Q128JV.store("memory"))  # 16 MiB, made once


@pytest.fixture
def w25(w25_store: object) -> SpiBench:
    w25_store.put(W25Q128JV.size, b"\xff" * REGISTERS)  # type: ignore[attr-defined]
    return SpiBench(SpiNor, W25Q128JV, w25_store)  # type: ignore[arg-type]


def at(opcode: int, address: int, data: bytes = b"") -> bytes:
    return bytes([opcode]) + address.to_bytes(3, "big") + data


def test_identities_are_those_of_the_parts(at25: SpiBench, w25: SpiBench) -> None:
    """RDID, 0x90 (both orders) and 0xAB (after three dummy bytes) answer as each part's data sheet says."""
    assert at25.ask(b"\x9f", 3) == b"\x1f\x84\x01"
    assert w25.ask(b"\x9f", 3) == b"\xef\x40\x18"
    assert w25.ask(at(0x90, 0), 4) == b"\xef\x17\xef\x17"
    assert w25.ask(at(0x90, 1), 2) == b"\x17\xef"
    assert w25.ask(b"\xab\0\0\0", 2) == b"\x17\x17"
    assert at25.ask(at(0x90, 0), 2) == b"\x1f\x12"


def test_a_new_part_is_erased_and_unprotected(at25: SpiBench) -> None:
    """Parts ship erased: all ones, status 0, and no complaint about reading that."""
    assert at25.array == b"\xff" * 0x80000
    assert at25.ask(b"\x05", 2) == b"\0\0"
    assert at25.ask(b"\x35", 1) == b"\0"
    assert at25.complaints == []


def test_reads_run_on_over_the_end_of_the_array(at25: SpiBench) -> None:
    """READ and FAST_READ (one dummy byte) stream from any address and roll over to address 0."""
    at25.store.put(0x7FFFE, b"\x12\x34")
    at25.store.put(0, b"\x56")
    assert at25.ask(at(0x03, 0x7FFFE), 4) == b"\x12\x34\x56\xff"
    assert at25.ask(at(0x0B, 0x7FFFF, b"\0"), 2) == b"\x34\x56"
    assert at25.ask(at(0x03, 0x07FFFE | 0x180000), 1) == b"\x12", "address bits above the array are ignored"


def test_programming_needs_wren_takes_its_time_and_drops_the_latch(at25: SpiBench) -> None:
    """Without WREN nothing happens; with it the part is busy for its typical time, then WEL is 0 again."""
    at25.transfer(at(0x02, 0x100, b"\x0f"))
    assert at25.ask(b"\x05", 1) == b"\0"
    assert "not enabled by WREN" in at25.complaints[-1]
    at25.transfer(b"\x06")
    assert at25.ask(b"\x05", 1) == b"\x02"
    at25.transfer(at(0x02, 0x100, b"\x0f"))
    assert at25.ask(b"\x05", 1) == b"\x03"
    assert 690 * US < at25.wait_ready() < 700 * US
    assert at25.ask(b"\x05", 1) == b"\0"
    assert at25.ask(at(0x03, 0x100), 2) == b"\x0f\xff"


def test_the_write_enable_latch_waits_for_chip_select(at25: SpiBench) -> None:
    """WREN is executed when chip-select rises after exactly eight bits, WRDI takes it back."""
    at25.transfer(b"\x06\0")
    assert at25.ask(b"\x05", 1) == b"\0"
    at25.transfer(b"\x06", cut_bits=3)
    assert at25.ask(b"\x05", 1) == b"\0"
    at25.transfer(b"\x06")
    at25.transfer(b"\x04")
    assert at25.ask(b"\x05", 1) == b"\0"


def test_programs_clear_bits_only(at25: SpiBench) -> None:
    """What a program asks to set stays 0 until the next erase."""
    for value in (b"\xf0", b"\x3c"):
        at25.write(at(0x02, 0, value))
        at25.wait_ready()
    assert at25.array[:2] == b"\x30\xff"


def test_a_program_wraps_in_its_page(at25: SpiBench) -> None:
    """Bytes beyond the page's end land at its start, and of more than 256 bytes the last 256 count."""
    at25.write(at(0x02, 0x1FE, b"\1\2\3\4"))
    at25.wait_ready()
    assert at25.array[0x100:0x102] == b"\3\4"
    assert at25.array[0x1FE:0x201] == b"\1\2\xff"
    at25.write(at(0x02, 0x300, b"\0" + bytes(range(256))))
    at25.wait_ready()
    assert at25.array[0x300:0x400] == b"\xff" + bytes(range(255))


@pytest.mark.parametrize(("opcode", "size", "ms"), [(0x20, 0x1000, 70), (0x52, 0x8000, 300), (0xD8, 0x10000, 600)])
def test_erases_cover_their_aligned_block(at25: SpiBench, opcode: int, size: int, ms: int) -> None:
    """Any address in a block erases that block and nothing beside it, in the typical time."""
    at25.store.put(0, bytes(0x80000))
    at25.write(at(opcode, 3 * size + size // 2))
    assert at25.wait_ready() == ms * MS
    assert at25.array == bytes(3 * size) + b"\xff" * size + bytes(0x80000 - 4 * size)


@pytest.mark.parametrize("opcode", [0x60, 0xC7])
def test_chip_erase(at25: SpiBench, opcode: int) -> None:
    """Both instructions erase all of the array and leave the status register alone."""
    at25.store.put(0, bytes(0x80000))
    at25.write(bytes([opcode]))
    assert at25.wait_ready() > 4_000 * MS
    assert at25.array == b"\xff" * 0x80000


def test_a_busy_part_answers_nothing_but_its_status(at25: SpiBench) -> None:
    """During an erase all but the status registers is ignored, with a complaint, and the erase goes on."""
    at25.store.put(0, bytes(0x2000))
    at25.write(at(0x20, 0))
    assert at25.ask(at(0x03, 0), 2) == b"\xff\xff"
    assert at25.ask(b"\x9f", 3) == b"\xff\xff\xff"
    at25.write(at(0x02, 0x1000, b"\0"))
    assert [text for text in at25.complaints if "while it is busy is ignored" in text] == at25.complaints
    assert len(at25.complaints) == 4
    at25.wait_ready()
    assert at25.array[:0x2000] == b"\xff" * 0x1000 + bytes(0x1000)


@pytest.mark.parametrize(
    ("sent", "cut_bits"),
    [
        (at(0x02, 0), 0),  # no data byte
        (at(0x02, 0, b"\0"), 4),
        (b"\x20\0\0", 0),
        (at(0x20, 0, b"\0"), 0),
        (at(0x20, 0), 1),
        (b"\xc7\0", 0),
        (b"\x01", 0),
        (b"\x01\0\0\0", 0),
    ],
)
def test_chip_select_must_rise_where_the_instruction_ends(at25: SpiBench, sent: bytes, cut_bits: int) -> None:
    """Anything that changes the memory is not executed when chip-select rises too early, too late or within a byte."""
    at25.store.put(0, bytes(0x100))
    at25.transfer(b"\x06")
    at25.transfer(sent, cut_bits)
    assert not at25.memory.busy
    assert "wrong number of bits" in at25.complaints[-1]
    assert at25.array[:0x100] == bytes(0x100)
    assert not at25.memory.write_enabled, "the AT25SF041 forgets the latch then"


@pytest.mark.parametrize(
    ("status", "second", "guarded"),
    [
        (0x04, 0x00, range(0x70000, 0x80000)),
        (0x08, 0x00, range(0x60000, 0x80000)),
        (0x0C, 0x00, range(0x40000, 0x80000)),
        (0x10, 0x00, range(0x80000)),
        (0x1C, 0x00, range(0x80000)),
        (0x24, 0x00, range(0x10000)),
        (0x44, 0x00, range(0x7F000, 0x80000)),
        (0x54, 0x00, range(0x78000, 0x80000)),
        (0x64, 0x00, range(0x1000)),
        (0x04, 0x40, range(0x70000)),
        (0x00, 0x40, range(0x80000)),
    ],
)
def test_protection_follows_its_bits(at25: SpiBench, status: int, second: int, guarded: range) -> None:
    """BP, TB, SEC and CMP protect what the data sheet's table says: the last byte in it and the first beside it."""
    at25.write(bytes([0x01, status, second]))
    at25.wait_ready()
    inside = {guarded.start, guarded.stop - 1}
    for address in inside | {(guarded.start - 1) % 0x80000, guarded.stop % 0x80000}:
        at25.write(at(0x02, address, b"\0"))
        at25.wait_ready()
        assert at25.array[address] == (0xFF if address in guarded else 0)
        assert not at25.memory.write_enabled


def test_an_erase_that_touches_a_protected_byte_is_refused(at25: SpiBench) -> None:
    """One protected sector is enough to refuse the 64 KiB block and the chip; other blocks erase."""
    at25.store.put(0, bytes(0x80000))
    at25.write(b"\x01\x44")
    at25.wait_ready()
    for sent in (at(0xD8, 0x70000), b"\xc7", at(0x20, 0x7F000)):
        at25.write(sent)
        assert not at25.memory.busy
        assert "the status register protects it" in at25.complaints[-1]
    at25.write(at(0x20, 0x7E000))
    at25.wait_ready()
    assert at25.array[0x7E000:] == b"\xff" * 0x1000 + bytes(0x1000)


def test_status_bits_outlive_power_and_the_latch_does_not(at25: SpiBench) -> None:
    """BP bits are non-volatile, take the status register's write time, and WEL is reset by power."""
    at25.write(b"\x01\x1c")
    assert at25.ask(b"\x05", 1)[0] & 1, "a status write is a write cycle"
    assert at25.wait_ready() > 10 * MS
    at25.transfer(b"\x06")
    at25.cut_power()
    at25.power_on()
    assert at25.ask(b"\x05", 1) == b"\x1c"


def test_bits_whose_effect_is_missing_are_not_taken(at25: SpiBench) -> None:
    """A lock that the model does not have must not look as if it were set."""
    at25.write(b"\x01\x00\x01")
    at25.wait_ready()
    assert at25.ask(b"\x35", 1) == b"\0"
    assert "whose effect is not modelled" in at25.complaints[-1]


def test_status_registers_of_the_w25q128jv(w25: SpiBench) -> None:
    """QE and the drive strength come as Winbond sets them; 0x31 and 0x11 write registers 2 and 3 alone."""
    assert [w25.ask(bytes([opcode]), 1) for opcode in (0x05, 0x35, 0x15)] == [b"\0", b"\x02", b"\x60"]
    w25.write(b"\x31\x40")
    w25.wait_ready()
    w25.write(b"\x11\x20")
    w25.wait_ready()
    assert [w25.ask(bytes([opcode]), 1) for opcode in (0x05, 0x35, 0x15)] == [b"\0", b"\x40", b"\x20"]


def test_the_w25q128jv_protects_64ths(w25: SpiBench) -> None:
    """In 16 MiB the lowest level protects 256 KiB, and the part keeps its latch when it refuses."""
    w25.write(b"\x01\x04")
    w25.wait_ready()
    assert w25.memory.protected() == range(0xFC0000, 0x1000000)
    w25.write(at(0x02, 0xFC0000, b"\0"))
    assert w25.memory.write_enabled


def test_short_programs_of_the_w25q128jv_are_faster(w25: SpiBench) -> None:
    """By its SFDP: 32 us for one byte, 3 us for each more, at most 704 us."""
    took = {}
    for count in (1, 11, 256):
        w25.write(at(0x02, 0x1000, b"\xff" * count))
        took[count] = w25.wait_ready()
    assert took == {1: 32 * US, 11: 62 * US, 256: 704 * US}


def test_sfdp_describes_the_part(w25: SpiBench, at25: SpiBench) -> None:
    """The table names the size and the three erases that the model really has; the AT25SF041 has no SFDP."""
    area = w25.ask(at(0x5A, 0, b"\0"), 256)
    assert area[:4] == b"SFDP"
    table = area[area[12] : area[12] + 4 * area[11]]
    assert int.from_bytes(table[4:8], "little") + 1 == 8 * W25Q128JV.size
    told = {table[place + 1]: 1 << table[place] for place in (28, 30, 32)}
    assert told == {opcode: size for opcode, (size, _) in W25Q128JV.erases.items()}
    assert at25.ask(at(0x5A, 0, b"\0"), 4) == b"\xff\xff\xff\xff"
    assert "not modelled" in at25.complaints[-1]


def test_deep_power_down_ignores_all_but_release(at25: SpiBench) -> None:
    """It draws little, knows only 0xAB, and takes nothing before it has really left."""
    assert at25.supply.draws == {"memory": 10_000}
    at25.transfer(b"\xb9")
    at25.wait(10 * US)
    assert at25.supply.draws == {"memory": 2_000}
    at25.transfer(b"\x06")
    assert at25.ask(b"\x9f", 3) == b"\xff\xff\xff"
    assert "in deep power-down is ignored" in at25.complaints[-1]
    at25.transfer(b"\xab")
    assert at25.ask(b"\x9f", 3) == b"\xff\xff\xff"
    assert "before it has left deep power-down" in at25.complaints[-1]
    at25.wait(5 * US)
    assert at25.ask(b"\x9f", 3) == b"\x1f\x84\x01"
    assert at25.ask(b"\x05", 1) == b"\0"


def test_power_leaves_deep_power_down(at25: SpiBench) -> None:
    """A power cycle wakes the part."""
    at25.transfer(b"\xb9")
    at25.cut_power()
    assert at25.supply.nanoamps == 0
    at25.power_on()
    assert at25.ask(b"\x9f", 1) == b"\x1f"


def test_a_reset_needs_its_two_instructions_in_a_row(w25: SpiBench) -> None:
    """0x99 right after 0x66 resets, tearing an erase; anything between them takes the permission back."""
    w25.transfer(b"\x06")
    w25.transfer(b"\x66")
    w25.transfer(b"\x05")
    w25.transfer(b"\x99")
    assert w25.memory.write_enabled
    assert "was not enabled" in w25.complaints[-1]
    w25.store.put(0x2000, bytes(0x1000))
    w25.write(at(0x20, 0x2000))
    w25.transfer(b"\x66")
    w25.transfer(b"\x99")
    assert not w25.memory.busy
    assert not w25.memory.write_enabled
    assert w25.array[0x2000:0x3000] == b"\x55" * 0x1000
    assert w25.ask(b"\x05", 1) == b"\xff", "it takes a moment"
    w25.wait(30 * US)
    assert w25.ask(b"\x05", 1) == b"\0"


# streams that nobody thought of

OPCODES = (1, 2, 3, 4, 5, 6, 0x0B, 0x15, 0x20, 0x31, 0x35, 0x52, 0x5A, 0x60, 0x66, 0x90, 0x99, 0x9F, 0xAB, 0xB9, 0xD8)
TRANSACTIONS = st.lists(
    st.tuples(
        st.booleans(),  # WREN first
        st.sampled_from(OPCODES) | st.integers(0, 255),
        st.binary(max_size=12) | st.binary(min_size=200, max_size=300),
        st.sampled_from((0, 0, 0, 3)),
        st.sampled_from((0, 5 * US, 800 * US, 20 * MS, 700 * MS)),
    ),
    max_size=12,
)


def run(bench: SpiBench, transactions: list[tuple[bool, int, bytes, int, int]]) -> list[object]:
    seen: list[object] = []
    erasing = False
    for enable, opcode, data, cut_bits, wait_ns in transactions:
        if enable:
            bench.transfer(b"\x06")
        before, guarded, was_busy = bench.array, bench.memory.protected(), bench.memory.busy
        seen.append(bench.transfer(bytes([opcode]) + data, cut_bits))
        if bench.memory.busy and not was_busy:
            erasing = opcode in (0x20, 0x52, 0xD8, 0x60, 0xC7)
        bench.wait(wait_ns)
        after = bench.array
        if after != before:
            assert after[guarded.start : guarded.stop] == before[guarded.start : guarded.stop]
            assert erasing or not int.from_bytes(after, "big") & ~int.from_bytes(before, "big")
        seen.append((bench.clock.now_ns, bench.supply.charge, bench.memory.busy))
    return [*seen, bench.array, *bench.complaints]


@settings(max_examples=60, deadline=None)
@given(TRANSACTIONS)
def test_any_stream_gives_the_same_times_twice_and_keeps_protected_bytes(
    transactions: list[tuple[bool, int, bytes, int, int]],
) -> None:
    """Nothing crashes the part, only erases set bits, protection holds, and streams repeat to the ns and the nA."""
    assert run(SpiBench(SpiNor, SMALL), transactions) == run(SpiBench(SpiNor, SMALL), transactions)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 0xFFF), st.binary(min_size=1, max_size=300)), min_size=1, max_size=6))
def test_any_programs_are_the_and_of_all_that_was_written(programs: list[tuple[int, bytes]]) -> None:
    """Between erases a byte is the AND of everything that was programmed there, at the wrapped address."""
    bench, wanted = SpiBench(SpiNor, SMALL), bytearray(b"\xff" * 0x1000)
    for address, data in programs:
        page = {(address + place) % 256: byte for place, byte in enumerate(data)}
        for place, byte in page.items():
            wanted[address // 256 * 256 + place] &= byte
        bench.write(at(0x02, address, data))
        bench.wait_ready()
    assert bench.array[:0x1000] == wanted
    assert bench.complaints == []


@settings(max_examples=60, deadline=None)
@given(
    before=st.binary(min_size=256, max_size=256),
    data=st.binary(min_size=1, max_size=256),
    erase=st.booleans(),
    cut_ns=st.integers(0, 80 * MS),
)
def test_a_power_cut_leaves_each_bit_old_or_new(before: bytes, data: bytes, erase: bool, cut_ns: int) -> None:
    """Whenever the power goes, every bit has its old or its new value, other pages are whole, and the part starts."""
    bench = SpiBench(SpiNor, SMALL)
    bench.store.put(0x1000, before)
    old = bench.array
    bench.write(at(0x20, 0x1000) if erase else at(0x02, 0x1000, data))
    bench.wait(cut_ns)
    done = not bench.memory.busy
    bench.cut_power()
    bench.power_on()
    new = bytearray(old)
    page = b"\xff" * 0x1000 if erase else bytes(a & b for a, b in zip(before, data.ljust(256, b"\xff"), strict=True))
    new[0x1000 : 0x1000 + len(page)] = page
    for was, wanted, now in zip(old[0x1000:0x1100], new[0x1000:0x1100], bench.array[0x1000:0x1100], strict=True):
        assert now == wanted if done else (now ^ was) & ~(was ^ wanted) == 0
    assert bench.array[:0x1000] == old[:0x1000]
    assert bench.array[0x2000:] == old[0x2000:]
    assert bench.ask(b"\x05", 1) == b"\0"
