"""The firmware's counters in memories of 4-byte words that do not tell of torn ones, compiled for this computer.

As test_firmware_host.py, for the products on STM32L072 (flash and data EEPROM, erased to 0x00) and nRF52840.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.config.load import read_product
from lorafab.domain.nvm import endnode
from lorafab.targets import MCUS
from tests_virtual.test_firmware_host import (
    CUT_AFTER,
    CUT_BEFORE,
    CUT_LOOKS_ERASED,
    CUT_TORN,
    FIRMWARE,
    PORTABLE,
    PROJECT,
    Firmware,
    compilers,
    give_nonce,
)

PRODUCTS = ("endnode-l072", "endnode-l072-eeprom", "endnode-nrf52")
CUTS = (CUT_BEFORE, CUT_TORN, CUT_AFTER, CUT_LOOKS_ERASED)
SLOT = endnode.RECORD_SIZE


@dataclass
class Node:
    """One product's firmware in this process, with what product.yaml says of its memory."""

    dut: Firmware
    nvm: int
    size: int
    page: int
    """Bytes that the firmware erases at once."""
    erased: int

    @property
    def slots(self) -> int:
        """Records that the region can hold."""
        return self.size // SLOT

    def read(self) -> endnode.NvmReading:
        """As the line reads it."""
        return endnode.decode(self.dut.peek(self.nvm, self.size), word_size=4, erased=self.erased)

    def fill(self, records: int) -> None:
        """A history of so many records; the newest has DevNonce 500."""
        self.dut.reset()
        for i in range(records):
            record = endnode.encode(endnode.Counters(500 - records + 1 + i, 3, 4, 5, 1 + i))
            self.dut.poke(self.nvm + i % self.slots * SLOT, record)


def build(product: str, folder: Path) -> Node:
    """Compile the portable sources with the product's own header, as firmware/build.py does for the chip."""
    library = folder / f"{product}.so"
    paths = [*(FIRMWARE / "endnode-wle5/src" / name for name in PORTABLE), PROJECT / "tests_virtual/endnode_host.c"]
    options = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    folders = [f"-I{FIRMWARE / name}" for name in ("include", "endnode-wle5/hal", "endnode-wle5/src")]
    header = ["-include", str(FIRMWARE / product / "product.h")]
    command = [*compilers()[0], *options, *header, *folders, *map(str, paths), "-o", str(library)]
    subprocess.run(command, check=True)
    config = read_product(PROJECT, product)[1]
    memory = config.memory.memory_map(MCUS[config.mcu].areas)
    area = memory.area_of(memory.nvm)
    assert area is not None
    assert area.word_size == 4
    page = 128 if config.mcu == "stm32l072xz" else area.page_size  # the EEPROM's own page is one word
    return Node(Firmware(library), memory.nvm.start, memory.nvm.size, page, area.erased)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Node]:
    if not compilers():
        pytest.skip("no C compiler: install the dev extra (ziglang) or gcc")
    folder = tmp_path_factory.mktemp("firmware")
    return {product: build(product, folder) for product in PRODUCTS}


@pytest.fixture(params=PRODUCTS)
def node(nodes: dict[str, Node], request: pytest.FixtureRequest) -> Node:
    found = nodes[request.param]
    found.dut.reset()
    return found


def test_an_erased_region_is_a_fresh_board(node: Node) -> None:
    """Whatever the memory erases to; the first DevNonce is 1."""
    assert node.dut.peek(node.nvm, node.size) == bytes([node.erased]) * node.size
    data, last = node.dut.ask("NVM?")
    assert (data["dev_nonce"], data["fcnt_down"], data["state"], last) == ("0", "4294967295", "fresh", "OK")
    assert node.dut.ask("NONCE+") == ({"dev_nonce": "1"}, "OK")
    assert node.read().counters == endnode.Counters(1, 0, 0, 0xFFFFFFFF, 1)


def test_a_page_of_what_another_memory_calls_erased_has_lost_its_counters(node: Node) -> None:
    """It is no fresh board, and the firmware refuses to begin at 1 again."""
    node.dut.poke(node.nvm, bytes([node.erased ^ 0xFF]) * node.page)
    assert node.dut.ask("NVM?")[0]["state"] == "lost"
    assert node.dut.ask("NONCE+") == ({}, "ERR counters lost: the NVM region holds no readable record")


def test_the_log_goes_round_all_pages(node: Node) -> None:
    """Every page is erased and used in turn, and the other counters stay."""
    node.dut.poke(node.nvm, endnode.encode(endnode.Counters(41, 7, 123456, 99, 1000)))
    rounds = 2 * node.slots - 1  # one record was there: the last page is full
    for nonce in range(42, 42 + rounds):
        assert node.dut.ask("NONCE+") == ({"dev_nonce": str(nonce)}, "OK")
    assert node.read().counters == endnode.Counters(41 + rounds, 7, 123456, 99, 1000 + rounds)
    oldest = 1000 + rounds - node.slots
    for page in range(0, node.size, node.page):
        data = node.dut.peek(node.nvm + page, node.page)
        found = endnode.decode(data, word_size=4, erased=node.erased)
        assert found.counters is not None
        assert found.counters.sequence > oldest
        assert found.valid_records == node.page // SLOT


def test_power_cut_at_every_operation_of_a_page_change_loses_nothing(node: Node) -> None:
    """Erase and each word of the record, each cut in four ways: the acknowledged DevNonce survives."""
    per_page = node.page // SLOT
    for records in (per_page - 1, per_page, node.slots - 1, node.slots):
        for operation in range(1, 10):
            for outcome in CUTS:
                node.fill(records)
                node.dut.cut_at(operation, outcome)
                acknowledged = give_nonce(node.dut) or 500
                node.dut.power_on()
                assert int(node.dut.ask("NVM?")[0]["dev_nonce"]) >= acknowledged
                counters = node.read().counters
                assert counters is not None
                assert counters.dev_nonce >= acknowledged
                following = give_nonce(node.dut)
                assert following is not None
                assert following > acknowledged


@pytest.mark.parametrize("outcome", CUTS)
def test_power_cut_in_the_very_first_record_is_no_loss(node: Node, outcome: int) -> None:
    """In none of its words, the half-written CRC included: nothing was in use yet, so the board goes on."""
    for operation in range(1, 9):
        node.dut.reset()
        node.dut.cut_at(operation, outcome)
        if give_nonce(node.dut) is not None:
            break  # the record has fewer words that are not as erased
        node.dut.power_on()
        assert node.dut.ask("NVM?")[0]["state"] in ("fresh", "ok", "recovered")
        assert node.read().counters is not None
        assert give_nonce(node.dut) in (1, 2)
    else:
        pytest.fail("the cut never missed the record")


def test_a_record_that_went_bad_later_is_no_torn_one(node: Node) -> None:
    """One bit of the CRC that no write gives: the counters of the only record are lost, and the board stops."""
    record = bytearray(endnode.encode(endnode.Counters(9, 0, 0, 0, 9)))
    wanted = int.from_bytes(record[-4:], "little")
    bit = next(bit for bit in range(32) if (wanted >> bit & 1) == (node.erased & 1))
    record[-4 + bit // 8] ^= 1 << bit % 8
    node.dut.poke(node.nvm, bytes(record))
    assert node.dut.ask("NVM?")[0]["state"] == "lost"
    assert node.read().counters is None


@settings(max_examples=100, deadline=None)
@given(
    product=st.sampled_from(PRODUCTS),
    start=st.integers(0, 300),
    cuts=st.lists(st.tuples(st.integers(0, 20), st.sampled_from(CUTS), st.integers(1, 70)), max_size=8),
)
def test_dev_nonce_never_repeats_whatever_power_does(
    nodes: dict[str, Node], product: str, start: int, cuts: list[tuple[int, int, int]]
) -> None:
    """Any number of cuts in any operation: every DevNonce given out is higher than all before it."""
    node = nodes[product]
    dut = node.dut
    node.fill(min(start, node.slots))
    highest = 500 if start else 0
    for operation, outcome, commands in cuts:
        dut.cut_at(operation, outcome)
        for _ in range(commands):
            nonce = give_nonce(dut)
            if nonce is None:
                break
            assert nonce > highest
            highest = nonce
        dut.power_on()
        data = dut.ask("NVM?")[0]
        assert int(data["dev_nonce"]) >= highest
        assert data["state"] != "lost"
    final = give_nonce(dut)
    assert final is not None
    assert final > highest


JUNK = st.one_of(st.binary(min_size=SLOT, max_size=SLOT), st.sampled_from([bytes(SLOT), b"\xff" * SLOT]))
CUT_RECORDS = st.tuples(st.integers(0, 7), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFF))


@given(product=st.sampled_from(PRODUCTS), slots=st.lists(st.one_of(JUNK, CUT_RECORDS), max_size=32))
def test_firmware_and_station_read_the_same_log(
    nodes: dict[str, Node], product: str, slots: list[bytes | tuple[int, int, int]]
) -> None:
    """The C reader and lorafab's decoder agree on junk, and on records cut in any word with any bits changed."""
    node = nodes[product]
    node.dut.reset()
    for number, slot in enumerate(slots):
        data = slot if isinstance(slot, bytes) else cut_record(*slot, node.erased)
        node.dut.poke(node.nvm + SLOT * number, data)
    reading, reply = node.read(), node.dut.ask("NVM?")[0]
    assert int(reply["records"]) == reading.valid_records
    assert (reply["state"] == "fresh") == reading.fresh
    assert (reply["state"] == "lost") == (reading.counters is None)
    if reading.counters is not None:
        assert int(reply["dev_nonce"]) == reading.counters.dev_nonce


def cut_record(words: int, mask: int, dev_nonce: int, erased: int) -> bytes:
    """A record of which so many words were written, and of the next one the bits of ``mask``."""
    record = endnode.encode(endnode.Counters(dev_nonce, 0, 0, 0xFFFFFFFF, dev_nonce))
    blank = bytes([erased]) * 4
    wanted = int.from_bytes(record[4 * words : 4 * words + 4], "little")
    before = int.from_bytes(blank, "little")
    half = (before ^ ((before ^ wanted) & mask)).to_bytes(4, "little")
    return (record[: 4 * words] + half).ljust(SLOT, blank[:1])
