"""Which virtual board lies in which nest, for whoever looks for its probe.

A running session puts its board in with ``attach``. Outside of one, the environment variable names a board file and
stock tools find it as ``jig0``; looking does neither create nor lock the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Looking for probes must not load the emulator.
    from lorafab.virtual.board import Board

BOARD_VARIABLE = "LORAFAB_VIRTUAL_BOARD"
"""Environment variable with the path of the board file in the jig."""

DEFAULT_SITE = "jig0"
"""Name of the only nest of a simple jig."""

_boards: dict[str, Board] = {}


def attach(site: str, board: Board) -> None:
    """Put a board into a nest; its probe is ``lorafab:SITE`` from now on. Replaces the board before it."""
    _boards[site] = board


def detach(site: str) -> None:
    """Take the board out; does nothing when the nest is empty."""
    _boards.pop(site, None)


def names() -> tuple[str, ...]:
    """All nests that have a board, the one named by the environment included."""
    found = set(_boards)
    if board_file() is not None:
        found.add(DEFAULT_SITE)
    return tuple(sorted(found))


def board_in(site: str) -> Board | None:
    """Return the board that a running session put into the nest; None when there is none."""
    return _boards.get(site)


def board_file() -> Path | None:
    """Return the file that the environment names; None without the variable."""
    name = os.environ.get(BOARD_VARIABLE)
    return Path(name) if name else None
