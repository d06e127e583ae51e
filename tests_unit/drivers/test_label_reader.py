"""lorafab.drivers.label_reader: the one label in a picture is read, or the operator learns why not."""

from io import BytesIO

import pytest
import segno
from PIL import Image, ImageFilter

from lorafab.domain.label import checksum
from lorafab.drivers import label_reader
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
    assert found.reader.startswith(reader.names)


def test_a_run_says_when_only_one_reader_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without libzbar0 labels are read by zxing-cpp, and everybody who sees the label sees that."""
    monkeypatch.setattr(label_reader, "_load_zbar", lambda: None)
    assert LabelReader().decode(encoded(scene(symbol(LABEL)))).reader == "zxing-cpp (libzbar0 is missing)"


@pytest.mark.parametrize("angle", [0, 90, 180, 33])
def test_the_camera_may_stand_anywhere(angle: int) -> None:
    """Labels are read turned as well."""
    turned = scene(symbol(LABEL)).rotate(angle, expand=True, fillcolor=255)
    assert LabelReader().decode(encoded(turned)).text == LABEL


def test_colours_transparency_and_depth_do_not_matter() -> None:
    """Printed programs give transparent pictures, industrial cameras 16 bits."""
    grey = scene(symbol(LABEL))
    clear = Image.merge("LA", (Image.new("L", grey.size, 0), grey.point(lambda value: 255 - value)))
    deep = grey.convert("I").point(lambda value: value * 256).convert("I;16")
    for picture in (grey.convert("RGB"), grey.convert("1"), grey.convert("P"), clear, clear.convert("RGBA"), deep):
        assert LabelReader().decode(encoded(picture)).text == LABEL


def test_a_small_or_blurred_label_is_read_by_looking_again() -> None:
    """One and a half pixels a module is what is left far away from a cheap camera."""
    small = (
        scene(symbol(LABEL, scale=4)).resize((95, 95), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(0.3))
    )
    assert LabelReader().decode(encoded(small)).text == LABEL


def test_the_same_label_twice_is_one_label() -> None:
    """Stickers are often printed in pairs."""
    assert LabelReader().decode(encoded(scene(symbol(LABEL), symbol(LABEL)))).text == LABEL


def test_codes_that_are_no_labels_are_passed_over() -> None:
    """A web address beside the label is not an error."""
    assert LabelReader().decode(encoded(scene(symbol("https://example.com"), symbol(LABEL)))).text == LABEL


def test_two_labels_are_nobodys() -> None:
    """Which of them is on this board cannot be known."""
    assert refusal(encoded(scene(symbol(LABEL), symbol(OTHER)))).startswith("the picture shows 2 different labels")


def test_a_code_that_is_no_label_says_what_it_is() -> None:
    """The label's own refusal is more useful than `nothing read`."""
    with pytest.raises(LabelRefused, match="the label is a web address"):
        LabelReader().decode(encoded(scene(symbol("https://example.com"))))


def test_strange_bytes_in_a_code_are_refused_as_such() -> None:
    """NUL and bytes beyond ASCII do not turn into other letters on the way."""
    with pytest.raises(LabelRefused, match=r"character 17 of the label is U\+0000"):
        LabelReader().decode(encoded(scene(symbol(b"AABBCCDDEEFF0011\0"))))
    with pytest.raises(LabelRefused, match=r"character \d+ of the label is U\+00"):
        LabelReader().decode(encoded(scene(symbol(b"AABBCCDDEEFF001\xe9"))))


def test_a_micro_qr_code_is_no_label() -> None:
    """Noise looks like one now and then."""
    assert "no code can be read" in refusal(encoded(scene(symbol("391513", micro=True, scale=12))))


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


def test_pictures_that_would_fill_the_memory_are_refused() -> None:
    """A few kilobytes can claim to be gigapixels."""
    huge = encoded(Image.new("1", (9000, 9000)))
    assert "has 9000 x 9000 pixels, at most 40000000 are read" in refusal(huge)
    bomb = encoded(Image.new("1", (20000, 20000)))
    assert refusal(bomb).startswith("the picture of the label")
    assert f"has {MAX_BYTES + 1} bytes, at most {MAX_BYTES} are read" in refusal(bytes(MAX_BYTES + 1))
