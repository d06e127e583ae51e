"""Which faults a virtual board has: a plan in one line of text, read strictly.

Grammar: ``name=value`` items separated by ``;``. Numbers are decimal or ``0x`` hexadecimal.

===================  =================================================================================
item                 meaning
===================  =================================================================================
stuck_bit=A.B=L      bit B (0 to 7) of the flash byte at address A always reads L (0 or 1); may be repeated
unplug_after=N       the probe is gone after N transfers
uart=silent|garbage  the board's serial output is lost, or every byte is damaged
idcode=V             DBGMCU_IDCODE reads V
dpidr=V              the debug port's DPIDR reads V
flash_size=K         the flash size register reads K KiB
power_cut_at=A       the power fails while the double word at flash address A is being programmed, once
slow_erase=F         erasing takes F times as long (F from 1 to 100000)
jig=empty|open       the nest is empty, or the lid is open
===================  =================================================================================
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from lorafab.errors import ConfigError
from lorafab.virtual.profile import DPIDR, FLASH_BASE, FLASH_SIZE

_STUCK = re.compile(r"(\w+)\.([0-7])=([01])")


@dataclass(frozen=True)
class StuckBit:
    """Bit ``bit`` (0 to 7) of the flash byte at ``address`` reads ``level`` (0 or 1) whatever happens."""

    address: int
    bit: int
    level: int


@dataclass(frozen=True)
class FaultPlan:
    """The faults of one board; ``FaultPlan()`` has none."""

    stuck_bits: tuple[StuckBit, ...] = ()
    unplug_after: int | None = None
    uart: str | None = None
    idcode: int | None = None
    dpidr: int = DPIDR
    flash_size: int | None = None
    power_cut_at: int | None = None
    slow_erase: int = 1
    jig: str | None = None

    @classmethod
    def parse(cls, text: str) -> "FaultPlan":
        """Read a plan such as ``stuck_bit=0x0803E81C.3=0; uart=silent``; raises ConfigError."""
        plan, given = cls(), set[str]()
        for item in filter(None, map(str.strip, text.split(";"))):
            name, equals, value = (part.strip() for part in item.partition("="))
            if not equals or name not in _READERS:
                raise ConfigError(
                    f"fault plan: {item!r} is not name=value with a known name; "
                    f"use one of: {', '.join(sorted(_READERS))}"
                )
            if name in given and name != "stuck_bit":
                raise ConfigError(f"fault plan: {name!r} is given twice; give it once")
            given.add(name)
            plan = _READERS[name](plan, value)
        return plan


def _number(name: str, value: str, low: int, high: int) -> int:
    try:
        number = int(value, 0)
    except ValueError:
        number = -1
    if not low <= number <= high:
        raise ConfigError(f"fault plan: {name}={value!r} is not a number from {low:#x} to {high:#x}; correct the value")
    return number


def _flash_address(name: str, value: str) -> int:
    return _number(name, value, FLASH_BASE, FLASH_BASE + FLASH_SIZE - 1)


def _stuck_bit(plan: FaultPlan, value: str) -> FaultPlan:
    found = _STUCK.fullmatch(value.replace(" ", ""))
    if found is None:
        raise ConfigError(f"fault plan: stuck_bit={value!r} is not address.bit=level; write for example 0x0803E81C.3=0")
    stuck = StuckBit(_flash_address("stuck_bit", found[1]), int(found[2]), int(found[3]))
    if any((other.address, other.bit) == (stuck.address, stuck.bit) for other in plan.stuck_bits):
        raise ConfigError(f"fault plan: bit {stuck.bit} at {stuck.address:#010x} is given twice; give it once")
    return replace(plan, stuck_bits=(*plan.stuck_bits, stuck))


def _choice(name: str, value: str, *known: str) -> str:
    if value not in known:
        raise ConfigError(f"fault plan: {name}={value!r} is not known; use {' or '.join(known)}")
    return value


_WORD = 0xFFFF_FFFF
_READERS: dict[str, Callable[[FaultPlan, str], FaultPlan]] = {
    "stuck_bit": _stuck_bit,
    "uart": lambda p, v: replace(p, uart=_choice("uart", v, "silent", "garbage")),
    "jig": lambda p, v: replace(p, jig=_choice("jig", v, "empty", "open")),
    "unplug_after": lambda p, v: replace(p, unplug_after=_number("unplug_after", v, 0, _WORD)),
    "idcode": lambda p, v: replace(p, idcode=_number("idcode", v, 0, _WORD)),
    "dpidr": lambda p, v: replace(p, dpidr=_number("dpidr", v, 0, _WORD)),
    "flash_size": lambda p, v: replace(p, flash_size=_number("flash_size", v, 0, 0xFFFF)),
    "power_cut_at": lambda p, v: replace(p, power_cut_at=_flash_address("power_cut_at", v)),
    "slow_erase": lambda p, v: replace(p, slow_erase=_number("slow_erase", v, 1, 100_000)),
}
