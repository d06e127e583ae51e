"""lorafab/virtual/swj.py: how a debug port is switched to SWD, away from it, and reset."""

import pytest

from lorafab.virtual.swj import LINE_RESET, Listens, Switch

ALERT = 0x19BC0EA2E3DDAFE986852D956209F392
ONES = (1 << 60) - 1


def sent(switch: Switch, *sequences: tuple[int, int]) -> Switch:
    """Send sequences of (length, bits)."""
    for length, bits in sequences:
        switch.sequence(length, bits)
    return switch


def listens(switch: Switch) -> Listens:
    """What it understands at this moment."""
    return switch.listens


TO_SWD = ((51, ONES), (16, 0xE79E), (51, ONES), (8, 0))
TO_DORMANT = ((51, ONES), (39, 0x33BBBBBA))
WAKE_SWD = ((136, ALERT << 8 | 0xFF), (12, 0x1A0), (51, ONES), (2, 0))


def test_a_combined_port_starts_in_jtag_and_is_switched() -> None:
    """Power-on selects JTAG; the sequence of ADIv5 B5.2.1 selects SWD."""
    switch = Switch(combined=True)
    assert listens(switch) is Listens.JTAG
    assert switch.silent
    sent(switch, *TO_SWD)
    assert listens(switch) is Listens.SWD
    assert not switch.silent
    assert switch.only_dpidr


def test_the_switch_needs_its_line_reset_before() -> None:
    """The 16 bits alone are traffic like any other."""
    switch = sent(Switch(combined=True), (8, 0xFF), (16, 0xE79E), (51, ONES), (8, 0))
    assert listens(switch) is Listens.JTAG


def test_the_switch_needs_a_line_reset_after() -> None:
    """Selected, but not yet in step with the host's bits."""
    assert sent(Switch(combined=True), (51, ONES), (16, 0xE79E), (8, 0)).silent


def test_sequences_may_come_in_pieces_of_any_size() -> None:
    """Bits count, not the commands that carry them."""
    switch = Switch(combined=True)
    whole = sum(((1 << 51) - 1 & bits if length == 51 else bits) << at for at, length, bits in (
        (0, 51, ONES), (51, 16, 0xE79E), (67, 51, ONES), (118, 8, 0)))  # fmt: skip
    for place in range(126):
        switch.sequence(1, whole >> place & 1)
    assert listens(switch) is Listens.SWD
    assert not switch.silent


def test_back_to_jtag() -> None:
    """0xE73C after a line reset ends SWD."""
    switch = sent(Switch(combined=True), *TO_SWD, (51, ONES), (16, 0xE73C))
    assert listens(switch) is Listens.JTAG


@pytest.mark.parametrize("asleep", [TO_DORMANT, (*TO_SWD, (51, ONES), (16, 0xE3BC))])
def test_the_dormant_state_and_the_way_out_of_it(asleep: tuple[tuple[int, int], ...]) -> None:
    """From JTAG and from SWD; only the selection alert with the code of SWD wakes it for SWD."""
    switch = sent(Switch(combined=True), *asleep)
    assert listens(switch) is Listens.DORMANT
    sent(switch, *TO_SWD)
    assert listens(switch) is Listens.DORMANT
    sent(switch, *WAKE_SWD)
    assert listens(switch) is Listens.SWD
    assert not switch.silent


def test_dormant_to_jtag() -> None:
    """The other activation code."""
    switch = sent(Switch(combined=True), *TO_DORMANT, (136, ALERT << 8 | 0xFF), (12, 0x0A0))
    assert listens(switch) is Listens.JTAG


def test_a_damaged_alert_wakes_nobody() -> None:
    """That is what its 128 bits are for."""
    switch = sent(Switch(combined=True), *TO_DORMANT, (136, (ALERT ^ 1 << 64) << 8 | 0xFF), *WAKE_SWD[1:])
    assert listens(switch) is Listens.DORMANT


def test_a_plain_port_knows_neither_jtag_nor_dormancy() -> None:
    """SWD version 1: a line reset is all it takes, and none of the other sequences does anything."""
    switch = Switch(combined=False)
    assert switch.silent
    sent(switch, (51, ONES), (8, 0))
    assert not switch.silent
    sent(switch, (51, ONES), (16, 0xE73C), *TO_DORMANT, (51, ONES), (16, 0xE3BC), (51, ONES), (2, 0))
    assert listens(switch) is Listens.SWD
    assert not switch.silent


@pytest.mark.parametrize(("ones", "reset"), [(LINE_RESET - 1, False), (LINE_RESET, True)])
def test_a_line_reset_is_fifty_clocks(ones: int, reset: bool) -> None:
    """49 are none."""
    switch = sent(Switch(combined=True), *TO_SWD)
    switch.only_dpidr = False
    switch.transfer()
    sent(switch, (ones, ONES), (2, 0))
    assert switch.only_dpidr is reset


def test_a_line_reset_ends_with_clocks_low() -> None:
    """Without them the start bit of a request is one more 1."""
    switch = sent(Switch(combined=True), *TO_SWD, (51, ONES))
    assert switch.silent
    switch.sequence(2, 0)
    assert not switch.silent


def test_transfers_interrupt_a_sequence() -> None:
    """What was sent before a transfer does not count for what comes after it."""
    switch = sent(Switch(combined=True), *TO_SWD, (40, ONES))
    switch.transfer()
    switch.only_dpidr = False
    sent(switch, (40, ONES), (2, 0))
    assert not switch.only_dpidr
