"""From what a run knows to its record, from the journal of a killed run to an INTERRUPTED one, and to the report."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lorafab
from lorafab.domain.flash_plan import joined
from lorafab.domain.identity import Eui64
from lorafab.domain.measurement import Measurement, Value
from lorafab.domain.provisioning import Evidence
from lorafab.domain.record import (
    FlashRecord,
    KeyRecord,
    LockRecord,
    MeasurementRecord,
    PermitRecord,
    PictureRecord,
    RunRecord,
    StepRecord,
)
from lorafab.domain.verdict import Verdict
from lorafab.errors import LorafabError, RecordError
from lorafab.run.outcome import StepState
from lorafab.run.redaction import without_keys
from lorafab.steps.flash import Written
from lorafab.stores.atomic import make_folder, write_file
from lorafab.stores.journal import OrphanJournal, orphans
from lorafab.stores.records import RecordStore
from lorafab.stores.stamp import utc_text

if TYPE_CHECKING:
    from lorafab.run.run import Run
    from lorafab.run.station import Station


def step_record(state: StepState) -> StepRecord:
    """One step as it is kept."""
    return StepRecord(
        test=state.step.test,
        title=state.step.title,
        outcome=state.outcome,
        seconds=round(state.seconds, 3),
        sentence=state.sentence,
        code=state.code,
        measurements=tuple(map(_measurement_record, state.measurements)),
        run=state.run,
    )


def _measurement_record(measurement: Measurement) -> MeasurementRecord:
    spec = measurement.spec
    return MeasurementRecord(
        name=spec.name,
        unit=spec.unit,
        low=spec.low,
        high=spec.high,
        equals=spec.equals,
        value=_storable(measurement.value),
        outcome=measurement.outcome.value,
        why=spec.why,
    )


def _storable(value: Value) -> Value:
    """JSON has no NaN and no infinity; their text says what was measured."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def make_record(run: Run, end: datetime) -> RunRecord:
    """The record of a run as it stands now."""
    station, facts = run.station, run.facts
    config, assignment, label = station.config, facts.assignment, facts.label
    verdict = run.state.verdict()
    code, cause = run.state.why()
    return RunRecord(
        run=run.id,
        start=utc_text(run.started),
        end=utc_text(end),
        station=config.station.station,
        site="1",
        operator=station.options.operator,
        lot=config.lot.lot,
        product=config.product.product,
        attempt=run.attempt,
        label=label.text_redacted if label else None,
        serial=facts.serial,
        dev_eui=None if facts.dev_eui is None else str(facts.dev_eui),
        join_eui=str(config.lot.join_eui) if label else None,
        chip_id=facts.chip.unique_id if facts.chip else None,
        keys=KeyRecord(
            generation=assignment.generation,
            kcv_app=assignment.kcv_app,
            kcv_nwk=assignment.kcv_nwk,
            evidence=facts.evidence or _unasked(assignment.kcv_app),
        )
        if assignment
        else None,
        picture=_picture(facts.picture_file, facts.scan.reader if facts.scan else ""),
        image_file=facts.image.name if facts.image else None,
        image_version=facts.image.version if facts.image else None,
        image_sha256=facts.image.sha256 if facts.image else None,
        plan_sha256=config.plan_sha256,
        config_sha256=config.config_sha256,
        lorafab_version=lorafab.__version__,
        lorafab_commit=commit(station.root),
        steps=tuple(map(step_record, run.state.steps.values())),
        # Firmware is known to print its keys when it starts.
        transcript=tuple(map(without_keys, station.link.transcript().splitlines())),
        permits=tuple(
            PermitRecord(name=name, reason=reason, used=name in run.used_permits)
            for name, reason in station.options.permits
        ),
        lock=facts.lock,
        flash=_flash_record(facts.written) if facts.written else None,
        lost=tuple(facts.lost),
        findings=assignment.findings if assignment else (),
        verdict=cast(Any, verdict.value),
        code=code,
        cause=cause,
        ledger_head=station.ledger.head(),
        report_file=f"{run.id}.html",
    )


def _flash_record(written: Written) -> FlashRecord:
    plan = written.plan
    return FlashRecord(
        kept=tuple(f"{place.span} {place.name}" for place in plan.keep),
        erased=tuple(map(str, joined(plan.erase))),
        mass_erase=plan.mass_erase is not None,
        programmed=tuple(map(str, joined(segment.span for segment in plan.program))),
        skipped=tuple(map(str, joined(plan.skip))),
        retries=written.retries,
    )


def _unasked(kcv_app: str | None) -> Evidence:
    """How a key is known of which the run did not ask the board."""
    return "unproven" if kcv_app is None else "asserted"


def _picture(file: tuple[str, str] | None, reader: str) -> PictureRecord | None:
    return PictureRecord(file=file[0], sha256=file[1], reader=reader) if file else None


@cache
def commit(root: Path) -> str:
    """The commit that the station's files are at, with ``-dirty`` for uncommitted changes; "unknown" outside git."""
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip() or "unknown"


# --- runs that were killed ---


@dataclass(frozen=True)
class Recovered:
    """What was done about one run that did not get to its end."""

    sentence: str
    record: RunRecord | None
    """Whose report is still to be made."""


def recover(station: Station, records: RecordStore) -> list[Recovered]:
    """Finish what killed runs of this station left behind.

    A run that was killed after its PASS record was durable is completed: the ledger learns of it now. What cannot
    be understood is set aside, so that one bad file does not stop the line.
    """
    done = []
    for orphan in orphans(station.data, station.config.station.station):
        try:
            done.append(_recover(orphan, station, records))
        except (LorafabError, KeyError, TypeError, ValueError) as error:
            place = orphan.set_aside()
            why = str(error) if isinstance(error, LorafabError) else f"{type(error).__name__}"
            done.append(Recovered(f"what run {orphan.run} left was set aside in {place} ({why}); show it to QA", None))
    return done


def _recover(orphan: OrphanJournal, station: Station, records: RecordStore) -> Recovered:
    label: Mapping[str, Any] = next((event["facts"] for event in orphan.events if event["event"] == "label"), {})
    kept = records.get(orphan.run, label.get("dev_eui"))
    if kept is None:
        record = _interrupted(orphan, station, records)
        if record.dev_eui and _had_failed(orphan) and station.ledger.find(record.dev_eui):
            station.ledger.mark_failed(Eui64.parse(record.dev_eui), orphan.run)
        records.append(record)
        sentence = f"run {orphan.run} ended without a record; it is recorded as INTERRUPTED"
    else:
        record = kept
        sentence = f"run {orphan.run} ended after its {kept.verdict} record; it is completed now"
        if kept.verdict == Verdict.PASS.value and kept.dev_eui and kept.keys:
            keys = kept.keys
            station.ledger.mark_passed(Eui64.parse(kept.dev_eui), keys.generation, kept.run, keys.evidence)
    orphan.settle()
    return Recovered(sentence, record)


def _had_failed(orphan: OrphanJournal) -> bool:
    """Whether the run was killed between its FAIL and telling the ledger of it."""
    return any(event["event"] == "verdict" and event["facts"]["verdict"] == "FAIL" for event in orphan.events)


def _interrupted(orphan: OrphanJournal, station: Station, records: RecordStore) -> RunRecord:
    events = {str(event["event"]): event["facts"] for event in orphan.events}
    first, label = _facts(events, "start", "facts"), events.get("label", {})
    assigned, chip = events.get("assigned", {}), events.get("chip", {})
    picture = label.get("picture")
    decided = events.get("factory eui", {})  # by hardware, which may be asked late
    dev_eui = decided.get("dev_eui") or chip.get("dev_eui") or label.get("dev_eui")
    last = str(orphan.events[-1]["event"]) if orphan.events else "the first line of its journal"
    cause = f"the run was killed or lost its power after it had noted {last!r}; run this board again"
    if "verdict" in events:
        cause = f"the run ended with {events['verdict']['verdict']}, but its record was not kept; run this board again"
    return RunRecord(
        run=orphan.run,
        start=str(first.get("start", "")) or utc_text(station.clock.now()),
        end=str(orphan.events[-1]["time"]) if orphan.events else utc_text(station.clock.now()),
        station=orphan.station,
        site="1",
        operator=str(first.get("operator", "")),
        lot=str(first.get("lot", "")),
        product=str(first.get("product", "")),
        attempt=1 + len(records.attempts(Eui64.parse(dev_eui))) if dev_eui else 1,
        label=label.get("label"),
        serial=label.get("serial"),
        dev_eui=dev_eui,
        join_eui=label.get("join_eui"),
        chip_id=chip.get("chip_id"),
        keys=KeyRecord(
            generation=assigned["generation"],
            kcv_app=assigned["kcv_app"],
            kcv_nwk=assigned["kcv_nwk"],
            evidence=events.get("read back", {}).get("evidence") or _unasked(assigned["kcv_app"]),
        )
        if assigned
        else None,
        picture=_picture((picture[0], picture[1]), str(label.get("reader", ""))) if picture else None,
        image_file=None,
        image_version=None,
        image_sha256=events.get("locking", {}).get("image_sha256"),
        plan_sha256=str(first.get("plan_sha256", "")),
        config_sha256=str(first.get("config_sha256", "")),
        lorafab_version=str(first.get("lorafab_version", "")),
        lorafab_commit=str(first.get("lorafab_commit", "")),
        steps=_steps(orphan, station),
        transcript=(),
        permits=tuple(
            PermitRecord(name=event["facts"]["name"], reason=event["facts"]["reason"], used=True)
            for event in orphan.events
            if event["event"] == "permit"
        ),
        lock=LockRecord.model_validate(events["locking"]["lock"]) if "locking" in events else None,
        lost=tuple(
            sentence
            for event in orphan.events
            if event["event"] in ("unlocking", "erasing all")
            for sentence in event["facts"]["lost"]
        ),
        findings=tuple(assigned.get("findings", ())),
        verdict="INTERRUPTED",
        code="KILLED",
        cause=cause,
        ledger_head=station.ledger.head(),
        report_file=f"{orphan.run}.html",
    )


def _facts(events: Mapping[str, Any], event: str, key: str) -> Mapping[str, Any]:
    facts = events.get(event, {}).get(key, {})
    return facts if isinstance(facts, Mapping) else {}


def _steps(orphan: OrphanJournal, station: Station) -> tuple[StepRecord, ...]:
    """Steps that had ended, as they ended; the others, in the plan's order, as not run."""
    ended = {}
    for event in orphan.events:
        if event["event"] == "step end":
            step = StepRecord.model_validate(event["facts"]["step"])
            ended[step.test] = step
    plan = [step_record(StepState(step)) for step in station.config.plan.steps]
    return tuple(ended.get(step.test, step) for step in plan)


# --- the report ---


def write_report(data: Path, records: RecordStore, record: RunRecord) -> Path:
    """Make the page of a record and put it into ``DATA/reports/``. Raises RecordError; may be repeated at any time."""
    from lorafab.report.board import render_board

    history: list[RunRecord] = []  # earlier attempts, the page picks them
    if record.dev_eui is not None:
        history = records.attempts(Eui64.parse(record.dev_eui))
    picture = None
    if record.picture is not None:
        with suppress(FileNotFoundError):  # the page says that it is not at hand
            picture = records.picture_path(record.picture.file).read_bytes()
    folder = data / "reports"
    make_folder(folder, RecordError)
    path = folder / f"{record.run}.html"
    write_file(path, render_board(record, history=history, picture=picture).encode(), RecordError)
    return path
