"""The firmware works, and the board in the jig is still the one that was claimed."""

import pytest

from lorafab.steps.chip import check_same_chip
from lorafab.steps.functional import check_code, check_version, self_test

pytestmark = pytest.mark.optional_step


def test_the_firmware_works(station, programmer, chip, image, shell, measure):
    """Version and chip id as expected, the core reads the code that was sent, and the self-tests pass."""
    measure("firmware_version", check_version(shell, image.version, chip))
    measure("selftest_ram", self_test(shell, "ram"))
    measure("selftest_flash", check_code(shell, image))
    measure("selftest_aes", self_test(shell, "aes"))
    check_same_chip(programmer, chip, station.mcu)


def test_the_board_is_the_same(station, programmer, chip):
    """The firmware has no self-tests to run; the unique id is that of the beginning."""
    check_same_chip(programmer, chip, station.mcu)
