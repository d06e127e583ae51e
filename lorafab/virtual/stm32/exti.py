"""EXTI: edges of pins and of other parts become interrupts, and what may wake the core from Stop.

Register offsets and bits: CMSIS headers ``stm32wle5xx.h``, ``stm32l476xx.h``, ``stm32l072xx.h`` (EXTI_TypeDef; the
bits of RTSR say which lines are configurable). Rules: EXTI chapters of RM0453, RM0351 and RM0377. Unverified: IMR
after reset, and that a direct line needs its IMR bit in Stop only, not to interrupt a running core.

Settings: ``family``, one of ``wl`` (default), ``l4``, ``l0``; ``irqs``, the configurable lines of each interrupt
number, such as ``{6: (0,), 22: (5, 6, 7, 8, 9)}``.

A configurable line is fed by a pin (an analog one is low), which SYSCFG chooses, or by a part (:meth:`Exti.line`); its
edges set PR. A direct line has no PR: its part drives the interrupt itself, and in Stop IMR decides whether it gets
through (:meth:`Exti.direct`). An edge, or a direct line that rises, also sets the core's event register where EMR lets
it: that ends WFE.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from lorafab.virtual.chip import At
from lorafab.virtual.silicon import Silicon, Sleep
from lorafab.virtual.stm32.gpio import Gpio
from lorafab.virtual.stm32.registers import WORD, Reg, Registers


@dataclass(frozen=True)
class _Family:
    offsets: Mapping[str, tuple[int, ...]]
    """By register: where the words for lines 0 to 31 and 32 to 63 are."""
    configurable: int
    """One bit a line."""
    unmasked: int
    """IMR after reset."""


_L4 = {"IMR": (0x00, 0x20), "EMR": (0x04, 0x24), "RTSR": (0x08, 0x28), "FTSR": (0x0C, 0x2C), "SWIER": (0x10, 0x30),
       "PR": (0x14, 0x34)}  # fmt: skip
_WL = {"RTSR": (0x00, 0x20), "FTSR": (0x04, 0x24), "SWIER": (0x08, 0x28), "PR": (0x0C, 0x2C), "IMR": (0x80, 0x90),
       "EMR": (0x84, 0x94)}  # fmt: skip
_FAMILIES = {
    "wl": _Family(_WL, 0x61_FFFF | (1 << 34) | (1 << 45), 0),
    "l4": _Family(_L4, 0x7D_FFFF | 0x78 << 32, 0xFF82_0000 | 0x87 << 32),
    "l0": _Family({name: offsets[:1] for name, offsets in _L4.items()}, 0x7B_FFFF, 0x3F84_0000),
}
_PIN_LINES = 16


class Exti(Registers):
    """The part named ``exti``."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        self._family = _FAMILIES[str(at.settings.get("family", "wl"))]
        super().__init__(silicon, at)
        self._irqs: Mapping[int, tuple[int, ...]] = self.settings.get("irqs", {})
        self._levels = 0  # of the lines, one bit each
        self._direct: dict[tuple[int, int], bool] = {}  # by line and interrupt: the level that its part wants
        self._ports: dict[str, Gpio] = {}

    def layout(self) -> Mapping[str, Reg]:
        """IMR1, IMR2... (one word each in L0, where they are named IMR1, too)."""
        registers = {}
        for name, offsets in self._family.offsets.items():
            for word, offset in enumerate(offsets):
                reset = self._family.unmasked >> 32 * word & WORD if name == "IMR" else 0
                writable = WORD if name in ("IMR", "EMR") else self._family.configurable >> 32 * word & WORD
                registers[f"{name}{word + 1}"] = Reg(offset, reset, writable)
        return registers

    # what others tell

    def line(self, number: int, level: bool) -> None:
        """A configurable line has this level now; the edge that is selected sets its pending bit."""
        bit = 1 << number
        if bool(self._levels & bit) == level:
            return
        self._levels ^= bit
        word, position = self._place(number)
        if self.silicon.sleep is Sleep.STANDBY:
            return
        if self.r[f"{'RTSR' if level else 'FTSR'}{word}"] >> position & 1:
            self.r[f"PR{word}"] |= 1 << position
            self._send_event(number)
            self._update()

    def direct(self, number: int, irq: int, level: bool) -> None:
        """A part drives ``irq``; while the chip is in Stop it gets through when line ``number`` is unmasked."""
        self._direct[number, irq] = level
        if level:
            self._send_event(number)
        if not level or self._clocked() or self._unmasked(number):
            self._drive(irq)

    def _clocked(self) -> bool:
        """The NVIC has a clock, so that no wake-up is needed."""
        sleep = self.silicon.sleep
        return sleep in (Sleep.RUN, Sleep.SLEEP) or bool(self.rcc.kept_in(sleep))

    def is_configurable(self, number: int) -> bool:
        """Whether the line has edges and a pending bit."""
        return bool(self._family.configurable >> number & 1)

    def pins_changed(self) -> None:
        """SYSCFG connects lines to other pins, or a port makes pins readable: a changed level is an edge."""
        for number in range(_PIN_LINES):
            self._look(number)

    # life

    def power_on(self) -> None:
        """Begin to watch the pins; the ports of the chip are known by now."""
        if not self._ports:
            for part in self.silicon.parts.values():
                if isinstance(part, Gpio):
                    self._ports[part.port] = part
                    for number in range(_PIN_LINES):
                        self.silicon.pins.watch(f"P{part.port}{number}", partial(self._pin_changed, part.port, number))

    def power_off(self) -> None:
        """All lines are low."""
        self._levels = 0
        self._direct.clear()

    def reset(self) -> None:
        """Nothing is pending; the lines keep their levels."""
        super().reset()
        self._update()

    def on_sleep(self, depth: Sleep) -> None:
        """What was held back in Stop reaches the NVIC with its clock."""
        if depth is Sleep.RUN:
            for irq in {irq for _, irq in self._direct}:
                self._drive(irq)

    # registers

    def write_register(self, name: str, value: int) -> None:
        """PR is cleared by writing ones; SWIER sets PR of unmasked lines."""
        kind, word = name[:-1], name[-1]
        value &= self._layout[name].writable
        if kind == "PR":
            self.r[name] &= ~value
            self.r[f"SWIER{word}"] &= ~value
        elif kind == "SWIER":
            self.r[f"PR{word}"] |= value & ~self.r[name] & self.r[f"IMR{word}"]
            self.r[name] |= value
        else:
            self.store(name, value)
        self._update()

    def _update(self) -> None:
        for irq in self._irqs:
            self._drive(irq)

    def _drive(self, irq: int) -> None:
        if self.silicon.sleep is Sleep.STANDBY:
            return  # the EXTI has no power; PWR and the RTC wake the chip
        level = any(wanted for (_, wired), wanted in self._direct.items() if wired == irq)
        self.silicon.core.nvic.set_line(irq, level or any(self._pends(number) for number in self._irqs.get(irq, ())))

    def _send_event(self, number: int) -> None:
        word, position = self._place(number)
        if self.r[f"EMR{word}"] >> position & 1:
            self.silicon.core.cpu.event = True

    def _pends(self, number: int) -> bool:
        word, position = self._place(number)
        return bool(self.r[f"PR{word}"] & self.r[f"IMR{word}"] & 1 << position)

    def _unmasked(self, number: int) -> bool:
        word, position = self._place(number)
        return bool(self.r[f"IMR{word}"] >> position & 1)

    @staticmethod
    def _place(number: int) -> tuple[int, int]:
        return number // 32 + 1, number % 32

    # pins

    def _pin_changed(self, port: str, number: int, _level: bool) -> None:
        syscfg = self.peer("syscfg")
        if syscfg is None or syscfg.port(number) == port:
            self._look(number)

    def _look(self, number: int) -> None:
        syscfg = self.peer("syscfg")
        port = self._ports.get("A" if syscfg is None else syscfg.port(number))
        self.line(number, port is not None and port.reads_high(number))
