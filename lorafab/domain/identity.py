"""Who a board is: EUI-64 numbers, the label's claim, the identity that goes into memory."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from lorafab.domain.secret import Secret

_EUI = re.compile(r"[0-9A-Fa-f]{16}", re.ASCII)

# Virtual boards announce themselves by the first four bytes of their chip id ("LFVB"), which are wafer
# coordinates on silicon; only lots of `kind: demo` may claim them.
VIRTUAL_CHIP_PREFIX: Final = b"LFVB".hex().upper()

KeySlot = Literal["appkey", "nwkkey"]
"""Which root key: LoRaWAN 1.0.x has an AppKey only, 1.1 has a NwkKey too."""

SERIAL_SIZE = 16  # bytes in the identity block


@dataclass(frozen=True, order=True)
class Eui64:
    """An EUI-64 (DevEUI or JoinEUI): 8 bytes, ``value`` with the first byte as the most significant."""

    value: int

    def __post_init__(self) -> None:
        if not 0 <= self.value < 1 << 64:
            raise ValueError("an EUI-64 has 64 bits")

    @classmethod
    def parse(cls, text: str) -> "Eui64":
        """Read 16 hex digits; raises ValueError for anything else."""
        if not _EUI.fullmatch(text):
            raise ValueError("an EUI-64 is written as 16 hex digits")
        return cls(int(text, 16))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Eui64":
        """Take 8 bytes, most significant first."""
        if len(data) != 8:
            raise ValueError(f"an EUI-64 has 8 bytes, not {len(data)}")
        return cls(int.from_bytes(data, "big"))

    def to_bytes(self) -> bytes:
        """Give 8 bytes, most significant first."""
        return self.value.to_bytes(8, "big")

    def is_reserved(self) -> bool:
        """Whether all bits are equal: zero and broadcast name no device."""
        return self.value in (0, (1 << 64) - 1)

    def __str__(self) -> str:
        return f"{self.value:016X}"


def is_virtual_chip(chip_id: str) -> bool:
    """Whether ``chip_id`` (upper-case hex) is in the range that virtual boards use."""
    return chip_id.startswith(VIRTUAL_CHIP_PREFIX)


@dataclass(frozen=True)
class Identity:
    """What one board is given: written as one identity block, sealed as one ledger entry."""

    serial: str
    """At most 16 printable ASCII characters; empty when the label carries none."""
    dev_eui: Eui64
    join_eui: Eui64
    app_key: Secret
    nwk_key: Secret | None
    """LoRaWAN 1.1 only."""
    generation: int
    """Key generation, 1..255."""
    region: int | None
    """LoRaMacRegion_t number (0 AS923 .. 5 EU868 ..); None when the product does not say."""
    lot: str


REGIONS: Final[dict[str, int]] = {
    # LoRaMac-node src/mac/LoRaMac.h, enum LoRaMacRegion_t, in its order.
    name: number
    for number, name in enumerate(
        ("AS923", "AU915", "CN470", "CN779", "EU433", "EU868", "KR920", "IN865", "US915", "RU864")
    )
}
