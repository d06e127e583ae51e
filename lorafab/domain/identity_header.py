"""A header with one board's identity, for firmware that has it compiled in.

The template is C with placeholders: ``${dev_eui_c}``, ``${join_eui_c}`` (8 bytes, most significant first),
``${app_key_c}``, ``${nwk_key_c}`` (16 bytes; LoRaWAN 1.0.x has no NwkKey: zeros) as ``0x01, 0x02, ...``;
``${dev_eui}``, ``${join_eui}`` as 16 hex digits; ``${serial}`` for the inside of a string literal; ``${region}``,
``${generation}``, ``${lot_crc}`` as numbers, as in the identity block; ``${lorawan_1_1}`` as ``true`` or ``false``.
"""

import string

from lorafab.domain.identity import Identity
from lorafab.domain.identity_block import REGION_NONE, lot_crc
from lorafab.domain.secret import KEY_SIZE
from lorafab.errors import BuildError

_KEYS = frozenset({"app_key_c"})
_PLACES = _KEYS | {
    *("dev_eui", "dev_eui_c", "join_eui", "join_eui_c", "nwk_key_c", "serial", "region", "generation", "lot_crc"),
    "lorawan_1_1",
}


def check_template(template: str, name: str) -> None:
    """Refuse a template that names what there is not, or no key at all. Raises BuildError."""
    parsed = string.Template(template)
    known = ", ".join(f"${{{place}}}" for place in sorted(_PLACES))
    if not parsed.is_valid():
        raise BuildError(f"{name} holds a $ that begins no placeholder, wanted one of {known}; write $$ for a dollar")
    found = set(parsed.get_identifiers())
    if unknown := sorted(found - _PLACES):
        raise BuildError(f"{name} wants ${{{unknown[0]}}}, which does not exist; known placeholders: {known}")
    if missing := sorted(_KEYS - found):
        raise BuildError(f"{name} has no ${{{missing[0]}}}, so its firmware would have no key; add it")


def render(template: str, identity: Identity) -> str:
    """Fill in a template that was checked. **The text holds the keys.** Raises BuildError."""
    parsed = string.Template(template)
    if identity.nwk_key is not None and "nwk_key_c" not in parsed.get_identifiers():
        raise BuildError(
            "the header's template has no ${nwk_key_c}, and boards of a LoRaWAN 1.1 lot have a NwkKey; add it, or "
            "correct the lot's lorawan"
        )
    return parsed.substitute(
        dev_eui=identity.dev_eui,
        dev_eui_c=_bytes(identity.dev_eui.to_bytes()),
        join_eui=identity.join_eui,
        join_eui_c=_bytes(identity.join_eui.to_bytes()),
        app_key_c=_bytes(identity.app_key.reveal()),
        nwk_key_c=_bytes(identity.nwk_key.reveal() if identity.nwk_key else bytes(KEY_SIZE)),
        serial="".join(
            character if character.isalnum() else f"\\{ord(character):03o}" for character in identity.serial
        ),
        region=REGION_NONE if identity.region is None else identity.region,
        generation=identity.generation,
        lot_crc=lot_crc(identity.lot),
        lorawan_1_1="true" if identity.nwk_key else "false",
    )


def _bytes(data: bytes) -> str:
    return ", ".join(f"0x{byte:02X}" for byte in data)
