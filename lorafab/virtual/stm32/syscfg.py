"""SYSCFG: which port an EXTI line listens to. The other registers are only kept.

Register offsets: CMSIS headers ``stm32wle5xx.h``, ``stm32l476xx.h``, ``stm32l072xx.h`` (SYSCFG_TypeDef, EXTICR at 0x08
in all three). Codes of the ports: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7; in L0 H is 5 (HAL, GPIO_GET_INDEX).

Settings: ``ports``, the letters by code (default ``ABCDEFGH``).
"""

from collections.abc import Mapping

from lorafab.virtual.stm32.registers import Reg, Registers


class Syscfg(Registers):
    """The part named ``syscfg``."""

    def layout(self) -> Mapping[str, Reg]:
        """EXTICR1 to EXTICR4, 16 bits each, among kept registers."""
        kept = {f"R{offset:02X}": Reg(offset) for offset in (0x00, 0x04, 0x18, 0x1C, 0x20, 0x24)}
        return kept | {f"EXTICR{n + 1}": Reg(0x08 + 4 * n, 0, 0xFFFF) for n in range(4)}

    def port(self, line: int) -> str:
        """Letter of the port that EXTI line 0 to 15 listens to; empty for a code without a port."""
        code = self.r[f"EXTICR{line // 4 + 1}"] >> 4 * (line % 4) & 0xF
        ports = str(self.settings.get("ports", "ABCDEFGH"))
        return ports[code] if code < len(ports) else ""

    def write_register(self, name: str, value: int) -> None:
        """Another port may have another level: the EXTI looks."""
        self.store(name, value)
        exti = self.peer("exti")
        if exti is not None and name.startswith("EXTICR"):
            exti.pins_changed()
