"""lorafab/virtual/stm32/crc.py against Python's CRCs."""

import binascii
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests_virtual.stm32.bench import Bench

DR, IDR, CR, INIT, POL = 0x00, 0x04, 0x08, 0x10, 0x14
REV_BYTES, REV_WORDS, REV_OUT, POLY16 = 1 << 5, 3 << 5, 1 << 7, 1 << 3


@pytest.fixture(autouse=True)
def _clocked(bench: Bench) -> None:
    bench.enable("crc")


def test_known_value(bench: Bench) -> None:
    """0x12345678 from reset values (as application notes print it)."""
    bench.write("crc", DR, 0x1234_5678)
    assert bench.read("crc", DR) == 0xDF8A_8A2B


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.binary(max_size=40))
def test_crc32_of_ethernet(bench: Bench, data: bytes) -> None:
    """Input and output reversed, final complement: zlib's CRC-32."""
    bench.write("crc", CR, REV_BYTES | REV_OUT | 1)
    for byte in data:
        bench.write("crc", DR, byte, 1)
    assert bench.read("crc", DR) ^ 0xFFFF_FFFF == zlib.crc32(data)


def test_words_reversed_as_a_whole(bench: Bench) -> None:
    """The same four bytes as one little-endian word."""
    bench.write("crc", CR, REV_WORDS | REV_OUT | 1)
    bench.write("crc", DR, int.from_bytes(b"abcd", "little"))
    assert bench.read("crc", DR) ^ 0xFFFF_FFFF == zlib.crc32(b"abcd")


def test_sixteen_bits(bench: Bench) -> None:
    """Polynomial 0x1021 from 0: XMODEM."""
    bench.write("crc", POL, 0x1021)
    bench.write("crc", INIT, 0)
    bench.write("crc", CR, POLY16 | 1)
    for byte in b"123456789":
        bench.write("crc", DR, byte, 1)
    assert bench.read("crc", DR) == binascii.crc_hqx(b"123456789", 0) == 0x31C3


def test_reset_bit_begins_anew_and_idr_stays(bench: Bench) -> None:
    """CR.RESET loads INIT and reads 0."""
    bench.write("crc", IDR, 0x55)
    bench.write("crc", DR, 1)
    bench.write("crc", CR, 1)
    assert bench.read("crc", DR) == 0xFFFF_FFFF
    assert bench.read("crc", CR) == 0
    assert bench.read("crc", IDR) == 0x55
