"""A core with nothing around it but flash, RAM and a few registers: for tests of the core alone."""

import mmap
import struct
from dataclasses import replace

from lorafab.virtual.bus import Bus, BusFault, Memory, WordRegisters
from lorafab.virtual.chip import CoreSpec
from lorafab.virtual.clock import Clock
from lorafab.virtual.core import Core
from lorafab.virtual.cores import CORTEX_M0PLUS, CORTEX_M4

M4 = replace(CORTEX_M4, irqs=62, priority_bits=4)
M4F = replace(CORTEX_M4, irqs=48, priority_bits=3, fpu=True)
M0 = CORTEX_M0PLUS
FLASH, CODE, SRAM, STACK, PORT = 0x0800_0000, 0x0800_0100, 0x2000_0000, 0x2000_8000, 0x4000_0000
DHCSR, DCRSR, DCRDR, DEMCR, DFSR, AIRCR = (
    0xE000_EDF0, 0xE000_EDF4, 0xE000_EDF8, 0xE000_EDFC, 0xE000_ED30, 0xE000_ED0C,
)  # fmt: skip
ICSR, VTOR, SCR, CCR, SHCSR, CFSR, HFSR, BFAR, CPACR = (
    0xE000_ED04, 0xE000_ED08, 0xE000_ED10, 0xE000_ED14, 0xE000_ED24, 0xE000_ED28, 0xE000_ED2C, 0xE000_ED38, 0xE000_ED88,
)  # fmt: skip
HZ = 4_000_000
HANDLERS = {
    "nmi": 2, "hard_fault": 3, "mem_manage": 4, "bus_fault": 5, "usage_fault": 6, "svcall": 11, "monitor": 12,
    "pendsv": 14, "systick": 15, "irq0": 16, "irq1": 17, "irq2": 18,
}  # fmt: skip


class Port(WordRegisters):
    """Sixteen words that remember what was written, and everything that was done to them."""

    base = PORT

    def __init__(self) -> None:
        self.words = [0] * 16
        self.log: list[tuple[str, int, int]] = []

    def read_word(self, offset: int) -> int:
        """Read a word."""
        if offset >= 64:
            raise BusFault(PORT + offset, "no such register")
        self.log.append(("read", offset, self.words[offset // 4]))
        return self.words[offset // 4]

    def write_word(self, offset: int, value: int) -> None:
        """Write a word."""
        if offset >= 64:
            raise BusFault(PORT + offset, "no such register")
        self.log.append(("write", offset, value))
        self.words[offset // 4] = value


class Rig:
    """The core, its surroundings, and a debugger's hands."""

    def __init__(self, spec: CoreSpec = M4, code: bytes = b"\xfe\xe7", **handlers: int) -> None:
        """``code`` is at 0x08000100; ``handlers`` are offsets into it, by the names of HANDLERS."""
        self.bus, self.clock, self.port = Bus(), Clock(), Port()
        self.calls: list[str] = []
        self.halts: list[bool] = []
        self.flash, self.ram = mmap.mmap(-1, 0x10000), mmap.mmap(-1, 0x10000)
        self.hz = HZ
        vectors = [STACK, CODE | 1] + [FLASH | 0x81] * 62
        for name, offset in handlers.items():
            vectors[HANDLERS[name]] = (CODE | 1) + offset
        self.flash[:0x100] = struct.pack("<64I", *vectors)
        self.flash[0x80:0x82] = b"\xfe\xe7"
        self.flash[0x100 : 0x100 + len(code)] = code
        rom = (0xE00F_F000, 0x0A_0497) if spec.mainline else (0xF000_0000, 0x0A_0447)
        self.core = Core(self.bus, self.clock, spec, self, rom)
        self.bus.add_device(PORT, 0x400, self.port)
        self.bus.memories = [
            Memory(SRAM, self.ram),
            Memory(FLASH, self.flash, self.store_from_core),
            Memory(0, self.flash, self.store_from_core),
        ]
        for memory in self.bus.memories:
            self.core.cpu.map(memory.base, memory.data, writable=memory.store is None)
        self.core.power_on()
        self.core.system_reset()

    # what the core asks

    def hclk_hz(self) -> int:
        """4 MHz unless a test changes it."""
        return self.hz

    def fetch_stalls_until(self) -> int | None:
        """Never."""
        return None

    def store_from_core(self, address: int, size: int, value: int) -> bool:
        """Flash takes nothing, and the core sees what it stored: good enough here."""
        self.calls.append(f"store {address:#x} {value:#x}")
        return True

    def bad_word(self, address: int) -> None:
        """Noted."""
        self.calls.append(f"bad word {address:#x}")

    def settle(self) -> None:
        """Nothing to put back."""

    def boot_base(self) -> int:
        """The flash."""
        return FLASH

    def counted_polls(self) -> frozenset[int]:
        """None."""
        return frozenset()

    def core_reset_asked(self, system: bool) -> None:
        """Reset the core."""
        self.calls.append("system reset" if system else "core reset")
        self.core.when_stopped(self.core.system_reset if system else self.core.reset)

    def core_sleeps(self, deep: bool) -> None:
        """Noted."""
        self.calls.append("deep sleep" if deep else "sleep")

    def core_wakes(self) -> None:
        """Noted."""
        self.calls.append("wake")

    def core_halted(self, halted: bool) -> None:
        """Noted."""
        self.halts.append(halted)

    def complain(self, sentence: str) -> None:
        """To the bus."""
        self.bus.complain(sentence)

    # hands

    def advance(self, ns: int = 1_000_000) -> None:
        """Let time pass."""
        self.core.run_until(self.clock.now_ns + ns)

    def read(self, address: int, size: int = 4) -> int:
        """Read memory."""
        return self.bus.read(address, size)

    def write(self, address: int, value: int, size: int = 4) -> None:
        """Write memory."""
        self.bus.write(address, size, value)
        if SRAM <= address < SRAM + len(self.ram):
            self.core.cpu.forget_code(address, size)

    def load(self, address: int, code: bytes) -> None:
        """Put code into RAM."""
        self.ram[address - SRAM : address - SRAM + len(code)] = code
        self.core.cpu.forget_code(address, len(code))

    def halt(self) -> None:
        """Halt for a debugger."""
        self.write(DHCSR, 0xA05F_0003)

    def step(self, mask: bool = False) -> None:
        """One step; ``mask`` holds interrupts."""
        self.write(DHCSR, 0xA05F_0005 | (8 if mask else 0))

    def go(self, ns: int = 1_000_000) -> None:
        """Leave debug state and let time pass."""
        self.write(DHCSR, 0xA05F_0001)
        self.advance(ns)

    def halted(self) -> bool:
        """DHCSR.S_HALT."""
        return bool(self.read(DHCSR) & 1 << 17)

    def reg(self, number: int) -> int:
        """A core register by its DCRSR number; the core must be halted."""
        self.write(DCRSR, number)
        return self.read(DCRDR)

    def set_reg(self, number: int, value: int) -> None:
        """Set a core register."""
        self.write(DCRDR, value)
        self.write(DCRSR, 1 << 16 | number)

    def regs(self, *numbers: int) -> list[int]:
        """Several."""
        return [self.reg(number) for number in numbers]


def halves(*words: int) -> bytes:
    """Thumb code from half-words."""
    return struct.pack(f"<{len(words)}H", *words)
