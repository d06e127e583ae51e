"""A secure element, as its maker vouches for it."""

from dataclasses import dataclass

from lorafab.domain.identity import Eui64


@dataclass(frozen=True)
class Element:
    """One chip of a maker's manifest. It has a root key of its own, which nobody reads."""

    serial: str
    """The chip's unique number: 9 bytes as 18 lower-case hex digits."""
    dev_eui: Eui64 | None
    """None where its certificate names none: a part that was not made for LoRaWAN, or of an unknown generation."""
    part: str
    """The maker's part number."""
    certificate: str
    """Common name in the chip's own certificate."""
