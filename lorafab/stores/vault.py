"""Root keys: drawn from the operating system, sealed to public keys, opened only by who owns a private half.

HPKE (RFC 9180), base mode, X25519 / HKDF-SHA256 / AES-128-GCM. ``info`` is ``lorafab/1/<slot>/<DevEUI>/<generation>``
(slot ``appkey`` or ``nwkkey``), so that a box does not open in another place. A box is the encapsulated key (32 bytes)
and the ciphertext (16 + 16 bytes): 64 bytes, kept as base64. This is the station's side, which has public halves only
and cannot open what it sealed; the other side is :mod:`lorafab.stores.keyring`.
"""

import base64
import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from lorafab.domain.identity import Eui64, KeySlot
from lorafab.domain.secret import KEY_SIZE, Secret
from lorafab.domain.weak import weak_key
from lorafab.errors import VaultError
from lorafab.interfaces import SealedBox, SealedKey
from lorafab.stores.atomic import disk_errors, require_space, to_json, write_file

SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
"""RFC 9180, 7.1: KEM 0x0020, KDF 0x0001, AEAD 0x0001."""
PublicKey = X25519PublicKey
"""A public half, loaded."""

_NEEDED = 1 << 20  # bytes free on the mirror's disk: the boxes of many boards, so that it is told before the last one
_DRAWS = 8  # a sound source gives a key to refuse once in 2^119 draws


def _draw() -> Secret:
    """Draw a root key: the only place where one comes from, and nothing from outside reaches it."""
    for _ in range(_DRAWS):
        key = Secret(secrets.token_bytes(KEY_SIZE))
        if weak_key(key.kcv()) is None:
            return key
    raise VaultError(
        "the operating system's randomness gives trivial or well-known keys; take this computer out of production"
    )


class Vault:
    """Implements :class:`lorafab.interfaces.Vault` with the public key in the PEM file ``public_key``.

    ``escrow`` is a second public key, whose private half lies offline: every key is sealed to both.
    ``mirror`` is a folder, best on a second disk, that gets a copy of every sealed box before the key is handed out.
    It must exist: a mirror that is created by itself is on the wrong disk when the right one is not mounted.
    Raises VaultError for a missing file or folder, for any other kind of key, and for a mirror that is nearly full.
    """

    def __init__(self, public_key: Path, mirror: Path | None = None, escrow: Path | None = None) -> None:
        self._public = tuple(load_public(path) for path in (public_key, escrow) if path is not None)
        if len({key_id(public) for public in self._public}) < len(self._public):
            raise VaultError(f"{escrow} is the same key as {public_key}; name the escrow's own public key")
        self._mirror = mirror
        if mirror is not None:
            if not mirror.is_dir():
                raise VaultError(
                    f"the vault's mirror {mirror} is no folder; mount the disk, or correct the station file"
                )
            require_space(mirror, _NEEDED, VaultError)

    def new_key(self, dev_eui: Eui64, generation: int, slot: KeySlot) -> tuple[Secret, SealedKey]:
        """Draw a key and seal it to (DevEUI, generation 1..255, slot); mirrored durably when this returns (2 fsyncs).

        Raises VaultError.
        """
        if not 1 <= generation <= 255:
            raise VaultError(
                f"{generation} is no key generation (1 to 255), and DevEUI {dev_eui} has used them all; scrap the "
                "identity and give the board a new label"
            )
        if self._mirror is not None:
            require_space(self._mirror, _NEEDED, VaultError)
        key = _draw()
        sealed = SealedKey(slot, key.kcv(), tuple(seal(key, to, dev_eui, generation, slot) for to in self._public))
        if self._mirror is not None:
            _copy(self._mirror, dev_eui, generation, sealed)
        return key, sealed


def weak_points(mirror: Path | None, escrow: Path | None, data: Path) -> list[str]:
    """A sentence for each way in which one loss takes all keys; the line runs all the same. ``data`` may be missing."""
    found = []
    if mirror is None:
        found.append(
            "the vault has no mirror: when the disk is lost, so are the keys of all boards; name a folder of a second "
            "disk as vault.mirror"
        )
    elif not mirror.is_dir():
        found.append(f"the vault's mirror {mirror} is no folder, so no board will be started; mount the disk")
    elif mirror.stat().st_dev == next(place for place in (data, *data.parents) if place.exists()).stat().st_dev:
        found.append(
            f"the vault's mirror {mirror} is on the disk of {data}, and is lost with it; name a folder of a second disk"
        )
    if escrow is None:
        found.append(
            "the vault has no escrow: when the back office's private half is lost, so are the keys of all boards; make "
            "a second pair with `lorafab vault init`, keep its private half offline, and name the public one as "
            "vault.escrow_key"
        )
    return found


def seal(key: Secret, public: X25519PublicKey, dev_eui: Eui64, generation: int, slot: KeySlot) -> SealedBox:
    """Encrypt a key to one public key, bound to its place. Raises VaultError."""
    try:
        box = SUITE.encrypt(key.reveal(), public, info=box_info(dev_eui, generation, slot))
    except ValueError:
        raise VaultError("the vault's public key cannot seal (weak point); make a new pair") from None
    return SealedBox(key_id(public), base64.b64encode(box).decode())


def _copy(mirror: Path, dev_eui: Eui64, generation: int, sealed: SealedKey) -> None:
    """Keep the boxes under a name of their own: one that a crash orphaned never makes room for another."""
    path = mirror / f"{dev_eui}-{generation}-{sealed.slot}-{sealed.kcv}.json"
    document = {
        "schema_version": "lorafab.box/2",
        "dev_eui": str(dev_eui),
        "generation": generation,
        "slot": sealed.slot,
        "kcv": sealed.kcv,
        "boxes": [{"key_id": box.key_id, "box": box.box} for box in sealed.boxes],
    }
    write_file(path, to_json(document, path, VaultError) + b"\n", VaultError)


def box_info(dev_eui: Eui64, generation: int, slot: KeySlot) -> bytes:
    """HPKE's ``info``: the place that a box is bound to."""
    return f"lorafab/1/{slot}/{dev_eui}/{generation}".encode()


def key_id(public: X25519PublicKey) -> str:
    """First 16 hex digits (lower case) of SHA-256 over the 32 raw bytes of a public key."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def load_public(path: Path) -> X25519PublicKey:
    """Load a public half (PEM). Raises VaultError: missing, a private key, another kind of key."""
    pem = read_pem(path)
    if b"PRIVATE KEY" in pem:
        raise VaultError(f"{path} holds a private key, and a station may only hold the public half; replace the file")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm, InternalError):
        raise VaultError(f"{path} holds no public key in PEM; copy the vault's public half there again") from None
    if not isinstance(key, X25519PublicKey):
        raise VaultError(f"{path} holds a {type(key).__name__}, but the vault wants X25519; name the vault's file")
    return key


def read_pem(path: Path) -> bytes:
    """Read a key file. Raises VaultError."""
    if not os.path.exists(path):
        raise VaultError(
            f"the vault's key file {path} is missing; make one with `lorafab vault init`, or correct the path"
        )
    with disk_errors(path, VaultError):
        return path.read_bytes()
