"""Identity store `secure-element`: DevEUI, JoinEUI and key came with a chip beside the microcontroller.

Nothing is written. The firmware is asked who its element is (shell command ``SE?``, docs/secure-element.md), and the
answer is held against what the element's maker signed. The key stays where it is: that it is the right one shows when
the board joins, and not before.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from lorafab.domain.element import Element
from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.identity_block import BlockState
from lorafab.domain.image import Image
from lorafab.domain.memory_map import Segment
from lorafab.domain.provisioning import Evidence, Found, Held, Stage
from lorafab.errors import ElementRefused, ShellError

_SERIAL: Final = re.compile(r"[0-9A-Fa-f]{18}", re.ASCII)


class ElementStore:
    """Implements IdentityStore.

    ``ask`` sends a command to the firmware's shell; ``element`` finds an element by its number, 18 hex digits, and
    raises ElementRefused or ManifestError for one that its maker does not vouch for.
    """

    stage: Stage = "firmware"

    def __init__(
        self, ask: Callable[[str], Mapping[str, str]], element: Callable[[str], Element], join_eui: Eui64
    ) -> None:
        self._ask, self._element, self._join_eui = ask, element, join_eui

    def factory_eui(self) -> Eui64 | None:
        """The element's DevEUI."""
        return self._read().dev_eui

    def look(self) -> Found:
        """Ask for the element; it always holds an identity, or is refused."""
        return Found(BlockState.VALID, self._read())

    def in_image(self, image: Image, identity: Identity | None) -> Sequence[Segment]:
        """The image: an element's identity is not in it."""
        return image.segments

    def write(self, identity: Identity) -> None:
        """An element keeps the identity that it came with, so that nobody is ever given one to write."""

    def read_back(self) -> tuple[Held, Evidence]:
        """Ask again. Nobody but the element has its key."""
        return self._read(), "unproven"

    def _read(self) -> Held:
        """Raises ElementRefused, ManifestError, ShellError, LinkSilent, PortError."""
        said = self._ask("SE?")
        serial = _value(said, "se_serial")
        if not _SERIAL.fullmatch(serial):
            raise ElementRefused(
                f"the secure element's number reads {serial[:40]!r}, wanted 18 hex digits; check its solder joints, "
                "repeat once, then set the board aside"
            )
        element = self._element(serial)
        dev_eui, join_eui = _eui(said, "dev_eui"), _eui(said, "join_eui")
        if element.dev_eui is None:
            raise ElementRefused(
                f"the secure element {element.serial} is part {element.part}, whose certificate "
                f"({element.certificate}) names no DevEUI, wanted a TNGLORA part; set this board aside"
            )
        if dev_eui != element.dev_eui:
            raise ElementRefused(
                f"the secure element {element.serial} says DevEUI {dev_eui}, wanted {element.dev_eui} as its maker "
                "signed; set this board aside"
            )
        if join_eui != self._join_eui:
            raise ElementRefused(
                f"the secure element {element.serial} has JoinEUI {join_eui}, wanted {self._join_eui} of the lot; "
                "check the lot's join_eui, then set this board aside"
            )
        return Held(dev_eui=dev_eui, join_eui=join_eui)


def _value(said: Mapping[str, str], name: str) -> str:
    if name not in said:
        raise ShellError(f"the board's answer to SE? lacks {name!r}; check that the image is this product's")
    return said[name]


def _eui(said: Mapping[str, str], name: str) -> Eui64:
    text = _value(said, name)
    try:
        eui = Eui64.parse(text)
    except ValueError:
        eui = None
    if eui is None or eui.is_reserved():
        raise ElementRefused(
            f"the secure element's {name} reads {text[:40]!r}, wanted the 16 hex digits of an EUI-64 that names "
            "somebody; repeat once, then set the board aside"
        )
    return eui
