"""The whole ledger in PostgreSQL, checked: its chain, what it says now against the chain, and what must be unique.

The constraints of the schema forbid most of this, as long as nobody drops them.
"""

from collections.abc import Iterator

from lorafab.errors import LedgerError
from lorafab.stores import postgres_schema as sql
from lorafab.stores.claims import ClaimDocument, LotDocument
from lorafab.stores.history import genesis
from lorafab.stores.ledger import Document
from lorafab.stores.postgres_rows import (
    Query,
    Row,
    claim_row,
    entries,
    kcv_rows,
    lot_row,
    pages,
    parse_claim,
    parse_lot,
)


def audit(query: Query, ledger_id: str) -> Iterator[str]:
    """Say everything that is wrong, one sentence each; ``query`` sees one snapshot. Reads every row."""
    newest: dict[str, Document] = {}
    last: Row = (0, genesis(ledger_id))
    for step in entries(query, ledger_id):
        if isinstance(step, str):
            yield step
        else:
            newest[step.document.name] = step.document
            last = (step.seq, step.hash)
    head = query(sql.HEAD, ())
    if head != [last]:
        seq = head[0][0] if head else "none"
        yield f"the history ends at entry {last[0]} and its head says {seq}: the end of the history was cut or changed"
    kcvs: set[Row] = set()
    for row in pages(query, sql.CLAIMS, ""):
        yield from _claim(row, newest, kcvs)
    for row in pages(query, sql.LOTS, ""):
        yield from _lot(row, newest)
    for document in newest.values():
        yield f"{document.name} is in the history (entry {document.seq}) and its row is missing"
    yield from _kcvs(query, kcvs)
    for kind, statement in sql.REPEATED.items():
        for key, owners in query(statement, ()):
            yield f"{kind} {key} belongs to several DevEUIs: {owners}"


def _claim(row: Row, newest: dict[str, Document], kcvs: set[Row]) -> Iterator[str]:
    """One row of ``claims``; takes it out of ``newest`` and adds its check values to ``kcvs``."""
    dev_eui, *columns = row
    try:
        document = parse_claim(row[-1])
    except LedgerError:
        newest.pop(f"DevEUI {dev_eui}", None)
        yield f"the row of DevEUI {dev_eui} in lorafab.claims is no claim of this version of lorafab"
        return
    if claim_row(document) != (*columns, dev_eui):
        yield f"the row of DevEUI {dev_eui} in lorafab.claims is not what its own document says"
    yield from _compare(document, newest)
    found = kcv_rows(document)
    if len(set(found)) < len(found):
        yield f"DevEUI {document.dev_eui} has two keys with an equal check value: an equal key"
    kcvs.update(found)


def _lot(row: Row, newest: dict[str, Document]) -> Iterator[str]:
    """One row of ``lots``; takes it out of ``newest``."""
    try:
        document = parse_lot(row[1])
    except LedgerError:
        newest.pop(f"lot {row[0]}", None)
        yield f"the row of lot {row[0]} in lorafab.lots is none of this version of lorafab"
        return
    if lot_row(document) != (row[1], row[0]):
        yield f"the row of lot {row[0]} in lorafab.lots is not what its own document says"
    yield from _compare(document, newest)


def _compare(document: ClaimDocument | LotDocument, newest: dict[str, Document]) -> Iterator[str]:
    wanted = newest.pop(document.name, None)
    if wanted is None:
        yield f"{document.name} has a row (entry {document.seq}) and is missing from the history"
    elif document != wanted:
        yield f"{document.name}: the row (entry {document.seq}) is not what the history says (entry {wanted.seq})"


def _kcvs(query: Query, wanted: set[Row]) -> Iterator[str]:
    found = set(pages(query, sql.KCVS, ""))
    for kcv, dev_eui in sorted(wanted - found, key=str):
        yield f"key check value {kcv} of DevEUI {dev_eui} is missing from lorafab.kcvs, so an equal key would pass"
    for kcv, dev_eui in sorted(found - wanted, key=str):
        yield f"lorafab.kcvs gives key check value {kcv} to DevEUI {dev_eui}, which has no such key"
