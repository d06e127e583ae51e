"""The flash session of a run: what the ledger must know before it and after it has failed for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafab.domain.identity import Eui64
from lorafab.errors import FlashRefused, NvmDamaged, VerifyFailed
from lorafab.run import lost_counters
from lorafab.steps.flash import Loss, Written, refuse_strange_memory, write_board

if TYPE_CHECKING:
    from lorafab.run.run import Run


def write_flash(run: Run) -> Written:
    """Write the contents of the run's flash session. Raises as `write_board`.

    A board whose flash has failed twice is set aside durably: *quarantined*, until `lorafab ledger rework`. One that
    this ledger has never brought to its end must hold nothing where the product has nothing: ForeignIdentity.
    """
    if _is_strange(run) and not run.clears_flash:
        refuse_strange_memory(run.programmer, run.station.memory)
    try:
        written = write_board(
            run.programmer,
            run.station.memory,
            run.contents,
            run.about_to_write,
            trusted=is_first_attempt(run),
            clear=run.clears_flash,
            about_to_lose=lambda loss: _about_to_lose(run, loss),
        )
    except (FlashRefused, VerifyFailed) as error:
        _set_aside(run, str(error))
        raise
    run.facts.written = written
    return written


def _is_strange(run: Run) -> bool:
    """Whether no run of this ledger has ever read an identity back from this board."""
    known = run.known
    return known is None or (known["written"] is None and known["proven"] is None)


def is_first_attempt(run: Run) -> bool:
    """Whether no run of this ledger can have been interrupted on this board."""
    known = run.known
    return known is None or (known["attempts"] == 1 and known["run"] == run.id)


def _about_to_lose(run: Run, loss: Loss) -> None:
    run.about_to_write()  # binds label and chip, where that is still to be done
    known = run.known
    if known is not None and not lost_counters.come_back(run):
        lost_counters.refuse(run, max(known["dev_nonce"] or 0, loss.dev_nonce or 0))
    elif known is not None and loss.sentences:
        lost_counters.note(run, Eui64.parse(known["dev_eui"]), loss.dev_nonce)
    elif known is not None and not known["dev_nonce"]:
        # Cut short, the erase leaves counters that cannot be read. One that has counted and comes blank stays damage:
        # noted as ours, the next run would let it go on, from wherever.
        run.station.ledger.note_erased(Eui64.parse(known["dev_eui"]), run.id)
    elif loss.dev_nonce:
        raise NvmDamaged(
            f"the board has used DevNonces up to {loss.dev_nonce} and the ledger does not know it, so they would be "
            "forgotten with its flash; set this board aside, or run it without the permit"
        )
    run.facts.lost += loss.sentences
    run.note("erasing all", lost=loss.sentences)


def _set_aside(run: Run, reason: str) -> None:
    known = run.known
    if known is not None:
        run.set_aside(Eui64.parse(known["dev_eui"]), reason)
