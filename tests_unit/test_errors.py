"""lorafab.errors: the tree on its page is the tree in the code, and each error blames the right one."""

import inspect
import re

import pytest

from lorafab import errors
from lorafab.domain.verdict import Verdict
from lorafab.errors import DutError, LorafabError, MemoryFault, StationError, UsageError, VerifyFailed
from lorafab.run.outcome import blame, code_of, sentence_of

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
}
_BRANCH = re.compile(r"^ {4}(?P<indent>[│ ├└─]*)(?P<name>[A-Z]\w+)(?: +(?P<verdict>FAIL|ERROR|usage) {2,}\S.*)?$")


def page() -> list[tuple[int, str, str | None]]:
    """(depth, class, verdict) of each line of the docstring's tree."""
    assert errors.__doc__ is not None
    text = errors.__doc__.partition("::")[2].partition("\n\nThe text")[0]
    lines = [_BRANCH.match(line) for line in text.splitlines() if line.strip()]
    return [(len(line["indent"]) // 4, line["name"], line["verdict"]) for line in lines if line]


def parents() -> dict[str, str]:
    """Class -> the one that stands above it on the page."""
    above, found = dict[int, str](), dict[str, str]()
    for depth, name, _ in page():
        above[depth] = name
        found[name] = above[depth - 1] if depth else "Exception"
    return found


def test_every_class_is_on_the_page_under_its_parent() -> None:
    """Neither forgotten nor moved."""
    assert parents() == {name: value.__base__.__name__ for name, value in CLASSES.items() if value.__base__}


def test_codes_are_short_stable_and_unique() -> None:
    """Reports and statistics count by them; a class never inherits its parent's."""
    codes = {name: vars(value).get("code") for name, value in CLASSES.items()}
    assert None not in codes.values(), f"without a code of their own: {[n for n, c in codes.items() if c is None]}"
    assert len(set(codes.values())) == len(codes)
    assert all(re.fullmatch(r"[A-Z]{3,6}", str(code)) for code in codes.values())


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_says_what_it_means(name: str) -> None:
    """In one docstring of its own."""
    assert vars(CLASSES[name]).get("__doc__")


@pytest.mark.parametrize(
    ("family", "verdict", "word"),
    [
        (DutError, Verdict.FAIL, "FAIL"),
        (StationError, Verdict.ERROR, "ERROR"),
        (UsageError, Verdict.USAGE, "usage"),
    ],
)
def test_a_family_has_one_verdict(family: type[LorafabError], verdict: Verdict, word: str) -> None:
    """As the page says, for each class of it."""
    assert next(said for _, name, said in page() if name == family.__name__) == word
    members = [value for value in CLASSES.values() if issubclass(value, family)]
    assert members
    for member in members:
        error = member(1, 1) if member is VerifyFailed else member(1) if member is MemoryFault else member("x")
        assert blame(error) is verdict
        assert code_of(error) == member.code


def test_each_error_belongs_to_one_family() -> None:
    """Nothing but the base stands outside, and nothing in two: somebody is always at fault, and only one."""
    families = (DutError, StationError, UsageError)
    for name, value in CLASSES.items():
        if name != "LorafabError":
            assert sum(issubclass(value, family) for family in families) == 1, name


def test_the_sentence_is_what_is_shown() -> None:
    """``str()`` of each of ours goes to the operator as it is."""
    for error in (errors.LabelRefused("the label is empty; scan again"), VerifyFailed(16, 2), MemoryFault(16)):
        assert sentence_of(error) == str(error)


def test_a_verify_failure_names_place_and_number() -> None:
    """Never the bytes; they may be a key."""
    one, two = VerifyFailed(0x0803E81D, 1), VerifyFailed(0x0803E800, 2)
    assert str(one).startswith("1 byte from 0x0803e81d on differ from what was written; reseat")
    assert str(two).startswith("2 bytes from 0x0803e800 on differ from what was written; reseat")
    assert (two.address, two.count) == (0x0803E800, 2)


def test_a_memory_fault_names_the_address_and_the_next_act() -> None:
    """The three things that it may be, and what to do."""
    fault = MemoryFault(0x0803F000)
    assert fault.address == 0x0803F000
    assert str(fault).startswith("memory at 0x0803f000 cannot be read (torn word, protection, or damage); power")
    assert str(fault).endswith("then set it aside")
