"""lorafab.config.load: a station starts with files that fit each other, or says what is wrong with them."""

import json
import re
import shutil
from pathlib import Path

import pytest

from lorafab.config.load import (
    LineConfig,
    load_lot,
    load_station,
    lot_names,
    product_names,
    resolve_port,
    station_names,
)
from lorafab.config.models import station_schema
from lorafab.domain.identity import Eui64
from lorafab.domain.label import parse_label
from lorafab.domain.measurement import Spec
from lorafab.domain.memory_map import Span
from lorafab.errors import ConfigError

PROJECT = Path(__file__).parents[2]
SIM = "stations/sim.yaml"
A = "stations/A.yaml"
LOT = "stations/lots/demo.yaml"
PRODUCT = "firmware/endnode-wle5/product.yaml"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the shipped files, to be spoiled; with a public key for station A."""
    for file in (SIM, A, LOT, PRODUCT):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / file, tmp_path / file)
    (tmp_path / "stations/vault.pub").write_text("made by lorafab vault init")
    return tmp_path


def spoil(root: Path, file: str, old: str, new: str) -> None:
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new, 1))


def refusal(root: Path, name: str = "sim", lot: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_station(root, name, lot)
    return str(caught.value)


def reads_like(said: str, wanted: str) -> bool:
    """`wanted` may have `*` for anything."""
    return re.search(".*".join(map(re.escape, wanted.split("*"))), said, re.S) is not None


def test_the_shipped_stations_are_valid(root: Path) -> None:
    """sim and the example A load, with product, lot and plan."""
    for name in ("A", "sim"):
        line = load_station(root, name)
        assert (line.station.station, line.lot.lot, line.product.product) == (name, "demo", "endnode-wle5")
        assert [step.test.split("::")[0] for step in line.plan.steps] == [
            "test_10_connect",
            "test_20_flash",
            "test_30_keys",
            "test_40_counters",
            "test_50_functional",
        ]
    assert (station_names(root), lot_names(root), product_names(root)) == (["A", "sim"], ["demo"], ["endnode-wle5"])


def test_the_shipped_sim_station_is_valid_where_it_lies() -> None:
    """The files of this checkout, not a copy."""
    assert load_station(PROJECT, "sim").station.jig.driver == "virtual"


def test_what_a_line_knows(root: Path) -> None:
    """Paths, hashes, memory map and the place that names the image."""
    line = load_station(root, "sim")
    assert line.image_path == root / "firmware/endnode-wle5/endnode-wle5.hex"
    assert line.manifest_path == root / "firmware/endnode-wle5/MANIFEST"
    assert re.fullmatch(PRODUCT + r":\d+:\d+: image\.file", line.image_named_by)
    assert set(line.files_sha256) == {SIM, LOT, PRODUCT}
    assert line.region == "EU868"
    memory = line.product.memory.memory_map()
    assert memory.identity == Span(0x0803E800, 0x800)
    assert line.product.memory.reserved()["NVM region"] == Span(0x0803F000, 0x1000)


def test_hashes_change_with_what_they_cover(root: Path) -> None:
    """A remark changes the configuration's hash, a limit the plan's too."""
    before = load_station(root, "A")
    spoil(root, A, "# An example", "# Another example")
    remarked = load_station(root, "A")
    assert (remarked.config_sha256 == before.config_sha256, remarked.plan_sha256 == before.plan_sha256) == (False, True)
    spoil(root, A, "[0, 200]", "[0, 100]")
    assert load_station(root, "A").plan_sha256 != before.plan_sha256


def test_a_stations_limits_win(root: Path) -> None:
    """Where the station says so, and for that measurement only."""
    spoil(root, A, "[0, 200]", "[1.5, 99]")
    limits = {spec.name: (spec.low, spec.high) for spec in _specs(load_station(root, "A"))}
    assert limits["dev_nonce"] == (1.5, 99.0)
    assert limits["image_bytes"] == (1.0, None)


def _specs(line: LineConfig) -> list[Spec]:
    return [spec for step in line.plan.steps for spec in step.measurements]


def test_another_lot_is_named_on_the_command_line(root: Path) -> None:
    """`--lot` wins over the station file."""
    shutil.copy(root / LOT, root / "stations/lots/other.yaml")
    spoil(root, "stations/lots/other.yaml", "lot: demo", "lot: other")
    assert load_station(root, "sim", "other").lot.lot == "other"
    assert refusal(root, lot="none") == "there is no lot none; known lots: demo, other"


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        (
            SIM,
            "port:",
            "prot:",
            "stations/sim.yaml:9:30: unknown key 'prot' in link; known keys: baud, driver, port, *",
        ),
        (SIM, "store:", "stor:", "unknown key 'stor'; known keys: jig, limits, link, lot, product, programmer, *"),
        (SIM, "{driver: camera}", "{driver: camera, file: x}", "unknown key 'file' in scanner; known keys: driver"),
        (
            SIM,
            "driver: camera",
            "driver: laser",
            "scanner has an unknown driver 'laser'; known drivers: prompt, serial, *",
        ),
        (SIM, "{driver: camera}", "{}", "key 'driver' is missing in scanner; known drivers: prompt, serial, camera, *"),
        (
            SIM,
            "driver: virtual",
            "driver: serial-relay",
            "unknown driver 'serial-relay'; known drivers: manual, virtual",
        ),
        (SIM, "driver: tinydb", "driver: postgresql", "stations/sim.yaml:11:14: store.driver: it should be 'tinydb'"),
        (SIM, "lot: demo", "", "stations/sim.yaml:3:1: key 'lot' is missing; add it"),
        (SIM, "115200", '"115200"', "link.baud: it should be a valid integer"),
        (SIM, "115200", "yes", "link.baud: it should be a valid integer"),
        (SIM, "swd_khz: 4000", "swd_khz: 1", "programmer.swd_khz: it should be greater than or equal to 10"),
        (SIM, "station: sim", "station: A", "stations/sim.yaml:3:1: station says A, but the file is sim's"),
        (SIM, "lot: demo", "lot: ../lots/demo", "lot: it should match pattern"),
        (SIM, "lot: demo", "lot: gone", "stations/sim.yaml:5:1: there is no lot gone; known lots: demo"),
        (
            SIM,
            "product: endnode-wle5",
            "product: x",
            "stations/sim.yaml:4:1: there is no product x; known products: endn",
        ),
        (SIM, "demo: true", "public_key: x, demo: true", "vault: give either `public_key` (make one with"),
        (SIM, "demo: true", "", "vault: give either `public_key`"),
        (SIM, "demo: true", "demo: yes", "vault.demo: it should be a valid boolean"),
        (LOT, "OTAA", "ABP", "activation: ABP is not taken: its session keys and frame counters"),
        (LOT, "kind: demo", "kind: sample", "kind: it should be 'demo' or 'production'"),
        (LOT, "kind: demo", "kind: production", "a production lot names its ledger (`ledger: <id>`"),
        (
            LOT,
            "kind: demo",
            "kind: production\nledger: L1\n#",
            "stations/lots/demo.yaml:*: key 'ledger' stands here again",
        ),
        (LOT, '"00005EEF10000001"', "1234567890123456", "join_eui: an EUI is written as 16 hex digits in quotes"),
        (LOT, '"00005EEF10000001"', "70B3D57ED0001F0", "join_eui: an EUI-64 is written as 16 hex digits"),
        (LOT, '"00005EEF10000001"', '"0000000000000000"', "join_eui: this EUI is reserved (all bits equal)"),
        (LOT, '"024C464200000001"', '"FFFFFFFFFFFFFFF0"', "5000 DevEUIs from FFFFFFFFFFFFFFF0 on run beyond"),
        (LOT, "digits: 8", "digits: 3", "5000 boards need more than 3 digits of serial"),
        (LOT, "digits: 8", "digits: 15", "serials would have 17 characters, the identity block holds 16"),
        (LOT, "region: EU868", "region: EU869", "region 'EU869' is unknown; known regions: AS923, AU915, *"),
        (LOT, 'lorawan: "1.0.4"', "lorawan: 1.0", "lorawan: it should be '1.0.2', '1.0.3' or '1.0.4'"),
        (LOT, "quantity: 5000", "quantity: 0", "dev_eui.quantity: it should be greater than or equal to 1"),
        (PRODUCT, "size: 0x3E000", "size: 0x3F000", "memory: code 0x08000000..0x0803efff overlaps identity 0x0803e800"),
        (
            PRODUCT,
            "start: 0x0803E800",
            "start: 0x0803E801",
            "identity 0x0803e801..0x0803f000 is not whole pages of 0x800",
        ),
        (PRODUCT, "size: 0x40000", "size: 0x20000", "memory: code 0x08000000..0x0803dfff lies outside the flash"),
        (PRODUCT, "file: endnode-wle5.hex", "file: ../x.hex", "image.file: it should match pattern"),
        (PRODUCT, "limits: [1, null]", "limits: [1]", "image_bytes.limits: the list ends too early"),
        (
            PRODUCT,
            "limits: [1, null]",
            "limits: 1",
            "plan.1.measurements.image_bytes.limits: it should be a valid list",
        ),
        (PRODUCT, "limits: [1, null]", "limits: [null, null]", "limits of [null, null] accept everything"),
        (PRODUCT, "limits: [1, null]", "limits: [2, 1]", "the low limit 2 is above the high limit 1"),
        (PRODUCT, "limits: [1, null]", "limits: [.nan, 1]", "limits.0: it should be a finite number"),
        (
            PRODUCT,
            "equals: 256",
            "limits: [1, 2]\n        equals: 256",
            "give either `limits: [low, high]` or `equals: v",
        ),
        (
            PRODUCT,
            "unit: KiB",
            "units: KiB",
            "unknown key 'units' in plan.0.measurements.flash_size; known keys: equals,",
        ),
        (PRODUCT, "test_20_flash::", "test_20_flash:", "plan.1.test: it should match pattern"),
        (
            PRODUCT,
            "title: Counters",
            "tilte: Counters",
            "unknown key 'tilte' in plan.3; known keys: measurements, test, ti",
        ),
        (
            PRODUCT,
            "test_20_flash::test_image_and_identity_are_written",
            "test_10_connect::test_the_right_chip_answers",
            "the plan has test_10_connect::test_the_right_chip_answers twice",
        ),
        (PRODUCT, "image_bytes:", "image bytes:", "measurement 'image bytes' is named with letters, digits and _ only"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_place(root: Path, file: str, old: str, new: str, sentence: str) -> None:
    """File, line, key, and what is allowed there."""
    spoil(root, file, old, new)
    said = refusal(root)
    assert reads_like(said, sentence), said
    assert file in said


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("{driver: prompt, timeout_s: 300}", "{driver: camera}", "stations/A.yaml:*: the manual jig has no camera"),
        ("{public_key: stations/vault.pub}", "{demo: true}", "the demo vault is for virtual boards only"),
        (
            "stations/vault.pub",
            "stations/gone.pub",
            "stations/gone.pub does not exist; make it with `lorafab vault init`",
        ),
        (
            "dev_nonce:",
            "devnonce:",
            "unknown measurement 'devnonce' in limits; known measurements with limits: bytes",
        ),
        ("dev_nonce:", "selftest_ram:", "measurement selftest_ram must equal OK; it has no limits"),
        ("[0, 200]", "[500]", "limits.dev_nonce: the list ends too early, it should go on"),
        ("driver: manual", "driver: virtual\n#", "stations/A.yaml"),
    ],
)
def test_what_only_shows_together(root: Path, old: str, new: str, sentence: str) -> None:
    """Files that are right alone may be wrong together: the sentence points into the station file."""
    spoil(root, A, old, new)
    said = refusal(root, "A")
    assert reads_like(said, sentence), said


def test_two_drivers_on_one_port_are_refused(root: Path) -> None:
    """Also when the port has two names."""
    (root / "ttyX").write_text("")
    (root / "by-path").symlink_to("ttyX")
    port = '"/dev/serial/by-path/pci-0000:00:14.0-usb-0:1.2:1.0-port0"'
    spoil(root, A, port, f'"{root}/by-path"')
    spoil(root, A, "{driver: prompt, timeout_s: 300}", f'{{driver: serial, port: "{root}/ttyX"}}')
    assert f"scanner.port is link.port ({root}/ttyX); give each driver its own port" in refusal(root, "A")


def test_all_mistakes_of_a_file_are_told_at_once(root: Path) -> None:
    """In the order of the file, one a line, after a line that counts them."""
    spoil(root, SIM, "driver: virtual", "driver: robot")
    spoil(root, SIM, "port:", "prot:")
    spoil(root, SIM, "driver: tinydb", "driver: tiny")
    lines = refusal(root).splitlines()
    assert lines[0] == "stations/sim.yaml has 4 mistakes; correct them and start again:"
    assert [line.split(":")[1] for line in lines[1:]] == ["6", "9", "9", "11"]


def test_production_lots_and_virtual_boards_do_not_meet(root: Path) -> None:
    """Real DevEUIs are not spent on boards that do not exist."""
    spoil(root, LOT, "kind: demo", "kind: production")
    spoil(root, LOT, "ledger: null", "ledger: L1")
    assert "lot demo is of kind production, but virtual boards take only lots of kind demo" in refusal(root)


def test_ports_of_the_data_folder_are_for_virtual_boards(root: Path) -> None:
    """A real station names a device; `{data}` is filled in for the others."""
    spoil(root, A, "/dev/serial/by-path/pci-0000:00:14.0-usb-0:1.2:1.0-port0", "{data}/x")
    assert "ports in {data}/ are for virtual boards" in refusal(root, "A")
    assert resolve_port("{data}/virtual/jig0.uart", Path("/tmp/d")) == "/tmp/d/virtual/jig0.uart"
    assert resolve_port("/dev/ttyS0", Path("/tmp/d")) == "/dev/ttyS0"


def test_a_lot_of_another_product_is_refused(root: Path) -> None:
    """The sentence names both files."""
    spoil(root, LOT, "product: endnode-wle5", "product: other")
    assert refusal(root).startswith(
        "stations/sim.yaml:4:1: product is endnode-wle5, but lot demo is of other (stations/lots/demo.yaml:3:1)"
    )


@pytest.mark.parametrize("name", ["../A", "a/b", "", ".", "x" * 33, "A\n", "/etc/passwd", "-rf", "Ä"])
def test_a_station_is_a_name_and_never_a_path(root: Path, name: str) -> None:
    """Nothing outside of stations/ is ever opened."""
    assert "not a path" in refusal(root, name)


def test_an_unknown_station_lists_the_known_ones(root: Path) -> None:
    """The operator picks from what exists."""
    assert refusal(root, "B") == "there is no station B; known stations: A, sim"


def test_mistakes_never_repeat_values(root: Path) -> None:
    """A value in the wrong place may be a password."""
    spoil(root, SIM, "115200", '"hunter2"')
    assert "hunter2" not in refusal(root)


def test_a_lot_knows_its_labels(root: Path) -> None:
    """Each label of the lot is a valid label of its own, and nothing outside is of the lot."""
    lot = load_lot(root, "demo")
    texts = [lot.label_text(index) for index in (0, 1, 4999)]
    assert [lot.index_of(parse_label(text).dev_eui) for text in texts] == [0, 1, 4999]
    assert [parse_label(text).serial for text in texts] == ["LF00000001", "LF00000002", "LF00005000"]
    first = lot.dev_eui.first.value
    assert lot.index_of(Eui64(first - 1)) is None
    assert lot.index_of(Eui64(first + 5000)) is None
    for index in (-1, 5000):
        with pytest.raises(IndexError, match="labels 0 to 4999"):
            lot.label_text(index)


def test_the_shipped_schema_is_the_models() -> None:
    """Editors complete station files from stations/station.schema.json; write it again when the model changes."""
    shipped = json.loads((PROJECT / "stations" / "station.schema.json").read_text())
    assert shipped == station_schema()
