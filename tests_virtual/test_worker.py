"""The program in the RAM of a chip (firmware/flash-algorithms/worker) on virtual boards: checksums, sessions, calls."""

import random
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorafab.domain.checksum import checksum
from lorafab.domain.memory_map import Segment, Span
from lorafab.domain.ram_program import RamProgram
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.drivers.pyocd_worker import Kind, NoAnswer, Order
from lorafab.errors import DutError, StoreRefused
from lorafab.targets import MCUS
from lorafab.targets.algorithm import load_worker
from lorafab.virtual import registry
from lorafab.virtual.board import Board
from lorafab.virtual.boardfile import State
from lorafab.virtual.chip import Chip
from lorafab.virtual.chips import nrf52
from lorafab.virtual.faults import FaultPlan
from lorafab.virtual.stm32.flash_wl import SR_PGSERR, FlashWl
from tests_virtual import test_add_a_board

NOISE = random.Random(7).randbytes(64 * 1024)
RAM = Span(0x20004000, 0x1000)
"""Behind all that the programs use."""

CHIPS: dict[str, tuple[str | Chip, str]] = {
    "wle5": ("wle5", "stm32wle5jc"),
    "l072": ("l072", "stm32l072xz"),
    "nrf52": (nrf52.with_build_code("C0"), "nrf52840"),  # open from the factory
    "l476": (test_add_a_board.chip(), "stm32l475xg"),
}
every_chip = pytest.mark.parametrize("name", CHIPS)


@contextmanager
def bench(folder: Path, name: str, faults: str = "") -> Iterator[tuple[PyocdProgrammer, Board]]:
    """A connected programmer on a new board."""
    chip, target = CHIPS[name]
    board = Board.open(folder / f"{name}.board", chip=chip, faults=FaultPlan.parse(faults))
    registry.attach("jig0", board)
    programmer = PyocdProgrammer("lorafab:jig0", target, 4000)
    try:
        board.power(True)
        programmer.connect()
        yield programmer, board
    finally:
        programmer.close()
        registry.detach("jig0")
        board.close()


@pytest.fixture
def wle5(tmp_path: Path) -> Iterator[tuple[PyocdProgrammer, Board]]:
    """Of an STM32WLE5."""
    with bench(tmp_path, "wle5") as made:
        yield made


def target_of(programmer: PyocdProgrammer) -> Any:
    """pyOCD's target, for what the driver does not offer."""
    return programmer._session.target


def start_of(name: str) -> int:
    return MCUS[CHIPS[name][1]].flash.start


def read_sums(programmer: PyocdProgrammer, spans: Sequence[Span]) -> list[int]:
    """Through the probe, which needs no program."""
    return [checksum(programmer.read(span)) for span in spans]


# -- checksums

Filled = tuple[PyocdProgrammer, list[Span]]


@pytest.fixture(scope="module", params=CHIPS)
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """A board with noise in all its memories, and where that is."""
    with bench(tmp_path_factory.mktemp("filled"), request.param) as (programmer, _):
        areas = MCUS[CHIPS[request.param][1]].areas
        places = [Span(area.start, min(area.size, 4096)) for area in areas]
        programmer.program([], [Segment(place.start, NOISE[: place.size]) for place in places])
        target_of(programmer).write_memory_block8(RAM.start, NOISE[-RAM.size :])
        yield programmer, [*places, RAM]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(data=st.data())
def test_a_checksum_is_the_hosts(filled: Filled, data: st.DataObject) -> None:
    """Of any bytes, of any size, from any address on, in flash, data EEPROM and RAM alike."""
    programmer, places = filled

    @st.composite
    def span(draw: st.DrawFn) -> Span:
        place = draw(st.sampled_from(places))
        size = draw(st.integers(0, 70) | st.integers(0, place.size))
        return Span(place.start + draw(st.integers(0, place.size - size)), size)

    spans = data.draw(st.lists(span(), max_size=6))
    assert programmer.checksums(spans) == read_sums(programmer, spans)


def test_pages_in_a_row_are_summed_up_one_by_one(filled: Filled) -> None:
    """More of them than fit into one call, broken off and begun again, in the order in which they were asked for."""
    programmer, places = filled
    place = places[0]
    spans = [*place.pages(4), *place.pages(4)[5:2:-1], *place.pages(64), Span(place.start, 0), place]
    assert programmer.checksums(spans) == read_sums(programmer, spans)


@every_chip
def test_a_blank_chip_and_one_that_locked_up_are_summed_up(tmp_path: Path, name: str) -> None:
    """The program needs nothing of what is on the chip: neither vectors nor a firmware that runs."""
    area = MCUS[CHIPS[name][1]].flash
    page = Span(area.start, area.page_size)
    with bench(tmp_path, name) as (programmer, board):
        assert programmer.checksums([page]) == [checksum(bytes([area.erased]) * page.size)]
        rubbish = struct.pack("<II", 0x10, 0xDEAD_BEEF) + NOISE[8 : page.size]
        programmer.program([], [Segment(page.start, rubbish)])
        programmer.run()
        board.advance(1_000_000)
        programmer.connect()
        assert programmer.checksums([page]) == [checksum(rubbish)]


@pytest.mark.parametrize("said", [3, 0x4000_0000], ids=["spans that were not asked for", "more than were asked for"])
def test_an_answer_that_the_program_cannot_give_is_not_believed(
    wle5: tuple[PyocdProgrammer, Board], monkeypatch: pytest.MonkeyPatch, said: int
) -> None:
    """The core has halted where it should not have: the probe reads, and the core is reset before it is asked again."""
    programmer, _ = wle5
    start = start_of("wle5")
    programmer.program([], [Segment(start, NOISE[:4096])])
    spans = [Span(start + at, 8) for at in (0, 100, 200, 300)]
    target = target_of(programmer)
    with monkeypatch.context() as patch:
        patch.setattr(target, "resume", lambda: target.write_core_register("r0", said))
        assert programmer.checksums(spans) == read_sums(programmer, spans)
    assert programmer.checksums(spans) == read_sums(programmer, spans)


def test_the_programs_own_ram_is_summed_up_as_it_was(wle5: tuple[PyocdProgrammer, Board]) -> None:
    """Where the program would lie in what it sums up, the probe reads."""
    programmer, _ = wle5
    span = Span(0x20000000, 0x8000)
    target_of(programmer).halt()
    wanted = checksum(programmer.read(span))
    assert programmer.checksums([span, Span(start_of("wle5"), 8)]) == [wanted, checksum(b"\xff" * 8)]


def test_a_torn_word_makes_its_span_unreadable_and_no_other(tmp_path: Path) -> None:
    """A double ECC error is an NMI: it costs the checksum of its span, neither the others nor the core."""
    with bench(tmp_path, "wle5") as (programmer, board):
        start = start_of("wle5")
        programmer.program([], [Segment(start, NOISE[:8192])])
        programmer.close()
        board.power(False)
        store = board.silicon.file.stores["flash"]
        store.begin_program(2048 + 80, bytes(8), State.BAD)
        store.finish()
        board.silicon.flash.array.bad.add((2048 + 80) // 8)
        board.silicon.bad_words_changed()
        board.power(True)
        programmer.connect()
        pages = Span(start, 8192).pages(2048)
        sums = [checksum(NOISE[at : at + 2048]) for at in range(0, 8192, 2048)]
        for _ in range(2):
            assert programmer.checksums(pages) == [sums[0], None, *sums[2:]]
        words = [Span(start + 2048 + 72, 8), Span(start + 2048 + 80, 4), Span(start + 2048 + 84, 4)]
        assert programmer.checksums(words) == [checksum(NOISE[2048 + 72 :][:8]), None, None]
        assert programmer.checksums([Span(start, 8192)]) == [None]


@pytest.mark.parametrize("name", ["wle5", "l072"])
def test_a_protected_chip_gives_no_checksum(tmp_path: Path, name: str) -> None:
    """Behind read-out protection the core itself is refused: None, and the core goes on."""
    with bench(tmp_path, name, "rdp=1") as (programmer, _):
        area = MCUS[CHIPS[name][1]].flash
        spans = [Span(area.start, area.page_size), Span(area.start + 2, 1), RAM]
        assert programmer.checksums(spans) == [None, None, checksum(programmer.read(RAM))]


@pytest.mark.parametrize(
    ("name", "registers"),
    [
        ("wle5", (0x58000000, 0x58000008, 0x58000048, 0x58004000, 0x58004014, 0xE000ED08)),
        ("l072", (0x40021000, 0x4002100C, 0x40021030, 0x40021038, 0x40022000, 0x40022004, 0xE000ED08)),
        ("nrf52", (0x4001E504, 0xE000ED08)),
        ("l476", (0x40021000, 0x40021008, 0x40021048, 0x40022000, 0x40022014, 0xE000ED08)),
    ],
)
def test_the_chip_is_left_as_found(tmp_path: Path, name: str, registers: tuple[int, ...]) -> None:
    """Clocks, the CRC unit's clock, wait states, locks and the vector table: after checksums and after a session."""
    with bench(tmp_path, name) as (programmer, _):
        target = target_of(programmer)
        target.reset_and_halt()
        before = [target.read32(address) for address in registers]
        place = Span(start_of(name) + 8192, 8)
        programmer.checksums([place])
        assert [target.read32(address) for address in registers] == before
        programmer.program([], [Segment(place.start, NOISE[:8])])
        assert [target.read32(address) for address in registers] == before


def test_between_checksums_and_session_nothing_is_reset_nor_loaded(wle5: tuple[PyocdProgrammer, Board]) -> None:
    """The second question costs less than loading the program again would: its words went over the wire once."""
    programmer, _ = wle5
    place = Span(start_of("wle5"), 2048)
    programmer.checksums([place])
    counters = programmer._session.probe.dap.counters
    words = len(load_worker("stm32wle5jc").code) // 4
    before = counters.transfers
    programmer.checksums([place])
    assert counters.transfers - before < words
    before = counters.transfers
    programmer.program([], [Segment(place.start, NOISE[:8])])
    assert counters.transfers - before < words


# -- sessions


@every_chip
def test_a_session_erases_and_programs_what_it_is_told(tmp_path: Path, name: str) -> None:
    """Several pages and pieces of pages, erased ones of them before, in all memories of the chip; the rest stays."""
    with bench(tmp_path, name) as (programmer, _):
        areas = MCUS[CHIPS[name][1]].areas
        for area in areas:
            size = max(area.page_size, 64)
            place = Span(area.start, 4 * size)
            programmer.program([], [Segment(place.start, NOISE[: place.size])])
            pages = Span(place.start + size, 2 * size)
            programmer.program([pages], [Segment(pages.start + 8, NOISE[100 : 100 + size])])
            wanted = bytearray(NOISE[: place.size])
            wanted[size : 3 * size] = bytes([area.erased]) * (2 * size)
            wanted[size + 8 : 2 * size + 8] = NOISE[100 : 100 + size]
            assert programmer.read(place) == wanted


def test_a_mass_erase_takes_the_flash_and_nothing_else(tmp_path: Path) -> None:
    """The data EEPROM of an STM32L0 and the UICR of an nRF52 stay, as do the segments that are programmed after it."""
    for name, other in (("l072", 0x08080000), ("nrf52", 0x10001080), ("wle5", RAM.start), ("l476", RAM.start)):
        with bench(tmp_path, name) as (programmer, board):
            target, area = target_of(programmer), MCUS[CHIPS[name][1]].flash
            last = Span(area.span.end - 8, 8)
            programmer.program([], [Segment(area.start, NOISE[:64]), Segment(last.start, NOISE[:8])])
            if name == "l072":
                programmer.program([], [Segment(other, NOISE[:4])])
            else:
                if name == "nrf52":
                    target.write32(0x4001E504, 1)
                target.write32(other, int.from_bytes(NOISE[:4], "little"))
            programmer.program([], [Segment(area.start + 8, NOISE[:8])], mass_erase=True)
            assert programmer.read(Span(area.start, 24)) == bytes([area.erased]) * 8 + NOISE[:8] + bytes(
                [area.erased] * 8
            )
            assert programmer.read(last) == bytes([area.erased]) * 8
            assert programmer.read(Span(other, 4)) == NOISE[:4]
            assert not [one for one in board.complaints if "power" in one]


@pytest.mark.parametrize("name", ["wle5", "l476"])
def test_full_rows_are_programmed_at_once(tmp_path: Path, name: str) -> None:
    """A page of full rows takes three quarters of the time of its double words, its transfer included."""
    with bench(tmp_path, name) as (programmer, board):
        programmer.checksums([RAM])
        before = board.clock.now_ns
        programmer.program([], [Segment(start_of(name), NOISE[:16384])])
        assert board.clock.now_ns - before < 16384 // 8 * 81_690 * 0.85
        assert programmer.read(Span(start_of(name), 16384)) == NOISE[:16384]


@pytest.mark.parametrize("hole", [0, 80, 248])
def test_a_row_with_an_erased_double_word_leaves_it_erased(wle5: tuple[PyocdProgrammer, Board], hole: int) -> None:
    """Programmed with all ones it would be used up: it can still be programmed later, without an erase."""
    programmer, _ = wle5
    start = start_of("wle5")
    row = NOISE[:hole] + b"\xff" * 8 + NOISE[hole + 8 : 256]
    programmer.program([], [Segment(start, NOISE[:256] + row + NOISE[:256])])
    programmer.program([], [Segment(start + 256 + hole, NOISE[:8])])
    row = NOISE[:hole] + NOISE[:8] + NOISE[hole + 8 : 256]
    assert programmer.read(Span(start, 768)) == NOISE[:256] + row + NOISE[:256]


def test_a_controller_that_refuses_rows_gets_double_words(
    wle5: tuple[PyocdProgrammer, Board], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Makers disagree whether rows want a mass erase first: where they do, the image arrives all the same."""

    def refuse(self: FlashWl, *_: object) -> bool:
        self._fail(SR_PGSERR)
        return False

    monkeypatch.setattr(FlashWl, "_add_to_row", refuse)
    programmer, board = wle5
    programmer.program([], [Segment(start_of("wle5"), NOISE[:4096])])
    assert programmer.read(Span(start_of("wle5"), 4096)) == NOISE[:4096]
    assert board.silicon.file.stores["flash"].programmed == 4096


def test_a_session_that_erases_for_longer_than_the_watchdog_waits_is_not_bitten(tmp_path: Path) -> None:
    """A firmware that started its watchdog is stopped by a reset, which stops the watchdog, too."""
    with bench(tmp_path, "wle5") as (programmer, board):
        target, start = target_of(programmer), start_of("wle5")
        for value in (0xCCCC, 0x5555):
            target.write32(0x40003000, value)  # IWDG_KR: start, open
        pages = Span(start, 64 * 2048)
        before = board.clock.now_ns
        programmer.program([pages], [Segment(start, NOISE[:64])])
        assert board.clock.now_ns - before > 1_000_000_000  # it would bite after half a second
        assert programmer.read(Span(start, 64)) == NOISE[:64]


# -- calls

_MAILBOX = 0x20001000
PROGRAM = RamProgram(
    "echo",
    0x20000000,
    # bkpt #0; b .; spin: b .; add: adds r0, r0, r1; bx lr
    bytes.fromhex("00be fee7 fee7 4018 7047 0000"),
    {"spin": 0x20000005, "add": 0x20000007},
    stack_top=0x20000800,
    mailbox=_MAILBOX,
    mailbox_size=64,
)
KEY = bytes.fromhex("5A17C0DE0123456789ABCDEFCAFEF00D")


@every_chip
def test_a_call_answers_and_wipes_its_mailbox(tmp_path: Path, name: str) -> None:
    """Arguments go in registers, the rest through the mailbox; nothing of it stays in RAM."""
    with bench(tmp_path, name) as (programmer, _):
        for first in (1, 0x8000_0000):
            assert programmer.call(PROGRAM, "add", [first, 2], KEY, 16, 1.0) == (first + 2, KEY)
            assert programmer.read(Span(_MAILBOX, 16)) == bytes(16)
        assert programmer.call(PROGRAM, "add", [3, 4], b"", 0, 1.0) == (7, b"")
        assert programmer.checksums([Span(start_of(name), 4)]) == [
            checksum(bytes([MCUS[CHIPS[name][1]].flash.erased]) * 4)
        ]
        assert programmer.call(PROGRAM, "add", [5, 6], b"", 0, 1.0) == (11, b"")


def test_a_program_that_does_not_come_back_is_stopped_and_wiped(wle5: tuple[PyocdProgrammer, Board]) -> None:
    """The board's fault in one sentence; its time is the board's, its mailbox is empty, the next call works."""
    programmer, board = wle5
    before = board.clock.now_ns
    with pytest.raises(StoreRefused, match=r"echo did not come back from spin in 0\.25 s, wanted its answer; reseat"):
        programmer.call(PROGRAM, "spin", [], KEY, 16, 0.25)
    assert 250_000_000 < board.clock.now_ns - before < 400_000_000
    assert programmer.read(Span(_MAILBOX, 16)) == bytes(16)
    assert programmer.call(PROGRAM, "add", [1, 2], KEY, 16, 1.0) == (3, KEY)


def test_a_mailbox_is_not_overfilled(wle5: tuple[PyocdProgrammer, Board]) -> None:
    """What is behind it is not ours."""
    with pytest.raises(ValueError, match="echo has a mailbox of 64 bytes, 65 were to be used"):
        wle5[0].call(PROGRAM, "add", [], bytes(65), 0, 1.0)


Action = Callable[[PyocdProgrammer], object]


@pytest.mark.parametrize(
    "action",
    [
        lambda programmer: programmer.checksums([Span(0x08000000, 8)]),
        lambda programmer: programmer.call(PROGRAM, "add", [1, 2], b"", 0, 1.0),
        lambda programmer: programmer.program([], [Segment(0x08001000, bytes(8))]),
        lambda programmer: refused(programmer),
        lambda programmer: broken_off(programmer),
    ],
    ids=["checksums", "call", "program", "refused session", "call that spins"],
)
def test_letting_go_starts_the_firmware(wle5: tuple[PyocdProgrammer, Board], action: Action) -> None:
    """Whatever we ran in RAM: after close the core runs what is in its flash."""
    programmer, board = wle5
    # Vectors, and a loop that counts in RAM: ldr r0, =RAM; adds r1, #1; str r1, [r0]; b .-4
    loop = (
        struct.pack("<II", 0x20008000, 0x08000009) + bytes.fromhex("0148 0131 0160 fce7") + struct.pack("<I", RAM.start)
    )
    programmer.program([], [Segment(0x08000000, loop)])
    action(programmer)
    programmer.close()
    board.advance(1_000_000)
    first = board.mem_read(RAM.start, 4)
    board.advance(1_000_000)
    assert board.mem_read(RAM.start, 4) > first > 0


def refused(programmer: PyocdProgrammer) -> None:
    """A session that the flash ends."""
    with pytest.raises(DutError, match="could not be programmed at 0x08000000"):
        programmer.program([], [Segment(0x08000000, bytes(range(1, 9)))])


def broken_off(programmer: PyocdProgrammer) -> None:
    """A call that does not come back."""
    with pytest.raises(StoreRefused):
        programmer.call(PROGRAM, "spin", [], b"", 0, 0.1)


def test_a_session_that_a_person_stops_programs_nothing_more(wle5: tuple[PyocdProgrammer, Board]) -> None:
    """Its buffers are wiped, and the order that was under way does not go on with what is in them then."""
    programmer, board = wle5
    place = Span(start_of("wle5"), 2048)

    def orders() -> Iterator[Order]:
        yield Order(Kind.PROGRAM, place.start, NOISE[: place.size])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        programmer._open_worker().flash(orders())
    programmer.close()
    board.advance(1_000_000_000)
    programmer.connect()
    found = programmer.read(place)
    done = next((at for at in range(0, place.size, 8) if found[at : at + 8] == b"\xff" * 8), place.size)
    assert done < place.size, "the order was at its end already"
    assert found == NOISE[:done] + b"\xff" * (place.size - done)


def test_a_session_that_was_overwritten_is_no_fault_of_the_flash(wle5: tuple[PyocdProgrammer, Board]) -> None:
    """It says that orders were carried out which nobody gave: the connection is to blame, and nobody is set aside."""
    programmer, _ = wle5
    worker, start = programmer._open_worker(), start_of("wle5")

    def orders() -> Iterator[Order]:
        yield Order(Kind.PROGRAM, start, NOISE[:8])
        target_of(programmer).halt()
        target_of(programmer).write_memory_block32(load_worker("stm32wle5jc").mailbox + 32, [0x1234_5678, 5])
        yield Order(Kind.PROGRAM, start + 8, NOISE[:8])
        yield Order(Kind.PROGRAM, start + 16, NOISE[:8])

    with pytest.raises(NoAnswer):
        worker.flash(orders())


def test_a_refused_session_leaves_the_core_to_the_next_one(wle5: tuple[PyocdProgrammer, Board]) -> None:
    """Checksums work after a failure, as the planner's second try needs them."""
    programmer, _ = wle5
    start = start_of("wle5")
    programmer.program([], [Segment(start, NOISE[:2048])])
    with pytest.raises(DutError, match=r"programmed at 0x08000000 \(result 0x8\)"):
        programmer.program([], [Segment(start, NOISE[1:2049])])
    assert programmer.checksums([Span(start, 2048)]) == [checksum(NOISE[:2048])]
