"""GPIO port: sixteen pins as inputs, outputs, alternate functions or analog, with pull resistors.

Register offsets and bits: CMSIS headers ``stm32wle5xx.h``, ``stm32l476xx.h``, ``stm32l072xx.h`` (GPIO_TypeDef). Rules:
GPIO chapters of RM0453, RM0351 and RM0377: an analog pin reads 0 and has no pull, BSRR sets where it sets and resets
one bit, LCKR locks a pin's configuration until reset.

Settings: ``port``, its letter; ``pins``, mask of those that exist (default all); ``debug``, which pins are the debug
port's after reset: ``jtag`` (default: PA13, PA14, PA15, PB3, PB4) or ``swd`` (PA13, PA14; L0); ``switches``, whether
there is ASCR, which is only kept (L476).

A pin in alternate mode is left alone here; its peripheral asks :meth:`Gpio.alternate` whether it reaches the pin.
"""

from collections.abc import Mapping

from lorafab.virtual.chip import At
from lorafab.virtual.silicon import Silicon, Sleep
from lorafab.virtual.stm32.registers import WORD, Reg, Registers

INPUT, OUTPUT, ALTERNATE, ANALOG = range(4)
_UP, _DOWN = 1, 2
# Pins that belong to the debug port after reset, and their pulls: GPIO chapters of RM0351 and RM0377.
_DEBUG = {
    ("A", "jtag"): {13: _UP, 14: _DOWN, 15: _UP}, ("B", "jtag"): {3: 0, 4: _UP}, ("A", "swd"): {13: _UP, 14: _DOWN},
}  # fmt: skip
_LOCK = 1 << 16
_CONFIGURATION = ("MODER", "OTYPER", "OSPEEDR", "PUPDR", "AFRL", "AFRH")  # what LCKR locks


class Gpio(Registers):
    """One port; drives and pulls ``silicon.pins`` under names such as ``PA4``."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        super().__init__(silicon, at)
        self.port: str = self.settings["port"]
        self._pulled: set[str] = set()
        self._lock_step = 0

    def layout(self) -> Mapping[str, Reg]:
        """GPIO_TypeDef; pins that do not exist have no bits."""
        exist = int(self.settings.get("pins", 0xFFFF))
        debug = _DEBUG.get((self.settings["port"], self.settings.get("debug", "jtag")), {})
        analog = sum((ALTERNATE if n in debug else ANALOG) << 2 * n for n in range(16) if exist >> n & 1)
        pairs = sum(3 << 2 * n for n in range(16) if exist >> n & 1)
        return {
            "MODER": Reg(0x00, analog, pairs),
            "OTYPER": Reg(0x04, 0, exist),
            "OSPEEDR": Reg(0x08, sum(3 << 2 * n for n in debug if n == 13), pairs),
            "PUPDR": Reg(0x0C, sum(pull << 2 * n for n, pull in debug.items()), pairs),
            "IDR": Reg(0x10, 0, 0),
            "ODR": Reg(0x14, 0, exist),
            "BSRR": Reg(0x18, 0, 0),
            "LCKR": Reg(0x1C, 0, _LOCK | exist),
            "AFRL": Reg(0x20),
            "AFRH": Reg(0x24),
            "BRR": Reg(0x28, 0, 0),
            **({"ASCR": Reg(0x2C, 0, exist)} if self.settings.get("switches") else {}),
        }

    def mode(self, pin: int) -> int:
        """INPUT, OUTPUT, ALTERNATE or ANALOG of pin 0 to 15."""
        return self.r["MODER"] >> 2 * pin & 3

    def reads_high(self, pin: int) -> bool:
        """Pin 0 to 15 is high and not analog."""
        return self.mode(pin) != ANALOG and self.silicon.pins.level(f"P{self.port}{pin}")

    def alternate(self, pin: int) -> int | None:
        """Number of the alternate function that pin 0 to 15 is given to, or None."""
        if self.mode(pin) != ALTERNATE:
            return None
        return self.r["AFRL" if pin < 8 else "AFRH"] >> 4 * (pin % 8) & 0xF

    def reset(self) -> None:
        """The pins are let go of, but for the debug port's."""
        super().reset()
        self._lock_step = 0
        self._drive()

    def power_off(self) -> None:
        """No pull is left."""
        for pin in self._pulled:
            self.silicon.pins.pull(pin, None)
        self._pulled.clear()

    def on_sleep(self, depth: Sleep) -> None:
        """In Standby the port has no power; it is reset on the way out."""
        if depth is Sleep.STANDBY:
            for pin in range(16):
                self.silicon.pins.chip_drives(f"P{self.port}{pin}", None)
            self.power_off()

    def read_register(self, name: str) -> int:
        """IDR shows the levels of pins that are not analog."""
        if name == "IDR":
            return sum(1 << n for n in range(16) if self.reads_high(n))
        return self.r[name]

    def write_register(self, name: str, value: int) -> None:
        """BSRR and BRR act on ODR; a locked pin keeps its configuration."""
        if name == "LCKR":
            self._write_lock(value)
            return
        if name == "BSRR":
            name, value = "ODR", self.r["ODR"] & ~(value >> 16) | value & 0xFFFF
        elif name == "BRR":
            name, value = "ODR", self.r["ODR"] & ~value
        elif name in _CONFIGURATION and self.r["LCKR"] & _LOCK:
            fixed = self._locked_bits(name)
            value = value & ~fixed | self.r[name] & fixed
        before = self.r[name]
        self.store(name, value)
        changed = before ^ self.r[name]
        if name in ("OTYPER", "ODR"):
            self._drive(changed)
        elif name in ("MODER", "PUPDR"):
            self._drive(sum(1 << n for n in range(16) if changed >> 2 * n & 3))
            exti = self.peer("exti")
            if exti is not None:
                exti.pins_changed()

    def _write_lock(self, value: int) -> None:
        """LCKK 1, 0, 1 with the same pins (GPIO chapter); the read that follows only confirms."""
        if self.r["LCKR"] & _LOCK:
            return
        pins, key = value & 0xFFFF, bool(value & _LOCK)
        wanted = (True, False, True)[self._lock_step]
        if key == wanted and (self._lock_step == 0 or pins == self.r["LCKR"]):
            self._lock_step += 1
        else:
            self._lock_step = 1 if key else 0
        self.store("LCKR", pins)
        if self._lock_step == 3:
            self._lock_step = 0
            self.r["LCKR"] |= _LOCK

    def _locked_bits(self, name: str) -> int:
        pins = [n for n in range(16) if self.r["LCKR"] >> n & 1]
        if name == "OTYPER":
            return sum(1 << n for n in pins)
        if name in ("AFRL", "AFRH"):
            return sum(0xF << 4 * (n % 8) for n in pins if (n < 8) == (name == "AFRL"))
        return sum(3 << 2 * n for n in pins) & WORD

    def _drive(self, which: int = 0xFFFF) -> None:
        pins = self.silicon.pins
        for n in [n for n in range(16) if which >> n & 1]:
            name, mode = f"P{self.port}{n}", self.mode(n)
            high = bool(self.r["ODR"] >> n & 1)
            open_drain = bool(self.r["OTYPER"] >> n & 1)
            drives = high if mode == OUTPUT and not (open_drain and high) else None
            pull = 0 if mode == ANALOG else self.r["PUPDR"] >> 2 * n & 3
            if pull in (_UP, _DOWN):
                self._pulled.add(name)
                pins.pull(name, pull == _UP)
            elif name in self._pulled:
                self._pulled.discard(name)
                pins.pull(name, None)
            pins.chip_drives(name, drives)


def reaches(silicon: Silicon, pins: Mapping[str, int]) -> bool:
    """Whether one of these pins, such as ``{"PB6": 7}``, is given to its alternate function of this number."""
    ports = {part.port: part for part in silicon.parts.values() if isinstance(part, Gpio)}
    return any(ports[pin[1]].alternate(int(pin[2:])) == number for pin, number in pins.items() if pin[1] in ports)
