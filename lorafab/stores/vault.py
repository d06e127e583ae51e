"""Root keys: drawn from the operating system, sealed to a public key, opened only by who owns the private half.

HPKE (RFC 9180), base mode, X25519 / HKDF-SHA256 / AES-128-GCM. ``info`` is ``lorafab/1/<slot>/<DevEUI>/<generation>``
(slot ``appkey`` or ``nwkkey``), so that a box does not open in another place. A box is encapsulated key (32 bytes) and
ciphertext
(16 + 16 bytes), 64 bytes, kept as base64. Stations hold the public half only.
"""

import base64
import binascii
import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from lorafab.domain.identity import Eui64, KeySlot
from lorafab.domain.secret import KEY_SIZE, Secret
from lorafab.errors import VaultError
from lorafab.interfaces import SealedBox, SealedKey
from lorafab.stores.atomic import disk_errors, make_folder, to_json, write_file
from lorafab.stores.lock import FileLock

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
_DRAWS = 8  # a sound source gives a key to refuse once in 2^119 draws

# Keys that firmware ships with: LoRaMac-node src/peripherals/soft-se/se-identity.h (APP_KEY, NWK_KEY; it is the
# AES-128 example key of FIPS 197), and the example of RAK's RUI3 (forum.rakwireless.com, topic 14010).
_DEFAULT_KEYS: Final = tuple(
    Secret(bytes.fromhex(text)) for text in ("2B7E151628AED2A6ABF7158809CF4F3C", "AC1F09FFFE1302CEAC1F09FFF9153172")
)


def _draw() -> Secret:
    """Draw a root key: the only place where one comes from, and nothing from outside reaches it."""
    for _ in range(_DRAWS):
        key = Secret(secrets.token_bytes(KEY_SIZE))
        if not key.is_trivial() and not any(key.same_as(known) for known in _DEFAULT_KEYS):
            return key
    raise VaultError(
        "the operating system's randomness gives trivial or well-known keys; take this computer out of production"
    )


class Vault:
    """Implements :class:`lorafab.interfaces.Vault` with the public key in the PEM file ``public_key``.

    ``escrow`` is a second public key, whose private half lies offline: every key is sealed to both.
    ``mirror`` is a folder, best on a second disk, that gets a copy of every sealed box before the key is handed out.
    It must exist: a mirror that is created by itself is on the wrong disk when the right one is not mounted.
    Raises VaultError for a missing file or folder and for any other kind of key.
    """

    def __init__(self, public_key: Path, mirror: Path | None = None, escrow: Path | None = None) -> None:
        self._public = tuple(_load_public(path) for path in (public_key, escrow) if path is not None)
        if len({key_id(public) for public in self._public}) < len(self._public):
            raise VaultError(f"{escrow} is the same key as {public_key}; name the escrow's own public key")
        self._mirror = mirror
        if mirror is not None and not mirror.is_dir():
            raise VaultError(f"the vault's mirror {mirror} is no folder; mount the disk, or correct the station file")

    def new_key(self, dev_eui: Eui64, generation: int, slot: KeySlot) -> tuple[Secret, SealedKey]:
        """Draw a key and seal it to (DevEUI, generation 1..255, slot); mirrored durably when this returns (2 fsyncs).

        Raises VaultError.
        """
        if not 1 <= generation <= 255:
            raise VaultError(f"{generation} is no key generation (1 to 255); this is a fault of the run")
        key = _draw()
        sealed = SealedKey(slot, key.kcv(), tuple(seal(key, to, dev_eui, generation, slot) for to in self._public))
        if self._mirror is not None:
            _copy(self._mirror, dev_eui, generation, sealed)
        return key, sealed


def seal(key: Secret, public: X25519PublicKey, dev_eui: Eui64, generation: int, slot: KeySlot) -> SealedBox:
    """Encrypt a key to one public key, bound to its place. Raises VaultError."""
    try:
        box = _SUITE.encrypt(key.reveal(), public, info=_info(dev_eui, generation, slot))
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


def _info(dev_eui: Eui64, generation: int, slot: KeySlot) -> bytes:
    return f"lorafab/1/{slot}/{dev_eui}/{generation}".encode()


def key_id(public: X25519PublicKey) -> str:
    """First 16 hex digits (lower case) of SHA-256 over the 32 raw bytes of a public key."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def open_box(private_key: X25519PrivateKey, dev_eui: Eui64, generation: int, slot: KeySlot, box: str) -> Secret:
    """Open a sealed box, base64, for the owner of the private key.

    Raises VaultError when it was made for another public key, DevEUI, generation or slot, or was changed.
    """
    try:
        info = _info(dev_eui, generation, slot)
        return Secret(_SUITE.decrypt(base64.b64decode(box, validate=True), private_key, info=info))
    except (InvalidTag, binascii.Error, ValueError):
        raise VaultError(
            f"the sealed {slot} of DevEUI {dev_eui}, generation {generation}, does not open: it was sealed to another "
            f"public key than {key_id(private_key.public_key())}, for another place, or was changed; "
            "look for the right private key, or for the box in the mirror"
        ) from None


# Pairs


def create_pair(private_path: Path, public_path: Path, passphrase: bytes | None) -> str:
    """Make a new pair as PEM files (PKCS #8, mode 0600, and SubjectPublicKeyInfo) and return its key id.

    An existing file is never replaced: boxes may be sealed to it. ``passphrase`` None leaves the private half
    readable for whoever has the file. Raises VaultError.
    """
    for path in (private_path, public_path):
        if path.exists():
            raise VaultError(f"{path} exists, and keys may be sealed to it; choose another name, or keep it")
    if passphrase == b"":
        raise VaultError("an empty passphrase protects nothing; give one, or none at all")
    private = X25519PrivateKey.generate()
    encryption = BestAvailableEncryption(passphrase) if passphrase is not None else NoEncryption()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    make_folder(public_path.parent, VaultError)  # first, or a bad name would leave half a pair
    write_file(private_path, pem, VaultError, mode=0o600)
    _write_public(public_path, private)
    return key_id(private.public_key())


def _write_public(path: Path, private: X25519PrivateKey) -> None:
    write_file(path, private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), VaultError)


def demo_paths(data_dir: Path) -> tuple[Path, Path]:
    """Private and public half of the demo vault under ``data_dir``."""
    folder = data_dir / "vault"
    return folder / "demo-private.pem", folder / "vault.pub"


def ensure_demo(data_dir: Path) -> Path:
    """Make the demo pair on first use (private half beside it, no passphrase) and return the public half's path.

    A pair that exists is kept, also when several processes start at once. Raises VaultError.
    """
    private_path, public_path = demo_paths(data_dir)
    make_folder(private_path.parent, VaultError)
    with FileLock(private_path.parent / "lock", f"the vault {private_path.parent}", VaultError):
        if not private_path.exists():
            if public_path.exists():
                raise VaultError(
                    f"{public_path} is there without {private_path.name}; keys may be sealed to it: restore the "
                    "private half, or move the data folder away and start a new one"
                )
            create_pair(private_path, public_path, None)
        elif not public_path.exists():  # killed between the two files
            _write_public(public_path, load_private(private_path, None))
        elif key_id(load_private(private_path, None).public_key()) != key_id(_load_public(public_path)):
            raise VaultError(
                f"{public_path} is not the other half of {private_path.name}: what is sealed to it could not be "
                "opened; restore the pair, or move the data folder away and start a new one"
            )
    return public_path


def load_private(path: Path, passphrase: bytes | None) -> X25519PrivateKey:
    """Load the private half. Raises VaultError: missing, wrong or no passphrase, another kind of key."""
    pem = _read_pem(path)
    try:
        key = load_pem_private_key(pem, passphrase)
    except TypeError:
        wanted = "a passphrase and none was given" if passphrase is None else "no passphrase but one was given"
        raise VaultError(f"{path} needs {wanted}; start again with the right one") from None
    except ValueError:
        raise VaultError(f"{path} cannot be opened: no private key in PEM, or a wrong passphrase") from None
    if not isinstance(key, X25519PrivateKey):
        raise VaultError(f"{path} holds a {type(key).__name__}, but the vault wants X25519; name the vault's file")
    return key


def _load_public(path: Path) -> X25519PublicKey:
    pem = _read_pem(path)
    if b"PRIVATE KEY" in pem:
        raise VaultError(f"{path} holds a private key, and a station may only hold the public half; replace the file")
    try:
        key = load_pem_public_key(pem)
    except ValueError:
        raise VaultError(f"{path} holds no public key in PEM; copy the vault's public half there again") from None
    if not isinstance(key, X25519PublicKey):
        raise VaultError(f"{path} holds a {type(key).__name__}, but the vault wants X25519; name the vault's file")
    return key


def _read_pem(path: Path) -> bytes:
    if not os.path.exists(path):
        raise VaultError(
            f"the vault's key file {path} is missing; make one with `lorafab vault init`, or correct the path"
        )
    with disk_errors(path, VaultError):
        return path.read_bytes()
