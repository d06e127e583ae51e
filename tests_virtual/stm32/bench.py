"""What the tests of the STM32 peripherals share: chips of three families on a table, and a hand on every register."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lorafab.virtual import chips
from lorafab.virtual.boardfile import BoardFile
from lorafab.virtual.chip import At, Chip
from lorafab.virtual.clock import NS_PER_S, Clock
from lorafab.virtual.cores import CORTEX_M0PLUS, CORTEX_M4
from lorafab.virtual.faults import ActiveFaults, FaultPlan
from lorafab.virtual.silicon import Silicon, Sleep
from lorafab.virtual.stm32.crc import Crc
from lorafab.virtual.stm32.dbgmcu import FREEZE_L0, FREEZE_L4, DbgMcu
from lorafab.virtual.stm32.exti import Exti
from lorafab.virtual.stm32.gpio import Gpio
from lorafab.virtual.stm32.iwdg import Iwdg, Wwdg
from lorafab.virtual.stm32.lptim import Lptim
from lorafab.virtual.stm32.pwr import PwrL0, PwrL4, PwrWl
from lorafab.virtual.stm32.rcc import RccL0, RccL4, RccWl
from lorafab.virtual.stm32.rng import Rng
from lorafab.virtual.stm32.rtc import Rtc
from lorafab.virtual.stm32.spi import Spi
from lorafab.virtual.stm32.syscfg import Syscfg
from lorafab.virtual.stm32.tamp import Tamp
from lorafab.virtual.stm32.usart import Lpuart, Usart

LSE_HZ = 32_768
TICK_NS = NS_PER_S // LSE_HZ
US, MS = 1_000, 1_000_000

_EXTI_M4 = {6: (0,), 7: (1,), 8: (2,), 9: (3,), 10: (4,)}
WL = (
    At("clocks", RccWl, 0x5800_0000, irq=5),
    At("power", PwrWl, 0x5800_0400, settings={"wakeup": ("PA0", "PC13", "PB3")}),
    At("dbgmcu", DbgMcu, 0xE004_2000, settings={"idcode": 0x1001_6497}),
    At("syscfg", Syscfg, 0x4001_0000),
    At("exti", Exti, 0x5800_0800, settings={"irqs": _EXTI_M4 | {22: range(5, 10), 41: range(10, 16)}}),
    *(At(f"gpio{port}", Gpio, base, settings={"port": port, "enable": (0x4C, bit)}) for port, base, bit in (
        ("A", 0x4800_0000, 0), ("B", 0x4800_0400, 1), ("C", 0x4800_0800, 2))),
    At("console", Usart, 0x4001_3800, irq=36, settings={"number": 1, "enable": (0x60, 14), "exti": 26}),
    At("usart2", Usart, 0x4000_4400, irq=37, settings={
        "number": 2, "enable": (0x58, 17), "exti": 27, "tx": {"PA2": 7}, "rx": {"PA3": 7}}),
    At("lpuart1", Lpuart, 0x4000_8000, irq=38, settings={"number": 1, "enable": (0x5C, 0), "exti": 28}),
    At("lptim1", Lptim, 0x4000_7C00, irq=39, settings={
        "number": 1, "enable": (0x58, 31), "exti": 29, "freeze": (0x3C, 31)}),
    At("rtc", Rtc, 0x4000_2800, settings={
        "enable": (0x58, 10), "freeze": (0x3C, 10), "irqs": {"alarm": 42, "wakeup": 3, "ssru": 2},
        "exti": {"alarm": 17, "wakeup": 20, "ssru": 18}}),
    At("tamp", Tamp, 0x4000_B000, settings={"enable": (0x58, 10)}),
    At("rng", Rng, 0x5800_1000, irq=52, settings={"enable": (0x50, 18)}),
    At("iwdg", Iwdg, 0x4000_3000, settings={"software": (0, 16), "stop": (0, 17), "standby": (0, 18)}),
    At("wwdg", Wwdg, 0x4000_2C00, irq=0, settings={"enable": (0x58, 11)}),
    At("spi1", Spi, 0x4001_3000, irq=34, settings={"bus": "spi1", "enable": (0x60, 12), "nss": "PA4"}),
    At("subghzspi", Spi, 0x5801_0000, irq=44, settings={"bus": "subghz", "clock": "pclk3", "enable": (0x64, 0)}),
    At("crc", Crc, 0x4002_3000, settings={"enable": (0x48, 12)}),
)  # fmt: skip
L4 = (
    At("clocks", RccL4, 0x4002_1000, irq=5, settings={"hse": 8_000_000}),
    At("power", PwrL4, 0x4000_7000, settings={"enable": (0x58, 28), "wakeup": ("PA0", "PC13")}),
    At("dbgmcu", DbgMcu, 0xE004_2000, settings={"idcode": 0x1007_6415, "freeze": FREEZE_L4}),
    At("syscfg", Syscfg, 0x4001_0000, settings={"enable": (0x60, 0)}),
    At("exti", Exti, 0x4001_0400, settings={"family": "l4", "irqs": _EXTI_M4 | {
        23: range(5, 10), 40: range(10, 16), 41: (18,), 2: (19,), 3: (20,)}}),
    *(At(f"gpio{port}", Gpio, base, settings={"port": port, "switches": True, "enable": (0x4C, bit)})
      for port, base, bit in (("A", 0x4800_0000, 0), ("B", 0x4800_0400, 1), ("C", 0x4800_0800, 2))),
    At("console", Usart, 0x4001_3800, irq=37, settings={
        "number": 1, "fifo": False, "enable": (0x60, 14), "exti": 26}),
    At("lpuart1", Lpuart, 0x4000_8000, irq=70, settings={
        "number": 1, "fifo": False, "enable": (0x5C, 0), "exti": 31}),
    At("lptim1", Lptim, 0x4000_7C00, irq=65, settings={
        "number": 1, "extended": False, "enable": (0x58, 31), "exti": 32, "freeze": (0x08, 31)}),
    At("rtc", Rtc, 0x4000_2800, settings={
        "family": "v2", "freeze": (0x08, 10), "exti": {"alarm": 18, "wakeup": 20}}),
    At("rng", Rng, 0x5006_0800, irq=80, settings={"fast": True, "enable": (0x4C, 18)}),
    At("iwdg", Iwdg, 0x4000_3000, settings={"freeze": (0x08, 12)}),
    At("wwdg", Wwdg, 0x4000_2C00, irq=0, settings={
        "enable": (0x58, 11), "freeze": (0x08, 11), "prescaler": (7, 2)}),
    At("spi1", Spi, 0x4001_3000, irq=35, settings={
        "bus": "spi1", "i2s": False, "enable": (0x60, 12), "nss": "PA4"}),
    At("crc", Crc, 0x4002_3000, settings={"idr": 8, "enable": (0x48, 12)}),
)  # fmt: skip
L0 = (
    At("clocks", RccL0, 0x4002_1000, irq=4),
    At("power", PwrL0, 0x4000_7000, settings={"enable": (0x38, 28), "wakeup": ("PA0", "PC13")}),
    At("dbgmcu", DbgMcu, 0x4001_5800, settings={
        "idcode": 0x2008_6447, "freeze": FREEZE_L0, "enable": (0x34, 22)}),
    At("syscfg", Syscfg, 0x4001_0000, settings={"ports": "ABCDEH", "enable": (0x34, 0)}),
    At("exti", Exti, 0x4001_0400, settings={"family": "l0", "irqs": {
        5: (0, 1), 6: (2, 3), 7: range(4, 16), 2: (17, 19, 20)}}),
    *(At(f"gpio{port}", Gpio, base, settings={"port": port, "debug": "swd", "enable": (0x2C, bit)})
      for port, base, bit in (("A", 0x5000_0000, 0), ("B", 0x5000_0400, 1), ("C", 0x5000_0800, 2))),
    At("console", Usart, 0x4000_4400, irq=28, settings={
        "number": 2, "fifo": False, "enable": (0x38, 17), "exti": 26}),
    At("lpuart1", Lpuart, 0x4000_4800, irq=29, settings={
        "number": 1, "fifo": False, "enable": (0x38, 18), "exti": 28}),
    At("lptim1", Lptim, 0x4000_7C00, irq=13, settings={
        "number": 1, "extended": False, "enable": (0x38, 31), "exti": 29, "freeze": (0x08, 31)}),
    At("rtc", Rtc, 0x4000_2800, settings={
        "family": "v2", "backups": 5, "freeze": (0x08, 10), "exti": {"alarm": 17, "wakeup": 20}}),
    At("rng", Rng, 0x4002_5000, irq=29, settings={"fast": True, "enable": (0x30, 20)}),
    At("iwdg", Iwdg, 0x4000_3000, settings={"freeze": (0x08, 12)}),
    At("wwdg", Wwdg, 0x4000_2C00, irq=0, settings={
        "enable": (0x38, 11), "freeze": (0x08, 11), "prescaler": (7, 2)}),
    At("spi1", Spi, 0x4001_3000, irq=25, settings={"bus": "spi1", "fifo": False, "enable": (0x34, 12)}),
    At("crc", Crc, 0x4002_3000, settings={"idr": 8, "enable": (0x30, 12)}),
)  # fmt: skip
PARTS = {"wl": WL, "l4": L4, "l0": L0}
FAMILIES = tuple(PARTS)
IRQS = {
    "wl": {
        "usart": 36,
        "lpuart": 38,
        "lptim": 39,
        "rtc alarm": 42,
        "rtc wakeup": 3,
        "exti0": 6,
        "exti5": 22,
        "spi": 34,
    },
    "l4": {
        "usart": 37,
        "lpuart": 70,
        "lptim": 65,
        "rtc alarm": 41,
        "rtc wakeup": 3,
        "exti0": 6,
        "exti5": 23,
        "spi": 35,
    },
    "l0": {"usart": 28, "lpuart": 29, "lptim": 13, "rtc alarm": 2, "rtc wakeup": 2, "exti0": 5, "exti5": 7, "spi": 25},
}
_CORES = {
    "wl": replace(CORTEX_M4, irqs=62, priority_bits=4),
    "l4": replace(CORTEX_M4, irqs=82, priority_bits=4),
    "l0": CORTEX_M0PLUS,
}
# Which of SYSCFG, EXTI, IMR, RTSR... a family has where.
EXTI = {
    "wl": {"RTSR": 0x00, "FTSR": 0x04, "SWIER": 0x08, "PR": 0x0C, "IMR": 0x80},
    "l4": {"IMR": 0x00, "RTSR": 0x08, "FTSR": 0x0C, "SWIER": 0x10, "PR": 0x14},
    "l0": {"IMR": 0x00, "RTSR": 0x08, "FTSR": 0x0C, "SWIER": 0x10, "PR": 0x14},
}


def chip(family: str, without: Iterable[str] = ()) -> Chip:
    """A chip with all peripherals of this package; its flash is that of the wle5 and plays no part."""
    base = chips.named("wle5")
    flash = next(at for at in base.parts if at.name == "flash")
    settings = {name: value for name, value in flash.settings.items() if name != "wait_states"}  # of the wle5's clocks
    flash = replace(flash, settings=settings)
    parts = tuple(at for at in PARTS[family] if at.name not in without)
    return replace(base, core=_CORES[family], parts=(*parts, flash))


class Bench:
    """A chip with power, its core in reset: time passes only by :meth:`wait`."""

    def __init__(self, path: Path, family: str, without: Iterable[str] = ()) -> None:
        self.family = family
        self.sent: list[int] = []
        self.resets: list[str] = []
        self.clock = Clock()
        described = chip(family, without)
        self.file = BoardFile(path, described)
        faults = ActiveFaults(FaultPlan(), self.clock)
        self.silicon = Silicon(described, self.file, self.clock, faults, self.sent.append, lambda: None)
        self.silicon.power_on()
        if family == "l0":
            self.enable("dbgmcu")
        for name in ("power", "syscfg"):
            self.enable(name)

    def close(self) -> None:
        """Switch off."""
        self.silicon.power_off()
        self.file.close()

    def part(self, name: str) -> Any:
        """A part by name, as what it is."""
        return self.silicon.parts[name]

    def enable_bit(self, name: str) -> tuple[int, int]:
        """Register offset and bit of the part's clock enable."""
        offset, bit = self.part(name).at.settings["enable"]
        return offset, bit

    def read(self, name: str, offset: int, size: int = 4) -> int:
        """Read a register of a part over the bus."""
        return self.silicon.bus.read(self.part(name).base + offset, size)

    def write(self, name: str, offset: int, value: int, size: int = 4) -> None:
        """Write a register of a part over the bus."""
        self.silicon.bus.write(self.part(name).base + offset, size, value)

    def set(self, name: str, offset: int, bits: int) -> None:
        """Set bits of a register."""
        self.write(name, offset, self.read(name, offset) | bits)

    def enable(self, name: str) -> None:
        """Set the clock enable bit of a part in the RCC, if it has one."""
        if "enable" in self.part(name).at.settings:
            offset, bit = self.enable_bit(name)
            self.set("clocks", offset, 1 << bit)

    def wait(self, ns: int) -> None:
        """Let time pass."""
        self.clock.advance_to(self.clock.now_ns + ns)

    def irq(self, number: int) -> bool:
        """Level of an interrupt line."""
        return bool(self.silicon.core.nvic.lines >> number & 1)

    def line(self, which: str) -> bool:
        """Level of this family's interrupt line."""
        return self.irq(IRQS[self.family][which])

    def stop(self) -> None:
        """WFI with SLEEPDEEP."""
        self.silicon.core_sleeps(True)

    def wake(self) -> None:
        """The core goes on."""
        self.silicon.core_wakes()

    def halt(self, halted: bool) -> None:
        """The core enters or leaves debug state."""
        self.silicon.core.halted = halted
        self.silicon.core_halted(halted)

    @property
    def sleep(self) -> Sleep:
        """How deep the chip sleeps."""
        return self.silicon.sleep

    @property
    def complaints(self) -> list[str]:
        """What the board complained about."""
        return self.silicon.bus.complaints

    # what many tests begin with

    def open_backup(self) -> None:
        """Set DBP."""
        self.set("power", 0x00, 1 << 8)

    def start_lse(self) -> None:
        """Switch the crystal on and wait for it."""
        self.open_backup()
        register, bit = (0x50, 8) if self.family == "l0" else (0x90, 0)
        self.set("clocks", register, 1 << bit | (1 << 7 if self.family == "wl" else 0))  # and LSESYSEN
        self.wait(3 * NS_PER_S)
        assert self.read("clocks", register) >> bit & 2

    def start_lsi(self) -> None:
        """Switch the RC oscillator on and wait for it."""
        register = 0x50 if self.family == "l0" else 0x94
        self.set("clocks", register, 1)
        self.wait(MS)
        assert self.read("clocks", register) & 2

    def start_hsi16(self) -> None:
        """Switch HSI16 on, wait for it, and make it the system clock."""
        on, ready = (0, 2) if self.family == "l0" else (8, 10)
        self.set("clocks", 0x00, 1 << on)
        self.wait(10 * US)
        assert self.read("clocks", 0x00) >> ready & 1
        config = 0x0C if self.family == "l0" else 0x08
        self.write("clocks", config, self.read("clocks", config) & ~3 | 1)
        assert self.read("clocks", config) & 0xC == 4

    def select_rtc_clock(self, code: int = 1) -> None:
        """RTCSEL and RTCEN; 1 is LSE, 2 LSI."""
        register, select, enable = (0x50, 16, 18) if self.family == "l0" else (0x90, 8, 15)
        self.set("clocks", register, code << select | 1 << enable)

    def unmask(self, line: int, rising: bool = True) -> None:
        """Let an EXTI line through; a configurable one on its rising edge."""
        offsets = EXTI[self.family]
        word = line // 32 * (0x10 if self.family == "wl" else 0x20)
        self.set("exti", offsets["IMR"] + word, 1 << line % 32)
        if rising:
            self.set("exti", offsets["RTSR"] + line // 32 * 0x20, 1 << line % 32)
