"""Which identity does this board get: the one it has, the next key generation, or none at all?"""

from dataclasses import dataclass

from lorafab.domain import identity_block
from lorafab.domain.identity import Eui64, Identity, KeySlot
from lorafab.domain.identity_block import REGION_NONE, BlockState
from lorafab.domain.provisioning import Found, Held
from lorafab.domain.weak import weak_key
from lorafab.errors import ForeignIdentity
from lorafab.interfaces import Claim, ClaimRequest, Generation, Ledger, Vault

PERMIT_OVERWRITE = "overwrite-identity"


@dataclass(frozen=True)
class Wanted:
    """What the product and the lot say about every board of theirs."""

    join_eui: Eui64
    region: int | None
    lot: str
    slots: tuple[KeySlot, ...] = ("appkey",)
    """Root keys of a board: both for LoRaWAN 1.1, none where a secure element has its own."""


@dataclass(frozen=True)
class Assignment:
    """What the board must hold when it passes; ``to_write`` is None when the identity on the board stays."""

    dev_eui: Eui64
    join_eui: Eui64
    serial: str
    generation: int
    """0 where a secure element has a key of its own."""
    kcv_app: str | None
    """None where nobody can know it."""
    kcv_nwk: str | None
    claim: Claim
    to_write: Identity | None
    findings: tuple[str, ...] = ()
    """What was wrong with the keys that the board came with: sentences for the operator."""


def assign(
    found: Found,
    request: ClaimRequest,
    wanted: Wanted,
    ledger: Ledger,
    vault: Vault,
    *,
    permit: bool,
    keep: bool = True,
) -> Assignment:
    """Claim the identity, and draw a new key unless the board already holds one that the ledger knows.

    ``permit`` allows another identity on the board to be overwritten; without ``keep`` the board's own is about to be
    erased, and it gets a new key in any case. When this returns, the binding and the sealed key are durable; no byte of
    key has reached the board. Raises BoundElsewhere, ForeignIdentity, LedgerError, VaultError.
    """
    findings = _weak_keys(found)
    known = ledger.find(request.chip_id) or ledger.find(str(request.dev_eui))
    if not (known and known["generations"]) and not permit:
        # A claim alone, perhaps of this very run before it flashed, has put nothing on the board.
        _refuse_foreign(found, request, ledger)
    claim = ledger.claim(request)
    ours = _ours(found.held, claim, request, wanted) if keep and found.held is not None else None
    if found.held is not None and ours is not None:
        kept = found.held.join_eui or request.join_eui
        return Assignment(
            request.dev_eui, kept, request.serial, ours.number, ours.kcv_app, ours.kcv_nwk, claim, to_write=None
        )
    if found.held is not None and not permit and _is_anothers(found, found.held, request, ledger):
        raise ForeignIdentity(_foreign(str(found.held.dev_eui), request))
    if not wanted.slots:
        return Assignment(request.dev_eui, wanted.join_eui, request.serial, 0, None, None, claim, None, findings)
    generation = len(claim.generations) + 1
    drawn = {slot: vault.new_key(request.dev_eui, generation, slot) for slot in wanted.slots}
    claim = ledger.add_key(request.dev_eui, generation, [sealed for _, sealed in drawn.values()], request.run)
    (app, sealed_app), nwk = drawn["appkey"], drawn.get("nwkkey")
    identity = Identity(
        serial=request.serial,
        dev_eui=request.dev_eui,
        join_eui=wanted.join_eui,
        app_key=app,
        nwk_key=nwk[0] if nwk else None,
        generation=generation,
        region=wanted.region,
        lot=wanted.lot,
    )
    return Assignment(
        dev_eui=request.dev_eui,
        join_eui=wanted.join_eui,
        serial=request.serial,
        generation=generation,
        kcv_app=sealed_app.kcv,
        kcv_nwk=nwk[1].kcv if nwk else None,
        claim=claim,
        to_write=identity,
        findings=findings,
    )


def _weak_keys(found: Found) -> tuple[str, ...]:
    """Keys on the board that are no secret: keys that were read, and check values that its firmware said."""
    kcvs = {key.kcv() for key in found.keys}
    if found.held is not None:
        kcvs |= {kcv for kcv in (found.held.kcv_app, found.held.kcv_nwk) if kcv is not None}
    names = sorted(name for kcv in kcvs if (name := weak_key(kcv)) is not None)
    return tuple(f"the board came with {name}, which is no secret; this run gives it its own key" for name in names)


def _refuse_foreign(found: Found, request: ClaimRequest, ledger: Ledger) -> None:
    """A chip that the ledger has given no key must come without an identity of ours."""
    if found.state in (BlockState.BLANK, BlockState.UNREADABLE):
        return
    if found.factory and found.held is not None and not _is_anothers(found, found.held, request, ledger):
        return
    if found.held is not None and found.held.dev_eui == request.dev_eui and found.held.generation is None:
        return  # an element that came with its DevEUI, which the label or nobody names
    raise ForeignIdentity(_foreign(str(found.held.dev_eui) if found.held else "something unreadable", request))


def _foreign(what: str, request: ClaimRequest) -> str:
    return (
        f"the board's identity page holds {what}, which is not what this ledger has for chip {request.chip_id}; "
        f"wanted a blank page for label DevEUI {request.dev_eui}: set the board aside, or repeat with "
        f"--permit={PERMIT_OVERWRITE}:REASON to give it a new identity"
    )


def _is_anothers(found: Found, held: Held, request: ClaimRequest, ledger: Ledger) -> bool:
    """Whether the board holds another board's number, or another board's key."""
    if held.dev_eui != request.dev_eui and (not found.factory or ledger.find(str(held.dev_eui)) is not None):
        return True
    owners = {ledger.who_has(kcv) for kcv in (held.kcv_app, held.kcv_nwk) if kcv not in (None, "-")}
    return bool(owners - {None, request.dev_eui})


def _ours(held: Held, claim: Claim, request: ClaimRequest, wanted: Wanted) -> Generation | None:
    """The generation of a board that says what it should say, with a key that the ledger sealed for it; else None.

    What its store does not say does not count; without a key check value it is not ours.
    """
    generation = next(
        (g for g in claim.generations if held.kcv_app == g.kcv_app and held.generation in (None, g.number)), None
    )
    if generation is None or generation.number <= claim.retired or weak_key(generation.kcv_app) is not None:
        return None
    region = REGION_NONE if wanted.region is None else wanted.region
    pairs = (
        (held.kcv_nwk, generation.kcv_nwk or "-"),
        (held.dev_eui, request.dev_eui),
        (held.join_eui, wanted.join_eui),
        (held.serial, request.serial),
        (held.lot_crc, identity_block.lot_crc(wanted.lot)),
        (held.region, region),
    )
    same = all(found in (None, due) for found, due in pairs)
    return generation if same and (generation.kcv_nwk is not None) == ("nwkkey" in wanted.slots) else None
