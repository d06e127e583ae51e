"""What SPI memories have in common: instructions between two edges of chip-select, busy times, lasting registers.

An instruction is a byte, then address, dummy and data bytes, most significant bit first; reads answer from the data
bytes on, and what changes the memory is executed when chip-select rises, only at a byte boundary and only with the
number of bytes that it wants. Whatever is not executed, and every instruction that the memory ignores, is a
sentence in the board's complaints.

In the board file a memory has a store without cells: its array, then 16 bytes that stand for its non-volatile
registers::

    size + 0   u8 x3  status registers 1 to 3, those bits of them that last; unused ones 0xFF
    size + 3   12     unused, 0xFF
    size + 15  u8     0x4D once the factory's contents are in; before that the memory is filled at the next power-on

A power cut leaves what :meth:`StoreFile.resolve` makes of the operation in flight: part of the changing bits done.

On the wires: chip-select has a pull-up on the board, WP and HOLD are tied high. Currents are typical ones, by state;
between the bytes of a transfer as much flows as during them.

Not modelled: set-up and hold times, the highest clock, the time after power-on during which a memory takes nothing
(tPUW; boot code is slower), two and four data lines.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lorafab.errors import ConfigError
from lorafab.virtual.chip import At, Store
from lorafab.virtual.clock import Event
from lorafab.virtual.silicon import Part, Silicon

REGISTERS = 16
"""Bytes behind the array, for what lasts in registers."""
FLOATING = 0xFF
"""What the controller reads while a memory drives nothing: MISO is pulled up."""
STATUS_WIP, STATUS_WEL = 1, 2
NO_DATA, ANY_DATA = range(1), range(1, sys.maxsize)
_FILLED_AT, _FILLED = 15, 0x4D


@dataclass(frozen=True)
class Draws:
    """Supply current by state, in nA."""

    standby: int
    read: int
    """While chip-select is low."""
    write: int
    """During a write, program or erase cycle."""
    down: int = 0
    """Deep power-down, for memories that have it."""


@dataclass(frozen=True)
class Instruction:
    """One instruction of a memory.

    ``answer(address, n)`` gives data byte ``n`` that the memory drives; ``execute(address, data)`` happens when
    chip-select rises, after a number of data bytes that is in ``data``.
    """

    name: str
    address: int = 0
    """Address bytes."""
    dummy: int = 0
    """Bytes between address and data that nobody looks at."""
    answer: Callable[[int, int], int] | None = None
    execute: Callable[[int, bytes], None] | None = None
    data: range = NO_DATA
    writes: bool = False
    """Executed only when the write enable latch is set."""
    while_busy: bool = False
    """Also taken during a write cycle."""
    while_down: bool = False
    """Also taken in deep power-down."""


def store_of(name: str, size: int) -> Store:
    """The store that a memory of ``size`` bytes needs in the board file."""
    return Store(name, size + REGISTERS, cell=0)


class SpiMemory(Part):
    """An SPI memory on a bus of the board; a :class:`lorafab.virtual.pins.SpiDevice`.

    Settings: ``bus`` (name of the SPI bus), ``cs`` (pin of its chip-select), ``store`` (name of its store).
    Raises ConfigError when the store is not ``size + REGISTERS`` bytes.
    """

    def __init__(self, silicon: Silicon, at: At, size: int, draws: Draws) -> None:
        super().__init__(silicon, at)
        self.size, self._draws = size, draws
        self.store = silicon.file.stores[str(at.settings["store"])]
        if self.store.size != size + REGISTERS:
            raise ConfigError(
                f"store {self.store.spec.name!r} of {self.name} has {self.store.size} bytes, wanted "
                f"{size + REGISTERS}; correct the board's profile"
            )
        self._cs = str(at.settings["cs"])
        silicon.spi_bus(str(at.settings["bus"])).devices.append(self)
        silicon.pins.watch(self._cs, self._chip_select)
        self._powered = False
        self.forget()

    def forget(self) -> None:
        """Lose what does not outlive power."""
        self._wel = self.down = self._cut = False
        self._ready_ns = 0
        self._operation: Event | None = None
        self._instruction: Instruction | None = None
        self._count, self._address, self._data = 0, 0, bytearray()

    # what kinds of memory say

    @property
    def instructions(self) -> Mapping[int, Instruction]:
        """By first byte."""
        raise NotImplementedError

    def opcode(self, byte: int) -> int:
        """The instruction that a first byte means."""
        return byte

    def factory(self) -> tuple[bytes, Mapping[int, bytes]]:
        """Status registers of a new memory, and what its array holds, by offset."""
        raise NotImplementedError

    def protected(self) -> range:
        """The part of the array that the status register protects."""
        raise NotImplementedError

    def rejected(self) -> None:
        """An instruction that writes was not executed, its bytes being wrong or its place protected."""

    # life

    def power_on(self) -> None:
        """Wake with the latch reset; a new memory gets what the factory writes."""
        if self.register(_FILLED_AT) != _FILLED:
            status, contents = self.factory()
            for offset, data in contents.items():
                self.store.put(offset, data)
            self.store.put(self.size, status)
            self.store.put(self.size + _FILLED_AT, bytes([_FILLED]))  # last: a killed process fills it again
        self.forget()
        self._powered = True
        self.silicon.pins.board_drives(self._cs, True)  # the pull-up: a chip's output wins over what the board drives
        self._show()

    def power_off(self) -> None:
        """An operation in flight is torn."""
        self._powered = False
        if self._operation is not None:
            self._operation.cancel()
        self.store.resolve()
        self.forget()
        self.silicon.supply.draw(self.name, 0)

    def register(self, number: int) -> int:
        """One of the bytes behind the array."""
        return self.store.read(self.size + number, 1)[0]

    @property
    def busy(self) -> bool:
        """A write, program or erase cycle runs."""
        return self._operation is not None

    @property
    def write_enabled(self) -> bool:
        """The write enable latch is set."""
        return self._wel

    # the wires

    @property
    def selected(self) -> bool:
        """Its chip-select is low and it has power."""
        return self._powered and not self.silicon.pins.level(self._cs)

    def exchange(self, byte: int) -> int:
        """Clock one byte in and one out."""
        self._count += 1
        if self._count == 1:
            self._instruction = self.begin(byte)
            return FLOATING
        instruction = self._instruction
        if instruction is None:
            return FLOATING
        if self._count <= 1 + instruction.address:
            self._address = self._address << 8 | byte
            return FLOATING
        place = self._count - 2 - instruction.address - instruction.dummy
        if place < 0:
            return FLOATING
        if instruction.answer is not None:
            return instruction.answer(self._address, place)
        self._data.append(byte)
        return FLOATING

    def clock(self, bits: int) -> None:
        """Fewer than eight clocks, as a controller makes that is stopped in the middle of a byte."""
        self._cut = self._cut or bits % 8 != 0

    def begin(self, byte: int) -> Instruction | None:
        """The instruction that begins, or None with a complaint when the memory ignores it."""
        found = self.instructions.get(self.opcode(byte))
        what = f"instruction {byte:#04x}" if found is None else found.name
        if self.down and not (found is not None and found.while_down):
            why = "in deep power-down"
        elif self.silicon.clock.now_ns < self._ready_ns:
            why = "before it has left deep power-down or its reset"
        elif found is None:
            why = "that it does not have, or that is not modelled,"
        elif self.busy and not found.while_busy:
            why = "while it is busy"
        else:
            return found
        self.silicon.complain(f"{self.name}: {what} {why} is ignored; see its data sheet")
        return None

    def _chip_select(self, level: bool) -> None:
        if not self._powered:
            return
        if level:
            self._finish()
        self._instruction, self._cut = None, False
        self._count, self._address, self._data = 0, 0, bytearray()
        self._show()

    def _finish(self) -> None:
        """Chip-select rose: execute what was asked."""
        instruction = self._instruction
        if instruction is None or instruction.execute is None:
            return
        if self._cut or self._count < 1 + instruction.address or len(self._data) not in instruction.data:
            self.refuse(f"{instruction.name} is not executed: chip-select rose after the wrong number of bits")
        elif instruction.writes and not self._wel:
            self.refuse(f"{instruction.name} is not executed: it was not enabled by WREN")
        else:
            instruction.execute(self._address, bytes(self._data))

    # for the kinds of memory

    def refuse(self, sentence: str) -> None:
        """Complain, and do what this memory does after an instruction that it did not execute."""
        self.silicon.complain(f"{self.name}: {sentence}")
        self.rejected()

    def latch(self, value: bool) -> None:
        """Set or reset the write enable latch."""
        self._wel = value

    def status(self, lasting: int) -> int:
        """A status register with its two volatile bits."""
        return lasting & ~(STATUS_WIP | STATUS_WEL) | STATUS_WEL * self._wel | STATUS_WIP * self.busy

    def array(self, address: int, place: int) -> int:
        """Byte of the array; the address counter rolls over at its end."""
        return self.store.read((address + place) % self.size, 1)[0]

    def page(self, address: int, data: bytes, page: int) -> tuple[int, dict[int, int]]:
        """Where the page at ``address`` begins, and what ``data`` gives its bytes: it wraps in the page."""
        start = address % self.size // page * page
        return start, {(address + place) % page: byte for place, byte in enumerate(data)}

    def allowed(self, what: str, start: int, size: int) -> bool:
        """Whether no byte of the span is protected; complains otherwise."""
        guarded = self.protected()
        if max(start, guarded.start) >= min(start + size, guarded.stop):
            return True
        self.refuse(f"{what} at {start:#x} is not executed: the status register protects it")
        return False

    def operate(self, duration_ns: int) -> None:
        """The operation that the store notes as in flight takes so long."""
        self._operation = self.silicon.clock.at(self.silicon.clock.now_ns + duration_ns, self._done)
        self._show()

    def _done(self) -> None:
        self._operation = None
        self._wel = False
        self.store.finish()
        self._show()

    def abort(self, ready_after_ns: int) -> None:
        """A reset by instruction: what is in flight is torn, and for so long nothing is taken."""
        if self._operation is not None:
            self._operation.cancel()
        self.store.resolve()
        self.forget()
        self._ready_ns = self.silicon.clock.now_ns + ready_after_ns
        self._show()

    def power_down(self, down: bool, takes_ns: int) -> None:
        """Enter or leave deep power-down; until then nothing is taken."""
        self._ready_ns = self.silicon.clock.now_ns + takes_ns
        self.down = down
        self._show()

    def _show(self) -> None:
        draws = self._draws
        if self.busy:
            now = draws.write
        elif self.down:
            now = draws.down
        else:
            now = draws.read if self.selected else draws.standby
        self.silicon.supply.draw(self.name, now)
