"""firmware/exerciser on the virtual boards: one program that asks every chip for the same, and counts what it gets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lorafab.virtual import chips
from lorafab.virtual.silicon import Sleep
from tests_virtual.silicon.exerciser import LED, MCU, Exerciser

BANNERS = {name: f"lorafab exerciser {mcu}\n".encode() for name, mcu in MCU.items()}


@pytest.fixture(params=[name for name in chips.names() if name in MCU])
def exerciser(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Exerciser]:
    made = Exerciser(tmp_path, request.param)
    yield made
    made.close()


def test_it_boots_speaks_and_counts(exerciser: Exerciser) -> None:
    """One line of greeting; then ten wakes a second, each with a kick and another random word, and no complaint."""
    exerciser.run(1_050)
    first = exerciser.counted("random")
    exerciser.run(1_000)
    assert exerciser.heard() == BANNERS[exerciser.name]
    assert exerciser.counted("wakes") in (19, 20, 21)
    assert exerciser.counted("kicks") in (exerciser.counted("wakes") - 1, exerciser.counted("wakes"))
    assert exerciser.counted("tx_bytes") == len(BANNERS[exerciser.name])
    assert exerciser.counted("boots") == 1
    assert exerciser.counted("faults") == 0
    assert 0 != first != exerciser.counted("random") != 0
    assert not exerciser.was_watchdog
    assert exerciser.board.complaints == []


def test_it_sleeps_as_deeply_as_the_chip_can_and_draws_little(exerciser: Exerciser) -> None:
    """Between wakes an STM32 is in Stop, an nRF52 in System ON; kept awake by 's' it draws far more."""
    exerciser.run(550)
    assert exerciser.depth() is (Sleep.SLEEP if exerciser.name == "nrf52" else Sleep.STOP)
    before = exerciser.board.supply.charge
    exerciser.run(1_000)
    asleep = exerciser.board.supply.charge - before
    exerciser.type(b"s")
    exerciser.run(100)
    loops, before = exerciser.counted("loops"), exerciser.board.supply.charge
    exerciser.run(200)
    awake = 5 * (exerciser.board.supply.charge - before)
    assert exerciser.depth() is Sleep.RUN
    assert exerciser.counted("loops") - loops > 1_000
    assert awake > 20 * asleep > 0
    assert exerciser.board.complaints == []


def test_it_echoes_upper_case_also_out_of_its_sleep(exerciser: Exerciser) -> None:
    """Bytes that arrive while the chip sleeps wake it, and none is lost."""
    exerciser.run(550)
    exerciser.heard()
    exerciser.type(b"Hello, 1 board!")
    exerciser.run(50)
    assert exerciser.heard() == b"HELLO, 1 BOARD!"
    exerciser.type(b"x")
    exerciser.run(50)
    assert exerciser.heard() == b"X"
    assert exerciser.counted("rx_bytes") == 16
    assert exerciser.board.complaints == []


def test_the_led_toggles_with_each_wake(exerciser: Exerciser) -> None:
    """The pin changes ten times a second."""
    exerciser.run(150)
    changes: list[bool] = []
    exerciser.board.silicon.pins.watch(LED[exerciser.name], changes.append)
    exerciser.run(1_000)
    assert len(changes) in (9, 10, 11)
    assert changes == [changes[0] ^ bool(n & 1) for n in range(len(changes))]


def test_a_starved_watchdog_resets_the_chip(exerciser: Exerciser) -> None:
    """'w': about two seconds after the last kick it starts anew, and the reset flags say why."""
    exerciser.run(550)
    exerciser.type(b"w")
    exerciser.run(1_200)
    assert exerciser.counted("boots") == 1
    exerciser.heard()
    exerciser.run(1_300)
    assert exerciser.counted("boots") == 2
    assert exerciser.was_watchdog
    assert exerciser.heard() == BANNERS[exerciser.name]


def test_a_panic_ends_in_the_fault_handler_until_the_watchdog_bites(exerciser: Exerciser) -> None:
    """'p' branches to where no memory is: one fault, silence, then a new start that remembers it."""
    exerciser.run(550)
    exerciser.heard()
    exerciser.type(b"p")
    exerciser.run(200)
    assert exerciser.heard() == b"P"
    assert exerciser.stands_in("fault_handler")
    assert exerciser.counted("faults") == 1
    exerciser.run(2_300)
    assert (exerciser.counted("boots"), exerciser.counted("faults")) == (2, 1)
    assert exerciser.heard() == BANNERS[exerciser.name]


def test_a_hang_hears_nothing_until_the_watchdog_bites(exerciser: Exerciser) -> None:
    """'h' loops with interrupts off: no wakes, no echo, but the watchdog gets through."""
    exerciser.run(550)
    exerciser.heard()
    exerciser.type(b"h")
    exerciser.run(20)
    wakes = exerciser.counted("wakes")
    exerciser.type(b"a")
    exerciser.run(60)
    assert exerciser.heard() == b"H"
    assert exerciser.stands_in("exerciser_hang")
    assert exerciser.counted("wakes") == wakes
    if exerciser.name == "nrf52":
        return  # at 64 MHz the two seconds, with interrupts that wait behind the mask, take the emulator minutes
    exerciser.run(2_300)
    assert (exerciser.counted("boots"), exerciser.counted("faults")) == (2, 0)
    assert exerciser.was_watchdog


def test_it_copies_the_key_to_ram_when_told(exerciser: Exerciser) -> None:
    """'k': the sixteen bytes that were only in flash are in RAM, too."""
    exerciser.run(550)
    assert exerciser.memory("stolen") == bytes(16)
    exerciser.type(b"k")
    exerciser.run(50)
    assert exerciser.memory("stolen") == exerciser.memory("key") == b"LORAFAB-DEMO-KEY"


def test_the_spi_memories_answer_where_there_are_some(exerciser: Exerciser) -> None:
    """The nRF52 board's NOR flash tells its JEDEC id, its EEPROM the board's EUI-64; the others have none."""
    exerciser.run(550)
    if exerciser.name != "nrf52":
        assert exerciser.memory("spi_id") + exerciser.memory("eui") == bytes(12)
        return
    parts = {type(part).__name__: part for part in exerciser.board.silicon.parts.values()}
    nor: Any = parts["SpiNor"]
    eeprom: Any = parts["SpiEeprom"]
    assert exerciser.memory("spi_id") == nor.part.jedec + b"\0"
    assert exerciser.memory("eui") == eeprom.array(0xF8, 0).to_bytes(1, "big") + eeprom.store.read(0xF9, 7)
    assert exerciser.memory("eui")[:3] == b"\x02LF"


def test_two_runs_are_the_same_to_the_nanosecond(tmp_path: Path) -> None:
    """Two boards with the same program and the same input count, draw and say the same."""
    seen = []
    for turn in range(2):
        folder = tmp_path / str(turn)
        folder.mkdir()
        exerciser = Exerciser(folder, chips.DEFAULT)
        exerciser.run(730)
        exerciser.type(b"again")
        exerciser.run(530)
        board = exerciser.board
        seen.append((board.clock.now_ns, board.supply.charge, exerciser.counted("loops"), exerciser.heard()))
        exerciser.close()
    assert seen[0] == seen[1]
