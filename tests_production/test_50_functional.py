"""The firmware works, and the board in the jig is still the one that was claimed."""

from lorafab.steps.chip import check_same_chip
from lorafab.steps.functional import check_version, self_test


def test_the_firmware_works(station, programmer, chip, image, shell, measure):
    """Version and chip id as expected, and the self-tests pass."""
    measure("firmware_version", check_version(shell, image.version, chip))
    for name in ("ram", "flash", "aes"):
        measure(f"selftest_{name}", self_test(shell, name))
    check_same_chip(programmer, chip, station.mcu)
