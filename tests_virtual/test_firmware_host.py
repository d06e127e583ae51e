"""The portable part of firmware/endnode-wle5, compiled for this computer and driven through its shell.

The HAL is endnode_host.c: flash with the rules of the chip, and power that can be cut in any flash operation.
"""

import ctypes
import importlib
import importlib.util
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.domain import identity_block
from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.nvm import endnode
from lorafab.domain.secret import Secret

PROJECT = Path(__file__).resolve().parent.parent
FIRMWARE = PROJECT / "firmware"
PORTABLE = ("aes128.c", "identity.c", "nvm.c", "reply.c", "selftest.c", "shell.c")

IDENTITY = 0x0803E800
NVM = 0x0803F000
PAGE = 2048
RECORDS_PER_PAGE = 64
REPLY_MAX = 4096

CUT_BEFORE, CUT_TORN, CUT_AFTER, CUT_LOOKS_ERASED = range(4)

APP_KEY = bytes.fromhex("8F3A00D15C7B64E29101FEC3AB55774D")
NWK_KEY = bytes.fromhex("10F2E3D4C5B6A798897A6B5C4D3E2F01")


def compilers() -> list[list[str]]:
    """C compilers at hand, the pinned one first."""
    found = []
    if importlib.util.find_spec("ziglang"):
        found.append([sys.executable, "-m", "ziglang", "cc"])
    return found + [[path] for path in map(shutil.which, ("gcc", "clang")) if path]


class Firmware:
    """The compiled firmware in this process; one flash for all, so tests reset it first."""

    def __init__(self, library: Path) -> None:
        self._c = ctypes.CDLL(str(library))
        self._c.host_powered.restype = ctypes.c_bool

    def reset(self) -> None:
        """A board with erased flash, powered."""
        self._c.host_reset()
        self._c.host_power_on()

    def power_on(self) -> None:
        self._c.host_power_on()

    def cut_at(self, operation: int, outcome: int) -> None:
        """Cut the power in the nth flash operation from now on (1 = the next); 0 cancels."""
        self._c.host_cut_at(operation, outcome)

    @property
    def powered(self) -> bool:
        return bool(self._c.host_powered())

    @property
    def operations(self) -> int:
        """Flash operations since reset: double words programmed and pages erased."""
        return int(self._c.host_operations())

    def poke(self, address: int, data: bytes) -> None:
        self._c.host_poke(address, data, len(data))

    def peek(self, address: int, size: int) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        self._c.host_peek(address, buffer, size)
        return buffer.raw

    def damage(self, address: int) -> None:
        """Make the ECC of the double word at ``address`` fail."""
        self._c.host_damage(address)

    def stick(self, address: int) -> None:
        """Make the double word at ``address`` lose a bit whenever it is programmed."""
        self._c.host_stick(address)

    def lose_a_byte(self) -> None:
        self._c.host_feed_damage()

    def send(self, data: bytes) -> bytes:
        """Feed raw bytes; whatever comes back."""
        buffer = ctypes.create_string_buffer(REPLY_MAX)
        size = self._c.host_feed(data, len(data), buffer)
        return buffer.raw[:size]

    def ask(self, command: str) -> tuple[dict[str, str], str]:
        """Send a command; its data lines and its last line."""
        return parse(self.send(command.encode() + b"\r\n"))


def parse(reply: bytes) -> tuple[dict[str, str], str]:
    """Split a reply into data lines and last line; anything else is a failure."""
    *data, last, rest = reply.decode("ascii").split("\r\n")
    assert rest == ""
    assert last == "OK" or last.startswith("ERR ")
    assert all(re.fullmatch(r"[a-z_]+=[ -~]*", line) for line in data)
    assert last == "OK" or not data, "a refused command has no data lines"
    return dict(line.split("=", 1) for line in data), last


@pytest.fixture(scope="session")
def firmware_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("firmware") / "endnode_host.so"
    paths = [*(FIRMWARE / "endnode-wle5/src" / name for name in PORTABLE), PROJECT / "tests_virtual/endnode_host.c"]
    sources = [str(path) for path in paths]
    options = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    folders = [f"-I{FIRMWARE / folder}" for folder in ("include", "endnode-wle5/hal", "endnode-wle5/src")]
    for compiler in compilers():
        subprocess.run([*compiler, *options, *folders, *sources, "-o", str(library)], check=True)
        return library
    pytest.skip("no C compiler: install the dev extra (ziglang) or gcc")


@pytest.fixture
def dut(firmware_library: Path) -> Firmware:
    firmware = Firmware(firmware_library)
    firmware.reset()
    return firmware


@pytest.fixture(scope="session")
def shared_dut(firmware_library: Path) -> Firmware:
    """For hypothesis, whose examples reset it themselves."""
    return Firmware(firmware_library)


def make_block(nwk_key: bytes | None = None, serial: str = "SN-000123", region: int | None = 5) -> bytes:
    return identity_block.encode(
        Identity(
            serial=serial,
            dev_eui=Eui64.parse("70B3D5499A1B2C3D"),
            join_eui=Eui64.parse("0102030405060708"),
            app_key=Secret(APP_KEY),
            nwk_key=None if nwk_key is None else Secret(nwk_key),
            generation=3,
            region=region,
            lot="demo",
        )
    )


def nvm(dut: Firmware) -> endnode.NvmReading:
    return endnode.decode(dut.peek(NVM, 2 * PAGE))


# ---- the line ----


def test_version_names_product_and_mcu(dut: Firmware) -> None:
    """The station can tell what it talks to."""
    assert dut.ask("VER?") == ({"product": "endnode-wle5", "version": "1.0.0", "mcu": "stm32wle5jc"}, "OK")


def test_unique_id_is_in_memory_order(dut: Firmware) -> None:
    assert dut.ask("UID?") == ({"uid": "A0A1A2A3A4A5A6A7A8A9AAAB"}, "OK")


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_every_line_end_gives_one_reply(dut: Firmware, end: bytes) -> None:
    """CR, LF and CR LF all end a line, and none of them asks twice."""
    assert dut.send(b"VER?" + end).count(b"OK\r\n") == 1
    assert dut.send(b"vEr?" + end + b"uid?" + end).count(b"OK\r\n") == 2


def test_empty_lines_have_no_reply(dut: Firmware) -> None:
    assert dut.send(b"\r\n\r\r\n\n") == b""


def test_unknown_command_lists_the_known_ones(dut: Firmware) -> None:
    expected = "ERR unknown command; known: VER? ID? UID? NVM? NONCE+ TEST"
    for command in ("HELP", "VER", "VER?x", "VER? ", "NONCE", "TEST", "TEST "):
        assert dut.ask(command) == ({}, expected)


def test_unknown_test_lists_the_known_ones(dut: Firmware) -> None:
    """The name comes back without control characters, which could forge a reply line."""
    assert dut.ask("TEST radio") == ({}, "ERR unknown test 'radio'; known: ram flash aes id")
    assert dut.ask("TEST ram2") == ({}, "ERR unknown test 'ram2'; known: ram flash aes id")
    assert dut.ask("TEST \x1b[2J\x07") == ({}, "ERR unknown test '?[2J?'; known: ram flash aes id")


def test_line_of_64_characters_is_read_and_65_are_refused(dut: Firmware) -> None:
    """Nothing of an over-long line is run, and the next line is read normally."""
    assert dut.ask("TEST " + "x" * 59)[1].startswith("ERR unknown test")
    assert dut.ask("TEST " + "x" * 60) == ({}, "ERR line too long")
    assert dut.ask("NONCE+" + " " * 5000) == ({}, "ERR line too long")
    assert dut.operations == 0
    assert dut.ask("VER?")[1] == "OK"


def test_line_with_lost_bytes_is_not_run(dut: Firmware) -> None:
    """A byte lost on the line must not turn one command into another."""
    dut.send(b"NONC")
    dut.lose_a_byte()
    assert parse(dut.send(b"E+\n")) == ({}, "ERR line damaged: bytes were lost or arrived broken")
    assert dut.operations == 0
    assert dut.ask("NONCE+") == ({"dev_nonce": "1"}, "OK")


def test_noise_before_an_empty_line_is_forgotten(dut: Firmware) -> None:
    """A station clears the line with a bare CR after power-up."""
    dut.lose_a_byte()
    assert dut.send(b"\r") == b""
    assert dut.ask("VER?")[1] == "OK"


@given(noise=st.binary(max_size=300))
def test_no_bytes_upset_the_shell(shared_dut: Firmware, noise: bytes) -> None:
    """Whatever arrives, replies are well formed and the next command is answered."""
    shared_dut.reset()
    reply = shared_dut.send(noise + b"\n")
    for line in reply.split(b"\r\n"):
        assert re.fullmatch(rb"[ -~]*", line)
    assert shared_dut.ask("VER?")[1] == "OK"


# ---- identity ----


def test_identity_is_told_without_keys(dut: Firmware) -> None:
    """Every public field, and a check value instead of the key."""
    dut.poke(IDENTITY, make_block())
    assert dut.ask("ID?") == (
        {
            "dev_eui": "70B3D5499A1B2C3D",
            "join_eui": "0102030405060708",
            "serial": "SN-000123",
            "region": "5",
            "generation": "3",
            "lot_crc": f"{zlib.crc32(b'demo'):08X}",
            "lorawan": "1.0",
            "kcv_app": Secret(APP_KEY).kcv(),
            "kcv_nwk": "-",
        },
        "OK",
    )


def test_lorawan_1_1_has_two_check_values(dut: Firmware) -> None:
    dut.poke(IDENTITY, make_block(NWK_KEY, serial="SIXTEEN-LETTERS!", region=None))
    data, last = dut.ask("ID?")
    assert last == "OK"
    assert (data["lorawan"], data["serial"], data["region"]) == ("1.1", "SIXTEEN-LETTERS!", "255")
    assert (data["kcv_app"], data["kcv_nwk"]) == (Secret(APP_KEY).kcv(), Secret(NWK_KEY).kcv())


@given(key=st.binary(min_size=16, max_size=16).filter(any))
def test_check_value_is_the_one_that_lorafab_computes(shared_dut: Firmware, key: bytes) -> None:
    """AES and CMAC of the firmware agree with the cryptography library for every key."""
    shared_dut.reset()
    body = bytearray(make_block())
    body[24:40] = key
    body[92:] = zlib.crc32(body[:92]).to_bytes(4, "little")
    shared_dut.poke(IDENTITY, bytes(body))
    assert shared_dut.ask("ID?")[0]["kcv_app"] == Secret(key).kcv()


@pytest.mark.parametrize(("byte", "reason"), [(0xFF, "blank"), (0x00, "blank"), (0xA5, "bad magic")])
def test_page_without_block_says_why(dut: Firmware, byte: int, reason: str) -> None:
    dut.poke(IDENTITY, bytes([byte]) * 96)
    assert dut.ask("ID?") == ({}, f"ERR no identity: {reason}")
    assert dut.ask("TEST id") == ({}, f"ERR no identity: {reason}")


@given(bit=st.integers(0, 96 * 8 - 1), nwk=st.booleans())
def test_any_flipped_bit_is_found(shared_dut: Firmware, bit: int, nwk: bool) -> None:
    """No field of a damaged block is believed, and the refusal says what is wrong with it."""
    shared_dut.reset()
    block = bytearray(make_block(NWK_KEY if nwk else None))
    block[bit // 8] ^= 1 << bit % 8
    shared_dut.poke(IDENTITY, bytes(block))
    reason = "bad magic" if bit < 32 else "bad version" if bit < 40 else "bad length" if 48 <= bit < 64 else "bad crc"
    assert shared_dut.ask("ID?") == ({}, f"ERR no identity: {reason}")


@pytest.mark.parametrize("offset", range(0, 96, 8))
def test_torn_word_is_reported_and_survived(dut: Firmware, offset: int) -> None:
    """A power cut while the block was written leaves a word that the ECC refuses."""
    dut.poke(IDENTITY, make_block())
    dut.damage(IDENTITY + offset)
    assert dut.ask("ID?") == ({}, "ERR no identity: torn")
    assert dut.ask("VER?")[1] == "OK"


@given(
    block=st.one_of(st.binary(min_size=96, max_size=96), st.just(make_block(NWK_KEY))),
    lines=st.lists(st.sampled_from(["ID?", "TEST id", "TEST aes", "VER?", "NVM?"])),
)
def test_no_reply_holds_key_bytes(shared_dut: Firmware, block: bytes, lines: list[str]) -> None:
    """Neither as bytes nor as hex digits, valid block or not."""
    shared_dut.reset()
    shared_dut.poke(IDENTITY, block)
    reply = shared_dut.send("".join(line + "\n" for line in lines).encode())
    for key in (block[24:40], block[40:56]):
        for start in range(0, 16, 4):
            piece = key[start : start + 4]
            if len(set(piece)) > 1:
                assert piece not in reply
                assert piece.hex().upper().encode() not in reply


# ---- self-tests ----


def test_self_tests_pass_on_a_good_board(dut: Firmware) -> None:
    dut.poke(IDENTITY, make_block())
    assert dut.ask("TEST RAM") == ({"ram_tested": "1024"}, "OK")
    assert dut.ask("Test Aes") == ({}, "OK")
    assert dut.ask("TEST id") == ({}, "OK")


def test_flash_test_gives_the_crc_of_the_image(dut: Firmware) -> None:
    """The same CRC as zlib's, so that the station can compute it from the file that it wrote."""
    image = bytes(range(64))  # what endnode_host.c shows as code
    assert dut.ask("TEST flash") == ({"image_crc": f"{zlib.crc32(image):08X}", "image_size": "64"}, "OK")


# ---- counters ----


def test_erased_region_is_a_fresh_board(dut: Firmware) -> None:
    expected = {"dev_nonce": "0", "join_nonce": "0", "fcnt_up": "0", "fcnt_down": "4294967295", "records": "0"}
    assert dut.ask("NVM?") == (expected | {"state": "fresh"}, "OK")
    assert dut.operations == 0, "asking writes nothing"


def test_first_dev_nonce_is_1_and_is_stored_before_the_reply(dut: Firmware) -> None:
    assert dut.ask("NONCE+") == ({"dev_nonce": "1"}, "OK")
    reading = nvm(dut)
    assert (reading.valid_records, reading.torn_records, reading.bad_records) == (1, 0, 0)
    assert reading.counters == endnode.Counters(1, 0, 0, 0xFFFFFFFF, 1)
    assert dut.ask("NVM?")[0]["state"] == "ok"


def test_300_dev_nonces_cross_pages_and_keep_the_other_counters(dut: Firmware) -> None:
    """The log changes pages several times; nothing but DevNonce moves."""
    dut.poke(NVM, endnode.encode(endnode.Counters(41, 7, 123456, 99, 1000)))
    for nonce in range(42, 342):
        assert dut.ask("NONCE+") == ({"dev_nonce": str(nonce)}, "OK")
        dut.power_on()
    assert nvm(dut).counters == endnode.Counters(341, 7, 123456, 99, 1300)
    data = dut.ask("NVM?")[0]
    assert (data["join_nonce"], data["fcnt_up"], data["fcnt_down"]) == ("7", "123456", "99")
    assert RECORDS_PER_PAGE < int(data["records"]) <= 2 * RECORDS_PER_PAGE, "a full page is kept beside the new one"


def test_dev_nonce_never_wraps(dut: Firmware) -> None:
    dut.poke(NVM, endnode.encode(endnode.Counters(65534, 0, 0, 0xFFFFFFFF, 9)))
    assert dut.ask("NONCE+") == ({"dev_nonce": "65535"}, "OK")
    for _ in range(3):
        assert dut.ask("NONCE+") == ({}, "ERR nonce exhausted")
    assert dut.ask("NVM?")[0]["dev_nonce"] == "65535"


def test_newest_record_wins_wherever_it_lies(dut: Firmware) -> None:
    """The order of the pages does not matter, the sequence does."""
    dut.poke(NVM, endnode.encode(endnode.Counters(5, 0, 0, 0, 70)))
    dut.poke(NVM + PAGE, endnode.encode(endnode.Counters(6, 0, 0, 0, 71)))
    assert dut.ask("NONCE+") == ({"dev_nonce": "7"}, "OK")
    assert nvm(dut).counters == endnode.Counters(7, 0, 0, 0, 72)
    assert dut.peek(NVM + PAGE + 32, 4) == b"LFNV", "it went behind the newest one"


@pytest.mark.parametrize("damage", ["crc", "ecc"])
def test_unreadable_newest_record_is_skipped(dut: Firmware, damage: str) -> None:
    for _ in range(3):
        dut.ask("NONCE+")
    if damage == "ecc":
        dut.damage(NVM + 64)
    else:
        dut.poke(NVM + 64 + 28, b"\0\0\0\0")
    data = dut.ask("NVM?")[0]
    assert (data["dev_nonce"], data["records"], data["state"]) == ("2", "2", "recovered")
    assert dut.ask("NONCE+")[0] == {"dev_nonce": "3"}
    assert dut.peek(NVM + 96, 4) == b"LFNV", "the damaged slot is not written again"


def test_region_that_lost_its_counters_is_not_taken_for_a_fresh_one(dut: Firmware) -> None:
    """Starting again at 1 would repeat DevNonces, so the board refuses to go on."""
    dut.poke(NVM, bytes(4096))
    assert dut.ask("NVM?")[0]["state"] == "lost"
    assert dut.ask("NONCE+") == ({}, "ERR counters lost: the NVM region holds no readable record")
    assert dut.operations == 0


def test_stuck_cell_costs_a_slot_and_not_a_counter(dut: Firmware) -> None:
    """The record is read back; one that did not hold is written again further on."""
    dut.stick(NVM + 8)
    assert dut.ask("NONCE+") == ({"dev_nonce": "1"}, "OK")
    assert dut.ask("NVM?")[0] | {"state": "recovered", "dev_nonce": "1"} == dut.ask("NVM?")[0]


def test_flash_that_takes_nothing_is_said_so(dut: Firmware) -> None:
    """No DevNonce is given out that is not stored."""
    dut.cut_at(1, CUT_BEFORE)
    assert dut.ask("NONCE+") == ({}, "ERR nonce not stored: the NVM region takes no more writes")


def fill_log(dut: Firmware, records: int) -> None:
    """Put a history of ``records`` records into flash, as 32-byte writes of an earlier life; newest DevNonce 500."""
    for i in range(records):
        record = endnode.encode(endnode.Counters(500 - records + 1 + i, 3, 4, 5, 1 + i))
        dut.poke(NVM + (i % (2 * RECORDS_PER_PAGE)) * 32, record)


def test_power_cut_at_every_operation_of_a_page_change_loses_nothing(dut: Firmware) -> None:
    """Erase and each of the four double words, each cut in four ways: the acknowledged DevNonce survives."""
    for records in (63, 64, 127, 128):
        for operation in range(1, 7):
            for outcome in range(4):
                dut.reset()
                fill_log(dut, records)
                dut.cut_at(operation, outcome)
                acknowledged = give_nonce(dut) or 500
                dut.power_on()
                assert int(dut.ask("NVM?")[0]["dev_nonce"]) >= acknowledged
                following = give_nonce(dut)
                assert following is not None
                assert following > acknowledged


@pytest.mark.parametrize("outcome", [CUT_BEFORE, CUT_TORN, CUT_AFTER, CUT_LOOKS_ERASED])
@pytest.mark.parametrize("operation", [1, 2, 3, 4])
def test_power_cut_in_the_very_first_record_is_no_loss(dut: Firmware, operation: int, outcome: int) -> None:
    """Nothing was in use yet, so a torn first record does not stop the board."""
    dut.cut_at(operation, outcome)
    assert give_nonce(dut) is None
    dut.power_on()
    assert dut.ask("NVM?")[0]["state"] in ("fresh", "ok", "recovered")
    assert give_nonce(dut) in (1, 2)


def give_nonce(dut: Firmware) -> int | None:
    """Ask for a DevNonce; None when no reply left the board, because the power went away first."""
    data, last = dut.ask("NONCE+")
    if not dut.powered:
        return None
    assert last == "OK"
    return int(data["dev_nonce"])


@settings(max_examples=200, deadline=None)
@given(
    start=st.integers(0, 140),
    cuts=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3), st.integers(1, 70)), max_size=8),
)
def test_dev_nonce_never_repeats_whatever_power_does(
    shared_dut: Firmware, start: int, cuts: list[tuple[int, int, int]]
) -> None:
    """Any number of cuts in any flash operation: every DevNonce given out is higher than all before it."""
    dut = shared_dut
    dut.reset()
    highest = 0
    if start:
        fill_log(dut, min(start, 2 * RECORDS_PER_PAGE))
        highest = 500
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


@given(region=st.lists(st.one_of(st.binary(min_size=32, max_size=32), st.just(b"\xff" * 32)), max_size=128))
def test_firmware_and_station_read_the_same_log(shared_dut: Firmware, region: list[bytes]) -> None:
    """The C reader and lorafab's decoder agree on junk, too."""
    dut = shared_dut
    dut.reset()
    for slot, data in enumerate(region):
        dut.poke(NVM + 32 * slot, data)
    reading = nvm(dut)
    reply = dut.ask("NVM?")[0]
    assert int(reply["records"]) == reading.valid_records
    assert (reply["state"] == "fresh") == reading.fresh


@given(
    records=st.lists(
        st.tuples(st.integers(0, 127), st.integers(0, 65535), st.integers(0, 2**32 - 1)),
        min_size=1,
        max_size=20,
        unique_by=(lambda r: r[0], lambda r: r[2]),
    )
)
def test_newest_of_any_records_is_found(shared_dut: Firmware, records: list[tuple[int, int, int]]) -> None:
    """Records in any slots, in any order: the highest sequence counts, as lorafab's decoder says."""
    dut = shared_dut
    dut.reset()
    for slot, nonce, sequence in records:
        dut.poke(NVM + 32 * slot, endnode.encode(endnode.Counters(nonce, 1, 2, 3, sequence)))
    reading = nvm(dut)
    assert reading.counters is not None
    assert int(dut.ask("NVM?")[0]["dev_nonce"]) == reading.counters.dev_nonce


# ---- headers for device makers ----


@pytest.mark.parametrize(("driver", "standard"), [("cc", "c11"), ("c++", "c++11")])
@pytest.mark.parametrize("header", ["lorafab_crc32.h", "lorafab_identity.h", "lorafab_nvm.h", "lorafab_image.h"])
def test_header_is_valid_alone(tmp_path: Path, header: str, driver: str, standard: str) -> None:
    """Device makers include any of them first, in C and in C++, without a warning."""
    pytest.importorskip("ziglang", reason="no cross compiler: install the dev extra")
    source = tmp_path / f"user.{driver}"
    source.write_text(f'#include "{header}"\n#include "{header}"\n')
    options = ["-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4", "-ffreestanding", f"-std={standard}"]
    warnings = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", f"-I{FIRMWARE / 'include'}"]
    language = ["-x", "c" if driver == "cc" else "c++"]
    command = [sys.executable, "-m", "ziglang", driver, *options, *warnings, *language, "-c", str(source)]
    subprocess.run([*command, "-o", str(tmp_path / "user.o")], check=True)


def test_note_lies_where_the_header_says() -> None:
    """lorafab reads product and MCU of the committed image before it writes it."""
    intelhex: Any = importlib.import_module("intelhex")  # shipped without type information
    image = intelhex.IntelHex(str(FIRMWARE / "endnode-wle5/endnode-wle5.hex"))
    note = image.gets(0x08000200, 52)
    magic, version, product, mcu = struct.unpack("<4s16s16s16s", note)
    assert magic == b"LFFW"
    assert [field.rstrip(b"\0") for field in (version, product, mcu)] == [b"1.0.0", b"endnode-wle5", b"stm32wle5jc"]
    assert image.maxaddr() < 0x0803E000, "nothing lies above the code region"
    assert image.maxaddr() - 0x08000000 < 16 * 1024
