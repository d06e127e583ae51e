"""One byte string for one record, so that a hash names it whoever computes it."""

import hashlib
import json
import math
from typing import Any

from lorafab.domain.record import RunRecord


def canonical_json(record: RunRecord) -> bytes:
    """Give the record as UTF-8 JSON: keys sorted by code point, no spaces, no newline at the end.

    Numbers that are not finite become null, as they do when a record is stored, so that a record has the same
    bytes before and after it was on disk.
    """
    data = _finite(record.model_dump(mode="json"))
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8")


def record_sha256(record: RunRecord) -> str:
    """SHA-256 of :func:`canonical_json`, 64 lower-case hex digits."""
    return hashlib.sha256(canonical_json(record)).hexdigest()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value
