"""Reads the code in a picture of a label. The door to pyzbar, zxing-cpp, and Pillow as far as pictures are read.

Two readers, because each reads pictures that the other does not: zbar (where the system has libzbar0) looks first,
zxing-cpp looks again, also at the doubled picture. From zxing-cpp only QRCodeModel2 is taken: its ``QRCode`` includes
Micro QR, and noise was once read as a Micro QR "391513" that came before the true label. What is read must be a
label by its grammar, and the only one in the picture.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, Final

from lorafab.domain.label import parse_label
from lorafab.errors import LabelRefused, ScanError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PIXELS: Final = 40_000_000
MAX_BYTES: Final = 64 << 20
_RETRY_PIXELS: Final = 4_000_000
"""Only smaller pictures are doubled: in large ones the symbol has pixels enough, and the time would show."""

_PACKAGES: Final = {"zbar": "libzbar0", "zxing-cpp": "zxing-cpp"}
"""What has to be installed for each reader."""

_Read = Callable[["Picture"], list[str]]


@dataclass(frozen=True)
class Decoded:
    """A label's text as printed, and the reader that read it."""

    text: str
    reader: str


class LabelReader:
    """Finds the one label in a picture; loads the reader libraries at the first use."""

    def decode(self, picture: bytes) -> Decoded:
        """Read a PNG or JPEG picture. Raises ScanError when there is not exactly one label that can be read.

        When there are codes, but none is a label, raises LabelRefused with the reason why.
        """
        grey = _open(picture)
        refused: LabelRefused | None = None
        for reader, texts in self._attempts(grey):
            labels, why = _labels(texts)
            if len(labels) > 1:
                raise ScanError(
                    f"the picture shows {len(labels)} different labels, wanted the one of this board; "
                    "cover or remove the others and scan again"
                )
            if labels:
                return Decoded(labels[0], reader + self._missing)
            refused = refused or why
        if refused is not None:
            raise refused
        raise ScanError(
            "no code can be read in the picture of the label; clean the label and the lens and scan again, "
            "or give the printed text with --label"
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Readers that work on this computer, in the order of their turns."""
        return tuple(name for name, _ in self._readers)

    @property
    def _missing(self) -> str:
        """Said with every label: only one of the two readers looks."""
        missing = [package for name, package in _PACKAGES.items() if name not in self.names]
        return f" ({missing[0]} is missing)" if missing else ""

    def _attempts(self, grey: "Picture") -> Iterator[tuple[str, list[str]]]:
        for name, read in self._readers:
            yield name, read(grey)
        if grey.width * grey.height <= _RETRY_PIXELS:
            twice = _doubled(grey)
            for name, read in reversed(self._readers):  # zxing-cpp first: it gains the most from the doubling
                yield name, read(twice)

    @cached_property
    def _readers(self) -> list[tuple[str, _Read]]:
        found = [(name, read) for name, load in (("zbar", _load_zbar), ("zxing-cpp", _load_zxing)) if (read := load())]
        if not found:
            raise ScanError(
                "no label reader is installed, wanted zxing-cpp or libzbar0; run `pip install zxing-cpp`, "
                "or give the label's text with --label"
            )
        return found


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


def _doubled(grey: "Picture") -> "Picture":
    from PIL import Image

    return grey.resize((grey.width * 2, grey.height * 2), Image.Resampling.BICUBIC)


def _labels(texts: list[str]) -> tuple[list[str], LabelRefused | None]:
    """Keep one printed text for each label, and the first reason for a text that is none."""
    found: dict[str, str] = {}
    why: LabelRefused | None = None
    for text in texts:
        try:
            found.setdefault(parse_label(text).text, text)
        except LabelRefused as error:
            why = why or error
    return list(found.values()), why


def _load_zbar() -> _Read | None:
    try:
        from pyzbar import pyzbar
    except (ImportError, OSError, AttributeError):  # no libzbar0, or one that lacks a function
        return None
    symbols = [pyzbar.ZBarSymbol.QRCODE]

    def read(grey: "Picture") -> list[str]:
        # Labels are ASCII. zbar guesses encodings and may turn other bytes into Shift JIS: what is not ASCII is shown
        # byte by byte, and refused by the label's grammar.
        return [symbol.data.decode("latin-1") for symbol in pyzbar.decode(grey, symbols=symbols)]

    return read


def _load_zxing() -> _Read | None:
    try:
        import zxingcpp
    except ImportError:
        return None
    formats = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCodeModel2])

    def read(grey: "Picture") -> list[str]:
        # The bytes and not `.text`, which spells a control character out as "<NUL>".
        return [symbol.bytes.decode("latin-1") for symbol in zxingcpp.read_barcodes(grey, formats=formats)]

    return read
