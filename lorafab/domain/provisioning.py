"""What a board holds for an identity, found before a run writes or read back after it."""

from dataclasses import dataclass
from typing import Literal

from lorafab.domain.identity import Eui64
from lorafab.domain.identity_block import REGION_NONE, BlockState, IdentityBlock
from lorafab.domain.secret import Secret

Stage = Literal["image", "probe", "firmware"]
"""When an identity is written: in one flash session with the image, by the probe after it, or by the firmware."""

Evidence = Literal["read back", "asserted", "unproven"]
"""How the key on a board is known: its check value was read from the board; the board said that it took the key; nobody
but the hardware has it, and only a join will show that it is the right one."""


@dataclass(frozen=True)
class Held:
    """An identity as a board was found to hold it; None for what its store does not say. No key is in here."""

    dev_eui: Eui64
    join_eui: Eui64 | None = None
    serial: str | None = None
    generation: int | None = None
    region: int | None = None
    """As in the identity block: 0xFF for none."""
    lot_crc: int | None = None
    kcv_app: str | None = None
    kcv_nwk: str | None = None
    """"-" where the store says that there is no NwkKey."""

    @classmethod
    def of_block(cls, block: IdentityBlock) -> "Held":
        """All that an identity block says."""
        return cls(
            dev_eui=block.dev_eui,
            join_eui=block.join_eui,
            serial=block.serial,
            generation=block.generation,
            region=REGION_NONE if block.region is None else block.region,
            lot_crc=block.lot_crc,
            kcv_app=block.app_key.kcv(),
            kcv_nwk=block.nwk_key.kcv() if block.nwk_key else "-",
        )


@dataclass(frozen=True)
class Found:
    """What lay where the identity belongs, before the run wrote anything."""

    state: BlockState
    held: Held | None = None
    """Of a VALID one."""
    keys: tuple[Secret, ...] = ()
    """Keys that were read: they are looked for in whatever is kept of the run."""
    factory: bool = False
    """Whether such boards come with values of their maker's: a DevEUI that no ledger knows is one of them."""
