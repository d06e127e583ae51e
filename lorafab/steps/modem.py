"""A conversation with a modem, in whatever dialect: one command, one whole answer, nothing that is not understood."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from re import Match
from typing import Final

from lorafab.domain.secret import Secret
from lorafab.errors import LinkSilent, ShellError
from lorafab.interfaces import Link
from lorafab.steps.dialects.grammar import KEY_GROUPS, Dialect, Exchange

MAX_LINES: Final = 32
"""Of one answer, and of what is said before a modem has started."""
BUSY_TRIES: Final = 5
AWAKE_TRIES: Final = 5
AWAKE_S: Final = 1.0
"""Between two of them: what a modem is sent while it starts is lost. *Unverified*; a slower one is asked again."""
QUIET_S: Final = 0.3
"""A line of 60 characters takes 0.07 s at 9600 baud: who says nothing for so long has ended, or has not begun."""


@dataclass
class Said:
    """What answers contained."""

    texts: dict[str, str] = field(default_factory=dict)
    keys: dict[str, list[Secret]] = field(default_factory=dict)
    """Several where several slots are to hold the same key."""

    def take(self, found: Match[str]) -> None:
        """Keep the groups of a line; a key is wrapped at once."""
        for name, text in found.groupdict().items():
            if text is None:
                continue
            if name in KEY_GROUPS:
                self.keys.setdefault(name, []).append(Secret(_bytes(text)))
            else:
                self.texts[name] = text


def _bytes(text: str) -> bytes:
    return bytes.fromhex("".join(char for char in text if char.isalnum()))


def _shown(exchange: Exchange, line: str) -> str:
    """A line for a sentence; without its text where a key may be in it, in a form that nobody foresaw."""
    digits = 8 if exchange.is_secret else 32
    may_be_key = re.search(rf"(?:[0-9A-Fa-f][^0-9A-Za-z]{{0,3}}){{{digits - 1}}}[0-9A-Fa-f]", line)
    return f"a line of {len(line)} characters" if may_be_key else repr(line[:80])


class _Busy(Exception):
    """The modem wants to be asked again."""


class Modem:
    """Talks to a modem; ``timeout_s`` is how long each line of an answer may take.

    ``still_there`` is called when it is silent: see Shell.
    """

    def __init__(self, link: Link, dialect: Dialect, timeout_s: float, still_there: Callable[[], None]) -> None:
        self._link, self._timeout_s, self._still_there = link, timeout_s, still_there
        self.dialect = dialect

    def wait_for_start(self) -> None:
        """After a reset: ask until there is an answer; what was said before does not count.

        Raises LinkSilent, ShellError.
        """
        heard, greeted = self._greeted()
        awake = self.dialect.awake
        for attempt in range(AWAKE_TRIES):
            self._send(awake)
            for _ in range(MAX_LINES):
                line = self._line(AWAKE_S)
                if line is None:
                    break
                heard = True
                if awake.done.fullmatch(line):
                    if attempt or not greeted:
                        self.listen(QUIET_S)  # this was the greeting, or the answer to an earlier question
                    return
        if heard:
            raise ShellError(
                f"the modem talks after reset, but never answers {awake.command} as its dialect should; check the "
                "product's dialect, the baud rate and the image, repeat once, then set it aside"
            )
        self._silent(f"after the reset, asked {AWAKE_TRIES} times with {awake.command}")

    def _greeted(self) -> tuple[bool, bool]:
        """Wait until the modem greets or falls silent; whether it said anything, and whether it greeted."""
        heard = False
        for _ in range(MAX_LINES):
            line = self._line(QUIET_S)
            if line is None:
                break
            heard = True
            if self.dialect.greeting.fullmatch(line):
                return True, True
        return heard, False

    def ask_all(self, exchanges: Sequence[Exchange]) -> Said:
        """One after the other. Raises as ``ask``."""
        said = Said()
        for exchange in exchanges:
            self.ask(exchange, said)
        return said

    def ask(self, exchange: Exchange, said: Said) -> None:
        """Send a command and take its whole answer. Raises LinkSilent, ShellError."""
        for _ in range(BUSY_TRIES):
            self.listen(0)
            self._send(exchange)
            try:
                return self._answer(exchange, said)
            except _Busy:
                self.listen(self._timeout_s)
        raise ShellError(
            f"the modem is busy, {BUSY_TRIES} times in answer to {exchange.command}; power the board off and on, "
            "repeat once, then set it aside"
        )

    def _answer(self, exchange: Exchange, said: Said) -> None:
        heard = Said()
        for number in range(MAX_LINES):
            line = self._line(self._timeout_s)
            if line is None:
                if number:
                    raise ShellError(
                        f"the modem's answer to {exchange.command} breaks off; check the contacts of the serial line, "
                        "repeat once, then set it aside"
                    )
                self._silent(f"for {self._timeout_s:g} s after {exchange.command}")
            elif self._ends(exchange, line, heard):
                said.texts |= heard.texts
                for name, keys in heard.keys.items():
                    said.keys.setdefault(name, []).extend(keys)
                return
        raise ShellError(f"the modem's answer to {exchange.command} does not end; repeat once, then set it aside")

    def _ends(self, exchange: Exchange, line: str, heard: Said) -> bool:
        """Judge one line of an answer: whether it is the last."""
        if not line or line.encode() == exchange.written():
            return False  # an echo
        if found := exchange.done.fullmatch(line):
            heard.take(found)
            missing = exchange.wanted - heard.texts.keys() - heard.keys.keys()
            if missing:
                raise ShellError(
                    f"the modem ends its answer to {exchange.command} without {', '.join(sorted(missing))}, wanted the "
                    "value before the end; repeat once, then set it aside"
                )
            return True
        for pattern in exchange.says:
            if found := pattern.fullmatch(line):
                heard.take(found)
                return False
        if exchange.instead is not None and (found := exchange.instead.fullmatch(line)):
            heard.take(found)
            return True
        if self.dialect.unsolicited.fullmatch(line):
            return False
        if self.dialect.busy.fullmatch(line):
            raise _Busy
        raise ShellError(self._refused(exchange, line))

    def _refused(self, exchange: Exchange, line: str) -> str:
        for pattern, meaning in self.dialect.errors.items():
            if re.fullmatch(pattern, line):
                return (
                    f"the modem answers {exchange.command} with {_shown(exchange, line)} ({meaning}), wanted it to be "
                    "taken; repeat once, then set it aside"
                )
        return (
            f"the modem answers {exchange.command} with {_shown(exchange, line)}, which its dialect does not have; "
            "check the product's dialect and the baud rate, repeat once, then set it aside"
        )

    def _send(self, exchange: Exchange) -> None:
        self._link.write(exchange.written() + self.dialect.end.encode("ascii"), secret=exchange.is_secret)

    def _line(self, timeout_s: float) -> str | None:
        raw = self._link.read_line(timeout_s)
        return None if raw is None else raw.decode("ascii", "backslashreplace").strip()

    def listen(self, quiet_s: float) -> None:
        """Let go what nobody asked for: events, and answers that came too late."""
        for _ in range(MAX_LINES):
            if self._line(quiet_s) is None:
                return

    def _silent(self, when: str) -> None:
        self._still_there()
        raise LinkSilent(
            f"the modem sent no line {when}; check the contacts of the serial line and its baud rate, repeat once, "
            "then set it aside"
        )
