"""An identity that does not go down with the image: the probe or the running firmware writes it."""

import pytest

from lorafab.steps.functional import start_firmware

pytestmark = pytest.mark.optional_step


def test_the_probe_writes_the_identity(run, identity):
    """Into a memory behind the microcontroller's pins."""
    run.provision()


def test_the_firmware_takes_the_identity(run, programmer, image, shell):
    """By commands on the serial line."""
    start_firmware(programmer, shell, image.note.product)
    run.provision()
