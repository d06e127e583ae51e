"""A jig without electronics: the operator places the board, and it is powered as long as it lies there."""

import os
import select
import termios
import time
from typing import Final

from lorafab.drivers.scanners import TERMINAL
from lorafab.errors import JigError

TIMEOUT_S: Final = 300.0
"""How long the operator may take to switch the supply."""


class ManualJig:
    """Implements Jig for a nest without sensors whose supply only the operator can switch."""

    def __init__(self, terminal: str = TERMINAL, timeout_s: float = TIMEOUT_S) -> None:
        self._terminal, self._timeout_s = terminal, timeout_s
        self._off = False

    def present(self) -> bool:
        """True: nothing can tell, and an empty nest shows as a probe that finds no chip."""
        return True

    def lid_closed(self) -> bool:
        """True: there is no sensor."""
        return True

    def power(self, on: bool) -> None:
        """Have the operator switch the supply; a board that he has just placed has it already. Raises JigError."""
        if on and not self._off:
            return
        self._ask("Switch the board's power ON again" if on else "Switch the board's power OFF, all of it")
        self._off = not on

    def camera(self) -> bytes:
        """Raise JigError: there is no camera."""
        raise JigError(
            "the manual jig has no camera, wanted a picture of the label; scan the label by hand (scanner: prompt)"
        )

    def close(self) -> None:
        """Do nothing."""

    def _ask(self, what: str) -> None:
        """Wait for Enter; what was typed before the question is dropped."""
        try:
            terminal = os.open(self._terminal, os.O_RDWR | os.O_NOCTTY)
        except OSError as error:
            raise JigError(
                "the manual jig cannot switch the board's power, and there is no terminal to ask an operator for it; "
                "start from a terminal, or use a jig that switches the supply"
            ) from error
        try:
            termios.tcflush(terminal, termios.TCIFLUSH)
            os.write(terminal, f"{what}, then press Enter: ".encode())
            answered = _enter(terminal, time.monotonic() + self._timeout_s)
        except (OSError, termios.error) as error:
            raise JigError(
                "the terminal went away while the operator was asked for the board's power; start again from one that "
                "stays"
            ) from error
        finally:
            os.close(terminal)
        if not answered:
            raise JigError(
                f"nobody switched the board's power within {self._timeout_s:g} s, wanted Enter when it is done; run "
                "this board again"
            )


def _enter(terminal: int, deadline: float) -> bool:
    """Whether a line came in time; the terminal gives whole lines."""
    if not select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        return False
    if not os.read(terminal, 256):
        raise OSError("end of file")
    return True
