"""lorafab.domain.image: an image that does not fit is refused before a byte is written."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.image import Image, ImageNote, check_image, make_image
from lorafab.domain.memory_map import Segment, Span
from lorafab.errors import ImageError

FLASH = Span(0x08000000, 0x40000)
CODE = Span(0x08000000, 0x3E000)
RAM = Span(0x20000000, 0x10000)
RESERVED = {"identity page": Span(0x0803E800, 0x800), "NVM region": Span(0x0803F000, 0x1000)}
NOTE = b"LFFW" + struct.pack("16s16s16s", b"1.0.0", b"endnode-wle5", b"stm32wle5jc")


def code(stack: int = 0x20010000, reset: int = 0x08000101, note: bytes = NOTE) -> bytes:
    return (struct.pack("<II", stack, reset).ljust(0x200, b"\0") + note).ljust(0x400, b"\xbf")


def image(*segments: tuple[int, bytes]) -> Image:
    return make_image("fw.hex", "00" * 32, [Segment(address, data) for address, data in segments])


def check(one: Image, *, mcu: str = "stm32wle5jc", product: str = "endnode-wle5", version: str = "1.0.0") -> None:
    check_image(one, flash=FLASH, code=CODE, reserved=RESERVED, mcu=mcu, ram=RAM, product=product, version=version)


def refusal(one: Image, mcu: str = "stm32wle5jc", product: str = "endnode-wle5", version: str = "1.0.0") -> str:
    with pytest.raises(ImageError) as caught:
        check(one, mcu=mcu, product=product, version=version)
    return str(caught.value)


def test_a_fitting_image_is_taken() -> None:
    """Code in the code region, with the right note and vectors, passes without a word."""
    good = image((0x08000000, code()))
    check(good)
    assert good.note == ImageNote("1.0.0", "endnode-wle5", "stm32wle5jc")
    assert (good.version, good.size) == ("1.0.0", 0x400)


def test_an_image_without_a_note_is_taken() -> None:
    """Other people's firmware has no note: nothing to compare."""
    plain = image((0x08000000, code(note=b"")))
    assert plain.version is None
    check(plain)


@pytest.mark.parametrize(
    "note",
    [NOTE[:-1], b"LFFW" + b"\0" * 48, b"LFFW" + b"\xff" * 48, NOTE.replace(b"1.0.0\0", b"1.0\0.0")],
)
def test_what_only_resembles_a_note_is_none(note: bytes) -> None:
    """The magic in ordinary code does not make a version."""
    assert make_image("x", "", [Segment(0, code()[:0x200] + note)]).note is None


def test_the_note_is_found_behind_a_false_one_and_across_joined_segments() -> None:
    """A segment border within the note does not hide it."""
    data = b"LFFWxx" + code()
    assert make_image("x", "", [Segment(0x220, data[0x220:]), Segment(0, data[:0x220])]).version == "1.0.0"


def test_the_note_is_looked_for_in_the_first_kibibyte_only() -> None:
    """Data further behind is the program's own business."""
    assert make_image("x", "", [Segment(0, bytes(1024) + NOTE)]).note is None


def test_segments_are_sorted_and_joined() -> None:
    """Touching records become one segment, in rising order, without empty ones."""
    made = image((0x110, b"c"), (0x101, b"b"), (0x100, b"a"), (0x200, b""))
    assert [(one.address, one.data) for one in made.segments] == [(0x100, b"ab"), (0x110, b"c")]
    assert made.read(Span(0x100, 2)) == b"ab"
    assert made.read(Span(0x101, 2)) is None


@given(st.dictionaries(st.integers(0, 60), st.binary(min_size=1, max_size=6), max_size=12))
def test_every_byte_is_kept_or_the_overlap_refused(parts: dict[int, bytes]) -> None:
    """Joining neither loses nor moves a byte, and two values for one address are never settled silently."""
    bytes_at = [(address + n, value) for address, data in parts.items() for n, value in enumerate(data)]
    overlap = len({address for address, _ in bytes_at}) < len(bytes_at)
    if overlap:
        with pytest.raises(ImageError, match=r"gives 0x\w+\.\.0x\w+ twice \(it overlaps"):
            image(*parts.items())
        return
    made = image(*parts.items())
    assert {s.address + n: v for s in made.segments for n, v in enumerate(s.data)} == dict(bytes_at)
    assert all(a.span.end < b.address for a, b in zip(made.segments, made.segments[1:], strict=False))


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (image(), "firmware image fw.hex is empty"),
        (
            image((0x08000000, code()), (0x1FFF0000, b"x")),
            "holds 0x1fff0000..0x1fff0000, but the flash is 0x08000000..",
        ),
        (
            image((0x08000000, code()), (0x0803E7FF, b"xx")),
            "holds 0x0803e7ff..0x0803e800, which overlaps the identity page at 0x0803e800..0x0803efff",
        ),
        (image((0x08000000, code()), (0x0803F000, b"x")), "overlaps the NVM region at 0x0803f000..0x0803ffff"),
        (image((0x08000000, code()), (0x0803E000, b"x")), "outside the code region 0x08000000..0x0803dfff"),
        (image((0x08000400, code())), "has no vector table at 0x08000000"),
        (image((0x08000000, code(stack=0x10000000))), "starts with stack pointer 0x10000000, wanted a word address"),
        (image((0x08000000, code(stack=0x20000002))), "starts with stack pointer 0x20000002"),
        (image((0x08000000, code(stack=0x20000000))), "starts with stack pointer 0x20000000"),
        (image((0x08000000, code(reset=0x08000100))), "has reset vector 0x08000100, wanted an odd (Thumb) address"),
        (image((0x08000000, code(reset=0x08001001))), "has reset vector 0x08001001"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(one: Image, sentence: str) -> None:
    """The sentence names both places, or the vector that cannot be."""
    assert sentence in refusal(one)


def test_an_image_for_something_else_is_refused_by_its_note() -> None:
    """MCU, product and version of the note are held against product.yaml."""
    good = image((0x08000000, code()))
    assert "says MCU stm32wle5jc, wanted nrf52840" in refusal(good, mcu="nrf52840")
    assert "says product endnode-wle5, wanted other" in refusal(good, product="other")
    assert "says version 1.0.0, wanted 1.0.1" in refusal(good, version="1.0.1")
