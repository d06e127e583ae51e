"""Image and identity go down in one flash session; the NVM region is kept."""

from lorafab.steps.flash import write_board


def test_image_and_identity_are_written(run, programmer, memory, image, identity, measure):
    """Every byte reads back as it was sent."""
    written = write_board(programmer, memory, image.segments, identity, run.about_to_write)
    measure("image_bytes", written.image_bytes)
    measure("bytes_verified", written.bytes_verified)
