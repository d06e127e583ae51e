"""Firmware images: what is to be programmed, what it says of itself, and whether it fits the product.

An image may carry a note, the struct of ``firmware/include/lorafab_image.h`` somewhere in its first 1 KiB::

     0 magic "LFFW"   4 version 16   20 product 16   36 MCU 16      (ASCII, NUL padded)

An image without the note is taken; it is only not protected against the wrong MCU.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lorafab.domain.memory_map import Segment, Span
from lorafab.errors import ImageError

NOTE_MAGIC = b"LFFW"
NOTE_SEARCH_SIZE = 1024  # bytes from the image's first address on: the note lies behind the vector table
_NOTE = struct.Struct("<4s16s16s16s")

# The vector table starts with the initial stack pointer and the reset vector (DDI0403E, ARMv7-M Architecture
# Reference Manual, B1.5.3; the same in ARMv6-M, DDI0419E B1.5.3). Bit 0 of a vector is the Thumb bit.
_VECTORS = struct.Struct("<II")


@dataclass(frozen=True)
class ImageNote:
    """What an image says of itself."""

    version: str
    product: str
    mcu: str


@dataclass(frozen=True)
class Image:
    """Segments in rising order, without overlaps and touching ones joined; ``sha256`` is the source file's."""

    name: str
    sha256: str
    segments: tuple[Segment, ...]
    note: ImageNote | None

    @property
    def version(self) -> str | None:
        """The note's version, None without a note."""
        return self.note.version if self.note else None

    @property
    def size(self) -> int:
        """Bytes to program."""
        return sum(len(segment.data) for segment in self.segments)

    def read(self, span: Span) -> bytes | None:
        """Give the bytes of ``span``, or None where the image does not hold all of them."""
        for segment in self.segments:
            if segment.span.contains(span):
                return segment.data[span.start - segment.address : span.end - segment.address]
        return None


def make_image(name: str, sha256: str, segments: Iterable[Segment]) -> Image:
    """Sort and join segments and read the note. Raises ImageError for overlaps; an empty image is refused later."""
    joined: list[Segment] = []
    for segment in sorted((one for one in segments if one.data), key=lambda one: one.address):
        last = joined[-1] if joined else None
        if last and segment.address < last.span.end:
            raise ImageError(
                f"firmware image {name} gives {segment.span} twice (it overlaps {last.span}), "
                "wanted each address once; build the image again"
            )
        if last and segment.address == last.span.end:
            joined[-1] = Segment(last.address, last.data + segment.data)
        else:
            joined.append(segment)
    return Image(name, sha256, tuple(joined), find_note(joined))


def find_note(segments: Iterable[Segment]) -> ImageNote | None:
    """Look for the note in the first 1 KiB; ``segments`` in rising order. A magic without clean text is no note."""
    first: int | None = None
    for segment in segments:
        first = segment.address if first is None else first
        window = segment.data[: max(0, first + NOTE_SEARCH_SIZE - segment.address)]
        place = window.find(NOTE_MAGIC)
        while place >= 0:
            if note := _read_note(window[place : place + _NOTE.size]):
                return note
            place = window.find(NOTE_MAGIC, place + 1)
    return None


def _read_note(data: bytes) -> ImageNote | None:
    if len(data) < _NOTE.size:
        return None
    texts = [field.rstrip(b"\0") for field in _NOTE.unpack(data)[1:]]
    if not all(text and all(0x20 < byte < 0x7F for byte in text) for text in texts):
        return None
    return ImageNote(*(text.decode("ascii") for text in texts))


def check_image(
    image: Image,
    *,
    flash: Span,
    code: Span,
    reserved: Mapping[str, Span],
    mcu: str,
    ram: Span,
    product: str | None = None,
    version: str | None = None,
) -> None:
    """Hold an image against its product before anything is written.

    ``reserved`` names the spans that no image may touch (identity page, NVM region); ``product`` and ``version``
    are compared with the image's note where both are known. Raises ImageError.
    """
    if not image.segments:
        raise ImageError(
            f"firmware image {image.name} is empty, wanted code for {code}; build it again or name the right file in "
            "product.yaml"
        )
    for segment in image.segments:
        _check_span(image.name, segment.span, flash, code, reserved)
    _check_note(image, mcu, product, version)
    _check_vectors(image, code, ram)


def _check_span(name: str, span: Span, flash: Span, code: Span, reserved: Mapping[str, Span]) -> None:
    if not flash.contains(span):
        raise ImageError(
            f"firmware image {name} holds {span}, but the flash is {flash}; take an image that was linked for this MCU"
        )
    for what, kept in reserved.items():
        if span.overlaps(kept):
            raise ImageError(
                f"firmware image {name} holds {span}, which overlaps the {what} at {kept}; "
                f"link it for the code region {code}"
            )
    if not code.contains(span):
        raise ImageError(
            f"firmware image {name} holds {span}, outside the code region {code}; "
            "link it for that region, or correct `memory: code` in product.yaml"
        )


def _check_note(image: Image, mcu: str, product: str | None, version: str | None) -> None:
    if image.note is None:
        return
    for what, found, wanted in (
        ("MCU", image.note.mcu, mcu),
        ("product", image.note.product, product),
        ("version", image.note.version, version),
    ):
        if wanted is not None and found != wanted:
            raise ImageError(
                f"firmware image {image.name} says {what} {found}, wanted {wanted}; "
                "name the right file and version in product.yaml, or build the image again"
            )


def _check_vectors(image: Image, code: Span, ram: Span) -> None:
    table = image.read(Span(code.start, _VECTORS.size))
    if table is None:
        raise ImageError(
            f"firmware image {image.name} has no vector table at {code.start:#010x}, where the core starts; "
            "link it for the start of the code region"
        )
    stack, reset = _VECTORS.unpack(table)
    if not ram.start < stack <= ram.end or stack % 4:
        raise ImageError(
            f"firmware image {image.name} starts with stack pointer {stack:#010x}, wanted a word address in RAM {ram}; "
            "take an image that was linked for this MCU"
        )
    if not reset & 1 or image.read(Span(reset & ~1, 2)) is None:
        raise ImageError(
            f"firmware image {image.name} has reset vector {reset:#010x}, wanted an odd (Thumb) address of its own "
            "code; take an image that was linked for this MCU"
        )
