r"""What a dialect is made of: exchanges of one command and one answer, as data.

Patterns are matched against whole lines, without their ends and without blanks around them. A group of a pattern names
what it caught: ``dev_eui``, ``join_eui``, ``app_key``, ``nwk_key``; our own shell says more. EUIs and keys are hex
digits, of which separators are dropped.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from re import Pattern
from typing import Final, Literal, Protocol

from lorafab.domain.identity import Identity
from lorafab.domain.secret import Secret

JoinResult = Literal["joined", "failed", "unknown"]
"""What the lines after a join command prove; "unknown" as long as nothing was said of the join itself."""

KEY_GROUPS: Final = frozenset({"app_key", "nwk_key"})


@dataclass(frozen=True)
class Exchange:
    """One command and the answer to it."""

    command: str
    """With ``{key}`` in the place of a key."""
    done: Pattern[str]
    """The line that ends a good answer."""
    says: tuple[Pattern[str], ...] = ()
    """Lines that may come before it."""
    wanted: frozenset[str] = frozenset()
    """Groups without which the answer says nothing."""
    instead: Pattern[str] | None = None
    """A line that ends a good answer without what is wanted: the modem keeps its key to itself, or has no identity."""
    key: Secret | None = None
    separator: str = ""
    """Between the bytes of the key."""

    def written(self) -> bytes:
        """What goes over the line, without its end."""
        text = self.command
        if self.key is not None:
            text = text.replace("{key}", with_separators(self.key.reveal(), self.separator))
        return text.encode("ascii")

    @property
    def is_secret(self) -> bool:
        """Whether a key goes over the line, in either direction."""
        return self.key is not None or any(KEY_GROUPS & one.groupindex.keys() for one in (self.done, *self.says))


class Dialect(Protocol):
    """How one kind of modem is talked to."""

    end: str
    """Of a command."""
    awake: Exchange
    """Asked until it is answered: the modem has started."""
    greeting: Pattern[str]
    """A line that shows earlier that it has started; where no line does, nothing matches."""
    unsolicited: Pattern[str]
    """Lines that come by themselves."""
    busy: Pattern[str]
    """The modem cannot do it now: ask again."""
    errors: Mapping[str, str]
    """Patterns of refusals, and what they mean."""
    takes_nwk_key: bool
    """Whether there are two root keys, as LoRaWAN 1.1 has."""

    def questions(self, *, lorawan_1_1: bool) -> Sequence[Exchange]:
        """Ask for all that the modem says of its identity."""
        ...

    def commands(self, identity: Identity) -> Sequence[Exchange]:
        """Set everything and store it, in this order."""
        ...

    def join_result(self, lines: Sequence[str]) -> JoinResult:
        """Judge the lines that followed a join command."""
        ...


def with_separators(data: bytes, separator: str) -> str:
    """Upper-case hex."""
    return separator.join(f"{byte:02X}" for byte in data)


def line(pattern: str) -> Pattern[str]:
    """A pattern of a whole line."""
    return re.compile(pattern, re.ASCII)


NEVER: Final = line(r"(?!)")
"""Matches no line."""


def group(name: str, size: int, separator: str = "") -> str:
    """The pattern of ``size`` bytes in hex, in upper or lower case, with a separator between bytes."""
    return f"(?P<{name}>[0-9A-Fa-f]{{2}}(?:{separator}[0-9A-Fa-f]{{2}}){{{size - 1}}})"


def judge_join(lines: Sequence[str], joined: Pattern[str], failed: Pattern[str]) -> JoinResult:
    """The last line that says something of the join decides."""
    result: JoinResult = "unknown"
    for one in lines:
        if joined.fullmatch(one.strip()):
            result = "joined"
        elif failed.fullmatch(one.strip()):
            result = "failed"
    return result
