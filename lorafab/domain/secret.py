"""A root key that cannot be printed, compared or sliced by accident.

pytest prints the two sides of a failing comparison, and a ``bytes`` subclass still leaks through its slices, so
the key is wrapped in an object without sequence protocol; everything that needs the bytes calls :meth:`reveal`,
and those places can be counted.
"""

import hmac
from collections.abc import Callable
from typing import NoReturn
from weakref import WeakSet

from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

KEY_SIZE = 16  # bytes: every LoRaWAN root key is an AES-128 key (TS001-1.0.4, 6.1.1.3)

# design contract "key check value": a first byte that is no LoRaWAN MHDR, so that it is never a join MIC.
_KCV_INPUT = b"\xff" + b"lorafab-kcv-v1"
KCV_SIZE = 8  # bytes: at 100 000 boards 4 bytes collide with 69 %, 8 bytes with 3e-10


class Secret:
    """A 16-byte AES-128 root key; its text form never shows it.

    The bytes lie in a closure and in no attribute: whatever lists attributes (debuggers, ``inspect.getmembers``) finds
    a function.
    """

    __slots__ = ("__open", "__weakref__")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"a root key has {KEY_SIZE} bytes, not {len(key)}")
        kept = bytes(key)
        self.__open: Callable[[], bytes] = lambda: kept
        _LIVING.add(self)

    def reveal(self) -> bytes:
        """Return the 16 bytes, for sealing, for the identity block and for nothing else."""
        return self.__open()

    def kcv(self) -> str:
        """Key check value: first 8 bytes of AES-CMAC(key, 0xFF || "lorafab-kcv-v1"), 16 upper-case hex digits."""
        mac = CMAC(AES(self.__open()))
        mac.update(_KCV_INPUT)
        return mac.finalize()[:KCV_SIZE].hex().upper()

    def same_as(self, other: "Secret") -> bool:
        """Compare in constant time, inside, so that no caller needs the bytes for it."""
        return hmac.compare_digest(self.__open(), other.__open())

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied")


_LIVING: WeakSet[Secret] = WeakSet()


def living_secrets() -> list[Secret]:
    """Every key that exists in this process, for the wall that looks for them in what is logged."""
    return list(_LIVING)
