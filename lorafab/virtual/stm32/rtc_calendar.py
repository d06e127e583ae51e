"""The calendar of an RTC as plain arithmetic: registers to seconds and back, and when an alarm comes.

Fields of TR, DR and ALRMxR: CMSIS headers (RTC_TR_*, RTC_DR_*, RTC_ALRMAR_*). Rules: RTC chapters of RM0351 and
RM0453. Seconds count from 2000-01-01 00:00:00; years are 2000 to 2099 and wrap.
"""

import datetime
from dataclasses import dataclass

DAY = 86_400
DAYS = 36_525  # 2000 to 2099; every fourth year is a leap year
_FIRST = datetime.date(2000, 1, 1).toordinal()
_PM = 1 << 22
_SEARCH_DAYS = 31 * 12 * 5  # the 29th of February and a weekday come within so many days


def from_bcd(value: int) -> int:
    """Two digits."""
    return (value >> 4) * 10 + (value & 0xF)


def to_bcd(value: int) -> int:
    """Two digits."""
    return value // 10 << 4 | value % 10


def time_register(seconds: int, twelve: bool) -> int:
    """TR of a moment; ``twelve`` is CR.FMT, the 12-hour clock."""
    hour, minute, second = seconds % DAY // 3600, seconds % 3600 // 60, seconds % 60
    afternoon = _PM if twelve and hour >= 12 else 0
    if twelve:
        hour = (hour + 11) % 12 + 1
    return afternoon | to_bcd(hour) << 16 | to_bcd(minute) << 8 | to_bcd(second)


def time_seconds(register: int, twelve: bool) -> int | None:
    """Seconds of the day that TR names, or None for what is no time."""
    hour = from_bcd(register >> 16 & 0x3F)
    minute, second = from_bcd(register >> 8 & 0x7F), from_bcd(register & 0x7F)
    if twelve:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if register & _PM else 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    return hour * 3600 + minute * 60 + second


def date_register(seconds: int, weekday: int) -> int:
    """DR of a moment; ``weekday`` 1 to 7 is that of 2000-01-01."""
    days = seconds // DAY % DAYS
    date = datetime.date.fromordinal(_FIRST + days)
    wdu = (weekday - 1 + seconds // DAY) % 7 + 1
    return to_bcd(date.year - 2000) << 16 | wdu << 13 | to_bcd(date.month) << 8 | to_bcd(date.day)


def date_days(register: int) -> int | None:
    """Days from 2000-01-01 on that DR names, or None for what is no date."""
    year, month = from_bcd(register >> 16 & 0xFF), from_bcd(register >> 8 & 0x1F)
    try:
        return datetime.date(2000 + year, month, from_bcd(register & 0x3F)).toordinal() - _FIRST
    except ValueError:
        return None


def weekday_of_start(register: int, days: int) -> int:
    """Weekday of 2000-01-01 as seen from a DR that names ``days``."""
    return (max(register >> 13 & 7, 1) - 1 - days) % 7 + 1


@dataclass(frozen=True)
class Alarm:
    """ALRMxR and how many of the low bits of SSR are compared with ``subsecond``."""

    register: int
    subsecond: int
    compared: int
    """0: the alarm comes when the second begins."""

    def next_tick(self, tick: int, origin: int, modulus: int, weekday: int, twelve: bool) -> int | None:
        """The first matching tick from ``tick`` on.

        ``modulus`` ticks are a second; tick 0 is ``origin`` in calendar seconds. None: it never matches.
        """
        second, offset = tick // modulus, tick % modulus
        if self._matches(origin + second, weekday, twelve):
            found = self._offset(offset, modulus)
            if found is not None:
                return second * modulus + found
        found = self._offset(0, modulus)
        later = self._next_second(origin + second + 1, weekday, twelve)
        return None if found is None or later is None else (later - origin) * modulus + found

    def _offset(self, offset: int, modulus: int) -> int | None:
        """First place within a second from ``offset`` on where the compared bits of SSR match."""
        if not self.compared:
            return 0 if offset == 0 else None
        span = 1 << self.compared
        value = modulus - 1 - offset
        value -= (value - self.subsecond) % span
        return modulus - 1 - value if value >= 0 else None

    def _matches(self, seconds: int, weekday: int, twelve: bool) -> bool:
        return self._next_second(seconds, weekday, twelve, days=1) == seconds

    def _next_second(self, seconds: int, weekday: int, twelve: bool, days: int = _SEARCH_DAYS) -> int | None:
        day, start = seconds // DAY, seconds % DAY
        for later in range(days):
            if self._day_matches(day + later, weekday):
                found = self._in_day(start if later == 0 else 0, twelve)
                if found is not None:
                    return (day + later) * DAY + found
        return None

    def _day_matches(self, day: int, weekday: int) -> bool:
        if self.register >> 31 & 1:  # MSK4
            return True
        units = self.register >> 24 & 0x3F
        if self.register >> 30 & 1:  # WDSEL
            return (weekday - 1 + day) % 7 + 1 == units & 0xF
        return datetime.date.fromordinal(_FIRST + day % DAYS).day == from_bcd(units)

    def _in_day(self, start: int, twelve: bool) -> int | None:
        """First matching second of a day from ``start`` on."""
        hours = self._field(23, range(24), self._hour(twelve))
        minutes = self._field(15, range(60), from_bcd(self.register >> 8 & 0x7F))
        seconds = self._field(7, range(60), from_bcd(self.register & 0x7F))
        for hour in hours:
            if hour * 3600 + 3599 < start:
                continue
            for minute in minutes:
                base = hour * 3600 + minute * 60
                if base + 59 < start:
                    continue
                for second in seconds:
                    if base + second >= start:
                        return base + second
        return None

    def _field(self, mask_bit: int, every: range, value: int) -> range:
        if self.register >> mask_bit & 1:
            return every
        return range(value, value + 1) if value in every else range(0)

    def _hour(self, twelve: bool) -> int:
        hour = from_bcd(self.register >> 16 & 0x3F)
        return hour % 12 + (12 if self.register & _PM else 0) if twelve else hour
