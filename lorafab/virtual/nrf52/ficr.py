"""FICR: what the factory wrote into an nRF52840, made from the board's unique id.

Offsets: MDK ``nrf52840.h`` (NRF_FICR_Type) and ``nrf52840_bitfields.h`` (FICR_INFO_*); TEMP: the reset values of
``nrf52840.svd``. The words at 0x130 and 0x134, which the specification does not name, are what the MDK tells parts
and revisions by (``nrf52_erratas.h``): 8 is the nRF52840, 5 its revision with the hardened access port protection.
That revision 1 with build code C0 has 2 there is unverified. All other words read as erased.

The encryption and identity roots (ER, IR) and the radio's device address are derived from the unique id, so they are
as public as that: a virtual part keeps no secret.
"""

import hashlib
import struct

from lorafab.virtual.faults import ActiveFaults

FICR_BASE, FICR_SIZE = 0x1000_0000, 0x1000
_CODEPAGESIZE, _DEVICEID, _ER, _IR, _ADDRESS, _INFO, _REVISION, _TEMP = (
    0x010, 0x060, 0x080, 0x090, 0x0A4, 0x100, 0x130, 0x404,
)  # fmt: skip
_PART, _PACKAGE_QI, _RAM_KIB, _FLASH_KIB, _PAGE_KIB = 0x52840, 0x2004, 256, 1024, 4
_REVISIONS = {"C": 2, "D": 3, "F": 5}
_TEMP_WORDS = (
    0xFFFF_F320, 0xFFFF_F343, 0xFFFF_F35D, 0xFFFF_F400, 0xFFFF_F452, 0xFFFF_F37B,
    0xFFFF_3FCC, 0xFFFF_3F98, 0xFFFF_3F98, 0xFFFF_0012, 0xFFFF_004D, 0xFFFF_3E10,
    0xFFFF_FFE2, 0xFFFF_FF00, 0xFFFF_FF14, 0xFFFF_FF19, 0xFFFF_FF50,
)  # fmt: skip


def factory_data(uid: bytes, build_code: str, faults: ActiveFaults) -> bytes:
    """The 4 KiB of FICR: ``uid`` has 8 bytes, ``build_code`` is such as ``F0``.

    The faults ``idcode`` and ``flash_size`` change INFO.PART and what the part says of its flash.
    """
    roots = hashlib.sha512(b"lorafab virtual FICR" + uid).digest()
    kib = _FLASH_KIB if faults.flash_size is None else faults.flash_size
    part = _PART if faults.idcode is None else faults.idcode
    variant = int.from_bytes(b"AA" + build_code.encode("ascii"), "big")
    image = bytearray(b"\xff" * FICR_SIZE)
    for offset, words in (
        (_CODEPAGESIZE, struct.pack("<II", _PAGE_KIB * 1024, kib // _PAGE_KIB)),
        (_DEVICEID, uid),
        (_ER, roots[:16]),
        (_IR, roots[16:32]),
        (_ADDRESS, roots[32:38]),
        (_INFO, struct.pack("<IIIII", part, variant, _PACKAGE_QI, _RAM_KIB, kib)),
        (_REVISION, struct.pack("<II", 8, _REVISIONS.get(build_code[:1], 5))),
        (_TEMP, struct.pack(f"<{len(_TEMP_WORDS)}I", *_TEMP_WORDS)),
    ):
        image[offset : offset + len(words)] = words
    return bytes(image)
