"""STM32WLE5JC, a Cortex-M4 with LoRa radio, on a bare board: its console is USART1.

Sources: *header* is the CMSIS header ``stm32wle5xx.h`` (addresses, interrupts, enable bits); RM is RM0453 (for this
part RM0461); *unverified* numbers come from the table that L4, WB and WL share and were not read in this part's
datasheet. Currents: DS13105 Rev 12 p. 1 (Stop 2 with RTC 1.07 uA, Standby with RTC 360 nA, Run 72 uA/MHz) and ST's
power training slides (Sleep 29 uA/MHz); what a debugger adds is unverified.
"""

import struct
from dataclasses import replace

from lorafab.virtual.chip import At, Chip, Currents, FlashTimes, MemoryAp, Ram, Store
from lorafab.virtual.cores import CORTEX_M4
from lorafab.virtual.stm32.crc import Crc
from lorafab.virtual.stm32.dbgmcu import DbgMcu
from lorafab.virtual.stm32.exti import Exti
from lorafab.virtual.stm32.flash_wl import FlashWl, boot_loader
from lorafab.virtual.stm32.gpio import Gpio
from lorafab.virtual.stm32.iwdg import Iwdg, Wwdg
from lorafab.virtual.stm32.lptim import Lptim
from lorafab.virtual.stm32.pwr import PwrWl
from lorafab.virtual.stm32.rcc import RccWl
from lorafab.virtual.stm32.rng import Rng
from lorafab.virtual.stm32.rtc import Rtc
from lorafab.virtual.stm32.spi import Spi
from lorafab.virtual.stm32.syscfg import Syscfg
from lorafab.virtual.stm32.tamp import Tamp
from lorafab.virtual.stm32.usart import Lpuart, Usart

_KIB = 1024


def _rom(uid: bytes, flash_kib: int | None) -> dict[int, bytes]:
    """UID64 (number, device id 0x15, company 0080E1), UID96, flash size (header: UID64_BASE, UID_BASE, FLASHSIZE_BASE).

    The number is the id's last four bytes, which are random on a virtual board: boards differ in it as chips do.
    Whether a real one's has to do with its UID96 is unverified.
    Entry and stack of the loader as read from an empty part: pc 0x1FFF2B6C, msp 0x20001508.
    """
    return boot_loader(0x1FFF_0000, 0x1FFF_2B6C, 0x2000_1508) | {
        0x1FFF_7580: uid[8:12] + struct.pack("<I", 0x0080_E115),
        0x1FFF_7590: uid,
        0x1FFF_75E0: struct.pack("<H", 256 if flash_kib is None else flash_kib),
    }


FLASH = {
    "fast_ns": 59_700,  # a double word of a fast row, typical; unverified
    "alias": 0x0000_0000, "system": (0x1FFF_0000, 0x8000), "otp": 0x1FFF_7000, "rom": _rom,
    "empty": True, "cfgbsy": True,
    # stm32wlxx_ll_utils.c, range 1
    "wait_states": ("hclk3", (18_000_000, 36_000_000, 48_000_000)),
    "wrp": (0x2C, 0x30), "pcrop": {0x24: 0xFF, 0x28: 0x8000_0000, 0x34: 0xFF, 0x38: 0},  # no area; unverified
    "guarded": ((0x2000_8000, 0x2001_0000), (0x4000_B100, 0x4000_B180)),  # SRAM2; TAMP backup registers
    "wiped": ("SRAM2",),
}  # fmt: skip

CHIP = Chip(
    name="wle5",
    title="STM32WLE5JC",
    target="stm32wle5jc",
    core=replace(CORTEX_M4, irqs=62, priority_bits=4),  # header: DMAMUX1_OVR_IRQn = 61, __NVIC_PRIO_BITS
    dpidr=0x6BA0_2477,  # SW-DP v2; OpenOCD tcl/target/stm32wlx.cfg
    targetid=0x0497_0041,  # RM 38.4: designer ST, part 0x497
    aps=(
        MemoryAp(0, idr=0x2477_0011, base=0xE00F_F003, csw=0x2300_0040),  # AHB-AP of the M4; BASE and CSW unverified
        # On single-core parts the second AP is there, but its memory only faults (Black Magic Probe PR 1067).
        MemoryAp(1, idr=0x8477_0001, base=0xF000_0003, csw=0x4380_0040, reaches=False),
    ),
    rom_table=0xE00F_F000,
    rom_pid=0x00_000A_0497,  # ST (JEP106 0x20), part 0x497
    flash_base=0x0800_0000,
    # RM 3.3.1: 128 pages, double words with 8 bits of ECC; times typical and unverified
    flash_times=FlashTimes(page=2 * _KIB, erase_ns=22_020_000, unit=8, program_ns=81_690, mass_ns=22_130_000),
    stores=(Store("flash", 256 * _KIB, cell=8), Store("otp", _KIB, cell=8)),
    options=(0x3FFF_F0AA, 0x7F, 0x7F),  # OPTR: RDP AA, the rest unverified; WRP1AR, WRP1BR: start after end, no area
    rams=(Ram("SRAM1", 0x2000_0000, 32 * _KIB), Ram("SRAM2", 0x2000_8000, 32 * _KIB)),
    currents=Currents(run_per_mhz=72_000, sleep_per_mhz=29_000, stop=1_070, standby=360, debug=500_000),
    parts=(
        At("clocks", RccWl, 0x5800_0000, irq=5),
        At("power", PwrWl, 0x5800_0400, settings={"wakeup": ("PA0", "PC13", "PB3")}),
        At("flash", FlashWl, 0x5800_4000, irq=4, settings=FLASH),
        At("dbgmcu", DbgMcu, 0xE004_2000, settings={"idcode": 0x1001_6497}),
        At("syscfg", Syscfg, 0x4001_0000),
        At("exti", Exti, 0x5800_0800, settings={"irqs": {
            6: (0,), 7: (1,), 8: (2,), 9: (3,), 10: (4,), 22: range(5, 10), 41: range(10, 16)}}),
        *(At(f"gpio{p}", Gpio, base, settings={"port": p, "pins": pins, "enable": (0x4C, bit)})
          for p, base, pins, bit in (
            ("A", 0x4800_0000, 0xFFFF, 0), ("B", 0x4800_0400, 0xFFFF, 1), ("C", 0x4800_0800, 0xE07F, 2),
            ("H", 0x4800_1C00, 0x0008, 7))),
        At("rtc", Rtc, 0x4000_2800, settings={
            "enable": (0x58, 10), "freeze": (0x3C, 10), "irqs": {"alarm": 42, "wakeup": 3, "ssru": 2},
            "exti": {"alarm": 17, "wakeup": 20, "ssru": 18}}),
        At("tamp", Tamp, 0x4000_B000, settings={"enable": (0x58, 10)}),
        At("crc", Crc, 0x4002_3000, settings={"enable": (0x48, 12)}),
        At("rng", Rng, 0x5800_1000, irq=52, settings={"enable": (0x50, 18)}),
        At("iwdg", Iwdg, 0x4000_3000, settings={"software": (0, 16), "stop": (0, 17), "standby": (0, 18)}),
        At("wwdg", Wwdg, 0x4000_2C00, irq=0, settings={"enable": (0x58, 11)}),
        *(At(f"lptim{n}", Lptim, base, irq=irq, settings={
            "number": n, "enable": enable, "freeze": freeze, "exti": line}) for n, base, irq, enable, freeze, line in (
            (1, 0x4000_7C00, 39, (0x58, 31), (0x3C, 31), 29), (2, 0x4000_9400, 40, (0x5C, 5), (0x44, 5), 30),
            (3, 0x4000_9800, 43, (0x5C, 6), (0x44, 6), 31))),
        At("spi1", Spi, 0x4001_3000, irq=34, settings={"bus": "spi1", "enable": (0x60, 12)}),
        At("spi2", Spi, 0x4000_3800, irq=35, settings={"bus": "spi2", "clock": "pclk1", "enable": (0x58, 14)}),
        At("subghzspi", Spi, 0x5801_0000, irq=44, settings={"bus": "subghz", "clock": "pclk3", "enable": (0x64, 0)}),
        At("console", Usart, 0x4001_3800, irq=36, settings={"number": 1, "enable": (0x60, 14), "exti": 26}),
        At("usart2", Usart, 0x4000_4400, irq=37, settings={"number": 2, "enable": (0x58, 17), "exti": 27}),
        At("lpuart1", Lpuart, 0x4000_8000, irq=38, settings={"number": 1, "enable": (0x5C, 0), "exti": 28}),
    ),
)  # fmt: skip
