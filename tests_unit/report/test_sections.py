"""What stands around the steps table."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.domain.record import FlashRecord, KeyRecord, LockRecord, PermitRecord, PictureRecord, RunRecord
from lorafab.domain.verdict import Verdict
from lorafab.report import sections
from tests_unit.report import samples
from tests_unit.report.page import Parsed

VERDICTS = [verdict for verdict in Verdict if verdict is not Verdict.USAGE]


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_banner_says_verdict_cause_and_what_to_do_next(verdict: Verdict) -> None:
    """Every verdict has its word, its own icon, its own colour class and its advice."""
    html = sections.banner(samples.failed(verdict=str(verdict)))
    assert Parsed(html).text.startswith(verdict)
    assert verdict.advice in Parsed(html).text
    assert samples.failed().cause in Parsed(html).text
    assert f"v-{verdict.lower()}" in html
    others = [sections.banner(samples.failed(verdict=str(other))) for other in VERDICTS if other is not verdict]
    icon = html.split("<svg")[1].split("</svg>")[0]
    assert all(icon not in other for other in others)


def test_the_banner_names_the_step_to_blame() -> None:
    """Code, number and title of the step, with a link to its row."""
    html = sections.banner(samples.failed())
    assert "MEAS step 6 of 8: Sleep current, 5 s mean" in Parsed(html).text
    assert 'href="#step-6"' in html
    assert "no single step is the cause" in Parsed(sections.banner(samples.interrupted())).text


def test_a_pass_that_is_none_is_called_a_contradiction() -> None:
    """A record that says PASS over a step that did not pass is not shown as a plain PASS."""
    assert "contradicts itself" in sections.banner(samples.failed(verdict="PASS"))
    assert "contradicts itself" in sections.banner(samples.passed(steps=()))
    assert "contradicts itself" not in sections.banner(samples.passed())


def test_the_title_takes_the_best_name_that_is_known() -> None:
    """Serial, else DevEUI, else the run."""
    assert sections.page_title(samples.passed()) == "PASS SN00001234"
    assert sections.page_title(samples.passed(serial=None)) == "PASS 70B3D57ED00004D2"
    assert sections.page_title(samples.passed(serial=None, dev_eui=None)) == "PASS 01JD5Y2M7Q8ZK3W4"


def test_the_count_adds_up_to_the_plan() -> None:
    """What was not run is counted as not run."""
    assert "Of 8 steps in the plan: 1 failed, 5 passed (1 of them marginal), 2 not run." in sections.step_count(
        samples.failed()
    )
    assert "holds no steps" in sections.step_count(samples.errored(steps=()))


def test_earlier_attempts_are_named_and_missing_ones_counted() -> None:
    """Attempt 4 shows the attempts before it that are known, in order, and never a later one."""
    first, second = samples.failed(run="RUN1", attempt=1), samples.errored(run="RUN2", attempt=2)
    later = samples.passed(run="RUN5", attempt=5)
    text = Parsed(sections.cards(samples.passed(attempt=4), (later, second, first), None)).text
    assert "RUN5" not in text
    assert text.index("RUN1") < text.index("RUN2")
    assert "1 earlier attempt not at hand" in text
    assert "FAIL MEAS" in text


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (KeyRecord(generation=2, kcv_app="A" * 16, kcv_nwk=None, evidence="read back"), "generation 2, read back"),
        (
            KeyRecord(generation=2, kcv_app="A" * 16, kcv_nwk=None, evidence="asserted"),
            "generation 2, only asserted: nobody has read the key back",
        ),
        (
            KeyRecord(generation=0, kcv_app=None, kcv_nwk=None, evidence="unproven"),
            "the secure element's own key, unproven until a join",
        ),
    ],
)
def test_how_the_key_is_known_is_said_plainly(keys: KeyRecord, said: str) -> None:
    """A weak kind of evidence cannot be taken for proof."""
    assert f"Key evidence{said}Firmware" in Parsed(sections.cards(samples.passed(keys=keys), (), None)).text


def test_a_killed_run_has_no_duration() -> None:
    """An end that nobody wrote is not made up."""
    assert "Duration—" in Parsed(sections.cards(samples.interrupted(), (), None)).text
    assert "Duration20.36 s" in Parsed(sections.cards(samples.passed(), (), None)).text


def test_the_picture_is_inside_the_page() -> None:
    """The label's picture is carried along, whole, when it is the one that the record names."""
    html = sections.cards(samples.passed(), (), samples.PICTURE)
    assert 'src="data:image/png;base64,' in html
    assert str(samples.passed().label) in Parsed(html).text


@pytest.mark.parametrize("picture", [None, b"", samples.PICTURE + b"\0"])
def test_another_picture_is_not_shown(picture: bytes | None) -> None:
    """A picture that is missing or was exchanged is said to be, and the text stays."""
    html = sections.cards(samples.passed(), (), picture)
    assert "<img" not in html
    assert 'class="note"' in html
    assert str(samples.passed().label) in Parsed(html).text


def test_a_picture_that_may_hold_a_script_is_not_shown() -> None:
    """SVG is a program; only pixel formats are taken."""
    svg = b"<svg onload='alert(1)'/>"
    named = PictureRecord(file="x.svg", sha256=hashlib.sha256(svg).hexdigest(), reader="none")
    record = samples.passed(picture=named)
    assert "<img" not in sections.cards(record, (), svg)


def test_permits_are_listed_with_reason_and_use() -> None:
    """Every permission for a dangerous act is on the page."""
    record = samples.passed(permits=(PermitRecord(name="unlock", reason="rework 4711", used=False),))
    assert "unlockrework 4711not used" in Parsed(sections.permits(record)).text
    assert sections.permits(samples.passed()) == ""


def test_the_flash_session_is_told_by_spans() -> None:
    """What was kept, erased, programmed and left alone, and why it was repeated; nothing where none took place."""
    session = FlashRecord(
        kept=("0x0803f000..0x0803ffff NVM region",),
        erased=("0x0803e800..0x0803efff",),
        mass_erase=False,
        programmed=tuple(f"0x{page:08x}" for page in range(50)),
        skipped=(),
        retries=("1 byte <b> differs; repeat",),
    )
    text = Parsed(sections.flash(samples.passed(flash=session))).text
    assert "Kept0x0803f000..0x0803ffff NVM region" in text
    assert "Erased0x0803e800..0x0803efff" in text
    assert "and 10 more spans in the record" in text
    assert "Identical, left alonenothing" in text
    assert "Repeated once, because1 byte <b> differs; repeat" in text
    all_of_it = session.model_copy(update={"mass_erase": True, "erased": ()})
    assert "Erasedall of the flash at once" in Parsed(sections.flash(samples.passed(flash=all_of_it))).text
    assert sections.flash(samples.passed()) == ""


def test_what_was_lost_is_told() -> None:
    """Each thing that was erased although a run keeps it, and nothing where nothing was."""
    text = Parsed(sections.lost(samples.passed(lost=("NVM region: DevNonce 37", "identity page: DevEUI 1")))).text
    assert "NVM region: DevNonce 37" in text
    assert "identity page: DevEUI 1" in text
    assert sections.lost(samples.passed()) == ""


def test_what_the_board_came_with_is_told() -> None:
    """A default key, and nothing where there was none."""
    found = "the board came with LoRaMac-node's default key, which is no secret; this run gives it its own key"
    assert found in Parsed(sections.findings(samples.passed(findings=(found,)))).text
    assert sections.findings(samples.passed()) == ""


def test_a_transcript_is_shown_line_by_line() -> None:
    """Each line stands as it was sent, escapes visible; it is unfolded unless the board passed."""
    html = sections.transcript(samples.failed())
    assert r"WARN PA4 left as output\x1b[0m" in Parsed(html).text
    assert '<details class="transcript" open>' in html
    assert '<details class="transcript">' in sections.transcript(samples.passed())


@pytest.mark.parametrize("lines", [["< " + "x" * 98] * 2000, ["< " + "y" * 200_000], ["> z"] * 100_000])
def test_a_huge_transcript_is_cut_with_a_note(lines: list[str]) -> None:
    """The page stays readable, keeps start and end, and says what is missing and where it is."""
    html = sections.transcript(samples.failed(transcript=("> first", *lines, "< last")))
    text = Parsed(html).text
    assert len(text) < 2 * sections.TRANSCRIPT_LIMIT
    assert "> first" in text
    assert "< last" in text
    assert "left out here; the record of run" in text or "more characters" in text


def test_cut_lines_and_shown_lines_add_up() -> None:
    """Nothing is shown twice and nothing is lost from the count."""
    lines = tuple(f"< line {n:05d} {'x' * 50}" for n in range(5000))
    shown = Parsed(sections.transcript(samples.failed(transcript=lines)).split("<pre>")[1]).text.splitlines()
    kept = [line for line in shown if line.startswith("< line")]
    note = next(line for line in shown if line.startswith("…"))
    assert len(kept) == len(set(kept)) == 5000 - int(note.split()[1])


@settings(max_examples=60)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_no_text_changes_the_structure_of_the_page(text: str) -> None:
    """Every text field of a record may hold anything."""

    def around(record: RunRecord) -> Parsed:
        facts = "".join(value for _, value in sections.facts(record))
        parts = (sections.banner, sections.permits, sections.transcript)
        return Parsed("".join(part(record) for part in parts) + sections.cards(record, (record,), None) + facts)

    assert around(hostile(text)).elements == around(hostile("plain")).elements
    assert around(hostile(text)).balanced


def hostile(text: str) -> RunRecord:
    """A record whose free texts are all ``text``."""
    names = ("run station site operator lot product label serial dev_eui join_eui chip_id image_file image_version "
             "image_sha256 plan_sha256 config_sha256 lorafab_version lorafab_commit code cause ledger_head report_file "
             "start end")  # fmt: skip
    steps = (samples.step(text, text, "fail", sentence=text, code=text),)
    return samples.failed(
        **dict.fromkeys(names.split(), text),
        steps=steps,
        transcript=(text, f"< {text}"),
        permits=(PermitRecord(name=text, reason=text, used=True),),
        picture=PictureRecord(file=text, sha256=text, reader=text),
    )


def test_a_lock_is_called_proven_only_in_a_pass() -> None:
    """With the run that it goes on with; without a lock step the card says nothing of it."""
    lock = LockRecord(level="rdp1", step="test_60_lock::test_the_board_is_locked", resumed="20261120-120000-abcdef")
    shown = Parsed(sections.cards(samples.passed(lock=lock), (), None)).text
    assert "level rdp1, proven; went on with run 20261120-120000-abcdef, which was cut short" in shown
    shown = Parsed(sections.cards(samples.failed(lock=lock), (), None)).text
    assert "set or about to be, and not proven" in shown
    assert "level rdp1" not in Parsed(sections.cards(samples.passed(), (), None)).text
