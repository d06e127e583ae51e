"""lorafab.cli.station: what `lorafab station check` finds before a board is in the jig."""

import shutil
from pathlib import Path

from tests_unit.cli.answer import Command
from tests_unit.stations import ROOT


def test_station_check_refuses_an_identity_store_that_the_board_cannot_have(lorafab: Command, tmp_path: Path) -> None:
    """The wiring is held against the microcontroller's pins, as a run does when it opens the station."""
    for folder in ("stations", "firmware/endnode-wle5-nor"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("src"))
    station, product = tmp_path / "stations/sim.yaml", tmp_path / "firmware/endnode-wle5-nor/product.yaml"
    station.write_text(station.read_text().replace("lot: demo ", "lot: demo-nor "))
    check = ("station", "check", "sim", "--json", f"--root={tmp_path}")
    assert lorafab(*check).document["product"] == "endnode-wle5-nor"
    product.write_text(product.read_text().replace("sck: PA5", "sck: PB13"))
    lorafab(*check).refused(4, "identity.sck: PB13 cannot be SCK of spi1; choose PA1 or PA5 or PB3")
