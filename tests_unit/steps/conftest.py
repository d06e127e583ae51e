"""A powered fake board, and the real ledger and vault around it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lorafab.domain.identity import Eui64
from lorafab.interfaces import ClaimRequest
from lorafab.steps.identity import Assignment, Wanted, assign
from lorafab.steps.identity_page import PageStore
from lorafab.steps.shell import Shell
from lorafab.stores.keyring import ensure_demo
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.stores.vault import Vault
from tests_unit.fakes import MEMORY, FakeBoard, FakeClock, FakeLink, FakeProgrammer


@pytest.fixture
def board() -> FakeBoard:
    return FakeBoard(powered=True)


@pytest.fixture
def programmer(board: FakeBoard) -> FakeProgrammer:
    return FakeProgrammer(board)


@pytest.fixture
def shell(board: FakeBoard) -> Shell:
    """The shell of firmware that has started."""
    board.running = True
    return Shell(FakeLink(board), 0.5)


@pytest.fixture
def ledger(tmp_path: Path) -> TinyLedger:
    return TinyLedger.create(tmp_path, FakeClock())


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(ensure_demo(tmp_path))


@pytest.fixture
def wanted() -> Wanted:
    """What the demo lot says: EU868 is region 5."""
    return Wanted(Eui64(0x00005EEF10000001), 5, "demo")


@pytest.fixture
def ask(board: FakeBoard, wanted: Wanted) -> Callable[..., ClaimRequest]:
    """The claim for the n-th label of the lot on the board in the jig; any field can be overridden."""

    def build(n: int = 1, run: str = "run-1", **other: str) -> ClaimRequest:
        fields = {
            "serial": f"LF{n:08}",
            "label": f"LW:D0:{n:016X}",
            "chip_id": board.chip_id,
            "lot": wanted.lot,
            "station": "A",
            "operator": "Eve",
        } | other
        return ClaimRequest(dev_eui=Eui64(0x024C464200000000 + n), join_eui=wanted.join_eui, run=run, **fields)

    return build


@pytest.fixture
def give(
    programmer: FakeProgrammer,
    ledger: TinyLedger,
    vault: Vault,
    wanted: Wanted,
) -> Callable[..., Assignment]:
    """Read the board's page and assign what it gets, as a run does."""

    def do(request: ClaimRequest, *, permit: bool = False) -> Assignment:
        return assign(PageStore(programmer, MEMORY).look(), request, wanted, ledger, vault, permit=permit)

    return do
