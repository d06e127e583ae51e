"""Reads a report as a browser would: the static page, and the rows that its script sets from the JSON inside."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "img", "input", "br", "source"}


class Parsed(HTMLParser):
    """Elements in order (name, attribute names, class), all text, and whether the tags balance."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.balanced = True
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.balanced = self.balanced and not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if (tag, attrs) != ("span", [("class", "esc")]):
            self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.balanced = False

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        """All text, in order."""
        return "".join(self.texts)

    def count(self, tag: str) -> int:
        """How many elements of this name there are."""
        return sum(name == tag for name, _ in self.elements)


@dataclass(frozen=True)
class Row:
    """One step as pytest-html's script gets it."""

    filter_word: str
    cells: list[Parsed]
    details: list[Parsed]
    anchor: str


@dataclass(frozen=True)
class Page:
    """A whole report."""

    static: Parsed
    rows: list[Row]
    facts: dict[str, Parsed]
    blob: dict[str, Any] = field(repr=False)

    @property
    def fragments(self) -> list[Parsed]:
        """Everything that the script sets as HTML."""
        inside = [part for row in self.rows for part in (*row.cells, *row.details)]
        return [*inside, *self.facts.values()]

    @property
    def text(self) -> str:
        """All that can be read on the page."""
        return "\n".join([self.static.text, *(part.text for part in self.fragments)])


def read_page(html: str) -> Page:
    """Take a report apart."""
    static = Parsed(html)
    blob = json.loads(next(value for _, name, value in static.attributes if name == "data-jsonblob"))
    tests = [test for group in blob["tests"].values() for test in group]
    rows = [
        Row(
            test["result"],
            [Parsed(cell) for cell in test["resultsTableRow"]],
            [Parsed(extra["content"]) for extra in test["extras"]],
            test["testId"],
        )
        for test in tests
    ]
    return Page(static, rows, {name: Parsed(value) for name, value in blob["environment"].items()}, blob)
