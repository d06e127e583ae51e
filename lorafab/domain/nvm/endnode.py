"""NVM region of the reference firmware: an append-only log in two pages.

Records of 32 bytes, little-endian (the same as ``firmware/include/lorafab_nvm.h``)::

     0 magic "LFNV"          16 FCntUp u32
     4 sequence u32          20 FCntDown u32
     8 DevNonce u16 (last)   24 reserved u32 = 0
    10 reserved u16 = 0      28 zlib.crc32 of bytes 0..27
    12 JoinNonce u32

The newest valid record by sequence counts; erased slots are skipped, and so are torn ones: a power cut loses at
most the record that was being written. When a page is full the other one is erased, so the newest survives.
"""

import struct
import zlib
from dataclasses import dataclass

RECORD_SIZE = 32
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
    """The region decoded: ``counters`` is None only when nothing valid is left although something was written."""

    counters: Counters | None
    valid_records: int
    damaged_records: int

    @property
    def fresh(self) -> bool:
        """Whether the region was never written."""
        return self.valid_records == 0 and self.damaged_records == 0


def decode(region: bytes) -> NvmReading:
    """Read the whole region (a multiple of 32 bytes)."""
    newest: Counters | None = None
    valid = damaged = 0
    for offset in range(0, len(region) - RECORD_SIZE + 1, RECORD_SIZE):
        slot = region[offset : offset + RECORD_SIZE]
        if slot == b"\xff" * RECORD_SIZE:
            continue
        counters = _decode_record(slot)
        if counters is None:
            damaged += 1
            continue
        valid += 1
        if newest is None or counters.sequence > newest.sequence:
            newest = counters
    if valid == damaged == 0:
        newest = FRESH
    return NvmReading(newest, valid, damaged)


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
