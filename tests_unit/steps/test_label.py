"""lorafab.steps.label: only labels of the lot that is being made go on, and each names exactly one board of it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.config.load import load_lot
from lorafab.config.models import LotConfig
from lorafab.domain.identity import Eui64
from lorafab.domain.label import tr005_text
from lorafab.errors import BoundElsewhere, LabelRefused, LorafabError, WrongChip
from lorafab.steps.label import LabelIdentity, identify, read_label

ROOT = Path(__file__).resolve().parents[2]
LOT, RANGE, CHIP = (load_lot(ROOT, name) for name in ("demo", "demo-range", "demo-chip"))
COUNT = LOT.quantity
EUI = Eui64(0x0080E115_12345678)
"""Of a chip."""


def who(text: str, lot: LotConfig, factory_eui: Eui64 | None = None) -> LabelIdentity:
    return identify(read_label(text, lot), lot, factory_eui)


def refusal(text: str, lot: LotConfig, kind: type[LorafabError] = LabelRefused, eui: Eui64 | None = None) -> str:
    with pytest.raises(kind) as caught:
        who(text, lot, eui)
    return str(caught.value)


def tr005(lot: LotConfig, dev_eui: int | Eui64, serial: str = "", join_eui: int | None = None) -> str:
    dev = Eui64(dev_eui) if isinstance(dev_eui, int) else dev_eui
    return tr005_text(lot.join_eui if join_eui is None else Eui64(join_eui), dev, lot.profile, serial)


def first(lot: LotConfig) -> int:
    eui = lot.dev_eui_of(0)
    assert eui is not None
    return eui.value


# --- the label names the DevEUI ---


@given(st.integers(0, COUNT - 1))
def test_every_label_of_the_lot_is_taken(number: int) -> None:
    """As it is printed, and as a bare DevEUI, which carries no JoinEUI to compare and no serial."""
    eui = Eui64(first(LOT) + number)
    text = LOT.label_text(number)
    assert who(text, LOT) == LabelIdentity(eui, f"LF{number + 1:08}", text)
    assert who(str(eui), LOT) == LabelIdentity(eui, "", str(eui))


@given(st.integers(1, (1 << 64) - 2).filter(lambda value: not first(LOT) <= value < first(LOT) + COUNT))
def test_no_other_label_is(value: int) -> None:
    """The sentence names the label, the lot and its range."""
    said = refusal(f"{value:016X}", LOT)
    assert f"DevEUI {value:016X} is not of lot demo" in said
    assert f"which has {LOT.dev_eui_of(0)} to {LOT.dev_eui_of(COUNT - 1)}" in said


@pytest.mark.parametrize("lot", [LOT, RANGE], ids=["label", "range"])
@pytest.mark.parametrize("place", [-1, COUNT])
def test_the_neighbours_of_the_lot_are_outside(lot: LotConfig, place: int) -> None:
    """One before the first and one behind the last."""
    assert f"not of lot {lot.lot}" in refusal(f"{first(lot) + place:016X}", lot)


@pytest.mark.parametrize("lot", [LOT, RANGE, CHIP], ids=["label", "range", "chip"])
def test_another_join_eui_is_refused(lot: LotConfig) -> None:
    """Its devices would ask another join server."""
    dev_eui = lot.dev_eui_of(0) or EUI
    said = refusal(tr005(lot, dev_eui, lot.serial_of(0), join_eui=0x70B3D57ED0000000), lot)
    assert f"JoinEUI 70B3D57ED0000000 is not the one of lot {lot.lot} ({lot.join_eui})" in said


def test_a_serial_that_the_board_cannot_hold_is_refused() -> None:
    """The identity block takes 16 characters; 16 pass, 17 do not."""
    assert who(tr005(LOT, first(LOT), "S" * 16), LOT).serial == "S" * 16
    said = refusal(tr005(LOT, first(LOT), "S" * 17), LOT)
    assert "serial has 17 characters, the identity block takes 16" in said


def test_a_serial_alone_is_no_label_where_labels_name_the_dev_eui() -> None:
    """Not by its form, and not by a pattern that leaves the DevEUI out on some labels."""
    assert "no form that is known" in refusal("LF00000001", LOT)
    pattern = r"(?P<serial>LF[0-9]{8})(?:=(?P<dev_eui>[0-9A-F]{16}))?"
    lot = LOT.model_copy(update={"label_pattern": pattern})
    assert who("LF00000001=024C464200000007", lot).dev_eui == LOT.dev_eui_of(6)
    said = refusal("LF00000001", lot)
    assert said.startswith("the label names no DevEUI, but lot demo takes its DevEUIs from the labels; scan")


# --- the serial says which DevEUI ---


@given(st.integers(0, RANGE.quantity - 1), st.integers(0, 9999))
def test_a_serial_has_its_dev_eui_and_the_other_way_round(number: int, week: int) -> None:
    """DevEUI = first DevEUI + (serial - first serial), whatever form the label has; nothing is counted."""
    serial, eui = f"LR{number + 1:08}", Eui64(first(RANGE) + number)
    texts = (f"{serial}/{week:04}", serial, str(eui), tr005(RANGE, eui, serial), tr005(RANGE, eui))
    for text in texts:
        found = who(text, RANGE)
        assert (found.dev_eui, found.serial) == (eui, serial), text
    assert who(texts[1], RANGE).label_text == serial


def test_a_lot_may_begin_at_any_number() -> None:
    """The first serial has the first DevEUI."""
    lot = RANGE.model_copy(update={"serial": RANGE.serial.model_copy(update={"first": 4000})})
    assert who("LR00004000", lot).dev_eui == RANGE.dev_eui_of(0)
    assert who("LR00008999", lot).dev_eui == RANGE.dev_eui_of(4999)
    for outside in ("LR00003999", "LR00009000"):
        assert f"serial {outside} is not of lot demo-range, which has LR00004000 to LR00008999" in refusal(outside, lot)


@pytest.mark.parametrize("serial", ["LR00000000", "LR00005001", "LR1", "LR000000001", "LX00000001", "00000001"])
def test_a_serial_of_another_form_or_lot_is_refused(serial: str) -> None:
    """In the serial field of a TR005 label as anywhere."""
    said = refusal(tr005(RANGE, first(RANGE), serial), RANGE)
    assert said.startswith(
        f"the label's serial {serial} is not of lot demo-range, which has LR00000001 to LR00005000; "
    )


def test_a_dev_eui_that_is_not_its_serials_is_refused() -> None:
    """The label contradicts itself: misprinted, or of another lot with the same serials."""
    said = refusal(tr005(RANGE, first(RANGE) + 1, "LR00000001"), RANGE)
    assert said == (
        "the label's DevEUI 024C464200010002 does not belong to its serial LR00000001, which has 024C464200010001 in "
        "lot demo-range; set the board aside for relabelling"
    )


# --- the chip says which DevEUI ---


def test_before_the_chip_is_read_nobody_knows_the_dev_eui_of_a_serial() -> None:
    """And afterwards it is the chip's own, whatever the serial is."""
    assert who("LC00000007", CHIP) == LabelIdentity(None, "LC00000007", "LC00000007")
    assert who("LC00000007", CHIP, EUI) == LabelIdentity(EUI, "LC00000007", "LC00000007")


def test_a_label_may_name_the_chips_dev_eui() -> None:
    """With or without a serial; it is believed until the chip was read."""
    for text, serial in ((str(EUI), ""), (tr005(CHIP, EUI, "LC00000003"), "LC00000003")):
        assert who(text, CHIP) == who(text, CHIP, EUI) == LabelIdentity(EUI, serial, text)


def test_a_label_of_another_chip_sets_the_board_aside() -> None:
    """Printed for a chip, and stuck on another one."""
    said = refusal(str(EUI), CHIP, BoundElsewhere, Eui64(EUI.value + 1))
    assert said == (
        "the label names DevEUI 0080E11512345678, but the chip under it has 0080E11512345679 by its maker; "
        "set this board aside for the label that belongs to its chip"
    )


@pytest.mark.parametrize("value", [0x0080E114_FFFFFFFF, 0x0080E116_00000000, 0x70B3D57E_D0000001])
def test_numbers_of_another_maker_are_refused(value: int) -> None:
    """On the label, and in the chip."""
    eui = Eui64(value)
    assert f"DevEUI {eui} is not of lot demo-chip, whose DevEUIs begin with 0080E115" in refusal(str(eui), CHIP)
    said = refusal("LC00000001", CHIP, WrongChip, eui)
    assert said.startswith(f"the chip's own EUI-64 is {eui}, wanted one that begins with 0080E115 for lot demo-chip; ")


@pytest.mark.parametrize("serial", ["LC00000000", "LC00005001"])
def test_a_serial_beyond_the_lots_quantity_is_refused(serial: str) -> None:
    """Before and after the chip was read."""
    for eui in (None, EUI):
        assert f"serial {serial} is not of lot demo-chip" in refusal(serial, CHIP, eui=eui)


# --- any text ---


@given(st.text(max_size=80) | st.from_regex(r"L[FRC][0-9]{8}(/[0-9]{4})?", fullmatch=True))
def test_any_text_is_a_board_of_the_lot_or_refused(text: str) -> None:
    """Never anything else, and never a board of another lot."""
    for lot in (LOT, RANGE, CHIP):
        try:
            found = who(text, lot, EUI)
        except LabelRefused:
            continue
        assert found.dev_eui is not None
        assert found.dev_eui == EUI if lot is CHIP else lot.index_of(found.dev_eui) is not None


def test_a_key_on_a_label_is_not_repeated() -> None:
    """Whatever forms the lot tries."""
    key = "00112233445566778899AABBCCDDEEFF"
    for lot in (LOT, RANGE, CHIP):
        for text in (key, f"LC00000001;{key}", f"LR00000001/{key}"):
            assert key[:8] not in refusal(text, lot)
