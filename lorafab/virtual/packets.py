"""The probe's own end: transfers gathered into CMSIS-DAP packets, sent over USB, clocked out on SWD.

This is what makes simulated time right: every packet costs a USB round trip and every transfer its SWD clocks, and
the board lives through exactly that time. It also makes errors arrive as they do in life, with the packet that
carried them and not with the call that asked for them. One packet is in flight at a time; a probe that pipelines
several is a little faster than this one.

Sources: CMSIS-DAP 2 specification (DAP_Transfer, DAP_TransferBlock); clocks of a transfer counted in DAPLink's
SW_DP.c; idle cycles as pyOCD configures them (cmsis_dap_core.py).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from lorafab.virtual.dap import RDBUFF, Ack, Bus, SwDp

# A high-speed probe: 512-byte bulk packets; a round trip of one 125 us microframe is unverified for real ones.
PACKET_BYTES = 512
USB_ROUND_TRIP_NS = 125_000
DEFAULT_CLOCK_HZ = 1_000_000

# SW_DP.c: request 8, turnaround 1, answer 3, then data 32 + parity 1 + turnaround 1; pyOCD adds 2 idle clocks. A
# refused transfer ends after the answer; silence is followed by as many clocks as the data would have taken.
_CLOCKS = {Ack.OK: 48, Ack.WAIT: 13, Ack.FAULT: 13, Ack.NONE: 46}

# DAP_Transfer counts its transfers in one byte.
_MAX_TRANSFERS = 255


class ProbedBoard(Bus, Protocol):
    """A board as the probe meets it."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Held for one packet at a time."""
        ...

    @property
    def faults(self) -> "PlugFault":
        """What is planned to go wrong."""
        ...

    def advance(self, ns: int) -> None:
        """Let the board live for ``ns`` simulated nanoseconds."""
        ...


class PlugFault(Protocol):
    """The fault that concerns the probe."""

    @property
    def unplug_after(self) -> int | None:
        """Transfers after which the probe is gone; None: stays."""
        ...


class TransferFailedError(Exception):
    """A transfer was not answered with OK."""

    def __init__(self, ack: Ack) -> None:
        super().__init__(f"SWD answered {ack.name}")
        self.ack = ack


class UnpluggedError(Exception):
    """The probe is no longer there."""


class Reply:
    """The values of one read request, which may arrive later and with several packets."""

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


@dataclass(frozen=True)
class _Request:
    access_port: bool
    address: int
    count: int
    words: Sequence[int] = ()
    reply: Reply | None = None  # None: a write

    @property
    def kind(self) -> tuple[bool, int, bool]:
        """Requests of one kind may share a block packet."""
        return (self.access_port, self.address, self.reply is None)


@dataclass
class _Packet:
    """One DAP_TransferBlock while all requests are alike, one DAP_Transfer as soon as they are not."""

    requests: list[_Request] = field(default_factory=list)
    mixed: bool = False
    reads: int = 0
    writes: int = 0

    def room(self, request: _Request) -> int:
        """How many transfers of this kind still fit."""
        reading = request.reply is not None
        if not self.mixed and (not self.requests or self.requests[0].kind == request.kind):
            if reading:
                return (PACKET_BYTES - 4 - 4 * self.reads) // 4
            return (PACKET_BYTES - 5 - 4 * self.writes) // 4
        sent = PACKET_BYTES - 3 - self.reads - 5 * self.writes
        received = PACKET_BYTES - 3 - 4 * self.reads
        fits = min(sent, received // 4) if reading else sent // 5
        return max(0, min(fits, _MAX_TRANSFERS - self.reads - self.writes))

    def add(self, request: _Request) -> None:
        self.requests.append(request)
        self.mixed = self.mixed or request.kind != self.requests[0].kind
        if request.reply is None:
            self.writes += request.count
        else:
            self.reads += request.count


class CmsisDap:
    """A CMSIS-DAP probe on a board's debug port; ``transfers`` and ``packets`` count from its opening on."""

    def __init__(self, board: ProbedBoard, dp: SwDp | None = None) -> None:
        self._board = board
        self._dp = SwDp(board) if dp is None else dp
        self._packet = _Packet()
        self._clocks = 0
        self._unplugged = False
        self.clock_hz = DEFAULT_CLOCK_HZ
        self.transfers = 0
        self.packets = 0

    def swj_sequence(self, length: int, bits: int) -> None:
        """Send ``length`` bits on SWDIO, least significant first."""
        self.flush()
        with self._board.lock:
            self._start_packet()
            self._dp.swj_sequence(length, bits)
            self._clocks += length
            self._spend_clocks()

    def read(self, access_port: bool, address: int, count: int = 1) -> Reply:
        """Queue reads of one register (0x0, 0x4, 0x8, 0xC of the selected bank)."""
        reply = Reply(self, count)
        while count:
            request = _Request(access_port, address, count, reply=reply)
            fits = self._make_room(request)
            self._packet.add(_Request(access_port, address, fits, reply=reply))
            count -= fits
        return reply

    def write(self, access_port: bool, address: int, words: Sequence[int]) -> None:
        """Queue writes of one register; errors of earlier requests may surface here."""
        done = 0
        while done < len(words):
            request = _Request(access_port, address, len(words) - done, words)
            fits = self._make_room(request)
            self._packet.add(_Request(access_port, address, fits, words[done : done + fits]))
            done += fits

    def flush(self) -> None:
        """Send the waiting packet. Raises TransferFailedError or UnpluggedError, as do the replies in it."""
        packet, self._packet = self._packet, _Packet()
        if not packet.requests:
            return
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

    def _make_room(self, request: _Request) -> int:
        if not self._packet.room(request):
            self.flush()
        return min(request.count, self._packet.room(request))

    def _start_packet(self) -> None:
        if self._unplugged:
            raise UnpluggedError
        self.packets += 1
        self._board.advance(USB_ROUND_TRIP_NS)

    def _spend_clocks(self) -> None:
        clocks, self._clocks = self._clocks, 0
        if clocks:
            self._board.advance(clocks * 1_000_000_000 // self.clock_hz)

    def _run(self, requests: Sequence[_Request]) -> None:
        """What the probe's firmware does with one packet: post reads, fetch them, check the last write."""
        posted: Reply | None = None
        for request in requests:
            reply = request.reply
            if posted is not None and not (request.access_port and reply is not None and request.count == 1):
                self._fetch(posted)
                posted = None
            if reply is None:
                self._write(request)
            elif request.count > 1:
                reply.values += self._read_block(request)
            else:
                value = self._read(request.access_port, request.address)
                if posted is not None:
                    posted.values.append(value)
                elif not request.access_port:
                    reply.values.append(value)
                posted = reply if request.access_port else None
        if posted is not None:
            self._fetch(posted)
        elif requests[-1].reply is None:
            self._read(False, RDBUFF)  # a failed write shows only in the answer to the next transfer

    def _fetch(self, posted: Reply) -> None:
        posted.values.append(self._read(False, RDBUFF))

    def _read(self, access_port: bool, address: int) -> int:
        self._allow(1)
        ack, value = self._dp.read(access_port, address)
        self._count(ack, 1)
        return value

    def _write(self, request: _Request) -> None:
        allowed = self._allow(request.count)
        if request.access_port and request.count > 1:
            self._count(self._dp.write_block(request.address, request.words[:allowed]), allowed)
        else:
            for word in request.words[:allowed]:
                self._count(self._dp.write(request.access_port, request.address, word), 1)
        if allowed < request.count:
            self._unplug()

    def _read_block(self, request: _Request) -> list[int]:
        if not request.access_port:
            return [self._read(False, request.address) for _ in range(request.count)]
        if self._allow(request.count + 1) <= request.count:
            self._unplug()
        ack, words = self._dp.read_block(request.address, request.count)
        self._count(ack, request.count + 1)
        return words

    def _allow(self, wanted: int) -> int:
        """How many of the wanted transfers the fault plan still lets through, at least one."""
        limit = self._board.faults.unplug_after
        left = wanted if limit is None else min(wanted, limit - self.transfers)
        if left <= 0:
            self._unplug()
        return left

    def _unplug(self) -> None:
        self._unplugged = True
        raise UnpluggedError

    def _count(self, ack: Ack, transfers: int) -> None:
        # Of a refused block only the refusal is charged: how far it came depends on the fault, and it is over anyway.
        self.transfers += transfers if ack is Ack.OK else 1
        self._clocks += _CLOCKS[ack] * (transfers if ack is Ack.OK else 1)
        if ack is not Ack.OK:
            raise TransferFailedError(ack)
