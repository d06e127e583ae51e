"""lorafab/virtual/stm32/registers.py: what all peripherals have in common."""

import pytest

from lorafab.virtual.bus import BusFault
from tests_virtual.stm32.bench import US, Bench
from tests_virtual.stm32.conftest import Make

SIZES = {"console": 0x30, "lptim1": 0x2C, "spi1": 0x24, "iwdg": 0x14, "rng": 0x14}


def test_register_that_is_not_there_is_a_bus_fault(bench: Bench) -> None:
    """Never a quiet zero."""
    for name, size in SIZES.items():
        bench.enable(name)
        for offset in (size, 0x3FC):
            with pytest.raises(BusFault, match="no such register"):
                bench.read(name, offset)
            with pytest.raises(BusFault, match="no such register"):
                bench.write(name, offset, 0)


def test_everything_reads_after_reset(bench: Bench) -> None:
    """Each register of each part can be read, twice with the same value, and nothing is complained about."""
    for name, part in bench.silicon.parts.items():
        layout = getattr(part, "_layout", None)
        if layout is None:
            continue
        bench.enable(name)
        for register, reg in layout.items():
            if (name, register) != ("rng", "DR"):
                assert bench.read(name, reg.offset) == bench.read(name, reg.offset), (name, register)
    assert bench.complaints == []


def test_byte_lanes(bench: Bench) -> None:
    """A byte write keeps the other three."""
    bench.enable("crc")
    bench.write("crc", 0x10, 0x1122_3344)
    bench.write("crc", 0x11, 0x55, 1)
    assert bench.read("crc", 0x10) == 0x1122_5544
    assert bench.read("crc", 0x12, 2) == 0x1122


def test_two_parts_on_one_interrupt(make: Make) -> None:
    """RNG and LPUART1 of the L0 share number 29: it stays up while either wants it."""
    bench = make("l0")
    bench.start_hsi16()
    for name in ("rng", "lpuart1"):
        bench.enable(name)
    bench.write("clocks", 0x08, 1)
    bench.set("clocks", 0x4C, 1 << 26)
    bench.wait(10 * US)
    bench.write("rng", 0x00, 4 | 8)
    bench.wait(10 * US)
    assert bench.irq(29)
    bench.write("lpuart1", 0x0C, 0x1000)
    bench.write("lpuart1", 0x00, 1 | 8 | 1 << 7)
    bench.write("rng", 0x00, 0)
    assert bench.irq(29)
    bench.write("lpuart1", 0x00, 0)
    assert not bench.irq(29)


def test_complaint_is_made_once(bench: Bench) -> None:
    """Firmware in a loop does not fill the list."""
    bench.enable("console")
    for _ in range(5):
        bench.write("console", 0x08, 1 << 6)
        bench.write("console", 0x08, 0)
    assert len(bench.complaints) == 1


def test_power_cycle_leaves_nothing_due(bench: Bench) -> None:
    """After power-off no event of a part is left, and power-on begins clean."""
    bench.start_lse()
    bench.select_rtc_clock()
    bench.write("iwdg", 0x00, 0xCCCC)
    bench.silicon.power_off()
    assert bench.clock.next_ns is None
    bench.silicon.power_on()
    bench.wait(10_000_000_000)
    assert bench.silicon.hz("lse") == 0
