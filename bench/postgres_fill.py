"""Fills a PostgreSQL ledger with a history that was made up, as fast as the server takes it."""

from collections.abc import Iterable

import psycopg

from lorafab.stores import postgres_schema as sql
from lorafab.stores.claims import ClaimDocument
from lorafab.stores.history import Entry
from lorafab.stores.postgres_rows import Row, claim_row, history_row, kcv_rows


def fill(dsn: str, entries: Iterable[Entry]) -> None:
    """Put ``entries``, one for each board, into the empty ledger in the database ``dsn``."""
    kcvs: list[Row] = []
    last: Row = ()
    with psycopg.connect(dsn) as first, psycopg.connect(dsn) as second:
        with first.cursor().copy(sql.COPY_HISTORY) as history, second.cursor().copy(sql.COPY_CLAIMS) as claims:
            for entry in entries:
                assert isinstance(entry.document, ClaimDocument)
                history.write_row(history_row(entry))
                claims.write_row(claim_row(entry.document))
                kcvs += kcv_rows(entry.document)
                last = (entry.seq, entry.hash)
        with second.cursor().copy(sql.COPY_KCVS) as copy:
            for row in kcvs:
                copy.write_row(row)
        first.execute(sql.ADVANCE, last)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")  # as autovacuum would have done, had the boards come one by one
