"""Boards to claim, a clock that stands still, and one place for a ledger per driver."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from lorafab.domain.identity import Eui64, KeySlot
from lorafab.interfaces import ClaimRequest, Clock, SealedBox, SealedKey
from lorafab.stores.ledger import BaseLedger
from lorafab.stores.tiny_ledger import TinyLedger
from tests_unit.stores.postgres import PostgresHome

DEV_EUI = 0x70B3D5499A000000


class FrozenClock:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def clock() -> Clock:
    return FrozenClock()


class Home(Protocol):
    """A place for one ledger of some driver."""

    def create(self) -> BaseLedger:
        """Start the ledger of this place, which has none."""
        ...

    def open(self, read_only: bool = False) -> BaseLedger:
        """Open it as another process would; LedgerError where there is none."""
        ...

    def other(self) -> "Home":
        """Another place of the same kind, without a ledger."""
        ...


class TinyHome:
    """A data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._others = 0

    def create(self) -> BaseLedger:
        return TinyLedger.create(self.folder, FrozenClock())

    def open(self, read_only: bool = False) -> BaseLedger:
        return TinyLedger.open(self.folder, FrozenClock(), read_only)

    def other(self) -> "TinyHome":
        self._others += 1
        return TinyHome(self.folder / f"other{self._others}")


# Driver -> its place; one line each, and the whole contract runs on it.
HOMES: dict[str, Callable[[pytest.FixtureRequest], Home]] = {
    "tinydb": lambda request: TinyHome(request.getfixturevalue("tmp_path")),
    "postgresql": lambda request: PostgresHome(request.getfixturevalue("postgres")),
}


@pytest.fixture(params=list(HOMES))
def home(request: pytest.FixtureRequest) -> Home:
    return HOMES[request.param](request)


@pytest.fixture
def ledger(home: Home) -> Iterator[BaseLedger]:
    """An empty ledger in :func:`home`."""
    made = home.create()
    yield made
    made.close()


def request_for(n: int, run: str = "r1", **other: Any) -> ClaimRequest:
    """The claim of the n-th board of the lot, in run r; any field can be overridden."""
    fields: dict[str, Any] = {
        "dev_eui": Eui64(DEV_EUI + n),
        "join_eui": Eui64(0x70B3D57ED0000001),
        "serial": f"S{n:05}",
        "label": f"LW:D0:{n:016X}",
        "chip_id": f"C0FFEE{n:018X}",
        "lot": "demo",
        "station": "A",
        "operator": "Eve",
    } | other
    return ClaimRequest(run=run, **fields)


def sealed(n: int, slot: KeySlot = "appkey") -> SealedKey:
    """A sealed key like no other of its slot."""
    kcv = f"{n if slot == 'appkey' else n | 1 << 60:016X}"
    return SealedKey(slot, kcv, (SealedBox("0123456789abcdef", "Ym94"),))


@pytest.fixture
def ask() -> Callable[..., ClaimRequest]:
    return request_for


@pytest.fixture
def key() -> Callable[..., SealedKey]:
    return sealed
