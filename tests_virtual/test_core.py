"""lorafab/virtual/core.py and exceptions.py: real instructions, real exceptions, in simulated time."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lorafab.virtual import cpu
from lorafab.virtual.board import Board
from lorafab.virtual.chip import CoreSpec
from tests_virtual.silicon import bare, programs
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


def test_virgin_part_sleeps_in_its_loader_and_can_be_halted(start: Start) -> None:
    """An erased flash has no vectors: ACR.EMPTY sends the core to system memory, where a debugger finds it."""
    board = start(b"")
    board.advance(1_000_000)
    assert board.core.sleeping
    assert board.complaints == []
    debugger = Debugger(board)
    assert debugger.halted()
    assert debugger.register(15) & ~3 == 0x1FFF_2B6C


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
        0x4806, 0x2180, 0x0049, 0x3163, 0x6001,  # RCC_CR = 0x163
        0x6801, 0x0549, 0xD5FC,                  # until HSIRDY
        0x2101, 0x6081,                          # RCC_CFGR = 1
        0x2000, 0x3001, 0xE7FD, 0xBF00,          # count in r0
        0x0000, 0x5800,
    ]  # fmt: skip
    board = start(image(switch))
    board.advance(1_000_000)
    assert board.core.cpu.get(cpu.R0) == pytest.approx(8000, rel=0.01)


PEND_SYSTICK = (0x2101, 0x0689, 0x6001)  # movs r1, #1; lsls r1, r1, #26; str r1, [r0]: ICSR in r0


@pytest.mark.parametrize("length", [49, 98, 196, 294, 1000])
def test_short_window_between_masks_is_found(start: Start, length: int) -> None:
    """A loop that opens interrupts for one instruction a turn gets its interrupt, however long the loop is."""
    setup = [0xB672, 0x4803, *PEND_SYSTICK, 0xE003, 0xBF00, 0xBF00, 0xED04, 0xE000]
    loop = [0xBF00] * (length - 4) + [0xB662, 0xBF00, 0xB672]  # nop; ...; cpsie i; nop; cpsid i
    offset = -(2 * len(loop) + 4) >> 1 & 0x1F_FFFF
    loop += [0xF400 | offset >> 11 & 0x3FF, 0xB800 | offset & 0x7FF]  # b.w
    handler = 2 * len(setup + loop)
    board = start(image([*setup, *loop, 0x2505, 0xE7FE], systick=handler))
    board.advance(100_000_000)
    assert board.core.cpu.get(cpu.GENERAL[5]) == 5


def test_yield_is_no_undefined_instruction(start: Start) -> None:
    """YIELD may do nothing, takes little time, and the undefined instruction behind one still faults."""
    board = start(image([0x2000, 0x3001, 0xBF10, 0xE7FC]))
    board.advance(1_000_000)
    assert board.core.cpu.get(cpu.R0) > 1000
    assert board.complaints == []
    board = start(image([0xBF10, 0xDE00, 0x2305, 0xE7FE], hard_fault=4))
    board.advance(1_000_000)
    assert board.core.cpu.get(cpu.R3) == 5


def run_masked(start: Start, priority: int, group: int = 0) -> Board:
    """BASEPRI 0x90; SysTick of ``priority`` is made pending; then WFI, and r2 counts what goes on behind it."""
    code = [0x2090, 0xF380, 0x8811, 0x4804, *PEND_SYSTICK, 0xBF30, 0x3201, 0xE7FC, 0x2505, 0xE7FE, 0xED04, 0xE000]
    board = start(image(code, systick=20))
    debugger = Debugger(board)
    debugger.write(DEMCR, 1)
    debugger.write(AIRCR, 0x05FA_0004)
    debugger.write(0xE000_ED20, priority << 24)
    debugger.write(AIRCR, 0x05FA_0000 | group << 8)
    debugger.set_register(2, 0)
    debugger.set_register(5, 0)
    debugger.run(10_000_000)
    return board


def test_wfi_sleeps_on_below_basepri(start: Start) -> None:
    """PRIMASK does not keep a pending interrupt from ending WFI, BASEPRI does."""
    board = run_masked(start, 0xF0)
    assert board.core.sleeping
    assert board.core.cpu.get(cpu.R2) == 0
    assert run_masked(start, 0x80).core.cpu.get(cpu.GENERAL[5]) == 5


def test_basepri_masks_whole_groups(start: Start) -> None:
    """With two group bits 0x80 and 0x90 are one group, so BASEPRI 0x90 masks a priority of 0x80."""
    assert run_masked(start, 0x80, group=5).core.cpu.get(cpu.GENERAL[5]) == 0


def test_unprivileged_thread_has_its_own_stack_again_after_svc(start: Start) -> None:
    """In the handler CONTROL reads without SPSEL; afterwards the process stack is used, still unprivileged."""
    code = [
        0x4806, 0xF380, 0x8809, 0x2003, 0xF380, 0x8814, 0xF3BF, 0x8F6F,  # msr psp, =0x20003000; msr control, 3; isb
        0xDF00, 0x2207, 0xF3EF, 0x8314, 0xE7FE, 0xBF00, 0x3000, 0x2000,  # svc; movs r2, #7; mrs r3, control; b .
        0xF3EF, 0x8405, 0xF3EF, 0x8514, 0x4770,                          # mrs r4, ipsr; mrs r5, control; bx lr
    ]  # fmt: skip
    board = start(image(code, svcall=32))
    board.advance(1_000_000)
    values = [board.core.cpu.get(cpu.GENERAL[n]) for n in (2, 3, 4, 5)]
    assert values == [7, 3, 11, 1]
    assert board.core.cpu.get(cpu.SP) == 0x2000_3000


def test_reset_ends_the_use_of_the_process_stack(start: Start) -> None:
    """CONTROL is 0 after reset, also when a handler of an unprivileged thread was interrupted by it."""
    board = start(image([0x4802, 0xF380, 0x8809, 0x2003, 0xF380, 0x8814, 0x3000, 0x2000, 0xE7FE]))
    debugger = Debugger(board)
    debugger.set_register(20, 0x0300_0000)
    debugger.write(DEMCR, 1)
    debugger.write(AIRCR, 0x05FA_0004)
    assert debugger.register(20) == 0
    assert debugger.register(13) == debugger.register(17) == 0x2000_8000


STRAY = [0x4802, 0x2107, 0x6001, 0x6802, 0xE7FE, 0xBF00]  # ldr r0, =place; movs r1, #7; str r1, [r0]; ldr r2, [r0]; b .


@pytest.mark.parametrize("place", [0x0801_0800, 0x0001_0800])
def test_stray_write_is_not_read_back(start: Start, place: int) -> None:
    """The program itself reads what is in the flash, not what it tried to store."""
    board = start(image([*STRAY, place & 0xFFFF, place >> 16]))
    board.advance(1_000_000)
    assert board.core.cpu.get(cpu.R2) == 0xFFFF_FFFF


def test_stray_write_over_the_vectors_changes_no_vector(start: Start) -> None:
    """A null pointer's store, then a reset by the program: it starts as always."""
    code = [0x2000, 0x2101, 0x6001, 0x4802, 0x4902, 0x6001, 0xE7FE, 0xBF00, 0xED0C, 0xE000, 0x0004, 0x05FA]
    board = start(image(code))
    debugger = Debugger(board)
    debugger.write(DEMCR, 1)
    debugger.run(1_000_000)
    assert debugger.halted()
    assert debugger.register(13) == 0x2000_8000


@pytest.mark.parametrize("control", [5, 7], ids=["no interrupt", "masked interrupt"])
def test_count_flag_is_read_once(start: Start, control: int) -> None:
    """Polling SysTick's COUNTFLAG, which reading clears: no turn is lost, wherever the host's steps end."""
    poll = [0xB672, 0x4803, 0x6801, 0x03C9, 0xD5FC, 0x3201, 0xE7FA, 0xBF00, 0xE010, 0xE000]
    board = start(image(poll))
    debugger = Debugger(board)
    debugger.write(DEMCR, 1)
    debugger.write(AIRCR, 0x05FA_0004)
    debugger.write(0xE000_E014, 3999)
    debugger.write(0xE000_E018, 0)
    debugger.write(0xE000_E010, control)
    debugger.set_register(2, 0)
    debugger.run()
    began_ns = board.clock.now_ns
    for _ in range(200):
        board.advance(137_000)
    turns = (board.clock.now_ns - began_ns) / 1e6
    assert board.core.cpu.get(cpu.R2) == pytest.approx(turns, abs=1.5)


def test_virgin_part_stays_in_the_boot_loader_until_told(start: Start) -> None:
    """ACR.EMPTY is evaluated when the power comes: a program starts after it is cleared, or after a power cycle."""
    program = image([0x2305, 0xE7FE])
    for clear in (True, False):
        board = start(b"")
        debugger = Debugger(board)
        debugger.unlock()
        assert debugger.program(0x0800_0000, program + b"\xff" * (-len(program) % 8)) == 0
        debugger.write(AIRCR, 0x05FA_0004)
        debugger.run(1_000_000)
        assert board.core.cpu.get(cpu.PC) & ~3 == 0x1FFF_2B6C
        if clear:
            debugger.write(0x5800_4000, debugger.read(0x5800_4000) & ~(1 << 16))
            debugger.write(AIRCR, 0x05FA_0004)
        else:
            board.power(False)
            board.power(True)
        board.advance(1_000_000)
        assert board.core.cpu.get(cpu.R3) == 5


# sleep and events, on a bare core

ISER, ISPR, SYST = 0xE000_E100, 0xE000_E200, 0xE000_E010
WFI, WFE, SEV, STAY = 0xBF30, 0xBF20, 0xBF40, 0xE7FE
BOTH = pytest.mark.parametrize("spec", [bare.M4, bare.M0], ids=["M4", "M0+"])


@BOTH
@pytest.mark.parametrize("deep", [False, True])
def test_sleep_and_its_end_are_told_to_the_chip(spec: CoreSpec, deep: bool) -> None:
    """How deep, and the end before the next instruction; SLEEPDEEP is in SCR."""
    rig = bare.Rig(spec, bare.halves(WFI, 0x3401, 0xE7FC, 0x3501, 0x4770), irq0=6)
    rig.write(bare.SCR, 4 * deep)
    rig.write(ISER, 1)
    rig.advance()
    name = "deep sleep" if deep else "sleep"
    assert rig.calls == [name]
    rig.core.nvic.set_line(0, True)
    rig.core.nvic.set_line(0, False)
    rig.advance()
    assert rig.calls == [name, "wake", name]
    rig.halt()
    assert rig.calls[-1] == "wake", "a halt ends the sleep, too"
    assert rig.regs(4, 5) == [1, 1]


@BOTH
def test_wfi_with_something_pending_does_not_sleep(spec: CoreSpec) -> None:
    """Neither does the chip hear of it; PRIMASK is set, so the handler does not run."""
    rig = bare.Rig(spec, bare.halves(0xB672, 0x6001, WFI, 0x3401, STAY))
    rig.halt()
    rig.set_reg(0, bare.ICSR)
    rig.set_reg(1, 1 << 26)
    rig.go()
    rig.halt()
    assert (rig.reg(4), rig.calls) == (1, [])


@BOTH
def test_wfe_and_the_event_register(spec: CoreSpec) -> None:
    """SEV; WFE falls through once; the next WFE sleeps until an exception was entered and left."""
    rig = bare.Rig(spec, bare.halves(SEV, WFE, 0x3401, WFE, 0x3401, WFE, 0x3401, STAY, 0x3501, 0x4770), irq0=16)
    rig.write(ISER, 1)
    rig.advance()
    assert rig.core.sleeping
    assert rig.core.cpu.get(cpu.GENERAL[4]) == 1
    rig.write(ISPR, 1)
    rig.advance()
    rig.halt()
    assert rig.reg(5) == 1
    assert rig.reg(4) == 3, "the return from the handler set the event register for the third WFE"


@BOTH
def test_sevonpend_wakes_wfe_without_an_interrupt(spec: CoreSpec) -> None:
    """A disabled interrupt that becomes pending ends WFE with SCR.SEVONPEND, and only then."""
    for scr, counted in ((0x10, 1), (0, 0)):
        rig = bare.Rig(spec, bare.halves(WFE, 0x3401, STAY))
        rig.write(bare.SCR, scr)
        rig.advance()
        rig.core.nvic.set_line(3, True)
        rig.advance()
        rig.halt()
        assert rig.reg(4) == counted


@BOTH
def test_wfe_under_primask_needs_an_event(spec: CoreSpec) -> None:
    """PRIMASK keeps an enabled interrupt from ending WFE, but not WFI."""
    for hint, counted in ((WFE, 0), (WFI, 1)):
        rig = bare.Rig(spec, bare.halves(0xB672, hint, 0x3401, STAY))
        rig.write(ISER, 1)
        rig.advance()
        rig.write(ISPR, 1)
        rig.advance()
        rig.halt()
        assert rig.reg(4) == counted


@BOTH
def test_sleep_on_exit(spec: CoreSpec) -> None:
    """SCR.SLEEPONEXIT: the thread does not go on between interrupts."""
    rig = bare.Rig(spec, bare.halves(0x6001, 0x3401, 0xE7FD, 0x3501, 0x4770), irq0=6)
    rig.halt()
    rig.set_reg(0, ISPR)
    rig.set_reg(1, 1)
    rig.write(ISER, 1)
    rig.write(bare.SCR, 2)
    rig.go()
    for turn in (1, 2, 3):
        assert rig.core.sleeping
        assert [rig.core.cpu.get(cpu.GENERAL[n]) for n in (4, 5)] == [0, turn]
        rig.write(ISPR, 1)
        rig.advance()
    assert rig.calls == ["sleep", "wake"] * 3 + ["sleep"]


@BOTH
def test_systick_stands_still_where_the_chip_says_so(spec: CoreSpec) -> None:
    """In deep sleep no tick wakes the core."""
    rig = bare.Rig(spec, bare.halves(WFI, 0xE7FD, 0x3501, 0x4770), systick=4)
    rig.write(SYST + 4, 3999)
    rig.write(SYST, 7)
    rig.advance(10_500_000)
    assert rig.core.cpu.get(cpu.GENERAL[5]) == 10
    rig.core.systick.hold("deep sleep", True)
    rig.advance(10_000_000)
    assert rig.core.cpu.get(cpu.GENERAL[5]) == 10
    rig.core.systick.hold("deep sleep", False)
    rig.advance(10_000_000)
    assert rig.core.cpu.get(cpu.GENERAL[5]) == 20


# time


@BOTH
def test_time_is_counted_exactly_however_it_is_cut(spec: CoreSpec) -> None:
    """A loop of 3 cycles with register accesses, sleeps and interrupts: the same moment and registers in any pieces."""
    code = bare.halves(0x6001, 0x6802, 0x3401, 0x2C64, 0xD1FA, 0x2400, WFI, 0xE7F7, 0x3501, 0x4770)
    seen = set()
    for piece in (1_000, 33_333, 250_000, 5_000_000):
        rig = bare.Rig(spec, code, systick=16)
        rig.write(SYST + 4, 3999)
        rig.write(SYST, 7)
        rig.halt()
        rig.set_reg(0, bare.PORT)
        rig.write(bare.DHCSR, 0xA05F_0001)
        while rig.clock.now_ns < 20_000_000:
            rig.core.run_until(min(rig.clock.now_ns + piece, 20_000_000))
        rig.halt()
        seen.add((rig.reg(4), rig.reg(5), len(rig.port.log)))
    assert len(seen) == 1


@pytest.mark.parametrize("register", [0xE000_E018, 0xE000_1004], ids=["SysTick VAL", "CYCCNT"])
def test_waiting_for_a_counter(register: int) -> None:
    """A delay of 2 s in a busy loop: within a percent, and in far fewer looks than a chip needs."""
    down = register == 0xE000_E018
    code = [
        0x6801, 0x2400,                           # ldr r1, [r0]; movs r4, #0
        0x6802, 0x1A8B if down else 0x1A53,       # ldr r2, [r0]; subs r3, r1, r2 or r3, r2, r1
        0x021B, 0x0A1B, 0x18E4, 0x1C11,           # 24 bits of it; adds r4, r3; r1 = r2
        0x3701, 0x42B4, 0xD3F6, STAY,             # adds r7, #1; until r4 >= r6
    ]  # fmt: skip
    rig = bare.Rig(bare.M4, bare.halves(*code))
    rig.write(bare.DEMCR, 1 << 24)
    rig.write(0xE000_1000, 1)
    rig.write(SYST + 4, 0xFF_FFFF)
    rig.write(SYST, 5)
    rig.halt()
    rig.set_reg(0, register)
    rig.set_reg(6, 2 * bare.HZ)
    started_ns = rig.clock.now_ns
    rig.write(bare.DHCSR, 0xA05F_0001)
    while rig.core.cpu.get(cpu.PC) != bare.CODE + 22:
        rig.advance(1_000_000)
    waited_s = (rig.clock.now_ns - started_ns) / 1e9
    assert waited_s == pytest.approx(2, rel=0.01)
    rig.halt()
    assert rig.reg(7) < 20_000


def test_core_clock_may_change_at_any_time() -> None:
    """CYCCNT counts cycles and not time."""
    rig = bare.Rig(bare.M4, bare.halves(STAY))
    rig.write(bare.DEMCR, 1 << 24)
    rig.write(0xE000_1000, 1)
    rig.advance(1_000_000)
    rig.hz = 16_000_000
    rig.core.systick.clock_changed()
    rig.advance(1_000_000)
    assert rig.read(0xE000_1004) == pytest.approx(20_000, abs=2)


def test_hooks_may_raise() -> None:
    """What goes wrong inside a register comes out of the run, and the next run works."""
    rig = bare.Rig(bare.M4, bare.halves(0x6801, STAY))

    def broken(_offset: int) -> int:
        raise ZeroDivisionError

    rig.halt()
    rig.set_reg(0, bare.PORT)
    good, rig.port.read_word = rig.port.read_word, broken  # type: ignore[method-assign, assignment]
    with pytest.raises(ZeroDivisionError):
        rig.go()
    rig.port.read_word = good  # type: ignore[method-assign]
    rig.port.words[0] = 9
    rig.advance()
    rig.halt()
    assert rig.regs(1, 15) == [9, bare.CODE + 2]


def test_reset_asked_by_the_program_happens_at_once() -> None:
    """The instruction behind the write to AIRCR is not executed."""
    rig = bare.Rig(bare.M4, bare.halves(0x3C01, 0xD0FE, 0x6001, 0x3501, STAY))
    rig.halt()
    rig.set_reg(0, bare.AIRCR)
    rig.set_reg(1, 0x05FA_0004)
    rig.write(bare.DEMCR, 1)
    rig.go()
    assert rig.calls == ["system reset"]
    assert rig.halted()
    assert rig.regs(5, 15) == [0, bare.CODE]
