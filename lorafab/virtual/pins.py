"""Wires between pins: levels that a chip's ports and the parts around it drive and watch; and serial buses of SPI.

A pin is named as its chip names it, such as ``PA4`` or ``P0.17``. Nobody driving a pin leaves it at its pull level.
"""

from collections.abc import Callable
from typing import Protocol


class Pins:
    """The nets of one board, one per pin of the chip."""

    def __init__(self) -> None:
        self._chip: dict[str, bool] = {}
        self._board: dict[str, bool] = {}
        self._pulls: dict[str, bool] = {}
        self._watchers: dict[str, list[Callable[[bool], None]]] = {}

    def level(self, pin: str) -> bool:
        """What the pin reads; the chip's output wins over the board's, and that over a pull; else low."""
        for drives in (self._chip, self._board, self._pulls):
            if pin in drives:
                return drives[pin]
        return False

    def watch(self, pin: str, changed: Callable[[bool], None]) -> None:
        """Call ``changed(level)`` whenever the level is another."""
        self._watchers.setdefault(pin, []).append(changed)

    def chip_drives(self, pin: str, level: bool | None) -> None:
        """The chip's port drives the pin, or lets go of it (None)."""
        self._drive(self._chip, pin, level)

    def board_drives(self, pin: str, level: bool | None) -> None:
        """A part on the board drives the pin, or lets go of it (None)."""
        self._drive(self._board, pin, level)

    def pull(self, pin: str, level: bool | None) -> None:
        """The chip's own pull resistor, or one on the board."""
        self._drive(self._pulls, pin, level)

    def power_off(self) -> None:
        """Everything lets go."""
        for drives in (self._chip, self._board):
            for pin in list(drives):
                self._drive(drives, pin, None)

    def _drive(self, drives: dict[str, bool], pin: str, level: bool | None) -> None:
        before = self.level(pin)
        if level is None:
            drives.pop(pin, None)
        else:
            drives[pin] = level
        now = self.level(pin)
        if now != before:
            for changed in self._watchers.get(pin, ()):
                changed(now)


class SpiDevice(Protocol):
    """A part on an SPI bus; it watches its own chip-select pin."""

    @property
    def selected(self) -> bool:
        """Its chip-select is low and it has power."""
        ...

    def exchange(self, byte: int) -> int:
        """Clock one byte in and one out, most significant bit first."""
        ...


class SpiBus:
    """MOSI, MISO and SCK between one controller and any number of devices."""

    def __init__(self) -> None:
        self.devices: list[SpiDevice] = []

    def exchange(self, byte: int) -> int:
        """One byte both ways; nobody selected reads 0xFF (the line is pulled up), two at once read their AND."""
        answer = 0xFF
        for device in self.devices:
            if device.selected:
                answer &= device.exchange(byte)
        return answer
