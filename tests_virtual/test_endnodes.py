"""The reference end node on STM32L072 (identity in flash or data EEPROM) and nRF52840: firmware, and line.

tests_virtual/test_firmware_words.py has the counters' power cuts in full; here each chip's own controller takes part.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from intelhex import IntelHex

from lorafab.config.load import read_product
from lorafab.config.product import ProductConfig
from lorafab.domain import identity_block
from lorafab.domain.identity_block import BLOCK_SIZE, BlockState
from lorafab.domain.memory_map import Area, MemoryMap, Segment, Span
from lorafab.domain.nvm import endnode
from lorafab.domain.secret import Secret
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.errors import ForeignIdentity
from lorafab.steps.counters import read_counters
from lorafab.steps.identity_page import PageStore
from lorafab.targets import MCUS
from lorafab.virtual import chips, registry
from lorafab.virtual.board import Board
from lorafab.virtual.boardfile import BoardFile, State, StoreFile
from lorafab.virtual.chip import Chip
from tests_virtual import test_firmware_on_board as on_board
from tests_virtual import test_line as line
from tests_virtual.test_firmware_on_board import APP_KEY, NWK_KEY, make_block

ROOT = line.ROOT
L072, EEPROM, NRF52 = PRODUCTS = ("endnode-l072", "endnode-l072-eeprom", "endnode-nrf52")
LOTS = {L072: "demo-l072", EEPROM: "demo-eeprom", NRF52: "demo-nrf52"}
EEPROM_BASE, UICR_BASE, UICR_APPROTECT, HW_DISABLED = 0x08080000, 0x10001000, 0x208, 0x5A
SLOT = endnode.RECORD_SIZE


@dataclass(frozen=True)
class Product:
    """What product.yaml says, and the virtual chip that it names."""

    config: ProductConfig

    @property
    def name(self) -> str:
        """As in firmware/."""
        return self.config.product

    @property
    def note(self) -> str:
        """As the firmware calls itself."""
        return self.config.image.product or self.name

    @property
    def chip(self) -> Chip:
        """Of the virtual board."""
        assert self.config.virtual_board is not None
        return chips.named(self.config.virtual_board)

    @property
    def memory(self) -> MemoryMap:
        """Places in the MCU's memories."""
        return self.config.memory.memory_map(MCUS[self.config.mcu].areas)

    @property
    def identity(self) -> Span:
        """Place of the block."""
        assert self.memory.identity is not None
        return self.memory.identity

    @property
    def area(self) -> Area:
        """The memory that identity and counters are in."""
        area = self.memory.area_of(self.memory.nvm)
        assert area is not None
        assert area.span.contains(self.identity)
        return area

    @property
    def image(self) -> bytes:
        """The committed image, from the beginning of the flash on."""
        path = ROOT / "firmware" / self.name / f"{self.name}.hex"
        data: bytes = IntelHex(str(path)).tobinstr(start=self.memory.flash.start)
        return data + bytes([self.memory.flash.erased]) * (-len(data) % self.memory.flash.word_size)

    def place(self, address: int) -> tuple[str, int]:
        """The board file's store that has this address, and the offset in it."""
        if self.config.mcu == "nrf52840" and address >= UICR_BASE:
            return "uicr", address - UICR_BASE
        if self.config.mcu == "stm32l072xz" and address >= EEPROM_BASE:
            return "eeprom", address - EEPROM_BASE
        return "flash", address - self.memory.flash.start

    def read(self, path: Path, span: Span) -> bytes:
        """What lies in a board that nobody has open."""
        store, offset = self.place(span.start)
        file = BoardFile(path, self.chip)
        try:
            return file.stores[store].read(offset, span.size)
        finally:
            file.close()

    def write(self, path: Path, address: int, data: bytes, state: State = State.PROGRAMMED) -> None:
        """Put bytes there, as a programmer would have left them; a new board is made where there is none."""
        name, offset = self.place(address)
        file = BoardFile(path, self.chip)
        store: StoreFile = file.stores[name]
        store.put(offset, data)
        for cell in range(offset // 4, (offset + len(data)) // 4):
            store.set_state(cell, state if any(data) or state is State.BAD else State.ERASED)
        file.close()

    def prepare(self, path: Path) -> None:
        """Make a board that a debugger may talk to: both halves of an nRF52840's protection are opened."""
        if self.config.mcu == "nrf52840":
            self.write(path, UICR_BASE + UICR_APPROTECT, struct.pack("<I", 0xFFFFFF00 | HW_DISABLED))
            self.write(path, self.memory.flash.start, self.image)


def product_named(name: str) -> Product:
    """Read it."""
    return Product(read_product(ROOT, name)[1])


@pytest.fixture(params=PRODUCTS)
def product(request: pytest.FixtureRequest) -> Product:
    return product_named(request.param)


# ---- the firmware alone ----


class Bench(on_board.Bench):
    """One board of a product with the firmware in it, and a terminal on its serial port."""

    def __init__(self, product: Product, folder: Path) -> None:
        self.what, self.product = product, product.note
        self.path, self._link = folder / "dut.board", folder / "uart"
        self.board = self.terminal = None
        product.prepare(self.path)
        product.write(self.path, product.memory.flash.start, product.image)

    def put(self, address: int, data: bytes, state: State = State.PROGRAMMED) -> None:
        """Write into the closed board."""
        self.what.write(self.path, address, data, state)

    def ram(self) -> bytes:
        """All of it."""
        assert self.board is not None
        ram = self.what.config.memory.ram
        with self.board.lock:
            words = [self.board.mem_read_words(ram.start + at, 256) for at in range(0, ram.size, 1024)]
        return b"".join(struct.pack("<256I", *part) for part in words)


MakeBench = Callable[[Product], Bench]


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[MakeBench]:
    made: list[Bench] = []

    def make(product: Product) -> Bench:
        made.append(Bench(product, tmp_path))
        return made[-1]

    yield make
    for bench in made:
        bench.stop()


@pytest.fixture
def bench(make_bench: MakeBench, product: Product) -> Bench:
    return make_bench(product)


def test_shell_tells_what_the_board_is(bench: Bench) -> None:
    """Version, product and MCU from the image, the unique id from the chip, as the probe reads it."""
    bench.start()
    answer = {"product": bench.product, "version": "1.0.0", "mcu": bench.what.config.mcu}
    assert bench.ask("VER?") == (answer, "OK")
    data, last = bench.ask("UID?")
    assert bench.board is not None
    assert (data["uid"], last) == (bench.board.chip_id, "OK")


def test_self_tests_pass_and_the_image_crc_is_that_of_the_file(bench: Bench) -> None:
    """RAM march over nearly all of it, AES vectors, and a CRC that the station can compute itself."""
    bench.start()
    data, last = bench.ask("TEST ram")
    assert last == "OK"
    assert int(data["ram_tested"]) > bench.what.config.memory.ram.size - 4096
    image = bench.what.image
    assert bench.ask("TEST flash") == ({"image_crc": f"{zlib.crc32(image):08X}", "image_size": str(len(image))}, "OK")
    assert bench.ask("TEST aes") == ({}, "OK")
    assert bench.ask("VER?")[1] == "OK", "and it still works after its RAM was tested"


def test_identity_is_read_from_its_place_and_no_key_byte_leaves_it(bench: Bench) -> None:
    """Check values computed by the board's own AES; afterwards neither RAM nor a reply holds a piece of a key."""
    bench.put(bench.what.identity.start, make_block(NWK_KEY))
    bench.start()
    data, last = bench.ask("ID?")
    assert last == "OK"
    assert (data["dev_eui"], data["join_eui"]) == ("70B3D5499A1B2C3D", "0102030405060708")
    assert (data["serial"], data["region"], data["generation"]) == ("SN-000123", "5", "3")
    assert (data["kcv_app"], data["kcv_nwk"]) == (Secret(APP_KEY).kcv(), Secret(NWK_KEY).kcv())
    replies = str([data, *map(bench.ask, ("TEST id", "NVM?", "NONCE+"))]).upper()
    memory = bench.ram()
    for key in (APP_KEY, NWK_KEY):
        for start in range(13):
            piece = key[start : start + 4]
            assert piece not in memory
            assert piece[::-1] not in memory
            assert piece.hex().upper() not in replies


REFUSED = {
    "blank": (b"", "blank"),
    "partial": (make_block()[:52], "bad crc"),
    "its last word missing": (make_block()[:92], "bad crc"),
    "something else": (b"\xa5" * 96, "bad magic"),
    "a later version": (make_block()[:4] + b"\x02" + make_block()[5:], "bad version"),
    "one bit wrong": (make_block()[:30] + bytes([make_block()[30] ^ 4]) + make_block()[31:], "bad crc"),
}


@pytest.mark.parametrize("found", REFUSED)
def test_anything_but_a_whole_block_is_refused_by_the_firmware(bench: Bench, found: str) -> None:
    """Blank, partial and wrong, each named, and the shell lives on."""
    data, reason = REFUSED[found]
    bench.put(bench.what.identity.start, data)
    bench.start()
    assert bench.ask("ID?") == ({}, f"ERR no identity: {reason}")
    assert bench.ask("TEST id") == ({}, f"ERR no identity: {reason}")
    assert bench.ask("VER?")[1] == "OK"


def test_counters_survive_power_cycles_and_page_changes(bench: Bench) -> None:
    """The log goes on in the next page, which is erased first, and the other counters stay."""
    nvm, page = bench.what.memory.nvm, max(bench.what.area.page_size, 128)
    slots = page // SLOT
    records = [endnode.encode(endnode.Counters(n, 7, 123456, 99, n)) for n in range(502 - slots, 501)]
    bench.put(nvm.start, b"".join(records))  # one slot of the page is free
    bench.put(nvm.start + page, b"\x5a" * page)  # of an earlier life
    bench.start()
    for nonce in range(501, 507):
        assert bench.ask("NONCE+") == ({"dev_nonce": str(nonce)}, "OK")
        if nonce % 3 == 0:
            bench.restart()
    data, _ = bench.ask("NVM?")
    assert (data["dev_nonce"], data["join_nonce"], data["fcnt_up"], data["fcnt_down"]) == ("506", "7", "123456", "99")
    assert data["state"] == "ok"
    bench.stop()
    region = bench.what.read(bench.path, nvm)
    reading = endnode.decode(region, word_size=bench.what.area.word_size, erased=bench.what.area.erased)
    assert reading.counters == endnode.Counters(506, 7, 123456, 99, 506)
    assert (reading.torn_records, reading.bad_records) == (0, 0)


@pytest.mark.parametrize("word", [0, 2, 5, 7])
def test_power_cut_while_a_record_is_written(bench: Bench, word: int) -> None:
    """The record before it still counts, the torn one is passed over, and the DevNonce it had is given out once.

    ``word`` 5 is FCntDown, all ones before the first downlink: where erased words are all ones, it is not written.
    """
    if word == 5 and bench.what.area.erased == 0xFF:
        word = 4
    nvm = bench.what.memory.nvm.start
    bench.put(nvm, endnode.encode(endnode.Counters(3, 1, 2, 0xFFFFFFFF, 3)))
    bench.start(f"power_cut_at={nvm + SLOT + 4 * word:#x}")
    bench.lose_power_in_nonce()
    bench.stop()
    bench.start()
    data, _ = bench.ask("NVM?")
    assert (data["dev_nonce"], data["state"]) == ("3", "recovered")
    assert bench.ask("NONCE+") == ({"dev_nonce": "4"}, "OK")
    bench.stop()
    assert bench.what.read(bench.path, Span(nvm + 2 * SLOT, 4)) == b"LFNV", "the slot behind the torn one was used"


@pytest.mark.parametrize("word", [0, 1, 7])
def test_power_cut_in_the_first_record_of_a_board_loses_nothing(bench: Bench, word: int) -> None:
    """The CRC that was half written included: this chip does not tell, and still it is no lost counter."""
    nvm = bench.what.memory.nvm
    bench.start(f"power_cut_at={nvm.start + 4 * word:#x}")
    bench.lose_power_in_nonce()
    bench.stop()
    region = bench.what.read(bench.path, nvm)
    reading = endnode.decode(region, word_size=bench.what.area.word_size, erased=bench.what.area.erased)
    assert (reading.counters, reading.torn_records) == (endnode.FRESH, 1)
    bench.start()
    assert bench.ask("NVM?")[0]["state"] == "recovered"
    assert bench.ask("NONCE+") == ({"dev_nonce": "1"}, "OK")


def test_a_stuck_cell_costs_a_slot_and_not_a_counter(bench: Bench) -> None:
    """The controller reports success; the firmware reads back and writes the record again further on."""
    nvm, erased = bench.what.memory.nvm.start, bench.what.area.erased
    bench.start(f"stuck_bit={nvm + 1:#x}.{'0=1' if erased else '1=0'}")  # of the F in LFNV, 0x46: it stays as erased
    assert bench.ask("NONCE+") == ({"dev_nonce": "1"}, "OK")
    assert bench.ask("NVM?")[0]["state"] == "recovered"
    bench.stop()
    found = bench.what.read(bench.path, Span(nvm, 2 * SLOT))
    assert found[:4] != b"LFNV"
    assert found[SLOT : SLOT + 4] == b"LFNV"


def test_write_protected_flash_is_said_so(make_bench: MakeBench) -> None:
    """No DevNonce is given out that is not stored: the L0's controller refuses a protected sector with a flag."""
    bench = make_bench(product_named(L072))
    sector = (bench.what.memory.nvm.start - bench.what.memory.flash.start) // 4096
    bench.start(f"wrp={sector}")
    assert bench.ask("NONCE+") == ({}, "ERR nonce not stored: the NVM region takes no more writes")
    assert bench.ask("NVM?")[0]["state"] == "fresh"


@pytest.mark.parametrize("name", [EEPROM, NRF52])
def test_bytes_that_come_while_the_core_stands_still_are_not_silently_lost(make_bench: MakeBench, name: str) -> None:
    """It runs from the memory that is being written: what its port could not keep makes the line a damaged one."""
    bench = make_bench(product_named(name))
    slots = bench.what.area.page_size // SLOT
    records = [endnode.encode(endnode.Counters(n, 0, 0, 0, n)) for n in range(1, slots + 1)]
    bench.put(bench.what.memory.nvm.start, b"".join(records))  # a full page: the nRF52840 erases the next one, 85 ms
    bench.start()
    assert bench.terminal is not None
    bench.terminal.write(b"NONCE+\r" + b"VER? and more of it, for which nobody waited")
    assert [bench.line(), bench.line()] == [f"dev_nonce={slots + 1}", "OK"]
    assert bench.ask("") == ({}, "ERR line damaged: bytes were lost or arrived broken")
    assert bench.ask("VER?")[1] == "OK"


@pytest.mark.parametrize(("uicr", "open_after"), [(0xFFFFFF5A, True), (0xFFFFFFFF, False), (0xFFFFFF00, False)])
def test_the_firmware_keeps_the_debug_port_as_uicr_wants_it(make_bench: MakeBench, uicr: int, open_after: bool) -> None:
    """Build code F0 and later: open after a power-on only where UICR says HwDisabled and the firmware agrees."""
    bench = make_bench(product_named(NRF52))
    bench.put(UICR_BASE + UICR_APPROTECT, struct.pack("<I", uicr))
    bench.start()
    bench.restart()
    assert bench.board is not None
    assert bench.board.silicon.flash.debug_enabled() is open_after


# ---- the line's hands ----


@pytest.fixture
def programmer(product: Product, tmp_path: Path) -> Iterator[PyocdProgrammer]:
    """Connected to a new board with power."""
    path = tmp_path / "b.board"
    product.prepare(path)
    board = Board.open(path, chip=product.chip.name)
    board.power(True)
    registry.attach("jig0", board)
    found = PyocdProgrammer("lorafab:jig0", product.config.mcu, 4000)
    try:
        found.connect()
        yield found
    finally:
        found.close()
        registry.detach("jig0")
        board.close()


def test_the_store_tells_blank_partial_wrong_and_whole_apart(product: Product, programmer: PyocdProgrammer) -> None:
    """In flash of either erased value and in data EEPROM; nothing but a whole block counts as the board's."""
    store = PageStore(programmer, product.memory)
    state = {"blank": BlockState.BLANK} | dict.fromkeys(set(REFUSED) - {"blank"}, BlockState.DAMAGED)
    page = Span(product.identity.start, max(product.area.page_size, 128))
    for name, (data, _) in REFUSED.items():
        programmer.program([page], [Segment(product.identity.start, data)] if data else [])
        assert store.look().state is state[name], name
        with pytest.raises(ForeignIdentity, match=f"reads {state[name]}, wanted a whole block"):
            store.read_back()
    programmer.program([page], [Segment(product.identity.start, make_block(NWK_KEY))])
    held, evidence = store.read_back()
    assert (str(held.dev_eui), held.generation, evidence) == ("70B3D5499A1B2C3D", 3, "read back")
    assert (held.kcv_app, held.kcv_nwk) == (Secret(APP_KEY).kcv(), Secret(NWK_KEY).kcv())


def test_the_line_reads_the_counters_by_the_rules_of_their_memory(
    product: Product, programmer: PyocdProgrammer
) -> None:
    """Erased is a fresh board whatever it reads as; a record is found."""
    assert read_counters(programmer, product.memory) == endnode.FRESH
    known = endnode.Counters(37, 1, 2, 3, 9)
    programmer.program([], [Segment(product.memory.nvm.start + SLOT, endnode.encode(known))])
    assert read_counters(programmer, product.memory) == known


# ---- the whole line ----


class Line(line.Bench):
    """Boards of one product at the sim station."""

    def __init__(self, product: Product, folder: Path) -> None:
        super().__init__(folder)
        self.product = product

    def run(self, *arguments: str, board: str = "b1", **environment: str) -> line.Result:
        """One run, of a board as the factory delivers it unless somebody has made another."""
        return super().run(f"--lot={LOTS[self.product.name]}", *arguments, board=board, **environment)

    def memory(self, store: str, board: str = "b1") -> bytes:
        """All that a store holds."""
        file = BoardFile(self.board(board), self.product.chip)
        try:
            return file.stores[store].read()
        finally:
            file.close()

    def block(self, board: str = "b1") -> bytes:
        """The identity block."""
        return self.product.read(self.board(board), Span(self.product.identity.start, BLOCK_SIZE))


def everything_but(product: Product, store: str, data: bytes) -> bytes:
    """``data`` of a store without image, identity block and NVM region."""
    places = [Span(product.memory.flash.start, len(product.image)), product.memory.nvm]
    places.append(Span(product.identity.start, BLOCK_SIZE))
    rest = bytearray(data)
    for span in places:
        name, offset = product.place(span.start)
        if name == store:
            rest[offset : offset + span.size] = bytes([product.memory.flash.erased]) * span.size
    return bytes(rest)


def test_a_board_passes_and_keeps_identity_and_counters_in_rework(product: Product, tmp_path: Path) -> None:
    """Image exact, block valid, counters stored, nothing else written; the second run changes the DevNonce alone.

    The nRF52840 comes locked: the line opens it, and its firmware keeps it open for the rework.
    """
    bench = Line(product, tmp_path)
    first = bench.run()
    assert first.status == 0, first.text
    flash, image = bench.memory("flash"), product.image
    assert flash[: len(image)] == image
    block = identity_block.decode(bench.block())
    assert block is not None
    assert (str(block.dev_eui), block.serial, block.generation) == (first.line[2], first.record["serial"], 1)
    assert first.record["keys"]["kcv_app"] == block.app_key.kcv()
    for store in ("flash", "eeprom") if product.config.mcu == "stm32l072xz" else ("flash",):
        rest = everything_but(product, store, bench.memory(store))
        assert set(rest) == {product.memory.flash.erased}, store
    before = bench.block()
    again = bench.run()
    assert again.status == 0, again.text
    assert bench.block() == before
    assert bench.memory("flash")[: len(image)] == image
    assert again.record["keys"] == first.record["keys"]
    nvm = product.read(bench.board("b1"), product.memory.nvm)
    reading = endnode.decode(nvm, word_size=product.area.word_size, erased=product.area.erased)
    assert reading.counters is not None
    assert (reading.counters.dev_nonce, reading.valid_records) == (2, 2)


@pytest.mark.parametrize(("name", "found"), [(L072, "another board's"), (EEPROM, "partial"), (NRF52, "partial")])
def test_a_board_that_brings_something_else_is_refused(tmp_path: Path, name: str, found: str) -> None:
    """A chip that the ledger has never seen must come blank: it is set aside, and not a byte of it changes."""
    product = product_named(name)
    bench = Line(product, tmp_path)
    product.prepare(bench.board("b1"))
    data = REFUSED["partial"][0] if found == "partial" else make_block()
    product.write(bench.board("b1"), product.identity.start, data)
    stores = ("flash", "eeprom" if product.config.mcu == "stm32l072xz" else "uicr")
    before = [bench.memory(store) for store in stores]
    refused = bench.run()
    assert refused.status == 1, refused.text
    said = "something unreadable" if found == "partial" else "70B3D5499A1B2C3D"
    assert f"the board's identity page holds {said}, which is not what this ledger has" in refused.sentences
    assert [bench.memory(store) for store in stores] == before


@pytest.mark.parametrize("name", [EEPROM, NRF52])
def test_a_power_cut_inside_the_identity_block_costs_a_key_generation(tmp_path: Path, name: str) -> None:
    """The torn word reads as something; the block's CRC tells, and the rerun writes the next generation over it."""
    product = product_named(name)
    bench = Line(product, tmp_path)
    cut = bench.run(LORAFAB_VIRTUAL_FAULTS=f"power_cut_at={product.identity.start + 32:#x}")
    assert cut.status == 3, cut.text
    torn = bench.block()
    assert identity_block.decode(torn) is None
    assert torn != bytes([product.area.erased]) * BLOCK_SIZE
    again = bench.run()
    assert again.status == 0, again.text
    block = identity_block.decode(bench.block())
    assert block is not None
    assert (block.generation, again.record["keys"]["generation"]) == (2, 2)
    assert again.record["keys"]["kcv_app"] == block.app_key.kcv()


def test_a_word_of_the_eeprom_that_does_not_hold_fails_the_board(tmp_path: Path) -> None:
    """The controller has no flag for it, and the word reads erased before: only what is read back tells."""
    product = product_named(EEPROM)
    bench = Line(product, tmp_path)
    place = product.identity.start + 56  # of the serial, LE00000001
    failed = bench.run(LORAFAB_VIRTUAL_FAULTS=";".join(f"stuck_bit={place:#x}.{bit}=0" for bit in range(8)))
    assert failed.status == 1, failed.text
    assert f"1 byte from {place:#010x} on differ" in failed.sentences


def test_boards_with_their_identity_in_eeprom_have_the_same_flash(tmp_path: Path) -> None:
    """Byte for byte: all that is a board's own lies in the EEPROM."""
    product = product_named(EEPROM)
    bench = Line(product, tmp_path)
    results = [bench.run(board=name) for name in ("b1", "b2")]
    assert [result.status for result in results] == [0, 0], results[1].text
    assert results[0].line[2] != results[1].line[2]
    assert bench.memory("flash", "b1") == bench.memory("flash", "b2")
    one, two = (identity_block.decode(bench.block(name)) for name in ("b1", "b2"))
    assert one is not None
    assert two is not None
    assert (str(one.dev_eui), str(two.dev_eui)) == (results[0].line[2], results[1].line[2])
    assert one.app_key.kcv() != two.app_key.kcv()
