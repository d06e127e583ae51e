"""The board report: one self-contained HTML page, a pure function of a record."""

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Final

from lorafab.domain.record import RunRecord
from lorafab.errors import RecordError
from lorafab.report import sections
from lorafab.report.markup import definition_list, html_text
from lorafab.report.replay import Replay, replay
from lorafab.report.step_rows import static_table, step_rows

_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def render_board(record: RunRecord, *, history: Sequence[RunRecord] = (), picture: bytes | None = None) -> str:
    """Make the page of one attempt at one board.

    ``history`` are the board's other attempts, of which the earlier ones are named; ``picture`` is the file that
    ``record.picture`` names (PNG, JPEG, GIF or BMP). The same arguments give the same text in every process:
    no clock, no environment, no path of this machine gets in. Raises RecordError when pytest-html fails.
    """
    rows, facts = step_rows(record), sections.facts(record)
    without_script = (
        '<noscript><p class="note">This viewer runs no scripts: the same steps as a plain table, without filters.</p>'
        f"{static_table(rows)}<h2>Record and traceability</h2>{definition_list(facts)}</noscript>"
    )
    page = replay(
        Replay(
            title=sections.page_title(record),
            rows=tuple(rows),
            facts=tuple(facts),
            prefix=sections.banner(record) + sections.cards(record, history, picture),
            postfix=without_script
            + sections.permits(record)
            + sections.lost(record)
            + sections.findings(record)
            + sections.flash(record)
            + sections.transcript(record),
        )
    )
    return _finish(page, record)


def _finish(page: str, record: RunRecord) -> str:
    """Take the clock and the links out of pytest-html's page, put our style and a content policy in."""
    style = files("lorafab.report").joinpath("board.css").read_text(encoding="utf-8")
    made = f"Made by lorafab and pytest-html from the record of run {html_text(record.run)}; nothing else went into it."
    page = _once(page, r"<p>Report generated on .*?</p>", f'<p class="made">{made}</p>')
    page = _once(page, r'<p class="run-count">.*?</p>', sections.step_count(record))
    page = _once(page, r"<h2>Environment</h2>", "<h2>Record and traceability</h2>")
    page = _once(page, r' onclick="location\.reload\(\)"', "")  # of a button for live reports; the policy forbids it
    page = _once(page, r"</head>", f"<style>\n{style}</style>\n</head>")
    page = _once(page, r"<html>", '<html lang="en">')
    page = _once(page, r"<title ", f"{_policy(page)}<title ")
    # "1 failed," is a list of all outcomes that pytest-html knows; without the comma the empty ones can be hidden.
    return re.sub(r'(<span class="(?:failed|passed|skipped|xfailed|xpassed|error|retried)">\d+ [\w ]+),', r"\1", page)


def _once(page: str, pattern: str, replacement: str) -> str:
    """Replace the one place that ``pattern`` fits; anything else means that pytest-html changed its page."""
    if len(re.findall(pattern, page, re.DOTALL)) != 1:
        raise RecordError(
            f"pytest-html's page does not hold {pattern!r} exactly once, so no report was made, the record is safe; "
            "install the pytest-html release that lorafab asks for and make the report again"
        )
    return re.sub(pattern, lambda _: replacement, page, count=1, flags=re.DOTALL)


def _policy(page: str) -> str:
    """Forbid the page to load anything, and any script but pytest-html's own, named by its hash.

    Escaping is the first wall; this is the second (W3C Content Security Policy Level 3, 2.3.1 hash sources).
    """
    scripts = "".join(
        f" 'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
        for text in _SCRIPT.findall(page)
    )
    rules = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        f"script-src{scripts}"
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{escape(rules)}"/>\n    '
