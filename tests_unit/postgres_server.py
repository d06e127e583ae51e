"""A real PostgreSQL server for tests and measurements, on loopback, as a user without rights, gone afterwards."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal

import psycopg

UNPACKED = Path(__file__).resolve().parents[1] / ".venv" / "postgresql"
_START_S = 30.0
_STOP_S = 20.0
_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
Mode = Literal["fast", "immediate"]

MISSING = (
    "no PostgreSQL server was found (postgres and initdb, in PATH or /usr/lib/postgresql/*/bin); "
    "`bash tools/setup.sh .venv dev` installs one as root, or apt-get install postgresql"
)


def binaries() -> Path | None:
    """Folder with ``postgres`` and ``initdb``: the newest version that is there; None when there is none."""
    candidates = [Path(found).resolve().parent] if (found := shutil.which("postgres")) else []
    for place in (Path("/usr/lib/postgresql"), UNPACKED / "usr/lib/postgresql"):
        candidates += sorted(place.glob("*/bin"), key=lambda folder: _version(folder.parent.name), reverse=True)
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


def _version(name: str) -> int:
    return int(name) if name.isdigit() else 0


class PostgresServer:
    """One server with its own data folder; trust on loopback, durable like a real one.

    A root process gives the server to ``postgres`` or ``nobody``: PostgreSQL refuses to run as root. The server gets
    SIGQUIT from the kernel when the process that started it dies, however it dies.
    """

    def __init__(self, copy_of: "PostgresServer | None" = None) -> None:
        """Make the data folder; ``copy_of`` is a stopped server whose data this one starts from."""
        found = binaries()
        assert found is not None, MISSING
        self._bin = found
        self.folder = Path(tempfile.mkdtemp(prefix="lorafab-postgres-"))
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._databases: list[str] = []
        self._free: list[str] = []
        self._numbers = count(1)
        self._user = _other_user() if os.getuid() == 0 else None
        if self._user:
            shutil.chown(self.folder, self._user, self._user_group())
        if copy_of is None:
            arguments = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync"]
            self._run([str(self._bin / "initdb"), "-D", str(self._data), *arguments])
        else:
            self._run(["cp", "-a", str(copy_of.data), str(self._data)])
        self.port = _free_port()

    @property
    def data(self) -> Path:
        """The data folder."""
        return self._data

    def start(self, **settings: str) -> None:
        """Start it and wait until it answers; ``settings`` are parameters of postgresql.conf."""
        fixed = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "60",
            "log_min_messages": "fatal",
        }
        options = [item for name, value in (fixed | settings).items() for item in ("-c", f"{name}={value}")]
        guard = ["setpriv", "--pdeathsig", "QUIT"] if shutil.which("setpriv") else []
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*guard, str(self._bin / "postgres"), "-D", str(self._data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self._as_user(),
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_S
        while True:
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.dsn("postgres")).close()
                return
            time.sleep(0.02)

    def stop(self, mode: Mode = "fast") -> None:
        """Stop it: ``fast`` ends sessions and writes a checkpoint, ``immediate`` is like a crash."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(_SIGNALS[mode])
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self, mode: Mode = "fast", **settings: str) -> None:
        """Stop and start; the port stays."""
        self.stop(mode)
        self.start(**settings)

    def remove(self) -> None:
        """Stop it and remove its folder."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def dsn(self, database: str) -> str:
        """Connection string."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """An empty database until :meth:`recycle`; returns its connection string."""
        if not self._free:
            self._free.append(f"lorafab{next(self._numbers)}")
            self.execute("postgres", f"CREATE DATABASE {self._free[-1]}")
        self._databases.append(self._free.pop())
        return self.dsn(self._databases[-1])

    def recycle(self) -> None:
        """Empty all databases that were given out, and give them out again: a new one costs a second on a busy disk."""
        for name in self._databases:
            self.execute(
                name,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
                "DROP SCHEMA IF EXISTS lorafab CASCADE",
            )
        self._free += self._databases
        self._databases.clear()

    def execute(self, database: str, *statements: str) -> None:
        """Run statements as the server's owner, each in its own transaction."""
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _run(self, command: list[str]) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, timeout=120, **self._as_user())

    def _as_user(self) -> dict[str, Any]:
        libraries = sorted((self._bin.parents[2]).glob("*-linux-*"))  # of a package that was only unpacked
        environment = os.environ | {"LD_LIBRARY_PATH": str(libraries[0])} if UNPACKED in self._bin.parents else None
        if not self._user:
            return {"env": environment}
        return {"env": environment, "user": self._user, "group": self._user_group(), "extra_groups": []}

    def _user_group(self) -> int:
        assert self._user is not None
        return pwd.getpwnam(self._user).pw_gid


def _other_user() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """A started server, removed at the end whatever happens."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()
