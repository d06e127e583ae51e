"""Text from a record, made safe and visible."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.report.markup import definition_list, exact_number, html_text, seconds, short_number, visible
from tests_unit.report.page import Parsed

ANY_TEXT = st.text(st.characters(), max_size=60)  # surrogates and noncharacters included


@given(ANY_TEXT)
def test_no_text_opens_an_element_or_hides_a_character(text: str) -> None:
    """Whatever a serial line sent, the page shows it as text, and all of it prints."""
    parsed = Parsed(html_text(text))
    assert parsed.elements == []
    assert parsed.text == visible(text)
    assert parsed.text.isprintable()


@given(ANY_TEXT)
def test_text_that_prints_is_shown_as_it_is(text: str) -> None:
    """Only what cannot be seen is rewritten."""
    assert (visible(text) == text) == text.isprintable()


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [("\0", r"\x00"), ("\x1b[2J", r"\x1b[2J"), ("\u202egnp", r"\u202egnp"), ("\ud800", r"\ud800"), ("a\nb", r"a\nb")],
)
def test_what_does_not_print_is_shown_as_an_escape(hidden: str, shown: str) -> None:
    """NUL, terminal escapes, direction marks and broken surrogates can be read."""
    assert visible(hidden) == shown


def test_unknown_is_a_dash() -> None:
    """What is not known is not left blank."""
    assert html_text(None) == "—"


def test_names_of_a_list_are_escaped_too() -> None:
    """A definition list takes ready HTML as values, and plain text as names."""
    assert Parsed(definition_list([("<b>", "x")])).count("b") == 0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_an_exact_number_keeps_its_value(value: float) -> None:
    """Limits are shown as they were judged by."""
    assert float(exact_number(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_short_number_is_right_to_six_digits(value: float) -> None:
    """Values may be rounded for the eye, by no more than half a digit of six."""
    assert math.isclose(float(short_number(value)), value, rel_tol=5.1e-6, abs_tol=1e-320)


def test_large_numbers_keep_their_digits() -> None:
    """A frequency in Hz is not cut to six digits."""
    assert short_number(868100142.5) == "868100142.5"
    assert exact_number(868100000.0) == "868100000"
    assert short_number(4.1) == "4.1"
    assert short_number(123456789) == "123456789"


def test_durations_are_for_people() -> None:
    """Seconds, then minutes; what is not a duration is a dash."""
    assert [seconds(0.0412), seconds(119.994), seconds(3725)] == ["0.04 s", "119.99 s", "62 min 05 s"]
    assert [seconds(math.nan), seconds(-1), seconds(math.inf)] == ["—"] * 3
