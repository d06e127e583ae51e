"""Who got which identity: the ledger of one computer, in TinyDB files behind a hash-chained history.

Under ``DATA/ledger/``: ``ledger.json`` (id, schema, written once), ``lock``, ``history.jsonl`` (the truth, see
:mod:`lorafab.stores.history`), ``claims/`` and ``index/`` (the view, see :mod:`lorafab.stores.view`).

A transaction holds the one lock, repairs what a killed run left (a torn last line is cut off, a last entry that is
not yet in the view is applied again), writes its history entry durably, then the view. fsyncs: 9 for a first claim, 3
for a rework or a change of state, 5 for a new key. Several processes may use a ledger, several computers may not.
"""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from lorafab.domain.identity import Eui64
from lorafab.errors import LedgerError
from lorafab.interfaces import Claim, ClaimRequest, Clock, SealedKey
from lorafab.stores import claims
from lorafab.stores.atomic import disk_errors, make_folder, require_space, sync_folder, to_json, write_file
from lorafab.stores.audit import audit
from lorafab.stores.claims import ClaimDocument
from lorafab.stores.history import Entry, History
from lorafab.stores.lock import FileLock, refuse_network
from lorafab.stores.stamp import utc_text
from lorafab.stores.view import View

_NEEDED = 4 << 20  # bytes free before a transaction: the largest shards of a big ledger, several times over
_LOCK_TIMEOUT_S = 30.0  # a transaction takes milliseconds; on slow flash with a queue of stations, seconds


class _About(BaseModel):
    """``ledger.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    schema_version: Literal["lorafab.ledger/1"] = "lorafab.ledger/1"
    ledger_id: str
    created: str
    driver: Literal["tinydb"] = "tinydb"


class TinyLedger:
    """Implements :class:`lorafab.interfaces.Ledger`; made by :meth:`create` or :meth:`open`."""

    def __init__(self, folder: Path, about: _About, clock: Clock, read_only: bool) -> None:
        self._folder, self._about, self._clock, self._read_only = folder, about, clock, read_only
        self._history = History(folder / "history.jsonl", about.ledger_id)
        self._view = View(folder)
        self._last: Entry | None = None
        self._applied = 0  # newest entry of which this process knows that the view has it

    @classmethod
    def create(cls, data_dir: Path, clock: Clock) -> Self:
        """Start a new, empty ledger under ``data_dir``. Raises LedgerError when there is one, or on a network disk."""
        folder = data_dir / "ledger"
        make_folder(folder, LedgerError)
        refuse_network(folder, LedgerError)
        with _lock(folder):
            if (folder / "ledger.json").exists():
                raise LedgerError(f"{folder} already holds a ledger; use it, or choose another data folder")
            _lay_out(folder, clock)
        return cls.open(data_dir, clock)

    @classmethod
    def open(cls, data_dir: Path, clock: Clock, read_only: bool = False) -> Self:
        """Open the ledger under ``data_dir`` and, unless ``read_only``, repair what a killed run left.

        Read-only needs no lock and no write permission. Raises LedgerError when there is none or it is damaged.
        """
        folder = data_dir / "ledger"
        about = _read_about(folder)
        if not read_only:
            refuse_network(folder, LedgerError)
        ledger = cls(folder, about, clock, read_only)
        ledger._history.tail()
        if not read_only:
            with _lock(folder):
                ledger._view.clean()
                ledger._recover()
        return ledger

    @classmethod
    def open_or_create(cls, data_dir: Path, clock: Clock) -> Self:
        """Open the ledger, or start one silently: only the station ``sim`` may do that. Raises LedgerError."""
        folder = data_dir / "ledger"
        if not (folder / "ledger.json").exists():
            make_folder(folder, LedgerError)
            with _lock(folder):
                if not (folder / "ledger.json").exists():
                    refuse_network(folder, LedgerError)
                    _lay_out(folder, clock)
        return cls.open(data_dir, clock)

    @property
    def ledger_id(self) -> str:
        """Which ledger this is, 32 hex digits; a lot names the one that it belongs to."""
        return self._about.ledger_id

    # The protocol

    def claim(self, request: ClaimRequest) -> Claim:
        """Bind label, DevEUI and chip at once, or confirm the same binding (rework: one attempt more).

        A second call by the same run changes nothing. Raises BoundElsewhere (the sentence names the DevEUI, the
        earlier chip or label and the earlier run), ForeignIdentity (quarantined, exported or scrapped), LedgerError.
        """
        claims.check_request(request)
        with self._transaction():
            current = self._view.get(request.dev_eui)
            if current is None:
                for kind, key in (("chip", request.chip_id), ("label", request.label), ("serial", request.serial)):
                    self._refuse_rivals(kind, key, str(request.dev_eui), request.lot)
                new = claims.first_claim(request, self._now())
                return self._commit("claim", request.run, new, None).claim()
            new = claims.rework(current, request)
            if current.run == request.run:
                return current.claim()
            return self._commit("rework", request.run, new, current).claim()

    def add_key(self, dev_eui: Eui64, generation: int, key: SealedKey, run: str) -> Claim:
        """Keep a sealed key as the next generation (last + 1, at most 255).

        Raises LedgerError, also for a check value that any identity already has; ForeignIdentity.
        """
        with self._transaction():
            current = self._known(dev_eui)
            new = claims.with_key(current, generation, key, run, self._now())
            for owner in self._view.holders("kcv", key.kcv, settled=True):
                raise claims.equal_key(owner, str(dev_eui), key.kcv)
            return self._commit("key", run, new, current).claim()

    def mark_written(self, dev_eui: Eui64, generation: int, run: str) -> Claim:
        """The board was read back with this generation's key. Raises LedgerError, ForeignIdentity."""
        with self._transaction():
            current = self._known(dev_eui)
            return self._commit("written", run, claims.read_back(current, generation), current).claim()

    def note_nonce(self, dev_eui: Eui64, dev_nonce: int, run: str) -> Claim:
        """Remember a DevNonce, 0..65535, seen on the board. Raises NvmDamaged when it went back, LedgerError."""
        with self._transaction():
            current = self._known(dev_eui)
            new = claims.with_nonce(current, dev_nonce)
            return (current if new == current else self._commit("nonce", run, new, current)).claim()

    def mark_passed(self, dev_eui: Eui64, generation: int, run: str) -> Claim:
        """The run passed with this generation, the last one read back. Raises LedgerError, ForeignIdentity."""
        with self._transaction():
            current = self._known(dev_eui)
            return self._commit("passed", run, claims.passed(current, generation), current).claim()

    def find(self, key: str) -> Mapping[str, Any] | None:
        """Look an identity up by DevEUI, label, chip id or serial; JSON-ready, without sealed keys.

        Raises LedgerError when a serial exists in several lots.
        """
        try:
            document = self._view.get(Eui64.parse(key))
        except ValueError:
            document = None
        for kind in ("label", "chip", "serial"):
            if document is None:
                holders = self._view.holders(kind, key)
                if len(holders) > 1:
                    names = ", ".join(f"{holder.dev_eui} (lot {holder.lot})" for holder in holders)
                    raise LedgerError(f"{kind} {key} names several boards: {names}; ask by DevEUI")
                document = holders[0] if holders else None
        return document.public() if document else None

    def head(self) -> str:
        """Hash of the newest whole entry of the history, 64 lower-case hex digits. Raises LedgerError."""
        last = self._history.tail()
        return last.hash if last else self._history.genesis

    # Beyond the protocol

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written into it."""
        return self._history.tail() is None

    def is_used(self, dev_eui: Eui64) -> bool:
        """Whether the ledger has ever given this DevEUI away."""
        return self._view.get(dev_eui) is not None

    def all_claims(self) -> Iterator[Mapping[str, Any]]:
        """Every identity, as :meth:`find` gives it, in no order that means anything."""
        for document in self._view.all():
            yield document.public()

    def sealed_keys(self, dev_eui: Eui64) -> list[dict[str, Any]]:
        """Generation, kcv, box and key_id of each key of an identity, for the owner of the private key."""
        return self._known(dev_eui).sealed()

    def rebind(self, dev_eui: Eui64, *, label: str, chip_id: str, reason: str, operator: str, run: str) -> Claim:
        """Supersede a binding after a repair: this DevEUI now belongs to ``label`` and ``chip_id``.

        Its keys so far are never written again (the next run adds a generation), the DevNonce stays as floor, the
        state is *reserved*. Raises BoundElsewhere when another identity has the label or chip, LedgerError,
        ForeignIdentity.
        """
        _need(reason, operator, "rebind")
        with self._transaction():
            current = self._known(dev_eui)
            for kind, key in (("chip", chip_id), ("label", label)):
                self._refuse_rivals(kind, key, str(dev_eui), current.lot)
            new = claims.rebound(current, label or current.label, chip_id or current.chip_id)
            return self._commit("rebind", run, new, current, reason, operator).claim()

    def retire(self, dev_eui: Eui64, state: claims.State, *, reason: str, operator: str, run: str) -> Claim:
        """Move an identity to quarantined, exported (only from passed) or scrapped. Raises LedgerError.

        The chip of a scrapped identity may be claimed with another label; the label and the DevEUI never again.
        """
        _need(reason, operator, state)
        with self._transaction():
            current = self._known(dev_eui)
            return self._commit(state, run, claims.retired(current, state), current, reason, operator).claim()

    def check(self) -> list[str]:
        """Check everything (see :func:`lorafab.stores.audit.audit`); an empty list means that the ledger is sound."""
        try:
            if self._read_only:
                return list(audit(self._history, self._view))
            with _lock(self._folder):
                with suppress(LedgerError):  # the audit says it again, with the place
                    self._recover()
                return list(audit(self._history, self._view))
        except LedgerError as problem:
            return [str(problem)]

    # Inside

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._read_only:
            raise LedgerError(f"{self._folder} was opened for reading only; open it for writing to change it")
        with _lock(self._folder):
            require_space(self._folder, _NEEDED, LedgerError)
            self._recover()
            yield

    def _recover(self) -> None:
        self._last = self._history.repair()
        if self._last is None:
            self._refuse_ahead(next(self._view.all(), None))
            return
        if self._last.seq == self._applied:
            return
        wanted = self._last.claim
        current = self._view.get(Eui64.parse(wanted.dev_eui))
        if current is None or current.seq < wanted.seq:
            self._view.apply(wanted, current)
        self._refuse_ahead(current)
        self._applied = wanted.seq

    def _refuse_ahead(self, document: ClaimDocument | None) -> None:
        """A claim newer than the newest entry means that acknowledged entries are gone."""
        last = self._last.seq if self._last else 0
        if document is not None and document.seq > last:
            raise LedgerError(
                f"the history of {self._folder} ends at entry {last}, but DevEUI {document.dev_eui} was changed by "
                f"entry {document.seq}: the end of the history is lost; stop, and restore the ledger from the backup"
            )

    def _known(self, dev_eui: Eui64) -> ClaimDocument:
        document = self._view.get(dev_eui)
        if document is None:
            raise LedgerError(f"DevEUI {dev_eui} is not in the ledger {self._folder}; claim it first")
        return document

    def _refuse_rivals(self, kind: str, key: str, dev_eui: str, lot: str) -> None:
        holders = self._view.holders(kind, key, settled=True) if key else []
        for rival in claims.rivals(holders, kind, dev_eui, lot):
            claims.refuse_rival(rival, kind, key, dev_eui)

    def _commit(
        self,
        event: str,
        run: str,
        new: ClaimDocument,
        previous: ClaimDocument | None,
        reason: str = "",
        operator: str = "",
    ) -> ClaimDocument:
        self._refuse_ahead(previous)
        now = self._now()
        new = new.changed(seq=self._last.seq + 1 if self._last else 1, updated=now)
        entry: dict[str, object] = {
            "time": now,
            "event": event,
            "run": run,
            "station": new.station,
            "operator": operator or new.operator,
            "reason": reason,
        }
        self._last = self._history.append(entry, new, self._last)
        self._view.apply(new, previous)
        self._applied = new.seq
        return new

    def _now(self) -> str:
        return utc_text(self._clock.now())


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / "lock", f"the ledger {folder}", LedgerError, _LOCK_TIMEOUT_S)


def _lay_out(folder: Path, clock: Clock) -> None:
    """Make an empty ledger; ``ledger.json`` comes last, so that a killed attempt is started over."""
    history = folder / "history.jsonl"
    if history.exists() and history.stat().st_size:
        raise LedgerError(f"{folder} has a history but no ledger.json; restore the ledger from the backup")
    View(folder).create()
    write_file(history, b"", LedgerError)
    about = _About(ledger_id=uuid.uuid4().hex, created=utc_text(clock.now()))
    path = folder / "ledger.json"
    write_file(path, to_json(about.model_dump(), path, LedgerError) + b"\n", LedgerError)
    with disk_errors(folder, LedgerError):
        sync_folder(folder.parent)


def _read_about(folder: Path) -> _About:
    path = folder / "ledger.json"
    if not path.exists():
        raise LedgerError(
            f"there is no ledger in {folder}; start one with `lorafab ledger init`, once, on the computer that keeps it"
        )
    with disk_errors(path, LedgerError):
        data = path.read_bytes()
    try:
        return _About.model_validate(orjson.loads(data))
    except (orjson.JSONDecodeError, ValidationError) as problem:
        raise LedgerError(
            f"{path} is damaged or of another version of lorafab; restore it from the backup, or use that version"
        ) from problem


def _need(reason: str, operator: str, act: str) -> None:
    if not reason or not operator:
        raise LedgerError(f"`{act}` needs a reason and the name of the operator; give both")
