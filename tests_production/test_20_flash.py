"""Image and identity go down in one flash session; the NVM region is kept."""

import pytest

from lorafab.steps.flash import write_board

pytestmark = pytest.mark.optional_step


def test_image_and_identity_are_written(run, programmer, memory, identity, measure):
    """Every byte reads back as it was sent; the identity is written with the image."""
    written = write_board(programmer, memory, run.contents, run.about_to_write)
    measure("image_bytes", written.image_bytes)
    measure("bytes_verified", written.bytes_verified)


def test_the_image_is_written(run, programmer, memory, chip, measure):
    """Every byte reads back as it was sent; the identity is written later."""
    written = write_board(programmer, memory, run.contents, run.about_to_write)
    measure("image_bytes", written.image_bytes)
    measure("bytes_verified", written.bytes_verified)
