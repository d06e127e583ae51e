"""lorafab.domain.secret: a key does not get out by accident."""

import copy
import inspect
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.secret import Secret, living_secrets

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")


def test_no_text_form_shows_the_key() -> None:
    """Printing, formatting and comparing in a failing test show stars."""
    secret = Secret(KEY)
    for text in (str(secret), repr(secret), f"{secret}", f"{secret!r:>20}", f"{[secret]}"):
        assert "***" in text
        assert not any(part in text.lower() for part in (KEY.hex()[:6], repr(KEY)[2:8]))


def test_a_secret_is_no_sequence_and_has_no_dictionary() -> None:
    """Slices, iteration, length, vars() and numbers give nothing; nor does what turns objects into JSON."""
    secret = Secret(KEY)
    attempts: tuple[Callable[[Any], object], ...] = (
        len, iter, bytes, bytearray, memoryview, int, vars, json.dumps,
        lambda one: one[0], lambda one: one[:4], lambda one: 0x2B in one, lambda one: one < one,
        lambda one: f"{one:>9}",
    )  # fmt: skip
    for attempt in attempts:
        with pytest.raises(TypeError):
            attempt(secret)


def test_a_secret_is_not_copied_or_pickled() -> None:
    """Nothing serialises it into a file, a process or a cache."""
    attempts: tuple[Callable[[Any], object], ...] = (
        pickle.dumps, copy.copy, copy.deepcopy, lambda one: one.__getstate__(),
        lambda one: asdict(_Holder(one)),
    )  # fmt: skip
    for attempt in attempts:
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            attempt(Secret(KEY))


@dataclass(frozen=True)
class _Holder:
    key: Secret


def shows_the_key(text: str) -> bool:
    """Any three bytes of it, as hex or as Python writes bytes."""
    pieces = [KEY[at : at + 3] for at in range(14)]
    return any(piece.hex() in text.lower() or repr(piece)[2:-1] in text for piece in pieces)


def test_no_attribute_holds_the_bytes() -> None:
    """What a debugger or an inspector lists is functions."""
    secret = Secret(KEY)
    assert not shows_the_key(repr(inspect.getmembers(secret)))
    assert shows_the_key(repr(secret.reveal())), "the search would find it"


def test_locals_of_a_traceback_and_log_records_show_stars(caplog: pytest.LogCaptureFixture) -> None:
    """Also inside the dataclasses that carry it."""
    holder = _Holder(Secret(KEY))
    try:
        raise ValueError(holder)
    except ValueError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        logging.getLogger("x").exception("%r", holder)
    assert "Secret(***)" in shown
    assert not shows_the_key(shown + caplog.text)


def test_a_failing_comparison_in_pytest_shows_stars(pytester: pytest.Pytester) -> None:
    """With everything that makes pytest talk."""
    pytester.makepyfile(
        f"""
        from lorafab.domain.secret import Secret
        KEY = Secret(bytes.fromhex("{KEY.hex()}"))
        def test_equal():
            assert KEY == Secret(bytes(16))
        def test_same():
            assert KEY.same_as(Secret(bytes(16)))
        def test_in():
            assert [KEY] == [Secret(bytes(16))]
        """
    )
    result = pytester.runpytest_inprocess(
        "-vv", "--tb=long", "-l", "-rA", "-p", "no:cacheprovider", "--disable-plugin-autoload"
    )
    result.assert_outcomes(failed=3)
    shown = "\n".join(line for line in result.outlines if "fromhex" not in line)
    assert "Secret(***)" in shown
    assert not shows_the_key(shown)


def test_living_keys_are_known_and_not_kept_alive() -> None:
    """The wall in front of the logs asks for them."""
    secret = Secret(KEY)
    assert any(one is secret for one in living_secrets())
    before = len(living_secrets())
    del secret
    assert len(living_secrets()) == before - 1


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


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_key_has_sixteen_bytes(size: int) -> None:
    """Any other length is refused, and the refusal does not repeat the bytes."""
    with pytest.raises(ValueError, match=f"a root key has 16 bytes, not {size}"):
        Secret(bytes(size))
