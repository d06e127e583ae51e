"""A million texts that are not quite labels, and the table of those that are.

    python -m bench.labels [NUMBER] [--seed SEED]
    python -m bench.labels --table

Each text is a real label (of the table in tests_unit/data/labels.json) with up to eight mutations, two of them spliced,
random Unicode, random printable ASCII, or any of these with a key in it; half of them are held against a lot's pattern
too. Patterns themselves are mutated and checked as well. Wanted is a Label, which is read from its own text again, or a
LabelRefused, whose one sentence holds no 8 digits of the key in a row. Anything else ends the bench with a traceback.
"""

import argparse
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lorafab.domain.label import check_pattern, parse_label
from lorafab.domain.label_refusal import NEXT
from lorafab.errors import LabelRefused

TABLE = Path(__file__).resolve().parents[1] / "tests_unit" / "data" / "labels.json"
PIECES = [
    *(
        "LW:D0:",
        "URN:LW:DP:",
        "URN:DEV:LW:",
        ":",
        "_",
        "%",
        "%25",
        ":O",
        ":S",
        ":P",
        ":C",
        "_V",
        ";",
        ",",
        "|",
        "=",
        " ",
    ),
    *(
        "]Q1",
        "]d2",
        "\r\n",
        "\n",
        "\t",
        "\0",
        "\x1d",
        "\x1b[200~",
        "\ufeff",
        "\u200b",
        "\u2013",
        "\u0410",
        "\uff11",
        "Ö",
    ),
    *(
        "AppKey",
        "DevEUI",
        "https://",
        "WIFI:",
        "{",
        "0x",
        "O",
        "I",
        "l",
        "é",
        "\ud800",
        "\U0001f600",
        "A" * 200,
        "7" * 32,
    ),
]
PATTERN_PIECES = [
    *(
        "(?P<serial>",
        "(?P<dev_eui>",
        "(?P<join_eui>",
        "(?P<x>",
        "(?:",
        "(?>",
        "(?=",
        "(?<!",
        "(?i)",
        "(",
        ")",
        "[",
        "]",
    ),
    *(
        "{1,16}",
        "{2}",
        "{9999}",
        "*",
        "+",
        "?",
        "++",
        "*?",
        "|",
        ".",
        r"\d",
        r"\w",
        r"\b",
        r"\Z",
        r"\1",
        "\\",
        "[0-9A-F]",
    ),
    *("A", "-", "{16}", "^", "$", "[[", "&&", "\0", "Ö"),
]


class Fuzz:
    """Draws texts and patterns; the same seed draws the same."""

    def __init__(self, seed: int, rows: list[dict[str, Any]]) -> None:
        self._chance = random.Random(seed)
        self._texts: list[str] = [row["text"] for row in rows]
        self.patterns: list[str] = sorted({row["pattern"] for row in rows if "pattern" in row})
        self._ways: list[Callable[[], str]] = [
            self._mutated,
            self._mutated,
            self._mutated,
            self._spliced,
            self._unicode,
            self._printable,
        ]

    def text(self) -> tuple[str, str, str | None]:
        """Draw a text, the key in it or an empty text, and a pattern or None."""
        chance = self._chance
        pattern = chance.choice(self.patterns) if chance.random() < 0.5 else None
        if chance.random() < 0.2:
            key = f"{chance.getrandbits(128):032X}"
            return self._carrier(key), key, pattern
        return chance.choice(self._ways)(), "", pattern

    def pattern(self) -> str:
        """Draw what may be a pattern."""
        chance = self._chance
        text = chance.choice(self.patterns)
        for _ in range(int(9 * chance.random() ** 3)):
            text = self._changed(text, PATTERN_PIECES)
        return text

    def _mutated(self) -> str:
        text = self._chance.choice(self._texts)
        for _ in range(int(9 * self._chance.random() ** 3)):
            text = self._changed(text, PIECES)
        return text

    def _changed(self, text: str, pieces: list[str]) -> str:
        chance = self._chance
        at, other = chance.randint(0, len(text)), chance.randint(0, len(text))
        match chance.randrange(8):
            case 0:
                return text[:at] + chance.choice(pieces) + text[at:]
            case 1:
                return text[: min(at, other)] + text[max(at, other) :]
            case 2:
                return text[:at] + text[at + 1 :]
            case 3:
                return text[:at] + chr(chance.randint(0x20, 0x7E)) + text[at + 1 :]
            case 4:
                return text[:at] + chance.choice("0123456789ABCDEFabcdef") + text[at + 1 :]
            case 5:
                return text + chance.choice(["", " ", "\r\n", ";"]) + text
            case 6:
                return chance.choice([text.lower(), text.upper(), text.swapcase(), text[::-1]])
            case _:
                return text[:at] + chance.choice(pieces)

    def _spliced(self) -> str:
        one, other = self._chance.choice(self._texts), self._chance.choice(self._texts)
        return one[: self._chance.randint(0, len(one))] + other[self._chance.randint(0, len(other)) :]

    def _unicode(self) -> str:
        chance = self._chance
        return "".join(chr(chance.randrange(0x110000)) for _ in range(chance.randint(0, 40)))

    def _printable(self) -> str:
        chance = self._chance
        signs = chance.choice(["0123456789ABCDEF", "0123456789ABCDEF:-;_ ", "".join(map(chr, range(0x20, 0x7F)))])
        return "".join(chance.choices(signs, k=chance.randint(0, 70)))

    def _carrier(self, key: str) -> str:
        """Put the key into a label, in one piece or with signs between its bytes."""
        chance = self._chance
        sign = chance.choice(["", "", "", " ", ":", "-", ",", " 0x", "_", "|"])
        shown = sign.join(key[at : at + 2] for at in range(0, 32, 2))
        shown = chance.choice([shown, shown.lower()])
        text = self._mutated()
        at = chance.randint(0, len(text))
        return text[:at] + shown + text[at:]


def _kind(sentence: str) -> str:
    """Give what was found, without what differs from text to text."""
    found = re.split(r"[;,] wanted | \(| ['\"]", sentence)[0]
    return re.sub(r"(?<=letter )\w|U\+\w+|\b(?:[0-9A-F]{4}|[0-9A-F]{16}|\d+)\b", "..", found)


def judged_text(text: str, key: str, pattern: str | None) -> str:
    """Give the outcome in a few words. Raises AssertionError for a broken promise, and whatever is not expected."""
    try:
        label = parse_label(text, pattern)
    except LabelRefused as error:
        said = str(error)
        assert said.endswith(NEXT), "the sentence does not say what to do"
        assert said.isprintable(), "the sentence is more than one line"
        told, outcome = said, f"refused: {_kind(said)}"
    else:
        again = parse_label(label.text, pattern)
        assert again == label, "the label's own text is read as another label"
        told, outcome = f"{label!r} {json.dumps(label.to_json())}", f"label: {label.format}"
    if key:
        digits = re.sub(r"[^0-9A-Z]|0X", "", told.upper())
        around = re.sub(r"[^0-9A-Z]|0X", "", text.upper()).replace(key, "")
        pieces = {key[at : at + 8] for at in range(25)}
        assert not any(piece in digits and piece not in around for piece in pieces), "a piece of the key is shown"
    return outcome


def judged_pattern(pattern: str) -> str:
    """Like judged_text; a pattern that is taken is tried on texts that make the matcher work."""
    try:
        check_pattern(pattern)
    except ValueError as error:
        return f"pattern refused: {_kind(str(error))}"
    for sign in "A0-":
        judged_text(sign * 127 + "~", "", pattern)
    return "pattern taken"


def fuzz(number: int, seed: int) -> None:
    """Print counts by outcome; an unexpected one is printed and raised."""
    rows = json.loads(TABLE.read_text(encoding="utf-8"))
    draw, outcomes, slowest = Fuzz(seed, rows), Counter[str](), (0.0, "")
    began = time.perf_counter()
    for count in range(number):
        start = time.perf_counter()
        of_pattern = count % 20 == 0
        text, key, pattern = (draw.pattern(), "", None) if of_pattern else draw.text()
        try:
            outcomes[judged_pattern(text) if of_pattern else judged_text(text, key, pattern)] += 1
        except BaseException:
            print(f"seed {seed}, input {count}: {text!a} with pattern {pattern!a}")
            raise
        slowest = max(slowest, (time.perf_counter() - start, ascii(text)))
    for outcome, times in outcomes.most_common():
        print(f"{times:8}  {outcome}")
    print(f"{number} inputs, seed {seed}: no unexpected exception, {time.perf_counter() - began:.0f} s")
    print(f"slowest: {slowest[0] * 1000:.1f} ms, {slowest[1][:120]}")


def table() -> None:
    """Print each text with its result or sentence, as it is read now."""
    for number, row in enumerate(json.loads(TABLE.read_text(encoding="utf-8")), start=1):
        print(f"{number:3}  {row['text']!a}" + (f"  with {row['pattern']}" if "pattern" in row else ""))
        print(f"     {row['source']}")
        try:
            label = parse_label(row["text"], row.get("pattern")).to_json()
        except LabelRefused as error:
            print(f"     refused: {error}")
        else:
            print("     " + ", ".join(f"{name} {value}" for name, value in label.items() if value is not None))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("number", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--table", action="store_true", help="print the table of texts instead")
    options = parser.parse_args()
    if options.table:
        table()
    else:
        fuzz(options.number, options.seed)


if __name__ == "__main__":
    main()
