"""DBGMCU: the identity of the part, and what a debugger wants to keep running or to stop while the core is halted.

Register offsets and bits: CMSIS headers ``stm32wle5xx.h``, ``stm32l476xx.h``, ``stm32l072xx.h`` (DBGMCU_TypeDef; CR:
DBG_SLEEP 0, DBG_STOP 1, DBG_STANDBY 2). Only power-on resets these registers (RM0351, debug chapter).

Settings: ``idcode``, the value of IDCODE; ``freeze``, offsets of the freeze registers (default: those of the WL).
"""

from collections.abc import Mapping

from lorafab.virtual.stm32.registers import Reg, Registers

FREEZE_WL = (0x3C, 0x44, 0x4C)
FREEZE_L4 = (0x08, 0x0C, 0x10)
FREEZE_L0 = (0x08, 0x0C)


class DbgMcu(Registers):
    """The register block; usually the part named ``dbgmcu``."""

    def layout(self) -> Mapping[str, Reg]:
        """IDCODE, CR and the freeze registers, which are named by their offsets."""
        offsets = tuple(self.settings.get("freeze", FREEZE_WL))
        return {
            "IDCODE": Reg(0x00, 0, 0),
            "CR": Reg(0x04, 0, 7),
            **{f"FZ{offset:02X}": Reg(offset) for offset in offsets},
        }

    def power_on(self) -> None:
        """The only reset of this part."""
        self.r = {name: reg.reset for name, reg in self._layout.items()}

    def reset(self) -> None:
        """A system reset changes nothing."""

    def read_register(self, name: str) -> int:
        """The identity may be replaced by the fault plan."""
        if name == "IDCODE":
            idcode = self.silicon.faults.idcode
            return int(self.settings["idcode"]) if idcode is None else idcode
        return self.r[name]

    @property
    def keeps_clocks_in_stop(self) -> bool:
        """DBG_STOP."""
        return bool(self.r["CR"] & 2)

    @property
    def keeps_clocks_in_standby(self) -> bool:
        """DBG_STANDBY."""
        return bool(self.r["CR"] & 4)

    def freezes(self, bit: tuple[int, int]) -> bool:
        """Whether a freeze bit (register offset, bit) is set and the core is halted."""
        return self.silicon.core.halted and bool(self.r[f"FZ{bit[0]:02X}"] >> bit[1] & 1)
