"""Label sheets: the stickers of a lot as PDF, symbols and text as vectors. The door to reportlab.

The same labels on the same layout give the same bytes: no clock, no environment. Lengths are millimetres, sizes of
letters points of 1/72 inch.

Module size: at least 0.33 mm, which is four dots of a 300 dpi printer; DENSO WAVE, who made the QR code, recommends
four dots or more a module (qrcode.com, "Point for setting the module size"). It is always a whole number of dots
(1/300 inch on sheets, which 600 and 1200 dpi divide; 1/8 mm on a roll, as thermal printers of 203 dpi have), because
a module of 2.6 dots is printed with 2 or with 3. The largest that leaves room for the text is taken: on a roll 0.5 mm,
or 0.375 mm, which are three dots only.

Symbols: QR in alphanumeric mode, version 4 level M for a TR005 label (the symbol of TR005's own example). A text of
more than 90 characters gets the smallest larger one of level M, a serial alone the smallest one. Or square Data
Matrix (ECC 200).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from typing import TYPE_CHECKING, Final, Literal, cast

from lorafab.domain.identity import Eui64
from lorafab.errors import LabelRefused, UsageError

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

Symbology = Literal["qr", "datamatrix"]
_Matrix = Sequence[Sequence[bool]]

MIN_MODULE: Final = 0.33
_MAX_MODULE: Final = 0.51
"""A larger one is no easier to read at a hand's distance, and takes the room of the text."""
_QUIET: Final[dict[Symbology, int]] = {"qr": 4, "datamatrix": 2}
"""White modules around: ISO/IEC 18004 (9.1) wants 4, ISO/IEC 16022 wants 1, and the second keeps our text off."""
_MARGIN: Final = 1.0
"""Inside each label: cutting and feeding drift, and must not drift into the quiet zone."""
_GAP: Final = 0.2
"""Between quiet zone and text: bold letters hang a little over their own place."""
_ALPHANUMERIC: Final = re.compile(r"[0-9A-Z $%*+\-./:]+")  # ISO/IEC 18004, 7.4.4
_FITS_1M: Final = 20  # characters in alphanumeric mode (ISO/IEC 18004, table 7)
_FITS_4M: Final = 90

_FONT, _LOT_FONT = "Courier-Bold", "Helvetica"  # of the 14 that every viewer has (ISO 32000-1, 9.6.2.2)
_ADVANCE: Final = 0.6  # Courier's width of a character, of its size
_MIN_PT: Final = 5.0
"""Capitals 1 mm high."""
_MAX_PT: Final = 9.0
_LEADING: Final = 1.2
_LOT_SHARE: Final = 0.75
"""The lot's name is smaller than the rest, and shrinks to this size before it is cut:"""
_MIN_LOT_PT: Final = 3.0

_POINT: Final = 25.4 / 72
_SHEET_DOT: Final = 25.4 / 300
_ROLL_DOT: Final = 1 / 8
_PAGES: Final = {"a4": (210.0, 297.0), "letter": (215.9, 279.4)}


@dataclass(frozen=True)
class Layout:
    """Where labels lie on a page: ``columns`` x ``rows``, centred as a whole. Pairs are (width, height)."""

    name: str
    page: tuple[float, float]
    label: tuple[float, float]
    columns: int = 1
    rows: int = 1
    gap: tuple[float, float] = (0.0, 0.0)
    """Between columns, between rows."""
    dot: float = _SHEET_DOT
    """A module is a whole number of these."""

    @property
    def count(self) -> int:
        """Labels on a page."""
        return self.columns * self.rows

    @property
    def block(self) -> tuple[float, float]:
        """All labels of a page together."""
        return (
            self.columns * self.label[0] + (self.columns - 1) * self.gap[0],
            self.rows * self.label[1] + (self.rows - 1) * self.gap[1],
        )

    def corner(self, place: int) -> tuple[float, float]:
        """Upper left corner of label ``place``, 0 .. count - 1, row by row; from the page's upper left corner."""
        row, column = divmod(place, self.columns)
        return (
            (self.page[0] - self.block[0]) / 2 + column * (self.label[0] + self.gap[0]),
            (self.page[1] - self.block[1]) / 2 + row * (self.label[1] + self.gap[1]),
        )


# Size, columns and rows as sold by Avery (5160: Letter, the others: A4). Corners of L7651 and L7654 are within 0.2 and
# 0.5 mm of those in gLabels' templates (Avery 8651 and L4770 families). The gaps of L7636 and 5160 are unverified:
# sources differ, for 5160 by 0.8 mm in the outer columns.
LAYOUTS: Final = {
    layout.name: layout
    for layout in (
        Layout("L7651", _PAGES["a4"], (38.1, 21.2), 5, 13, (2.5, 0.0)),
        Layout("L7636", _PAGES["a4"], (45.7, 21.2), 4, 12, (2.5, 0.0)),
        Layout("L7654", _PAGES["a4"], (45.7, 25.4), 4, 10, (2.5, 0.0)),
        Layout("5160", _PAGES["letter"], (66.675, 25.4), 3, 10, (3.175, 0.0)),
    )
}

_SIZE = r"(\d{1,3}(?:\.\d{1,3})?)x(\d{1,3}(?:\.\d{1,3})?)"
_OWN_LAYOUT = re.compile(
    rf"(?:(?P<page>A4|LETTER):)?{_SIZE}(?:MM)?:(?P<columns>\d\d?)x(?P<rows>\d\d?)(?:\+{_SIZE})?",
    re.ASCII | re.IGNORECASE,
)
_ROLL = re.compile(rf"{_SIZE}(?:MM)?", re.ASCII | re.IGNORECASE)


def layout_named(text: str) -> Layout:
    """Find a layout by its name, or read one's own.

    ``WxH`` is a roll: a page is one label of W x H mm. ``WxH:CxR`` is C columns and R rows of them on A4, with
    ``letter:`` before it on Letter, with ``+GXxGY`` behind it GX mm between columns and GY between rows. Raises
    UsageError.
    """
    if text.upper() in LAYOUTS:
        return LAYOUTS[text.upper()]
    if roll := _ROLL.fullmatch(text):
        size = float(roll[1]), float(roll[2])
        return Layout(text, size, size, dot=_ROLL_DOT)
    own = _OWN_LAYOUT.fullmatch(text)
    if own is None:
        raise UsageError(
            f"layout {text[:40]!r} is unknown, wanted {', '.join(LAYOUTS)}, or your own as WxH in mm (a roll) or "
            "[letter:]WxH:COLUMNSxROWS[+GAPxGAP] (a sheet); correct --layout"
        )
    page, width, height, columns, rows, gap_x, gap_y = own.groups()
    gaps = float(gap_x or 0), float(gap_y or 0)
    layout = Layout(text, _PAGES[(page or "a4").lower()], (float(width), float(height)), int(columns), int(rows), gaps)
    if not layout.count or layout.block[0] > layout.page[0] or layout.block[1] > layout.page[1]:
        raise UsageError(
            f"the {layout.count} labels of layout {text} take {layout.block[0]:g} x {layout.block[1]:g} mm, wanted at "
            f"least one and at most {layout.page[0]:g} x {layout.page[1]:g} mm; correct --layout"
        )
    return layout


@dataclass(frozen=True)
class Sticker:
    """What one label shows: ``text`` in its symbol, the rest for people."""

    text: str
    dev_eui: Eui64 | None
    """None where the label was printed before anybody knew it."""
    serial: str


@dataclass(frozen=True)
class Sheet:
    """What :func:`label_sheet` made."""

    pdf: bytes
    pages: int
    symbol: str
    """``QR 4-M``, ``Data Matrix 32x32``: the largest of them."""
    module: float
    """Side of a module in mm."""


def label_sheet(stickers: Sequence[Sticker], lot: str, layout: Layout, symbology: Symbology = "qr") -> Sheet:
    """Draw ``stickers``, at least one, row by row on as many pages as they need, each with the lot's name.

    Raises UsageError when the layout's labels are too small, LabelRefused for a text that the symbol does not carry.
    """
    from reportlab.pdfgen.canvas import Canvas

    # A QR symbol's version follows from the length alone, and takes milliseconds to make; Data Matrix is quick.
    samples = [max(stickers, key=lambda sticker: len(sticker.text))] if symbology == "qr" else stickers
    name, largest = max((_symbol(sticker.text, symbology) for sticker in samples), key=lambda symbol: len(symbol[1]))
    words = _Words(any(sticker.dev_eui for sticker in stickers), max(len(sticker.serial) for sticker in stickers))
    design = _design(layout, name, len(largest), _QUIET[symbology], words)
    buffer = BytesIO()
    page = layout.page[0] / _POINT, layout.page[1] / _POINT
    canvas = Canvas(buffer, pagesize=page, pageCompression=1, invariant=1)
    canvas.setTitle(f"Labels of lot {lot}")
    canvas.setCreator("lorafab")
    for number, sticker in enumerate(stickers):
        place = number % layout.count
        if number and not place:
            canvas.showPage()
        _, matrix = _symbol(sticker.text, symbology)
        _draw_label(canvas, layout, place, design, matrix, _lines(sticker, lot, design))
    canvas.save()
    return Sheet(buffer.getvalue(), math.ceil(len(stickers) / layout.count), name, design.module)


# --- symbols ---


def _symbol(text: str, symbology: Symbology) -> tuple[str, _Matrix]:
    """Name of the symbol, and its modules without quiet zone, dark ones True."""
    return _qr(text) if symbology == "qr" else _data_matrix(text)


def _qr(text: str) -> tuple[str, _Matrix]:
    import segno

    if not _ALPHANUMERIC.fullmatch(text):
        raise LabelRefused(
            "the label's text has characters outside QR's alphanumeric set, wanted only 0-9 A-Z blank $ % * + - . / :, "
            "as TR005 has; correct the lot file"
        )
    version = 4 if _FITS_1M < len(text) <= _FITS_4M else None
    symbol = segno.make_qr(text, error="m", version=version, mode="alphanumeric", boost_error=False)
    return f"QR {symbol.designator}", [[bool(module) for module in row] for row in symbol.matrix]


def _data_matrix(text: str) -> tuple[str, _Matrix]:
    import zxingcpp

    symbol = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.DataMatrix, force_square=True)
    # The library's stub does not say that its image is a buffer: one byte a module, 0 for a dark one.
    grey = memoryview(cast(bytes, symbol.to_image(scale=1, add_quiet_zones=False))).tobytes()
    side = math.isqrt(len(grey))
    rows = [[not module for module in grey[start : start + side]] for start in range(0, len(grey), side)]
    return f"Data Matrix {side}x{side}", rows


# --- one label ---


@dataclass(frozen=True)
class _Words:
    """The most that has to be written on one of the labels, beside the lot's name."""

    dev_eui: bool
    serial: int
    """Characters."""


@dataclass(frozen=True)
class _Design:
    """How all labels of a lot look: a symbol, and the text beside or below it."""

    module: float
    quiet: int
    symbol: float
    """Side with quiet zones."""
    beside: bool
    groups: int
    """Groups of four hex digits of the DevEUI in a line: 4, 2 or 1."""
    size: float
    """Of DevEUI and serial, in points."""
    text: tuple[float, float]
    """Room for the text."""


def _design(layout: Layout, name: str, modules: int, quiet: int, words: _Words) -> _Design:
    """Take the largest module that leaves room for a text, then the place and grouping of the largest text."""
    width, height = (side - 2 * _MARGIN for side in layout.label)
    fewest = math.ceil(MIN_MODULE / layout.dot)
    for dots in range(math.floor(_MAX_MODULE / layout.dot), fewest - 1, -1):
        side = (modules + 2 * quiet) * dots * layout.dot
        if side > min(width, height):
            continue
        designs = [
            _Design(dots * layout.dot, quiet, side, beside, groups, _text_size(room, groups, words), room)
            for beside, room in ((True, (width - side - _GAP, height)), (False, (width, height - side - _GAP)))
            for groups in (4, 2, 1)
        ]
        best = max(designs, key=lambda design: design.size)
        if best.size >= _MIN_PT:
            return best
    smallest = (modules + 2 * quiet) * fewest * layout.dot + 2 * _MARGIN
    raise UsageError(
        f"labels of {layout.label[0]:g} x {layout.label[1]:g} mm are too small: {name} with modules of at least "
        f"{MIN_MODULE} mm, quiet zone and margin takes {smallest:.1f} x {smallest:.1f} mm, and the text wants room "
        f"beside or below it; choose another --layout, such as {next(iter(LAYOUTS))}, or shorter serials"
    )


def _text_size(room: tuple[float, float], groups: int, words: _Words) -> float:
    """Points, in quarters, so that DevEUI, serial and lot name fit into ``room``; 0 for no room at all."""
    characters = max(5 * groups - 1 if words.dev_eui else 1, words.serial)
    lines = (4 // groups if words.dev_eui else 0) + (words.serial > 0) + _LOT_SHARE
    size = min(room[0] / _POINT / (_ADVANCE * characters), room[1] / _POINT / (_LEADING * lines), _MAX_PT)
    return math.floor(max(0.0, size) * 4) / 4


_Line = tuple[str, str, float]
"""Text, font, size."""


def _lines(sticker: Sticker, lot: str, design: _Design) -> list[_Line]:
    digits = str(sticker.dev_eui or "")
    groups = [digits[start : start + 4] for start in range(0, len(digits), 4)]
    texts = [" ".join(groups[start : start + design.groups]) for start in range(0, len(groups), design.groups)]
    texts += [sticker.serial] if sticker.serial else []
    return [*((text, _FONT, design.size) for text in texts), _lot_line(lot, design)]


def _lot_line(lot: str, design: _Design) -> _Line:
    """The lot's name, shrunk where it is long, and cut where that is not enough: it identifies nothing."""
    room = design.text[0] / _POINT
    size = max(_MIN_LOT_PT, min(_LOT_SHARE * design.size, room / _width(lot, _LOT_FONT, 1)))
    kept = len(lot)
    while _width(shown := lot[:kept] + ("…" if kept < len(lot) else ""), _LOT_FONT, size) > room + 1e-6:
        kept -= 1
    return shown, _LOT_FONT, size


def _width(text: str, font: str, size: float) -> float:
    from reportlab.pdfbase.pdfmetrics import stringWidth

    return float(stringWidth(text, font, size))


def _draw_label(
    canvas: "Canvas", layout: Layout, place: int, design: _Design, matrix: _Matrix, lines: Sequence[_Line]
) -> None:
    """Symbol and text together stand in the middle of the label."""
    left, top = layout.corner(place)
    text_width = max(_width(*line) for line in lines) * _POINT
    text_height = sum(_LEADING * size for _, _, size in lines) * _POINT
    middle_x, middle_y = left + layout.label[0] / 2, top + layout.label[1] / 2
    width, height = (_GAP + text_width, 0.0) if design.beside else (0.0, _GAP + text_height)
    quiet = design.quiet * design.module
    # On whole dots, like the modules: no edge is between two dots, where noise would decide.
    symbol_x, symbol_y = (
        round((middle - (design.symbol + more) / 2 + quiet) / layout.dot) * layout.dot
        for middle, more in ((middle_x, width), (middle_y, height))
    )
    end = design.symbol - quiet + _GAP
    text_x = symbol_x + end if design.beside else middle_x - text_width / 2
    text_y = middle_y - text_height / 2 if design.beside else symbol_y + end
    _draw_symbol(canvas, symbol_x, layout.page[1] - symbol_y, design.module, matrix)
    for text, font, size in lines:
        text_y += _LEADING * size * _POINT
        canvas.setFont(font, size)
        # Letters hang over the line's foot a little; the leading is theirs.
        canvas.drawString(text_x / _POINT, (layout.page[1] - text_y) / _POINT + 0.3 * size, text)


def _draw_symbol(canvas: "Canvas", left: float, top: float, module: float, matrix: _Matrix) -> None:
    """One path of whole modules, so that no viewer shows seams; ``top`` counts from the page's foot."""
    canvas.saveState()
    canvas.translate(left / _POINT, top / _POINT)
    canvas.scale(module / _POINT, -module / _POINT)
    path = canvas.beginPath()
    for y, row in enumerate(matrix):
        x = 0
        for dark, run in groupby(row):
            length = sum(1 for _ in run)
            if dark:
                path.rect(x, y, length, 1)
            x += length
    canvas.drawPath(path, stroke=0, fill=1)
    canvas.restoreState()
