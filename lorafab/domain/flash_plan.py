"""What a flash session will erase, program and keep, decided before the probe is touched."""

from collections.abc import Sequence
from dataclasses import dataclass

from lorafab.domain.memory_map import Segment, Span, touched_pages
from lorafab.errors import ImageError


@dataclass(frozen=True)
class MemoryMap:
    """The places of a product in its flash; all spans whole pages."""

    flash: Span
    page_size: int
    word_size: int
    """Bytes that the memory programs at once; segments are padded to it."""
    code: Span
    identity: Span
    nvm: Span


@dataclass(frozen=True)
class FlashPlan:
    """One flash session: these pages are erased, these segments programmed, everything else is kept."""

    erase: tuple[Span, ...]
    program: tuple[Segment, ...]
    keep: tuple[Span, ...]


def plan_flash(memory: MemoryMap, image: Sequence[Segment], block: bytes | None) -> FlashPlan:
    """Plan the image, and the identity block where there is a new one (None: the board keeps the one it has).

    The NVM region is never erased nor programmed here. Raises ImageError when a segment would touch it, or the
    identity page, or lies outside the flash.
    """
    segments = _whole_words(image, memory.word_size)
    for segment in segments:
        _refuse_reserved(segment.span, memory)
    if block is not None:
        segments.append(Segment(memory.identity.start, block))
    erase = touched_pages((segment.span for segment in segments), memory.page_size)
    kept = [memory.nvm] if block is not None else [memory.identity, memory.nvm]
    return FlashPlan(erase, tuple(segments), tuple(kept))


def _whole_words(image: Sequence[Segment], word: int) -> list[Segment]:
    """Widen to whole programming words with the erased value; segments that meet in a word become one.

    Half a word cannot be programmed, and no word twice.
    """
    joined: list[tuple[int, bytearray]] = []
    for segment in sorted(image, key=lambda one: one.address):
        start = segment.address - segment.address % word
        if not joined or start > joined[-1][0] + len(joined[-1][1]):
            joined.append((start, bytearray()))
        at, data = joined[-1]
        data.extend(b"\xff" * (segment.address - at - len(data)) + segment.data)
    return [Segment(at, bytes(data) + b"\xff" * (-len(data) % word)) for at, data in joined]


def _refuse_reserved(span: Span, memory: MemoryMap) -> None:
    # Whole pages, because a page is what gets erased.
    pages = Span(span.start - span.start % memory.page_size, 0)
    pages = Span(pages.start, -(-(span.end - pages.start) // memory.page_size) * memory.page_size)
    for name, reserved in (("identity page", memory.identity), ("NVM region", memory.nvm)):
        if pages.overlaps(reserved):
            raise ImageError(
                f"the image's {span} needs pages of the {name} ({reserved}), wanted code inside {memory.code} only; "
                "link the firmware for this memory map"
            )
    if not memory.flash.contains(span):
        raise ImageError(
            f"the image's {span} lies outside the flash ({memory.flash}); check product.yaml and the image"
        )
