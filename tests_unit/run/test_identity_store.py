"""lorafab.run.identity_store: an external store that the product's hardware cannot have stops before anything opens."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lorafab.config.load import LineConfig, load_station
from lorafab.config.product import LockConfig
from lorafab.errors import ConfigError
from lorafab.run.identity_store import check_store, spi_memory_of
from lorafab.run.station import Options, open_station
from tests_unit.fakes import FakeClock
from tests_unit.stations import ROOT

PLACE = r"firmware/endnode-wle5-(nor|25aa)/product\.yaml:\d+:\d+: identity"


def line(lot: str, mcu: str | None = None, **store: Any) -> LineConfig:
    """The station sim with this lot; ``store`` changes what the product says of its identity."""
    config = load_station(ROOT, "sim", lot)
    product = config.product
    changed = product.model_copy(
        update={"identity": product.identity.model_copy(update=store), "mcu": mcu or product.mcu}
    )
    return LineConfig(**{**vars(config), "product": changed})


def test_the_shipped_products_fit() -> None:
    """Both parts on SPI1 of the WLE5; other stores are not looked at."""
    assert [spi_memory_of(line(lot))[1].name for lot in ("demo-nor", "demo-25aa")] == ["AT25SF041", "25AA02E64"]
    check_store(line("demo"))


@pytest.mark.parametrize(
    ("lot", "mcu", "store", "sentence"),
    [
        ("demo-nor", None, {"part": "at45db"}, r"\.part: 'at45db' is unknown; known parts: 25aa02e64, at25sf041, w"),
        ("demo-nor", None, {"bus": "spi2"}, r"\.bus: no program drives spi2 of stm32wle5jc; there is one for "
         "spi0 of nrf52840, spi1 of stm32wle5jc"),
        ("demo-nor", None, {"sck": "PA6"}, r"\.sck: PA6 cannot be SCK of spi1; choose PA1 or PA5 or PB3"),
        ("demo-nor", None, {"select": "P0.4"}, ": stm32wle5jc has no pin P0.4; correct the wiring"),
        ("demo-nor", None, {"others": ("PD1",)}, ": stm32wle5jc has no pin PD1; correct the wiring"),
        ("demo-nor", "nrf52840", {"bus": "spi0"}, ": nrf52840 has no pin PA5; correct the wiring"),
        ("demo-nor", None, {"address": 0x800}, r"\.address: 0x800 is not where an identity block may lie in the "
         "AT25SF041; choose a multiple of 4096 below 0x7ffa1"),
        ("demo-nor", None, {"address": 0x80000}, r"\.address: 0x80000 is not where an identity block may lie in the"),
        ("demo-25aa", None, {"address": 8}, r"\.address: 0x8 is not where an identity block may lie in the 25AA02E64; "
         "choose a multiple of 16 below 0x61"),
        ("demo-25aa", None, {"address": 0x70}, r"\.address: 0x70 is not where an identity block may lie"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named_with_its_place(
    lot: str, mcu: str | None, store: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    """Unknown part, bus without a program, pins, places that a sector or the factory's EUI forbids."""
    config = line(lot, mcu, **store)
    with pytest.raises(ConfigError, match=PLACE + sentence):
        check_store(config)
    if mcu is None:
        with pytest.raises(ConfigError, match=sentence):
            open_station(config, ROOT, tmp_path, Options(), FakeClock())
        assert list(tmp_path.iterdir()) == []


def wants_lock(lot: str) -> LineConfig:
    config = line(lot)
    return replace(config, product=config.product.model_copy(update={"lock": LockConfig(level="rdp1")}))


@pytest.mark.parametrize(
    ("lot", "sentence"),
    [
        ("demo-nor", "an external memory shows the key to whoever holds the board; keep the identity in the chip"),
        ("demo-25aa", "an external memory shows the key to whoever holds the board; keep the identity in the chip"),
        ("demo-element", "its firmware has no shell that tells a key check value after that; use another store"),
        ("demo-st", "its firmware has no shell that tells a key check value after that; use another store"),
    ],
)
def test_a_lock_that_hides_no_key_or_cannot_be_proven_is_refused(lot: str, sentence: str) -> None:
    """The board would pass as closed with its key open to the next probe, or be closed first and fail then."""
    with pytest.raises(ConfigError) as caught:
        check_store(wants_lock(lot))
    said = str(caught.value)
    assert re.match(
        r"firmware/[a-z0-9-]+/product\.yaml:\d+:\d+: identity\.store: the product wants its boards locked", said
    )
    assert f"locked, and {sentence}, or leave lock out" in said


@pytest.mark.parametrize("lot", ["demo", "demo-build", "demo-serial", "demo-eeprom"])
def test_boards_with_the_key_in_the_chip_and_our_shell_can_be_locked(lot: str) -> None:
    """Flash, EEPROM, the image itself, and firmware that takes its identity by our own commands."""
    check_store(wants_lock(lot))


def test_a_flash_without_a_number_names_no_board() -> None:
    """A lot that takes its DevEUIs from the part wants one that brings them."""
    with pytest.raises(ConfigError) as caught:
        check_store(line("demo-25aa", part="at25sf041"))
    assert str(caught.value) == (
        "stations/lots/demo-25aa.yaml:8:3: dev_eui.source: lot demo-25aa takes its DevEUIs from the memory beside the "
        "chip, but the AT25SF041 comes without an EUI-64; use source label or range"
    )
