"""What is done to a picture in which no label was read, before the readers look again.

Cheap ones first. Each is there because it reads pictures that the three others do not; docs/label-reading.md has the
counts and what else was tried, ``python -m bench.label_pictures`` makes them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


@dataclass(frozen=True)
class Attempt:
    """One look at the picture, and what is done to it first."""

    suffix: str
    """Said after the reader's name in the record, such as `` (halved)``; nothing for the picture as it is."""
    prepare: Callable[["Picture"], "Picture"]
    """From 8-bit grey to 8-bit grey."""
    max_pixels: int
    """Larger pictures are not given this look: it would take more than about a second."""


def _halved(grey: "Picture") -> "Picture":
    """Average squares of four pixels: takes out noise, and sees a large blurred symbol as a small sharp one."""
    return grey.reduce(2)


def _sharpened(grey: "Picture") -> "Picture":
    """Bring back the contrast between neighbours, which focus or a lack of ink took; smoothed first for the noise."""
    from PIL import ImageFilter

    smooth = grey.filter(ImageFilter.GaussianBlur(1))
    return smooth.filter(ImageFilter.UnsharpMask(radius=4, percent=500, threshold=0))


def _enlarged(grey: "Picture") -> "Picture":
    """Give a module of little more than a pixel the three that the readers' own thresholds need."""
    return _times(grey, 3)


def _sharpened_and_doubled(grey: "Picture") -> "Picture":
    """Undo a blur as wide as half a module, where modules have few pixels."""
    from PIL import ImageFilter

    return _times(grey.filter(ImageFilter.UnsharpMask(radius=2, percent=500, threshold=0)), 2)


def _times(grey: "Picture", factor: int) -> "Picture":
    from PIL import Image

    return grey.resize((grey.width * factor, grey.height * factor), Image.Resampling.BICUBIC)


_PIXELS: Final = 12_000_000
"""Of a picture that was worked on, at most."""

TREATED: Final = (
    Attempt(" (halved)", _halved, 4 * _PIXELS),
    Attempt(" (sharpened)", _sharpened, _PIXELS),
    Attempt(" (enlarged)", _enlarged, _PIXELS // 9),
    Attempt(" (sharpened and doubled)", _sharpened_and_doubled, _PIXELS // 4),
)
