"""Type ABZ modules with hardwario/lora-modem.

Source: hardwario/lora-modem, src/cmd.c (commands, error numbers), src/atci.c (a command ends with CR, LF is ignored;
answers end with CR LF CR LF), src/cmd.h (events). Each set is stored at once; AT$LOCKKEYS hides keys (-50).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from lorafab.domain.identity import Identity
from lorafab.steps.dialects.grammar import KEY_GROUPS, Exchange, JoinResult, group, judge_join, line

_OK: Final = line(r"\+OK")


class Abz:
    """Implements Dialect."""

    end = "\r\n"
    awake = Exchange("AT", _OK)
    greeting = line(r"\+EVENT=0,0")
    unsolicited = line(r"\+EVENT=.*|\+RECV=.*|\+ACK|\+NOACK")
    busy = line(r"\+ERR=-7")
    errors: Mapping[str, str] = {
        r"\+ERR=-1": "it knows no such command",
        r"\+ERR=-2": "it wants another number of values",
        r"\+ERR=-3": "it does not understand the value",
        r"\+ERR=-4": "its factory reset failed",
        r"\+ERR=-5": "it has not joined",
        r"\+ERR=-6": "it has joined already",
        r"\+ERR=-10": "its flash failed",
        r"\+ERR=-14": "it is not in OTAA mode",
        r"\+ERR=-18": "its duty cycle is used up",
        r"\+ERR=-\d+": "it is refused, see cmd.c for the number",
    }
    takes_nwk_key = True

    def questions(self, *, lorawan_1_1: bool) -> Sequence[Exchange]:
        """The key can be read unless it was locked."""
        keys = {"AT$NWKKEY": "nwk_key", "AT$APPKEY": "app_key"} if lorawan_1_1 else {"AT+APPKEY": "app_key"}
        return [
            _get("AT+DEVEUI", "dev_eui", 8),
            _get("AT+APPEUI", "join_eui", 8),
            *(_get(command, name, 16) for command, name in keys.items()),
        ]

    def commands(self, identity: Identity) -> Sequence[Exchange]:
        """AT+APPKEY sets both slots (cmd.c, set_appkey_10); LoRaWAN 1.1 has a command for each. MODE=1 is OTAA."""
        nwk = identity.nwk_key
        keys = {"AT+APPKEY": identity.app_key} if nwk is None else {"AT$NWKKEY": nwk, "AT$APPKEY": identity.app_key}
        return [
            Exchange("AT+MODE=1", _OK),
            *(Exchange(f"{command}={{key}}", _OK, key=key) for command, key in keys.items()),
            Exchange(f"AT+DEVEUI={identity.dev_eui}", _OK),
            Exchange(f"AT+APPEUI={identity.join_eui}", _OK),
        ]

    def join_result(self, lines: Sequence[str]) -> JoinResult:
        """+OK says that it has begun."""
        return judge_join(lines, line(r"\+EVENT=1,1"), line(r"\+EVENT=1,0"))


def _get(command: str, name: str, size: int) -> Exchange:
    locked = line(r"\+ERR=-50") if name in KEY_GROUPS else None
    return Exchange(f"{command}?", line(rf"\+OK={group(name, size)}"), instead=locked)
