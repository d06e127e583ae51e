"""Read-out protection as the line meets it: what a locked wle5 shows and hides, and what careless firmware leaks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lorafab.domain.memory_map import Segment, Span
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.errors import LorafabError, MemoryFault
from lorafab.virtual import registry
from lorafab.virtual.boardfile import StoreFile
from tests_virtual.silicon.exerciser import Exerciser

START, SRAM1, SRAM2, UID96 = 0x0800_0000, 0x2000_0000, 0x2000_8000, 0x1FFF_7590
OPTKEYR, OPTR, CR, SR = 0x5800_400C, 0x5800_4020, 0x5800_4014, 0x5800_4010
OPTSTRT, BUSY = 1 << 17, 0x5_0000


class Locked:
    """A level 1 board whose firmware runs, and the line's programmer beside it."""

    def __init__(self, folder: Path) -> None:
        self.exerciser = Exerciser(folder, "wle5")
        self.board = self.exerciser.board
        self.board.power(False)
        options = self.board.silicon.file.options
        self.board.silicon.file.set_options((options[0] & ~0xFF | 0xBB, *options[1:]))
        self.board.power(True)
        self.board.lock.release()
        registry.attach("jig0", self.board)
        self.programmer = PyocdProgrammer("lorafab:jig0", "stm32wle5jc", 4000)

    def close(self) -> None:
        self.programmer.close()
        registry.detach("jig0")
        self.board.lock.acquire()
        self.exerciser.close()

    @property
    def flash(self) -> StoreFile:
        return self.board.silicon.file.stores["flash"]

    @property
    def target(self) -> Any:
        """pyOCD's target, for what the driver does not offer."""
        return self.programmer._session.target

    def hidden(self, address: int) -> bool:
        try:
            self.programmer.read(Span(address, 4))
        except MemoryFault:
            return True
        return False


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Locked]:
    """A locked board."""
    made = Locked(tmp_path)
    yield made
    made.close()


def test_it_shows_its_identity_and_hides_its_flash(locked: Locked) -> None:
    """Unique id and SRAM1 can be read; flash, its alias and SRAM2 answer with faults, at every word."""
    chip = locked.programmer.connect()
    assert chip.unique_id == locked.board.chip_id
    assert [locked.hidden(a) for a in (START, START + 0x3_FFFC, 0, SRAM2, SRAM2 + 0x7FFC)] == [True] * 5
    assert [locked.hidden(a) for a in (SRAM1, SRAM1 + 0x7FFC, UID96)] == [False] * 3


def test_connecting_and_trying_to_program_change_nothing(locked: Locked) -> None:
    """Programming and page erase are refused with a sentence, and every byte of the flash stays."""
    before, states = locked.flash.read(), locked.flash.states()
    locked.programmer.connect()
    for erase, segments in (([], [Segment(START + 0x20000, bytes(64))]), ([Span(START, 2048)], [])):
        with pytest.raises(LorafabError, match=r"; "):
            locked.programmer.program(erase, segments)
    locked.programmer.close()
    assert (locked.flash.read(), locked.flash.states()) == (before, states)


def test_a_key_that_the_firmware_copied_to_sram1_leaks(locked: Locked) -> None:
    """Level 1 does not hide SRAM1: what firmware puts there, anybody with a probe reads."""
    board, key = locked.board, locked.exerciser.memory("key")
    assert key == b"LORAFAB-DEMO-KEY"
    with board.lock:
        board.console.receive(b"k")
        board.attach_debugger(True)
        board.advance(50_000_000)
        board.attach_debugger(False)
    locked.programmer.connect()
    address, size = locked.exerciser.symbols["exerciser_stolen"]
    assert locked.programmer.read(Span(address, size)) == key
    assert locked.hidden(locked.exerciser.symbols["exerciser_key"][0])


def test_giving_up_the_protection_erases_everything(locked: Locked) -> None:
    """Through pyOCD: option bytes stay writable, the change to level 0 mass-erases, and power-on opens the part."""
    locked.programmer.connect()
    target = locked.target
    for key in (0x4567_0123, 0xCDEF_89AB):
        target.write32(0x5800_4008, key)
    for key in (0x0819_2A3B, 0x4C5D_6E7F):
        target.write32(OPTKEYR, key)
    target.write32(OPTR, target.read32(OPTR) & ~0xFF | 0xAA)
    target.write32(CR, OPTSTRT)
    assert any(not target.read32(SR) & BUSY for _ in range(10))
    assert locked.flash.read() == b"\xff" * locked.flash.size
    assert locked.hidden(START), "in force until power-on"
    locked.programmer.close()
    locked.board.power(False)
    locked.board.power(True)
    locked.programmer.connect()
    assert locked.programmer.read(Span(START, 16)) == b"\xff" * 16
    assert locked.programmer.read(Span(SRAM2, 16)) != locked.exerciser.memory("key")
