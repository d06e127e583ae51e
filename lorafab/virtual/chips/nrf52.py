"""nRF52840 QIAA, a Cortex-M4F, with an SPI NOR flash and an EEPROM beside it; its console is UARTE0, on any pins.

Sources: *MDK* is Nordic's ``nrf52840.h`` and ``nrf52840_peripherals.h`` (addresses, interrupts, CPU); *PS* the
product specification 1.11 (flash: 41 us a word, 85 ms a page); debug identities: OpenOCD ``nrf52.cfg`` and pyOCD
``target_nRF52.py``. The ROM table's part number 8 is that of the MDK's ``nrf52_erratas.h``, its form that of other
parts of the maker. Unverified: that form, CSW, 169 ms to erase everything, all currents (System OFF 0.4 uA without
RAM, System ON idle 1.5 uA with RTC, 52 uA/MHz from flash with the DC/DC converter), and what a debugger adds.

A new board is as the factory delivers the part: flash and UICR erased. With build code F0 and later its debug port is
therefore locked at every power-on until somebody erases everything through CTRL-AP; see ``nrf52/ctrl_ap.py``.
"""

from dataclasses import replace

from lorafab.virtual.chip import At, Chip, Currents, FlashTimes, MemoryAp, PartAp, Ram, Store
from lorafab.virtual.cores import CORTEX_M4
from lorafab.virtual.nrf52.clock import Clock
from lorafab.virtual.nrf52.ctrl_ap import CtrlAp
from lorafab.virtual.nrf52.gpio import Gpio
from lorafab.virtual.nrf52.gpiote import Gpiote
from lorafab.virtual.nrf52.nvmc import Nvmc
from lorafab.virtual.nrf52.power import Power
from lorafab.virtual.nrf52.rng import Rng
from lorafab.virtual.nrf52.rtc import Rtc
from lorafab.virtual.nrf52.spim import Spim
from lorafab.virtual.nrf52.timer import Timer
from lorafab.virtual.nrf52.uarte import Uarte
from lorafab.virtual.nrf52.wdt import Wdt
from lorafab.virtual.parts.spi_eeprom import EEPROM_25AA02E64, SpiEeprom
from lorafab.virtual.parts.spi_nor import AT25SF041, SpiNor

_KIB = 1024
_BLOCK = 0x1000  # peripherals lie 4 KiB apart


def _parts(build_code: str) -> tuple[At, ...]:
    return (
        At("gpio", Gpio, 0x5000_0000, 0xC00),
        At("clocks", Clock, 0x4000_0000, _BLOCK, irq=0),
        At("power", Power),
        At("ctrl_ap", CtrlAp, settings={"build_code": build_code}),
        At("flash", Nvmc, 0x4001_E000, _BLOCK, settings={"build_code": build_code}),
        At("gpiote", Gpiote, 0x4000_6000, _BLOCK, irq=6),
        At("console", Uarte, 0x4000_2000, _BLOCK, irq=2),
        At("uarte1", Uarte, 0x4002_8000, _BLOCK, irq=40),
        At("spim0", Spim, 0x4000_3000, _BLOCK, irq=3, settings={"bus": "spi0"}),
        At("spim1", Spim, 0x4000_4000, _BLOCK, irq=4),
        At("spim2", Spim, 0x4002_3000, _BLOCK, irq=35),
        *(At(f"timer{n}", Timer, base, _BLOCK, irq, {"compares": count})
          for n, (base, irq, count) in enumerate((
            (0x4000_8000, 8, 4), (0x4000_9000, 9, 4), (0x4000_A000, 10, 4), (0x4001_A000, 26, 6),
            (0x4001_B000, 27, 6)))),
        *(At(f"rtc{n}", Rtc, base, _BLOCK, irq, {"compares": count})
          for n, (base, irq, count) in enumerate(((0x4000_B000, 11, 3), (0x4001_1000, 17, 4), (0x4002_4000, 36, 4)))),
        At("rng", Rng, 0x4000_D000, _BLOCK, irq=13),
        At("wdt", Wdt, 0x4001_0000, _BLOCK, irq=16),
        At("nor", SpiNor, settings={"bus": "spi0", "cs": "P0.17", "store": "nor", "part": AT25SF041}),
        At("eeprom", SpiEeprom, settings={"bus": "spi0", "cs": "P0.20", "store": "eeprom", "part": EEPROM_25AA02E64}),
    )  # fmt: skip


CHIP = Chip(
    name="nrf52",
    title="nRF52840",
    target="nrf52840",
    core=replace(CORTEX_M4, irqs=48, priority_bits=3, fpu=True),
    dpidr=0x2BA0_1477,  # SW-DP v1
    targetid=None,
    aps=(MemoryAp(0, idr=0x2477_0011, base=0xE00F_F003, csw=0x2300_0040), PartAp(1, "ctrl_ap")),
    rom_table=0xE00F_F000,
    rom_pid=0x02_000C_4008,  # Nordic (JEP106 2, 0x44), part 8
    flash_base=0,
    flash_times=FlashTimes(page=4096, erase_ns=85_000_000, unit=4, program_ns=41_000, mass_ns=169_000_000),
    stores=(
        Store("flash", 1024 * _KIB, cell=4), Store("uicr", 4 * _KIB, cell=4),
        AT25SF041.store("nor"), EEPROM_25AA02E64.store("eeprom"),
    ),
    options=(),
    rams=(Ram("RAM", 0x2000_0000, 256 * _KIB),),
    parts=_parts("F0"),
    currents=Currents(run_per_mhz=52_000, sleep_per_mhz=23, stop=1_500, standby=400, debug=600_000),
    uid_size=8,
)  # fmt: skip


def with_build_code(build_code: str) -> Chip:
    """The same board with a chip of another build code, such as ``C0`` from before the hardened protection."""
    return replace(CHIP, parts=_parts(build_code))
