"""SPIM: an SPI controller with EasyDMA.

Registers and bits: MDK ``nrf52840.h`` (NRF_SPIM_Type) and ``nrf52840_bitfields.h`` (SPIM_*). A transfer is as long as
the longer of the two buffers; beyond the end of TXD it sends ORC, beyond the end of RXD what arrives is dropped
(product specification, chapter SPIM). Chip-select is a GPIO pin that firmware moves. The bytes are exchanged with the
devices when the transfer ends, all at once: firmware that lifts chip-select before END loses them, as it should.

``settings["bus"]`` names the bus that it drives; a controller without one sees nothing but ones. Only modes 0 and 3
reach the devices, which take no other. Not modelled: EasyDMA lists, SPIM3, and the other peripherals of the block
(SPI, SPIS, TWI, TWIM, TWIS), all of them bus faults. Unverified: no pause between bytes.
"""

from typing import TYPE_CHECKING, ClassVar

from lorafab.virtual.bus import BusFault
from lorafab.virtual.clock import NS_PER_S, Event
from lorafab.virtual.nrf52.peripheral import UNCONNECTED, Peripheral, dma_check, dma_read, dma_write

if TYPE_CHECKING:
    from lorafab.virtual.chip import At
    from lorafab.virtual.silicon import Silicon

STOPPED, ENDRX, END, ENDTX, STARTED = 0x104, 0x110, 0x118, 0x120, 0x14C
SHORTS, ENABLE, PSEL_SCK, PSEL_MOSI, PSEL_MISO, FREQUENCY = 0x200, 0x500, 0x508, 0x50C, 0x510, 0x524
RXD_PTR, RXD_MAXCNT, RXD_AMOUNT, RXD_LIST, TXD_PTR, TXD_MAXCNT, TXD_AMOUNT, TXD_LIST, CONFIG, ORC = (
    0x534, 0x538, 0x53C, 0x540, 0x544, 0x548, 0x54C, 0x550, 0x554, 0x5C0,
)  # fmt: skip
_ENABLED = 7
_END_START = 1 << 17
_LSB_FIRST = 1
_MODES_WRONG = (2, 4)  # CPHA without CPOL, CPOL without CPHA
_ONE_MHZ = 0x1000_0000
_FREQUENCIES = tuple(_ONE_MHZ >> 3 << n for n in range(7))  # 125 kHz to 8 MHz
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Spim(Peripheral):
    """One controller."""

    TASKS: ClassVar = {0x010: "_start", 0x014: "_stop"}
    EVENTS: ClassVar = {STOPPED: 1, ENDRX: 4, END: 6, ENDTX: 8, STARTED: 19}
    PLAIN: ClassVar = {
        SHORTS: (_END_START, 0), ENABLE: (0xF, 0), FREQUENCY: (0xFFFF_FFFF, 0x0400_0000), CONFIG: (7, 0),
        PSEL_SCK: (0x8000_003F, 0xFFFF_FFFF), PSEL_MOSI: (0x8000_003F, 0xFFFF_FFFF),
        PSEL_MISO: (0x8000_003F, 0xFFFF_FFFF), RXD_PTR: (0xFFFF_FFFF, 0), RXD_MAXCNT: (0xFFFF, 0), RXD_LIST: (3, 0),
        TXD_PTR: (0xFFFF_FFFF, 0), TXD_MAXCNT: (0xFFFF, 0), TXD_LIST: (3, 0), ORC: (0xFF, 0),
    }  # fmt: skip

    def __init__(self, silicon: "Silicon", at: "At") -> None:
        self._transfer: Event | None = None
        self._tx = self._rx = (0, 0)  # address and size
        self._amounts = {RXD_AMOUNT: 0, TXD_AMOUNT: 0}
        super().__init__(silicon, at)
        bus = at.settings.get("bus")
        self._bus = None if bus is None else silicon.spi_bus(str(bus))

    def reset(self) -> None:
        """Registers as after reset."""
        super().reset()
        self._amounts = {RXD_AMOUNT: 0, TXD_AMOUNT: 0}

    def stop(self) -> None:
        """A transfer ends where it is."""
        if self._transfer is not None:
            self._transfer.cancel()
            self._transfer = None

    # tasks

    def _start(self) -> None:
        if self.values[ENABLE] != _ENABLED:
            self.silicon.complain(f"{self.name}: task START while ENABLE is off does nothing")
            return
        if self._transfer is not None:
            self.silicon.complain(f"{self.name}: task START while a transfer is going on does nothing")
            return
        self._tx = (self.values[TXD_PTR], self.values[TXD_MAXCNT])
        self._rx = (self.values[RXD_PTR], self.values[RXD_MAXCNT])
        for address, size in (self._tx, self._rx):
            if size:
                dma_check(self.silicon, address, size)
        clocks = 8 * max(self._tx[1], self._rx[1], 1)  # without a byte it ends at once, which takes a moment, too
        duration = clocks * NS_PER_S * _ONE_MHZ // (self.values[FREQUENCY] * 1_000_000)
        self._transfer = self.silicon.clock.at(self.silicon.clock.now_ns + duration, self._done)
        self.event(STARTED)

    def _stop(self) -> None:
        if self._transfer is not None:
            self.stop()
            self.silicon.complain(f"{self.name}: task STOP cuts a transfer short; none of its bytes is exchanged")
        self.event(STOPPED)

    def _done(self) -> None:
        self._transfer = None
        data = dma_read(self.silicon, *self._tx) if self._tx[1] else b""
        length = max(self._tx[1], self._rx[1])
        answer = self._exchange(data.ljust(length, bytes([self.values[ORC]])))[: self._rx[1]]
        if answer:
            dma_write(self.silicon, self._rx[0], answer)
        self._amounts = {RXD_AMOUNT: self._rx[1], TXD_AMOUNT: self._tx[1]}
        for event in (ENDRX, ENDTX, END):
            self.event(event)
        if self.values[SHORTS] & _END_START:
            try:
                self._start()
            except BusFault as fault:
                self.silicon.complain(f"{self.name}: the next buffer is unusable: {fault.why}")

    def _exchange(self, data: bytes) -> bytes:
        if self._bus is None or not self._wired():
            return b"\xff" * len(data)
        if self.values[CONFIG] & _LSB_FIRST:
            return bytes(_REVERSED[self._bus.exchange(_REVERSED[byte])] for byte in data)
        return bytes(self._bus.exchange(byte) for byte in data)

    def _wired(self) -> bool:
        """Whether the devices see what they understand."""
        if any(self.values[psel] & UNCONNECTED for psel in (PSEL_SCK, PSEL_MOSI, PSEL_MISO)):
            self.silicon.complain(f"{self.name}: a transfer while a PSEL register names no pin reaches no device")
            return False
        if self.values[CONFIG] & 6 in _MODES_WRONG:
            self.silicon.complain(f"{self.name}: SPI modes 1 and 2 reach none of the devices on this board")
            return False
        return True

    # registers

    def written(self, offset: int) -> None:
        """What is not modelled is refused."""
        value = self.values.get(offset, 0)
        if offset == ENABLE and value not in (0, _ENABLED):
            self.values[ENABLE] = 0
            raise BusFault(self.base + ENABLE, "of the peripherals at this address only SPIM is modelled")
        if offset == ENABLE and not value:
            self.stop()
        if offset == FREQUENCY and value not in _FREQUENCIES:
            self.values[FREQUENCY] = _ONE_MHZ >> 2
            raise BusFault(self.base + FREQUENCY, f"{value:#010x} is no frequency of this SPIM")
        if offset in (RXD_LIST, TXD_LIST) and value:
            self.values[offset] = 0
            raise BusFault(self.base + offset, "EasyDMA lists are not modelled")

    def read_other(self, offset: int) -> int:
        """How much was transferred."""
        return self._amounts[offset] if offset in self._amounts else super().read_other(offset)

    def write_other(self, offset: int, value: int) -> None:
        """The amounts can only be read."""
        if offset not in self._amounts:
            super().write_other(offset, value)
