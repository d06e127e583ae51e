"""One virtual board: silicon, its non-volatile state in a file, its power, its wires.

Everything that the outside does to the board goes through :class:`Board`, under its lock: a debug port reads and
writes memory and says how long the wire took; a jig switches power and reset; a serial program opens the pty. When
nobody paces the board over the debug port, a thread (``freerun``) lets it live.
"""

import atexit
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from lorafab.errors import JigError
from lorafab.virtual import chips, cost
from lorafab.virtual.access_ports import AccessPort
from lorafab.virtual.boardfile import BoardFile, read_chip_name, unusable
from lorafab.virtual.bus import BusFault, Memory
from lorafab.virtual.chip import Chip
from lorafab.virtual.clock import Clock
from lorafab.virtual.core import Core
from lorafab.virtual.dap import SwDp
from lorafab.virtual.faults import Action, ActiveFaults, FaultPlan, Swap
from lorafab.virtual.freerun import FreeRun
from lorafab.virtual.packets import Counters
from lorafab.virtual.serial_line import SerialLine
from lorafab.virtual.silicon import Console, Silicon, Sleep
from lorafab.virtual.supply import Supply
from lorafab.virtual.wire import SerialWire

_LOOKS = 2  # the same words so many times again are a poll


class Board:
    """One virtual board; make it with :meth:`open`. Attributes are read under ``lock`` when a thread may run it."""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        chip: Chip | str | None = None,
        uart_link: Path | None = None,
        faults: FaultPlan | None = None,
    ) -> "Board":
        """Open the board in file ``path``, blank with a new chip id if missing; it has no power yet.

        ``chip``: profile or short name for a new board (None: the STM32WLE5JC), and what an existing one must have.
        ``uart_link`` becomes a symbolic link to the board's serial port. Raises StationBusy when another process
        holds the file, JigError when it is not a board file or cannot be opened, PortError when the link cannot be
        made, ConfigError for an unknown chip or faults that this chip cannot have.
        """
        plan = faults or FaultPlan()
        try:
            chip = _chip_of(path, chip)
            plan.check(chip)
            if plan.of(Swap):
                _chip_of(_other(path), chip)
            file = BoardFile(path, chip)
        except OSError as error:
            raise unusable(path, error) from None
        try:
            wire = SerialWire(uart_link)
        except BaseException:
            file.close()
            raise
        return cls(file, wire, plan)

    def __init__(self, file: BoardFile, wire: SerialWire, plan: FaultPlan) -> None:
        self.path, self.lock, self.clock = file.path, threading.RLock(), Clock()
        self.faults = ActiveFaults(plan, self.clock, self._fault_happens, file.chip.stores[0].cell)
        self.powered = False
        self.power_cycles = 0  # how often the supply was switched on; what lives without power has forgotten since
        self.debugger_attached = False
        self.last_debug_access = time.monotonic()
        self.counters = Counters()  # of the probe that was opened last
        self.debugged_from_ns = self.debugged_to_ns = 0  # of the last debugger, whatever the board lives through after
        self._looks, self._seen = 0, (0, list[int]())  # of a debugger at RAM
        self.wire = wire
        self.line = SerialLine(wire, self.faults, self.clock)
        self._closed = False
        self._put_in(file)
        self.swd = SwDp(self)
        self._thread = FreeRun(self)
        atexit.register(self.close)  # after the emulator was made: exit handlers run in reverse order

    def _put_in(self, file: BoardFile) -> None:
        self._file = file
        self.silicon = Silicon(file.chip, file, self.clock, self.faults, self._send, self.power_failed)
        self.silicon.core.on_debugger_poll = self._debugger_polls

    # identity

    @property
    def chip(self) -> Chip:
        """The profile that this board was made from."""
        return self._file.chip

    @property
    def core(self) -> Core:
        """The processor."""
        return self.silicon.core

    @property
    def supply(self) -> Supply:
        """Who draws how much; what an ammeter in the supply shows."""
        return self.silicon.supply

    @property
    def chip_id(self) -> str:
        """The chip's unique id as upper-case hexadecimal digits in memory order."""
        return self._file.uid.hex().upper()

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
        return self.silicon.bus.complaints

    # power and reset

    def power(self, on: bool) -> None:
        """Switch the supply; off loses everything volatile, and an operation of the flash in flight is torn."""
        with self.lock:
            if on == self.powered or self._closed:
                return
            self.powered = on
            if on:
                self.power_cycles += 1
                if self.faults.power_on():
                    self._swap()
                self.silicon.power_on()
                self._await_instruction()
            else:
                self.silicon.power_off()
                self.wire.flush()
                self.line.power_off()
        self._thread.wake()

    def power_failed(self) -> None:
        """The supply breaks down."""
        self.power(False)

    def _swap(self) -> None:
        """The fault plan puts another board into the nest: one of the same kind, with the same sticker."""
        sticker, chip = self._file.sticker, self._file.chip
        self._file.close()
        self._put_in(BoardFile(_other(self.path), chip))
        if sticker is not None:
            self._file.stick(sticker)

    def _await_instruction(self) -> None:
        """Tell the fault plan when the program has come so far that something happens."""
        planned = self.faults.instruction
        if planned is not None:
            self.core.await_instruction(planned[0], self.faults.executed)

    def _fault_happens(self, action: Action) -> None:
        self._await_instruction()
        if action is Action.LOCKUP:
            self.core.lock_up()
        elif action is Action.HANG:
            self.core.hang()
        else:
            self.power(False)
            if action is Action.SWAP:
                self._swap()
                self.power(True)

    def set_reset_pin(self, asserted: bool) -> None:
        """Drive nRST; while it is asserted the core stands still and memory stays reachable."""
        with self.lock:
            if asserted != self.silicon.reset_pin:
                self.silicon.drive_reset_pin(asserted)
        self._thread.wake()

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

    @property
    def dpidr(self) -> int:
        """Identity of the debug port."""
        return self.chip.dpidr if self.faults.dpidr is None else self.faults.dpidr

    def ap_part(self, name: str) -> AccessPort:
        """The part of the chip that answers as an access port."""
        part: AccessPort = self.silicon.parts[name]  # type: ignore[assignment]  # the profile says that it is one
        return part

    def debug_enabled(self, ap_number: int) -> bool:
        """Whether protection leaves this MEM-AP its way to memory."""
        enabled: bool = self.silicon.flash.debug_enabled()
        return enabled

    def hold_debug_power(self, held: bool) -> None:
        """The debug port asks for the debug power domain, or no longer does."""
        self.silicon.hold_debug_power(held)

    def mem_read(self, address: int, size: int) -> int:
        """Read 1, 2 or 4 bytes (little-endian value); raises BusFault, or BusStall when the bus makes one wait."""
        with self.lock:
            try:
                self._enter(address, size, write=False)
                return self.silicon.bus.read(address, size)
            except BusFault as fault:
                self.silicon.complain(f"debugger: read of {fault.address:#010x}: {fault.why}")
                raise

    def mem_write(self, address: int, size: int, value: int) -> None:
        """Write 1, 2 or 4 bytes; raises BusFault, or BusStall when the bus makes one wait."""
        with self.lock:
            try:
                self._enter(address, size, write=True)
                self.silicon.bus.write(address, size, value)
            except BusFault as fault:
                self.silicon.complain(f"debugger: write to {fault.address:#010x}: {fault.why}")
                raise
            self.silicon.contents_changed(address, size)

    def mem_read_words(self, address: int, count: int) -> list[int]:
        """Read ``count`` words from an aligned address; raises BusFault with the first address that fails, BusStall."""
        with self.lock:
            memory = self._block(address, count)
            if memory is None:
                return [self.mem_read(address + 4 * i, 4) for i in range(count)]
            self._enter(address, 4 * count, write=False)
            if memory.before_read is not None:
                memory.before_read(address, 4 * count)
            words = list(struct.unpack_from(f"<{count}I", memory.data, address - memory.base))
            if memory.store is None:
                self._debugger_looks((address, words))
            return words

    def mem_write_words(self, address: int, words: Sequence[int]) -> None:
        """Write words from an aligned address on; raises BusFault, BusStall."""
        with self.lock:
            memory = self._block(address, len(words))
            if memory is None or memory.store is not None:
                for i, word in enumerate(words):
                    self.mem_write(address + 4 * i, 4, word)
            else:
                self._enter(address, 4 * len(words), write=True)
                struct.pack_into(f"<{len(words)}I", memory.data, address - memory.base, *words)
                self.silicon.contents_changed(address, 4 * len(words))

    def _block(self, address: int, count: int) -> Memory | None:
        """The memory that a block transfer may take at once, or None when it goes word by word."""
        try:
            return None if address % 4 else self.silicon.bus.memory_at(address, 4 * count)
        except BusFault:
            return None

    def _enter(self, address: int, size: int, write: bool) -> None:
        """Note that a debugger is there; keep it out where power, sleep or protection do."""
        self.last_debug_access = time.monotonic()
        if not self.powered:
            raise BusFault(address, "the board has no power")
        if self.silicon.sleep in (Sleep.STOP, Sleep.STANDBY) and not self.silicon.clocks.kept_in(self.silicon.sleep):
            raise BusFault(address, "the chip is in a stop mode without debug clocks")
        self.silicon.flash.check_debugger(address, size, write)

    def advance(self, ns: int) -> None:
        """The wire took ``ns`` of simulated time; the board lives through it. A stalled bus makes it longer."""
        with self.lock:
            self.last_debug_access = time.monotonic()
            self.core.run_until(self.clock.now_ns + ns)
            self.debugged_to_ns = self.clock.now_ns
            self.wire.flush()

    def attach_debugger(self, on: bool) -> None:
        """While a debugger is attached its traffic paces the board's time (see ``freerun`` for the exceptions)."""
        with self.lock:
            if on and not self.debugger_attached:
                # Whatever the thread has done of it by now: the board has come to rest before the first transfer.
                self.core.run_until(self.clock.now_ns + cost.SETTLE_NS, only_while_busy=True)
                self.debugged_from_ns = self.clock.now_ns
            self.debugger_attached = on
            self.last_debug_access = time.monotonic()
        self._thread.wake()

    def _debugger_polls(self) -> None:
        """A debugger waits for the core to halt: while the flash is at work let it happen, instead of 150 looks."""
        if self.silicon.flash.busy_until is not None:
            self.core.run_until(self.clock.now_ns + cost.POLL_SKIP_NS, only_while_running=True)

    def _debugger_looks(self, at: tuple[int, list[int]]) -> None:
        """A debugger reads RAM: when it sees the same again and again it polls a program that waits for its flash."""
        self._looks = self._looks + 1 if at == self._seen else 0
        self._seen = at
        until = self.silicon.flash.busy_until
        if self._looks >= _LOOKS and until is not None:
            skip = min(until, self.clock.now_ns + cost.POLL_SKIP_NS)
            self.core.run_until(skip, only_while_running=True)

    # the console

    @property
    def console(self) -> Console:
        """The serial port on the connector."""
        return self.silicon.console

    def _send(self, byte: int) -> None:
        self.line.send(byte, self.console.baud)


def _other(path: Path) -> Path:
    """The file of the board that a swap puts in."""
    return path.with_name(path.name + ".swapped")


def _chip_of(path: Path, wanted: Chip | str | None) -> Chip:
    chip = chips.named(wanted) if isinstance(wanted, str) else wanted
    if not path.exists():
        return chip or chips.named(chips.DEFAULT)
    name = read_chip_name(path)
    if chip is None:
        return chips.named(name)
    if chip.name != name:
        raise JigError(f"the board in {path} is made as {name}, wanted {chip.name}; name another file, or that board")
    return chip
