"""lorafab.cli: the documents, the sentences and the exit statuses that scripts rely on."""

import io
import json
import shutil
from pathlib import Path
from typing import get_args

import pytest

from lorafab import cli
from lorafab.config.load import load_lot
from lorafab.domain.identity import Eui64
from lorafab.domain.label import checksum, parse_label
from lorafab.drivers.clock import SystemClock
from lorafab.interfaces import ClaimRequest, SealedBox, SealedKey
from lorafab.steps.label import identify, read_label
from lorafab.stores.claims import State
from lorafab.stores.records import RecordStore
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.virtual.label_picture import draw_label
from tests_unit.cli.answer import Command
from tests_unit.report.samples import passed

ROOT = Path(__file__).resolve().parents[1]
LOT = load_lot(ROOT, "demo")
LABEL = LOT.label_text(0)
CHIP = "4C4656420102030405060708"


@pytest.fixture
def on(lorafab: Command, tmp_path: Path) -> Command:
    """`lorafab ... --json` on this project's files and a data folder of the test's own."""
    return lambda *arguments: lorafab(*arguments, "--json", f"--root={ROOT}", f"--data={tmp_path / 'data'}")


@pytest.fixture
def ledger(tmp_path: Path) -> TinyLedger:
    """A ledger in that data folder."""
    return TinyLedger.create(tmp_path / "data", SystemClock())


def claim(ledger: TinyLedger, number: int = 0) -> Eui64:
    """Give a label of the lot to a chip, with a sealed key."""
    label, dev_eui = parse_label(LOT.label_text(number)), LOT.dev_eui_of(number)
    assert dev_eui is not None
    ledger.claim(
        ClaimRequest(
            dev_eui=dev_eui,
            join_eui=LOT.join_eui,
            serial=label.serial or "",
            label=label.text_redacted,
            chip_id=f"{int(CHIP, 16) + number:024X}",
            lot="demo",
            run=f"run-{number}",
            station="A",
            operator="Eve",
        )
    )
    key = SealedKey("appkey", f"{number:016X}", (SealedBox("0123456789abcdef", "U0VDUkVUQk9Y"),))
    ledger.add_key(dev_eui, 1, [key], f"run-{number}")
    return dev_eui


# --- usage ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("NOUN", "--help")),
        (("paint",), ("'paint'", "label", "--help")),
        (("label",), ("VERB",)),
        (("label", "eat", "x"), ("'eat'", "parse")),
        (("label", "parse"), ("text",)),
        (("label", "parse", "x", "--jsonn"), ("--jsonn",)),
        (("vault", "init"), ("--private",)),
    ],
)
def test_a_command_that_does_not_exist_is_status_4(
    lorafab: Command, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """With what is possible, or how to ask for it."""
    lorafab(*arguments).refused(4, *words)


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """It names all nouns."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for noun in ("label", "lot", "ledger", "vault", "report", "station", "probes"):
        assert noun in text


# --- label ---

LABEL_FIELDS = [
    "format",
    "join_eui",
    "dev_eui",
    "vendor_id",
    "vendor_profile_id",
    "owner_token",
    "serial",
    "proprietary",
    "checksum",
    "checksum_ok",
    "text_redacted",
]


def test_label_parse_prints_the_contracts_document(lorafab: Command) -> None:
    """These fields, EUIs as 16 upper-case hex digits, absent values null."""
    document = lorafab("label", "parse", LABEL, "--json").document
    assert list(document) == LABEL_FIELDS
    assert document["format"] == "tr005"
    assert (document["join_eui"], document["dev_eui"]) == ("00005EEF10000001", "024C464200000001")
    assert (document["vendor_id"], document["vendor_profile_id"]) == ("FFFF", "0000")
    assert (document["serial"], document["owner_token"], document["proprietary"]) == ("LF00000001", None, None)
    assert (document["checksum"], document["checksum_ok"]) == (LABEL[-4:], True)


def test_a_bare_dev_eui_has_nulls(lorafab: Command) -> None:
    """All fields are there, whatever the label has."""
    document = lorafab("label", "parse", "02-4c-46-42-00-00-00-01", "--json").document
    assert list(document) == LABEL_FIELDS
    assert (document["format"], document["dev_eui"]) == ("dev_eui", "024C464200000001")
    empty = set(LABEL_FIELDS) - {"format", "dev_eui", "text_redacted"}
    assert {document[field] for field in empty} == {None}


def test_without_json_a_person_reads_it(lorafab: Command) -> None:
    """One `key: value` a line, a dash for nothing."""
    lines = lorafab("label", "parse", LABEL).out.splitlines()
    assert "dev_eui: 024C464200000001" in lines
    assert "owner_token: -" in lines


def test_a_dash_reads_the_label_from_stdin(lorafab: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a scanner sends it, with its line end."""
    monkeypatch.setattr("sys.stdin", io.StringIO(LABEL + "\r\n"))
    assert lorafab("label", "parse", "-", "--json").document["dev_eui"] == "024C464200000001"


def test_stdin_that_is_no_text_is_bad_input(lorafab: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture piped into `label parse` is a sentence, not a traceback."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\x89PNG\r\n\xff\xfe"), encoding="utf-8"))
    lorafab("label", "parse", "-", "--json").refused(1)


def test_control_c_is_a_sentence(lorafab: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """As while the command waits for a scanner: no traceback, and no success."""

    class Waiting(io.StringIO):
        def read(self, size: int | None = -1, /) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", Waiting())
    lorafab("label", "parse", "-").refused(1, "a person stopped the command")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_lacks_a_letter_shows_its_number(
    ledger: TinyLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """What was decided is done by then, and a name is no reason for a traceback; JSON stays JSON."""
    dev_eui = claim(ledger)
    ledger.move(dev_eui, "quarantined", reason="Łódź ÿ", operator="Eve")
    show = ["ledger", "show", str(dev_eui), "--history", f"--data={tmp_path / 'data'}"]
    for more in ([], ["--json"]):
        screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr("sys.stdout", screen)
        assert cli.main([*show, *more]) == 0
        screen.seek(0)
        shown = screen.read()
    assert json.loads(shown)["history"][-1]["reason"] == "Łódź ÿ"


def test_a_closed_stdin_is_a_usage_error(lorafab: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a service has it; Python gives it no stream at all."""
    monkeypatch.setattr("sys.stdin", None)
    lorafab("label", "parse", "-", "--json").refused(4, "stdin is closed")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (LABEL[:-4] + ("0000" if LABEL[-4:] != "0000" else "0001"), "checksum"),
        ("", "empty"),
        ("hello", "no form that is known"),
        ("LW:D0:00005EEF10000001", "ends before its DevEUI"),
        ("024C46420000000І", "CYRILLIC"),
    ],
)
def test_a_label_that_is_refused_is_bad_input(lorafab: Command, text: str, word: str) -> None:
    """Status 1 and one sentence, with --json and without."""
    lorafab("label", "parse", text).refused(1, word)
    lorafab("label", "parse", text, "--json").refused(1, word)


def test_a_refused_label_that_may_be_a_key_is_not_repeated(lorafab: Command) -> None:
    """It would stay in the terminal's history."""
    answer = lorafab("label", "parse", "00112233445566778899AABBCCDDEEFF")
    answer.refused(1, "not shown")
    assert "00112233" not in answer.err


@pytest.mark.parametrize("arguments", [("parse", "024C464200000001"), ()])
def test_a_key_in_the_wrong_place_is_not_repeated(lorafab: Command, arguments: tuple[str, ...]) -> None:
    """The label's text was not quoted, or the verb was left out: argparse would show the word."""
    answer = lorafab("label", *arguments, "00112233445566778899AABBCCDDEEFF")
    answer.refused(4, "not shown", "--help")
    assert "00112233" not in answer.err


def test_the_owner_token_is_redacted_in_the_text(lorafab: Command) -> None:
    """The field has it, because it was asked for; the text for logs has not."""
    body = f"LW:D0:{LOT.join_eui}:{LOT.dev_eui_of(0)}:FFFF0000:OTOKEN"
    document = lorafab("label", "parse", f"{body}:C{checksum(body)}", "--json").document
    assert document["owner_token"] == "TOKEN"
    assert "TOKEN" not in document["text_redacted"]


def test_label_decode_reads_a_picture(lorafab: Command, tmp_path: Path) -> None:
    """The same document, and which reader read it."""
    picture = tmp_path / "label.png"
    picture.write_bytes(draw_label(LABEL))
    document = lorafab("label", "decode", str(picture), "--json").document
    assert list(document) == [*LABEL_FIELDS, "reader"]
    assert document["dev_eui"] == "024C464200000001"


def test_a_picture_that_is_none_or_missing_is_bad_input(lorafab: Command, tmp_path: Path) -> None:
    """The sentence says which."""
    lorafab("label", "decode", str(tmp_path / "no.png")).refused(1, "no.png", "No such file")
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    lorafab("label", "decode", str(text)).refused(1)
    with text.open("wb") as file:
        file.truncate(1 << 40)  # sparse; reading all of it would take the computer's memory
    lorafab("label", "decode", str(text)).refused(1, "at most")


@pytest.mark.parametrize(("text", "serial"), [("LR00000007/4726", "LR00000007"), ("LR00000007", "LR00000007")])
def test_a_lots_own_form_of_label_is_read_when_the_lot_is_named(
    lorafab: Command, tmp_path: Path, text: str, serial: str
) -> None:
    """As text and in a picture; without the lot nobody knows what it means."""
    picture = tmp_path / "label.png"
    picture.write_bytes(draw_label(text))
    for command in (("parse", text), ("decode", str(picture))):
        document = lorafab("label", *command, "--lot=demo-range", f"--root={ROOT}", "--json").document
        assert list(document)[: len(LABEL_FIELDS)] == LABEL_FIELDS
        assert (document["format"], document["serial"], document["dev_eui"]) == ("custom", serial, None)
        lorafab("label", *command).refused(1)
        lorafab("label", *command, "--lot=demo", f"--root={ROOT}").refused(1)


def test_a_label_of_another_lot_is_bad_input_when_the_lot_is_named(lorafab: Command) -> None:
    """The sentence names the lot and what it has."""
    lorafab("label", "parse", LABEL, "--lot=demo-range", f"--root={ROOT}").refused(1, "serial LF00000001", "demo-range")


# --- lot ---


def test_lot_show_has_three_labels_that_the_lot_accepts(on: Command, tmp_path: Path) -> None:
    """Different ones, and asking changes nothing on disk."""
    document = on("lot", "show", "demo").document
    assert len({identify(read_label(text, LOT), LOT).dev_eui for text in document["example_labels"]}) == 3
    assert (document["lot"], document["kind"], document["product"]) == ("demo", "demo", "endnode-wle5")
    assert (document["source"], document["quantity"], document["key_slots"]) == ("label", 5000, ["appkey"])
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["demo-range", "demo-chip"])
def test_lot_show_has_examples_for_every_source(on: Command, name: str) -> None:
    """Where the chip decides on the DevEUI, the examples are serials."""
    lot = load_lot(ROOT, name)
    document = on("lot", "show", name).document
    assert document["source"] == name.removeprefix("demo-")
    who = [identify(read_label(text, lot), lot) for text in document["example_labels"]]
    assert [one.serial for one in who] == [lot.serial_of(number) for number in range(3)]
    assert [one.dev_eui for one in who] == [lot.dev_eui_of(number) for number in range(3)]


def test_lot_show_leaves_used_labels_out_and_counts_boards(on: Command, ledger: TinyLedger) -> None:
    """What the ledger gave away is no example any more."""
    for number in (0, 2):
        claim(ledger, number)
    document = on("lot", "show", "demo").document
    assert document["example_labels"] == [LOT.label_text(number) for number in (1, 3, 4)]
    assert document["boards"] == {"reserved": 2}
    assert (document["printed"], document["closed"]) == (5000, False)


def test_lot_show_says_what_was_printed_and_closed(lorafab: Command, ledger: TinyLedger, tmp_path: Path) -> None:
    """Of a lot that is sold; the ledger of another lot is refused, its figures mean nothing."""
    lots = tmp_path / "stations" / "lots"
    lots.mkdir(parents=True)
    text = (ROOT / "stations" / "lots" / "demo.yaml").read_text()
    text = text.replace("lot: demo", "lot: sold").replace("kind: demo", "kind: production")
    show = ("lot", "show", "sold", "--json", f"--root={tmp_path}")
    (lots / "sold.yaml").write_text(text.replace("ledger: null", f"ledger: {ledger.ledger_id}"))
    ledger.note_printed("sold", 12, reason="first sheet", operator="Eve")
    ledger.close_lot("sold", reason="done", operator="Eve")
    document = lorafab(*show).document
    assert (document["printed"], document["closed"], document["boards"]) == (12, True, {})
    assert document["example_labels"] == []  # it accepts none any more
    (lots / "sold.yaml").write_text(text.replace("ledger: null", "ledger: another"))
    lorafab(*show).refused(1, f"lot sold belongs to ledger another, and this one is {ledger.ledger_id}; give --data=")


def test_lot_list_names_them_all(lorafab: Command) -> None:
    """With product, kind, source of the DevEUIs and quantity."""
    document = lorafab("lot", "list", "--json", f"--root={ROOT}").document
    same = {"product": "endnode-wle5", "kind": "demo", "quantity": 5000}
    names = {"demo": "label", "demo-chip": "chip", "demo-range": "range"}
    assert [one["lot"] for one in document] == sorted(file.stem for file in (ROOT / "stations" / "lots").glob("*.yaml"))
    wanted = [{"lot": lot, **same, "source": source} for lot, source in names.items()]
    assert [one for one in document if one["lot"] in names] == wanted


def test_lots_that_overlap_are_status_4(lorafab: Command, tmp_path: Path) -> None:
    """`lot list`, `lot show` and `station check` name both files and both lines."""
    for folder in ("stations", "firmware/endnode-wle5"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("src", "hal"))
    lots = tmp_path / "stations" / "lots"
    (lots / "twin.yaml").write_text((lots / "demo.yaml").read_text().replace("lot: demo", "lot: twin"))
    for command in (("lot", "list"), ("lot", "show", "demo"), ("station", "check", "sim")):
        answer = lorafab(*command, f"--root={tmp_path}")
        assert (answer.status, answer.out) == (4, "")
        assert "stations/lots/demo.yaml has 2 mistakes" in answer.err
        for line in (7, 11):
            assert f"stations/lots/demo.yaml:{line}:1: " in answer.err
            assert f"of lot twin (stations/lots/twin.yaml:{line}:1), wanted each " in answer.err


def test_station_check_says_when_the_chips_have_no_name(lorafab: Command, tmp_path: Path) -> None:
    """A lot of chips, and a product whose chip has no EUI-64."""
    for folder in ("stations", "firmware/endnode-wle5"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("src", "hal"))
    for file, old, new in (
        ("stations/sim.yaml", "lot: demo", "lot: demo-chip"),
        ("firmware/endnode-wle5/product.yaml", "mcu: stm32wle5jc", "mcu: nrf52840"),
    ):
        text = (tmp_path / file).read_text()
        assert old in text
        (tmp_path / file).write_text(text.replace(old, new))
    answer = lorafab("station", "check", "sim", f"--root={tmp_path}")
    answer.refused(4, "demo-chip.yaml:8:3: dev_eui.source", "gives an nrf52840 no EUI-64")


def test_a_project_without_lots_has_an_empty_list(lorafab: Command, tmp_path: Path) -> None:
    """JSON stays JSON."""
    assert lorafab("lot", "list", "--json", f"--root={tmp_path}").document == []
    assert lorafab("lot", "list", f"--root={tmp_path}").out == "none\n"


@pytest.mark.parametrize("name", ["nosuch", "../../etc/passwd", ""])
def test_an_unknown_lot_is_status_4(on: Command, name: str) -> None:
    """Names of lots are no paths."""
    on("lot", "show", name).refused(4, "lot")


# --- ledger ---


def test_ledger_init_makes_one_and_only_one(on: Command, tmp_path: Path) -> None:
    """The id is what a production lot names; the second call changes nothing."""
    first = on("ledger", "init").document["ledger"]
    assert len(first) == 32
    on("ledger", "init").refused(1, "already holds a ledger")
    assert on("ledger", "check").document["ledger"] == first


@pytest.mark.parametrize("verb", [("show", "024C464200000001"), ("list",), ("check",)])
def test_reading_makes_no_ledger(on: Command, tmp_path: Path, verb: tuple[str, ...]) -> None:
    """A second empty ledger would give identities away twice."""
    on("ledger", *verb).refused(1, "there is no ledger", "`lorafab ledger init`")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("key", ["024C464200000001", "024c464200000001", LABEL, CHIP, "LF00000001"])
def test_ledger_show_finds_a_board_by_whatever_is_known_of_it(on: Command, ledger: TinyLedger, key: str) -> None:
    """DevEUI, label, chip id or serial; the sealed key is not shown."""
    claim(ledger)
    answer = on("ledger", "show", key)
    document = answer.document
    assert (document["dev_eui"], document["state"], document["chip_id"]) == ("024C464200000001", "reserved", CHIP)
    assert document["generations"][0]["kcv_app"] == "0000000000000000"
    assert "U0VDUkVUQk9Y" not in answer.out


def test_a_label_with_a_token_finds_its_board(on: Command, ledger: TinyLedger) -> None:
    """The ledger keeps the redacted text; the printed one leads to the same board."""
    claim(ledger)
    body = f"LW:D0:{LOT.join_eui}:{LOT.dev_eui_of(0)}:FFFF0000:OTOKEN"
    assert on("ledger", "show", f"{body}:C{checksum(body)}").document["dev_eui"] == "024C464200000001"


def test_a_label_in_a_lots_own_form_finds_its_board(
    on: Command, lorafab: Command, ledger: TinyLedger, tmp_path: Path
) -> None:
    """The ledger keeps only what the pattern names; without the lot's file nobody can read the label."""
    lot = load_lot(ROOT, "demo-range")
    who = identify(read_label("LR00000007/4726", lot), lot)
    assert who.dev_eui is not None
    ledger.claim(
        ClaimRequest(
            dev_eui=who.dev_eui,
            join_eui=lot.join_eui,
            serial=who.serial,
            label=who.label_text,
            chip_id=CHIP,
            lot=lot.lot,
            run="run-1",
            station="sim",
            operator="Eve",
        )
    )
    assert on("ledger", "show", "LR00000007/4726").document["dev_eui"] == str(who.dev_eui)
    on("ledger", "show", "LR00000008/4726").refused(1, "the ledger knows no board")
    elsewhere = (f"--data={tmp_path / 'data'}", f"--root={tmp_path}")
    lorafab("ledger", "show", "LR00000007/4726", *elsewhere).refused(1, "the ledger knows no board")


@pytest.mark.parametrize("key", ["\udcff\udcfe", "a\udcff", "\0", "LF\n"])
def test_a_key_that_cannot_be_printed_is_bad_input(on: Command, ledger: TinyLedger, key: str) -> None:
    """What a shell makes of bytes that are no text; no index and no database takes it."""
    claim(ledger)
    on("ledger", "show", key).refused(1)
    assert ledger.find(key) is None


@pytest.mark.parametrize("chip", ["", " ", "hello world", "4C46", "0x4C4656420102030405060709"])
def test_a_chip_is_bound_by_its_unique_id_only(on: Command, ledger: TinyLedger, chip: str) -> None:
    """A mistyped one would take a board that passed its binding and its key; nothing is changed."""
    claim(ledger)
    by = ("--reason=new chip", "--operator=Eve")
    on("ledger", "rebind", "024C464200000001", f"--chip={chip}", *by).refused(4, "16 to 24 hex digits")
    assert on("ledger", "show", "024C464200000001").document["chip_id"] == CHIP
    new = "4c4656420102030405060709"
    assert on("ledger", "rebind", "024C464200000001", f"--chip={new}", *by).document["next_generation"] == 2
    assert on("ledger", "show", "024C464200000001").document["chip_id"] == new.upper()


@pytest.mark.parametrize("key", ["024C464200000099", LOT.label_text(7)])
def test_an_unknown_board_is_bad_input(on: Command, ledger: TinyLedger, key: str) -> None:
    """The sentence names the DevEUI that was looked for."""
    on("ledger", "show", key).refused(1, "the ledger knows no board with 024C4642000000", "--data")


def test_a_key_that_is_nothing_is_bad_input(on: Command, ledger: TinyLedger) -> None:
    """Neither DevEUI nor label; it is not shown again, it may be anything."""
    on("ledger", "show", "whatever").refused(1, "the ledger knows no board by that serial or chip id")


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        (
            LOT.label_text(1),
            "the new label names DevEUI 024C464200000002, serial LF00000002, wanted one for DevEUI 024C",
        ),
        (f"LW:D0:{LOT.join_eui}:{LOT.dev_eui_of(0)}:FFFF0000:SLF00000009", "serial LF00000009, wanted one for"),
        ("70B3D57ED0001234", "is not of lot demo"),
    ],
)
def test_a_new_label_names_the_same_board(on: Command, ledger: TinyLedger, label: str, sentence: str) -> None:
    """Or the next run would give that label's DevEUI away a second time; nothing is changed."""
    claim(ledger)
    by = ("--reason=torn", "--operator=Eve")
    on("ledger", "rebind", "024C464200000001", f"--label={label}", *by).refused(1, sentence)
    assert on("ledger", "show", "024C464200000001").document["label"] == LABEL
    plain = str(LOT.dev_eui_of(0))
    assert on("ledger", "rebind", plain, f"--label={plain}", *by).document["next_generation"] == 2
    assert on("ledger", "show", plain).document["label"] == plain


@pytest.mark.parametrize("state", get_args(State))
def test_ledger_list_asks_for_every_state(on: Command, ledger: TinyLedger, state: str) -> None:
    """Whatever the rules know; a board that was only claimed is *reserved*."""
    claim(ledger)
    assert [row["state"] for row in on("ledger", "list", f"--state={state}").document] == ["reserved"] * (
        state == "reserved"
    )


def test_ledger_list_has_one_row_a_board(on: Command, ledger: TinyLedger) -> None:
    """An empty ledger has none."""
    assert on("ledger", "list").document == []
    claim(ledger, 0)
    claim(ledger, 1)
    rows = on("ledger", "list").document
    assert {row["dev_eui"] for row in rows} == {"024C464200000001", "024C464200000002"}
    assert set(rows[0]) == {"dev_eui", "serial", "chip_id", "lot", "state", "attempts", "run"}


def test_ledger_list_is_of_one_lot_or_state_where_asked(on: Command, ledger: TinyLedger) -> None:
    """A state that does not exist is a usage error."""
    first, second = claim(ledger, 0), claim(ledger, 1)
    ledger.move(first, "scrapped", reason="dropped", operator="Eve")
    assert [row["dev_eui"] for row in on("ledger", "list", "--state=scrapped").document] == [str(first)]
    assert [row["dev_eui"] for row in on("ledger", "list", "--state=reserved").document] == [str(second)]
    assert len(on("ledger", "list", "--lot=demo").document) == 2
    assert on("ledger", "list", "--lot=other").document == []
    on("ledger", "list", "--state=broken").refused(4, "'broken'", "quarantined")


@pytest.mark.parametrize("key", ["024C464200000001", LABEL])
def test_people_decide_about_a_board(on: Command, ledger: TinyLedger, key: str) -> None:
    """Quarantine, rework, scrap: by DevEUI or label, each with a reason and a name, which the history keeps."""
    claim(ledger)
    for verb, state in (("quarantine", "quarantined"), ("rework", "reserved"), ("scrap", "scrapped")):
        by = (f"--reason=because of {verb}", "--operator=Bob")
        assert on("ledger", verb, key, *by).document == {"dev_eui": "024C464200000001", "state": state}
    on("ledger", "rework", key, "--reason=x", "--operator=Bob").refused(1, "is scrapped and cannot be taken up")
    history = on("ledger", "show", key, "--history").document["history"]
    assert [entry["event"] for entry in history] == ["claim", "key", "quarantine", "rework", "scrap"]
    assert [entry["state"] for entry in history][2:] == ["quarantined", "reserved", "scrapped"]
    assert history[2]["operator"] == "Bob"
    assert history[2]["reason"] == "because of quarantine"
    assert "history" not in on("ledger", "show", key).document


@pytest.mark.parametrize("verb", ["quarantine", "rework", "scrap", "rebind"])
def test_a_decision_needs_a_reason_and_a_name(on: Command, ledger: TinyLedger, verb: str) -> None:
    """And a board that is known."""
    claim(ledger)
    on("ledger", verb, "024C464200000001", "--operator=Eve").refused(4, "--reason")
    on("ledger", verb, "024C464200000001", "--reason=x").refused(4, "--operator")
    for empty in ("", "  "):
        on("ledger", verb, "024C464200000001", f"--reason={empty}", "--operator=Eve").refused(1, "needs a reason")
        on("ledger", verb, "024C464200000001", "--reason=x", f"--operator={empty}").refused(1, "needs a reason")
    on("ledger", verb, "024C464200000009", "--reason=x", "--operator=Eve").refused(1, "024C464200000009")


def test_ledger_check_tells_a_sound_one_from_a_changed_one(on: Command, ledger: TinyLedger, tmp_path: Path) -> None:
    """Each problem is in the document, with its place; the first one in the sentence."""
    claim(ledger)
    sound = on("ledger", "check").document
    assert sound == {
        "ledger": ledger.ledger_id,
        "head": ledger.head(),
        "mirrors": [],
        "problems": [],
        "orphans": [],
    }
    history = tmp_path / "data" / "ledger" / "history.jsonl"
    history.write_bytes(history.read_bytes().replace(b"Eve", b"Bob"))
    answer = on("ledger", "check")
    assert answer.status == 1
    problems = json.loads(answer.out)["problems"]
    assert any("history.jsonl:1: entry 1 was changed" in problem for problem in problems)
    assert answer.err.startswith(f"lorafab: the ledger has {len(problems)} problems, the first: {problems[0]}; stop")
    on("ledger", "check", "--rebuild").refused(1, "restore the history from the backup first")


# --- records, stations, probes ---


def test_a_report_is_made_again_from_its_record(on: Command, tmp_path: Path) -> None:
    """The page's path comes back."""
    record = passed(picture=None)
    RecordStore(tmp_path / "data").append(record)
    report = Path(on("report", "board", record.run).document["report"])
    assert report == tmp_path / "data" / "reports" / f"{record.run}.html"
    assert str(record.dev_eui) in report.read_text()


@pytest.mark.parametrize("run", ["20261120-120000-abcdef", "../../etc/passwd", ""])
def test_a_run_without_a_record_is_bad_input(on: Command, run: str, tmp_path: Path) -> None:
    """Run ids are no paths, and nothing is made."""
    on("report", "board", run).refused(1)
    assert not (tmp_path / "data" / "reports").exists()


def test_station_check_says_what_the_files_mean(lorafab: Command) -> None:
    """Lot, product, image with its hash, and the plan."""
    document = lorafab("station", "check", "sim", "--json", f"--root={ROOT}").document
    assert (document["station"], document["lot"], document["product"]) == ("sim", "demo", "endnode-wle5")
    assert document["image"]["version"] == "1.0.0"
    assert len(document["image"]["sha256"]) == 64
    assert len(document["plan"]) == 5


@pytest.mark.parametrize("name", ["nosuch", "../sim", "sim.yaml"])
def test_an_unknown_station_is_status_4(lorafab: Command, name: str) -> None:
    """With the ones that exist."""
    lorafab("station", "check", name, f"--root={ROOT}").refused(4, "station")


def test_a_mistake_in_a_file_is_status_4_with_its_place(lorafab: Command, tmp_path: Path) -> None:
    """File, line, key, and the keys that are known."""
    for folder in ("stations", "firmware/endnode-wle5"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("src", "hal"))
    path = tmp_path / "stations" / "sim.yaml"
    path.write_text(path.read_text().replace("baud:", "bawd:"))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "bawd" in text)
    lorafab("station", "check", "sim", f"--root={tmp_path}").refused(4, f"sim.yaml:{line}", "'bawd'", "baud")


def test_a_missing_image_is_bad_input(lorafab: Command, tmp_path: Path) -> None:
    """The sentence names the file and the key that names it."""
    for folder in ("stations", "firmware/endnode-wle5"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("src", "hal"))
    (tmp_path / "firmware" / "endnode-wle5" / "endnode-wle5.hex").unlink()
    lorafab("station", "check", "sim", f"--root={tmp_path}").refused(1, "endnode-wle5.hex", "image.file")


def test_probes_lists_what_pyocd_sees(lorafab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual board that the environment names is one of them; looking does not make its file."""
    monkeypatch.setenv("LORAFAB_VIRTUAL_BOARD", str(tmp_path / "b1.board"))
    assert {"id": "jig0", "vendor": "lorafab", "product": "virtual probe"} in lorafab("probes", "--json").document
    assert list(tmp_path.iterdir()) == []


def test_a_disk_error_is_a_sentence(lorafab: Command, tmp_path: Path) -> None:
    """A folder where a picture should be."""
    lorafab("label", "decode", str(tmp_path)).refused(1, str(tmp_path), "directory")
