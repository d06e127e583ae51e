"""lorafab.domain.measurement: nothing passes by silence, by NaN or by the wrong kind of value."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.measurement import Measurement, Outcome, Spec, Value, judge

RANGE = Spec("current", "uA", low=0.4, high=2.5)
EXACT = Spec("selftest", "", equals="OK")
COUNT = Spec("differences", "bytes", equals=0)


@pytest.mark.parametrize(
    ("spec", "value", "outcome"),
    [
        (RANGE, 0.4, Outcome.PASS),
        (RANGE, 2.5, Outcome.PASS),
        (RANGE, 0.39, Outcome.FAIL),
        (RANGE, 3, Outcome.FAIL),
        (RANGE, None, Outcome.UNSET),
        (RANGE, math.nan, Outcome.FAIL),
        (RANGE, math.inf, Outcome.FAIL),
        (RANGE, -math.inf, Outcome.FAIL),
        (RANGE, True, Outcome.FAIL),
        (RANGE, "1", Outcome.FAIL),
        (RANGE, "", Outcome.FAIL),
        (Spec("open", ""), math.inf, Outcome.FAIL),
        (Spec("low", "", low=1), 1e300, Outcome.PASS),
        (Spec("high", "", high=1), -1e300, Outcome.PASS),
        (EXACT, "OK", Outcome.PASS),
        (EXACT, "ok", Outcome.FAIL),
        (EXACT, "", Outcome.FAIL),
        (EXACT, None, Outcome.UNSET),
        (COUNT, 0, Outcome.PASS),
        (COUNT, 0.0, Outcome.PASS),
        (COUNT, False, Outcome.FAIL),
        (COUNT, "0", Outcome.FAIL),
        (Spec("one", "", equals=1), True, Outcome.FAIL),
        (COUNT, math.nan, Outcome.FAIL),
    ],
)
def test_judging(spec: Spec, value: Value, outcome: Outcome) -> None:
    """Limits are inclusive; None is unset; NaN, infinities, booleans and texts for numbers fail."""
    assert judge(spec, value) is outcome


@given(st.floats(), st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(0, 0.5))
def test_what_passes_lies_within_the_limits(value: float, low: float, width: float, marginal: float) -> None:
    """Whatever the number and the margin, passed means inside, and inside means passed."""
    spec = Spec("x", "", low=low, high=low + width, marginal=marginal)
    assert judge(spec, value).passed == (low <= value <= low + width)


def test_marginal_values_pass_and_show() -> None:
    """The outer tenth on each side is marginal when the plan asks for it."""
    spec = Spec("x", "", low=0, high=10, marginal=0.1)
    assert [judge(spec, value) for value in (0, 0.9, 1, 5, 9, 9.1, 10)] == [
        *[Outcome.MARGINAL] * 2,
        *[Outcome.PASS] * 3,
        *[Outcome.MARGINAL] * 2,
    ]


def test_only_pass_and_marginal_have_passed() -> None:
    """Unset and undeclared are failures of the step."""
    assert [outcome for outcome in Outcome if outcome.passed] == [Outcome.PASS, Outcome.MARGINAL]


@pytest.mark.parametrize(
    ("measurement", "sentence"),
    [
        (Measurement(RANGE, 3.0, Outcome.FAIL), "current is 3.0 uA, wanted 0.4 … 2.5 uA"),
        (Measurement(EXACT, "no", Outcome.FAIL), "selftest is no, wanted = OK"),
        (
            Measurement(RANGE, None, Outcome.UNSET),
            "current was declared and not measured (limits 0.4 … 2.5 uA)",
        ),
        (
            Measurement(Spec("y", ""), 1, Outcome.UNDECLARED),
            "y was measured, but product.yaml does not declare it for this step; declare it",
        ),
    ],
)
def test_sentences(measurement: Measurement, sentence: str) -> None:
    """What was measured and what was wanted, with units."""
    assert measurement.sentence().startswith(sentence)


@pytest.mark.parametrize(
    ("spec", "text"),
    [(RANGE, "0.4 … 2.5"), (EXACT, "= OK"), (Spec("a", "", low=1), "at least 1"), (Spec("a", "", high=3), "at most 3")],
)
def test_limits_for_people(spec: Spec, text: str) -> None:
    """One-sided limits are words."""
    assert spec.limits_text() == text
