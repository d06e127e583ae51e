"""``lorafab vault``: the keys that sealed keys are opened with."""

import argparse
from pathlib import Path
from typing import Any

from lorafab.cli.command import decided, noun, open_ledger, show, verb
from lorafab.cli.private_key import add_passphrase, add_private, ask_terminal, open_private, read_passphrase
from lorafab.errors import UsageError, VaultError


def add(nouns: Any) -> None:
    """Declare the commands."""
    vault = noun(nouns, "vault", "sealed keys")
    init = verb(vault, "init", _vault_init, "make a key pair; stations get the public half only", read=False)
    init.add_argument("--private", type=Path, required=True, metavar="FILE", help="where the private half goes")
    init.add_argument("--public", type=Path, default=Path("stations/vault.pub"), metavar="FILE")
    protection = init.add_mutually_exclusive_group()
    add_passphrase(protection)
    protection.add_argument("--no-passphrase", action="store_true", help="leave the private half unencrypted")

    sealed = verb(vault, "show", _vault_show, "which public keys the ledger's keys are sealed to", data=True)
    sealed.add_argument(
        "--escrow", type=Path, metavar="FILE", help="the escrow's public half: keys without it are named"
    )
    _lot(sealed)

    check = verb(vault, "check", _vault_check, "open every key of the ledger and compare its check value", data=True)
    add_private(check)
    _lot(check)

    rotate = verb(vault, "rotate", _vault_rotate, "seal every key to another public key as well", data=True)
    add_private(rotate)
    rotate.add_argument("--to", type=Path, required=True, metavar="FILE", help="the new public half")
    _lot(rotate)
    decided(rotate)


def _lot(command: Any) -> None:
    command.add_argument("--lot", metavar="LOT", help="this lot only")


def _lot_of(options: argparse.Namespace) -> str | None:
    """The lot, which exists: of a misspelt one every key would be in order. Raises ConfigError."""
    from lorafab.config.load import load_lot

    return None if options.lot is None else load_lot(options.root, options.lot).lot


def _vault_init(options: argparse.Namespace) -> object:
    from lorafab.stores.keyring import create_pair

    passphrase = None if options.no_passphrase else _new_passphrase(options)
    key_id = create_pair(options.private, options.root / options.public, passphrase)
    return {"public": str(options.public), "key_id": key_id, "private": str(options.private)}


def _new_passphrase(options: argparse.Namespace) -> bytes:
    """A descriptor is read once, a person is asked twice."""
    if options.passphrase_fd is not None:
        return read_passphrase(options)
    first, second = (ask_terminal(text) for text in ("Passphrase of the private half: ", "Once more: "))
    if not first or first != second:
        raise UsageError("the two passphrases differ or are empty; nothing was made, start again")
    return first


def _vault_show(options: argparse.Namespace) -> object:
    from lorafab.stores.rotation import holders
    from lorafab.stores.vault import load_public

    escrow = load_public(options.escrow) if options.escrow else None
    found = holders(open_ledger(options), _lot_of(options), escrow)
    return {"keys": found.keys, "opens": found.opens, "without_escrow": list(found.without_escrow)}


def _vault_check(options: argparse.Namespace) -> object:
    from lorafab.stores.rotation import check

    lot, private = _lot_of(options), open_private(options)
    found = check(open_ledger(options), private, lot)
    return _told(options, {"opened": found.opened}, found.problems, "do not open")


def _vault_rotate(options: argparse.Namespace) -> object:
    from lorafab.stores.rotation import rotate
    from lorafab.stores.vault import load_public

    lot, public, private = _lot_of(options), load_public(options.to), open_private(options)
    ledger = open_ledger(options, read_only=False)
    done = rotate(ledger, private, public, lot, reason=options.reason, operator=options.operator)
    return _told(options, {"boxes_added": done.added, "had_one": done.had}, done.problems, "could not be handed on")


def _told(options: argparse.Namespace, counts: dict[str, object], problems: tuple[str, ...], what: str) -> object:
    """Show the counts; where there are problems they go with them, and the command fails with the first."""
    if not problems:
        return {**counts, "problems": []}
    show({**counts, "problems": list(problems)}, as_json=options.json)
    raise VaultError(f"{len(problems)} keys {what}, the first: {problems[0]}")
