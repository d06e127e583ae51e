"""lorafab.report.label_sheet: what the printer gets is what both readers read, and what a person reads beside it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast, get_args

import pypdfium2
import pytest
import segno
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lorafab.config.load import load_lot
from lorafab.domain.identity import Eui64
from lorafab.errors import LabelRefused, UsageError
from lorafab.report.label_sheet import LAYOUTS, MIN_MODULE, Sticker, Symbology, label_sheet, layout_named
from tests_unit.report.paper import DATA_MATRIX, MM, QR, by_zbar, by_zxing, cut, pdfium, raster, words

ROOT = Path(__file__).resolve().parents[2]
LOT = load_lot(ROOT, "demo")


def stickers(count: int, first: int = 0) -> list[Sticker]:
    """Labels of the demo lot."""
    return [Sticker(LOT.label_text(n), LOT.dev_eui_of(n), LOT.serial_of(n)) for n in range(first, first + count)]


def texts(wanted: Sequence[Sticker]) -> list[list[str]]:
    """What each label's picture has to give: exactly one text."""
    return [[one.text] for one in wanted]


# --- the codes ---


def test_every_code_of_a_sheet_is_read_back_by_both_readers() -> None:
    """70 labels on two pages at 300 dpi, each cut out: its own text and no other; nothing on the last page's rest."""
    wanted, layout = stickers(70), LAYOUTS["L7651"]
    sheet = label_sheet(wanted, "demo", layout)
    pictures = cut(sheet.pdf, layout, 300)
    assert (sheet.pages, len(pictures)) == (2, 130)
    assert [by_zxing(picture) for picture in pictures[:70]] == texts(wanted)
    assert [by_zbar(picture) for picture in pictures[:70]] == texts(wanted)
    for empty in pictures[70:]:
        assert empty.getextrema() == (255, 255)


def test_a_whole_page_holds_the_lots_labels_and_nothing_else() -> None:
    """Side by side the codes make no phantom, and each is a 4-M, as zxing-cpp reads it from the paper."""
    wanted = stickers(70)
    found = [
        code
        for page in raster(label_sheet(wanted, "demo", LAYOUTS["L7651"]).pdf, 300)
        for code in zxingcpp.read_barcodes(page, formats=QR)
    ]
    assert sorted(code.text for code in found) == sorted(one.text for one in wanted)
    versions = [cast(dict[str, str], code.extra)["Version"] for code in found]
    assert {(version, code.ec_level) for version, code in zip(versions, found, strict=True)} == {("4", "M")}


def test_the_codes_are_in_alphanumeric_mode() -> None:
    """The modules of a printed symbol are those that segno gives for 4-M, alphanumeric; in bytes they would not fit."""
    one = stickers(1)[0]
    symbol = segno.make_qr(one.text, error="m", version=4, mode="alphanumeric", boost_error=False)
    assert (symbol.designator, symbol.mode) == ("4-M", "alphanumeric")
    with pytest.raises(segno.DataOverflowError):
        segno.make_qr(one.text, error="m", version=4, mode="byte", boost_error=False)
    layout = layout_named("50x25")
    sheet = label_sheet([one], "demo", layout)
    assert sheet.symbol == "QR 4-M"
    scale = 8  # dots a module
    picture = next(raster(sheet.pdf, MM / sheet.module * scale))
    corner = zxingcpp.read_barcodes(picture, formats=QR)[0].position.top_left
    side = len(symbol.matrix)
    printed = [
        [
            picture.getpixel((corner.x + scale // 2 + scale * x, corner.y + scale // 2 + scale * y)) == 0
            for x in range(side)
        ]
        for y in range(side)
    ]
    assert printed == [[bool(module) for module in row] for row in symbol.matrix]


@pytest.mark.parametrize("name", [*LAYOUTS, "35.6x16.9:5x16+2.5x0", "letter:40x20:5x13", "50x25", "25x25"])
@pytest.mark.parametrize("dpi", [203, 300])
def test_every_layout_is_read_back_at_every_printers_resolution(name: str, dpi: int) -> None:
    """203 dpi is the coarsest thermal printer, also where the modules are no whole dots of it."""
    wanted, layout = stickers(4, first=4990), layout_named(name)
    sheet = label_sheet(wanted, "demo", layout)
    assert sheet.symbol == "QR 4-M"
    pictures = cut(sheet.pdf, layout, dpi)[:4]
    assert [by_zxing(picture) for picture in pictures] == texts(wanted)
    assert [by_zbar(picture) for picture in pictures] == texts(wanted)


@pytest.mark.parametrize("dpi", [203, 300])
@pytest.mark.parametrize("name", ["L7651", "40x15:4x17"])
def test_data_matrix_is_read_back(name: str, dpi: int) -> None:
    """Square, where the lot wants Data Matrix; a millimetre more of it fits a label."""
    wanted, layout = stickers(66), layout_named(name)
    sheet = label_sheet(wanted, "demo", layout, "datamatrix")
    assert sheet.symbol == "Data Matrix 32x32"
    pictures = cut(sheet.pdf, layout, dpi)[: len(wanted)]
    assert [by_zxing(picture, DATA_MATRIX) for picture in pictures] == texts(wanted)


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("LF00000001", "QR 1-M"),
        ("S" * 20, "QR 1-M"),
        ("S" * 21, "QR 4-M"),
        ("S" * 90, "QR 4-M"),
        ("S" * 91, "QR 5-M"),
        ("S" * 311, "QR 10-M"),
    ],
)
def test_the_symbol_follows_the_text(text: str, symbol: str) -> None:
    """4-M for what TR005 labels have; a serial alone is smaller, and what does not fit gets what it needs."""
    layout = layout_named("60x40")
    sheet = label_sheet([Sticker(text, None, "LF00000001")], "demo", layout)
    assert sheet.symbol == symbol
    assert [by_zxing(picture) for picture in cut(sheet.pdf, layout, 300)] == [[text]]


def test_a_text_that_alphanumeric_mode_lacks_is_refused() -> None:
    """Lower case would be another, larger symbol, and no TR005 label; the text, perhaps a token, is not shown."""
    with pytest.raises(LabelRefused, match="alphanumeric set, wanted only 0-9 A-Z") as caught:
        label_sheet([Sticker("lw:d0:SECRET", None, "1")], "demo", LAYOUTS["L7651"])
    assert "SECRET" not in str(caught.value)


def test_the_picture_in_the_documentation_is_a_sheet_of_the_demo_lot() -> None:
    """Its codes can be read: labels 1 to 25."""
    with Image.open(ROOT / "docs" / "label-sheet.png") as picture:
        assert sorted(by_zxing(picture)) == [one.text for one in stickers(25)]


# --- the module ---


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("L7651", 5 / 300 * MM),
        ("L7636", 5 / 300 * MM),
        ("L7654", 6 / 300 * MM),
        ("5160", 6 / 300 * MM),
        ("35.6x16.9:5x16", 4 / 300 * MM),
        ("50x25", 4 / 8),
        ("25x25", 3 / 8),
    ],
)
def test_a_module_is_a_whole_number_of_dots(name: str, module: float) -> None:
    """As large as the label lets it be, never below 0.33 mm, never over half a millimetre."""
    assert label_sheet(stickers(1), "demo", layout_named(name)).module == pytest.approx(module)
    assert module >= MIN_MODULE


@pytest.mark.parametrize(("dpi", "name"), [(300, "L7651"), (600, "5160"), (203.2, "50x25"), (203.2, "25x25")])
def test_on_its_printer_no_dot_is_half_a_module(dpi: float, name: str) -> None:
    """All edges lie between dots: in the code every pixel is black or white, and every run whole modules."""
    layout = layout_named(name)
    sheet = label_sheet(stickers(1), "demo", layout)
    picture = cut(sheet.pdf, layout, dpi)[0]
    place = zxingcpp.read_barcodes(picture, formats=QR)[0].position
    side = round(33 * sheet.module * dpi / MM)
    code = picture.crop((place.top_left.x, place.top_left.y, place.top_left.x + side, place.top_left.y + side))
    levels = code.histogram()
    # PDFium counts in single precision: an edge may be off by a hundredth of a dot.
    assert sum(levels[:4] + levels[252:]) == side * side
    assert side % 33 == 0
    code = code.point(lambda level: 255 * (level > 127))
    assert code == code.resize((33, 33), Image.Resampling.NEAREST).resize((side, side), Image.Resampling.NEAREST)


@pytest.mark.parametrize("name", ["25.4x10:7x27", "44.45x12.7:4x20", "15.9x15.9", "15x60", "0x0"])
def test_a_label_that_is_too_small_is_refused(name: str) -> None:
    """One sentence with what it measures, what the symbol takes, and what to choose (25.4 x 10 mm: Avery L4731)."""
    layout = layout_named(name)
    with pytest.raises(UsageError) as caught:
        label_sheet(stickers(1), "demo", layout)
    sentence = str(caught.value)
    assert f"labels of {layout.label[0]:g} x {layout.label[1]:g} mm are too small: QR 4-M" in sentence
    assert "at least 0.33 mm" in sentence
    assert "choose another --layout, such as L7651" in sentence


def test_data_matrix_does_not_fit_the_smallest_labels_either() -> None:
    """The sentence names the symbol that was wanted."""
    with pytest.raises(UsageError, match=r"too small: Data Matrix 32x32 .* takes 14\.2 x 14\.2 mm"):
        label_sheet(stickers(1), "demo", layout_named("25.4x10:7x27"), "datamatrix")


# --- what a person reads ---


def test_dev_eui_serial_and_lot_stand_beside_the_code() -> None:
    """The DevEUI in groups of four digits."""
    assert words(label_sheet(stickers(1), "demo", LAYOUTS["L7651"]).pdf) == [
        "024C 4642",
        "0000 0001",
        "LF00000001",
        "demo",
    ]


def test_a_narrow_label_has_its_text_below_the_code() -> None:
    """And a wide one the DevEUI in one line."""
    assert words(label_sheet(stickers(1), "demo", layout_named("22x40")).pdf)[0] == "024C 4642"
    assert words(label_sheet(stickers(1), "demo", layout_named("90x25")).pdf)[0] == "024C 4642 0000 0001"


def test_where_nobody_knows_the_dev_eui_the_serial_stands_alone() -> None:
    """Labels of lots whose DevEUIs are in the chips."""
    one = Sticker("LF00000001", None, "LF00000001")
    assert words(label_sheet([one], "demo", LAYOUTS["L7651"]).pdf) == ["LF00000001", "demo"]


def test_a_lots_long_name_is_shrunk_then_cut() -> None:
    """It identifies nothing, the label does."""
    shown = words(label_sheet(stickers(1), "W" * 32, LAYOUTS["L7651"]).pdf)[-1]
    assert shown.startswith("WWWWWWWWWW")
    assert shown.endswith("…")
    assert (
        words(label_sheet(stickers(1), "a-name-of-twenty-two-s", LAYOUTS["L7651"]).pdf)[-1] == "a-name-of-twenty-two-s"
    )


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(10, 90),
    height=st.integers(10, 60),
    serial=st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-", min_size=1, max_size=16),
    lot=st.text("abcWM-_019", min_size=1, max_size=32),
    symbology=st.sampled_from(get_args(Symbology)),
)
def test_any_label_is_refused_or_right(width: int, height: int, serial: str, lot: str, symbology: Symbology) -> None:
    """It reads back, nothing comes near the edge, and the quiet zone is quiet, whatever size and names."""
    text = f"LW:D0:00005EEF10000001:024C464200000001:FFFF0000:S{serial}:C1234"
    layout = layout_named(f"{width}x{height}")
    kind, quiet = (QR, 4) if symbology == "qr" else (DATA_MATRIX, 2)
    one = Sticker(text, Eui64.parse("024C464200000001"), serial)
    try:
        sheet = label_sheet([one], lot, layout, symbology)
    except UsageError:
        assert min(width, height) < 24
        return
    dots = 24  # a millimetre
    picture = next(raster(sheet.pdf, dots * MM))
    found = zxingcpp.read_barcodes(picture, formats=kind)
    assert [code.text for code in found] == [text]
    dark = picture.point(lambda level: 255 - level)
    left, top, right, bottom = dark.getbbox() or (0, 0, 0, 0)
    edge = 0.9 * dots
    assert min(left, top, picture.width - right, picture.height - bottom) >= edge
    place = found[0].position
    ring = quiet * sheet.module * dots - 2  # the reader's corners are right to a pixel or two
    around = dark.crop(
        (
            round(place.top_left.x - ring),
            round(place.top_left.y - ring),
            round(place.bottom_right.x + ring),
            round(place.bottom_right.y + ring),
        )
    )
    core = round(place.bottom_right.x - place.top_left.x) + 3
    around.paste(0, (round(ring) - 1, round(ring) - 1, round(ring) + core, round(ring) + core))
    assert around.getbbox() is None


# --- the file ---


def test_symbols_and_text_are_vectors() -> None:
    """No picture in the file: a printer of any resolution draws sharp edges. One path a symbol."""
    with pypdfium2.PdfDocument(label_sheet(stickers(3), "demo", LAYOUTS["L7651"]).pdf) as document:
        kinds = [one.type for one in document[0].get_objects()]
    assert set(kinds) == {pdfium.FPDF_PAGEOBJ_PATH, pdfium.FPDF_PAGEOBJ_TEXT}
    assert kinds.count(pdfium.FPDF_PAGEOBJ_PATH) == 3


@pytest.mark.parametrize(("name", "size"), [("L7651", (210, 297)), ("5160", (215.9, 279.4)), ("50x25.5", (50, 25.5))])
def test_pages_have_the_size_of_the_paper(name: str, size: tuple[float, float]) -> None:
    """A4, Letter, or the label itself on a roll."""
    with pypdfium2.PdfDocument(label_sheet(stickers(1), "demo", layout_named(name)).pdf) as document:
        assert [side * MM / 72 for side in document[0].get_size()] == pytest.approx(size, abs=0.01)


def test_the_same_labels_give_the_same_bytes_in_every_process() -> None:
    """No clock, no environment, no hash seed."""
    program = (
        "import hashlib, json; from tests_unit.report.test_label_sheet import *;"
        "print(json.dumps([hashlib.sha256(label_sheet(stickers(3), 'demo', LAYOUTS['L7651'], kind).pdf).hexdigest()"
        " for kind in ('qr', 'datamatrix')]))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    ]
    assert runs[0] == runs[1]
    assert len(set(json.loads(runs[0]))) == 2


# --- layouts ---


@pytest.mark.parametrize(
    ("text", "page", "label", "grid", "gap"),
    [
        ("l7651", (210, 297), (38.1, 21.2), (5, 13), (2.5, 0)),
        ("5160", (215.9, 279.4), (66.675, 25.4), (3, 10), (3.175, 0)),
        ("50x25", (50, 25), (50, 25), (1, 1), (0, 0)),
        ("50x25mm", (50, 25), (50, 25), (1, 1), (0, 0)),
        ("40x20:5x14", (210, 297), (40, 20), (5, 14), (0, 0)),
        ("A4:40x20mm:4X13+2x1.5", (210, 297), (40, 20), (4, 13), (2, 1.5)),
        ("Letter:40x20:5x13", (215.9, 279.4), (40, 20), (5, 13), (0, 0)),
    ],
)
def test_layouts_have_names_or_measures(
    text: str, page: object, label: object, grid: tuple[int, int], gap: object
) -> None:
    """Upper and lower case alike."""
    layout = layout_named(text)
    assert (layout.page, layout.label, (layout.columns, layout.rows), layout.gap) == (page, label, grid, gap)


def test_labels_lie_centred_row_by_row() -> None:
    """First label upper left; L7651 begins 4.75 mm from the left and 10.7 mm from the top."""
    layout = LAYOUTS["L7651"]
    assert layout.corner(0) == pytest.approx((4.75, 10.7))
    assert layout.corner(1) == pytest.approx((4.75 + 40.6, 10.7))
    assert layout.corner(5) == pytest.approx((4.75, 10.7 + 21.2))
    assert layout.corner(64) == pytest.approx((210 - 4.75 - 38.1, 297 - 10.7 - 21.2))


@pytest.mark.parametrize("text", ["", "L9999", "50", "50x", "x25", "50x25:5", "-50x25", "5e1x25", "５０x25", "1e999x1"])
def test_a_layout_that_does_not_exist_is_refused(text: str) -> None:
    """With the names and the form of one's own."""
    with pytest.raises(UsageError, match=r"is unknown, wanted L7651, .*WxH in mm") as caught:
        layout_named(text)
    assert "correct --layout" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["40x20:6x13", "40x20:5x15", "40x20:0x3", "40x20:5x0", "letter:40x20:5x14", "40x20:5x2+9x0"]
)
def test_labels_that_do_not_fit_the_page_are_refused(text: str) -> None:
    """Before anything is drawn beside the paper."""
    with pytest.raises(UsageError, match=r"mm, wanted at least one and at most 2\d\d(\.9)? x 2\d\d(\.4)? mm; correct"):
        layout_named(text)


@given(st.text(max_size=30) | st.from_regex(r"[\dx:.+a4letr]{1,30}"))
def test_any_text_is_a_layout_or_a_sentence(text: str) -> None:
    """Nothing that somebody types breaks it."""
    with suppress(UsageError):
        assert layout_named(text).count >= 1
