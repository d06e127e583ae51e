"""Power control, the part named ``power``: how deep the chip sleeps, what wakes it from Standby, backup protection.

Register offsets and bits: CMSIS headers ``stm32wle5xx.h``, ``stm32l476xx.h``, ``stm32l072xx.h`` (PWR_TypeDef,
PWR_*_Pos). Reset values and the meaning of the modes: RM0453, RM0351 and RM0377, PWR chapters (flags that only say
"ready" are unverified).

Settings: ``wakeup``, the pins of WKUP1, WKUP2... in order.

Modelled: LPMS or PDDS, DBP, wake-up pins and the internal wake-up line in Standby, the flags of Stop and Standby, RAM
that Standby forgets (all of it, but for SRAM2 with RRS).
Voltage scaling, regulators and SMPS are ready at once and change no current. Not modelled and complained about: PVD and
PVM (the supply has no level), pulls in Standby (APC).

The sub-GHz radio of the WL: NSS of its SPI is pin ``SUBGHZ.NSS``, which this part drives; its busy line is pin
``SUBGHZ.BUSY``, which the radio drives. RFBUSYS and RFBUSYMS both show it (that the masked one does so is unverified).
"""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from lorafab.virtual.chip import At
from lorafab.virtual.silicon import Silicon, Sleep
from lorafab.virtual.stm32.registers import Reg, Registers

NSS, BUSY = "SUBGHZ.NSS", "SUBGHZ.BUSY"
_DBP = 1 << 8
_PVD = {1: "the voltage detector PVD"}
_APC = {1 << 10: "a pull in Standby (APC)"}


class Pwr(Registers):
    """What the families share."""

    CONTROL: ClassVar[str]
    """Register with DBP, bit 8 in all three."""
    STANDBY_FLAG: ClassVar[tuple[str, int]]
    """Register and bit that tell of Standby."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        super().__init__(silicon, at)
        self._pins: tuple[str, ...] = tuple(self.settings.get("wakeup", ()))
        for number, pin in enumerate(self._pins):
            silicon.pins.watch(pin, partial(self._pin_changed, number))

    @property
    def backup_open(self) -> bool:
        """DBP: the backup domain may be written."""
        return bool(self.r[self.CONTROL] & _DBP)

    def depth(self) -> Sleep:
        """What a WFI with SLEEPDEEP does."""
        raise NotImplementedError

    def wake(self, flag: int = 0) -> None:
        """Something that works in Standby asks to leave it; ``flag`` is noted in the status register."""
        if self.silicon.sleep is Sleep.STANDBY:
            self._note_wakeup(flag)
            self.silicon.core_wakes()

    def internal_wakeup(self) -> None:
        """The RTC asks to leave Standby."""
        raise NotImplementedError

    def on_sleep(self, depth: Sleep) -> None:
        """Standby sets its flag; RAM has no power, unless a debugger keeps everything going (DBG_STANDBY)."""
        if depth is Sleep.STANDBY:
            register, bit = self.STANDBY_FLAG
            self.r[register] |= 1 << bit
            if not self.rcc.kept_in(depth):
                for ram in self.silicon.chip.rams:
                    if not self._keeps(ram.name):
                        self.silicon.forget_ram(ram.name)

    def _keeps(self, ram: str) -> bool:
        """A RAM that Standby does not forget."""
        return False

    def power_on(self) -> None:
        """Everything as after power-on."""
        self.r = {name: reg.reset for name, reg in self._layout.items()}

    def _pin_changed(self, number: int, level: bool) -> None:
        raise NotImplementedError

    def _note_wakeup(self, flag: int) -> None:
        raise NotImplementedError


_PULLS = {
    f"P{kind}CR{port}": Reg(0x20 + 8 * index + 4 * (kind == "D"), 0, 0xFFFF)
    for index, port in enumerate("ABCDEFGH")
    for kind in "UD"
}


class _PwrModern(Pwr):
    """WL and L4."""

    CONTROL = "CR1"
    _DEPTHS = (Sleep.STOP, Sleep.STOP, Sleep.STOP) + (Sleep.STANDBY,) * 5  # Stop 0, 1, 2, Standby, Shutdown
    # Registers that Standby and its wake-up keep (RM0351, PWR register map)
    _KEPT = ("CR3", "CR4", "SR1", *_PULLS)
    RRS: ClassVar[int]
    """Bit of CR3 that keeps SRAM2 in Standby, but not in Shutdown."""

    def _keeps(self, ram: str) -> bool:
        return ram == "SRAM2" and self.r["CR1"] & 7 == 3 and bool(self.r["CR3"] >> self.RRS & 1)

    def depth(self) -> Sleep:
        """By LPMS."""
        return self._DEPTHS[self.r["CR1"] & 7]

    def reset(self) -> None:
        """Wake-up settings and flags live in the part of the chip that stays on in Standby."""
        kept = {name: self.r[name] for name in self._KEPT if name in self.r}
        super().reset()
        self.r |= kept

    def internal_wakeup(self) -> None:
        """EIWUL lets the RTC through; WUFI shows it."""
        if self.r["CR3"] >> 15 & 1:
            self.wake(1 << 15)

    def _pin_changed(self, number: int, level: bool) -> None:
        falling = self.r["CR4"] >> number & 1
        if self.r["CR3"] >> number & 1 and level != bool(falling):
            self.r["SR1"] |= 1 << number
            self.wake(1 << number)

    def _note_wakeup(self, flag: int) -> None:
        self.r["SR1"] |= flag

    def write_register(self, name: str, value: int) -> None:
        """SCR clears flags."""
        if name == "SCR":
            self.r["SR1"] &= ~self._cleared(value)
        else:
            self.store(name, value)

    def _cleared(self, value: int) -> int:
        return value

    def read_register(self, name: str) -> int:
        """REGLPF follows LPR; WUFI goes with the flags that it stands for."""
        if name == "SR2":
            return self.r["SR2"] & ~0x200 | (self.r["CR1"] >> 14 & 1) << 9
        return self.r[name]


class PwrWl(_PwrModern):
    """STM32WL."""

    STANDBY_FLAG, RRS = ("EXTSCR", 8), 9

    def __init__(self, silicon: Silicon, at: At) -> None:
        super().__init__(silicon, at)
        silicon.pins.watch(BUSY, self._busy_changed)

    def layout(self) -> Mapping[str, Reg]:
        """PWR_TypeDef of stm32wle5xx.h."""
        pulls = {name: reg for name, reg in _PULLS.items() if name[-1] in "ABCH"}
        return pulls | {
            "CR1": Reg(0x00, 0x200, 0x473F), "CR2": Reg(0x04, 0, 0x4F, _PVD | {1 << 6: "the voltage monitor PVM3"}),
            "CR3": Reg(0x08, 0x8000, 0xAF87, _APC), "CR4": Reg(0x0C, 0, 0x0B07),
            "SR1": Reg(0x10, 0, 0), "SR2": Reg(0x14, 0x190, 0), "SCR": Reg(0x18, 0, 0), "CR5": Reg(0x1C, 0, 0xC000),
            "EXTSCR": Reg(0x88, 0, 0), "SUBGHZSPICR": Reg(0x90, 0x8000, 0x8000),
        }  # fmt: skip

    def reset(self) -> None:
        """NSS of the radio rests high; the flags of EXTSCR stay until they are cleared."""
        flags = self.r["EXTSCR"]
        super().reset()
        self.r["EXTSCR"] = flags
        self.silicon.pins.chip_drives(NSS, True)

    def on_sleep(self, depth: Sleep) -> None:
        """C1STOPF, C1STOP2F, C1SBF."""
        super().on_sleep(depth)
        if depth is Sleep.STOP:
            self.r["EXTSCR"] |= 1 << 9 if self.r["CR1"] & 7 == 2 else 1 << 10

    def write_register(self, name: str, value: int) -> None:
        """C1CSSF clears the flags of EXTSCR; SUBGHZSPICR drives NSS."""
        if name == "EXTSCR":
            self.r[name] &= ~(0x700 if value & 1 else 0)
            return
        super().write_register(name, value)
        if name == "SUBGHZSPICR":
            self.silicon.pins.chip_drives(NSS, bool(self.r[name] & 0x8000))

    def read_register(self, name: str) -> int:
        """RFBUSYS and RFBUSYMS are the radio's busy line; SMPSRDY or LDORDY by SMPSEN."""
        value = super().read_register(name)
        if name == "SR2":
            smps = bool(self.r["CR5"] & 0x8000)
            busy = 6 if self.silicon.pins.level(BUSY) else 0
            return value & ~0x18 | (0x08 if smps else 0x10) | busy
        return value

    def _busy_changed(self, level: bool) -> None:
        falling = self.r["CR4"] >> 11 & 1
        if level != bool(falling):
            self.r["SR1"] |= 1 << 11
            if self.r["CR3"] >> 11 & 1:
                self.wake(1 << 11)


class PwrL4(_PwrModern):
    """STM32L476."""

    STANDBY_FLAG, RRS = ("SR1", 8), 8

    def layout(self) -> Mapping[str, Reg]:
        """PWR_TypeDef of stm32l476xx.h."""
        return _PULLS | {
            "CR1": Reg(0x00, 0x200, 0x4707), "CR2": Reg(0x04, 0, 0x6FF, _PVD | {0xF0: "a voltage monitor PVM"}),
            "CR3": Reg(0x08, 0x8000, 0x851F, _APC), "CR4": Reg(0x0C, 0, 0x031F),
            "SR1": Reg(0x10, 0, 0), "SR2": Reg(0x14, 0x100, 0), "SCR": Reg(0x18, 0, 0),
        }  # fmt: skip


class PwrL0(Pwr):
    """STM32L072."""

    CONTROL, STANDBY_FLAG = "CR", ("CSR", 1)

    def layout(self) -> Mapping[str, Reg]:
        """PWR_TypeDef of stm32l072xx.h."""
        return {
            "CR": Reg(0x00, 0x1000, 0x7FF3, {1 << 4: _PVD[1]}),
            "CSR": Reg(0x04, 8, 0x700),  # VREFINTRDYF
        }

    def reset(self) -> None:
        """CSR lives in the part of the chip that stays on in Standby."""
        kept = self.r["CSR"]
        super().reset()
        self.r["CSR"] = kept

    def depth(self) -> Sleep:
        """By PDDS."""
        return Sleep.STANDBY if self.r["CR"] & 2 else Sleep.STOP

    def internal_wakeup(self) -> None:
        """The RTC always gets through."""
        self.wake(1)

    def write_register(self, name: str, value: int) -> None:
        """CWUF and CSBF clear flags of CSR and read 0."""
        if name == "CR":
            self.r["CSR"] &= ~((value & 4) >> 2 | (value & 8) >> 2)
        self.store(name, value)

    def read_register(self, name: str) -> int:
        """REGLPF follows LPRUN."""
        value = self.r[name]
        return value & ~0x20 | (self.r["CR"] >> 14 & 1) << 5 if name == "CSR" else value

    def _pin_changed(self, number: int, level: bool) -> None:
        if level and self.r["CSR"] >> 8 + number & 1:
            self._note_wakeup(1)
            self.wake(1)

    def _note_wakeup(self, flag: int) -> None:
        self.r["CSR"] |= flag
