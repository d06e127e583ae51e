import pytest

from lorafab.errors import ConfigError
from lorafab.virtual.chip import Store
from lorafab.virtual.parts.spi_eeprom import EEPROM_25AA02E64, M95M02, SpiEeprom
from lorafab.virtual.parts.spi_nor import AT25SF041, SpiNor
from tests_virtual.parts.spi_bench import SpiBench, new_store

MS = 1_000_000


@pytest.fixture
def at25() -> SpiBench:
    return SpiBench(SpiNor, AT25SF041)


@pytest.fixture
def eeprom() -> SpiBench:
    return SpiBench(SpiEeprom, EEPROM_25AA02E64)


def test_unselected_and_unpowered_parts_are_silent(at25: SpiBench) -> None:
    """Chip-select decides, and a part without power answers nothing whatever the wires do."""
    assert at25.bus.exchange(0x9F) == 0xFF
    at25.pins.chip_drives("P0.17", None)
    assert not at25.memory.selected, "the board's pull-up keeps it deselected"
    at25.cut_power()
    at25.pins.chip_drives("P0.17", False)
    assert [at25.bus.exchange(byte) for byte in b"\x9f\0"] == [0xFF, 0xFF]


def test_a_store_of_the_wrong_size_is_told() -> None:
    """A profile that gives the memory too little room is refused with a sentence."""
    with pytest.raises(ConfigError, match="wanted 524304; correct the board's profile"):
        SpiBench(SpiNor, AT25SF041, new_store(Store("memory", 0x80000, 0)))


def test_the_ammeter_sees_each_state(at25: SpiBench) -> None:
    """Standby, selected and erasing draw what the part's data says."""
    at25.pins.chip_drives("P0.17", False)
    assert at25.supply.nanoamps == AT25SF041.draws.read
    at25.pins.chip_drives("P0.17", True)
    at25.write(b"\x20\0\0\0")
    assert at25.supply.nanoamps == AT25SF041.draws.write
    at25.wait(70 * MS)
    assert at25.supply.nanoamps == AT25SF041.draws.standby


def test_two_memories_share_a_bus() -> None:
    """The deselected one neither listens nor answers."""
    bench = SpiBench(SpiEeprom, EEPROM_25AA02E64)
    other = SpiBench(SpiEeprom, M95M02)
    bench.bus.devices.append(other.memory)
    other.pins.chip_drives("P0.17", True)
    assert bench.ask(b"\x03\xf8", 3) == b"\x02LF"
    assert other.complaints == []


def test_unknown_instructions_are_told(eeprom: SpiBench) -> None:
    """No quiet zero: an id that the part does not have reads as a floating line, with a complaint."""
    assert eeprom.ask(b"\x9f", 3) == b"\xff\xff\xff"
    assert "0x9f" in eeprom.complaints[-1]
