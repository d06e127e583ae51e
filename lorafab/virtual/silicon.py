"""One chip put together from its profile: what its parts may ask of each other and of the board around them."""

import hashlib
import mmap
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol, cast

from lorafab.virtual.boardfile import BoardFile
from lorafab.virtual.bus import Bus, BusFault, Memory, WordRegisters
from lorafab.virtual.chip import At, Chip
from lorafab.virtual.clock import Clock
from lorafab.virtual.core import Core
from lorafab.virtual.cpu import PC
from lorafab.virtual.faults import ActiveFaults
from lorafab.virtual.pins import Pins, SpiBus
from lorafab.virtual.supply import Supply


class Reset(Enum):
    """Why the chip was reset."""

    POWER = "power"
    PIN = "pin"
    SOFTWARE = "software"
    WATCHDOG = "watchdog"
    OPTIONS = "options"
    """Option bytes were loaded; as deep as power-on for the flash controller."""
    STANDBY = "standby"


class Sleep(Enum):
    """How deep the chip sleeps."""

    RUN = "run"
    SLEEP = "sleep"
    """The core's clock stands, the peripherals run."""
    STOP = "stop"
    """All fast clocks stand; RAM and registers are kept."""
    STANDBY = "standby"
    """Only the RTC lives; waking is a reset."""


_NAP = {Sleep.RUN, Sleep.SLEEP}


class Part(WordRegisters):
    """A part of a chip, or of the board around it. This one has no registers and does nothing; see :class:`At`."""

    def __init__(self, silicon: "Silicon", at: At) -> None:
        self.silicon, self.at, self.name = silicon, at, at.name
        self.base = at.base or 0

    def power_on(self) -> None:
        """The supply comes; ``reset`` follows."""

    def power_off(self) -> None:
        """The supply goes: cancel what is due, forget what is volatile."""

    def reset(self) -> None:
        """Registers as after a system reset."""

    def wipe_backup(self) -> None:
        """Clear what outlives a reset in the backup domain."""

    def on_sleep(self, depth: Sleep) -> None:
        """The chip goes to sleep or wakes (RUN)."""

    def clock_changed(self) -> None:
        """Some clock of the chip may have another frequency now."""

    def on_halt(self, halted: bool) -> None:
        """The core enters or leaves debug state."""

    def on_debug_power(self, held: bool) -> None:
        """A debugger asks for the debug power domain, or no longer does."""

    def irq(self, level: bool) -> None:
        """Drive this part's interrupt line (``At.irq``)."""
        if self.at.irq is not None:
            self.silicon.core.nvic.set_line(self.at.irq, level)

    def read_word(self, offset: int) -> int:
        """No registers."""
        raise BusFault(self.base + offset, f"{self.name} has no such register")

    def write_word(self, offset: int, value: int) -> None:
        """No registers."""
        raise BusFault(self.base + offset, f"{self.name} has no such register")


class Clocks(Protocol):
    """The part named ``clocks``."""

    def hz(self, name: str) -> int:
        """Frequency of a clock in Hz: ``hclk`` and whatever else the family's parts ask for; 0 when it stands."""
        ...

    def clocked(self, enable: Any) -> bool:
        """Whether a part is clocked, ``enable`` being its ``settings["enable"]`` (such as register offset and bit)."""
        ...

    @property
    def changes_asleep(self) -> bool:
        """Whether the parts must be told of Sleep.SLEEP, too, because a clock beside the core's stands then."""
        ...

    def kept_in(self, depth: Sleep) -> bool:
        """Whether a debugger keeps the clocks running in a sleep of this depth."""
        ...

    def note_reset(self, cause: Reset) -> None:
        """Remember why the chip was reset, for the reset flags."""
        ...


class Console(Protocol):
    """The part named ``console``: the serial port on the board's connector."""

    @property
    def active(self) -> bool:
        """Bytes are on the line in either direction."""
        ...

    @property
    def baud(self) -> int:
        """Bits a second that its divider gives."""
        ...

    def receive(self, data: bytes) -> None:
        """Bytes that the host put on the line, back to back."""
        ...


class FlashPart(Protocol):
    """The part named ``flash``: the array that the core boots from, and its controller."""

    on_program: list[Callable[[int], None]]
    """Called before and after each cell is programmed, with its address."""

    @property
    def busy_until(self) -> int | None:
        """End of the operation in flight in simulated ns, or None."""
        ...

    def memories(self) -> list[Memory]:
        """What it shows on the bus."""
        ...

    def boot_base(self) -> int:
        """Where the vector table lies at reset."""
        ...

    def fetches(self, pc: int) -> bool:
        """Whether code at ``pc`` stands still while the controller is busy."""
        ...

    def store_from_core(self, address: int, size: int, value: int) -> bool:
        """The core stores to the array: whether it is taken."""
        ...

    def settle(self) -> None:
        """Show the array's true contents after stores of the core."""
        ...

    def ecc_error(self, address: int) -> None:
        """The core met a bad word."""
        ...

    def bad_places(self) -> set[int]:
        """Addresses (multiples of 8) of words whose reading is an error; each alias by itself."""
        ...

    def counted_polls(self) -> frozenset[int]:
        """Registers whose polling must not make time jump: programs count their looks to give up."""
        ...

    def debug_enabled(self) -> bool:
        """Whether protection leaves the debug port alive."""
        ...

    def reset_pin_enabled(self) -> bool:
        """Whether the chip has its reset pin, as configured."""
        ...

    def check_debugger(self, address: int, size: int, write: bool) -> None:
        """Raise BusFault where read-out protection keeps a debugger out; may note the intrusion."""
        ...


class Silicon:
    """The chip of one board, and what is soldered to it.

    ``send`` takes a byte that has left the console, ``power_failed`` is told when the fault plan cuts the supply.
    """

    def __init__(
        self,
        chip: Chip,
        file: BoardFile,
        clock: Clock,
        faults: ActiveFaults,
        send: Callable[[int], None],
        power_failed: Callable[[], None],
    ) -> None:
        self.chip, self.file, self.clock, self.faults = chip, file, clock, faults
        self.send, self.power_failed = send, power_failed
        self.bus, self.pins, self.supply = Bus(), Pins(), Supply(clock)
        self.spi: dict[str, SpiBus] = {}
        self.sleep = Sleep.RUN
        self.debugger_holds_power = False
        self.reset_pin = False
        self.reset_held = False
        """Something beside the pin holds the core in reset."""
        self._rams = {ram: mmap.mmap(-1, ram.size) for ram in chip.rams}
        self.core = Core(self.bus, clock, chip.core, self, (chip.rom_table, chip.rom_pid))
        self.parts: dict[str, Part] = {}
        for at in chip.parts:
            self.parts[at.name] = part = at.make(self, at)
            if at.base is not None:
                self.bus.add_device(at.base, at.size, _Gate(self, part) if "enable" in at.settings else part)
        # A FlashPart and Clocks at least; parts of one family know more of each other than these say.
        self.flash: Any = cast(Any, self.parts["flash"])
        self.clocks: Any = cast(Any, self.parts["clocks"])
        self.console = cast(Console, self.parts["console"])
        self.bus.memories = [Memory(ram.base, data) for ram, data in self._rams.items()] + self.flash.memories()
        for memory in self.bus.memories:
            self.core.cpu.map(memory.base, memory.data, writable=memory.store is None)
        self.bad_words_changed()

    # what parts ask

    def hz(self, name: str = "hclk") -> int:
        """Frequency of a clock in Hz."""
        hz: int = self.clocks.hz(name)
        return hz

    def spi_bus(self, name: str) -> SpiBus:
        """The SPI bus of this name, made when it is first asked for."""
        return self.spi.setdefault(name, SpiBus())

    def complain(self, sentence: str) -> None:
        """Note something that the board was asked and that no sound program asks."""
        self.bus.complain(sentence)

    def clocks_changed(self) -> None:
        """Some clock of the chip may have another frequency now."""
        self.core.systick.clock_changed()
        for part in self.parts.values():
            part.clock_changed()
        self.show_current()

    def wait_until(self, at_ns: int) -> None:
        """Somebody polls for something that happens at ``at_ns``: let time jump there, as far as it may."""
        self.core.poll_jump(at_ns)

    def stall(self, at_ns: int) -> None:
        """An operation of the flash until ``at_ns`` began: code that runs from flash stands still meanwhile."""
        if self.core.running and self.core.fetch_stalls():
            self.clock.advance_to(at_ns)

    def contents_changed(self, address: int, size: int) -> None:
        """Memory that the core may have translated changed."""
        self.core.cpu.forget_code(address, size)

    def bad_words_changed(self) -> None:
        """Other words are ECC-bad now."""
        self.core.cpu.watch_words(self.flash.bad_places())

    def reset(self, cause: Reset) -> None:
        """Reset the chip; from within the program it happens at the end of the instruction."""
        self.core.when_stopped(lambda: self._reset(cause))

    # life

    def power_on(self) -> None:
        """The supply comes."""
        for ram in self._rams:
            self.forget_ram(ram.name)
        for part in self.parts.values():
            part.power_on()
        self.core.power_on()
        self._reset(Reset.POWER)
        self._draw_debug()

    def power_off(self) -> None:
        """The supply goes."""
        self.core.power_off()
        for part in self.parts.values():
            part.power_off()
        self.clock.forget_events()
        self.pins.power_off()
        self.supply.off()

    def wipe_backup(self) -> None:
        """Clear the backup registers, as a regression of the read-out protection does."""
        for part in self.parts.values():
            part.wipe_backup()

    def wipe_ram(self, name: str) -> None:
        """Overwrite a RAM, as silicon does when read-out protection is given up."""
        for ram, data in self._rams.items():
            if ram.name == name:
                data[:] = bytes(ram.size)
                self.core.cpu.forget_code(ram.base, ram.size)

    def forget_ram(self, name: str) -> None:
        """A RAM had no power: it comes up with noise, the same every time, so that runs repeat."""
        for ram, data in self._rams.items():
            if ram.name == name:
                data[:] = hashlib.shake_128(b"lorafab virtual SRAM").digest(ram.size)
                self.core.cpu.forget_code(ram.base, ram.size)

    def hold_debug_power(self, held: bool) -> None:
        """The debug port's power-up request keeps the debug domain alive, which costs current."""
        if held != self.debugger_holds_power:
            self.debugger_holds_power = held
            for part in self.parts.values():
                part.on_debug_power(held)
            self._draw_debug()
            self.show_current()

    def _draw_debug(self) -> None:
        held = self.core.powered and self.debugger_holds_power
        self.supply.draw("debug", self.chip.currents.debug if held else 0)

    def drive_reset_pin(self, low: bool) -> None:
        """nRST; while it is low the core stands still and memory stays reachable."""
        self.reset_pin = low and self.flash.reset_pin_enabled()
        if self.core.powered and low == self.reset_pin:
            self._reset(Reset.PIN)

    def _reset(self, cause: Reset) -> None:
        self.sleep = Sleep.RUN
        for part in self.parts.values():
            part.reset()
        self.clocks.note_reset(cause)
        self.core.in_reset = self.reset_pin or self.reset_held
        self.core.system_reset()
        self.show_current()

    # what the core asks (Surroundings)

    def hclk_hz(self) -> int:
        """The core's clock."""
        return max(self.hz(), 1)

    def fetch_stalls_until(self) -> int | None:
        """Until when the core's next fetch waits, or None."""
        until: int | None = self.flash.busy_until
        return until if until is not None and self.flash.fetches(self.core.cpu.get(PC)) else None

    def store_from_core(self, address: int, size: int, value: int) -> bool:
        """A store of the program to memory that is not RAM."""
        taken: bool = self.flash.store_from_core(address, size, value)
        return taken

    def bad_word(self, address: int) -> None:
        """The program met an ECC-bad word."""
        self.flash.ecc_error(address)

    def settle(self) -> None:
        """A run of instructions ended."""
        self.flash.settle()

    def boot_base(self) -> int:
        """Where the vector table lies at reset."""
        base: int = self.flash.boot_base()
        return base

    def counted_polls(self) -> frozenset[int]:
        """Registers whose polling must not make time jump."""
        polls: frozenset[int] = self.flash.counted_polls()
        return polls

    def core_reset_asked(self, system: bool) -> None:
        """AIRCR: reset all of the system, or the core alone."""
        if system:
            self.reset(Reset.SOFTWARE)
        else:
            self.core.when_stopped(self.core.reset)

    def core_halted(self, halted: bool) -> None:
        """The core entered or left debug state."""
        for part in self.parts.values():
            part.on_halt(halted)

    def core_sleeps(self, deep: bool) -> None:
        """WFI or WFE with nothing pending; ``deep``: SCR.SLEEPDEEP."""
        power: Any = self.parts.get("power")
        self._sleep(power.depth() if deep and power is not None else Sleep.SLEEP)

    def core_wakes(self) -> None:
        """The core goes on after a sleep."""
        if self.sleep is Sleep.STANDBY:
            self._reset(Reset.STANDBY)
        else:
            self._sleep(Sleep.RUN)

    def _sleep(self, depth: Sleep) -> None:
        if depth is self.sleep:
            return
        nap = {depth, self.sleep} == _NAP
        self.sleep = depth
        if not nap:
            self.core.systick.hold("deep sleep", depth not in _NAP and not self.clocks.kept_in(depth))
        if not nap or self.clocks.changes_asleep:
            for part in self.parts.values():
                part.on_sleep(depth)
        self.show_current()

    # the supply

    def show_current(self) -> None:
        """Tell the ammeter what the chip draws in its present state."""
        if not self.core.powered:
            return
        spec, depth = self.chip.currents, self.sleep
        if depth not in _NAP and self.clocks.kept_in(depth):
            depth = Sleep.SLEEP
        if depth in _NAP:
            per_mhz = spec.run_per_mhz if depth is Sleep.RUN else spec.sleep_per_mhz
            nanoamps = per_mhz * self.hz() // 1_000_000
        else:
            nanoamps = spec.stop if depth is Sleep.STOP else spec.standby
        self.supply.draw("chip", nanoamps)


class _Gate(WordRegisters):
    """A part whose clock may be off: then it reads zero, ignores writes, and the board complains."""

    def __init__(self, silicon: Silicon, part: Part) -> None:
        self._silicon, self._part = silicon, part
        self._enable = part.at.settings["enable"]

    def read(self, offset: int, size: int) -> int:
        """Read, or complain."""
        return self._part.read(offset, size) if self._open(offset, "read of") else 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Write, or complain."""
        if self._open(offset, "write to"):
            self._part.write(offset, size, value)

    def _open(self, offset: int, what: str) -> bool:
        if self._silicon.clocks.clocked(self._enable):
            return True
        sentence = f"{self._part.name}: {what} {self._part.base + offset:#010x} while its clock is off does nothing"
        if sentence not in self._silicon.bus.complaints:  # a program that polls must not crowd out all others
            self._silicon.complain(sentence)
        return False
