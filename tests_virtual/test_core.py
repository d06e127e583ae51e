"""lorafab/virtual/core.py and exceptions.py: real instructions, real exceptions, in simulated time."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lorafab.virtual import cpu
from lorafab.virtual.board import Board
from tests_virtual.silicon import programs
from tests_virtual.silicon.rig import AIRCR, DEMCR, DHCSR, SRAM, Debugger, open_board

Start = Callable[..., Board]
ENTRY = 0x0800_0101


def image(code: list[int], **handlers: int) -> bytes:
    """Vector table (stack at the end of SRAM1) and Thumb code at 0x08000100; handlers by exception name."""
    vectors = [0x2000_8000, ENTRY] + [0x0800_0001 | 0x80] * 62
    numbers = {"nmi": 2, "hard_fault": 3, "usage_fault": 6, "svcall": 11, "systick": 15}
    for name, offset in handlers.items():
        vectors[numbers[name]] = ENTRY + offset
    return struct.pack("<64I", *vectors) + struct.pack(f"<{len(code)}H", *code)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Powers a board with a program; its time is in the test's hands."""
    boards: list[Board] = []

    def make(program: bytes) -> Board:
        board = open_board(tmp_path / f"{len(boards)}.board", program)
        board.attach_debugger(True)
        board.power(True)
        boards.append(board)
        return board

    yield make
    for board in boards:
        board.close()


def words(board: Board, count: int) -> list[int]:
    return board.mem_read_words(SRAM, count)


def test_every_exception_is_taken_and_left(start: Start) -> None:
    """SVC, PendSV, NMI, HardFault that skips the faulting load, SysTick under masked and open interrupts, PSP."""
    board = start(programs.EXCEPTIONS)
    board.mem_write(DHCSR, 4, 0xA05F_0001)
    board.advance(20_000_000)
    assert board.core.halted
    results = words(board, 16)
    assert results[9] == 0xD0E, "it came to its end"
    assert results[1] == 5, "five ticks"
    assert results[3] == 11, "ICSR names the running handler"
    assert results[5] == 2, "two bus faults were stepped over"
    assert results[7] == 3, "PendSV was tail-chained before the statement after SVC"
    assert (results[2], results[4], results[6]) == (5, 6, 4)
    assert results[8] == 0x2000_3000, "the process stack is whole after an SVC on it"
    assert board.complaints[:2] == [
        "core: read of 0x60000000 at PC 0x08000112: nothing answers there",
        "core: read of 0x40000000 at PC 0x08000120: no such peripheral is modelled",
    ]


def test_same_program_takes_the_same_time(start: Start) -> None:
    """Two boards agree to the nanosecond."""
    times = set()
    for _ in range(2):
        board = start(programs.EXCEPTIONS)
        board.mem_write(DHCSR, 4, 0xA05F_0001)
        board.core.run_until(50_000_000, only_while_busy=True)
        times.add((board.clock.now_ns, tuple(words(board, 16))))
    assert len(times) == 1


def test_instructions_take_time_at_the_core_clock(start: Start) -> None:
    """4 MHz after reset: a loop of two instructions makes 2 million turns a second."""
    board = start(image([0x2000, 0x3001, 0xE7FD]))
    board.advance(1_000_000)
    assert board.core.cpu.get(cpu.R0) == pytest.approx(2000, abs=2)


def test_sleeping_core_costs_no_work(start: Start) -> None:
    """WFI with nothing due: hours pass at once."""
    board = start(image([0xBF30, 0xE7FD]))
    board.advance(3_600_000_000_000)
    assert board.core.sleeping
    assert board.clock.now_ns == 3_600_000_000_000


def test_wfi_does_not_sleep_on_something_pending(start: Start) -> None:
    """With PRIMASK set and an interrupt pending WFI falls through, and the handler does not run."""
    pend_systick = [
        0xB672,  # cpsid i
        0x4803,  # ldr r0, =0xE000ED04
        0x4903,  # ldr r1, =1 << 26
        0x6001,  # str r1, [r0]
        0xBF30,  # wfi
        0x2207,  # movs r2, #7
        0xE7FE,  # b .
        0xBF00,
        0xED04, 0xE000, 0x0000, 0x0400,
    ]  # fmt: skip
    board = start(image(pend_systick))
    board.advance(1_000_000)
    assert board.core.cpu.get(cpu.R2) == 7
    assert not board.core.sleeping


def test_virgin_part_locks_up_and_can_be_halted(start: Start) -> None:
    """An erased flash has no vectors: lockup, which a halt ends."""
    board = start(b"")
    board.advance(1_000_000)
    assert board.core.exceptions.locked_up
    assert "locked up" in board.complaints[-1]
    debugger = Debugger(board)
    assert debugger.halted()
    assert not debugger.read(0xE000_EDF0) & 1 << 19


def test_undefined_instruction_is_a_hard_fault(start: Start) -> None:
    """UsageFault is disabled after reset, so it is forced to HardFault; CFSR says what it was."""
    board = start(image([0xDE00, 0xBF00, 0x2305, 0xE7FE], hard_fault=4))
    board.advance(1_000_000)
    assert board.core.cpu.get(cpu.R3) == 5
    assert board.mem_read(0xE000_ED28, 4) == 1 << 16
    assert board.mem_read(0xE000_ED2C, 4) == 1 << 30
    assert board.core.exception_number == 3


def test_branch_without_thumb_bit_is_an_invalid_state(start: Start) -> None:
    """BX to an even address: INVSTATE."""
    board = start(image([0x2080, 0x4700, 0x2305, 0xE7FE], hard_fault=4))
    board.advance(1_000_000)
    assert board.core.cpu.get(cpu.R3) == 5
    assert board.mem_read(0xE000_ED28, 4) & 1 << 17


def test_bkpt_without_debugger_is_a_hard_fault(start: Start) -> None:
    """Halting debug is off: the program's own handler gets it."""
    board = start(image([0xBE00, 0xBF00, 0x2305, 0xE7FE], hard_fault=4))
    board.advance(1_000_000)
    assert board.core.cpu.get(cpu.R3) == 5
    assert board.mem_read(0xE000_ED2C, 4) & 1 << 31


def test_write_to_flash_lands_nowhere(start: Start) -> None:
    """A stray store of the program neither changes the array nor the file."""
    store = [0x4801, 0x6000, 0xE7FE, 0xBF00, 0x0800, 0x0801]  # ldr r0, =0x08010800; str r0, [r0]; b .
    board = start(image(store))
    board.advance(1_000_000)
    assert board.mem_read(0x5800_4010, 4) == 0x80 | 1 << 18
    assert board.mem_read(0x0801_0800, 4) == 0xFFFF_FFFF
    assert board.path.read_bytes()[0x10800:0x10804] == b"\xff" * 4


def test_vector_table_can_move(start: Start) -> None:
    """VTOR in SRAM: the handler there is used."""
    program = image([0xDF00, 0xE7FE])
    board = start(program)
    debugger = Debugger(board)
    debugger.write(DEMCR, 1)
    debugger.write(AIRCR, 0x05FA_0004)
    board.mem_write_words(SRAM + 0x200, struct.unpack("<64I", program[:256]))
    board.mem_write(SRAM + 0x200 + 44, 4, SRAM + 0x401)
    board.mem_write_words(SRAM + 0x400, [0xE7FE_2309])  # movs r3, #9; b .
    debugger.write(0xE000_ED08, SRAM + 0x200)
    debugger.run(1_000_000)
    assert board.core.cpu.get(cpu.R3) == 9
    assert board.core.exception_number == 11


def test_polling_a_register_that_never_changes_ends(start: Start) -> None:
    """Waiting for ever on a status bit costs one turn per request of the host, not a million reads."""
    wait = [0x4802, 0x6801, 0x07CA, 0xD5FC, 0xE7FE, 0xBF00, 0x381C, 0x4001]  # until bit 0 of USART ISR
    board = start(image(wait))
    board.advance(10_000_000_000)
    assert board.clock.now_ns >= 10_000_000_000


def test_core_clock_follows_rcc(start: Start) -> None:
    """HSI16 chosen in RCC_CFGR: four times as many instructions a second."""
    switch = [
        0x4804, 0x2180, 0x0049, 0x3163, 0x6001,  # RCC_CR = 0x163
        0x2101, 0x6081,                          # RCC_CFGR = 1
        0x2000, 0x3001, 0xE7FD,                  # count in r0
        0x0000, 0x5800,
    ]  # fmt: skip
    board = start(image(switch))
    board.advance(1_000_000)
    assert board.core.cpu.get(cpu.R0) == pytest.approx(8000, rel=0.01)
