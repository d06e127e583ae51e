"""lorafab.stores.keyring: who has the private half, and nobody else, opens what the stations sealed."""

import base64
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lorafab.domain.identity import Eui64, KeySlot
from lorafab.domain.secret import Secret
from lorafab.errors import VaultError
from lorafab.interfaces import SealedKey
from lorafab.stores.claims import BoxDocument, KeyDocument
from lorafab.stores.keyring import (
    create_pair,
    demo_paths,
    ensure_demo,
    load_private,
    open_box,
    open_key,
    wants_passphrase,
)
from lorafab.stores.vault import Vault

BOARD = Eui64(0x70B3D5499A000001)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    private, public = tmp_path / "private.pem", tmp_path / "vault.pub"
    create_pair(private, public, None)
    return private, public


# --- keys of the ledger ---


def generation(sealed: SealedKey, nwk: SealedKey | None = None) -> KeyDocument:
    """As the ledger keeps it."""
    keys = [sealed] if nwk is None else [sealed, nwk]
    return KeyDocument(
        generation=1,
        kcv_app=sealed.kcv,
        kcv_nwk=nwk.kcv if nwk else None,
        run="run-1",
        time="",
        boxes=tuple(BoxDocument(slot=key.slot, key_id=box.key_id, box=box.box) for key in keys for box in key.boxes),
    )


def test_each_key_of_a_generation_opens_by_its_slot(pair: tuple[Path, Path]) -> None:
    """LoRaWAN 1.1: both, and not one for the other."""
    vault, private = Vault(pair[1]), load_private(pair[0], None)
    app, sealed_app = vault.new_key(BOARD, 1, "appkey")
    nwk, sealed_nwk = vault.new_key(BOARD, 1, "nwkkey")
    key = generation(sealed_app, sealed_nwk)
    assert open_key(private, BOARD, key, "appkey").same_as(app)
    assert open_key(private, BOARD, key, "nwkkey").same_as(nwk)


def test_a_key_sealed_to_others_names_them(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """So that somebody can look for that private half."""
    _, sealed = Vault(pair[1]).new_key(BOARD, 1, "appkey")
    own = create_pair(tmp_path / "b.pem", tmp_path / "b.pub", None)
    stranger = load_private(tmp_path / "b.pem", None)
    words = f"is sealed to {sealed.boxes[0].key_id} and not to {own}; use the private half of one of those"
    with pytest.raises(VaultError, match=words):
        open_key(stranger, BOARD, generation(sealed), "appkey")
    slot: KeySlot = "nwkkey"
    with pytest.raises(VaultError, match="is sealed to no key at all"):
        open_key(stranger, BOARD, generation(sealed), slot)


def test_a_box_with_another_key_than_the_check_value_says_is_refused(pair: tuple[Path, Path]) -> None:
    """Somebody exchanged it: the sentence has both check values, and no key."""
    vault, private = Vault(pair[1]), load_private(pair[0], None)
    _, sealed = vault.new_key(BOARD, 1, "appkey")
    other, exchanged = vault.new_key(BOARD, 1, "appkey")
    key = generation(SealedKey("appkey", sealed.kcv, exchanged.boxes))
    with pytest.raises(VaultError, match=f"check value {exchanged.kcv}, and the ledger says {sealed.kcv}") as caught:
        open_key(private, BOARD, key, "appkey")
    assert other.reveal().hex().upper() not in str(caught.value).upper()
    assert isinstance(other, Secret)


# --- files ---


def test_a_pair_is_private_and_never_replaced(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Keys may be sealed to what is there."""
    assert stat.S_IMODE(pair[0].stat().st_mode) == 0o600
    kept = pair[0].read_bytes(), pair[1].read_bytes()
    for private, public in ((pair[0], tmp_path / "new"), (tmp_path / "new", pair[1])):
        with pytest.raises(VaultError, match="exists, and keys may be sealed to it"):
            create_pair(private, public, None)
    assert (pair[0].read_bytes(), pair[1].read_bytes()) == kept
    assert not (tmp_path / "new").exists()


def test_the_halves_of_a_pair_have_two_names(tmp_path: Path) -> None:
    """In one file the public half would replace the private one, and what is sealed to it could never be opened."""
    (tmp_path / "link").symlink_to(tmp_path)
    for public in (tmp_path / "a.pem", tmp_path / "link" / "a.pem"):
        with pytest.raises(VaultError, match="named for both halves"):
            create_pair(tmp_path / "a.pem", public, None)
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_a_passphrase_is_asked_for(tmp_path: Path) -> None:
    """Missing, wrong and superfluous ones are told apart as far as the file allows."""
    private, public = tmp_path / "p.pem", tmp_path / "p.pub"
    create_pair(private, public, b"correct horse")
    key, sealed = Vault(public).new_key(BOARD, 1, "appkey")
    assert open_box(load_private(private, b"correct horse"), BOARD, 1, "appkey", sealed.boxes[0].box).same_as(key)
    with pytest.raises(VaultError, match="needs a passphrase and none was given"):
        load_private(private, None)
    with pytest.raises(VaultError, match=r"the passphrase does not open .*p\.pem.*; try once more") as caught:
        load_private(private, b"battery staple")
    assert "battery" not in str(caught.value)
    assert b"ENCRYPTED" in private.read_bytes()
    assert wants_passphrase(private)
    with pytest.raises(VaultError, match="empty passphrase"):
        create_pair(tmp_path / "q.pem", tmp_path / "q.pub", b"")
    with pytest.raises(VaultError, match="has 1024 bytes, at most 1023 can be used"):
        create_pair(tmp_path / "q.pem", tmp_path / "q.pub", b"x" * 1024)
    assert not (tmp_path / "q.pem").exists()
    create_pair(tmp_path / "q.pem", tmp_path / "q.pub", b"x" * 1023)
    assert load_private(tmp_path / "q.pem", b"x" * 1023)
    create_pair(tmp_path / "r.pem", tmp_path / "r.pub", None)
    assert not wants_passphrase(tmp_path / "r.pem")
    with pytest.raises(VaultError, match="needs no passphrase but one was given"):
        load_private(tmp_path / "r.pem", b"superfluous")


def test_the_wrong_file_for_a_private_half_is_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Missing, no PEM, a public half, another kind of key."""
    other = tmp_path / "other"
    with pytest.raises(VaultError, match=r"is missing.*`lorafab vault init`"):
        load_private(other, None)
    other.write_bytes(b"hello")
    for path in (other, pair[1]):
        with pytest.raises(VaultError, match="holds no private key in PEM; name the file"):
            load_private(path, None)
    other.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with pytest.raises(VaultError, match="wants X25519"):
        load_private(other, None)
    # RFC 8410, 7: the last arc of X25519's identifier changed to one that nobody knows.
    der = load_private(pair[0], None).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    der = der.replace(b"\x06\x03\x2b\x65\x6e", b"\x06\x03\x2b\x65\x7f")
    other.write_bytes(b"-----BEGIN PRIVATE KEY-----\n%s-----END PRIVATE KEY-----\n" % base64.encodebytes(der))
    with pytest.raises(VaultError, match="holds no private key in PEM; name the file"):
        load_private(other, None)


def _demo(folder: Path) -> bytes:
    return ensure_demo(folder).read_bytes()


@pytest.mark.slow
def test_the_demo_pair_is_made_once(tmp_path: Path) -> None:
    """Also when several runs start at the same moment; the halves belong together and the private one is private."""
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        found = set(pool.map(_demo, [tmp_path] * 8))
    assert len(found) == 1
    private, public = demo_paths(tmp_path)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    key, sealed = Vault(public).new_key(BOARD, 1, "appkey")
    assert open_box(load_private(private, None), BOARD, 1, "appkey", sealed.boxes[0].box).same_as(key)


def test_a_demo_pair_that_a_kill_halved_is_completed(tmp_path: Path) -> None:
    """From the private half; a public half alone is not made useless by a new private one."""
    ensure_demo(tmp_path)
    private, public = demo_paths(tmp_path)
    kept = public.read_bytes()
    public.unlink()
    assert ensure_demo(tmp_path).read_bytes() == kept
    private.unlink()
    with pytest.raises(VaultError, match="restore the private half"):
        ensure_demo(tmp_path)
    assert public.read_bytes() == kept
