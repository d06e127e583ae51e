"""lorafab.steps.modem: one command, one whole answer; whatever else comes is waited out or refused in one sentence."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorafab.domain.secret import Secret
from lorafab.drivers.serial_link import SerialLink
from lorafab.errors import LinkSilent, ProbeError, ShellError
from lorafab.steps.dialects import DIALECTS
from lorafab.steps.modem import BUSY_TRIES, Modem, Said
from tests_unit.steps.modems import KINDS, FakeModem, colons, patch_link

KEY = "00112233445566778899AABBCCDDEEF0"


def nothing() -> None:
    """The chip answers its probe."""


class Bench:
    """A modem, the real link and the conversation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, dialect: str) -> None:
        self.fake: FakeModem = patch_link(monkeypatch, dialect)
        self.link = SerialLink("/dev/nowhere", 9600)
        self.modem = Modem(self.link, DIALECTS[dialect], 2.0, nothing)
        self.fake.restart()
        self.modem.wait_for_start()
        self.fake.sent.clear()

    def ask(self, command: str) -> Said:
        """Ask one of the dialect's questions."""
        said = Said()
        questions = self.modem.dialect.questions(lorawan_1_1=False)
        self.modem.ask(next(one for one in questions if one.command == command), said)
        return said

    def answer(self, command: str, *lines: str) -> None:
        """From now on the modem says these lines to that command."""
        self.fake.answers = lambda asked, usual: list(lines) if asked == command else usual


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """ST's AT_Slave, which has every kind of trouble."""
    return Bench(monkeypatch, "st-at-slave")


DEUI = "AT+DEUI=?"
VALUE = "00:80:E1:15:05:06:07:08"


@pytest.mark.parametrize("dialect", KINDS)
def test_a_modem_that_starts_is_heard(monkeypatch: pytest.MonkeyPatch, dialect: str) -> None:
    """Behind its banner, and behind noise of other baud rates."""
    for noise in ("", "\xfe\x80\x00", "AT_ERROR"):
        bench = Bench(monkeypatch, dialect)
        bench.fake.restart(noise)
        bench.modem.wait_for_start()
        assert bench.fake.sent == [DIALECTS[dialect].awake.command]


def test_a_modem_that_wakes_up_late_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it was sent while it started is lost; answers that come late after all are not taken for others."""
    bench = Bench(monkeypatch, "lora-e5")
    asked: list[str] = []

    def deaf(command: str, lines: list[str]) -> list[str]:
        asked.append(command)
        return [] if len(asked) < 3 else lines * 3 if command == "AT" else lines

    bench.fake.answers = deaf
    bench.modem.wait_for_start()
    assert asked == ["AT"] * 3
    assert bench.ask("AT+ID").texts["dev_eui"] == VALUE


def test_a_modem_that_never_speaks_is_silent(bench: Bench) -> None:
    """Five questions without a line."""
    bench.fake.alive = False
    bench.fake.restart()
    with pytest.raises(
        LinkSilent, match="the modem sent no line after the reset, asked 5 times with AT; check the contacts"
    ):
        bench.modem.wait_for_start()


def test_another_dialect_is_said(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    """A product that names the wrong one is no dead board."""
    bench.modem.dialect = DIALECTS["rn2483"]
    with pytest.raises(
        ShellError, match=r"talks after reset, but never answers sys get ver .*check the product's dialect"
    ):
        bench.modem.wait_for_start()


def test_silence_of_an_unreachable_chip_is_the_stations_fault(bench: Bench) -> None:
    """Whoever knows a better reason says it."""

    def gone() -> None:
        raise ProbeError("the probe is gone")

    bench.modem._still_there = gone
    bench.fake.alive = False
    with pytest.raises(ProbeError, match="the probe is gone"):
        bench.ask(DEUI)


def test_an_answer_may_have_an_echo_empty_lines_and_events_in_it(bench: Bench) -> None:
    """None of them is a value."""
    bench.answer(DEUI, "+EVT:JOINED", DEUI, "", VALUE, "+EVT:2:04:01020304", "", "OK")
    assert bench.ask(DEUI).texts == {"dev_eui": VALUE}


def test_what_came_late_or_unasked_before_a_question_is_no_answer_to_it(bench: Bench) -> None:
    """A value and an OK of an earlier command lie in the buffer."""
    bench.fake.say(["AA:AA:AA:AA:AA:AA:AA:AA", "", "OK", "rubbish"])
    assert bench.ask(DEUI).texts == {"dev_eui": VALUE}


def test_a_busy_modem_is_asked_again(bench: Bench) -> None:
    """As often as it may be."""
    left = [BUSY_TRIES - 1]

    def busy(command: str, lines: list[str]) -> list[str]:
        left[0] -= 1
        return ["", "AT_BUSY_ERROR"] if left[0] >= 0 else lines

    bench.fake.answers = busy
    assert bench.ask(DEUI).texts == {"dev_eui": VALUE}
    assert bench.fake.sent == [DEUI] * BUSY_TRIES


@pytest.mark.parametrize("dialect", [name for name, kind in KINDS.items() if kind.busy])
def test_a_modem_that_stays_busy_is_refused(monkeypatch: pytest.MonkeyPatch, dialect: str) -> None:
    """There is an end to it."""
    bench = Bench(monkeypatch, dialect)
    bench.fake.answers = lambda command, lines: [bench.fake.kind.busy]
    question = DIALECTS[dialect].questions(lorawan_1_1=False)[0].command
    with pytest.raises(ShellError, match=f"is busy, {BUSY_TRIES} times in answer to {re.escape(question)}; power the"):
        bench.ask(question)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ((), r"sent no line for 2 s after AT\+DEUI=\?; check the contacts"),
        (("",), r"answer to AT\+DEUI=\? breaks off; check the contacts"),
        ((VALUE,), r"answer to AT\+DEUI=\? breaks off"),
        ((VALUE[:11],), "with '00:80:E1:15', which its dialect does not have; check the product's dialect"),
        ((VALUE + " and more", "", "OK"), "which its dialect does not have"),
        (("OK", VALUE), r"ends its answer to AT\+DEUI=\? without dev_eui, wanted the value before the end"),
        (("", "AT_ERROR"), r"with 'AT_ERROR' \(it knows no such command, or its stack refused it\)"),
        (("AT_PARAM_ERROR",), r"\(it does not understand the value\), wanted it to be taken; repeat once"),
        (("garb\xffage",), "with 'garb.*age', which its dialect does not have"),
        (tuple([""] * 40), r"answer to AT\+DEUI=\? does not end"),
    ],
)
def test_an_answer_that_is_not_whole_is_refused(bench: Bench, lines: tuple[str, ...], sentence: str) -> None:
    """Silence, halves, garbage, refusals, an OK before its value: each in one sentence that says what to do."""
    bench.answer(DEUI, *lines)
    with pytest.raises((ShellError, LinkSilent), match=sentence):
        bench.ask(DEUI)


@pytest.mark.parametrize("form", [KEY, colons(KEY), f"key {KEY}", KEY[:16], f'"{KEY}" ok', KEY.lower()])
def test_no_sentence_quotes_an_answer_that_may_be_a_key(bench: Bench, form: str) -> None:
    """In whatever form it came."""
    bench.answer("AT+NWKKEY=?", form + "?", "OK")
    with pytest.raises(ShellError, match=rf"with a line of {len(form) + 1} characters, which its dialect") as caught:
        bench.ask("AT+NWKKEY=?")
    assert KEY[:6] not in str(caught.value).upper().replace(":", "")


ERRORS = {
    "lorafab": "ERR line damaged",
    "st-at-slave": "AT_CRYPTO_ERROR",
    "rui3": "AT_MODE_NO_SUPPORT",
    "lora-e5": "+ID: ERROR(-12)",
    "rn2483": "invalid_param",
    "abz": "+ERR=-10",
}


@pytest.mark.parametrize("dialect", ERRORS)
def test_each_dialects_refusal_is_explained(monkeypatch: pytest.MonkeyPatch, dialect: str) -> None:
    """The number or the word, and what it means."""
    bench = Bench(monkeypatch, dialect)
    bench.fake.answers = lambda command, lines: [ERRORS[dialect]]
    question = DIALECTS[dialect].questions(lorawan_1_1=False)[0].command
    with pytest.raises(ShellError) as caught:
        bench.ask(question)
    text = str(caught.value)
    assert text.startswith(f"the modem answers {question} with {ERRORS[dialect]!r} (")
    assert text.endswith("wanted it to be taken; repeat once, then set it aside")


def test_a_key_that_was_read_is_wrapped_at_once(bench: Bench) -> None:
    """Nothing that is printed of it shows it."""
    bench.answer("AT+NWKKEY=?", colons(KEY), "", "OK")
    said = bench.ask("AT+NWKKEY=?")
    assert said.keys["app_key"][0].same_as(Secret(bytes.fromhex(KEY)))
    assert KEY not in repr(said).replace(":", "")
    assert not said.texts


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    """For all examples of a property."""
    with pytest.MonkeyPatch.context() as made:
        yield made


@given(
    dialect=st.sampled_from(sorted(KINDS)),
    lines=st.lists(
        st.one_of(
            st.sampled_from(
                ["OK", "ok", "+OK", "", "busy", "AT_ERROR", KEY, colons(KEY), "AT+APPKEY=" + KEY, "+ID: x"]
            ),
            st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=50),
        ),
        max_size=8,
    ),
)
@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_modem_says_is_an_answer_or_a_sentence(
    patch: pytest.MonkeyPatch, dialect: str, lines: list[str]
) -> None:
    """Never a crash, never a key, and never a value that was not said in its own form."""
    bench = Bench(patch, dialect)
    bench.fake.answers = lambda command, usual: lines
    for question in DIALECTS[dialect].questions(lorawan_1_1=False):
        said, sentence = Said(), ""
        try:
            said = bench.ask(question.command)
        except (ShellError, LinkSilent) as error:
            sentence = str(error)
        assert said.keys or said.texts or sentence or question.instead is not None
        assert KEY[:16] not in sentence.replace(":", "")
