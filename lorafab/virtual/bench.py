"""How long a flash takes: simulated time of a session on a virtual board, beside what the silicon alone needs.

Deterministic: the same image, board and SWD clock give the same figures on every computer. A session is all of it, from
the first packet of the connection to the last one: connect, image, and on a virgin board an identity block in a page of
its own. Two floors stand beside it, data sheet times (``Chip.flash_times``) for the pages and units that really have to
change, and nothing else, neither wire nor probe nor core: by single units, and by fast rows where the part has them.

The ways of pyOCD are those of its own loader; how the line does it is handed in, because it lies above this layer.
"""

import os
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lorafab.virtual import chips, cost, registry
from lorafab.virtual.board import Board
from lorafab.virtual.boardfile import PROGRAM_LIMIT, StoreFile
from lorafab.virtual.chip import Chip

PYOCD_WAYS: dict[str, dict[str, Any]] = {
    "sector": {"chip_erase": "sector", "smart_flash": False},
    "chip": {"chip_erase": "chip", "smart_flash": False},
    "smart": {"chip_erase": "sector", "smart_flash": True, "trust_crc": False},
    "trust_crc": {"chip_erase": "sector", "smart_flash": True, "trust_crc": True},
}
"""Arguments of pyOCD's loader by the names of its options; ``sector`` and ``chip`` write all that they are given."""
CASES = ("virgin", "identical", "one-page", "ten-percent")
"""What is on the board before: nothing; all of it; all but the page in the middle; all but every tenth page."""
BLOCK_BYTES = 96
_ROW_UNITS = 32  # RM0453 section 3.3.8: double words of a fast row
_SITE = "bench"

Contents = Sequence[tuple[int, bytes]]
"""Addresses and what shall be there."""
Flash = Callable[[str, int, Chip, Contents], None]
"""Connects through a probe (its id) with an SWD clock (kHz), writes the contents, and lets go."""


@dataclass(frozen=True)
class Result:
    """One session; times in simulated ms, ``words`` in programming units of the flash."""

    board: str
    swd_khz: int
    case: str
    way: str
    simulated_ms: float
    floor_ms: float
    row_floor_ms: float
    """As ``floor_ms``, with fast rows where the part has them."""
    transfers: int
    packets: int
    waits: int
    erases: int
    words: int
    verified: bool

    def to_json(self) -> dict[str, object]:
        """As a JSON object; the ratios are None where nothing has to change."""
        ratios = {"ratio": _ratio(self.simulated_ms, self.floor_ms)}
        ratios["row_ratio"] = _ratio(self.simulated_ms, self.row_floor_ms)
        return asdict(self) | ratios


def _ratio(time: float, floor: float) -> float | None:
    return time / floor if floor else None


def random_image(size: int) -> bytes:
    """The bench's image: reproducible noise of ``size`` bytes."""
    return random.Random(size).randbytes(size)  # noqa: S311 - noise for a flash, not a secret


def chip_of(name: str) -> Chip:
    """The profile of a board, in a state in which it can be flashed: a new nRF52840 comes locked, an older one open."""
    if name == "nrf52":
        from lorafab.virtual.chips.nrf52 import with_build_code

        return with_build_code("C0")
    return chips.named(name)


def identity_page(chip: Chip, size: int) -> int:
    """Address of the page behind an image of ``size`` bytes, where the identity block goes."""
    page = chip.flash_times.page
    return chip.flash_base + -(-size // page) * page


def largest_image(chip: Chip) -> int:
    """Bytes that fit before the identity page and a page that is kept."""
    return chip.flash_size - 2 * chip.flash_times.page


def _stale_pages(case: str, chip: Chip, size: int) -> list[int]:
    """Numbers of the image's pages that differ from what is on the board."""
    count = -(-size // chip.flash_times.page)
    if case == "identical":
        return []
    return [count // 2] if case == "one-page" else list(range(count // 2 % 10, count, 10))


def floor_ns(chip: Chip, case: str, size: int, rows: bool = False) -> int:
    """Erase and program times of what has to change; ``rows``: with fast rows where the part has them."""
    times = chip.flash_times
    if case == "virgin":
        pieces, erases = [size, BLOCK_BYTES], 0
    else:
        stale = _stale_pages(case, chip, size)
        pieces, erases = [min(times.page, size - page * times.page) for page in stale], len(stale)
    settings = next((at.settings for at in chip.parts if at.name == "flash"), {})
    fast_ns = settings.get("fast_ns") if rows else None
    total = erases * times.erase_ns
    for piece in pieces:
        units = -(-piece // times.unit)
        fast = units // _ROW_UNITS * _ROW_UNITS if isinstance(fast_ns, int) else 0
        total += (units - fast) * times.program_ns
        total += fast * fast_ns if isinstance(fast_ns, int) else 0
    return total


def measure(name: str, swd_khz: int, case: str, image: bytes, way: str, flash: Flash) -> Result:
    """One session on a board that holds what ``case`` says; judged by what is in the flash afterwards."""
    chip = chip_of(name)
    identity = (identity_page(chip, len(image)), random_image(BLOCK_BYTES))
    contents = [(chip.flash_base, image)] + ([identity] if case == "virgin" else [])
    with tempfile.TemporaryDirectory(prefix="lorafab-bench-") as folder:
        path = Path(folder) / "b.board"
        if case != "virgin":
            _prepare(path, chip, case, [(chip.flash_base, image), identity])
        board = Board.open(path, chip=chip)
        registry.attach(_SITE, board)
        try:
            board.power(True)
            store = board.silicon.file.stores["flash"]
            flash(f"lorafab:{_SITE}", swd_khz, chip, contents)
            counters, taken_ns = board.counters, board.debugged_to_ns - board.debugged_from_ns
            due = [*contents, identity] if way != "chip" else contents
            verified = all(store.read(at - chip.flash_base, len(data)) == data for at, data in due)
            return Result(
                board=name, swd_khz=swd_khz, case=case, way=way, simulated_ms=taken_ns / 1e6,
                floor_ms=floor_ns(chip, case, len(image)) / 1e6,
                row_floor_ms=floor_ns(chip, case, len(image), rows=True) / 1e6,
                transfers=counters.transfers, packets=counters.packets, waits=counters.waits, erases=store.erases,
                words=store.programmed // chip.flash_times.unit, verified=verified,
            )  # fmt: skip
        finally:
            registry.detach(_SITE)
            board.close()


def _prepare(path: Path, chip: Chip, case: str, contents: Contents) -> None:
    """Write what an earlier session left into the board's file; other bytes than the image's on the stale pages."""
    board = Board.open(path, chip=chip)
    try:
        store, page = board.silicon.file.stores["flash"], chip.flash_times.page
        for address, data in contents:
            _put(store, address - chip.flash_base, data)
        (_, image), _ = contents
        for number in _stale_pages(case, chip, len(image)):
            _put(store, number * page, bytes(byte ^ 0x55 for byte in image[number * page :][:page]))
    finally:
        board.close()


def _put(store: StoreFile, offset: int, data: bytes) -> None:
    for at in range(0, len(data), PROGRAM_LIMIT):
        store.begin_program(offset + at, data[at : at + PROGRAM_LIMIT])
        store.finish()


def pyocd_way(way: str) -> Flash:
    """Flash as ``pyocd load`` does, with one of PYOCD_WAYS."""

    def flash(probe_id: str, swd_khz: int, chip: Chip, contents: Contents) -> None:
        from pyocd.core.session import Session
        from pyocd.flash.loader import FlashLoader

        from lorafab.virtual.probe import VirtualProbe

        options = {
            "target_override": chip.target, "frequency": swd_khz * 1000, "connect_mode": "halt", "no_config": True,
            "user_script": os.devnull, "hide_programming_progress": True, "reset.post_delay": 0.0,
        }  # fmt: skip
        with Session(VirtualProbe(probe_id.partition(":")[2]), options=options) as session:
            loader = FlashLoader(session, keep_unwritten=False, **PYOCD_WAYS[way])
            for address, data in contents:
                loader.add_data(address, data)
            loader.commit()

    return flash


def table(results: list[Result]) -> str:
    """For people: one line a session; the ratio by rows stands in parentheses where it is another."""
    head = (
        "board   SWD MHz  case         way        simulated ms  floor ms  ratio  (by rows)  transfers  packets"
        "  erases   words"
    )
    lines = [head, "-" * len(head)]
    for one in results:
        lines.append(
            f"{one.board:7} {one.swd_khz / 1000:7g}  {one.case:11}  {one.way:9} {one.simulated_ms:13.1f}"
            f" {one.floor_ms:9.1f} {_shown(_ratio(one.simulated_ms, one.floor_ms)):>6}"
            f" {_by_rows(one):>10} {one.transfers:10} {one.packets:8} {one.erases:7} {one.words:7}"
            + ("" if one.verified else "  NOT VERIFIED")
        )
    return "\n".join(lines)


def _shown(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.3f}"


def _by_rows(one: Result) -> str:
    if one.row_floor_ms == one.floor_ms:
        return ""
    return f"({_shown(_ratio(one.simulated_ms, one.row_floor_ms))})"


def model(names: Sequence[str]) -> dict[str, str]:
    """Digest of the cost model by board; figures of other digests cannot be compared."""
    return {name: cost.digest(chip_of(name)) for name in names}
