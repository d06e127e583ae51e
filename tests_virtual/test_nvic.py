"""lorafab/virtual/nvic.py: which exception goes first, and SysTick against the clock."""

from hypothesis import given
from hypothesis import strategies as st

from lorafab.virtual.clock import Clock
from lorafab.virtual.nvic import FIRST_IRQ, HARD_FAULT, NMI, PENDSV, SYSTICK, THREAD_PRIORITY, Nvic, SysTick

CTRL, LOAD, VAL = 0, 4, 8
ENABLE, TICKINT, CLKSOURCE, COUNTFLAG = 1, 2, 4, 1 << 16
HZ = 1_000_000


def nvic(bits: int = 4, irqs: int = 62) -> Nvic:
    """All interrupts enabled."""
    unit = Nvic(irqs, bits)
    unit.enable(0, 0xFFFF_FFFF, on=True)
    unit.enable(1, 0xFFFF_FFFF, on=True)
    return unit


@given(st.dictionaries(st.integers(0, 61), st.integers(0, 255), min_size=1), st.sampled_from([2, 3, 4]))
def test_lowest_priority_value_goes_first_then_lowest_number(priorities: dict[int, int], bits: int) -> None:
    """Only the implemented bits count."""
    unit = nvic(bits)
    for irq, priority in priorities.items():
        unit.set_priority(FIRST_IRQ + irq, priority)
        unit.set_pending(FIRST_IRQ + irq)
    mask = 0xFF << (8 - bits) & 0xFF
    expected = min((priority & mask, FIRST_IRQ + irq) for irq, priority in priorities.items())
    assert unit.best_pending() == expected
    assert unit.preempting(THREAD_PRIORITY) == expected[1]


def test_nmi_and_hard_fault_come_before_everything() -> None:
    """Fixed priorities -2 and -1."""
    unit = nvic()
    for exception in (FIRST_IRQ, SYSTICK, HARD_FAULT, NMI):
        unit.set_pending(exception)
    order = []
    while (best := unit.best_pending()) is not None:
        order.append(best[1])
        unit.enter(best[1])
    assert order == [NMI, HARD_FAULT, SYSTICK, FIRST_IRQ]


def test_equal_priorities_do_not_preempt() -> None:
    """Nor does a lower one; a higher one does."""
    unit = nvic()
    unit.set_priority(FIRST_IRQ, 0x80)
    unit.enter(FIRST_IRQ)
    for priority, taken in ((0x80, None), (0x90, None), (0x70, FIRST_IRQ + 1)):
        unit.set_priority(FIRST_IRQ + 1, priority)
        unit.set_pending(FIRST_IRQ + 1)
        assert unit.preempting(THREAD_PRIORITY) == taken


def test_only_the_group_decides_about_preemption() -> None:
    """PRIGROUP 5 leaves two group bits: 0x80 and 0x90 are one group."""
    unit = nvic()
    unit.priority_group = 5
    unit.set_priority(FIRST_IRQ, 0x90)
    unit.set_priority(FIRST_IRQ + 1, 0x80)
    unit.enter(FIRST_IRQ)
    unit.set_pending(FIRST_IRQ + 1)
    assert unit.preempting(THREAD_PRIORITY) is None
    unit.priority_group = 3
    assert unit.preempting(THREAD_PRIORITY) == FIRST_IRQ + 1


def test_line_that_stays_high_pends_again_after_the_handler() -> None:
    """And only then; a line that fell does not."""
    unit = nvic()
    unit.set_line(7, True)
    unit.enter(FIRST_IRQ + 7)
    assert not unit.pending
    unit.leave(FIRST_IRQ + 7)
    assert unit.pending == {FIRST_IRQ + 7}
    unit.enter(FIRST_IRQ + 7)
    unit.set_line(7, False)
    unit.leave(FIRST_IRQ + 7)
    assert not unit.pending


def test_pending_cannot_be_cleared_while_the_line_is_high() -> None:
    """ICPR has no effect then."""
    unit = nvic()
    unit.set_line(33, True)
    unit.pend(1, 1 << 1, on=False)
    assert unit.pending_bits(1) == 2
    unit.set_line(33, False)
    unit.pend(1, 1 << 1, on=False)
    assert unit.pending_bits(1) == 0


def test_registers_show_only_interrupts_that_exist() -> None:
    """62 interrupts: bits 30 and 31 of the second word are zero."""
    unit = nvic()
    assert (unit.enable_bits(0), unit.enable_bits(1)) == (0xFFFF_FFFF, 0x3FFF_FFFF)
    unit.pend(1, 0xFFFF_FFFF, on=True)
    assert unit.pending_bits(1) == 0x3FFF_FFFF


def test_news_tells_the_core_to_look() -> None:
    """Something became pending or enabled; it stays until the core has looked."""
    unit = Nvic(8, 2)
    assert not unit.news
    unit.set_pending(PENDSV)
    assert unit.news
    unit.news = False
    unit.set_pending(PENDSV)
    assert not unit.news, "it was pending before"
    unit.enable(0, 1, on=True)
    assert unit.news


def ticking(load: int = 999, control: int = ENABLE | TICKINT | CLKSOURCE) -> tuple[Clock, SysTick, list[int]]:
    """A timer at 1 MHz and the times of its ticks in us."""
    clock, ticks = Clock(), list[int]()
    timer = SysTick(clock, lambda: HZ, lambda: ticks.append(clock.now_ns // 1000))
    timer.write(LOAD, load)
    timer.write(VAL, 0)
    timer.write(CTRL, control)
    return clock, timer, ticks


@given(st.integers(1, 5000), st.lists(st.integers(1, 20_000), max_size=20))
def test_ticks_come_every_load_plus_one_cycles(load: int, steps: list[int]) -> None:
    """However the time is cut into pieces."""
    clock, timer, ticks = ticking(load)
    for us in steps:
        clock.advance_to(clock.now_ns + us * 1000)
    passed = sum(steps)
    assert ticks == list(range(load + 1, passed + 1, load + 1))
    expected = (load + 1 - passed % (load + 1)) % (load + 1)
    assert timer.read(VAL) == expected


def test_count_flag_is_cleared_by_reading() -> None:
    """COUNTFLAG once for each turn."""
    clock, timer, _ = ticking()
    clock.advance_to(1_500_000)
    assert timer.read(CTRL) & COUNTFLAG
    assert not timer.read(CTRL) & COUNTFLAG


def test_slow_clock_source_is_an_eighth() -> None:
    """CLKSOURCE 0."""
    clock, _, ticks = ticking(control=ENABLE | TICKINT)
    clock.advance_to(9_000_000)
    assert ticks == [8000]


def test_held_timer_keeps_its_value() -> None:
    """In deep sleep and debug state it stands still, whichever ends first, and goes on from where it was."""
    clock, timer, ticks = ticking()
    clock.advance_to(400_000)
    timer.hold("deep sleep", True)
    timer.hold("debug", True)
    clock.advance_to(10_000_000)
    timer.hold("debug", False)
    clock.advance_to(20_000_000)
    assert (ticks, timer.read(VAL), timer.running) == ([], 600, False)
    timer.hold("deep sleep", False)
    clock.advance_to(21_000_000)
    assert ticks == [20_600]
