"""What a flash session will erase, program and keep, decided before the board is changed (docs/flash-plan.md).

The planner is asked twice: `spans_to_ask` names the spans whose checksums it needs, `plan_flash` decides by them.
Nobody reads the memory back for that: the checksum of a page tells identical, erased and different apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lorafab.domain.checksum import checksum, of_erased
from lorafab.domain.memory_map import Area, MemoryMap, Segment, Span, touched_pages
from lorafab.errors import ImageError

NVM = "NVM region"
IDENTITY = "identity page"
UNLISTED = "unlisted memory"

Checksums = Mapping[Span, int | None]
"""Checksum (lorafab.domain.checksum) of a span on the chip now; None for one with words that cannot be read."""


@dataclass(frozen=True)
class Place:
    """A span with the name that people know it by."""

    name: str
    span: Span
    crc: int | None = None
    """What it holds before the session; None where that is not known, or cannot be read."""


@dataclass(frozen=True)
class FlashPlan:
    """One flash session. What no span here names is neither erased nor programmed, unless ``mass_erase``."""

    keep: tuple[Place, ...]
    """Must be the same after the session."""
    erase: tuple[Span, ...]
    """Whole pages. With ``mass_erase`` none of the flash is among them."""
    program: tuple[Segment, ...]
    """Whole words, each once, all of them erased when their turn comes."""
    skip: tuple[Span, ...]
    """Holds already what it should."""
    verify: tuple[Segment, ...]
    """What the pages that were written must hold afterwards, their erased words included."""
    mass_erase: Span | None
    """All of the flash, where it is erased at once."""
    lost: tuple[Place, ...]
    """Held something, and will be erased because a permit says so."""
    due_bytes: int
    """What the contents come to in whole words, identical ones included."""
    expected_s: float
    """Estimate: erase and program times of the memories alone."""

    @property
    def changes(self) -> bool:
        """Whether anything is erased or programmed."""
        return bool(self.erase or self.program or self.mass_erase)

    def text(self) -> str:
        """For people: one line a span, without a byte of what is programmed."""
        rows = [("keep", place.span, place.name) for place in self.keep]
        rows += [("lose", place.span, place.name) for place in self.lost]
        rows += [("erase", self.mass_erase, "at once")] if self.mass_erase else []
        rows += [("erase", span, "") for span in joined(self.erase)]
        rows += [("program", span, "") for span in joined(segment.span for segment in self.program)]
        rows += [("skip", span, "identical") for span in joined(self.skip)]
        lines = [f"{act:8} {span}  {span.size:7} B  {name}".rstrip() for act, span, name in rows]
        took = f"about {self.expected_s * 1e3:.0f} ms of erasing and programming"
        lines.append(took if self.changes else "nothing is written: the board holds all of it already")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Page:
    """One page of one memory that the contents touch."""

    area: Area
    span: Span
    due: tuple[Segment, ...]
    """What decides whether the page is right: all of it in the code region, the words of the block elsewhere."""
    words: tuple[Segment, ...]
    """What is programmed, in whole words."""


def spans_to_ask(memory: MemoryMap, contents: Sequence[Segment], *, clear: bool = False) -> tuple[Span, ...]:
    """Spans whose checksums `plan_flash` wants, each once. ``clear``: as there. Raises ImageError."""
    pages = _pages(memory, contents)
    spans = [segment.span for page in pages for segment in page.due]
    spans += [place.span for place in _reserved(memory)]
    if _mass_may_pay(memory.flash, pages):
        spans += _others(memory, pages)
    if clear:
        spans += memory.flash.span.pages(memory.flash.page_size)
    return tuple(dict.fromkeys(spans))


def plan_flash(
    memory: MemoryMap, contents: Sequence[Segment], found: Checksums, *, trusted: bool, clear: bool = False
) -> FlashPlan:
    """Plan the image, and the identity block where ``contents`` have one.

    ``found``: checksums of at least what `spans_to_ask` names. ``trusted``: nobody was interrupted while he wrote to
    this board, so that what reads erased is erased; an erase cut short reads erased, too, and so does a word that was
    programmed with the erased value. A page that cannot be read shows that somebody was. ``clear``: a permit to erase
    all of the flash. Raises ImageError when a segment lies where nothing may be programmed.
    """
    pages = _pages(memory, contents)
    trusted = trusted and None not in found.values()
    if clear:
        return _cleared(memory, [_judged_whole(page) for page in pages], found, trusted)
    plan = _by_pages(memory, pages, found, trusted)
    whole = _by_mass_erase(memory, pages, plan)
    return whole if _nothing_to_lose(memory, pages, found) and whole.expected_s < plan.expected_s else plan


# --- contents, page by page ---


def _pages(memory: MemoryMap, contents: Sequence[Segment]) -> list[_Page]:
    pages = []
    for area, in_code, segments in _by_place(memory, contents):
        words = _whole_words(segments, area)
        for span in touched_pages((segment.span for segment in words), area.page_size):
            inside = tuple(_cut(segment, span) for segment in words if segment.span.overlaps(span))
            if in_code:
                whole = _filled(span, inside, area.erased)
                filled = tuple(one for one in inside if any(byte != area.erased for byte in one.data))
                pages.append(_Page(area, span, (whole,), filled))
            else:
                pages.append(_Page(area, span, inside, inside))
    return sorted(pages, key=lambda page: page.span)


def _by_place(memory: MemoryMap, contents: Sequence[Segment]) -> list[tuple[Area, bool, list[Segment]]]:
    code: list[Segment] = []
    identity: list[Segment] = []
    for segment in (one for one in contents if one.data):
        _refuse_shared(segment.span, memory)
        (code if memory.code.contains(segment.span) else identity).append(segment)
    places = []
    if code:
        places.append((memory.flash, True, code))
    if identity:
        area = memory.area_of(identity[0].span)
        assert area is not None  # it is in the identity page
        places.append((area, False, identity))
    return places


def _refuse_shared(span: Span, memory: MemoryMap) -> None:
    """Whole pages count, because a page is what gets erased."""
    area = memory.area_of(span)
    if area is None:
        raise ImageError(
            f"the image's {span} lies outside the flash ({memory.flash.span}); check product.yaml and the image"
        )
    pages = span.pages(area.page_size)
    whole = Span(pages[0].start, pages[-1].end - pages[0].start)
    if memory.identity is not None and memory.identity.contains(span):
        for name, other in (("code region", memory.code), (NVM, memory.nvm)):
            if whole.overlaps(other):
                raise ImageError(
                    f"the identity block's {span} shares a page with the {name} ({other}), wanted a page of its own; "
                    "correct `memory: identity` in product.yaml"
                )
        return
    for name, reserved in memory.reserved.items():
        if whole.overlaps(reserved):
            raise ImageError(
                f"the image's {span} needs pages of the {name} ({reserved}), wanted code inside {memory.code} only; "
                "link the firmware for this memory map"
            )
    if not memory.code.contains(whole):
        raise ImageError(
            f"the image's {span} needs pages outside the code region {memory.code}; link the firmware for this memory "
            "map"
        )


def _whole_words(segments: Iterable[Segment], area: Area) -> list[Segment]:
    """Widen to whole programming words with the erased value; segments that meet in a word become one.

    Half a word cannot be programmed, and no word twice.
    """
    word, filler = area.word_size, bytes([area.erased])
    merged: list[tuple[int, bytearray]] = []
    for segment in sorted(segments, key=lambda one: one.address):
        start = segment.address - segment.address % word
        if not merged or start > merged[-1][0] + len(merged[-1][1]):
            merged.append((start, bytearray()))
        at, data = merged[-1]
        if segment.address < at + len(data):
            raise ImageError(
                f"the image gives {Span(segment.address, 1)} twice, wanted each address once; build the image again"
            )
        data.extend(filler * (segment.address - at - len(data)) + segment.data)
    return [Segment(at, bytes(data) + filler * (-len(data) % word)) for at, data in merged]


def _cut(segment: Segment, page: Span) -> Segment:
    start, end = max(segment.address, page.start), min(segment.span.end, page.end)
    return Segment(start, segment.data[start - segment.address : end - segment.address])


def _filled(page: Span, inside: Iterable[Segment], erased: int) -> Segment:
    data = bytearray([erased]) * page.size
    for segment in inside:
        data[segment.address - page.start : segment.span.end - page.start] = segment.data
    return Segment(page.start, bytes(data))


# --- decisions ---


def _by_pages(memory: MemoryMap, pages: Sequence[_Page], found: Checksums, trusted: bool) -> FlashPlan:
    erase: list[Span] = []
    program: list[Segment] = []
    skip: list[Span] = []
    verify: list[Segment] = []
    for page in pages:
        wrong = [segment for segment in page.due if found[segment.span] != checksum(segment.data)]
        if not wrong:
            skip += [segment.span for segment in page.due]
            continue
        verify += page.due
        if page.area.overwrites:
            program += wrong
        elif trusted and all(_is_erased(found, segment.span, page.area) for segment in wrong):
            # In the code region the page is judged as one, and all of its words are missing; elsewhere only some are.
            program += page.words if len(wrong) == len(page.due) else wrong
        else:
            erase.append(page.span)
            program += page.words
    return _plan(
        memory,
        pages,
        erase,
        program,
        skip,
        verify,
        keep=[replace(place, crc=found[place.span]) for place in _to_keep(memory, pages)],
    )


def _to_keep(memory: MemoryMap, pages: Sequence[_Page]) -> list[Place]:
    """The counters always; the identity where no new one is written."""
    return [place for place in _reserved(memory) if not any(page.span.overlaps(place.span) for page in pages)]


def _by_mass_erase(memory: MemoryMap, pages: Sequence[_Page], plan: FlashPlan) -> FlashPlan:
    """The same contents after an erase of all of the flash; other memories as in ``plan``."""
    inside = memory.flash.span.contains
    of_flash = [page for page in pages if page.area is memory.flash]
    return _plan(
        memory,
        pages,
        erase=[span for span in plan.erase if not inside(span)],
        program=[word for page in of_flash for word in page.words]
        + [segment for segment in plan.program if not inside(segment.span)],
        skip=[span for span in plan.skip if not inside(span)],
        verify=[due for page in of_flash for due in page.due]
        + [segment for segment in plan.verify if not inside(segment.span)],
        keep=plan.keep,
        mass_erase=memory.flash.span,
    )


def _nothing_to_lose(memory: MemoryMap, pages: Sequence[_Page], found: Checksums) -> bool:
    """Whether all of the flash outside the contents is erased, or code that no image uses any more."""
    if not _mass_may_pay(memory.flash, pages):
        return False
    kept = [place.span for place in _to_keep(memory, pages) if memory.flash.span.contains(place.span)]
    return all(_is_erased(found, span, memory.flash) for span in (*kept, *_others(memory, pages)))


def _others(memory: MemoryMap, pages: Sequence[_Page]) -> list[Span]:
    """Pages of the flash that are neither code, nor in the contents, nor in a place that is kept as a whole."""
    flash, touched = memory.flash, {page.span for page in pages}
    places = (memory.code, *(place.span for place in _to_keep(memory, pages)))
    others = (page for page in flash.span.pages(flash.page_size) if page not in touched)
    return joined(page for page in others if not any(page.overlaps(place) for place in places))


def _mass_may_pay(flash: Area, pages: Sequence[_Page]) -> bool:
    times = flash.times
    if times is None or times.mass_erase_s is None:
        return False
    return times.mass_erase_s < times.erase_s * sum(page.area is flash for page in pages)


def _judged_whole(page: _Page) -> _Page:
    return page if page.area.overwrites else replace(page, due=(_filled(page.span, page.words, page.area.erased),))


def _cleared(memory: MemoryMap, pages: Sequence[_Page], found: Checksums, trusted: bool) -> FlashPlan:
    """Erase all of the flash, by pages where the chip has no mass erase that leaves other memories alone."""
    flash = memory.flash
    plan = _by_pages(memory, pages, found, trusted)
    if flash.times is not None and flash.times.mass_erase_s is not None:
        plan = _by_mass_erase(memory, pages, plan)
    else:
        plan = _with_erased(memory, pages, found, plan)
    keep = tuple(place for place in plan.keep if not flash.span.contains(place.span))
    return replace(plan, keep=keep, lost=tuple(_lost(memory, found)))


def _with_erased(memory: MemoryMap, pages: Sequence[_Page], found: Checksums, plan: FlashPlan) -> FlashPlan:
    """Every page of the flash that the contents do not touch is erased, too."""
    flash, touched = memory.flash, {page.span for page in pages}
    others = [
        page for page in flash.span.pages(flash.page_size) if page not in touched and not _is_erased(found, page, flash)
    ]
    blank = [Segment(page.start, bytes([flash.erased]) * page.size) for page in others]
    return _plan(memory, pages, [*plan.erase, *others], plan.program, plan.skip, [*plan.verify, *blank], plan.keep)


def _lost(memory: MemoryMap, found: Checksums) -> list[Place]:
    flash = memory.flash
    lost = [
        Place(place.name, place.span, found[place.span])
        for place in _reserved(memory)
        if flash.span.contains(place.span) and not _is_erased(found, place.span, flash)
    ]
    pages = [page for gap in unlisted(memory) for page in gap.pages(flash.page_size)]
    return lost + [Place(UNLISTED, span) for span in joined(p for p in pages if not _is_erased(found, p, flash))]


def _plan(
    memory: MemoryMap,
    pages: Sequence[_Page],
    erase: Iterable[Span],
    program: Iterable[Segment],
    skip: Iterable[Span],
    verify: Iterable[Segment],
    keep: Iterable[Place],
    mass_erase: Span | None = None,
) -> FlashPlan:
    erased, programmed = tuple(sorted(erase)), tuple(sorted(program, key=lambda one: one.address))
    return FlashPlan(
        keep=tuple(keep),
        erase=erased,
        program=_merged(programmed),
        skip=tuple(skip),
        verify=tuple(verify),
        mass_erase=mass_erase,
        lost=(),
        due_bytes=sum(len(word.data) for page in pages for word in page.words),
        expected_s=_expected_s(memory, erased, programmed, mass_erase),
    )


def _expected_s(memory: MemoryMap, erase: Sequence[Span], program: Sequence[Segment], mass_erase: Span | None) -> float:
    total = 0.0
    for area in memory.areas:
        times = area.times
        if times is None:
            continue
        pages = sum(area.span.contains(span) for span in erase)
        data = sum(len(segment.data) for segment in program if area.span.contains(segment.span))
        total += pages * times.erase_s + data / times.unit * (times.program_s + area.overwrites * times.erase_s)
        if mass_erase and area is memory.flash:
            total += times.mass_erase_s or 0.0
    return total


# --- places and spans ---


def _reserved(memory: MemoryMap) -> list[Place]:
    return [Place(name, span) for name, span in memory.reserved.items()]


def unlisted(memory: MemoryMap) -> list[Span]:
    """Pages of the flash that no place of the product names, as few spans as possible."""
    flash = memory.flash
    places = (memory.code, *memory.reserved.values())
    pages = flash.span.pages(flash.page_size)
    return joined(page for page in pages if not any(page.overlaps(place) for place in places))


def _is_erased(found: Checksums, span: Span, area: Area) -> bool:
    return found[span] == of_erased(area.erased, span.size)


def joined(spans: Iterable[Span]) -> list[Span]:
    """The same bytes in as few spans as possible, rising addresses; ``spans`` do not overlap."""
    result: list[Span] = []
    for span in sorted(spans):
        if result and result[-1].end == span.start:
            result[-1] = Span(result[-1].start, result[-1].size + span.size)
        else:
            result.append(span)
    return result


def _merged(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Join segments that touch: one of them is programmed in one go."""
    parts: list[tuple[int, bytearray]] = []
    for segment in segments:
        if not parts or parts[-1][0] + len(parts[-1][1]) != segment.address:
            parts.append((segment.address, bytearray()))
        parts[-1][1].extend(segment.data)
    return tuple(Segment(address, bytes(data)) for address, data in parts)
