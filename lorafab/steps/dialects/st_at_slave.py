"""ST AT_Slave.

Source: STMicroelectronics/STM32CubeWL, Projects/NUCLEO-WL55JC/Applications/LoRaWAN/LoRaWAN_AT_Slave/LoRaWAN/App,
lora_at.c and lora_command.c (ATError_description, ATCommand). An answer is the value on a line of its own, an empty
line, and OK.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.secret import Secret
from lorafab.steps.dialects.grammar import KEY_GROUPS, Exchange, JoinResult, group, judge_join, line, with_separators

_OK: Final = line("OK")


class StAtSlave:
    """Implements Dialect."""

    end = "\r\n"
    awake = Exchange("AT", _OK)
    greeting = line(r"AT\? to list all available functions")
    """After the versions and, with KEY_EXTRACTABLE 1 and the default trace level, **the keys** (soft-se.c)."""
    unsolicited = line(r"\+EVT:.*|#+ .*|\d+s\d+:.*|NVM DATA .*")
    busy = line("AT_BUSY_ERROR")
    errors: Mapping[str, str] = {
        "AT_ERROR": "it knows no such command, or its stack refused it",
        "AT_PARAM_ERROR": "it does not understand the value",
        "AT_TEST_PARAM_OVERFLOW": "the line was too long or too fast for it",
        "AT_NO_NETWORK_JOINED": "it has not joined",
        "AT_RX_ERROR": "a character arrived broken",
        "AT_NO_CLASS_B_ENABLE": "it has no class B",
        "AT_DUTYCYCLE_RESTRICTED": "its duty cycle is used up",
        "AT_CRYPTO_ERROR": "its cryptography failed",
        "error unknown": "it does not know why itself",
    }
    takes_nwk_key = True

    def questions(self, *, lorawan_1_1: bool) -> Sequence[Exchange]:
        """Both key slots are read: for LoRaWAN 1.0.x both must hold the AppKey."""
        first = "nwk_key" if lorawan_1_1 else "app_key"
        return [
            _get("AT+DEUI", "dev_eui", 8),
            _get("AT+APPEUI", "join_eui", 8),
            _get("AT+NWKKEY", first, 16),
            _get("AT+APPKEY", "app_key", 16),
        ]

    def commands(self, identity: Identity) -> Sequence[Exchange]:
        """A 1.0.x AppKey goes into NWKKEY, from which LoRaMac joins, and into APPKEY, where a default key would stay.

        AT+CS stores; without it a reset forgets everything (LmHandler.c stores nothing by itself).
        """
        return [
            _set_eui("AT+DEUI", identity.dev_eui),
            _set_eui("AT+APPEUI", identity.join_eui),
            _set_key("AT+NWKKEY", identity.nwk_key or identity.app_key),
            _set_key("AT+APPKEY", identity.app_key),
            Exchange("AT+CS", _OK),
        ]

    def join_result(self, lines: Sequence[str]) -> JoinResult:
        """OK comes whatever LmHandlerJoin returned (lora_at.c, AT_Join)."""
        return judge_join(lines, line(r"\+EVT:JOINED"), line(r"\+EVT:JOIN FAILED"))


def _get(command: str, name: str, size: int) -> Exchange:
    return Exchange(
        f"{command}=?",
        _OK,
        says=(line(group(name, size, ":")),),
        wanted=frozenset({name}),
        # Firmware that was built with KEY_EXTRACTABLE 0.
        instead=line("AT_ERROR") if name in KEY_GROUPS else None,
    )


def _set_eui(command: str, eui: Eui64) -> Exchange:
    return Exchange(f"{command}={with_separators(eui.to_bytes(), ':')}", _OK)


def _set_key(command: str, key: Secret) -> Exchange:
    return Exchange(f"{command}={{key}}", _OK, key=key, separator=":")
