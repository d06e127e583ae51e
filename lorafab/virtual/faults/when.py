"""When a fault happens: at which transfer, word, byte, instruction, moment or power-on, and how often."""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final

from lorafab.errors import ConfigError

FOREVER: Final = 1 << 62
"""As ``times``: from then on, always."""

MAX_SEED: Final = 0xFFFF
"""Of a plan's noise."""

_MAX: Final = 10**15
_UNITS_NS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_NUMBER = re.compile(r"0|[1-9][0-9]{0,19}|0x[0-9A-Fa-f]{1,16}")
_TIME = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ns|us|ms|s)")


class Unit(Enum):
    """What is counted. All counts begin with 1 and go on for as long as the board is open."""

    TRANSFER = "transfer"
    """Transfers that the probe makes on the debug port."""
    WORD = "word"
    """Flash words programmed: double words of the STM32WL, words of the others."""
    ADDRESS = "address"
    """Programming of the flash word at this address."""
    BYTE = "byte"
    """Bytes that the board sends on its serial line."""
    HOST_BYTE = "host_byte"
    """Bytes that the host sends on it."""
    INSTRUCTION = "instruction"
    """Instructions of the core."""
    TIME = "time"
    """The board's clock, in ns since it was opened."""
    POWER_ON = "power_on"
    """Times that the supply was switched on."""


@dataclass(frozen=True)
class When:
    """The trigger of a fault. ``times``: how often from then on; None is once or always, as the fault is by nature."""

    unit: Unit
    number: int
    times: int | None = None

    def __post_init__(self) -> None:
        lowest = 0 if self.unit in (Unit.TIME, Unit.ADDRESS) else 1
        if not lowest <= self.number <= _MAX:
            raise ConfigError(
                f"fault plan: {self.unit.value}:{self.number} is not a count from {lowest} to {_MAX}; correct it"
            )
        if self.times is not None and not 1 <= self.times <= FOREVER:
            raise ConfigError(f"fault plan: {self.times} times is not 1 or more; correct the number")

    def __str__(self) -> str:
        number = str(self.number)
        if self.unit is Unit.ADDRESS:
            number = f"{self.number:#x}"
        elif self.unit is Unit.TIME:
            number = _time_text(self.number)
        times = "" if self.times is None else "+" if self.times == FOREVER else f"*{self.times}"
        return f"{self.unit.value}:{number}{times}"

    @classmethod
    def read(cls, unit: str, number: str, times: int | None = None) -> "When":
        """Read the words of a plan; raises ConfigError."""
        known = {one.value: one for one in Unit}
        if unit not in known:
            raise ConfigError(f"fault plan: {unit!r} is no trigger; use one of: {', '.join(known)}")
        if known[unit] is Unit.TIME:
            return cls(Unit.TIME, time_ns(number), times)
        count = whole(number)
        if count is None:
            example = "0x08000000" if known[unit] is Unit.ADDRESS else "12"
            raise ConfigError(f"fault plan: {unit}:{number} is not a number; write for example {unit}:{example}")
        return cls(known[unit], count, times)


def whole(text: str) -> int | None:
    """A decimal or ``0x`` hexadecimal number as a plan has them; None for anything else."""
    return int(text, 0) if _NUMBER.fullmatch(text) else None


def time_ns(text: str) -> int:
    """A time such as ``250ms`` or ``1.5s`` (ns, us, ms, s) in ns; raises ConfigError."""
    found = _TIME.fullmatch(text)
    value = Decimal(found[1]) * _UNITS_NS[found[2]] if found else Decimal("NaN")
    if not value.is_finite() or value != value.to_integral_value():
        raise ConfigError(f"fault plan: time:{text} is not a time in whole ns; write for example 250ms, 20us or 1.5s")
    return int(value)


def _time_text(ns: int) -> str:
    name = next(name for name in ("s", "ms", "us", "ns") if ns % _UNITS_NS[name] == 0)
    return f"{ns // _UNITS_NS[name]}{name}"


def transfer(number: int, times: int | None = None) -> When:
    """At the probe's transfer ``number``, the first is 1."""
    return When(Unit.TRANSFER, number, times)


def word(number: int) -> When:
    """While flash word ``number`` is being programmed, the first is 1."""
    return When(Unit.WORD, number)


def address(place: int) -> When:
    """While the flash word at ``place`` is being programmed."""
    return When(Unit.ADDRESS, place)


def byte(number: int, times: int | None = None) -> When:
    """At byte ``number`` from the board, the first is 1."""
    return When(Unit.BYTE, number, times)


def host_byte(number: int, times: int | None = None) -> When:
    """At byte ``number`` to the board, the first is 1."""
    return When(Unit.HOST_BYTE, number, times)


def instruction(number: int) -> When:
    """When the core has executed ``number`` instructions."""
    return When(Unit.INSTRUCTION, number)


def time(text: str, times: int | None = None) -> When:
    """When the board's clock reaches ``text``, such as ``250ms``."""
    return When(Unit.TIME, time_ns(text), times)


def power_on(number: int) -> When:
    """When the supply is switched on for the ``number``-th time."""
    return When(Unit.POWER_ON, number)
