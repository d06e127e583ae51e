"""lorafab.drivers.label_picture_filters: each treatment brings up labels that the picture as it is does not show."""

from io import BytesIO
from random import Random

import pytest
from PIL import Image

from bench.label_damage import Damage, Symbology, label_text, photograph
from lorafab.drivers import label_reader
from lorafab.drivers.label_picture_filters import TREATED
from lorafab.drivers.label_reader import LabelReader, Symbol
from lorafab.errors import ScanError


@pytest.mark.parametrize(
    ("symbology", "damage", "treatment"),
    [
        ("datamatrix", Damage(blur=0.3, contrast=90, noise=8, tilt=20, shadow=0.4), "halved"),
        ("qr", Damage(blur=0.52), "sharpened"),
        ("datamatrix", Damage(blur=0.52), "sharpened"),
        ("datamatrix", Damage(pixels=1.2), "enlarged"),
        ("qr", Damage(pixels=2.5, blur=0.5), "sharpened and doubled"),
    ],
)
def test_each_treatment_reads_what_was_not_to_be_read(
    monkeypatch: pytest.MonkeyPatch, symbology: Symbology, damage: Damage, treatment: str
) -> None:
    """And the record says what had to be done."""
    rng = Random(4)
    text = label_text(rng)
    picture = photograph(text, symbology, damage, rng)
    found = LabelReader().decode(picture)
    assert found.text == text
    assert f"zxing-cpp ({treatment})" in found.reader
    monkeypatch.setattr(label_reader, "TREATED", ())
    with pytest.raises(ScanError, match="no code can be read"):
        LabelReader().decode(picture)


def test_no_treatment_makes_a_picture_of_more_than_twelve_million_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large picture costs a second and not a minute."""
    seen: list[tuple[int, int]] = []

    def look(grey: Image.Image) -> list[Symbol]:
        seen.append(grey.size)
        return []

    monkeypatch.setattr(label_reader, "_load_zbar", lambda: None)
    monkeypatch.setattr(label_reader, "_load_zxing", lambda kinds: look)
    for size in ((640, 480), (1600, 1200), (4100, 3100)):
        buffer = BytesIO()
        Image.new("L", size, 200).save(buffer, format="PNG", compress_level=1)
        with pytest.raises(ScanError, match="no code can be read"):
            LabelReader().decode(buffer.getvalue())
    treated = [size for size in seen if size not in ((640, 480), (1600, 1200), (4100, 3100))]
    assert treated == [(320, 240), (1920, 1440), (1280, 960), (800, 600), (3200, 2400), (2050, 1550)]
    assert all(width * height <= 12_000_000 for width, height in treated)


def test_treatments_keep_pictures_grey() -> None:
    """Every reader takes 8 bits of grey."""
    assert {attempt.prepare(Image.new("L", (40, 30), 128)).mode for attempt in TREATED} == {"L"}
