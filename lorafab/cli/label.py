"""``lorafab label``: the text and the picture of labels."""

import argparse
import sys
from pathlib import Path
from typing import Any

from lorafab.cli import label_sheet
from lorafab.cli.command import noun, verb
from lorafab.errors import LabelRefused


def add(nouns: Any) -> None:
    """Declare the commands."""
    label = noun(nouns, "label", "labels on boards")
    verb(label, "parse", _label_parse, "read the text of a label").add_argument("text", help="`-` reads stdin")
    verb(label, "decode", _label_decode, "read the picture of a label").add_argument("image", type=Path)
    label_sheet.add(label)


def _label_parse(options: argparse.Namespace) -> object:
    from lorafab.domain.label import parse_label

    try:
        text = sys.stdin.read() if options.text == "-" else options.text
    except UnicodeDecodeError:
        sentence = "stdin holds bytes that are no text, wanted that of a label; `lorafab label decode` reads pictures"
        raise LabelRefused(sentence) from None
    return parse_label(text).to_json()


def _label_decode(options: argparse.Namespace) -> object:
    from lorafab.domain.label import parse_label
    from lorafab.drivers.label_reader import LabelReader

    found = LabelReader().decode(options.image.read_bytes())
    return {**parse_label(found.text).to_json(), "reader": found.reader}
