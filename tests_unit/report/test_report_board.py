"""The whole page of a board."""

import base64
import hashlib
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.domain.record import PermitRecord, RunRecord
from lorafab.report.board import render_board
from lorafab.report.canonical import canonical_json, record_sha256
from lorafab.report.markup import short_number, visible
from tests_unit.report import samples
from tests_unit.report.page import read_page
from tests_unit.report.test_sections import hostile

ROOT = Path(__file__).parents[2]
FILTER_WORDS = {"pass": "Passed", "fail": "Failed", "error": "Error", "skipped": "Skipped", "not run": "XFailed"}
ALL = (samples.passed, samples.failed, samples.errored, samples.interrupted)

RENDER = """
import sys
from pathlib import Path
from lorafab.domain.record import RunRecord
from lorafab.report.board import render_board
record = RunRecord.model_validate_json(Path(sys.argv[1]).read_bytes())
sys.stdout.buffer.write(render_board(record, history=[record]).encode())
"""


@pytest.mark.parametrize("sample", ALL)
def test_the_rows_of_the_page_are_the_steps_of_the_record(sample: Any) -> None:
    """pytest-html filters and counts by what the record says, step by step, in plan order."""
    record = sample()
    page = read_page(render_board(record))
    assert [row.filter_word for row in page.rows] == [FILTER_WORDS[step.outcome] for step in record.steps]
    assert [row.anchor for row in page.rows] == [f"step-{n + 1}" for n in range(len(record.steps))]
    for row, step in zip(page.rows, record.steps, strict=True):
        assert step.title in row.cells[1].text
        assert step.sentence in "".join(part.text for part in row.details)


@pytest.mark.parametrize("sample", ALL)
def test_counters_do_not_lie(sample: Any) -> None:
    """Each filter shows how many steps it stands for; what was not run is a counter of its own."""
    record = sample()
    html = render_board(record)
    labels = {"pass": "passed", "fail": "failed", "error": "error", "skipped": "skipped", "not run": "not run"}
    for outcome, label in labels.items():
        count = sum(step.outcome == outcome for step in record.steps)
        assert re.search(rf">{count} {label}</span>", html), f"{count} {label}"


def test_a_step_that_did_not_run_never_looks_passed() -> None:
    """No cell of it says so, the filter for passed steps does not show it, and its result reads: not run."""
    page = read_page(render_board(samples.interrupted()))
    waiting = [
        row for row, step in zip(page.rows, samples.interrupted().steps, strict=True) if step.outcome == "not run"
    ]
    assert len(waiting) == 5
    for row in waiting:
        assert row.filter_word != "Passed"
        assert row.cells[0].text == "Not run"
        assert "Passed" not in "".join(cell.text for cell in row.cells)


@pytest.mark.parametrize("sample", ALL)
def test_everything_in_the_record_is_on_the_page(sample: Any) -> None:
    """Nothing that was recorded is left out, down to the reasons of the limits."""
    record = sample(permits=(PermitRecord(name="unlock", reason="rework 4711", used=True),))
    text = read_page(render_board(record)).text

    def texts(value: Any, skip: tuple[str, ...] = ("outcome",)) -> list[str]:
        if isinstance(value, dict):
            return [text for key, item in value.items() if key not in skip for text in texts(item)]
        if isinstance(value, (list, tuple)):
            return [text for item in value for text in texts(item)]
        return [value] if isinstance(value, str) and value else []

    missing = [wanted for wanted in texts(record.model_dump()) if visible(wanted) not in text]
    assert missing == []
    for step in record.steps:
        for m in step.measurements:
            assert m.value is None or isinstance(m.value, str) or short_number(m.value) in text
    assert record_sha256(record) in text
    assert f"generation {record.keys.generation}" in text if record.keys else "Key evidence—" in text


def test_the_page_can_be_read_without_its_script() -> None:
    """A viewer that runs nothing still shows every step and every fact, in a plain table."""
    record = samples.failed()
    static = read_page(render_board(record)).static.text
    assert all(step.title in static and step.test in static for step in record.steps)
    assert record.steps[5].sentence in static
    assert record.plan_sha256 in static


def test_a_record_without_steps_has_a_page() -> None:
    """A run that ended at the label is told as such, not as "no results"."""
    record = samples.errored(steps=(), serial=None, dev_eui=None, label=None)
    page = read_page(render_board(record))
    assert page.rows == []
    assert "holds no steps" in page.static.text
    assert page.blob["title"] == f"ERROR {record.run}"


@pytest.mark.slow
def test_the_same_record_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """Neither home, CI, hash seed, time zone, folder, conftest, ini file nor PYTEST_* variables get in."""
    (tmp_path / "record.json").write_bytes(canonical_json(samples.failed()))
    hostile_folder = tmp_path / "elsewhere"
    hostile_folder.mkdir()
    (hostile_folder / "conftest.py").write_text("raise SystemExit('conftest was read')")
    (hostile_folder / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    clean["PYTHONPATH"] = str(ROOT)
    odd = clean | {
        "HOME": str(tmp_path), "CI": "1", "BUILD_NUMBER": "77", "GITLAB_CI": "yes", "TZ": "Asia/Tokyo",
        "PYTEST_ADDOPTS": "--no-such-option", "PYTEST_PLUGINS": "no_such_module", "PYTEST_DEBUG": "1", "COLUMNS": "20",
        "PYTHONHASHSEED": "1", "LC_ALL": "C",
    }  # fmt: skip
    made = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", RENDER, str(tmp_path / "record.json")],
            env=env, cwd=cwd, capture_output=True, check=True, timeout=60,
        )
        for env, cwd in ((clean | {"PYTHONHASHSEED": "0"}, tmp_path), (odd, hostile_folder))
    ]  # fmt: skip
    assert made[0].stdout == made[1].stdout
    assert made[0].stdout == render_board(samples.failed(), history=[samples.failed()]).encode()
    assert made[0].stderr == made[1].stderr == b""
    assert b"lorafab-report-" not in made[0].stdout, "the temporary folder"
    assert str(ROOT).encode() not in made[0].stdout
    assert sorted(path.name for path in hostile_folder.iterdir()) == ["conftest.py", "pytest.ini"]


def test_storing_a_record_does_not_change_its_page() -> None:
    """The page made at the end of the run is the page made from the file years later, NaN or not."""
    bad = samples.measured("I_sleep", "uA", math.nan, "fail", low=0.5, high=3)
    record = samples.failed(steps=(samples.step("t::t", "Sleep", "fail", bad),))
    html = render_board(record)
    assert html == render_board(RunRecord.model_validate_json(canonical_json(record)))
    assert not re.search(r"\bnan\b", html.split("<script>")[0], re.IGNORECASE)


def test_hostile_texts_stay_texts() -> None:
    """A payload in every field adds no element, no attribute and no script, and is readable as it was."""
    html = render_board(hostile(samples.HOSTILE))
    page, plain = read_page(html), read_page(render_board(hostile("plain")))
    assert page.static.elements == plain.static.elements
    assert [part.elements for part in page.fragments] == [part.elements for part in plain.fragments]
    assert all(part.balanced for part in page.fragments)
    assert page.static.count("script") == 1
    assert "<script>alert(1)</script>" in page.text
    assert r"\x00\x1b[31m\u202etxt.exe\r\n" in page.text
    assert not set("\x00\x1b\u202e") & set(html)


@settings(max_examples=10, deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_no_text_changes_the_page(text: str) -> None:
    """Any text in every field gives the structure that a plain word gives."""
    page, plain = read_page(render_board(hostile(text))), read_page(render_board(hostile("plain")))
    assert page.static.elements == plain.static.elements
    assert [part.elements for part in page.fragments] == [part.elements for part in plain.fragments]


def test_a_test_that_stands_twice_in_the_record_is_shown_twice() -> None:
    """Names of tests are no keys: equal ones, numbers and backslashes are shown as they are."""
    steps = [
        samples.step(name, "T", outcome)
        for name, outcome in (("7", "pass"), ("1", "fail"), ("7", "not run"), (r"\x", "pass"))
    ]
    page = read_page(render_board(samples.failed(steps=tuple(steps))))
    assert [row.filter_word for row in page.rows] == ["Passed", "Failed", "XFailed", "Passed"]
    assert r"\x" in page.rows[3].cells[1].text


def test_the_page_loads_nothing_and_runs_one_known_script() -> None:
    """Self-contained: no address, no event handler, and a policy that allows pytest-html's script by its hash."""
    html = render_board(samples.passed(), picture=samples.PICTURE)
    page = read_page(html)
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    policy = next(value for tag, name, value in page.static.attributes if (tag, name) == ("meta", "content"))
    assert len(scripts) == 1
    assert f"'sha256-{base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()}'" in policy
    assert "default-src 'none'" in policy
    attributes = [*page.static.attributes, *(a for part in page.fragments for a in part.attributes)]
    assert not [name for _, name, _ in attributes if name.startswith("on")]
    assert {value[:5] for _, name, value in attributes if name in ("src", "href") and value} <= {"data:", "#step"}
    assert "http:" not in html
    assert "https:" not in html


def test_the_title_is_verdict_and_serial() -> None:
    """The browser's tab says what became of which board."""
    assert '<title id="head-title">FAIL SN00001234</title>' in render_board(samples.failed())
    assert '<title id="head-title">FAIL &lt;b&gt;\\x00</title>' in render_board(samples.failed(serial="<b>\0"))
