"""One board, from the first look at the jig to the record: a run, independent of pytest.

The order is the safety: a label and a chip are bound and the key is sealed before a byte of key goes to the
programmer; every turn is in the journal before it is taken; a PASS is a record on disk before it is shown.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from typing import Any

import lorafab
from lorafab.domain.identity import REGIONS, Eui64, is_virtual_chip
from lorafab.domain.image import Image, check_image
from lorafab.domain.label import Label
from lorafab.domain.measurement import Measurement, Value
from lorafab.domain.memory_map import Segment, Span
from lorafab.domain.provisioning import Evidence, Found
from lorafab.domain.record import LockRecord, RunRecord
from lorafab.domain.verdict import Verdict
from lorafab.drivers.image_build import remove_leftovers
from lorafab.drivers.image_file import load_image
from lorafab.errors import (
    DutError,
    ForeignIdentity,
    JigError,
    LorafabError,
    PlanError,
    ProbeError,
    RecordError,
)
from lorafab.interfaces import ChipInfo, ClaimRequest, IdentityStore, Ledger, Link, Programmer, Scan, Vault
from lorafab.run import locked, lost_counters, recording
from lorafab.run.identity_store import open_identity_store
from lorafab.run.outcome import Cause, RunState, StepState, sentence_of
from lorafab.run.station import Station
from lorafab.steps import chip as chip_step
from lorafab.steps import identity as identity_step
from lorafab.steps import keys as keys_step
from lorafab.steps.flash import PERMIT_MASS_ERASE, Written, stored_nonce
from lorafab.steps.label import LabelIdentity, identify, read_label
from lorafab.steps.lock import Closed, hides_itself
from lorafab.steps.shell import Shell
from lorafab.stores.journal import RunJournal
from lorafab.stores.records import RecordStore
from lorafab.stores.stamp import utc_text


@dataclass
class Facts:
    """What the run has learned so far; the record is made from it."""

    label: Label | None = None
    identity: LabelIdentity | None = None
    """What the label means in the lot."""
    scan: Scan | None = None
    picture_file: tuple[str, str] | None = None
    """(name, sha256)."""
    chip: ChipInfo | None = None
    image: Image | None = None
    found: Found | None = None
    """What the board held before the run wrote anything: its keys are looked for in what is kept, too."""
    assignment: identity_step.Assignment | None = None
    evidence: Evidence | None = None
    """How the key on the board is known; None until the board was asked for it."""
    lock: LockRecord | None = None
    """None until the board is about to be locked."""
    lost: list[str] = field(default_factory=list)
    """What was erased that a run keeps otherwise, and why: sentences."""
    written: Written | None = None
    """What the flash session did; None until it has ended well."""

    @property
    def dev_eui(self) -> Eui64 | None:
        """Whom the run is about: what the label says, until the lot or the chip says more."""
        if self.identity is not None:
            return self.identity.dev_eui
        return self.label.dev_eui if self.label else None

    @property
    def serial(self) -> str | None:
        """Serial of the board, as far as it is known."""
        if self.assignment is not None:
            return self.assignment.serial or None
        if self.identity is not None:
            return self.identity.serial or None
        return self.label.serial if self.label else None

    @property
    def shown(self) -> str:
        """DevEUI and serial for the screen, as far as they are known."""
        return " ".join(str(name) for name in (self.dev_eui, self.serial) if name)


class Run:
    """The run of one board at one station."""

    def __init__(self, station: Station, run_id: str, started: datetime) -> None:
        self.station = station
        self.state = RunState(station.config.plan)
        self.facts = Facts()
        self.records = RecordStore(station.data)
        self.started, self.id = started, run_id
        self.attempt = 1
        self._journal: RunJournal | None = None
        self.used_permits: set[str] = set()
        self.running: str | None = None
        """Test of the step that runs."""
        self.resumed: RunRecord | None = None
        """The run that was cut short while it locked this board, and that this one goes on with."""

    # -- beginning -----------------------------------------------------------------------------------------------

    def begin(self) -> list[recording.Recovered]:
        """Finish what killed runs left behind, start the journal, and check what needs no hardware.

        Returns what was done about killed runs. Raises RecordError, ImageError.
        """
        name = self.station.config.station.station
        recovered = recording.recover(self.station, self.records)
        remove_leftovers()
        self._journal = RunJournal.start(self.station.data, name, self.id, self._first_facts(), self.station.clock)
        self.facts.image = self._load_image()
        return recovered

    def _first_facts(self) -> dict[str, object]:
        config = self.station.config
        return {
            "start": utc_text(self.started),
            "operator": self.station.options.operator,
            "lot": config.lot.lot,
            "product": config.product.product,
            "plan_sha256": config.plan_sha256,
            "config_sha256": config.config_sha256,
            "lorafab_version": lorafab.__version__,
            "lorafab_commit": recording.commit(self.station.root),
        }

    def _load_image(self) -> Image:
        config = self.station.config
        product = config.product
        image = load_image(
            config.image_path,
            named_by=config.image_named_by,
            base=product.image.base,
            manifest=config.manifest_path,
        )
        self.check_image(image)
        return image

    def check_image(self, image: Image) -> None:
        """Hold an image against the product. Raises ImageError."""
        product = self.station.config.product
        check_image(
            image,
            flash=product.memory.flash.span,
            code=product.memory.code.span,
            reserved=self.station.memory.reserved,
            mcu=product.mcu,
            ram=product.memory.ram.span,
            product=product.image.product or product.product,
            version=product.image.version,
        )

    # -- what the steps work with, each made once, in this order ---------------------------------------------------

    @cached_property
    def label(self) -> Label:
        """Scan and check the label. Raises ScanError, LabelRefused."""
        scan = self.station.scanner.scan()
        label = read_label(scan.text, self.station.lot)
        # Only now may the text be kept: a refused one may carry a key.
        self.facts.label, self.facts.scan = label, scan
        self._identify(label)
        if scan.picture is not None:
            self.facts.picture_file = self.records.save_picture(self.id, scan.picture)
        self.note(
            "label",
            dev_eui=self._dev_eui_text(),
            join_eui=str(self.station.lot.join_eui),
            serial=self.facts.serial,
            label=label.text_redacted,
            picture=self.facts.picture_file,
            reader=scan.reader,
        )
        return label

    def _identify(self, label: Label, factory_eui: Eui64 | None = None) -> None:
        self.facts.identity = identify(label, self.station.lot, factory_eui)
        if self.facts.dev_eui is not None:
            self.attempt = 1 + len(self.records.attempts(self.facts.dev_eui))

    def _dev_eui_text(self) -> str | None:
        return None if self.facts.dev_eui is None else str(self.facts.dev_eui)

    @cached_property
    def programmer(self) -> Programmer:
        """Power the board and give the programmer. Raises JigError."""
        jig = self.station.jig
        if not jig.present():
            raise JigError("the jig is empty; put a board in and run it again")
        if not jig.lid_closed():
            raise JigError("the lid is open; close it and run the board again")
        jig.power(True)
        self.note("powered")
        return self.station.programmer

    @cached_property
    def chip(self) -> ChipInfo:
        """Connect and check the chip, whose label is known before; nothing is written. Raises WrongChip, ProbeError.

        Where the lot takes its DevEUIs from chips, this completes what the label says: BoundElsewhere. A locked chip
        goes on where its run was cut short, is opened, or refused: ReadProtected.
        """
        label = self.label
        try:
            chip = chip_step.check_chip(self.programmer, self.station.mcu)
        except ProbeError:
            if not hides_itself(self.programmer):
                raise
            chip = locked.meet(self, None)
        if is_virtual_chip(chip.unique_id) and self.station.lot.kind != "demo":
            raise JigError(
                f"chip {chip.unique_id} is a virtual one, and lot {self.station.lot.lot} is of real boards; "
                "run it with a lot of `kind: demo`"
            )
        self.facts.chip = chip
        if self.station.factory_eui is not None:
            self._identify(label, chip_step.read_factory_eui(self.programmer, self.station.factory_eui))
        self.note("chip", chip_id=chip.unique_id, dev_eui=self._dev_eui_text())
        if self.resumed is None and self.programmer.is_locked():
            self.facts.chip = chip = locked.meet(self, chip)
        return chip

    @cached_property
    def store(self) -> IdentityStore:
        """Where the board keeps its identity."""
        return open_identity_store(self)

    @cached_property
    def request(self) -> ClaimRequest:
        """Which label and chip are to be bound; hardware that decides on the DevEUI was asked for its EUI-64."""
        station, chip_id = self.station, self.chip.unique_id
        if self._hardware_decides:
            self._identify(self.label, self._factory_eui())
            self.note("factory eui", dev_eui=self._dev_eui_text())
        dev_eui, label, serial = self._claimed()
        return ClaimRequest(
            dev_eui=dev_eui,
            join_eui=station.lot.join_eui,
            serial=serial,
            label=label,
            chip_id=chip_id,
            lot=station.lot.lot,
            run=self.id,
            station=station.config.station.station,
            operator=station.options.operator,
        )

    def _factory_eui(self) -> Eui64 | None:
        """Ask the identity store's hardware. A chip that had passed has not any more when that is refused or exchanged.

        The FAIL comes before the claim, so that nothing else would keep this board from the customer.
        """
        known = self.station.ledger.find(self.chip.unique_id)
        had = None if known is None or known["lot"] != self.station.lot.lot else Eui64.parse(known["dev_eui"])
        try:
            found = self.store.factory_eui()
        except DutError:
            if known is not None:
                self.station.ledger.mark_writing(Eui64.parse(known["dev_eui"]), self.id)
            raise
        if had is not None and found != had:
            self.station.ledger.mark_writing(had, self.id)
        return found

    @property
    def _hardware_decides(self) -> bool:
        """Whether the DevEUI is the one that the identity store's hardware came with."""
        return self.station.lot.dev_eui.source == self.station.config.product.identity.store

    @cached_property
    def assignment(self) -> identity_step.Assignment:
        """Claim the identity; a new key is durable and sealed when this returns."""
        if self.resumed is not None:
            return locked.assignment(self, self.resumed)
        station, request = self.station, self.request
        known = station.ledger.find(str(request.dev_eui))
        if known is not None and known["chip_id"] == request.chip_id:
            station.ledger.claim(request)  # this very board again: from here on a FAIL takes away that it had passed
        self.facts.found = found = self.store.look()
        self.note("claiming", dev_eui=str(request.dev_eui), chip_id=request.chip_id, page=found.state.value)
        assignment = self.assign(found, station.ledger, station.vault)
        if self.clears_flash and lost_counters.come_back(self):
            nonce = stored_nonce(self.programmer, station.memory)
            assignment = replace(assignment, claim=lost_counters.note(self, assignment.dev_eui, nonce))
        self.facts.assignment = assignment
        self.note(
            "assigned",
            generation=assignment.generation,
            kcv_app=assignment.kcv_app,
            kcv_nwk=assignment.kcv_nwk,
            new_key=assignment.to_write is not None,
            findings=assignment.findings,
        )
        return assignment

    def assign(self, found: Found, ledger: Ledger, vault: Vault) -> identity_step.Assignment:
        """Decide on the board's identity by what it holds. Raises as `identity_step.assign`."""
        station, lot = self.station, self.station.lot
        name = station.config.region
        region = None if name is None else REGIONS[name]
        slots = () if station.config.product.identity.store == "secure-element" else lot.key_slots
        wanted = identity_step.Wanted(lot.join_eui, region, lot.lot, slots)
        keep = not (self.clears_flash and self.store.stage == "image")
        assign = partial(identity_step.assign, found, self.request, wanted, ledger, vault, keep=keep)
        try:
            return assign(permit=False)
        except ForeignIdentity:
            if not self.permit(identity_step.PERMIT_OVERWRITE):
                raise
            return assign(permit=True)

    @property
    def known(self) -> Mapping[str, Any] | None:
        """What the ledger has of this board, by its DevEUI or, before that is known, by its chip."""
        who = self.chip.unique_id if self.facts.dev_eui is None else str(self.facts.dev_eui)
        return self.station.ledger.find(who)

    @cached_property
    def clears_flash(self) -> bool:
        """Whether all of the flash is to be erased: by permit, or because an earlier run began to and was cut short.

        That run has noted it in the ledger before it began; as long as no counters are stored anew, the power may have
        gone in the middle of it.
        """
        if self.permit(PERMIT_MASS_ERASE):
            return True
        begun = self.known is not None and self.known.get("counters_erased", False)
        return begun and stored_nonce(self.programmer, self.station.memory) is None

    @cached_property
    def contents(self) -> Sequence[Segment]:
        """What the flash session programs: the image, and the identity where it goes down together with it."""
        identity = self.assignment.to_write if self.store.stage == "image" else None
        contents = self.store.in_image(self.image, identity)
        if self.station.config.product.identity.store == "build":
            # This board's own, with its identity; version and SHA-256 stay those of the product's file.
            name = f"compiled for this board alone; the product's reference is {self.image.name}"
            self.facts.image = replace(self.image, name=name, segments=tuple(contents))
        return contents

    def _claimed(self) -> tuple[Eui64, str, str]:
        """DevEUI, label and serial to claim; the chip was read."""
        who = self.facts.identity
        assert who is not None
        assert who.dev_eui is not None
        known = self.station.ledger.find(str(who.dev_eui))
        bare = str(who.dev_eui)
        if known is not None and (
            bare in (who.label_text, known["label"]) or who.label_text == who.serial == known["serial"]
        ):
            # The DevEUI or the serial alone, perhaps typed, names a board whose full label was scanned before; and a
            # board that was made by its DevEUI alone stays known by it when its full label is scanned later.
            return who.dev_eui, known["label"], known["serial"]
        return who.dev_eui, who.label_text, who.serial

    def about_to_write(self) -> None:
        """From here on the board is no longer what it passed with, if it ever did; durable when this returns.

        Firmware that takes its identity itself is flashed before the board can be asked for what it holds: its label
        and chip are bound here, unless only the hardware knows the DevEUI.
        """
        ledger = self.station.ledger
        if self.store.stage != "firmware":
            ledger.mark_writing(self.assignment.dev_eui, self.id)
        elif self.facts.dev_eui is not None and not self._hardware_decides:
            ledger.claim(self.request)
            ledger.mark_writing(self.request.dev_eui, self.id)
        elif (known := ledger.find(self.chip.unique_id)) is not None:
            ledger.mark_writing(Eui64.parse(known["dev_eui"]), self.id)
        self.note("writing")

    def provision(self) -> None:
        """Write a new identity where it does not go down with the image."""
        if self.assignment.to_write is not None:
            self.station.ledger.mark_writing(self.assignment.dev_eui, self.id)
            self.note("provisioning")
            self.store.write(self.assignment.to_write)

    def set_aside(self, dev_eui: Eui64, reason: str) -> None:
        """Quarantine the board, until `lorafab ledger rework`; durable when this returns."""
        operator = self.station.options.operator or f"station {self.station.config.station.station}"
        self.station.ledger.move(dev_eui, "quarantined", reason=reason, operator=operator)

    def prove_key(self) -> None:
        """Ask the board for its identity; the ledger learns which generation is on the board."""
        self.facts.evidence = keys_step.check_store(self.store, self.assignment)
        self.station.ledger.mark_written(self.assignment.dev_eui, self.assignment.generation, self.id)
        self.note("read back", generation=self.assignment.generation, evidence=self.facts.evidence)

    @property
    def image(self) -> Image:
        """The image that `begin` read and checked."""
        assert self.facts.image is not None
        return self.facts.image

    @cached_property
    def link(self) -> Link:
        """The serial line, open. Raises PortError."""
        self.station.link.open()
        return self.station.link

    @cached_property
    def shell(self) -> Shell:
        """The firmware's shell on the line."""
        return Shell(self.link, self.station.config.station.link.reply_timeout_s, self.still_there)

    def still_there(self) -> None:
        """Raise ProbeError when the chip does not answer its probe either, so that nobody blames the firmware."""
        memory = self.station.memory
        with suppress(DutError):
            self.station.programmer.read(Span(memory.flash.start, memory.flash.word_size))

    def permit(self, name: str) -> bool:
        """Whether the run was given this permit, which is then used; durable when this returns."""
        options = self.station.options
        reasons = [reason for permit, reason in options.permits if permit == name]
        if reasons and name not in self.used_permits and not options.plan_only:
            self.used_permits.add(name)
            self.note("permit", name=name, reason=reasons[0])
        return bool(reasons)

    # -- steps ---------------------------------------------------------------------------------------------------

    def note(self, event: str, **facts: object) -> None:
        """Write a turn of the run into the journal; durable when this returns. Raises RecordError."""
        if self._journal is not None:
            self._journal.note(event, **facts)

    def start_step(self, test: str) -> None:
        """A step begins."""
        self.running = test
        self.note("step", test=test)

    def carry(self, state: StepState) -> bool:
        """Whether a step was done by the run that this one goes on with, whose results it then has."""
        return locked.carry(self, state)

    def lock(self) -> Closed:
        """Close the board to every probe. Raises as `lorafab.steps.lock.lock_board`."""
        return locked.lock(self)

    def end_step(self, state: StepState) -> None:
        """A step has ended, whatever came of it."""
        self.note("step end", step=recording.step_record(state).model_dump(mode="json"))

    def measure(self, test: str, name: str, value: Value) -> Measurement:
        """Judge and keep one value of a step."""
        return self.state.steps[test].measure(name, value)

    # -- end -----------------------------------------------------------------------------------------------------

    def finish(self) -> RunRecord | None:
        """Make the record durable and tell the ledger of a PASS.

        Returns the record as committed; None when there is none on disk, which is an ERROR. Never raises.
        """
        try:
            return self._commit()
        except LorafabError as error:
            self.state.override(error)
        except OSError as error:
            self.state.override(RecordError(f"the record cannot be written ({error.strerror}); repair the disk first"))
        except Exception as error:
            self.state.override(RecordError(sentence_of(error)))
        return None

    def _commit(self) -> RunRecord | None:
        if self._journal is None:
            return None  # the run did not get so far as to begin
        if self.state.verdict() is Verdict.USAGE:
            self._close_journal(Verdict.USAGE.value)  # nothing was done that could be recorded
            return None
        if self.state.verdict() is Verdict.PASS and self.facts.evidence is None:
            sentence = "no step of the plan asks the board for its key, so nothing can pass; add such a step"
            self.state.blame(Cause(Verdict.ERROR, PlanError.code, sentence))
        if (
            self.state.verdict() is Verdict.PASS
            and self.station.config.product.lock is not None
            and self.facts.lock is None
        ):
            sentence = "the product wants its boards locked, and no step of the plan locks them; add such a step"
            self.state.blame(Cause(Verdict.ERROR, PlanError.code, sentence))
        record = recording.make_record(self, self.station.clock.now())
        self.note("verdict", verdict=record.verdict, cause=record.cause)
        if record.verdict == Verdict.FAIL.value and record.dev_eui is not None:
            self._withdraw(Eui64.parse(record.dev_eui))
        self.records.append(record)
        if record.verdict == Verdict.PASS.value and self.facts.assignment is not None:
            # Only now: the ledger learns of a PASS when its record is on disk. Where this fails the journal stays
            # behind, and the next start completes it.
            assignment = self.facts.assignment
            assert self.facts.evidence is not None
            self.station.ledger.mark_passed(assignment.dev_eui, assignment.generation, self.id, self.facts.evidence)
        self._close_journal(record.verdict)
        return record

    def _withdraw(self, dev_eui: Eui64) -> None:
        """Tell the ledger of a FAIL, before the record: from then on nobody exports this board."""
        ledger = self.station.ledger
        claim = ledger.find(str(dev_eui))
        # Claimed by this run, and not refused because label or chip are another board's.
        if claim is not None and claim["run"] == self.id:
            ledger.mark_failed(dev_eui, self.id)

    def _close_journal(self, verdict: str) -> None:
        if self._journal is not None:
            self._journal.close(verdict)
            self._journal = None

    def leave(self) -> None:
        """Let go of a journal that could not be closed: the next start finds it. May be called twice."""
        if self._journal is not None:
            self._journal.leave()
            self._journal = None
