"""The line to one PostgreSQL database: connected when it is needed, and every trouble a sentence.

The password of a connection string never reaches a message: libpq quotes pieces of a string that it cannot parse, so
such a string is refused without libpq's words.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lorafab.errors import LedgerError

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ImportError as problem:
    raise LedgerError(
        "the ledger is in PostgreSQL, and psycopg is not installed (or finds no libpq); install it with "
        "`pip install 'lorafab[postgresql]'`"
    ) from problem

# What it would warn of (a pipeline that ended with its connection) is told in a sentence.
logging.getLogger("psycopg").setLevel(logging.ERROR)

Connection = psycopg.Connection[tuple[object, ...]]
Trouble = psycopg.Error
CONFLICTS = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
"""Another transaction was faster: nothing was changed, start over (SQLSTATE 40001 and 40P01)."""
VIOLATION = psycopg.IntegrityError
"""A constraint of the schema; :data:`DUPLICATE` (23505) is one."""
DUPLICATE = psycopg.errors.UniqueViolation
EXISTS = (psycopg.errors.DuplicateSchema, psycopg.errors.UniqueViolation)
ABSENT = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)

# An unreachable host is a sentence after 5 s; a cable that is pulled later, after some 11 s. A connection string may
# say otherwise. Units: seconds, but for tcp_user_timeout (milliseconds).
_DEFAULTS = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "lorafab",
}
STATEMENT_S = 15
# A COMMIT that returns is on disk, whatever the server's default is. A station that loses power in the middle of a
# transaction holds the ledger for 15 s at most.
_SESSION = (
    f"SET synchronous_commit TO on; SET statement_timeout TO '{STATEMENT_S}s'; "
    f"SET idle_in_transaction_session_timeout TO '{STATEMENT_S}s'; "
    "SELECT current_setting('server_encoding', true), current_setting('fsync', true)"
)
_PLAIN = re.compile(r"[\w.:,/\-]*", re.ASCII)
_READ_ONLY = ("25006", "0A000")  # a read-only transaction; no serializable one on a hot standby
_WRONG_DSN = (
    "the connection string of PostgreSQL is malformed, wanted postgresql://USER:PASSWORD@HOST:PORT/DATABASE with "
    "special characters of the password written as %XX; correct the environment variable"
)


class Server:
    """One database; ``dsn`` is a connection string (URI, or libpq's keywords). Raises LedgerError."""

    _connection: Connection | None = None

    def __init__(self, dsn: str) -> None:
        try:
            given = conninfo_to_dict(dsn)
        except (psycopg.ProgrammingError, UnicodeDecodeError):  # the latter of %90 and its like
            raise LedgerError(_WRONG_DSN) from None  # the cause quotes the string
        host = str(given.get("host") or given.get("hostaddr") or os.environ.get("PGHOST") or "localhost")
        port = str(given.get("port") or os.environ.get("PGPORT") or "5432")
        database = str(given.get("dbname") or os.environ.get("PGDATABASE") or "-")
        # A password with an unescaped @, / or : spills over into its neighbours.
        if not all(map(_PLAIN.fullmatch, (host, port, database))) or not port.replace(",", "").isdigit():
            raise LedgerError(_WRONG_DSN)
        self.place = f"database {database} on {host}:{port}"
        """What messages call it."""
        self._password = str(given.get("password") or "")
        settings = _DEFAULTS | {name: str(value) for name, value in given.items()} | {"client_encoding": "UTF8"}
        self._conninfo = make_conninfo(**settings)

    def __del__(self) -> None:
        """Hang up: whoever asks one question does not have to."""
        self.close()

    @contextmanager
    def link(self) -> Iterator[Connection]:
        """A connection in autocommit mode, opened if need be; what is left in a transaction is rolled back.

        Raises LedgerError when there is no way to open one, and psycopg.Error as it comes.
        """
        connection = self._connection
        if connection is None or connection.closed:
            connection = self._connection = self._open()
        try:
            yield connection
        except BaseException:
            with suppress(psycopg.Error):
                connection.rollback()
            if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                connection.close()
            raise

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """Like :meth:`link`, with every psycopg.Error as a LedgerError."""
        with self.errors(), self.link() as connection:
            yield connection

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn a psycopg.Error into a LedgerError with a sentence."""
        try:
            yield
        except psycopg.Error as problem:
            raise LedgerError(self._sentence(problem)) from problem

    def close(self) -> None:
        """Hang up; the next call connects again. May be called twice."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _open(self) -> Connection:
        try:
            # A pooler in between may hand the next transaction to another session: nothing is prepared there.
            connection = psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=None)
        except psycopg.Error as problem:
            raise LedgerError(
                f"PostgreSQL, {self.place}, cannot be reached ({self._reason(problem)}); check server, network and "
                "connection string, then start the run again"
            ) from None  # libpq may quote what it was given
        try:
            row = _last_row(connection, _SESSION)
            if row[0] not in ("UTF8", None) or row[1] == "off":
                raise LedgerError(
                    f"{self.place} has encoding {row[0]} and fsync {row[1]}, wanted UTF8 and on: labels could not be "
                    "kept, or not survive a power cut; make a database in UTF8, or switch fsync on"
                )
        except BaseException:
            connection.close()
            raise
        return connection

    def _sentence(self, problem: psycopg.Error) -> str:
        reason, lost = self._reason(problem), self._connection is None or self._connection.closed
        if problem.sqlstate in _READ_ONLY:
            return (
                f"{self.place} is for reading only ({reason}): a standby, or switched so; connect to the server "
                "that takes changes, then start the run again"
            )
        if lost:
            return (
                f"the connection to {self.place} was lost before anything was changed ({reason}); check server and "
                "network, then start the run again"
            )
        if isinstance(problem, VIOLATION):
            return (
                f"{self.place} refuses what the ledger's rules allow ({reason}), so nothing was changed; stop, and "
                "look with `lorafab ledger check`"
            )
        if isinstance(problem, psycopg.errors.QueryCanceled):
            return (
                f"{self.place} did not answer in {STATEMENT_S} s ({reason}), so nothing was changed; look for what "
                "keeps the server busy, then start the run again"
            )
        return (
            f"{self.place} refused a statement ({reason}), so nothing was changed; correct it, then start the run again"
        )

    def _reason(self, problem: psycopg.Error) -> str:
        """The library's words in one line, without what may be a password."""
        text = problem.diag.message_primary or str(problem).strip().partition("\n")[0]
        text = " ".join(text.rpartition("failed: ")[2].split()) or type(problem).__name__
        return text.replace(self._password, "***") if self._password else text


def _last_row(connection: Connection, statements: str) -> tuple[object, ...]:
    """Run several statements in one round trip; returns the first row of the last one's result."""
    cursor = connection.execute(statements.encode())
    while cursor.nextset():
        pass
    row = cursor.fetchone()
    assert row is not None
    return row
