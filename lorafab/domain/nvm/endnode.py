"""NVM region of the reference firmware: an append-only log in two or more pages.

Records of 32 bytes, little-endian (the same as ``firmware/include/lorafab_nvm.h``)::

     0 magic "LFNV"          16 FCntUp u32
     4 sequence u32          20 FCntDown u32
     8 DevNonce u16 (last)   24 reserved u32 = 0
    10 reserved u16 = 0      28 zlib.crc32 of bytes 0..27
    12 JoinNonce u32

The newest valid record by sequence counts; erased slots are skipped, and so are torn ones: a power cut loses at
most the record that was being written. When a page is full the next one is erased, so the newest survives.
"""

import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass

RECORD_SIZE = 32
WORD_SIZE = 8  # the flash of the STM32WL programs double words
ERASED = 0xFF
CRC_SIZE = 4
MAGIC = b"LFNV"
_LAYOUT = struct.Struct("<4sIHHIIIII")


@dataclass(frozen=True)
class Counters:
    """What the LoRaWAN stack must never repeat."""

    dev_nonce: int
    """Last used, 0..65535; 0 on a fresh board."""
    join_nonce: int
    fcnt_up: int
    fcnt_down: int
    """Last received, 0xFFFFFFFF before the first."""
    sequence: int


FRESH = Counters(dev_nonce=0, join_nonce=0, fcnt_up=0, fcnt_down=0xFFFFFFFF, sequence=0)


@dataclass(frozen=True)
class NvmReading:
    """The region decoded."""

    counters: Counters | None
    """None when complete records are there and none can be read: the DevNonce is then unknown."""
    valid_records: int
    torn_records: int
    """Writes that did not come to their end: never acknowledged, so nothing is lost with them."""
    bad_records: int
    """Complete, but no record."""

    @property
    def fresh(self) -> bool:
        """Whether the region was never written."""
        return not (self.valid_records or self.torn_records or self.bad_records)


def decode(
    region: bytes, torn_words: Collection[int] = (), *, word_size: int = WORD_SIZE, erased: int = ERASED
) -> NvmReading:
    """Read the whole region (a multiple of 32 bytes).

    ``torn_words`` are the offsets of words that the bus refused to read (ECC); ``word_size`` (4 or 8 bytes) and
    ``erased`` (the value of an erased byte) are those of the memory. The rules are those of the firmware
    (``firmware/endnode-wle5/src/nvm.c``): a record is torn when its last word is erased or unreadable. A memory that
    is programmed by 4 bytes (STM32L0, nRF52) does not tell of a word that was only partly programmed: there a record
    is torn, too, when its CRC, the last word, has changed some of the bits that it was to change, and no others.
    """
    newest: Counters | None = None
    valid = torn = bad = 0
    for offset in range(0, len(region) - RECORD_SIZE + 1, RECORD_SIZE):
        slot = region[offset : offset + RECORD_SIZE]
        damaged = [word for word in range(offset, offset + RECORD_SIZE, word_size) if word in torn_words]
        if not damaged and slot == bytes([erased]) * RECORD_SIZE:
            continue
        counters = None if damaged else _decode_record(slot)
        if counters is not None:
            valid += 1
            if newest is None or counters.sequence > newest.sequence:
                newest = counters
        elif offset + RECORD_SIZE - word_size in damaged or _unfinished(slot, word_size, erased):
            torn += 1
        else:
            bad += 1
    if valid == bad == 0:
        newest = FRESH
    return NvmReading(newest, valid, torn, bad)


def _unfinished(slot: bytes, word_size: int, erased: int) -> bool:
    """Whether the last word of a slot that is no record was not, or only partly, programmed."""
    if slot[-word_size:] == bytes([erased]) * word_size:
        return True
    if word_size > CRC_SIZE or slot[:4] != MAGIC:
        return False
    blank = int.from_bytes(bytes([erased]) * CRC_SIZE, "little")
    changed = int.from_bytes(slot[-CRC_SIZE:], "little") ^ blank
    wanted = zlib.crc32(slot[:-CRC_SIZE]) ^ blank
    return not changed & ~wanted


def _decode_record(slot: bytes) -> Counters | None:
    magic, sequence, dev_nonce, reserved, join_nonce, fcnt_up, fcnt_down, spare, crc = _LAYOUT.unpack(slot)
    if magic != MAGIC or crc != zlib.crc32(slot[:-4]) or reserved or spare:
        return None
    return Counters(dev_nonce, join_nonce, fcnt_up, fcnt_down, sequence)


def encode(counters: Counters) -> bytes:
    """Build one record, as the firmware would; for tests and repair tools."""
    body = _LAYOUT.pack(
        MAGIC,
        counters.sequence,
        counters.dev_nonce,
        0,
        counters.join_nonce,
        counters.fcnt_up,
        counters.fcnt_down,
        0,
        0,
    )[:-4]
    return body + zlib.crc32(body).to_bytes(4, "little")
