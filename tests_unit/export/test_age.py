"""lorafab.export.age: only the customer can read it."""

from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lorafab.errors import ExportError, UsageError
from lorafab.export import age

TEXT = b"id;app_key\nx;00112233445566778899AABBCCDDEEFF\n"


def encrypt(*recipients: str) -> bytes:
    return age.encrypt(TEXT, age.parse_recipients([("--recipient", one) for one in recipients]))


def test_every_recipient_and_nobody_else_can_read_it() -> None:
    """Two customers' identities, and a stranger's."""
    first, second, stranger = (pyrage.x25519.Identity.generate() for _ in range(3))
    data = encrypt(str(first.to_public()), str(second.to_public()))
    assert data.startswith(b"age-encryption.org/v1\n")
    assert b"00112233" not in data
    assert pyrage.decrypt(data, [first]) == pyrage.decrypt(data, [second]) == TEXT
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(data, [stranger])


def test_an_ssh_key_is_a_recipient() -> None:
    """ssh-ed25519, as customers have it."""
    private = ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " eve@customer"
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    assert pyrage.decrypt(encrypt(public), [pyrage.ssh.Identity.from_buffer(pem)]) == TEXT


@pytest.mark.parametrize("kind", ["nonsense", "secret", "", "age1", "ssh-rsa AAAA", "broken", "\udcff"])
def test_what_is_no_recipient_is_refused_and_not_shown(kind: str) -> None:
    """A secret key in the place of the public one is the mistake to expect."""
    secret = pyrage.x25519.Identity.generate()
    public = str(secret.to_public())
    text = {"secret": str(secret), "broken": public[:-1] + ("q" if public[-1] != "q" else "p")}.get(kind, kind)
    with pytest.raises(UsageError, match=r"^--recipient is no recipient of age, wanted age1\.\.\.") as error:
        encrypt(text)
    assert len(text) < 5 or text not in str(error.value)


def test_a_recipient_that_age_panics_at_is_an_error() -> None:
    """The point 0 of X25519: whatever is sealed to it is sealed to everybody."""
    zero = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z"
    with pytest.raises(ExportError, match="age cannot encrypt"):
        encrypt(zero)


def test_a_file_of_recipients_has_comments_and_blank_lines(tmp_path: Path) -> None:
    """As age(1) reads it; the place of a bad line is told."""
    public = str(pyrage.x25519.Identity.generate().to_public())
    path = tmp_path / "customer.txt"
    path.write_text(f"# ACME\n\n  {public}\nAGE-SECRET-KEY-1OOPS\n")
    found = age.read_recipients(path)
    assert [where.removeprefix(str(tmp_path)) for where, _ in found] == ["/customer.txt:3", "/customer.txt:4"]
    assert found[0][1] == public
    with pytest.raises(UsageError, match=r"customer\.txt:4 is no recipient") as error:
        age.parse_recipients(found)
    assert "OOPS" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"), [(b"# nobody\n", "holds no recipient"), (b"\xff\xfe", "is no text"), (None, "cannot be read")]
)
def test_a_file_without_recipients_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    """Empty, binary or missing."""
    path = tmp_path / "customer.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        age.read_recipients(path)
