"""The computer's clock."""

import time
from datetime import UTC, datetime


class SystemClock:
    """Implements :class:`lorafab.interfaces.Clock` with the operating system's clocks."""

    def now(self) -> datetime:
        """Now, in UTC, timezone-aware."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never goes back, not even when the clock is set."""
        return time.monotonic()
