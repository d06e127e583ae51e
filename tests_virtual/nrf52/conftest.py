"""Fixtures for the tests of the virtual nRF52840."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests_virtual.nrf52.rig import Boards, Probe


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[Boards]:
    """Makes a :class:`Probe` on a board; a second call opens the same file again."""
    made: list[Probe] = []

    def make(**wanted: Any) -> Probe:
        for old in made:
            old.board.close()
        made.append(Probe(tmp_path / "n.board", **wanted))
        return made[-1]

    yield make
    for probe in made:
        probe.board.close()


@pytest.fixture
def probe(boards: Boards) -> Probe:
    """A debugger at a new board that it has unlocked; the core is halted."""
    made = boards()
    made.unlock()
    return made
