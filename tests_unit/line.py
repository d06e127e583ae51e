"""A project whose station is real, steps and stores included, and whose hardware is fake."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lorafab.config.load import LineConfig, load_station
from lorafab.domain.record import RunRecord
from lorafab.run.station import Options, Station
from lorafab.stores.keyring import ensure_demo
from lorafab.stores.records import RecordStore
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.stores.vault import Vault
from tests_unit.fakes import MCU, FakeBoard, FakeClock, FakeJig, FakeLink, FakeProgrammer, FakeScanner

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Outcome:
    """What a run showed and left."""

    status: int
    out: str
    err: str
    record: RunRecord | None

    @property
    def last(self) -> str:
        """The last line that was printed."""
        return self.out.rstrip("\n").splitlines()[-1]


@dataclass
class Line:
    """A project with a station whose hardware is fake."""

    pytester: pytest.Pytester
    monkeypatch: pytest.MonkeyPatch
    board: FakeBoard = field(default_factory=FakeBoard)
    clock: FakeClock = field(default_factory=FakeClock)
    unplug_at: int | None = None
    scan: str | Exception | None = None
    lid: bool = True
    empty: bool = False
    opened: list[Station] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.pytester.path

    def label(self, number: int = 0) -> str:
        """A label of the lot."""
        return load_station(self.root, "sim").lot.label_text(number)

    def open_station(self, line: LineConfig, root: Path, data: Path, options: Options, clock: object) -> Station:
        """What run.station.open_station does, with fakes in the drivers' places."""
        label = options.label or self.scan or line.lot.label_text(0)
        jig, link = FakeJig(self.board, empty=self.empty, lid=self.lid), FakeLink(self.board)
        programmer = FakeProgrammer(self.board, self.unplug_at)
        from contextlib import ExitStack

        stack = ExitStack()
        for resource in (jig, link, programmer):
            stack.callback(resource.close)
        self.board.running = False
        station = Station(
            config=line,
            root=root,
            data=data,
            options=options,
            clock=self.clock,
            mcu=MCU,
            lot=line.lot,
            memory=line.product.memory.memory_map(MCU.areas),
            ledger=TinyLedger.open_or_create(data, self.clock),
            vault=Vault(ensure_demo(data)),
            jig=jig,
            scanner=FakeScanner(label),
            programmer=programmer,
            link=link,
            resources=stack,
        )
        self.opened.append(station)
        return station

    def produce(self, *arguments: str) -> Outcome:
        """Run one board."""
        before = {record.run for record in RecordStore(self.root / "data").all_runs()}
        result = self.pytester.runpytest_inprocess("--station=sim", *arguments, no_reraise_ctrlc=True)
        made = [record for record in RecordStore(self.root / "data").all_runs() if record.run not in before]
        last = [record for record in made if record.verdict != "INTERRUPTED"]
        return Outcome(int(result.ret), result.stdout.str(), result.stderr.str(), last[0] if last else None)

    def write_step(self, module: str, source: str) -> None:
        """Replace a production test."""
        (self.root / "tests_production" / f"{module}.py").write_text(source)
