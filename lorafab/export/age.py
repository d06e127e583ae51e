"""Encryption of an export file to the customer, so that only the owner of a recipient's other half can read it.

The file format is age's (age-encryption.org/v1); ``age -d -i FILE`` opens it. A recipient is a line ``age1...`` as
``age-keygen`` prints it, or an SSH public key (``ssh-ed25519`` or ``ssh-rsa``).
"""

from collections.abc import Sequence
from pathlib import Path

from lorafab.errors import ExportError, UsageError


def read_recipients(path: Path) -> list[tuple[str, str]]:
    """Read a file of recipients, one a line, ``#`` comments (age(1), -R): (where it stands, recipient) pairs.

    Raises UsageError.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text, wanted recipients of age, one a line; name another file") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}), wanted recipients of age; correct it") from None
    found = [
        (f"{path}:{number}", line.strip())
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not found:
        raise UsageError(f"{path} holds no recipient, wanted at least one line age1... or ssh-...; add the customer's")
    return found


def parse_recipients(recipients: Sequence[tuple[str, str]]) -> list[object]:
    """Understand (where it stands, recipient) pairs, for :func:`encrypt`.

    Raises UsageError for one that is none. The sentence says where it stands and never what it is: a secret key is
    easily pasted in its place.
    """
    import pyrage

    parsed = []
    for where, recipient in recipients:
        kind = pyrage.ssh.Recipient if recipient.startswith("ssh-") else pyrage.x25519.Recipient
        try:
            parsed.append(kind.from_str(recipient))
        except (pyrage.RecipientError, UnicodeEncodeError):
            raise UsageError(
                f"{where} is no recipient of age, wanted age1... as `age-keygen` prints it, or an SSH public key "
                "(ssh-ed25519, ssh-rsa); ask the customer for the public one"
            ) from None
    return parsed


def encrypt(data: bytes, recipients: Sequence[object]) -> bytes:
    """Encrypt to every one of ``recipients`` (see :func:`parse_recipients`). Raises ExportError."""
    import pyrage

    try:
        encrypted: bytes = pyrage.encrypt(data, recipients)
    except BaseException as error:
        # A recipient that is a point of low order makes age panic, which pyrage raises as no Exception of its own.
        if not isinstance(error, pyrage.EncryptError) and type(error).__name__ != "PanicException":
            raise
        raise ExportError("age cannot encrypt to these recipients; ask the customer for another one") from None
    return encrypted
