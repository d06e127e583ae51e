"""USART1: a byte at a time, with the line time that BRR and the kernel clock give.

Register offsets and bits: CMSIS header ``stm32wle5xx.h`` (USART_TypeDef, USART_*_Pos). Modelled: CR1 UE, RE, TE and
the interrupt enables, OVER8, BRR, PRESC, RXNE, TXE, TC, ORE, IDLE as never set. Not modelled: FIFO mode, parity,
flow control, DMA; the reset value 0xC0 of ISR is unverified.
"""

from collections import deque
from collections.abc import Callable

from lorafab.virtual.bus import BusFault, WordRegisters
from lorafab.virtual.clock import NS_PER_S, Clock, Event
from lorafab.virtual.profile import USART1_BASE

_CR1, _CR2, _CR3, _BRR, _RQR, _ISR, _ICR, _RDR, _TDR, _PRESC = (
    0x00, 0x04, 0x08, 0x0C, 0x18, 0x1C, 0x20, 0x24, 0x28, 0x2C,
)  # fmt: skip
_PLAIN = {_CR1, _CR2, _CR3, _BRR, 0x10, 0x14, _PRESC}
_UE, _RE, _TE, _RXNEIE, _TCIE, _TXEIE, _OVER8, _FIFOEN = 1, 4, 8, 1 << 5, 1 << 6, 1 << 7, 1 << 15, 1 << 29
_EIE = 1  # CR3: error interrupt enable
_OVRDIS = 1 << 12  # CR3
_ORE, _RXNE, _TC, _TXE, _BUSY, _TEACK, _REACK = 1 << 3, 1 << 5, 1 << 6, 1 << 7, 1 << 16, 1 << 21, 1 << 22
_PRESCALERS = (1, 2, 4, 6, 8, 10, 12, 16, 32, 64, 128, 256)  # HAL, stm32wlxx_hal_uart.c: UARTPrescTable
_FRAME_BITS = 10  # 8N1
_GARBAGE = 0xA5  # what a damaged line does to every byte (fault plan uart=garbage)


class Usart(WordRegisters):
    """The register block and both directions of the line.

    ``clock_hz`` gives the kernel clock, ``send`` takes a byte that has left the board, ``irq`` the line's level.
    """

    base = USART1_BASE

    def __init__(
        self,
        clock: Clock,
        clock_hz: Callable[[], int],
        send: Callable[[int], None],
        irq: Callable[[bool], None],
        fault: str | None = None,
    ) -> None:
        self._clock, self._clock_hz, self._send, self._irq, self._fault = clock, clock_hz, send, irq, fault
        self._line: deque[int] = deque()  # bytes on their way from the host
        self._arrival: Event | None = None
        self._departure: Event | None = None
        self.reset()

    def reset(self) -> None:
        """Registers after reset; a byte being sent is lost, bytes on their way to the board are not."""
        self._registers = dict.fromkeys(_PLAIN, 0)
        self._isr, self._rdr = _TC | _TXE, 0
        self._held: int | None = None
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None
        self._update()

    def power_off(self) -> None:
        """Nothing stays on the line."""
        self._line.clear()
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None
        self.reset()

    @property
    def active(self) -> bool:
        """Bytes are on the line in either direction."""
        return self._arrival is not None or self._departure is not None

    @property
    def byte_ns(self) -> int:
        """Time of one byte on the line in ns (8N1); an unset BRR counts as the smallest divider."""
        prescaler = _PRESCALERS[min(self._registers[_PRESC] & 0xF, len(_PRESCALERS) - 1)]
        brr = self._registers[_BRR] & 0xFFFF
        if self._registers[_CR1] & _OVER8:
            brr = (brr & 0xFFF0 | (brr & 7) << 1) >> 1
        return _FRAME_BITS * max(brr, 16) * prescaler * NS_PER_S // self._clock_hz()

    # the line

    def receive(self, data: bytes) -> None:
        """Bytes that the host put on the line, back to back."""
        self._line.extend(data)
        if self._line and self._arrival is None:
            self._arrival = self._clock.at(self._clock.now_ns + self.byte_ns, self._arrive)

    def _arrive(self) -> None:
        self._arrival = None
        byte = self._line.popleft()
        if self._registers[_CR1] & (_UE | _RE) == _UE | _RE:
            if self._isr & _RXNE and not self._registers[_CR3] & _OVRDIS:
                self._isr |= _ORE  # the old byte stays, the new one is lost (overrun error)
            else:
                self._rdr = byte
                self._isr |= _RXNE
        self.receive(b"")
        self._update()

    def _depart(self) -> None:
        byte, self._departure = self._shifting, None
        if self._fault != "silent":
            self._send(byte ^ _GARBAGE if self._fault == "garbage" else byte)
        if self._held is not None:
            held, self._held = self._held, None
            self._shift(held)
            self._isr |= _TXE
        else:
            self._isr |= _TC
        self._update()

    def _shift(self, byte: int) -> None:
        self._shifting = byte
        self._departure = self._clock.at(self._clock.now_ns + self.byte_ns, self._depart)

    # registers

    def read_word(self, offset: int) -> int:
        """Read a register; reading RDR clears RXNE."""
        if offset in _PLAIN:
            return self._registers[offset]
        if offset == _ISR:
            cr1 = self._registers[_CR1]
            acks = (_TEACK if cr1 & _TE else 0) | (_REACK if cr1 & _RE else 0)
            return self._isr | (acks if cr1 & _UE else 0) | (_BUSY if self._arrival is not None else 0)
        if offset == _RDR:
            self._isr &= ~_RXNE
            self._update()
            return self._rdr
        if offset in (_ICR, _RQR, _TDR):
            return 0
        raise BusFault(self.base + offset, "the USART has no such register")

    def write_word(self, offset: int, value: int) -> None:
        """Write a register; writing TDR sends a byte."""
        if offset in _PLAIN:
            if offset == _CR1 and value & _FIFOEN:
                raise BusFault(self.base, "the FIFO mode of the USART is not modelled")
            self._registers[offset] = value
        elif offset == _TDR:
            self._transmit(value & 0xFF)
        elif offset == _ICR:
            self._isr &= ~(value & (_ORE | _TC))
        elif offset == _RQR:
            self._isr &= ~(_RXNE if value & 8 else 0)  # RXFRQ
        elif offset not in (_ISR, _RDR):
            raise BusFault(self.base + offset, "the USART has no such register")
        self._update()

    def peek_word(self, offset: int) -> int:
        """Lanes beside a small write."""
        return self._registers.get(offset, 0)

    def _transmit(self, byte: int) -> None:
        if self._registers[_CR1] & (_UE | _TE) != _UE | _TE:
            return
        self._isr &= ~_TC
        if self._departure is None:
            self._shift(byte)
        else:
            self._held = byte  # a second byte too early replaces the one that waits, as on the part
            self._isr &= ~_TXE

    def _update(self) -> None:
        cr1, isr = self._registers[_CR1], self._isr
        wanted = (_RXNE | _ORE if cr1 & _RXNEIE else 0) | (_TXE if cr1 & _TXEIE else 0) | (_TC if cr1 & _TCIE else 0)
        wanted |= _ORE if self._registers[_CR3] & _EIE else 0
        self._irq(bool(cr1 & _UE and isr & wanted))
