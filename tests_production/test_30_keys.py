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


def test_the_modem_holds_its_keys(run, measure):
    """After a reset; whether the key itself could be read depends on the modem's dialect."""
    run.prove_key()
    measure("key_evidence", run.facts.evidence)


def test_the_element_is_genuine(run, programmer, image, shell, measure):
    """As its maker signed; that its key is the right one shows when the board joins."""
    start_firmware(programmer, shell, image.note.product)
    run.prove_key()
    measure("key_evidence", run.facts.evidence)
