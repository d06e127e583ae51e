"""A modem of each dialect behind a serial port, written from docs/serial-dialects.md. It can be made to lie.

``FakeModem`` stands where the real link has its serial port: what is tested includes lines, time-outs and transcript.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lorafab.domain.secret import Secret

DEFAULT_KEY = "2B7E151628AED2A6ABF7158809CF4F3C"
Values = dict[str, str]
Answer = Callable[[str, Values], list[str] | None]
"""Lines for a command, which may change the values; None for a command that it does not know."""


def colons(text: str) -> str:
    return ":".join(text[at : at + 2] for at in range(0, len(text), 2))


def st(command: str, values: Values) -> list[str] | None:
    names = {"AT+DEUI": "dev_eui", "AT+APPEUI": "join_eui", "AT+NWKKEY": "nwk_key", "AT+APPKEY": "app_key"}
    name, equals, value = command.partition("=")
    if command == "AT+CS":
        values["store"] = "yes"
        return ["NVM DATA STORED", "", "OK"]
    if command == "AT":
        return ["", "OK"]
    if name not in names or not equals:
        return None
    if value == "?":
        return [colons(values[names[name]]), "", "OK"]
    values[names[name]] = value.replace(":", "")
    return ["", "OK"]


def rui3(command: str, values: Values) -> list[str] | None:
    names = {"AT+DEVEUI": "dev_eui", "AT+APPEUI": "join_eui", "AT+APPKEY": "app_key"}
    name, equals, value = command.partition("=")
    if command in ("AT", "AT+NJM=1"):
        return ["", "OK"]
    if name not in names or not equals:
        return None
    if value == "?":
        return [f"{name}={values[names[name]]}", "", "OK"]
    values[names[name]], values["store"] = value, "yes"
    return ["", "OK"]


def lora_e5(command: str, values: Values) -> list[str] | None:
    if command == "AT":
        return ["+AT: OK"]
    if command == "AT+MODE=LWOTAA":
        return ["+MODE: LWOTAA"]
    dev, join = (f"+ID: {name}, {colons(values[key])}" for name, key in (("DevEui", "dev_eui"), ("AppEui", "join_eui")))
    if command == "AT+ID":
        return ["+ID: DevAddr, 24:90:01:38", dev, join]
    found = re.fullmatch(r'AT\+(?:ID|KEY)=(DevEui|AppEui|APPKEY),"([0-9A-F]+)"', command)
    if found is None:
        return None
    name = {"DevEui": "dev_eui", "AppEui": "join_eui", "APPKEY": "app_key"}[found[1]]
    values[name], values["store"] = found[2], "yes"
    return [f"+KEY: APPKEY {found[2]}" if name == "app_key" else f"+ID: {found[1]}, {colons(found[2])}"]


def rn2483(command: str, values: Values) -> list[str] | None:
    names = {"deveui": "dev_eui", "appeui": "join_eui", "appkey": "app_key"}
    words = command.split(" ")
    if command == "sys get ver":
        return ["RN2483 1.0.5 Oct 31 2018 15:06:52"]
    if command == "mac save":
        values["store"] = "yes"
        return ["ok"]
    if words[:2] == ["mac", "get"] and words[2] in ("deveui", "appeui"):
        return [values[names[words[2]]]]
    if words[:2] == ["mac", "set"] and words[2] in names:
        values[names[words[2]]] = words[3]
        return ["ok"]
    return None


def abz(command: str, values: Values) -> list[str] | None:
    names = {
        "AT+DEVEUI": "dev_eui", "AT+APPEUI": "join_eui", "AT+APPKEY": "app_key", "AT$APPKEY": "app_key",
        "AT$NWKKEY": "nwk_key",
    }  # fmt: skip
    if command in ("AT", "AT+MODE=1"):
        return ["+OK", ""]
    if command.endswith("?") and command[:-1] in names:
        return [f"+OK={values[names[command[:-1]]]}", ""]
    name, _, value = command.partition("=")
    if name not in names:
        return None
    values[names[name]], values["store"] = value, "yes"
    if name == "AT+APPKEY":
        values["nwk_key"] = value
    return ["+OK", ""]


def own_shell(command: str, values: Values) -> list[str] | None:
    if command == "VER?":
        return ["product=endnode-wle5-serial", "version=1.0.0", "mcu=stm32wle5jc", "OK"]
    if command == "ID?":
        if "dev_eui" not in values:
            return ["ERR no identity: blank"]
        shown = [f"{name}={values[name]}" for name in ("dev_eui", "join_eui", "serial", "region", "generation")]
        kcvs = [
            f"kcv_{name}={Secret(bytes.fromhex(values[f'{name}_key'])).kcv() if f'{name}_key' in values else '-'}"
            for name in ("app", "nwk")
        ]
        return [*shown, f"lot_crc={values['lot_crc']}", "lorawan=1.0", *kcvs, "OK"]
    if command == "SET commit":
        values["store"] = "yes"
        return ["OK"]
    if not command.startswith("SET "):
        return None
    name, _, value = command[4:].partition("=")
    values[name] = value
    return ["OK"]


@dataclass(frozen=True)
class Kind:
    """What tells one dialect's modem from another's."""

    answer: Answer
    unknown: str
    """To a command that it does not know."""
    banner: tuple[str, ...] = ()
    factory: Values = field(default_factory=dict)
    event: str = ""
    """A line that may come at any time."""
    busy: str = ""
    end: str = "\r\n"


_FACTORY = {"dev_eui": "0080E11505060708", "join_eui": "0101010101010101"}
_KEYS = {"app_key": DEFAULT_KEY, "nwk_key": DEFAULT_KEY}
KINDS = {
    "lorafab": Kind(own_shell, "ERR unknown command", ("lorafab endnode-wle5-serial 1.0.0 ready",)),
    "st-at-slave": Kind(
        st,
        "AT_ERROR",
        (
            "APPLICATION_VERSION: V1.3.1",
            f"###### AppKey:      {colons(DEFAULT_KEY)}",
            "AT? to list all available functions",
        ),
        _FACTORY | _KEYS,
        "+EVT:JOIN FAILED",
        "AT_BUSY_ERROR",
    ),
    "rui3": Kind(
        rui3,
        "AT_COMMAND_NOT_FOUND",
        ("RAKwireless RAK3172-E Example", "------", "Current Work Mode: LoRaWAN."),
        _FACTORY | {"app_key": "AC1F09FFFE1302CEAC1F09FFF9153172"},
        "+EVT:JOIN_FAILED_RX_TIMEOUT",
        "AT_BUSY_ERROR",
    ),
    "lora-e5": Kind(lora_e5, "+AT: ERROR(-10)", (), _FACTORY | _KEYS, "+JOIN: Done", "+ID: LoRaWAN modem is busy"),
    "rn2483": Kind(
        rn2483,
        "invalid_param",
        ("RN2483 1.0.5 Oct 31 2018 15:06:52",),
        {"dev_eui": "0" * 16, "join_eui": "0" * 16},
        "denied",
        "busy",
    ),
    "abz": Kind(abz, "+ERR=-1", ("+EVENT=0,0", ""), _FACTORY | _KEYS, "+EVENT=1,0", "+ERR=-7"),
}


class Clock:
    """Stands for the link's module ``time``: waiting costs nothing."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


class FakeModem:
    """Stands for a SerialPort with a modem behind it."""

    def __init__(self, dialect: str, clock: Clock) -> None:
        self.kind, self._clock = KINDS[dialect], clock
        self.stored: Values = dict(self.kind.factory)
        self.values: Values = dict(self.stored)
        self.sent: list[str] = []
        self.resets = 0
        self.alive = True
        self.answers: Callable[[str, list[str]], list[str]] = lambda command, lines: lines
        """Changes what it says to a command."""
        self.takes: Callable[[str, str], str] = lambda name, value: value
        """Changes what it takes for a value."""
        self.keeps: Callable[[Values], Values] = lambda values: values
        """Changes what is there after a reset."""
        self._out = bytearray()
        self._later = bytearray()
        self._in = bytearray()

    def restart(self, noise: str = "") -> None:
        """A reset: what was not stored is gone; what was said before stays on its way."""
        self.resets += 1
        self.values = dict(self.keeps(dict(self.stored)))
        self._in.clear()
        self._later += self._bytes([noise, *self.kind.banner])

    def say(self, lines: list[str]) -> None:
        """These lines have arrived."""
        self._out += self._bytes(lines)

    def _bytes(self, lines: list[str]) -> bytes:
        return "".join(line + self.kind.end for line in lines).encode("latin-1") if self.alive else b""

    def open(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def write(self, data: bytes) -> None:
        """A command."""
        self._in += data
        while (end := self._in.find(b"\n")) >= 0:
            command = self._in[:end].decode("ascii").rstrip("\r")
            del self._in[: end + 1]
            self.sent.append(command)
            before = dict(self.values)
            lines = self.kind.answer(command, self.values)
            for name, value in self.values.items():
                if before.get(name) != value and name != "store":
                    self.values[name] = self.takes(name, value)
            if self.values.pop("store", None):
                self.stored = dict(self.values)
            self._later += self._bytes(self.answers(command, [self.kind.unknown] if lines is None else lines))

    def read_until(self, deadline: float) -> bytes:
        """What has arrived; each line of an answer takes a moment, and without one the time passes at once."""
        if not self._out and deadline > self._clock.now:
            end = self._later.find(b"\n") + 1 or len(self._later)
            self._out += self._later[:end]
            del self._later[:end]
        if not self._out:
            self._clock.now = max(self._clock.now, deadline)
            return b""
        data = bytes(self._out)
        self._out.clear()
        return data


def patch_link(monkeypatch: Any, dialect: str) -> FakeModem:
    """A modem behind every SerialLink that is made from now on."""
    clock = Clock()
    modem = FakeModem(dialect, clock)
    monkeypatch.setattr("lorafab.drivers.serial_link.SerialPort", lambda port, baud: modem)
    monkeypatch.setattr("lorafab.drivers.serial_link.time", clock)
    return modem
