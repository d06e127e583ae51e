"""What CoreSight components have in common: identification registers at the end of 4 KiB (Armv7-M ARM, C1.2, D1)."""

from lorafab.virtual.bus import WordRegisters

CID_GENERIC, CID_ROM, CID_CORESIGHT = 0xB105_E00D, 0xB105_100D, 0xB105_900D


def identity(pid: int, cid: int) -> dict[int, int]:
    """PIDR4 to 7, PIDR0 to 3 and CIDR0 to 3 at their offsets."""
    values = {0xFD0 + 4 * i: pid >> 32 + 8 * i & 0xFF for i in range(4)}
    values |= {0xFE0 + 4 * i: pid >> 8 * i & 0xFF for i in range(4)}
    return values | {0xFF0 + 4 * i: cid >> 8 * i & 0xFF for i in range(4)}


class Component(WordRegisters):
    """A trace or debug component: identification is fixed, the rest of its 4 KiB only remembers."""

    def __init__(self, base: int, pid: int, cid: int, fixed: dict[int, int] | None = None) -> None:
        self.base, self._fixed = base, identity(pid, cid) | (fixed or {})
        self.values: dict[int, int] = {}
        self.reset()

    def reset(self) -> None:
        """What was written is forgotten."""
        self.values.clear()

    def read_word(self, offset: int) -> int:
        """Read back, or a fixed value."""
        return self._fixed.get(offset, self.values.get(offset, 0))

    def write_word(self, offset: int, value: int) -> None:
        """Remember."""
        self.values[offset] = value

    def peek_word(self, offset: int) -> int:
        """Lanes beside a small write."""
        return self.values.get(offset, 0)
