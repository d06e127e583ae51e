"""The probe's own end: transfers gathered into CMSIS-DAP packets, sent over USB, clocked out on SWD.

This is what makes simulated time right: every packet costs a USB round trip and every transfer its SWD clocks, and
the board lives through exactly that time, a packet at a time. It also makes errors arrive as they do in life, with the
packet that carried them and not with the call that asked for them. ``cost`` has the constants and their sources.

Sources: what a packet holds and when it is sent: pyOCD, dap_access_cmsis_dap.py, _Command. What the probe's firmware
does with it: DAPLink, DAP.c, DAP_SWD_Transfer and DAP_SWD_TransferBlock.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from lorafab.virtual import cost
from lorafab.virtual.clock import NS_PER_S, Clock
from lorafab.virtual.dap import RDBUFF, Ack, SwDp
from lorafab.virtual.faults import LinkFault

_CLOCKS = {
    Ack.OK: cost.OK_CLOCKS,
    Ack.PARITY: cost.OK_CLOCKS,
    Ack.WAIT: cost.REFUSED_CLOCKS,
    Ack.FAULT: cost.REFUSED_CLOCKS,
    Ack.NONE: cost.SILENT_CLOCKS,
}
_NEVER = 1 << 62  # a transfer that nobody will make


class LinkFaults(Protocol):
    """What goes wrong on the wires."""

    def link(self, transfer: int, now_ns: int) -> LinkFault | None:
        """What becomes of transfer number ``transfer`` (the first is 1); asked once for each try."""
        ...

    def next_link_transfer(self, after: int) -> int | None:
        """The first transfer after ``after`` at which a fault may be due."""
        ...

    @property
    def link_by_time(self) -> bool:
        """A fault waits for its time: each transfer must ask."""
        ...


class ProbedBoard(Protocol):
    """A board as the probe meets it."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Held for one packet at a time."""
        ...

    @property
    def clock(self) -> Clock:
        """Simulated time."""
        ...

    @property
    def faults(self) -> LinkFaults:
        """What is planned to go wrong."""
        ...

    @property
    def swd(self) -> SwDp:
        """The board's debug port, whoever probes it."""
        ...

    def advance(self, ns: int) -> None:
        """Let the board live for ``ns`` simulated nanoseconds."""
        ...


class TransferFailedError(Exception):
    """A transfer was not answered with OK."""

    def __init__(self, ack: Ack) -> None:
        super().__init__(f"SWD answered {ack.name}")
        self.ack = ack


class UnpluggedError(Exception):
    """The probe is no longer there."""


@dataclass
class Counters:
    """What a probe has done since it was opened."""

    transfers: int = 0
    """Tries on SWD, those that had to be repeated included."""
    packets: int = 0
    waits: int = 0
    faults: int = 0
    """Transfers answered with FAULT."""
    errors: int = 0
    """Transfers without an answer, or with damaged data."""
    clocks: int = 0
    """Of SWD."""
    usb_ns: int = 0
    """Simulated time spent on round trips."""


class Reply:
    """The values of one read request, which may arrive later and with several packets."""

    __slots__ = ("_count", "_dap", "error", "values")

    def __init__(self, dap: "CmsisDap", count: int) -> None:
        self._dap, self._count = dap, count
        self.values: list[int] = []
        self.error: Exception | None = None

    def result(self) -> list[int]:
        """Send what is waiting, if need be. Raises TransferFailedError or UnpluggedError."""
        if self.error is None and len(self.values) < self._count:
            self._dap.flush()
        if self.error is not None:
            raise self.error
        return self.values


class _Request:
    """Accesses of one register; ``reply`` None: writes of ``words``."""

    __slots__ = ("access_port", "address", "count", "reply", "words")

    def __init__(self, access_port: bool, address: int, count: int, words: Sequence[int], reply: Reply | None) -> None:
        self.access_port, self.address, self.count, self.words, self.reply = access_port, address, count, words, reply


class _Packet:
    """One DAP_TransferBlock while all requests are alike, one DAP_Transfer as soon as they are not."""

    __slots__ = ("_alike", "_kind", "_reads", "_writes", "requests")

    def __init__(self) -> None:
        self.requests: list[_Request] = []
        self._kind: tuple[bool, int, bool] | None = None
        self._alike = True
        self._reads = self._writes = 0

    def room(self, kind: tuple[bool, int, bool]) -> int:
        """How many transfers of this kind (access port, address, reading) still fit."""
        block = self._alike and self._kind in (None, kind)
        fits = self._free(block, kind[2])
        return fits if block else max(0, min(fits, cost.MAX_TRANSFERS - self._reads - self._writes))

    def add(self, request: _Request, kind: tuple[bool, int, bool]) -> None:
        """Take a request that fits."""
        self.requests.append(request)
        self._alike = self._alike and self._kind in (None, kind)
        self._kind = kind
        if kind[2]:
            self._reads += request.count
        else:
            self._writes += request.count

    @property
    def roomy(self) -> bool:
        """One transfer more, of whatever kind, fits for certain and does not make it full: the common case."""
        return self._reads < 100 and self._reads + 5 * self._writes < 400

    @property
    def full(self) -> bool:
        """There is no room for a read, or none for a write; then pyOCD sends it at once."""
        return self._free(self._alike, True) <= 0 or self._free(self._alike, False) <= 0

    def _free(self, block: bool, reading: bool) -> int:
        size, reads, writes = cost.PACKET_BYTES, self._reads, self._writes
        if block:
            taken = cost.BLOCK_ANSWER_BYTES + 4 * reads if reading else cost.BLOCK_REQUEST_BYTES + 4 * writes
            return (size - taken) // 4
        sent = size - cost.TRANSFER_HEADER_BYTES - reads - 5 * writes
        received = size - cost.TRANSFER_HEADER_BYTES - 4 * reads
        return min(sent, received // 4) if reading else sent // 5


class CmsisDap:
    """A CMSIS-DAP probe on a board's debug port."""

    def __init__(self, board: ProbedBoard) -> None:
        self._board, self._dp = board, board.swd
        self._packet = _Packet()
        self._clocks = 0  # of this packet, not yet lived through
        self._rest = 0  # of a nanosecond, in units of 1 / clock_hz
        self._unplugged = False
        self._ask_at = 0  # the first transfer at which the fault plan wants to be asked
        self._clock_hz = cost.DEFAULT_CLOCK_HZ
        self.counters = Counters()

    # what is asked of it

    @property
    def clock_hz(self) -> int:
        """Frequency of the SWD clock."""
        return self._clock_hz

    def set_clock(self, hz: int) -> None:
        """Set the SWD clock; at least 1 Hz."""
        self.command()
        self._clock_hz, self._rest = max(1, hz), 0

    def command(self, packets: int = 1) -> None:
        """Send packets that make no transfers, after what is waiting."""
        self.flush()
        with self._board.lock:
            for _ in range(packets):
                self._start_packet()

    def swj_sequence(self, length: int, bits: int) -> None:
        """Send ``length`` bits on SWDIO, least significant first."""
        self.command()
        with self._board.lock:
            self._dp.swj_sequence(length, bits)
            self._clocks += length
            self._spend_clocks()

    def read(self, access_port: bool, address: int, count: int = 1) -> Reply:
        """Queue reads of one register (0x0, 0x4, 0x8, 0xC of the selected bank)."""
        reply = Reply(self, count)
        kind = (access_port, address, True)
        if count == 1 and self._packet.roomy:
            self._packet.add(_Request(access_port, address, 1, (), reply), kind)
            return reply
        while count:
            fits = self._fitting(kind, count)
            self._add(_Request(access_port, address, fits, (), reply), kind)
            count -= fits
        return reply

    def write(self, access_port: bool, address: int, words: Sequence[int]) -> None:
        """Queue writes of one register; errors of earlier requests may surface here."""
        kind, done = (access_port, address, False), 0
        if len(words) == 1 and self._packet.roomy:
            self._packet.add(_Request(access_port, address, 1, words, None), kind)
            return
        while done < len(words):
            fits = self._fitting(kind, len(words) - done)
            self._add(_Request(access_port, address, fits, words[done : done + fits], None), kind)
            done += fits

    def flush(self) -> None:
        """Send the waiting packet. Raises TransferFailedError or UnpluggedError, as do the replies in it."""
        packet = self._packet
        if not packet.requests:
            return
        self._packet = _Packet()
        with self._board.lock:
            try:
                self._start_packet()
                self._run(packet.requests)
            except (TransferFailedError, UnpluggedError) as error:
                for request in packet.requests:
                    if request.reply is not None:
                        request.reply.error = error
                raise
            finally:
                self._spend_clocks()

    def _fitting(self, kind: tuple[bool, int, bool], count: int) -> int:
        room = self._packet.room(kind)
        if room <= 0:
            self.flush()
            room = self._packet.room(kind)
        return min(count, room)

    def _add(self, request: _Request, kind: tuple[bool, int, bool]) -> None:
        packet = self._packet
        packet.add(request, kind)
        if packet.full:
            self.flush()

    # time

    def _start_packet(self) -> None:
        if self._unplugged:
            raise UnpluggedError
        self.counters.packets += 1
        self.counters.usb_ns += cost.USB_ROUND_TRIP_NS
        self._board.advance(cost.USB_ROUND_TRIP_NS)
        self._look_ahead()

    def _spend_clocks(self) -> None:
        if self._clocks:
            self.counters.clocks += self._clocks
            ns, self._rest = divmod(self._clocks * NS_PER_S + self._rest, self._clock_hz)
            self._clocks = 0
            self._board.advance(ns)
            self._look_ahead()

    def _look_ahead(self) -> None:
        """Ask the plan again after time has passed; within a packet nothing but transfers brings a fault nearer."""
        faults, done = self._board.faults, self._dp.transfers
        due = done + 1 if faults.link_by_time else faults.next_link_transfer(done)
        self._ask_at = _NEVER if due is None else due

    def _now_ns(self) -> int:
        return self._board.clock.now_ns + self._clocks * NS_PER_S // self._clock_hz

    # what the probe's firmware does with a packet

    def _run(self, requests: Sequence[_Request]) -> None:
        """Post reads of access ports and fetch their values with the next one; check the last write."""
        posted: Reply | None = None
        for request in requests:
            reply = request.reply
            if reply is not None and request.access_port:
                values = self._read_ap(request.address, request.count)
                if posted is not None:
                    posted.values.append(values[0])
                reply.values += values[1:]
                posted = reply
                continue
            if posted is not None:
                posted.values.append(self._transfer(False, RDBUFF))
                posted = None
            if reply is None:
                self._write(request)
            else:
                reply.values += [self._transfer(False, request.address) for _ in range(request.count)]
        if posted is not None:
            posted.values.append(self._transfer(False, RDBUFF))
        elif requests[-1].reply is None:
            self._transfer(False, RDBUFF)  # a failed write shows only in the answer to the next transfer

    def _read_ap(self, address: int, count: int) -> list[int]:
        """``count`` reads in a row; each returns the value of the one before."""
        if count == 1:
            return [self._transfer(True, address)]
        values: list[int] = []
        while len(values) < count:
            block = self._dp.read_block(address, self._undisturbed(count - len(values)))
            self._count(Ack.OK, len(block))
            values += block or [self._transfer(True, address)]
        return values

    def _write(self, request: _Request) -> None:
        words = request.words
        if not request.access_port or len(words) == 1:
            for word in words:
                self._transfer(request.access_port, request.address, word)
            return
        done = 0
        while done < len(words):
            block = words[done : done + self._undisturbed(len(words) - done)]
            taken = self._dp.write_block(request.address, block)
            self._count(Ack.OK, taken)
            if not taken:
                self._transfer(True, request.address, words[done])
                taken = 1
            done += taken

    # single transfers

    def _transfer(self, access_port: bool, address: int, value: int | None = None) -> int:
        """One transfer, tried again while the answer is WAIT; ``value`` None: a read."""
        retries = cost.WAIT_RETRIES
        while True:
            ack, data = self._try(access_port, address, value)
            if ack is Ack.OK:
                return data
            if ack is not Ack.WAIT or not retries:
                raise TransferFailedError(ack)
            retries -= 1
            retries -= self._wait(retries)

    def _try(self, access_port: bool, address: int, value: int | None) -> tuple[Ack, int]:
        dp, data = self._dp, 0
        if dp.held_until is not None:
            self._spend_clocks()  # the chip must know how late it is
        fault = None if dp.transfers + 1 < self._ask_at else self._fault()
        if fault is LinkFault.NO_ACK:
            ack = Ack.NONE
        elif fault is LinkFault.WAIT:
            ack = Ack.WAIT
        elif value is not None:
            ack = dp.write(access_port, address, value, fault is LinkFault.PARITY)
        else:
            ack, data = dp.read(access_port, address)
            if fault is LinkFault.PARITY and ack is Ack.OK:
                ack = Ack.PARITY
        self._count(ack, 1)
        return ack, data

    def _fault(self) -> LinkFault | None:
        """What the plan has for the next try."""
        fault = self._board.faults.link(self._dp.transfers + 1, self._now_ns())
        if fault is LinkFault.UNPLUG:
            self._unplugged = True
            raise UnpluggedError
        self._look_ahead()
        if fault is None:
            self._ask_at = max(self._ask_at, self._dp.transfers + 2)
        return fault

    def _wait(self, retries: int) -> int:
        """Skip the tries that are going to be answered with WAIT, too; how many of ``retries`` that were."""
        held_until = self._dp.held_until
        if held_until is None:
            return 0
        self._spend_clocks()
        left = held_until - self._board.clock.now_ns
        tries = min(-(-left * self._clock_hz // (cost.REFUSED_CLOCKS * NS_PER_S)), self._undisturbed(retries))
        if tries <= 0:
            return 0
        self._count(Ack.WAIT, tries)
        return tries

    def _undisturbed(self, count: int) -> int:
        """How many of the next ``count`` transfers no planned fault can concern."""
        return min(count, max(0, self._ask_at - self._dp.transfers - 1))

    def _count(self, ack: Ack, transfers: int) -> None:
        self._dp.transfers += transfers
        self.counters.transfers += transfers
        if ack is Ack.OK:
            self._clocks += cost.OK_CLOCKS * transfers
            return
        self._clocks += _CLOCKS[ack] * transfers
        if ack is Ack.WAIT:
            self.counters.waits += transfers
        elif ack is Ack.FAULT:
            self.counters.faults += transfers
        else:
            self.counters.errors += transfers
