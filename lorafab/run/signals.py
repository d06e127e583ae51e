"""Ctrl-C, SIGTERM and SIGHUP: the first one stops the run, and none of them stops the cleaning up."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lorafab.domain.verdict import Verdict
from lorafab.run.outcome import Cause
from lorafab.run.session import Session

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Turns the first signal into a KeyboardInterrupt, and notes those that come while something is being closed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._raised = False
        self._held = 0

    def install(self) -> None:
        """Take the three signals for the rest of the process.

        They are not given back: a second Ctrl-C while Python shuts down must not change the exit status.
        """
        for number in _STOPS:
            signal.signal(number, self._on_signal)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, a signal is noted and not raised: finalizers and the record go through to their end."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # Blamed before it is raised: a library that swallows the exception must not turn a stop into a PASS.
        name = signal.Signals(number).name
        self._session.blame(Cause(Verdict.ABORTED, "ABORT", f"a person stopped the run ({name}); run the board again"))
        if not self._held and not self._raised and not self._session.ended:
            self._raised = True
            raise KeyboardInterrupt
