"""The chip's end of the SWD wires: a debug port (SW-DP v2) and its access ports, register by register.

Everything a debugger does passes here as single transfers, each answered with OK, WAIT, FAULT, or silence, exactly
as Arm's specification says; a bus fault is never reported by the transfer that caused it, but sets STICKYERR and
makes the next one FAULT. Reads through an access port are posted: each returns the result of the one before.

Source: Arm IHI 0031 (ADIv5.2), chapter B2 (DP registers), B4 (SWD protocol), C2 (MEM-AP). Pushed operations,
multidrop and the dormant state are not modelled. Values of the STM32WLE5: see the constants below.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Protocol

from lorafab.virtual.bus import BusFault

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
# ORUNDETECT, MASKLANE, TRNCNT, CDBGRSTREQ and the two power-up requests. TRNMODE stays 0: no pushed operations.
_CTRL_WRITABLE = ORUNDETECT | 0xF << 8 | 0xFFF << 12 | 1 << 26 | CDBGPWRUPREQ | CSYSPWRUPREQ
# ADIv5.2 B2.2.1, ABORT: which write bit clears which flag.
_ABORT_CLEARS = {1 << 1: STICKYCMP, 1 << 2: STICKYERR, 1 << 3: WDATAERR, 1 << 4: STICKYORUN}

# RM0453 section 38.4: designer ST, part 0x497. DLPIDR: protocol version 1 (SWD v2), instance 0.
TARGETID_STM32WLE5 = 0x04970041
DLPIDR_SWD2 = 0x00000001

# ADIv5.2 C2.6: MEM-AP registers.
CSW, TAR, DRW, BD0, BD3, CFG, BASE, IDR = 0x00, 0x04, 0x0C, 0x10, 0x1C, 0xF4, 0xF8, 0xFC
# Arm DDI 0439 (Cortex-M4 TRM), AHB-AP: MasterType, HPROT1, AddrInc and Size can be written.
_CSW_WRITABLE = 1 << 29 | 1 << 25 | 0x37
_CSW_SIZE = 0x7
_CSW_WORD = 0x2
_CSW_INCREMENT = 0x30
_CSW_INCREMENT_SINGLE = 0x10
_CSW_INCREMENT_PACKED = 0x20
# pyOCD's AP table: TAR of the Cortex-M4's AHB-AP increments within 4 KiB.
_TAR_WRAP = 0x1000


class Ack(IntEnum):
    """Answer to a transfer (ADIv5.2 B4.2); NONE is a wire that nobody drives."""

    OK = 1
    WAIT = 2
    FAULT = 4
    NONE = 7


class Bus(Protocol):
    """What the debug port needs of a board; every access may raise BusFault."""

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

    def mem_read(self, address: int, size: int) -> int:
        """Read 1, 2 or 4 bytes, little-endian."""
        ...

    def mem_write(self, address: int, size: int, value: int) -> None:
        """Write 1, 2 or 4 bytes, little-endian."""
        ...

    def mem_read_words(self, address: int, count: int) -> list[int]:
        """Read aligned words."""
        ...

    def mem_write_words(self, address: int, words: Sequence[int]) -> None:
        """Write aligned words."""
        ...


class MemAp:
    """A memory access port; ``bus`` None makes one whose memory accesses all fault."""

    def __init__(self, bus: Bus | None, *, idr: int, base: int, csw: int) -> None:
        self._bus = bus
        self._fixed = {IDR: idr, BASE: base, CFG: 0}
        self._csw = csw
        self._tar = 0

    @property
    def in_word_block(self) -> bool:
        """Whether a run of DRW accesses is a run of rising words, which one bus call may serve."""
        return self._csw & (_CSW_SIZE | _CSW_INCREMENT) == _CSW_WORD | _CSW_INCREMENT_SINGLE and not self._tar & 3

    def read(self, register: int) -> int:
        """Read a register (byte offset, multiple of 4). Raises BusFault from DRW and BD0..BD3."""
        if register == DRW:
            return self._transfer(None)
        if BD0 <= register <= BD3:
            return self._memory().mem_read((self._tar & ~0xF) + register - BD0, 4)
        if register == CSW:
            return self._csw
        return self._tar if register == TAR else self._fixed.get(register, 0)

    def write(self, register: int, value: int) -> None:
        """Write a register; writes to read-only ones are ignored. Raises BusFault from DRW and BD0..BD3."""
        if register == DRW:
            self._transfer(value)
        elif BD0 <= register <= BD3:
            self._memory().mem_write((self._tar & ~0xF) + register - BD0, 4, value)
        elif register == CSW:
            self._write_csw(value)
        elif register == TAR:
            self._tar = value

    def read_words(self, count: int) -> list[int]:
        """Do ``count`` DRW reads at once; only while ``in_word_block``. Raises BusFault, as the first would."""
        words: list[int] = []
        while len(words) < count:
            here = min(count - len(words), (_TAR_WRAP - self._tar % _TAR_WRAP) // 4)
            with self._block(here):
                words += self._memory().mem_read_words(self._tar, here)
            self._advance(4 * here)
        return words

    def write_words(self, words: Sequence[int]) -> None:
        """Do one DRW write for each word; only while ``in_word_block``. Raises BusFault."""
        done = 0
        while done < len(words):
            here = min(len(words) - done, (_TAR_WRAP - self._tar % _TAR_WRAP) // 4)
            with self._block(here):
                self._memory().mem_write_words(self._tar, words[done : done + here])
            self._advance(4 * here)
            done += here

    @contextmanager
    def _block(self, count: int) -> Iterator[None]:
        """TAR stops at the word that failed, as it does without the short cut."""
        try:
            yield
        except BusFault as fault:
            if self._tar < fault.address < self._tar + 4 * count:
                self._tar = fault.address & ~3
            raise

    def _write_csw(self, value: int) -> None:
        if value & _CSW_SIZE > _CSW_WORD:  # no wider than the bus: the field keeps a size that exists
            value = value & ~_CSW_SIZE | _CSW_WORD
        if value & _CSW_INCREMENT == _CSW_INCREMENT:  # reserved
            value &= ~_CSW_INCREMENT
        self._csw = self._csw & ~_CSW_WRITABLE | value & _CSW_WRITABLE

    def _memory(self) -> Bus:
        if self._bus is None:
            raise BusFault(self._tar)
        return self._bus

    def _transfer(self, value: int | None) -> int:
        """One DRW access: one bus access, or as many as fill the word when packed; bytes sit in their lanes."""
        size = 1 << (self._csw & _CSW_SIZE)
        mode = self._csw & _CSW_INCREMENT
        result = 0
        for _ in range(4 // size if mode == _CSW_INCREMENT_PACKED else 1):
            address = self._tar & ~(size - 1)
            shift = 8 * (address & 3)
            if value is None:
                result |= self._memory().mem_read(address, size) << shift
            else:
                self._memory().mem_write(address, size, value >> shift & (1 << 8 * size) - 1)
            if mode:
                self._advance(size)
        return result

    def _advance(self, count: int) -> None:
        self._tar = self._tar & ~(_TAR_WRAP - 1) | (self._tar + count) % _TAR_WRAP


class SwDp:
    """The debug port of one chip. Not thread-safe: its caller holds the board's lock."""

    def __init__(self, bus: Bus, targetid: int = TARGETID_STM32WLE5) -> None:
        self._bus = bus
        self._targetid = targetid
        self._aps: dict[int, MemAp] = {}
        self._posted = self._last_read = 0
        self._reset()

    def swj_sequence(self, length: int, bits: int) -> None:
        """Drive SWDIO with ``length`` bits, least significant first (ADIv5.2 B5.2: switching JTAG to SWD)."""
        if length >= 50 and bits & (1 << 50) - 1 == (1 << 50) - 1:
            self._awaiting_idr = True  # line reset: only a read of DPIDR leaves it
        elif length == 16 and bits == 0xE79E:
            self._in_swd = True

    def read(self, access_port: bool, address: int) -> tuple[Ack, int]:
        """One read transfer at 0x0, 0x4, 0x8 or 0xC; the value counts only with OK."""
        ack = self._gate(access_port, address, reading=True)
        if ack is not Ack.OK:
            return ack, 0
        if not access_port:
            return ack, self._read_dp(address)
        ap = self._aps.get(self._select >> 24)
        previous = self._posted
        try:
            self._posted = 0 if ap is None else ap.read(self._select & 0xF0 | address)
        except BusFault:
            self._stuck(STICKYERR)
        self._last_read = previous
        return ack, previous

    def write(self, access_port: bool, address: int, value: int) -> Ack:
        """One write transfer at 0x0, 0x4, 0x8 or 0xC."""
        ack = self._gate(access_port, address, reading=False)
        if ack is not Ack.OK:
            return ack
        if not access_port:
            self._write_dp(address, value)
            return ack
        ap = self._aps.get(self._select >> 24)
        try:
            if ap is not None:
                ap.write(self._select & 0xF0 | address, value)
        except BusFault:
            self._stuck(STICKYERR)
        return ack

    def read_block(self, address: int, count: int) -> tuple[Ack, list[int]]:
        """``count`` posted AP reads and the RDBUFF read that fetches the last; values count only with OK."""
        ap = self._aps.get(self._select >> 24)
        if ap is not None and self._select & 0xF0 | address == DRW and ap.in_word_block:
            ack = self._gate(True, address, reading=True)
            if ack is not Ack.OK:
                return ack, []
            try:
                words = ap.read_words(count)
            except BusFault:
                self._stuck(STICKYERR)
                return self._gate(False, RDBUFF, reading=True), []
            self._posted = self._last_read = words[-1]
            return ack, words
        values = []
        for index in range(count + 1):
            ack, value = self.read(index < count, address if index < count else RDBUFF)
            if ack is not Ack.OK:
                return ack, []
            values.append(value)
        return Ack.OK, values[1:]

    def write_block(self, address: int, values: Sequence[int]) -> Ack:
        """One AP write for each value, without the check that a probe does afterwards."""
        ap = self._aps.get(self._select >> 24)
        if ap is not None and self._select & 0xF0 | address == DRW and ap.in_word_block:
            ack = self._gate(True, address, reading=False)
            if ack is Ack.OK:
                try:
                    ap.write_words(values)
                except BusFault:
                    self._stuck(STICKYERR)
            return ack
        for value in values:
            ack = self.write(True, address, value)
            if ack is not Ack.OK:
                return ack
        return Ack.OK

    def _reset(self) -> None:
        """Power-on state: JTAG selected, all registers cleared, no access port configured."""
        self._power_cycle = self._bus.power_cycles
        self._in_swd = False
        self._awaiting_idr = True
        self._ctrl = self._select = self._dlcr = 0
        self._posted = self._last_read = 0
        self._aps = {
            # Cortex-M4 AHB-AP: pyOCD's AP table; BASE and CSW unverified for the WL.
            0: MemAp(self._bus, idr=0x24770011, base=0xE00FF003, csw=0x23000040),
            # On single-core parts the second AP is there, but its memory only faults (Black Magic Probe PR 1067).
            1: MemAp(None, idr=0x84770001, base=0xF0000003, csw=0x43800040),
        }

    def _gate(self, access_port: bool, address: int, *, reading: bool) -> Ack:
        """The answer that any transfer gets before it does something."""
        if self._bus.power_cycles != self._power_cycle:
            self._reset()
        if not self._bus.powered:
            return Ack.NONE
        if not self._in_swd:
            return Ack.NONE
        if self._awaiting_idr:
            if access_port or not reading or address != DPIDR:
                return Ack.NONE
            self._awaiting_idr = False
        # ADIv5.2 B4.2.4: what must work for the debugger to find out and clean up never faults.
        if not access_port and ((reading and address in (DPIDR, CTRL_STAT)) or (not reading and address == ABORT)):
            return Ack.OK
        if access_port and not self._powered_up():
            self._stuck(STICKYERR)
        if self._ctrl & _STICKY:
            if self._ctrl & ORUNDETECT:
                self._stuck(STICKYORUN)
            return Ack.FAULT
        return Ack.OK

    def _powered_up(self) -> bool:
        return self._ctrl & (CDBGPWRUPREQ | CSYSPWRUPREQ) == CDBGPWRUPREQ | CSYSPWRUPREQ

    def _stuck(self, flag: int) -> None:
        self._ctrl |= flag

    def _read_dp(self, address: int) -> int:
        if address == DPIDR:
            return self._bus.dpidr
        if address == CTRL_STAT:
            banks = {0: self._ctrl_stat(), 1: self._dlcr, 2: self._targetid, 3: DLPIDR_SWD2}
            return banks.get(self._select & 0xF, 0)
        if address == RDBUFF:
            self._last_read = self._posted
        return self._last_read  # RESEND, too

    def _ctrl_stat(self) -> int:
        # Power domains come up at once: the acknowledge bits mirror the requests.
        acks = (self._ctrl & CDBGPWRUPREQ) << 1 | (self._ctrl & CSYSPWRUPREQ) << 1
        return self._ctrl | acks | (0 if self._ctrl & STICKYERR else READOK)

    def _write_dp(self, address: int, value: int) -> None:
        if address == ABORT:
            for bit, flag in _ABORT_CLEARS.items():
                if value & bit:
                    self._ctrl &= ~flag
        elif address == CTRL_STAT and self._select & 0xF == 0:
            self._ctrl = self._ctrl & ~_CTRL_WRITABLE | value & _CTRL_WRITABLE
        elif address == CTRL_STAT and self._select & 0xF == 1:
            self._dlcr = value & 0x300  # TURNROUND
        elif address == SELECT:
            self._select = value
