"""The line's own way to flash a board, for `lorafab bench flash`: the steps and the driver of production."""

from collections.abc import Sequence

from lorafab.domain.memory_map import MemoryMap, Segment, Span
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.steps.flash import write_board
from lorafab.targets import MCUS


def flash(probe_id: str, target: str, swd_khz: int, contents: Sequence[Segment]) -> None:
    """Connect, plan by checksums, write, verify by checksums, read the second segment back (an identity), let go.

    The page behind the image is the identity's, the last one of the flash the LoRaWAN stack's. Raises as `write_board`.
    """
    areas = MCUS[target].areas
    page = areas[0].page_size
    code = Span(areas[0].start, -(-len(contents[0].data) // page) * page)
    memory = MemoryMap(areas, code, Span(areas[0].span.end - page, page), Span(code.end, page))
    programmer = PyocdProgrammer(probe_id, target, swd_khz)
    try:
        programmer.connect()
        write_board(programmer, memory, contents, lambda: None, trusted=True)
        for segment in contents[1:]:
            programmer.read(segment.span)
    finally:
        programmer.close()
