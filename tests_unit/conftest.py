"""The unit suite runs pytest inside pytest; the plugin for that is not loaded on the production line."""

import shutil
import signal
from collections.abc import Iterator
from weakref import WeakSet

import pytest
from hypothesis import HealthCheck, settings

from lorafab import cli
from tests_unit.cli.answer import Answer, Command
from tests_unit.line import ROOT, Line
from tests_unit.postgres_server import MISSING, PostgresServer, binaries, running_server

# A busy computer is no defect of the code: nothing here fails because of the time it took.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("pytester")


@pytest.fixture(autouse=True)
def no_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of other test modules live in this process, and look like chip ids; a line's process has its own only."""
    monkeypatch.setattr("lorafab.domain.secret._LIVING", WeakSet())


@pytest.fixture
def lorafab(capsys: pytest.CaptureFixture[str]) -> Command:
    """`lorafab ...`."""

    def run(*arguments: str) -> Answer:
        status = cli.main(list(arguments))
        said = capsys.readouterr()
        return Answer(status, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One real PostgreSQL server for the session, started when a test asks for it."""
    if binaries() is None:
        pytest.skip(MISSING)
    with running_server() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """The server; databases that the test makes are emptied afterwards."""
    yield postgres_server
    postgres_server.recycle()


@pytest.fixture
def line(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """A fresh project, with an empty ledger and a blank board."""
    for folder in ("tests_production", "stations", "firmware/endnode-wle5"):
        shutil.copytree(
            ROOT / folder, pytester.path / folder, ignore=shutil.ignore_patterns("src", "hal", "__pycache__")
        )
    pytester.makefile(
        ".ini",
        pytest="""
        [pytest]
        testpaths = tests_production
        addopts = -ra --strict-markers --disable-plugin-autoload --import-mode=importlib -p lorafab.plugin
        xfail_strict = true
        filterwarnings = error
        """,
    )
    made = Line(pytester, monkeypatch)
    monkeypatch.setattr("lorafab.run.session.open_station", made.open_station)
    # The page has its own tests; one run below makes it.
    monkeypatch.setattr("lorafab.report.board.render_board", lambda record, **_: record.verdict)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)
