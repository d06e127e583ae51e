"""Why a text is no label: one sentence says what it looks like, and never repeats what may be a key.

A refused text is shown only when it has fewer characters than a key in its shortest printable spelling. Of a longer
one the sentence names the form and the length, and at most one character of it.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from lorafab.errors import LabelRefused

WANTED: Final = "wanted a TR005 label (LW:D0:...) or a DevEUI of 16 hex digits"
NEXT: Final = "scan the board's own label again, or set the board aside for relabelling"

QUOTE_LENGTH: Final = 19
"""Characters; the 16 bytes of a key take 20 in base85, 22 in base64, 32 in hex."""

_NOISE = re.compile(r"0[xX]|[^0-9A-Za-z]")
_KEY_HEX = re.compile(r"[0-9A-Fa-f]{32}")
# 16 bytes are 22 digits of base64, of which the last carries two bits, and two signs of padding (RFC 4648, 4 and 5).
_KEY_BASE64 = re.compile(
    r"[A-Za-z0-9+/_\-]{21}[AQgw]=="
    r"|(?<![A-Za-z0-9+/_\-])(?=\S*[a-z])(?=\S*[A-Z])(?=\S*[0-9])[A-Za-z0-9+/_\-]{21}[AQgw](?![A-Za-z0-9+/_\-=])"
)
_HEX: Final = frozenset("0123456789ABCDEFabcdef")
_MISREAD: Final = {"O": "0", "o": "0", "I": "1", "i": "1", "L": "1", "l": "1"}


def refused(found: str, wanted: str = WANTED) -> LabelRefused:
    """Make the exception; ``found`` and ``wanted`` hold nothing of the label that may be a key."""
    return LabelRefused(f"{found}; {wanted}; {NEXT}")


def looks_like_key(text: str) -> bool:
    """Whether ``text`` holds 32 hex digits in a row, not counting ``0x`` and signs between them, or 16 bytes in base64.

    The EUIs of a label are hex digits too: ask for one field of it, or for what is left without its EUIs.
    """
    return _KEY_HEX.search(_NOISE.sub("", text)) is not None or _KEY_BASE64.search(text) is not None


def hex_field(name: str, value: str, size: int) -> str:
    """Give ``value`` in upper case when it has ``size`` hex digits. Raises LabelRefused; ``name`` begins a sentence."""
    wrong = next((char for char in value if char not in _HEX), None)
    if wrong in _MISREAD:
        raise refused(
            f"{name} has the letter {wrong} where the digit {_MISREAD[wrong]} belongs", f"wanted {size} hex digits"
        )
    if wrong is not None:
        raise refused(f"{name} has {wrong!r} among the hex digits", f"wanted {size} hex digits")
    if len(value) != size:
        raise refused(f"{name} has {len(value)} characters", f"wanted {size} hex digits")
    return value.upper()


def refuse_foreign_characters(text: str, wanted: str) -> None:
    """Stop at what no label has and no eye sees: controls, look-alikes of other scripts, invisible signs."""
    for place, char in enumerate(text, start=1):
        if not " " <= char <= "~":
            name = unicodedata.name(char, "a control character" if ord(char) < 0xA0 else "no ASCII character")
            # A scanner types key presses; with another layout ":" becomes "Ö" on a German computer, digits "é" and "à"
            # on a French one.
            why = " (is the scanner set to this computer's keyboard layout?)" if "\xa1" <= char <= "\xff" else ""
            raise refused(
                f"character {place} of the label is U+{ord(char):04X} ({name}), which no label has{why}", wanted
            )


def appearance(text: str) -> str:
    """Say what a refused text looks like."""
    for looks_like, sentence in _GUESSES:
        if looks_like(text):
            return sentence.format(length=len(text), shown=_shown(text))
    return f"the label has {len(text)} characters in no form that is known{_shown(text)}"


def _shown(text: str) -> str:
    if len(text) <= QUOTE_LENGTH:
        return f" ({text!r})"
    return " (not shown, it may hold a key)" if looks_like_key(text) else ""


def _is_article_number(text: str) -> bool:
    """Whether this is a GTIN-8, -12, -13 or -14, by its check digit (GS1 General Specifications, 7.9)."""
    if not re.fullmatch(r"\d{8}|\d{12,14}", text, re.ASCII):
        return False
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(reversed(text))) % 10 == 0


def _has_misread_digit(text: str) -> bool:
    digits = re.sub(r"[:\-]", "", text)
    return len(digits) == 16 and any(char in _MISREAD for char in digits) and _HEX.issuperset(_corrected(digits))


def _corrected(digits: str) -> str:
    return "".join(_MISREAD.get(char, char) for char in digits)


_EUI = r"[0-9A-Fa-f]{16}"
_GUESSES: Final[tuple[tuple[Callable[[str], object], str], ...]] = (
    # No {shown} where a secret is part of the form, or where the text tells no more than the sentence.
    (re.compile(r"[\[{]").match, "the label is JSON"),
    (re.compile(r"(?:WIFI|DPP):", re.I).match, "the label is a Wi-Fi password (not shown, it holds a secret)"),
    (re.compile(r"BEGIN:VCARD|MECARD:", re.I).match, "the label is a business card"),
    (re.compile(r"https?://ttig\.|.*\bg(?:ate)?w(?:ay)?\b", re.I).match, "the label is a gateway's, not an end node's"),
    (
        re.compile(r"(?:https?://)?[^/?]*milesight", re.I).match,
        "the label is a web address of Milesight's, without the EUIs",
    ),
    (re.compile(r"[a-z][a-z0-9+.\-]*://|www\.", re.I).match, "the label is a web address{shown}"),
    (
        re.compile(rf"[^;]*;{_EUI};{_EUI};[0-9A-Fa-f]{{32}}\s*;?").fullmatch,
        "the label is in Dragino's form and carries the board's AppKey (not shown)",
    ),
    (re.compile(rf"{_EUI}{_EUI}:[^:]*:").match, "the label is in Seeed's form, two EUIs in one piece"),
    (re.compile(r"URN:LWDP:").match, "the label is in Browan's form (URN:LWDP:)"),
    (re.compile(rf"{_EUI}:{_EUI}").fullmatch, "the label is in Tektelic's form, two EUIs without the form of TR005"),
    (re.compile(rf"{_EUI}[:;,_|/ \-]+{_EUI}").match, "the label has two EUIs without the form of TR005"),
    (
        re.compile(r"lw:d0:|urn:(?:lw:dp|dev:lw):", re.I).match,
        "the TR005 label came in lower case (Caps Lock at the scanner?)",
    ),
    (re.compile(r"LW:[A-Z][0-9A-Z]?:").match, "the label is of a TR005 version other than D0"),
    (
        re.compile(r"LW[^:0-9A-Za-z]D0", re.I).match,
        "the TR005 label came with another sign in place of its colons (is the scanner set to this computer's "
        "keyboard layout?)",
    ),
    (_has_misread_digit, "the label has a letter O, I or l in place of a digit{shown}"),
    (_is_article_number, "the label is an article number (EAN, GTIN){shown}"),
    (
        re.compile(r"\(01\)\d{14}|01\d{14}(?:1[0-7]|21)", re.ASCII).match,
        "the label is a GS1 code, an article number with a serial or batch",
    ),
    (
        re.compile(r"(?:MAC\W*)?[0-9A-Fa-f]{2}([:\-.]?)(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}", re.I).fullmatch,
        "the label is a MAC address{shown}",
    ),
    (re.compile(r"(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}").fullmatch, "the label is a MAC address{shown}"),
    (
        re.compile(r"[0-9A-Fa-f]{32}").fullmatch,
        "the label is 32 hex digits, a key or two EUIs without names (not shown)",
    ),
    (re.compile(r"[0-9A-Fa-f]+").fullmatch, "the label has {length} hex digits, a DevEUI has 16{shown}"),
    (_KEY_BASE64.search, "the label looks like base64, which may be a key (not shown)"),
    (re.compile(r".*key", re.I | re.S).match, "the label speaks of a key (not shown)"),
    (re.compile(r"(?:(?:dev|app|join)[ _\-]?)?eui", re.I).match, "the label has words around its EUI"),
    (re.compile(r"[A-Za-z][\w .\-]{0,30}=").match, "the label is a list of names and values"),
)
