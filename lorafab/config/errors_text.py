"""Turns what pydantic found wrong with a file into sentences that name file, line, key and what is allowed."""

import re
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lorafab.config.yaml_map import KeyPath, YamlMap
from lorafab.errors import ConfigError

_SUBJECT = re.compile(r"^\w+ should")  # pydantic's "Input", "String", "List" ...


def config_error(error: ValidationError, source: YamlMap, model: type[BaseModel]) -> ConfigError:
    """All mistakes of a file in one error: a sentence each, in the order of the file."""
    places = [(_file_path(detail["loc"], source, model), detail) for detail in error.errors(include_url=False)]
    places.sort(key=lambda one: _order(one[0], source))
    return mistakes(source, [(path, _sentence(path, detail, model)) for path, detail in places])


def mistakes(source: YamlMap, found: Sequence[tuple[KeyPath, str]]) -> ConfigError:
    """Build the error from ``(path, sentence)`` pairs; several get a first line that counts them."""
    lines = [f"{source.at(path)}: {sentence}" for path, sentence in found]
    if len(lines) > 1:
        lines.insert(0, f"{source.file} has {len(lines)} mistakes; correct them and start again:")
    return ConfigError("\n".join(lines))


def _order(path: KeyPath, source: YamlMap) -> tuple[int, int]:
    while path and path not in source.positions:
        path = path[:-1]
    place = source.positions[path]
    return place.line, place.column


def _file_path(loc: Sequence[str | int], source: YamlMap, model: type[BaseModel]) -> KeyPath:
    """Drop what pydantic puts between the keys: the chosen member of a union."""
    path: KeyPath = ()
    node: Any = source.data
    for place, part in enumerate(loc):
        if any(part in _tags(member) for member in get_args(_descend(model, loc[:place]))):
            continue  # also where a key of the member has the name of its choice
        inside = (isinstance(node, Mapping) and part in node) or (
            isinstance(node, tuple) and isinstance(part, int) and part < len(node)
        )
        if inside:
            path, node = (*path, part), node[part]
        elif part == loc[-1] and isinstance(node, Mapping) and isinstance(part, str):
            path = (*path, part)  # a missing key
    return path


def _sentence(path: KeyPath, detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    where = _dotted(path[:-1])
    inside = f" in {where}" if where else ""
    if kind == "extra_forbidden":
        allowed = ", ".join(sorted(_keys(model, detail["loc"][:-1])))
        return f"unknown key {str(path[-1])[:40]!r}{inside}; known keys: {allowed}"
    if kind == "missing" and isinstance(detail["loc"][-1], int):
        return f"{_dotted(path)}: the list ends too early, it should go on; complete it"
    if kind == "missing":
        return f"key {path[-1]!r} is missing{inside}; add it"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        key = str(context["discriminator"]).strip("'")
        known = f"known {key}s: {', '.join(_choices(model, path))}"
        if kind == "union_tag_not_found":
            return f"key {key!r} is missing in {_dotted(path)}; {known}"
        return f"{_dotted(path)} has an unknown {key} {str(context['tag'])[:40]!r}; {known}"
    if kind == "value_error":
        text = str(context["error"])
    else:
        text = _SUBJECT.sub("it should", detail["msg"]).replace("tuple", "list")
        text = re.sub(r"dictionary( or object.*)?", "map", text)
    return f"{_dotted(path)}: {text}" if path else text


def _dotted(path: KeyPath) -> str:
    return ".".join(str(part)[:40] for part in path)


def _keys(model: type[BaseModel], loc: Sequence[str | int]) -> set[str]:
    """Keys allowed in the mapping at ``loc`` (with union members in it, as pydantic gives it)."""
    found = _descend(model, loc)
    return set(found.model_fields) if isinstance(found, type) and issubclass(found, BaseModel) else set()


def _descend(node: Any, loc: Sequence[str | int]) -> Any:
    node = _bare(node)
    if not loc:
        return node
    if isinstance(node, type) and issubclass(node, BaseModel):
        return _descend(node.model_fields[str(loc[0])].annotation, loc[1:])
    members = get_args(node)
    if get_origin(node) in (Union, types.UnionType):
        chosen = next((one for one in members if loc[0] in _tags(one)), None)
        return None if chosen is None else _descend(chosen, loc[1:])
    if get_origin(node) is tuple and members:
        return _descend(members[0], loc[1:])
    return _descend(members[1], loc[1:]) if get_origin(node) is dict else None


def _bare(node: Any) -> Any:
    return get_args(node)[0] if get_origin(node) is Annotated else node


def _choices(model: type[BaseModel], path: KeyPath) -> list[str]:
    return [tag for member in get_args(_descend(model, path)) for tag in _tags(member)]


def _tags(member: Any) -> tuple[str, ...]:
    """Values by which a union's member is chosen."""
    if not (isinstance(member, type) and issubclass(member, BaseModel)):
        return ()
    tags = [field.annotation for name, field in member.model_fields.items() if name in ("driver", "source")]
    return get_args(tags[0]) if tags and get_origin(tags[0]) is Literal else ()
