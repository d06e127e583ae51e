"""The little picture beside a measurement: where the value lies between its limits. SVG, drawn by hand.

Shape tells the outcome as well as colour does: a dot passes, a diamond is marginal, an arrow points out of the
limits. Between two limits the position is to scale, and so is a value of zero or more below an upper limit (the
left end is zero). Else one side is open to infinity, and the distance from the limit is squeezed so that any value
fits; the track is dashed wherever one limit is missing.
"""

import math

from lorafab.domain.record import MeasurementRecord
from lorafab.report.markup import exact_number, html_text

_WIDTH, _HEIGHT, _MIDDLE = 132, 14, 7  # user units = CSS pixels
_LEFT, _RIGHT = 14.0, 118.0  # where the limits stand
_OUT_LEFT, _OUT_RIGHT = 5.0, 127.0  # where a value outside is shown, however far outside it is


def limit_bar(measurement: MeasurementRecord) -> str:
    """Draw the bar; empty for a measurement without numeric limits or without a finite number."""
    value = finite_number(measurement.value)
    low, high = _limit(measurement.low), _limit(measurement.high)
    if value is None or measurement.equals is not None or (low is None and high is None):
        return ""
    title = html_text(f"{measurement.name}: {measurement.value} {measurement.unit}, {_words(measurement)}")
    return (
        f'<svg class="bar" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        f"<title>{title}</title>{_track(low, high)}{_marker(_position(low, high, value), measurement.outcome)}</svg>"
    )


def limits_text(measurement: MeasurementRecord) -> str:
    """Say the limits for people, all digits kept: ``0.4 … 2.5``, ``= OK``, ``at most 3``."""
    if measurement.equals is not None:
        wanted = measurement.equals
        return f"= {wanted if isinstance(wanted, str) else exact_number(wanted)}"
    low, high = measurement.low, measurement.high
    if low is None:
        return "any" if high is None else f"at most {exact_number(high)}"
    return f"at least {exact_number(low)}" if high is None else f"{exact_number(low)} … {exact_number(high)}"


def finite_number(value: float | int | str | bool | None) -> float | None:
    """Give a number that can be drawn, else None."""
    if value is None or isinstance(value, (str, bool)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _limit(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _position(low: float | None, high: float | None, value: float) -> float:
    if low is not None and value < low:
        return _OUT_LEFT
    if high is not None and value > high:
        return _OUT_RIGHT
    return _LEFT + (_RIGHT - _LEFT) * _share(low, high, value)


def _share(low: float | None, high: float | None, value: float) -> float:
    """Place a value that lies inside: 0 at the left end of the track, 1 at the right end."""
    if low is not None and high is not None:
        span = high / 2 - low / 2  # halves, because the whole may be too large for a float
        return (value / 2 - low / 2) / span if span > 0 else 0.5
    if low is not None:
        return _squeeze(value / 2 - low / 2, abs(low) / 2)
    assert high is not None  # limit_bar draws nothing without a limit
    if value >= 0 and high > 0:
        return value / high
    return 1 - _squeeze(high / 2 - value / 2, abs(high) / 2)


def _squeeze(distance: float, scale: float) -> float:
    """Map 0..infinity to 0..1; one half where the distance equals the limit itself."""
    ratio = distance / (scale or 0.5)
    return ratio / (1 + ratio) if math.isfinite(ratio) else 1.0


def _track(low: float | None, high: float | None) -> str:
    line = f'<path class="track{" open" if low is None or high is None else ""}" d="M{_LEFT:g} {_MIDDLE}H{_RIGHT:g}"/>'
    ticks = [x for limit, x in ((low, _LEFT), (high, _RIGHT)) if limit is not None]
    return line + "".join(f'<path class="tick" d="M{x:g} 1V13"/>' for x in ticks)


def _marker(x: float, outcome: str) -> str:
    if outcome in ("pass", "undeclared"):
        return f'<circle class="{outcome}" cx="{x:.1f}" cy="{_MIDDLE}" r="4"/>'
    if outcome == "marginal":
        return f'<path class="marginal" d="M{x:.1f} 1.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>'
    if x == _OUT_LEFT:
        return f'<path class="fail" d="M{x - 4.5:.1f} {_MIDDLE}l9 -5.5v11z"/>'
    if x == _OUT_RIGHT:
        return f'<path class="fail" d="M{x + 4.5:.1f} {_MIDDLE}l-9 -5.5v11z"/>'
    return f'<path class="fail cross" d="M{x - 4:.1f} 3l8 8m0 -8l-8 8"/>'


def _words(measurement: MeasurementRecord) -> str:
    return f"limits {limits_text(measurement)} {measurement.unit}: {measurement.outcome}"
