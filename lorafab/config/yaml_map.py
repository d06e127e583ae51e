"""Reads a YAML file into plain values, and remembers where each one stood. The only door to PyYAML.

Only what people mean the same way is taken: the scalars of YAML 1.2's core schema (so ``no``, ``on`` and ``12:30``
are text), except that digits with leading zeros stay text as well (a serial ``066`` is neither 54 nor 66). Duplicate
keys, anchors and aliases, tags, and keys that are not text are refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from lorafab.errors import ConfigError

MAX_SIZE: Final = 256 * 1024
"""Bytes; a station file has less than 2 KiB."""

MAX_DEPTH: Final = 32
"""Brackets inside brackets; a product file has 6. The C parser composes recursively, and deep nesting ends the process
(PyYAML 6.0.3 with libyaml: segmentation fault at 200 000 brackets)."""

KeyPath = tuple[str | int, ...]
"""Keys and list positions that lead to a value."""


@dataclass(frozen=True)
class Position:
    """Place in a file, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class YamlMap:
    """A file's content: mappings, tuples for lists, text, numbers, booleans, None."""

    file: str
    """As shown in messages: relative to the project's root."""
    data: Mapping[str, Any]
    positions: Mapping[KeyPath, Position]
    """Where a key (or a list's element) begins, for every path."""
    raw: bytes

    def at(self, path: KeyPath) -> str:
        """``file:line:column`` of ``path``, or of the nearest place that contains it."""
        while path and path not in self.positions:
            path = path[:-1]
        place = self.positions.get(path, Position(1, 1))
        return f"{self.file}:{place.line}:{place.column}"


class _Loader(yaml.CSafeLoader):
    """The C parser (eight times as fast as the Python one) with our scalars."""


_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_HEX = re.compile(r"0x[0-9A-Fa-f]+")
_TAG = "tag:yaml.org,2002:"
_SCALARS: Final = (  # YAML 1.2.2, 10.3.2 (core schema), less leading zeros and octal
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", f"{_INT.pattern}|{_HEX.pattern}", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9]+(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
)
_Loader.yaml_implicit_resolvers = {}  # an own dictionary, or YAML 1.1's scalars would be inherited
for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})\\Z"), _first)


def load_yaml(path: Path, shown: str) -> YamlMap:
    """Read the mapping in file ``path``; messages call it ``shown``.

    Raises ConfigError for a file that is missing, unreadable, not YAML, or not a mapping of the kind above.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read ({error.strerror}); restore it or name another file") from error
    if len(raw) > MAX_SIZE:
        raise ConfigError(f"{shown} has more than {MAX_SIZE} bytes, wanted a short file; is it the right one?")
    node = _compose(raw, shown)
    if not isinstance(node, yaml.MappingNode):
        found = "is empty" if node is None else "does not hold `key: value` lines"
        raise ConfigError(f"{shown}:1:1: the file {found}; write it like its neighbours or restore it")
    reader = _Reader(shown)
    data = reader.value(node, ())
    return YamlMap(shown, data, reader.positions, raw)


def _compose(raw: bytes, shown: str) -> yaml.Node | None:
    try:
        text = raw.decode("utf-8-sig")
        _refuse_deep(text, shown)
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{shown}:{line}:1: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        why = " ".join(part for part in (error.problem, error.context) if part)
        raise ConfigError(f"{shown}:{place}: not YAML ({why}); correct this line") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{shown}:1:1: not YAML ({str(error).splitlines()[0]}); correct the file") from error
    return node


def _refuse_deep(text: str, shown: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise ConfigError(f"{shown}:{line}:1: nested deeper than {MAX_DEPTH} levels; correct this line")


class _Reader:
    """Turns nodes into values and notes their positions."""

    def __init__(self, shown: str) -> None:
        self.positions: dict[KeyPath, Position] = {}
        self._shown = shown
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.positions.setdefault(path, _position(node))
        if id(node) in self._seen:
            raise self._refused(node, "an alias (`*name`) is not taken here; write the value out")
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return tuple(self.value(child, (*path, place)) for place, child in enumerate(node.value))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        raise self._refused(node, f"the tag {node.tag!r} is not taken here; write a plain value")

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, child in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _TAG + "str":
                raise self._refused(key_node, "a key must be text; put it in quotes")
            key, inside = key_node.value, (*path, key_node.value)
            if key in found:
                first = self.positions[inside].line
                raise self._refused(
                    key_node, f"key {key!r} stands here again, first in line {first}; keep one of the two"
                )
            self.positions[inside] = _position(key_node)
            found[key] = self.value(child, inside)
        return found

    def _scalar(self, node: yaml.ScalarNode) -> str | int | float | bool | None:
        kind, text = node.tag.removeprefix(_TAG), node.value
        try:
            if kind == "str":
                return str(text)
            if kind == "null":
                return None
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
            if kind == "int":
                return int(text, 16 if _HEX.fullmatch(text) else 10)
            if kind == "float":
                return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
        except (ValueError, KeyError):
            raise self._refused(node, f"{text[:24]!r} is no {kind}; write the value without a tag") from None
        raise self._refused(node, f"the tag {node.tag!r} is not taken here; write a plain value")

    def _refused(self, node: yaml.Node, sentence: str) -> ConfigError:
        place = _position(node)
        return ConfigError(f"{self._shown}:{place.line}:{place.column}: {sentence}")


def _position(node: yaml.Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)
