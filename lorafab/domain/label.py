"""Labels: what the code on a board's sticker says, and why it is refused when it does not say it well.

Taken are TR005 labels and their drafts (:mod:`lorafab.domain.tr005`), the lot's own form where it has one
(:mod:`lorafab.domain.label_pattern`), and

``dev_eui``
    A bare DevEUI, 16 hex digits, the bytes optionally separated by ``:`` or ``-`` throughout.

What a scanner adds goes first: blanks, tabs, CR and LF at the ends, a symbology identifier (``]Q1``) at the beginning,
and the second of two equal codes that came in one text, because the trigger was pulled twice.
"""

import re
from typing import Final

from lorafab.domain.label_pattern import check_pattern, custom_label, match_pattern
from lorafab.domain.label_refusal import WANTED, appearance, looks_like_key, refuse_foreign_characters, refused
from lorafab.domain.label_value import Label, own_dev_eui
from lorafab.domain.tr005 import PREFIXES, checksum, parse_tr005, tr005_text

__all__ = ["MAX_LENGTH", "Label", "check_pattern", "checksum", "looks_like_key", "parse_label", "tr005_text"]

MAX_LENGTH: Final = 512
"""Characters; the longest TR005 text that fits QR version 10-M, much larger than any sticker, is 311."""

_BLANKS = " \t\r\n"
_BETWEEN_SCANS = frozenset(_BLANKS + ";,|")
_SYMBOLOGY = re.compile(r"\A\][A-Za-z][0-9A-Za-z]")  # ISO/IEC 15424: "]", code character, modifier
_DEV_EUI = re.compile(r"[0-9A-Fa-f]{2}([:-]?)(?:[0-9A-Fa-f]{2}\1){6}[0-9A-Fa-f]{2}")


def parse_label(text: str, pattern: str | None = None) -> Label:
    """Read the text of a label; ``pattern`` is the lot's own form, tried first (:func:`check_pattern`).

    Raises LabelRefused, which never repeats what may be a key or an owner token, and ValueError for a pattern that
    check_pattern refuses.
    """
    wanted = WANTED if pattern is None else f"{WANTED}, or the lot's own form"
    if len(text) > MAX_LENGTH:
        raise refused(f"the label has {len(text)} characters, more than {MAX_LENGTH}", wanted)
    text = _scanned_once(text.strip(_BLANKS), pattern)
    if not text:
        raise refused("the label is empty", wanted)
    _refuse_several(text)
    refuse_foreign_characters(text, wanted)
    if pattern is None:
        return _standard(text, wanted)
    if match := match_pattern(pattern, text):
        return custom_label(match)
    label = _standard(text, wanted)
    # One label has one meaning, in whichever case it was printed.
    match = match_pattern(pattern, label.text)
    return custom_label(match) if match else label


def _standard(text: str, wanted: str) -> Label:
    if text.startswith(PREFIXES):
        return parse_tr005(text)
    if match := _DEV_EUI.fullmatch(text):
        digits = text.replace(match[1], "").upper() if match[1] else text.upper()
        return Label("dev_eui", own_dev_eui(digits), digits, digits)
    raise refused(appearance(text), wanted)


def _scanned_once(text: str, pattern: str | None) -> str:
    """Drop the symbology identifier and the repetition of a code."""
    whole = _SYMBOLOGY.sub("", text)
    for gap in range(3):  # CR and LF may both stand between
        size, odd = divmod(len(text) - gap, 2)
        if (
            odd
            or size <= 0
            or text[:size] != text[size + gap :]
            or not _BETWEEN_SCANS.issuperset(text[size : size + gap])
        ):
            continue
        once = _SYMBOLOGY.sub("", text[:size])
        # A DevEUI or a serial may itself have two equal halves: then it is the whole.
        if once.startswith(PREFIXES) or (_complete(once, pattern) and not _complete(whole, pattern)):
            return once
    return whole


def _complete(text: str, pattern: str | None) -> bool:
    """Whether this is a label that is not TR005."""
    return _DEV_EUI.fullmatch(text) is not None or (pattern is not None and match_pattern(pattern, text) is not None)


def _refuse_several(text: str) -> None:
    """Stop at two codes that came as one text: nobody knows whose they are."""
    if any(sign in text for sign in "\t\r\n"):
        raise refused(
            "the text has more than one line, perhaps of several codes", "wanted the code of this board alone"
        )
    if sum(text.count(prefix) for prefix in PREFIXES) > 1:
        raise refused("the text holds more than one TR005 label", "wanted the code of this board alone")
