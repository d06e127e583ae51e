"""The checksum that tells two contents of a memory apart: a CRC of 32 bits that nobody's data carries.

Polynomial 0x741B8CD7 (P. Koopman, "32-Bit Cyclic Redundancy Codes for Internet Applications", DSN 2002), start and
final inversion 0xFFFFFFFF, bits of a byte lowest first, as zlib's CRC-32. Not zlib's polynomial: a structure that
ends with its own CRC-32, such as an identity block, has the same CRC-32 whatever it holds, and so has a page whose only
differences are such structures. With another polynomial two contents agree by chance only, once in 2**32.
"""

from functools import cache

_REVERSED = 0xEB31D82E


def checksum(data: bytes) -> int:
    """32 bits, as the chip computes it (``firmware/flash-algorithms/worker``)."""
    table, value = _table(), 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


@cache
def of_erased(value: int, size: int) -> int:
    """Of ``size`` bytes that are all ``value``."""
    return checksum(bytes([value]) * size)


@cache
def _table() -> tuple[int, ...]:
    entries = []
    for entry in range(256):
        for _ in range(8):
            entry = entry >> 1 ^ (_REVERSED if entry & 1 else 0)
        entries.append(entry)
    return tuple(entries)
