"""The kinds of faults: for each its name, what it takes, when it may happen, and an example in the plan's grammar."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from lorafab.errors import ConfigError
from lorafab.virtual.faults.when import FOREVER, Unit, When, whole

_WORD = 0xFFFF_FFFF
_STUCK = re.compile(r"([0-9A-Za-z]+)\.([0-7])=([01])")
EVENTS: Final = frozenset(Unit)
"""An action may happen at any of them."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. ``at`` None: from the beginning, always."""

    kind: ClassVar[str]
    example: ClassVar[str]
    units: ClassVar[frozenset[Unit]] = frozenset()
    """Triggers that this kind takes."""
    needs_trigger: ClassVar[bool] = False
    once: ClassVar[bool] = False
    """With a trigger it happens once unless ``times`` says otherwise; other kinds stay."""
    repeatable: ClassVar[bool] = True
    """``times`` may be given."""
    many: ClassVar[bool] = False
    """May be given more than once in a plan, with different values or triggers."""

    at: When | None = field(default=None, kw_only=True)
    place: str = field(default="fault plan", kw_only=True, compare=False, repr=False)
    """Where it was written down, for refusals: file, line and column, or these words."""

    def __post_init__(self) -> None:
        at = self.at
        if at is None:
            if self.needs_trigger:
                raise ConfigError(f"fault plan: {self.kind} needs a trigger; write for example {self.example}")
        elif at.unit not in self.units:
            known = ", ".join(one.value for one in Unit if one in self.units)
            wanted = f"use one of: {known}" if known else "it is there from the beginning, leave the trigger out"
            raise ConfigError(f"fault plan: {self.kind} cannot happen at a {at.unit.value}; {wanted}")
        elif at.times is not None and not self.repeatable:
            raise ConfigError(f"fault plan: {self.kind} happens once; leave out how often")

    @property
    def times(self) -> int:
        """How often it happens from its trigger on."""
        if self.at is not None and self.at.times is not None:
            return self.at.times
        return 1 if self.once and self.at is not None else FOREVER

    @property
    def value(self) -> str:
        """What stands behind ``=``; empty for kinds that take nothing."""
        return ""

    @classmethod
    def read(cls, value: str, at: When | None) -> "Fault":
        """Make one from the words of a plan; raises ConfigError."""
        if value:
            raise ConfigError(f"fault plan: {cls.kind} takes no value; write for example {cls.example}")
        return cls(at=at)

    def __str__(self) -> str:
        return self.kind + (f"={self.value}" if self.value else "") + (f"@{self.at}" if self.at else "")


# the connection to the probe


@dataclass(frozen=True)
class Unplug(Fault):
    """The probe is gone."""

    kind, example = "unplug", "unplug@transfer:1500"
    units, repeatable = EVENTS, False


@dataclass(frozen=True)
class Answer(Fault):
    """A transfer that does not end as it should; each try of the probe counts."""

    units, once, many = frozenset({Unit.TRANSFER, Unit.TIME}), True, True


@dataclass(frozen=True)
class Wait(Answer):
    """The debug port answers WAIT. A probe tries 151 times before it gives up."""

    kind, example = "wait", "wait@transfer:200*200"


@dataclass(frozen=True)
class NoAck(Answer):
    """Nobody drives the wire when the answer is due."""

    kind, example = "no_ack", "no_ack@transfer:200"


@dataclass(frozen=True)
class Parity(Answer):
    """The parity bit of the data does not fit."""

    kind, example = "parity", "parity@transfer:200"


# numbers that read wrong


@dataclass(frozen=True)
class Number(Fault):
    """A kind with one number."""

    low: ClassVar[int] = 0
    high: ClassVar[int] = _WORD

    number: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low <= self.number <= self.high:
            raise self._no_number(str(self.number))

    @property
    def value(self) -> str:
        """Decimal, or hexadecimal for identities."""
        return f"{self.number:#x}" if self.high == _WORD else str(self.number)

    @classmethod
    def read(cls, value: str, at: When | None) -> Fault:
        """Read a decimal or ``0x`` hexadecimal number."""
        number = whole(value)
        if number is None:
            raise cls._no_number(value)
        return cls(number, at=at)

    @classmethod
    def _no_number(cls, value: str) -> ConfigError:
        high = f"{cls.high:#x}" if cls.high == _WORD else str(cls.high)
        return ConfigError(
            f"fault plan: {cls.kind}={value!r} is not a number from {cls.low} to {high}; correct the value"
        )


@dataclass(frozen=True)
class Dpidr(Number):
    """The debug port's DPIDR reads this."""

    kind, example = "dpidr", "dpidr=0x0BC11477"


@dataclass(frozen=True)
class Idcode(Number):
    """The chip's device id register (DBGMCU_IDCODE, FICR.INFO.PART) reads this."""

    kind, example = "idcode", "idcode=0x10016415"


@dataclass(frozen=True)
class FlashSize(Number):
    """The flash size register reads so many KiB."""

    kind, example = "flash_size", "flash_size=128"
    high = 0xFFFF


# memory


@dataclass(frozen=True)
class StuckBit(Fault):
    """Bit ``bit`` (0 to 7) of the flash byte at ``address`` reads ``level`` (0 or 1) whatever happens."""

    kind, example = "stuck_bit", "stuck_bit=0x08000003.5=0"
    many = True

    address: int
    bit: int
    level: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.address <= _WORD and 0 <= self.bit <= 7 and 0 <= self.level <= 1):
            raise self._malformed(self.value)

    @property
    def value(self) -> str:
        """``address.bit=level``."""
        return f"{self.address:#010x}.{self.bit}={self.level}"

    @classmethod
    def read(cls, value: str, at: When | None) -> Fault:
        """Read ``address.bit=level``."""
        found = _STUCK.fullmatch(value.replace(" ", ""))
        address = whole(found[1]) if found else None
        if found is None or address is None:
            raise cls._malformed(value)
        return cls(address, int(found[2]), int(found[3]), at=at)

    @classmethod
    def _malformed(cls, value: str) -> ConfigError:
        return ConfigError(
            f"fault plan: stuck_bit={value!r} is not address.bit=level; write for example 0x0803E81C.3=0"
        )


@dataclass(frozen=True)
class SlowErase(Number):
    """Erasing takes so many times as long."""

    kind, example = "slow_erase", "slow_erase=1000"
    low, high = 1, 100_000


@dataclass(frozen=True)
class WriteProtect(Fault):
    """Pages ``first`` to ``last`` of the flash, numbered as the chip's write protection does, refuse every change."""

    kind, example = "wrp", "wrp=5-6"
    many = True

    first: int
    last: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.first <= self.last <= 9999:
            raise self._malformed(self.value)

    @property
    def value(self) -> str:
        """``first-last``, or the only one."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    @classmethod
    def read(cls, value: str, at: When | None) -> Fault:
        """Read ``first-last`` or a single number."""
        low, dash, high = value.replace(" ", "").partition("-")
        first, last = whole(low), whole(high if dash else low)
        if first is None or last is None:
            raise cls._malformed(value)
        return cls(first, last, at=at)

    @classmethod
    def _malformed(cls, value: str) -> ConfigError:
        return ConfigError(f"fault plan: wrp={value!r} is not a page or first-last; write for example wrp=5-6")


@dataclass(frozen=True)
class ReadProtect(Number):
    """The chip comes up with this level of read-out protection; on an nRF52, 1 is APPROTECT."""

    kind, example = "rdp", "rdp=1"
    high = 2


@dataclass(frozen=True)
class KeyLock(Fault):
    """The flash controller refuses its unlock keys."""

    kind, example = "key_lock", "key_lock"


# supply, core, nest


@dataclass(frozen=True)
class Happening(Fault):
    """Something that happens to the board at one moment."""

    units, needs_trigger, repeatable = EVENTS, True, False


@dataclass(frozen=True)
class PowerCut(Happening):
    """The supply fails; at a word or an address in the middle of programming it, which tears it."""

    kind, example = "power_cut", "power_cut@word:37"


@dataclass(frozen=True)
class Lockup(Happening):
    """The core locks up, as after a fault inside its fault handler."""

    kind, example = "lockup", "lockup@byte:1"


@dataclass(frozen=True)
class Hang(Happening):
    """The firmware goes on in an endless loop."""

    kind, example = "hang", "hang@byte:40"


@dataclass(frozen=True)
class Swap(Happening):
    """Somebody exchanges the board for another one (``<file>.swapped``)."""

    kind, example = "swap", "swap@power_on:1"


@dataclass(frozen=True)
class Choice(Fault):
    """A kind that takes one of a few words."""

    words: ClassVar[tuple[str, ...]]

    word: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.word not in self.words:
            known = f"{', '.join(self.words[:-1])} or {self.words[-1]}"
            raise ConfigError(f"fault plan: {self.kind}={self.word!r} is not known; use {known}")

    @property
    def value(self) -> str:
        """The word."""
        return self.word

    @classmethod
    def read(cls, value: str, at: When | None) -> Fault:
        """Take the word as it is."""
        return cls(value, at=at)


@dataclass(frozen=True)
class JigFault(Choice):
    """The nest is empty, or the lid is open."""

    kind, example = "jig", "jig=open"
    words = ("empty", "open")


# the serial line


@dataclass(frozen=True)
class Uart(Choice):
    """The serial line loses or damages bytes: ``silent`` all, ``drop`` one, ``garbage`` and ``noisy`` damage.

    At ``host_byte`` it is the wire to the board. Otherwise it is the wire from the board, and ``noisy`` without a
    trigger or by time is on both.
    """

    kind, example = "uart", "uart=silent"
    words = ("silent", "drop", "garbage", "noisy")
    units, many = frozenset({Unit.BYTE, Unit.HOST_BYTE, Unit.TIME}), True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.word == "drop" and self.at is None:
            raise ConfigError("fault plan: uart=drop needs a trigger; write for example uart=drop@byte:12")

    @property
    def times(self) -> int:
        """A dropped byte is one, the others stay."""
        if self.word == "drop" and self.at is not None and self.at.times is None:
            return 1
        return super().times


@dataclass(frozen=True)
class Baud(Number):
    """The board's oscillator is wrong, so that its real baud rate is this, whatever the firmware sets."""

    kind, example = "baud", "baud=9600"
    low, high = 50, 4_000_000


KINDS: Final[dict[str, type[Fault]]] = {
    one.kind: one
    for one in (
        Unplug, Wait, NoAck, Parity, Dpidr, Idcode, FlashSize, StuckBit, SlowErase, WriteProtect, ReadProtect, KeyLock,
        PowerCut, Lockup, Hang, Swap, JigFault, Uart, Baud,
    )
}  # fmt: skip
"""By name."""


def _after(number: str) -> Fault:
    done = whole(number)
    if done is None:
        raise ConfigError(f"fault plan: unplug_after={number!r} is not a number; write for example unplug_after=1500")
    return Unplug(at=When(Unit.TRANSFER, done + 1))


SHORT: Final[dict[str, Callable[[str], Fault]]] = {
    "unplug_after": _after,
    "power_cut_at": lambda place: PowerCut(at=When.read("address", place)),
}
"""Other spellings: ``unplug_after=N`` is ``unplug@transfer:N+1``, ``power_cut_at=A`` is ``power_cut@address:A``."""
