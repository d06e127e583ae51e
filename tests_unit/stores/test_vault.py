"""Keys are random, sealed to one board, and never shown."""

import base64
import hashlib
import json
import os
import secrets
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.domain.identity import Eui64
from lorafab.errors import VaultError
from lorafab.interfaces import Vault as VaultInterface
from lorafab.stores.vault import Vault, create_pair, demo_paths, ensure_demo, load_private, open_box

BOARD = Eui64(0x70B3D5499A000001)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    private, public = tmp_path / "private.pem", tmp_path / "vault.pub"
    create_pair(private, public, None)
    return private, public


def test_what_is_sealed_opens_with_the_private_half_only(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """The round trip gives the same key, its check value fits, and the key id names the pair."""
    vault: VaultInterface = Vault(pair[1])
    key, sealed = vault.new_key(BOARD, 1)
    assert open_box(load_private(pair[0], None), BOARD, 1, sealed.box).same_as(key)
    assert sealed.kcv == key.kcv()
    assert len(base64.b64decode(sealed.box)) == 64
    raw = load_private(pair[0], None).public_key().public_bytes_raw()
    assert sealed.key_id == hashlib.sha256(raw).hexdigest()[:16]
    assert create_pair(tmp_path / "b.pem", tmp_path / "b.pub", None) != sealed.key_id
    with pytest.raises(VaultError, match="sealed to another public key"):
        open_box(load_private(tmp_path / "b.pem", None), BOARD, 1, sealed.box)


def test_a_box_moved_to_another_board_or_generation_is_refused(pair: tuple[Path, Path]) -> None:
    """The context is part of the seal; the sentence names board and generation."""
    _, sealed = Vault(pair[1]).new_key(BOARD, 1)
    private = load_private(pair[0], None)
    with pytest.raises(VaultError, match=r"DevEUI 0000000000000002, generation 1, does not open"):
        open_box(private, Eui64(2), 1, sealed.box)
    with pytest.raises(VaultError, match="for another board or generation"):
        open_box(private, BOARD, 2, sealed.box)


def test_any_flipped_bit_is_refused(pair: tuple[Path, Path]) -> None:
    """All 512 of them; so is anything that is no box."""
    _, sealed = Vault(pair[1]).new_key(BOARD, 1)
    private, box = load_private(pair[0], None), base64.b64decode(sealed.box)
    for bit in range(8 * len(box)):
        # X25519 ignores the top bit of the point (RFC 7748, 5), but HPKE hashes the point as it came (RFC 9180, 4.1).
        changed = bytearray(box)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(VaultError):
            open_box(private, BOARD, 1, base64.b64encode(changed).decode())


@given(st.text(max_size=100) | st.binary(max_size=100).map(lambda data: base64.b64encode(data).decode()))
@settings(max_examples=100, deadline=None, database=None)
def test_garbage_is_never_a_key(text: str) -> None:
    """Nor an exception of another kind."""
    with pytest.raises(VaultError):
        open_box(X25519PrivateKey.generate(), BOARD, 1, text)


def test_keys_never_repeat(pair: tuple[Path, Path]) -> None:
    """Same board, same generation: still another key and another box."""
    vault = Vault(pair[1])
    made = [vault.new_key(BOARD, 1) for _ in range(50)]
    assert len({sealed.kcv for _, sealed in made}) == 50
    assert len({sealed.box for _, sealed in made}) == 50


@pytest.mark.parametrize(
    "bad", [bytes(16), b"\xff" * 16, b"\x42" * 16, bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")]
)
def test_trivial_and_well_known_keys_are_drawn_again(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, bad: bytes
) -> None:
    """And a source that gives nothing else takes the computer out of production."""
    vault = Vault(pair[1])
    good = bytes(range(16))
    draws = [bad, bad, good]
    monkeypatch.setattr(secrets, "token_bytes", lambda size: draws.pop(0))
    key, _ = vault.new_key(BOARD, 1)
    assert key.reveal() == good
    monkeypatch.setattr(secrets, "token_bytes", lambda size: bad)
    with pytest.raises(VaultError, match="take this computer out of production"):
        vault.new_key(BOARD, 1)


def test_no_text_shows_a_key(pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the representation of what is returned, nor the mirror's file, nor an error on the way."""
    raw = os.urandom(16)
    monkeypatch.setattr(secrets, "token_bytes", lambda size: raw)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    vault = Vault(pair[1], mirror)
    texts = [repr(vault.new_key(BOARD, 1)), repr(vault), next(mirror.iterdir()).read_text()]
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(VaultError) as caught:
        vault.new_key(BOARD, 2)
    texts.append(repr(caught.value) + str(caught.value.__cause__))
    for text in texts:
        assert raw.hex() not in text.lower()
        assert repr(raw) not in text
        assert base64.b64encode(raw).decode() not in text


def test_the_mirror_has_the_box_before_the_key_is_handed_out(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """One file a box, none ever replaced, and it opens by itself."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    vault = Vault(pair[1], mirror)
    keys = [vault.new_key(BOARD, 1)[0] for _ in range(3)]
    files = sorted(mirror.iterdir())
    assert len(files) == 3
    for path in files:
        document = json.loads(path.read_text())
        assert path.name == f"{document['dev_eui']}-{document['generation']}-{document['kcv']}.json"
        opened = open_box(load_private(pair[0], None), BOARD, 1, document["box"])
        assert any(opened.same_as(key) for key in keys)


def test_a_full_mirror_keeps_the_key_back(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key leaves the vault that the mirror does not have."""
    vault = Vault(pair[1], tmp_path)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(VaultError, match="the disk is full"):
        vault.new_key(BOARD, 1)


def test_a_missing_mirror_is_told_at_the_start(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """It is not created: that would be on the wrong disk."""
    with pytest.raises(VaultError, match="mount the disk"):
        Vault(pair[1], tmp_path / "not mounted")
    assert not (tmp_path / "not mounted").exists()


def test_generations_outside_the_identity_block_are_refused(pair: tuple[Path, Path]) -> None:
    """It has one byte for them."""
    for wrong in (0, 256, -1):
        with pytest.raises(VaultError, match="no key generation"):
            Vault(pair[1]).new_key(BOARD, wrong)


# Files


def test_a_pair_is_private_and_never_replaced(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Keys may be sealed to what is there."""
    assert stat.S_IMODE(pair[0].stat().st_mode) == 0o600
    kept = pair[0].read_bytes(), pair[1].read_bytes()
    for private, public in ((pair[0], tmp_path / "new"), (tmp_path / "new", pair[1])):
        with pytest.raises(VaultError, match="exists, and keys may be sealed to it"):
            create_pair(private, public, None)
    assert (pair[0].read_bytes(), pair[1].read_bytes()) == kept
    assert not (tmp_path / "new").exists()


def test_a_passphrase_is_asked_for(tmp_path: Path) -> None:
    """Missing, wrong and superfluous ones are told apart as far as the file allows."""
    private, public = tmp_path / "p.pem", tmp_path / "p.pub"
    create_pair(private, public, b"correct horse")
    key, sealed = Vault(public).new_key(BOARD, 1)
    assert open_box(load_private(private, b"correct horse"), BOARD, 1, sealed.box).same_as(key)
    with pytest.raises(VaultError, match="needs a passphrase and none was given"):
        load_private(private, None)
    with pytest.raises(VaultError, match="wrong passphrase"):
        load_private(private, b"battery staple")
    with pytest.raises(VaultError, match="empty passphrase"):
        create_pair(tmp_path / "q.pem", tmp_path / "q.pub", b"")


def test_the_wrong_file_is_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Missing, no PEM, a private half on a station, another kind of key."""
    other = tmp_path / "other"
    with pytest.raises(VaultError, match=r"is missing.*`lorafab vault init`"):
        Vault(other)
    with pytest.raises(VaultError, match="holds a private key"):
        Vault(pair[0])
    other.write_bytes(b"hello")
    with pytest.raises(VaultError, match="holds no public key"):
        Vault(other)
    with pytest.raises(VaultError, match="cannot be opened"):
        load_private(other, None)
    other.write_bytes(
        ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(VaultError, match="wants X25519"):
        Vault(other)
    other.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with pytest.raises(VaultError, match="wants X25519"):
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
    key, sealed = Vault(public).new_key(BOARD, 1)
    assert open_box(load_private(private, None), BOARD, 1, sealed.box).same_as(key)


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
