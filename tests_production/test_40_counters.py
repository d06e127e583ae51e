"""DevNonce and frame counters survived, and the board can still store them."""

import pytest

from lorafab.steps.counters import check_counters, note_counters

pytestmark = pytest.mark.optional_step


def test_counters_are_kept(run, programmer, shell, memory, ledger, identity, measure):
    """DevNonce is not behind the ledger's, and the firmware stores the next one."""
    check = check_counters(programmer, shell, memory, ledger, identity, run.id)
    measure("dev_nonce", check.dev_nonce)
    measure("dev_nonce_gained", check.gained)


def test_counters_are_read(run, programmer, memory, ledger, identity, measure):
    """DevNonce is not behind the ledger's; the firmware has no command that would spend one."""
    check = note_counters(programmer, memory, ledger, identity, run.id)
    measure("dev_nonce", check.dev_nonce)
