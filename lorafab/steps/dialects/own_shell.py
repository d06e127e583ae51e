"""Our own shell, in firmware that is built with its SET commands: firmware/endnode-wle5/README.md.

It says key check values instead of keys, and everything that identity block v1 has.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from lorafab.domain.identity import Identity
from lorafab.domain.identity_block import REGION_NONE, lot_crc
from lorafab.steps.dialects.grammar import NEVER, Exchange, JoinResult, group, line

_OK: Final = line("OK")
_ANY_VALUE: Final = line(r"[a-z_]+=.*")
_FIELDS: Final = (
    line(f"dev_eui={group('dev_eui', 8)}"),
    line(f"join_eui={group('join_eui', 8)}"),
    line(r"serial=(?P<serial>[ -~]{0,16})"),
    line(r"region=(?P<region>\d{1,3})"),
    line(r"generation=(?P<generation>\d{1,3})"),
    line(f"lot_crc={group('lot_crc', 4)}"),
    line(r"kcv_app=(?P<kcv_app>[0-9A-F]{16}|-)"),
    line(r"kcv_nwk=(?P<kcv_nwk>[0-9A-F]{16}|-)"),
    line(r"lorawan=1\.[01]"),
)


class OwnShell:
    """Implements Dialect."""

    end = "\r\n"
    awake = Exchange("VER?", _OK, (_ANY_VALUE,))
    greeting = line(r"lorafab .* ready")
    unsolicited = NEVER
    busy = NEVER
    errors: Mapping[str, str] = {"ERR .*": "the firmware says why"}
    takes_nwk_key = True

    def questions(self, *, lorawan_1_1: bool) -> Sequence[Exchange]:
        """One question has it all; a page without a block is an answer, too."""
        wanted = frozenset(name for field in _FIELDS for name in field.groupindex)
        return [Exchange("ID?", _OK, _FIELDS, wanted, instead=line(r"ERR no identity: (?P<missing>.*)"))]

    def commands(self, identity: Identity) -> Sequence[Exchange]:
        """Every field of identity block v1 that a maker decides, then the block is written."""
        fields = {
            "dev_eui": str(identity.dev_eui),
            "join_eui": str(identity.join_eui),
            "serial": identity.serial,
            "region": str(REGION_NONE if identity.region is None else identity.region),
            "generation": str(identity.generation),
            "lot_crc": f"{lot_crc(identity.lot):08X}",
        }
        keys = {"app_key": identity.app_key, "nwk_key": identity.nwk_key}
        return [
            *(Exchange(f"SET {name}={value}", _OK) for name, value in fields.items()),
            *(Exchange(f"SET {name}={{key}}", _OK, key=key) for name, key in keys.items() if key is not None),
            Exchange("SET commit", _OK),
        ]

    def join_result(self, lines: Sequence[str]) -> JoinResult:
        """This shell has no join."""
        return "unknown"
