"""A second wall: no log record of this process shows a key, whoever logs it and however.

The first wall is :class:`lorafab.domain.secret.Secret`. Behind it the bytes are plain for the length of a flash
session, and libraries may log what passes: pyOCD shows a written word as hex, and a list of words as decimal numbers.
So every record is searched when it is made, before any handler sees it, for any 4 consecutive bytes of any key that
lives in this process; one that holds them keeps its time, level, logger and place, and loses its text.

Searched: message with its arguments, traceback, stack. Found: hex in any case, with separators and prefixes, in either
byte order; lists of bytes; words of 32 and 64 bits, decimal and hex; Python's repr; text that holds the raw bytes; and,
from 6 bytes on, base64 (plain and URL-safe). Not found: fewer bytes in one record, and what comes with it as ``extra``.
"""

import base64
import logging
import re
import struct
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from lorafab.domain.secret import Secret, living_secrets
from lorafab.domain.weak import weak_key

_PIECE = 4  # bytes: 1000 random hex digits hold one of the 26 pieces of a key by chance 6 times in a million
_PIECE_BASE64 = 6  # bytes: seven characters and more, so that no word of a sentence is one
_PREFIX = re.compile(r"0x|\\x|\\u00")
_NO_HEX = re.compile(r"[^0-9a-f]")
_DECIMAL = re.compile(r"(?<![0-9a-fx])\d{1,20}(?![0-9a-f])")
_HEX = re.compile(r"0x([0-9a-f]{1,16})\b")


class _Needles:
    """What to look for: one key in every shape."""

    def __init__(self, key: bytes) -> None:
        pieces = list(_windows(key, _PIECE))
        self.hex = {piece.hex() for piece in pieces} | {piece[::-1].hex() for piece in pieces}
        self.lists = {tuple(piece) for piece in pieces}
        self.words = {
            word
            for size, code in ((4, "I"), (8, "Q"))
            for piece in _windows(key, size)
            for order in "<>"
            for word in struct.unpack(order + code, piece)
        }
        self.texts = {repr(piece)[2:-1] for piece in pieces} | {piece.decode("latin-1") for piece in pieces}
        for piece in _windows(key, _PIECE_BASE64):
            self.texts |= {text for plain in _base64(piece) for text in (plain, plain.translate(_URL_SAFE))}


_URL_SAFE = str.maketrans("+/", "-_")


def _windows(key: bytes, size: int) -> Iterator[bytes]:
    """Pieces of a key, but for blank ones: a number 0 is in every text."""
    pieces = (key[at : at + size] for at in range(len(key) - size + 1))
    return (piece for piece in pieces if len(set(piece)) > 1)


def _base64(piece: bytes) -> Iterator[str]:
    """The characters that a piece decides alone, for each of its three positions in a longer text."""
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + piece + bytes(2)).decode()
        yield text[(0, 2, 3)[shift] : (shift + len(piece)) * 8 // 6]


class _Text:
    """One text, prepared once for all keys."""

    def __init__(self, text: str) -> None:
        lowered = text.lower()
        self.text = text
        self.digits = _NO_HEX.sub("", _PREFIX.sub("", lowered))
        decimals = [int(digits) for digits in _DECIMAL.findall(lowered)]
        hexes = [int(digits, 16) for digits in _HEX.findall(lowered)]
        self.numbers = {*decimals, *hexes}
        self.lists = {
            tuple(numbers[at : at + _PIECE]) for numbers in (decimals, hexes) for at in range(len(numbers) - _PIECE + 1)
        }

    def holds(self, needles: _Needles) -> bool:
        return (
            any(digits in self.digits for digits in needles.hex)
            or not needles.words.isdisjoint(self.numbers)
            or not needles.lists.isdisjoint(self.lists)
            or any(text in self.text for text in needles.texts)
        )


_needles: WeakKeyDictionary[Secret, _Needles | None] = WeakKeyDictionary()


def holds_key(text: str, secrets: Iterable[Secret]) -> bool:
    """Whether a piece of one of these keys is in the text, in any of the shapes above."""
    prepared = _Text(text)
    for secret in secrets:
        if secret not in _needles:
            # Blank memory and published defaults are no secret, and zeros and a maker's numbers are everywhere.
            _needles[secret] = None if weak_key(secret.kcv()) else _Needles(secret.reveal())
        needles = _needles[secret]
        if needles is not None and prepared.holds(needles):
            return True
    return False


def without_keys(text: str) -> str:
    """The text; where it holds a piece of a key that lives in this process, a note in its place."""
    return _withheld(text) if holds_key(text, living_secrets()) else text


def _withheld(text: str) -> str:
    return f"(a text of {len(text)} characters is withheld: it may hold a key)"


class _Wall:
    """Makes log records as ``make`` does, without keys; never raises."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *arguments: Any, **named: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*arguments, **named)
        try:
            text = record.getMessage()
            behind = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
            secrets = living_secrets()
            withhold = holds_key(f"{text}\n{behind}\n{record.stack_info or ''}", secrets)
        except Exception:
            # Arguments that do not fit their message: logging would print them to stderr, one by one.
            text, withhold = "", True
        if withhold:
            record.msg = _withheld(text)
            record.exc_info = record.exc_text = record.stack_info = None
        else:
            record.msg = text
        record.args = ()
        return record


def guard_logging() -> None:
    """Search every log record that is made from now on, by any logger; a second call changes nothing."""
    make = logging.getLogRecordFactory()
    if not isinstance(make, _Wall):
        logging.setLogRecordFactory(_Wall(make))
