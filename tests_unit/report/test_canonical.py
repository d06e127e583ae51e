"""One byte string for one record."""

import hashlib
import json
import math

from lorafab.domain.record import RunRecord
from lorafab.report.canonical import canonical_json, record_sha256
from tests_unit.report import samples


def test_keys_are_sorted_and_nothing_is_spaced() -> None:
    """Two programs that write the same record write the same bytes."""
    text = canonical_json(samples.failed()).decode()
    data = json.loads(text)
    assert text == json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert list(data) == sorted(data)
    assert "…" in text, "UTF-8, not escapes"


def test_a_record_has_the_same_bytes_after_it_was_stored() -> None:
    """Storing and reading a record does not change its hash, not even when a value was no number."""
    bad = samples.measured("I_sleep", "uA", math.nan, "fail", low=0.5, high=3)
    record = samples.failed(steps=(samples.step("t::t", "Sleep", "fail", bad),))
    stored = RunRecord.model_validate_json(canonical_json(record))
    assert b"NaN" not in canonical_json(record)
    assert canonical_json(stored) == canonical_json(record)
    assert canonical_json(RunRecord.model_validate_json(record.model_dump_json())) == canonical_json(record)


def test_the_hash_is_that_of_the_canonical_bytes() -> None:
    """Anybody can check the hash on a report with sha256sum."""
    record = samples.passed()
    assert record_sha256(record) == hashlib.sha256(canonical_json(record)).hexdigest()
    assert record_sha256(record) != record_sha256(samples.passed(operator="op-018"))
