"""Identity block v1: the 96 bytes that tell the firmware who it is.

Layout (little-endian integers; the same as ``firmware/include/lorafab_identity.h``)::

     0 magic "LFID"                 40 NwkKey 16 (LoRaWAN 1.0.x: zero)
     4 version u8 = 1               56 serial 16 ASCII, NUL padded
     5 flags u8 (bit0 LoRaWAN 1.1)  72 region u8 (LoRaMac order, 0xFF none)
     6 length u16 = 96              73 key generation u8
     8 DevEUI 8 (MSB first)         74 reserved 6 = 0
    16 JoinEUI 8 (MSB first)        80 zlib.crc32 of the lot's name u32
    24 AppKey 16                    84 reserved 8 = 0
                                    92 zlib.crc32 of bytes 0..91
"""

import struct
import zlib
from dataclasses import dataclass
from enum import StrEnum

from lorafab.domain.identity import SERIAL_SIZE, Eui64, Identity
from lorafab.domain.secret import KEY_SIZE, Secret

BLOCK_SIZE = 96
MAGIC = b"LFID"
VERSION = 1
FLAG_LORAWAN_1_1 = 0x01
REGION_NONE = 0xFF
APP_KEY_OFFSET = 24

_LAYOUT = struct.Struct(f"<4sBBH8s8s{KEY_SIZE}s{KEY_SIZE}s{SERIAL_SIZE}sBB6xI8xI")


class BlockState(StrEnum):
    """What lies where an identity block belongs."""

    BLANK = "blank"
    VALID = "valid"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
    """The store cannot be asked for what it holds."""


@dataclass(frozen=True)
class IdentityBlock:
    """A block as read from a board; keys stay wrapped."""

    dev_eui: Eui64
    join_eui: Eui64
    app_key: Secret
    nwk_key: Secret | None
    serial: str
    region: int | None
    generation: int
    lot_crc: int


def encode(identity: Identity) -> bytes:
    """Build the 96 bytes. Raises ValueError for a serial, generation or region that does not fit."""
    serial = identity.serial.encode("ascii")
    if len(serial) > SERIAL_SIZE or b"\0" in serial:
        raise ValueError(f"a serial in the identity block has at most {SERIAL_SIZE} ASCII characters")
    if not 1 <= identity.generation <= 255:
        raise ValueError(f"key generation {identity.generation} is outside 1..255")
    body = _LAYOUT.pack(
        MAGIC,
        VERSION,
        FLAG_LORAWAN_1_1 if identity.nwk_key else 0,
        BLOCK_SIZE,
        identity.dev_eui.to_bytes(),
        identity.join_eui.to_bytes(),
        identity.app_key.reveal(),
        identity.nwk_key.reveal() if identity.nwk_key else bytes(KEY_SIZE),
        serial,
        REGION_NONE if identity.region is None else identity.region,
        identity.generation,
        lot_crc(identity.lot),
        0,
    )[:-4]
    return body + zlib.crc32(body).to_bytes(4, "little")


def lot_crc(lot: str) -> int:
    """The lot's name as the block carries it."""
    return zlib.crc32(lot.encode())


def state(data: bytes, erased: int = 0xFF) -> BlockState:
    """Tell blank, valid and damaged apart; ``erased`` is the memory's erased byte."""
    if data == bytes([erased]) * len(data):
        return BlockState.BLANK
    return BlockState.VALID if decode(data) is not None else BlockState.DAMAGED


def decode(data: bytes) -> IdentityBlock | None:
    """Read 96 bytes; None for everything that is not a whole, valid block of version 1."""
    if len(data) != BLOCK_SIZE:
        return None
    (magic, version, flags, length, dev, join, app, nwk, serial, region, generation, lot, crc) = _LAYOUT.unpack(data)
    if (magic, version, length) != (MAGIC, VERSION, BLOCK_SIZE) or crc != zlib.crc32(data[:-4]):
        return None
    text = serial.rstrip(b"\0")
    if not text.isascii() or b"\0" in text or flags & ~FLAG_LORAWAN_1_1 or any(data[74:80]) or any(data[84:92]):
        return None
    return IdentityBlock(
        dev_eui=Eui64.from_bytes(dev),
        join_eui=Eui64.from_bytes(join),
        app_key=Secret(app),
        nwk_key=Secret(nwk) if flags & FLAG_LORAWAN_1_1 else None,
        serial=text.decode("ascii"),
        region=None if region == REGION_NONE else region,
        generation=generation,
        lot_crc=lot,
    )
