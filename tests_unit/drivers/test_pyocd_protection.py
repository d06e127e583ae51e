"""lorafab.drivers.pyocd_protection: every microcontroller has one, and nothing that is written can be level 2."""

from hypothesis import given
from hypothesis import strategies as st

from lorafab.drivers.pyocd_protection import (
    PROTECTIONS,
    RDP_LEVEL_0,
    RDP_LEVEL_1,
    RDP_LEVEL_2,
    option_word,
    rdp_level,
)
from lorafab.targets import MCUS

WORDS = st.integers(0, 0xFFFF_FFFF)


def test_every_microcontroller_is_known() -> None:
    """The line asks each chip whether it is locked."""
    assert PROTECTIONS.keys() == MCUS.keys()


@given(above=WORDS)
def test_the_byte_decides_the_level(above: int) -> None:
    """Whatever the other option bits are."""
    above &= ~0xFF
    assert [rdp_level(above | byte) for byte in (RDP_LEVEL_0, RDP_LEVEL_1, RDP_LEVEL_2)] == [0, 1, 2]


@given(byte=st.integers(0, 255))
def test_all_bytes_but_two_are_level_1(byte: int) -> None:
    """RM0453 3.5: 0xAA is level 0, 0xCC level 2."""
    assert rdp_level(byte) == {0xAA: 0, 0xCC: 2}.get(byte, 1)


@given(low=WORDS)
def test_an_option_word_of_the_l0_has_its_complement_above(low: int) -> None:
    """Both halves fit, or the chip would take its safest value."""
    word = option_word(low)
    assert word & 0xFFFF == low & 0xFFFF
    assert word >> 16 ^ word & 0xFFFF == 0xFFFF
