"""lorafab.drivers.manual_jig: the operator is its relay, and says when he has switched."""

import os
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from lorafab.drivers.manual_jig import ManualJig
from lorafab.errors import JigError


class Operator:
    """The other end of a terminal: reads questions, and answers each with Enter."""

    def __init__(self) -> None:
        self._end, other = os.openpty()
        tty.setcbreak(self._end)
        self.terminal, self.questions = os.ttyname(other), list[str]()
        self._other = other

    def answer(self, times: int) -> threading.Thread:
        """In the background: wait for a question, press Enter."""

        def work() -> None:
            for _ in range(times):
                text = b""
                while not text.endswith(b"Enter: "):
                    text += os.read(self._end, 256)
                self.questions.append(text.decode())
                os.write(self._end, b"\n")

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Hang up."""
        os.close(self._other)
        os.close(self._end)


@pytest.fixture
def operator() -> Iterator[Operator]:
    made = Operator()
    yield made
    made.close()


def test_a_board_that_was_just_placed_has_its_power(tmp_path: Path) -> None:
    """Nobody is asked, and no terminal is needed."""
    ManualJig(str(tmp_path / "none")).power(True)


def test_the_operator_switches_off_and_on(operator: Operator) -> None:
    """One question each, and the run waits for both; a second "on" asks nobody."""
    jig = ManualJig(operator.terminal, 10)
    answering = operator.answer(2)
    jig.power(True)
    jig.power(False)
    jig.power(True)
    jig.power(True)
    answering.join(10)
    assert ["OFF" in question for question in operator.questions] == [True, False]
    assert "ON again" in operator.questions[1]


def test_an_operator_who_does_not_answer_stops_the_run(operator: Operator) -> None:
    """The board may be good: nothing is judged."""
    with pytest.raises(JigError, match=r"nobody switched the board's power within 0\.05 s, wanted Enter .*; run this"):
        ManualJig(operator.terminal, 0.05).power(False)


def test_without_a_terminal_the_supply_cannot_be_switched(tmp_path: Path) -> None:
    """Said in a sentence that names the way out."""
    with pytest.raises(JigError, match=r"cannot switch the board's power, and there is no terminal .*; start from a"):
        ManualJig(str(tmp_path / "none")).power(False)
