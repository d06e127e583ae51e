"""Prints a label sheet on paper that can be looked at: pages as dots, labels cut apart, and the two label readers."""

import ctypes
import math
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pypdfium2
import zxingcpp
from PIL import Image
from pyzbar import pyzbar

from lorafab.report.label_sheet import Layout

pdfium: Any = import_module("pypdfium2.raw")  # PDFium's C functions, which the package makes while it is imported

MM = 25.4  # an inch
QR = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCodeModel2])
DATA_MATRIX = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.DataMatrix])


def raster(pdf: bytes, dpi: float) -> Iterator[Image.Image]:
    """Every page as a printer of this resolution puts it down: from the upper left corner, and not stretched.

    PDFium's usual way stretches a page to a whole number of pixels, and moves edges by parts of a dot.
    """
    with pypdfium2.PdfDocument(pdf) as document:
        for page in document:
            width, height = (math.ceil(side * dpi / 72 - 1e-3) for side in page.get_size())
            grey = bytearray(b"\xff" * (width * height))
            bitmap = pypdfium2.PdfBitmap.new_native(
                width,
                height,
                pdfium.FPDFBitmap_Gray,
                buffer=(ctypes.c_ubyte * len(grey)).from_buffer(grey),
                stride=width,
            )
            scale = pdfium.FS_MATRIX(a=dpi / 72, b=0, c=0, d=dpi / 72, e=0, f=0)
            clip = pdfium.FS_RECTF(left=0, top=0, right=width, bottom=height)
            pdfium.FPDF_RenderPageBitmapWithMatrix(bitmap, page, scale, clip, pdfium.FPDF_GRAYSCALE)
            yield Image.frombytes("L", (width, height), bytes(grey))


def cut(pdf: bytes, layout: Layout, dpi: float) -> list[Image.Image]:
    """Every place of every page, as somebody cuts the labels apart, the empty ones of the last page too."""
    dots, (width, height) = dpi / MM, layout.label
    corners = [layout.corner(place) for place in range(layout.count)]
    return [
        page.crop((round(x * dots), round(y * dots), round((x + width) * dots), round((y + height) * dots)))
        for page in raster(pdf, dpi)
        for x, y in corners
    ]


def by_zxing(picture: Image.Image, kind: zxingcpp.BarcodeFormats = QR) -> list[str]:
    """Texts that zxing-cpp finds."""
    return [code.text for code in zxingcpp.read_barcodes(picture, formats=kind)]


def by_zbar(picture: Image.Image) -> list[str]:
    """Texts that zbar finds."""
    return [code.data.decode() for code in pyzbar.decode(picture, symbols=[pyzbar.ZBarSymbol.QRCODE])]


def words(pdf: bytes) -> list[str]:
    """Lines of the first page that a person reads."""
    with pypdfium2.PdfDocument(pdf) as document:
        return str(document[0].get_textpage().get_text_range()).split("\r\n")
