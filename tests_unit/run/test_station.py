"""lorafab.run.station: what is opened fits the lot, and what the lot's labels may be."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from lorafab.config.load import LineConfig, load_station
from lorafab.domain.identity import Eui64
from lorafab.errors import ConfigError, LabelRefused, LedgerError, ScanError
from lorafab.interfaces import ClaimRequest
from lorafab.run.station import Options, check_ledger, mcu_of, open_station, unused_labels
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.virtual.label_picture import draw_label
from tests_unit.fakes import FakeClock
from tests_unit.stations import ROOT


def line(lot: str, **product: str) -> LineConfig:
    """The station sim with this lot; ``product`` changes what the product says."""
    config = load_station(ROOT, "sim", lot)
    changed = config.product.model_copy(update=product)
    return LineConfig(**{**vars(config), "product": changed})


@pytest.mark.parametrize("mcu", ["nrf52840", "stm32l072xz", "stm32l475xg"])
def test_a_chip_without_an_eui_of_its_maker_names_nobody(mcu: str) -> None:
    """An nRF52840's DEVICEID is a random number; the sentence names the MCU and those that could."""
    with pytest.raises(ConfigError) as caught:
        mcu_of(line("demo-chip", mcu=mcu))
    assert str(caught.value) == (
        "stations/lots/demo-chip.yaml:8:3: dev_eui.source: lot demo-chip takes its DevEUIs from the chip, but the "
        f"maker gives an {mcu} no EUI-64 (microcontrollers that have one: stm32wle5jc); use source label or range"
    )
    for lot in ("demo", "demo-range"):
        assert mcu_of(line(lot, mcu=mcu)).name == mcu


def test_a_station_whose_chips_name_nobody_does_not_open(tmp_path: Path) -> None:
    """Before a ledger is made or a driver is opened."""
    with pytest.raises(ConfigError, match="no EUI-64"):
        open_station(line("demo-chip", mcu="nrf52840"), ROOT, tmp_path, Options(), FakeClock())
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_mcu_is_a_mistake_in_the_product() -> None:
    """The sentence names the place and the known ones."""
    with pytest.raises(ConfigError) as caught:
        mcu_of(line("demo", mcu="z80"))
    assert str(caught.value).startswith("firmware/endnode-wle5/product.yaml:")
    assert "mcu: 'z80' is unknown; known microcontrollers: stm32wle5jc, stm32l072xz, " in str(caught.value)


def test_the_ledger_of_another_lot_is_refused(tmp_path: Path) -> None:
    """A lot that names none takes any."""
    ledger = TinyLedger.create(tmp_path, FakeClock())
    lot = load_station(ROOT, "sim").lot
    check_ledger(lot, ledger)
    check_ledger(lot.model_copy(update={"ledger": ledger.ledger_id}), ledger)
    with pytest.raises(LedgerError, match=rf"lot demo belongs to ledger L1, and this one is {ledger.ledger_id}; give"):
        check_ledger(lot.model_copy(update={"ledger": "L1"}), ledger)


@pytest.mark.parametrize("name", ["demo", "demo-range", "demo-chip"])
def test_unused_labels_are_those_that_the_ledger_does_not_know(tmp_path: Path, name: str) -> None:
    """By DevEUI, or by the serial where the chip decides on the DevEUI; serials of other lots do not count."""
    lot, ledger = load_station(ROOT, "sim", name).lot, TinyLedger.create(tmp_path, FakeClock())
    assert unused_labels(lot, ledger, 2) == [lot.label_text(0), lot.label_text(1)]
    for number, of in ((0, "other"), (1, name)):
        request = ClaimRequest(
            dev_eui=lot.dev_eui_of(number) or Eui64(0x0080E115_00000000 + number),
            join_eui=lot.join_eui,
            serial=lot.serial_of(number),
            label=f"{of} {number}",
            chip_id=f"{number:024X}",
            lot=of,
            run=f"run-{number}",
            station="sim",
            operator="Eve",
        )
        ledger.claim(request)
    free = [0, 2, 3] if name == "demo-chip" else [2, 3, 4]
    assert unused_labels(lot, ledger, 3) == [lot.label_text(number) for number in free]
    assert unused_labels(lot, None, 1) == [lot.label_text(0)]


def test_a_label_whose_serial_another_board_took_is_not_unused(tmp_path: Path) -> None:
    """A foreign label paired it with another DevEUI, so the line would refuse the one that the lot prints."""
    lot, ledger = load_station(ROOT, "sim", "demo").lot, TinyLedger.create(tmp_path, FakeClock())
    dev_eui = lot.dev_eui_of(7)
    assert dev_eui is not None
    ledger.claim(
        ClaimRequest(
            dev_eui=dev_eui,
            join_eui=lot.join_eui,
            serial=lot.serial_of(0),
            label="foreign",
            chip_id="0" * 23 + "1",
            lot=lot.lot,
            run="run-1",
            station="sim",
            operator="Eve",
        )
    )
    assert unused_labels(lot, ledger, 1) == [lot.label_text(1)]


def picture(*texts: str) -> bytes:
    """Stickers side by side."""
    stickers = [Image.open(BytesIO(draw_label(text))) for text in texts]
    photo = Image.new("L", (sum(one.width for one in stickers), stickers[0].height), 168)
    for place, one in enumerate(stickers):
        photo.paste(one, (place * one.width, 0))
    buffer = BytesIO()
    photo.save(buffer, format="PNG")
    return buffer.getvalue()


def scan(tmp_path: Path, lot: str, *texts: str) -> str:
    """What a station with this lot reads in a picture of these stickers."""
    file = tmp_path / "label.png"
    file.write_bytes(picture(*texts))
    config = load_station(ROOT, "sim", lot)
    station = open_station(config, ROOT, tmp_path / "data", Options(label_image=file), FakeClock())
    try:
        return station.scanner.scan().text
    finally:
        station.close()
        station.ledger.close()


def test_of_several_codes_the_one_of_the_lot_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label of another lot, and what is no label at all, may lie beside it; two labels of the lot may not."""
    monkeypatch.setenv("LORAFAB_VIRTUAL_BOARD", str(tmp_path / "b1.board"))
    lots = {name: load_station(ROOT, "sim", name).lot for name in ("demo", "demo-range", "demo-chip")}
    beside = "HTTPS://EXAMPLE.COM/1"
    for name, lot in lots.items():
        others = [other.label_text(0) for other in lots.values() if other is not lot]
        own = lot.label_text(5)
        assert scan(tmp_path, name, others[0], own, beside) == own
        with pytest.raises(ScanError, match="2 different labels"):
            scan(tmp_path, name, own, lot.label_text(6))
        with pytest.raises(LabelRefused):
            scan(tmp_path, name, others[1], beside)


def test_a_folder_of_pictures_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path counts from the project's root, and the reader takes labels of the lot."""
    monkeypatch.setenv("LORAFAB_VIRTUAL_BOARD", str(tmp_path / "b1.board"))
    config = load_station(ROOT, "sim")
    told = config.station.scanner.model_copy(update={"driver": "folder", "folder": "in", "timeout_s": 0.05})
    station_file = config.station.model_copy(update={"scanner": told})
    changed = LineConfig(**{**vars(config), "station": station_file})
    station = open_station(changed, tmp_path, tmp_path / "data", Options(), FakeClock())
    try:
        with pytest.raises(ScanError, match=f"folder {tmp_path / 'in'} cannot be read"):
            station.scanner.scan()
    finally:
        station.close()
        station.ledger.close()
