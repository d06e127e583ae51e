"""The only door to pytest-html: a record is replayed as if its steps were tests that just ended.

A nested ``pytest.main`` runs with one plugin that collects nothing and reports the steps of the record, so the
page is pytest-html's own, filters included, and is the same at the end of the run and years later. The nested
session loads no ini file, no conftest, no plugin of the surroundings and nothing that touches the process
(capture, logging, faulthandler, warnings, terminal). PYTEST_DONT_REWRITE: there is no assertion to explain here.
"""

import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pytest

from lorafab.errors import RecordError
from lorafab.report.step_rows import HEADER, StepRow

# Everything of pytest that would touch the process around it; the rest of what is left is inert without tests.
_BLOCKED: Final = (
    "terminal", "capture", "logging", "faulthandler", "warnings", "unraisableexception", "threadexception",
    "cacheprovider", "debugging", "tmpdir", "unittest", "doctest", "junitxml", "pastebin", "legacypath", "subtests",
    "assertion",
)  # fmt: skip

_INI: Final = "[pytest]\nrender_collapsed = passed\ninitial_sort = original\n"


@dataclass(frozen=True)
class _Replayed:
    """How an outcome is told to pytest-html; ``word`` is what it filters and counts by."""

    word: str
    outcome: Literal["passed", "failed", "skipped"]
    when: Literal["setup", "call"] = "call"
    xfail: bool = False


# pytest-html knows a closed set of words. "Not run" borrows the one of expected failures, which a record never
# has, so that it gets a counter and a filter of its own and is in no way a pass. An error is a failed setup.
_REPLAYED: Final = {
    "pass": _Replayed("Passed", "passed"),
    "fail": _Replayed("Failed", "failed"),
    "error": _Replayed("Error", "failed", when="setup"),
    "skipped": _Replayed("Skipped", "skipped"),
    "not run": _Replayed("XFailed", "skipped", xfail=True),
}
_LABELS: Final = {"passed": "passed", "failed": "failed", "error": "error", "skipped": "skipped", "xfailed": "not run"}

_nested = threading.Lock()  # the environment is the process's: one replay at a time


@dataclass(frozen=True)
class Replay:
    """What pytest-html is given: all of it ready HTML, but for the title."""

    title: str
    rows: tuple[StepRow, ...]
    facts: tuple[tuple[str, str], ...]
    prefix: str
    """Above the counters."""
    postfix: str
    """Below the counters."""


def replay(page: Replay) -> str:
    """Let pytest-html write the page and return its text.

    Raises RecordError when it does not. KeyboardInterrupt passes through: pytest would swallow it.
    """
    plugin = _ReplayPlugin(page)
    try:
        with _nested, tempfile.TemporaryDirectory(prefix="lorafab-report-") as folder, _pytest_environment_hidden():
            path = Path(folder) / "report.html"
            status = _run_nested(plugin, path)
            if plugin.interrupt is not None:
                raise plugin.interrupt
            if plugin.failure is not None or not path.exists():
                reason = plugin.failure or f"pytest-html wrote nothing, status {int(status)}"
                raise _not_made(page, reason) from plugin.failure
            return path.read_text(encoding="utf-8")
    except OSError as error:
        raise _not_made(page, error) from error


def _not_made(page: Replay, reason: object) -> RecordError:
    return RecordError(
        f"the report {page.title!r} could not be made ({reason}), the record itself is not touched; "
        "see that the temporary folder is writable and make the report again"
    )


def _run_nested(plugin: "_ReplayPlugin", path: Path) -> int:
    # Imported here and handed over as objects: with -p, the name "html" is the standard library's, and modules that
    # were imported before are warned about.
    import pytest_html.fixtures
    import pytest_html.plugin
    import pytest_metadata.plugin

    ini = path.with_name("pytest.ini")
    ini.write_text(_INI, encoding="utf-8")
    folder = str(path.parent)
    args = [
        folder, "-c", str(ini), f"--rootdir={folder}", f"--confcutdir={folder}", "--noconftest",
        "--disable-plugin-autoload", f"--html={path}", "--self-contained-html",
    ]  # fmt: skip
    for name in _BLOCKED:
        args += ["-p", f"no:{name}"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a library's warning must not cost a report
        return pytest.main(args, plugins=[pytest_metadata.plugin, pytest_html.fixtures, pytest_html.plugin, plugin])


@contextmanager
def _pytest_environment_hidden() -> Iterator[None]:
    """Take PYTEST_* out of the environment for a moment: PYTEST_ADDOPTS would be read by the nested session too."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PYTEST_")}
    try:
        yield
    finally:
        os.environ.update(hidden)


class _ReplayPlugin:
    """Collects nothing, reports the recorded steps, and fills pytest-html's hooks."""

    def __init__(self, page: Replay) -> None:
        self._page = page
        self._rows = {row.anchor: row for row in page.rows}
        self.interrupt: BaseException | None = None
        self.failure: BaseException | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        session.items = []
        session.testscollected = len(self._rows)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for row in self._page.rows:
            for report in _reports(row):
                session.config.hook.pytest_runtest_logreport(report=report)
        return True

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.interrupt = excinfo.value

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
        self.failure = excinfo.value
        return True  # not printed: it is raised

    @pytest.hookimpl(optionalhook=True)
    def pytest_metadata(self, metadata: dict[str, str]) -> None:
        metadata.clear()  # Python, packages and CI variables of the machine that happens to make the page
        metadata.update(self._page.facts)

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        report.title = self._page.title
        for word, label in _LABELS.items():
            report.outcomes[word]["label"] = label

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        # pytest-html takes a row's filter word and id out of "sortable" columns; ours are hidden, and the steps
        # stay in plan order.
        hidden = ('<th class="sortable hidden" data-column-type="result"></th>',
                  '<th class="sortable hidden" data-column-type="testId"></th>')  # fmt: skip
        cells[:] = [*HEADER, *hidden]

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        row = self._rows[report.nodeid]
        cells[:] = [
            *row.cells,
            f'<td class="col-result hidden">{_REPLAYED[row.step.outcome].word}</td>',
            f'<td class="col-testId hidden">{row.anchor}</td>',
        ]

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_html(self, data: list[str]) -> None:
        data.clear()  # no captured output: the step's sentence is an extra

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_summary(self, prefix: list[str], postfix: list[str]) -> None:
        prefix.append(self._page.prefix)
        postfix.append(self._page.postfix)


def _reports(row: StepRow) -> list[pytest.TestReport]:
    """Make what pytest would have reported: the step itself, and a clean teardown that ends it."""
    told = _REPLAYED[row.step.outcome]
    extra: dict[str, Any] = {"extras": _extras(row)}
    if told.xfail:
        extra["wasxfail"] = ""
    # The node id is ours: the test's name may stand in a record twice, and pytest-html decodes escapes in it.
    main = pytest.TestReport(row.anchor, (row.anchor, None, row.anchor), {}, told.outcome, None, told.when, **extra)
    end = pytest.TestReport(row.anchor, (row.anchor, None, row.anchor), {}, "passed", None, "teardown")
    return [main, end]


def _extras(row: StepRow) -> list[dict[str, str | None]]:
    if not row.details:
        return []
    from pytest_html import extras

    ready: dict[str, str | None] = extras.html(row.details)
    return [ready]
