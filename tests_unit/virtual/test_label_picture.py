"""lorafab.virtual.label_picture: the virtual camera's pictures are real pictures, and always the same."""

from io import BytesIO

import pytest
from PIL import Image

from lorafab.domain.identity import Eui64
from lorafab.domain.label import tr005_text
from lorafab.drivers.label_reader import LabelReader
from lorafab.virtual.label_picture import HEIGHT, WIDTH, draw_label


def text(number: int) -> str:
    return tr005_text(Eui64(0x00005EEF10000001), Eui64(0x024C464200000000 + number), "FFFF0000", f"LF{number:08}")


@pytest.mark.parametrize("number", [1, 2, 3, 77, 4999, 99999999])
def test_every_sticker_can_be_read(number: int) -> None:
    """What is drawn is what the label reader finds."""
    assert LabelReader().decode(draw_label(text(number))).text == text(number)


def test_the_same_text_gives_the_same_picture() -> None:
    """Runs repeat byte for byte; another text gives another picture."""
    assert draw_label(text(1)) == draw_label(text(1))
    assert draw_label(text(1)) != draw_label(text(2))


def test_pictures_have_the_size_of_a_camera() -> None:
    """Also for a text that needs a larger symbol."""
    for one in (text(1), text(1).split(":S")[0] + ":P" + "A" * 200, "AABBCCDDEEFF0011"):
        picture = Image.open(BytesIO(draw_label(one)))
        assert (picture.size, picture.format) == ((WIDTH, HEIGHT), "PNG")
        assert LabelReader().decode(draw_label(one)).text == one


@pytest.mark.parametrize("alone", ["LC00000001", "LR00000007/4726", "sn=1"])
def test_a_label_of_a_lots_own_form_is_a_sticker_too(alone: str) -> None:
    """Its code is read; only a lot knows what it means."""
    read = LabelReader(accept=str).decode(draw_label(alone))
    assert read.text == alone
