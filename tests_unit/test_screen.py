"""lorafab.screen: the closing screen says the verdict so that nobody can miss or misread it."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lorafab.domain.label import parse_label
from lorafab.domain.verdict import Verdict
from lorafab.errors import ConfigError, LinkSilent, ProbeError
from lorafab.run.outcome import Cause
from lorafab.run.recording import make_record
from lorafab.run.run import Run
from lorafab.run.session import Session
from lorafab.screen import LastingOutput, show_verdict, verdict_lines
from tests_unit.stations import ROOT, fake_station

RUN = "20261120-120000-abcdef"
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A session with a run whose label has been read."""
    session = Session()
    session.run = Run(fake_station(tmp_path), RUN, datetime(2026, 11, 20, tzinfo=UTC))
    session.run.facts.label = parse_label(session.run.station.lot.label_text(0))
    return session


def passing(session: Session) -> None:
    assert session.run is not None
    for state in session.run.state.steps.values():
        state.outcome = "pass"
    session.record = make_record(session.run, datetime(2026, 11, 20, tzinfo=UTC))


def without_record(session: Session) -> None:
    passing(session)
    session.record = None


ENDS: dict[str, tuple[Callable[[Session], None], Verdict, str]] = {
    "passed": (passing, Verdict.PASS, ""),
    "failed": (lambda s: s.blame_error(LinkSilent("the board sent no line")), Verdict.FAIL, "the board sent no line"),
    "stopped": (lambda s: s.blame_error(KeyboardInterrupt()), Verdict.ABORTED, "a person stopped the run"),
    "broken": (lambda s: s.blame_error(ProbeError("the probe is gone")), Verdict.ERROR, "the probe is gone"),
    "mistyped": (lambda s: s.blame_error(ConfigError("A.yaml:3: no")), Verdict.USAGE, "A.yaml:3: no"),
    "selected": (lambda s: None, Verdict.INCOMPLETE, "5 of 5 steps did not run to a result"),
    "not recorded": (without_record, Verdict.ERROR, ""),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("colour", [False, True])
def test_each_verdict_shows_word_cause_advice_and_the_last_line(session: Session, end: str, colour: bool) -> None:
    """The word large, the board it is about, why, what to do next; and the contract's line as the very last one."""
    finish, verdict, cause = ENDS[end]
    finish(session)
    lines = verdict_lines(session, colour=colour, width=80)
    text = " ".join(" ".join(lines).split())
    assert session.run is not None
    assert f"{verdict.value} 024C464200000001 LF00000001" in text
    assert cause in text
    assert verdict.advice in text
    assert lines[-1] == f"lorafab: {verdict.value} 024C464200000001 {RUN} -"


@pytest.mark.parametrize("end", ENDS)
def test_no_other_verdicts_word_stands_in_the_bar(session: Session, end: str) -> None:
    """A FAIL must not be read as a PASS from two metres."""
    finish, verdict, _ = ENDS[end]
    finish(session)
    bar = verdict_lines(session, colour=False, width=80)[1:4]
    assert [word for word in Verdict if word.value in " ".join(bar).split()] == [verdict]


def test_colour_is_not_the_only_sign(session: Session) -> None:
    """Without colour the bar is made of signs, and no escape sequence goes to a log file."""
    passing(session)
    plain = verdict_lines(session, colour=False, width=60)
    assert plain[1] == plain[3] == "=" * 60
    assert not any("\x1b" in line for line in plain)


def test_verdicts_differ_in_colour_and_the_bar_fills_the_width(session: Session) -> None:
    """PASS, FAIL and ERROR have colours of their own; every colour is switched off again on its line."""
    bars = set()
    for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.ERROR):
        shown = Session()
        shown.blame(Cause(verdict, "X", "why"))
        lines = verdict_lines(shown, colour=True, width=60)
        for line in lines[1:4]:
            assert line.endswith("\x1b[0m")
            assert len(ESCAPES.sub("", line)) == 60
        bars.add(ESCAPES.findall(lines[1])[0])
    assert len(bars) == 3


@pytest.mark.parametrize("width", [20, 80, 300])
def test_long_causes_are_wrapped_and_nothing_is_lost(session: Session, width: int) -> None:
    """On any terminal, at most 100 columns wide, and readable on a tiny one."""
    sentence = " ".join(f"word{number}" for number in range(80))
    session.blame_error(ProbeError(sentence))
    lines = verdict_lines(session, colour=False, width=width)
    assert sentence in " ".join(" ".join(lines).split())
    assert all(len(line) <= max(43, min(width, 100)) for line in lines[:-1])


def test_a_session_in_which_nothing_began_has_dashes(tmp_path: Path) -> None:
    """Unknown station: no DevEUI, no run, no report."""
    session = Session()
    session.blame_error(ConfigError("there is no station B; known stations: A, sim"))
    lines = verdict_lines(session, colour=False, width=80)
    assert lines[-1] == "lorafab: USAGE - - -"
    assert any("there is no station B" in line for line in lines)


def test_notices_are_shown_and_change_nothing(session: Session) -> None:
    """What happened beside the verdict, each marked as a note."""
    passing(session)
    session.notices.append("run r0 was killed; it is recorded as INTERRUPTED")
    lines = verdict_lines(session, colour=False, width=80)
    assert "   note: run r0 was killed; it is recorded as INTERRUPTED" in lines
    assert lines[-1].startswith("lorafab: PASS ")


def test_a_report_is_named_as_the_shell_would_find_it(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the current folder where it lies below it."""
    passing(session)
    assert session.run is not None
    session.report = session.run.station.data / "reports" / f"{RUN}.html"
    assert session.last_line().endswith(f" {session.report}")
    monkeypatch.chdir(session.run.station.data)
    assert session.last_line().endswith(f" reports/{RUN}.html")


@pytest.mark.parametrize(
    ("terminal", "no_colour", "coloured"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_colour_goes_to_terminals_that_want_it(
    session: Session, monkeypatch: pytest.MonkeyPatch, terminal: bool, no_colour: bool, coloured: bool
) -> None:
    """Neither to files nor where NO_COLOR is set."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_colour:
        monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    show_verdict(session, LastingOutput(stream))
    assert ("\x1b[" in stream.getvalue()) == coloured
    assert stream.getvalue().endswith(f"lorafab: INCOMPLETE 024C464200000001 {RUN} -\n")


# --- an output that nobody reads ---


def test_what_is_read_comes_through() -> None:
    """Writing, flushing, and whatever else the stream can do."""
    stream = io.StringIO()
    output = LastingOutput(stream)
    assert output.write("PASS") == 4
    output.flush()
    assert stream.getvalue() == output.getvalue() == "PASS"


def test_a_closed_pipe_ends_neither_the_run_nor_python(tmp_path: Path) -> None:
    """`| head -1`: what is written after that is dropped, and the exit status is the run's own."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    output = LastingOutput(stream)
    for _ in range(3):
        assert output.write("x" * 100_000) == 100_000
        output.flush()
    stream.close()


def test_python_exits_with_the_runs_status_after_a_closed_pipe() -> None:
    """Python's own flush at exit would otherwise make it 120."""
    program = (
        "import sys; from lorafab.screen import LastingOutput\n"
        "sys.stdout = LastingOutput(sys.stdout)\n"
        "sys.stdin.readline()\n"
        "print('x' * 100000); print('verdict'); sys.exit(2)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, stderr = process.communicate(b"go\n", timeout=60)
    assert (process.returncode, stderr) == (2, b"")
