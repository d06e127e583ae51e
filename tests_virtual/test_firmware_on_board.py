"""The committed firmware image on the virtual board: real code on the emulated core, real bytes on the serial port."""

import importlib
import re
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serial

from lorafab.domain import identity_block
from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.nvm import endnode
from lorafab.domain.secret import Secret
from lorafab.virtual import chips
from lorafab.virtual.board import Board
from lorafab.virtual.boardfile import BoardFile, State, states_offset
from lorafab.virtual.faults import FaultPlan

IMAGE_HEX = Path(__file__).resolve().parent.parent / "firmware/endnode-wle5/endnode-wle5.hex"
FLASH = 0x08000000
IDENTITY = 0x0803E800
NVM = 0x0803F000
NVM_SIZE = 4096
SRAM = 0x20000000
SRAM_SIZE = 64 * 1024
CHIP = chips.named("wle5")
STATES = states_offset(CHIP)  # one byte for each double word of the flash

APP_KEY = bytes.fromhex("8F3A00D15C7B64E29101FEC3AB55774D")
NWK_KEY = bytes.fromhex("10F2E3D4C5B6A798897A6B5C4D3E2F01")
REPLY_TIMEOUT_S = 60.0  # wall clock, for a busy computer; a reply takes milliseconds


def image() -> bytes:
    """The image as it lies in flash from 0x08000000 on."""
    intelhex: Any = importlib.import_module("intelhex")  # shipped without type information
    data = intelhex.IntelHex(str(IMAGE_HEX)).tobinstr(start=FLASH)
    assert isinstance(data, bytes)
    return data


def install(path: Path, address: int, data: bytes, state: State = State.PROGRAMMED) -> None:
    """Write whole double words into a closed board file, as a programmer would have left them."""
    data += b"\xff" * (-len(data) % 8)
    offset = address - FLASH
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
        file.seek(STATES + offset // 8)
        file.write(bytes([state]) * (len(data) // 8))


def flash_of(path: Path, address: int, size: int) -> bytes:
    return path.read_bytes()[address - FLASH : address - FLASH + size]


def make_block(nwk_key: bytes | None = None) -> bytes:
    return identity_block.encode(
        Identity(
            serial="SN-000123",
            dev_eui=Eui64.parse("70B3D5499A1B2C3D"),
            join_eui=Eui64.parse("0102030405060708"),
            app_key=Secret(APP_KEY),
            nwk_key=None if nwk_key is None else Secret(nwk_key),
            generation=3,
            region=5,
            lot="demo",
        )
    )


class Bench:
    """One board with the firmware in it, and a terminal on its serial port."""

    product = "endnode-wle5"
    """As the firmware calls itself."""

    def __init__(self, folder: Path) -> None:
        self.path, self._link = folder / "dut.board", folder / "uart"
        BoardFile(self.path, CHIP).close()
        install(self.path, FLASH, image())
        self.board: Board | None = None
        self.terminal: serial.Serial | None = None

    def start(self, faults: str = "") -> "Bench":
        """Power the board and wait for the banner."""
        self.board = Board.open(self.path, uart_link=self._link, faults=FaultPlan.parse(faults))
        self.terminal = serial.Serial(str(self._link), 115200, timeout=REPLY_TIMEOUT_S)
        self.board.power(True)
        assert self.line() == f"lorafab {self.product} 1.0.0 ready"
        return self

    def stop(self) -> None:
        """Power off and release the file."""
        if self.terminal is not None:
            self.terminal.close()
        if self.board is not None:
            complaints = self.board.complaints
            self.board.close()
            assert complaints == [], "the firmware asked for something that the chip does not have"
        self.board = self.terminal = None

    def restart(self) -> None:
        """Cut the power and switch it on again."""
        assert self.board is not None
        self.board.power(False)
        self.board.power(True)
        assert self.line() == f"lorafab {self.product} 1.0.0 ready"

    def lose_power_in_nonce(self) -> None:
        """Ask for a DevNonce on a board whose fault plan cuts the power while it is stored."""
        assert self.board is not None
        assert self.terminal is not None
        self.terminal.write(b"NONCE+\r\n")
        deadline = time.monotonic() + REPLY_TIMEOUT_S
        while self.board.powered and time.monotonic() < deadline:
            time.sleep(0.005)
        assert not self.board.powered
        assert self.terminal.in_waiting == 0, "no DevNonce is given out that is not stored"

    def line(self) -> str:
        assert self.terminal is not None
        raw = self.terminal.readline()
        assert raw.endswith(b"\r\n"), f"no whole line within {REPLY_TIMEOUT_S} s, but {raw!r}"
        return raw[:-2].decode("ascii")

    def ask(self, command: str) -> tuple[dict[str, str], str]:
        """Send a command; its data lines and its last line."""
        assert self.terminal is not None
        self.terminal.write(command.encode() + b"\r\n")
        data: dict[str, str] = {}
        while not re.match(r"OK$|ERR ", line := self.line()):
            key, _, value = line.partition("=")
            data[key] = value
        return data, line


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.stop()


def test_shell_tells_what_the_board_is(bench: Bench) -> None:
    """Version, product and MCU from the image, the unique id from the chip."""
    bench.start()
    assert bench.ask("VER?") == ({"product": "endnode-wle5", "version": "1.0.0", "mcu": "stm32wle5jc"}, "OK")
    data, last = bench.ask("UID?")
    bench.stop()
    file = BoardFile(bench.path, CHIP)
    assert (data["uid"], last) == (file.uid.hex().upper(), "OK")
    file.close()


def test_self_tests_pass_and_the_image_crc_is_that_of_the_file(bench: Bench) -> None:
    """RAM march, AES vectors, and a CRC that the station can compute itself."""
    bench.start()
    data, last = bench.ask("TEST ram")
    assert last == "OK"
    assert int(data["ram_tested"]) > 60_000, "nearly all of the 64 KiB"
    assert bench.ask("TEST flash") == (
        {"image_crc": f"{zlib.crc32(image()):08X}", "image_size": str(len(image()))},
        "OK",
    )
    assert bench.ask("TEST aes") == ({}, "OK")
    assert bench.ask("TEST id") == ({}, "ERR no identity: blank")
    assert bench.ask("VER?")[1] == "OK", "and it still works after its RAM was tested"


def test_refusals_are_one_sentence_each(bench: Bench) -> None:
    bench.start()
    assert bench.ask("reset") == ({}, "ERR unknown command; known: VER? ID? UID? NVM? NONCE+ TEST")
    assert bench.ask("test x") == ({}, "ERR unknown test 'x'; known: ram flash aes id")
    assert bench.ask("v" * 65) == ({}, "ERR line too long")
    assert bench.ask("ver?")[1] == "OK"


def test_identity_is_read_from_its_page(bench: Bench) -> None:
    """Check values computed by the board's own AES are those of the keys that were written."""
    install(bench.path, IDENTITY, make_block(NWK_KEY))
    bench.start()
    data, last = bench.ask("ID?")
    assert last == "OK"
    assert (data["dev_eui"], data["join_eui"]) == ("70B3D5499A1B2C3D", "0102030405060708")
    assert (data["serial"], data["region"], data["generation"]) == ("SN-000123", "5", "3")
    assert (data["lot_crc"], data["lorawan"]) == (f"{zlib.crc32(b'demo'):08X}", "1.1")
    assert (data["kcv_app"], data["kcv_nwk"]) == (Secret(APP_KEY).kcv(), Secret(NWK_KEY).kcv())
    assert bench.ask("TEST id") == ({}, "OK")


def test_no_key_byte_leaves_the_flash(bench: Bench) -> None:
    """After the check values were told, neither RAM nor any reply holds a piece of a key."""
    install(bench.path, IDENTITY, make_block(NWK_KEY))
    bench.start()
    lines = [f"{data} {last}" for data, last in map(bench.ask, ("ID?", "TEST id", "ID?", "NVM?", "NONCE+"))]
    assert bench.board is not None
    words = [bench.board.mem_read_words(SRAM + at, 256) for at in range(0, SRAM_SIZE, 1024)]
    memory = b"".join(struct.pack("<256I", *part) for part in words)
    assert memory.count(b"\0" * 1024) > 0, "the unused stack was wiped"
    for key in (APP_KEY, NWK_KEY):
        for start in range(13):
            piece = key[start : start + 4]
            assert piece not in memory
            assert piece[::-1] not in memory
            assert not any(piece.hex().upper() in line.upper() for line in lines)


@pytest.mark.parametrize("offset", [0, 24, 88])
def test_torn_identity_word_is_survived_and_named(bench: Bench, offset: int) -> None:
    """The chip raises an NMI for a word whose programming was cut; the firmware notes it and goes on."""
    install(bench.path, IDENTITY, make_block())
    install(bench.path, IDENTITY + offset, b"\xff\x55\xff\x55\xff\x55\xff\x55", State.BAD)
    bench.start()
    for _ in range(2):
        assert bench.ask("ID?") == ({}, "ERR no identity: torn")
    assert bench.ask("VER?")[1] == "OK"


def test_damaged_identity_is_refused(bench: Bench) -> None:
    install(bench.path, IDENTITY, make_block()[:-1] + b"\xa5")
    assert bench.start().ask("ID?") == ({}, "ERR no identity: bad crc")


def test_counters_survive_power_cycles_and_page_changes(bench: Bench) -> None:
    """200 DevNonces with power cuts in between: each is one more, and the other counters stay."""
    install(bench.path, NVM, endnode.encode(endnode.Counters(41, 7, 123456, 99, 1000)))
    bench.start()
    for nonce in range(42, 242):
        assert bench.ask("NONCE+") == ({"dev_nonce": str(nonce)}, "OK")
        if nonce % 50 == 0:
            bench.restart()
    data, _ = bench.ask("NVM?")
    assert (data["dev_nonce"], data["join_nonce"], data["fcnt_up"], data["fcnt_down"]) == ("241", "7", "123456", "99")
    assert data["state"] == "ok"
    bench.stop()
    reading = endnode.decode(flash_of(bench.path, NVM, NVM_SIZE))
    assert reading.counters == endnode.Counters(241, 7, 123456, 99, 1200)
    assert (reading.torn_records, reading.bad_records) == (0, 0)


def test_fresh_board_starts_at_dev_nonce_1(bench: Bench) -> None:
    bench.start()
    data, _ = bench.ask("NVM?")
    assert (data["dev_nonce"], data["fcnt_down"], data["state"]) == ("0", "4294967295", "fresh")
    assert bench.ask("NONCE+") == ({"dev_nonce": "1"}, "OK")
    assert bench.ask("NVM?")[0]["state"] == "ok"


def test_dev_nonce_stops_at_65535(bench: Bench) -> None:
    install(bench.path, NVM, endnode.encode(endnode.Counters(65535, 0, 0, 0, 1)))
    assert bench.start().ask("NONCE+") == ({}, "ERR nonce exhausted")


@pytest.mark.parametrize("word", range(4))
def test_power_cut_while_a_record_is_written(bench: Bench, word: int) -> None:
    """The record before it still counts, and the torn slot is never written again."""
    install(bench.path, NVM, b"".join(endnode.encode(endnode.Counters(n, 0, 0, 0, n)) for n in (1, 2, 3)))
    bench.start(f"power_cut_at={NVM + 96 + 8 * word:#x}")
    bench.lose_power_in_nonce()
    bench.stop()
    bench.start()
    data, _ = bench.ask("NVM?")
    assert (data["dev_nonce"], data["state"]) == ("3", "recovered")
    assert bench.ask("NONCE+") == ({"dev_nonce": "4"}, "OK")
    bench.stop()
    assert flash_of(bench.path, NVM + 128, 4) == b"LFNV", "the slot behind the torn one was used"


@pytest.mark.parametrize("cut", [None, 0, 3])
def test_page_whose_erase_was_cut_is_erased_again(bench: Bench, cut: int | None) -> None:
    """The newest record is in the other page; words that the ECC refuses stop neither reading nor erasing.

    ``cut``: the double word of the first record in the new page whose programming is cut as well.
    """
    install(bench.path, NVM, b"".join(endnode.encode(endnode.Counters(n, 0, 0, 0, n)) for n in range(1, 65)))
    install(bench.path, NVM + NVM_SIZE // 2, b"\x5f" * (NVM_SIZE // 2), State.BAD)
    if cut is not None:
        bench.start(f"power_cut_at={NVM + NVM_SIZE // 2 + 8 * cut:#x}")
        bench.lose_power_in_nonce()
        bench.stop()
    bench.start()
    data, _ = bench.ask("NVM?")
    assert (data["dev_nonce"], data["state"]) == ("64", "recovered")
    assert bench.ask("NONCE+") == ({"dev_nonce": "65"}, "OK")
    assert bench.ask("NONCE+") == ({"dev_nonce": "66"}, "OK")
    assert bench.ask("NVM?")[0]["state"] == "ok"


def test_commands_sent_back_to_back_are_all_answered(bench: Bench) -> None:
    """The receiver is interrupt driven: nothing is lost while replies go out."""
    bench.start()
    assert bench.terminal is not None
    bench.terminal.write(b"VER?\rUID?\nnvm?\r\nTEST aes\n" * 3)
    lines = [bench.line() for _ in range(3 * (4 + 2 + 7 + 1))]
    assert lines.count("OK") == 12


def test_jammed_flash_is_reported_and_the_shell_lives_on(bench: Bench) -> None:
    """A stray write has set CFGBSY for good: the firmware waits for it once, not in each of 128 slots."""
    bench.start()
    assert bench.board is not None
    with bench.board.lock:
        bench.board.mem_write(FLASH + 0x10000, 4, 0)
        before_ns = bench.board.clock.now_ns
    for _ in range(2):
        assert bench.ask("NONCE+") == ({}, "ERR nonce not stored: the NVM region takes no more writes")
    assert bench.board.clock.now_ns - before_ns < 1_000_000_000, "simulated time"
    assert bench.ask("NVM?")[0]["state"] == "fresh"
