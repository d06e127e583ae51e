"""What happens in pytest while a board is in the jig: order, gates, judgement, late errors."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from lorafab.domain.verdict import Verdict
from lorafab.errors import DutError, LorafabError, PlanError, UsageError
from lorafab.run.outcome import Cause, StepOutcome, StepState, blame, code_of, sentence_of
from lorafab.run.run import Run
from lorafab.run.session import Session
from lorafab.run.signals import Signals
from lorafab.screen import Screen

PRODUCTION = "tests_production"
OPTIONAL = "optional_step"
"""Marker of a step that a product's plan may leave out."""
_GATED = pytest.StashKey[bool]()
_COMPLETED = pytest.StashKey[bool]()


def is_production_item(item: pytest.Item) -> bool:
    """Below this project's tests_production/, not below any folder of that name."""
    return item.path.is_relative_to(item.config.rootpath / PRODUCTION)


def step_of(item: pytest.Item) -> str:
    """The name by which the plan knows a test: ``<module>::<function>``."""
    return f"{item.path.stem}::{getattr(item, 'originalname', None) or item.name}"


def shut_what_could_print_a_key(config: pytest.Config) -> None:
    """Before pytest acts on its options: none of them may show arguments, locals or texts of foreign exceptions.

    One of them may be a key (docs/decisions/0004-secrets.md). Raises UsageError for options that cannot be shut.
    """
    option = config.option
    if option.debug or os.environ.get("PYTEST_DEBUG"):
        raise UsageError(
            "--debug, or PYTEST_DEBUG in the environment, writes what passes between pytest's hooks, keys among it; "
            "leave it out"
        )
    option.tbstyle, option.showlocals, option.fulltrace = "short", False, False
    option.usepdb, option.trace = False, False
    option.disable_warnings = True  # a warning of a failed thread quotes its exception


class FailedAssertion(DutError):
    """An assert in a production test: the test says that this board is bad."""

    code = "ASSERT"


class Production:
    """Hooks of one board's run, registered only for its length."""

    def __init__(self, session: Session, signals: Signals) -> None:
        self._session, self._signals = session, signals
        self._running: StepState | None = None

    @property
    def _run(self) -> Run:
        assert self._session.run is not None
        return self._session.run

    # -- before the first step -----------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave optional steps out that this product's plan does not name; any other such test is refused later."""
        planned = {step.test for step in self._run.station.config.plan.steps}
        left_out = [
            item
            for item in items
            if is_production_item(item) and item.get_closest_marker(OPTIONAL) and step_of(item) not in planned
        ]
        if left_out:
            items[:] = [item for item in items if item not in left_out]
            config.hook.pytest_deselected(items=left_out)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Give the operator a screen of his own."""
        # The unit suite has warnings as errors in the same ini file; a library's warning must not stop the line.
        config.addinivalue_line("filterwarnings", "default")
        config.pluginmanager.register(Screen(config, self._session), "lorafab-screen")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A test module that cannot be imported is the station's fault."""
        if report.failed:
            sentence = f"{report.nodeid or PRODUCTION} cannot be collected; correct the test module (see above)"
            self._session.blame(Cause(Verdict.ERROR, "COLLECT", sentence))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Hold what was collected against the plan, after every plugin had its say on the order."""
        plan = self._run.station.config.plan
        try:
            plan.check_collected([step_of(item) for item in session.items if is_production_item(item)])
        except PlanError as error:
            self._session.blame_error(error)

    # -- a step --------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Gate: after the first cause nothing more runs, and a step runs only behind all that the plan puts before it.

        A failed session fixture would raise again in each step that depends on it, and blame it too.
        """
        item.stash[_GATED] = True
        if not is_production_item(item):
            pytest.skip("not a step of the production line")
        if self._session.cause is not None:
            pytest.skip(f"not run: {self._session.cause.sentence}")
        for state in self._run.state.steps.values():
            if state.step.test == step_of(item):
                break
            if state.outcome != "pass":
                pytest.skip(f"not run: the plan wants {state.step.test} before it, and that was not selected")
        item.stash[_GATED] = False
        if self._run.carry(self._state(item)):
            item.stash[_GATED] = True
            pytest.skip("done by the run that this one goes on with")
        self._running = self._state(item)
        self._run.start_step(step_of(item))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """A step that declared a measurement and did not take it has not passed."""
        yield
        self._state(item).settle_measurements()
        item.stash[_COMPLETED] = True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, None, None]:
        """A signal in a teardown is noted and not raised, or outer fixtures would stay open."""
        with self._signals.held():
            yield

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Judge each phase by who is at fault; pytest's own split is by phase."""
        report = yield
        if item.stash.get(_GATED, True):
            return report
        state = self._state(item)
        state.seconds += call.duration
        if hasattr(report, "wasxfail") or (call.excinfo is None and "XPASS(strict)" in str(report.longrepr)):
            self._settle(state, "skipped", "marked xfail, which never counts as passed", "XFAIL")
        elif call.excinfo is not None and call.excinfo.errisinstance(pytest.skip.Exception):
            self._settle(state, "skipped", str(call.excinfo.value) or "skipped", "SKIP")
        elif call.excinfo is not None:
            error = _culprit(call.excinfo.value, item.config.rootpath / PRODUCTION)
            self._session.blame_error(error, state.step.test)
            self._settle(state, "fail" if blame(error) is Verdict.FAIL else "error", sentence_of(error), code_of(error))
            report.longrepr = _for_people(error)
        if report.when == "teardown":
            if item.stash.get(_COMPLETED, False):
                self._settle(state, "pass", "", "")
            self._settle(state, "skipped", "was set up, but its test did not run to its end", "SKIP")
            self._run.end_step(state)
        return report

    def _state(self, item: pytest.Item) -> StepState:
        return self._run.state.steps[step_of(item)]

    @staticmethod
    def _settle(state: StepState, outcome: StepOutcome, sentence: str, code: str) -> None:
        """The first phase that did not pass decides."""
        if state.outcome == "not run":
            state.outcome, state.sentence, state.code = outcome, sentence, code

    # -- after the last step -------------------------------------------------------------------------------------

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Ctrl-C, or a test that called pytest.exit: the step that ran has no report of its own."""
        self._session.blame_error(excinfo.value)
        if self._running is not None:
            self._settle(self._running, "error", "the run was stopped during this step", code_of(excinfo.value))

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Something broke inside pytest or a plugin."""
        self._session.blame_error(excinfo.value)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        """Errors of plugins that write files at the end (JUnit) are said, and do not change the verdict."""
        with self._signals.held():
            try:
                yield
            except OSError as error:
                self._session.notices.append(f"pytest cannot write a file that you asked for ({error.strerror})")


def _culprit(error: BaseException, tests: Path) -> BaseException:
    """The exception that tells who is at fault: out of groups, and an assert in a test as a fault of the board."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, AssertionError) and not isinstance(error, LorafabError):
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        if frame is not None and Path(frame.tb_frame.f_code.co_filename).is_relative_to(tests):
            # The two sides of the comparison stay out: one of them may be a key.
            where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
            return FailedAssertion(f"the assertion at {where} does not hold for this board; set it aside")
    return error


def _for_people(error: BaseException) -> str:
    """What pytest's own summary, the JUnit file and the terminal may show of an exception.

    Our errors are their sentence. Of others only the places are shown: their texts may quote data.
    """
    lines: list[str] = []
    if not isinstance(error, LorafabError):
        frame: Any = error.__traceback__
        while frame is not None:
            code = frame.tb_frame.f_code
            lines.append(f"{code.co_filename}:{frame.tb_lineno}: in {code.co_name}")
            frame = frame.tb_next
        lines.append(f"{type(error).__name__} (its text is not shown: it may quote data)")
    return "\n".join([*lines, sentence_of(error)])
