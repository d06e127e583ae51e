"""CRC unit: polynomials of 7, 8, 16 or 32 bits over bytes, half-words and words.

Register offsets and bits: CMSIS headers ``stm32wle5xx.h``, ``stm32l476xx.h``, ``stm32l072xx.h`` (CRC_TypeDef,
CRC_*_Pos). Rules: CRC chapters of RM0453, RM0351 and RM0377. After reset: polynomial 0x04C11DB7, start 0xFFFFFFFF.

Settings: ``enable``; ``idr``, bits of IDR (default 32, WL; L0 and L4 have 8).
"""

from collections.abc import Mapping
from functools import cache

from lorafab.virtual.chip import At
from lorafab.virtual.silicon import Silicon
from lorafab.virtual.stm32.registers import WORD, Reg, Registers

_WIDTHS = (32, 16, 8, 7)  # CR.POLYSIZE
_RESET, _REV_OUT = 1, 1 << 7
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Crc(Registers):
    """DR takes data in the size of the access."""

    def __init__(self, silicon: Silicon, at: At) -> None:
        super().__init__(silicon, at)
        self._value = WORD

    def layout(self) -> Mapping[str, Reg]:
        """CRC_TypeDef."""
        return {
            "DR": Reg(0x00, WORD, 0),
            "IDR": Reg(0x04, 0, (1 << int(self.settings.get("idr", 32))) - 1),
            "CR": Reg(0x08, 0, 0xF8),
            "INIT": Reg(0x10, WORD),
            "POL": Reg(0x14, 0x04C1_1DB7),
        }

    def reset(self) -> None:
        """As after reset."""
        super().reset()
        self._value = WORD

    def write(self, offset: int, size: int, value: int) -> None:
        """Writing DR adds 1, 2 or 4 bytes."""
        if offset == self._layout["DR"].offset:
            self._add(value, 8 * size)
        else:
            super().write(offset, size, value)

    def read_register(self, name: str) -> int:
        """DR gives the checksum so far."""
        if name != "DR":
            return self.r[name]
        width = self._width
        value = self._value & (1 << width) - 1
        return _reversed(value, width) if self.r["CR"] & _REV_OUT else value

    def write_register(self, name: str, value: int) -> None:
        """RESET and a write to INIT begin anew."""
        self.store(name, value)
        if name == "INIT" or (name == "CR" and value & _RESET):
            self._value = self.r["INIT"]

    @property
    def _width(self) -> int:
        return _WIDTHS[self.r["CR"] >> 3 & 3]

    def _add(self, value: int, bits: int) -> None:
        width, polynomial = self._width, self.r["POL"]
        unit = min((0, 8, 16, 32)[self.r["CR"] >> 5 & 3], bits)
        if unit:
            parts = [_reversed(value >> at & (1 << unit) - 1, unit) << at for at in range(0, bits, unit)]
            value = sum(parts)
        crc = self._value & (1 << width) - 1
        if width == 32:  # programs sum up whole memories: by bytes
            table = _table(polynomial)
            for at in range(bits - 8, -1, -8):
                crc = crc << 8 & WORD ^ table[crc >> 24 ^ value >> at & 0xFF]
        else:
            crc = _shifted(crc, value, bits, width, polynomial & (1 << width) - 1)
        self._value = crc


def _shifted(crc: int, value: int, bits: int, width: int, polynomial: int) -> int:
    for at in range(bits - 1, -1, -1):
        top = (crc >> width - 1 ^ value >> at) & 1
        crc = (crc << 1 & (1 << width) - 1) ^ (polynomial if top else 0)
    return crc


@cache
def _table(polynomial: int) -> tuple[int, ...]:
    """What each byte makes of a checksum of 32 zero bits."""
    return tuple(_shifted(0, byte, 8, 32, polynomial) for byte in range(256))


def _reversed(value: int, bits: int) -> int:
    if bits == 8:
        return _REVERSED[value]
    if bits % 8 == 0:
        return int.from_bytes(value.to_bytes(bits // 8, "little").translate(_REVERSED), "big")
    return int(f"{value:0{bits}b}"[::-1], 2)
