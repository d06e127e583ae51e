"""Moments are written in one way."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from lorafab.stores.stamp import utc_text


def test_a_moment_is_utc_with_milliseconds() -> None:
    """Whatever the time zone it came in."""
    assert utc_text(datetime(2026, 3, 1, 12, 0, 0, 1999, tzinfo=UTC)) == "2026-03-01T12:00:00.001Z"
    assert utc_text(datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2026-02-28T23:00:00.000Z"


def test_a_moment_without_time_zone_is_refused() -> None:
    """Nobody could tell later which hour was meant."""
    with pytest.raises(ValueError, match="without time zone"):
        utc_text(datetime(2026, 3, 1))  # a naive moment, on purpose
