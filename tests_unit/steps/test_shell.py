"""lorafab.steps.shell: an answer is read to its end, or the board is blamed with a sentence."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.errors import LinkSilent, ProbeError, ShellError
from lorafab.steps.shell import MAX_NOISE_LINES, MAX_REPLY_LINES, Shell
from tests_unit.fakes import FakeBoard, FakeLink

names = st.text(string.ascii_lowercase + "_", min_size=1, max_size=8)
values = st.text(string.ascii_letters + string.digits + "=.-", max_size=12)


def scripted(*lines: bytes) -> tuple[Shell, FakeLink]:
    """A line on which exactly this arrives."""
    link = FakeLink(FakeBoard(silent=True))
    link.waiting += lines
    return Shell(link, 0.5), link


@given(st.dictionaries(names, values, max_size=MAX_REPLY_LINES - 1))
def test_values_come_back_as_the_board_said_them(said: dict[str, str]) -> None:
    """Names before the first `=`, everything behind it is the value."""
    shell, _ = scripted(*(f"{name}={value}".encode() for name, value in said.items()), b"OK")
    assert shell.ask("ANY?") == said


@given(st.lists(st.binary(max_size=40), max_size=40))
def test_whatever_arrives_is_an_answer_or_a_sentence(lines: list[bytes]) -> None:
    """Noise, half lines and bytes above 0x7F: never another exception, never an endless wait."""
    shell, _ = scripted(*lines)
    sentence = "ANY?"
    try:
        shell.ask("ANY?")
    except (ShellError, LinkSilent) as error:
        sentence = str(error)
    assert "ANY?" in sentence


def test_silence_is_not_blamed_on_a_board_that_is_gone() -> None:
    """Whoever can look whether the board is there is asked first, and only when it is silent."""

    def gone() -> None:
        raise ProbeError("no contact")

    link = FakeLink(FakeBoard(silent=True))
    link.waiting += [b"a=1", b"OK"]
    shell = Shell(link, 0.5, gone)
    assert shell.ask("A?") == {"a": "1"}
    with pytest.raises(ProbeError, match="no contact"):
        shell.ask("A?")
    with pytest.raises(ProbeError, match="no contact"):
        shell.wait_for_start("lorafab")


def test_a_command_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the firmware's README has it."""
    sent: list[bytes] = []
    shell, link = scripted(b"OK")
    monkeypatch.setattr(link, "write", sent.append)
    shell.ask("VER?")
    assert sent == [b"VER?\r\n"]


def test_an_answer_ends_at_ok_and_the_rest_stays() -> None:
    """The next command gets its own answer."""
    shell, link = scripted(b"a=1", b"OK", b"b=2", b"OK")
    assert shell.ask("A?") == {"a": "1"}
    assert len(link.waiting) == 2
    assert shell.value("B?", "b") == "2"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([b"ERR no such thing"], "the board answers X? with 'ERR no such thing', wanted OK; repeat once"),
        ([b"hello"], "the board answers X? with 'hello', wanted `key=value` lines and OK"),
        ([b""], "the board answers X? with '', wanted `key=value` lines"),
        ([b"\xc9\x07"], r"with '\\xc9\x07', wanted `key=value`"),
        ([b"a=1"] * MAX_REPLY_LINES, "answer to X? does not end"),
        ([b"OK"], "answer to X? lacks 'a'; check that the image is this product's"),
    ],
)
def test_a_wrong_answer_is_told(lines: list[bytes], sentence: str) -> None:
    """What was said, what was wanted, what to do."""
    shell, _ = scripted(*lines)
    with pytest.raises(ShellError) as caught:
        shell.value("X?", "a")
    assert sentence in str(caught.value)


def test_a_long_wrong_answer_is_cut() -> None:
    """A sentence stays one that can be read."""
    shell, _ = scripted(b"x" * 5000)
    with pytest.raises(ShellError) as caught:
        shell.ask("X?")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("before", [[], [b"a=1"]])
def test_silence_is_told_apart_from_nonsense(before: list[bytes]) -> None:
    """Nothing at all, or an answer that breaks off: no line in time."""
    shell, _ = scripted(*before)
    with pytest.raises(LinkSilent, match=r"sent no line for 0\.5 s after X\?.*baud rate"):
        shell.ask("X?")


def test_noise_before_the_greeting_is_skipped() -> None:
    """A reset may leave half a line behind."""
    shell, _ = scripted(*[b"\xff\x00noise"] * (MAX_NOISE_LINES - 1), b"lorafab p 1.0 ready")
    shell.wait_for_start("lorafab p")


def test_noise_without_an_end_is_no_greeting() -> None:
    """The sentence says what was waited for."""
    shell, link = scripted(*[b"noise"] * 100)
    with pytest.raises(ShellError, match="talks after reset, but never says 'lorafab p'"):
        shell.wait_for_start("lorafab p")
    assert len(link.waiting) == 100 - MAX_NOISE_LINES
