"""Reads the code in a picture of a label. The door to pyzbar, zxing-cpp, and Pillow as far as pictures are opened.

Two readers that share no code look at every picture: zbar at QR symbols (where the system has libzbar0), zxing-cpp at
QR and Data Matrix. One of them suffices, because each reads pictures that the other does not; where both read, they
must read the same, or the picture is refused: one of the two texts is wrong, and nobody knows which. Only when neither
finds a label is the picture worked on and looked at again (label_picture_filters).

What is read must be a label by its grammar, and the only one in the picture. That wall is thinner for a label without
a checksum: then only the symbol's own error correction stands behind it. The quirks of the readers:

- zxing-cpp: its ``QRCode`` includes Micro QR, and noise was once read as a Micro QR "391513" that came before the true
  label; only ``QRCodeModel2`` is asked for. ``.bytes`` is used, because ``.text`` spells controls out as "<NUL>".
- zbar guesses encodings, and may turn bytes beyond ASCII into others. Labels are ASCII; what is not is shown byte by
  byte, and refused by the label's grammar.
- zbar reads no symbols in white on black; zxing-cpp does.
- zbar puts symbols of a text in several parts (structured append, ISO/IEC 18004, 8) together, which pyzbar 0.1.9 cannot
  report; zxing-cpp gives each part as a text, and the first may be a whole label without its serial. Such a picture is
  refused. Where libzbar0 is missing that cannot be seen.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, Final, Literal

from lorafab.domain.label import parse_label
from lorafab.drivers.label_picture_filters import TREATED
from lorafab.errors import LabelRefused, ScanError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PIXELS: Final = 40_000_000
MAX_BYTES: Final = 64 << 20

_PACKAGES: Final = {"zbar": "libzbar0", "zxing-cpp": "zxing-cpp"}
"""What has to be installed for each reader."""

Symbology = Literal["qr", "datamatrix"]


@dataclass(frozen=True)
class Decoded:
    """A label's text as printed, and who read it: the readers, and what had been done to the picture before."""

    text: str
    reader: str


@dataclass(frozen=True)
class Symbol:
    """A code that a reader found: its text, byte by byte, and the box around it in pixels of the picture it saw."""

    text: str
    box: tuple[float, float, float, float]
    """Left, top, right, bottom."""


_Read = Callable[["Picture"], list[Symbol]]


class LabelReader:
    """Finds the one label in a picture; loads the reader libraries at the first use.

    ``symbologies`` are the kinds of symbols that are looked for; others are not seen. ``accept`` says which labels are
    meant: it parses a text, and raises LabelRefused for one that is no label, or none of this lot. Texts for which it
    returns equal values are the same label.
    """

    def __init__(
        self, symbologies: Sequence[Symbology] = ("qr", "datamatrix"), accept: Callable[[str], object] = parse_label
    ) -> None:
        self._symbologies, self._accept = tuple(symbologies), accept

    def decode(self, picture: bytes) -> Decoded:
        """Read a PNG or JPEG picture. Raises ScanError when there is not exactly one label that can be read.

        When there are codes and ``accept`` takes none of them, raises the refusal that says the most: that of a label
        of another lot, then of a damaged label, then of anything else.
        """
        grey = _open(picture)
        refused: list[tuple[int, LabelRefused]] = []
        for treatment, seen in self._looks(grey):
            labels = _agreed(seen)
            if len(labels) > 1:
                raise ScanError(
                    f"the picture shows {len(labels)} different labels, wanted the one of this board; "
                    "cover or remove the others and scan again"
                )
            if labels:
                text, label = labels[0].symbol.text, labels[0].label
                readers = " and ".join(dict.fromkeys(one.reader for one in seen if one.label == label))
                return Decoded(text, readers + treatment + self._missing)
            refused += [(_helpfulness(one.symbol.text), one.refusal) for one in seen if one.refusal is not None]
        if refused:
            raise max(refused, key=lambda one: one[0])[1]
        raise ScanError(
            "no code can be read in the picture of the label; clean the label and the lens and scan again, "
            "or give the printed text with --label"
        )

    def _looks(self, grey: "Picture") -> Iterator[tuple[str, list["_Sighting"]]]:
        """Let all readers look at the picture as it is, and the last one at what can be made of it; judge each text.

        Treated pictures are not for zbar: it reads next to none that zxing-cpp does not, and takes longer.
        """
        yield "", [_judged(name, symbol, self._accept) for name, read in self._readers for symbol in read(grey)]
        name, read = self._readers[-1]
        for attempt in TREATED:
            if grey.width * grey.height <= attempt.max_pixels:
                symbols = read(attempt.prepare(grey))
                yield attempt.suffix, [_judged(name, symbol, self._accept) for symbol in symbols]

    @property
    def names(self) -> tuple[str, ...]:
        """Readers that work on this computer, in the order of their turns."""
        return tuple(name for name, _ in self._readers)

    @property
    def _missing(self) -> str:
        """Said with every label: only one of the two readers looks."""
        missing = [_PACKAGES[name] for name in self._wanted if name not in self.names]
        return f" ({missing[0]} is missing)" if missing else ""

    @property
    def _wanted(self) -> tuple[str, ...]:
        return ("zbar", "zxing-cpp") if "qr" in self._symbologies else ("zxing-cpp",)

    @cached_property
    def _readers(self) -> list[tuple[str, _Read]]:
        loaders: dict[str, Callable[[], _Read | None]] = {
            "zbar": _load_zbar,
            "zxing-cpp": lambda: _load_zxing(self._symbologies),
        }
        found = [(name, read) for name in self._wanted if (read := loaders[name]()) is not None]
        if not found:
            raise ScanError(
                "no label reader is installed, wanted zxing-cpp or libzbar0; run `pip install zxing-cpp`, "
                "or give the label's text with --label"
            )
        return found


# --- what the readers say ---


@dataclass(frozen=True)
class _Sighting:
    """What one reader says of one symbol: which label it is, or why it is none."""

    reader: str
    symbol: Symbol
    label: object
    refusal: LabelRefused | None


def _judged(reader: str, symbol: Symbol, accept: Callable[[str], object]) -> _Sighting:
    try:
        label = accept(symbol.text)
    except LabelRefused as refusal:
        return _Sighting(reader, symbol, None, refusal)
    # A function that only checks returns None, which must not make all labels one.
    return _Sighting(reader, symbol, symbol.text if label is None else label, None)


def _agreed(seen: list[_Sighting]) -> list[_Sighting]:
    """Give one sighting for each label. Raises ScanError when two readers contradict each other."""
    taken = [one for one in seen if one.refusal is None]
    if any(_contradict(one, other) for one in taken for other in seen):
        raise _disagreement()
    different: list[_Sighting] = []
    for one in taken:
        if all(one.label != other.label for other in different):
            different.append(one)
    by_reader = [[one.label for one in taken if one.reader == reader] for reader in {one.reader for one in taken}]
    # A reader that misses one of two labels does not contradict the one that sees both.
    if len(different) > 1 and not any(all(one.label in labels for one in different) for labels in by_reader):
        raise _disagreement()
    return different


def _contradict(one: _Sighting, other: _Sighting) -> bool:
    """Whether two readers read one symbol, that is one place, as different things."""
    return one.reader != other.reader and one.label != other.label and _overlap(one.symbol, other.symbol)


def _overlap(one: Symbol, other: Symbol) -> bool:
    """Whether the middle of each box lies in the other box: neighbours on a sticker never do."""

    def middle_in(inner: Symbol, outer: Symbol) -> bool:
        (left, top, right, bottom), (x0, y0, x1, y1) = outer.box, inner.box
        return left <= (x0 + x1) / 2 <= right and top <= (y0 + y1) / 2 <= bottom

    return middle_in(one, other) and middle_in(other, one)


def _disagreement() -> ScanError:
    return ScanError(
        "zbar and zxing-cpp read the label in the picture differently, wanted the same from both; clean the label and "
        "the lens, cover other labels and scan again, or give the printed text with --label"
    )


def _helpfulness(text: str) -> int:
    """Rank a refused text: 2 for a label that is not meant, 1 for a damaged label, 0 for any other code."""
    try:
        parse_label(text)
    except LabelRefused:
        return int(text.startswith(("LW:", "URN:")))
    return 2


# --- the picture ---


def _open(picture: bytes) -> "Picture":
    """Decode to grey and upright."""
    from PIL import Image, ImageOps

    if len(picture) > MAX_BYTES:
        raise _unusable(f"has {len(picture)} bytes, at most {MAX_BYTES} are read")
    try:
        # The formats that a record keeps, by name: Pillow knows dozens more, some start programs or are seldom tested.
        with Image.open(BytesIO(picture), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _unusable(f"has {image.width} x {image.height} pixels, at most {MAX_PIXELS} are read")
            image.load()
            return _grey(ImageOps.exif_transpose(image))
    except ScanError:
        raise
    # Damaged pictures make Pillow raise nearly anything, and its decompression bomb error and warning are classes of
    # their own; all mean the same.
    except Exception as error:
        raise _unusable(f"cannot be opened ({type(error).__name__})") from error


def _grey(image: "Picture") -> "Picture":
    from PIL import Image

    if "A" in image.getbands() or "transparency" in image.info:  # printed black on nothing: put it on white
        solid = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", solid.size, "white"), solid).convert("L")
    if image.mode.startswith("I"):  # 16 bit, where convert() alone would clip instead of scale
        return image.convert("I").point(lambda value: value / 256).convert("L")
    return image.convert("L")


def _unusable(what: str) -> ScanError:
    return ScanError(
        f"the picture of the label {what}, wanted a whole PNG or JPEG picture; take it again or give the printed "
        "text with --label"
    )


# --- the libraries ---


def _load_zbar() -> _Read | None:
    try:
        from pyzbar import pyzbar
    except (ImportError, OSError, AttributeError):  # no libzbar0, or one that lacks a function
        return None
    symbols = [pyzbar.ZBarSymbol.QRCODE]

    def read(grey: "Picture") -> list[Symbol]:
        try:
            found = pyzbar.decode(grey, symbols=symbols)
        except ValueError:  # the orientation of a text in several symbols, which has none
            raise ScanError(
                "the picture shows a text that is spread over several QR codes (structured append), wanted a label in "
                "one; cover them and scan again, or give the printed text with --label"
            ) from None
        return [
            Symbol(
                one.data.decode("latin-1"),
                (one.rect.left, one.rect.top, one.rect.left + one.rect.width, one.rect.top + one.rect.height),
            )
            for one in found
        ]

    return read


def _load_zxing(symbologies: Sequence[Symbology]) -> _Read | None:
    try:
        import zxingcpp
    except ImportError:
        return None
    known = {"qr": zxingcpp.BarcodeFormat.QRCodeModel2, "datamatrix": zxingcpp.BarcodeFormat.DataMatrix}
    formats = zxingcpp.BarcodeFormats([known[symbology] for symbology in symbologies])

    def read(grey: "Picture") -> list[Symbol]:
        return [
            Symbol(one.bytes.decode("latin-1"), _box(one.position))
            for one in zxingcpp.read_barcodes(grey, formats=formats)
        ]

    def _box(position: zxingcpp.Position) -> tuple[float, float, float, float]:
        corners = (position.top_left, position.top_right, position.bottom_right, position.bottom_left)
        across, down = [corner.x for corner in corners], [corner.y for corner in corners]
        return min(across), min(down), max(across), max(down)

    return read
