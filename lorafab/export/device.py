"""One board as it is handed over, and what its format must not say wrongly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lorafab.domain.identity import Eui64
from lorafab.domain.secret import Secret
from lorafab.errors import ExportError

_NAMED: Final = 8
"""DevEUIs of boards that a sentence names."""


@dataclass(frozen=True)
class Device:
    """A board that passed, with the keys that were proven on it."""

    dev_eui: Eui64
    join_eui: Eui64
    serial: str
    """Empty when its label carries none."""
    label: str
    """Redacted text."""
    lorawan: str
    """1.0.2, 1.0.3, 1.0.4 or 1.1."""
    region: str | None
    """As LoRaMac-node names it (EU868); None when neither lot nor product says."""
    generation: int
    """Key generation, 1..255; 0 where the key is the secure element's own."""
    app_key: Secret | None
    """None: it lies in the board's secure element, and the customer's join server has it from the element's maker."""
    nwk_key: Secret | None
    """LoRaWAN 1.1 only."""

    @property
    def name(self) -> str:
        """What people call it: the serial, or else the DevEUI."""
        return self.serial.strip() or str(self.dev_eui)


def app_key(device: Device, wanted_by: str) -> Secret:
    """The AppKey, for a format that cannot do without. Raises ExportError, as :func:`refuse_keyless`."""
    refuse_keyless((device,), wanted_by)
    assert device.app_key is not None
    return device.app_key


def refuse_keyless(devices: Sequence[Device], wanted_by: str) -> None:
    """Raise ExportError, which names them, for boards whose keys lie in secure elements."""
    names = [str(device.dev_eui) for device in devices if device.app_key is None]
    if names:
        raise ExportError(
            f"{wanted_by} demands root keys, and those of {named(names)} lie in their secure elements, which give them "
            "to nobody; nothing was exported, choose csv, thingpark or tts-json for a join server that has them"
        )


def named(names: Sequence[str]) -> str:
    """How many boards, and which: the first ones by name."""
    more = ", ..." if len(names) > _NAMED else ""
    return f"{len(names)} board{'' if len(names) == 1 else 's'} ({', '.join(names[:_NAMED])}{more})"


def upper_hex(key: Secret) -> str:
    """A key as 32 upper-case hex digits: for an export file and for nothing else."""
    return key.reveal().hex().upper()


def lower_hex(key: Secret) -> str:
    """A key as 32 lower-case hex digits: for an export file and for nothing else."""
    return key.reveal().hex()
