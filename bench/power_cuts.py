"""Power lost at every double word of a 4 KiB program, through the real driver and the real flash algorithm.

    python -m bench.power_cuts [--every N]

Each run takes a new board and cuts its power in the middle of one double word. Afterwards the board file must hold
exactly what was programmed before it; the torn word must fault; and programming again must repair it.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from lorafab.domain.memory_map import Segment, Span
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.errors import LorafabError
from lorafab.virtual import registry
from lorafab.virtual.board import Board
from lorafab.virtual.boardfile import State
from lorafab.virtual.faults import FaultPlan

START, SIZE, WORD = 0x0800_8000, 4096, 8
IMAGE = random.Random(3).randbytes(SIZE)
SPAN = Span(START, SIZE)


def cut_at(number: int, folder: Path) -> str | None:
    """Cut the power in double word ``number`` (from 0); what is wrong afterwards, or None."""
    board = Board.open(folder / f"{number}.board", faults=FaultPlan.parse(f"power_cut@word:{number + 1}"))
    registry.attach("jig0", board)
    programmer = PyocdProgrammer("lorafab:jig0", "stm32wle5jc", 4000)
    try:
        return _cut_and_repair(number, board, programmer)
    finally:
        programmer.close()
        registry.detach("jig0")
        board.close()
        board.path.unlink()


def _cut_and_repair(number: int, board: Board, programmer: PyocdProgrammer) -> str | None:
    board.power(True)
    programmer.connect()
    try:
        programmer.program([SPAN], [Segment(START, IMAGE)])
    except LorafabError:
        pass
    else:
        return "the power cut went unnoticed"
    programmer.close()
    wrong = _is_prefix(number, board)
    if wrong is not None:
        return wrong
    board.power(True)
    programmer.connect()
    torn = START + number * WORD
    try:
        programmer.read(Span(torn, WORD))
    except LorafabError:
        pass
    else:
        return "the torn word could be read"
    if number and programmer.read(Span(START, number * WORD)) != IMAGE[: number * WORD]:
        return "what was programmed before cannot be read"
    programmer.program([SPAN], [Segment(START, IMAGE)])
    return None if programmer.read(SPAN) == IMAGE else "programming again did not repair it"


def _is_prefix(number: int, board: Board) -> str | None:
    flash = board.silicon.file.stores["flash"]
    offset = START - board.chip.flash_base
    cells = flash.states()[offset // WORD : (offset + SIZE) // WORD]
    wanted = bytes([State.PROGRAMMED]) * number + bytes([State.BAD]) + bytes(SIZE // WORD - number - 1)
    if cells != wanted:
        return f"the states of the cells are not {number} programmed, one torn, the rest erased"
    if flash.read(offset, number * WORD) != IMAGE[: number * WORD]:
        return "the words before are not those of the image"
    rest = flash.read(offset + (number + 1) * WORD, SIZE - (number + 1) * WORD)
    return None if rest == b"\xff" * len(rest) else "a word behind the torn one is not erased"


def main() -> int:
    """Run the cuts, print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth double word")
    every = parser.parse_args().every
    results: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="lorafab-cuts-") as folder:
        for number in range(0, SIZE // WORD, every):
            wrong = cut_at(number, Path(folder))
            results[wrong or "exact prefix, torn word faults, repaired"] += 1
            if wrong is not None:
                print(f"double word {number}: {wrong}")
    for text, count in results.items():
        print(f"{count:4} runs: {text}")
    return 0 if list(results) == ["exact prefix, torn word faults, repaired"] else 1


if __name__ == "__main__":
    sys.exit(main())
