"""Addresses: spans of memory, segments of data, and the places a product reserves."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Span:
    """``size`` bytes from address ``start`` on (both >= 0); ``end`` is the first address behind it."""

    start: int
    size: int

    def __post_init__(self) -> None:
        if self.start < 0 or self.size < 0:
            raise ValueError(f"span {self.start:#x}+{self.size:#x} is negative")

    @property
    def end(self) -> int:
        """First address behind the span."""
        return self.start + self.size

    def contains(self, other: "Span") -> bool:
        """Whether ``other`` lies wholly inside."""
        return self.start <= other.start and other.end <= self.end

    def overlaps(self, other: "Span") -> bool:
        """Whether the two share at least one byte."""
        return self.start < other.end and other.start < self.end

    def pages(self, page_size: int) -> tuple["Span", ...]:
        """Split into the pages of ``page_size`` bytes that the span touches, whole pages, rising addresses."""
        if self.size == 0:
            return ()
        first = self.start - self.start % page_size
        return tuple(Span(address, page_size) for address in range(first, self.end, page_size))

    def __str__(self) -> str:
        return f"{self.start:#010x}..{self.end - 1:#010x}" if self.size else f"nothing at {self.start:#010x}"


@dataclass(frozen=True)
class Segment:
    """``data`` for memory from ``address`` on."""

    address: int
    data: bytes

    @property
    def span(self) -> Span:
        """Where the data lies."""
        return Span(self.address, len(self.data))

    def __repr__(self) -> str:
        # The data may be a key: say where and how much, never what.
        return f"Segment({self.span})"


@dataclass(frozen=True)
class Times:
    """How long a memory takes, typical figures in seconds."""

    erase_s: float
    """One page."""
    unit: int
    """Bytes that ``program_s`` is for: a word, or more where the memory programs more at once."""
    program_s: float
    mass_erase_s: float | None = None
    """Everything at once, without touching other memories; None where only pages can be erased."""


@dataclass(frozen=True)
class Area:
    """A memory that is erased and programmed in units of its own."""

    start: int
    size: int
    page_size: int
    """Bytes that are erased at once."""
    word_size: int
    """Bytes that are programmed at once."""
    erased: int
    """What an erased byte reads."""
    overwrites: bool = False
    """Whether a word may be written over without erasing it first."""
    times: Times | None = None
    """None where nobody has to know."""

    @property
    def span(self) -> Span:
        """All of it."""
        return Span(self.start, self.size)


@dataclass(frozen=True)
class MemoryMap:
    """The places of a product in the memories of its microcontroller; each lies in one area, in whole pages of it."""

    areas: tuple[Area, ...]
    """The flash first; whatever a probe may erase and program."""
    code: Span
    nvm: Span
    identity: Span | None
    """Where the identity block, or the firmware's own form of it, lies; None where it is not in these memories."""

    @property
    def flash(self) -> Area:
        """Where the code is."""
        return self.areas[0]

    def area_of(self, span: Span) -> Area | None:
        """The area that holds all of ``span``, or None."""
        return next((area for area in self.areas if area.span.contains(span)), None)

    @property
    def reserved(self) -> dict[str, Span]:
        """Places that no image may touch, by the names that messages use."""
        identity = {} if self.identity is None else {"identity page": self.identity}
        return identity | {"NVM region": self.nvm}


def touched_pages(spans: Iterable[Span], page_size: int) -> tuple[Span, ...]:
    """Every page that one of ``spans`` touches, once, rising addresses."""
    pages = {page for span in spans for page in span.pages(page_size)}
    return tuple(sorted(pages))
