"""The smallest thing that a debug port can be put on: 16 KiB of RAM, a slow word, and what a test wants of the rest."""

import struct
import threading
from collections.abc import Sequence
from typing import Any

from lorafab.virtual.bus import BusFault, BusStall
from lorafab.virtual.chip import Chip, CoreSpec, Currents, FlashTimes, MemoryAp, PartAp, Ram, Store
from lorafab.virtual.clock import Clock
from lorafab.virtual.dap import SwDp
from lorafab.virtual.faults import ActiveFaults, FaultPlan

RAM = 0x2000_0000
RAM_SIZE = 0x4000
SLOW = 0x4000_0000
"""A word that the bus holds until ``RamBoard.slow_until``."""


def chip(**changes: Any) -> Chip:
    """A chip with SW-DP version 2, two MEM-APs, of which the second reaches nothing, and a part as AP 2."""
    told: dict[str, Any] = {
        "name": "test",
        "title": "test chip",
        "target": "cortex_m",
        "core": CoreSpec("Cortex-M4", "CORTEX_M4", 0x410F_C241, True, 32, 4, 6, 2, 4),
        "dpidr": 0x6BA0_2477,
        "targetid": 0x0497_0041,
        "aps": (
            MemoryAp(0, idr=0x2477_0011, base=0xE00F_F003, csw=0x2300_0040),
            MemoryAp(1, idr=0x8477_0001, base=0xF000_0003, csw=0x4380_0040, reaches=False),
            PartAp(2, "door"),
        ),
        "rom_table": 0xE00F_F000,
        "rom_pid": 0,
        "flash_base": 0x0800_0000,
        "flash_times": FlashTimes(page=0x800, erase_ns=20_000_000, unit=8, program_ns=80_000, mass_ns=None),
        "stores": (Store("flash", 0x1000, cell=8),),
        "options": (),
        "rams": (Ram("RAM", RAM, RAM_SIZE),),
        "parts": (),
        "currents": Currents(0, 0, 0, 0, 0),
    }
    return Chip(**told | changes)


class Door:
    """A part that is an access port: it keeps what is written."""

    def __init__(self) -> None:
        self.registers = {0xFC: 0x0288_0000}

    def ap_read(self, register: int) -> int:
        """Read a register."""
        return self.registers.get(register, 0)

    def ap_write(self, register: int, value: int) -> None:
        """Write a register."""
        self.registers[register] = value


class RamBoard:
    """Implements what SwDp and CmsisDap ask of a board."""

    def __init__(self, plan: str = "", of: Chip | None = None) -> None:
        self.chip = of or chip()
        self.powered, self.power_cycles, self.dpidr = True, 1, self.chip.dpidr
        self.lock = threading.RLock()
        self.clock = Clock()
        self.faults = ActiveFaults(FaultPlan.parse(plan), self.clock)
        self.ram = bytearray(RAM_SIZE)
        self.slow_until, self.slow_word, self.slow_writes = 0, 0x51_0000, list[int]()
        self.torn: int | None = None
        """A word that faults."""
        self.enabled, self.holds_power = True, False
        self.accesses = 0
        self.door = Door()
        self.swd = SwDp(self)

    @property
    def now_ns(self) -> int:
        """Simulated time."""
        return self.clock.now_ns

    def advance(self, ns: int) -> None:
        """Time passes."""
        self.clock.advance_to(self.clock.now_ns + ns)

    def debug_enabled(self, ap_number: int) -> bool:
        """As the test says."""
        return self.enabled

    def ap_part(self, name: str) -> Door:
        """The door."""
        assert name == "door"
        return self.door

    def hold_debug_power(self, held: bool) -> None:
        """Remember it."""
        self.holds_power = held

    def mem_read(self, address: int, size: int) -> int:
        """RAM, or the slow word."""
        if address == SLOW:
            self._wait()
            return self.slow_word
        offset = self._offset(address, size)
        return int.from_bytes(self.ram[offset : offset + size], "little")

    def mem_write(self, address: int, size: int, value: int) -> None:
        """RAM, or the slow word."""
        if address == SLOW:
            self._wait()
            self.slow_writes.append(value)
            return
        offset = self._offset(address, size)
        self.ram[offset : offset + size] = value.to_bytes(size, "little")

    def mem_read_words(self, address: int, count: int) -> list[int]:
        """RAM."""
        return list(struct.unpack_from(f"<{count}I", self.ram, self._offset(address, 4 * count)))

    def mem_write_words(self, address: int, words: Sequence[int]) -> None:
        """RAM."""
        struct.pack_into(f"<{len(words)}I", self.ram, self._offset(address, 4 * len(words)), *words)

    def _wait(self) -> None:
        self.accesses += 1
        if self.now_ns < self.slow_until:
            raise BusStall(self.slow_until)

    def _offset(self, address: int, size: int) -> int:
        self.accesses += 1
        if not RAM <= address <= RAM + RAM_SIZE - size:
            raise BusFault(address)
        if self.torn is not None and address <= self.torn < address + size:
            raise BusFault(self.torn)
        return address - RAM


def select_swd(port: SwDp) -> None:
    """What a probe sends first."""
    port.swj_sequence(51, (1 << 51) - 1)
    port.swj_sequence(16, 0xE79E)
    port.swj_sequence(51, (1 << 51) - 1)
    port.swj_sequence(8, 0)
