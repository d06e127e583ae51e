"""Photographs of labels as cameras on a line take them: turned, blurred, dark, scratched, small, and known to the bit.

A picture is made in the order in which the damage happens: print (dead dots, dirt, ink), geometry (turn, tilt, tube),
optics (focus, motion), light (contrast, shadow, glare), sensor (noise) and file (JPEG). Everything is drawn from a
``random.Random``, so that a row of the table is the same pictures on every computer. Lengths are in modules (the small
squares of a symbol) unless a name says otherwise, so that a figure holds for every size of symbol.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from random import Random
from statistics import NormalDist
from typing import Final, Literal

import segno
import zxingcpp
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

from lorafab.domain.identity import Eui64
from lorafab.domain.label import tr005_text

Symbology = Literal["qr", "datamatrix"]
SYMBOLOGIES: Final[tuple[Symbology, ...]] = ("qr", "datamatrix")

WEB: Final = "https://example.com/endnode"
"""What the foreign QR code says that may lie beside a label."""

_PRINT: Final = 8
"""Pixels a module of the sticker before it is photographed."""
_SUPER: Final = 2
"""The sticker is drawn this many times larger than in the picture and averaged, as the cells of a sensor do."""
_WIDTH: Final = 33
"""Modules of a QR symbol of version 4; a Data Matrix of such labels has 32."""
_PAPER: Final = 225
_TABLE: Final = 150
"""Grey of the sticker's paper, and of what lies around it."""


@dataclass(frozen=True)
class Damage:
    """What is wrong with a picture; the defaults are a good one."""

    pixels: float = 5
    """Camera pixels a module."""
    frame: tuple[int, int] = (640, 480)
    turn: float = 7
    """Largest rotation in the picture's plane to either side, degrees."""
    tilt: float = 0
    """Degrees between the camera's axis and the sticker's, towards any side; seen from 3 widths of the sticker away."""
    tube: float = 0
    """The sticker is wound around a tube: degrees of the circle that the sticker's width covers."""
    blur: float = 0
    """Standard deviation of a Gaussian."""
    motion: float = 0
    """Length of a straight smear, in any direction."""
    contrast: int = 200
    """Grey levels of 255 between ink and paper."""
    noise: float = 3
    """Standard deviation in grey levels."""
    shadow: float = 0
    """Part of the light that is missing at the dark end: 0.7 leaves 30 %."""
    glare: float = 0
    """Diameter of a white spot with a soft edge, as a part of the symbol's width."""
    dirt: float = 0
    """Part of the symbol's area that a blot hides, anywhere on it."""
    scratches: int = 0
    """White lines, 0.6 modules wide, across the whole symbol."""
    dead_dots: int = 0
    """White lines, half a module wide, in the direction of printing: dots of a thermal print head that are gone."""
    ink: float = 0
    """How far ink has run (positive) or is missing (negative) at every edge."""
    speckles: float = 0
    """Part of the modules that have a speck of the other colour."""
    quiet: float = 4
    """Width of the white margin (QR wants 4, ISO/IEC 18004; Data Matrix 1, ISO/IEC 16022)."""
    inverted: bool = False
    mirrored: bool = False
    jpeg: int | None = None
    """Quality of a JPEG file; None is a PNG file."""
    beside: Literal["web", "ean"] | None = None
    """Another code in the picture: a web address as QR symbol, or an EAN-13."""
    blank: bool = False
    """Nothing but text and clutter: no symbol at all."""


def label_text(rng: Random) -> str:
    """Draw the text of a label: TR005 with serial and checksum, 66 characters."""
    dev_eui = Eui64.parse(f"{0x70B3D57ED0000000 + rng.randrange(1 << 28):016X}")
    return tr005_text(
        Eui64.parse("70B3D57ED0000001"), dev_eui, f"{rng.randrange(1 << 32):08X}", f"LF{rng.randrange(10**8):08d}"
    )


def photograph(text: str, symbology: Symbology, damage: Damage, rng: Random) -> bytes:
    """Photograph a label with ``text``; returns a PNG file, or a JPEG file when the damage asks for it."""
    sticker = _printed(text, symbology, damage, rng)
    picture, centre = _taken(sticker, damage, rng)
    picture = _seen(picture, centre, damage, rng)
    buffer = BytesIO()
    if damage.jpeg is None:
        picture.save(buffer, format="PNG", compress_level=0)
    else:
        picture.save(buffer, format="JPEG", quality=damage.jpeg)
    return buffer.getvalue()


# --- the sticker ---


def symbol(text: str, symbology: Symbology, scale: int) -> Image.Image:
    """Draw a symbol in black on white without a margin: QR with error correction M, or a square Data Matrix."""
    if symbology == "qr":
        buffer = BytesIO()
        segno.make_qr(text, error="m", boost_error=False).save(buffer, kind="png", border=0)
        with Image.open(buffer) as code:
            small = code.convert("L")
    else:
        small = _written(zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.DataMatrix, force_square=True))
    return small.resize((small.width * scale, small.height * scale), Image.Resampling.NEAREST)


def _written(barcode: zxingcpp.Barcode) -> Image.Image:
    return Image.fromarray(barcode.to_image(add_quiet_zones=False))


def _printed(text: str, symbology: Symbology, damage: Damage, rng: Random) -> Image.Image:
    """The sticker: symbol, margin, the DevEUI for people, and what printer and workshop did to it."""
    code = symbol(text, symbology, _PRINT)
    if damage.blank:
        code = Image.new("L", code.size, 255)
    if damage.mirrored:
        code = ImageOps.mirror(code)
    code = _marred(code, damage, rng)
    margin = round(damage.quiet * _PRINT)
    width = code.width + 2 * margin + 11 * _PRINT
    sticker = Image.new("L", (width, code.height + 2 * margin), 255)
    sticker.paste(code, (margin, margin))
    draw, font = ImageDraw.Draw(sticker), _font()
    for row, line in enumerate(("LoRaWAN", text[23:31], text[31:39], "S/N", text[-15:-10])):
        draw.text((code.width + 2 * margin, margin + 3 * row * _PRINT), line, fill=0, font=font)
    return ImageOps.invert(sticker) if damage.inverted else sticker


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=2 * _PRINT)


def _marred(code: Image.Image, damage: Damage, rng: Random) -> Image.Image:
    draw = ImageDraw.Draw(code)
    size = code.width
    if damage.ink:
        grown = 2 * round(abs(damage.ink) * _PRINT) + 1
        code = code.filter(ImageFilter.MinFilter(grown) if damage.ink > 0 else ImageFilter.MaxFilter(grown))
        draw = ImageDraw.Draw(code)
    for _ in range(round(damage.speckles * (size / _PRINT) ** 2)):
        x, y, half = rng.uniform(0, size), rng.uniform(0, size), 0.3 * _PRINT
        dark = code.getpixel((int(x), int(y))) == 0
        draw.ellipse((x - half, y - half, x + half, y + half), fill=255 if dark else 0)
    for _ in range(damage.dead_dots):
        x = rng.uniform(0, size)
        draw.line((x, 0, x, size), fill=255, width=_PRINT // 2)
    for _ in range(damage.scratches):
        ends: list[tuple[float, float]] = [(rng.uniform(0, size), 0), (rng.uniform(0, size), size)]
        if rng.random() < 0.5:
            ends = [(y, x) for x, y in ends]
        draw.line(ends, fill=255, width=round(0.6 * _PRINT))
    if damage.dirt:
        radius = math.sqrt(damage.dirt * size * size / math.pi)
        x, y = rng.uniform(radius, size - radius), rng.uniform(radius, size - radius)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rng.choice((0, 110, 255)))
    return code


# --- geometry ---


def _taken(sticker: Image.Image, damage: Damage, rng: Random) -> tuple[Image.Image, tuple[float, float]]:
    """Lay the sticker into the frame: turned, tilted, scaled, the table around it. Gives also where its middle is."""
    if damage.tube:
        sticker = _wound(sticker, damage.tube)
    table = Image.new("L", damage.frame, _TABLE)
    turn = math.radians(rng.uniform(-damage.turn, damage.turn))
    towards = rng.uniform(0, 2 * math.pi)
    corners = _projected(sticker.size, damage.pixels / _PRINT, turn, math.radians(damage.tilt), towards)
    slack = [max(0.0, damage.frame[axis] / 2 - max(abs(corner[axis]) for corner in corners)) for axis in (0, 1)]
    if damage.beside is not None:
        _lay_beside(table, damage.beside, round(damage.pixels))
        slack[0] = 0
    x, y = (damage.frame[axis] / 2 + 0.8 * rng.uniform(-slack[axis], slack[axis]) for axis in (0, 1))
    _paste_warped(table, sticker, [(x + corner[0], y + corner[1]) for corner in corners])
    return table, (x, y)


def _wound(sticker: Image.Image, degrees: float) -> Image.Image:
    """Look from the front at a sticker around a tube with an upright axis."""
    half = math.radians(degrees) / 2
    width, height = sticker.size
    seen = round(width * math.sin(half) / half)
    strips: list[tuple[tuple[int, int, int, int], tuple[float, ...]]] = []
    for left in range(0, seen, 8):
        right = min(left + 8, seen)
        x0, x1 = ((math.asin((2 * x / seen - 1) * math.sin(half)) / half + 1) / 2 * width for x in (left, right))
        strips.append(((left, 0, right, height), (x0, 0, x0, height, x1, height, x1, 0)))
    return sticker.transform((seen, height), Image.Transform.MESH, strips, Image.Resampling.BICUBIC)


def _projected(
    size: tuple[int, int], scale: float, turn: float, tilt: float, towards: float
) -> list[tuple[float, float]]:
    """Corners of the sticker around (0, 0) in the picture: upper left, upper right, lower right, lower left."""
    width, height = size[0] * scale, size[1] * scale
    distance = 3 * width
    corners = []
    for sign_x, sign_y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        x, y = sign_x * width / 2, sign_y * height / 2
        # Along the direction `towards` the sticker leans away from the camera by `tilt`.
        along = x * math.cos(towards) + y * math.sin(towards)
        across = -x * math.sin(towards) + y * math.cos(towards)
        nearer = distance / (distance + along * math.sin(tilt))
        along, across = along * math.cos(tilt) * nearer, across * nearer
        x = along * math.cos(towards) - across * math.sin(towards)
        y = along * math.sin(towards) + across * math.cos(towards)
        corners.append((x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)))
    return corners


def _paste_warped(table: Image.Image, sticker: Image.Image, corners: Sequence[tuple[float, float]]) -> None:
    """Warp the sticker so that its corners fall on ``corners`` (pixels of ``table``), and paste it."""
    left, top = (math.floor(min(corner[axis] for corner in corners)) for axis in (0, 1))
    right, bottom = (math.ceil(max(corner[axis] for corner in corners)) for axis in (0, 1))
    width, height = sticker.size
    wanted = [((x - left) * _SUPER, (y - top) * _SUPER) for x, y in corners]
    from_there = _homography(wanted, [(0, 0), (width, 0), (width, height), (0, height)])
    # Pixels of the print that fall into one of the patch are averaged first, or they would alias.
    factor = max(1, int(width / math.dist(wanted[0], wanted[1])))
    printed = sticker.reduce(factor)
    from_there = [value / factor if place < 6 else value for place, value in enumerate(from_there)]
    size = ((right - left) * _SUPER, (bottom - top) * _SUPER)
    warped = printed.transform(size, Image.Transform.PERSPECTIVE, from_there, Image.Resampling.BICUBIC)
    shape = Image.new("L", size, 0)
    ImageDraw.Draw(shape).polygon(wanted, fill=255)
    patch = Image.new("L", size, _TABLE)
    patch.paste(warped, (0, 0), shape)
    table.paste(patch.reduce(_SUPER), (left, top))


def _homography(points: Sequence[tuple[float, float]], images: Sequence[tuple[float, float]]) -> list[float]:
    """The eight coefficients that take four points to four images, as Pillow's PERSPECTIVE wants them."""
    rows: list[list[float]] = []
    for (x, y), (u, v) in zip(points, images, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y, u])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y, v])
    for column in range(8):  # Gauss and Jordan, with the largest pivot
        pivot = max(range(column, 8), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for row in range(8):
            if row != column:
                factor = rows[row][column]
                rows[row] = [value - factor * base for value, base in zip(rows[row], rows[column], strict=True)]
    return [row[8] for row in rows]


def _lay_beside(table: Image.Image, what: str, scale: int) -> None:
    """Put a foreign code into the upper left corner of the table; ``scale`` is pixels a module."""
    if what == "web":
        code = symbol(WEB, "qr", scale)
    else:
        bars = _written(zxingcpp.create_barcode("4006381333931", zxingcpp.BarcodeFormat.EAN13))
        code = bars.resize((bars.width * scale // 2, 15 * scale), Image.Resampling.NEAREST)
    table.paste(ImageOps.expand(code, border=4 * scale, fill=255), (0, 0))


# --- optics, light, sensor ---


def _seen(picture: Image.Image, centre: tuple[float, float], damage: Damage, rng: Random) -> Image.Image:
    if damage.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(damage.blur * damage.pixels))
    if damage.motion:
        picture = _smeared(picture, damage.motion * damage.pixels, rng.uniform(0, math.pi))
    low = max(0, _PAPER - damage.contrast)
    if damage.contrast < 150:
        low = round(_PAPER * 0.6 - damage.contrast / 2)  # a dull sticker is grey on grey, not grey on white
    picture = picture.point([round(low + damage.contrast * level / 255) for level in range(256)])
    if damage.shadow:
        ramp = ImageOps.invert(Image.linear_gradient("L")).point(
            [round(255 * (1 - damage.shadow * level / 255)) for level in range(256)]
        )
        angle = rng.uniform(0, 360)
        big = ramp.resize((2 * picture.width, 2 * picture.width)).rotate(angle, Image.Resampling.BILINEAR)
        left, top = (big.width - picture.width) // 2, (big.height - picture.height) // 2
        picture = ImageChops.multiply(picture, big.crop((left, top, left + picture.width, top + picture.height)))
    if damage.glare:
        picture = _glaring(picture, centre, damage, rng)
    if damage.noise:
        picture = _noisy(picture, damage.noise, rng)
    return picture


def _smeared(picture: Image.Image, length: float, angle: float) -> Image.Image:
    """Average of the picture at places along a line."""
    steps = max(2, math.ceil(length * 1.5) + 1)
    mean = picture
    for step in range(1, steps):
        along = (step / (steps - 1) - 0.5) * length
        moved = picture.transform(
            picture.size,
            Image.Transform.AFFINE,
            (1, 0, along * math.cos(angle), 0, 1, along * math.sin(angle)),
            Image.Resampling.BILINEAR,
            fillcolor=_TABLE,
        )
        mean = Image.blend(mean, moved, 1 / (step + 1)) if step > 1 else moved
    return mean


def _glaring(picture: Image.Image, centre: tuple[float, float], damage: Damage, rng: Random) -> Image.Image:
    """A lamp's reflection somewhere on the sticker: white in the middle, fading out to the edge."""
    radius = round(damage.glare * _WIDTH * damage.pixels / 2)
    # Pillow's gradient is 0 in the middle, 181 where the circle touches the square, 255 in the corners.
    fading = [max(0, 255 - round(level * 255 / 181)) for level in range(256)]
    soft = Image.radial_gradient("L").point(fading).resize((2 * radius, 2 * radius))
    spot = Image.new("L", picture.size, 0)
    x, y = (middle + rng.uniform(-0.4, 0.4) * _WIDTH * damage.pixels - radius for middle in centre)
    spot.paste(soft, (round(x), round(y)))
    return ImageChops.add(picture, spot)


@cache
def _gauss(sigma: float) -> bytes:
    """Table from an even to a normal spread: byte -> 128 + error."""
    return bytes(min(255, max(0, round(128 + NormalDist(0, sigma).inv_cdf((byte + 0.5) / 256)))) for byte in range(256))


def _noisy(picture: Image.Image, sigma: float, rng: Random) -> Image.Image:
    errors = rng.randbytes(picture.width * picture.height).translate(_gauss(sigma))
    return ImageChops.add(picture, Image.frombytes("L", picture.size, errors), offset=-128)


# --- the rows of the table ---

ROWS: Final[dict[str, Damage]] = {
    "good: 5 px a module, turned up to 7°": Damage(),
    "turned by any angle": Damage(turn=180),
    "blur σ 0.45 modules": Damage(blur=0.45),
    "blur σ 0.5 modules": Damage(blur=0.5),
    "blur σ 0.55 modules": Damage(blur=0.55),
    "blur σ 0.6 modules": Damage(blur=0.6),
    "blur σ 0.5 modules of 2.5 px": Damage(pixels=2.5, blur=0.5),
    "blur σ 0.5 modules of 10 px, 1280 x 960": Damage(pixels=10, blur=0.5, frame=(1280, 960)),
    "blur σ 0.45 modules, contrast 100, noise σ 10": Damage(blur=0.45, contrast=100, noise=10),
    "motion, 1.5 modules": Damage(motion=1.5),
    "contrast 25 of 255, noise σ 6": Damage(contrast=25, noise=6),
    "contrast 15 of 255, noise σ 6": Damage(contrast=15, noise=6),
    "noise σ 40": Damage(noise=40),
    "shadow, 80 % of the light gone": Damage(shadow=0.8),
    "glare, a spot as wide as the symbol": Damage(glare=1),
    "tilted by 55°": Damage(tilt=55),
    "around a tube, 80° of it": Damage(tube=80),
    "small: 1.5 px a module": Damage(pixels=1.5),
    "small: 1.2 px a module": Damage(pixels=1.2),
    "small: 2 px a module in 1280 x 960": Damage(pixels=2, frame=(1280, 960)),
    "dirt on 4 % of the symbol": Damage(dirt=0.04),
    "dirt on 8 % of the symbol": Damage(dirt=0.08),
    "2 scratches, 0.6 modules wide": Damage(scratches=2),
    "2 dead dots of the print head, 0.5 modules": Damage(dead_dots=2),
    "ink run by 0.25 modules": Damage(ink=0.25),
    "specks on 5 % of the modules": Damage(speckles=0.05),
    "margin of half a module": Damage(quiet=0.5),
    "JPEG quality 10, blur σ 0.3 modules": Damage(jpeg=10, blur=0.3),
    "white on black": Damage(inverted=True),
    "mirrored": Damage(mirrored=True),
    "a web address as QR code beside it, 4 px": Damage(beside="web", pixels=4),
    "an EAN-13 beside it, 4 px": Damage(beside="ean", pixels=4),
    "blur σ 0.3, contrast 90, noise σ 8, tilt 20°, shadow 40 %": Damage(
        blur=0.3, contrast=90, noise=8, tilt=20, shadow=0.4
    ),
    "no symbol, only print (nothing to read)": Damage(blank=True, noise=8),
}
