"""What a flash session will erase, program and keep, decided before the probe is touched."""

from collections.abc import Sequence
from dataclasses import dataclass

from lorafab.domain.memory_map import MemoryMap, Segment, Span, touched_pages
from lorafab.errors import ImageError


@dataclass(frozen=True)
class FlashPlan:
    """One flash session: these pages are erased, these segments programmed, everything else is kept."""

    erase: tuple[Span, ...]
    program: tuple[Segment, ...]
    keep: tuple[Span, ...]


def plan_flash(memory: MemoryMap, contents: Sequence[Segment]) -> FlashPlan:
    """Plan the image, and the identity block where ``contents`` have one.

    The NVM region is never erased nor programmed here. Raises ImageError when a segment would touch it, or lies where
    nothing may be programmed.
    """
    flash = memory.flash
    segments = _whole_words(contents, flash.word_size)
    for segment in segments:
        _refuse_reserved(segment.span, memory)
    erase = touched_pages((segment.span for segment in segments), flash.page_size)
    kept = [place for place in memory.reserved.values() if not any(place.overlaps(one.span) for one in segments)]
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
    flash = memory.flash
    pages = Span(span.start - span.start % flash.page_size, 0)
    pages = Span(pages.start, -(-(span.end - pages.start) // flash.page_size) * flash.page_size)
    for name, reserved in memory.reserved.items():
        if pages.overlaps(reserved) and not (name == "identity page" and reserved.contains(span)):
            raise ImageError(
                f"the image's {span} needs pages of the {name} ({reserved}), wanted code inside {memory.code} only; "
                "link the firmware for this memory map"
            )
    if not flash.span.contains(span):
        raise ImageError(f"the image's {span} lies outside the flash ({flash.span}); check product.yaml and the image")
