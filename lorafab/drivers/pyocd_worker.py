"""Programs in the RAM of a halted chip, through pyOCD: loading, calling, checksums, and flash sessions.

The program that computes checksums and carries out flash sessions is one per microcontroller, built from
``firmware/flash-algorithms/worker``; its C source has the layout of what is exchanged with it. It stays in RAM for a
connection: between checksums, session and checksums again nothing is reset nor loaded anew.

What goes wrong leaves this module as pyOCD's own exceptions, which the programmer translates, and as NoAnswer.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from lorafab.domain.checksum import checksum
from lorafab.domain.memory_map import Span
from lorafab.domain.ram_program import RamProgram

_CHECKSUM_TIMEOUT_S = 10.0
"""A megabyte takes less than 0.1 s by the slowest way, on a core at 16 MHz."""
_ORDER_TIMEOUT_S = 10.0
"""The program itself gives up a stuck controller within 3 s (WAIT_TURNS); an order is a page at most."""
_ERASE_CHIP_TIMEOUT_S = 100.0
"""256 pages of 85 ms each on the nRF52840."""
_NOT_BEGUN = _FAULTED = 0xFFFF_FFFF
_SPANS_BYTES, _SUM_BYTES = 12, 8  # of struct spans; of a checksum and of an index of one that could not be read


class NoAnswer(Exception):
    """A program does not come back; the core was halted."""


class Kind(IntEnum):
    """What an order of a session is: enum kind in worker.c."""

    ERASE_PAGE = 1
    ERASE_CHIP = 2
    PROGRAM = 3
    END = 4


@dataclass(frozen=True)
class Order:
    """One step of a flash session; ``data``: whole words for PROGRAM, at most a page buffer of them."""

    kind: Kind
    address: int
    data: bytes = b""

    def __repr__(self) -> str:
        # The data may be a key.
        return f"Order({self.kind.name}, {self.address:#010x}, {len(self.data)} bytes)"


class Worker:
    """Takes the core of one connection over; ``program`` is what ``algorithm.load_worker`` gives for the chip."""

    def __init__(self, target: Any, program: RamProgram) -> None:
        self.target = target  # by this name pyOCD's time-outs find the session
        self._program = program
        self._resident: RamProgram | None = None
        self.has_core = False
        """Halted by a reset, and nothing has been spoilt since."""
        self.owes_reset = False
        """The firmware was stopped for good: only a reset brings it back."""
        symbols = program.symbols
        self._buffers = symbols["__page_buffer_0"], symbols["__page_buffer_1"]
        self.page_size = self._buffers[1] - self._buffers[0]
        """Most bytes of an order."""

    # -- the core

    def take_core(self) -> None:
        """Reset and halt, unless this was done: clocks, interrupts and watchdog of the firmware must not go on."""
        if self.has_core and self._is_halted():
            return
        self._reset_and_halt()
        self._resident, self.has_core = None, True
        self.owes_reset = True

    def release(self) -> None:
        """Somebody else resets the core."""
        self._spoil()
        self.owes_reset = False

    def _spoil(self) -> None:
        """The core stands anywhere, and what is in RAM is not what was put there: it must not go on from here."""
        self._resident, self.has_core = None, False

    def _reset_and_halt(self) -> None:
        self.target.reset_and_halt()
        self.target.session.context_state.current_flash_algo = None  # whatever pyOCD had in RAM
        if not self._is_halted():
            raise NoAnswer("reset")

    def _is_halted(self) -> bool:
        from pyocd.core.target import Target

        return bool(self.target.get_state() == Target.State.HALTED)

    def _load(self, program: RamProgram) -> None:
        if self._resident is not program:
            self._write(program.load_address, program.code)
            self._resident = program

    def _write(self, address: int, data: bytes) -> None:
        """Whole words."""
        self.target.write_memory_block32(address, struct.unpack(f"<{len(data) // 4}I", data))

    # -- calls

    def call(self, program: RamProgram, entry: str, arguments: Sequence[int], timeout_s: float) -> int:
        """Call a function and wait for it; what it returns in r0. Raises NoAnswer when it does not come back."""
        self._start(program, entry, arguments)
        self._await_halt(entry, timeout_s)
        return int(self.target.read_core_register_raw("r0"))

    def call_with_mailbox(
        self, program: RamProgram, entry: str, arguments: Sequence[int], mailbox: bytes, answer: int, timeout_s: float
    ) -> tuple[int, bytes]:
        """As Programmer.call; the mailbox is wiped whatever happens. Raises NoAnswer."""
        used = max(len(mailbox), answer)
        if used > program.mailbox_size:
            raise ValueError(f"{program.name} has a mailbox of {program.mailbox_size} bytes, {used} were to be used")
        self.take_core()
        self._load(program)
        try:
            self.target.write_memory_block8(program.mailbox, mailbox)
            result = self.call(program, entry, arguments, timeout_s)
            found = bytes(self.target.read_memory_block8(program.mailbox, answer)) if answer else b""
        except BaseException:
            with suppress(Exception):
                self.target.halt()
                self.target.write_memory_block8(program.mailbox, bytes(used))
            raise
        self.target.write_memory_block8(program.mailbox, bytes(used))
        return result, found

    def _start(self, program: RamProgram, entry: str, arguments: Sequence[int]) -> None:
        self.take_core()
        self._load(program)
        registers = {f"r{number}": value for number, value in enumerate(arguments)} | {
            "sp": program.stack_top,
            "lr": program.load_address | 1,
            "pc": program.symbols[entry] & ~1,
            "xpsr": 1 << 24,
        }
        self.target.write_core_registers_raw(list(registers), list(registers.values()))
        self.target.resume()

    def _await_halt(self, entry: str, timeout_s: float) -> None:
        from pyocd.core.target import Target
        from pyocd.utility.timeout import Timeout

        clock: Any = Timeout(timeout_s)
        with clock as running:
            while running.check():
                state = self.target.get_state()
                if state == Target.State.HALTED:
                    return
                if state == Target.State.LOCKUP:
                    break
        self._spoil()
        self.target.halt()
        raise NoAnswer(entry)

    # -- checksums

    def checksums(self, spans: Sequence[Span]) -> list[int | None]:
        """Checksum of each span, None where words of it cannot be read. Raises NoAnswer.

        Where the bus refuses the core, as behind read-out protection, the probe reads what can be read.
        """
        program = self._program
        own = Span(program.load_address, program.mailbox + program.mailbox_size - program.load_address)
        sums: dict[int, int | None] = {
            # What the program itself lies in it cannot sum up as it was.
            number: self._read_sum(span)
            for number, span in enumerate(spans)
            if span.overlaps(own)
        }
        asked = [number for number in range(len(spans)) if number not in sums]
        most = program.mailbox_size // (_SPANS_BYTES + _SUM_BYTES)
        for first in range(0, len(asked), most):
            batch = asked[first : first + most]
            of_batch = [spans[number] for number in batch]
            sums.update(zip(batch, self._ask(of_batch) or map(self._read_sum, of_batch), strict=True))
        return [sums[number] for number in range(len(spans))]

    def _read_sum(self, span: Span) -> int | None:
        from pyocd.core.exceptions import TransferFaultError

        try:
            return checksum(bytes(self.target.read_memory_block8(span.start, span.size)))
        except TransferFaultError:
            return None

    def _ask(self, spans: Sequence[Span]) -> list[int | None] | None:
        """By the program; None when it met a fault, or locked up because the core was inside a fault already.

        Nor is an answer believed that the program cannot give: the core has halted somewhere else.
        """
        runs = list(_runs(spans))
        self.take_core()
        self._load(self._program)
        mailbox = self._program.mailbox
        self._write(mailbox, b"".join(struct.pack("<3I", *run) for run in runs))
        try:
            lost = self.call(self._program, "Checksums", [len(runs)], _CHECKSUM_TIMEOUT_S)
        except NoAnswer:
            lost = _FAULTED
        if lost <= len(spans):
            behind = mailbox + _SPANS_BYTES * len(runs)
            words = self.target.read_memory_block32(behind, len(spans) + lost)
            unreadable = set(words[len(spans) :])
        if lost > len(spans) or len(unreadable) < lost or any(number >= len(spans) for number in unreadable):
            self._spoil()
            return None
        return [None if number in unreadable else words[number] for number in range(len(spans))]

    # -- flash sessions

    def flash(self, orders: Iterable[Order]) -> None:
        """Carry the orders out, one being sent while another is done; page buffers are wiped whatever happens.

        Raises pyOCD's FlashFailure, FlashEraseFailure and FlashProgramFailure with address and result code, without a
        result code when the time ran out.
        """
        given: list[Order] = []
        try:
            self.take_core()
            self._load(self._program)
            session = struct.pack("<10I", *[0] * 8, _NOT_BEGUN, 0)
            self._write(self._program.mailbox, session)
            self._start(self._program, "Session", [])
            for order in orders:
                self._give(order, given)
            self._give(Order(Kind.END, 0), given)
            self._await_orders(given, len(given) - 1)
            self._await_halt("Session", _ORDER_TIMEOUT_S)
            self._check_end()
        except BaseException:
            self._abandon()
            raise

    def _give(self, order: Order, given: list[Order]) -> None:
        """Wait for the buffer of the order before the last one, fill it, and hand the order over."""
        self._await_orders(given, len(given) - 1)
        given.append(order)
        number, slot = len(given), len(given) % 2
        if order.data:
            self._write(self._buffers[slot], order.data)
        entry = struct.pack("<4I", order.kind, order.address, len(order.data), number)
        self._write(self._program.mailbox + slot * len(entry), entry)

    def _await_orders(self, given: Sequence[Order], count: int) -> None:
        """Wait until so many orders have been carried out."""
        from pyocd.utility.timeout import Timeout

        if count <= 0:
            return
        slow = any(order.kind is Kind.ERASE_CHIP for order in given[-2:])
        done, clock = _NOT_BEGUN, Timeout(_ERASE_CHIP_TIMEOUT_S if slow else _ORDER_TIMEOUT_S)
        running: Any = clock
        with running:
            while running.check():
                done, failure = self.target.read_memory_block32(self._program.mailbox + 32, 2)
                if len(given) < done < _NOT_BEGUN:
                    raise NoAnswer("Session")  # not its words: something else has written there
                if failure:
                    raise _refusal(given, done, failure)
                if done != _NOT_BEGUN and done >= count:
                    return
        raise _refusal(given, done, None)

    def _check_end(self) -> None:
        from pyocd.core import exceptions

        failure: Any = exceptions.FlashFailure
        result = self.target.read_core_register_raw("r0")
        if result:
            raise failure("the session did not end", result_code=result)

    def _abandon(self) -> None:
        """After a failure stop the program and wipe its buffers where possible; the failure itself matters more."""
        self._spoil()
        with suppress(Exception):
            self.target.halt()
            self._write(self._buffers[0], bytes(2 * self.page_size))


def _runs(spans: Sequence[Span]) -> Iterator[tuple[int, int, int]]:
    """Address, size and number of spans of one size, one behind the other."""
    first = count = 0
    for number, span in enumerate(spans):
        count = number - first
        if count and (span.size != spans[first].size or span.start != spans[first].start + count * span.size):
            yield spans[first].start, spans[first].size, count
            first = number
    if spans:
        yield spans[first].start, spans[first].size, len(spans) - first


def _refusal(given: Sequence[Order], done: int, result: int | None) -> Exception:
    """pyOCD's exception for the order behind the ``done`` ones."""
    from pyocd.core import exceptions

    kinds: Any = exceptions
    kind, address = kinds.FlashFailure, None
    if done != _NOT_BEGUN:
        order = given[done]
        kind = kinds.FlashProgramFailure if order.kind is Kind.PROGRAM else kinds.FlashEraseFailure
        address = order.address
    failure: Exception = kind("refused" if result else "timed out", address=address, result_code=result)
    return failure
