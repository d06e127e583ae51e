"""Keys that are on boards and must not stay there: defaults that everybody knows, and blank memory.

A key is judged by its check value alone: that is all that some boards say of it.
"""

from functools import cache
from typing import Final

from lorafab.domain.secret import KEY_SIZE, Secret

_DEFAULTS: Final = {
    # Lora-net/LoRaMac-node, src/peripherals/soft-se/se-identity.h: APP_KEY and NWK_KEY. FIPS-197's example key.
    "2B7E151628AED2A6ABF7158809CF4F3C": "LoRaMac-node's default key",
    # RAK RUI3's OTAA example, as found on a board: forum.rakwireless.com/t/14010.
    "AC1F09FFFE1302CEAC1F09FFF9153172": "the key of RUI3's example",
}


@cache
def _weak() -> dict[str, str]:
    known = {Secret(bytes.fromhex(key)).kcv(): name for key, name in _DEFAULTS.items()}
    blank = {Secret(bytes([byte]) * KEY_SIZE).kcv(): f"a key of bytes {byte:02X} only" for byte in range(256)}
    return known | blank


def weak_key(kcv: str | None) -> str | None:
    """What is wrong with the key that has this check value, in words; None for nothing known, or for no key."""
    return _weak().get(kcv or "")
