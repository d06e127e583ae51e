"""The ledger of several computers, in PostgreSQL (schema: :mod:`lorafab.stores.postgres_schema`).

A change is one SERIALIZABLE transaction that locks the head of the history first, so that changes come one after the
other; who had to wait finds that the head has moved and starts over with what is there now. A connection that is lost
before COMMIT changes nothing. One that is lost at COMMIT leaves a doubt: the ledger connects again, waits on the
head's lock until the old transaction has ended one way or the other, and looks for its own history entry before it
says anything. Nothing of a change is used before that, no key least of all.
"""

import random
import time
import uuid
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Self

from lorafab.domain.identity import Eui64
from lorafab.errors import LedgerError
from lorafab.interfaces import Clock
from lorafab.stores import postgres_schema as sql
from lorafab.stores.claims import ClaimDocument, LotDocument
from lorafab.stores.history import Entry, genesis, make_entry
from lorafab.stores.ledger import BaseLedger, Change, Document, Work
from lorafab.stores.postgres_rows import (
    Query,
    Row,
    claim_row,
    entries,
    history_row,
    kcv_rows,
    lot_row,
    pages,
    parse_claim,
    parse_lot,
)
from lorafab.stores.postgres_server import (
    ABSENT,
    CONFLICTS,
    DUPLICATE,
    EXISTS,
    VIOLATION,
    Connection,
    Server,
    Trouble,
)
from lorafab.stores.stamp import utc_text

_DEADLINE_S = 30.0  # for all attempts of one change; of 8 processes that do nothing else, the slowest took 2.4 s
_DOUBT_S = 30.0  # a server that crashed needs some seconds until it answers again
# About one transaction: longer pauses leave the head idle, shorter ones only wake each other. They grow slowly, for
# engines that abort at once instead of waiting for a lock.
_PAUSE_S = 0.002
_PAUSE_GROWTH = 1 / 16

_DICE = random.SystemRandom()


class PostgresLedger(BaseLedger):
    """The ledger of several computers; made by :meth:`create` or :meth:`open`."""

    def __init__(self, server: Server, clock: Clock, ledger_id: str, state: str) -> None:
        super().__init__(clock)
        self._server, self._ledger_id = server, ledger_id
        self.state = state
        """*ready*, or *moving* as long as `lorafab ledger move` is not through."""

    @classmethod
    def create(cls, dsn: str, clock: Clock) -> Self:
        """Start a new, empty ledger in the database ``dsn``. Raises LedgerError, also when there is one already."""
        server, ledger_id = Server(dsn), uuid.uuid4().hex
        try:
            with server.errors(), server.link() as connection, connection.transaction():
                connection.execute(sql.CREATE.encode())
                connection.execute(sql.NEW_ABOUT, (sql.VERSION, ledger_id, utc_text(clock.now()), "ready"))
                connection.execute(sql.NEW_HEAD, (0, genesis(ledger_id)))
        except LedgerError as problem:
            cause = problem.__cause__
            if isinstance(cause, EXISTS):
                raise LedgerError(f"{server.place} already holds a ledger; use it, or make another database") from None
            raise
        finally:
            server.close()
        return cls.open(dsn, clock)

    @classmethod
    def open(cls, dsn: str, clock: Clock, also_moving: bool = False) -> Self:
        """Open the ledger in the database ``dsn``.

        Raises LedgerError when there is none, it is of another version, or (unless ``also_moving``) still *moving*.
        """
        server = Server(dsn)
        ledger_id, state = _read_about(server)
        if state == "moving" and not also_moving:
            raise LedgerError(
                f"the ledger in {server.place} is a copy that is not finished; call `lorafab ledger move` again, which "
                "completes it"
            )
        return cls(server, clock, ledger_id, state)

    @property
    def ledger_id(self) -> str:
        """Which ledger this is, 32 hex digits; a lot names the one that it belongs to."""
        return self._ledger_id

    @property
    def place(self) -> str:
        """Database, host and port."""
        return self._server.place

    def head(self) -> str:
        """Hash of the newest entry of the history, 64 lower-case hex digits. Raises LedgerError."""
        return str(self._query(sql.HEAD, ())[0][1])

    def entries(self) -> Iterator[Entry | str]:
        """Walk the whole chain: each entry, and between them one sentence for each thing that is wrong."""
        return entries(self._query, self._ledger_id)

    def documents(self, lot: str | None = None) -> Iterator[ClaimDocument]:
        """Every identity (of one lot), some hundred at a time. Raises LedgerError at a damaged one."""
        statement, more = (sql.CLAIMS, ()) if lot is None else (sql.CLAIMS_OF_LOT, (lot,))
        return (parse_claim(row[-1]) for row in pages(self._query, statement, "", *more))

    def check(self) -> list[str]:
        """Check everything, in one snapshot; an empty list means that the ledger is sound."""
        from lorafab.stores.postgres_audit import audit

        try:
            with self._server.session() as connection:
                connection.execute(sql.BEGIN_SNAPSHOT)
                problems = list(audit(_query_of(connection), self._ledger_id))
                connection.execute("COMMIT")
                return problems
        except LedgerError as problem:
            return [str(problem)]

    def close(self) -> None:
        """Hang up; the next call connects again. May be called twice."""
        self._server.close()

    # Inside

    def _query(self, statement: str, values: Sequence[object]) -> list[Row]:
        with self._server.session() as connection:
            return _query_of(connection)(statement, values)

    def _read(self) -> "Rows":
        return Rows(self._query)

    def _change(self, work: Work) -> Document:
        deadline, violated = time.monotonic() + _DEADLINE_S, False
        for attempt in count():
            try:
                with self._server.errors():
                    document = self._attempt(work)
                if document is not None:
                    return document
            except LedgerError as problem:
                cause = problem.__cause__
                if isinstance(cause, DUPLICATE) and not violated:
                    violated = True  # somebody was faster: now the rules can say who
                elif not isinstance(cause, CONFLICTS):
                    raise
            if time.monotonic() > deadline:
                raise LedgerError(
                    f"{self.place} was changed by others at each of {attempt + 1} attempts in {_DEADLINE_S:.0f} s, so "
                    "nothing was changed here; look for what keeps the server busy, then start the run again"
                )
            time.sleep(_DICE.uniform(0, _PAUSE_S * (1 + attempt * _PAUSE_GROWTH)))
        raise AssertionError  # count() does not end

    def _attempt(self, work: Work) -> Document | None:
        """One transaction; None when its COMMIT got no answer and has not come through."""
        with self._server.link() as connection:
            seq, head = _head(connection, sql.BEGIN)
            change = work(Rows(_query_of(connection)))
            if not isinstance(change, Change):
                connection.rollback()
                return change
            now = self._now()
            new = change.new.changed(seq=seq + 1, updated=now)
            entry = make_entry(change.entry(now), new, head)
            with connection.pipeline():
                _write(connection, entry, change.previous)
            try:
                connection.execute("COMMIT")
            except (*CONFLICTS, VIOLATION):
                raise  # the server says that nothing was changed
            except Trouble:
                connection.close()
                return new if self._is_made(entry) else None
            return new

    def _is_made(self, entry: Entry) -> bool:
        """Whether a COMMIT without an answer came through. Raises LedgerError when nobody says so in time."""
        deadline = time.monotonic() + _DOUBT_S
        while True:
            try:
                with self._server.session() as connection:
                    _head(connection, sql.BEGIN_READ_BACK)  # as long as the old transaction lives, this waits
                    found = _query_of(connection)(sql.HASH, (entry.seq,))
                    connection.rollback()
                    return found == [(entry.hash,)]
            except LedgerError as problem:
                if time.monotonic() > deadline:
                    raise LedgerError(
                        f"the connection to {self.place} was lost while {entry.document.name} was being changed, and "
                        f"for {_DOUBT_S:.0f} s nobody could say whether entry {entry.seq} was made; nothing was "
                        "written to the board because of it, start the run again when the server answers"
                    ) from problem
            time.sleep(_DICE.uniform(0.05, 0.2))


class Rows:
    """Implements :class:`lorafab.stores.ledger.Reader` with one statement a question."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def get(self, dev_eui: Eui64) -> ClaimDocument | None:
        """Find an identity. Raises LedgerError."""
        rows = self._query(sql.CLAIM, (str(dev_eui),))
        return parse_claim(rows[0][0]) if rows else None

    def holders(self, kind: str, key: str, settled: bool = False) -> list[ClaimDocument]:
        """Identities that have this label, serial, chip or kcv; nothing is ever found half here."""
        return [parse_claim(row[0]) for row in self._query(sql.HOLDERS[kind], (key,))]

    def lot(self, name: str) -> LotDocument | None:
        """What is noted of a lot. Raises LedgerError."""
        rows = self._query(sql.LOT, (name,))
        return parse_lot(rows[0][0]) if rows else None


def _query_of(connection: Connection) -> Query:
    return lambda statement, values: connection.execute(statement.encode(), values).fetchall()


def _head(connection: Connection, begin: str) -> tuple[int, str]:
    """Begin a transaction that holds the head of the history: entry number and hash."""
    cursor = connection.execute(begin.encode())
    cursor.nextset()
    row = cursor.fetchone()
    assert row is not None
    return int(str(row[0])), str(row[1])


def _write(connection: Connection, entry: Entry, previous: Document | None) -> None:
    new = entry.document
    connection.execute(sql.APPEND, history_row(entry))
    if isinstance(new, LotDocument):
        connection.execute(sql.NEW_LOT if previous is None else sql.SAVE_LOT, lot_row(new))
    else:
        assert not isinstance(previous, LotDocument)
        connection.execute(sql.NEW_CLAIM if previous is None else sql.SAVE_CLAIM, claim_row(new))
        known = kcv_rows(previous) if previous else []
        for row in kcv_rows(new):
            if row not in known:
                connection.execute(sql.NEW_KCV, row)
    connection.execute(sql.ADVANCE, (entry.seq, entry.hash))


def _read_about(server: Server) -> tuple[str, str]:
    """Ledger id and state, when lorafab of this version can work with it. Raises LedgerError."""
    try:
        with server.session() as connection:
            found = _query_of(connection)(sql.ABOUT, ())
    except LedgerError as problem:
        cause = problem.__cause__
        if isinstance(cause, ABSENT):
            raise LedgerError(
                f"there is no ledger in {server.place}; start one with `lorafab ledger init --dsn-env VARIABLE`, once"
            ) from None
        raise
    version, ledger_id, state = found[0] if found else ("-", "", "")
    if version != sql.VERSION:
        raise LedgerError(
            f"the ledger in {server.place} has schema version {version}, wanted {sql.VERSION}; use the lorafab that "
            "made it, or restore it from the backup"
        )
    return str(ledger_id), str(state)
