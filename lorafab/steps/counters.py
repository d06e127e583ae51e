"""The NVM frame-counter region: nothing went back, and the firmware can still write it."""

from dataclasses import dataclass

from lorafab.domain.memory_map import MemoryMap
from lorafab.domain.nvm import endnode
from lorafab.errors import NvmDamaged, ShellError
from lorafab.interfaces import Claim, Ledger, Programmer
from lorafab.steps.identity import Assignment
from lorafab.steps.memory import read_torn
from lorafab.steps.shell import Shell

MAX_RAISE = 1000
"""DevNonces that a replaced chip is brought up by, one shell command each: some seconds at 115200 baud."""

GAP = 16
"""DevNonces that a board skips after its counters were erased: it may have joined since a run last asked it."""


@dataclass(frozen=True)
class CounterCheck:
    """What the check saw."""

    dev_nonce: int
    """Stored on the board when the check ended."""
    gained: int
    """DevNonces since the last run that saw this board; since 0 where this is the first."""


def read_counters(programmer: Programmer, memory: MemoryMap) -> endnode.Counters:
    """Read and decode the region through the probe. Raises NvmDamaged."""
    area = memory.area_of(memory.nvm)
    assert area is not None  # product.yaml cannot be read without
    reading = read_torn(programmer, memory.nvm, area.word_size)
    torn = {word.start - memory.nvm.start for word in reading.torn}
    decoded = endnode.decode(reading.data, torn, word_size=area.word_size, erased=area.erased)
    if decoded.counters is None:
        raise NvmDamaged(
            f"the NVM region ({memory.nvm}) holds {decoded.bad_records} damaged records and no valid one, "
            "so its DevNonce is unknown and may repeat; set this board aside"
        )
    return decoded.counters


def check_counters(
    programmer: Programmer, shell: Shell, memory: MemoryMap, ledger: Ledger, assignment: Assignment, run: str
) -> CounterCheck:
    """Compare with what the ledger remembers, let the firmware store the next DevNonce, and read that back.

    One DevNonce of 65535 is spent: a region that cannot be written any more must not leave the factory. A chip that a
    repair put in starts at 0 and is brought up to what the old chip had reached, so that no DevNonce repeats; a board
    whose counters were erased goes on ``GAP`` behind the highest that a run has seen.
    Raises NvmDamaged, ShellError, LinkSilent.
    """
    before = read_counters(programmer, memory)
    claim = assignment.claim
    floor = claim.dev_nonce or 0
    due = floor + GAP if claim.counters_erased else floor
    if before.dev_nonce < due and (claim.counters_erased or _after_repair(claim)):
        before = _raise(programmer, shell, memory, before.dev_nonce, due)
    if before.dev_nonce < floor:
        raise NvmDamaged(
            f"the board's DevNonce is {before.dev_nonce}, the ledger has seen {floor}, and a DevNonce must never "
            "repeat; set this board aside"
        )
    said = _number(shell, "NVM?", "dev_nonce")
    if said != before.dev_nonce:
        raise NvmDamaged(
            f"the firmware says DevNonce {said}, its NVM region holds {before.dev_nonce}; "
            "check that the image is this product's, then set the board aside"
        )
    promised = _number(shell, "NONCE+", "dev_nonce")
    after = read_counters(programmer, memory)
    if after.dev_nonce != promised or promised != before.dev_nonce + 1:
        raise NvmDamaged(
            f"after NONCE+ the firmware says DevNonce {promised} and the NVM region holds {after.dev_nonce}, "
            f"wanted {before.dev_nonce + 1} in both; set this board aside"
        )
    ledger.note_nonce(assignment.dev_eui, after.dev_nonce, run)
    return CounterCheck(after.dev_nonce, after.dev_nonce - floor)


def note_counters(
    programmer: Programmer, memory: MemoryMap, ledger: Ledger, assignment: Assignment, run: str
) -> CounterCheck:
    """The same of firmware without commands for its counters: they are read, and no DevNonce is spent.

    That the region can still be written is not proven; and counters that a repair or an unlocking took away cannot be
    brought up again. Raises NvmDamaged.
    """
    dev_nonce, claim = read_counters(programmer, memory).dev_nonce, assignment.claim
    floor = claim.dev_nonce or 0
    due = floor + GAP if claim.counters_erased else floor
    if dev_nonce < due:
        raise NvmDamaged(
            f"the board's DevNonce is {dev_nonce}, wanted {due} or more, because a DevNonce must never repeat, and its "
            "firmware has no command that brings it up; quarantine this identity and give the board a new label"
        )
    ledger.note_nonce(assignment.dev_eui, dev_nonce, run)
    return CounterCheck(dev_nonce, dev_nonce - floor)


def _after_repair(claim: Claim) -> bool:
    """Whether the board has not passed since `ledger rebind`; later a DevNonce behind the ledger's is damage."""
    return claim.retired > 0 and claim.proven is None


def _raise(programmer: Programmer, shell: Shell, memory: MemoryMap, dev_nonce: int, floor: int) -> endnode.Counters:
    """Let the firmware store one DevNonce after the other up to ``floor``; returns the counters as the region has them.

    The region itself is never written by us: how its records follow each other is the firmware's own affair.
    """
    if floor - dev_nonce > MAX_RAISE:
        raise NvmDamaged(
            f"the board's DevNonce is {dev_nonce}, what it continues had reached {floor}, and the shell brings "
            f"it up by {MAX_RAISE} at most; quarantine this identity and give the board a new label"
        )
    for _ in range(floor - dev_nonce):
        _number(shell, "NONCE+", "dev_nonce")
    return read_counters(programmer, memory)


def _number(shell: Shell, command: str, key: str) -> int:
    text = shell.value(command, key)
    try:
        return int(text)
    except ValueError:
        pass
    raise ShellError(f"the board's answer to {command} has {key}={text[:20]!r}, wanted a number; repeat once")
