"""lorafab.steps.build_store: an identity that only the firmware can tell."""

import pytest

from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.identity_block import BlockState
from lorafab.domain.image import Image, make_image
from lorafab.domain.memory_map import Segment
from lorafab.domain.provisioning import Held
from lorafab.domain.secret import Secret
from lorafab.errors import ImageError, ShellError
from lorafab.steps.build_store import BuildStore
from lorafab.steps.shell import Shell
from tests_unit.fakes import FakeBoard, FakeLink

IDENTITY = Identity("S1", Eui64(7), Eui64(8), Secret(bytes(range(16))), None, 3, 5, "demo")
PRODUCT = make_image("product.hex", "0" * 64, [Segment(0x08000000, b"example")])
SAID = [
    *("dev_eui=0000000000000007", "join_eui=0000000000000008", "serial=S1", "generation=3"),
    *("kcv_app=0123456789ABCDEF", "kcv_nwk=-", "OK"),
]


class Builder:
    """Puts the serial into the image."""

    def build(self, identity: Identity) -> Image:
        """As if compiled."""
        return make_image("image.elf", "1" * 64, [Segment(0x08000000, identity.serial.encode())])


def store(board: FakeBoard | None = None, refused: str = "") -> BuildStore:
    """One around a running board, with a product that takes every image but one."""

    def check(image: Image) -> None:
        if refused:
            raise ImageError(refused)

    return BuildStore(Builder(), lambda: Shell(FakeLink(board or FakeBoard()), 0.5), check)


def test_the_session_programs_the_boards_own_image() -> None:
    """And not the product's."""
    assert [one.data for one in store().in_image(PRODUCT, IDENTITY)] == [b"S1"]


def test_a_built_image_is_held_against_the_product() -> None:
    """As the product's own was: a build may have grown into the NVM region."""
    with pytest.raises(ImageError, match="overlaps the NVM region"):
        store(refused="overlaps the NVM region").in_image(PRODUCT, IDENTITY)


def test_what_a_board_held_before_is_unknown() -> None:
    """So it is never kept."""
    assert (store().look().state, store().look().held) == (BlockState.UNREADABLE, None)
    assert store().factory_eui() is None


def test_the_firmware_says_who_it_is() -> None:
    """The check value is its own computation."""
    board = FakeBoard(powered=True, running=True, answers={"ID?": SAID})
    held, evidence = store(board).read_back()
    assert evidence == "read back"
    assert held == Held(Eui64(7), join_eui=Eui64(8), serial="S1", generation=3, kcv_app="0123456789ABCDEF", kcv_nwk="-")


@pytest.mark.parametrize("line", range(6))
def test_half_an_answer_is_no_identity(line: int) -> None:
    """Each of its lines is owed."""
    said = [one for number, one in enumerate(SAID) if number != line]
    with pytest.raises(ShellError, match=r"the board's answer to ID\? is not an identity, wanted dev_eui, join_eui"):
        store(FakeBoard(powered=True, running=True, answers={"ID?": said})).read_back()
