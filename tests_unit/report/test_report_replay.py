"""The nested pytest-html session, and that nobody notices it."""

import faulthandler
import io
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lorafab.errors import RecordError
from lorafab.report.board import render_board
from lorafab.report.replay import Replay, replay
from tests_unit.report import samples

ROOT = Path(__file__).parents[2]


def surroundings() -> dict[str, Any]:
    """What a run owns and a report must leave alone."""
    logger = logging.getLogger()
    return {
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "handlers": {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)},
        "logging": (logger.level, list(logger.handlers), logging.getLogger().manager.disable),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "files": [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)],
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.breakpointhook),
        "importers": (list(sys.meta_path), list(sys.path), list(sys.path_hooks)),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "faulthandler": faulthandler.is_enabled(),
        "threads": set(threading.enumerate()),
        "pdb": sys.modules["pdb"].__dict__.get("set_trace") if "pdb" in sys.modules else None,
    }


def test_the_process_is_as_it_was(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Environment, folder, signals, logging, streams, hooks and importers do not change, and nothing is printed."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    render_board(samples.passed())  # imports pytest-html, which is allowed to stay imported
    before = surroundings()
    modules = {name: module for name, module in sys.modules.items() if "pytest" in name}
    render_board(samples.failed())
    after = surroundings()
    assert {key for key in before if before[key] != after[key]} == set()
    assert {name: module for name, module in sys.modules.items() if "pytest" in name} == modules
    assert capfd.readouterr() == ("", "")


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working copy is private and removed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    render_board(samples.passed())
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_that_cannot_be_used_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says that the record is not touched and what to do."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(RecordError, match="the record itself is not touched; see that the temporary folder"):
        render_board(samples.passed())


class Broken(tuple[Any, ...]):
    """Rows that raise in the middle of the replay."""

    error: BaseException

    def __iter__(self) -> Iterator[Any]:
        if sys._getframe(1).f_code.co_name == "pytest_runtestloop":
            raise self.error
        return super().__iter__()


def broken(error: BaseException) -> Replay:
    rows = Broken()
    rows.error = error
    return Replay("T", rows, (), "", "")


def test_a_stop_by_hand_passes_through() -> None:
    """Ctrl-C while a report is made is not swallowed by the nested session."""
    with pytest.raises(KeyboardInterrupt):
        replay(broken(KeyboardInterrupt()))


def test_a_fault_is_one_sentence_and_its_cause(capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever breaks in the nested session arrives as an error that names it, and is not printed."""
    with pytest.raises(RecordError, match="division") as caught:
        replay(broken(ZeroDivisionError("division by nought")))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert capfd.readouterr() == ("", "")
    assert "PASS" in render_board(samples.passed()), "and the next report works"


def test_threads_make_their_reports_one_after_the_other() -> None:
    """Two sites of a panel get their own pages."""
    records = [samples.passed(serial=f"SN{n}") for n in range(6)]
    with ThreadPoolExecutor(3) as pool:
        pages = list(pool.map(render_board, records))
    assert pages == [render_board(record) for record in records]


OUTER = '''
"""PYTEST_DONT_REWRITE"""
import pytest
from lorafab.report.board import render_board
from tests_unit.report import samples

@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config):
    status = yield
    print("page", len(render_board(samples.passed())), "status", int(status))
    return 5
'''

INNER = """
import logging
from lorafab.report.board import render_board
from tests_unit.report import samples

def test_a(caplog, capsys, tmp_path):
    with caplog.at_level("INFO"):
        logging.info("before")
        html = render_board(samples.failed())
        logging.info("after")
    print("still captured")
    assert capsys.readouterr().out == "still captured\\n"
    assert caplog.messages == ["before", "after"]
    assert "FAIL" in html

def test_b():
    assert 1 == 1
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [[], ["-s", "-v"], ["-p", "no:terminal"], ["--junitxml=j.xml", "-x", "-W", "error"]]
)
def test_a_run_makes_its_report_inside_itself(tmp_path: Path, options: list[str]) -> None:
    """Within a test and within pytest_cmdline_main: both work, and the run's own results stay what they are."""
    (tmp_path / "outer.py").write_text(OUTER)
    (tmp_path / "test_inner.py").write_text(INNER)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --disable-plugin-autoload -p outer\nfilterwarnings = error\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}", "PYTEST_ADDOPTS": "", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    length = len(render_board(samples.passed()))
    assert done.returncode == 5, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"page {length} status 0"
    if "no:terminal" not in options:
        assert "2 passed" in done.stdout
        assert done.stdout.count("test session starts") == 1
    assert done.stderr == ""


def test_a_report_can_be_made_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed or missing standard output does not matter."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    monkeypatch.setattr(sys, "stderr", None)
    assert "PASS" in render_board(samples.passed())
