"""PostgreSQL for the ledger's tests: a place for a ledger, and a line that is cut at a chosen instant."""

import select
import socket
import threading
import time
from contextlib import suppress
from typing import Literal

from lorafab.stores.ledger import BaseLedger
from lorafab.stores.postgres_ledger import PostgresLedger
from tests_unit.fakes import FakeClock
from tests_unit.postgres_server import PostgresServer

Cut = Literal["before", "after", "late", "never"]
_COMMIT = b"COMMIT\0"  # as psycopg sends it, in a simple query
_LATE_S = 0.5


class PostgresHome:
    """An empty database of the test server."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.dsn = server.database()

    def create(self) -> BaseLedger:
        return PostgresLedger.create(self.dsn, FakeClock())

    def open(self, read_only: bool = False) -> BaseLedger:
        if read_only:  # as an administrator does it for an auditor
            return PostgresLedger.open(f"{self.dsn}?options=-cdefault_transaction_read_only%3Don", FakeClock())
        return PostgresLedger.open(self.dsn, FakeClock())

    def other(self) -> "PostgresHome":
        return PostgresHome(self.server)


class Wire:
    """A TCP line to the server on a port of its own, cut once, at a COMMIT.

    ``before``: the COMMIT never arrives. ``after``: it arrives and is answered, the answer is lost. ``late``: the
    client's end is cut at once, and the COMMIT arrives half a second later. Afterwards whatever comes goes through;
    with ``stay_dead`` nobody answers any more until ``dead`` is cleared.
    """

    def __init__(self, server: PostgresServer, cut: Cut) -> None:
        self._target, self._cut = server.port, cut
        self.stay_dead = False
        self.dead = False
        self.commits = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def dsn(self, dsn: str) -> str:
        """The same database, through this line."""
        return dsn.replace(f":{self._target}/", f":{self.port}/")

    def close(self) -> None:
        """Take it down."""
        _shut(self._listener)
        for end in self._sockets:
            _shut(end)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError), self._listener:
            while True:
                client, _ = self._listener.accept()
                if self.dead:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                self._threads.append(threading.Thread(target=self._forward, args=(client, server), daemon=True))
                self._threads[-1].start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError), client, server:  # whoever closes them, it is this thread
            while True:
                for end in select.select([client, server], [], [])[0]:
                    data = end.recv(65536)
                    if end is client and _COMMIT in data:
                        self.commits += 1
                        if self._cut != "never":
                            cut, self._cut, self.dead = self._cut, "never", self.stay_dead
                            _cut_at(cut, data, client, server)
                            return
                    if not data:
                        return
                    (server if end is client else client).sendall(data)


def _cut_at(cut: Cut, data: bytes, client: socket.socket, server: socket.socket) -> None:
    if cut == "late":
        _shut(client)
        time.sleep(_LATE_S)
    if cut != "before":
        server.sendall(data)
        server.recv(65536)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
