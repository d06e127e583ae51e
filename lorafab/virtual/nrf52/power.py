"""POWER: reset reasons, System OFF, and what is kept through it.

Registers and bits: MDK ``nrf52840.h`` (NRF_POWER_Type) and ``nrf52840_bitfields.h``. The registers lie in the block
of CLOCK, which hands their offsets over.

System OFF: everything stops; a DETECT signal of the GPIO port wakes, a pin reset, and a debugger that asks for debug
power; waking is a reset. A section of RAM is forgotten unless its RETENTION bit in RAM[n].POWER is set; GPIO levels
stay as they are until the reset. Not modelled: wake-up by LPCOMP, NFC and VBUS; emulated System OFF while a debugger
is attached (the core stops all the same); the power-fail warning; USB supply; the price of the DC/DC converter being
off; the reset that ends a lockup of the core (here it stays locked up).

RESETREAS adds up until bits are written 1 or the supply goes. GPREGRET and GPREGRET2 outlive soft resets. Unverified:
that they outlive a wake-up from System OFF, but neither a pin nor a watchdog reset.
"""

import hashlib
from typing import TYPE_CHECKING, ClassVar

from lorafab.virtual.bus import BusFault
from lorafab.virtual.nrf52.peripheral import Peripheral
from lorafab.virtual.silicon import Reset, Sleep

if TYPE_CHECKING:
    from lorafab.virtual.chip import At
    from lorafab.virtual.nrf52.gpio import Gpio
    from lorafab.virtual.silicon import Silicon

EVENTS = {0x108: 2, 0x114: 5, 0x118: 6, 0x11C: 7, 0x120: 8, 0x124: 9}
SLEEPENTER, SLEEPEXIT = 0x114, 0x118
RESETREAS, SYSTEMOFF, POFCON, GPREGRET, GPREGRET2, DCDCEN, DCDCEN0 = 0x400, 0x500, 0x510, 0x51C, 0x520, 0x578, 0x580
_READ_ZERO = {0x428, 0x438, 0x640}  # RAMSTATUS (nRF51's), USBREGSTATUS (no USB supply), MAINREGSTATUS (normal voltage)
REASON = {Reset.PIN: 1 << 0, Reset.WATCHDOG: 1 << 1, Reset.SOFTWARE: 1 << 2, Reset.STANDBY: 1 << 16}
_BY_DEBUGGER = 1 << 18  # DIF
_RAM_POWER, _RAM_BLOCKS = 0x900, 9
_RAM_ON = 0xFFFF
_SECTIONS = [(block, section, 4096) for block in range(8) for section in range(2)]  # product specification, Memory
_SECTIONS += [(8, section, 32768) for section in range(6)]


class Power(Peripheral):
    """The part named ``power``."""

    PLAIN: ClassVar = {
        POFCON: (0xF1F, 0), GPREGRET: (0xFF, 0), GPREGRET2: (0xFF, 0), DCDCEN: (1, 0), DCDCEN0: (1, 0),
    } | {_RAM_POWER + 16 * n: (0xFFFF_FFFF, _RAM_ON) for n in range(_RAM_BLOCKS)}  # fmt: skip

    def __init__(self, silicon: "Silicon", at: "At") -> None:
        self.reasons = 0
        self._off = self._by_debugger = False
        super().__init__(silicon, at)
        gpio: Gpio = silicon.parts["gpio"]  # type: ignore[assignment]  # the profile names the parts
        gpio.on_detect.append(self._detected)
        self._gpio = gpio

    # life

    def power_on(self) -> None:
        """Nothing is remembered."""
        self.reasons, self._off = 0, False
        self._clear()

    def reset(self) -> None:
        """Retained registers are kept; see :meth:`note_reset`."""

    def note_reset(self, cause: Reset) -> None:
        """Add the reason; forget the retained registers where a reset reaches them."""
        self.reasons |= _BY_DEBUGGER if self._by_debugger else REASON.get(cause, 0)
        self._off = self._by_debugger = False
        if cause in (Reset.PIN, Reset.WATCHDOG):
            self._clear()

    def depth(self) -> Sleep:
        """SLEEPDEEP makes no difference to WFI."""
        return Sleep.STANDBY if self._off else Sleep.SLEEP

    def _system_off(self) -> None:
        """The core stops at the end of the instruction and nothing but a wake-up or a reset starts it."""
        self._off = True
        self.silicon.core.when_stopped(self._fall_asleep)

    def _fall_asleep(self) -> None:
        core = self.silicon.core
        core.nvic.reset()  # a pending interrupt does not wake from System OFF
        core.sleeping = True
        self.silicon.core_sleeps(deep=True)
        if self._gpio.detect():
            self.silicon.reset(Reset.STANDBY)

    def on_sleep(self, depth: Sleep) -> None:
        """RAM that is not retained is forgotten in System OFF."""
        if depth is Sleep.STANDBY:
            self._forget_ram()

    def _detected(self) -> None:
        if self.silicon.sleep is Sleep.STANDBY:
            self.silicon.reset(Reset.STANDBY)

    def on_debug_power(self, held: bool) -> None:
        """A debugger enters debug interface mode, or leaves it."""
        if held and self.silicon.sleep is Sleep.STANDBY:
            self._by_debugger = True
            self.silicon.reset(Reset.STANDBY)

    def _forget_ram(self) -> None:
        at = self.silicon.chip.rams[0].base
        memory = self.silicon.bus.memory_at(at, 1)
        assert memory is not None
        for block, section, size in _SECTIONS:
            if not self.values[_RAM_POWER + 16 * block] >> (16 + section) & 1:
                start = at - memory.base
                memory.data[start : start + size] = hashlib.shake_128(b"lorafab virtual SRAM").digest(size)
                self.silicon.contents_changed(at, size)
            at += size

    # registers, which CLOCK's block hands over

    def read_register(self, offset: int) -> int:
        """Read a register at ``offset`` of the block."""
        if offset in self.values:
            return self.values[offset]
        if offset in _READ_ZERO or offset == SYSTEMOFF:
            return 0
        if offset == RESETREAS:
            return self.reasons
        block = self._ram_block(offset)
        return self.values[block]

    def write_register(self, offset: int, value: int) -> None:
        """Write a register at ``offset`` of the block."""
        if offset == RESETREAS:
            self.reasons &= ~value
        elif offset == SYSTEMOFF:
            if value & 1:
                self._system_off()
        elif offset == POFCON and value & 1:
            self.silicon.complain("POWER: the power-fail warning is not modelled; it will never come")
            self.values[offset] = value & self.PLAIN[offset][0]
        elif offset in self.values:
            self._keep(offset, value & self.PLAIN[offset][0])
        else:
            block = self._ram_block(offset)
            old = self.values[block]
            self._keep(block, old | value if offset - block == 4 else old & ~value)

    def _keep(self, offset: int, value: int) -> None:
        self.values[offset] = value
        if offset >= _RAM_POWER:
            sections = 0x3F if offset == _RAM_POWER + 16 * (_RAM_BLOCKS - 1) else 3
            if value & sections != sections:
                self.silicon.complain("POWER: a section of RAM is switched off; here it keeps working")

    def _ram_block(self, offset: int) -> int:
        """RAM[n].POWERSET and POWERCLR: where the block's POWER is."""
        block = offset & ~0xF
        if block in self.values and offset - block in (4, 8):
            return block
        raise BusFault(0x4000_0000 + offset, "neither CLOCK nor POWER has such a register in this model")
