"""Boards to claim, and a clock that stands still."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from lorafab.domain.identity import Eui64
from lorafab.interfaces import ClaimRequest, Clock, SealedKey


class FrozenClock:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def clock() -> Clock:
    return FrozenClock()


@pytest.fixture
def ask() -> Callable[..., ClaimRequest]:
    """The claim of the n-th board of the lot, in run r; any field can be overridden."""

    def build(n: int, run: str = "r1", **other: str) -> ClaimRequest:
        fields = {
            "serial": f"S{n:05}",
            "label": f"LW:D0:{n:016X}",
            "chip_id": f"C0FFEE{n:018X}",
            "lot": "demo",
            "station": "A",
            "operator": "Eve",
        } | other
        return ClaimRequest(
            dev_eui=Eui64(0x70B3D5499A000000 + n), join_eui=Eui64(0x70B3D57ED0000001), run=run, **fields
        )

    return build


@pytest.fixture
def key() -> Callable[[int], SealedKey]:
    """A sealed key like no other."""
    return lambda n: SealedKey(kcv=f"{n:016X}", box="Ym94", key_id="0123456789abcdef")
