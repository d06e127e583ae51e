"""``lorafab ledger check``: is everything that is kept as it was written?"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorafab.cli.command import data_folder, open_ledger, show, verb
from lorafab.errors import ConfigError, LedgerError, UsageError

if TYPE_CHECKING:
    from lorafab.stores.ledger import BaseLedger


def add(ledger: Any) -> None:
    """Declare the command below the noun ``ledger``."""
    check = verb(ledger, "check", _ledger_check, "hold ledger, records and mirrors against the history", data=True)
    check.add_argument(
        "--mirror",
        type=Path,
        action="append",
        metavar="DIR",
        help="a folder with copies of the sealed keys, may be repeated (default: those of the station files)",
    )
    check.add_argument(
        "--rebuild", action="store_true", help="make claims and index anew from the history first, where that is sound"
    )


def _ledger_check(options: argparse.Namespace) -> object:
    from lorafab.stores.audit import Mirrors, audit_mirrors, audit_records
    from lorafab.stores.history import genesis
    from lorafab.stores.records import RecordStore

    if options.rebuild:
        _rebuild(options)
    problems: list[str] = []
    ledger = _open(options)
    problems += ledger.check()
    problems += audit_records(genesis(ledger.ledger_id), ledger.entries(), RecordStore(data_folder(options)))
    folders = _mirrors(options, problems)
    mirrors = audit_mirrors(ledger.entries(), folders) if folders else Mirrors()
    problems += mirrors.problems
    said = {
        "ledger": ledger.ledger_id,
        "head": _head(ledger),
        "mirrors": [str(folder) for folder in folders],
        "problems": problems,
        "orphans": mirrors.orphans,
    }
    ledger.close()
    show(said, as_json=options.json)
    if problems:
        raise LedgerError(f"the ledger has {len(problems)} problems, the first: {problems[0]}; stop, and show it to QA")
    return None


def _rebuild(options: argparse.Namespace) -> None:
    from lorafab.drivers.clock import SystemClock
    from lorafab.stores.tiny_ledger import TinyLedger

    if options.dsn_env is not None:
        raise UsageError("a ledger in PostgreSQL is one with its history, so there is nothing to rebuild; leave it out")
    TinyLedger.rebuild(data_folder(options), SystemClock())


def _open(options: argparse.Namespace) -> "BaseLedger":
    """Writable: a change that a kill cut short is completed first, as the next run would do."""
    try:
        return open_ledger(options, read_only=False)
    except LedgerError:
        # What keeps a run from starting is what the check is to name; a ledger that is missing is refused again.
        return open_ledger(options)


def _head(ledger: "BaseLedger") -> str | None:
    try:
        return ledger.head()
    except LedgerError:
        return None  # one of the problems


def _mirrors(options: argparse.Namespace, problems: list[str]) -> list[Path]:
    """Folders to look into: the ones that were named, or those of the station files as far as they are there."""
    from lorafab.config.load import read_station, station_names

    if options.mirror:
        return list(options.mirror)
    folders: list[Path] = []
    for name in station_names(options.root):
        try:
            mirror = read_station(options.root, name)[1].vault.mirror
        except ConfigError as problem:
            problems.append(f"whether station {name} has a mirror is unknown ({problem})")
            continue
        if mirror is not None and (options.root / mirror).is_dir() and options.root / mirror not in folders:
            folders.append(options.root / mirror)
    return folders
