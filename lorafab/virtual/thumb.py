"""What the emulator has to know about single Thumb instructions: their length, IT blocks, and a few by name.

Encodings: Armv7-M ARM DDI 0403, A5.3 (32-bit instructions), A7.7 (each instruction), A7.3 (conditions, ITSTATE).
"""

from collections.abc import Iterator
from enum import Enum, auto

XPSR_N, XPSR_Z, XPSR_C, XPSR_V = 1 << 31, 1 << 30, 1 << 29, 1 << 28
_IT_LOW, _IT_HIGH = 25, 10  # ITSTATE[1:0] is xPSR[26:25], ITSTATE[7:2] is xPSR[15:10]
XPSR_IT = 3 << _IT_LOW | 0x3F << _IT_HIGH


class Kind(Enum):
    """Instructions that the emulator does not carry out as a core does, or cannot stop at."""

    PLAIN = auto()
    IT = auto()
    WFI = auto()
    WFE = auto()
    SEV = auto()
    YIELD = auto()
    DIVIDE = auto()
    FLOAT = auto()
    """Of coprocessor 10 or 11, hence of the FPU."""


_HINTS = {0xBF10: Kind.YIELD, 0xBF20: Kind.WFE, 0xBF30: Kind.WFI, 0xBF40: Kind.SEV}
_WIDE_HINTS = {0x8001: Kind.YIELD, 0x8002: Kind.WFE, 0x8003: Kind.WFI, 0x8004: Kind.SEV}


def size(first: int) -> int:
    """Length in bytes of the instruction that begins with half-word ``first``."""
    return 4 if first >> 11 in (0b11101, 0b11110, 0b11111) else 2


def kind(code: bytes) -> Kind:
    """What the instruction at the beginning of ``code`` is."""
    first, second = _halves(code)
    if size(first) == 2:
        if first & 0xFF00 == 0xBF00 and first & 0xF:
            return Kind.IT
        return _HINTS.get(first, Kind.PLAIN)
    if first == 0xF3AF:
        return _WIDE_HINTS.get(second, Kind.PLAIN)
    if first & 0xFFD0 == 0xFB90 and second & 0xF0F0 == 0xF0F0:
        return Kind.DIVIDE
    if first & 0xEC00 == 0xEC00 and second >> 9 & 7 == 0b101:
        return Kind.FLOAT
    return Kind.PLAIN


def divisor(code: bytes) -> int:
    """Number of the register that a SDIV or UDIV divides by."""
    return _halves(code)[1] & 0xF


def double_load_over_base(code: bytes) -> tuple[int, int] | None:
    """Register and offset of an LDRD (A7.7.50) whose first target is its own base without write-back, or None."""
    first, second = _halves(code)
    base, target, up = first & 0xF, second >> 12, first & 0x80
    if first & 0xFF70 != 0xE950 or base != target or base > 12:
        return None
    return base, (second & 0xFF) * 4 * (1 if up else -1)


def instructions(code: bytes) -> Iterator[tuple[int, Kind]]:
    """Offset and kind of each instruction, decoded one behind the other."""
    at = 0
    while at + 2 <= len(code):
        yield at, kind(code[at : at + 4])
        at += size(_halves(code[at:])[0])


def it_state(xpsr: int) -> int:
    """ITSTATE; 0 outside of IT blocks."""
    return xpsr >> _IT_LOW & 3 | (xpsr >> _IT_HIGH & 0x3F) << 2


def with_it_state(xpsr: int, state: int) -> int:
    """The xPSR with another ITSTATE."""
    return xpsr & ~XPSR_IT | (state & 3) << _IT_LOW | (state >> 2) << _IT_HIGH


def first_it_state(code: bytes) -> int:
    """ITSTATE that the IT instruction at the beginning of ``code`` sets."""
    return code[0]


def next_it_state(state: int) -> int:
    """ITSTATE behind one more instruction of the block."""
    return state & 0xE0 | state << 1 & 0x1F if state & 7 else 0


def last_of_block(state: int) -> int:
    """ITSTATE with which this instruction would be the last one of its block."""
    return state & 0xF0 | 8


def it_length(code: bytes) -> int:
    """How many instructions (1 to 4) the IT instruction at the beginning of ``code`` covers."""
    mask = code[0] & 0xF
    return 4 - ((mask & -mask).bit_length() - 1)


def passes(state: int, xpsr: int) -> bool:
    """Whether the flags let the instruction at this ITSTATE execute."""
    condition = state >> 4
    n, z, c, v = bool(xpsr & XPSR_N), bool(xpsr & XPSR_Z), bool(xpsr & XPSR_C), bool(xpsr & XPSR_V)
    met = (z, c, n, v, c and not z, n == v, n == v and not z, True)[condition >> 1]
    return met if condition >> 1 == 7 else met != bool(condition & 1)


def _halves(code: bytes) -> tuple[int, int]:
    return int.from_bytes(code[:2], "little"), int.from_bytes(code[2:4], "little")
