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


def test_station_check_refuses_what_a_run_would_refuse(lorafab: Command, tmp_path: Path) -> None:
    """A memory map that is not the microcontroller's, and a lock that it does not have."""
    for folder in ("stations", "firmware/endnode-wle5-locked", "firmware/endnode-wle5"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("src", "hal"))
    station, product = tmp_path / "stations/sim.yaml", tmp_path / "firmware/endnode-wle5-locked/product.yaml"
    station.write_text(station.read_text().replace("lot: demo ", "lot: demo-locked "))
    check, good = ("station", "check", "sim", "--json", f"--root={tmp_path}"), product.read_text()
    assert lorafab(*check).document["product"] == "endnode-wle5-locked"
    product.write_text(good.replace("page_size: 0x800", "page_size: 0x400"))
    lorafab(*check).refused(4, "has its flash at 0x08000000..0x0803ffff, erased by 2048 and programmed by 8 bytes")
    product.write_text(good.replace("level: rdp1", "level: approtect"))
    lorafab(*check).refused(4, "an stm32wle5jc is locked by level rdp1, and lock.level says approtect")
