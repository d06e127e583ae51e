"""UARTE: a serial port with EasyDMA, a byte at a time on the line.

Registers and bits: MDK ``nrf52840.h`` (NRF_UARTE_Type) and ``nrf52840_bitfields.h`` (UARTE_*). Rules: product
specification, chapter UARTE: PTR and MAXCNT are taken over by STARTRX and STARTTX, so the next buffer can be set up
after RXSTARTED and TXSTARTED; a full buffer is ENDRX, and what arrives between it and the next STARTRX waits in a
FIFO; STOPRX ends with ENDRX, unless that has been, and RXTO; STOPTX with ENDTX, unless that has been, and TXSTOPPED;
FLUSHRX moves the FIFO to the buffer. FIFO of 5 bytes, and AMOUNT that FLUSHRX leaves alone while the FIFO is empty:
nrfx ``nrfx_uarte.c``. Bit time: 16 MHz divided by floor(2^32 / BAUDRATE), which gives the rates that the MDK's header
names.

Not modelled, and a bus fault: the legacy UART (ENABLE 4), parity and hardware flow control. A task while ENABLE is
off, a pin that PSEL leaves open and a buffer outside RAM are sentences in the board's complaints; a task with such a
buffer is a bus fault. Unverified: RXTO comes four byte times after STOPRX; a FIFO that is full loses the newest byte.
"""

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from lorafab.virtual.bus import BusFault
from lorafab.virtual.clock import Event
from lorafab.virtual.nrf52.peripheral import UNCONNECTED, Peripheral, dma_check, dma_read, dma_write

if TYPE_CHECKING:
    from lorafab.virtual.chip import At
    from lorafab.virtual.silicon import Silicon

RXDRDY, ENDRX, TXDRDY, ENDTX, ERROR, RXTO, RXSTARTED, TXSTARTED, TXSTOPPED = (
    0x108, 0x110, 0x11C, 0x120, 0x124, 0x144, 0x14C, 0x150, 0x158,
)  # fmt: skip
SHORTS, ERRORSRC, ENABLE, PSEL_TXD, PSEL_RXD, BAUDRATE = 0x200, 0x480, 0x500, 0x50C, 0x514, 0x524
RXD_PTR, RXD_MAXCNT, RXD_AMOUNT, TXD_PTR, TXD_MAXCNT, TXD_AMOUNT, CONFIG = (
    0x534, 0x538, 0x53C, 0x544, 0x548, 0x54C, 0x56C,
)  # fmt: skip
ENDRX_STARTRX, ENDRX_STOPRX = 1 << 5, 1 << 6
_ENABLED, _LEGACY = 8, 4
_OVERRUN = 1
_TWO_STOP = 1 << 4
_FIFO = 5
_STOP_BYTES = 4
_TICK_PS = 62_500  # of 16 MHz


class _Buffer:
    """A buffer that EasyDMA works on."""

    def __init__(self, address: int, size: int) -> None:
        self.address, self.size, self.done = address, size, 0


class Uarte(Peripheral):
    """One port. The part named ``console`` is the one on the connector; others have nothing at their other end."""

    TASKS: ClassVar = {
        0x000: "_start_rx", 0x004: "_stop_rx", 0x008: "_start_tx", 0x00C: "_stop_tx", 0x02C: "_flush_rx",
    }  # fmt: skip
    EVENTS: ClassVar = {
        0x100: 0, 0x104: 1, RXDRDY: 2, ENDRX: 4, TXDRDY: 7, ENDTX: 8, ERROR: 9, RXTO: 17, RXSTARTED: 19,
        TXSTARTED: 20, TXSTOPPED: 22,
    }  # fmt: skip
    PLAIN: ClassVar = {
        SHORTS: (ENDRX_STARTRX | ENDRX_STOPRX, 0), ENABLE: (0xF, 0), BAUDRATE: (0xFFFF_FFFF, 0x0400_0000),
        0x508: (0x8000_003F, 0xFFFF_FFFF), PSEL_TXD: (0x8000_003F, 0xFFFF_FFFF),
        0x510: (0x8000_003F, 0xFFFF_FFFF), PSEL_RXD: (0x8000_003F, 0xFFFF_FFFF),
        RXD_PTR: (0xFFFF_FFFF, 0), RXD_MAXCNT: (0xFFFF, 0), TXD_PTR: (0xFFFF_FFFF, 0), TXD_MAXCNT: (0xFFFF, 0),
        CONFIG: (0x1F, 0),
    }  # fmt: skip

    def __init__(self, silicon: "Silicon", at: "At") -> None:
        self._line: deque[int] = deque()  # bytes on their way from the host
        self._fifo: deque[int] = deque()
        self._arrival: Event | None = None
        self._departure: Event | None = None
        self._timeout: Event | None = None
        self._rx: _Buffer | None = None
        self._tx: _Buffer | None = None
        self._listening = self._stopping_tx = False
        self._errors = self._rx_amount = self._tx_amount = 0
        super().__init__(silicon, at)

    # life

    def reset(self) -> None:
        """Registers as after reset; bytes on their way to the board are not lost."""
        super().reset()
        self._errors = self._rx_amount = self._tx_amount = 0
        self.receive(b"")

    def power_off(self) -> None:
        """Nothing stays on the line."""
        super().power_off()
        self._line.clear()
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def stop(self) -> None:
        """Sending and listening end; a byte being sent is lost."""
        for event in (self._departure, self._timeout):
            if event is not None:
                event.cancel()
        self._departure = self._timeout = None
        self._rx = self._tx = None
        self._listening = self._stopping_tx = False
        self._fifo.clear()

    # the line (Console)

    @property
    def active(self) -> bool:
        """Bytes are on the line in either direction."""
        return self._arrival is not None or self._departure is not None

    @property
    def _divider(self) -> int:
        return (1 << 32) // max(self.values[BAUDRATE], 1)

    @property
    def baud(self) -> int:
        """Bits a second that BAUDRATE gives."""
        bit_ps = _TICK_PS * self._divider
        return (10**12 + bit_ps // 2) // bit_ps

    @property
    def byte_ns(self) -> int:
        """Time of one byte on the line in ns: a start bit, eight of data, one or two stop bits."""
        return (11 if self.values[CONFIG] & _TWO_STOP else 10) * _TICK_PS * self._divider // 1000

    def receive(self, data: bytes) -> None:
        """Bytes that the host put on the line, back to back."""
        self._line.extend(data)
        if self._line and self._arrival is None:
            self._arrival = self.silicon.clock.at(self.silicon.clock.now_ns + self.byte_ns, self._arrive)

    def _arrive(self) -> None:
        self._arrival = None
        byte = self._line.popleft()
        if self._listening:
            if not self._connected(PSEL_RXD):
                self.silicon.complain(f"{self.name}: a byte arrives while PSEL.RXD names no pin; it is lost")
            else:
                self._take(byte)
        self.receive(b"")

    def _take(self, byte: int) -> None:
        if self._rx is None and len(self._fifo) == _FIFO:
            self._errors |= _OVERRUN
            self.event(ERROR)
            return
        self._fifo.append(byte)
        self.event(RXDRDY)
        self._drain()

    def _drain(self) -> None:
        """EasyDMA moves what has arrived to the buffer."""
        while self._fifo and self._rx is not None:
            buffer = self._rx
            dma_write(self.silicon, buffer.address + buffer.done, bytes([self._fifo.popleft()]))
            buffer.done += 1
            if buffer.done == buffer.size:
                self._end_rx()

    def _end_rx(self) -> None:
        assert self._rx is not None
        self._rx_amount, self._rx = self._rx.done, None
        self.event(ENDRX)
        if self.values[SHORTS] & ENDRX_STOPRX:
            self._stop_rx()
        elif self.values[SHORTS] & ENDRX_STARTRX and self._timeout is None:
            try:
                self._start_rx()
            except BusFault as fault:
                self.silicon.complain(f"{self.name}: the next receive buffer is unusable: {fault.why}")

    # tasks

    def _start_rx(self) -> None:
        if not self._ready("STARTRX"):
            return
        address, size = self.values[RXD_PTR], self.values[RXD_MAXCNT]
        if not size:
            self.silicon.complain(f"{self.name}: STARTRX with RXD.MAXCNT 0 receives nothing")
            return
        dma_check(self.silicon, address, size)
        self._listening, self._rx = True, _Buffer(address, size)
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
        self.event(RXSTARTED)
        self._drain()

    def _stop_rx(self) -> None:
        if self._ready("STOPRX") and self._timeout is None:
            delay = _STOP_BYTES * self.byte_ns if self._listening else 0
            self._timeout = self.silicon.clock.at(self.silicon.clock.now_ns + delay, self._rx_stopped)

    def _rx_stopped(self) -> None:
        if self._rx is not None:
            self._rx_amount, self._rx = self._rx.done, None
            self.event(ENDRX)
        self._timeout, self._listening = None, False
        self.event(RXTO)

    def _flush_rx(self) -> None:
        if not self._ready("FLUSHRX"):
            return
        if self._fifo:
            address, size = self.values[RXD_PTR], min(self.values[RXD_MAXCNT], len(self._fifo))
            dma_check(self.silicon, address, size)
            self.event(RXSTARTED)
            dma_write(self.silicon, address, bytes(self._fifo.popleft() for _ in range(size)))
            self._rx_amount = size
        self.event(ENDRX)

    def _start_tx(self) -> None:
        if not self._ready("STARTTX"):
            return
        if self._tx is not None:
            self.silicon.complain(f"{self.name}: STARTTX while a transfer is going on; the old one is cut short")
        address, size = self.values[TXD_PTR], self.values[TXD_MAXCNT]
        dma_check(self.silicon, address, size)
        self._tx, self._stopping_tx = _Buffer(address, size), False
        self.event(TXSTARTED)
        if self._departure is None:
            self._shift()

    def _shift(self) -> None:
        """Put the next byte on the line, or end."""
        buffer = self._tx
        if buffer is None or buffer.done == buffer.size or self._stopping_tx:
            self._end_tx()
            return
        byte = dma_read(self.silicon, buffer.address + buffer.done, 1)[0]
        self._departure = self.silicon.clock.at(
            self.silicon.clock.now_ns + self.byte_ns, lambda: self._depart(buffer, byte)
        )

    def _depart(self, buffer: _Buffer, byte: int) -> None:
        self._departure = None
        buffer.done += 1
        self._send(byte)
        self.event(TXDRDY)
        self._shift()

    def _end_tx(self) -> None:
        if self._tx is not None:
            self._tx_amount, self._tx = self._tx.done, None
            self.event(ENDTX)
        if self._stopping_tx:
            self._stopping_tx = False
            self.event(TXSTOPPED)

    def _stop_tx(self) -> None:
        if self._ready("STOPTX"):
            self._stopping_tx = True
            if self._departure is None:
                self._end_tx()

    def _send(self, byte: int) -> None:
        if not self._connected(PSEL_TXD):
            self.silicon.complain(f"{self.name}: a byte is sent while PSEL.TXD names no pin; nobody hears it")
        elif self.name == "console":
            self.silicon.send(byte)

    def _ready(self, task: str) -> bool:
        if self.values[ENABLE] == _ENABLED:
            return True
        self.silicon.complain(f"{self.name}: task {task} while ENABLE is off does nothing")
        return False

    def _connected(self, psel: int) -> bool:
        return not self.values[psel] & UNCONNECTED

    # registers

    def written(self, offset: int) -> None:
        """Modes that are not modelled are refused."""
        if offset == ENABLE:
            if self.values[ENABLE] == _LEGACY:
                self.values[ENABLE] = 0
                raise BusFault(self.base + ENABLE, "the UART without EasyDMA is not modelled")
            if self.values[ENABLE] != _ENABLED:
                self.stop()
        elif offset == CONFIG and self.values[CONFIG] & 0xF:
            self.values[CONFIG] = 0
            raise BusFault(self.base + CONFIG, "parity and hardware flow control are not modelled")

    def read_other(self, offset: int) -> int:
        """ERRORSRC and the amounts."""
        values = {ERRORSRC: self._errors, RXD_AMOUNT: self._rx_amount, TXD_AMOUNT: self._tx_amount}
        return values[offset] if offset in values else super().read_other(offset)

    def write_other(self, offset: int, value: int) -> None:
        """ERRORSRC is cleared by writing ones."""
        if offset == ERRORSRC:
            self._errors &= ~value
        elif offset not in (RXD_AMOUNT, TXD_AMOUNT):
            super().write_other(offset, value)
