"""lorafab.run.identity_store: a lot that a modem's dialect cannot serve is refused before any hardware is touched."""

from dataclasses import replace
from pathlib import Path

import pytest

from lorafab.config.load import LineConfig, load_station
from lorafab.domain.identity import Eui64
from lorafab.errors import ConfigError, NvmDamaged
from lorafab.run import lost_counters
from lorafab.run.identity_store import check_store
from lorafab.run.run import Run
from lorafab.steps.dialects import DIALECTS
from tests_unit.line import ROOT
from tests_unit.stations import fake_station

LOTS = {
    "lorafab": "demo-serial",
    "st-at-slave": "demo-st",
    "rui3": "demo-rui3",
    "lora-e5": "demo-e5",
    "rn2483": "demo-rn2483",
    "abz": "demo-abz",
}


def line(dialect: str, lorawan: str) -> LineConfig:
    """A station that makes the demo lot of this dialect, with another LoRaWAN version."""
    config = load_station(ROOT, "sim", LOTS[dialect])
    return replace(config, lot=config.lot.model_copy(update={"lorawan": lorawan}))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_lorawan_1_0_goes_with_every_dialect(dialect: str) -> None:
    """One root key is what all of them take."""
    check_store(line(dialect, "1.0.4"))


@pytest.mark.parametrize("dialect", [name for name, dialect in DIALECTS.items() if dialect.takes_nwk_key])
def test_lorawan_1_1_goes_with_dialects_that_take_two_keys(dialect: str) -> None:
    """ST, ABZ and our own."""
    check_store(line(dialect, "1.1"))


@pytest.mark.parametrize("dialect", [name for name, dialect in DIALECTS.items() if not dialect.takes_nwk_key])
def test_lorawan_1_1_is_refused_where_there_is_one_key(dialect: str) -> None:
    """The sentence names file and key, and the dialects that could."""
    with pytest.raises(ConfigError) as caught:
        check_store(line(dialect, "1.1"))
    text = str(caught.value)
    assert f"identity.dialect: lot {LOTS[dialect]} is of LoRaWAN 1.1, and {dialect} takes no NwkKey" in text
    assert "product.yaml" in text
    assert "(dialects that do: lorafab, st-at-slave, abz); correct the lot's lorawan" in text


def test_a_modem_is_not_erased_where_nothing_brings_its_dev_nonce_up_again(tmp_path: Path) -> None:
    """Refused before the erase: afterwards it would be too late."""
    station = fake_station(tmp_path, lot="demo-st")
    run = Run(station, "run-1", station.clock.now())
    with pytest.raises(
        NvmDamaged, match=r"the board's DevNonce 5 would be lost, and no command of its firmware brings it"
    ):
        lost_counters.note(run, Eui64(0x024C464200100001), 5)


def test_a_modem_that_has_never_joined_may_be_erased(tmp_path: Path) -> None:
    """Nothing is lost then; and our own shell brings every DevNonce up again."""
    station = fake_station(tmp_path, lot="demo-st")
    modem = Run(station, "run-1", station.clock.now())
    for nothing in (None, 0):
        lost_counters.refuse(modem, nothing)
    own = fake_station(tmp_path / "own", lot="demo-serial")
    lost_counters.refuse(Run(own, "run-1", own.clock.now()), 5)
