"""The counter region is about to be erased by permit: what must be possible, and durable, before it goes.

A board whose DevNonce was erased goes on behind the highest one that the ledger knows
(`steps.counters.check_counters`), which takes a command of its firmware.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafab.domain.identity import Eui64
from lorafab.errors import NvmDamaged
from lorafab.interfaces import Claim
from lorafab.steps.counters import GAP, MAX_RAISE

if TYPE_CHECKING:
    from lorafab.run.run import Run


def come_back(run: Run) -> bool:
    """Whether the firmware has a command that brings an erased DevNonce up again; modems of others have none."""
    config = run.station.config.product.identity
    return config.store != "serial" or config.dialect == "lorafab"


def refuse(run: Run, dev_nonce: int | None) -> None:
    """Raise NvmDamaged where the board had reached this DevNonce and nothing brings it up so far again."""
    if not dev_nonce:
        return
    if not come_back(run):
        raise NvmDamaged(
            f"the board's DevNonce {dev_nonce} would be lost, and no command of its firmware brings it up again; "
            "nothing was erased: run the board without the permit, or quarantine it"
        )
    if dev_nonce + GAP > MAX_RAISE:
        raise NvmDamaged(
            f"the board's DevNonce is {dev_nonce}, and after an erase the shell brings it up by {MAX_RAISE} at most; "
            "nothing was erased: leave the permit out, or quarantine this identity and give the board a new label"
        )


def note(run: Run, dev_eui: Eui64, dev_nonce: int | None) -> Claim:
    """Bring the DevNonce that was read last to the ledger, and note there that the counters go; durable at return.

    Raises NvmDamaged as `refuse`.
    """
    ledger = run.station.ledger
    seen = (ledger.find(str(dev_eui)) or {}).get("dev_nonce")
    refuse(run, max(seen or 0, dev_nonce or 0))
    if dev_nonce is not None and (seen is None or dev_nonce > seen):
        ledger.note_nonce(dev_eui, dev_nonce, run.id)
    return ledger.note_erased(dev_eui, run.id)
