"""lorafab/virtual/stm32/rtc_calendar.py: registers, seconds, and when an alarm comes, against Python's calendar."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.virtual.stm32 import rtc_calendar as calendar
from lorafab.virtual.stm32.rtc_calendar import DAY, DAYS, Alarm

_START = datetime.datetime(2000, 1, 1)
_SATURDAY = 6  # 2000-01-01
moments = st.integers(0, DAYS * DAY - 1)


def _when(seconds: int) -> datetime.datetime:
    return _START + datetime.timedelta(seconds=seconds)


@given(moments, st.booleans())
def test_time_register_reads_back(seconds: int, twelve: bool) -> None:
    """TR names hour, minute and second in BCD, in both clocks."""
    register, when = calendar.time_register(seconds, twelve), _when(seconds)
    wanted = when.strftime("%I%M%S" if twelve else "%H%M%S")
    assert f"{register & 0x3F_7F7F:06x}" == wanted
    assert bool(register >> 22) == (twelve and when.hour >= 12)
    assert calendar.time_seconds(register, twelve) == seconds % DAY


@given(moments)
def test_date_register_reads_back(seconds: int) -> None:
    """DR names year, weekday, month and day; Monday is 1."""
    register, when = calendar.date_register(seconds, _SATURDAY), _when(seconds)
    assert f"{register & 0xFF_1F3F:06x}" == when.strftime("%y%m%d")
    assert register >> 13 & 7 == when.isoweekday()
    days = calendar.date_days(register)
    assert days == seconds // DAY
    assert calendar.weekday_of_start(register, days) == _SATURDAY


@pytest.mark.parametrize("register", [0x24_0000, 0x00_6000, 0x00_0060])
def test_no_time(register: int) -> None:
    """24:00:00, minute 60, second 60."""
    assert calendar.time_seconds(register, False) is None


def test_no_time_on_the_twelve_hour_clock() -> None:
    """0 and 13 are no hours of it."""
    assert calendar.time_seconds(0, True) is calendar.time_seconds(0x13_0000, True) is None


@pytest.mark.parametrize("register", [0x23_0229, 0x23_1301, 0x23_0100])
def test_no_date(register: int) -> None:
    """29 February 2023, month 13, day 0."""
    assert calendar.date_days(register) is None


fields = st.tuples(
    st.integers(0, 59), st.integers(0, 59), st.integers(0, 23), st.integers(1, 28), st.lists(st.booleans(), min_size=4)
)


@given(moments.filter(lambda s: s < (DAYS - 4000) * DAY), fields, st.integers(0, 255), st.integers(0, 8), st.booleans())
def test_next_alarm_is_the_first_match(
    start: int, field: tuple[int, int, int, int, list[bool]], subsecond: int, compared: int, weekday: bool
) -> None:
    """What is found matches every field that counts, is not before the start, and its second was due."""
    second, minute, hour, day, masks = field
    day = day % 7 + 1 if weekday else day
    register = (
        calendar.to_bcd(second) | masks[0] << 7 | calendar.to_bcd(minute) << 8 | masks[1] << 15
        | calendar.to_bcd(hour) << 16 | masks[2] << 23 | calendar.to_bcd(day) << 24 | masks[3] << 31 | weekday << 30
    )  # fmt: skip
    alarm = Alarm(register, subsecond & (1 << compared) - 1, compared)
    tick = alarm.next_tick(100, start, 256, _SATURDAY, False)
    assert tick is not None
    assert tick >= 100
    when, offset = _when(start + tick // 256), tick % 256
    assert masks[0] or when.second == second
    assert masks[1] or when.minute == minute
    assert masks[2] or when.hour == hour
    assert masks[3] or (when.isoweekday() if weekday else when.day) == day
    assert (255 - offset) % (1 << compared) == alarm.subsecond if compared else offset == 0
    if all(masks):
        assert tick < 100 + 256 + (1 << compared), "every second"


@given(st.integers(0, 3000), st.integers(0, 255), st.integers(1, 8))
def test_sub_second_alarm_agrees_with_looking_at_every_tick(start: int, subsecond: int, compared: int) -> None:
    """Every second, some bits of SSR compared: the first tick whose SSR matches."""
    mask = (1 << compared) - 1
    alarm = Alarm(0x8080_8080, subsecond & mask, compared)
    wanted = next(tick for tick in range(start, start + 600) if (255 - tick % 256 ^ subsecond) & mask == 0)
    assert alarm.next_tick(start, 0, 256, 1, False) == wanted


def test_impossible_alarm_never_comes() -> None:
    """Minute 99."""
    assert Alarm(0x9900, 0, 0).next_tick(0, 0, 256, 1, False) is None


def test_leap_day_is_found_years_ahead() -> None:
    """29 at 00:00:00, from 1 February 2001 on: 29 March; the 31st from 1 April: 31 May."""
    february = (datetime.datetime(2001, 2, 1) - _START).days * DAY
    tick = Alarm(0x29 << 24, 0, 0).next_tick(0, february, 1, _SATURDAY, False)
    assert tick is not None
    assert _when(february + tick) == datetime.datetime(2001, 3, 29)
