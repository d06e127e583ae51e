"""One virtual board: silicon, its non-volatile state in a file, its power, its serial wires.

Everything that the outside does to the board goes through :class:`Board`, under its lock: a debug port reads and
writes memory and says how long the wire took; a jig switches power and reset; a serial program opens the pty. When
nobody paces the board over the debug port, a thread (``freerun``) lets it live.
"""

import atexit
import hashlib
import mmap
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from lorafab.virtual import profile
from lorafab.virtual.boardfile import BoardFile
from lorafab.virtual.bus import Bus, BusFault, Memory
from lorafab.virtual.clock import NS_PER_S, Clock
from lorafab.virtual.core import Core
from lorafab.virtual.debugunit import DebugUnit
from lorafab.virtual.faults import FaultPlan
from lorafab.virtual.flash import Flash
from lorafab.virtual.freerun import FreeRun
from lorafab.virtual.scs import SCS_BASE, SystemControl
from lorafab.virtual.system import RESET_BY_PIN, RESET_BY_POWER, RESET_BY_SOFTWARE, DebugMcu, Gpio, Rcc, power_control
from lorafab.virtual.uart import Usart
from lorafab.virtual.wire import SerialWire

_SETTLE_NS = 20_000_000
_POLL_SKIP_NS = 50_000_000  # a debugger that waits for a flash algorithm sees at most so much time pass per look


class Board:
    """One virtual board; make it with :meth:`open`. Attributes are read under ``lock`` when a thread may run it."""

    @classmethod
    def open(cls, path: Path, *, uart_link: Path | None = None, faults: FaultPlan | None = None) -> "Board":
        """Open the board in file ``path``, blank with a new chip id if missing; it has no power yet.

        ``uart_link`` becomes a symbolic link to the board's serial port. Raises StationBusy when another process
        holds the file, JigError when it is not a board file, PortError when the link cannot be made.
        """
        file = BoardFile(path)
        try:
            wire = SerialWire(uart_link)
        except BaseException:
            file.close()
            raise
        return cls(file, wire, faults or FaultPlan())

    def __init__(self, file: BoardFile, wire: SerialWire, faults: FaultPlan) -> None:
        self.path, self.faults = file.path, faults
        self.lock = threading.RLock()
        self.clock = Clock()
        self.powered = False
        self.power_cycles = 0  # how often the supply was switched on; what lives without power has forgotten since
        self.debugger_attached = False
        self.last_debug_access = time.monotonic()
        self.bus = Bus()
        self.wire = wire
        self._file = file
        self._sram = mmap.mmap(-1, profile.SRAM_SIZE)
        self._reset_pin = False
        self._closed = False
        self._build()
        self._thread = FreeRun(self)
        atexit.register(self.close)  # after the emulator was made: exit handlers run in reverse order

    def _build(self) -> None:
        """Put the chip together."""
        self.core = Core(self.bus, self.clock, lambda: self.rcc.hclk_hz, self._store_from_core)
        self.rcc = Rcc(self._hclk_changed)
        self.flash = Flash(self._file, _system_memory(self._file.uid96, self.faults), self.clock, self.faults, self)
        self.core.flash_busy_until = lambda: self.flash.busy_until
        self.core.on_bad_word = self.flash.ecc_error
        self.core.settle_flash = self.flash.settle
        self.core.boot_base = lambda: profile.SYSTEM_BASE if self.flash.empty else profile.BOOT_ALIAS
        self.uart = Usart(
            self.clock,
            lambda: self.rcc.hclk_hz,
            self.wire.send,
            lambda level: self.core.nvic.set_line(profile.USART1_IRQ, level),
            self.faults.uart,
        )
        self._plain = [power_control(), *map(Gpio, profile.GPIO_BASES.values())]
        self._debug_mcu = DebugMcu(self.faults.idcode)
        self._debug = DebugUnit(self.core, self._debugger_polls)
        self._scs = SystemControl(self.core, self._debug, self._software_reset)
        for base, device in (
            (profile.RCC_BASE, self.rcc),
            (profile.FLASH_REG_BASE, self.flash),
            (profile.USART1_BASE, self.uart),
            (profile.DBGMCU_BASE, self._debug_mcu),
            *((block.base, block) for block in self._plain),
        ):
            self.bus.add_device(base, 0x400, device)
        self.bus.add_device(SCS_BASE, 0x1000, self._scs)
        self._debug.attach(self.bus, lambda: self.clock.now_ns * self.rcc.hclk_hz // NS_PER_S)
        flash, store, ready = self.flash, self.flash.store, self.flash.before_read
        self.bus.memories = [
            Memory(profile.SRAM_BASE, self._sram),
            Memory(profile.FLASH_BASE, flash.array, store, ready),
            Memory(profile.SYSTEM_BASE, flash.system, store, ready),
            Memory(profile.BOOT_ALIAS, flash.array, store, ready),
        ]
        for memory in self.bus.memories:
            self.core.cpu.map(memory.base, memory.data, writable=memory.store is None)
        self.bad_words_changed()

    # identity

    @property
    def chip_id(self) -> str:
        """UID96 as 24 upper-case hexadecimal digits in memory order."""
        return self._file.uid96.hex().upper()

    @property
    def dpidr(self) -> int:
        """Identity of the debug port."""
        return self.faults.dpidr

    @property
    def sticker(self) -> str | None:
        """The label text glued on this board, or None."""
        return self._file.sticker

    def stick(self, text: str) -> None:
        """Glue a label text on the board, durably; raises JigError when it is longer than a sticker."""
        with self.lock:
            self._file.stick(text)

    @property
    def complaints(self) -> list[str]:
        """What the board was asked and cannot do, one sentence each, in order."""
        return self.bus.complaints

    # power and reset

    def power(self, on: bool) -> None:
        """Switch the supply; off loses everything volatile, and an operation of the flash in flight is torn."""
        with self.lock:
            if on == self.powered or self._closed:
                return
            self.powered = on
            if on:
                self._power_on()
            else:
                self._power_off()
        self._thread.wake()

    def _power_on(self) -> None:
        self.power_cycles += 1
        # SRAM comes up with noise; the same noise every time, so that runs repeat.
        self._sram[:] = hashlib.shake_128(b"lorafab virtual SRAM").digest(profile.SRAM_SIZE)
        self.core.cpu.forget_code(profile.SRAM_BASE, profile.SRAM_SIZE)
        self.flash.power_on()
        self._debug.power_on()
        self._debug_mcu.reset()
        self.core.powered = True
        self._reset(RESET_BY_POWER)

    def _power_off(self) -> None:
        self.core.powered = False
        if self.core.running:
            self.core.cpu.stop_now()
        self.flash.tear()
        self.clock.forget_events()
        self.uart.power_off()

    def set_reset_pin(self, asserted: bool) -> None:
        """Drive nRST; while it is asserted the core stands still and memory stays reachable."""
        with self.lock:
            if asserted == self._reset_pin:
                return
            self._reset_pin = asserted
            if self.powered:
                self._reset(RESET_BY_PIN)
        self._thread.wake()

    def _reset(self, flag: int) -> None:
        for part in (self.flash, self.rcc, self.uart, self._scs):
            part.reset()
        for block in self._plain:
            block.reset()
        self.rcc.note_reset(flag)
        self.core.in_reset = self._reset_pin
        if self.flash.empty:
            self.bus.complain("core: FLASH_ACR.EMPTY is set, so the boot loader starts, which this board does not have")
        self.core.reset()

    def _software_reset(self, system: bool) -> None:
        """AIRCR, from the program or a debugger: all of the system, or the core alone."""
        if system:
            self.core.when_stopped(lambda: self._reset(RESET_BY_SOFTWARE))
        else:
            self.core.when_stopped(self.core.reset)

    def close(self) -> None:
        """Power off, stop the thread, hang up, release the file; harmless when repeated."""
        with self.lock:
            if self._closed:
                return
            self.power(False)
            self._closed = True
        self._thread.stop()
        with self.lock:
            self.wire.close()
            self._file.close()
        atexit.unregister(self.close)

    # the debug port's view

    def mem_read(self, address: int, size: int) -> int:
        """Read 1, 2 or 4 bytes (little-endian value); raises BusFault."""
        with self.lock:
            self._accessed(address)
            try:
                return self.bus.read(address, size)
            except BusFault as fault:
                self.bus.complain(f"debugger: read of {fault.address:#010x}: {fault.why}")
                raise

    def mem_write(self, address: int, size: int, value: int) -> None:
        """Write 1, 2 or 4 bytes; raises BusFault."""
        with self.lock:
            self._accessed(address)
            try:
                self.bus.write(address, size, value)
            except BusFault as fault:
                self.bus.complain(f"debugger: write to {fault.address:#010x}: {fault.why}")
                raise
            self._written(address, size)

    def mem_read_words(self, address: int, count: int) -> list[int]:
        """Read ``count`` words from an aligned address; raises BusFault with the first address that fails."""
        with self.lock:
            memory = self.bus.memory_at(address, 4 * count)
            if memory is None or address % 4:
                return [self.mem_read(address + 4 * i, 4) for i in range(count)]
            self._accessed(address)
            if memory.before_read is not None:
                memory.before_read(address, 4 * count)
            return list(struct.unpack_from(f"<{count}I", memory.data, address - memory.base))

    def mem_write_words(self, address: int, words: Sequence[int]) -> None:
        """Write words from an aligned address on; raises BusFault."""
        with self.lock:
            memory = self.bus.memory_at(address, 4 * len(words))
            if memory is None or memory.store is not None or address % 4:
                for i, word in enumerate(words):
                    self.mem_write(address + 4 * i, 4, word)
            else:
                self._accessed(address)
                struct.pack_into(f"<{len(words)}I", memory.data, address - memory.base, *words)
                self._written(address, 4 * len(words))

    def _accessed(self, address: int) -> None:
        """Note that a debugger is there; a board without power answers nothing."""
        self.last_debug_access = time.monotonic()
        if not self.powered:
            raise BusFault(address, "the board has no power")

    def _written(self, address: int, size: int) -> None:
        if profile.SRAM_BASE <= address < profile.SRAM_BASE + profile.SRAM_SIZE:
            self.core.cpu.forget_code(address, size)

    def advance(self, ns: int) -> None:
        """The wire took ``ns`` of simulated time; the board lives through it. A stalled bus makes it longer."""
        with self.lock:
            self.last_debug_access = time.monotonic()
            self.core.run_until(self.clock.now_ns + ns)

    def attach_debugger(self, on: bool) -> None:
        """While a debugger is attached its traffic paces the board's time (see ``freerun`` for the exceptions)."""
        with self.lock:
            if on and not self.debugger_attached:
                # Whatever the thread has done of it by now: the board has come to rest before the first transfer.
                self.core.run_until(self.clock.now_ns + _SETTLE_NS, only_while_busy=True)
            self.debugger_attached = on
            self.last_debug_access = time.monotonic()
        self._thread.wake()

    def _debugger_polls(self) -> None:
        """A debugger waits for the core to halt: while the flash is at work let it happen, instead of 150 looks."""
        if self.flash.busy_until is not None:
            self.core.run_until(self.clock.now_ns + _POLL_SKIP_NS, only_while_running=True)

    # what the parts tell each other

    def wait_until(self, at_ns: int) -> None:
        """Somebody polls a busy flag until ``at_ns``."""
        self.core.poll_jump(at_ns)

    def stall(self, at_ns: int) -> None:
        """A flash operation until ``at_ns`` began: code that runs from flash stands still meanwhile."""
        if self.core.running and self.core.fetches_from_flash():
            self.clock.advance_to(at_ns)

    def flash_irq(self, level: bool) -> None:
        """Interrupt wire of the flash controller."""
        self.core.nvic.set_line(profile.FLASH_IRQ, level)

    def contents_changed(self, address: int, size: int) -> None:
        """The flash array changed."""
        for base in (address, address - profile.FLASH_BASE + profile.BOOT_ALIAS):
            if base >= 0:
                self.core.cpu.forget_code(base, size)

    def bad_words_changed(self) -> None:
        """Other double words are ECC-bad now."""
        places = {profile.FLASH_BASE + i * 8 for i in self.flash.bad_words if i < profile.DOUBLE_WORDS}
        places |= {place - profile.FLASH_BASE for place in places}
        places |= {
            profile.OTP_BASE + (i - profile.DOUBLE_WORDS) * 8 for i in self.flash.bad_words if i >= profile.DOUBLE_WORDS
        }
        self.core.cpu.watch_words(places)

    def power_failed(self) -> None:
        """The fault plan cuts the supply."""
        self.power(False)

    def _store_from_core(self, address: int, size: int, value: int) -> bool:
        return self.flash.store_from_core(address, size, value)

    def _hclk_changed(self) -> None:
        self.core.systick.clock_changed()


def _system_memory(uid96: bytes, faults: FaultPlan) -> bytes:
    """System memory as read: boot loader (not part of this model: 0xFF), identity, option bytes (0xFF)."""
    image = bytearray(b"\xff" * profile.SYSTEM_SIZE)
    size_kib = profile.FLASH_SIZE // 1024 if faults.flash_size is None else faults.flash_size
    # UID64: unique number, then device id 0x15 and the company id 0080E1 (as parts show it; number from the UID96)
    uid64 = uid96[8:12] + struct.pack("<I", 0x0080_E115)
    for address, data in (
        (profile.UID64_ADDRESS, uid64),
        (profile.UID96_ADDRESS, uid96),
        (profile.FLASH_SIZE_ADDRESS, struct.pack("<H", size_kib)),
    ):
        offset = address - profile.SYSTEM_BASE
        image[offset : offset + len(data)] = data
    return bytes(image)
