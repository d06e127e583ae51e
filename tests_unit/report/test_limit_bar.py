"""The picture beside a measurement."""

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.measurement import Spec, judge
from lorafab.domain.record import MeasurementRecord
from lorafab.report.limit_bar import finite_number, limit_bar, limits_text
from tests_unit.report.page import Parsed
from tests_unit.report.samples import HOSTILE, measured

LIMIT = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def marker_x(bar: str) -> float:
    """Where the marker was drawn, in user units."""
    found = re.search(r'class="(?:pass|undeclared|marginal|fail|fail cross)" (?:cx="|d="M)(-?[\d.]+)', bar)
    assert found is not None
    return float(found[1])


def judged(value: float, low: float | None, high: float | None) -> MeasurementRecord:
    return measured("m", "V", value, str(judge(Spec("m", "V", low=low, high=high), value)), low=low, high=high)


@given(LIMIT, LIMIT, st.floats() | st.integers())
def test_any_value_and_any_limits_give_a_drawing_inside_its_box(
    low: float | None, high: float | None, value: float
) -> None:
    """No NaN, no infinity and no marker outside the picture, whatever the limits are."""
    bar = limit_bar(judged(value, low, high))
    if not bar:
        assert finite_number(value) is None or (low is None and high is None)
        return
    drawn = bar.split("</title>")[1]
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert 0 <= marker_x(bar) <= 132
    assert Parsed(bar).balanced


@given(st.floats(-1e6, 1e6), st.floats(0.001, 1e6), st.floats(0, 1))
def test_between_two_limits_the_position_is_to_scale(low: float, span: float, share: float) -> None:
    """The middle of the limits is the middle of the bar."""
    high = low + span
    value = min(max(low + span * share, low), high)
    bar = limit_bar(judged(value, low, high))
    assert math.isclose(marker_x(bar), 14 + 104 * (value - low) / (high - low), abs_tol=0.06)


def test_outside_is_clipped_and_an_arrow() -> None:
    """A value far outside stays on the picture, beyond the limit, and has another shape than one that passes."""
    above, below = limit_bar(judged(1e300, 0, 1)), limit_bar(judged(-5, 0, 1))
    assert marker_x(above) > 118
    assert marker_x(below) < 14
    assert "<circle" not in above + below
    assert 'class="fail"' in above


def test_marginal_is_a_diamond() -> None:
    """Close to a limit is a shape of its own."""
    bar = limit_bar(measured("m", "V", 0.99, "marginal", low=0, high=1))
    assert 'class="marginal"' in bar
    assert "<circle" not in bar


def test_one_limit_leaves_the_other_side_open() -> None:
    """A missing limit has no tick, and its track is dashed; below an upper limit zero is at the left end."""
    bar = limit_bar(judged(4.1, None, 500))
    assert bar.count('class="tick"') == 1
    assert "track open" in bar
    assert marker_x(bar) < 20
    assert marker_x(limit_bar(judged(1e9, 5, None))) > marker_x(limit_bar(judged(6, 5, None))) > 14


def test_nothing_is_drawn_for_what_is_no_number() -> None:
    """Texts, truths, gaps and exact values have no scale."""
    for value in ("OK", True, None, math.nan, 10**400):
        assert limit_bar(measured("m", "", value, "fail", low=0, high=1)) == ""
    assert limit_bar(measured("m", "", 1, equals=1)) == ""


def test_limits_read_as_they_were_typed() -> None:
    """All digits of a limit are shown."""
    assert limits_text(measured("m", "", 1, low=868_091_419, high=868_108_681.5)) == "868091419 … 868108681.5"
    assert limits_text(measured("m", "", 1, low=0.4)) == "at least 0.4"
    assert limits_text(measured("m", "", 1, high=3)) == "at most 3"
    assert limits_text(measured("m", "", "OK", equals="OK")) == "= OK"
    assert limits_text(measured("m", "", 1, equals=2)) == "= 2"
    assert limits_text(measured("m", "", 1)) == "any"


def test_names_and_units_cannot_break_out() -> None:
    """The hover text of a bar is text."""
    bar = limit_bar(measured(HOSTILE, HOSTILE, 0.5, low=0, high=1))
    assert Parsed(bar).elements == Parsed(limit_bar(measured("m", "V", 0.5, low=0, high=1))).elements
