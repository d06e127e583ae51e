"""lorafab.config.models: a product with data EEPROM names places in it, and mistakes are found before any hardware."""

import shutil
from pathlib import Path

import pytest

from lorafab.config.load import load_station, product_names, read_product
from lorafab.errors import ConfigError
from lorafab.run.station import memory_of
from lorafab.targets import MCUS

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = "firmware/endnode-l072-eeprom/product.yaml"
FILES = ("stations/sim.yaml", "stations/lots/demo-eeprom.yaml", PRODUCT)
IDENTITY = "identity: {start: 0x08080000, size: 0x80}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the shipped files, to be spoiled."""
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


@pytest.mark.parametrize("name", product_names(ROOT))
def test_every_shipped_product_fits_its_microcontroller(name: str) -> None:
    """Its file is read, each of its places lies in one memory of the MCU, and the image is there."""
    product = read_product(ROOT, name)[1]
    memory = product.memory.memory_map(MCUS[product.mcu].areas)
    for place in (memory.code, memory.nvm, *([] if memory.identity is None else [memory.identity])):
        assert memory.area_of(place) is not None
    assert (ROOT / "firmware" / name / product.image.file).is_file()


def test_identity_and_counters_may_lie_in_the_data_eeprom(root: Path) -> None:
    """Then they are in an area of their own units: words of 4 bytes that are erased to zero."""
    line = load_station(root, "sim", "demo-eeprom")
    memory = memory_of(line, MCUS[line.product.mcu])
    assert memory.identity is not None
    for place in (memory.identity, memory.nvm):
        area = memory.area_of(place)
        assert area is not None
        assert (area.start, area.page_size, area.word_size, area.erased) == (0x08080000, 4, 4, 0x00)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (IDENTITY, "identity: {start: 0x0802E000, size: 0x80}", "must name its place in the data EEPROM"),
        ("store: eeprom", "store: flash", "must name its place in the flash"),
        (IDENTITY, "identity: {start: 0x08080002, size: 0x80}", "is not whole words of 4 bytes of the data EEPROM"),
        (IDENTITY, "identity: {start: 0x080803C0, size: 0x80}", "overlaps nvm"),
        (IDENTITY, "identity: {start: 0x080817FC, size: 0x80}", "lies outside the flash"),
        (IDENTITY, "identity: {start: 0x08080000, size: 0x5C}", "memory.identity has 92 bytes, the identity block 96"),
        ("nvm: {start: 0x08080400", "nvm: {start: 0x08081800", "lies outside the flash"),
    ],
)  # fmt: skip
def test_a_place_that_is_not_what_the_store_needs_is_refused(root: Path, old: str, new: str, said: str) -> None:
    """With file and line, and what to correct."""
    text = (root / PRODUCT).read_text()
    assert text.count(old) == 1
    (root / PRODUCT).write_text(text.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_station(root, "sim", "demo-eeprom")
    assert str(caught.value).startswith(PRODUCT)
    assert said in str(caught.value)


def test_an_eeprom_that_the_chip_has_not_is_refused(root: Path) -> None:
    """Size and place are the microcontroller's, not the product's to choose."""
    text = (root / PRODUCT).read_text()
    (root / PRODUCT).write_text(text.replace("size: 0x1800}", "size: 0x1000}"))
    line = load_station(root, "sim", "demo-eeprom")
    with pytest.raises(ConfigError, match=r"a data EEPROM at 0x08080000\.\.0x080817ff; correct the memory map"):
        memory_of(line, MCUS[line.product.mcu])
