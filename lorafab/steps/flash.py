"""Image and identity go down in one flash session, and are read back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lorafab.domain import identity_block
from lorafab.domain.flash_plan import MemoryMap, plan_flash
from lorafab.domain.memory_map import Segment
from lorafab.errors import NvmDamaged, VerifyFailed
from lorafab.interfaces import Programmer
from lorafab.steps.identity import Assignment
from lorafab.steps.memory import read_torn


@dataclass(frozen=True)
class Written:
    """What the session did."""

    image_bytes: int
    bytes_verified: int
    """Bytes that were read back and found as sent: image, padding to whole words, and a new identity block."""


def write_board(
    programmer: Programmer,
    memory: MemoryMap,
    image: Sequence[Segment],
    assignment: Assignment,
    about_to_write: Callable[[], object],
) -> Written:
    """Program the image, and the identity block where it is new, then compare every byte.

    ``about_to_write`` is called before the first change of the board. The NVM region is read before and after: it
    must be the same. Raises VerifyFailed, NvmDamaged, FlashRefused, ProbeError.
    """
    block = identity_block.encode(assignment.to_write) if assignment.to_write else None
    plan = plan_flash(memory, image, block)
    before = read_torn(programmer, memory.nvm, memory.word_size)
    about_to_write()
    programmer.program(plan.erase, plan.program)
    verified = sum(_verify(programmer, segment) for segment in plan.program)
    if read_torn(programmer, memory.nvm, memory.word_size) != before:
        raise NvmDamaged(
            f"the NVM region ({memory.nvm}) changed while the image was written, and its counters must survive; "
            "set this board aside"
        )
    return Written(sum(len(segment.data) for segment in image), verified)


def _verify(programmer: Programmer, segment: Segment) -> int:
    # pyOCD reports success on stuck bits: comparing is ours.
    found = programmer.read(segment.span)
    wrong = [offset for offset, (a, b) in enumerate(zip(found, segment.data, strict=True)) if a != b]
    if wrong:
        raise VerifyFailed(segment.address + wrong[0], len(wrong))
    return len(found)
