"""One SPI memory on a bus of its own, and a hand on its wires."""

import mmap
from types import SimpleNamespace
from typing import Any

from lorafab.virtual.boardfile import StoreFile
from lorafab.virtual.chip import At, Store
from lorafab.virtual.clock import Clock
from lorafab.virtual.parts.spi_memory import SpiMemory
from lorafab.virtual.pins import Pins, SpiBus
from lorafab.virtual.supply import Supply

BYTE_NS = 1_000  # 8 MHz
CS = "P0.17"


def new_store(spec: Store) -> StoreFile:
    """A store as a new board file has it."""
    memory = mmap.mmap(-1, spec.size + 512)
    memory[: spec.size] = bytes([spec.erased]) * spec.size
    return StoreFile(spec, memory, 0, 0, spec.size)


class SpiBench:
    """``kind`` is SpiNor or SpiEeprom, ``part`` its data; a ``store`` of before may be soldered in again."""

    def __init__(self, kind: Any, part: Any, store: StoreFile | None = None, uid: bytes = b"LFVB12345678") -> None:
        self.clock, self.pins, self.bus = Clock(), Pins(), SpiBus()
        self.supply = Supply(self.clock)
        self.store = store or new_store(part.store("memory"))
        self.complaints: list[str] = []
        silicon = SimpleNamespace(
            clock=self.clock,
            pins=self.pins,
            supply=self.supply,
            spi_bus=lambda _name: self.bus,
            file=SimpleNamespace(stores={"memory": self.store}, uid=uid),
            complain=self.complaints.append,
        )
        settings = {"bus": "spi0", "cs": CS, "store": "memory", "part": part}
        self.memory: SpiMemory = kind(silicon, At("memory", kind, settings=settings))
        self.memory.power_on()
        self.pins.chip_drives(CS, True)

    def transfer(self, sent: bytes, cut_bits: int = 0) -> bytes:
        """Bytes between two edges of chip-select, the last cut short after ``cut_bits`` more bits."""
        self.pins.chip_drives(CS, False)
        received = bytearray()
        for byte in sent:
            self.clock.advance_to(self.clock.now_ns + BYTE_NS)
            received.append(self.bus.exchange(byte))
        if cut_bits:
            self.memory.clock(cut_bits)
        self.pins.chip_drives(CS, True)
        return bytes(received)

    def ask(self, sent: bytes, size: int) -> bytes:
        """``size`` bytes that the memory answers to ``sent``."""
        return self.transfer(sent + bytes(size))[len(sent) :]

    def write(self, sent: bytes) -> None:
        """WREN, then ``sent``."""
        self.transfer(b"\x06")
        self.transfer(sent)

    def wait(self, ns: int) -> None:
        self.clock.advance_to(self.clock.now_ns + ns)

    def wait_ready(self) -> int:
        """Wait for the end of the write cycle, if any, by the status register; answers its rest in ns."""
        if not self.memory.busy:
            return 0
        assert self.clock.next_ns is not None
        rest = self.clock.next_ns - self.clock.now_ns
        self.wait(rest - 1)
        assert self.memory.busy
        self.wait(1)
        assert self.ask(b"\x05", 1)[0] & 0b11 == 0
        return rest

    def cut_power(self) -> None:
        self.memory.power_off()
        self.clock.forget_events()
        self.pins.power_off()
        self.supply.off()

    def power_on(self) -> None:
        self.memory.power_on()
        self.pins.chip_drives(CS, True)

    @property
    def array(self) -> bytes:
        return self.store.read(0, self.memory.size)
