"""lorafab.steps.label: only labels of the lot that is being made go on."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.config.load import load_lot
from lorafab.domain.identity import Eui64
from lorafab.domain.label import parse_label, tr005_text
from lorafab.errors import LabelRefused
from lorafab.steps.label import check_of_lot

LOT = load_lot(Path(__file__).resolve().parents[2], "demo")
FIRST, COUNT = LOT.dev_eui.first.value, LOT.dev_eui.quantity


@given(st.integers(0, COUNT - 1))
def test_every_label_of_the_lot_is_taken(number: int) -> None:
    """As it is printed, and as a bare DevEUI, which carries no JoinEUI to compare."""
    check_of_lot(parse_label(LOT.label_text(number)), LOT)
    check_of_lot(parse_label(str(Eui64(FIRST + number))), LOT)


@given(st.integers(1, (1 << 64) - 2).filter(lambda value: not FIRST <= value < FIRST + COUNT))
def test_no_other_label_is(value: int) -> None:
    """The sentence names the label, the lot and its range."""
    with pytest.raises(LabelRefused) as caught:
        check_of_lot(parse_label(f"{value:016X}"), LOT)
    assert f"DevEUI {value:016X} is not of lot demo" in str(caught.value)
    assert f"which has {LOT.dev_eui.first} to {Eui64(FIRST + COUNT - 1)}" in str(caught.value)


@pytest.mark.parametrize("value", [FIRST - 1, FIRST + COUNT])
def test_the_neighbours_of_the_lot_are_outside(value: int) -> None:
    """One before the first and one behind the last."""
    with pytest.raises(LabelRefused, match="not of lot demo"):
        check_of_lot(parse_label(f"{value:016X}"), LOT)


def test_another_join_eui_is_refused() -> None:
    """Its devices would ask another join server."""
    text = tr005_text(Eui64(0x70B3D57ED0000000), LOT.dev_eui.first, LOT.profile, "LF00000001")
    with pytest.raises(LabelRefused, match=rf"JoinEUI 70B3D57ED0000000 is not the one of lot demo \({LOT.join_eui}\)"):
        check_of_lot(parse_label(text), LOT)


def test_a_serial_that_the_board_cannot_hold_is_refused() -> None:
    """The identity block takes 16 characters; 16 pass, 17 do not."""
    check_of_lot(parse_label(tr005_text(LOT.join_eui, LOT.dev_eui.first, LOT.profile, "S" * 16)), LOT)
    with pytest.raises(LabelRefused, match="serial has 17 characters, the identity block takes 16"):
        check_of_lot(parse_label(tr005_text(LOT.join_eui, LOT.dev_eui.first, LOT.profile, "S" * 17)), LOT)
