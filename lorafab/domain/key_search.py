"""Is a root key, or an identity block, somewhere in memory that a stranger can read?

A key is looked for in every order in which processors and drivers keep one: as it is, with its bytes swapped within
half-words, words and double words, and all of these backwards (which is also the words in reverse order); and as text:
hexadecimal in either case, plain or with ``:``, ``-`` or a blank between the bytes, and base64. Eight bytes of it in a
row are enough. Where only its check value is known, whole keys are tried one by one. Not found: a key that is kept in
smaller pieces, mixed with other data, or enciphered.
"""

import base64
from collections.abc import Iterable, Iterator

from lorafab.domain.identity_block import BLOCK_SIZE, MAGIC, decode
from lorafab.domain.secret import KEY_SIZE, Secret

_PIECE = 8  # bytes: in 1 MiB of chance one of a key's 72 pieces is found once in 2e11 boards
_PIECE_BASE64 = 10  # characters that 8 bytes decide alone, wherever they lie
_SEPARATORS = ("", ":", "-", " ")
_DISTINCT = 8  # of the 16 bytes of a random key fewer than 8 differ once in 1e8: pads and counters are no keys


def find_key(key: Secret, data: bytes) -> int | None:
    """Offset of eight bytes of the key, in any shape, or None."""
    found = (data.find(piece) for piece in _pieces(key.reveal()))
    return min((at for at in found if at >= 0), default=None)


def find_check_value(kcvs: Iterable[str], data: bytes) -> int | None:
    """Offset of a whole key with one of these check values, or None.

    Backwards and as it is from every byte on; in the other orders from every fourth. Takes some seconds for 64 KiB.
    """
    wanted, tried = set(kcvs), set[bytes]()
    for offset in range(len(data) - KEY_SIZE + 1):
        window = data[offset : offset + KEY_SIZE]
        if window in tried or len(set(window)) < _DISTINCT:
            continue
        tried.add(window)
        orders = _orders(window) if offset % 4 == 0 else (window, window[::-1])
        if any(Secret(order).kcv() in wanted for order in orders):
            return offset
    return None


def find_block(data: bytes) -> int | None:
    """Offset of a whole identity block, whoever's, or None."""
    at = data.find(MAGIC)
    while at >= 0:
        if decode(data[at : at + BLOCK_SIZE]) is not None:
            return at
        at = data.find(MAGIC, at + 1)
    return None


def _orders(key: bytes) -> tuple[bytes, ...]:
    swapped = [b"".join(key[at : at + size][::-1] for at in range(0, KEY_SIZE, size)) for size in (1, 2, 4, 8)]
    return (*swapped, *(order[::-1] for order in swapped))


def _pieces(key: bytes) -> Iterator[bytes]:
    for order in _orders(key):
        yield from _windows(order, _PIECE)
    for order in (key, key[::-1]):
        for separator in _SEPARATORS:
            for piece in _windows(order, _PIECE):
                text = separator.join(f"{byte:02x}" for byte in piece)
                yield from (text.encode(), text.upper().encode())
    for shift in range(3):
        # What comes before the key decides how its characters fall.
        encoded = base64.b64encode(bytes(shift) + key).rstrip(b"=")
        yield from _windows(encoded[-(-shift * 8 // 6) : (shift + KEY_SIZE) * 8 // 6], _PIECE_BASE64)


def _windows(whole: bytes, size: int) -> Iterator[bytes]:
    yield from (whole[at : at + size] for at in range(len(whole) - size + 1))
