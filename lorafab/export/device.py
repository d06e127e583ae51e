"""One board as it is handed over, and what its format must not say wrongly."""

from dataclasses import dataclass

from lorafab.domain.identity import Eui64
from lorafab.domain.secret import Secret


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
    """Key generation, 1..255."""
    app_key: Secret
    nwk_key: Secret | None
    """LoRaWAN 1.1 only."""

    @property
    def name(self) -> str:
        """What people call it: the serial, or else the DevEUI."""
        return self.serial.strip() or str(self.dev_eui)


def upper_hex(key: Secret) -> str:
    """A key as 32 upper-case hex digits: for an export file and for nothing else."""
    return key.reveal().hex().upper()


def lower_hex(key: Secret) -> str:
    """A key as 32 lower-case hex digits: for an export file and for nothing else."""
    return key.reveal().hex()
