"""lorafab.steps.memory: one torn word hides no other."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.memory_map import Span
from lorafab.errors import MemoryFault, ProbeError
from lorafab.steps.memory import read_torn
from tests_unit.fakes import FakeBoard, FakeProgrammer

START, WORDS, WORD = 0x0803F000, 32, 8
SPAN = Span(START, WORDS * WORD)


class Reporting(FakeProgrammer):
    """A programmer that names the fault in its own way: (torn address, start of the read) -> address."""

    def __init__(self, board: FakeBoard, report: Callable[[int, int], int]) -> None:
        super().__init__(board)
        self.report = report

    def read(self, span: Span) -> bytes:
        """Memory, or a fault as this probe words it."""
        try:
            return super().read(span)
        except MemoryFault as fault:
            raise MemoryFault(self.report(fault.address, span.start)) from None


def board_with(torn: set[int]) -> FakeBoard:
    """A board whose region counts upwards, with these words torn."""
    board = FakeBoard(powered=True)
    at = START - 0x08000000
    board.flash[at : at + SPAN.size] = bytes(index % 251 for index in range(SPAN.size))
    board.torn = {START + WORD * word for word in torn}
    return board


torn_words = st.sets(st.integers(0, WORDS - 1))
REPORTS: dict[str, Callable[[int, int], int]] = {
    "the word": lambda torn, start: torn,
    "its second half": lambda torn, start: torn + 4,
    "the block": lambda torn, start: start,
    "the kilobyte": lambda torn, start: torn & ~0x3FF,
    "behind the span": lambda torn, start: SPAN.end,
}


@pytest.mark.parametrize("report", REPORTS)
@given(torn=torn_words)
def test_readable_words_are_read_and_torn_ones_named(report: str, torn: set[int]) -> None:
    """Whatever address the probe reports: every whole word comes back, every torn one is named, and nothing else."""
    board = board_with(torn)
    reading = read_torn(Reporting(board, REPORTS[report]), SPAN, WORD)
    assert reading.torn == tuple(Span(START + WORD * word, WORD) for word in sorted(torn))
    for word in range(WORDS):
        found = reading.data[WORD * word : WORD * (word + 1)]
        wanted = bytes(index % 251 for index in range(WORD * word, WORD * (word + 1)))
        assert found == (bytes(WORD) if word in torn else wanted)


def test_memory_without_a_tear_is_one_read() -> None:
    """Word by word would take seconds on a real probe."""
    programmer = FakeProgrammer(board_with(set()))
    assert read_torn(programmer, SPAN, WORD).torn == ()
    assert programmer.calls == 1


def test_a_lost_probe_is_no_torn_word() -> None:
    """It is the station's fault, and says so."""
    with pytest.raises(ProbeError, match="unplugged"):
        read_torn(FakeProgrammer(board_with({3}), unplug_at=1), SPAN, WORD)
