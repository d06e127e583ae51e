"""What becomes of a board that comes locked: its run goes on where one was cut short, it is opened, or set aside.

A board that was locked and has no PASS record yet cannot be tested again without erasing it. What the earlier run had
found is on disk, so its successor takes that over and does the lock step again, in full. Opening erases everything, the
DevNonce too, so that is brought to the ledger first; docs/lock.md has the order and what a cut leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lorafab.config.load import LineConfig
from lorafab.domain.identity import Eui64
from lorafab.domain.measurement import Measurement, Outcome
from lorafab.domain.record import LockRecord, RunRecord
from lorafab.drivers.pyocd_protection import PROTECTIONS
from lorafab.errors import (
    BoundElsewhere,
    ConfigError,
    ForeignIdentity,
    LinkSilent,
    NvmDamaged,
    PlanError,
    ProbeError,
    ReadProtected,
    ShellError,
    WrongChip,
)
from lorafab.interfaces import ChipInfo
from lorafab.run import lost_counters
from lorafab.run.outcome import StepState
from lorafab.steps import chip as chip_step
from lorafab.steps import lock as lock_step
from lorafab.steps.counters import GAP
from lorafab.steps.identity import PERMIT_OVERWRITE, Assignment
from lorafab.steps.lock import PERMIT_UNLOCK

if TYPE_CHECKING:
    from lorafab.run.run import Run

GREETING_S = 2.0
"""How long a new chip is listened to before it is taken for one without firmware, which greets within milliseconds."""

_RESUMABLE = ("INTERRUPTED", "ERROR", "ABORTED")
"""Verdicts that say nothing against the board."""


def check_lock(config: LineConfig) -> None:
    """Refuse a lock that the product's microcontroller does not have. Raises ConfigError."""
    product, level = config.product, PROTECTIONS[config.product.mcu].level
    if product.lock is not None and product.lock.level != level:
        raise ConfigError(
            f"{config.mcu_named_by}: an {product.mcu} is locked by level {level}, and lock.level says "
            f"{product.lock.level}; correct one of them"
        )
    if product.opens_new_chips and level != "approtect":
        raise ConfigError(
            f"{config.mcu_named_by}: an {product.mcu} does not come locked from its maker; leave opens_new_chips out"
        )


# -- the lock step


def lock(run: Run) -> lock_step.Closed:
    """Lock the board, as the plan's last word on it; what earlier steps found is durable. Raises as `lock_board`."""
    product = run.station.config.product
    if product.lock is None or run.running is None:
        raise PlanError("the plan has a lock step, and the product names no `lock:`; correct product.yaml")
    assignment = run.assignment
    run.facts.lock = LockRecord(
        level=product.lock.level, step=run.running, resumed=run.resumed.run if run.resumed else None
    )
    run.note("locking", lock=run.facts.lock.model_dump(mode="json"), image_sha256=run.image.sha256)
    sought = _sought(run, assignment)
    return lock_step.lock_board(_nest(run), _timeout_s(run), run.chip, assignment, sought)


def _sought(run: Run, assignment: Assignment) -> lock_step.Sought:
    """What no probe may find: the key of this run, those that it found on the board, or a key's check value."""
    written = assignment.to_write
    keys = [] if written is None else [key for key in (written.app_key, written.nwk_key) if key is not None]
    if run.facts.found is not None:
        keys += run.facts.found.keys
    kcvs = tuple(kcv for kcv in (assignment.kcv_app, assignment.kcv_nwk) if kcv is not None)
    known = {key.kcv() for key in keys}
    return lock_step.Sought(tuple(keys) if known.issuperset(kcvs) else (), kcvs)


def _nest(run: Run) -> lock_step.Nest:
    product = run.station.config.product
    return lock_step.Nest(run.programmer, run.station.jig, run.link, product.image.product or product.product)


def _timeout_s(run: Run) -> float:
    return run.station.config.station.link.reply_timeout_s


# -- a board that comes locked


def meet(run: Run, chip: ChipInfo | None) -> ChipInfo:
    """Decide on a locked board; ``chip`` is None where the protection hides even that.

    Returns its chip: of an opened board as it answers now, of one whose run goes on as it was known. Raises
    ReadProtected, and what opening raises.
    """
    if run.station.options.plan_only:
        raise ProbeError(
            "the board is locked (its read-out protection is on), so that nobody can see what it holds, wanted an open "
            "board for --plan-only; run it without"
        )
    earlier = _cut_short(run, chip)
    if earlier is not None:
        return _resume(run, earlier, chip)
    if run.permit(PERMIT_UNLOCK):
        return _unlock(run, chip)
    if chip is None and run.station.config.product.opens_new_chips and _is_new(run):
        return _open(run, chip, "the chip came locked from its maker, and was erased and opened")
    raise ReadProtected(
        "the board is locked (its read-out protection is on), and no run that was cut short while it locked this board "
        "with this label, firmware and plan can go on; set the board aside, or repeat with "
        f"--permit={PERMIT_UNLOCK}:REASON, which erases everything on it and gives it a new key"
    )


def _known(run: Run) -> Mapping[str, Any] | None:
    """What the ledger has of the label's identity; a serial is one board's within its lot only."""
    who, ledger = run.facts.identity, run.station.ledger
    if run.facts.dev_eui is not None:
        return ledger.find(str(run.facts.dev_eui))
    known = ledger.find(who.serial) if who and who.serial else None
    return known if known is not None and known["lot"] == run.station.lot.lot else None


# going on


def _cut_short(run: Run, chip: ChipInfo | None) -> RunRecord | None:
    """The run that had begun to lock this board and came to no verdict on it, or None."""
    record, known, product = _last_lock(run), _known(run), run.station.config.product
    if record is None or record.lock is None or record.keys is None or known is None or product.lock is None:
        return None
    if record.verdict not in _RESUMABLE or any(step.outcome == "fail" for step in record.steps):
        return None
    same = (
        record.chip_id == known["chip_id"] and (chip is None or chip.unique_id == record.chip_id),
        record.keys.generation == known["written"],
        record.image_sha256 == run.image.sha256,
        record.plan_sha256 == run.station.config.plan_sha256,
        record.lock.level == product.lock.level,
        all(test in _passed(record) for test in _before(run, record.lock.step)),
    )
    return record if all(same) else None


def _last_lock(run: Run) -> RunRecord | None:
    """The newest attempt that noted a lock, unless a later one found the board open, or passed or erased it.

    Nor when a run has worked on the board since whose record is not here.
    """
    known = _known(run)
    if run.facts.dev_eui is None or known is None:
        return None
    since = set()
    for record in reversed(run.records.attempts(run.facts.dev_eui)):
        since.add(record.run)
        if record.lock is not None:
            return record if known["run"] in since else None
        # A level that was written and is not in force yet: that run saw the board as it is, and has the last word.
        found_open = record.keys is not None and all(step.run is None for step in record.steps)
        if record.verdict == "PASS" or record.lost or found_open:
            break
    return None


def _before(run: Run, lock_test: str) -> list[str]:
    """Tests that the plan has before the lock step."""
    tests = list(run.state.steps)
    return tests[: tests.index(lock_test)] if lock_test in tests else tests


def _passed(record: RunRecord) -> set[str]:
    return {step.test for step in record.steps if step.outcome == "pass"}


def _resume(run: Run, earlier: RunRecord, chip: ChipInfo | None) -> ChipInfo:
    assert earlier.chip_id is not None
    mcu = run.station.mcu
    if chip is None:
        # What the earlier run compared with these very values, before it went on.
        chip = ChipInfo(mcu.dpidr, mcu.identity_value, mcu.flash.size, earlier.chip_id)
        lock_step.check_same_board(_nest(run).restart(_timeout_s(run)), chip)
    run.note("resumed", run=earlier.run)
    run.resumed = earlier
    return chip


def assignment(run: Run, earlier: RunRecord) -> Assignment:
    """The identity that the earlier run had written and read back; nothing is sealed or written."""
    request, keys = run.request, earlier.keys
    assert keys is not None
    claim = run.station.ledger.claim(request)
    sealed = claim.generations[keys.generation - 1]
    run.facts.evidence = keys.evidence
    run.facts.assignment = found = Assignment(
        request.dev_eui, request.join_eui, request.serial, sealed.number, sealed.kcv_app, sealed.kcv_nwk, claim, None
    )
    kcvs = {"kcv_app": found.kcv_app, "kcv_nwk": found.kcv_nwk}
    run.note("assigned", generation=found.generation, **kcvs, new_key=False, findings=())
    run.note("read back", generation=found.generation, evidence=keys.evidence)
    return found


def carry(run: Run, state: StepState) -> bool:
    """Take over what the earlier run found in a step before the lock; False where the step has to run."""
    earlier = run.resumed
    if earlier is None or earlier.lock is None or state.step.test not in _before(run, earlier.lock.step):
        return False
    step = next(step for step in earlier.steps if step.test == state.step.test)
    specs = {spec.name: spec for spec in state.step.measurements}
    state.outcome, state.seconds, state.run = "pass", step.seconds, step.run or earlier.run
    state.measurements = [Measurement(specs[one.name], one.value, Outcome(one.outcome)) for one in step.measurements]
    run.end_step(state)
    return True


# opening


@dataclass(frozen=True)
class _Said:
    """What the firmware of a locked board told; None where it refused."""

    dev_eui: str | None
    dev_nonce: int | None


def _is_new(run: Run) -> bool:
    """Nothing can be lost: no run has read this identity back from any board, and no firmware speaks."""
    known = _known(run)
    unused = known is None or (
        known["state"] == "reserved"
        and not known["retired_generations"]
        and all(known[name] is None for name in ("written", "proven", "exported", "dev_nonce"))
        and not known.get("counters_erased")
    )
    return unused and _ask(run, None, GREETING_S) is None


def _ask(run: Run, chip: ChipInfo | None, timeout_s: float) -> _Said | None:
    """Start the board's firmware and ask it; None when it says nothing at all. Raises WrongChip for another chip's."""
    try:
        shell = _nest(run).restart(timeout_s)
    except LinkSilent:
        return None
    except ShellError:
        return _Said(None, None)  # it talks, and not as ours does
    known = _known(run)
    dev_eui = dev_nonce = uid = None
    with suppress(ShellError, LinkSilent):
        uid = shell.value("UID?", "uid")
    with suppress(ShellError, LinkSilent):
        dev_eui = shell.value("ID?", "dev_eui")
    with suppress(ShellError, LinkSilent):
        dev_nonce = lock_step.read_dev_nonce(shell)
    wanted = chip.unique_id if chip is not None else known and known["chip_id"]
    if uid is not None and wanted and uid != wanted:
        raise WrongChip(
            f"the locked board's firmware runs on chip {uid}, wanted {wanted}, which has this label; nothing was "
            "erased: check label and wiring"
        )
    return _Said(dev_eui, dev_nonce)


def _unlock(run: Run, chip: ChipInfo | None) -> ChipInfo:
    """With a permit: save the DevNonce, note that everything goes, erase and open."""
    known = _known(run)
    _refuse_other(run, known, chip)
    said = _ask(run, chip, _timeout_s(run))
    stranger = said is not None and (known is None or said.dev_eui not in (None, known["dev_eui"]))
    if said is not None and stranger and not run.permit(PERMIT_OVERWRITE):
        raise ForeignIdentity(
            f"the locked board's firmware says DevEUI {said.dev_eui or '-'}, and this ledger has "
            f"{known['dev_eui'] if known else 'nothing'} for its label; nothing was erased: set the board aside, or "
            f"repeat with --permit={PERMIT_OVERWRITE}:REASON as well"
        )
    what = f"the locked board was opened with --permit={PERMIT_UNLOCK}, which erased everything on it"
    if known is None and said is not None:
        _refuse_to_forget(run, said)
    if known is not None:
        nonce = _save_nonce(run, known, None if said is None or stranger else said.dev_nonce)
        what += ", its DevNonce unused" if nonce is None else f", its DevNonce {nonce} among it; it goes on {GAP} later"
    return _open(run, chip, what)


def _refuse_to_forget(run: Run, said: _Said) -> None:
    """DevNonces that were used under the label's DevEUI, and that this ledger could not go on behind."""
    if said.dev_nonce and (run.facts.dev_eui is None or said.dev_eui in (None, str(run.facts.dev_eui))):
        raise NvmDamaged(
            f"the locked board's firmware has used DevNonces up to {said.dev_nonce}, and this ledger does not know the "
            "board, so that they would repeat after an unlock; nothing was erased: run it with the ledger that knows "
            "it, or give it a new label"
        )


def _refuse_other(run: Run, known: Mapping[str, Any] | None, chip: ChipInfo | None) -> None:
    """A label and a chip that do not belong together: nothing may be erased for it."""
    if chip is None:
        return
    owner = run.station.ledger.find(chip.unique_id)
    other = owner is not None and (known is None or owner["dev_eui"] != known["dev_eui"])
    if other or (known is not None and known["chip_id"] != chip.unique_id):
        raise BoundElsewhere(
            f"the ledger has chip {known['chip_id'] if known else '-'} for label DevEUI {run.facts.dev_eui or '-'}, "
            f"and DevEUI {owner['dev_eui'] if owner else '-'} for chip {chip.unique_id} in the jig; nothing was "
            "erased: set this board aside, or after a repair use `lorafab ledger rebind`"
        )


def _save_nonce(run: Run, known: Mapping[str, Any], said: int | None) -> int | None:
    """Bring the DevNonce to the ledger, and note there that the counters go. Raises NvmDamaged when it is unknown."""
    dev_eui, kept = Eui64.parse(known["dev_eui"]), known["dev_nonce"]
    highest = max((value for value in (said, kept) if value is not None), default=None)
    if highest is None and (known["written"] or known["proven"] or known["retired_generations"]):
        run.set_aside(dev_eui, f"run {run.id}: locked, its firmware does not answer, and no run has seen its DevNonce")
        raise NvmDamaged(
            "the locked board's firmware does not tell its DevNonce and the ledger has never seen one, so it could "
            "repeat after an unlock; nothing was erased, and the identity is quarantined: give the board a new label"
        )
    lost_counters.note(run, dev_eui, highest)
    return highest


def _open(run: Run, chip: ChipInfo | None, what: str) -> ChipInfo:
    """Erase and open; ``what`` is noted before and kept in the record."""
    programmer, ledger = run.programmer, run.station.ledger
    run.note("unlocking", lost=[what])
    run.facts.lost.append(what)
    if chip is not None:
        programmer.connect()
    if programmer.unlock():
        _nest(run).power_cycle()
    found = chip_step.check_chip(programmer, run.station.mcu)
    if chip is not None and found.unique_id != chip.unique_id:
        raise WrongChip(
            f"the chip is {found.unique_id} after it was opened and was {chip.unique_id} before; do not change boards "
            "during a run, and run this one again"
        )
    if programmer.is_locked():
        raise ReadProtected(
            "the board is still locked after it was erased and powered off and on, wanted it open; check that the jig "
            "switches the supply, repeat once, then set the board aside"
        )
    owner, known = ledger.find(found.unique_id), _known(run)
    if owner is not None and (known is None or owner["dev_eui"] != known["dev_eui"]):
        # Nobody could know whose it is before it was opened: its identity must not ship, and must not count from 0.
        ledger.note_erased(Eui64.parse(owner["dev_eui"]), run.id)
    run.note("unlocked", chip_id=found.unique_id)
    return found
