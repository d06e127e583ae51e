"""Options of commands that open sealed keys: the vault's private half, and the passphrase that it is encrypted with.

A passphrase comes from the terminal or from a file descriptor; never from a command line, which every user of the
computer can read, and never from the environment, which every child process inherits.
"""

import argparse
import getpass
import stat
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorafab.errors import UsageError

if TYPE_CHECKING:
    from lorafab.stores.keyring import PrivateKey

_LONGEST = 1023  # bytes of a passphrase, see lorafab.stores.keyring


def add_passphrase(command: Any) -> None:
    """Declare --passphrase-fd."""
    command.add_argument(
        "--passphrase-fd",
        type=int,
        metavar="N",
        help="read the passphrase from file descriptor N, its first line, instead of asking on the terminal",
    )


def add_private(command: Any) -> None:
    """Declare --private and --passphrase-fd, see :func:`open_private`."""
    command.add_argument(
        "--private", type=Path, required=True, metavar="FILE", help="the vault's private half, which opens sealed keys"
    )
    add_passphrase(command)


def open_private(options: argparse.Namespace) -> "PrivateKey":
    """Load what --private names; asks for a passphrase where the file wants one.

    A file that others can read is told on stderr, and taken all the same. Raises VaultError, UsageError.
    """
    from lorafab.run.redaction import guard_logging
    from lorafab.stores.keyring import load_private, wants_passphrase

    guard_logging()  # from here on keys are about, in libraries' hands too
    path: Path = options.private
    ask = options.passphrase_fd is not None or wants_passphrase(path)
    key = load_private(path, read_passphrase(options) if ask else None)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        print(f"lorafab: {path} can be read by others (mode {mode:o}, wanted 600); run `chmod 600`", file=sys.stderr)
    return key


def read_passphrase(options: argparse.Namespace) -> bytes:
    """From the file descriptor that --passphrase-fd names, or else from the terminal. Raises UsageError."""
    if options.passphrase_fd is None:
        return ask_terminal("Passphrase of the private half: ")
    return read_descriptor(options.passphrase_fd)


def read_descriptor(number: int) -> bytes:
    """First line of an open file descriptor, without its line end; at most 1023 bytes. Raises UsageError."""
    try:
        with open(number, "rb", closefd=False) as file:
            line = file.readline(_LONGEST + 3)
    except (OSError, ValueError):
        raise UsageError(
            f"file descriptor {number} cannot be read, wanted one that holds the passphrase; "
            "open it as in `--passphrase-fd 3 3<FILE`"
        ) from None
    text = line.removesuffix(b"\n").removesuffix(b"\r")
    if not text or len(text) > _LONGEST:
        raise UsageError(
            f"the passphrase on file descriptor {number} has {len(text) if len(text) <= _LONGEST else 'too many'} "
            f"bytes, wanted 1 to {_LONGEST}; write it there as one line"
        )
    return text


def ask_terminal(prompt: str) -> bytes:
    """Ask without echo. Raises UsageError where there is no terminal: a pipe is not taken in silence."""
    with warnings.catch_warnings():
        # Without a terminal getpass would read standard input, and show what is typed.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt).encode(errors="surrogateescape")
        except (EOFError, OSError, getpass.GetPassWarning):
            raise UsageError(
                "there is no terminal to ask for a passphrase; use one, or give --passphrase-fd N"
            ) from None
