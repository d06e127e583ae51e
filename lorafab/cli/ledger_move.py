"""``lorafab ledger move``: the ledger of one computer becomes the ledger of several."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorafab.cli.command import data_folder, verb
from lorafab.errors import LedgerError

if TYPE_CHECKING:
    from lorafab.interfaces import Clock
    from lorafab.stores.ledger import BaseLedger


def add(ledger: Any) -> None:
    """Declare the command below the noun ``ledger``."""
    move = verb(ledger, "move", _ledger_move, "move the ledger of this computer into PostgreSQL")
    move.add_argument("--data", type=Path, default=Path("data"), help="data folder (default: data)")
    move.add_argument(
        "--to-dsn-env", required=True, metavar="VARIABLE", help="this environment variable says which database"
    )


def _ledger_move(options: argparse.Namespace) -> object:
    from lorafab.drivers.clock import SystemClock
    from lorafab.run.station import dsn_from

    return move(data_folder(options), dsn_from(options.to_dsn_env), SystemClock())


def move(data: Path, dsn: str, clock: "Clock") -> dict[str, object]:
    """Copy, compare, close the files for ever, open the copy; killed at any instant, it is called again.

    Records, reports and the vault stay where they are. Raises LedgerError.
    """
    from lorafab.stores.postgres_ledger import PostgresLedger
    from lorafab.stores.postgres_move import finish, receive
    from lorafab.stores.stamp import utc_text
    from lorafab.stores.tiny_ledger import TinyLedger

    ledger_id, moved = TinyLedger.moved(data)
    if moved is None:
        TinyLedger.open(data, clock)  # completes what a killed run left
        source = TinyLedger.open(data, clock, read_only=True)
        with source.held():
            _refuse(source.check(), "the ledger to be moved")
            receive(dsn, source, utc_text(clock.now()))
            copy = PostgresLedger.open(dsn, clock, also_moving=True)
            _refuse([*copy.check(), *_differences(source, copy)], f"the copy in {copy.place}")
            source.seal(copy.place)
            head = source.head()
    else:
        copy, head = PostgresLedger.open(dsn, clock, also_moving=True), moved.head
        if copy.ledger_id != ledger_id:
            raise LedgerError(
                f"the ledger in {data} was moved to {moved.place}, and {copy.place} holds another one; nothing was "
                "changed, name that database"
            )
    if copy.state == "moving":
        _refuse([] if copy.head() == head else ["its head is another"], f"the copy in {copy.place}")
        finish(dsn)
    result = {"ledger": ledger_id, "place": copy.place, "head": copy.head(), "boards": _count(copy)}
    copy.close()
    return result


def _differences(source: "BaseLedger", copy: "BaseLedger") -> list[str]:
    problems = [] if copy.head() == source.head() else ["its head is another"]
    if (boards := _count(copy)) != (wanted := _count(source)):
        problems.append(f"it has {boards} boards of {wanted}")
    return problems


def _count(ledger: "BaseLedger") -> int:
    return sum(1 for _ in ledger.documents())


def _refuse(problems: list[str], what: str) -> None:
    if problems:
        raise LedgerError(
            f"{what} has {len(problems)} problems, the first: {problems[0]}; nothing was closed, show it to QA"
        )
