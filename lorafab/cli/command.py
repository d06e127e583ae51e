"""What the commands share: how they are declared, what they print, and how they open the ledger.

A command that opens sealed keys takes ``add_private(command)`` and ``open_private(options)`` from
:mod:`lorafab.cli.private_key`, which ask for the passphrase as well; ``open_key`` of :mod:`lorafab.stores.keyring`
opens a key of the ledger and checks it.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from lorafab.domain.label_refusal import looks_like_key
from lorafab.errors import UsageError

if TYPE_CHECKING:
    from lorafab.stores.ledger import BaseLedger

Handler = Callable[[argparse.Namespace], object]


class Parser(argparse.ArgumentParser):
    """Errors become UsageError, one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError; argparse quotes what it was given, and that may be a label that carries a key."""
        if looks_like_key(message):
            message = "an argument does not belong there or is no possible value (not shown, it may hold a key)"
        raise UsageError(f"{message}; `{self.prog} --help` shows what is possible")


def noun(nouns: Any, name: str, text: str) -> Any:
    """Declare a noun; its verbs are added to what is returned."""
    return nouns.add_parser(name, help=text).add_subparsers(dest="verb", required=True, metavar="VERB")


def verb(group: Any, name: str, handler: Handler, text: str, *, read: bool = True, data: bool = False) -> Any:
    """Declare a command: ``read`` ones take --json, those that touch the line's ``data`` say where it is."""
    command = group.add_parser(name, help=text, description=text)
    command.set_defaults(handler=handler)
    command.add_argument("--root", type=Path, default=Path(), help="the project's folder (default: this one)")
    if read:
        command.add_argument("--json", action="store_true", help="print one JSON document")
    if data:
        command.add_argument("--data", type=Path, default=Path("data"), help="data folder (default: data)")
        command.add_argument(
            "--dsn-env", metavar="VARIABLE", help="the ledger is in PostgreSQL; this environment variable says where"
        )
    return command


def decided(command: Any) -> None:
    """Declare who decided, and why: both go into the ledger's history."""
    command.add_argument("--reason", required=True, help="kept in the ledger's history")
    command.add_argument("--operator", required=True, metavar="NAME", help="who decided it")


def data_folder(options: argparse.Namespace) -> Path:
    """Where the line's data lies."""
    folder: Path = options.root / options.data
    return folder


def open_ledger(options: argparse.Namespace, *, read_only: bool = True) -> "BaseLedger":
    """Open the ledger that the command names. Raises LedgerError, UsageError."""
    from lorafab.drivers.clock import SystemClock
    from lorafab.run.station import dsn_from
    from lorafab.stores.tiny_ledger import TinyLedger

    if options.dsn_env is not None:
        from lorafab.stores.postgres_ledger import PostgresLedger

        return PostgresLedger.open(dsn_from(options.dsn_env), SystemClock())
    return TinyLedger.open(data_folder(options), SystemClock(), read_only=read_only)


def ledger_or_none(options: argparse.Namespace) -> "BaseLedger | None":
    """A lot's labels can be shown before there is a ledger."""
    exists = options.dsn_env is not None or (data_folder(options) / "ledger").exists()
    return open_ledger(options) if exists else None


_NOTHING: Final[tuple[object, ...]] = (None, "", [], {})


def show(result: object, *, as_json: bool) -> None:
    """Print a result for people, or as one JSON document."""
    text = json.dumps(result, indent=2, ensure_ascii=False) if as_json else "\n".join(_lines(result))
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:  # a name in letters that this terminal lacks: the work is done, so it is shown somehow
        text = json.dumps(result, indent=2) if as_json else text.encode(encoding, "backslashreplace").decode(encoding)
    print(text)


def _lines(value: object, indent: str = "") -> list[str]:
    """For people: one `key: value` a line, lists below their key."""
    if isinstance(value, Mapping):
        lines: list[str] = []
        for key, item in value.items():
            if isinstance(item, (Mapping, list)) and item:
                lines += [f"{indent}{key}:", *_lines(item, indent + "  ")]
            else:
                lines.append(f"{indent}{key}: {item if item not in _NOTHING else '-'}")
        return lines
    if isinstance(value, list):
        return [line for item in value for line in _lines(item, indent)] or [f"{indent}none"]
    return [f"{indent}{value}"]
