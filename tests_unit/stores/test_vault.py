"""lorafab.stores.vault: keys are random, sealed to one board and one slot, mirrored, and never shown."""

import base64
import hashlib
import json
import os
import secrets
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.domain.identity import Eui64, KeySlot
from lorafab.errors import VaultError
from lorafab.interfaces import SealedKey
from lorafab.interfaces import Vault as VaultInterface
from lorafab.stores.keyring import create_pair, load_private, open_box
from lorafab.stores.vault import SUITE, Vault, key_id, load_public, weak_points

BOARD = Eui64(0x70B3D5499A000001)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    private, public = tmp_path / "private.pem", tmp_path / "vault.pub"
    create_pair(private, public, None)
    return private, public


def box_of(sealed: SealedKey) -> str:
    """Its only box."""
    [box] = sealed.boxes
    return box.box


def test_what_is_sealed_opens_with_the_private_half_only(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """The round trip gives the same key, its check value fits, and the key id names the pair."""
    vault: VaultInterface = Vault(pair[1])
    key, sealed = vault.new_key(BOARD, 1, "appkey")
    private = load_private(pair[0], None)
    assert open_box(private, BOARD, 1, "appkey", box_of(sealed)).same_as(key)
    assert (sealed.slot, sealed.kcv) == ("appkey", key.kcv())
    assert len(base64.b64decode(box_of(sealed))) == 64
    raw = private.public_key().public_bytes_raw()
    assert sealed.boxes[0].key_id == hashlib.sha256(raw).hexdigest()[:16]
    assert create_pair(tmp_path / "b.pem", tmp_path / "b.pub", None) != sealed.boxes[0].key_id
    with pytest.raises(VaultError, match="sealed to another public key"):
        open_box(load_private(tmp_path / "b.pem", None), BOARD, 1, "appkey", box_of(sealed))


def test_every_key_is_sealed_to_the_escrow_as_well(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """The back office's box first; each half opens its own box, to the same key, and not the other's."""
    create_pair(tmp_path / "escrow.pem", tmp_path / "escrow.pub", None)
    key, sealed = Vault(pair[1], escrow=tmp_path / "escrow.pub").new_key(BOARD, 1, "appkey")
    halves = [load_private(path, None) for path in (pair[0], tmp_path / "escrow.pem")]
    assert [box.key_id for box in sealed.boxes] == [key_id(half.public_key()) for half in halves]
    for half, box, other in zip(halves, sealed.boxes, reversed(sealed.boxes), strict=True):
        assert open_box(half, BOARD, 1, "appkey", box.box).same_as(key)
        with pytest.raises(VaultError, match="does not open"):
            open_box(half, BOARD, 1, "appkey", other.box)


def test_an_escrow_that_is_the_back_office_is_refused(pair: tuple[Path, Path]) -> None:
    """It would look like two and be one."""
    with pytest.raises(VaultError, match=r"is the same key as .*; name the escrow's own public key"):
        Vault(pair[1], escrow=pair[1])


@pytest.mark.parametrize(
    ("dev_eui", "generation", "slot"),
    [(Eui64(2), 1, "appkey"), (BOARD, 2, "appkey"), (BOARD, 1, "nwkkey")],
    ids=["another board", "another generation", "another slot"],
)
def test_a_box_moved_to_another_place_is_refused(
    pair: tuple[Path, Path], dev_eui: Eui64, generation: int, slot: KeySlot
) -> None:
    """The context is part of the seal; the sentence names slot, board and generation."""
    _, sealed = Vault(pair[1]).new_key(BOARD, 1, "appkey")
    named = f"the sealed {slot} of DevEUI {dev_eui}, generation {generation}, does not open"
    with pytest.raises(VaultError, match=f"{named}: .* for another place, or was changed; look for"):
        open_box(load_private(pair[0], None), dev_eui, generation, slot, box_of(sealed))


def test_any_flipped_bit_is_refused(pair: tuple[Path, Path]) -> None:
    """All 512 of them; so is anything that is no box."""
    _, sealed = Vault(pair[1]).new_key(BOARD, 1, "appkey")
    private, box = load_private(pair[0], None), base64.b64decode(box_of(sealed))
    for bit in range(8 * len(box)):
        # X25519 ignores the top bit of the point (RFC 7748, 5), but HPKE hashes the point as it came (RFC 9180, 4.1).
        changed = bytearray(box)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(VaultError):
            open_box(private, BOARD, 1, "appkey", base64.b64encode(changed).decode())


@given(st.text(max_size=100) | st.binary(max_size=100).map(lambda data: base64.b64encode(data).decode()))
@settings(max_examples=100, deadline=None, database=None)
def test_garbage_is_never_a_key(text: str) -> None:
    """Nor an exception of another kind."""
    with pytest.raises(VaultError):
        open_box(X25519PrivateKey.generate(), BOARD, 1, "appkey", text)


# RFC 9180, A.1 (DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM) and A.1.1 (base mode)
RFC_INFO = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
RFC_SK_R = bytes.fromhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8")
RFC_PK_R = "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"
RFC_ENC = bytes.fromhex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431")
RFC_KEY = bytes.fromhex("4531685d41d65f03dc48f6b8302c05b0")
RFC_NONCE = bytes.fromhex("56d890e5accaaf011cff4b7d")
RFC_AAD, RFC_PT = b"Count-0", b"Beauty is truth, truth beauty"
RFC_CT = bytes.fromhex("f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a")


def test_the_suite_is_rfc_9180s() -> None:
    """Appendix A.1.1, as far as a single-shot call without associated data reaches.

    The vectors' messages carry associated data ("Count-0", ...), which boxes do not have. So key schedule and box are
    checked in two halves: the vector's own message opens with the vector's key and nonce, and the suite opens a
    message that was sealed with that very key and nonce, and no associated data, under the vector's enc, info and skR.
    """
    private = X25519PrivateKey.from_private_bytes(RFC_SK_R)
    assert private.public_key().public_bytes_raw().hex() == RFC_PK_R
    assert AESGCM(RFC_KEY).decrypt(RFC_NONCE, RFC_CT, RFC_AAD) == RFC_PT
    sealed = RFC_ENC + AESGCM(RFC_KEY).encrypt(RFC_NONCE, RFC_PT, None)
    assert SUITE.decrypt(sealed, private, info=RFC_INFO) == RFC_PT


def test_keys_never_repeat(pair: tuple[Path, Path]) -> None:
    """Same board, same generation: still another key and another box."""
    vault = Vault(pair[1])
    made = [vault.new_key(BOARD, 1, "appkey")[1] for _ in range(50)]
    assert len({sealed.kcv for sealed in made}) == 50
    assert len({box_of(sealed) for sealed in made}) == 50


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
    key, _ = vault.new_key(BOARD, 1, "appkey")
    assert key.reveal() == good
    monkeypatch.setattr(secrets, "token_bytes", lambda size: bad)
    with pytest.raises(VaultError, match="take this computer out of production"):
        vault.new_key(BOARD, 1, "appkey")


def test_no_text_shows_a_key(pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the representation of what is returned, nor the mirror's file, nor an error on the way."""
    raw = os.urandom(16)
    monkeypatch.setattr(secrets, "token_bytes", lambda size: raw)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    vault = Vault(pair[1], mirror)
    texts = [repr(vault.new_key(BOARD, 1, "appkey")), repr(vault), next(mirror.iterdir()).read_text()]
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(VaultError) as caught:
        vault.new_key(BOARD, 2, "appkey")
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
    slots: tuple[KeySlot, ...] = ("appkey", "appkey", "nwkkey")
    keys = [vault.new_key(BOARD, 1, slot)[0] for slot in slots]
    files = sorted(mirror.iterdir())
    assert len(files) == 3
    for path in files:
        document = json.loads(path.read_text())
        assert path.name == "{dev_eui}-{generation}-{slot}-{kcv}.json".format(**document)
        [box] = document["boxes"]
        opened = open_box(load_private(pair[0], None), BOARD, 1, document["slot"], box["box"])
        assert any(opened.same_as(key) for key in keys)


def test_the_mirrors_file_is_on_the_disk_before_the_key_is_handed_out(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File and folder are synced, in that order, before anybody can have the key."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    synced: list[str] = []
    sync = os.fsync

    def watch(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        sync(fd)

    monkeypatch.setattr(os, "fsync", watch)
    vault = Vault(pair[1], mirror)
    synced.clear()
    vault.new_key(BOARD, 1, "appkey")
    [file] = mirror.iterdir()
    assert [Path(name).parent if ".tmp" in name else Path(name) for name in synced] == [mirror, mirror]
    assert file.name in synced[0]


def test_a_full_mirror_keeps_the_key_back(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key leaves the vault that the mirror does not have."""
    vault = Vault(pair[1], tmp_path)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(VaultError, match="the disk is full"):
        vault.new_key(BOARD, 1, "appkey")


def test_a_mirror_that_is_nearly_full_is_told_before_a_key_is_drawn(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the station's opening, and again before each key: the disk has other users."""
    vault = Vault(pair[1], tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    monkeypatch.setattr(secrets, "token_bytes", lambda size: pytest.fail("a key was drawn"))
    words = r"only 0 KiB are free on the disk of .*, and 1024 KiB are wanted; free space"
    with pytest.raises(VaultError, match=words):
        Vault(pair[1], tmp_path)
    with pytest.raises(VaultError, match=words):
        vault.new_key(BOARD, 1, "appkey")


def test_a_mirror_that_was_unmounted_meanwhile_keeps_the_key_back(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """The sentence names the mirror."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    vault = Vault(pair[1], mirror)
    mirror.rmdir()
    with pytest.raises(VaultError, match="mirror could not be read or written"):
        vault.new_key(BOARD, 1, "appkey")


def test_a_missing_mirror_is_told_at_the_start(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """It is not created: that would be on the wrong disk."""
    with pytest.raises(VaultError, match="mount the disk"):
        Vault(pair[1], tmp_path / "not mounted")
    assert not (tmp_path / "not mounted").exists()


def test_generations_outside_the_identity_block_are_refused(pair: tuple[Path, Path]) -> None:
    """It has one byte for them."""
    for wrong in (0, 256, -1):
        with pytest.raises(VaultError, match=r"no key generation.*scrap the identity"):
            Vault(pair[1]).new_key(BOARD, wrong, "appkey")


def test_the_wrong_file_for_a_public_half_is_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Missing, no PEM, a private half on a station, another kind of key."""
    other = tmp_path / "other"
    with pytest.raises(VaultError, match=r"is missing.*`lorafab vault init`"):
        Vault(other)
    with pytest.raises(VaultError, match="holds a private key"):
        Vault(pair[0])
    other.write_bytes(b"hello")
    with pytest.raises(VaultError, match="holds no public key"):
        Vault(other)
    other.write_bytes(
        ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(VaultError, match="wants X25519"):
        Vault(other)
    # RFC 8410, 4: the last arc of X25519's identifier changed to one that nobody knows.
    der = load_public(pair[1]).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    der = der.replace(b"\x06\x03\x2b\x65\x6e", b"\x06\x03\x2b\x65\x7f")
    other.write_bytes(b"-----BEGIN PUBLIC KEY-----\n%s-----END PUBLIC KEY-----\n" % base64.encodebytes(der))
    with pytest.raises(VaultError, match="holds no public key"):
        Vault(other)


def test_weak_points_are_said(tmp_path: Path) -> None:
    """One disk, one pair, or a mirror that is none; a data folder that does not exist yet is where its parent is."""
    mirror, data, escrow = tmp_path / "mirror", tmp_path / "new" / "data", tmp_path / "escrow.pub"
    none = weak_points(None, None, data)
    assert ["no mirror" in none[0], "no escrow" in none[1], len(none)] == [True, True, 2]
    assert "mount the disk" in weak_points(mirror, escrow, data)[0]
    mirror.mkdir()
    [same] = weak_points(mirror, escrow, data)
    assert f"is on the disk of {data}" in same
    other = Path("/dev/shm")  # a disk of its own on every Linux
    if other.is_dir() and other.stat().st_dev != tmp_path.stat().st_dev:
        assert weak_points(other, escrow, data) == []
