"""Which virtual board lies in which nest, for whoever looks for its probe.

A running session puts its board in with ``attach``. Outside of one, environment variables name a board file, what
chip a new one gets and what shall go wrong; stock tools find it as ``jig0``. Looking does neither create nor lock it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Looking for probes must not load the emulator.
    from lorafab.virtual.board import Board
    from lorafab.virtual.chip import Chip
    from lorafab.virtual.faults import FaultPlan

BOARD_VARIABLE = "LORAFAB_VIRTUAL_BOARD"
"""Environment variable with the path of the board file in the jig."""

CHIP_VARIABLE = "LORAFAB_VIRTUAL_CHIP"
"""Environment variable with the short name of a chip, such as ``l072``: what a new board is made with (without it
lorafab.virtual.chips.DEFAULT), and what a named one must have (without it any)."""

FAULTS_VARIABLE = "LORAFAB_VIRTUAL_FAULTS"
"""Environment variable with what shall go wrong, see lorafab.virtual.faults."""

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


def wanted_chip() -> str | None:
    """Return the short name of the chip that the environment asks for; None: any, and the default for a new board."""
    return os.environ.get(CHIP_VARIABLE) or None


def fault_plan() -> FaultPlan:
    """Return what shall go wrong with the board that the environment names; raises ConfigError."""
    from lorafab.virtual.faults import FaultPlan

    return FaultPlan.parse(os.environ.get(FAULTS_VARIABLE, ""))


def chip_in(site: str) -> Chip:
    """Return the chip of the board in the nest, of a file without opening it.

    Raises JigError when the file is no board, ConfigError when its chip is unknown.
    """
    board = _boards.get(site)
    if board is not None:
        return board.chip
    from lorafab.virtual import chips
    from lorafab.virtual.boardfile import read_chip_name, unusable

    path = board_file()
    try:
        name = read_chip_name(path) if path is not None and path.exists() else wanted_chip() or chips.DEFAULT
    except OSError as error:
        raise unusable(path or Path(), error) from None
    return chips.named(name)


def open_file(path: Path, uart_link: Path | None = None, chip: str | None = None) -> Board:
    """Open a board file with the chip and the faults that the environment names; it has no power yet.

    A new board has the chip that the environment names, else ``chip``, else the default. ``uart_link`` and what is
    raised are those of ``Board.open``.
    """
    from lorafab.virtual.board import Board

    wanted = wanted_chip() or (None if path.exists() else chip)
    return Board.open(path, chip=wanted, uart_link=uart_link, faults=fault_plan())
