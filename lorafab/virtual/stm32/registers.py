"""What the peripherals of the STM32 have in common: named registers, sleep, shared interrupt lines.

``Reg`` describes one register; a part lists its registers in :meth:`Registers.layout`. Everything that is not listed is
a bus fault, and a bit whose function is not modelled is kept and complained about.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lorafab.virtual.bus import BusFault
from lorafab.virtual.chip import At
from lorafab.virtual.silicon import Part, Silicon, Sleep
from lorafab.virtual.stm32.ticks import Watch

WORD = 0xFFFF_FFFF


@dataclass(frozen=True)
class Reg:
    """One 32-bit register: its offset, value after reset, bits that a write changes, and bits without a model."""

    offset: int
    reset: int = 0
    writable: int = WORD
    refused: Mapping[int, str] = field(default_factory=dict)
    """By bit mask: what a program asks for that sets one of these bits, in words."""


class Registers(Part):
    """A part made of registers. ``self.r`` holds them by name.

    Settings that every part understands: ``enable``, (offset, bit) of its clock enable bit in the RCC; ``exti``, the
    EXTI line that wakes the core from Stop for its interrupt.
    """

    def __init__(self, silicon: Silicon, at: At) -> None:
        super().__init__(silicon, at)
        self.settings: dict[str, Any] = dict(at.settings)
        self._layout = dict(self.layout())
        self._names = {reg.offset: name for name, reg in self._layout.items()}
        self.r = {name: reg.reset for name, reg in self._layout.items()}
        self.irq_level = False
        self._sharers: list[Registers] | None = None

    def layout(self) -> Mapping[str, Reg]:
        """The registers by name."""
        return {}

    # registers

    def reset(self) -> None:
        """All registers as after a system reset."""
        self.r = {name: reg.reset for name, reg in self._layout.items()}
        self.irq(False)

    def read_word(self, offset: int) -> int:
        """Read a register; raises BusFault where none is modelled."""
        name = self._names.get(offset)
        return self.read_register(self._name(offset) if name is None else name) & WORD

    def write_word(self, offset: int, value: int) -> None:
        """Write a register; raises BusFault where none is modelled."""
        name = self._name(offset)
        reg = self._layout[name]
        for mask, what in reg.refused.items():
            if value & mask & ~self.r[name]:
                self.complain(f"{what} is not modelled")
        self.write_register(name, value & WORD)

    def peek_word(self, offset: int) -> int:
        """Lanes beside a small write."""
        name = self._names.get(offset)
        return 0 if name is None else self.r[name]

    def read_register(self, name: str) -> int:
        """What a read of this register gives, with its side effects."""
        return self.r[name]

    def write_register(self, name: str, value: int) -> None:
        """What a write to this register does."""
        self.store(name, value)

    def store(self, name: str, value: int) -> None:
        """Keep the writable bits of ``value``."""
        writable = self._layout[name].writable
        self.r[name] = self.r[name] & ~writable | value & writable

    def _name(self, offset: int) -> str:
        name = self._names.get(offset)
        if name is None:
            raise BusFault(self.base + offset, f"no such register of {self.name} is modelled")
        return name

    def complain(self, what: str) -> None:
        """Note what no sound program does, or what this part cannot do; each sentence once."""
        sentence = f"{self.name}: {what}"
        if sentence not in self.silicon.bus.complaints:
            self.silicon.complain(sentence)

    # surroundings

    def peer(self, name: str) -> Any:
        """Another part of the chip, or None when this chip has none of this name."""
        return self.silicon.parts.get(name)

    @property
    def rcc(self) -> Any:
        """The clocks, which in this package are an RCC."""
        return self.silicon.clocks

    @property
    def awake(self) -> bool:
        """Its bus clock runs: not in Stop or Standby, and in Sleep only when the RCC lets it."""
        sleep = self.silicon.sleep
        if sleep is Sleep.SLEEP and "enable" in self.settings:
            return bool(self.rcc.clocked_asleep(self.settings["enable"]))
        return sleep in (Sleep.RUN, Sleep.SLEEP) or bool(self.rcc.kept_in(sleep))

    def irq(self, level: bool) -> None:
        """Drive the interrupt line, which parts with the same number share; in Stop it goes through the EXTI."""
        if level == self.irq_level:
            return
        self.irq_level = level
        if self.at.irq is None:
            return
        if self._sharers is None:
            parts = [part for part in self.silicon.parts.values() if isinstance(part, Registers)]
            self._sharers = [part for part in parts if part is not self and part.at.irq == self.at.irq]
        self.drive(self.at.irq, level or any(part.irq_level for part in self._sharers), self.settings.get("exti"))

    def drive(self, irq: int | None, level: bool, line: int | None) -> None:
        """Drive interrupt ``irq`` or the configurable EXTI ``line``; a direct line gates ``irq`` in Stop."""
        exti = self.peer("exti")
        if exti is not None and line is not None and exti.is_configurable(line):
            exti.line(line, level)
        elif exti is not None and line is not None and irq is not None:
            exti.direct(line, irq, level)
        elif irq is not None:
            self.silicon.core.nvic.set_line(irq, level)

    def look(self, watch: Watch, changes_ns: int | None) -> None:
        """A register is read that changes at ``changes_ns``: let a program that polls it get there.

        A debugger's looks pass no time.
        """
        if self.silicon.core.running:
            wait_ns = watch.look(changes_ns)
            if wait_ns is not None:
                watch.cancel()
                self.silicon.wait_until(wait_ns)

    def backup_reset(self) -> None:
        """The RCC resets the backup domain."""
