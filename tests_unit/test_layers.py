"""Imports point down, neighbours do not import each other, and each third-party library has its door."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lorafab"

# From the bottom up; a module may import from lower rows, and inside its own room.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors"}),
    frozenset({"domain"}),
    frozenset({"interfaces", "config"}),
    frozenset({"targets"}),
    frozenset({"steps", "drivers", "stores", "virtual", "report", "export"}),
    frozenset({"run"}),
    frozenset({"screen"}),
    frozenset({"production"}),
    frozenset({"cli", "plugin", "pyocd_entry"}),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

# Exceptions, each with its reason.
ALLOWED = {
    ("pyocd_entry", "virtual"): "the entry point's whole work is to hand the virtual probe to pyOCD",
}

# Library -> modules that may import it (a room, or one module of it).
DOORS: dict[str, frozenset[str]] = {
    "pyocd": frozenset(
        {
            "drivers.pyocd_programmer",
            "drivers.pyocd_protection",
            "drivers.pyocd_worker",
            "targets",
            "virtual.probe",
            "virtual.bench",
            "pyocd_entry",
        }
    ),
    "unicorn": frozenset({"virtual"}),
    "serial": frozenset({"drivers.serial_port"}),
    "tinydb": frozenset({"stores"}),
    "orjson": frozenset({"stores", "report"}),
    "cryptography": frozenset(
        {"domain.secret", "stores.vault", "stores.keyring", "drivers.element_manifest", "virtual.element_maker"}
    ),
    "asn1crypto": frozenset({"drivers.element_manifest"}),
    "yaml": frozenset({"config"}),
    "pydantic": frozenset({"config", "domain.record", "stores"}),
    "pyzbar": frozenset({"drivers.label_reader"}),
    "zxingcpp": frozenset({"drivers.label_reader", "report.label_sheet"}),
    "PIL": frozenset({"drivers.label_reader", "drivers.label_picture_filters", "virtual.label_picture"}),
    "segno": frozenset({"virtual.label_picture", "report.label_sheet"}),
    "intelhex": frozenset({"drivers.image_file"}),
    "elftools": frozenset({"drivers.image_file", "targets.algorithm"}),
    "reportlab": frozenset({"report.label_sheet"}),
    "psycopg": frozenset({"stores.postgres_server"}),
    "pyrage": frozenset({"export"}),
    "grpc": frozenset({"drivers.chirpstack"}),
    "chirpstack_api": frozenset({"drivers.chirpstack"}),
    "pytest": frozenset({"report", "screen", "production", "plugin"}),
    "pytest_html": frozenset({"report"}),
    "pytest_metadata": frozenset({"report"}),
}


def modules() -> Iterator[tuple[str, Path]]:
    """Dotted names below lorafab, without the package's own."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            yield name, path


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every import of a file: nested ones, those under TYPE_CHECKING, and import_module("...") as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write the whole name"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            arguments = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            yield from ((node.lineno, str(argument)) for argument in arguments)


def broken_rules(name: str, path: Path) -> Iterator[str]:
    """Sentences for the imports of one module that break a rule."""
    room = name.split(".")[0]
    for line, target in imports(path):
        top, _, rest = target.partition(".")
        where = f"{path.relative_to(ROOT)}:{line}"
        if top == "lorafab":
            other = rest.split(".")[0]
            if other not in LEVEL or other == room or (room, other) in ALLOWED:
                continue
            if LEVEL[other] >= LEVEL[room]:
                yield f"{where}: {room} imports {other}, which is not below it"
        elif top in DOORS and not any(name == door or name.startswith(f"{door}.") for door in DOORS[top]):
            yield f"{where}: {top} is imported outside its door ({', '.join(sorted(DOORS[top]))})"


def test_every_module_is_in_a_layer() -> None:
    """A new room has to be placed, or it would escape the rule."""
    rooms = {name.split(".")[0] for name, _ in modules()}
    assert rooms <= LEVEL.keys()


def test_imports_point_down() -> None:
    """No module imports from its own row or a higher one, and no library comes in by another door."""
    broken = [sentence for name, path in modules() for sentence in broken_rules(name, path)]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("domain.x", "from lorafab.config import load"),
        ("drivers.x", "from lorafab.stores.tiny_ledger import TinyLedger"),
        ("domain.x", "def f():\n    import lorafab.run.run"),
        ("steps.x", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from lorafab.drivers import clock"),
        ("steps.x", "import importlib\nimportlib.import_module('lorafab.virtual.board')"),
        ("steps.x", "import pyocd"),
        ("run.x", "from tinydb import TinyDB"),
    ],
)
def test_the_walk_finds_what_it_forbids(
    tmp_path: Path, name: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule itself is tested: a rule that cannot fail protects nothing."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / "x.py"
    path.write_text(source)
    assert list(broken_rules(name, path))
