"""Which identity does this board get: the one it has, the next key generation, or none at all?"""

from dataclasses import dataclass

from lorafab.domain import identity_block
from lorafab.domain.flash_plan import MemoryMap
from lorafab.domain.identity import Eui64, Identity, KeySlot
from lorafab.domain.identity_block import BLOCK_SIZE, BlockState, IdentityBlock
from lorafab.domain.memory_map import Span
from lorafab.errors import ForeignIdentity, MemoryFault, ReadProtected
from lorafab.interfaces import Claim, ClaimRequest, Ledger, Programmer, Vault
from lorafab.steps.memory import read_torn

PERMIT_OVERWRITE = "overwrite-identity"


@dataclass(frozen=True)
class Found:
    """What lay in the identity page before the run wrote anything."""

    state: BlockState
    block: IdentityBlock | None


@dataclass(frozen=True)
class Wanted:
    """What the product and the lot say about every board of theirs."""

    join_eui: Eui64
    region: int | None
    lot: str
    slots: tuple[KeySlot, ...] = ("appkey",)
    """Root keys of a board: both for LoRaWAN 1.1."""


@dataclass(frozen=True)
class Assignment:
    """What the board must hold when it passes; ``to_write`` is None when the block on the board stays."""

    dev_eui: Eui64
    join_eui: Eui64
    serial: str
    generation: int
    kcv_app: str
    kcv_nwk: str | None
    claim: Claim
    to_write: Identity | None


def read_identity(programmer: Programmer, memory: MemoryMap) -> Found:
    """Read the identity page. A torn word makes the block damaged, not the board. Raises ReadProtected."""
    reading = read_torn(programmer, Span(memory.identity.start, BLOCK_SIZE), memory.word_size)
    if reading.torn:
        if sum(word.size for word in reading.torn) == BLOCK_SIZE:
            _refuse_protected(programmer, memory)
        return Found(BlockState.DAMAGED, None)
    return Found(identity_block.state(reading.data), identity_block.decode(reading.data))


def _refuse_protected(programmer: Programmer, memory: MemoryMap) -> None:
    """A cut erase spoils one page; where the beginning of the flash cannot be read either, all of it is hidden."""
    try:
        programmer.read(Span(memory.flash.start, memory.word_size))
    except MemoryFault:
        raise ReadProtected(
            "the chip's flash cannot be read, as when its read-out protection is on, wanted an open chip; "
            "set the board aside: opening it erases everything on it"
        ) from None


def assign(
    found: Found, request: ClaimRequest, wanted: Wanted, ledger: Ledger, vault: Vault, *, permit: bool
) -> Assignment:
    """Claim the identity, and draw a new key unless the board already holds one that the ledger knows.

    ``permit`` allows another identity on the board to be overwritten. When this returns, the binding and the
    sealed key are durable; no byte of key has reached the board. Raises BoundElsewhere, ForeignIdentity,
    LedgerError, VaultError.
    """
    known = ledger.find(request.chip_id) or ledger.find(str(request.dev_eui))
    if known is None and not permit:
        _refuse_foreign(found, request)
    claim = ledger.claim(request)
    if found.block is not None and _is_ours(found.block, claim, request, wanted):
        return _keep(found.block, request, claim)
    if found.block is not None and not permit and found.block.dev_eui != request.dev_eui:
        raise ForeignIdentity(_foreign(str(found.block.dev_eui), request))
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
    )


def _refuse_foreign(found: Found, request: ClaimRequest) -> None:
    """A chip that the ledger has never seen must come without an identity."""
    if found.state is BlockState.BLANK:
        return
    raise ForeignIdentity(_foreign(str(found.block.dev_eui) if found.block else "something unreadable", request))


def _foreign(what: str, request: ClaimRequest) -> str:
    return (
        f"the board's identity page holds {what}, which is not what this ledger has for chip {request.chip_id}; "
        f"wanted a blank page for label DevEUI {request.dev_eui}: set the board aside, or repeat with "
        f"--permit={PERMIT_OVERWRITE}:REASON to give it a new identity"
    )


def _is_ours(block: IdentityBlock, claim: Claim, request: ClaimRequest, wanted: Wanted) -> bool:
    """Whether the block says what this board should say, with a key that the ledger sealed for it."""
    generation = next((g for g in claim.generations if g.number == block.generation), None)
    return (
        generation is not None
        and generation.number > claim.retired
        and generation.kcv_app == block.app_key.kcv()
        and generation.kcv_nwk == (block.nwk_key.kcv() if block.nwk_key else None)
        and (block.dev_eui, block.join_eui, block.serial) == (request.dev_eui, wanted.join_eui, request.serial)
        and block.lot_crc == identity_block.lot_crc(wanted.lot)
        and block.region == wanted.region
        and (block.nwk_key is not None) == ("nwkkey" in wanted.slots)
    )


def _keep(block: IdentityBlock, request: ClaimRequest, claim: Claim) -> Assignment:
    nwk = block.nwk_key.kcv() if block.nwk_key else None
    return Assignment(
        request.dev_eui, block.join_eui, block.serial, block.generation, block.app_key.kcv(), nwk, claim, None
    )
