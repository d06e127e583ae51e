"""Who does the label say that this board is, in the lot that is being made?"""

from dataclasses import dataclass

from lorafab.config.models import FactoryDevEuis, LotConfig
from lorafab.domain.identity import SERIAL_SIZE, Eui64
from lorafab.domain.label import Label, parse_label
from lorafab.errors import BoundElsewhere, LabelRefused, WrongChip

_OTHER_LOT = "check the lot's name, or put the board to its own lot"


@dataclass(frozen=True)
class LabelIdentity:
    """What a label means in its lot."""

    dev_eui: Eui64 | None
    """None: only the chip knows, and it was not read yet."""
    serial: str
    """Empty when the label carries none."""
    label_text: str
    """Redacted: what the ledger binds the board to."""


def read_label(text: str, lot: LotConfig) -> Label:
    """Read the text of a label in one of the forms that the lot takes. Raises LabelRefused."""
    refused: LabelRefused | None = None
    for pattern in lot.label_patterns or (None,):
        try:
            return parse_label(text, pattern)
        except LabelRefused as error:
            refused = refused or error
    assert refused is not None
    raise refused


def identify(label: Label, lot: LotConfig, factory_eui: Eui64 | None = None) -> LabelIdentity:
    """Find the board of the lot that a label names; ``factory_eui`` is the chip's own, once it was read.

    Raises LabelRefused for a label of another lot or one that contradicts itself, BoundElsewhere for one that belongs
    to another chip, WrongChip for a chip whose EUI-64 is not of the lot's.
    """
    if label.join_eui not in (None, lot.join_eui):
        raise LabelRefused(
            f"the label's JoinEUI {label.join_eui} is not the one of lot {lot.lot} ({lot.join_eui}); {_OTHER_LOT}"
        )
    if isinstance(lot.dev_eui, FactoryDevEuis):
        return _of_hardware(label, lot, lot.dev_eui, factory_eui)
    if lot.dev_eui.source == "range":
        return _of_range(label, lot)
    return _of_label(label, lot)


def _of_label(label: Label, lot: LotConfig) -> LabelIdentity:
    """The label names the DevEUI; its serial is whatever was printed."""
    if label.dev_eui is None:
        raise LabelRefused(
            f"the label names no DevEUI, but lot {lot.lot} takes its DevEUIs from the labels; scan the label with the "
            "DevEUI, or put the board to its own lot"
        )
    _index_of(label.dev_eui, lot)
    serial = label.serial or ""
    if len(serial) > SERIAL_SIZE:
        raise LabelRefused(
            f"the label's serial has {len(serial)} characters, the identity block takes {SERIAL_SIZE}; "
            "print shorter serials for this lot"
        )
    return LabelIdentity(label.dev_eui, serial, label.text_redacted)


def _of_range(label: Label, lot: LotConfig) -> LabelIdentity:
    """Serial and DevEUI follow from each other; a label that has both has to agree with that."""
    if label.serial is not None:
        index = _index_of_serial(label.serial, lot)
    else:
        assert label.dev_eui is not None  # a label has one of the two
        index = _index_of(label.dev_eui, lot)
    dev_eui = lot.dev_eui_of(index)
    if label.dev_eui not in (None, dev_eui):
        raise LabelRefused(
            f"the label's DevEUI {label.dev_eui} does not belong to its serial {label.serial}, which has {dev_eui} in "
            f"lot {lot.lot}; set the board aside for relabelling"
        )
    return LabelIdentity(dev_eui, lot.serial_of(index), label.text_redacted)


def _of_hardware(label: Label, lot: LotConfig, wanted: FactoryDevEuis, factory_eui: Eui64 | None) -> LabelIdentity:
    """The hardware decides on the DevEUI; a label that names one was made for exactly this chip."""
    if label.serial is not None:
        _index_of_serial(label.serial, lot)
    if label.dev_eui is not None and label.dev_eui.value not in wanted.values:
        raise LabelRefused(
            f"the label's DevEUI {label.dev_eui} is not of lot {lot.lot}, whose DevEUIs begin with {wanted.prefix}; "
            + _OTHER_LOT
        )
    if factory_eui is not None:
        if factory_eui.value not in wanted.values:
            raise WrongChip(
                f"the chip's own EUI-64 is {factory_eui}, wanted one that begins with {wanted.prefix} for lot "
                f"{lot.lot}; check the lot's dev_eui.prefix, then set this board aside"
            )
        if label.dev_eui not in (None, factory_eui):
            raise BoundElsewhere(
                f"the label names DevEUI {label.dev_eui}, but the chip under it has {factory_eui} by its maker; "
                "set this board aside for the label that belongs to its chip"
            )
    return LabelIdentity(factory_eui or label.dev_eui, label.serial or "", label.text_redacted)


def _index_of(dev_eui: Eui64, lot: LotConfig) -> int:
    index = lot.index_of(dev_eui)
    if index is None:
        raise LabelRefused(
            f"the label's DevEUI {dev_eui} is not of lot {lot.lot}, which has {lot.dev_eui_of(0)} to "
            f"{lot.dev_eui_of(lot.quantity - 1)}; {_OTHER_LOT}"
        )
    return index


def _index_of_serial(serial: str, lot: LotConfig) -> int:
    index = lot.index_of_serial(serial)
    if index is None:
        raise LabelRefused(
            f"the label's serial {serial[:40]} is not of lot {lot.lot}, which has {lot.serial_of(0)} to "
            f"{lot.serial_of(lot.quantity - 1)}; {_OTHER_LOT}"
        )
    return index
