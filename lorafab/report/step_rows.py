"""The rows of the steps table: result, step, measurements with their limits, time, and why it did not pass."""

from dataclasses import dataclass
from typing import Final

from lorafab.domain.record import MeasurementRecord, RunRecord, StepRecord
from lorafab.report.limit_bar import finite_number, limit_bar, limits_text
from lorafab.report.markup import NOT_KNOWN, exact_number, html_text, seconds, short_number

WORDS: Final = {
    "pass": "Passed",
    "fail": "Failed",
    "error": "Error",
    "skipped": "Skipped",
    "not run": "Not run",
}

HEADER: Final = (
    '<th class="col-outcome">Result</th>',
    '<th class="col-step">Step</th>',
    '<th class="col-measured"><div class="measures head">'
    "<span>Measured</span><span>Value</span><span>Limits</span><span></span></div></th>",
    '<th class="col-time">Time</th>',
)


@dataclass(frozen=True)
class StepRow:
    """One step, ready to be set: the cells of its row, and what stands below it (empty when nothing does)."""

    number: int
    """Place in the plan, from 1."""
    step: StepRecord
    cells: tuple[str, ...]
    details: str

    @property
    def anchor(self) -> str:
        """Id of the row on the page."""
        return f"step-{self.number}"


def step_rows(record: RunRecord) -> list[StepRow]:
    """Set all steps, in plan order."""
    cause = cause_number(record)
    return [
        StepRow(number, step, _cells(number, step, is_cause=number == cause), _details(step))
        for number, step in enumerate(record.steps, start=1)
    ]


def cause_number(record: RunRecord) -> int | None:
    """Find the step (from 1) that decided the verdict: its sentence is the cause, or else its code is.

    None when no step is to blame, as for a run that was stopped between steps.
    """
    guilty = [(n, step) for n, step in enumerate(record.steps, start=1) if step.outcome in ("fail", "error")]
    by_sentence = [n for n, step in guilty if record.cause and step.sentence == record.cause]
    by_code = [n for n, step in guilty if record.code and step.code == record.code]
    return next(iter(by_sentence + by_code), None)


def is_marginal(step: StepRecord) -> bool:
    """Whether the step passed with a value close to its limit."""
    return step.outcome == "pass" and any(m.outcome == "marginal" for m in step.measurements)


def static_table(rows: list[StepRow]) -> str:
    """Set the rows without any script, for readers that run none."""
    bodies = "".join(
        f'<tbody class="{row.step.outcome.replace(" ", "-")}"><tr>{"".join(row.cells)}</tr>'
        f'<tr><td colspan="{len(HEADER)}">{row.details}</td></tr></tbody>'
        for row in rows
    )
    return f'<table class="static-steps"><thead><tr>{"".join(HEADER)}</tr></thead>{bodies}</table>'


def _cells(number: int, step: StepRecord, *, is_cause: bool) -> tuple[str, ...]:
    # The first cell of class col-result is the one that pytest-html marks when it folds the row. It is for people;
    # the bare word that pytest-html filters by stands in a hidden cell of its own (replay.py).
    kind = "marginal" if is_marginal(step) else step.outcome.replace(" ", "-")
    word = WORDS[step.outcome] + (", marginal" if kind == "marginal" else "")
    badge = ' <span class="badge">cause</span>' if is_cause else ""
    return (
        f'<td class="col-result is-{kind}">{word}</td>',
        f'<td class="col-step"><div class="title">{number}. {html_text(step.title)}{badge}</div>'
        f'<div class="test">{html_text(step.test)}</div></td>',
        f'<td class="col-measured">{_measures(step)}</td>',
        f'<td class="col-time">{NOT_KNOWN if step.outcome == "not run" else seconds(step.seconds)}</td>',
    )


def _measures(step: StepRecord) -> str:
    if not step.measurements:
        return f'<span class="none">{NOT_KNOWN}</span>'
    return f'<div class="measures">{"".join(_measure(m) for m in step.measurements)}</div>'


def _measure(measurement: MeasurementRecord) -> str:
    unit = html_text(measurement.unit)
    limits = html_text(limits_text(measurement)) + (f" {unit}" if unit else "")
    return (
        f'<span class="name">{html_text(measurement.name)}</span>'
        f'<span class="value is-{measurement.outcome}">{_value(measurement)}</span>'
        f'<span class="limits">{limits}</span><span class="bar-cell">{limit_bar(measurement)}</span>'
    )


def _value(measurement: MeasurementRecord) -> str:
    """Set the value with its unit; every outcome but a plain pass is also said in a word."""
    value, outcome = measurement.value, measurement.outcome
    if outcome == "unset":
        return "not measured"
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = html_text(value) or "(empty)"
    else:
        text = _number(measurement)
    word = {"fail": "fails", "marginal": "marginal", "undeclared": "not declared"}.get(outcome)
    return text + (f' <span class="word">{word}</span>' if word else "")


def _number(measurement: MeasurementRecord) -> str:
    value = measurement.value
    assert not isinstance(value, str)
    number = finite_number(value)
    if value is None or (number is None and isinstance(value, float)):
        return "no finite number"  # NaN and infinities are null once the record was stored
    # A failed value keeps all digits: rounded, it could read like its limit.
    text = exact_number(value) if measurement.outcome == "fail" else short_number(value)
    return f"{text} {html_text(measurement.unit)}".rstrip()


def _details(step: StepRecord) -> str:
    code = f'<span class="code">{html_text(step.code)}</span> ' if step.code else ""
    sentence = f'<p class="sentence">{code}{html_text(step.sentence)}</p>' if step.sentence or step.code else ""
    reasons = [m for m in step.measurements if m.why]
    why = "".join(f"<li><b>{html_text(m.name)}</b> {html_text(m.why)}</li>" for m in reasons)
    why = f'<div class="why">Why these limits<ul>{why}</ul></div>' if why else ""
    run = f'<p class="sentence">Done in run {html_text(step.run)}, which this one went on with.</p>' if step.run else ""
    return f'<div class="details">{sentence}{run}{why}</div>' if sentence or run or why else ""
