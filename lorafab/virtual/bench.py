"""How long a flash takes: simulated time of real pyOCD on a virtual board, beside what the silicon alone needs.

Deterministic: the same image, board and SWD clock give the same figures on every computer. The floor is erase and
program times of the data sheet (``Chip.flash_times``) for the pages and units that hold the image, and nothing else:
no wire, no probe, no core.
"""

import os
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lorafab.virtual import chips, cost, registry
from lorafab.virtual.board import Board
from lorafab.virtual.chip import Chip

WAYS = ("sector", "chip")
_SITE = "bench"


@dataclass(frozen=True)
class Result:
    """One image flashed once; times in simulated ms, ``words`` in programming units of the flash."""

    board: str
    swd_khz: int
    erase: str
    simulated_ms: float
    floor_ms: float
    transfers: int
    packets: int
    waits: int
    erases: int
    words: int
    verified: bool

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        return asdict(self)


def random_image(size: int) -> bytes:
    """The bench's image: reproducible noise of ``size`` bytes."""
    return random.Random(size).randbytes(size)  # noqa: S311 - noise for a flash, not a secret


def floor_ns(chip: Chip, size: int, erase: str) -> int:
    """Erase and program times for ``size`` bytes from the start of the flash."""
    times = chip.flash_times
    pages, units = -(-size // times.page), -(-size // times.unit)
    all_pages = chip.flash_size // times.page
    if erase == "chip":
        erasing = all_pages * times.erase_ns if times.mass_ns is None else times.mass_ns
    else:
        erasing = pages * times.erase_ns
    return erasing + units * times.program_ns


def flash(name: str, swd_khz: int, erase: str, image: bytes) -> Result:
    """Flash ``image`` to the start of a new board's flash, ``erase`` being one of WAYS; read back by the debug port."""
    from pyocd.core.session import Session
    from pyocd.flash.loader import FlashLoader

    from lorafab.virtual.probe import VirtualProbe

    chip = chips.named(name)
    with tempfile.TemporaryDirectory(prefix="lorafab-bench-") as folder:
        board = Board.open(Path(folder) / "b.board", chip=chip)
        registry.attach(_SITE, board)
        try:
            board.power(True)
            options = {
                "target_override": chip.target, "frequency": swd_khz * 1000, "connect_mode": "halt", "no_config": True,
                "user_script": os.devnull, "hide_programming_progress": True, "reset.post_delay": 0.0,
            }  # fmt: skip
            probe = VirtualProbe(_SITE)
            with Session(probe, options=options) as session:
                store = board.silicon.file.stores["flash"]
                started, before = board.clock.now_ns, dict(vars(probe.dap.counters))
                erases, programmed = store.erases, store.programmed
                loader = FlashLoader(session, chip_erase=erase, smart_flash=False, keep_unwritten=False)
                loader.add_data(chip.flash_base, image)
                loader.commit()
                ended, after = board.clock.now_ns, dict(vars(probe.dap.counters))
                target = session.target
                assert target is not None  # an open session has one
                read_back = bytes(target.read_memory_block8(chip.flash_base, len(image)))
            return Result(
                board=name,
                swd_khz=swd_khz,
                erase=erase,
                simulated_ms=(ended - started) / 1e6,
                floor_ms=floor_ns(chip, len(image), erase) / 1e6,
                transfers=after["transfers"] - before["transfers"],
                packets=after["packets"] - before["packets"],
                waits=after["waits"] - before["waits"],
                erases=store.erases - erases,
                words=(store.programmed - programmed) // chip.flash_times.unit,
                verified=read_back == image,
            )
        finally:
            registry.detach(_SITE)
            board.close()


def table(results: list[Result]) -> str:
    """For people: one line a result, ratio of simulated time to floor included."""
    head = "board   SWD MHz  erase   simulated ms   floor ms  ratio  transfers  packets  erases   words"
    lines = [head, "-" * len(head)]
    for one in results:
        lines.append(
            f"{one.board:7} {one.swd_khz / 1000:7g}  {one.erase:6} {one.simulated_ms:13.1f} {one.floor_ms:10.1f}"
            f" {one.simulated_ms / one.floor_ms:6.3f} {one.transfers:10} {one.packets:8} {one.erases:7} {one.words:7}"
            + ("" if one.verified else "  NOT VERIFIED")
        )
    return "\n".join(lines)


def model(names: Sequence[str]) -> dict[str, str]:
    """Digest of the cost model by board; figures of other digests cannot be compared."""
    return {name: cost.digest(chips.named(name)) for name in names}
