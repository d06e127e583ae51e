"""STM32L072CZ as in the CMWX1ZZABZ module, a Cortex-M0+, on a bare board: its console is USART2, on PA2 and PA3.

Sources: *header* is the CMSIS header ``stm32l072xx.h``; RM is RM0367; debug identities as read from parts (Black Magic
Probe PR 507, OpenOCD ``stm32l0.cfg`` and ``stm32lx.c``). Currents: DS DocID027100 Rev 4 p. 1 (Run 93 uA/MHz, Stop with
RTC and RAM 0.86 uA, Standby 0.29 uA); Sleep and what a debugger adds are unverified.
"""

import struct

from lorafab.virtual.chip import At, Chip, Currents, FlashTimes, MemoryAp, Ram, Store
from lorafab.virtual.cores import CORTEX_M0PLUS
from lorafab.virtual.stm32.crc import Crc
from lorafab.virtual.stm32.dbgmcu import FREEZE_L0, DbgMcu
from lorafab.virtual.stm32.exti import Exti
from lorafab.virtual.stm32.flash_l0 import FlashL0
from lorafab.virtual.stm32.gpio import Gpio
from lorafab.virtual.stm32.iwdg import Iwdg, Wwdg
from lorafab.virtual.stm32.lptim import Lptim
from lorafab.virtual.stm32.options_l0 import complete
from lorafab.virtual.stm32.pwr import PwrL0
from lorafab.virtual.stm32.rcc import RccL0
from lorafab.virtual.stm32.rng import Rng
from lorafab.virtual.stm32.rtc import Rtc
from lorafab.virtual.stm32.spi import Spi
from lorafab.virtual.stm32.syscfg import Syscfg
from lorafab.virtual.stm32.usart import Lpuart, Usart

_KIB = 1024


def _factory(uid: bytes, flash_kib: int | None) -> dict[int, bytes]:
    """UID96, whose third word lies apart (header: UID_BASE; LL_GetUID_Word2), and flash size (FLASHSIZE_BASE).

    Behind the flash size lies a calibration value of the temperature sensor, here 0xFFFF.
    """
    size = 192 if flash_kib is None else flash_kib
    return {0x1FF8_0050: uid[:8], 0x1FF8_0064: uid[8:], 0x1FF8_007C: struct.pack("<HH", size, 0xFFFF)}


CHIP = Chip(
    name="l072",
    title="STM32L072CZ",
    target="stm32l072xz",
    core=CORTEX_M0PLUS,
    dpidr=0x0BC1_1477,  # SW-DP v1
    targetid=None,
    aps=(MemoryAp(0, idr=0x0477_0031, base=0xF000_0003, csw=0x0300_0040, wrap=0x400),),
    rom_table=0xF000_0000,
    rom_pid=0x00_000A_0447,  # ST (JEP106 0x20), part 0x447
    flash_base=0x0800_0000,
    # RM 3.3.1: 1536 pages, half pages of 16 words written at once; times typical and unverified
    flash_times=FlashTimes(page=128, erase_ns=3_280_000, unit=64, program_ns=3_280_000, mass_ns=None),
    stores=(Store("flash", 192 * _KIB, cell=4, erased=0x00), Store("eeprom", 6 * _KIB, cell=4, erased=0x00)),
    # OPTR 0x807000AA: level 0, watchdog by software, no reset in Stop and Standby (unverified); no write protection
    options=(complete(0x00AA), complete(0x8070), complete(0), complete(0), complete(0)),
    rams=(Ram("SRAM", 0x2000_0000, 20 * _KIB),),
    wrp_unit=4 * _KIB,
    currents=Currents(run_per_mhz=93_000, sleep_per_mhz=30_000, stop=860, standby=290, debug=300_000),
    parts=(
        At("clocks", RccL0, 0x4002_1000, irq=4),
        At("power", PwrL0, 0x4000_7000, settings={"enable": (0x38, 28), "wakeup": ("PA0", "PC13", "PE6")}),
        At("flash", FlashL0, 0x4002_2000, irq=3, settings={
            "alias": 0x0000_0000, "eeprom": 0x0808_0000, "options": 0x1FF8_0000, "factory": _factory}),
        At("dbgmcu", DbgMcu, 0x4001_5800, settings={
            "idcode": 0x2008_6447, "freeze": FREEZE_L0, "enable": (0x34, 22)}),  # revision Z
        At("syscfg", Syscfg, 0x4001_0000, settings={"ports": "ABCDEH", "enable": (0x34, 0)}),
        At("exti", Exti, 0x4001_0400, settings={
            "family": "l0", "irqs": {5: (0, 1), 6: (2, 3), 7: tuple(range(4, 16)), 2: (17, 19, 20)}}),
        *(At(f"gpio{p}", Gpio, base, settings={"port": p, "debug": "swd", "pins": pins, "enable": (0x2C, bit)})
          for p, base, pins, bit in (
            ("A", 0x5000_0000, 0xFFFF, 0), ("B", 0x5000_0400, 0xFFFF, 1), ("C", 0x5000_0800, 0xE007, 2),
            ("H", 0x5000_1C00, 0x0003, 7))),
        At("rng", Rng, 0x4002_5000, irq=29, settings={"fast": True, "enable": (0x30, 20)}),
        At("crc", Crc, 0x4002_3000, settings={"idr": 8, "enable": (0x30, 12)}),
        At("rtc", Rtc, 0x4000_2800, settings={
            "family": "v2", "backups": 5, "irqs": {"alarm": 2, "wakeup": 2}, "exti": {"alarm": 17, "wakeup": 20},
            "freeze": (0x08, 10)}),
        At("iwdg", Iwdg, 0x4000_3000, settings={"freeze": (0x08, 12), "software": (1, 4)}),
        At("wwdg", Wwdg, 0x4000_2C00, irq=0, settings={
            "freeze": (0x08, 11), "prescaler": (7, 2), "enable": (0x38, 11)}),
        At("lptim1", Lptim, 0x4000_7C00, irq=13, settings={
            "number": 1, "extended": False, "freeze": (0x08, 31), "exti": 29, "enable": (0x38, 31)}),
        At("spi1", Spi, 0x4001_3000, irq=25, settings={"bus": "spi1", "fifo": False, "enable": (0x34, 12)}),
        At("usart1", Usart, 0x4001_3800, irq=27, settings={
            "number": 1, "fifo": False, "exti": 25, "enable": (0x34, 14)}),
        At("console", Usart, 0x4000_4400, irq=28, settings={
            "number": 2, "fifo": False, "exti": 26, "tx": {"PA2": 4}, "rx": {"PA3": 4}, "enable": (0x38, 17)}),
        At("lpuart1", Lpuart, 0x4000_4800, irq=29, settings={
            "number": 1, "fifo": False, "exti": 28, "enable": (0x38, 18)}),
    ),
)  # fmt: skip
