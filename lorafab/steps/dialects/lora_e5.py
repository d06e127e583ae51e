"""Seeed LoRa-E5.

Source: Seeed, "LoRa-E5 AT Command Specification V1.0"; transcripts in CampusIoT/tutorial, wio-lora-e5/AT.md. There
is no OK: an answer repeats the name of its command, and the answer to AT+KEY repeats the key.
"""

from collections.abc import Mapping, Sequence

from lorafab.domain.identity import Identity
from lorafab.steps.dialects.grammar import NEVER, Exchange, JoinResult, group, judge_join, line


class LoraE5:
    """Implements Dialect."""

    end = "\r\n"
    awake = Exchange("AT", line(r"\+AT: OK"))
    greeting = NEVER
    unsolicited = line(r"\+INFO: .*|\+JOIN: .*")
    busy = line(r"\+[A-Z]+: (LoRaWAN modem is busy|No free channel)")
    errors: Mapping[str, str] = {
        r"\+[A-Z]+: ERROR\(-1\)": "it does not understand the value",
        r"\+[A-Z]+: ERROR\(-10\)": "it knows no such command",
        r"\+[A-Z]+: ERROR\(-11\)": "the command is written wrongly",
        r"\+[A-Z]+: ERROR\(-12\)": "its mode does not allow it",
        r"\+[A-Z]+: ERROR\(-\d+\)": "it is refused, see its specification for the number",
    }
    takes_nwk_key = False

    def questions(self, *, lorawan_1_1: bool) -> Sequence[Exchange]:
        """The key cannot be read."""
        done = line(rf"\+ID: AppEui, {group('join_eui', 8, ':')}")
        says = (line(r"\+ID: DevAddr, [0-9A-Fa-f:]+"), line(rf"\+ID: DevEui, {group('dev_eui', 8, ':')}"))
        return [Exchange("AT+ID", done, says, frozenset({"dev_eui"}))]

    def commands(self, identity: Identity) -> Sequence[Exchange]:
        """What it answers is compared with what was sent."""
        return [
            Exchange("AT+MODE=LWOTAA", line(r"\+MODE: LWOTAA")),
            Exchange(
                'AT+KEY=APPKEY,"{key}"', line(rf"\+KEY: APPKEY {group('app_key', 16, '[: ]?')}"), key=identity.app_key
            ),
            Exchange(f'AT+ID=DevEui,"{identity.dev_eui}"', line(rf"\+ID: DevEui, {group('dev_eui', 8, ':')}")),
            Exchange(f'AT+ID=AppEui,"{identity.join_eui}"', line(rf"\+ID: AppEui, {group('join_eui', 8, ':')}")),
        ]

    def join_result(self, lines: Sequence[str]) -> JoinResult:
        """``+JOIN: Done`` comes after a failure, too."""
        return judge_join(lines, line(r"\+JOIN: (Network joined|Joined already)"), line(r"\+JOIN: Join failed"))
