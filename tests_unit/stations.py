"""A station whose files are this project's own and whose hardware is fake, for tests of runs without pytest."""

from contextlib import ExitStack
from pathlib import Path

from lorafab.config.load import load_station
from lorafab.run.station import Options, Station
from lorafab.stores.keyring import ensure_demo
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.stores.vault import Vault
from tests_unit.fakes import MCU, FakeBoard, FakeClock, FakeJig, FakeLink, FakeProgrammer, FakeScanner

ROOT = Path(__file__).resolve().parents[1]


def fake_station(
    data: Path, board: FakeBoard | None = None, options: Options | None = None, lot: str | None = None
) -> Station:
    """The station ``sim`` with a FakeBoard in its jig, the first label of its lot, and real stores under ``data``."""
    board, options = board or FakeBoard(), options or Options(operator="Eve")
    config, clock = load_station(ROOT, "sim", lot), FakeClock()
    return Station(
        config=config,
        root=ROOT,
        data=data,
        options=options,
        clock=clock,
        mcu=MCU,
        lot=config.lot,
        memory=config.product.memory.memory_map(MCU.areas),
        ledger=TinyLedger.open_or_create(data, clock),
        vault=Vault(ensure_demo(data)),
        jig=FakeJig(board),
        scanner=FakeScanner(options.label or config.lot.label_text(0)),
        programmer=FakeProgrammer(board),
        link=FakeLink(board),
        resources=ExitStack(),
    )
