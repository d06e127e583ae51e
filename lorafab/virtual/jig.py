"""The virtual jig: one nest with a virtual board in it, a lid, a supply and a camera over the label."""

import secrets
from collections.abc import Callable
from pathlib import Path

from lorafab.virtual import registry
from lorafab.virtual.label_picture import draw_label


class VirtualJig:
    """Implements the Jig interface; the board in it is reached through a probe and a serial port like any other."""

    def __init__(
        self, site: str, boards: Path, uart_link: Path, next_label: Callable[[], str], chip: str | None = None
    ) -> None:
        """Put a board into the nest.

        ``chip``: what a new one is made as (None: the default), unless the environment says.
        A new board with a secure element comes with its maker's manifest, ``elements.json`` beside ``boards``.
        ``site`` is the id of its probe, ``boards`` the folder for boards that nobody named, ``uart_link`` the name
        of its serial port, and ``next_label`` gives the text of the sticker that a board without one receives when
        the camera first looks. Raises as ``registry.open_file``.
        """
        # A board that nobody named is a new one for each run, like the next one from the tray.
        path = registry.board_file() or boards / f"{secrets.token_hex(8)}.board"
        self._site, self._next_label = site, next_label
        made = not path.exists()
        self._board = registry.open_file(path, uart_link, chip)
        registry.attach(site, self._board)
        manifest = boards.parent / "elements.json"
        if "element" in self._board.silicon.parts and (made or not manifest.exists()):
            from lorafab.virtual.element_maker import deliver

            deliver(manifest, self._board.silicon)

    def present(self) -> bool:
        """A virtual nest is empty only by the fault plan."""
        return self._board.faults.jig != "empty"

    def lid_closed(self) -> bool:
        """A virtual lid is open only by the fault plan."""
        return self._board.faults.jig != "open"

    def power(self, on: bool) -> None:
        """Switch the supply of the board."""
        self._board.power(on)

    def camera(self) -> bytes:
        """Take a picture (PNG) of the sticker on the board; a board without one gets the next label first."""
        if self._board.sticker is None:
            self._board.stick(self._next_label())
        assert self._board.sticker is not None
        return draw_label(self._board.sticker)

    def close(self) -> None:
        """Power off, take the board out, release its probe and port."""
        registry.detach(self._site)
        self._board.close()
