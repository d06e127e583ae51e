"""lorafab.steps.functional: the right firmware runs, on the board that the probe holds."""

import re

import pytest

from lorafab.domain.image import make_image
from lorafab.domain.memory_map import Segment
from lorafab.errors import LinkSilent, PortError, ProbeError, ShellError
from lorafab.steps.functional import check_code, check_version, self_test, start_firmware
from lorafab.steps.shell import Shell
from tests_unit.fakes import MCU, FakeBoard, FakeLink, FakeProgrammer


def test_a_reset_starts_the_firmware(board: FakeBoard, programmer: FakeProgrammer) -> None:
    """It greets with the product's name."""
    start_firmware(programmer, Shell(FakeLink(board), 0.5), "endnode-wle5")
    assert board.running


def test_firmware_that_stays_silent_is_the_boards_fault(board: FakeBoard, programmer: FakeProgrammer) -> None:
    """LinkSilent, with what to check first."""
    board.silent = True
    with pytest.raises(LinkSilent, match=r"no line for 0\.5 s after the reset; check the contacts"):
        start_firmware(programmer, Shell(FakeLink(board), 0.5), "endnode-wle5")


def test_another_products_firmware_is_not_taken(board: FakeBoard, programmer: FakeProgrammer) -> None:
    """It talks, but does not say the product's name."""
    link = FakeLink(board)
    link.waiting += [b"lorafab soil-probe 1.0.0 ready"] * 16
    with pytest.raises(ShellError, match="never says 'lorafab endnode-wle5'"):
        start_firmware(programmer, Shell(link, 0.5), "endnode-wle5")


def test_a_lost_probe_is_the_stations_fault(board: FakeBoard) -> None:
    """Without it nothing can be reset."""
    with pytest.raises(ProbeError):
        start_firmware(FakeProgrammer(board, unplug_at=0), Shell(FakeLink(board), 0.5), "endnode-wle5")


def test_the_images_version_on_the_right_chip(programmer: FakeProgrammer, shell: Shell) -> None:
    """Version comes back, for the measurement."""
    assert check_version(shell, "1.0.0", programmer.connect()) == "1.0.0"


def test_an_old_version_is_named(programmer: FakeProgrammer, shell: Shell) -> None:
    """With the one that was flashed."""
    with pytest.raises(ShellError, match=r"says version '1\.0\.0', the image has '1\.0\.1'"):
        check_version(shell, "1.0.1", programmer.connect())


def test_probe_and_line_on_two_boards_are_the_stations_fault(
    board: FakeBoard, programmer: FakeProgrammer, shell: Shell
) -> None:
    """A wiring mistake must not fail a good board: PortError, with both chips."""
    chip = programmer.connect()
    board.answers["UID?"] = ["uid=4C4656420000000000000002", "OK"]
    with pytest.raises(PortError, match=rf"line reaches chip 4C4656420000000000000002.*reaches chip {chip.unique_id}"):
        check_version(shell, "1.0.0", chip)


def test_a_self_test_that_passes_says_ok(shell: Shell) -> None:
    """As product.yaml wants it."""
    assert self_test(shell, "ram") == "OK"


def test_a_self_test_that_fails_says_why(board: FakeBoard, shell: Shell) -> None:
    """The text becomes the measured value, and is judged against OK; no exception hides the other tests."""
    board.answers["TEST ram"] = ["ERR ram 0x20001234 reads 0x10"]
    assert "ERR ram 0x20001234 reads 0x10" in self_test(shell, "ram")


def test_a_board_that_dies_in_a_self_test_is_silent(board: FakeBoard, shell: Shell) -> None:
    """That is no value but a LinkSilent."""
    board.silent = True
    with pytest.raises(LinkSilent, match="after TEST flash"):
        self_test(shell, "flash")


IMAGE = make_image("x.hex", "0" * 64, [Segment(MCU.flash.start, bytes(range(64)))])


def test_code_that_the_core_reads_as_it_was_sent_is_ok(board: FakeBoard, shell: Shell) -> None:
    """Length and CRC-32 are those of the image."""
    board.image_size = 64
    board.flash[:64] = bytes(range(64))
    assert check_code(shell, IMAGE) == "OK"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (["image_crc=00000000", "image_size=64", "OK"], r"image_crc is 00000000, the image has [0-9A-F]{8}$"),
        (["image_crc=00000000", "image_size=65", "OK"], "image_size is 65, the image has 64"),
        (["image_crc=00000000", "image_size=8", "OK"], "image_size is 8, the image has 64"),
        (["OK"], "image_crc is nothing"),
        (["ERR flash 7"], "ERR flash 7"),
    ],
)
def test_code_that_the_core_reads_otherwise_is_named(
    board: FakeBoard, shell: Shell, answer: list[str], text: str
) -> None:
    """An answer without figures is not OK either."""
    board.answers["TEST flash"] = answer
    assert re.search(text, check_code(shell, IMAGE))
