"""lorafab.domain.record: a record is read whole or refused, comes back as it was, and never holds a key."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lorafab.domain.record import SCHEMA, MeasurementRecord, RunRecord
from lorafab.domain.verdict import Verdict
from tests_unit.report.samples import passed

values = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=20), st.floats(-1e9, 1e9))


def dumped() -> dict[str, Any]:
    """A whole record, as JSON has it."""
    document: dict[str, Any] = passed().model_dump(mode="json")
    return document


def test_a_record_comes_back_as_it_was() -> None:
    """Through JSON and back: steps, measurements, permits and all."""
    record = passed()
    assert RunRecord.model_validate_json(record.model_dump_json()) == record


@given(values)
def test_a_measured_value_keeps_its_kind(value: float | int | str | bool | None) -> None:
    """True is not 1 and "1" is not 1: the kind is part of what was measured."""
    taken = MeasurementRecord(name="x", unit="", low=None, high=None, equals=None, value=value, outcome="pass", why="")
    back = MeasurementRecord.model_validate_json(taken.model_dump_json()).value
    assert back == value
    assert isinstance(back, bool) == isinstance(value, bool)
    assert isinstance(back, str) == isinstance(value, str)


def test_a_record_is_not_changed_afterwards() -> None:
    """It is evidence."""
    with pytest.raises(ValidationError, match="frozen"):
        passed().verdict = "PASS"


@pytest.mark.parametrize("where", ["record", "step", "measurement", "keys"])
def test_a_field_of_another_version_is_refused(where: str) -> None:
    """At every depth: a record that is half understood is worse than one that is refused."""
    document = dumped()
    part = {
        "record": document,
        "step": document["steps"][0],
        "measurement": document["steps"][1]["measurements"][0],
        "keys": document["keys"],
    }[where]
    part["app_key"] = "00112233445566778899AABBCCDDEEFF"
    with pytest.raises(ValidationError) as caught:
        RunRecord.model_validate(document)
    assert "app_key" in str(caught.value)
    assert "00112233445566778899AABBCCDDEEFF" not in str(caught.value), "what was refused may be a key"


LATER = {"lock", "flash", "lost", "findings"}
"""Fields that the first records of this schema did not have."""


@pytest.mark.parametrize("field", sorted(set(RunRecord.model_fields) - {"schema_version"} - LATER))
def test_a_field_that_is_missing_is_refused(field: str) -> None:
    """Nothing in a record is filled in by whoever reads it."""
    document = dumped()
    del document[field]
    with pytest.raises(ValidationError, match=field):
        RunRecord.model_validate(document)


def test_records_from_before_a_field_still_read() -> None:
    """They say nothing of a lock, of what was flashed, of what was lost, or of what the board came with."""
    document = {name: value for name, value in dumped().items() if name not in LATER}
    for step in document["steps"]:
        step.pop("run")
    read = RunRecord.model_validate(document)
    assert (read.lock, read.flash, read.lost, read.findings) == (None, None, (), ())
    assert {step.run for step in read.steps} == {None}


def test_another_schema_is_refused() -> None:
    """The version stands in every record."""
    document = dumped()
    assert document["schema_version"] == SCHEMA == "lorafab.record/1"
    with pytest.raises(ValidationError, match="schema_version"):
        RunRecord.model_validate(document | {"schema_version": "lorafab.record/2"})


def test_every_verdict_but_usage_can_be_recorded() -> None:
    """A usage error starts no run, so it leaves no record."""
    for verdict in Verdict:
        document = dumped() | {"verdict": verdict.value}
        if verdict is Verdict.USAGE:
            with pytest.raises(ValidationError, match="verdict"):
                RunRecord.model_validate(document)
        else:
            assert RunRecord.model_validate(document).verdict == verdict.value


@pytest.mark.parametrize("evidence", ["read back", "asserted"])
def test_how_a_check_value_is_known_is_one_of_two(evidence: str) -> None:
    """From the board, or only from what was sent; nothing in between."""
    document = dumped()
    document["keys"]["evidence"] = evidence
    assert RunRecord.model_validate(document).keys is not None
    document["keys"]["evidence"] = "believed"
    with pytest.raises(ValidationError, match="evidence"):
        RunRecord.model_validate(document)
