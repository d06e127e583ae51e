"""lorafab/virtual/stm32/rng.py: a stream that repeats, its time, and its errors."""

from pathlib import Path

from lorafab.virtual.clock import NS_PER_S
from tests_virtual.stm32.bench import MS, US, Bench

CR, SR, DR = 0x00, 0x04, 0x08
RNGEN, IE = 4, 8
DRDY, CECS, SECS, CEIS, SEIS = 1, 2, 4, 32, 64
IRQ = {"wl": 52, "l4": 80, "l0": 29}


def _open(bench: Bench, control: int = RNGEN) -> None:
    """With a clock: WL and L4 from MSI, L0 from HSI48."""
    bench.enable("rng")
    if bench.family == "l0":
        bench.write("clocks", 0x08, 1)
        bench.set("clocks", 0x4C, 1 << 26)
        bench.wait(10 * US)
    else:
        bench.set("clocks", 0x88, 3 << (30 if bench.family == "wl" else 26))
    bench.write("rng", CR, control)


def _draw(bench: Bench, count: int) -> list[int]:
    words = []
    for _ in range(count):
        bench.wait(40 * US)
        assert bench.read("rng", SR) & DRDY
        words.append(bench.read("rng", DR))
    return words


def test_word_takes_forty_periods(bench: Bench) -> None:
    """DRDY, then one word; 4 MHz or 48 MHz."""
    _open(bench)
    bench.wait(40 * NS_PER_S // bench.silicon.hz("rng") - 1)
    assert bench.read("rng", SR) == 0
    bench.wait(1)
    assert bench.read("rng", SR) == DRDY
    bench.read("rng", DR)
    assert bench.read("rng", SR) == 0


def test_stream_repeats_for_a_board_and_differs_between_boards(tmp_path: Path) -> None:
    """The same board gives the same words again when it is opened again, another board others; no word comes twice."""
    streams = []
    for name in ("one", "one", "other"):
        bench = Bench(tmp_path / name, "wl")
        _open(bench)
        streams.append(_draw(bench, 20))
        bench.close()
    assert streams[0] == streams[1]
    assert len(set(streams[0])) == 20
    assert not set(streams[0]) & set(streams[2])


def test_reset_does_not_begin_the_stream_anew(bench: Bench) -> None:
    """Nonces that firmware draws after each reset differ."""
    _open(bench)
    before = _draw(bench, 4)
    bench.silicon.drive_reset_pin(True)
    bench.silicon.drive_reset_pin(False)
    _open(bench)
    assert not set(before) & set(_draw(bench, 4))


def test_interrupt(bench: Bench) -> None:
    """IE with DRDY; reading DR ends it."""
    _open(bench, RNGEN | IE)
    bench.wait(40 * US)
    assert bench.irq(IRQ[bench.family])
    bench.read("rng", DR)
    assert not bench.irq(IRQ[bench.family])


def test_without_a_clock_it_says_so(bench: Bench) -> None:
    """CECS and CEIS, no word; CEIS is cleared by writing 0, and both end with the clock's coming."""
    bench.enable("rng")
    bench.write("rng", CR, RNGEN | IE)
    bench.wait(MS)
    assert bench.read("rng", SR) == CECS | CEIS
    assert bench.irq(IRQ[bench.family])
    bench.write("rng", SR, 0)
    assert bench.read("rng", SR) == CECS
    assert not bench.irq(IRQ[bench.family])
    _open(bench)
    bench.wait(40 * US)
    assert bench.read("rng", SR) == DRDY


def test_failing_source(bench: Bench) -> None:
    """SECS, SEIS and no words until it is switched off and on."""
    _open(bench)
    bench.part("rng").seed_error()
    bench.wait(MS)
    assert bench.read("rng", SR) == SECS | SEIS
    bench.write("rng", SR, 0)
    bench.write("rng", CR, 0)
    bench.write("rng", CR, RNGEN)
    assert len(_draw(bench, 1)) == 1


def test_reading_too_early_gives_zero_and_is_told(bench: Bench) -> None:
    """Firmware that does not look at DRDY."""
    _open(bench)
    assert bench.read("rng", DR) == 0
    assert "without DRDY" in bench.complaints[-1]


def test_stream_begins_anew_with_power(bench: Bench) -> None:
    """A power cycle gives the same words again, as opening the board anew does."""
    _open(bench)
    before = _draw(bench, 3)
    bench.silicon.power_off()
    bench.silicon.power_on()
    _open(bench)
    assert _draw(bench, 3) == before
