"""The board is closed to every probe, and still knows its key."""

import pytest


@pytest.mark.optional_step
def test_the_board_is_locked(run, identity, measure):
    """Protection set, power off and on, same key check value, and nothing that a probe can read holds the key."""
    closed = run.lock()
    measure("key_check_after_lock", "yes" if closed.kcv == identity.kcv_app else "no")
    measure("bytes_visible", closed.visible)
