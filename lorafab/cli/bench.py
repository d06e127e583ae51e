"""``lorafab bench``: what the virtual boards can measure."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lorafab.cli.command import noun, verb
from lorafab.errors import StationError, UsageError

if TYPE_CHECKING:
    from lorafab.virtual.bench import Contents
    from lorafab.virtual.chip import Chip

_MAX_KHZ: Final = 100_000
"""No probe's SWD clock is faster."""
_BOARDS: Final = ("wle5", "l072", "nrf52")
_LINE: Final = "lorafab"
_CASES: Final = ("virgin", "identical", "one-page", "ten-percent")
_WAYS: Final = (_LINE, "sector", "chip", "smart", "trust_crc")


def add(nouns: Any) -> None:
    """Declare the commands."""
    bench = noun(nouns, "bench", "what the virtual boards can measure")
    flash = verb(bench, "flash", _bench_flash, "flash virtual boards, ours beside pyOCD's load; times are simulated")
    flash.add_argument("--board", action="append", metavar="NAME", help="virtual board (default: wle5, l072 and nrf52)")
    flash.add_argument("--khz", action="append", type=int, metavar="N", help="SWD clock (default: 4000)")
    flash.add_argument("--case", action="append", choices=_CASES, help="what is on the board before (default: all)")
    flash.add_argument("--way", action="append", choices=_WAYS, help="who flashes: ours, or a way of pyOCD's load")
    flash.add_argument("--size", type=int, default=102400, metavar="BYTES", help="random image (default: 102400)")
    flash.add_argument("--image", type=Path, metavar="FILE", help="a binary image instead")
    flash.add_argument("--model", action="store_true", help="show every constant of the cost model, with its source")


def _bench_flash(options: argparse.Namespace) -> object:
    from lorafab.virtual import bench, cost

    names = options.board or _BOARDS
    given = options.image.read_bytes() if options.image else None
    length = options.size if given is None else len(given)
    for name in names:
        size = bench.largest_image(bench.chip_of(name))
        if not 0 < length <= size:
            raise UsageError(f"an image of {length} bytes was given, {name} takes 1 to {size}; choose another size")
    image = bench.random_image(length) if given is None else given
    clocks = options.khz or [4000]
    for khz in clocks:
        if not 1 <= khz <= _MAX_KHZ:
            raise UsageError(f"an SWD clock of {khz} kHz was given, wanted 1 to {_MAX_KHZ}; correct it")
    results = [
        bench.measure(name, khz, case, image, way, _flash if way == _LINE else bench.pyocd_way(way))
        for name in names
        for khz in clocks
        for case in options.case or _CASES
        for way in options.way or _WAYS
    ]
    for one in results:
        if not one.verified:
            raise StationError(
                f"what is in the flash of {one.board} ({one.case}, {one.way}, {one.swd_khz} kHz) is not the image, "
                "wanted it as it was sent: its figures mean nothing; correct the board's profile or its parts"
            )
    figures = {name: [vars(one) for one in cost.table(bench.chip_of(name))] for name in names}
    if options.json:
        return {
            "image_bytes": len(image), "model": bench.model(names), "figures": figures,
            "results": [one.to_json() for one in results],
        }  # fmt: skip
    said = [f"{len(image)} bytes and an identity block; times are simulated, from connecting to letting go"]
    said += [f"cost model of {name}: {digest}" for name, digest in bench.model(names).items()]
    if options.model:
        said += [
            f"  {one['name']:32} {one['value']:>12} {one['unit']:10} {one['source']}"
            + ("" if one["verified"] else " (unverified)")
            for name in names
            for one in figures[name]
        ]
    return "\n".join([*said, bench.table(results)])


def _flash(probe_id: str, swd_khz: int, chip: "Chip", contents: "Contents") -> None:
    from lorafab.domain.memory_map import Segment
    from lorafab.run.bench import flash

    flash(probe_id, chip.target, swd_khz, [Segment(address, data) for address, data in contents])
