"""lorafab.domain.key_search: a key is found in every order and as text, and chance is not taken for one."""

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain import identity_block
from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.key_search import find_block, find_check_value, find_key
from lorafab.domain.secret import Secret

# No zero in them, which is what the pads are made of: a pad must not be taken for more of the key.
KEYS = st.lists(st.integers(1, 255), min_size=16, max_size=16).map(bytes).filter(lambda key: len(set(key)) >= 12)
PADS = st.binary(max_size=40).map(lambda pad: bytes(len(pad)))


def swapped(size: int) -> Callable[[bytes], bytes]:
    return lambda key: b"".join(key[at : at + size][::-1] for at in range(0, 16, size))


ORDERS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda key: key,
    "backwards": lambda key: key[::-1],
    "half-words": swapped(2),
    "words": swapped(4),
    "double words": swapped(8),
    "words in reverse order": lambda key: swapped(4)(key)[::-1],
}
TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "hex": lambda key: key.hex().encode(),
    "HEX": lambda key: key.hex().upper().encode(),
    "with colons": lambda key: key.hex(":").encode(),
    "HEX with dashes": lambda key: key.hex("-").upper().encode(),
    "with blanks, backwards": lambda key: key[::-1].hex(" ").encode(),
    "base64": base64.b64encode,
    "base64 behind something": lambda key: base64.b64encode(b"k=" + key),
}


@pytest.mark.parametrize("shape", [*ORDERS.values(), *TEXTS.values()], ids=[*ORDERS, *TEXTS])
@given(key=KEYS, before=PADS, after=PADS)
def test_a_key_is_found_in_every_shape(
    shape: Callable[[bytes], bytes], key: bytes, before: bytes, after: bytes
) -> None:
    """Wherever it lies; the offset is in it."""
    kept = shape(key)
    found = find_key(Secret(key), before + kept + after)
    assert found is not None
    assert len(before) <= found < len(before) + len(kept)


@given(key=KEYS, start=st.integers(0, 8), before=PADS)
def test_eight_bytes_in_a_row_are_enough(key: bytes, start: int, before: bytes) -> None:
    """A copy that was half overwritten is a leak, too."""
    assert find_key(Secret(key), before + key[start : start + 8]) == len(before)


FOREIGN = st.lists(st.integers(128, 255), max_size=60).map(bytes)


@given(key=st.permutations(range(1, 17)).map(bytes), before=FOREIGN, start=st.integers(0, 9), after=FOREIGN)
def test_other_data_are_no_key(key: bytes, before: bytes, start: int, after: bytes) -> None:
    """Seven bytes of the key in a row are not, either: chance would find too many."""
    assert find_key(Secret(key), before + key[start : start + 7] + after) is None


@pytest.mark.parametrize("shape", ORDERS.values(), ids=ORDERS)
@given(key=KEYS, words=st.integers(0, 5), after=PADS)
def test_a_check_value_finds_the_key_that_nobody_knows(
    shape: Callable[[bytes], bytes], key: bytes, words: int, after: bytes
) -> None:
    """In every order, at the beginning of a word."""
    data = bytes(4 * words) + shape(key) + after
    assert find_check_value([Secret(key).kcv(), "0" * 16], data) == 4 * words
    assert find_check_value([Secret(bytes(range(16))).kcv()], data) is None


@given(key=KEYS, before=PADS)
def test_a_check_value_finds_a_key_between_words(key: bytes, before: bytes) -> None:
    """As it is and backwards, from every byte on."""
    kcvs = [Secret(key).kcv()]
    assert find_check_value(kcvs, before + key) == find_check_value(kcvs, before + key[::-1]) == len(before)


def test_blank_memory_holds_no_key() -> None:
    """However its check value is: pads are not tried."""
    assert find_check_value([Secret(bytes(16)).kcv(), Secret(b"\xff" * 16).kcv()], bytes(64) + b"\xff" * 64) is None


@given(before=st.binary(max_size=40), key=KEYS)
def test_a_whole_identity_block_is_found(before: bytes, key: bytes) -> None:
    """Behind anything, half a block included."""
    block = identity_block.encode(
        Identity("LK1", Eui64(0x024C464200080001), Eui64(0x5EEF10000001), Secret(key), None, 1, 5, "demo")
    )
    assert find_block(before + block[:90] + block) == len(before) + 90
    assert find_block(before + block[:90]) is None
