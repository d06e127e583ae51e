"""The STM32 peripherals under a program that runs: polling loops get somewhere, and sleep goes as deep as asked."""

import pytest

from lorafab.virtual import cpu as regs
from lorafab.virtual.clock import NS_PER_S
from lorafab.virtual.silicon import Sleep
from tests_virtual.stm32.bench import IRQS, MS, Bench
from tests_virtual.stm32.conftest import Make
from tests_virtual.stm32.test_lptim import ARRM
from tests_virtual.stm32.test_lptim import _open as open_lptim
from tests_virtual.stm32.test_lptim import _start as start_lptim
from tests_virtual.stm32.test_rtc import Rtc

_CODE, _STACK = 0x2000_0000, 0x2000_2000
_SCR, _ISER = 0xE000_ED10, 0xE000_E100
LDR_R1_R0, LDR_R1_R0_8, LDR_R2_R0 = 0x6801, 0x6881, 0x6802
CMP_R1_R4, BHI_BACK_8, BHI_BACK_6, TST_R1_R4, BEQ_BACK_6 = 0x42A1, 0xD8FB, 0xD8FC, 0x4221, 0xD0FC
CPSID, WFI, ADD_R5, HERE = 0xB672, 0xBF30, 0x3501, 0xE7FE


def _run(bench: Bench, code: list[int], to_ns: int, **registers: int) -> None:
    """Let ``code`` run from RAM until ``to_ns``, or until it has come to its end."""
    core = bench.silicon.core
    for at, half in enumerate(code):
        bench.silicon.bus.write(_CODE + 2 * at, 2, half)
    bench.silicon.contents_changed(_CODE, 2 * len(code))
    names = {"r0": regs.R0, "r1": regs.R0 + 1, "r4": regs.R0 + 4, "r5": regs.R0 + 5}
    for name, value in registers.items():
        core.cpu.put(names[name], value)
    core.cpu.put(regs.PC, _CODE)
    end = _CODE + 2 * len(code) - 2
    while bench.clock.now_ns < to_ns and core.cpu.get(regs.PC) != end:
        core.run_until(min(bench.clock.now_ns + 10 * MS, to_ns))


@pytest.mark.parametrize(
    "loop",
    [
        pytest.param([LDR_R1_R0_8, CMP_R1_R4, BHI_BACK_6, HERE], id="one register"),
        pytest.param([LDR_R1_R0_8, LDR_R2_R0, CMP_R1_R4, BHI_BACK_8, HERE], id="two in turn"),
    ],
)
def test_waiting_for_the_counter_takes_that_long_and_little_work(make: Make, loop: list[int]) -> None:
    """SSR of the WL in binary mode, one second: right to a tick, with far less than 4 million instructions."""
    bench = make("wl")
    Rtc(bench).set_clock(0, 0, prer=31 << 16 | 0x7FFF, binary=1 << 8)
    before, executed = bench.clock.now_ns, bench.silicon.core.instructions
    _run(bench, loop, before + 2 * NS_PER_S, r0=bench.part("rtc").base, r4=0xFFFF_FFFF - 1024)
    assert NS_PER_S <= bench.clock.now_ns - before <= NS_PER_S + 12 * MS
    assert bench.read("rtc", 8) <= 0xFFFF_FFFF - 1024
    assert bench.silicon.core.instructions - executed < 400_000


def test_waiting_for_a_timer_flag(make: Make) -> None:
    """LPTIM ARRM after half a second."""
    bench = make("wl")
    open_lptim(bench)
    start_lptim(bench, 16_383)
    before = bench.clock.now_ns
    loop = [LDR_R1_R0, TST_R1_R4, BEQ_BACK_6, HERE]
    _run(bench, loop, before + NS_PER_S, r0=bench.part("lptim1").base, r4=ARRM)
    assert 499 * MS <= bench.clock.now_ns - before <= 512 * MS
    assert bench.read("lptim1", 0) & ARRM


def test_deep_sleep_until_a_timer_wakes(bench: Bench) -> None:
    """WFI with SLEEPDEEP is Stop until LPTIM's interrupt; then the program goes on from MSI."""
    bench.start_hsi16()
    open_lptim(bench, ARRM)
    bench.unmask({"wl": 29, "l4": 32, "l0": 29}[bench.family], rising=False)
    start_lptim(bench, 3276)
    irq = IRQS[bench.family]["lptim"]
    bench.silicon.bus.write(_SCR, 4, 4)
    bench.silicon.bus.write(_ISER + irq // 32 * 4, 4, 1 << irq % 32)
    depths = []
    bench.clock.at(bench.clock.now_ns + 50 * MS, lambda: depths.append(bench.sleep))
    began = bench.clock.now_ns
    _run(bench, [CPSID, WFI, ADD_R5, HERE], began + NS_PER_S, r5=0)
    assert depths == [Sleep.STOP]
    assert 99 * MS <= bench.clock.now_ns - began <= 111 * MS
    assert bench.sleep is Sleep.RUN
    assert bench.silicon.hz() == bench.silicon.hz("msi")
