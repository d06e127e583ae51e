"""`--plan-only`: what the flash session would do with the board in the jig; neither it nor the ledger is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from lorafab.domain.flash_plan import FlashPlan
from lorafab.domain.identity import Eui64, KeySlot
from lorafab.domain.memory_map import Segment
from lorafab.domain.secret import KEY_SIZE, Secret
from lorafab.interfaces import Claim, ClaimRequest, Ledger, SealedKey, Vault
from lorafab.run.flashing import is_first_attempt
from lorafab.steps.flash import plan_board
from lorafab.stores.ledger import BaseLedger

if TYPE_CHECKING:
    from lorafab.run.run import Run

SAID = "only the plan was made, as --plan-only asks, and nothing was written; run this board without it"


def rehearse(run: Run) -> FlashPlan:
    """Scan, connect, read and plan. Raises what the run would raise up to its flash session."""
    contents = _contents(run)
    return plan_board(
        run.programmer, run.station.memory, contents, trusted=is_first_attempt(run), clear=run.clears_flash
    )


def _contents(run: Run) -> Sequence[Segment]:
    """As `Run.contents`; a new key in it is a stand-in, and nobody is bound."""
    run.note("planning", chip_id=run.chip.unique_id)  # label and chip are known from here on
    if run.store.stage != "image":
        return run.store.in_image(run.image, None)
    ledger = cast(Ledger, _Onlooker(run.station.ledger))
    assignment = run.assign(run.store.look(), ledger, cast(Vault, _StandIn()))
    return run.store.in_image(run.image, assignment.to_write)


class _Onlooker:
    """As much of a ledger as the decision on an identity asks; it keeps nothing."""

    def __init__(self, ledger: BaseLedger) -> None:
        self._ledger = ledger
        self._claim: Claim | None = None

    def find(self, key: str) -> Mapping[str, Any] | None:
        return self._ledger.find(key)

    def who_has(self, kcv: str) -> Eui64 | None:
        return self._ledger.who_has(kcv)

    def claim(self, request: ClaimRequest) -> Claim:
        self._claim = self._ledger.rehearse_claim(request)
        return self._claim

    def add_key(self, dev_eui: Eui64, generation: int, keys: Sequence[SealedKey], run: str) -> Claim:
        assert self._claim is not None  # the decision claims first
        return self._claim


class _StandIn:
    """Draws nothing: a plan tells places and sizes, and the bytes of a key that does not exist yet change neither."""

    def new_key(self, dev_eui: Eui64, generation: int, slot: KeySlot) -> tuple[Secret, SealedKey]:
        key = Secret(f"no {slot}".encode().ljust(KEY_SIZE, b"."))
        return key, SealedKey(slot, key.kcv(), ())
