"""firmware/flash-algorithms/stm32wle5 on the virtual silicon, through the real driver and the real pyOCD."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lorafab.domain.memory_map import Segment, Span
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.errors import DutError
from lorafab.targets import MCUS
from lorafab.virtual import registry
from lorafab.virtual.board import Board
from lorafab.virtual.faults import FaultPlan, StuckBit

FACTS = MCUS["stm32wle5jc"]
START, PAGE, SIZE = FACTS.flash_start, FACTS.page_size, FACTS.flash_size
IMAGE = random.Random(1).randbytes(64 * 1024)

FLASH_KEYR, FLASH_SR, FLASH_CR, FLASH_ACR = 0x58004008, 0x58004010, 0x58004014, 0x58004000
RCC_CR, RCC_CFGR = 0x58000000, 0x58000008

Bench = Callable[..., PyocdProgrammer]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Makes a connected programmer on a new board that may have faults."""
    boards: list[Board] = []
    programmers: list[PyocdProgrammer] = []

    def make(faults: FaultPlan | None = None) -> PyocdProgrammer:
        board = Board.open(tmp_path / f"{len(boards)}.board", faults=faults)
        boards.append(board)
        board.power(True)
        registry.attach("jig0", board)
        programmers.append(PyocdProgrammer("lorafab:jig0", "stm32wle5jc", 4000))
        programmers[-1].connect()
        return programmers[-1]

    yield make
    for programmer in programmers:
        programmer.close()
    registry.detach("jig0")
    for board in boards:
        board.close()


def target(programmer: PyocdProgrammer) -> Any:
    """pyOCD's target, for what the driver does not offer."""
    return programmer._session.target


def flash(programmer: PyocdProgrammer) -> Any:
    """pyOCD's flash object."""
    return target(programmer).memory_map.get_boot_memory().flash


# -- what it must do


def test_one_page(bench: Bench) -> None:
    """A page is erased, programmed, and read back as it was given."""
    programmer = bench()
    programmer.program([Span(START, PAGE)], [Segment(START, IMAGE[:PAGE])])
    assert programmer.read(Span(START, PAGE)) == IMAGE[:PAGE]


def test_64_kib_round_trip_and_again(bench: Bench) -> None:
    """A firmware-sized image, then another over it."""
    programmer = bench()
    area = Span(START, len(IMAGE))
    for data in (IMAGE, IMAGE[::-1]):
        programmer.program([area], [Segment(START, data)])
        assert programmer.read(area) == data


def test_the_last_page_and_its_neighbours(bench: Bench) -> None:
    """The end of the flash is programmable; nothing beside it changes."""
    programmer = bench()
    last = START + SIZE - PAGE
    programmer.program([Span(last, PAGE)], [Segment(last, IMAGE[:PAGE])])
    assert programmer.read(Span(last - PAGE, 2 * PAGE)) == b"\xff" * PAGE + IMAGE[:PAGE]


def test_pages_outside_the_erase_list_are_untouched(bench: Bench) -> None:
    """The NVM region of a LoRaWAN stack survives a new image around it."""
    programmer = bench()
    nvm = START + 5 * PAGE
    programmer.program([], [Segment(nvm, IMAGE[:PAGE])])
    around = [Span(START, 5 * PAGE), Span(START + 6 * PAGE, 2 * PAGE)]
    programmer.program(around, [Segment(START, IMAGE[: 5 * PAGE]), Segment(START + 6 * PAGE, IMAGE[: 2 * PAGE])])
    assert programmer.read(Span(nvm, PAGE)) == IMAGE[:PAGE]


def test_padding_stays_erased(bench: Bench) -> None:
    """Double words of 0xFF are not used up: they can still be programmed later, without erasing."""
    programmer = bench()
    programmer.program([Span(START, PAGE)], [Segment(START, IMAGE[:16])])
    programmer.program([], [Segment(START + 16, IMAGE[16:32])])
    assert programmer.read(Span(START, 40)) == IMAGE[:32] + b"\xff" * 8


def test_mass_erase(bench: Bench) -> None:
    """EraseChip clears the whole flash."""
    programmer = bench()
    programmer.program([], [Segment(START, IMAGE[:PAGE]), Segment(START + SIZE - 8, IMAGE[:8])])
    algorithm = flash(programmer)
    algorithm.init(algorithm.Operation.ERASE, reset=True)
    algorithm.erase_all()
    algorithm.cleanup()
    assert programmer.read(Span(START, SIZE)) == b"\xff" * SIZE


def test_no_data_is_left_in_ram(bench: Bench) -> None:
    """Keys go through the page buffers: afterwards no copy of them is in RAM."""
    programmer = bench()
    key = IMAGE[100:116]
    programmer.program([Span(START, 2 * PAGE)], [Segment(START + 64, key), Segment(START + PAGE + 64, key)])
    assert key not in programmer.read(Span(0x20000000, 0x10000))


def test_no_data_is_left_in_ram_after_a_failure(bench: Bench) -> None:
    """A refused page is wiped as well."""
    programmer = bench()
    key = IMAGE[100:116]
    programmer.program([], [Segment(START, IMAGE[:8])])
    with pytest.raises(DutError):
        programmer.program([], [Segment(START, key)])
    assert key not in programmer.read(Span(0x20000000, 0x10000))


def test_a_virgin_part_starts_its_program_without_a_power_cycle(bench: Bench) -> None:
    """ACR.EMPTY of power-on would send every reset to the boot loader; it stays while the first location is blank."""
    programmer = bench()
    core = target(programmer)
    programmer.program([], [Segment(START + PAGE, IMAGE[:8])])
    assert core.read32(FLASH_ACR) & 1 << 16
    programmer.program([], [Segment(START, IMAGE[:8])])
    assert not core.read32(FLASH_ACR) & 1 << 16


def test_the_chip_is_left_as_found(bench: Bench) -> None:
    """Clock, wait states and lock are back after a session."""
    programmer = bench()
    core = target(programmer)
    core.reset_and_halt()
    before = [core.read32(address) for address in (RCC_CR, RCC_CFGR, FLASH_ACR)]
    programmer.program([Span(START, PAGE)], [Segment(START, IMAGE[:8])])
    after = [core.read32(address) for address in (RCC_CR, RCC_CFGR, FLASH_ACR)]
    # ACR.EMPTY (bit 16) is cleared by the first programming.
    assert after[:2] == before[:2]
    assert after[2] & 0xFFFF == before[2] & 0xFFFF
    assert core.read32(FLASH_CR) >> 31 == 1


# -- what it must refuse


def test_a_programmed_double_word_is_not_programmed_again(bench: Bench) -> None:
    """Flash that was not erased refuses, with PROGERR and the page's address; the old content stays."""
    programmer = bench()
    programmer.program([Span(START, PAGE)], [Segment(START, IMAGE[:8])])
    with pytest.raises(DutError, match=r"programmed at 0x08000000 \(result 0x8\)"):
        programmer.program([], [Segment(START, IMAGE[8:16])])
    assert programmer.read(Span(START, 8)) == IMAGE[:8]


def test_after_a_refusal_the_next_session_works(bench: Bench) -> None:
    """Error flags of an earlier failure do not block the next operation."""
    programmer = bench()
    programmer.program([], [Segment(START, IMAGE[:8])])
    with pytest.raises(DutError):
        programmer.program([], [Segment(START, IMAGE[8:16])])
    programmer.program([Span(START, PAGE)], [Segment(START, IMAGE[8:16])])
    assert programmer.read(Span(START, 8)) == IMAGE[8:16]


def test_leftover_error_flags_are_cleared_first(bench: Bench) -> None:
    """A stray access before our session (here: programming without PG) is no reason to fail."""
    programmer = bench()
    core = target(programmer)
    core.write32(FLASH_KEYR, 0x45670123)
    core.write32(FLASH_KEYR, 0xCDEF89AB)
    core.write32(FLASH_CR, 1)
    core.write16(START + PAGE, 0)  # a half-word: SIZERR
    core.write32(FLASH_CR, 0x80000000)
    algorithm = flash(programmer)
    algorithm.init(algorithm.Operation.ERASE)
    algorithm.erase_sector(START)
    algorithm.cleanup()


def test_a_locked_controller_is_reported(bench: Bench) -> None:
    """After a wrong key only a reset helps: without one, Init says so."""
    from pyocd.core.exceptions import FlashFailure, TransferFaultError

    programmer = bench()
    core = target(programmer)
    try:
        core.write32(FLASH_KEYR, 0xDEADBEEF)
        core.flush()
    except TransferFaultError:
        pass
    algorithm = flash(programmer)
    programmer._session.options["flash.timeout.init"] = 0.2
    with pytest.raises(FlashFailure):
        algorithm.init(algorithm.Operation.ERASE)
    # The driver resets before every session, so it gets through.
    programmer._session.context_state.current_flash_algo = None
    programmer.program([Span(START, PAGE)], [Segment(START, IMAGE[:8])])
    assert programmer.read(Span(START, 8)) == IMAGE[:8]


@pytest.mark.parametrize(
    ("address", "size", "code"),
    [
        *((START + SIZE, 8, 0x04000000), (START - PAGE, 8, 0x04000000), (START + SIZE - 8, 16, 0x04000000)),
        *((START + 4, 8, 0x08000000), (START, 4, 0x08000000)),
    ],
)
def test_impossible_places_are_refused_by_the_algorithm_itself(
    bench: Bench, address: int, size: int, code: int
) -> None:
    """Whoever calls it: outside the flash and off the double-word grid it does nothing."""
    programmer = bench()
    algorithm = flash(programmer)
    algorithm.init(algorithm.Operation.PROGRAM, reset=True)
    entry, buffer = algorithm.flash_algo["pc_program_page"], algorithm.page_buffers[0]
    assert algorithm._call_function_and_wait(entry, address, size, buffer, timeout=5) == code
    algorithm.cleanup()


def test_an_erase_outside_the_flash_is_refused(bench: Bench) -> None:
    """EraseSector does not wrap around to another page."""
    programmer = bench()
    algorithm = flash(programmer)
    algorithm.init(algorithm.Operation.ERASE, reset=True)
    entry = algorithm.flash_algo["pc_erase_sector"]
    for address in (START + SIZE, START - 1, 0):
        assert algorithm._call_function_and_wait(entry, address, timeout=5) == 0x04000000
    algorithm.cleanup()


def test_a_stuck_bit_passes_pyocd_and_shows_in_the_read_back(bench: Bench) -> None:
    """The controller does not notice a stuck bit, so success proves nothing until it is read."""
    programmer = bench(FaultPlan(stuck_bits=(StuckBit(START + 100, 3, 0),)))
    programmer.program([Span(START, PAGE)], [Segment(START, b"\x08" * PAGE)])
    found = programmer.read(Span(START, PAGE))
    assert [index for index in range(PAGE) if found[index] != 8] == [100]


def test_a_slow_erase_is_waited_for(bench: Bench) -> None:
    """An old flash that takes ten times as long still passes."""
    programmer = bench(FaultPlan(slow_erase=10))
    programmer.program([Span(START, PAGE)], [Segment(START, IMAGE[:PAGE])])
    assert programmer.read(Span(START, PAGE)) == IMAGE[:PAGE]


def test_a_power_cut_while_programming_is_an_error(bench: Bench) -> None:
    """The chip falls silent in the middle: the connection is lost, in one sentence."""
    from lorafab.errors import ProbeError

    programmer = bench(FaultPlan(power_cut_at=START + 1024))
    with pytest.raises(ProbeError):
        programmer.program([Span(START, PAGE)], [Segment(START, IMAGE[:PAGE])])
