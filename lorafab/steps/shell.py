r"""The firmware's shell on the serial line.

One command a line; the answer is any number of ``key=value`` lines and then ``OK`` or ``ERR <sentence>``, each
ended by ``\r\n`` (firmware/endnode-wle5/README.md).
"""

from collections.abc import Callable

from lorafab.errors import LinkSilent, ShellError
from lorafab.interfaces import Link

MAX_REPLY_LINES = 32
MAX_NOISE_LINES = 16


class Shell:
    """Asks the board; ``timeout_s`` is how long each line of an answer may take.

    ``still_there`` is called when the board is silent. It raises what it finds where the silence has another cause
    than the board: no power, no contact, another board in the nest.
    """

    def __init__(self, link: Link, timeout_s: float, still_there: Callable[[], None] = lambda: None) -> None:
        self._link, self._timeout_s, self._still_there = link, timeout_s, still_there

    def ask(self, command: str) -> dict[str, str]:
        """Send a command, return its values. Raises LinkSilent, ShellError."""
        self._link.write(command.encode("ascii") + b"\r\n")
        values: dict[str, str] = {}
        for _ in range(MAX_REPLY_LINES):
            line = self._line(command)
            if line == "OK":
                return values
            if line.startswith("ERR"):
                raise ShellError(
                    f"the board answers {command} with {line[:80]!r}, wanted OK; repeat once, then set it aside"
                )
            key, equals, value = line.partition("=")
            if not equals:
                raise ShellError(
                    f"the board answers {command} with {line[:80]!r}, wanted `key=value` lines and OK; "
                    "check that the image is this product's, repeat once, then set it aside"
                )
            values[key] = value
        raise ShellError(f"the board's answer to {command} does not end; repeat once, then set it aside")

    def value(self, command: str, key: str) -> str:
        """Ask for one value. Raises ShellError when the answer lacks it."""
        values = self.ask(command)
        if key not in values:
            raise ShellError(f"the board's answer to {command} lacks {key!r}; check that the image is this product's")
        return values[key]

    def wait_for_start(self, greeting: str) -> None:
        """Read lines until one starts with ``greeting``. Raises LinkSilent, ShellError."""
        for _ in range(MAX_NOISE_LINES):
            if self._line("the reset").startswith(greeting):
                return
        raise ShellError(
            f"the board talks after reset, but never says {greeting!r}; check baud rate and image, repeat once, "
            "then set it aside"
        )

    def _line(self, command: str) -> str:
        raw = self._link.read_line(self._timeout_s)
        if raw is None:
            self._still_there()
            raise LinkSilent(
                f"the board sent no line for {self._timeout_s:g} s after {command}; "
                "check the contacts of the serial line and its baud rate, repeat once, then set it aside"
            )
        return raw.decode("ascii", "backslashreplace").strip()
