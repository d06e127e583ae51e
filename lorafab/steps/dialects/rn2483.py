"""Microchip RN2483.

Source: Microchip DS40001784G, "RN2483 LoRa Technology Module Command Reference User's Guide", 2.3.6.1 (sys get ver),
2.4.3 (mac join), 2.4.4 (mac save), 2.4.8 (mac set) and 2.4.9 (mac get). Everything is lower case, answers are one line.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from lorafab.domain.identity import Identity
from lorafab.steps.dialects.grammar import Exchange, JoinResult, group, judge_join, line

_OK: Final = line("ok")
_VERSION: Final = line(r"RN2[0-9A-Z]+ \d+\.\d+\.\d+ .*")


class Rn2483:
    """Implements Dialect."""

    end = "\r\n"
    awake = Exchange("sys get ver", _VERSION)
    greeting = _VERSION
    unsolicited = line(r"mac_rx .*|mac_tx_ok|mac_err|radio_err|radio_tx_ok|accepted|denied")
    busy = line("busy")
    errors: Mapping[str, str] = {
        "invalid_param": "it knows no such command, or does not understand the value",
        "keys_not_init": "its keys are not set",
        "no_free_ch": "all its channels are busy",
        "silent": "its network forbade it to transmit",
        "mac_paused": "its stack is paused",
        "not_joined": "it has not joined",
        "fram_counter_err_rejoin_needed": "its frame counter is used up",
        "invalid_data_len": "the data are too long for its data rate",
        "err": "it is refused",
    }
    takes_nwk_key = False

    def questions(self, *, lorawan_1_1: bool) -> Sequence[Exchange]:
        """There is no `mac get appkey`."""
        return [_get("deveui", "dev_eui"), _get("appeui", "join_eui")]

    def commands(self, identity: Identity) -> Sequence[Exchange]:
        """Nothing is kept without `mac save`."""
        return [
            Exchange(f"mac set deveui {identity.dev_eui}", _OK),
            Exchange(f"mac set appeui {identity.join_eui}", _OK),
            Exchange("mac set appkey {key}", _OK, key=identity.app_key),
            Exchange("mac save", _OK),
        ]

    def join_result(self, lines: Sequence[str]) -> JoinResult:
        """`ok` says that it has begun; what came of it is said seconds later."""
        return judge_join(lines, line("accepted"), line("denied"))


def _get(name: str, field: str) -> Exchange:
    return Exchange(f"mac get {name}", line(group(field, 8)))
