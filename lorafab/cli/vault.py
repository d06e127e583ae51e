"""``lorafab vault``: the keys that sealed keys are opened with."""

import argparse
import getpass
from pathlib import Path
from typing import Any

from lorafab.cli.command import noun, verb
from lorafab.errors import UsageError


def add(nouns: Any) -> None:
    """Declare the commands."""
    vault = noun(nouns, "vault", "sealed keys")
    init = verb(vault, "init", _vault_init, "make a key pair; stations get the public half only", read=False)
    init.add_argument("--private", type=Path, required=True, metavar="FILE", help="where the private half goes")
    init.add_argument("--no-passphrase", action="store_true", help="leave the private half unencrypted")
    init.add_argument("--public", type=Path, default=Path("stations/vault.pub"), metavar="FILE")


def _vault_init(options: argparse.Namespace) -> object:
    from lorafab.stores.vault import create_pair

    passphrase = None if options.no_passphrase else _ask_new_passphrase()
    key_id = create_pair(options.private, options.root / options.public, passphrase)
    return {"public": str(options.public), "key_id": key_id, "private": str(options.private)}


def _ask_new_passphrase() -> bytes:
    """Ask twice; a passphrase never stands on a command line."""
    try:
        first, second = (getpass.getpass(text) for text in ("Passphrase of the private half: ", "Once more: "))
    except (EOFError, OSError):
        raise UsageError("there is no terminal to ask for a passphrase; use one, or give --no-passphrase") from None
    if not first or first != second:
        raise UsageError("the two passphrases differ or are empty; nothing was made, start again")
    return first.encode()
