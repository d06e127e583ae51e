"""How many damaged label pictures are read, by whom, how fast, and how many wrongly.

python -m bench.label_pictures [--pictures N] [--jobs N] [--only TEXT]   the decode table (default 200 pictures a row)
python -m bench.label_pictures attempts [the same options]               what else a picture could be treated with

Prints Markdown. Pictures come from bench.label_damage and are the same every time; times are processor time on
this computer, from the bytes of the file to the text. ``alone`` is one reader that looks once at the picture as it is.
Wrong is a text that nothing in the picture says.
"""

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from ctypes import byref, c_uint
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import version
from io import BytesIO
from multiprocessing import Pool
from platform import python_version
from random import Random
from typing import Final, TypeVar

import zxingcpp
from PIL import Image, ImageChops, ImageFilter, ImageOps
from pyzbar import pyzbar, zbar_library

from bench.label_damage import ROWS, SYMBOLOGIES, WEB, Symbology, label_text, photograph
from lorafab.drivers.label_reader import LabelReader
from lorafab.errors import LabelRefused, ScanError

_Result = TypeVar("_Result")
_Job = tuple[str, Symbology, int]
_Filter = Callable[[Image.Image], Image.Image]

_FORMATS: Final = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCodeModel2, zxingcpp.BarcodeFormat.DataMatrix])
_COLUMNS: Final = ("pyzbar alone", "zxing-cpp alone", "chosen")


@dataclass
class _Score:
    """One cell of the table."""

    read: int = 0
    wrong: int = 0
    times: list[float] = field(default_factory=list)

    def add(self, truth: str, texts: list[str], seconds: float) -> None:
        self.read += truth in texts
        self.wrong += any(text not in (truth, WEB) for text in texts)
        self.times.append(seconds * 1000)

    def cell(self) -> str:
        return f"{100 * self.read / len(self.times):.1f} · {statistics.median(self.times):.0f} ms" if self.times else ""


def _picture(job: _Job) -> tuple[str, bytes]:
    """Text and file of one picture: the same for a job every time."""
    row, symbology, number = job
    rng = Random(f"{row}/{symbology}/{number}")
    text = label_text(rng)
    picture = photograph(text, symbology, ROWS[row], rng)
    return ("" if ROWS[row].blank else text), picture


def _grey(picture: bytes) -> Image.Image:
    with Image.open(BytesIO(picture)) as image:
        return image.convert("L")


def _zbar(grey: Image.Image) -> list[str]:
    return [one.data.decode("latin-1") for one in pyzbar.decode(grey, symbols=[pyzbar.ZBarSymbol.QRCODE])]


def _zxing(grey: Image.Image, binarizer: zxingcpp.Binarizer = zxingcpp.Binarizer.LocalAverage) -> list[str]:
    found = zxingcpp.read_barcodes(grey, formats=_FORMATS, binarizer=binarizer)
    return [one.bytes.decode("latin-1") for one in found]


@cache
def _reader() -> LabelReader:
    return LabelReader()


def _timed(what: Callable[[], _Result]) -> tuple[_Result, float]:
    started = time.process_time()
    return what(), time.process_time() - started


# --- the decode table ---


def _look(job: _Job) -> tuple[_Job, str, dict[str, tuple[list[str], float]], str]:
    """Read one picture in the three ways; gives also who read it, or why nobody did."""
    truth, picture = _picture(job)
    told = "not read"

    def chosen() -> list[str]:
        nonlocal told
        try:
            found = _reader().decode(picture)
        except (ScanError, LabelRefused) as error:
            if "differently" in str(error):
                told = "refused: the readers disagree"
            return []
        told = found.reader
        return [found.text]

    ways: dict[str, Callable[[], list[str]]] = {
        "pyzbar alone": lambda: _zbar(_grey(picture)),
        "zxing-cpp alone": lambda: _zxing(_grey(picture)),
        "chosen": chosen,
    }
    if job[1] == "datamatrix":
        del ways["pyzbar alone"]  # zbar knows no Data Matrix
    return job, truth, {name: _timed(way) for name, way in ways.items()}, told


def table(jobs: list[_Job], processes: int) -> int:
    """Print the decode table; the exit status is 1 when the chosen pipeline read anything wrongly."""
    scores = {(row, symbology, column): _Score() for row, symbology, _ in jobs for column in _COLUMNS}
    tellings: Counter[tuple[Symbology, str]] = Counter()
    with Pool(processes) as pool:
        for (row, symbology, _), truth, seen, told in pool.imap_unordered(_look, jobs, chunksize=4):
            tellings[symbology, told] += 1
            for column, (texts, seconds) in seen.items():
                scores[row, symbology, column].add(truth, texts, seconds)
    wrong = Counter(
        {column: sum(score.wrong for key, score in scores.items() if key[2] == column) for column in _COLUMNS}
    )
    for symbology in SYMBOLOGIES:
        columns = [column for column in _COLUMNS if symbology == "qr" or column != "pyzbar alone"]
        print(f"\n| {symbology}: % read · median CPU time | {' | '.join(columns)} | wrong |")
        print(f"|---|{'---|' * (len(columns) + 1)}")
        for row in dict.fromkeys(job[0] for job in jobs):
            cells = [scores[row, symbology, column] for column in columns]
            print(f"| {row} | {' | '.join(score.cell() for score in cells)} | {sum(score.wrong for score in cells)} |")
    print("\n| read by | qr | datamatrix |\n|---|---|---|")
    for told in sorted({told for _, told in tellings}):
        print(f"| {told} | {tellings['qr', told]} | {tellings['datamatrix', told]} |")
    print(f"\nWrong reads in {len(jobs)} pictures: {', '.join(f'{name} {count}' for name, count in wrong.items())}.")
    return 1 if wrong["chosen"] else 0


# --- what was tried ---


def _candidates() -> dict[str, _Filter]:
    """Treatments of pictures, the chosen ones and those that were not."""

    def doubled(grey: Image.Image, times: int = 2) -> Image.Image:
        return grey.resize((grey.width * times, grey.height * times), Image.Resampling.BICUBIC)

    def sharp(grey: Image.Image, radius: float = 2, percent: int = 500) -> Image.Image:
        return grey.filter(ImageFilter.UnsharpMask(radius, percent, 0))

    def smooth(grey: Image.Image, radius: float = 1.2) -> Image.Image:
        return grey.filter(ImageFilter.GaussianBlur(radius))

    def halved(grey: Image.Image) -> Image.Image:
        return grey.reduce(2)

    def flat(grey: Image.Image) -> Image.Image:
        return ImageChops.subtract(grey, grey.filter(ImageFilter.BoxBlur(20)), scale=0.25, offset=128)

    def black_or_white(grey: Image.Image) -> Image.Image:
        around = grey.filter(ImageFilter.BoxBlur(12))
        return ImageChops.subtract(grey, around, offset=128).point([0] * 128 + [255] * 128)

    def closed(grey: Image.Image) -> Image.Image:
        return grey.filter(ImageFilter.MinFilter(5)).filter(ImageFilter.MaxFilter(5))

    return {
        "doubled, black or white by surroundings": lambda grey: black_or_white(doubled(smooth(grey, 0.6))),
        "three times as large, sharpened, radius 6, 500 %": lambda grey: sharp(doubled(grey, 3), 6),
        "doubled": doubled,
        "three times as large": partial(doubled, times=3),
        "halved": halved,
        "autocontrast, 1 % cut off": partial(ImageOps.autocontrast, cutoff=1),
        "smoothed σ 1.2": smooth,
        "smoothed σ 1.2, autocontrast": lambda grey: ImageOps.autocontrast(smooth(grey), cutoff=1),
        "doubled, smoothed σ 1.2": lambda grey: smooth(doubled(grey)),
        "median of 3 x 3": lambda grey: grey.filter(ImageFilter.MedianFilter(3)),
        "sharpened, radius 2, 200 %": partial(sharp, percent=200),
        "sharpened, radius 2, 500 %": sharp,
        "sharpened, radius 3, 500 %": partial(sharp, radius=3),
        "sharpened, radius 2, 500 %, doubled": lambda grey: doubled(sharp(grey)),
        "halved, sharpened, radius 2, 500 %": lambda grey: sharp(halved(grey)),
        "smoothed σ 1, sharpened, radius 4, 500 %": lambda grey: sharp(smooth(grey, 1), 4),
        "smoothed σ 1, sharpened, radius 4, 500 %, doubled": lambda grey: doubled(sharp(smooth(grey, 1), 4)),
        "surroundings taken away, contrast x 4": flat,
        "black or white by surroundings": black_or_white,
        "white lines closed, 5 x 5": closed,
    }


def _try_all(job: _Job) -> dict[str, float]:
    """Treatments that made one picture readable that was not so before, each with its milliseconds."""
    truth, picture = _picture(job)
    grey = _grey(picture)
    if truth in _zbar(grey) or truth in _zxing(grey):
        return {}
    readers: dict[str, Callable[[Image.Image], list[str]]] = {"zxing-cpp": _zxing}
    if job[1] == "qr":
        readers["pyzbar"] = _zbar
    for binarizer in (zxingcpp.Binarizer.GlobalHistogram, zxingcpp.Binarizer.FixedThreshold):
        readers[f"zxing-cpp {binarizer.name}"] = partial(_zxing, binarizer=binarizer)
    found = {"": 0.0}
    for treatment, prepare in {"as it is": lambda grey: grey, **_candidates()}.items():
        treated, cost = _timed(partial(prepare, grey))
        for reader, read in readers.items():
            texts, seconds = _timed(partial(read, treated))
            if truth in texts:
                found[f"{treatment} | {reader}"] = (cost + seconds) * 1000
    return found


def attempts(jobs: list[_Job], processes: int) -> int:
    """Print what each treatment adds to pictures in which neither reader finds the label as they are."""
    jobs = [job for job in jobs if not ROWS[job[0]].blank]
    with Pool(processes) as pool:
        results = [found for found in pool.imap_unordered(_try_all, jobs, chunksize=4) if found]
    treatments = {name for found in results for name in found if name}
    count = {name: sum(name in found for found in results) for name in treatments}
    print(f"\n{len(results)} of {len(jobs)} pictures are not read as they are.\n")
    print("| treatment | reader | read | median ms |\n|---|---|---|---|")
    for name in sorted(treatments, key=lambda name: (-count[name], name)):
        print(f"| {name} | {count[name]} | {statistics.median(f[name] for f in results if name in f):.0f} |")
    print("\n| in this order, the best next one | reader | read more |\n|---|---|---|")
    for name, more in _greedy(results, treatments):
        print(f"| {name} | {more} |")
    return 0


def _greedy(results: list[dict[str, float]], treatments: set[str]) -> Iterator[tuple[str, int]]:
    left = results
    while left:
        more = {name: sum(name in found for found in left) for name in sorted(treatments)}
        best = max(more, key=lambda name: more[name])
        if not more[best]:
            return
        yield best, more[best]
        left = [found for found in left if best not in found]


def _versions() -> str:
    library = zbar_library.load()[0]
    parts = [c_uint(), c_uint(), c_uint()]
    library.zbar_version(*(byref(part) for part in parts))
    packages = ", ".join(f"{name} {version(name)}" for name in ("pyzbar", "zxing-cpp", "Pillow", "segno"))
    return f"Python {python_version()}, zbar {'.'.join(str(part.value) for part in parts)}, {packages}"


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench.label_pictures")
    parser.add_argument("what", nargs="?", choices=("table", "attempts"), default="table")
    parser.add_argument("--pictures", type=int, default=200, help="for each row and symbology")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    options = parser.parse_args()
    rows = [row for row in ROWS if options.only in row]
    jobs = [(row, symbology, number) for row in rows for symbology in SYMBOLOGIES for number in range(options.pictures)]
    started = time.monotonic()
    print(
        f"{time.strftime('%Y-%m-%d')}, `{' '.join(['python -m bench.label_pictures', *sys.argv[1:]])}`: {_versions()}."
    )
    status = {"table": table, "attempts": attempts}[options.what](jobs, options.jobs)
    print(f"\n{len(jobs)} pictures in {time.monotonic() - started:.0f} s, {options.jobs} processes.")
    return status


if __name__ == "__main__":
    sys.exit(main())
