r"""A lot's own form of label: a regular expression with the named groups ``serial``, ``dev_eui`` and ``join_eui``.

A pattern comes from a lot file and is tried on whatever a scanner sends, so it must come to an end soon on any text.
Python's matcher tries every way to divide a text among the repeats of a pattern, and some patterns have more ways than
a year has microseconds: ``(\d+)+x``. So the ways are counted before a pattern is taken, on the tree that Python itself
compiles: :data:`MAX_STEPS` bounds them for the longest text that a pattern is tried on.
"""

import importlib
import re
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from lorafab.domain.identity import Eui64
from lorafab.domain.label_refusal import hex_field, looks_like_key, refused
from lorafab.domain.label_value import HIDDEN, Label, own_dev_eui

MAX_PATTERN: Final = 200
"""Characters of a pattern."""

MAX_TEXT: Final = 128
"""Characters of a label that patterns are tried on; a longer one fits none."""

MAX_STEPS: Final = 50_000_000
"""Steps of the matcher in the worst case, counted from above: ways to divide the text, times steps of one way.

The worst pattern that a search found below it kept the matcher busy for 0.1 s."""

_MAX_PATH: Final = 100_000
"""Steps of one way: repeats of nothing cost time too."""

_GROUPS: Final = frozenset({"serial", "dev_eui", "join_eui"})
_WORD = re.compile(r"[0-9A-Za-z]")
_TWO_EUIS = re.compile(r"[0-9A-Fa-f]{32,}")


def check_pattern(text: str) -> None:
    """Say why ``text`` is no pattern for labels: raises ValueError with a sentence, or returns."""
    compiled(text)


def match_pattern(pattern: str, text: str) -> re.Match[str] | None:
    """Hold ``text`` as a whole against a pattern. Raises ValueError like check_pattern."""
    return compiled(pattern).fullmatch(text) if len(text) <= MAX_TEXT else None


@lru_cache(maxsize=16)
def compiled(text: str) -> re.Pattern[str]:
    """Compile a pattern that is safe to try. Raises ValueError like check_pattern."""
    if len(text) > MAX_PATTERN:
        raise ValueError(f"the pattern has {len(text)} characters, wanted at most {MAX_PATTERN}; make it simpler")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what another Python will read differently
            pattern = re.compile(text, re.ASCII)
            tree = _parser().parse(text, re.ASCII)
    except (re.error, ValueError, OverflowError, RecursionError, Warning) as error:
        raise ValueError(
            f"the pattern is no regular expression ({error}), wanted one of Python's `re`; correct it"
        ) from None
    names = pattern.groupindex.keys()
    if unknown := sorted(names - _GROUPS):
        raise ValueError(
            f"the pattern names a group {unknown[0][:24]!r}, wanted serial, dev_eui and join_eui only; "
            "write (?:...) around what is not kept"
        )
    if names <= {"join_eui"}:
        raise ValueError(
            "the pattern names neither serial nor dev_eui, wanted at least one of them; "
            "write (?P<serial>...) around the serial"
        )
    ways, steps = _effort(tree)
    if steps > _MAX_PATH or ways * steps > MAX_STEPS:
        raise ValueError(
            "the pattern can divide a text in too many ways, wanted one that is soon done with any text; give repeats "
            "an end ({1,16} and not +), and put none inside another"
        )
    return pattern


def _parser() -> Any:
    # Private, but it is what `re` itself compiles from: a second grammar of ours would read some pattern differently.
    return importlib.import_module("re._parser")


def _effort(tree: Iterable[tuple[Any, Any]]) -> tuple[int, int]:
    """Count, from above, in how many ways a part of a pattern divides MAX_TEXT characters, and the steps of one way.

    Raises ValueError for what looks around or back, whose effort does not show in its form.
    """
    ways, steps = 1, 1
    for operation, argument in tree:
        match str(operation):
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN" | "AT":
                more, longer = 1, 1
            case "SUBPATTERN":
                more, longer = _effort(argument[3])
            case "ATOMIC_GROUP":
                more, longer = _effort(argument)
            case "BRANCH":
                efforts = [_effort(branch) for branch in argument[1]]
                more, longer = sum(one for one, _ in efforts), sum(one for _, one in efforts)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                more, longer = _repeated(*_effort(argument[2]), low=int(argument[0]), high=int(argument[1]))
            case _:
                raise ValueError(
                    "the pattern looks around or back, wanted groups, classes, alternatives and repeats only; write "
                    "out what is printed before and after the fields"
                )
        # Too many is too many: numbers of a thousand digits tell no more.
        ways, steps = min(ways * more, MAX_STEPS + 1), min(steps + longer, MAX_STEPS + 1)
    return ways, steps


def _repeated(ways: int, steps: int, *, low: int, high: int) -> tuple[int, int]:
    if low > MAX_TEXT:
        return MAX_STEPS + 1, steps  # fits no label; and Python repeats even nothing that often
    high = min(high, MAX_TEXT)
    if ways == 1:
        return high - low + 1, high * steps + 1
    return sum(ways**times for times in range(low, high + 1)), high * steps + 1


def custom_label(match: re.Match[str]) -> Label:
    """Read what a pattern has found in printable ASCII. Raises LabelRefused."""
    text, found = match.string, match.groupdict()
    dev, join = (
        None if found.get(group) is None else hex_field(f"the {name} of the label", _digits(found[group]), 16)
        for group, name in (("dev_eui", "DevEUI"), ("join_eui", "JoinEUI"))
    )
    serial = found.get("serial") or None
    if serial is None and dev is None:
        raise refused("the label fits the lot's pattern with an empty serial", "wanted a serial or a DevEUI")
    if _may_hold_key(match):
        raise refused(
            "the label fits the lot's pattern, but something on it may be a key (not shown)", "wanted a label without"
        )
    return Label(
        format="custom",
        dev_eui=None if dev is None else own_dev_eui(dev),
        join_eui=None if join is None else Eui64.parse(join),
        serial=serial,
        text=text,
        text_redacted=_redacted(match),
    )


def _digits(value: str) -> str:
    return value.replace(":", "").replace("-", "")


def _spans(match: re.Match[str], names: Iterable[str]) -> list[tuple[int, int]]:
    return sorted(match.span(name) for name in names if match.groupdict().get(name) is not None)


def _may_hold_key(match: re.Match[str]) -> bool:
    """Whether the text looks like a key once its EUIs are covered, or an EUI was cut out of a longer row of digits."""
    text = covered = match.string
    for start, end in _spans(match, ("dev_eui", "join_eui")):
        covered = covered[:start] + "Z" * (end - start) + covered[end:]
    cut = any(set(covered[row.start() : row.end()]) != {"Z"} for row in _TWO_EUIS.finditer(text))
    return cut or looks_like_key(covered)


def _redacted(match: re.Match[str]) -> str:
    """Show the named groups and little beside them: what the lot gives no name to may be a secret."""
    text, shown, at = match.string, "", 0
    for start, end in _spans(match, _GROUPS):
        shown += _harmless(text[at:start]) + text[max(at, start) : end]
        at = max(at, end)
    return shown + _harmless(text[at:])


def _harmless(piece: str) -> str:
    """Keep signs and as many letters as "SN" and "EUI" have; no secret is so short."""
    words = "".join(_WORD.findall(piece))
    return HIDDEN if len(words) > 3 or any(char.isdigit() for char in words) else piece
