"""What a label says, whatever form it has."""

from dataclasses import dataclass
from typing import Literal

from lorafab.domain.identity import Eui64
from lorafab.domain.label_refusal import looks_like_key, refused

HIDDEN = "***"
"""Stands in a redacted text for what is not shown."""


@dataclass(frozen=True)
class Label:
    """What a label says. Absent fields are None; ``text`` and ``owner_token`` are a claim secret: show the redacted."""

    format: Literal["tr005", "tr005draft2", "tr005draft3", "dev_eui", "custom"]
    dev_eui: Eui64 | None
    """None only on a custom label that has no more than a serial."""
    text: str
    """Canonical, and read as an equal label again: EUIs, ProfileID and checksum in upper case, checksum of 4 digits,
    fields in the printed order; a custom label as printed."""
    text_redacted: str
    """``text`` with ``***`` for the owner token and for the checksum that covers it (16 bits of it would show), for a
    proprietary field that looks like a key, and for what a custom label holds beside the groups of its pattern."""
    join_eui: Eui64 | None = None
    vendor_id: str | None = None
    """4 hex digits, assigned by the LoRa Alliance."""
    vendor_profile_id: str | None = None
    """4 hex digits, assigned by the vendor."""
    owner_token: str | None = None
    serial: str | None = None
    proprietary: str | None = None
    checksum: str | None = None
    """The checksum of ``text``, 4 hex digits, when the label has one."""

    @property
    def checksum_ok(self) -> bool | None:
        """True for a checksum that fitted (a wrong one is a refusal), None for a label without one."""
        return None if self.checksum is None else True

    def to_json(self) -> dict[str, str | bool | None]:
        """Give what ``lorafab label parse`` prints: EUIs as 16 upper-case hex digits, absent values None.

        An owner token or proprietary field that looks like a key is ``***``, and so is a checksum over it.
        """
        token, proprietary = _unless_key(self.owner_token), _unless_key(self.proprietary)
        hidden = HIDDEN in (token, proprietary)
        return {
            "format": self.format,
            "join_eui": None if self.join_eui is None else str(self.join_eui),
            "dev_eui": None if self.dev_eui is None else str(self.dev_eui),
            "vendor_id": self.vendor_id,
            "vendor_profile_id": self.vendor_profile_id,
            "owner_token": token,
            "serial": self.serial,
            "proprietary": proprietary,
            "checksum": HIDDEN if hidden and self.checksum else self.checksum,
            "checksum_ok": self.checksum_ok,
            "text_redacted": self.text_redacted,
        }

    def __repr__(self) -> str:
        return f"Label({self.text_redacted!r})"


def _unless_key(value: str | None) -> str | None:
    return HIDDEN if value is not None and looks_like_key(value) else value


def own_dev_eui(digits: str) -> Eui64:
    """Read the 16 hex digits of a DevEUI. Raises LabelRefused for one that names no device."""
    eui = Eui64.parse(digits)
    if eui.is_reserved():
        raise refused(f"the label's DevEUI is {eui}, which names no device", "wanted one of the board's own")
    return eui
