"""Our flash algorithms (firmware/flash-algorithms) on virtual silicon, through the real driver and the real pyOCD."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lorafab.domain.memory_map import Segment, Span
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.errors import DutError, ProbeError
from lorafab.targets import MCUS, Area
from lorafab.virtual import registry
from lorafab.virtual.board import Board
from lorafab.virtual.faults import FaultPlan

IMAGE = random.Random(1).randbytes(64 * 1024)
OUT_OF_RANGE, MISALIGNED = 0x0400_0000, 0x0800_0000


@dataclass(frozen=True)
class Case:
    """One algorithm: on which chip, for which of its memories, and the registers that a session must put back."""

    chip: str
    target: str
    memory: str
    block: int
    """Bytes that the tests take for a piece: whole pages, and whole units of one call."""
    ram: Span
    found: tuple[int, ...]
    """Registers that are after a session what they were before."""
    locks: tuple[int, int]
    """Register and mask of its locks, closed after a session."""

    @property
    def area(self) -> Area:
        """The memory."""
        mcu = MCUS[self.target]
        area = mcu.eeprom if self.memory == "eeprom" else mcu.flash
        assert area is not None
        return area

    @property
    def start(self) -> int:
        """Its first address."""
        return self.area.start

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.area.span.end

    def erased(self, size: int) -> bytes:
        """What so many erased bytes read."""
        return bytes([self.area.erased]) * size

    def at(self, block: int) -> int:
        """Address of a block."""
        return self.start + block * self.block

    def span(self, block: int, count: int = 1) -> Span:
        """Blocks."""
        return Span(self.at(block), count * self.block)


_L0 = {
    "chip": "l072",
    "target": "stm32l072xz",
    "ram": Span(0x20000000, 0x5000),
    "found": (0x40021000, 0x4002100C, 0x40021038, 0x40022000),  # RCC_CR, RCC_CFGR, RCC_APB1ENR, FLASH_ACR
    "locks": (0x40022004, 3),
}
WLE5 = Case(
    *("wle5", "stm32wle5jc", "flash", 2048, Span(0x20000000, 0x10000)),
    found=(0x58000000, 0x58000008),  # RCC_CR, RCC_CFGR
    locks=(0x58004014, 1 << 31),
)
L072, EEPROM = Case(memory="flash", block=1024, **_L0), Case(memory="eeprom", block=64, **_L0)  # type: ignore[arg-type]
every_memory = pytest.mark.parametrize("case", [WLE5, L072, EEPROM], ids=["wle5", "l072", "l072-eeprom"])
every_flash = pytest.mark.parametrize("case", [WLE5, L072], ids=["wle5", "l072"])

Bench = Callable[..., PyocdProgrammer]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Makes a connected programmer on a new board that may have faults."""
    boards: list[Board] = []
    programmers: list[PyocdProgrammer] = []

    def make(case: Case, faults: str = "") -> PyocdProgrammer:
        path = tmp_path / f"{len(boards)}.board"
        boards.append(Board.open(path, chip=case.chip, faults=FaultPlan.parse(faults)))
        boards[-1].power(True)
        registry.attach("jig0", boards[-1])
        programmers.append(PyocdProgrammer("lorafab:jig0", case.target, 4000))
        programmers[-1].connect()
        return programmers[-1]

    yield make
    for programmer in programmers:
        programmer.close()
    registry.detach("jig0")
    for board in boards:
        board.close()


def core_of(programmer: PyocdProgrammer) -> Any:
    """pyOCD's target, for what the driver does not offer."""
    return programmer._session.target


def flash_of(programmer: PyocdProgrammer, case: Case) -> Any:
    """pyOCD's flash object."""
    return core_of(programmer).memory_map.get_region_for_address(case.start).flash


# -- what it must do


@every_memory
def test_one_block(bench: Bench, case: Case) -> None:
    """It is erased, programmed, and read back as it was given."""
    programmer, data = bench(case), IMAGE[: case.block]
    programmer.program([case.span(0)], [Segment(case.start, data)])
    assert programmer.read(case.span(0)) == data


@every_memory
def test_an_image_and_another_over_it(bench: Bench, case: Case) -> None:
    """A firmware-sized image (all of an EEPROM), then its opposite."""
    programmer, size = bench(case), min(len(IMAGE), case.area.size)
    area = Span(case.start, size)
    for data in (IMAGE[:size], IMAGE[:size][::-1]):
        programmer.program([area], [Segment(case.start, data)])
        assert programmer.read(area) == data


@every_memory
def test_the_end_and_its_neighbours(bench: Bench, case: Case) -> None:
    """The end of the memory is programmable; nothing beside it changes."""
    programmer, last = bench(case), Span(case.end - case.block, case.block)
    programmer.program([last], [Segment(last.start, IMAGE[: last.size])])
    assert (
        programmer.read(Span(last.start - case.block, 2 * case.block)) == case.erased(case.block) + IMAGE[: last.size]
    )


@every_memory
def test_pages_outside_the_erase_list_are_untouched(bench: Bench, case: Case) -> None:
    """The NVM region of a LoRaWAN stack survives a new image around it."""
    programmer, nvm = bench(case), case.span(5)
    programmer.program([], [Segment(nvm.start, IMAGE[: nvm.size])])
    around = [Segment(case.start, IMAGE[-5 * case.block :]), Segment(nvm.end, IMAGE[-2 * case.block :])]
    programmer.program([segment.span for segment in around], around)
    assert programmer.read(nvm) == IMAGE[: nvm.size]


@every_memory
def test_only_what_was_given_is_written(bench: Bench, case: Case) -> None:
    """What lies between segments is not used up: it can still be programmed later, without erasing."""
    programmer = bench(case)
    programmer.program([case.span(0)], [Segment(case.start, IMAGE[:16]), Segment(case.start + 32, IMAGE[32:48])])
    programmer.program([], [Segment(case.start + 16, IMAGE[16:32])])
    assert programmer.read(Span(case.start, 64)) == IMAGE[:48] + case.erased(16)


@every_memory
def test_erased_words_within_the_data_cost_nothing(bench: Bench, case: Case) -> None:
    """Padding in an image stays programmable as well."""
    programmer = bench(case)
    data = IMAGE[:16] + case.erased(case.block - 16)
    programmer.program([case.span(0)], [Segment(case.start, data)])
    programmer.program([], [Segment(case.start + 16, IMAGE[16:32])])
    assert programmer.read(Span(case.start, 40)) == IMAGE[:32] + case.erased(8)


@every_memory
def test_all_of_it_can_be_erased(bench: Bench, case: Case) -> None:
    """EraseChip clears this memory from its first to its last word, and no other."""
    programmer = bench(case)
    other = next((area for area in MCUS[case.target].areas if area is not case.area), None)
    segments = [Segment(case.start, IMAGE[:8]), Segment(case.end - 8, IMAGE[:8])]
    programmer.program([], [*segments, *([Segment(other.start, IMAGE[:8])] if other else [])])
    algorithm = flash_of(programmer, case)
    algorithm.init(algorithm.Operation.ERASE, reset=True)
    algorithm.erase_all()
    algorithm.cleanup()
    assert programmer.read(case.area.span) == case.erased(case.area.size)
    assert other is None or programmer.read(Span(other.start, 8)) == IMAGE[:8]


@every_memory
def test_no_data_is_left_in_ram(bench: Bench, case: Case) -> None:
    """Keys go through the page buffers: afterwards no copy of them, and no word of one, is in RAM."""
    programmer, key = bench(case), IMAGE[100:116]
    programmer.program(
        [case.span(0, 2)], [Segment(case.start + 32, key), Segment(case.at(1), key * (case.block // 16))]
    )
    ram = programmer.read(case.ram)
    assert not any(key[n : n + 4] in ram for n in range(0, 16, 4))


@every_flash
def test_no_data_is_left_in_ram_after_a_failure(bench: Bench, case: Case) -> None:
    """A refused page is wiped as well."""
    programmer, key = bench(case), IMAGE[100:116]
    programmer.program([], [Segment(case.start, IMAGE[:8])])
    with pytest.raises(DutError):
        programmer.program([], [Segment(case.start, key)])
    assert key not in programmer.read(case.ram)


def test_a_virgin_part_starts_its_program_without_a_power_cycle(bench: Bench) -> None:
    """ACR.EMPTY of power-on would send every reset to the boot loader; it stays while the first location is blank."""
    programmer, acr, empty = bench(WLE5), 0x58004000, 1 << 16
    core = core_of(programmer)
    programmer.program([], [Segment(WLE5.at(1), IMAGE[:8])])
    assert core.read32(acr) & empty
    programmer.program([], [Segment(WLE5.start, IMAGE[:8])])
    assert not core.read32(acr) & empty


@every_memory
def test_the_chip_is_left_as_found(bench: Bench, case: Case) -> None:
    """Clocks are back after a session, and so are the locks."""
    programmer = bench(case)
    core = core_of(programmer)
    core.reset_and_halt()
    before = [core.read32(address) for address in case.found]
    programmer.program([case.span(0)], [Segment(case.start, IMAGE[:8])])
    assert [core.read32(address) for address in case.found] == before
    assert core.read32(case.locks[0]) & case.locks[1] == case.locks[1]


def test_wait_states_and_caches_are_left_as_found(bench: Bench) -> None:
    """FLASH_ACR of the WLE5, ACR.EMPTY (bit 16) apart, which the first programming clears."""
    programmer = bench(WLE5)
    core = core_of(programmer)
    core.reset_and_halt()
    before = core.read32(0x58004000)
    programmer.program([WLE5.span(0)], [Segment(WLE5.start, IMAGE[:8])])
    assert core.read32(0x58004000) & 0xFFFF == before & 0xFFFF


def test_an_stm32l0_is_programmed_by_half_pages(bench: Bench) -> None:
    """Sixteen words in the time of one: 4 KiB take 64 times 3.28 ms and the calls, not 1024 times."""
    programmer = bench(L072)
    board = registry.board_in("jig0")
    assert board is not None
    start_ns = board.clock.now_ns
    programmer.program([], [Segment(L072.start, IMAGE[:4096])])
    assert 64 * 3_280_000 < board.clock.now_ns - start_ns < 2 * 64 * 3_280_000


def test_words_of_an_eeprom_that_do_not_change_are_not_worn(bench: Bench) -> None:
    """Endurance counts per word: the same contents again cost no write."""
    programmer = bench(EEPROM)
    board = registry.board_in("jig0")
    assert board is not None
    programmer.program([], [Segment(EEPROM.start, IMAGE[:64])])
    written: list[int] = []
    board.silicon.flash.on_program.append(written.append)
    programmer.program([], [Segment(EEPROM.start, IMAGE[:32] + IMAGE[36:40] + IMAGE[36:64])])
    assert set(written) == {EEPROM.start + 32}


# -- what it must refuse


@pytest.mark.parametrize(("case", "code"), [(WLE5, "0x8"), (L072, "0x10000")], ids=["wle5", "l072"])
def test_a_programmed_word_is_not_programmed_again(bench: Bench, case: Case, code: str) -> None:
    """Flash that was not erased refuses, with the controller's error; the old content stays."""
    programmer = bench(case)
    programmer.program([case.span(0)], [Segment(case.start, IMAGE[:8])])
    with pytest.raises(DutError, match=rf"programmed at {case.start:#010x} \(result {code}\)"):
        programmer.program([], [Segment(case.start, IMAGE[8:16])])
    assert programmer.read(Span(case.start, 8)) == IMAGE[:8]
    with pytest.raises(DutError, match=rf"programmed at {case.start:#010x} \(result {code}\)"):
        programmer.program([], [Segment(case.start, IMAGE[8 : 8 + case.block])])
    assert programmer.read(Span(case.start, 8)) == IMAGE[:8]


@every_flash
def test_after_a_refusal_the_next_session_works(bench: Bench, case: Case) -> None:
    """Error flags of an earlier failure do not block the next operation."""
    programmer = bench(case)
    programmer.program([], [Segment(case.start, IMAGE[:8])])
    with pytest.raises(DutError):
        programmer.program([], [Segment(case.start, IMAGE[8:16])])
    programmer.program([case.span(0)], [Segment(case.start, IMAGE[8:16])])
    assert programmer.read(Span(case.start, 8)) == IMAGE[8:16]


@every_flash
def test_leftover_error_flags_are_cleared_first(bench: Bench, case: Case) -> None:
    """A stray access before our session is no reason to fail: a half-word, which no flash takes."""
    programmer = bench(case)
    core = core_of(programmer)
    if case is WLE5:
        for address, value in ((0x58004008, 0x45670123), (0x58004008, 0xCDEF89AB), (0x58004014, 1)):
            core.write32(address, value)
    core.write16(case.at(1), 0)
    if case is WLE5:
        core.write32(0x58004014, 0x80000000)
    algorithm = flash_of(programmer, case)
    algorithm.init(algorithm.Operation.ERASE)
    algorithm.erase_sector(case.start)
    algorithm.cleanup()


@pytest.mark.parametrize(("case", "keys"), [(WLE5, 0x58004008), (L072, 0x4002200C)], ids=["wle5", "l072"])
def test_a_locked_controller_is_reported(bench: Bench, case: Case, keys: int) -> None:
    """After a wrong key only a reset helps: without one, Init says so."""
    from pyocd.core.exceptions import FlashFailure, TransferFaultError

    programmer = bench(case)
    core = core_of(programmer)
    try:
        core.write32(keys, 0xDEADBEEF)
        core.flush()
    except TransferFaultError:
        pass
    algorithm = flash_of(programmer, case)
    programmer._session.options["flash.timeout.init"] = 0.2
    with pytest.raises(FlashFailure):
        algorithm.init(algorithm.Operation.ERASE)
    # The driver resets before every session, so it gets through.
    programmer._session.context_state.current_flash_algo = None
    programmer.program([case.span(0)], [Segment(case.start, IMAGE[:8])])
    assert programmer.read(Span(case.start, 8)) == IMAGE[:8]


@every_memory
def test_keys_that_are_not_taken_are_reported(bench: Bench, case: Case) -> None:
    """A controller that stays locked is the board's fault, in one sentence with the algorithm's code."""
    programmer = bench(case, "key_lock")
    with pytest.raises(DutError, match=r"controller does not work \(result 0x1000000\)"):
        programmer.program([case.span(0)], [Segment(case.start, IMAGE[:8])])


@every_memory
def test_impossible_places_are_refused_by_the_algorithm_itself(bench: Bench, case: Case) -> None:
    """Whoever calls it: outside of its memory and off the grid of its words it does nothing."""
    word = case.area.word_size
    programmer = bench(case)
    algorithm = flash_of(programmer, case)
    algorithm.init(algorithm.Operation.PROGRAM, reset=True)
    entry, buffer = algorithm.flash_algo["pc_program_page"], algorithm.page_buffers[0]
    for address, size, code in (
        *((case.end, word, OUT_OF_RANGE), (case.start - word, word, OUT_OF_RANGE)),
        *((case.end - word, 2 * word, OUT_OF_RANGE), (case.start, 0xFFFF_FFF8, OUT_OF_RANGE)),
        *((case.start + word // 2, word, MISALIGNED), (case.start, word // 2, MISALIGNED)),
    ):
        assert algorithm._call_function_and_wait(entry, address, size, buffer, timeout=5) == code
    algorithm.cleanup()


@every_memory
def test_an_erase_outside_is_refused(bench: Bench, case: Case) -> None:
    """EraseSector does not wrap around to another page."""
    programmer = bench(case)
    algorithm = flash_of(programmer, case)
    algorithm.init(algorithm.Operation.ERASE, reset=True)
    entry = algorithm.flash_algo["pc_erase_sector"]
    for address in (case.end, case.start - 1, 0):
        assert algorithm._call_function_and_wait(entry, address, timeout=5) == OUT_OF_RANGE
    algorithm.cleanup()


@every_flash
def test_write_protection_is_reported(bench: Bench, case: Case) -> None:
    """The controller's WRPERR reaches the driver, for erasing and for programming."""
    error = {"wle5": "0x10", "l072": "0x100"}[case.chip]
    programmer = bench(case, "wrp=0")
    with pytest.raises(DutError, match=rf"erased at {case.start:#010x} \(result {error}\)"):
        programmer.program([case.span(0)], [])
    with pytest.raises(DutError, match=rf"programmed at {case.start:#010x} \(result {error}\)"):
        programmer.program([], [Segment(case.start, IMAGE[: case.block])])


@every_flash
def test_a_stuck_bit_passes_pyocd_and_shows_in_the_read_back(bench: Bench, case: Case) -> None:
    """The controller does not notice a stuck bit, so success proves nothing until it is read."""
    programmer = bench(case, f"stuck_bit={case.start + 100:#x}.3=0")
    programmer.program([case.span(0)], [Segment(case.start, b"\x08" * case.block)])
    found = programmer.read(case.span(0))
    assert [index for index in range(case.block) if found[index] != 8] == [100]


@every_memory
def test_a_slow_erase_is_waited_for(bench: Bench, case: Case) -> None:
    """An old memory that takes ten times as long still passes."""
    programmer, data = bench(case, "slow_erase=10"), IMAGE[: case.block]
    programmer.program([case.span(0)], [Segment(case.start, data)])
    assert programmer.read(case.span(0)) == data


@every_memory
def test_a_power_cut_while_programming_is_an_error(bench: Bench, case: Case) -> None:
    """The chip falls silent in the middle: the connection is lost, in one sentence."""
    programmer = bench(case, "power_cut@word:9")
    with pytest.raises(ProbeError):
        programmer.program([case.span(0)], [Segment(case.start, IMAGE[: case.block])])


@every_flash
@pytest.mark.parametrize("offset", [0, 0x100, 0x780])
def test_stock_pyocd_leaves_the_neighbours_alone(bench: Bench, case: Case, offset: int) -> None:
    """A small image into the middle of a full memory: what its sectors hold beside it is restored, no more erased."""
    from pyocd.flash.loader import FlashLoader

    programmer, data = bench(case), IMAGE[:8192]
    area = Span(case.start, len(data))
    programmer.program([area], [Segment(case.start, data)])
    small = bytes(range(128))
    loader = FlashLoader(programmer._session, chip_erase="sector", keep_unwritten=True)
    loader.add_data(case.start + offset, small)
    loader.commit()
    assert programmer.read(area) == data[:offset] + small + data[offset + len(small) :]
