"""A whole board with its ledger in PostgreSQL, and a server that is restarted under it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lorafab.config.load import load_station
from lorafab.domain.memory_map import Segment, Span
from lorafab.interfaces import Clock
from lorafab.run.station import open_ledger
from lorafab.stores.ledger import BaseLedger
from lorafab.stores.postgres_ledger import PostgresLedger
from tests_unit.fakes import FakeClock, FakeProgrammer
from tests_unit.line import Line
from tests_unit.postgres_server import PostgresServer


@pytest.fixture
def dsn(line: Line, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a ledger, to which the station file of ``line`` points."""
    dsn = postgres.database()
    PostgresLedger.create(dsn, FakeClock())
    monkeypatch.setenv("LORAFAB_DSN", dsn)
    path = line.root / "stations" / "sim.yaml"
    text = path.read_text(encoding="utf-8")
    assert "{driver: tinydb}" in text
    path.write_text(text.replace("{driver: tinydb}", "{driver: postgresql, dsn_env: LORAFAB_DSN}"), encoding="utf-8")

    def opened(data: Path, clock: Clock) -> BaseLedger:
        return open_ledger(load_station(line.root, "sim"), data, clock)

    monkeypatch.setattr("tests_unit.line.TinyLedger.open_or_create", opened)
    return dsn


def test_a_board_passes(line: Line, dsn: str) -> None:
    """The record names the ledger's head, and there is no ledger in the data folder."""
    outcome = line.produce()
    assert outcome.last.startswith("lorafab: PASS")
    ledger = PostgresLedger.open(dsn, FakeClock())
    assert [document.state for document in ledger.documents()] == ["passed"]
    assert ledger.check() == []
    assert outcome.record is not None
    assert outcome.record.ledger_head in {getattr(entry, "hash", "") for entry in ledger.entries()}
    assert not (line.root / "data" / "ledger").exists()


def test_a_server_restart_stops_the_board_and_the_next_run_finishes_it(
    line: Line, dsn: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ERROR, because the board may be good; run again, it keeps its identity and passes."""
    program = FakeProgrammer.program

    def restarted(
        self: FakeProgrammer, erase: Sequence[Span], segments: Sequence[Segment], *, mass_erase: bool = False
    ) -> None:
        program(self, erase, segments, mass_erase=mass_erase)
        postgres.restart("immediate")

    with monkeypatch.context() as patch:
        patch.setattr(FakeProgrammer, "program", restarted)
        stopped = line.produce()
    assert stopped.status == 3
    assert stopped.last.startswith("lorafab: ERROR")
    assert "was lost before anything was changed" in stopped.out
    again = line.produce()
    assert again.last.startswith("lorafab: PASS"), again.out
    assert stopped.record is not None
    assert again.record is not None
    assert again.record.dev_eui == stopped.record.dev_eui
    ledger = PostgresLedger.open(dsn, FakeClock())
    (board,) = ledger.documents()
    assert (board.state, board.attempts) == ("passed", 2)
    assert ledger.check() == []
