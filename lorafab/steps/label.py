"""Does this label belong to the lot that is being made?"""

from lorafab.config.models import LotConfig
from lorafab.domain.identity import SERIAL_SIZE, Eui64
from lorafab.domain.label import Label
from lorafab.errors import LabelRefused


def check_of_lot(label: Label, lot: LotConfig) -> None:
    """Refuse a label of another lot. Raises LabelRefused."""
    if lot.index_of(label.dev_eui) is None:
        last = Eui64(lot.dev_eui.first.value + lot.dev_eui.quantity - 1)
        raise LabelRefused(
            f"the label's DevEUI {label.dev_eui} is not of lot {lot.lot}, which has {lot.dev_eui.first} to {last}; "
            "check the lot's name, or put the board to its own lot"
        )
    if label.join_eui not in (None, lot.join_eui):
        raise LabelRefused(
            f"the label's JoinEUI {label.join_eui} is not the one of lot {lot.lot} ({lot.join_eui}); "
            "check the lot's name, or put the board to its own lot"
        )
    if label.serial is not None and len(label.serial) > SERIAL_SIZE:
        raise LabelRefused(
            f"the label's serial has {len(label.serial)} characters, the identity block takes {SERIAL_SIZE}; "
            "print shorter serials for this lot"
        )
