"""An identity that does not go down with the image: the probe or the running firmware writes it."""

import pytest

pytestmark = pytest.mark.optional_step


def test_the_probe_writes_the_identity(run, identity):
    """Into a memory behind the microcontroller's pins."""
    run.provision()


def test_the_firmware_takes_the_identity(run):
    """By commands on the serial line, in the dialect that the product names."""
    run.provision()
