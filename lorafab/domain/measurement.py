"""Measurements: declared before they are taken, judged when they are, never passed by silence."""

import math
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Of one measurement."""

    PASS = "pass"
    MARGINAL = "marginal"
    FAIL = "fail"
    UNSET = "unset"
    UNDECLARED = "undeclared"

    @property
    def passed(self) -> bool:
        """Marginal passes, and shows."""
        return self in (Outcome.PASS, Outcome.MARGINAL)


@dataclass(frozen=True)
class Spec:
    """What the plan promises to measure.

    ``low`` and ``high`` are inclusive, in ``unit``; None means open on that side. ``equals`` asks for an exact
    value instead (text or number). ``marginal`` is the share of the limit range, 0..0.5, next to either limit
    that passes with a warning.
    """

    name: str
    unit: str
    low: float | None = None
    high: float | None = None
    equals: str | float | None = None
    marginal: float = 0.0
    why: str = ""

    def limits_text(self) -> str:
        """For people: ``0.4 … 2.5``, ``= OK``, ``at most 3``."""
        if self.equals is not None:
            return f"= {self.equals}"
        if self.low is None:
            return f"at most {self.high:.12g}" if self.high is not None else "any"
        return f"at least {self.low:.12g}" if self.high is None else f"{self.low:.12g} … {self.high:.12g}"


Value = float | int | str | bool | None


def judge(spec: Spec, value: Value) -> Outcome:
    """Judge one value. None is UNSET; NaN, infinities and a value of the wrong kind fail."""
    if value is None:
        return Outcome.UNSET
    if spec.equals is not None:
        return Outcome.PASS if type(value) is not bool and value == spec.equals else Outcome.FAIL
    if isinstance(value, (bool, str)) or not math.isfinite(value):
        return Outcome.FAIL
    if (spec.low is not None and value < spec.low) or (spec.high is not None and value > spec.high):
        return Outcome.FAIL
    return Outcome.MARGINAL if _is_marginal(spec, value) else Outcome.PASS


def _is_marginal(spec: Spec, value: float) -> bool:
    if not spec.marginal or spec.low is None or spec.high is None:
        return False
    margin = (spec.high - spec.low) * spec.marginal
    return value < spec.low + margin or value > spec.high - margin


@dataclass(frozen=True)
class Measurement:
    """One judged value, with the limits as they were."""

    spec: Spec
    value: Value
    outcome: Outcome

    def sentence(self) -> str:
        """Say what was measured and what was wanted."""
        name, unit = self.spec.name, f" {self.spec.unit}" if self.spec.unit else ""
        if self.outcome is Outcome.UNDECLARED:
            return f"{name} was measured, but product.yaml does not declare it for this step; declare it with limits"
        if self.outcome is Outcome.UNSET:
            return f"{name} was declared and not measured (limits {self.spec.limits_text()}{unit})"
        return f"{name} is {self.value}{unit}, wanted {self.spec.limits_text()}{unit}"
