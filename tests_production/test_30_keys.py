"""The board knows who it is, and so does its firmware."""

from lorafab.steps.functional import start_firmware
from lorafab.steps.keys import check_firmware


def test_the_board_holds_its_keys(run, programmer, image, identity, shell, measure):
    """The key check value in the ledger, in the identity block and from the firmware are the same."""
    run.prove_key()
    start_firmware(programmer, shell, image.note.product)
    seen = check_firmware(shell, identity)
    measure("key_check_match", "yes" if seen == identity.kcv_app else "no")
