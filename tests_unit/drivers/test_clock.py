"""The computer's clock speaks UTC."""

from datetime import UTC, timedelta

from lorafab.drivers.clock import SystemClock
from lorafab.interfaces import Clock


def test_now_is_utc_and_the_other_clock_never_goes_back() -> None:
    """Moments carry their time zone, durations come from a clock that nobody sets."""
    clock: Clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.now().utcoffset() == timedelta(0)
    first = clock.monotonic()
    assert clock.monotonic() >= first
