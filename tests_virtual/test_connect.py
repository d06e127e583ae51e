"""Connecting to chips on virtual boards with the real driver and the real pyOCD: who they are, and when they sleep."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.targets import MCUS
from lorafab.virtual import chips, registry
from lorafab.virtual.board import Board
from lorafab.virtual.boardfile import BoardFile
from lorafab.virtual.silicon import Sleep

# ldr r0, =SCR; movs r1, #4 (SLEEPDEEP); str r1, [r0]; wfi; b back to wfi
SLEEPER = struct.pack("<II", 0x2000_4000, 0x0800_0009) + bytes.fromhex("024804210160 30bffde70000 10ed00e0")

Bench = Callable[[str], Board]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Puts a board with a chip of this name, and the program above, into the nest."""
    boards: list[Board] = []

    def make(chip: str) -> Board:
        path = tmp_path / f"{chip}.board"
        file = BoardFile(path, chips.named(chip))
        file.stores["flash"].put(0, SLEEPER)
        for cell in range(len(SLEEPER) // file.stores["flash"].spec.cell + 1):
            file.stores["flash"].set_state(cell, 1)
        file.close()
        boards.append(Board.open(path, chip=chip))
        registry.attach("jig0", boards[-1])
        return boards[-1]

    yield make
    registry.detach("jig0")
    for board in boards:
        board.close()


@pytest.mark.parametrize("chip", ["wle5", "l072"])
def test_a_chip_asleep_without_debug_clocks_is_woken_by_reset(
    bench: Bench, caplog: pytest.LogCaptureFixture, chip: str
) -> None:
    """Its debug port answers and its core does not: the driver tries once more with nRESET held, and says so."""
    board = bench(chip)
    mcu = MCUS[board.chip.target]
    board.attach_debugger(True)  # so that time is ours
    board.power(True)
    board.advance(20_000_000)
    assert board.silicon.sleep is Sleep.STOP
    programmer = PyocdProgrammer("lorafab:jig0", mcu.name, 4000)
    try:
        info = programmer.connect()
    finally:
        programmer.close()
    assert "nRESET" in caplog.text
    assert (info.dpidr, info.flash_size, info.unique_id) == (mcu.dpidr, mcu.flash.size, board.chip_id)
    assert info.idcode & mcu.identity.mask == mcu.identity_value


@pytest.mark.parametrize("chip", ["wle5", "l072"])
def test_a_chip_that_was_connected_to_once_can_be_connected_to_in_its_sleep(
    bench: Bench, caplog: pytest.LogCaptureFixture, chip: str
) -> None:
    """The first connect keeps the debug clocks on in Stop; until the next power-on no reset is needed."""
    board = bench(chip)
    board.power(True)
    programmer = PyocdProgrammer("lorafab:jig0", board.chip.target, 4000)
    try:
        first = programmer.connect()
        programmer.run()
        caplog.clear()
        assert programmer.connect() == first
    finally:
        programmer.close()
    assert "nRESET" not in caplog.text
