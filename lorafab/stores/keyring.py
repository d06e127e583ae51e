"""The private side: pairs of keys, and what opens a sealed box. Stations have none of it, the demo's excepted.

A private half is a PEM file (PKCS #8), encrypted with a passphrase unless somebody decided otherwise, mode 0600. Boxes
are described in :mod:`lorafab.stores.vault`.
"""

import base64
import binascii
from pathlib import Path

from cryptography.exceptions import InternalError, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from lorafab.domain.identity import Eui64, KeySlot
from lorafab.domain.secret import Secret
from lorafab.errors import VaultError
from lorafab.stores.atomic import make_folder, write_file
from lorafab.stores.claims import KeyDocument
from lorafab.stores.lock import FileLock
from lorafab.stores.vault import SUITE, box_info, key_id, load_public, read_pem

PrivateKey = X25519PrivateKey
"""The private half, loaded."""

LONGEST_PASSPHRASE = 1023  # bytes; OpenSSL's PEM reader takes no longer one


def open_box(private_key: X25519PrivateKey, dev_eui: Eui64, generation: int, slot: KeySlot, box: str) -> Secret:
    """Open a sealed box, base64, for the owner of the private key.

    Raises VaultError when it was made for another public key, DevEUI, generation or slot, or was changed.
    """
    try:
        info = box_info(dev_eui, generation, slot)
        return Secret(SUITE.decrypt(base64.b64decode(box, validate=True), private_key, info=info))
    except (InvalidTag, binascii.Error, ValueError):
        raise VaultError(
            f"the sealed {slot} of DevEUI {dev_eui}, generation {generation}, does not open: it was sealed to another "
            f"public key than {key_id(private_key.public_key())}, for another place, or was changed; "
            "look for the right private key, or for the box in the mirror"
        ) from None


def open_key(private_key: X25519PrivateKey, dev_eui: Eui64, key: KeyDocument, slot: KeySlot) -> Secret:
    """Open one key of a ledger's generation and hold it against its check value there.

    Raises VaultError: no box for this private key, one that does not open, or another key inside.
    """
    mine = key_id(private_key.public_key())
    box = next((box.box for box in key.boxes if (box.slot, box.key_id) == (slot, mine)), None)
    if box is None:
        others = ", ".join(sorted({box.key_id for box in key.boxes if box.slot == slot})) or "no key at all"
        raise VaultError(
            f"the {slot} of DevEUI {dev_eui}, generation {key.generation}, is sealed to {others} and not to {mine}; "
            "use the private half of one of those"
        )
    found = open_box(private_key, dev_eui, key.generation, slot, box)
    wanted = key.kcv_app if slot == "appkey" else key.kcv_nwk
    if found.kcv() != wanted:
        raise VaultError(
            f"the box of the {slot} of DevEUI {dev_eui}, generation {key.generation}, holds a key with check value "
            f"{found.kcv()}, and the ledger says {wanted}; use neither, and look for the box in the mirror"
        )
    return found


def create_pair(private_path: Path, public_path: Path, passphrase: bytes | None) -> str:
    """Make a new pair as PEM files (PKCS #8, mode 0600, and SubjectPublicKeyInfo) and return its key id.

    An existing file is never replaced: boxes may be sealed to it. ``passphrase`` None leaves the private half
    readable for whoever has the file. Raises VaultError.
    """
    for path in (private_path, public_path):
        if path.exists():
            raise VaultError(f"{path} exists, and keys may be sealed to it; choose another name, or keep it")
    if private_path.resolve() == public_path.resolve():
        raise VaultError(f"{private_path} is named for both halves, and one would replace the other; give two names")
    if passphrase == b"":
        raise VaultError("an empty passphrase protects nothing; give one, or none at all")
    if passphrase is not None and len(passphrase) > LONGEST_PASSPHRASE:
        raise VaultError(f"the passphrase has {len(passphrase)} bytes, at most {LONGEST_PASSPHRASE} can be used")
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
        elif key_id(load_private(private_path, None).public_key()) != key_id(load_public(public_path)):
            raise VaultError(
                f"{public_path} is not the other half of {private_path.name}: what is sealed to it could not be "
                "opened; restore the pair, or move the data folder away and start a new one"
            )
    return public_path


def wants_passphrase(path: Path) -> bool:
    """Whether the private half in ``path`` is encrypted (RFC 5958, PKCS #8). Raises VaultError for a missing file."""
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in read_pem(path)


def load_private(path: Path, passphrase: bytes | None) -> X25519PrivateKey:
    """Load the private half. Raises VaultError: missing, wrong or no passphrase, another kind of key."""
    pem = read_pem(path)
    try:
        key = load_pem_private_key(pem, passphrase)
    except TypeError:
        wanted = "a passphrase and none was given" if passphrase is None else "no passphrase but one was given"
        raise VaultError(f"{path} needs {wanted}; start again with the right one") from None
    except (ValueError, UnsupportedAlgorithm, InternalError):
        if passphrase is not None and wants_passphrase(path):
            raise VaultError(f"the passphrase does not open {path}, or the file is damaged; try once more") from None
        raise VaultError(f"{path} holds no private key in PEM; name the file that `lorafab vault init` made") from None
    if not isinstance(key, X25519PrivateKey):
        raise VaultError(f"{path} holds a {type(key).__name__}, but the vault wants X25519; name the vault's file")
    return key
