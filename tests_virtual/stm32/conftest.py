"""A bench for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests_virtual.stm32.bench import FAMILIES, Bench

Make = Callable[[str], Bench]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Benches by family; they are put away at the end."""
    made: list[Bench] = []

    def new(family: str) -> Bench:
        made.append(Bench(tmp_path / f"{family}{len(made)}.board", family))
        return made[-1]

    yield new
    for bench in made:
        bench.close()


@pytest.fixture(params=FAMILIES)
def bench(request: pytest.FixtureRequest, make: Make) -> Bench:
    """One of each family in turn."""
    return make(request.param)
