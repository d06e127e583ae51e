"""A board with a secure element, from the label to the export: its key is nobody's to write or to prove."""

import csv
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lorafab.config.load import load_station
from lorafab.config.models import ManualJig
from lorafab.domain.record import KeyRecord
from lorafab.errors import ConfigError, LedgerError
from lorafab.report import sections
from lorafab.run.identity_store import check_store
from lorafab.run.recording import recover
from lorafab.run.run import Run
from lorafab.run.station import Options
from tests_unit.cli.answer import Answer, Command
from tests_unit.elements import DEV_EUI, JOIN_EUI, SERIAL, Maker
from tests_unit.fakes import FakeBoard
from tests_unit.line import ROOT, Line, Outcome

OTHER_SERIAL, OTHER_EUI = "01" * 9, "0004A310001AA90B"
OTHER_CHIP = "4C4656420102030405060799"
LOT = "--lot=demo-element"


PRODUCT = """
product: endnode-element
board: "STM32WLE5 end node with an ATECC608-TNGLORA"
mcu: stm32wle5jc
region: EU868
image: {file: ../endnode-wle5/endnode-wle5.hex, product: endnode-wle5, version: "1.0.0", manifest: MANIFEST}
memory:
  flash: {start: 0x08000000, size: 0x40000}
  ram: {start: 0x20000000, size: 0x10000}
  page_size: 0x800
  word_size: 8
  code: {start: 0x08000000, size: 0x3E000}
  nvm: {start: 0x0803F000, size: 0x1000}
  nvm_layout: lorafab-endnode
identity:
  store: secure-element
  element: atecc608-tnglora
  manifest: stations/elements/manifest.json
  signer: stations/elements/log-signer.pem
plan:
  - test: test_10_connect::test_the_right_chip_answers
    title: The right chip answers
    measurements: {flash_size: {unit: KiB, equals: 256}}
  - test: test_20_flash::test_the_image_is_written
    title: The image is written
    measurements: {image_bytes: {unit: B, limits: [1, null]}, bytes_verified: {unit: B, limits: [1, null]}}
  - test: test_30_keys::test_the_element_is_genuine
    title: The secure element is genuine
    measurements:
      key_evidence: {equals: unproven, why: the element keeps its key to itself; a join will prove it}
  - test: test_40_counters::test_counters_are_kept
    title: Counters are kept
    measurements: {dev_nonce: {limits: [0, 65000]}, dev_nonce_gained: {limits: [1, null]}}
"""

LOT_FILE = """
lot: demo-element
product: endnode-element
kind: demo
join_eui: "70B3D57ED0000000"
ledger: null
dev_eui: {source: secure-element, prefix: "0004A310", quantity: 5000}
serial: {prefix: LS, digits: 8}
lorawan: "1.0.4"
region: EU868
activation: OTAA
"""


def answer(serial: str = SERIAL, dev_eui: str = DEV_EUI, join_eui: str = JOIN_EUI) -> list[str]:
    return [f"se_serial={serial.upper()}", f"dev_eui={dev_eui}", f"join_eui={join_eui}", "OK"]


@pytest.fixture
def elements(line: Line) -> Line:
    """A line with a manifest of two elements, and one of them on the board."""
    (line.root / "firmware" / "endnode-element").mkdir()
    (line.root / "firmware" / "endnode-element" / "product.yaml").write_text(PRODUCT)
    (line.root / "stations" / "lots" / "demo-element.yaml").write_text(LOT_FILE)
    folder = line.root / "stations" / "elements"
    folder.mkdir()
    maker = Maker()
    entries = maker.chip_entry(), maker.chip_entry(OTHER_SERIAL, OTHER_EUI)
    manifest, signer = maker.write(folder, *entries)
    signer.rename(folder / "log-signer.pem")
    assert manifest.name == "manifest.json"
    line.board.answers["SE?"] = answer()
    return line


@pytest.fixture
def quiet(lorafab: Command, capsys: pytest.CaptureFixture[str]) -> Command:
    """`lorafab ...`, without what runs have printed before."""

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        return lorafab(*arguments)

    return run


def passed(line: Line, *arguments: str) -> Outcome:
    made = line.produce(LOT, *arguments)
    assert made.status == 0, made.out + made.err
    return made


def test_a_board_with_an_element_passes_and_its_key_is_unproven(elements: Line, quiet: Command) -> None:
    """In the record, the ledger and the report; and no key was drawn or written."""
    made = passed(elements)
    assert made.last.startswith(f"lorafab: PASS {DEV_EUI} ")
    record = made.record
    assert record is not None
    assert record.keys == KeyRecord(generation=0, kcv_app=None, kcv_nwk=None, evidence="unproven")
    assert (record.dev_eui, record.join_eui, record.serial) == (DEV_EUI, JOIN_EUI, "LS00000001")
    told = quiet("ledger", "show", "LS00000001", f"--root={elements.root}", "--json").document
    assert (told["dev_eui"], told["state"], told["key_evidence"]) == (DEV_EUI, "passed", "unproven")
    assert (told["generations"], told["proven"], told["written"]) == ([], None, 0)
    shown = quiet("ledger", "show", "LS00000001", f"--root={elements.root}").out
    assert "key_evidence: unproven\n" in shown
    assert "the secure element's own key, unproven until a join" in sections.cards(record, (), None)
    assert not any((elements.root / "data" / "vault").glob("*.json"))
    assert quiet("ledger", "check", f"--root={elements.root}", "--json").document["problems"] == []


def test_the_same_board_again_is_its_second_attempt(elements: Line) -> None:
    """It stays what it is: same DevEUI, no key; a board that was written anew must pass anew."""
    passed(elements)
    elements.board.answers["SE?"] = answer(join_eui="70B3D57ED0000001")
    failed = elements.produce(LOT)
    assert failed.status == 1
    ledger = elements.opened[-1].ledger
    claim = ledger.find(DEV_EUI)
    assert claim is not None
    assert (claim["state"], claim["key_evidence"]) == ("reserved", None)
    elements.board.answers["SE?"] = answer()
    again = passed(elements)
    assert again.record is not None
    claim = ledger.find(DEV_EUI)
    assert claim is not None
    assert (claim["state"], claim["attempts"], again.record.attempt) == ("passed", 2, 2)


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        (["ERR no element"], 1, "the board answers SE? with 'ERR no element', wanted OK"),
        (answer("02" * 9), 1, "is not on the manifest manifest.json, which has 2 others"),
        (answer(dev_eui=OTHER_EUI), 1, f"says DevEUI {OTHER_EUI}, wanted {DEV_EUI} as its maker signed"),
        (answer(join_eui="00005EEF10000001"), 1, f"has JoinEUI 00005EEF10000001, wanted {JOIN_EUI} of the lot"),
    ],
)
def test_a_board_with_the_wrong_element_fails_and_is_not_claimed(
    elements: Line, said: list[str], status: int, words: str
) -> None:
    """FAIL, with the sentence; the ledger gives nothing away."""
    elements.board.answers["SE?"] = said
    made = elements.produce(LOT)
    assert made.status == status
    assert made.record is not None
    assert words in made.record.cause
    assert elements.opened[-1].ledger.is_empty


def damage(root: Path) -> str:
    path = root / "stations" / "elements" / "manifest.json"
    path.write_text(path.read_text().replace(SERIAL, "0123114e171b98b426"))
    return "the manifest manifest.json is not to be trusted: entry 1 fails the check of its uniqueId"


def another_signer(root: Path) -> str:
    Maker().write(root, 0)[1].replace(root / "stations" / "elements" / "log-signer.pem")
    return "the manifest manifest.json is not to be trusted: entry 1 fails the check of its kid"


@pytest.mark.parametrize("forge", [damage, another_signer])
def test_a_forged_manifest_stops_the_line_and_not_the_board(elements: Line, forge: Callable[[Path], str]) -> None:
    """ERROR: this board may be good; it is not claimed."""
    words = forge(elements.root)
    made = elements.produce(LOT)
    assert made.status == 3
    assert made.record is not None
    assert (made.record.code, words in made.record.cause) == ("MANIF", True)
    assert elements.opened[-1].ledger.is_empty


def test_a_forged_manifest_does_not_take_away_that_a_board_has_passed(elements: Line) -> None:
    """The station is at fault; only a refused element is the board's."""
    passed(elements)
    damage(elements.root)
    assert elements.produce(LOT).status == 3
    claim = elements.opened[-1].ledger.find(DEV_EUI)
    assert claim is not None
    assert (claim["state"], claim["attempts"]) == ("passed", 1)


def test_a_manifest_that_is_no_json_stops_before_anything_is_written(elements: Line) -> None:
    """The flash is as it was."""
    (elements.root / "stations" / "elements" / "manifest.json").write_text("[")
    before = bytes(elements.board.flash)
    assert elements.produce(LOT).status == 3
    assert bytes(elements.board.flash) == before


@pytest.mark.parametrize("key", ["manifest", "signer"])
def test_a_missing_file_is_a_usage_error(elements: Line, key: str) -> None:
    """Before any hardware is touched, with file, line and key."""
    config = load_station(elements.root, "sim", "demo-element")
    check_store(config)
    product = elements.root / "firmware" / "endnode-element" / "product.yaml"
    product.write_text(re.sub(f"{key}: stations/elements/[a-z.-]+", f"{key}: none.json", product.read_text()))
    with pytest.raises(
        ConfigError, match=rf"^firmware/endnode-element/product.yaml:\d+:\d+: identity.{key}: none.json "
    ):
        check_store(load_station(elements.root, "sim", "demo-element"))


def test_a_manifest_beside_virtual_boards_is_not_for_real_ones(elements: Line) -> None:
    """It is written by whoever makes a virtual board, and signed with a key that everybody knows."""
    product = elements.root / "firmware" / "endnode-element" / "product.yaml"
    product.write_text(product.read_text().replace("manifest: stations/elements/manifest.json", 'manifest: "{data}/x"'))
    config = load_station(elements.root, "sim", "demo-element")
    check_store(config)
    real = config.station.model_copy(update={"jig": ManualJig(driver="manual")})
    with pytest.raises(ConfigError, match=re.escape("files in {data}/ are for virtual boards; name the maker's")):
        check_store(dataclasses.replace(config, station=real))


def test_one_element_is_on_one_board(elements: Line) -> None:
    """The same element on another chip, or another element on the same chip: refused, naming the earlier run."""
    first = passed(elements)
    assert first.record is not None
    elements.board = FakeBoard(chip_id=OTHER_CHIP, answers={"SE?": answer()})
    moved = elements.produce(LOT, "--label=LS00000002")
    assert moved.status == 1
    assert f"(DevEUI {DEV_EUI}) belongs to chip" in moved.out
    assert f"since run {first.record.run}" in moved.out
    elements.board = FakeBoard(answers={"SE?": answer(OTHER_SERIAL, OTHER_EUI)})
    swapped = elements.produce(LOT, "--label=LS00000003")
    assert swapped.status == 1
    assert f"belongs to DevEUI {DEV_EUI}" in swapped.out


def test_a_board_whose_element_was_exchanged_is_not_exported_by_its_old_one(elements: Line) -> None:
    """The chip is here, and what it had passed with is not; elsewhere the element alone takes nothing from it."""
    passed(elements)
    board = elements.board
    elements.board = FakeBoard(chip_id=OTHER_CHIP, answers={"SE?": answer()})
    assert elements.produce(LOT, "--label=LS00000002").status == 1
    claim = elements.opened[-1].ledger.find(DEV_EUI)
    assert claim is not None
    assert claim["state"] == "passed"
    elements.board = board
    board.answers["SE?"] = answer(OTHER_SERIAL, OTHER_EUI)
    swapped = elements.produce(LOT, "--label=LS00000003")
    assert f"belongs to DevEUI {DEV_EUI}" in swapped.out
    claim = elements.opened[-1].ledger.find(DEV_EUI)
    assert claim is not None
    assert claim["state"] == "reserved"


def test_a_label_with_the_dev_eui_must_be_the_elements(elements: Line) -> None:
    """It is known before the element is; another one's label is FAIL."""
    wrong = elements.produce(LOT, f"--label={OTHER_EUI}")
    assert wrong.status == 1
    assert f"the label names DevEUI {OTHER_EUI}, but the chip under it has {DEV_EUI}" in wrong.out
    assert passed(elements, f"--label={DEV_EUI}").last.startswith(f"lorafab: PASS {DEV_EUI} ")


@pytest.mark.parametrize("asked", [True, False])
def test_a_killed_run_is_recorded_under_the_elements_dev_eui(elements: Line, asked: bool) -> None:
    """From the moment in which the element was asked for it; before, nobody knows it. Its key is unproven, too."""
    config, options = load_station(elements.root, "sim", "demo-element"), Options(operator="Eve")
    station = elements.open_station(config, elements.root, elements.root / "data", options, elements.clock)
    run = Run(station, "run-1", elements.clock.now())
    run.begin()
    _ = run.chip
    elements.board.running = True
    if asked:
        assert run.assignment.to_write is None
    run.leave()
    [record] = [found.record for found in recover(station, run.records) if found.record]
    assert (record.verdict, record.dev_eui) == ("INTERRUPTED", DEV_EUI if asked else None)
    unproven = KeyRecord(generation=0, kcv_app=None, kcv_nwk=None, evidence="unproven")
    assert record.keys == (unproven if asked else None)


def test_a_run_that_was_killed_behind_its_record_is_completed_unproven(
    elements: Line, quiet: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start tells the ledger what the record says."""

    def killed(*_: object) -> None:
        raise LedgerError("the ledger is out of reach")

    with monkeypatch.context() as patch:
        patch.setattr("lorafab.stores.tiny_ledger.TinyLedger.mark_passed", killed)
        assert elements.produce(LOT).status == 3
    assert elements.produce(LOT, "--label=LS00009999").status == 3
    told = quiet("ledger", "show", DEV_EUI, f"--root={elements.root}", "--json").document
    assert (told["state"], told["key_evidence"]) == ("passed", "unproven")


def test_what_the_customer_gets(elements: Line, quiet: Command) -> None:
    """Identities without keys where a format allows it; the others refuse the boards by name."""
    passed(elements)
    root, private = elements.root, elements.root / "data" / "vault" / "demo-private.pem"
    given = ["export", "--lot=demo-element", "--demo", f"--root={root}", f"--private={private}", "--plain"]
    formats = {
        "tts-csv": ["--frequency-plan=EU_863_870_TTN"],
        "aws": ["--destination=D", "--device-profile=P", "--service-profile=S"],
        "chirpstack": [f"--application={'0' * 32}", f"--device-profile={'0' * 32}"],
    }
    for name, more in formats.items():
        quiet(*given, f"--format={name}", f"--out={root / 'no'}", *more).refused(
            1, f"{name} demands root keys, and those of 1 board ({DEV_EUI}) lie in their secure elements", "thingpark"
        )
        assert not (root / "no").exists()
    for name, more in {
        "csv": [],
        "thingpark": ["--model=M"],
        "tts-json": ["--frequency-plan=EU_863_870_TTN"],
    }.items():
        told = quiet(*given, f"--format={name}", f"--out={root / name}", *more, "--json").document
        assert (told["boards"], told["re_keyed"]) == (1, [])
    [row] = csv.DictReader((root / "csv").read_text().splitlines())
    assert (row["dev_eui"], row["join_eui"], row["generation"]) == (DEV_EUI, JOIN_EUI, "0")
    assert not {"app_key", "nwk_key", "kcv"} & row.keys()
    assert (root / "thingpark").read_text() == f"CREATE_OTAA,{DEV_EUI},,M,{JOIN_EUI},\n"
    device = json.loads((root / "tts-json").read_text())
    assert device["ids"]["dev_eui"] == DEV_EUI
    assert (device["supports_join"], "root_keys" in device) == (True, False)
    told = quiet("ledger", "show", DEV_EUI, f"--root={root}", "--json").document
    assert (told["state"], told["exported"], told["key_evidence"]) == ("exported", 0, "unproven")
    blocked = elements.produce(LOT)
    assert blocked.status == 1
    assert f"DevEUI {DEV_EUI} is exported" in blocked.out


def test_the_virtual_elements_signer_is_not_for_real_boards(elements: Line) -> None:
    """Its key is written in this project for everybody to see."""
    shipped = ROOT / "firmware" / "endnode-wle5-element" / "virtual-signer.pem"
    (elements.root / "stations" / "elements" / "log-signer.pem").write_bytes(shipped.read_bytes())
    config = load_station(elements.root, "sim", "demo-element")
    check_store(config)
    real = config.lot.model_copy(update={"kind": "production"})
    with pytest.raises(
        ConfigError, match=r"log-signer\.pem is the virtual elements', whose key everybody has, and lot"
    ):
        check_store(dataclasses.replace(config, lot=real))
