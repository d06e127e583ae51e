"""lorafab/virtual/faults.py: a fault plan says what it means or is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.errors import ConfigError
from lorafab.virtual.faults import FaultPlan, StuckBit


def test_everything_at_once() -> None:
    """All items, with spaces and a trailing semicolon."""
    plan = FaultPlan.parse(
        " stuck_bit=0x0803E81C.3=0; stuck_bit = 0x08000000.7 = 1;unplug_after=5000; uart=silent; idcode=0x10016495;"
        "dpidr=1; flash_size=128; power_cut_at=0x0803E810; slow_erase=1000;"
    )
    assert plan == FaultPlan(
        stuck_bits=(StuckBit(0x0803E81C, 3, 0), StuckBit(0x08000000, 7, 1)),
        unplug_after=5000,
        uart="silent",
        idcode=0x10016495,
        dpidr=1,
        flash_size=128,
        power_cut_at=0x0803E810,
        slow_erase=1000,
    )


def test_nothing_is_no_fault() -> None:
    """An empty text is a healthy board."""
    assert FaultPlan.parse("") == FaultPlan() == FaultPlan.parse(" ; ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stuck=1", "use one of: dpidr, flash_size"),
        ("uart", "'uart' is not name=value"),
        ("uart=loud", "use silent or garbage"),
        ("unplug_after=-1", "is not a number"),
        ("unplug_after=ten", "is not a number"),
        ("slow_erase=0", "is not a number from"),
        ("power_cut_at=0x20000000", "is not a number from 0x8000000"),
        ("stuck_bit=0x08000000.8=1", "address.bit=level"),
        ("stuck_bit=0x08040000.0=1", "is not a number"),
        ("stuck_bit=0x08000000.1=1;stuck_bit=0x08000000.1=0", "given twice"),
        ("uart=silent;uart=silent", "given twice"),
    ],
)
def test_refusals_tell_what_is_allowed(text: str, says: str) -> None:
    """Each mistake is one sentence."""
    with pytest.raises(ConfigError, match=says.replace(".", r"\.")):
        FaultPlan.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_plan_or_a_refusal(text: str) -> None:
    """Nothing else than ConfigError comes out."""
    with contextlib.suppress(ConfigError):
        FaultPlan.parse(text)
