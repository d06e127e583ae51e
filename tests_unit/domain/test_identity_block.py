"""lorafab.domain.identity_block: 96 bytes that come back as they went, or not at all."""

import dataclasses
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.identity_block import BLOCK_SIZE, BlockState, decode, encode, lot_crc, state
from lorafab.domain.secret import Secret

euis = st.integers(0, 2**64 - 1).map(Eui64)
keys = st.binary(min_size=16, max_size=16)
identities = st.builds(
    Identity,
    serial=st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-", max_size=16),
    dev_eui=euis,
    join_eui=euis,
    app_key=keys.map(Secret),
    nwk_key=st.none() | keys.map(Secret),
    generation=st.integers(1, 255),
    region=st.none() | st.integers(0, 9),
    lot=st.text(max_size=32),
)
EXAMPLE = Identity(
    serial="LF00000001",
    dev_eui=Eui64(0x024C464200000001),
    join_eui=Eui64(0x00005EEF10000001),
    app_key=Secret(bytes(range(16))),
    nwk_key=None,
    generation=3,
    region=5,
    lot="demo",
)


def test_every_field_lies_where_the_contract_says() -> None:
    """Device makers read the block with their own code: offsets are for ever."""
    block = encode(EXAMPLE)
    assert len(block) == BLOCK_SIZE == 96
    assert block[0:8] == b"LFID\x01\x00\x60\x00"
    assert block[8:16].hex() == "024c464200000001"
    assert block[16:24].hex() == "00005eef10000001"
    assert block[24:40] == bytes(range(16))
    assert block[40:56] == bytes(16)
    assert block[56:72] == b"LF00000001".ljust(16, b"\0")
    assert block[72:80] == b"\x05\x03" + bytes(6)
    assert block[80:84] == zlib.crc32(b"demo").to_bytes(4, "little")
    assert block[84:92] == bytes(8)
    assert block[92:96] == zlib.crc32(block[:92]).to_bytes(4, "little")


@given(identities)
def test_what_is_written_is_read(identity: Identity) -> None:
    """Every identity survives its block, keys included."""
    read = decode(encode(identity))
    assert read is not None
    assert read.app_key.same_as(identity.app_key)
    assert (read.nwk_key is None) == (identity.nwk_key is None)
    assert read.nwk_key is None or identity.nwk_key is None or read.nwk_key.same_as(identity.nwk_key)
    for name in ("dev_eui", "join_eui", "serial", "region", "generation"):
        assert getattr(read, name) == getattr(identity, name)
    assert read.lot_crc == lot_crc(identity.lot)


@given(identities, st.integers(0, BLOCK_SIZE * 8 - 1))
def test_any_flipped_bit_makes_the_block_damaged(identity: Identity, bit: int) -> None:
    """One wrong bit, wherever it is, is never read as an identity."""
    block = bytearray(encode(identity))
    block[bit // 8] ^= 1 << bit % 8
    assert decode(bytes(block)) is None
    assert state(bytes(block)) is BlockState.DAMAGED


@given(identities, st.integers(0, BLOCK_SIZE // 8 - 1))
def test_a_power_cut_while_writing_leaves_no_valid_block(identity: Identity, words: int) -> None:
    """The first words of a block, the rest still erased, are not an identity."""
    torn = encode(identity)[: words * 8].ljust(BLOCK_SIZE, b"\xff")
    assert state(torn) is (BlockState.DAMAGED if words else BlockState.BLANK)


@pytest.mark.parametrize(
    ("place", "value"), [(4, 2), (5, 2), (6, 95), (74, 1), (79, 1), (84, 1), (91, 1), (57, 0), (56, 0x80)]
)
def test_a_right_checksum_does_not_excuse_a_wrong_field(place: int, value: int) -> None:
    """Versions, flags and reserved bytes of the future, and serials with holes, are not guessed at."""
    body = bytearray(encode(EXAMPLE)[:-4])
    body[place] = value
    assert decode(bytes(body) + zlib.crc32(body).to_bytes(4, "little")) is None


def test_blank_is_told_from_damaged() -> None:
    """Erased is 0xFF on most parts and 0x00 on some; anything else that is no block is damage."""
    assert state(b"\xff" * 96) is BlockState.BLANK
    assert state(bytes(96), erased=0) is BlockState.BLANK
    assert state(bytes(96)) is BlockState.DAMAGED
    assert state(encode(EXAMPLE)) is BlockState.VALID
    assert decode(encode(EXAMPLE)[:-1]) is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"serial": "X" * 17}, "at most 16 ASCII characters"),
        ({"serial": "A\0B"}, "at most 16 ASCII characters"),
        ({"generation": 0}, "key generation 0 is outside 1..255"),
        ({"generation": 256}, "key generation 256 is outside 1..255"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], sentence: str) -> None:
    """Nothing is cut to size."""
    with pytest.raises(ValueError, match=sentence):
        encode(dataclasses.replace(EXAMPLE, **change))


def test_no_text_form_of_a_block_shows_a_key() -> None:
    """Decoded blocks and identities are printed by failing tests."""
    for value in (EXAMPLE, decode(encode(EXAMPLE))):
        assert "Secret(***)" in repr(value)
        assert bytes(range(1, 6)).hex() not in repr(value)
