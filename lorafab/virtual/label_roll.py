"""The roll of printed stickers beside the virtual jig: each label comes off it once, also when a run is killed."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from lorafab.errors import JigError


class LabelRoll:
    """Hands out the numbers ``0..quantity-1`` of a lot's labels, each at most once.

    ``path`` remembers the next number; ``used`` tells which numbers found their board without this roll.
    """

    def __init__(self, path: Path, quantity: int, used: Callable[[int], bool], text: Callable[[int], str]) -> None:
        self._path, self._quantity, self._used, self._text = path, quantity, used, text

    def take(self) -> str:
        """Tear off the next sticker. Raises JigError when the roll is empty."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+", encoding="ascii", errors="replace") as roll:
            fcntl.flock(roll, fcntl.LOCK_EX)
            roll.seek(0)
            # One line a sticker, only ever appended: a kill leaves the roll as it was or one sticker shorter.
            lines = roll.readlines()
            if lines and not lines[-1].endswith("\n"):
                roll.write("\n")  # torn by a kill: that sticker counts as taken
            number = len(lines)
            while number < self._quantity and self._used(number):
                roll.write("used elsewhere\n")
                number += 1
            if number >= self._quantity:
                raise JigError(
                    f"the label roll {self._path} is empty after {self._quantity} labels; start the next lot, or "
                    "name the label with --label"
                )
            roll.write("taken\n")
            roll.flush()
            os.fsync(roll.fileno())
        return self._text(number)
