"""The ledger's rules over whatever keeps it: who got which identity, in which state.

A driver (:mod:`lorafab.stores.tiny_ledger`, :mod:`lorafab.stores.postgres_ledger`) keeps two kinds of documents, claims
and lots (:mod:`lorafab.stores.claims`), finds claims by their unique keys, and appends each change to one hash-chained
history. It runs a piece of work in a transaction that no other one overlaps, perhaps several times, and makes the one
change that the work returns durable before it returns itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lorafab.domain.identity import Eui64
from lorafab.domain.provisioning import Evidence
from lorafab.errors import LedgerError
from lorafab.interfaces import Claim, ClaimRequest, Clock, SealedKey
from lorafab.stores import claims
from lorafab.stores.claims import BoxDocument, ClaimDocument, LotDocument
from lorafab.stores.history import Entry
from lorafab.stores.stamp import utc_text

Document = ClaimDocument | LotDocument


class Reader(Protocol):
    """What the ledger holds, as one transaction sees it."""

    def get(self, dev_eui: Eui64) -> ClaimDocument | None:
        """Find an identity. Raises LedgerError."""
        ...

    def holders(self, kind: str, key: str, settled: bool = False) -> list[ClaimDocument]:
        """Identities that have this label, serial, chip or kcv (see :func:`claims.unique_keys`).

        ``settled``: the caller is in a transaction, so what is found half is damage. Raises LedgerError.
        """
        ...

    def lot(self, name: str) -> LotDocument | None:
        """What is noted of a lot. Raises LedgerError."""
        ...


@dataclass(frozen=True)
class Change:
    """The one change of a transaction: ``new`` replaces ``previous`` (None: there was none)."""

    event: str
    run: str
    new: Document
    previous: Document | None
    reason: str = ""
    operator: str = ""

    def entry(self, now: str) -> dict[str, object]:
        """Its line in the history, but for numbers and hashes."""
        claim = self.new if isinstance(self.new, ClaimDocument) else None
        return {
            "time": now,
            "event": self.event,
            "run": self.run,
            "station": claim.station if claim and self.run else "",  # people decide in the office
            "operator": self.operator or (claim.operator if claim else ""),
            "reason": self.reason,
        }


Work = Callable[[Reader], Change | Document]
"""Reads, checks, and says what to change; a document says that there is nothing to change. Has no side effects."""


@dataclass(frozen=True)
class LotCount:
    """printed = passed + scrapped + void + open, none of them below 0."""

    printed: int
    """At least as many as the ledger knows labels of, whoever printed them."""
    passed: int
    """Passed or exported, and not taken up again since."""
    scrapped: int
    void: int
    open: int
    """Everything else: labels without a board, boards under way, boards in quarantine."""


class BaseLedger(ABC):
    """Implements :class:`lorafab.interfaces.Ledger` but for the keeping."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    # What a driver does

    @property
    @abstractmethod
    def ledger_id(self) -> str:
        """Which ledger this is, 32 hex digits; a lot names the one that it belongs to."""

    @abstractmethod
    def _change(self, work: Work) -> Document:
        """Run ``work`` and make its change durable; returns the document as it stands afterwards.

        The driver sets ``seq`` (of the history entry) and ``updated`` of the new document. Raises LedgerError.
        """

    @abstractmethod
    def _read(self) -> Reader:
        """Read outside of a transaction."""

    @abstractmethod
    def head(self) -> str:
        """Hash of the newest entry of the history, 64 lower-case hex digits. Raises LedgerError."""

    @abstractmethod
    def entries(self) -> Iterator[Entry | str]:
        """Walk the whole history: each entry, and between them one sentence for each thing that is wrong."""

    @abstractmethod
    def documents(self, lot: str | None = None) -> Iterator[ClaimDocument]:
        """Every identity (of one lot), in no order that means anything. Raises LedgerError."""

    @abstractmethod
    def check(self) -> list[str]:
        """Check everything; an empty list means that the ledger is sound."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open; may be called twice."""

    # A run

    def claim(self, request: ClaimRequest) -> Claim:
        """Bind label, DevEUI and chip at once, or confirm the same binding (rework: one attempt more).

        A second call by the same run changes nothing. Raises BoundElsewhere (the sentence names the DevEUI, the
        earlier chip or label and the earlier run), ForeignIdentity (retired), LedgerError (also: lot closed).
        """
        return self._changed(self._claiming(request)).claim()

    def rehearse_claim(self, request: ClaimRequest) -> Claim:
        """What `claim` would answer now; nothing is bound. Raises as it does."""
        result = self._claiming(request)(self._read())
        document = result.new if isinstance(result, Change) else result
        assert isinstance(document, ClaimDocument)
        return document.claim()

    def _claiming(self, request: ClaimRequest) -> Work:
        claims.check_request(request)

        def work(reader: Reader) -> Change | Document:
            current = reader.get(request.dev_eui)
            if current is None:
                claims.refuse_closed(reader.lot(request.lot))
                for kind, key in (("chip", request.chip_id), ("label", request.label), ("serial", request.serial)):
                    _refuse_rivals(reader, kind, key, str(request.dev_eui), request.lot)
                return Change("claim", request.run, claims.first_claim(request, self._now()), None)
            new = claims.rework(current, request)
            return current if current.run == request.run else Change("rework", request.run, new, current)

        return work

    def add_key(self, dev_eui: Eui64, generation: int, keys: Sequence[SealedKey], run: str) -> Claim:
        """Keep sealed keys as the next generation (last + 1, at most 255).

        Raises LedgerError, also for a check value that any identity already has; ForeignIdentity.
        """

        def work(reader: Reader) -> Change:
            current = self._known(reader, dev_eui)
            new = claims.with_key(current, generation, keys, run, self._now())
            for key in keys:
                for owner in reader.holders("kcv", key.kcv, settled=True):
                    raise claims.equal_key(owner, str(dev_eui), key.kcv)
            return Change("key", run, new, current)

        return self._changed(work).claim()

    def mark_writing(self, dev_eui: Eui64, run: str) -> Claim:
        """The board is about to be written: *reserved* until it is read back. Raises ForeignIdentity."""
        return self._step("writing", dev_eui, run, claims.being_written)

    def mark_written(self, dev_eui: Eui64, generation: int, run: str) -> Claim:
        """The board was read back with this generation's keys; 0: its secure element has one of its own.

        Raises LedgerError, ForeignIdentity.
        """
        return self._step("written", dev_eui, run, lambda current: claims.read_back(current, generation), always=True)

    def note_nonce(self, dev_eui: Eui64, dev_nonce: int, run: str) -> Claim:
        """Remember a DevNonce, 0..65535, seen on the board. Raises NvmDamaged when it went back, LedgerError."""
        return self._step("nonce", dev_eui, run, lambda current: claims.with_nonce(current, dev_nonce))

    def note_erased(self, dev_eui: Eui64, run: str) -> Claim:
        """All that is on the board is about to be erased, its counters too: *reserved* until it is read back.

        ``counters_erased`` stays until the board passes. Raises ForeignIdentity.
        """
        return self._step("erased", dev_eui, run, claims.erased)

    def mark_passed(self, dev_eui: Eui64, generation: int, run: str, evidence: Evidence = "read back") -> Claim:
        """The run passed with this generation, which is *proven* when it was read back. Raises LedgerError,
        ForeignIdentity.

        LedgerError also when another run has claimed the board since. Generation 0 is "unproven", and no other is.
        """
        return self._step(
            "passed", dev_eui, run, lambda current: claims.passed(current, generation, run, evidence), always=True
        )

    def mark_failed(self, dev_eui: Eui64, run: str) -> Claim:
        """The run's verdict is FAIL: what had passed is *written* only. Raises LedgerError.

        Changes nothing when another run has claimed the board since.
        """
        return self._step("failed", dev_eui, run, lambda current: claims.failed(current, run))

    # Questions

    def find(self, key: str) -> Mapping[str, Any] | None:
        """Look an identity up by DevEUI, label, chip id or serial; JSON-ready, without sealed keys.

        Raises LedgerError when a serial exists in several lots.
        """
        if not key.isprintable():
            return None  # never kept (claims.check_text), and neither an index nor a database can be asked for it
        reader = self._read()
        try:
            document = reader.get(Eui64.parse(key))
        except ValueError:
            document = None
        for kind in ("label", "chip", "serial"):
            if document is None:
                holders = reader.holders(kind, key)
                if len(holders) > 1:
                    names = ", ".join(f"{holder.dev_eui} (lot {holder.lot})" for holder in holders)
                    raise LedgerError(f"{kind} {key} names several boards: {names}; ask by DevEUI")
                document = holders[0] if holders else None
        return document.public() if document else None

    def who_has(self, kcv: str) -> Eui64 | None:
        """Whose key has this check value, of any generation; None when nobody's."""
        holders = self._read().holders("kcv", kcv)
        return Eui64.parse(holders[0].dev_eui) if holders else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written into it."""
        return next(iter(self.entries()), None) is None

    def is_used(self, dev_eui: Eui64) -> bool:
        """Whether the ledger has ever given this DevEUI away."""
        return self._read().get(dev_eui) is not None

    def has_serial(self, serial: str, lot: str) -> bool:
        """Whether a board of this lot has this serial."""
        return any(holder.lot == lot for holder in self._read().holders("serial", serial))

    def all_claims(self, lot: str | None = None) -> Iterator[Mapping[str, Any]]:
        """Every identity (of one lot), as :meth:`find` gives it, in no order that means anything."""
        for document in self.documents(lot):
            yield document.public()

    def sealed_keys(self, dev_eui: Eui64) -> tuple[claims.KeyDocument, ...]:
        """Every key generation of an identity with its boxes, for the owner of the private key."""
        return self._known(self._read(), dev_eui).generations

    def replayed(self, lot: str) -> list[ClaimDocument]:
        """Every identity of a lot as the history says, whose chain is verified on the way: what leaves the house.

        Reads the whole history. Raises LedgerError at the first thing that is wrong with it.
        """
        newest: dict[str, ClaimDocument] = {}
        for entry in self.entries():
            if isinstance(entry, str):
                raise LedgerError(f"{entry}; stop, show it to QA, and restore the ledger from the backup")
            if entry.claim is not None and entry.claim.lot == lot:
                newest[entry.claim.dev_eui] = entry.claim
        return sorted(newest.values(), key=lambda document: document.dev_eui)

    def lot(self, name: str) -> LotDocument:
        """What is noted of a lot; for an unknown one, that nothing is."""
        return self._read().lot(name) or claims.of_new_lot(name, "")

    def count(self, lot: str, printed: int) -> LotCount:
        """Count a lot's labels and boards, of ``printed`` labels (more where the ledger knows more)."""
        states = [document.state for document in self.documents(lot)]
        printed = max(printed, len(states))
        passed = sum(state in ("passed", "exported") for state in states)
        scrapped, void = states.count("scrapped"), states.count("void")
        return LotCount(printed, passed, scrapped, void, printed - passed - scrapped - void)

    # Decisions of people, each with a reason and an operator

    def rebind(self, dev_eui: Eui64, *, label: str, chip_id: str, reason: str, operator: str, run: str) -> Claim:
        """Supersede a binding after a repair: this DevEUI now belongs to ``label`` and ``chip_id`` ("" keeps the old).

        Its keys so far are never written again (the next run adds a generation), the DevNonce stays as floor, the
        state is *reserved*. Raises BoundElsewhere when another identity has the label or chip, LedgerError,
        ForeignIdentity.
        """
        _need(reason, operator, "rebind")
        claims.check_text("label", label)
        claims.check_text("chip id", chip_id)

        def work(reader: Reader) -> Change:
            current = self._known(reader, dev_eui)
            for kind, key in (("chip", chip_id), ("label", label)):
                _refuse_rivals(reader, kind, key, str(dev_eui), current.lot)
            new = claims.rebound(current, label or current.label, chip_id or current.chip_id)
            return Change("rebind", run, new, current, reason, operator)

        return self._changed(work).claim()

    def move(self, dev_eui: Eui64, state: claims.State, *, reason: str, operator: str) -> Claim:
        """Quarantine or scrap a board, or take it up for rework (*reserved*). Raises LedgerError.

        The chip of a scrapped identity may be claimed with another label; the label and the DevEUI never again.
        """
        act = {"quarantined": "quarantine", "scrapped": "scrap", "reserved": "rework"}.get(state, state)
        _need(reason, operator, act)

        def work(reader: Reader) -> Change:
            current = self._known(reader, dev_eui)
            return Change(act, "", claims.moved(current, state), current, reason, operator)

        return self._changed(work).claim()

    def void(self, label: ClaimRequest, *, reason: str) -> Claim:
        """Take a label out that no board bears (torn, misprinted); it names no chip and no run.

        Raises LedgerError for one that a board bears.
        """
        _need(reason, label.operator, "void")
        claims.check_label(label)

        def work(reader: Reader) -> Change | Document:
            current = reader.get(label.dev_eui)
            if current is not None and current.state == "void":
                return current
            if current is not None:
                raise LedgerError(
                    f"label {label.label} is on chip {current.chip_id} since run {current.run} ({current.state}), "
                    "wanted one that no board bears; print it again with `lorafab label sheet`, or scrap the board"
                )
            for kind, key in (("label", label.label), ("serial", label.serial)):
                _refuse_rivals(reader, kind, key, str(label.dev_eui), label.lot)
            return Change("void", "", claims.voided(label, self._now()), None, reason)

        return self._changed(work).claim()

    def note_printed(self, lot: str, upto: int, *, reason: str, operator: str, after: int | None = None) -> LotDocument:
        """Remember that labels 1 to ``upto`` of a lot were printed; it never goes back.

        When they were before, some are printed again, and the history keeps why; also in a closed lot, whose boards
        may need a new sticker. ``after``: how many were printed when the caller chose its labels. Raises LedgerError,
        also when others were printed since.
        """
        _need(reason, operator, "label sheet")
        claims.check_lot(lot)

        def work(reader: Reader) -> Change | Document:
            current = reader.lot(lot)
            base = current or claims.of_new_lot(lot, self._now())
            if after is not None and after != base.printed:
                raise LedgerError(
                    f"{base.printed} labels of lot {lot} are printed now, {after} were a moment ago: somebody else "
                    "prints them too; nothing was printed here, start again"
                )
            if upto <= base.printed:
                return Change("reprinted", "", base, current, reason, operator)
            claims.refuse_closed(base)
            return Change("printed", "", base.changed(printed=upto), current, reason, operator)

        document = self._change(work)
        assert isinstance(document, LotDocument)
        return document

    def close_lot(self, lot: str, *, reason: str, operator: str) -> LotDocument:
        """No new board may be claimed for the lot from now on. Raises LedgerError when it is closed already."""
        _need(reason, operator, "close")
        claims.check_lot(lot)

        def work(reader: Reader) -> Change:
            current = reader.lot(lot)
            base = current or claims.of_new_lot(lot, self._now())
            claims.refuse_closed(base)
            return Change("closed", "", base.changed(closed=True), current, reason, operator)

        document = self._change(work)
        assert isinstance(document, LotDocument)
        return document

    def mark_exported(self, dev_eui: Eui64, generation: int, *, reason: str, operator: str) -> Claim:
        """The customer has this generation, the proven one, or 0 where the key is the element's. Raises LedgerError."""
        _need(reason, operator, "export")

        def work(reader: Reader) -> Change | Document:
            current = self._known(reader, dev_eui)
            new = claims.exported(current, generation)
            return current if new == current else Change("export", "", new, current, reason, operator)

        return self._changed(work).claim()

    def rewrap(self, dev_eui: Eui64, boxes: Sequence[tuple[int, BoxDocument]], *, reason: str, operator: str) -> Claim:
        """Add boxes (generation, box): the same keys, sealed to another public key. Raises LedgerError."""
        _need(reason, operator, "rewrap")

        def work(reader: Reader) -> Change | Document:
            current = self._known(reader, dev_eui)
            new = claims.rewrapped(current, boxes)
            return current if new == current else Change("rewrap", "", new, current, reason, operator)

        return self._changed(work).claim()

    # Inside

    def _step(
        self,
        event: str,
        dev_eui: Eui64,
        run: str,
        rule: Callable[[ClaimDocument], ClaimDocument],
        always: bool = False,
    ) -> Claim:
        """One turn of a run; ``always``: kept in the history also where the document stays the same."""

        def work(reader: Reader) -> Change | Document:
            current = self._known(reader, dev_eui)
            new = rule(current)
            return current if new == current and not always else Change(event, run, new, current)

        return self._changed(work).claim()

    def _changed(self, work: Work) -> ClaimDocument:
        document = self._change(work)
        assert isinstance(document, ClaimDocument)
        return document

    def _known(self, reader: Reader, dev_eui: Eui64) -> ClaimDocument:
        document = reader.get(dev_eui)
        if document is None:
            raise LedgerError(f"DevEUI {dev_eui} is not in ledger {self.ledger_id}; claim it first, or name another")
        return document

    def _now(self) -> str:
        return utc_text(self._clock.now())


def _refuse_rivals(reader: Reader, kind: str, key: str, dev_eui: str, lot: str) -> None:
    holders = reader.holders(kind, key, settled=True) if key else []
    for rival in claims.rivals(holders, kind, dev_eui, lot):
        claims.refuse_rival(rival, kind, key, dev_eui)


def _need(reason: str, operator: str, act: str) -> None:
    if not reason.strip() or not operator.strip():
        raise LedgerError(f"`{act}` needs a reason and the name of the operator; give both")
    claims.check_text("reason", reason)
    claims.check_text("operator", operator)
