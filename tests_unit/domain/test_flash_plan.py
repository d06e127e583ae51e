"""lorafab.domain.flash_plan: what a flash session erases, programs and keeps is known before the probe is touched."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.flash_plan import FlashPlan, MemoryMap, plan_flash
from lorafab.domain.identity_block import BLOCK_SIZE
from lorafab.domain.memory_map import Segment, Span
from lorafab.errors import ImageError

FLASH, CODE_END = 0x08000000, 0x08003000
MEMORY = MemoryMap(
    flash=Span(FLASH, 0x4000),
    page_size=0x800,
    word_size=8,
    code=Span(FLASH, 0x3000),
    identity=Span(CODE_END, 0x800),
    nvm=Span(CODE_END + 0x800, 0x800),
)
BLOCK = b"\x42" * BLOCK_SIZE


@st.composite
def images(draw: st.DrawFn, low: int = FLASH, high: int = CODE_END) -> list[Segment]:
    """Segments as an image has them: rising, apart by at least a byte, none empty."""
    at, segments = low, list[Segment]()
    for _ in range(draw(st.integers(1, 6))):
        at += draw(st.one_of(st.integers(1, 20), st.integers(1, 0x900)))
        data = draw(st.binary(min_size=1, max_size=40))
        if at + len(data) > high:
            break
        segments.append(Segment(at, data))
        at += len(data)
    return segments


blocks = st.sampled_from([None, BLOCK])


def programmed(plan: FlashPlan) -> dict[int, int]:
    """Address -> byte, as the flash holds it after the session."""
    return {segment.address + offset: byte for segment in plan.program for offset, byte in enumerate(segment.data)}


@given(images(), blocks)
def test_the_erase_covers_what_is_programmed_and_idles_nowhere(image: list[Segment], block: bytes | None) -> None:
    """Whole pages, each once, each with something to program in it."""
    plan = plan_flash(MEMORY, image, block)
    for segment in plan.program:
        for page in segment.span.pages(MEMORY.page_size):
            assert page in plan.erase
    assert len(set(plan.erase)) == len(plan.erase)
    for page in plan.erase:
        assert page.size == MEMORY.page_size
        assert any(page.overlaps(segment.span) for segment in plan.program)


@given(images(), blocks)
def test_what_is_kept_is_neither_erased_nor_programmed(image: list[Segment], block: bytes | None) -> None:
    """The NVM region always; the identity page where the board keeps the block it has."""
    plan = plan_flash(MEMORY, image, block)
    assert MEMORY.nvm in plan.keep
    assert (MEMORY.identity in plan.keep) == (block is None)
    for kept in plan.keep:
        assert not any(kept.overlaps(page) for page in plan.erase)
        assert not any(kept.overlaps(segment.span) for segment in plan.program)


@given(images(), blocks)
def test_every_byte_of_image_and_block_is_programmed(image: list[Segment], block: bytes | None) -> None:
    """And beyond them nothing but the erased value, which fills words up."""
    held = programmed(plan_flash(MEMORY, image, block))
    for segment in [*image, *([Segment(MEMORY.identity.start, block)] if block else [])]:
        for offset, byte in enumerate(segment.data):
            assert held.pop(segment.address + offset) == byte
    assert set(held.values()) <= {0xFF}


@given(images(), blocks)
def test_only_whole_words_are_programmed_and_each_once(image: list[Segment], block: bytes | None) -> None:
    """Half a double word cannot be programmed, and none twice; also where two segments end and begin in one word."""
    plan = plan_flash(MEMORY, image, block)
    spans = sorted(segment.span for segment in plan.program)
    for span in spans:
        assert span.start % MEMORY.word_size == span.size % MEMORY.word_size == 0
    for one, other in pairwise(spans):
        assert not one.overlaps(other), f"{one} and {other} share a word"


@given(st.integers(FLASH - 0x1000, FLASH + 0x5000), st.binary(min_size=1, max_size=0x900), blocks)
def test_a_segment_anywhere_is_planned_or_refused(address: int, data: bytes, block: bytes | None) -> None:
    """Planned exactly when none of its pages is reserved and all of it is flash; refused with a sentence otherwise."""
    segment = Segment(address, data)
    pages = segment.span.pages(MEMORY.page_size)
    reserved = any(page.overlaps(kept) for page in pages for kept in (MEMORY.identity, MEMORY.nvm))
    if reserved or not MEMORY.flash.contains(segment.span):
        with pytest.raises(ImageError):
            plan_flash(MEMORY, [segment], block)
    else:
        assert all(MEMORY.flash.contains(page) for page in plan_flash(MEMORY, [segment], block).erase)


@pytest.mark.parametrize(
    ("address", "size", "sentence"),
    [
        (CODE_END, 8, "needs pages of the identity page (0x08003000..0x080037ff), wanted code inside 0x08000000"),
        (CODE_END - 8, 16, "needs pages of the identity page"),
        (CODE_END + 0x7F8, 8, "needs pages of the identity page"),
        (CODE_END + 0x800, 8, "needs pages of the NVM region (0x08003800..0x08003fff)"),
        (CODE_END + 0xFFF, 1, "link the firmware for this memory map"),
        (FLASH + 0x4000, 8, "lies outside the flash (0x08000000..0x08003fff); check product.yaml"),
        (FLASH - 8, 8, "lies outside the flash"),
    ],
)
def test_refusals_name_the_place_and_what_was_wanted(address: int, size: int, sentence: str) -> None:
    """One sentence, with both spans."""
    with pytest.raises(ImageError) as caught:
        plan_flash(MEMORY, [Segment(FLASH, b"\x01" * 8), Segment(address, b"\x02" * size)], BLOCK)
    assert sentence in str(caught.value)


def test_a_page_shared_with_reserved_memory_is_refused_too() -> None:
    """The page is what gets erased: code in the first half of an identity page would take the block with it."""
    shared = MemoryMap(
        flash=MEMORY.flash,
        page_size=0x800,
        word_size=8,
        code=Span(FLASH, 0x3400),
        identity=Span(FLASH + 0x3400, 0x400),
        nvm=MEMORY.nvm,
    )
    with pytest.raises(ImageError, match="needs pages of the identity page"):
        plan_flash(shared, [Segment(FLASH + 0x3000, b"\x01" * 8)], None)


def test_the_number_of_bytes_is_that_of_the_session() -> None:
    """Padding and block included: it is what the probe carries."""
    plan = plan_flash(MEMORY, [Segment(FLASH + 3, b"\x01\x02")], BLOCK)
    assert sum(len(segment.data) for segment in plan.program) == 8 + BLOCK_SIZE
    assert plan.program[0] == Segment(FLASH, b"\xff\xff\xff\x01\x02\xff\xff\xff")


def test_a_plan_never_prints_what_it_carries() -> None:
    """The block holds a key."""
    assert BLOCK.hex()[:8] not in repr(plan_flash(MEMORY, [], BLOCK))
    assert "BBBB" not in repr(plan_flash(MEMORY, [], BLOCK))
