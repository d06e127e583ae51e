"""lorafab.drivers.label_reader: the one label in a picture is read, or the operator learns why not."""

import contextlib
from io import BytesIO
from typing import Literal

import pytest
import segno
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from lorafab.domain.label import checksum
from lorafab.drivers.label_reader import MAX_BYTES, LabelReader
from lorafab.errors import LabelRefused, ScanError
from lorafab.virtual.label_picture import draw_label

BODY = "LW:D0:00005EEF10000001:024C464200000001:FFFF0000:SLF00000001"
LABEL = f"{BODY}:C{checksum(BODY)}"
OTHER = "AABBCCDDEEFF0011"


def symbol(content: str | bytes, *, micro: bool = False, scale: int = 6) -> Image.Image:
    buffer = BytesIO()
    made = segno.make_micro(content) if micro else segno.make_qr(content, error="m")
    made.save(buffer, kind="png", scale=scale, border=4)
    return Image.open(buffer).convert("L")


def data_matrix(content: str | bytes, scale: int = 6) -> Image.Image:
    made = zxingcpp.create_barcode(content, zxingcpp.BarcodeFormat.DataMatrix, force_square=True)
    return Image.fromarray(made.to_image(scale=scale, add_quiet_zones=True))


def scene(*parts: Image.Image) -> Image.Image:
    picture = Image.new(
        "L", (sum(part.width + 20 for part in parts) + 20, max(part.height for part in parts) + 40), 255
    )
    left = 20
    for part in parts:
        picture.paste(part, (left, 20))
        left += part.width + 20
    return picture


def encoded(picture: Image.Image, kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format=kind)
    return buffer.getvalue()


def refusal(picture: bytes) -> str:
    with pytest.raises(ScanError) as caught:
        LabelReader().decode(picture)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_label_is_read_from_usual_pictures(kind: str) -> None:
    """PNG and JPEG; the reader is named for the record."""
    reader = LabelReader()
    found = reader.decode(encoded(scene(symbol(LABEL)), kind))
    assert found.text == LABEL
    assert found.reader.startswith(" and ".join(reader.names))


def test_data_matrix_is_read_as_well() -> None:
    """By zxing-cpp; zbar knows no Data Matrix."""
    for text in (LABEL, BODY, OTHER):
        found = LabelReader().decode(encoded(scene(data_matrix(text))))
        assert (found.text, found.reader.split(" ")[0]) == (text, "zxing-cpp")


def test_only_the_symbols_that_were_asked_for_are_read() -> None:
    """A product whose label is a QR code does not take the Data Matrix of a supplier for it."""
    both = encoded(scene(symbol(LABEL), data_matrix(OTHER)))
    assert LabelReader(["qr"]).decode(both).text == LABEL
    assert LabelReader(["datamatrix"]).decode(both).text == OTHER


def test_a_label_without_checksum_is_treated_the_same() -> None:
    """TR005 makes the checksum optional; the wall against misreading is the symbol's own error correction then."""
    assert LabelReader().decode(encoded(scene(symbol(BODY)))).text == BODY


def test_a_wrong_checksum_in_a_clean_picture_is_refused() -> None:
    """What is read must fit its own checksum, however well it was read."""
    wrong = LABEL[:-4] + ("0000" if LABEL[-4:] != "0000" else "0001")
    with pytest.raises(LabelRefused, match="the checksum of the TR005 label"):
        LabelReader().decode(encoded(scene(symbol(wrong))))


@pytest.mark.parametrize("angle", [0, 90, 180, 33])
def test_the_camera_may_stand_anywhere(angle: int) -> None:
    """Labels are read turned as well."""
    turned = scene(symbol(LABEL)).rotate(angle, expand=True, fillcolor=255)
    assert LabelReader().decode(encoded(turned)).text == LABEL


@pytest.mark.parametrize("draw", ["qr", "datamatrix"])
def test_print_may_be_white_on_black_mirrored_and_pale(draw: Literal["qr", "datamatrix"]) -> None:
    """Laser marks are bright on dark, labels are seen through glass, and ink fades."""
    code = scene(symbol(LABEL) if draw == "qr" else data_matrix(LABEL))
    pale = code.point(lambda value: 110 + value // 10)
    for picture in (ImageOps.invert(code), ImageOps.mirror(code), ImageOps.invert(ImageOps.mirror(code)), pale):
        assert LabelReader().decode(encoded(picture)).text == LABEL


def test_colours_transparency_and_depth_do_not_matter() -> None:
    """Printed programs give transparent pictures, industrial cameras 16 bits."""
    grey = scene(symbol(LABEL))
    clear = Image.merge("LA", (Image.new("L", grey.size, 0), grey.point(lambda value: 255 - value)))
    deep = grey.convert("I").point(lambda value: value * 256).convert("I;16")
    for picture in (grey.convert("RGB"), grey.convert("1"), grey.convert("P"), clear, clear.convert("RGBA"), deep):
        assert LabelReader().decode(encoded(picture)).text == LABEL


def test_the_same_label_twice_is_one_label() -> None:
    """Stickers are often printed in pairs."""
    assert LabelReader().decode(encoded(scene(symbol(LABEL), symbol(LABEL)))).text == LABEL


def test_codes_that_are_no_labels_are_passed_over() -> None:
    """A web address beside the label is not an error."""
    assert LabelReader().decode(encoded(scene(symbol("https://example.com"), symbol(LABEL)))).text == LABEL


def test_two_labels_are_nobodys() -> None:
    """Which of them is on this board cannot be known."""
    assert refusal(encoded(scene(symbol(LABEL), symbol(OTHER)))).startswith("the picture shows 2 different labels")


def test_a_text_in_several_symbols_is_refused() -> None:
    """The first of the parts could pass for a label that has no serial."""
    parts = segno.make_sequence(BODY + " " * 40, symbol_count=2, error="m")
    drawn = []
    for part in parts:
        buffer = BytesIO()
        part.save(buffer, kind="png", scale=6, border=4)
        drawn.append(Image.open(buffer).convert("L"))
    wanted = (
        "the picture shows a text that is spread over several QR codes (structured append), wanted a label in one; "
    )
    for picture in (scene(*drawn), scene(drawn[0])):
        assert refusal(encoded(picture)).startswith(wanted)


def test_a_code_that_is_no_label_says_what_it_is() -> None:
    """The label's own refusal is more useful than `nothing read`."""
    with pytest.raises(LabelRefused, match="the label is a web address"):
        LabelReader().decode(encoded(scene(symbol("https://example.com"))))


@pytest.mark.parametrize("draw", ["qr", "datamatrix"])
def test_strange_bytes_in_a_code_are_refused_as_such(draw: Literal["qr", "datamatrix"]) -> None:
    """NUL and bytes beyond ASCII do not turn into other letters on the way, whoever reads them."""
    for strange, named in ((b"AABBCCDDEEFF0011\0", r"17 of the label is U\+0000"), (b"AABBCCDDEEFF001\xe9", r"U\+00")):
        picture = encoded(scene(symbol(strange) if draw == "qr" else data_matrix(strange)))
        with pytest.raises(LabelRefused, match=f"character .*{named}"):
            LabelReader().decode(picture)


def test_a_micro_qr_code_is_no_label() -> None:
    """Noise looks like one now and then: it is never read, neither alone nor before the true label."""
    phantom = symbol(OTHER, micro=True, scale=12)
    assert "no code can be read" in refusal(encoded(scene(phantom)))
    assert LabelReader().decode(encoded(scene(phantom, symbol(LABEL)))).text == LABEL


def test_an_unreadable_picture_says_what_to_do() -> None:
    """Clean, scan again, or type."""
    said = refusal(encoded(Image.new("L", (320, 240), 128)))
    assert said == (
        "no code can be read in the picture of the label; clean the label and the lens and scan again, "
        "or give the printed text with --label"
    )


@pytest.mark.parametrize(
    "picture",
    [b"", b"not a picture", draw_label(LABEL)[:2000], b"\xff\xd8\xff\xe0" + bytes(50), b"GIF89a" + bytes(100)],
    ids=["empty", "text", "cut off", "no jpeg", "gif"],
)
def test_damaged_and_unknown_pictures_are_refused(picture: bytes) -> None:
    """A camera that was unplugged leaves half a file."""
    said = refusal(picture)
    assert said.startswith("the picture of the label cannot be opened (")
    assert "take it again or give the printed text with --label" in said


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda tail: b"\x89PNG\r\n\x1a\n" + tail)))
def test_no_bytes_get_through_as_another_error(picture: bytes) -> None:
    """Whatever a camera leaves behind, the operator gets a sentence."""
    with pytest.raises((ScanError, LabelRefused)):
        LabelReader().decode(picture)


SMALL = encoded(scene(symbol(OTHER, scale=2)), "JPEG")


@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_damaged_file_is_read_rightly_or_refused(changes: list[tuple[int, int]]) -> None:
    """JPEG has no checksum, so that damage gives other pictures; none of them gives another label."""
    damaged = bytearray(SMALL)
    for place, value in changes:
        damaged[place] = value
    with contextlib.suppress(ScanError, LabelRefused):
        assert LabelReader().decode(bytes(damaged)).text == OTHER


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 2000), (2000, 1)])
def test_a_picture_can_be_tiny(size: tuple[int, int]) -> None:
    """It shows no label, and that is all."""
    assert refusal(encoded(Image.new("L", size, 90))).startswith("no code can be read")


def test_pictures_that_would_fill_the_memory_are_refused() -> None:
    """A few kilobytes can claim to be gigapixels."""
    huge = encoded(Image.new("1", (9000, 9000)))
    assert "has 9000 x 9000 pixels, at most 40000000 are read" in refusal(huge)
    bomb = encoded(Image.new("1", (20000, 20000)))
    assert refusal(bomb).startswith("the picture of the label")
    assert f"has {MAX_BYTES + 1} bytes, at most {MAX_BYTES} are read" in refusal(bytes(MAX_BYTES + 1))
