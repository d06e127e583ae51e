"""What the operator sees in the terminal: the step that runs, and a verdict that cannot be missed."""

import os
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, Final, TextIO

import pytest

from lorafab.domain.measurement import Outcome
from lorafab.domain.verdict import Verdict
from lorafab.run.outcome import StepState
from lorafab.run.session import Session

_FOR_DEVELOPERS: Final = ("CRASH", "COLLECT")
"""Codes of causes whose place in the source is worth showing."""

_COLOURS: Final = {
    # Blue-green and vermilion differ for the colour-blind too, and the word stands beside the colour anyway.
    Verdict.PASS: "1;97;48;5;29",
    Verdict.FAIL: "1;97;48;5;160",
    Verdict.ERROR: "1;30;48;5;214",
    Verdict.USAGE: "1;30;48;5;214",
}
_GREY: Final = "1;97;48;5;240"
_MARKUP: Final = {
    "pass": {"green": True},
    "fail": {"red": True, "bold": True},
    "error": {"yellow": True, "bold": True},
}


class Screen:
    """One line a step: what it is while it runs, then its result and the reason. ``-v`` gives pytest's own talk."""

    def __init__(self, config: pytest.Config, session: Session) -> None:
        self._config, self._session = config, session
        self._label_shown = False
        self._quiet = config.get_verbosity() <= 0
        if self._quiet:
            # pytest names platforms, plugins and items, which tell an operator nothing; its own count at the end
            # would be a second, different verdict.
            config.option.verbose, config.option.no_header, config.option.no_summary = -2, True, True

    @property
    def _terminal(self) -> pytest.TerminalReporter:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        assert isinstance(terminal, pytest.TerminalReporter)
        return terminal

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        """Say which line this is."""
        run = self._session.run
        if run is not None:
            config = run.station.config
            where = f"station {config.station.station} · lot {config.lot.lot} · product {config.product.product}"
            self._terminal.write_line(f"{where} · run {run.id}")

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """No letters: the step's line says more."""
        if not self._quiet:
            return None
        counts = report.when == "call" or not report.passed
        return (report.outcome if counts else ""), "", ""

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Name the step before it runs."""
        state = self._state(nodeid)
        if self._quiet and state is not None and self._session.cause is None and self._session.run is not None:
            steps = list(self._session.run.state.steps)
            number = steps.index(state.step.test) + 1
            self._terminal.write(f" {number}/{len(steps)}  {state.step.title:<48}", flush=True)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """After the last phase of a step, say how it ended."""
        state = self._state(report.nodeid)
        if self._quiet and report.when == "teardown" and state is not None and state.outcome != "not run":
            self._terminal.write(f"{state.outcome.upper():<7}", **_MARKUP.get(state.outcome, {"yellow": True}))
            self._terminal.write_line(f" {state.seconds:6.2f} s")
            self._show_label()
            self._explain(state)

    def _show_label(self) -> None:
        """Once, as soon as it is known: the operator can hold it against the board."""
        facts = self._session.run.facts if self._session.run else None
        if self._label_shown or facts is None or facts.label is None or facts.scan is None:
            return
        self._label_shown = True
        reader = f" · read by {facts.scan.reader}" if facts.scan.reader else ""
        self._terminal.write_line(f"      label {facts.shown}{reader}")

    def _explain(self, state: StepState) -> None:
        for measurement in state.measurements:
            if measurement.outcome is Outcome.MARGINAL:
                self._terminal.write_line(f"      marginal: {measurement.sentence()}", yellow=True)
        if state.sentence:
            for line in _wrapped(state.sentence, _columns(self._terminal.isatty()), indent="      "):
                self._terminal.write_line(line)

    def _state(self, nodeid: str) -> StepState | None:
        path, _, name = nodeid.partition("::")
        run = self._session.run
        return run.state.steps.get(f"{PurePath(path).stem}::{name}") if run else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Places in the source are for developers: shown with -v, and where lorafab or a test broke."""
        cause = self._session.cause
        if self._quiet and cause is not None and cause.code in _FOR_DEVELOPERS:
            self._config.option.no_summary = False


class LastingOutput:
    """Standard output that may be closed by whoever reads it (`| head -1`) without ending the run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop the text when nobody reads any more."""
        encoding = self._stream.encoding or "ascii"
        with self._lasting():
            # A terminal that cannot show a character gets its number.
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what waits."""
        with self._lasting():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _lasting(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            # From here on into nothing; Python's own flush at exit would fail too, and change the exit status.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def show_verdict(session: Session, output: LastingOutput) -> None:
    """Print the verdict so that it can be read from two metres, and the contract's line as the last one."""
    colour = output.isatty() and "NO_COLOR" not in os.environ
    output.write("\n".join(verdict_lines(session, colour=colour, width=_columns(output.isatty()))) + "\n")
    output.flush()


def _columns(terminal: bool) -> int | None:
    """Width of the screen; None for a file or a pipe, where a sentence stays on one line and can be searched for."""
    return shutil.get_terminal_size().columns if terminal else None


def _wrapped(text: str, width: int | None, indent: str = "   ") -> list[str]:
    lines = [text] if width is None else textwrap.wrap(text, max(40, min(width, 100) - len(indent)))
    return [indent + line for line in lines]


def verdict_lines(session: Session, *, colour: bool, width: int | None) -> list[str]:
    """The closing screen: a bar with the verdict, why, what to do next, notices, and the last line."""
    verdict, bar_width = session.verdict, min(width or 80, 100)
    board = session.run.facts.shown if session.run else ""
    lines = [""]
    for text in ("", f"   {verdict.value}   {board}", ""):
        bar = f"{text:<{bar_width}}" if colour else (text or "=" * bar_width)
        lines.append(f"\x1b[{_COLOURS.get(verdict, _GREY)}m{bar}\x1b[0m" if colour else bar)
    for sentence in filter(None, (session.why(), verdict.advice)):
        lines += _wrapped(sentence, width)
    for notice in session.notices:
        lines += _wrapped(notice, width, indent="   note: ")
    return [*lines, "", session.last_line()]
