"""The virtual boards, one profile a module: its ``CHIP`` is found by the module's name. See docs/add-a-board.md."""

from importlib import import_module
from pathlib import Path

from lorafab.errors import ConfigError
from lorafab.virtual.chip import Chip

DEFAULT = "wle5"


def names() -> tuple[str, ...]:
    """All known short names; loads no profile."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__"))


def named(name: str) -> Chip:
    """The profile of this short name; raises ConfigError for an unknown one."""
    if name not in names():
        raise ConfigError(f"there is no virtual board {name!r}, wanted one of {', '.join(names())}; correct the name")
    chip: Chip = import_module(f"{__name__}.{name}").CHIP
    return chip
