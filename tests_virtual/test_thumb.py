"""lorafab/virtual/thumb.py: single instructions, and the state machine of IT blocks."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.virtual import thumb
from lorafab.virtual.thumb import Kind


def code(*halves: int) -> bytes:
    return struct.pack(f"<{len(halves)}H", *halves)


@pytest.mark.parametrize(
    ("halves", "kind"),
    [
        ([0xBF30], Kind.WFI), ([0xBF20], Kind.WFE), ([0xBF40], Kind.SEV), ([0xBF10], Kind.YIELD),
        ([0xBF00], Kind.PLAIN),
        ([0xF3AF, 0x8003], Kind.WFI), ([0xF3AF, 0x8002], Kind.WFE), ([0xF3AF, 0x8004], Kind.SEV),
        ([0xBF08], Kind.IT), ([0xBFE8], Kind.IT), ([0xFBB1, 0xF0F2], Kind.DIVIDE), ([0xFB91, 0xF0F2], Kind.DIVIDE),
        ([0xFB01, 0xF002], Kind.PLAIN), ([0xEE00, 0x0A10], Kind.FLOAT), ([0xED90, 0x1B00], Kind.FLOAT),
        ([0xEEF1, 0xFA10], Kind.FLOAT), ([0xE9D0, 0x0100], Kind.PLAIN), ([0x4770], Kind.PLAIN),
    ],
)  # fmt: skip
def test_instructions_that_matter_are_told_apart(halves: list[int], kind: Kind) -> None:
    """By name, in both lengths."""
    assert thumb.kind(code(*halves)) is kind


def test_instructions_are_found_one_behind_the_other() -> None:
    """A second half-word that looks like a hint is none."""
    found = list(thumb.instructions(code(0x2001, 0xF240, 0xBF30, 0xBF30)))
    assert found == [(0, Kind.PLAIN), (2, Kind.PLAIN), (6, Kind.WFI)]


@given(st.integers(0, 0xFFFF_FFFF), st.integers(0, 0xFF))
def test_it_state_has_its_place_in_xpsr(xpsr: int, state: int) -> None:
    """It reads back, and all other bits stay."""
    changed = thumb.with_it_state(xpsr, state)
    assert thumb.it_state(changed) == state
    assert changed & ~thumb.XPSR_IT == xpsr & ~thumb.XPSR_IT


@given(st.integers(0, 13), st.integers(1, 15))
def test_block_has_as_many_instructions_as_its_mask_says(condition: int, mask: int) -> None:
    """Each follows its letter: the condition, or for an E its opposite; behind the last the state is zero."""
    instruction = code(0xBF00 | condition << 4 | mask)
    length = thumb.it_length(instruction)
    state = thumb.first_it_state(instruction)
    conditions = []
    while state:
        conditions.append(state >> 4)
        state = thumb.next_it_state(state)
    letters = [condition & 1] + [mask >> (3 - n) & 1 for n in range(length - 1)]
    assert conditions == [condition & 0xE | letter for letter in letters]


@pytest.mark.parametrize(
    ("condition", "rule"),
    [
        (0, lambda n, z, c, v: z), (2, lambda n, z, c, v: c), (4, lambda n, z, c, v: n), (6, lambda n, z, c, v: v),
        (8, lambda n, z, c, v: c and not z), (10, lambda n, z, c, v: n == v),
        (12, lambda n, z, c, v: n == v and not z),
    ],
)  # fmt: skip
def test_conditions(condition: int, rule: object) -> None:
    """All flags, each condition and its opposite; AL always."""
    assert callable(rule)
    for flags in range(16):
        n, z, c, v = (bool(flags >> bit & 1) for bit in (3, 2, 1, 0))
        met = bool(rule(n, z, c, v))
        assert thumb.passes(condition << 4 | 8, flags << 28) == met
        assert thumb.passes((condition | 1) << 4 | 8, flags << 28) != met
        assert thumb.passes(0xE8, flags << 28)


def test_last_of_block_keeps_the_condition() -> None:
    """For executing a single instruction of a block."""
    state = thumb.first_it_state(code(0xBF0B))
    assert thumb.next_it_state(thumb.last_of_block(state)) == 0
    assert thumb.last_of_block(state) >> 4 == state >> 4


@pytest.mark.parametrize(
    ("halves", "expected"),
    [
        ([0xE9D0, 0x0200], (0, 0)), ([0xE9D1, 0x1203], (1, 12)), ([0xE951, 0x1203], (1, -12)),
        ([0xE9D1, 0x0203], None), ([0xE9F1, 0x1203], None), ([0x6800, 0x0000], None),
    ],
    ids=["plain", "offset", "down", "other register", "write-back", "ldr"],
)  # fmt: skip
def test_double_load_over_its_base(halves: list[int], expected: tuple[int, int] | None) -> None:
    """LDRD whose first target is its base register."""
    assert thumb.double_load_over_base(code(*halves)) == expected
