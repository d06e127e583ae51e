"""lorafab.config.load: a station starts with files that fit each other, or says what is wrong with them."""

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.config.load import (
    LineConfig,
    load_lot,
    load_lots,
    load_station,
    lot_names,
    product_names,
    resolve_port,
    station_names,
)
from lorafab.config.models import Serials, station_schema
from lorafab.domain.identity import Eui64
from lorafab.domain.label import parse_label
from lorafab.domain.measurement import Spec
from lorafab.domain.memory_map import Span
from lorafab.errors import ConfigError
from lorafab.targets import MCUS

PROJECT = Path(__file__).parents[2]
SIM = "stations/sim.yaml"
A = "stations/A.yaml"
LOT = "stations/lots/demo.yaml"
PRODUCT = "firmware/endnode-wle5/product.yaml"
CHIPS = ('source: label\n  first: "024C464200000001"', 'source: chip\n  prefix: "0080E115"')
"""In the demo lot: DevEUIs of labels, and DevEUIs of chips in their place."""


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


def another_lot(root: Path, name: str, *changes: str, prefix: str = "LF") -> str:
    """The demo lot under another name: ``changes`` are old and new texts in turn."""
    file = f"stations/lots/{name}.yaml"
    shutil.copy(root / LOT, root / file)
    for old, new in [("lot: demo", f"lot: {name}"), ("prefix: LF", f"prefix: {prefix}")]:
        spoil(root, file, old, new)
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        spoil(root, file, old, new)
    return file


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
    memory = line.product.memory.memory_map(MCUS["stm32wle5jc"].areas)
    assert memory.identity == Span(0x0803E800, 0x800)
    assert memory.reserved["NVM region"] == Span(0x0803F000, 0x1000)


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
    another_lot(root, "other", '"024C464200000001"', '"024C464200010001"', prefix="LO")
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
        (SIM, "driver: tinydb", "driver: sqlite", "store has an unknown driver 'sqlite'; known drivers: tinydb, postg"),
        (SIM, "{driver: tinydb}", "tinydb", "stations/sim.yaml:11:1: store: it should be a valid map"),
        (
            SIM,
            "{driver: tinydb}",
            '{driver: postgresql, dsn: "postgresql://lorafab:hunter2@db/line"}',
            "unknown key 'dsn' in store; known keys: driver, dsn_env",
        ),
        (
            SIM,
            "{driver: tinydb}",
            '{driver: postgresql, dsn_env: "postgresql://lorafab:hunter2@db/line"}',
            "store.dsn_env: it should match pattern",
        ),
        (
            SIM,
            "{driver: camera}",
            "{driver: folder}",
            "stations/sim.yaml:10:1: key 'folder' is missing in scanner; add it",
        ),
        (
            SIM,
            "{driver: camera}",
            "{driver: folder, folder: in, timeout_s: 0}",
            "scanner.timeout_s: it should be greater than 0",
        ),
        (SIM, "lot: demo", "", "stations/sim.yaml:3:1: key 'lot' is missing; add it"),
        (SIM, "115200", '"115200"', "link.baud: it should be a valid integer"),
        (SIM, "115200", "yes", "link.baud: it should be a valid integer"),
        (SIM, "swd_khz: 4000", "swd_khz: 1", "programmer.swd_khz: it should be greater than or equal to 10"),
        (SIM, "station: sim", "station: A", "stations/sim.yaml:3:1: station says A, but the file is sim's"),
        (SIM, "lot: demo", "lot: ../lots/demo", "lot: it should match pattern"),
        (SIM, "lot: demo", "lot: gone", "stations/sim.yaml:5:1: there is no lot gone; known lots: demo"),
        (
            SIM,
            "product: null",
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
        (LOT, "digits: 8", "digits: 3", "5000 boards from number 1 on need more than 3 digits of serial"),
        (LOT, "digits: 8", "digits: 15", "serials would have 17 characters, the identity block holds 16"),
        (LOT, "region: EU868", "region: EU869", "region 'EU869' is unknown; known regions: AS923, AU915, *"),
        (LOT, 'lorawan: "1.0.4"', "lorawan: 1.0", "lorawan: it should be '1.0.2', '1.0.3', '1.0.4' or '1.1'"),
        (LOT, "quantity: 5000", "quantity: 0", "dev_eui.quantity: it should be greater than or equal to 1"),
        (LOT, "digits: 8", "digits: 8, first: 99995001", "5000 boards from number 99995001 on need more than 8 digits"),
        (LOT, "digits: 8", "digits: 8, first: -1", "serial.first: it should be greater than or equal to 0"),
        (
            LOT,
            "source: label",
            "source: counter",
            "dev_eui has an unknown source 'counter'; known sources: label, range, chip, external, secure-element",
        ),
        (
            LOT,
            "  source: label\n",
            "",
            "stations/lots/demo.yaml:7:1: key 'source' is missing in dev_eui; known sources: label, range, *",
        ),
        (LOT, "source: label", "source: chip", "unknown key 'first' in dev_eui; known keys: prefix, quantity, source"),
        (LOT, "first:", "frist:", "unknown key 'frist' in dev_eui; known keys: first, quantity, source"),
        (
            LOT,
            CHIPS[0],
            CHIPS[1].replace('"0080E115"', '"0080E"'),
            "dev_eui.prefix: the beginning of the chips' EUI-64",
        ),
        (LOT, CHIPS[0], CHIPS[1].replace('"0080E115"', "801151"), "dev_eui.prefix: the beginning of the chips' EUI-64"),
        (LOT, "profile:", "symbology: aztec\nprofile:", "symbology: it should be 'qr' or 'datamatrix'"),
        (LOT, "profile:", "label_pattern: '(?P<serial>[0-9'\nprofile:", "label_pattern: *no regular expression"),
        (LOT, "profile:", "label_pattern: '(?P<sn>[0-9]{8})'\nprofile:", "label_pattern: *names a group 'sn'"),
        (LOT, "profile:", "label_pattern: '(?P<dev_eui>([0-9A-F]+)+)'\nprofile:", "label_pattern: *too many ways"),
        (
            LOT,
            "profile:",
            "label_pattern: '(?P<serial>[0-9]{8})'\nprofile:",
            "label_pattern has no group dev_eui, but dev_eui.source is label: the label must name the DevEUI; add",
        ),
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
    """The sentence names both files; a station without a product of its own makes what the lot is of."""
    spoil(root, LOT, "product: endnode-wle5", "product: other")
    assert refusal(root).startswith("stations/lots/demo.yaml:3:1: there is no product other; known products: ")
    spoil(root, SIM, "product: null", "product: endnode-wle5")
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
    labels = [parse_label(text) for text in texts]
    assert [label.dev_eui and lot.index_of(label.dev_eui) for label in labels] == [0, 1, 4999]
    assert [label.serial for label in labels] == ["LF00000001", "LF00000002", "LF00005000"]
    assert [lot.index_of_serial(label.serial or "") for label in labels] == [0, 1, 4999]
    first = 0x024C464200000001
    assert (lot.quantity, lot.dev_eui_of(0), lot.dev_eui_of(4999)) == (5000, Eui64(first), Eui64(first + 4999))
    assert lot.index_of(Eui64(first - 1)) is None
    assert lot.index_of(Eui64(first + 5000)) is None
    assert [lot.index_of_serial(text) for text in ("LF00000000", "LF00005001", "LF1", "", "00000001")] == [None] * 5
    for index in (-1, 5000):
        for ask in (lot.label_text, lot.dev_eui_of, lot.serial_of):
            with pytest.raises(IndexError, match="labels 0 to 4999"):
                ask(index)


@given(
    prefix=st.from_regex(r"[0-9A-Z-]{0,8}", fullmatch=True),
    digits=st.integers(1, 8),
    first=st.integers(0, 10**8),
    index=st.integers(0, 10**6),
)
def test_a_serial_and_its_number_follow_from_each_other(prefix: str, digits: int, first: int, index: int) -> None:
    """For every form that a lot file may ask for; what has more digits than the form is of no lot."""
    serials = Serials(prefix=prefix, digits=digits, first=first)
    text = serials.text(index)
    fits = len(str(first + index)) <= digits
    assert serials.index(text) == (index if fits else None)
    assert serials.index(text + "0") is None
    assert serials.index("٣" * len(text)) is None


def test_a_lot_of_chips_prints_serials(root: Path) -> None:
    """Nobody knows the DevEUI of a board that was not made yet; the prefix is hex digits in either case."""
    spoil(root, LOT, CHIPS[0], CHIPS[1].replace("0080E115", "0080e1151"))
    lot = load_lot(root, "demo")
    assert lot.label_text(0) == lot.serial_of(0) == "LF00000001"
    assert (lot.dev_eui_of(0), lot.quantity) == (None, 5000)
    assert lot.index_of(Eui64(0x0080E11510000000)) is None
    assert lot.dev_eui.values == range(0x0080E11510000000, 0x0080E11520000000)


@pytest.mark.parametrize(
    ("prefix", "digits", "taken"), [("F", 15, False), ("", 16, False), ("G", 15, True), ("F", 14, True)]
)
def test_a_serial_that_reads_as_a_dev_eui_is_refused(root: Path, prefix: str, digits: int, taken: bool) -> None:
    """16 hex digits alone on a label have another meaning; beside a DevEUI they may stand."""
    spoil(root, LOT, "{prefix: LF, digits: 8}", f'{{prefix: "{prefix}", digits: {digits}}}')
    load_lot(root, "demo")
    spoil(root, LOT, "source: label", "source: range")
    if taken:
        load_lot(root, "demo")
    else:
        assert f"a serial like {prefix}{1:0{digits}} alone on a label reads as a DevEUI; give it" in refusal(root)


# --- lots among each other ---


@pytest.mark.parametrize(
    ("first", "quantity", "overlaps"),
    [
        (0x024C464200000001 - 10, 10, False),
        (0x024C464200000001 - 10, 11, True),
        (0x024C464200000001 + 7, 1, True),
        (0x024C464200000001 + 4999, 1, True),
        (0x024C464200000001 + 5000, 1, False),
        (0x024C464200000001 - 10, 10000, True),
    ],
)
def test_a_dev_eui_is_of_one_lot(root: Path, first: int, quantity: int, overlaps: bool) -> None:
    """Two lots with a DevEUI in common would be two boards with one name: both files and lines are named."""
    changes = ('"024C464200000001"', f'"{first:016X}"', "quantity: 5000", f"quantity: {quantity}")
    another_lot(root, "other", *changes, prefix="LO")
    if not overlaps:
        assert [lot.lot for lot in load_lots(root)] == ["demo", "other"]
        assert load_lot(root, "other").quantity == load_station(root, "sim", "other").lot.quantity == quantity
        return
    said = refusal(root)
    assert said == (
        "stations/lots/demo.yaml:7:1: dev_eui: 024C464200000001 to 024C464200001388 of lot demo overlap "
        f"{first:016X} to {first + quantity - 1:016X} of lot other (stations/lots/other.yaml:7:1), wanted each DevEUI "
        "in one lot; change one of the two"
    )
    for load in (lambda: load_lot(root, "demo"), lambda: load_lots(root)):
        with pytest.raises(ConfigError) as caught:
            load()
        assert str(caught.value) == said


@pytest.mark.parametrize(
    ("other", "overlaps"),
    [
        ("{prefix: LF, digits: 8}", True),
        ("{prefix: LF, digits: 8, first: 5000}", True),
        ("{prefix: LF, digits: 8, first: 5001}", False),
        ("{prefix: LF, digits: 9}", False),
        ("{prefix: LG, digits: 8}", False),
        ("{prefix: LF0, digits: 7, first: 4000}", True),
        ("{prefix: LF1, digits: 7, first: 4000}", False),
    ],
)
def test_a_serial_is_of_one_lot_of_its_product(root: Path, other: str, overlaps: bool) -> None:
    """Also where prefix and digits are divided differently."""
    file = another_lot(root, "other", '"024C464200000001"', '"024C464200010001"')
    spoil(root, file, "{prefix: LF, digits: 8}", other)
    if not overlaps:
        assert len(load_lots(root)) == 2
        return
    said = refusal(root)
    assert said.startswith("stations/lots/demo.yaml:11:1: serial: LF00000001 to LF00005000 of lot demo overlap LF0000")
    assert said.endswith(
        "of lot other (stations/lots/other.yaml:11:1), wanted each serial in one lot; change prefix or first of one of "
        "the two"
    )
    spoil(root, file, "product: endnode-wle5", "product: other")
    assert len(load_lots(root)) == 2, "serials of another product are other serials"
    for lot in (LOT, file):
        spoil(root, lot, "source: label", "source: range")
    assert " overlap " in refusal(root), "unless the label is the serial alone"


def test_numbers_that_chips_may_have_are_given_to_no_label(root: Path) -> None:
    """But two lots of one family of chips are told apart by the chips themselves."""
    file = another_lot(root, "other", *CHIPS, prefix="LC")
    another_lot(root, "third", *CHIPS, prefix="LT")
    assert len(load_lots(root)) == 3
    spoil(root, file, '"0080E115"', '"024C46"')
    assert (
        "024C464200000001 to 024C464200001388 of lot demo overlap 024C460000000000 to 024C46FFFFFFFFFF of lot other"
    ) in refusal(root)


def test_only_the_lots_that_overlap_are_stopped(root: Path) -> None:
    """A third one goes on; the list of all lots does not."""
    for name in ("a", "b"):
        another_lot(root, name, '"024C464200000001"', '"024C464200010001"', prefix=f"L{name.upper()}")
    assert load_station(root, "sim").lot.lot == "demo"
    with pytest.raises(ConfigError, match=r"stations/lots/a\.yaml:7:1: .* of lot b \(stations/lots/b\.yaml:7:1\)"):
        load_lots(root)


def test_a_lot_file_that_cannot_be_read_stops_all_of_them(root: Path) -> None:
    """Its numbers might be this lot's: the sentence names that file."""
    file = another_lot(root, "other", "quantity: 5000", "quantity: many")
    assert refusal(root) == f"{file}:10:3: dev_eui.quantity: it should be a valid integer"


def test_a_lot_whose_numbers_come_with_a_secure_element_needs_a_product_that_has_one(root: Path) -> None:
    """The lot's file is right; this product keeps its identity elsewhere."""
    spoil(root, LOT, CHIPS[0], CHIPS[1].replace("source: chip", "source: secure-element"))
    assert load_lot(root, "demo").dev_eui.source == "secure-element"
    assert refusal(root) == (
        "stations/sim.yaml:5:1: lot demo has dev_eui.source secure-element (stations/lots/demo.yaml:8:3), but "
        "endnode-wle5 keeps its identity in the store flash; choose the other source or the other product"
    )


# --- stores, vaults, scanners ---


@pytest.mark.parametrize(
    ("store", "variable"),
    [("{driver: postgresql}", "LORAFAB_DSN"), ("{driver: postgresql, dsn_env: LINE_2}", "LINE_2")],
)
def test_the_connection_string_stays_in_the_environment(root: Path, store: str, variable: str) -> None:
    """A station file names the variable; a password in it is refused without being shown (see above)."""
    spoil(root, A, "{driver: tinydb}", store)
    found = load_station(root, "A").station.store
    assert found.driver == "postgresql"
    assert found.dsn_env == variable


def test_an_escrow_key_is_a_file_like_the_public_key(root: Path) -> None:
    """Missing ones are told together; the mirror's disk may be mounted later."""
    mirror = "mirror: /mnt/second-disk/lorafab"
    spoil(root, A, "public_key: stations/vault.pub", f"public_key: gone.pub, escrow_key: stations/escrow.pub, {mirror}")
    lines = refusal(root, "A").splitlines()
    assert lines[0] == "stations/A.yaml has 2 mistakes; correct them and start again:"
    assert "gone.pub does not exist; make it with `lorafab vault init` or name another" in lines[1]
    assert "stations/escrow.pub does not exist; make it with `lorafab vault init` or name another" in lines[2]
    for name in ("gone.pub", "stations/escrow.pub"):
        (root / name).write_text("made by lorafab vault init")
    vault = load_station(root, "A").station.vault
    assert (vault.escrow_key, vault.mirror) == ("stations/escrow.pub", "/mnt/second-disk/lorafab")


def test_a_folder_of_pictures_is_a_scanner(root: Path) -> None:
    """With a time after which nobody waits any more."""
    spoil(root, A, "{driver: prompt, timeout_s: 300}", "{driver: folder, folder: pictures}")
    scanner = load_station(root, "A").station.scanner
    assert scanner.driver == "folder"
    assert (scanner.folder, scanner.timeout_s) == ("pictures", 60.0)


def test_the_shipped_schema_is_the_models() -> None:
    """Editors complete station files from stations/station.schema.json; write it again when the model changes."""
    shipped = json.loads((PROJECT / "stations" / "station.schema.json").read_text())
    assert shipped == station_schema()
