"""A ledger comes from files into PostgreSQL: the same id, the same history, the same hashes.

Everything is copied in one transaction, into a ledger that is *moving* and that no station opens. Only when the files
are closed for ever does it become *ready*; a copy that was killed before that is thrown away and made again.
"""

from collections.abc import Iterable, Iterator

from lorafab.errors import LedgerError
from lorafab.stores import postgres_schema as sql
from lorafab.stores.claims import LotDocument
from lorafab.stores.history import Entry, genesis
from lorafab.stores.ledger import BaseLedger
from lorafab.stores.postgres_rows import Row, claim_row, history_row, kcv_rows, lot_row
from lorafab.stores.postgres_server import ABSENT, Connection, Server


def receive(dsn: str, source: BaseLedger, created: str) -> None:
    """Copy ``source``, which nobody changes meanwhile, into the database ``dsn``; it is *moving* afterwards.

    Replaces an unfinished copy of the same ledger. ``created`` is when (UTC). Raises LedgerError, also when the
    database holds any other ledger, or this one *ready*.
    """
    server = Server(dsn)
    try:
        with server.errors(), server.link() as connection, connection.transaction():
            _make_room(connection, server.place, source.ledger_id)
            connection.execute(sql.CREATE.encode())
            connection.execute(sql.NEW_ABOUT, (sql.VERSION, source.ledger_id, created, "moving"))
            _copy_in(connection, source)
    finally:
        server.close()


def finish(dsn: str) -> None:
    """Let stations use the ledger that was received. Raises LedgerError."""
    server = Server(dsn)
    with server.session() as connection:
        connection.execute(sql.READY)
    server.close()


def _make_room(connection: Connection, place: str, ledger_id: str) -> None:
    # A copy takes as long as it takes; the head is not there yet, so nobody waits for it.
    connection.execute("SET LOCAL statement_timeout TO 0; SET LOCAL idle_in_transaction_session_timeout TO 0")
    try:
        with connection.transaction():
            found = connection.execute(sql.ABOUT).fetchall()
    except ABSENT:
        return
    if found != [(sql.VERSION, ledger_id, "moving")]:
        known = found[0] if found else ("-", "-", "-")
        raise LedgerError(
            f"{place} holds ledger {known[1]} already ({known[2]}, schema version {known[0]}), and {ledger_id} was to "
            "be moved there; move into an empty database"
        )
    connection.execute(sql.DROP)


def _copy_in(connection: Connection, source: BaseLedger) -> None:
    lots: dict[str, LotDocument] = {}
    last: Row = (0, genesis(source.ledger_id))
    with connection.cursor().copy(sql.COPY_HISTORY) as copy:
        for entry in _sound(source.entries()):
            copy.write_row(history_row(entry))
            last = (entry.seq, entry.hash)
            if entry.lot is not None:
                lots[entry.lot.lot] = entry.lot
    connection.execute(sql.NEW_HEAD, last)
    _copy(connection, sql.COPY_CLAIMS, map(claim_row, source.documents()))
    _copy(connection, sql.COPY_KCVS, (row for document in source.documents() for row in kcv_rows(document)))
    _copy(connection, sql.COPY_LOTS, map(lot_row, lots.values()))


def _sound(entries: Iterable[Entry | str]) -> Iterator[Entry]:
    for entry in entries:
        if isinstance(entry, str):
            raise LedgerError(f"the ledger to be moved is damaged ({entry}); restore it from the backup first")
        yield entry


def _copy(connection: Connection, statement: str, rows: Iterable[Row]) -> None:
    with connection.cursor().copy(statement.encode()) as copy:
        for row in rows:
            copy.write_row(row)
