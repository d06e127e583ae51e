"""The board knows who it is, and so does its firmware."""

import pytest

from lorafab.steps.functional import start_firmware
from lorafab.steps.keys import check_firmware

pytestmark = pytest.mark.optional_step


def test_the_board_holds_its_keys(run, programmer, image, identity, shell, measure):
    """The key check value in the ledger, in the identity block and from the firmware are the same."""
    run.prove_key()
    start_firmware(programmer, shell, image.note.product)
    seen = check_firmware(shell, identity)
    measure("key_check_match", "yes" if seen == identity.kcv_app else "no")


def test_the_firmware_proves_its_key(run, programmer, image, identity, shell, measure):
    """Only the firmware can say which identity is compiled into it."""
    start_firmware(programmer, shell, image.note.product)
    run.prove_key()
    seen = check_firmware(shell, identity)
    measure("key_check_match", "yes" if seen == identity.kcv_app else "no")
