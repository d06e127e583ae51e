"""Image and identity go down in one flash session, and are read back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lorafab.domain.flash_plan import plan_flash
from lorafab.domain.memory_map import MemoryMap, Segment
from lorafab.errors import NvmDamaged, VerifyFailed
from lorafab.interfaces import Programmer
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
    contents: Sequence[Segment],
    about_to_write: Callable[[], object],
) -> Written:
    """Program the image, and the identity block where ``contents`` have a new one, then compare every byte.

    ``about_to_write`` is called before the first change of the board. The NVM region is read before and after: it
    must be the same. Raises VerifyFailed, NvmDamaged, FlashRefused, ProbeError.
    """
    plan = plan_flash(memory, contents)
    before = read_torn(programmer, memory.nvm, memory.flash.word_size)
    about_to_write()
    programmer.program(plan.erase, plan.program)
    verified = sum(_verify(programmer, segment) for segment in plan.program)
    if read_torn(programmer, memory.nvm, memory.flash.word_size) != before:
        raise NvmDamaged(
            f"the NVM region ({memory.nvm}) changed while the image was written, and its counters must survive; "
            "set this board aside"
        )
    return Written(sum(len(segment.data) for segment in contents), verified)


def _verify(programmer: Programmer, segment: Segment) -> int:
    # pyOCD reports success on stuck bits: comparing is ours.
    found = programmer.read(segment.span)
    wrong = [offset for offset, (a, b) in enumerate(zip(found, segment.data, strict=True)) if a != b]
    if wrong:
        raise VerifyFailed(segment.address + wrong[0], len(wrong))
    return len(found)
