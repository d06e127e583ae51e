"""One board, from the first look at the jig to the record: a run, independent of pytest.

The order is the safety: a label and a chip are bound and the key is sealed before a byte of key goes to the
programmer; every turn is in the journal before it is taken; a PASS is a record on disk before it is shown.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial

import lorafab
from lorafab.domain.identity import REGIONS, is_virtual_chip
from lorafab.domain.image import Image, check_image
from lorafab.domain.label import Label, parse_label
from lorafab.domain.measurement import Measurement, Value
from lorafab.domain.memory_map import Span
from lorafab.domain.record import RunRecord
from lorafab.domain.verdict import Verdict
from lorafab.drivers.image_file import load_image
from lorafab.errors import DutError, ForeignIdentity, JigError, LorafabError, PlanError, RecordError
from lorafab.interfaces import ChipInfo, ClaimRequest, Link, Programmer, Scan
from lorafab.run import recording
from lorafab.run.outcome import Cause, RunState, StepState, sentence_of
from lorafab.run.station import Station
from lorafab.steps import chip as chip_step
from lorafab.steps import identity as identity_step
from lorafab.steps import keys as keys_step
from lorafab.steps.label import check_of_lot
from lorafab.steps.shell import Shell
from lorafab.stores.journal import RunJournal
from lorafab.stores.records import RecordStore
from lorafab.stores.stamp import utc_text


@dataclass
class Facts:
    """What the run has learned so far; the record is made from it."""

    label: Label | None = None
    scan: Scan | None = None
    picture_file: tuple[str, str] | None = None
    """(name, sha256)."""
    chip: ChipInfo | None = None
    image: Image | None = None
    assignment: identity_step.Assignment | None = None
    key_read_back: bool = False


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

    # -- beginning -----------------------------------------------------------------------------------------------

    def begin(self) -> list[recording.Recovered]:
        """Finish what killed runs left behind, start the journal, and check what needs no hardware.

        Returns what was done about killed runs. Raises RecordError, ImageError.
        """
        name = self.station.config.station.station
        recovered = recording.recover(self.station, self.records)
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
        check_image(
            image,
            flash=product.memory.flash.span,
            code=product.memory.code.span,
            reserved=product.memory.reserved(),
            mcu=product.mcu,
            ram=product.memory.ram.span,
            product=product.product,
            version=product.image.version,
        )
        return image

    # -- what the steps work with, each made once, in this order ---------------------------------------------------

    @cached_property
    def label(self) -> Label:
        """Scan and check the label. Raises ScanError, LabelRefused."""
        scan = self.station.scanner.scan()
        label = parse_label(scan.text)
        # Only now may the text be kept: a refused one may carry a key.
        self.facts.label, self.facts.scan = label, scan
        check_of_lot(label, self.station.lot)
        if scan.picture is not None:
            self.facts.picture_file = self.records.save_picture(self.id, scan.picture)
        self.note(
            "label",
            dev_eui=str(label.dev_eui),
            join_eui=str(self.station.lot.join_eui),
            serial=label.serial,
            label=label.text_redacted,
            picture=self.facts.picture_file,
            reader=scan.reader,
        )
        self.attempt = 1 + len(self.records.attempts(label.dev_eui))
        return label

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
        """Connect and check the chip; nothing is written. Raises WrongChip, ProbeError."""
        chip = chip_step.check_chip(self.programmer, self.station.mcu)
        if is_virtual_chip(chip.unique_id) and self.station.lot.kind != "demo":
            raise JigError(
                f"chip {chip.unique_id} is a virtual one, and lot {self.station.lot.lot} is of real boards; "
                "run it with a lot of `kind: demo`"
            )
        self.facts.chip = chip
        self.note("chip", chip_id=chip.unique_id)
        return chip

    @cached_property
    def assignment(self) -> identity_step.Assignment:
        """Claim the identity; a new key is durable and sealed when this returns."""
        station, label = self.station, self.label
        text, serial = label.text_redacted, label.serial or ""
        known = station.ledger.find(str(label.dev_eui))
        if known is not None and label.format == "dev_eui":
            # A bare DevEUI names a board whose full label was scanned before.
            text, serial = known["label"], known["serial"]
        request = ClaimRequest(
            dev_eui=label.dev_eui,
            join_eui=station.lot.join_eui,
            serial=serial,
            label=text,
            chip_id=self.chip.unique_id,
            lot=station.lot.lot,
            run=self.id,
            station=station.config.station.station,
            operator=station.options.operator,
        )
        name = station.config.region
        region = None if name is None else REGIONS[name]
        wanted = identity_step.Wanted(station.lot.join_eui, region, station.lot.lot, station.lot.key_slots)
        found = identity_step.read_identity(self.programmer, station.memory)
        self.note("claiming", dev_eui=str(label.dev_eui), chip_id=request.chip_id, page=found.state.value)
        assign = partial(identity_step.assign, found, request, wanted, station.ledger, station.vault)
        try:
            assignment = assign(permit=False)
        except ForeignIdentity:
            if not self._permit(identity_step.PERMIT_OVERWRITE):
                raise
            assignment = assign(permit=True)
        self.facts.assignment = assignment
        self.note(
            "assigned",
            generation=assignment.generation,
            kcv_app=assignment.kcv_app,
            kcv_nwk=assignment.kcv_nwk,
            new_key=assignment.to_write is not None,
        )
        return assignment

    def about_to_write(self) -> None:
        """From here on the board is no longer what it passed with, if it ever did; durable when this returns."""
        self.station.ledger.mark_writing(self.assignment.dev_eui, self.id)
        self.note("writing")

    def prove_key(self) -> None:
        """Read the identity block back and decode it; the ledger learns which generation is on the board."""
        keys_step.check_block(self.programmer, self.station.memory, self.assignment)
        self.facts.key_read_back = True
        self.station.ledger.mark_written(self.assignment.dev_eui, self.assignment.generation, self.id)
        self.note("read back", generation=self.assignment.generation)

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
        return Shell(self.link, self.station.config.station.link.reply_timeout_s, self._still_there)

    def _still_there(self) -> None:
        """Raise ProbeError when the chip does not answer its probe either, so that nobody blames the firmware."""
        memory = self.station.memory
        with suppress(DutError):
            self.station.programmer.read(Span(memory.flash.start, memory.word_size))

    def _permit(self, name: str) -> bool:
        """Whether the run was given this permit, which is then used."""
        granted = any(permit == name for permit, _ in self.station.options.permits)
        if granted:
            self.used_permits.add(name)
        return granted

    # -- steps ---------------------------------------------------------------------------------------------------

    def note(self, event: str, **facts: object) -> None:
        """Write a turn of the run into the journal; durable when this returns. Raises RecordError."""
        if self._journal is not None:
            self._journal.note(event, **facts)

    def start_step(self, test: str) -> None:
        """A step begins."""
        self.note("step", test=test)

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
        if self.state.verdict() is Verdict.PASS and not self.facts.key_read_back:
            sentence = "no step of the plan reads a key from the board, so nothing can pass; add such a step"
            self.state.blame(Cause(Verdict.ERROR, PlanError.code, sentence))
        record = recording.make_record(self, self.station.clock.now())
        self.note("verdict", verdict=record.verdict, cause=record.cause)
        self.records.append(record)
        if record.verdict == Verdict.PASS.value and self.facts.assignment is not None:
            # Only now: the ledger learns of a PASS when its record is on disk. Where this fails the journal stays
            # behind, and the next start completes it.
            assignment = self.facts.assignment
            self.station.ledger.mark_passed(assignment.dev_eui, assignment.generation, self.id)
        elif record.verdict == Verdict.FAIL.value and self.facts.assignment is not None:
            self.station.ledger.mark_failed(self.facts.assignment.dev_eui, self.id)
        self._close_journal(record.verdict)
        return record

    def _close_journal(self, verdict: str) -> None:
        if self._journal is not None:
            self._journal.close(verdict)
            self._journal = None

    def leave(self) -> None:
        """Let go of a journal that could not be closed: the next start finds it. May be called twice."""
        if self._journal is not None:
            self._journal.leave()
            self._journal = None
