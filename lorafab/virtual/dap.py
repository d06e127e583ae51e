"""The chip's end of the SWD wires: its debug port, register by register. The access ports are in ``access_ports``.

Everything a debugger does passes here as single transfers, each answered with OK, WAIT, FAULT, or silence, exactly
as Arm's specification says. A bus fault is never reported by the transfer that caused it, but sets STICKYERR and
makes the next one FAULT. Reads through an access port are posted: each returns the result of the one before. An access
that the bus holds is answered OK, too; what comes after it has to WAIT.

Source: Arm IHI 0031 (ADIv5.2), chapter B2 (DP registers), B4 (SWD protocol). Versions 1 and 2 differ in the registers
behind SELECT.DPBANKSEL. Pushed operations, the transaction counter and multidrop (TARGETSEL is not answered) are not
modelled; EVENTSTAT reads 0. That SELECT and CTRL/STAT cannot be written while an access is in progress is unverified.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

from lorafab.virtual.access_ports import AccessPort, DebuggedBus, MemAp, PartPort
from lorafab.virtual.bus import BusFault, BusStall
from lorafab.virtual.chip import Chip, MemoryAp
from lorafab.virtual.swj import Switch

__all__ = ["AccessPort", "Ack", "DebuggedBoard", "SwDp"]

# ADIv5.2 B2.2: addresses of the DP registers; 0x4 is banked by SELECT.DPBANKSEL.
DPIDR = ABORT = 0x0
CTRL_STAT = 0x4
SELECT = RESEND = 0x8
RDBUFF = 0xC

# ADIv5.2 B2.2.2, CTRL/STAT.
ORUNDETECT = 1 << 0
STICKYORUN = 1 << 1
STICKYCMP = 1 << 4
STICKYERR = 1 << 5
READOK = 1 << 6
WDATAERR = 1 << 7
CDBGPWRUPREQ = 1 << 28
CDBGPWRUPACK = 1 << 29
CSYSPWRUPREQ = 1 << 30
CSYSPWRUPACK = 1 << 31
_STICKY = STICKYORUN | STICKYCMP | STICKYERR | WDATAERR
# ORUNDETECT, CDBGRSTREQ and the two power-up requests; with MASKLANE and TRNCNT where they exist. TRNMODE stays 0.
_CTRL_WRITABLE = ORUNDETECT | 1 << 26 | CDBGPWRUPREQ | CSYSPWRUPREQ
_CTRL_PUSHED = 0xF << 8 | 0xFFF << 12
_DPIDR_MIN = 1 << 16  # B2.2.5: a minimal port, without pushed operations and transaction counter

# ADIv5.2 B2.2.1, ABORT: DAPABORT, and which write bit clears which flag.
DAPABORT = 1
_ABORT_CLEARS = {1 << 1: STICKYCMP, 1 << 2: STICKYERR, 1 << 3: WDATAERR, 1 << 4: STICKYORUN}

DLPIDR_SWD2 = 0x0000_0001  # B2.2.4: SWD protocol version 2; instance 0


class Ack(IntEnum):
    """Answer to a transfer (ADIv5.2 B4.2); NONE is a wire that nobody drives, PARITY an answer whose data is damaged.

    Numbers as CMSIS-DAP reports them (DAP.h, DAP_TRANSFER_OK to DAP_TRANSFER_ERROR).
    """

    OK = 1
    WAIT = 2
    FAULT = 4
    NONE = 7
    PARITY = 8


class DebuggedBoard(DebuggedBus, Protocol):
    """What the debug port needs of a board."""

    @property
    def powered(self) -> bool:
        """Whether the chip has its supply."""
        ...

    @property
    def dpidr(self) -> int:
        """What the DPIDR register reads."""
        ...

    @property
    def power_cycles(self) -> int:
        """How often the supply was switched on so far."""
        ...

    def ap_part(self, name: str) -> AccessPort:
        """The part of the chip that is an access port."""
        ...

    def hold_debug_power(self, held: bool) -> None:
        """The debugger asks for the debug power domain, or no longer does."""
        ...


class SwDp:
    """The debug port of one board, for as long as the board is open. Not thread-safe: callers hold the board's lock.

    It forgets everything without power. ``transfers`` counts what probes try on the wires, for whoever probes.
    """

    def __init__(self, board: DebuggedBoard) -> None:
        self._board = board
        self.transfers = 0
        self._power_cycle = 0
        self._reset(board.chip)

    def _reset(self, chip: Chip) -> None:
        """Power-on state: registers cleared, no access port configured, JTAG selected where there is one."""
        self._chip, self._version2 = chip, chip.targetid is not None
        self._switch = Switch(combined=self._version2)
        self._in_step = False  # nothing was sent on the wires but transfers since the last that the port understood
        self._ctrl = self._select = self._dlcr = 0
        self._posted = self._last_read = 0
        self._writable = _CTRL_WRITABLE | (0 if chip.dpidr & _DPIDR_MIN else _CTRL_PUSHED)
        self.held_until: int | None = None
        """Until when (simulated ns) transfers have to WAIT for the access in progress; None: there is none."""
        self._held: MemAp | PartPort | None = None
        self._held_reads = False
        self._ports: dict[int, MemAp | PartPort] = {
            ap.number: MemAp(self._board, ap) if isinstance(ap, MemoryAp) else PartPort(self._board.ap_part(ap.part))
            for ap in chip.aps
        }

    # the wires

    def swj_sequence(self, length: int, bits: int) -> None:
        """Drive SWDIO with ``length`` bits, least significant first."""
        if self._alive():
            self._in_step = False
            self._switch.sequence(length, bits)

    def read(self, access_port: bool, address: int) -> tuple[Ack, int]:
        """One read transfer at 0x0, 0x4, 0x8 or 0xC; the value counts only with OK."""
        ack = self._gate(access_port, address, reading=True)
        if ack is not Ack.OK:
            return ack, 0
        if not access_port:
            return ack, self._read_dp(address)
        port = self._ports.get(self._select >> 24)
        previous = self._last_read = self._posted
        try:
            self._posted = 0 if port is None else port.ap_read(self._select & 0xF0 | address)
        except BusFault:
            self._ctrl |= STICKYERR
        except BusStall as stall:
            self._hold(port, stall, reads=True)
        return ack, previous

    def write(self, access_port: bool, address: int, value: int, damaged: bool = False) -> Ack:
        """One write transfer at 0x0, 0x4, 0x8 or 0xC; ``damaged`` data has a parity bit that does not fit."""
        ack = self._gate(access_port, address, reading=False)
        if ack is not Ack.OK:
            return ack
        if damaged:
            self._ctrl |= WDATAERR  # B4.2.6: the write is not done
        elif not access_port:
            self._write_dp(address, value)
        else:
            self._write_ap(address, value)
        return ack

    def _write_ap(self, address: int, value: int) -> None:
        port = self._ports.get(self._select >> 24)
        try:
            if port is not None:
                port.ap_write(self._select & 0xF0 | address, value)
        except BusFault:
            self._ctrl |= STICKYERR
        except BusStall as stall:
            self._hold(port, stall, reads=False)

    def read_block(self, address: int, count: int) -> list[int]:
        """Up to ``count`` reads of an AP register at once; their values as single reads would give them.

        Fewer when the next one must be a single transfer, because it will not be answered with OK or is no plain
        memory access.
        """
        port = self._port_for_block(address, reading=True)
        words = port.read_words(count) if port is not None else []
        if not words:
            return []
        values = [self._posted, *words[:-1]]
        self._posted, self._last_read = words[-1], values[-1]
        return values

    def write_block(self, address: int, values: Sequence[int]) -> int:
        """Writes of an AP register at once; answers how many were made, fewer for the same reasons."""
        port = self._port_for_block(address, reading=False)
        return 0 if port is None else port.write_words(values)

    def _port_for_block(self, address: int, reading: bool) -> MemAp | PartPort | None:
        if self._select & 0xF0 or address != 0xC or self.held_until is not None:  # DRW of a MEM-AP
            return None
        if self._gate(True, address, reading=reading) is not Ack.OK:
            return None
        return self._ports.get(self._select >> 24)

    # what any transfer meets first

    def _gate(self, access_port: bool, address: int, *, reading: bool) -> Ack:
        """The answer that a transfer gets before it does something."""
        board = self._board
        in_step = self._in_step and board.powered and board.power_cycles == self._power_cycle
        if not in_step and not self._understood(not access_port and reading and address == DPIDR):
            return Ack.NONE
        held = self.held_until is not None and not self._resumed()
        # ADIv5.2 B4.2.4: what must work for the debugger to find out and clean up never waits and never faults.
        if not access_port and ((reading and address in (DPIDR, CTRL_STAT)) or (not reading and address == ABORT)):
            return Ack.OK
        if held:
            return self._refused(Ack.WAIT)
        if access_port and not self._powered_up():
            self._ctrl |= STICKYERR
        return self._refused(Ack.FAULT) if self._ctrl & _STICKY else Ack.OK

    def _understood(self, dpidr: bool) -> bool:
        """Whether the port makes out this transfer, a read of DPIDR or another, after a sequence or without power."""
        if not self._alive():
            return False
        switch = self._switch
        silent = switch.silent
        switch.transfer()
        if silent or (switch.only_dpidr and not dpidr):
            return False
        switch.only_dpidr, self._in_step = False, True
        return True

    def _alive(self) -> bool:
        board = self._board
        if board.power_cycles != self._power_cycle:
            self._power_cycle = board.power_cycles
            self._hold_power(False)
            self._reset(board.chip)
        return board.powered

    def _refused(self, ack: Ack) -> Ack:
        if self._ctrl & ORUNDETECT:
            self._ctrl |= STICKYORUN
        return ack

    def _powered_up(self) -> bool:
        return self._ctrl & (CDBGPWRUPREQ | CSYSPWRUPREQ) == CDBGPWRUPREQ | CSYSPWRUPREQ

    # an access that the bus holds

    def _hold(self, port: MemAp | PartPort | None, stall: BusStall, reads: bool) -> None:
        self._held, self.held_until, self._held_reads = port, stall.until_ns, reads

    def _resumed(self) -> bool:
        """Let the access in progress go on, if its time has come; whether it is over."""
        port, until = self._held, self.held_until
        if port is None or until is None or self._board.clock.now_ns < until:
            return False
        self._held = self.held_until = None
        try:
            value = port.resume()
        except BusFault:
            self._ctrl |= STICKYERR
            return True
        except BusStall as stall:
            self._hold(port, stall, self._held_reads)
            return False
        if self._held_reads:
            self._posted = value
        return True

    # registers

    def _read_dp(self, address: int) -> int:
        if address == DPIDR:
            return self._board.dpidr
        if address == CTRL_STAT:
            banks = {0: self._ctrl_stat(), 1: self._dlcr}
            if self._chip.targetid is not None:
                banks |= {2: self._chip.targetid, 3: DLPIDR_SWD2}
            return banks.get(self._select & 0xF, 0)
        if address == RDBUFF:
            self._last_read = self._posted
        return self._last_read  # RESEND, too

    def _ctrl_stat(self) -> int:
        # Power domains come up at once: the acknowledge bits mirror the requests.
        acks = (self._ctrl & (CDBGPWRUPREQ | CSYSPWRUPREQ)) << 1
        return self._ctrl | acks | (0 if self._ctrl & STICKYERR else READOK)

    def _write_dp(self, address: int, value: int) -> None:
        if address == ABORT:
            self._abort(value)
        elif address == CTRL_STAT and self._select & 0xF == 0:
            self._ctrl = self._ctrl & ~self._writable | value & self._writable
            self._hold_power(bool(self._ctrl & CDBGPWRUPREQ))
        elif address == CTRL_STAT and self._select & 0xF == 1:
            self._dlcr = value & 0x300  # TURNROUND
        elif address == SELECT:
            self._select = value

    def _hold_power(self, held: bool) -> None:
        self._board.hold_debug_power(held)

    def _abort(self, value: int) -> None:
        for bit, flag in _ABORT_CLEARS.items():
            if value & bit:
                self._ctrl &= ~flag
        if value & DAPABORT and self._held is not None:
            self._held.give_up()
            self._held = self.held_until = None
