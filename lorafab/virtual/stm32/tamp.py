"""TAMP of the WL: its twenty backup registers and a counter; tampers are refused.

Register offsets and bits: CMSIS header ``stm32wle5xx.h`` (TAMP_TypeDef, TAMP_*).

Settings: ``enable``, that of the RTC.
"""

from collections.abc import Mapping
from typing import Any

from lorafab.virtual.stm32.registers import WORD, Reg, Registers


class Tamp(Registers):
    """TAMP of the WL: twenty backup registers; tampers are not modelled."""

    def layout(self) -> Mapping[str, Reg]:
        """TAMP_TypeDef of stm32wle5xx.h."""
        inputs = {7: "a tamper input", 0x00B4_0000: "an internal tamper"}
        kept = {"CR2": 0x04, "CR3": 0x08, "FLTCR": 0x0C, "IER": 0x2C}
        fixed = {"SR": 0x30, "MISR": 0x34, "SCR": 0x3C, "COUNTR": 0x40}
        registers = {"CR1": Reg(0x00, 0, WORD, inputs)}
        registers |= {name: Reg(offset) for name, offset in kept.items()}
        registers |= {name: Reg(offset, 0, 0) for name, offset in fixed.items()}
        return registers | {f"BKP{n}R": Reg(0x100 + 4 * n) for n in range(20)}

    def power_on(self) -> None:
        """There is no battery."""
        self.backup_reset()

    def backup_reset(self) -> None:
        """The backup domain is reset."""
        self.r = {name: reg.reset for name, reg in self._layout.items()}

    def wipe_backup(self) -> None:
        """Clear the backup registers."""
        self.r |= {name: 0 for name in self.r if name.startswith("BKP")}

    def reset(self) -> None:
        """A system reset changes nothing."""

    def write_register(self, name: str, value: int) -> None:
        """Behind PWR's DBP; COUNTR counts its writes."""
        power: Any = self.peer("power")
        if power is not None and not power.backup_open:
            self.complain(f"write to {name} while PWR's DBP is 0 does nothing")
        elif name == "COUNTR":
            self.r[name] = self.r[name] + 1 & WORD
        elif name == "CR2" and value & 1 << 23:
            self.wipe_backup()
        else:
            self.store(name, value)
