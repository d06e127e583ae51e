"""Identity store `serial`: running firmware takes its identity by commands, in one of the dialects.

What a modem says while its memory still has power proves nothing: every question is asked after a reset.
"""

from collections.abc import Callable, Sequence

from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.identity_block import BlockState
from lorafab.domain.image import Image
from lorafab.domain.memory_map import Segment
from lorafab.domain.provisioning import Evidence, Found, Held, Stage
from lorafab.domain.secret import Secret
from lorafab.errors import ForeignIdentity, StoreRefused
from lorafab.steps.modem import Modem, Said


class SerialStore:
    """Implements IdentityStore; ``restart`` resets the board and lets its firmware run.

    The reset goes through the probe: whether a command resets a modem is a matter of the firmware that is to be tested.
    """

    stage: Stage = "firmware"

    def __init__(self, modem: Modem, restart: Callable[[], None], *, lorawan_1_1: bool) -> None:
        self._modem, self._restart, self._lorawan_1_1 = modem, restart, lorawan_1_1

    def factory_eui(self) -> Eui64 | None:
        """Whatever a modem comes with can be overwritten, and does not count."""
        return None

    def look(self) -> Found:
        """Reset, then ask. A modem whose DevEUI is zero or all ones is blank. Raises LinkSilent, ShellError."""
        said = self._ask()
        keys = tuple(key for slots in said.keys.values() for key in slots)
        if "missing" in said.texts:
            state = BlockState.BLANK if said.texts["missing"] == "blank" else BlockState.DAMAGED
            return Found(state)
        held = self._held(said)
        if held.dev_eui.is_reserved():
            return Found(BlockState.BLANK, None, keys)
        return Found(BlockState.VALID, held, keys, factory=held.generation is None)

    def in_image(self, image: Image, identity: Identity | None) -> Sequence[Segment]:
        """The image alone: it is the same on every board."""
        return image.segments

    def write(self, identity: Identity) -> None:
        """Set every value and store them. Raises StoreRefused when the modem echoes another, LinkSilent, ShellError."""
        echoed = self._modem.ask_all(self._modem.dialect.commands(identity))
        due = {"dev_eui": identity.dev_eui, "join_eui": identity.join_eui}
        wrong = [name for name, eui in due.items() if name in echoed.texts and _eui(echoed.texts[name]) != eui]
        wrong += [
            name
            for name, key in (("app_key", identity.app_key), ("nwk_key", identity.nwk_key))
            for slot in echoed.keys.get(name, ())
            if key is None or not slot.same_as(key)
        ]
        if wrong:
            raise StoreRefused(
                f"the modem repeats another {wrong[0]} than it was sent, wanted the same; check the serial line, "
                "repeat once, then set it aside"
            )

    def read_back(self) -> tuple[Held, Evidence]:
        """Reset, then ask: what was only in RAM is gone. Raises as ``look``, ForeignIdentity, StoreRefused."""
        said = self._ask()
        if "missing" in said.texts:
            raise ForeignIdentity(
                f"after a reset the firmware has no identity ({said.texts['missing'][:40]}), wanted the one that it "
                "had taken; repeat once, then set the board aside"
            )
        if any(_common(slots) is None for slots in said.keys.values()):
            raise StoreRefused(
                "the modem's two key slots hold different keys after a reset, wanted the AppKey in both; "
                "repeat once, then set it aside"
            )
        held = self._held(said)
        known = held.kcv_app is not None and (held.kcv_nwk is not None or not self._lorawan_1_1)
        return held, "read back" if known else "asserted"

    def _ask(self) -> Said:
        self._modem.listen(0)  # a banner of an earlier start is none of the next one
        self._restart()
        self._modem.wait_for_start()
        return self._modem.ask_all(self._modem.dialect.questions(lorawan_1_1=self._lorawan_1_1))

    def _held(self, said: Said) -> Held:
        texts = said.texts
        return Held(
            dev_eui=_eui(texts["dev_eui"]),
            join_eui=_eui(texts["join_eui"]),
            serial=texts.get("serial"),
            generation=int(texts["generation"]) if "generation" in texts else None,
            region=int(texts["region"]) if "region" in texts else None,
            lot_crc=int(texts["lot_crc"], 16) if "lot_crc" in texts else None,
            kcv_app=_kcv(said, "app"),
            kcv_nwk=_kcv(said, "nwk"),
        )


def _kcv(said: Said, name: str) -> str | None:
    """As the firmware computed it, or of the key that it showed; "-" where there is no NwkKey."""
    slots = said.keys.get(f"{name}_key")
    if slots:
        key = _common(slots)
        return None if key is None else key.kcv()
    text = said.texts.get(f"kcv_{name}")
    return None if name == "app" and text == "-" else text


def _common(slots: list[Secret]) -> Secret | None:
    """The key that all slots hold."""
    return slots[0] if all(slots[0].same_as(other) for other in slots[1:]) else None


def _eui(text: str) -> Eui64:
    return Eui64.parse("".join(char for char in text if char.isalnum()))
