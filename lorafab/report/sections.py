"""The parts of a board report around the steps table: banner, cards, permits, transcript, facts."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from lorafab.domain.record import KeyRecord, LockRecord, PictureRecord, RunRecord
from lorafab.domain.verdict import Verdict
from lorafab.report.canonical import record_sha256
from lorafab.report.markup import NOT_KNOWN, definition_list, html_text, mono, plural, seconds, visible
from lorafab.report.step_rows import cause_number, is_marginal

TRANSCRIPT_LIMIT: Final = 64 * 1024  # characters shown; half from the start, half from the end
_LINE_LIMIT: Final = 2000  # characters of one line shown
_SPANS_SHOWN: Final = 40  # of each kind: a chip with small pages may have hundreds

# Icons differ in shape, so that the verdict reads without colour and without the word.
_ICONS: Final = {
    "PASS": '<circle cx="24" cy="24" r="21"/><path d="M13 25l8 8l15 -17"/>',
    "FAIL": '<path d="M15 3h18l12 12v18l-12 12h-18l-12 -12v-18z"/><path d="M16 16l16 16m0 -16l-16 16"/>',
    "ERROR": '<path d="M24 4l21 39h-42z"/><path d="M24 17v13m0 5v3"/>',
    "ABORTED": '<circle cx="24" cy="24" r="21"/><path d="M17 17h14v14h-14z"/>',
    "INCOMPLETE": '<circle cx="24" cy="24" r="21" stroke-dasharray="9 5"/><path d="M24 12v13l8 6"/>',
    "INTERRUPTED": '<circle cx="24" cy="24" r="21"/><path d="M27 9l-11 17h8l-3 13l11 -17h-8z"/>',
}

_COUNTED: Final = {
    "fail": "failed",
    "error": "ended in an error",
    "pass": "passed",
    "skipped": "skipped",
    "not run": "not run",
}

_PICTURE_KINDS: Final = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"BM", "bmp"))


def page_title(record: RunRecord) -> str:
    """Name the page: verdict, and serial, DevEUI or run, whichever is known first."""
    return visible(f"{record.verdict} {record.serial or record.dev_eui or record.run}")


def banner(record: RunRecord) -> str:
    """Say the verdict so that it cannot be missed, its cause, and what to do next."""
    icon = f'<svg viewBox="0 0 48 48" aria-hidden="true">{_ICONS[record.verdict]}</svg>'
    ids = " · ".join(html_text(text) for text in (record.serial, record.dev_eui, f"run {record.run}") if text)
    return (
        f'<section class="banner v-{record.verdict.lower()}"><div class="verdict">{icon}<span>{record.verdict}</span>'
        f'</div><div class="story"><p class="cause">{_cause(record)}</p>{_where(record)}'
        f'<p class="next"><b>Next:</b> {html_text(Verdict(record.verdict).advice)}</p>'
        f'<p class="ids">{ids}</p></div></section>{_contradiction(record)}'
    )


def _cause(record: RunRecord) -> str:
    if record.cause:
        return html_text(record.cause)
    if record.verdict != "PASS":
        return "The record names no cause."
    close = sum(m.outcome == "marginal" for step in record.steps for m in step.measurements)
    marginal = f"; {plural(close, 'measurement')} close to a limit" if close else ""
    return f"{plural(sum(step.outcome == 'pass' for step in record.steps), 'step')} passed{marginal}."


def _where(record: RunRecord) -> str:
    code = f'<span class="code">{html_text(record.code)}</span>' if record.code else ""
    number = cause_number(record)
    if number is None:
        place = "" if record.verdict == "PASS" or not record.steps else "no single step is the cause"
    else:
        title = html_text(record.steps[number - 1].title)
        place = f'step {number} of {len(record.steps)}: <a href="#step-{number}">{title}</a>'
    return f'<p class="where">{" ".join(filter(None, (code, place)))}</p>' if code or place else ""


def _contradiction(record: RunRecord) -> str:
    """Warn when the record says PASS although a step did not pass: it was altered, or lorafab has a fault."""
    others = sum(step.outcome != "pass" for step in record.steps)
    if record.verdict != "PASS" or (record.steps and not others):
        return ""
    found = f"{plural(others, 'step')} that did not pass" if others else "no steps"
    return (
        f'<p class="warning">This record contradicts itself: it says PASS and holds {found}; '
        "do not ship the board, and keep the record for inquiry.</p>"
    )


def step_count(record: RunRecord) -> str:
    """Count the steps; what did not run is never hidden in a total."""
    if not record.steps:
        return '<p class="run-count no-steps">This record holds no steps: the run ended before its plan was known.</p>'
    marginal = sum(map(is_marginal, record.steps))
    parts = [
        f"{count} {name}" + (f" ({marginal} of them marginal)" if outcome == "pass" and marginal else "")
        for outcome, name in _COUNTED.items()
        if (count := sum(step.outcome == outcome for step in record.steps))
    ]
    return f'<p class="run-count">Of {plural(len(record.steps), "step")} in the plan: {", ".join(parts)}.</p>'


def cards(record: RunRecord, history: Sequence[RunRecord], picture: bytes | None) -> str:
    """Set the three cards: the unit, the process, the label as it was read."""
    return (
        '<div class="cards">'
        f'<section class="card"><h3>Unit</h3>{_unit(record)}</section>'
        f'<section class="card"><h3>Process</h3>{_process(record, history)}</section>'
        f'<section class="card"><h3>Label as read</h3>{_label(record, picture)}</section></div>'
    )


def _unit(record: RunRecord) -> str:
    keys, sha256 = record.keys, record.image_sha256
    rows = [
        ("Product", html_text(record.product)),
        ("Serial", mono(record.serial)),
        ("DevEUI", mono(record.dev_eui)),
        ("JoinEUI", mono(record.join_eui)),
        ("Chip id", mono(record.chip_id)),
        ("Key check AppKey", mono(keys.kcv_app if keys else None)),
        ("Key check NwkKey", mono(keys.kcv_nwk if keys else None)),
        ("Key evidence", _evidence(keys) if keys else NOT_KNOWN),
        ("Firmware", mono(record.image_file)),
        ("Version", html_text(record.image_version)),
        ("SHA-256", mono(f"{sha256[:8]}…{sha256[-8:]}" if sha256 and len(sha256) > 20 else sha256)),
    ]
    return definition_list(rows)


def _evidence(keys: KeyRecord) -> str:
    """Say how the key is known; the weaker kinds in words that cannot be taken for proof."""
    if keys.generation == 0:
        return "the secure element's own key, unproven until a join"
    known = "only asserted: nobody has read the key back" if keys.evidence == "asserted" else keys.evidence
    return f"generation {keys.generation}, {known}"


def _process(record: RunRecord, history: Sequence[RunRecord]) -> str:
    rows = [
        ("Lot", html_text(record.lot)),
        ("Station", html_text(record.station)),
        ("Site", html_text(record.site or None)),
        ("Operator", html_text(record.operator or None)),
        ("Start (UTC)", html_text(record.start or None)),
        ("End (UTC)", html_text(record.end or None)),
        ("Duration", _duration(record)),
        ("Run", mono(record.run)),
        ("Permits", plural(len(record.permits), "permit") + ", see below" if record.permits else "none"),
        ("Attempt", f"{record.attempt}{' (first)' if record.attempt == 1 else ''}{_earlier(record, history)}"),
    ]
    if record.lock is not None:
        rows.insert(-1, ("Lock", _lock(record.lock, record.verdict)))
    return definition_list(rows)


def _lock(lock: LockRecord, verdict: str) -> str:
    """Say that the board is locked only where the run proved it."""
    state = "proven" if verdict == "PASS" else "set or about to be, and not proven"
    resumed = f"; went on with run {lock.resumed}, which was cut short" if lock.resumed else ""
    return html_text(f"level {lock.level}, {state}{resumed}")


def _duration(record: RunRecord) -> str:
    try:
        return seconds((datetime.fromisoformat(record.end) - datetime.fromisoformat(record.start)).total_seconds())
    except (ValueError, TypeError):  # a killed run may have no end
        return NOT_KNOWN


def _earlier(record: RunRecord, history: Sequence[RunRecord]) -> str:
    earlier = sorted((r for r in history if r.attempt < record.attempt), key=lambda r: (r.attempt, r.start, r.run))
    items = "".join(
        f'<li><b class="v-{r.verdict.lower()}">{r.verdict}</b> {html_text(r.code)} '
        f'<span class="when">{html_text(r.start)}</span> <span class="when">run {html_text(r.run)}</span></li>'
        for r in earlier
    )
    missing = record.attempt - 1 - len({r.attempt for r in earlier})
    note = f"<li>{plural(missing, 'earlier attempt')} not at hand</li>" if missing > 0 else ""
    return f'<ol class="earlier">{items}{note}</ol>' if items or note else ""


def _label(record: RunRecord, picture: bytes | None) -> str:
    text = (
        f'<p class="label-text">{mono(record.label)}</p>' if record.label is not None else "<p>No label was read.</p>"
    )
    if record.picture is None:
        return text
    rows = [
        ("Reader", html_text(record.picture.reader)),
        ("Picture", mono(record.picture.file)),
    ]
    return _picture(record.picture, picture) + text + definition_list(rows)


def _picture(named: PictureRecord, picture: bytes | None) -> str:
    """Set the picture whole; a picture that is not the one of the record is never shown as if it were."""
    if picture is None:
        return '<p class="note">The picture was not at hand when this page was made.</p>'
    if hashlib.sha256(picture).hexdigest() != named.sha256.lower():
        return '<p class="note">The picture on file is not the one of this record (SHA-256 differs): not shown.</p>'
    kind = next((kind for magic, kind in _PICTURE_KINDS if picture.startswith(magic)), None)
    if kind is None:
        return '<p class="note">The picture is neither PNG, JPEG, GIF nor BMP, and is not shown.</p>'
    data = base64.b64encode(picture).decode("ascii")
    return f'<img class="label" alt="the label as the camera saw it" src="data:image/{kind};base64,{data}">'


def permits(record: RunRecord) -> str:
    """List the permissions for dangerous acts; empty when none was given."""
    if not record.permits:
        return ""
    rows = "".join(
        f"<tr><td><b>{html_text(p.name)}</b></td><td>{html_text(p.reason)}</td>"
        f"<td>{'used' if p.used else 'not used'}</td></tr>"
        for p in record.permits
    )
    return (
        '<section class="card permits"><h3>Permits given to this run</h3>'
        f"<table><tr><th>Permit</th><th>Reason</th><th>Used</th></tr>{rows}</table></section>"
    )


def lost(record: RunRecord) -> str:
    """List what was erased that a run keeps otherwise; empty when nothing was."""
    if not record.lost:
        return ""
    items = "".join(f"<li>{html_text(text)}</li>" for text in record.lost)
    return f'<section class="card lost"><h3>Lost in this run</h3><ul>{items}</ul></section>'


def findings(record: RunRecord) -> str:
    """List what was wrong with the keys that the board came with; empty when nothing was."""
    if not record.findings:
        return ""
    items = "".join(f"<li>{html_text(text)}</li>" for text in record.findings)
    return f'<section class="card findings"><h3>Found on the board</h3><ul>{items}</ul></section>'


def flash(record: RunRecord) -> str:
    """Say what the flash session kept, erased, wrote and left alone, and why it was repeated; empty without one."""
    session = record.flash
    if session is None:
        return ""
    erased = (*(("all of the flash at once",) if session.mass_erase else ()), *session.erased)
    rows = [
        ("Kept", _spans(session.kept)),
        ("Erased", _spans(erased)),
        ("Programmed", _spans(session.programmed)),
        ("Identical, left alone", _spans(session.skipped)),
        ("Repeated once, because", _spans(session.retries)),
    ]
    return f'<section class="card flash"><h3>Flash session</h3>{definition_list(rows)}</section>'


def _spans(texts: Sequence[str]) -> str:
    shown = "<br>".join(mono(text) for text in texts[:_SPANS_SHOWN])
    more = len(texts) - _SPANS_SHOWN
    return (shown + (f"<br>and {plural(more, 'more span')} in the record" if more > 0 else "")) or "nothing"


def transcript(record: RunRecord) -> str:
    """Set what went over the serial line, folded away after a PASS."""
    if not record.transcript:
        return '<section class="card"><h3>Serial line</h3><p>Nothing was said on the serial line.</p></section>'
    lines = "".join(_transcript_line(line) for line in _shortened(record.transcript, record.run))
    unfolded = "" if record.verdict == "PASS" else " open"
    return (
        f'<details class="transcript"{unfolded}><summary>'
        f"Serial line, {plural(len(record.transcript), 'line')}</summary>"
        f"<pre>{lines}</pre></details>"
    )


def _transcript_line(line: str) -> str:
    kind = {"> ": "sent", "< ": "received"}.get(line[:2], "note")
    return f'<span class="{kind}">{html_text(line)}</span>\n'


def _shortened(lines: Sequence[str], run: str) -> list[str]:
    """Cut long lines, and the middle of a long transcript; say what was left out, and where it is."""
    cut = [
        line if len(line) <= _LINE_LIMIT else f"{line[:_LINE_LIMIT]} … ({len(line) - _LINE_LIMIT} more characters)"
        for line in lines
    ]
    if _fitting(cut, TRANSCRIPT_LIMIT) == len(cut):
        return cut
    head, tail = _fitting(cut, TRANSCRIPT_LIMIT // 2), _fitting(cut[::-1], TRANSCRIPT_LIMIT // 2)
    left_out = lines[head : len(lines) - tail]
    note = (
        f"… {plural(len(left_out), 'line')} ({sum(map(len, left_out))} characters) left out here; "
        f"the record of run {run} holds them all …"
    )
    return [*cut[:head], note, *cut[len(cut) - tail :]]


def _fitting(lines: Sequence[str], limit: int) -> int:
    """Count how many lines from the start stay within ``limit`` characters together; a short line costs 40."""
    total = 0
    for count, line in enumerate(lines):
        total += max(len(line), 40)
        if total > limit:
            return count
    return len(lines)


def facts(record: RunRecord) -> list[tuple[str, str]]:
    """What proves where the page comes from: (name, ready HTML) rows."""
    picture = record.picture
    return [
        ("Record", f"{html_text(record.schema_version)}, run {mono(record.run)}"),
        ("SHA-256 of the record (canonical JSON)", mono(record_sha256(record))),
        ("Head of the ledger's hash chain", mono(record.ledger_head)),
        ("SHA-256 of the plan", mono(record.plan_sha256)),
        ("SHA-256 of the configuration", mono(record.config_sha256)),
        ("SHA-256 of the firmware image", mono(record.image_sha256)),
        ("SHA-256 of the label's picture", mono(picture.sha256 if picture else None)),
        ("lorafab", f"{html_text(record.lorafab_version)}, commit {mono(record.lorafab_commit or None)}"),
        ("Report file", mono(record.report_file)),
    ]
