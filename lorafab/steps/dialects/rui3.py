"""RAK RUI3.

Source: RAKWireless/RAK-STM32-RUI, cores/STM32WLE/component/service/mode/cli/atcmd_key_id.c, atcmd_general.c and
atcmd_join_send.c; events in component/service/lora/service_lora.c; docs.rakwireless.com, "RUI3 AT Command Manual"
(status codes). Each set is stored at once.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from lorafab.domain.identity import Identity
from lorafab.steps.dialects.grammar import Exchange, JoinResult, group, judge_join, line

_OK: Final = line("OK")


class Rui3:
    """Implements Dialect."""

    end = "\r\n"
    awake = Exchange("AT", _OK)
    greeting = line(r"Current Work Mode: .*")
    unsolicited = line(r"\+EVT:.*|Restricted_Wait_.*|Current Work Mode: .*")
    busy = line("AT_BUSY_ERROR")
    errors: Mapping[str, str] = {
        "AT_ERROR": "something went wrong inside it",
        "AT_PARAM_ERROR": "it does not understand the value",
        "AT_TEST_PARAM_OVERFLOW": "the value is too long for it",
        "AT_NO_CLASSB_ENABLE": "it has no class B",
        "AT_NO_NETWORK_JOINED": "it has not joined",
        "AT_RX_ERROR": "a character arrived broken",
        "AT_MODE_NO_SUPPORT": "it is in point-to-point mode",
        "AT_COMMAND_NOT_FOUND": "it knows no such command",
        "AT_UNSUPPORTED_BAND": "its band does not allow it",
    }
    takes_nwk_key = False

    def questions(self, *, lorawan_1_1: bool) -> Sequence[Exchange]:
        """The key can be read."""
        return [_get("AT+DEVEUI", "dev_eui", 8), _get("AT+APPEUI", "join_eui", 8), _get("AT+APPKEY", "app_key", 16)]

    def commands(self, identity: Identity) -> Sequence[Exchange]:
        """NJM=1 is OTAA. The key is not the last: what is said after the last command is then shown in full."""
        return [
            Exchange("AT+NJM=1", _OK),
            Exchange("AT+APPKEY={key}", _OK, key=identity.app_key),
            Exchange(f"AT+DEVEUI={identity.dev_eui}", _OK),
            Exchange(f"AT+APPEUI={identity.join_eui}", _OK),
        ]

    def join_result(self, lines: Sequence[str]) -> JoinResult:
        """OK says that it has begun."""
        return judge_join(lines, line(r"\+EVT:JOINED"), line(r"\+EVT:JOIN_FAILED_.*"))


def _get(command: str, name: str, size: int) -> Exchange:
    value = line(rf"{command.replace('+', '[+]')}={group(name, size)}")
    return Exchange(f"{command}=?", _OK, (value,), frozenset({name}))
