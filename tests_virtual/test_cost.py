"""lorafab/virtual/cost.py: the figures of the time model, complete and with a name that changes with them."""

import dataclasses

import pytest

from lorafab.virtual import chips, cost
from lorafab.virtual.chip import At
from lorafab.virtual.clock import NS_PER_S
from lorafab.virtual.packets import CmsisDap
from lorafab.virtual.silicon import Part
from tests_virtual.ram_board import RAM, RamBoard, chip, select_swd


@pytest.mark.parametrize("name", chips.names())
def test_every_figure_says_where_it_comes_from(name: str) -> None:
    """Names are unique, values positive, sources named, and what nobody could read is marked."""
    figures = cost.table(chips.named(name))
    assert len({one.name for one in figures}) == len(figures)
    assert all(one.value > 0 and one.unit and one.source for one in figures)
    doubtful = {one.name for one in figures if not one.verified}
    assert {"usb.round_trip", f"{name}.flash.program_ns", f"{name}.flash.erase_ns"} <= doubtful
    assert "swd.clocks.ok" not in doubtful


def test_the_digest_is_the_models_name() -> None:
    """Twelve hexadecimal digits, the same for the same figures, others for others."""
    first = chip()
    assert cost.digest(first) == cost.digest(chip())
    assert int(cost.digest(first), 16) >> 48 == 0
    assert len(cost.digest(first)) == 12
    times = dataclasses.replace(first.flash_times, erase_ns=first.flash_times.erase_ns + 1)
    assert cost.digest(chip(flash_times=times)) != cost.digest(first)


def test_times_and_clocks_of_parts_belong_to_it() -> None:
    """What a profile gives a part in ns or Hz is a figure; its other settings are not."""
    parts = (At("flash", Part, settings={"fast_ns": 5, "empty": True}), At("osc", Part, settings={"slow_hz": 9}))
    figures = {one.name: (one.value, one.unit) for one in cost.table(chip(parts=parts))}
    assert figures["test.flash.fast_ns"] == (5, "ns")
    assert figures["test.osc.slow_hz"] == (9, "Hz")
    assert "test.flash.empty" not in figures
    assert "test.flash.mass_ns" not in figures, "this chip has no mass erase"


def test_the_figures_are_the_ones_that_are_charged() -> None:
    """A read of one register: a round trip, and a posted and a fetching transfer."""
    figures = {one.name: one.value for one in cost.table(chip())}
    board = RamBoard()
    select_swd(board.swd)
    board.swd.read(False, 0)
    board.swd.write(False, 4, 0x5000_0000)
    board.swd.write(True, 4, RAM)
    probe = CmsisDap(board)
    probe.read(True, 4).result()
    clocks_ns = 2 * figures["swd.clocks.ok"] * NS_PER_S // figures["swd.hz_unless_set"]
    assert board.now_ns == figures["usb.round_trip"] + clocks_ns
