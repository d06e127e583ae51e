"""lorafab.domain.identity: EUIs are 64 bits, most significant byte first, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.identity import REGIONS, VIRTUAL_CHIP_PREFIX, Eui64, is_virtual_chip


@given(st.integers(0, 2**64 - 1))
def test_text_and_bytes_come_back(value: int) -> None:
    """Every EUI survives its text (either case) and its bytes."""
    eui = Eui64(value)
    assert Eui64.parse(str(eui)) == Eui64.parse(str(eui).lower()) == Eui64.from_bytes(eui.to_bytes()) == eui
    assert len(str(eui)) == 16


def test_the_first_byte_is_the_most_significant() -> None:
    """As printed, so in memory."""
    assert Eui64.parse("0102030405060708").to_bytes() == bytes(range(1, 9))


@pytest.mark.parametrize(
    "text", ["", "0102030405060708\n", "010203040506070", "0x02030405060708", " 102030405060708", "0102030405060７08"]
)
def test_what_is_not_sixteen_hex_digits_is_no_eui(text: str) -> None:
    """int() would take most of these."""
    with pytest.raises(ValueError, match="16 hex digits"):
        Eui64.parse(text)


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_numbers_beyond_64_bits_are_refused(value: int) -> None:
    """Nothing is cut off silently."""
    with pytest.raises(ValueError, match="64 bits"):
        Eui64(value)


@pytest.mark.parametrize("size", [0, 7, 9])
def test_an_eui_has_eight_bytes(size: int) -> None:
    """Short reads are not padded."""
    with pytest.raises(ValueError, match=f"8 bytes, not {size}"):
        Eui64.from_bytes(bytes(size))


def test_zero_and_broadcast_are_reserved() -> None:
    """They name no device; their neighbours do."""
    assert [Eui64(value).is_reserved() for value in (0, 1, 2**64 - 2, 2**64 - 1)] == [True, False, False, True]


def test_virtual_chips_are_known_by_their_prefix() -> None:
    """The prefix is text in memory order, so that a real wafer's coordinates do not meet it."""
    assert bytes.fromhex(VIRTUAL_CHIP_PREFIX) == b"LFVB"
    assert is_virtual_chip(VIRTUAL_CHIP_PREFIX + "00" * 8)
    assert not is_virtual_chip("00" * 8 + VIRTUAL_CHIP_PREFIX)


def test_regions_have_loramac_numbers() -> None:
    """The firmware's stack reads the number as its enum."""
    assert (REGIONS["AS923"], REGIONS["EU868"], REGIONS["RU864"]) == (0, 5, 9)
