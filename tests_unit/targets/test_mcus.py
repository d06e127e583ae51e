"""lorafab/targets/mcus.py: facts that the line holds a chip against."""

from types import SimpleNamespace
from typing import Any

import pytest

from lorafab.domain.memory_map import Span
from lorafab.targets import MCUS, McuFacts

every_mcu = pytest.mark.parametrize("mcu", MCUS.values(), ids=MCUS.keys())


@every_mcu
def test_facts_are_consistent(mcu: McuFacts) -> None:
    """A memory is whole pages, a page whole words; an identity value has no bits outside its mask."""
    assert MCUS[mcu.name] is mcu
    for area in mcu.areas:
        assert area.size % area.page_size == area.start % area.page_size == 0
        assert area.page_size % area.word_size == 0
        assert 0 <= area.erased <= 0xFF
    assert mcu.identity_value & ~mcu.identity.mask == 0
    assert all(register.address % 4 == 0 for register in (mcu.identity, *mcu.flash_size_registers))
    assert sum(span.size for span in mcu.uid) in {8, 12}


@every_mcu
def test_pyocd_knows_the_target_and_agrees_on_its_memory(mcu: McuFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a flash plan calls a page is what pyOCD erases, and an erased byte reads the same for both."""
    from pyocd.core.session import Session
    from pyocd.target import TARGET

    # pyOCD opens its archive of register descriptions and never closes it.
    monkeypatch.setattr("pyocd.debug.svd.loader.SVDFile.from_builtin", lambda name: None)
    session: Any = Session(None, options={"no_config": True})
    session._probe = SimpleNamespace()
    targets: Any = TARGET
    target = targets[mcu.name](session)
    for area in mcu.areas:
        region = target.memory_map.get_region_for_address(area.start)
        assert (region.start, region.length, region.sector_size) == (area.start, area.size, area.page_size)
        assert region.erased_byte_value == area.erased
        assert region.is_flash
    assert target.memory_map.get_boot_memory().start == mcu.flash.start


def test_a_span_belongs_to_the_memory_that_holds_all_of_it() -> None:
    """Spans across the end of a memory, and option bytes, belong to none."""
    mcu = MCUS["stm32l072xz"]
    assert mcu.area_of(Span(0x0802FFFC, 4)) is mcu.flash
    assert mcu.area_of(Span(0x08080000, 0x1800)) is mcu.eeprom
    assert mcu.area_of(Span(0x0802FFFC, 8)) is None
    assert mcu.area_of(Span(0x1FF80000, 4)) is None


def test_a_unique_id_may_lie_in_pieces() -> None:
    """The third word of an STM32L0's id lies apart from the others."""
    memory = bytes(range(256))
    unique_id = MCUS["stm32l072xz"].read_unique_id(lambda span: memory[span.start & 0xFF :][: span.size])
    assert unique_id == "505152535455565764656667"


def test_the_makers_eui_is_read_company_first() -> None:
    """An STM32WLE5 has its number in the first word, device id and ST's company id in the second; erased is none."""
    words = {0x1FFF7580: 0x01234567, 0x1FFF7584: 0x0080E115}
    place = MCUS["stm32wle5jc"].factory_eui
    assert place is not None
    assert str(place.read(words.__getitem__)) == "0080E11501234567"
    assert place.read({0x1FFF7580: 0xFFFFFFFF, 0x1FFF7584: 0xFFFFFFFF}.__getitem__) is None
    assert [name for name, mcu in MCUS.items() if mcu.factory_eui is not None] == ["stm32wle5jc"]


@pytest.mark.parametrize(
    ("name", "words", "size"),
    [
        ("stm32wle5jc", {0x1FFF75E0: 0xFFFF0100}, 256 * 1024),
        ("stm32l072xz", {0x1FF8007C: 0x029900C0}, 192 * 1024),
        ("nrf52840", {0x10000010: 4096, 0x10000014: 256}, 1024 * 1024),
    ],
)
def test_the_flash_size_is_read_where_and_how_the_chip_says_it(name: str, words: dict[int, int], size: int) -> None:
    """A half-word in KiB with something else above it, or pages times their size."""
    assert MCUS[name].read_flash_size(words.__getitem__) == size
