"""The rows of the steps table."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.domain.record import RunRecord
from lorafab.report.step_rows import cause_number, static_table, step_rows
from tests_unit.report import samples
from tests_unit.report.page import Parsed


def row_text(index: int, record: RunRecord) -> str:
    row = step_rows(record)[index]
    return " | ".join(Parsed(part).text for part in (*row.cells, row.details))


def test_rows_stand_in_plan_order_and_say_what_was_measured() -> None:
    """A row reads: result, number and title, test, name, value with unit, limits, time, reason of the limit."""
    record = samples.passed()
    assert [row.step for row in step_rows(record)] == list(record.steps)
    text = row_text(5, record)
    for part in ("Passed", "6. Sleep current", "test_60_sleep::test_sleep_current", "1.62 uA", "0.5 … 3 uA", "5.20 s"):
        assert part in text
    assert "MCU stop mode" in text


def test_a_failure_shows_its_sentence_its_code_and_the_exact_value() -> None:
    """The value is not rounded to its limit: 3.0000001 does not read as 3."""
    over = samples.measured("I_sleep", "uA", 3.0000001, "fail", low=0.5, high=3)
    step = samples.step("t::t", "Sleep", "fail", over, sentence="too much", code="MEAS")
    text = row_text(0, samples.failed(steps=(step,)))
    assert "3.0000001 uA fails" in text
    assert "MEAS too much" in text


@pytest.mark.parametrize("outcome", ["fail", "error", "skipped", "not run"])
def test_only_a_passed_step_reads_passed(outcome: str) -> None:
    """A step that did not pass never says so, and one that did not run shows no time."""
    text = row_text(0, samples.failed(steps=(samples.step("t::t", "Title", outcome),)))
    assert "Passed" not in text
    assert {"fail": "Failed", "error": "Error", "skipped": "Skipped", "not run": "Not run"}[outcome] in text
    assert ("0.00 s" in text) is False


@pytest.mark.parametrize(
    ("value", "outcome", "shown"),
    [
        (None, "unset", "not measured"),
        (math.nan, "fail", "no finite number"),
        (math.inf, "fail", "no finite number"),
        (None, "fail", "no finite number"),
        (True, "fail", "true fails"),
        ("", "fail", "(empty) fails"),
        (7, "undeclared", "7 V not declared"),
        (2.5, "marginal", "2.5 V marginal"),
    ],
)
def test_every_outcome_but_a_plain_pass_is_said_in_a_word(value: float | None, outcome: str, shown: str) -> None:
    """Colour is never the only sign; gaps and NaN read as what they are."""
    step = samples.step("t::t", "T", "fail", samples.measured("m", "V", value, outcome, low=0, high=1))
    assert shown in row_text(0, samples.failed(steps=(step,)))


def test_a_passed_step_close_to_a_limit_says_so() -> None:
    """Marginal passes, and shows."""
    assert "Passed, marginal" in row_text(6, samples.passed())


def test_the_cause_is_the_step_whose_sentence_decided() -> None:
    """Exactly one step is marked as the cause."""
    first = samples.step("a::a", "A", "fail", sentence="one", code="MEAS")
    second = samples.step("b::b", "B", "fail", sentence="two", code="MEAS")
    record = samples.failed(steps=(first, second), cause="two", code="MEAS")
    assert cause_number(record) == 2
    assert cause_number(samples.failed(steps=(first, second), cause="other", code="MEAS")) == 1
    assert cause_number(samples.failed(steps=(first, second), cause="other", code="PROBE")) is None
    assert static_table(step_rows(record)).count(">cause<") == 1


def test_nobody_is_blamed_for_a_killed_run() -> None:
    """A step that passed or never ran is no cause."""
    assert cause_number(samples.interrupted()) is None
    assert cause_number(samples.passed()) is None


@settings(max_examples=60)
@given(st.text(st.characters(), max_size=30))
def test_no_text_changes_the_structure_of_a_row(text: str) -> None:
    """Titles, tests, names, units, values, sentences, codes and reasons are text, whatever they hold."""

    def table(word: str) -> Parsed:
        values = samples.measured(word, word, word, "fail", equals=word, why=word)
        number = samples.measured(word, word, 2, low=1, high=3, why=word)
        step = samples.step(word, word, "fail", values, number, sentence=word, code=word)
        return Parsed(static_table(step_rows(samples.failed().model_copy(update={"steps": (step,)}))))

    if text and text.encode("utf-8", "ignore").decode() == text:  # what a record can hold
        assert table(text).elements == table("plain").elements
        assert table(text).balanced


def test_a_step_of_an_earlier_run_says_whose_it_is() -> None:
    """A run that goes on with another one shows what it did not do itself."""
    done = samples.step("test_20::test_flash", "Image is written", run="20261120-120000-abcdef")
    [row] = step_rows(samples.passed(steps=(done,)))
    assert "Done in run 20261120-120000-abcdef, which this one went on with." in row.details
