"""``lorafab label``: the text and the picture of labels."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorafab.cli import label_sheet
from lorafab.cli.command import noun, verb
from lorafab.errors import LabelRefused, UsageError

if TYPE_CHECKING:
    from lorafab.domain.label import Label


def add(nouns: Any) -> None:
    """Declare the commands."""
    label = noun(nouns, "label", "labels on boards")
    parse = verb(label, "parse", _label_parse, "read the text of a label")
    parse.add_argument("text", help="`-` reads stdin")
    decode = verb(label, "decode", _label_decode, "read the picture of a label")
    decode.add_argument("image", type=Path)
    for command in (parse, decode):
        command.add_argument("--lot", help="take labels of this lot only, in its own form, too")
    label_sheet.add(label)


def _label_parse(options: argparse.Namespace) -> object:
    if options.text == "-" and sys.stdin is None:
        raise UsageError("stdin is closed, wanted the text of a label on it; give the text in place of -")
    try:
        text = sys.stdin.read() if options.text == "-" else options.text
    except UnicodeDecodeError:
        sentence = "stdin holds bytes that are no text, wanted that of a label; `lorafab label decode` reads pictures"
        raise LabelRefused(sentence) from None
    return _reading(options)(text).to_json()


def _label_decode(options: argparse.Namespace) -> object:
    from lorafab.drivers.label_reader import MAX_BYTES, LabelReader

    read = _reading(options)
    with options.image.open("rb") as file:
        picture = file.read(MAX_BYTES + 1)  # no more, whatever file that is: the reader refuses it
    found = LabelReader(accept=read).decode(picture)
    return {**read(found.text).to_json(), "reader": found.reader}


def _reading(options: argparse.Namespace) -> "Callable[[str], Label]":
    """How the text of a label is read: any label's, or that of a lot."""
    from lorafab.config.load import load_lot
    from lorafab.domain.label import parse_label
    from lorafab.steps.label import identify, read_label

    if options.lot is None:
        return parse_label
    lot = load_lot(options.root, options.lot)

    def read(text: str) -> "Label":
        label = read_label(text, lot)
        identify(label, lot)
        return label

    return read
