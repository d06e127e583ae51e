"""lorafab.domain.weak: keys that are no secret are known by their check values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.secret import Secret
from lorafab.domain.weak import weak_key


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("2B7E151628AED2A6ABF7158809CF4F3C", "LoRaMac-node's default key"),
        ("AC1F09FFFE1302CEAC1F09FFF9153172", "the key of RUI3's example"),
    ],
)
def test_a_published_default_is_named(key: str, name: str) -> None:
    """By the name under which its finder can look it up."""
    assert weak_key(Secret(bytes.fromhex(key)).kcv()) == name


@pytest.mark.parametrize("byte", range(256))
def test_a_key_of_one_byte_is_blank_memory(byte: int) -> None:
    """Erased flash, zeros, and every other filling."""
    assert weak_key(Secret(bytes([byte]) * 16).kcv()) == f"a key of bytes {byte:02X} only"


@given(st.binary(min_size=16, max_size=16).filter(lambda key: len(set(key)) > 1))
def test_any_other_key_is_not_weak(key: bytes) -> None:
    """As far as anybody knows."""
    assert weak_key(Secret(key).kcv()) is None


@pytest.mark.parametrize("kcv", [None, "-", ""])
def test_no_key_is_no_weak_key(kcv: str | None) -> None:
    """What a store does not say is not judged here."""
    assert weak_key(kcv) is None
