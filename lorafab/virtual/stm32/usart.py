"""USART and LPUART: characters one at a time, as long as their frame takes, with or without FIFOs.

Register offsets and bits: CMSIS headers ``stm32wle5xx.h``, ``stm32l476xx.h``, ``stm32l072xx.h`` (USART_TypeDef,
USART_*_Pos). Prescalers: HAL, UARTPrescTable. Rules: USART and LPUART chapters of RM0453 and RM0351. FIFOs of 8 and
their thresholds: HAL, RX_FIFO_DEPTH and UARTEx_SetNbDataToProcess. ISR after reset, 0xC0: unverified.

Settings: ``number``, such as 1 for USART1 or LPUART1; ``fifo``, whether it has FIFOs and a prescaler (default True, WL;
not L0 and L4); ``tx`` and ``rx``, pins and alternate functions that carry the line, such as ``{"PB6": 7}`` (default:
not checked); ``enable``, ``exti``. The part named ``console`` is wired to the board's connector, others to nothing.

Modelled: 7 to 9 bits, parity, stop bits, oversampling by 8, overrun, idle line, character match, FIFO thresholds,
wake-up from Stop with HSI16 or LSE (UESM, WUS). The other end of the line uses the frame that is set here; what
another rate does to a byte is the line's business. A frame that is under way keeps its time when the clock changes;
one that is being sent when Stop takes the clock away is lost. Not modelled and complained about: DMA, flow control,
synchronous, LIN, IrDA, smartcard and half-duplex modes, mute mode, automatic baud rate, receiver time-out, inverted or
swapped lines, break. The idle frame after TE is not sent.
"""

from collections import deque
from collections.abc import Mapping
from typing import ClassVar

from lorafab.virtual.chip import At
from lorafab.virtual.clock import NS_PER_S, Event
from lorafab.virtual.silicon import Silicon, Sleep
from lorafab.virtual.stm32.gpio import reaches
from lorafab.virtual.stm32.rcc_base import HSI16_HZ
from lorafab.virtual.stm32.registers import Reg, Registers

_UE, _UESM, _RE, _TE = 1, 2, 4, 8
_IDLEIE, _RXNEIE, _TCIE, _TXEIE, _PEIE = 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8
_PS, _PCE, _M0, _CMIE, _OVER8, _M1 = 1 << 9, 1 << 10, 1 << 12, 1 << 14, 1 << 15, 1 << 28
_FIFOEN, _TXFEIE, _RXFFIE = 1 << 29, 1 << 30, 1 << 31
_FIXED_CR1 = _PS | _PCE | _M0 | _M1 | _OVER8 | _FIFOEN  # only while UE is 0
_EIE, _OVRDIS, _WUFIE, _TXFTIE, _RXFTIE = 1, 1 << 12, 1 << 22, 1 << 23, 1 << 28
PE, FE, NE, ORE, IDLE, RXNE, TC, TXE = (1 << n for n in range(8))
_BUSY, _CMF, _WUF, _TEACK, _REACK = 1 << 16, 1 << 17, 1 << 20, 1 << 21, 1 << 22
_TXFE, _RXFF, _RXFT, _TXFT = 1 << 23, 1 << 24, 1 << 26, 1 << 27
_KEPT_FLAGS = PE | FE | NE | ORE | IDLE | TC | _CMF | _WUF  # the others follow from what the data registers hold
_RXFRQ, _TXFRQ = 8, 16
_PRESCALERS = (1, 2, 4, 6, 8, 10, 12, 16, 32, 64, 128, 256)
_DEPTH = 8
_THRESHOLDS = (1, 2, 4, 6, 7, 8)  # eighths of the FIFO by RXFTCFG and TXFTCFG
_STOP_HALVES = (2, 1, 4, 3)  # CR2.STOP: 1, 0.5, 2, 1.5 stop bits
_UNSET_NS = 86_806  # a byte of a line whose receiver has no rate: 10 bits at 115200 baud
_REFUSED_CR2 = {
    1 << 11: "the synchronous mode", 1 << 14: "LIN", 1 << 15: "swapping TX and RX", 3 << 16: "an inverted line",
    3 << 18: "inverted or reversed data", 1 << 20: "automatic baud rate", 1 << 23: "the receiver time-out",
}  # fmt: skip
_REFUSED_CR3 = {
    1 << 1: "IrDA", 1 << 3: "half duplex", 1 << 5: "smartcard", 3 << 6: "DMA", 3 << 8: "flow control with RTS and CTS",
    1 << 14: "driver enable",
}  # fmt: skip


class Usart(Registers):
    """The register block and both directions of the line. Also the console's interface for the board's wire."""

    KERNEL: ClassVar[str] = "usart"
    LOWEST_BRR: ClassVar[int] = 16

    def __init__(self, silicon: Silicon, at: At) -> None:
        super().__init__(silicon, at)
        self._kernel = f"{self.KERNEL}{self.settings['number']}"
        self._line: deque[tuple[int, int]] = deque()  # characters on their way here, with their error flags
        self._received: deque[tuple[int, int]] = deque()  # RDR, and the FIFO behind it
        self._waiting: deque[int] = deque()  # TDR, or the transmit FIFO
        self._shifting = self._flags = 0
        self._arrival: Event | None = None
        self._departure: Event | None = None
        self._idle: Event | None = None
        self._cut = False
        self._line_ns = _UNSET_NS
        self._enables, self._wanted = (0, 0), 0  # CR1 and CR3, and the flags that interrupt with them
        self._forget()

    def layout(self) -> Mapping[str, Reg]:
        """USART_TypeDef; PRESC and the FIFO bits only with ``fifo``."""
        fifo = bool(self.settings.get("fifo", True))
        registers = {
            "CR1": Reg(0x00, 0, 0xFFFF_FFFF if fifo else 0x1FFF_FFFF, {1 << 13: "mute mode"}),
            "CR2": Reg(0x04, 0, 0xFFFF_FFF0, _REFUSED_CR2),
            "CR3": Reg(0x08, 0, 0xFFF0_FFFF if fifo else 0x0070_FFFF, _REFUSED_CR3),
            "BRR": Reg(0x0C, 0, 0xF_FFFF), "GTPR": Reg(0x10), "RTOR": Reg(0x14),
            "RQR": Reg(0x18, 0, 0, {1: "automatic baud rate", 2: "sending a break", 4: "mute mode"}),
            "ISR": Reg(0x1C, 0, 0), "ICR": Reg(0x20, 0, 0), "RDR": Reg(0x24, 0, 0), "TDR": Reg(0x28, 0, 0),
        }  # fmt: skip
        return registers | ({"PRESC": Reg(0x2C, 0, 0xF)} if fifo else {})

    # life

    def reset(self) -> None:
        """Registers after reset; a character being sent is lost, those on their way here are not."""
        self._cut = False
        self._forget()
        super().reset()

    def power_off(self) -> None:
        """Nothing stays on the line."""
        self._line.clear()
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None
        self.reset()

    def on_sleep(self, depth: Sleep) -> None:
        """Without its clock nothing is sent; what was being sent is lost."""
        if depth is not Sleep.RUN and self._departure is not None and not self._kernel_hz():
            self.complain("the clock stopped while a character was being sent; it is lost")
            self._departure.cancel()
            self._departure, self._cut = None, True
        elif depth is Sleep.RUN and self._cut:
            self._cut = False
            self._sent()

    def _forget(self) -> None:
        """As UE 0 does: all that is under way is dropped, the flags are as after reset."""
        for event in (self._departure, self._idle):
            if event is not None:
                event.cancel()
        self._departure = self._idle = None
        self._received.clear()
        self._waiting.clear()
        self._flags = TC

    @property
    def active(self) -> bool:
        """Characters are on the line in either direction."""
        return self._arrival is not None or self._departure is not None

    # the line's time

    @property
    def byte_ns(self) -> int:
        """Time of one frame on the line in ns; without a rate or a clock the last one, at first that of 115200 8N1."""
        hz, divider = self._kernel_hz(), self._divider()
        if hz and divider:
            halves = 2 * (1 + self._word_bits()) + _STOP_HALVES[self.r["CR2"] >> 12 & 3]
            self._line_ns = halves * divider * self._prescaler() * NS_PER_S // (2 * hz * self._fraction())
        return self._line_ns

    @property
    def baud(self) -> int:
        """Bits a second that clock and divider give; 0 while it is off."""
        hz, divider = self._kernel_hz(), self._divider()
        if not (self.r["CR1"] & _UE and hz and divider):
            return 0
        return round(hz * self._fraction() / (divider * self._prescaler()))

    def _prescaler(self) -> int:
        return _PRESCALERS[min(self.r.get("PRESC", 0), len(_PRESCALERS) - 1)]

    def _divider(self) -> int:
        brr = self.r["BRR"] & 0xFFFF
        if self.r["CR1"] & _OVER8:
            brr = (brr & 0xFFF0 | (brr & 7) << 1) >> 1
        return brr

    def _fraction(self) -> int:
        """How many units of BRR are one clock."""
        return 1

    def _word_bits(self) -> int:
        """Data and parity bits."""
        return 9 if self.r["CR1"] & _M0 else 7 if self.r["CR1"] & _M1 else 8

    def _kernel_hz(self) -> int:
        """The kernel clock; in Stop only HSI16 and LSE, which UESM asks for."""
        clocks = self.rcc
        if self.awake:
            return int(clocks.hz(self._kernel))
        if self.silicon.sleep is Sleep.STOP and self.r["CR1"] & _UESM:
            source = clocks.source(self._kernel)
            return HSI16_HZ if source == "hsi16" else int(clocks.hz(source)) if source[:3] == "lse" else 0
        return 0

    # receiving

    def receive(self, data: bytes, errors: int = 0) -> None:
        """Characters that the host put on the line, back to back; ``errors`` are FE, NE and PE of each."""
        self._line.extend((byte, errors) for byte in data)
        if self._line and self._arrival is None:
            self._arrival = self.silicon.clock.at(self.silicon.clock.now_ns + self.byte_ns, self._arrive)
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
            self._wake(2)

    def _arrive(self) -> None:
        self._arrival = None
        byte, errors = self._line.popleft()
        if self._hears():
            self._take(byte, errors)
            self._idle = self.silicon.clock.at(self.silicon.clock.now_ns + self.byte_ns, self._fell_idle)
        self.receive(b"")
        self._update()

    def _hears(self) -> bool:
        on = self.r["CR1"] & (_UE | _RE) == _UE | _RE
        return on and bool(self._kernel_hz()) and reaches_pin(self, "rx")

    def _take(self, byte: int, errors: int) -> None:
        value = self._with_parity(byte)
        if len(self._received) < (_DEPTH + 1 if self._fifo else 1):
            self._received.append((value, errors))
            if len(self._received) == 1:
                self._flags |= errors
        elif self.r["CR3"] & _OVRDIS:
            self._received[-1] = (value, errors)
        else:
            self._flags |= ORE  # the old character stays, the new one is lost
        if byte == self.r["CR2"] >> 24:
            self._flags |= _CMF
        self._wake(3)

    def _with_parity(self, byte: int) -> int:
        """The character as it stands in RDR, its parity bit on top."""
        bits = self._word_bits()
        if not self.r["CR1"] & _PCE:
            return byte & (1 << bits) - 1
        byte &= (1 << bits - 1) - 1
        odd = byte.bit_count() & 1 ^ bool(self.r["CR1"] & _PS)
        return byte | odd << bits - 1

    def _wake(self, event: int) -> None:
        """WUF: in Stop, at a start bit (WUS 2) or a character (3)."""
        asleep = self.silicon.sleep is Sleep.STOP and self.r["CR1"] & _UESM and self._hears()
        if asleep and self.r["CR3"] >> 20 & 3 == event:
            self._flags |= _WUF
            self._update()

    def _fell_idle(self) -> None:
        self._idle = None
        self._flags |= IDLE
        self._update()

    # sending

    @property
    def _fifo(self) -> bool:
        return bool(self.r["CR1"] & _FIFOEN)

    def _transmit(self, value: int) -> None:
        if self.r["CR1"] & (_UE | _TE) != _UE | _TE:
            return
        self._flags &= ~TC
        if self._departure is None and not self._cut:
            self._shift(value)
        elif len(self._waiting) < (_DEPTH if self._fifo else 1):
            self._waiting.append(value)
        else:
            self._waiting[-1] = value  # one too early replaces the one that waits
            if self._fifo:
                self.complain("a character was written to a full transmit FIFO")

    def _shift(self, value: int) -> None:
        if not self._kernel_hz():
            self.complain("a character cannot be sent without a kernel clock")
            self._shifting, self._cut = value, True
            return
        self._shifting = value
        self._departure = self.silicon.clock.at(self.silicon.clock.now_ns + self.byte_ns, self._depart)

    def _depart(self) -> None:
        value, self._departure = self._shifting, None
        data_bits = self._word_bits() - bool(self.r["CR1"] & _PCE)
        if data_bits > 8:
            self.complain("characters of nine data bits reach the host without the ninth")
        if self.name == "console" and reaches_pin(self, "tx"):
            self.silicon.send(value & (1 << data_bits) - 1 & 0xFF)
        self._sent()

    def _sent(self) -> None:
        if self._waiting:
            self._shift(self._waiting.popleft())
        else:
            self._flags |= TC
        self._update()

    # registers

    def read_register(self, name: str) -> int:
        """Reading RDR takes a character."""
        if name == "ISR":
            return self._status()
        if name == "RDR":
            return self._take_received()
        return self.r[name]

    def _take_received(self) -> int:
        if self._received:
            self.r["RDR"] = self._received.popleft()[0]
            if self._received:
                self._flags |= self._received[0][1]
            self._update()
        return self.r["RDR"]

    def _status(self) -> int:
        cr1, cr3 = self.r["CR1"], self.r["CR3"]
        status = self._flags | (RXNE if self._received else 0)
        if cr1 & _UE:
            status |= (_TEACK if cr1 & _TE else 0) | (_REACK if cr1 & _RE else 0)
        if self._arrival is not None and cr1 & (_UE | _RE) == _UE | _RE:
            status |= _BUSY
        free = (_DEPTH if self._fifo else 1) - len(self._waiting)
        status |= TXE if free else 0
        if self._fifo:
            status |= _TXFE if free == _DEPTH else 0
            status |= _RXFF if len(self._received) > _DEPTH else 0
            status |= _RXFT if len(self._received) >= _threshold(cr3 >> 25) else 0
            status |= _TXFT if free >= _threshold(cr3 >> 29) else 0
        return status

    def write_register(self, name: str, value: int) -> None:
        """Writing TDR sends a character."""
        if name == "TDR":
            self._transmit(value & 0x1FF)
        elif name == "ICR":
            self._flags &= ~(value & _KEPT_FLAGS)
        elif name == "RQR":
            self._request(value)
        else:
            self._configure(name, value)
        self._update()

    def _request(self, value: int) -> None:
        if value & _RXFRQ:
            self._received.clear()
        if value & _TXFRQ:
            self._waiting.clear()

    def _configure(self, name: str, value: int) -> None:
        if self.r["CR1"] & _UE and value & _UE | (name != "CR1"):
            fixed = {"CR1": _FIXED_CR1, "BRR": 0xFFFF_FFFF, "PRESC": 0xF, "CR2": 3 << 12}.get(name, 0)
            if (value ^ self.r[name]) & fixed:
                self.complain(f"write to {name} while UE is 1 does not change frame or rate")
                value = value & ~fixed | self.r[name] & fixed
        was = self.r["CR1"] & _UE
        self.store(name, value)
        if name == "CR1" and was and not value & _UE:
            self._cut = False
            self._forget()
        if name == "CR1" and value & _UE and not was and self.r["BRR"] < self.LOWEST_BRR:
            self.complain(f"BRR is {self.r['BRR']:#x}, wanted at least {self.LOWEST_BRR:#x}")

    def _update(self) -> None:
        cr1, cr3 = self.r["CR1"], self.r["CR3"]
        if (cr1, cr3) != self._enables:
            self._enables, self._wanted = (cr1, cr3), _interrupting(cr1, cr3)
        self.irq(bool(self._wanted and self._status() & self._wanted))


def _interrupting(cr1: int, cr3: int) -> int:
    """Which flags of ISR drive the interrupt line."""
    wanted = 0
    for enabled, flags in (
        (cr1 & _RXNEIE, RXNE | ORE), (cr1 & _TXEIE, TXE), (cr1 & _TCIE, TC), (cr1 & _IDLEIE, IDLE),
        (cr1 & _PEIE, PE), (cr3 & _EIE, FE | NE | ORE), (cr1 & _CMIE, _CMF), (cr3 & _WUFIE, _WUF),
        (cr1 & _TXFEIE, _TXFE), (cr1 & _RXFFIE, _RXFF), (cr3 & _TXFTIE, _TXFT), (cr3 & _RXFTIE, _RXFT),
    ):  # fmt: skip
        wanted |= flags if enabled else 0
    return wanted if cr1 & _UE else 0


class Lpuart(Usart):
    """LPUART: BRR counts 256ths of its clock, so that LSE is enough for 9600 baud (HAL, UART_DIV_LPUART)."""

    KERNEL = "lpuart"
    LOWEST_BRR = 0x300

    def _divider(self) -> int:
        return self.r["BRR"]

    def _fraction(self) -> int:
        return 256


def _threshold(code: int) -> int:
    return _THRESHOLDS[min(code & 7, len(_THRESHOLDS) - 1)]


def reaches_pin(part: Registers, which: str) -> bool:
    """Whether the part's signal ``which`` (a setting with pins and functions) is on a pin; complains when it is not."""
    pins = part.settings.get(which)
    if not pins or reaches(part.silicon, pins):
        return True
    part.complain(f"{which} reaches no pin, wanted alternate function {pins} in the GPIO")
    return False
