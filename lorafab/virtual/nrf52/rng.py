"""RNG: a byte every now and then, and never a random one.

Registers and bits: MDK ``nrf52840.h`` (NRF_RNG_Type). **The bytes are not random**: they follow from the board's
unique id and from how many were drawn since it got its power, so that runs repeat. Keys that a virtual board makes of
them protect nothing. Unverified: 30 us a byte, 120 us with bias correction (CONFIG.DERCEN).
"""

import hashlib
from typing import TYPE_CHECKING, ClassVar

from lorafab.virtual.clock import Event
from lorafab.virtual.nrf52.peripheral import Peripheral

if TYPE_CHECKING:
    from lorafab.virtual.chip import At
    from lorafab.virtual.silicon import Silicon

VALRDY, SHORTS, CONFIG, VALUE = 0x100, 0x200, 0x504, 0x508
_VALRDY_STOP = 1
_RAW_NS, _CORRECTED_NS = 30_000, 120_000


class Rng(Peripheral):
    """The generator."""

    TASKS: ClassVar = {0x000: "_start", 0x004: "stop"}
    EVENTS: ClassVar = {VALRDY: 0}
    PLAIN: ClassVar = {SHORTS: (1, 0), CONFIG: (1, 0)}

    def __init__(self, silicon: "Silicon", at: "At") -> None:
        self._due: Event | None = None
        self._drawn = self._value = 0
        super().__init__(silicon, at)

    def power_on(self) -> None:
        """The same bytes as after every power-on."""
        self._drawn = self._value = 0

    def stop(self) -> None:
        """Task STOP, and whatever else ends it."""
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _start(self) -> None:
        if self._due is None:
            delay = _CORRECTED_NS if self.values[CONFIG] & 1 else _RAW_NS
            self._due = self.silicon.clock.at(self.silicon.clock.now_ns + delay, self._draw)

    def _draw(self) -> None:
        self._due = None
        seed = b"lorafab virtual RNG" + self.silicon.file.uid + self._drawn.to_bytes(8, "little")
        self._value = hashlib.sha256(seed).digest()[0]
        self._drawn += 1
        self.event(VALRDY)
        if not self.values[SHORTS] & _VALRDY_STOP:
            self._start()

    def read_other(self, offset: int) -> int:
        """The byte that was drawn last."""
        return self._value if offset == VALUE else super().read_other(offset)
