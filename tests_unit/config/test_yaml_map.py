"""lorafab.config.yaml_map: files mean what people think they mean, and mistakes are found where they are."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lorafab.config.yaml_map import MAX_SIZE, Position, YamlMap, load_yaml
from lorafab.errors import ConfigError


def load(folder: Path, text: str | bytes) -> YamlMap:
    path = folder / "t.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_yaml(path, "t.yaml")


def refusal(folder: Path, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("066", "066"),
        ("0", 0),
        ("-17", -17),
        ("0x0803E800", 0x0803E800),
        ("0o17", "0o17"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2026-11-20", "2026-11-20"),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("true", True),
        ("False", False),
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.INF", float("-inf")),
        ("~", None),
        ("", None),
        ("null", None),
        ('"5"', "5"),
        ("!!str 5", "5"),
        ("[1, [a]]", (1, ("a",))),
        ("{b: 1}", {"b": 1}),
        ("<<", "<<"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(tmp_path: Path, text: str, value: Any) -> None:
    """Serials keep their zeros, `no` is a word, addresses are hexadecimal."""
    found = load(tmp_path, f"a: {text}\n").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_read_as_such(tmp_path: Path) -> None:
    """The models refuse it with the key's name."""
    found = load(tmp_path, "a: .nan").data["a"]
    assert found != found


def test_every_key_and_element_has_a_place(tmp_path: Path) -> None:
    """Lines and columns count from 1; unknown places answer with what contains them."""
    source = load(tmp_path, "a: 1\nlink:\n  port: x\n  list:\n    - one\n    - two\n")
    assert source.positions["link", "port"] == Position(3, 3)
    assert source.at(("link", "list", 1)) == "t.yaml:6:7"
    assert source.at(("link", "baud")) == "t.yaml:2:1"
    assert source.at(("nothing",)) == "t.yaml:1:1"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "t.yaml:1:1: the file is empty"),
        ("# only a remark\n", "the file is empty"),
        ("- a\n", "does not hold `key: value` lines"),
        ("a: 1\nb: 2\n\na: 3\n", "t.yaml:4:1: key 'a' stands here again, first in line 1; keep one of the two"),
        ("x:\n  a: 1\n  a: 2\n", "t.yaml:3:3: key 'a' stands here again, first in line 2"),
        ("a: &x 1\nb: *x\n", "an alias (`*name`) is not taken here; write the value out"),
        ("a: &r [*r]\n", "an alias (`*name`) is not taken"),
        ("a: !!python/object/apply:os.system [ls]\n", "t.yaml:1:4: the tag 'tag:yaml.org,2002:python/object"),
        ("a: !mine x\n", "the tag '!mine' is not taken here"),
        ("a: !!int abc\n", "'abc' is no int"),
        ("a: !!bool yes\n", "'yes' is no bool"),
        ("a: " + "9" * 5000, "is no int"),
        ("1: a\n", "t.yaml:1:1: a key must be text; put it in quotes"),
        ("true: a\n", "a key must be text"),
        ("? [a]\n: b\n", "a key must be text"),
        ("a: [1\nb: 2\n", "t.yaml:2:"),
        ("a:\tb\n  c: 1\n", "not YAML"),
        ("a: b\0c", "not YAML (unacceptable character"),
        ("a: 1\n---\nb: 2\n", "t.yaml:2:1: not YAML"),
        ("a: " + "[" * 100_000, "t.yaml:1:1: nested deeper than 32 levels"),
        (b"a: 1\nb: \xff\n", "t.yaml:2:1: byte 8 is not UTF-8; save the file as UTF-8"),
        ("#" * (MAX_SIZE + 1), f"t.yaml has more than {MAX_SIZE} bytes"),
    ],
)
def test_what_people_read_in_two_ways_is_refused(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    """Each refusal names the file and the place; none ends the process."""
    assert sentence in refusal(tmp_path, text)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    """With the operating system's reason."""
    with pytest.raises(ConfigError, match=r"^x\.yaml cannot be read \(No such file or directory\)"):
        load_yaml(tmp_path / "x.yaml", "x.yaml")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="ascii", exclude_categories=["C"])),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
        max_leaves=8,
    )
)
def test_quoted_yaml_comes_back(value: Any) -> None:
    """What YAML's own writer puts into quotes is read as it was, whatever it holds."""
    text = yaml.safe_dump({"a": value}, default_style='"', width=1000)

    def frozen(one: Any) -> Any:
        if isinstance(one, list):
            return tuple(map(frozen, one))
        return {key: frozen(inner) for key, inner in one.items()} if isinstance(one, dict) else one

    with tempfile.TemporaryDirectory() as folder:
        assert load(Path(folder), text).data == {"a": frozen(value)}


def test_no_more_is_read_than_is_taken(tmp_path: Path) -> None:
    """A name that leads to something endless is a sentence, not the end of the computer's memory."""
    path = tmp_path / "endless.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse: a TiB that takes no room on the disk
    with pytest.raises(ConfigError, match=f"endless.yaml has more than {MAX_SIZE} bytes"):
        load_yaml(path, path.name)
