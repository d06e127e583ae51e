"""The faults of one board as a value, and what its parts ask of it."""

from dataclasses import dataclass
from typing import TypeVar

from lorafab.errors import ConfigError
from lorafab.virtual.chip import Chip
from lorafab.virtual.faults.kinds import (
    Baud,
    Dpidr,
    Fault,
    FlashSize,
    Idcode,
    JigFault,
    KeyLock,
    Number,
    ReadProtect,
    SlowErase,
    StuckBit,
    WriteProtect,
)
from lorafab.virtual.faults.when import MAX_SEED, Unit

F = TypeVar("F", bound=Fault)


class Standing:
    """What is wrong from the beginning and stays so."""

    faults: tuple[Fault, ...]

    def of(self, kind: type[F]) -> tuple[F, ...]:
        """All faults of this kind, in the plan's order."""
        return tuple(one for one in self.faults if isinstance(one, kind))

    @property
    def dpidr(self) -> int | None:
        """What DPIDR reads; None: the chip's own."""
        return self._number(Dpidr)

    @property
    def idcode(self) -> int | None:
        """What the device id register reads; None: the chip's own."""
        return self._number(Idcode)

    @property
    def flash_size(self) -> int | None:
        """What the flash size register reads, in KiB; None: the chip's own."""
        return self._number(FlashSize)

    @property
    def stuck_bits(self) -> tuple[StuckBit, ...]:
        """Bits of the flash that never change."""
        return self.of(StuckBit)

    @property
    def slow_erase(self) -> int:
        """How many times as long an erase takes."""
        return self._number(SlowErase) or 1

    @property
    def protect_pages(self) -> tuple[int, ...]:
        """Pages that refuse every change, ascending."""
        return tuple(sorted({page for one in self.of(WriteProtect) for page in range(one.first, one.last + 1)}))

    @property
    def rdp(self) -> int | None:
        """Level of read-out protection that a power-on finds; None: what the option bytes say."""
        return self._number(ReadProtect)

    @property
    def key_lock(self) -> bool:
        """The flash controller refuses its keys."""
        return bool(self.of(KeyLock))

    @property
    def baud(self) -> int | None:
        """The board's real baud rate, whatever it sets; None: what it sets."""
        return self._number(Baud)

    @property
    def jig(self) -> str | None:
        """``empty``, ``open``, or None."""
        found = self.of(JigFault)
        return found[0].word if found else None

    def _number(self, kind: type[Number]) -> int | None:
        found = self.of(kind)
        return found[0].number if found else None


@dataclass(frozen=True)
class FaultPlan(Standing):
    """The faults of one board; ``FaultPlan()`` has none. ``seed`` (0 to 65535) makes other noise of the same kind.

    Raises ConfigError when a fault is given twice.
    """

    faults: tuple[Fault, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MAX_SEED:
            raise ConfigError(f"fault plan: seed={self.seed} is not a number from 0 to {MAX_SEED}; correct the value")
        seen = set[object]()
        for one in self.faults:
            key = _key(one)
            if key in seen:
                raise ConfigError(f"{one.place}: {_shown(one)} is given twice; give it once")
            seen.add(key)

    @classmethod
    def parse(cls, text: str) -> "FaultPlan":
        """Read a plan such as ``stuck_bit=0x0803E81C.3=0; uart=silent``, or ``@file.yaml``; raises ConfigError."""
        from lorafab.virtual.faults import text as grammar

        text = text.strip()
        faults, seed = grammar.read_file(text[1:]) if text.startswith("@") else grammar.read(text)
        return cls(faults, seed)

    def __str__(self) -> str:
        return "; ".join([*map(str, self.faults), *([f"seed={self.seed}"] if self.seed else [])])

    def check(self, chip: Chip) -> None:
        """Raise ConfigError for what this chip does not have: an address that it programs, a page, a kind it ``lacks``.

        ``lacks`` is a set of kinds, and an attribute of the class of the chip's flash part; without it: none.
        """
        flash = next(at for at in chip.parts if at.name == "flash")
        lacks: frozenset[str] = getattr(flash.make, "lacks", frozenset())
        # A data EEPROM in the core's address space is the flash part's, too.
        bases = {chip.stores[0].name: chip.flash_base, "eeprom": flash.settings.get("eeprom")}
        places = [
            range(base, base + store.size) for store in chip.stores if isinstance(base := bases.get(store.name), int)
        ]
        for one in self.faults:
            if one.kind in lacks:
                raise ConfigError(
                    f"{one.place}: an {chip.title} has nothing that {one.kind} could concern; leave it out"
                )
            levels: tuple[int, ...] = getattr(flash.make, "rdp_levels", (0, 1, 2))
            if isinstance(one, ReadProtect) and one.number not in levels:
                raise ConfigError(
                    f"{one.place}: an {chip.title} has no level {one.number} of read-out protection, wanted "
                    f"{' or '.join(map(str, levels))}; correct the number"
                )
            pages = chip.flash_size // (chip.wrp_unit or chip.flash_times.page)
            if isinstance(one, WriteProtect) and one.last >= pages:
                raise ConfigError(
                    f"{one.place}: {one} names a page that an {chip.title} does not have, wanted 0 to {pages - 1}; "
                    "correct the number"
                )
            place = one.address if isinstance(one, StuckBit) else None
            if one.at is not None and one.at.unit is Unit.ADDRESS:
                place = one.at.number
            if place is not None and not any(place in span for span in places):
                known = " or ".join(f"{span.start:#x} to {span.stop - 1:#x}" for span in places)
                raise ConfigError(
                    f"{one.place}: {one} concerns an address that an {chip.title} does not program, wanted {known}; "
                    "correct the address"
                )


def _key(one: Fault) -> object:
    """Two faults with the same key contradict each other."""
    if isinstance(one, StuckBit):
        return one.kind, one.address, one.bit
    trigger = None if one.at is None else (one.at.unit, one.at.number if one.many else 0)
    return one.kind, one.value if isinstance(one, WriteProtect) else "", trigger


def _shown(one: Fault) -> str:
    return f"bit {one.bit} at {one.address:#010x}" if isinstance(one, StuckBit) else repr(one.kind)
