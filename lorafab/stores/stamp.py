"""How a moment is written in everything that is kept."""

from datetime import UTC, datetime


def utc_text(moment: datetime) -> str:
    """Write a timezone-aware moment as ISO 8601 in UTC with milliseconds: ``2026-03-01T12:00:00.000Z``.

    Raises ValueError for a moment without time zone: nobody could tell later which hour was meant.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment without time zone cannot be recorded")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
