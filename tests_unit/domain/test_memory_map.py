"""lorafab.domain.memory_map: spans answer like sets of addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.memory_map import Segment, Span, touched_pages

spans = st.builds(Span, st.integers(0, 60), st.integers(0, 20))


def addresses(span: Span) -> set[int]:
    return set(range(span.start, span.end))


@given(spans, spans)
def test_overlap_is_a_shared_address(one: Span, other: Span) -> None:
    """Two spans overlap when they share a byte; touching is not sharing, and an empty span shares nothing."""
    if one.size and other.size:
        assert one.overlaps(other) == other.overlaps(one) == bool(addresses(one) & addresses(other))


@given(spans, spans)
def test_contains_means_every_address(one: Span, other: Span) -> None:
    """A span contains what lies wholly inside."""
    if other.size:
        assert one.contains(other) == (addresses(other) <= addresses(one))


@given(st.lists(spans, max_size=5), st.sampled_from([1, 4, 7, 8]))
def test_touched_pages_cover_every_byte_and_nothing_idle(parts: list[Span], size: int) -> None:
    """Each page is whole, comes once, in rising order, and is touched by at least one byte."""
    pages = touched_pages(parts, size)
    assert {page.start for page in pages} == {a - a % size for part in parts for a in addresses(part)}
    assert all(page.size == size for page in pages)
    assert list(pages) == sorted(set(pages))


@pytest.mark.parametrize(("start", "size"), [(-1, 1), (0, -1)])
def test_negative_spans_do_not_exist(start: int, size: int) -> None:
    """A wrong subtraction shows where it happens."""
    with pytest.raises(ValueError, match="is negative"):
        Span(start, size)


def test_spans_are_written_with_both_ends() -> None:
    """As people read memory maps: first and last address."""
    assert str(Span(0x0803E800, 0x800)) == "0x0803e800..0x0803efff"
    assert str(Span(0x10, 0)) == "nothing at 0x00000010"


def test_a_segment_never_prints_its_data() -> None:
    """It may be a key."""
    assert repr(Segment(0x100, b"KEY!")) == "Segment(0x00000100..0x00000103)"
