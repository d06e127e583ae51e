"""Image and identity go down in one flash session; the NVM region is kept."""

import pytest

from lorafab.run.flashing import write_flash

pytestmark = pytest.mark.optional_step


def test_image_and_identity_are_written(run, identity, measure):
    """Every byte is on the board as it was sent; the identity is written with the image."""
    written = write_flash(run)
    measure("image_bytes", written.image_bytes)
    measure("bytes_verified", written.bytes_verified)


def test_the_image_is_written(run, chip, measure):
    """Every byte is on the board as it was sent; the identity is written later."""
    written = write_flash(run)
    measure("image_bytes", written.image_bytes)
    measure("bytes_verified", written.bytes_verified)
