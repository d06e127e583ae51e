"""The record: what is kept of a run for ever. Reports are made from it and from nothing else. Never a key.

Strict models: unknown fields are refused, so that a record of another version is noticed and not half read.
Times are UTC, ISO 8601 with milliseconds and ``Z``; durations are seconds.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from lorafab.domain.provisioning import Evidence

SCHEMA: Final = "lorafab.record/1"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class MeasurementRecord(_Model):
    """One measurement as it was judged."""

    name: str
    unit: str
    low: float | None
    high: float | None
    equals: str | float | None
    value: float | int | str | bool | None
    outcome: Literal["pass", "marginal", "fail", "unset", "undeclared"]
    why: str


class StepRecord(_Model):
    """One step of the plan, in plan order; ``outcome`` "not run" for what never started."""

    test: str
    title: str
    outcome: Literal["pass", "fail", "error", "skipped", "not run"]
    seconds: float
    sentence: str
    """Why it did not pass; empty when it did."""
    code: str
    """Code of the error; empty when it passed."""
    measurements: tuple[MeasurementRecord, ...]
    run: str | None = None
    """The run that did it, where that was an earlier one, which this run went on with."""


class KeyRecord(_Model):
    """What may be known of the keys."""

    generation: int
    """0 where a secure element has a key of its own."""
    kcv_app: str | None
    kcv_nwk: str | None
    evidence: Evidence


class PictureRecord(_Model):
    """The label as the camera saw it; the file lies in ``pictures/`` beside the records."""

    file: str
    sha256: str
    reader: str


class FlashRecord(_Model):
    """What the flash session did, in spans as ``0x08000000..0x080007ff``, rising, as few as possible."""

    kept: tuple[str, ...]
    """With the name of the place: found unchanged afterwards."""
    erased: tuple[str, ...]
    mass_erase: bool
    """All of the flash was erased at once, beside the pages in ``erased``."""
    programmed: tuple[str, ...]
    skipped: tuple[str, ...]
    """Held already what it should."""
    retries: tuple[str, ...]
    """Why the session was repeated, a sentence each."""


class PermitRecord(_Model):
    """A permission for one dangerous act that the run was given."""

    name: str
    reason: str
    used: bool


class LockRecord(_Model):
    """The run was about to lock the board, or did: from then on it may be locked."""

    level: str
    step: str
    """Test of the step."""
    resumed: str | None
    """Run that was cut short in this step, and that this one went on with."""


class RunRecord(_Model):
    """One attempt at one board."""

    schema_version: Literal["lorafab.record/1"] = SCHEMA
    run: str
    start: str
    end: str
    station: str
    site: str
    operator: str
    lot: str
    product: str
    attempt: int
    """1 for the first run of this board."""
    label: str | None
    """Redacted text of the label."""
    serial: str | None
    dev_eui: str | None
    join_eui: str | None
    chip_id: str | None
    keys: KeyRecord | None
    picture: PictureRecord | None
    image_file: str | None
    image_version: str | None
    image_sha256: str | None
    plan_sha256: str
    config_sha256: str
    lorafab_version: str
    lorafab_commit: str
    steps: tuple[StepRecord, ...]
    transcript: tuple[str, ...]
    """The serial line, printable, ``> `` sent and ``< `` received."""
    permits: tuple[PermitRecord, ...]
    lock: LockRecord | None = None
    """None where the run did not come to the lock step."""
    flash: FlashRecord | None = None
    """As planned; None where no flash session ended well."""
    lost: tuple[str, ...] = ()
    """What was erased that a run keeps otherwise, and why: a sentence each."""
    findings: tuple[str, ...] = ()
    """What was wrong with the keys that the board came with: a sentence each."""
    verdict: Literal["PASS", "FAIL", "ABORTED", "ERROR", "INCOMPLETE", "INTERRUPTED"]
    code: str
    """Code of the cause; empty for PASS."""
    cause: str
    """The sentence that decided the verdict; empty for PASS."""
    ledger_head: str | None
    report_file: str | None
    """Name of the report, relative to ``reports/``."""
