"""lorafab.steps.element_store: the element on the board is the one that its maker, the lot and the ledger speak of."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.element import Element
from lorafab.domain.identity import Eui64
from lorafab.domain.identity_block import BlockState
from lorafab.domain.provisioning import Held
from lorafab.drivers.image_file import load_image
from lorafab.errors import DutError, ElementRefused, ManifestError, ShellError
from lorafab.steps.element_store import ElementStore
from lorafab.steps.shell import Shell
from tests_unit.fakes import IMAGE, FakeBoard, FakeLink

SERIAL, DEV_EUI, JOIN_EUI = "0123114e171b98b427", "0004A310001AA90A", "70B3D57ED0000000"
ANSWER = [f"se_serial={SERIAL.upper()}", f"dev_eui={DEV_EUI}", f"join_eui={JOIN_EUI}", "OK"]


def element(serial: str) -> Element:
    """What a manifest with this one element says."""
    if serial.lower() != SERIAL:
        raise ElementRefused(f"the secure element {serial} is not on the manifest")
    return Element(SERIAL, Eui64.parse(DEV_EUI), "ATECC608A-MAHT3", f"sn{SERIAL.upper()}")


def store(*answer: str, of: Element | None = None) -> ElementStore:
    """A store that talks to a shell which gives this answer to SE?."""
    board = FakeBoard(running=True, answers={"SE?": list(answer) or ANSWER})
    shell = Shell(FakeLink(board), 1.0)
    return ElementStore(shell.ask, lambda serial: of or element(serial), Eui64.parse(JOIN_EUI))


def test_a_genuine_element_says_who_the_board_is() -> None:
    """DevEUI and JoinEUI; no key, no check value, no generation: nobody has them."""
    held = Held(Eui64.parse(DEV_EUI), Eui64.parse(JOIN_EUI))
    assert store().factory_eui() == held.dev_eui
    found = store().look()
    assert (found.state, found.held, found.keys) == (BlockState.VALID, held, ())
    assert store().read_back() == (held, "unproven")


def test_hex_is_taken_in_either_case() -> None:
    """Firmware prints it as it likes."""
    assert store(*[line.lower() for line in ANSWER[:-1]], "OK").factory_eui() == Eui64.parse(DEV_EUI)


def test_the_image_is_the_same_on_every_board() -> None:
    """The element's identity is not in it."""
    image = load_image(IMAGE, named_by="the test")
    assert store().in_image(image, None) == image.segments


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "se_serial=0123",
            "the secure element's number reads '0123', wanted 18 hex digits; check its solder joints, repeat once, "
            "then set the board aside",
        ),
        (f"se_serial={'F' * 18}", f"the secure element {'F' * 18} is not on the manifest"),
        (
            "dev_eui=0004A310001AA90B",
            f"the secure element {SERIAL} says DevEUI 0004A310001AA90B, wanted {DEV_EUI} as its maker signed; set this "
            "board aside",
        ),
        (
            "join_eui=70B3D57ED0000001",
            f"the secure element {SERIAL} has JoinEUI 70B3D57ED0000001, wanted {JOIN_EUI} of the lot; check the lot's "
            "join_eui, then set this board aside",
        ),
        (
            "dev_eui=ffffffffffffffff",
            "the secure element's dev_eui reads 'ffffffffffffffff', wanted the 16 hex digits of an EUI-64 that names "
            "somebody; repeat once, then set the board aside",
        ),
        ("join_eui=0000000000000000", "the secure element's join_eui reads '0000000000000000', wanted the 16 hex"),
        ("dev_eui=", "the secure element's dev_eui reads '', wanted the 16 hex digits"),
    ],
)
def test_another_element_than_the_one_wanted_is_refused(line: str, said: str) -> None:
    """FAIL, in one sentence, whatever is asked of the store."""
    name = line.partition("=")[0]
    answer = [line if one.startswith(name) else one for one in ANSWER]
    for act in (store(*answer).factory_eui, store(*answer).look, store(*answer).read_back):
        with pytest.raises(ElementRefused) as caught:
            act()
        assert str(caught.value).startswith(said)


def test_a_part_without_a_dev_eui_is_refused() -> None:
    """Genuine, on the manifest, and made for something else."""
    tls = Element(SERIAL, None, "ATECC608A-MAH22", f"{SERIAL.upper()} ATECC")
    with pytest.raises(ElementRefused) as caught:
        store(of=tls).look()
    assert str(caught.value) == (
        f"the secure element {SERIAL} is part ATECC608A-MAH22, whose certificate ({SERIAL.upper()} ATECC) names no "
        "DevEUI, wanted a TNGLORA part; set this board aside"
    )


@pytest.mark.parametrize("missing", ["se_serial", "dev_eui", "join_eui"])
def test_firmware_that_does_not_know_the_question_is_told_apart(missing: str) -> None:
    """An image without a driver for the element says nothing of the element."""
    with pytest.raises(ShellError, match=f"^the board's answer to SE\\? lacks '{missing}'; check that the image"):
        store(*[line for line in ANSWER if not line.startswith(missing)]).look()
    with pytest.raises(ShellError, match=re.escape("the board answers SE? with 'ERR no element', wanted OK")):
        store("ERR no element").look()


def test_a_forged_manifest_is_not_blamed_on_the_board() -> None:
    """ERROR passes through as what it is."""

    def forged(serial: str) -> Element:
        raise ManifestError(f"entry of {serial} is forged")

    asked = ElementStore(lambda _: dict(line.split("=") for line in ANSWER[:-1]), forged, Eui64.parse(JOIN_EUI))
    with pytest.raises(ManifestError):
        asked.read_back()


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=40), max_size=5))
def test_whatever_the_board_answers_is_this_element_or_refused(lines: list[str]) -> None:
    """No other exception, and never another DevEUI than the one that was signed."""
    for answer in (lines, [*ANSWER[:2], *lines], [*lines, *ANSWER]):
        try:
            found = store(*answer, "OK").factory_eui()
        except DutError:
            continue
        assert found == Eui64.parse(DEV_EUI)
