"""Which protocol a debug port listens to: what sequences on SWDIO do to it, bit by bit.

Source: Arm IHI 0031 (ADIv5.2): B4.3.3 line reset; B5.2 and B5.3 switching and the dormant state. Sequences are written
there least significant bit first, as CMSIS-DAP sends them. A port with SWD protocol version 2 comes from a combined
SWJ-DP: it starts in JTAG and knows the dormant state. The others among our chips are plain SW-DPs, which know neither.
"""

from enum import Enum

LINE_RESET = 50
"""Clocks with SWDIO high that reset the line."""


class Listens(Enum):
    """What the port understands now."""

    SWD = "swd"
    JTAG = "jtag"
    DORMANT = "dormant"


def _in_time(value: int, length: int) -> int:
    """``value`` with the bit that is sent first on top, as they shift in."""
    return int(f"{value:0{length}b}"[::-1], 2)


def _after_ones(ones: int, value: int, length: int) -> tuple[int, int]:
    """Length and bits of a sequence that ``ones`` clocks high go before."""
    return ones + length, (1 << ones) - 1 << length | _in_time(value, length)


_ALERT = 0x19BC_0EA2_E3DD_AFE9_8685_2D95_6209_F392  # selection alert, 128 bits: table B5-2
_SWITCHES: dict[tuple[Listens, tuple[int, int]], Listens] = {
    (Listens.JTAG, _after_ones(LINE_RESET, 0xE79E, 16)): Listens.SWD,
    (Listens.SWD, _after_ones(LINE_RESET, 0xE73C, 16)): Listens.JTAG,
    (Listens.SWD, _after_ones(LINE_RESET, 0xE3BC, 16)): Listens.DORMANT,
    (Listens.JTAG, _after_ones(5, 0x33BB_BBBA, 31)): Listens.DORMANT,
    # Eight clocks high, the alert, four clocks low, and the activation code 0x1A or 0x0A.
    (Listens.DORMANT, _after_ones(8, _ALERT | 0x1A0 << 128, 140)): Listens.SWD,
    (Listens.DORMANT, _after_ones(8, _ALERT | 0x0A0 << 128, 140)): Listens.JTAG,
}
_KEPT = (1 << max(length for _, (length, _) in _SWITCHES)) - 1


class Switch:
    """The listening end of SWDIO."""

    def __init__(self, combined: bool) -> None:
        """``combined``: it is an SWJ-DP, which starts in JTAG."""
        self._combined = combined
        self.listens = Listens.JTAG if combined else Listens.SWD
        self.only_dpidr = True
        """The line was reset: only a read of DPIDR is answered until there was one."""
        self._was_reset = False
        self._history = self._ones = 0

    @property
    def silent(self) -> bool:
        """No transfer is understood: another protocol, no line reset yet, or not the clocks low that end one."""
        return self.listens is not Listens.SWD or not self._was_reset or self._ones >= LINE_RESET

    def sequence(self, length: int, bits: int) -> None:
        """SWDIO has ``length`` bits, least significant first."""
        for place in range(length):
            bit = bits >> place & 1
            self._history = (self._history << 1 | bit) & _KEPT
            self._ones = self._ones + 1 if bit else 0
            if self._ones >= LINE_RESET:
                self.only_dpidr = self._was_reset = True
            if self._combined:
                self._follow()

    def transfer(self) -> None:
        """A transfer went over the wires: sequences begin anew."""
        self._history = self._ones = 0

    def _follow(self) -> None:
        for (listens, (length, wanted)), then in _SWITCHES.items():
            if listens is self.listens and self._history & (1 << length) - 1 == wanted:
                self.listens, self._was_reset, self._history = then, False, 0
                return
