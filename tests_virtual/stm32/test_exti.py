"""lorafab/virtual/stm32/exti.py and syscfg.py: edges of pins, pending bits, shared interrupts, waking from Stop."""

import pytest

from tests_virtual.stm32.bench import EXTI, Bench
from tests_virtual.stm32.conftest import Make


def _drive(bench: Bench, pin: str, *levels: bool) -> None:
    for level in levels:
        bench.silicon.pins.board_drives(pin, level)


@pytest.fixture(autouse=True)
def _readable(bench: Bench) -> None:
    """Pins 0, 1, 5 and 6 are inputs."""
    _inputs(bench)


def _inputs(bench: Bench) -> None:
    for name in ("gpioA", "gpioB"):
        bench.enable(name)
        bench.write(name, 0x00, bench.read(name, 0x00) & ~0x3C0F)


def _r(bench: Bench, name: str) -> int:
    return EXTI[bench.family][name]


def test_rising_edge_of_a_pin_interrupts(bench: Bench) -> None:
    """PA0 on line 0: PR and the interrupt stay until PR is cleared by writing 1."""
    bench.unmask(0)
    _drive(bench, "PA0", True)
    assert bench.read("exti", _r(bench, "PR")) == 1
    assert bench.line("exti0")
    _drive(bench, "PA0", False)
    assert bench.line("exti0"), "the edge is remembered"
    bench.write("exti", _r(bench, "PR"), 1)
    assert bench.read("exti", _r(bench, "PR")) == 0
    assert not bench.line("exti0")


def test_falling_edge_only_when_selected(bench: Bench) -> None:
    """RTSR alone ignores it, FTSR takes it."""
    bench.unmask(0)
    _drive(bench, "PA0", True)
    bench.write("exti", _r(bench, "PR"), 1)
    _drive(bench, "PA0", False)
    assert not bench.line("exti0")
    bench.set("exti", _r(bench, "FTSR"), 1)
    _drive(bench, "PA0", True)
    bench.write("exti", _r(bench, "PR"), 1)
    _drive(bench, "PA0", False)
    assert bench.line("exti0")


def test_masked_edge_pends_without_interrupt(bench: Bench) -> None:
    """IMR 0: PR shows it, and unmasking lets it through."""
    bench.set("exti", _r(bench, "RTSR"), 1)
    _drive(bench, "PA0", True)
    assert bench.read("exti", _r(bench, "PR")) == 1
    assert not bench.line("exti0")
    bench.unmask(0)
    assert bench.line("exti0")


def test_syscfg_chooses_the_port(bench: Bench) -> None:
    """With EXTICR2 line 5 listens to PB5 and no more to PA5; both share an interrupt with line 6."""
    bench.write("syscfg", 0x0C, 1 << 4)
    bench.unmask(5)
    bench.unmask(6)
    _drive(bench, "PA5", True)
    assert not bench.line("exti5")
    _drive(bench, "PB5", True)
    _drive(bench, "PA6", True)
    assert bench.line("exti5")
    assert bench.read("exti", _r(bench, "PR")) == 0x60
    bench.write("exti", _r(bench, "PR"), 0x20)
    assert bench.line("exti5"), "line 6 still pends"
    bench.write("exti", _r(bench, "PR"), 0x40)
    assert not bench.line("exti5")


def test_level_found_when_the_port_is_chosen_is_an_edge(bench: Bench) -> None:
    """PB0 is high already."""
    _drive(bench, "PB0", True)
    bench.unmask(0)
    bench.write("syscfg", 0x08, 1)
    assert bench.line("exti0")


def test_software_interrupt(bench: Bench) -> None:
    """SWIER sets PR of an unmasked line; clearing PR clears it."""
    bench.unmask(0, rising=False)
    bench.write("exti", _r(bench, "SWIER"), 1)
    assert bench.line("exti0")
    assert bench.read("exti", _r(bench, "SWIER")) == 1
    bench.write("exti", _r(bench, "PR"), 1)
    assert not bench.line("exti0")
    assert bench.read("exti", _r(bench, "SWIER")) == 0


def test_analog_pin_has_no_edges_until_it_is_an_input(bench: Bench) -> None:
    """Its input stage is off; a high that appears with the mode is an edge."""
    bench.write("gpioA", 0x00, bench.read("gpioA", 0x00) | 3)
    bench.unmask(0)
    _drive(bench, "PA0", True)
    assert not bench.line("exti0")
    _inputs(bench)
    assert bench.line("exti0")


def test_standby_is_not_left_by_a_line(bench: Bench) -> None:
    """The EXTI has no power then."""
    bench.unmask(0)
    bench.set("power", 0x00, 2 if bench.family == "l0" else 3)
    bench.stop()
    _drive(bench, "PA0", True)
    assert not bench.line("exti0")


def test_pin_wakes_from_stop(bench: Bench) -> None:
    """The edge reaches the NVIC although no clock runs."""
    bench.unmask(0)
    bench.stop()
    _drive(bench, "PA0", True)
    assert bench.line("exti0")


@pytest.mark.parametrize(("family", "configurable", "direct"), [("wl", 34, 17), ("l4", 18, 32), ("l0", 17, 29)])
def test_configurable_lines_are_those_of_the_header(make: Make, family: str, configurable: int, direct: int) -> None:
    """RTC alarms are direct in the WL and configurable in L0 and L4; LPTIM1 is direct everywhere."""
    exti = make(family).part("exti")
    assert exti.is_configurable(configurable)
    assert not exti.is_configurable(direct)


def test_direct_line_is_held_back_in_stop(make: Make) -> None:
    """Masked, a part's interrupt waits for the clock; unmasked, it comes through."""
    bench = make("wl")
    exti = bench.part("exti")
    bench.stop()
    exti.direct(29, 39, True)
    assert not bench.irq(39)
    bench.wake()
    assert bench.irq(39)
    exti.direct(29, 39, False)
    bench.unmask(29, rising=False)
    bench.stop()
    exti.direct(29, 39, True)
    assert bench.irq(39)


def test_event_mask_sets_the_event_register(bench: Bench) -> None:
    """An edge on a line with its EMR bit ends WFE, with no interrupt."""
    bench.set("exti", _r(bench, "RTSR"), 3)
    bench.write("exti", {"wl": 0x84, "l4": 4, "l0": 4}[bench.family], 1)
    _drive(bench, "PA1", True)
    assert not bench.silicon.core.cpu.event
    _drive(bench, "PA0", True)
    assert bench.silicon.core.cpu.event
    assert not bench.line("exti0")
