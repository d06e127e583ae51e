"""Prints the sticker of a virtual board and photographs it: what the virtual jig's camera sees.

The picture depends on the label's text alone, so that runs repeat byte for byte. A door to segno.
"""

import hashlib
from io import BytesIO
from typing import TYPE_CHECKING, Final

from lorafab.domain.label import parse_label
from lorafab.errors import LabelRefused

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

WIDTH: Final = 640
HEIGHT: Final = 480
_PIXELS_PER_MODULE = 6
_QUIET_ZONE = 4  # modules (ISO/IEC 18004, 9.1)
_TEXT_WIDTH = 190  # pixels right of the symbol
_TABLE: Final = 168
"""Grey of what lies around the sticker."""
_NOISE: Final = 13
"""Largest noise to either side in grey levels of 255, evenly spread (standard deviation 7.5)."""
_TILT: Final = 7.0
"""Largest rotation to either side in degrees."""


def draw_label(text: str) -> bytes:
    """Draw the label as a PNG of 640 x 480 grey pixels, a little rotated and noisy.

    The text is a sticker's: at most 500 bytes.
    """
    from PIL import Image, ImageChops

    # Tilt and noise come from a hash of the text: they look like chance, and are the same every time.
    chance = hashlib.shake_256(text.encode()).digest(2 + WIDTH * HEIGHT)
    tilt = (int.from_bytes(chance[:2], "big") / 0xFFFF * 2 - 1) * _TILT
    sticker = _sticker(text).rotate(tilt, Image.Resampling.BICUBIC, expand=True, fillcolor=_TABLE)
    sticker.thumbnail((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    photo = Image.new("L", (WIDTH, HEIGHT), _TABLE)
    photo.paste(sticker, ((WIDTH - sticker.width) // 2, (HEIGHT - sticker.height) // 2))
    levels = bytes(byte * (2 * _NOISE + 1) // 256 for byte in range(256))
    noise = Image.frombytes("L", (WIDTH, HEIGHT), chance[2:].translate(levels))
    buffer = BytesIO()
    ImageChops.add(photo, noise, offset=-_NOISE).save(buffer, format="PNG")
    return buffer.getvalue()


def _sticker(text: str) -> "Picture":
    """Print the QR symbol with DevEUI and serial (or the text itself) beside it, black on white."""
    import segno
    from PIL import Image, ImageDraw, ImageFont

    # Error correction level M and upper case, as in TR005's own example; its 88 characters give version 4.
    symbol = segno.make_qr(text, error="m", boost_error=False)
    printed = BytesIO()
    symbol.save(printed, kind="png", scale=_PIXELS_PER_MODULE, border=_QUIET_ZONE)
    code = Image.open(printed).convert("L")
    sticker = Image.new("L", (code.width + _TEXT_WIDTH, code.height), 255)
    sticker.paste(code, (0, 0))
    draw, font = ImageDraw.Draw(sticker), ImageFont.load_default(size=16)
    for row, line in enumerate(_print(text)):
        draw.text((code.width, 24 + 20 * row), line, fill=0, font=font)
    return sticker


def _print(text: str) -> list[str]:
    """Lines for people."""
    try:
        label = parse_label(text)
    except LabelRefused:  # of a lot with labels of its own form
        return [text[at : at + 16] for at in range(0, min(len(text), 160), 16)]
    dev_eui = str(label.dev_eui)
    return ["LoRaWAN", "", "DevEUI", dev_eui[:8], dev_eui[8:], "", "S/N", label.serial or "-"]
