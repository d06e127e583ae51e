"""Documents and history entries as rows of PostgreSQL tables, and back."""

from collections.abc import Callable, Iterator, Sequence

from pydantic import ValidationError

from lorafab.errors import LedgerError
from lorafab.stores import postgres_schema as sql
from lorafab.stores.claims import ClaimDocument, LotDocument
from lorafab.stores.history import Entry, canonical, chained, genesis, is_genuine

Row = tuple[object, ...]
Query = Callable[[str, Sequence[object]], list[Row]]
"""Runs one statement with its values and returns all rows."""


def history_row(entry: Entry) -> Row:
    """An entry as a row of ``history``: seq, hash, prev, entry."""
    return entry.seq, entry.hash, entry.prev, canonical(entry).decode()


def claim_row(document: ClaimDocument) -> Row:
    """A claim as a row of ``claims``: label, lot, serial, chip_id, state, document, dev_eui."""
    return (
        document.label,
        document.lot,
        document.serial,
        document.chip_id,
        document.state,
        document.model_dump_json(),
        document.dev_eui,
    )


def kcv_rows(document: ClaimDocument) -> list[Row]:
    """A claim's rows of ``kcvs``: kcv, dev_eui; in the order in which its keys were made."""
    return [(kcv, document.dev_eui) for key in document.generations for kcv in key.kcvs]


def lot_row(document: LotDocument) -> Row:
    """A lot as a row of ``lots``: document, lot."""
    return document.model_dump_json(), document.lot


def parse_claim(text: object) -> ClaimDocument:
    """Read ``claims.document``. Raises LedgerError."""
    try:
        return ClaimDocument.model_validate_json(str(text))
    except ValidationError as problem:
        raise _damaged("claims") from problem


def parse_lot(text: object) -> LotDocument:
    """Read ``lots.document``. Raises LedgerError."""
    try:
        return LotDocument.model_validate_json(str(text))
    except ValidationError as problem:
        raise _damaged("lots") from problem


def _damaged(table: str) -> LedgerError:
    return LedgerError(
        f"a document of table lorafab.{table} is damaged or of another version of lorafab; stop, and restore the "
        "ledger from the backup"
    )


def pages(query: Query, statement: str, first: object, *values: object) -> Iterator[Row]:
    """All rows of a statement that continues after a key: its first value, and the first column of its rows."""
    last = first
    while rows := query(statement, (last, *values)):
        yield from rows
        last = rows[-1][0]
        if len(rows) < sql.PAGE:
            return


def entries(query: Query, ledger_id: str) -> Iterator[Entry | str]:
    """Walk the whole chain: each entry, and between them one sentence for each thing that is wrong."""
    rows = pages(query, sql.ENTRIES, 0)
    return chained((("lorafab.history", _parse_entry(row)) for row in rows), genesis(ledger_id))


def _parse_entry(row: Row) -> Entry | str:
    """Read one row of ``history``; a text says what is wrong with it."""
    try:
        entry = Entry.model_validate_json(str(row[-1]))
    except ValidationError:
        return f"row {row[0]} is no entry of a ledger"
    if history_row(entry) != row or not is_genuine(entry):
        return f"entry {row[0]} was changed after it was written (its hash is wrong)"
    return entry
