"""lorafab.export.tts: files that The Things Stack imports, read back by its own rules."""

import csv
import io
import json
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.domain.identity import REGIONS, Eui64
from lorafab.domain.secret import Secret
from lorafab.errors import ExportError, UsageError
from lorafab.export import tts
from lorafab.export.device import Device

DATA = Path(__file__).resolve().parents[1] / "data" / "export"

# ttscsv.go, csvFieldSetters: what the importer knows; any other column is ignored in silence.
KNOWN = {
    "id",
    "dev_eui",
    "join_eui",
    "app_eui",
    "name",
    "description",
    "frequency_plan_id",
    "lorawan_version",
    "lorawan_phy_version",
    "brand_id",
    "model_id",
    "hardware_version",
    "firmware_version",
    "band_id",
    "vendor_id",
    "vendor_profile_id",
    "app_key",
    "nwk_key",
    "rx1_delay",
    "supports_32_bit_f_cnt",
    "dev_addr",
    "app_s_key",
    "f_nwk_s_int_key",
    "last_f_cnt_up",
    "last_n_f_cnt_down",
    "last_a_f_cnt_down",
    "supports_class_c",
}
EU868 = tts.radio("1.0.4", "EU868", "EU_863_870_TTN")
DEVICE_ID = re.compile(r"[a-z0-9](?:[-]?[a-z0-9]){2,}")  # identifiers.proto, EndDeviceIdentifiers.device_id

secrets = st.binary(min_size=16, max_size=16).map(Secret)
eui64s = st.integers(1, (1 << 64) - 2).map(Eui64)


def devices(two_keys: bool, keys: st.SearchStrategy[Secret | None] = secrets) -> st.SearchStrategy[list[Device]]:
    """Any boards: serials are printable ASCII, as the identity block has them. ``keys``: none for a secure element."""
    return st.lists(
        st.builds(
            Device,
            dev_eui=eui64s,
            join_eui=eui64s,
            serial=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=16),
            label=st.just("LW:D0"),
            lorawan=st.just("1.1" if two_keys else "1.0.4"),
            region=st.just("EU868"),
            generation=st.integers(1, 255),
            app_key=keys,
            nwk_key=secrets if two_keys else st.none(),
        ),
        min_size=1,
        max_size=5,
    )


def board(lorawan: str = "1.0.4", dev_eui: int = 0x70B3D5499A1B2C3D, byte: int = 0xA1) -> Device:
    return Device(
        dev_eui=Eui64(dev_eui),
        join_eui=Eui64(0x70B3D57ED0000001),
        serial="SN000001",
        label="LW:D0",
        lorawan=lorawan,
        region="EU868",
        generation=1,
        app_key=Secret(bytes([byte, *range(15)])),
        nwk_key=Secret(bytes([byte, *range(50, 65)])) if lorawan == "1.1" else None,
    )


def as_imported(data: bytes) -> list[dict[str, str]]:
    """As ttscsv.go reads: `;` when the first line has one, header, leading blanks trimmed, as many fields a row."""
    text = data.decode().removeprefix("\ufeff")
    comma = ";" if ";" in text.splitlines()[0] else ","
    header, *rows = csv.reader(io.StringIO(text), delimiter=comma, skipinitialspace=True, strict=True)
    assert all(len(row) == len(header) for row in rows)
    return [dict(zip(header, row, strict=True)) for row in rows]


def objects(data: bytes) -> list[dict[str, object]]:
    """As a stream decoder reads: one object after the other, blanks between them, nothing else."""
    text, found, at = data.decode(), [], 0
    while at < len(text.rstrip()):
        one, at = json.JSONDecoder().raw_decode(text, at)
        found.append(one)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def paths(value: object, name: str = "") -> set[str]:
    """Dotted names of all fields."""
    if not isinstance(value, dict):
        return {name}
    return {path for key, item in value.items() for path in paths(item, f"{name}.{key}" if name else key)}


def test_a_line_of_lorawan_1_0_field_by_field() -> None:
    """Every column, its value, and no nwk_key: with one the server would join with it instead of the AppKey."""
    assert tts.to_csv([board()], EU868).decode() == (
        "id;dev_eui;join_eui;name;frequency_plan_id;lorawan_version;lorawan_phy_version;band_id;app_key\n"
        "eui-70b3d5499a1b2c3d;70B3D5499A1B2C3D;70B3D57ED0000001;SN000001;EU_863_870_TTN;MAC_V1_0_4;RP002_V1_0_3;"
        "EU_863_870;A1000102030405060708090A0B0C0D0E\n"
    )


def test_a_line_of_lorawan_1_1_has_both_keys() -> None:
    """Each in the column of its own name."""
    radio = tts.radio("1.1", "EU868", "EU_863_870_TTN")
    (row,) = as_imported(tts.to_csv([board("1.1")], radio))
    assert (row["lorawan_version"], row["lorawan_phy_version"]) == ("MAC_V1_1", "PHY_V1_1_REV_B")
    assert row["app_key"] == "A1000102030405060708090A0B0C0D0E"
    assert row["nwk_key"] == "A132333435363738393A3B3C3D3E3F40"


@given(devices(two_keys=False) | devices(two_keys=True))
@settings(max_examples=60, deadline=None, database=None)
def test_the_importer_reads_back_what_was_written(boards: list[Device]) -> None:
    """Whatever a serial holds, EUIs and keys arrive whole, and no cell of theirs is empty (it would mean zeros)."""
    radio = tts.radio(boards[0].lorawan, "EU868", "EU_863_870_TTN")
    rows = as_imported(tts.to_csv(boards, radio))
    assert len(rows) == len(boards)
    for row, one in zip(rows, boards, strict=True):
        assert set(row) <= KNOWN
        assert all(row.values())
        assert (row["dev_eui"], row["join_eui"]) == (str(one.dev_eui), str(one.join_eui))
        assert one.app_key is not None
        assert one.app_key.same_as(Secret(bytes.fromhex(row["app_key"])))
        assert (one.nwk_key is None) == ("nwk_key" not in row)
        assert one.nwk_key is None or one.nwk_key.same_as(Secret(bytes.fromhex(row["nwk_key"])))
        assert row["name"] == (one.serial.strip() or str(one.dev_eui))
        assert DEVICE_ID.fullmatch(row["id"])
        assert len(row["id"]) <= 36


@given(devices(two_keys=False, keys=secrets | st.none()))
@settings(max_examples=60, deadline=None, database=None)
def test_boards_without_a_key_are_refused_by_name(boards: list[Device]) -> None:
    """Without the key's column the importer would take them as devices that never join."""
    radio = tts.radio("1.0.4", "EU868", "EU_863_870_TTN")
    missing = [str(one.dev_eui) for one in boards if one.app_key is None]
    if missing:
        with pytest.raises(ExportError, match=f"those of {len(missing)} board.*{missing[0]}"):
            tts.to_csv(boards, radio)
    assert sum("root_keys" not in one for one in objects(tts.to_json(boards, radio))) == len(missing)


@given(devices(two_keys=False) | devices(two_keys=True))
@settings(max_examples=60, deadline=None, database=None)
def test_the_stream_reads_back_what_was_written(boards: list[Device]) -> None:
    """One object a board; nwk_key for 1.1 only."""
    radio = tts.radio(boards[0].lorawan, "EU868", "EU_863_870_TTN")
    found = objects(tts.to_json(boards, radio))
    assert len(found) == len(boards)
    for one, device in zip(found, boards, strict=True):
        assert device.app_key is not None
        wanted = {"app_key": {"key": device.app_key.reveal().hex().upper()}}
        if device.nwk_key:
            wanted["nwk_key"] = {"key": device.nwk_key.reveal().hex().upper()}
        assert one["root_keys"] == wanted
        assert one["ids"] == {
            "device_id": f"eui-{device.dev_eui}".lower(),
            "dev_eui": str(device.dev_eui),
            "join_eui": str(device.join_eui),
        }


@pytest.mark.parametrize("name", ["tts_minimal.csv", "tts_all_columns_104.csv"])
def test_the_columns_are_those_of_the_published_files(name: str) -> None:
    """Every column of ours is known; what their files have, and ours not, names a product in their repository."""
    theirs = as_imported((DATA / name).read_bytes())[0]
    (ours,) = as_imported(tts.to_csv([board()], EU868))
    assert set(ours) <= KNOWN
    assert set(theirs) - set(ours) <= {"brand_id", "model_id", "hardware_version", "firmware_version"}
    for column in ("lorawan_version", "lorawan_phy_version", "frequency_plan_id"):
        assert ours[column] == theirs[column]
    for column in ("dev_eui", "join_eui", "app_key"):
        assert len(ours[column]) == len(theirs[column])


def test_the_columns_of_the_published_template_are_known_and_ours_are_in_it() -> None:
    """The spreadsheet that customers fill in by hand."""
    with zipfile.ZipFile(DATA / "tts-end-devices-csv-template.xlsx") as book:
        strings = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    texts = [item.findtext(f"{space}t") or "" for item in strings]
    row = sheet.find(f"{space}sheetData/{space}row")
    assert row is not None
    header = [texts[int(cell.findtext(f"{space}v") or "")] for cell in row]
    assert len(header) == 13
    assert set(header) <= KNOWN
    (ours,) = as_imported(tts.to_csv([board()], EU868))
    assert set(ours) <= set(header)


@pytest.mark.parametrize("name", ["tts_device.json", "tts_devices_stream.json"])
def test_the_fields_are_those_of_the_published_stream(name: str) -> None:
    """Same names in the same places, the description apart."""
    theirs = objects((DATA / name).read_bytes())
    for one, ours in zip(theirs, objects(tts.to_json([board(), board(dev_eui=5, byte=7)], EU868)), strict=False):
        assert paths(one) - paths(ours) == {"description"}
        assert paths(ours) <= paths(one)


# --- radio ---


@pytest.mark.parametrize(
    ("lorawan", "region", "plan", "mac", "phy", "band"),
    [
        ("1.0.2", "EU868", "EU_863_870_TTN", "MAC_V1_0_2", "PHY_V1_0_2_REV_B", "EU_863_870"),
        ("1.0.3", "US915", "US_902_928_FSB_2", "MAC_V1_0_3", "PHY_V1_0_3_REV_A", "US_902_928"),
        ("1.0.4", "AU915", "AU_915_928_FSB_2", "MAC_V1_0_4", "RP002_V1_0_3", "AU_915_928"),
        ("1.1", "IN865", "IN_865_867", "MAC_V1_1", "PHY_V1_1_REV_B", "IN_865_867"),
        ("1.0.4", "AS923", "AS_923_4", "MAC_V1_0_4", "RP002_V1_0_3", "AS_923_4"),
        ("1.0.2", "IN865", "IN_865_867", "MAC_V1_0_2", "PHY_V1_0_2_REV_B", "IN_865_867"),
        ("1.0.3", "CN470", "CN_470_510_FSB_11", "MAC_V1_0_3", "PHY_V1_0_3_REV_A", "CN_470_510"),
    ],
)
def test_versions_as_the_console_pairs_them(
    lorawan: str, region: str, plan: str, mac: str, phy: str, band: str
) -> None:
    """MAC version, its regional parameters, and the band of the plan."""
    assert tts.radio(lorawan, region, plan) == tts.Radio(plan, mac, phy, band)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("1.0.4", None, "EU_863_870_TTN"), ("region", "add `region:`")),
        (("1.0.4", "EU868", "US_902_928_FSB_2"), ("'US_902_928_FSB_2'", "EU868", "EU_863_870_TTN")),
        (("1.0.4", "EU868", ""), ("''", "EU_863_870_TTN")),
        (("1.0.4", "CN779", "CN_779_787"), ("CN779", "none", "another format")),
        (("1.0.2", "RU864", "RU_864_870_TTN"), ("1.0.2", "RU_864_870_TTN", "none")),
        (("1.0.4", "CN470", "CN_470_510_FSB_1"), ("1.0.4", "none")),
        (("1.0.2", "AS923", "AS_923_2"), ("AS_923_2", "none")),
        (("1.0.2", "IN865", "IN_865_867", "PHY_V1_0_2_REV_A"), ("REV_A", "known ones: PHY_V1_0_2_REV_B")),
        (("1.0.4", "EU868", "EU_863_870_TTN", "PHY_V1_0_3_REV_A"), ("PHY_V1_0_3_REV_A", "RP002_V1_0_4")),
    ],
)
def test_what_the_server_does_not_know_is_refused(arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    """With what it does know: a device with such a pair would be imported and never join."""
    with pytest.raises(UsageError) as error:
        tts.radio(*arguments)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_other_regional_parameters_may_be_named() -> None:
    """For firmware that implements another revision."""
    assert tts.radio("1.0.4", "EU868", "EU_863_870_TTN", "RP002_V1_0_1").lorawan_phy_version == "RP002_V1_0_1"


@pytest.mark.parametrize("region", REGIONS)
def test_every_region_of_a_lot_has_an_answer(region: str) -> None:
    """A sentence or a plan, never a KeyError."""
    with pytest.raises(UsageError, match="known plans"):
        tts.radio("1.0.4", region, "?")
