"""GPIOTE: eight channels that turn edges into events or tasks into levels, and the PORT event.

Registers and bits: MDK ``nrf52840.h`` (NRF_GPIOTE_Type) and ``nrf52840_bitfields.h`` (GPIOTE_CONFIG_*). PORT happens
when a port's DETECT signal rises. Events wake the core; without PPI, tasks are started by software only.
"""

from typing import TYPE_CHECKING, ClassVar

from lorafab.virtual.nrf52.gpio import PINS, Gpio
from lorafab.virtual.nrf52.peripheral import Peripheral

if TYPE_CHECKING:
    from lorafab.virtual.chip import At
    from lorafab.virtual.silicon import Silicon

CHANNELS = 8
TASKS_OUT, TASKS_SET, TASKS_CLR, EVENTS_IN, EVENTS_PORT, CONFIG = 0x000, 0x030, 0x060, 0x100, 0x17C, 0x510
_EVENT, _TASK = 1, 3
_RISING, _FALLING, _BOTH = 1, 2, 3


class Gpiote(Peripheral):
    """One block; the part ``gpio`` must come before it in the profile."""

    EVENTS: ClassVar = {EVENTS_IN + 4 * n: n for n in range(CHANNELS)} | {EVENTS_PORT: 31}
    PLAIN: ClassVar = {CONFIG + 4 * n: (0x13_3F03, 0) for n in range(CHANNELS)}

    def __init__(self, silicon: "Silicon", at: "At") -> None:
        super().__init__(silicon, at)
        self._gpio: Gpio = silicon.parts["gpio"]  # type: ignore[assignment]  # the profile names the parts
        self._gpio.on_edge.append(self._edge)
        self._gpio.on_detect.append(lambda: self.event(EVENTS_PORT))
        self._levels: dict[int, bool] = {}  # by channel in task mode
        self._pins: dict[int, int] = {}  # by channel in task mode: the pin that it has taken

    def reset(self) -> None:
        """No channel is used."""
        super().reset()
        self._levels.clear()
        self._pins.clear()

    def written(self, offset: int) -> None:
        """A channel is configured."""
        channel = (offset - CONFIG) // 4
        if not 0 <= channel < CHANNELS:
            return
        mode, pin, _ = self._channel(channel)
        old = self._pins.get(channel)
        if old is not None and (mode != _TASK or pin != old):
            del self._pins[channel]
            self._gpio.claim(old, None)
        if mode == _TASK and pin != old and pin & 31 < PINS[pin >> 5]:
            self._pins[channel] = pin
            self._drive(channel, bool(self.values[offset] >> 20 & 1))  # OUTINIT

    def _channel(self, channel: int) -> tuple[int, int, int]:
        """Mode, pin and polarity."""
        value = self.values[CONFIG + 4 * channel]
        return value & 3, value >> 8 & 0x3F, value >> 16 & 3

    def _edge(self, number: int, level: bool) -> None:
        for channel in range(CHANNELS):
            mode, pin, polarity = self._channel(channel)
            if mode == _EVENT and pin == number and polarity in (_BOTH, _RISING if level else _FALLING):
                self.event(EVENTS_IN + 4 * channel)

    def _drive(self, channel: int, level: bool) -> None:
        self._levels[channel] = level
        self._gpio.claim(self._pins[channel], level)

    # tasks

    def write_other(self, offset: int, value: int) -> None:
        """TASKS_OUT, TASKS_SET and TASKS_CLR of the channels."""
        for first in (TASKS_OUT, TASKS_SET, TASKS_CLR):
            channel = (offset - first) // 4
            if 0 <= channel < CHANNELS:
                if value & 1 and channel in self._pins:
                    self._drive(channel, self._after(first, channel))
                return
        super().write_other(offset, value)

    def read_other(self, offset: int) -> int:
        """Tasks read 0."""
        if any(first <= offset < first + 4 * CHANNELS for first in (TASKS_OUT, TASKS_SET, TASKS_CLR)):
            return 0
        return super().read_other(offset)

    def _after(self, first: int, channel: int) -> bool:
        """Level of the pin after a task."""
        old, polarity = self._levels[channel], self._channel(channel)[2]
        if first == TASKS_OUT:
            return {_RISING: True, _FALLING: False, _BOTH: not old}.get(polarity, old)
        return first == TASKS_SET
