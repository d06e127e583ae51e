"""The verdict table, line by line."""

import math

import pytest

from lorafab.domain.measurement import Outcome, Spec
from lorafab.domain.plan import Plan, Step
from lorafab.domain.verdict import Verdict
from lorafab.errors import ConfigError, LinkSilent, MeasurementFailed, ProbeError, RecordError
from lorafab.run.outcome import RunState, StepState, blame, code_of, sentence_of

PLAN = Plan((Step("test_10::test_a", "A", (Spec("volts", "V", 3.0, 3.6),)), Step("test_20::test_b", "B")))


def test_a_run_in_which_nothing_ran_is_not_a_pass() -> None:
    """Zero steps, no cause: INCOMPLETE, and the sentence names the first step that is missing."""
    state = RunState(PLAN)
    assert state.verdict() is Verdict.INCOMPLETE
    assert "2 of 2 steps did not run" in state.why()[1]
    assert "test_10::test_a" in state.why()[1]


def test_an_empty_plan_never_passes() -> None:
    """A product without steps proves nothing."""
    state = RunState(Plan(()))
    assert state.verdict() is Verdict.INCOMPLETE
    assert "no steps" in state.why()[1]


@pytest.mark.parametrize("outcome", ["not run", "skipped"])
def test_one_missing_step_is_incomplete(outcome: str) -> None:
    """A skipped step is not a passed one."""
    state = RunState(PLAN)
    state.steps["test_10::test_a"].outcome = "pass"
    state.steps["test_20::test_b"].outcome = outcome  # type: ignore[assignment]
    assert state.verdict() is Verdict.INCOMPLETE


def test_all_steps_passed_is_a_pass() -> None:
    """PASS is counted up from passed steps."""
    state = RunState(PLAN)
    for step in state.steps.values():
        step.outcome = "pass"
    assert state.verdict() is Verdict.PASS
    assert state.why() == ("", "")


def test_a_judged_fail_outlives_a_later_error() -> None:
    """What breaks after a FAIL does not make the board good again."""
    state = RunState(PLAN)
    state.blame_error(LinkSilent("the board said nothing"), "test_10::test_a")
    state.blame_error(ProbeError("the probe was unplugged"))
    assert state.verdict() is Verdict.FAIL
    assert state.why() == ("MUTE", "the board said nothing")


def test_a_record_that_cannot_be_written_is_always_error() -> None:
    """Even after a FAIL: without a record there is no verdict on the board."""
    state = RunState(PLAN)
    state.blame_error(LinkSilent("the board said nothing"))
    state.override(RecordError("the disk is full"))
    assert state.verdict() is Verdict.ERROR
    assert state.why() == ("RECORD", "the disk is full")


@pytest.mark.parametrize(
    ("error", "verdict", "code"),
    [
        (LinkSilent("x"), Verdict.FAIL, "MUTE"),
        (ProbeError("x"), Verdict.ERROR, "PROBE"),
        (ConfigError("x"), Verdict.USAGE, "CONF"),
        (KeyboardInterrupt(), Verdict.ABORTED, "ABORT"),
        (ZeroDivisionError("x"), Verdict.ERROR, "CRASH"),
        (SystemExit(0), Verdict.ERROR, "CRASH"),
    ],
)
def test_who_is_at_fault(error: BaseException, verdict: Verdict, code: str) -> None:
    """Only a DutError blames the board; whatever is unknown blames lorafab."""
    assert (blame(error), code_of(error)) == (verdict, code)


def test_a_foreign_exceptions_text_is_not_shown() -> None:
    """It may quote the arguments of a call, and one of them may have been a key."""
    assert "00112233445566778899" not in sentence_of(ValueError("bad data 00112233445566778899"))
    assert "ValueError" in sentence_of(ValueError("secret"))


@pytest.mark.parametrize("value", [None, math.nan, math.inf, 2.9, 3.7, True, "3.3"])
def test_a_value_that_is_not_within_limits_fails_the_step(value: object) -> None:
    """NaN, missing and the wrong kind are not within limits."""
    step = StepState(PLAN.steps[0])
    step.measure("volts", value)  # type: ignore[arg-type]
    with pytest.raises(MeasurementFailed, match="volts"):
        step.settle_measurements()


def test_a_declared_measurement_that_was_not_taken_fails_the_step() -> None:
    """A silent gap never reads as a pass."""
    step = StepState(PLAN.steps[0])
    with pytest.raises(MeasurementFailed, match=r"volts was declared and not measured \(limits 3 … 3.6 V\)"):
        step.settle_measurements()
    assert step.measurements[0].outcome is Outcome.UNSET


def test_an_undeclared_measurement_fails_the_step() -> None:
    """A value without limits could never fail, so it must not pass either."""
    step = StepState(PLAN.steps[1])
    step.measure("amps", 1.0)
    with pytest.raises(MeasurementFailed, match=r"amps was measured, but product.yaml does not declare it"):
        step.settle_measurements()


def test_a_value_within_limits_passes() -> None:
    """And the step settles."""
    step = StepState(PLAN.steps[0])
    assert step.measure("volts", 3.3).outcome is Outcome.PASS
    step.settle_measurements()
