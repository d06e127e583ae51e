"""lorafab.domain.secret: a key does not get out by accident."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.secret import Secret

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")


def test_no_text_form_shows_the_key() -> None:
    """Printing, formatting and comparing in a failing test show stars."""
    secret = Secret(KEY)
    for text in (str(secret), repr(secret), f"{secret}", f"{secret!r:>20}", f"{[secret]}"):
        assert "***" in text
        assert not any(part in text.lower() for part in (KEY.hex()[:6], repr(KEY)[2:8]))


def test_a_secret_is_no_sequence_and_has_no_dictionary() -> None:
    """Slices, iteration, length and vars() give nothing."""
    secret = Secret(KEY)
    attempts: tuple[Callable[[Any], object], ...] = (len, iter, bytes, vars)
    for attempt in attempts:
        with pytest.raises(TypeError):
            attempt(secret)


def test_a_secret_is_not_copied_or_pickled() -> None:
    """Nothing serialises it into a file, a process or a cache."""
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            attempt(Secret(KEY))


@given(st.binary(min_size=16, max_size=16))
def test_the_check_value_is_the_contracts(key: bytes) -> None:
    """First 8 bytes of AES-CMAC(key, 0xFF || "lorafab-kcv-v1"), upper-case hex."""
    mac = CMAC(AES(key))
    mac.update(b"\xfflorafab-kcv-v1")
    assert Secret(key).kcv() == mac.finalize().hex().upper()[:16]
    assert Secret(key).reveal() == key


def test_equal_keys_are_found_without_showing_them() -> None:
    """same_as compares bytes, == compares objects."""
    assert Secret(KEY).same_as(Secret(KEY))
    assert not Secret(KEY).same_as(Secret(bytes(16)))
    assert Secret(KEY) != Secret(KEY)


@pytest.mark.parametrize(("key", "trivial"), [(bytes(16), True), (b"\xff" * 16, True), (KEY, False)])
def test_blank_memory_is_no_key(key: bytes, trivial: bool) -> None:
    """Sixteen equal bytes are what erased memory looks like."""
    assert Secret(key).is_trivial() is trivial


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_key_has_sixteen_bytes(size: int) -> None:
    """Any other length is refused, and the refusal does not repeat the bytes."""
    with pytest.raises(ValueError, match=f"a root key has 16 bytes, not {size}"):
        Secret(bytes(size))
