"""GPIO ports P0 (32 pins) and P1 (16 pins): levels, pulls, and the sense mechanism that wakes.

Registers and bits: MDK ``nrf52840.h`` (NRF_GPIO_Type; P1 lies 0x300 above P0) and ``nrf52840_bitfields.h``
(GPIO_PIN_CNF_*). The sense mechanism: product specification, chapter GPIO, "Pin sense mechanism": a pin whose level
is the one that SENSE asks for raises its DETECT; by default (DETECTMODE 0) a port's DETECT is the OR of its pins',
with LDETECT it is the OR of LATCH, whose bits stay until written 1 and come back at once while the pin still fits.
LATCH survives a wake-up from System OFF.

A pin whose input buffer is off reads 0. Drive strengths make no difference; disconnected levels (D0.., ..D1) let go.
Unverified: that sensing needs the input buffer. What UART and SPI do to their pins is not seen on them.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from lorafab.virtual.bus import BusFault
from lorafab.virtual.nrf52.peripheral import Peripheral
from lorafab.virtual.silicon import Reset

if TYPE_CHECKING:
    from lorafab.virtual.chip import At
    from lorafab.virtual.silicon import Silicon

OUT, OUTSET, OUTCLR, IN, DIR, DIRSET, DIRCLR, LATCH, DETECTMODE, PIN_CNF = (
    0x504, 0x508, 0x50C, 0x510, 0x514, 0x518, 0x51C, 0x520, 0x524, 0x700,
)  # fmt: skip
PORT_STEP = 0x300
PINS = (32, 16)
_CNF_RESET, _CNF_KEPT = 0x2, 0x3_070F
_CNF_DIR, _CNF_INPUT_OFF = 1, 2
_PULLS = {1: False, 3: True}
_SENSE_HIGH, _SENSE_LOW = 2, 3
_NO_LOW, _NO_HIGH = (4, 5), (6, 7)  # DRIVE: D0S1, D0H1; S0D1, H0D1


def pin_name(number: int) -> str:
    """Name of pin ``number`` (0 to 31: port 0, 32 to 47: port 1), as on the schematic: ``P1.03``."""
    return f"P{number >> 5}.{number & 31:02d}"


class _Port:
    """Registers of one port."""

    def __init__(self, first: int, pins: int) -> None:
        self.first, self.pins = first, pins
        self.latch = 0
        self.clear()

    def clear(self) -> None:
        self.out = self.detect_mode = 0
        self.configurations = [_CNF_RESET] * self.pins
        self.detecting = False

    @property
    def direction(self) -> int:
        return sum((cnf & _CNF_DIR) << n for n, cnf in enumerate(self.configurations))


class Gpio(Peripheral):
    """Both ports; answers from P0's base on."""

    def __init__(self, silicon: "Silicon", at: "At") -> None:
        self.on_edge: list[Callable[[int, bool], None]] = []
        """Called with a pin's number and its new level."""
        self.on_detect: list[Callable[[], None]] = []
        """Called when a port's DETECT signal rises."""
        self._ports = tuple(_Port(32 * number, pins) for number, pins in enumerate(PINS))
        self._claims: dict[int, bool] = {}
        self._pulled: set[int] = set()
        super().__init__(silicon, at)
        for port in self._ports:
            for number in range(port.first, port.first + port.pins):
                silicon.pins.watch(pin_name(number), partial(self._changed, port, number))

    # life

    def reset(self) -> None:
        """All pins are disconnected inputs; LATCH is dealt with in :meth:`note_reset`."""
        self._claims.clear()
        for port in self._ports:
            port.clear()
            for number in range(port.first, port.first + port.pins):
                self._apply(port, number)

    def note_reset(self, cause: Reset) -> None:
        """LATCH tells what woke the chip from System OFF; other resets clear it."""
        if cause is not Reset.STANDBY:
            for port in self._ports:
                port.latch = 0

    # what other parts ask

    def detect(self) -> bool:
        """A port's DETECT signal is high."""
        return any(port.detecting for port in self._ports)

    def level(self, number: int) -> bool:
        """Level on a pin."""
        return self.silicon.pins.level(pin_name(number))

    def claim(self, number: int, level: bool | None) -> None:
        """GPIOTE drives the pin, or lets go of it (None)."""
        if level is None:
            self._claims.pop(number, None)
        else:
            self._claims[number] = level
        self._apply(self._ports[number >> 5], number)

    # pins

    def _apply(self, port: _Port, number: int) -> None:
        """Drive and pull a pin as its registers say."""
        cnf = port.configurations[number - port.first]
        level: bool | None = None
        if number in self._claims:
            level = self._claims[number]
        elif cnf & _CNF_DIR:
            level = bool(port.out >> (number - port.first) & 1)
            if cnf >> 8 & 7 in (_NO_HIGH if level else _NO_LOW):
                level = None
        name, pull = pin_name(number), _PULLS.get(cnf >> 2 & 3)
        if pull is not None or number in self._pulled:  # the board may have a pull of its own
            self.silicon.pins.pull(name, pull)
            (self._pulled.discard if pull is None else self._pulled.add)(number)
        self.silicon.pins.chip_drives(name, level)
        self._sense(port)

    def _changed(self, port: _Port, number: int, level: bool) -> None:
        self._sense(port)
        for listener in self.on_edge:
            listener(number, level)

    def _fits(self, port: _Port, number: int) -> bool:
        """The pin's own DETECT."""
        cnf = port.configurations[number - port.first]
        sense = cnf >> 16 & 3
        if sense not in (_SENSE_HIGH, _SENSE_LOW) or cnf & _CNF_INPUT_OFF:
            return False
        return self.level(number) == (sense == _SENSE_HIGH)

    def _sense(self, port: _Port) -> None:
        fitting = 0
        for n, cnf in enumerate(port.configurations):
            if cnf >> 17 and self._fits(port, port.first + n):
                fitting |= 1 << n
        port.latch |= fitting
        before, port.detecting = port.detecting, bool(port.latch if port.detect_mode else fitting)
        if port.detecting and not before:
            for listener in self.on_detect:
                listener()

    # registers

    def read_word(self, offset: int) -> int:
        """Read a register of either port."""
        port, register = self._split(offset)
        if register in (OUT, OUTSET, OUTCLR):
            return port.out
        if register == IN:
            return self._input(port)
        if register in (DIR, DIRSET, DIRCLR):
            return port.direction
        if register == LATCH:
            return port.latch
        if register == DETECTMODE:
            return port.detect_mode
        return port.configurations[self._pin(port, register, offset)]

    def write_word(self, offset: int, value: int) -> None:
        """Write a register of either port."""
        port, register = self._split(offset)
        if register == LATCH:
            port.latch &= ~value
            if port.detect_mode:
                port.detecting = False  # LDETECT goes low and, where a bit comes back, high again
            self._sense(port)
        elif register == DETECTMODE:
            port.detect_mode = value & 1
            self._sense(port)
        elif register in (OUT, OUTSET, OUTCLR):
            self._write_out(port, register, value)
        elif register in (DIR, DIRSET, DIRCLR):
            old = port.direction
            new = {DIR: value, DIRSET: old | value, DIRCLR: old & ~value}[register]
            for n in range(port.pins):
                self._configure(port, n, port.configurations[n] & ~_CNF_DIR | new >> n & 1)
        elif register != IN:
            self._configure(port, self._pin(port, register, offset), value & _CNF_KEPT)

    def peek_word(self, offset: int) -> int:
        """Lanes beside a small write; those of set and clear registers stay out of it."""
        register = self._split(offset)[1]
        return 0 if register in (OUTSET, OUTCLR, DIRSET, DIRCLR, LATCH) else self.read_word(offset)

    def _write_out(self, port: _Port, register: int, value: int) -> None:
        old = port.out
        port.out = {OUT: value, OUTSET: old | value, OUTCLR: old & ~value}[register] & (1 << port.pins) - 1
        for n in range(port.pins):
            if (old ^ port.out) >> n & 1:
                self._apply(port, port.first + n)

    def _configure(self, port: _Port, n: int, cnf: int) -> None:
        if cnf != port.configurations[n]:
            port.configurations[n] = cnf
            self._apply(port, port.first + n)

    def _input(self, port: _Port) -> int:
        value = 0
        for n, cnf in enumerate(port.configurations):
            if not cnf & _CNF_INPUT_OFF and self.level(port.first + n):
                value |= 1 << n
        return value

    def _split(self, offset: int) -> tuple[_Port, int]:
        number = int(offset >= OUT + PORT_STEP)
        return self._ports[number], offset - number * PORT_STEP

    def _pin(self, port: _Port, register: int, offset: int) -> int:
        n = (register - PIN_CNF) // 4
        if register < PIN_CNF or n >= port.pins:
            raise BusFault(self.base + offset, "the GPIO ports have no such register")
        return n
