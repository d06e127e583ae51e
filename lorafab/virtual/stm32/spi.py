"""SPI controller, full duplex, frames of 8 or 16 bits, with the FIFOs of WL and L4 or the single buffer of L0.

Register offsets and bits: CMSIS headers ``stm32wle5xx.h``, ``stm32l476xx.h``, ``stm32l072xx.h`` (SPI_TypeDef,
SPI_*_Pos; L0 has CR1.DFF at bit 11 where the others have CR2.DS). Rules: SPI chapters of RM0453, RM0351 and RM0377.

Settings: ``bus``, name of the board's SPI bus that it drives; ``clock``, the bus clock it divides (default ``pclk2``);
``fifo`` (default True; not L0); ``i2s``, whether there are its registers (default True; not L4); ``nss``, the pin that
SSOE pulls low while SPE is set; ``enable``.

A frame is exchanged with the bus when its last bit has been clocked. CPOL and CPHA are kept: the devices of a board
fit. Not modelled and complained about: slave, receive-only and half-duplex modes, CRC, DMA, I2S, TI frames, other
frame sizes.
"""

from collections import deque
from collections.abc import Mapping

from lorafab.virtual.chip import At
from lorafab.virtual.clock import NS_PER_S, Event
from lorafab.virtual.silicon import Silicon, Sleep
from lorafab.virtual.stm32.registers import Reg, Registers

_MSTR, _SPE, _LSBFIRST, _SSI, _SSM, _DFF = 1 << 2, 1 << 6, 1 << 7, 1 << 8, 1 << 9, 1 << 11
_SSOE, _ERRIE, _RXNEIE, _TXEIE, _FRXTH = 1 << 2, 1 << 5, 1 << 6, 1 << 7, 1 << 12
RXNE, TXE, MODF, OVR, BSY = 1, 2, 1 << 5, 1 << 6, 1 << 7
_FIFO_BYTES = 4
_REFUSED_CR1 = {1 << 10: "receive-only mode", 1 << 13: "the CRC unit", 1 << 15: "half duplex"}
_REFUSED_CR2 = {3: "DMA", 1 << 3: "NSS pulses", 1 << 4: "TI frames"}
_I2S = {"I2SCFGR": Reg(0x1C, 0, 0x1FBF, {1 << 11: "I2S"}), "I2SPR": Reg(0x20, 2, 0x3FF)}


class Spi(Registers):
    """The register block; DR takes bytes and half-words by the size of the access, as the FIFO does."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        self._has_fifo = bool(at.settings.get("fifo", True))
        super().__init__(silicon, at)
        self._out: deque[int] = deque()  # bytes, in the order of the line
        self._in: deque[int] = deque()
        self._event: Event | None = None
        self._errors = 0
        self._ovr_read = False

    def layout(self) -> Mapping[str, Reg]:
        """SPI_TypeDef."""
        return {
            "CR1": Reg(0x00, 0, 0xFFFF, _REFUSED_CR1),
            "CR2": Reg(0x04, 0x0700 if self._has_fifo else 0, 0x7FFF if self._has_fifo else 0xF7, _REFUSED_CR2),
            "SR": Reg(0x08, TXE, 0), "DR": Reg(0x0C, 0, 0), "CRCPR": Reg(0x10, 7, 0xFFFF),
            "RXCRCR": Reg(0x14, 0, 0), "TXCRCR": Reg(0x18, 0, 0),
        } | (_I2S if self.settings.get("i2s", True) else {})  # fmt: skip

    # life

    def reset(self) -> None:
        """Off, the FIFOs empty."""
        super().reset()
        self.power_off()

    def power_off(self) -> None:
        """A frame under way is lost."""
        self._cancel()
        self._out.clear()
        self._in.clear()
        self._errors = 0

    def on_sleep(self, depth: Sleep) -> None:
        """A frame is not finished without the clock."""
        if depth is not Sleep.RUN and not self.awake and self._event is not None:
            self.complain("the clock stopped during a frame; it is lost")
            self._cancel()
            del self._out_frame[:]
        elif depth is Sleep.RUN:
            self._begin()

    def _cancel(self) -> None:
        if self._event is not None:
            self._event.cancel()
            self._event = None
        self._out_frame: list[int] = []

    # frames

    @property
    def _frame_bytes(self) -> int:
        if not self._has_fifo:
            return 2 if self.r["CR1"] & _DFF else 1
        return 2 if self.r["CR2"] >> 8 & 0xF > 7 else 1

    def frame_ns(self) -> int:
        """Time of one frame in ns; 0 without a clock."""
        hz = self.silicon.hz(str(self.settings.get("clock", "pclk2"))) if self.awake else 0
        return 8 * self._frame_bytes * (2 << (self.r["CR1"] >> 3 & 7)) * NS_PER_S // hz if hz else 0

    def _begin(self) -> None:
        on = self.r["CR1"] & (_SPE | _MSTR) == _SPE | _MSTR
        size, time_ns = self._frame_bytes, self.frame_ns()
        if on and time_ns and self._event is None and len(self._out) >= size:
            self._out_frame = [self._out.popleft() for _ in range(size)]
            self._event = self.silicon.clock.at(self.silicon.clock.now_ns + time_ns, self._end)
        self._signal()

    def _end(self) -> None:
        self._event = None
        bus = self.silicon.spi_bus(str(self.settings["bus"]))
        lsb_first = bool(self.r["CR1"] & _LSBFIRST)
        order = self._out_frame if not lsb_first else self._out_frame[::-1]
        answer = [_turned(bus.exchange(_turned(byte, lsb_first)), lsb_first) for byte in order]
        room = _FIFO_BYTES if self._has_fifo else self._frame_bytes
        if len(self._in) + len(answer) <= room:
            self._in.extend(answer if not lsb_first else answer[::-1])
        else:
            self._errors |= OVR
        self._begin()

    # registers

    def read(self, offset: int, size: int) -> int:
        """DR gives as many bytes as the access has, a half-word at most."""
        if offset != self._layout["DR"].offset or size > 2:
            return super().read(offset, size)
        return self._take(size)

    def write(self, offset: int, size: int, value: int) -> None:
        """DR takes as many bytes as the access has, a half-word at most."""
        if offset != self._layout["DR"].offset:
            super().write(offset, size, value)
        else:
            self._put(min(size, 2), value)

    def read_register(self, name: str) -> int:
        """OVR goes by reading DR, then SR; MODF by reading SR, then writing CR1."""
        if name == "DR":
            return self._take(2)
        if name != "SR":
            return self.r[name]
        status = self._status()
        if self._ovr_read:
            self._errors &= ~OVR
            self._ovr_read = False
            self._signal()
        return status

    def _take(self, size: int) -> int:
        self._ovr_read = bool(self._errors & OVR)
        size = min(size, 2) if self._has_fifo else self._frame_bytes
        if self._frame_bytes == 2:
            size = 2
        taken = [self._in.popleft() if self._in else 0 for _ in range(size)]
        self._signal()
        # A frame of 16 bits has its high byte first on the line; two packed frames of 8 bits come low byte first.
        return taken[0] if size == 1 else _word(taken, self._frame_bytes == 2)

    def _put(self, size: int, value: int) -> None:
        if self._frame_bytes == 2 or not self._has_fifo:
            size = self._frame_bytes
        new = [value & 0xFF] if size == 1 else [value & 0xFF, value >> 8 & 0xFF]
        room = _FIFO_BYTES if self._has_fifo else self._frame_bytes
        if len(self._out) + size > room:
            self.complain("DR was written while TXE is 0; the data is lost")
            return
        self._out.extend(new[::-1] if self._frame_bytes == 2 else new)
        self._begin()

    def _status(self) -> int:
        if not self._has_fifo:
            full = len(self._in) >= self._frame_bytes
            return self._errors | (RXNE if full else 0) | (0 if self._out else TXE) | self._busy()
        threshold = 1 if self.r["CR2"] & _FRXTH else 2
        received = RXNE if len(self._in) >= threshold else 0
        room = TXE if len(self._out) <= _FIFO_BYTES // 2 else 0
        levels = _level(len(self._in)) << 9 | _level(len(self._out)) << 11
        return self._errors | received | room | levels | self._busy()

    def _busy(self) -> int:
        return BSY if self._event is not None or (self._out and self.r["CR1"] & _SPE) else 0

    def write_register(self, name: str, value: int) -> None:
        """SPE starts what waits in DR."""
        if name == "DR":
            self._put(2, value)
            return
        if name == "SR":
            return
        self.store(name, value)
        if name == "CR2" and self._has_fifo and self.r["CR2"] >> 8 & 0xF not in (7, 15):
            if self.r["CR2"] >> 8 & 0xF < 3:
                self.r["CR2"] |= 0x700  # sizes below 4 bits are forced to 8 (SPI_CR2.DS)
            else:
                self.complain("frames other than 8 and 16 bits are not modelled")
        if name == "CR1":
            self._switch()
        self._drive_nss()
        self._begin()

    def _switch(self) -> None:
        control = self.r["CR1"]
        self._errors &= ~MODF
        if control & _SPE and not control & _MSTR:
            self.complain("slave mode is not modelled")
        if control & (_SPE | _MSTR) == _SPE | _MSTR and not control & _SSM and not self.r["CR2"] & _SSOE:
            self.complain("a controller with NSS as its input is not modelled")
        if control & _MSTR and control & _SSM and not control & _SSI:
            self.r["CR1"] &= ~(_MSTR | _SPE)  # the internal NSS is low (MODF)
            self._errors |= MODF
            self.complain("MSTR with SSM 1 and SSI 0 is a mode fault")
        if not self.r["CR1"] & _SPE:
            self._out.clear()

    def _drive_nss(self) -> None:
        pin = self.settings.get("nss")
        hardware = not self.r["CR1"] & _SSM and self.r["CR2"] & _SSOE
        if pin is not None and hardware:
            self.silicon.pins.chip_drives(str(pin), not self.r["CR1"] & _SPE)

    def _signal(self) -> None:
        status, wanted = self._status(), 0
        control = self.r["CR2"]
        for enable, flags in ((_TXEIE, TXE), (_RXNEIE, RXNE), (_ERRIE, OVR | MODF)):
            wanted |= flags if control & enable else 0
        self.irq(bool(status & wanted))


def _turned(byte: int, wanted: bool) -> int:
    """The bits of a byte in the other order."""
    return int(f"{byte:08b}"[::-1], 2) if wanted else byte


def _word(pair: list[int], high_first: bool) -> int:
    return pair[0] << 8 | pair[1] if high_first else pair[1] << 8 | pair[0]


def _level(count: int) -> int:
    """FRLVL and FTLVL: empty, a quarter, half, full."""
    return (0, 1, 2, 2, 3)[count]
