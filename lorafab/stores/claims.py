"""What the ledger knows of one identity, and the rules by which it changes. No I/O.

Life: *reserved* (bound, key sealed) -> *written* (read back from the board) -> *passed* -> *exported*; *quarantined*
and *scrapped* from anywhere; *void* for a label that was spoiled before any board bore it. It never becomes free again.
A rework leaves the state as it was until the board is about to be written (*reserved* again) or fails (*written*): a
run that dies before that has changed nothing on the board, which still holds what it passed with. Only *passed* is
exported, and only with the generation ``proven``; a board whose secure element has a key of its own (generation 0, not
in the vault) without a key. What a run says of a board counts as long as no later run has claimed the board: a run that
was killed is completed afterwards, and must not speak over its successor.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from lorafab.domain.identity import Eui64, KeySlot
from lorafab.domain.provisioning import Evidence
from lorafab.errors import BoundElsewhere, ForeignIdentity, LedgerError, NvmDamaged
from lorafab.interfaces import Claim, ClaimRequest, Generation, SealedKey

State = Literal["reserved", "written", "passed", "exported", "quarantined", "scrapped", "void"]
RETIRED: tuple[State, ...] = ("exported", "quarantined", "scrapped", "void")
"""States in which the line may not touch a board; `lorafab ledger rework` leads back from the first two."""

_LOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", re.ASCII)  # as lot files name themselves
_LONGEST_TEXT = 4096  # characters: a reason may be a paragraph, an entry of the history stays small

_KCV = re.compile(r"[0-9A-F]{16}", re.ASCII)
_KEY_ID = re.compile(r"[0-9A-Fa-f]{16}", re.ASCII)
LAST_GENERATION = 255  # identity block v1: one byte
ELEMENT_KEY = 0  # generation of the key that a secure element came with: sealed nowhere, and known to nobody here
LAST_NONCE = 0xFFFF  # DevNonce has 16 bits (TS001-1.0.4, 6.2.5)
_REBIND = "`lorafab ledger rebind`"


class BoxDocument(BaseModel):
    """One key, sealed to one public key (base64)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    slot: KeySlot
    key_id: str
    box: str


class KeyDocument(BaseModel):
    """One key generation: check values and sealed boxes of its keys, one box for each public key."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    generation: int
    kcv_app: str
    kcv_nwk: str | None
    run: str
    time: str
    boxes: tuple[BoxDocument, ...]

    @property
    def kcvs(self) -> tuple[str, ...]:
        """Check values of all its keys."""
        return (self.kcv_app,) if self.kcv_nwk is None else (self.kcv_app, self.kcv_nwk)


class LotDocument(BaseModel):
    """What the ledger knows of a lot as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    lot: str
    printed: int
    """Labels 1 to this number were printed; later ones were not."""
    closed: bool
    """No new board may be claimed for it."""
    updated: str
    seq: int

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"lot {self.lot}"

    def changed(self, **fields: Any) -> "LotDocument":
        """Return a copy with other values."""
        return self.model_copy(update=fields)


class ClaimDocument(BaseModel):
    """One identity as it is kept. ``seq`` is the history entry that made this version of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    dev_eui: str
    join_eui: str
    serial: str
    label: str
    chip_id: str
    lot: str
    state: State
    generations: tuple[KeyDocument, ...]
    retired_generations: int
    """Generations up to this one were in a chip that a repair took off: they are never written again."""
    written: int | None
    """Generation that was last read back from the board."""
    proven: int | None
    """Generation whose check value was read from the board in the run that passed."""
    exported: int | None
    """Generation that was last handed to the customer; 0: the identity alone, its key is in a secure element."""
    attempts: int
    dev_nonce: int | None
    first_run: str
    run: str
    """The run that claimed it last; ``station`` and ``operator`` are that run's."""
    station: str
    operator: str
    created: str
    updated: str
    seq: int
    counters_erased: bool = False
    """The board was unlocked, which erased its counters, and has not passed since."""

    @model_serializer(mode="wrap")
    def _without_default(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave ``counters_erased`` out where it is false: documents from before it keep their bytes and hashes."""
        document: dict[str, Any] = written(self)
        if not self.counters_erased:
            document.pop("counters_erased", None)
        return document

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"DevEUI {self.dev_eui}"

    def changed(self, **fields: Any) -> "ClaimDocument":
        """Return a copy with other values."""
        return self.model_copy(update=fields)

    def claim(self) -> Claim:
        """What the line may know of it."""
        return Claim(
            dev_eui=Eui64.parse(self.dev_eui),
            state=self.state,
            generations=tuple(
                Generation(key.generation, key.kcv_app, key.kcv_nwk, key.run) for key in self.generations
            ),
            retired=self.retired_generations,
            proven=self.proven,
            attempts=self.attempts,
            dev_nonce=self.dev_nonce,
            exported=self.exported,
            counters_erased=self.counters_erased,
        )

    def public(self) -> dict[str, Any]:
        """JSON-ready, without the sealed boxes; ``key_evidence`` is :func:`evidence_of`."""
        document = self.model_dump(mode="json", exclude={"generations": {"__all__": {"boxes"}}})
        return {**document, "key_evidence": evidence_of(self)}


def unique_keys(document: ClaimDocument) -> set[tuple[str, str]]:
    """(kind, text) pairs by which an identity is found and which no other one may have."""
    keys = {("label", document.label)} | {("kcv", kcv) for key in document.generations for kcv in key.kcvs}
    if document.serial:
        keys.add(("serial", document.serial))  # unique within its lot only, see `rivals`
    if document.chip_id and document.state != "scrapped":
        keys.add(("chip", document.chip_id))  # the chip of a scrapped identity may get another label
    return keys


def check_request(request: ClaimRequest) -> None:
    """Refuse a request that would bind nothing. Raises LedgerError."""
    for name in ("label", "chip_id", "lot", "run"):
        if not getattr(request, name):
            raise LedgerError(f"the claim for DevEUI {request.dev_eui} has no {name}; this is a fault of the run")
    check_label(request)


def check_label(request: ClaimRequest) -> None:
    """Refuse texts that no ledger can keep, and a DevEUI that names no device. Raises LedgerError."""
    for name in ("label", "serial", "chip_id", "run", "station", "operator"):
        check_text(name, getattr(request, name))
    check_lot(request.lot)
    if request.dev_eui.is_reserved():
        raise LedgerError(f"DevEUI {request.dev_eui} names no device; correct the label or the lot")


def check_text(name: str, text: str) -> None:
    """Refuse what JSON or PostgreSQL cannot hold (lone surrogates, NUL), and whole books. Raises LedgerError."""
    if len(text) > _LONGEST_TEXT or "\0" in text or not text.isprintable():
        raise LedgerError(
            f"the {name} has {len(text)} characters or one that cannot be printed, wanted at most {_LONGEST_TEXT} "
            "printable ones; nothing was changed, give it again"
        )


def check_lot(lot: str) -> None:
    """Refuse a lot's name that no lot file can have. Raises LedgerError."""
    if not _LOT.fullmatch(lot):
        raise LedgerError(
            f"{lot[:40]!r} is no lot's name, wanted 1 to 32 letters, digits, dashes and underscores; correct the lot"
        )


def voided(label: ClaimRequest, now: str) -> ClaimDocument:
    """A label that was torn or misprinted before any board bore it (no chip, no run): its DevEUI is never used."""
    return first_claim(label, now).changed(state="void", attempts=0, chip_id="", first_run="", run="")


def first_claim(request: ClaimRequest, now: str) -> ClaimDocument:
    """Bind a label that the ledger has not seen."""
    return ClaimDocument(
        dev_eui=str(request.dev_eui),
        join_eui=str(request.join_eui),
        serial=request.serial,
        label=request.label,
        chip_id=request.chip_id,
        lot=request.lot,
        state="reserved",
        generations=(),
        retired_generations=0,
        written=None,
        proven=None,
        exported=None,
        attempts=1,
        dev_nonce=None,
        first_run=request.run,
        run=request.run,
        station=request.station,
        operator=request.operator,
        created=now,
        updated=now,
        seq=0,
    )


def rework(document: ClaimDocument, request: ClaimRequest) -> ClaimDocument:
    """Confirm the binding for another run of the same board; raises BoundElsewhere, ForeignIdentity, LedgerError."""
    if document.state in ("scrapped", "void"):
        refuse_retired(document)  # for ever, whatever label or chip comes with it
    if document.chip_id != request.chip_id:
        raise BoundElsewhere(
            f"label {request.label} (DevEUI {document.dev_eui}) belongs to chip {document.chip_id} since run "
            f"{document.run}, but the jig holds chip {request.chip_id}; set this board aside and look for a label "
            f"printed twice, or after a repair use {_REBIND}"
        )
    if document.label != request.label:
        raise BoundElsewhere(
            f"DevEUI {document.dev_eui} on chip {document.chip_id} carries label {document.label} since run "
            f"{document.run}, but label {request.label} was scanned; set this board aside, or after a new label use "
            f"{_REBIND}"
        )
    refuse_retired(document)
    for name, kept, asked in (
        ("lot", document.lot, request.lot),
        ("JoinEUI", document.join_eui, str(request.join_eui)),
        ("serial", document.serial, request.serial),
    ):
        if kept != asked:
            raise LedgerError(
                f"DevEUI {document.dev_eui} was claimed with {name} {kept or '-'} in run {document.run}, but this "
                f"station says {asked or '-'}; correct the station's lot"
            )
    return document.changed(
        attempts=document.attempts + 1,
        run=request.run,
        station=request.station,
        operator=request.operator,
    )


def rivals(holders: list[ClaimDocument], kind: str, dev_eui: str, lot: str) -> list[ClaimDocument]:
    """Those of ``holders`` that keep another identity from having the same key of this kind."""
    return [holder for holder in holders if holder.dev_eui != dev_eui and (kind != "serial" or holder.lot == lot)]


def refuse_rival(rival: ClaimDocument, kind: str, text: str, dev_eui: str) -> None:
    """Say which identity has the label, serial or chip already. Raises BoundElsewhere."""
    named = f"chip {text}" if kind == "chip" else f"{kind} {text}"
    raise BoundElsewhere(
        f"{named} belongs to DevEUI {rival.dev_eui} (label {rival.label}, chip {rival.chip_id or '-'}) since run "
        f"{rival.run or '-'}, not to DevEUI {dev_eui}; set this board aside, or after a repair use {_REBIND}"
    )


def refuse_retired(document: ClaimDocument) -> None:
    """Raise ForeignIdentity for an identity that the line may not touch any more."""
    if document.state in RETIRED:
        way = (
            "set this board aside; `lorafab ledger rework` with a reason lets the line take it again"
            if document.state in ("exported", "quarantined")
            else "set this board aside and give it another label"
        )
        raise ForeignIdentity(
            f"DevEUI {document.dev_eui} is {document.state} since {document.updated} (last run {document.run or '-'}); "
            + way
        )


def with_key(document: ClaimDocument, generation: int, keys: Sequence[SealedKey], run: str, now: str) -> ClaimDocument:
    """Add the next key generation. Raises LedgerError, ForeignIdentity."""
    refuse_retired(document)
    expected = len(document.generations) + 1
    if expected > LAST_GENERATION:
        raise LedgerError(
            f"DevEUI {document.dev_eui} has used all {LAST_GENERATION} key generations; scrap the identity and give "
            "the board a new label"
        )
    if generation != expected:
        raise LedgerError(
            f"key generation {generation} was offered for DevEUI {document.dev_eui}, but {expected} comes next; "
            "another run has worked on this board, start again"
        )
    kcvs = {key.slot: key.kcv for key in keys}
    if len(kcvs) != len(keys) or "appkey" not in kcvs or not all(map(_is_whole, keys)):
        raise LedgerError(
            f"the sealed key for DevEUI {document.dev_eui} is malformed, so nobody could open it later; check the vault"
        )
    if len(set(kcvs.values())) < len(kcvs):
        raise LedgerError(
            f"the two keys for DevEUI {document.dev_eui} have one check value: an equal key; stop this station and "
            "check its source of randomness"
        )
    new = KeyDocument(
        generation=generation,
        kcv_app=kcvs["appkey"],
        kcv_nwk=kcvs.get("nwkkey"),
        run=run,
        time=now,
        boxes=tuple(BoxDocument(slot=key.slot, key_id=box.key_id, box=box.box) for key in keys for box in key.boxes),
    )
    return document.changed(generations=(*document.generations, new))


def _is_whole(key: SealedKey) -> bool:
    return bool(_KCV.fullmatch(key.kcv) and key.boxes) and all(
        is_box(box.box) and _KEY_ID.fullmatch(box.key_id) for box in key.boxes
    )


def is_box(box: str) -> bool:
    """Whether this is base64 of anything at all."""
    try:
        return bool(base64.b64decode(box, validate=True))
    except (binascii.Error, ValueError):
        return False


def rewrapped(document: ClaimDocument, boxes: Sequence[tuple[int, BoxDocument]]) -> ClaimDocument:
    """Add boxes (generation, box): the same keys sealed to another public key. Raises LedgerError."""
    wanted = {key.generation: key for key in document.generations}
    for generation, box in boxes:
        known = generation in wanted and (box.slot == "appkey" or wanted[generation].kcv_nwk is not None)
        if not known or not is_box(box.box) or not _KEY_ID.fullmatch(box.key_id):
            raise LedgerError(
                f"the box for DevEUI {document.dev_eui}, generation {generation}, is malformed or of a generation "
                "that the ledger does not know; nothing was changed, check the private key's file"
            )
        key = wanted[generation]
        if all((kept.slot, kept.key_id) != (box.slot, box.key_id) for kept in key.boxes):
            wanted[generation] = key.model_copy(update={"boxes": (*key.boxes, box)})
    return document.changed(generations=tuple(wanted.values()))


def equal_key(owner: ClaimDocument, dev_eui: str, kcv: str) -> LedgerError:
    """Say that two boards would share one key."""
    return LedgerError(
        f"the key for DevEUI {dev_eui} has check value {kcv}, which DevEUI {owner.dev_eui} already has: an equal key; "
        "stop this station and check its source of randomness"
    )


def being_written(document: ClaimDocument) -> ClaimDocument:
    """The board is about to be written: what it holds is unknown from now on. Raises ForeignIdentity."""
    refuse_retired(document)
    return document.changed(state="reserved", written=None)


def erased(document: ClaimDocument) -> ClaimDocument:
    """All that is on the board is about to be erased, its counters too. Raises ForeignIdentity."""
    return being_written(document).changed(counters_erased=True)


def failed(document: ClaimDocument, run: str) -> ClaimDocument:
    """The run failed: a board that had passed has not any more, unless a later run has the word."""
    mine = document.state == "passed" and document.run == run
    return document.changed(state="written") if mine else document


def read_back(document: ClaimDocument, generation: int) -> ClaimDocument:
    """The board was read back with this generation. Raises LedgerError, ForeignIdentity."""
    refuse_retired(document)
    if generation != ELEMENT_KEY:
        _refuse_unknown(document, generation)
    elif document.generations:
        raise LedgerError(
            f"DevEUI {document.dev_eui} was given {len(document.generations)} keys of the vault's, and now a secure "
            "element is said to have the key; find out which of the two is true, and correct the product or the lot"
        )
    return document.changed(state="written", written=generation)


def passed(document: ClaimDocument, generation: int, run: str, evidence: Evidence = "read back") -> ClaimDocument:
    """The run passed with this generation. Raises LedgerError, ForeignIdentity."""
    refuse_retired(document)
    if generation != ELEMENT_KEY:
        _refuse_unknown(document, generation)
    if (generation == ELEMENT_KEY) != (evidence == "unproven"):
        raise LedgerError(
            f"DevEUI {document.dev_eui} cannot pass with key generation {generation} as {evidence}: a secure element's "
            f"own key, generation {ELEMENT_KEY}, is unproven, and no other one is; this is a fault of the run"
        )
    if document.run != run:
        raise LedgerError(
            f"DevEUI {document.dev_eui} cannot pass in run {run}: run {document.run} has worked on this board since; "
            "run the board again"
        )
    if document.written != generation:
        raise LedgerError(
            f"DevEUI {document.dev_eui} cannot pass with key generation {generation}: that generation was not the last "
            "one read back from the board; start the run again"
        )
    proven = generation if evidence == "read back" else None
    return document.changed(state="passed", proven=proven, counters_erased=False)


def _refuse_unknown(document: ClaimDocument, generation: int) -> None:
    last = len(document.generations)
    if not document.retired_generations < generation <= last:
        known = f"{document.retired_generations + 1} to {last}" if last > document.retired_generations else "none"
        raise LedgerError(
            f"DevEUI {document.dev_eui} has no usable key generation {generation} (usable: {known}); seal a new key "
            "before the board is written"
        )


def with_nonce(document: ClaimDocument, dev_nonce: int) -> ClaimDocument:
    """Remember a DevNonce, 0..65535. Raises NvmDamaged when it went back, LedgerError when it is none."""
    if not 0 <= dev_nonce <= LAST_NONCE:
        raise LedgerError(f"{dev_nonce} is no DevNonce (0 to {LAST_NONCE}); this is a fault of the run")
    if document.dev_nonce is not None and dev_nonce < document.dev_nonce:
        raise NvmDamaged(
            f"DevNonce of DevEUI {document.dev_eui} went back from {document.dev_nonce} to {dev_nonce}, and a network "
            "refuses used ones; set this board aside for rework"
        )
    return document.changed(dev_nonce=dev_nonce)


def rebound(document: ClaimDocument, label: str, chip_id: str) -> ClaimDocument:
    """Bind to another label or chip after a repair; older keys are never written again, the DevNonce stays as floor.

    Raises ForeignIdentity, and LedgerError when nothing would change.
    """
    refuse_retired(document)
    if (document.label, document.chip_id) == (label, chip_id):
        raise LedgerError(
            f"DevEUI {document.dev_eui} is bound to label {label} and chip {chip_id} already, wanted a new label or "
            "chip; nothing was changed"
        )
    return document.changed(
        label=label,
        chip_id=chip_id,
        state="reserved",
        written=None,
        proven=None,
        retired_generations=len(document.generations),
    )


def moved(document: ClaimDocument, state: State) -> ClaimDocument:
    """Quarantine, scrap, or take up again (*reserved*) for rework. Raises LedgerError when it may not go there."""
    allowed: dict[State, tuple[State, ...]] = {
        "quarantined": ("reserved", "written", "passed", "exported", "quarantined"),
        "scrapped": ("reserved", "written", "passed", "exported", "quarantined"),
        "reserved": ("quarantined", "exported"),
    }
    if document.state not in allowed.get(state, ()):
        ways = {"quarantined": "put into quarantine", "scrapped": "scrapped", "reserved": "taken up for rework"}
        raise LedgerError(
            f"DevEUI {document.dev_eui} is {document.state} and cannot be {ways.get(state, state)}; nothing was changed"
        )
    return document.changed(state=state)


def evidence_of(document: ClaimDocument) -> Evidence | None:
    """How the key is known of a board that passed; None for all others."""
    if document.state not in ("passed", "exported"):
        return None
    if document.written == ELEMENT_KEY:
        return "unproven"
    return "asserted" if document.proven is None else "read back"


def exportable(document: ClaimDocument) -> int | None:
    """Key generation that the customer may be handed, 0 for none but the element's own.

    None for a board that has not passed, and for one whose key nobody has read back: it may have another.
    """
    return {"read back": document.proven, "unproven": ELEMENT_KEY}.get(evidence_of(document) or "")


def is_export_due(document: ClaimDocument) -> bool:
    """Whether the customer lacks the generation that this board passed with.

    For a board that was exported before (``exported`` is not None) that is the re-export due after a new key.
    """
    due = exportable(document)
    return document.state == "passed" and due is not None and due != document.exported


def exported(document: ClaimDocument, generation: int) -> ClaimDocument:
    """The customer has this generation. Raises LedgerError unless it is the :func:`exportable` one."""
    if exportable(document) != generation:
        raise LedgerError(
            f"DevEUI {document.dev_eui} is {document.state} with proven key generation {document.proven or '-'}, and "
            f"generation {generation} cannot be exported; export again what has passed"
        )
    return document.changed(state="exported", exported=generation)


def of_new_lot(lot: str, now: str) -> LotDocument:
    """A lot of which nothing was noted yet."""
    return LotDocument(lot=lot, printed=0, closed=False, updated=now, seq=0)


def refuse_closed(lot: LotDocument | None) -> None:
    """Raise LedgerError for new labels or boards of a lot that was closed."""
    if lot is not None and lot.closed:
        raise LedgerError(
            f"lot {lot.lot} was closed at {lot.updated}, so it gets no new label or board; use an open lot"
        )
