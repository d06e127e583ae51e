"""The state of a run from which its verdict follows; no I/O, so that every line of the verdict table can be tested."""

from dataclasses import dataclass, field
from typing import Literal

from lorafab.domain.measurement import Measurement, Outcome, Spec, Value, judge
from lorafab.domain.plan import Plan, Step
from lorafab.domain.verdict import Verdict
from lorafab.errors import DutError, LorafabError, MeasurementFailed, UsageError
from lorafab.run.redaction import without_keys

StepOutcome = Literal["pass", "fail", "error", "skipped", "not run"]


@dataclass(frozen=True)
class Cause:
    """What decided the verdict."""

    verdict: Verdict
    code: str
    sentence: str
    test: str | None = None


@dataclass
class StepState:
    """How far one step came."""

    step: Step
    outcome: StepOutcome = "not run"
    seconds: float = 0.0
    sentence: str = ""
    code: str = ""
    measurements: list[Measurement] = field(default_factory=list)
    run: str | None = None
    """The run that did the step, where that was an earlier one."""

    def measure(self, name: str, value: Value) -> Measurement:
        """Judge one value against its declaration; what was never declared is a failure, not a surprise."""
        if isinstance(value, str):
            value = without_keys(value)  # what a board said
        spec = next((spec for spec in self.step.measurements if spec.name == name), None)
        if spec is None:
            measurement = Measurement(Spec(name, ""), value, Outcome.UNDECLARED)
        else:
            measurement = Measurement(spec, value, judge(spec, value))
        self.measurements.append(measurement)
        return measurement

    def settle_measurements(self) -> None:
        """At the end of the test: what was declared and not measured counts as a failure too.

        Raises MeasurementFailed with the first one that did not pass.
        """
        taken = {measurement.spec.name for measurement in self.measurements}
        self.measurements += [
            Measurement(spec, None, Outcome.UNSET) for spec in self.step.measurements if spec.name not in taken
        ]
        for measurement in self.measurements:
            if not measurement.outcome.passed:
                raise MeasurementFailed(measurement.sentence())


def blame(error: BaseException) -> Verdict:
    """Who is at fault for this exception."""
    if isinstance(error, DutError):
        return Verdict.FAIL
    if isinstance(error, UsageError):
        return Verdict.USAGE
    return Verdict.ABORTED if isinstance(error, KeyboardInterrupt) else Verdict.ERROR


def sentence_of(error: BaseException) -> str:
    """One sentence for the operator; what lorafab did not raise itself is named by its type only.

    A foreign exception's text may quote the arguments of a call, and one of them may have been a key.
    """
    if isinstance(error, LorafabError):
        return without_keys(str(error))  # it may quote what a board said
    if isinstance(error, KeyboardInterrupt):
        return "a person stopped the run"
    return (
        f"lorafab or a library stopped with {type(error).__name__}, which is not the board's fault; "
        "run the board again, and report it with the run id if it comes back"
    )


def code_of(error: BaseException) -> str:
    """Short stable code for reports and statistics."""
    if isinstance(error, LorafabError):
        return error.code
    return "ABORT" if isinstance(error, KeyboardInterrupt) else "CRASH"


class RunState:
    """All steps of one run, and the cause of its verdict."""

    def __init__(self, plan: Plan) -> None:
        self.steps = {step.test: StepState(step) for step in plan.steps}
        self.cause: Cause | None = None

    def blame(self, cause: Cause) -> None:
        """Keep the first cause; a judged FAIL is not covered up by what breaks later."""
        if self.cause is None:
            self.cause = cause

    def blame_error(self, error: BaseException, test: str | None = None) -> None:
        """Keep an exception as the cause, if it is the first."""
        self.blame(Cause(blame(error), code_of(error), sentence_of(error), test))

    def override(self, error: LorafabError) -> None:
        """A record that cannot be written is always ERROR, whatever came before."""
        self.cause = Cause(Verdict.ERROR, error.code, str(error))

    def verdict(self) -> Verdict:
        """Counted up from passed steps: what did not run is not PASS."""
        if self.cause is not None:
            return self.cause.verdict
        if self.steps and all(state.outcome == "pass" for state in self.steps.values()):
            return Verdict.PASS
        return Verdict.INCOMPLETE

    def why(self) -> tuple[str, str]:
        """(code, sentence) of the verdict; empty for PASS."""
        if self.cause is not None:
            return self.cause.code, self.cause.sentence
        if self.verdict() is Verdict.PASS:
            return "", ""
        missing = [state.step.test for state in self.steps.values() if state.outcome != "pass"]
        return "PART", (
            f"{len(missing)} of {len(self.steps)} steps did not run to a result, the first is {missing[0]}; "
            "run this board again without selecting or skipping tests"
            if missing
            else "the plan has no steps; declare them in product.yaml"
        )
