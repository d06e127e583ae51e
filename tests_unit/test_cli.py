"""lorafab.cli: the documents, the sentences and the exit statuses that scripts rely on."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lorafab import cli
from lorafab.config.load import load_lot
from lorafab.domain.identity import Eui64
from lorafab.domain.label import checksum, parse_label
from lorafab.drivers.clock import SystemClock
from lorafab.interfaces import ClaimRequest, SealedKey
from lorafab.steps.label import check_of_lot
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.stores.records import RecordStore
from lorafab.virtual.label_picture import draw_label
from tests_unit.report.samples import passed

ROOT = Path(__file__).resolve().parents[1]
LOT = load_lot(ROOT, "demo")
LABEL = LOT.label_text(0)
CHIP = "4C4656420102030405060708"


@dataclass
class Answer:
    """What a command gave."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        assert (self.status, self.err) == (0, "")
        return json.loads(self.out)

    def refused(self, status: int, *words: str) -> None:
        """One sentence on stderr, nothing on stdout."""
        assert self.status == status
        assert self.out == ""
        assert self.err.startswith("lorafab: ")
        assert self.err.endswith("\n")
        assert len(self.err.splitlines()) == 1
        for word in words:
            assert word in self.err


Command = Callable[..., Answer]


@pytest.fixture
def lorafab(capsys: pytest.CaptureFixture[str]) -> Command:
    """`lorafab ...`."""

    def run(*arguments: str) -> Answer:
        status = cli.main(list(arguments))
        said = capsys.readouterr()
        return Answer(status, said.out, said.err)

    return run


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
    label = parse_label(LOT.label_text(number))
    ledger.claim(
        ClaimRequest(
            dev_eui=label.dev_eui,
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
    ledger.add_key(label.dev_eui, 1, SealedKey(f"{number:016X}", "U0VDUkVUQk9Y", "0123456789abcdef"), f"run-{number}")
    return label.dev_eui


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


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (LABEL[:-4] + ("0000" if LABEL[-4:] != "0000" else "0001"), "checksum"),
        ("", "empty"),
        ("hello", "no form that is known"),
        ("LW:D0:00005EEF10000001", "fields"),
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


def test_the_owner_token_is_redacted_in_the_text(lorafab: Command) -> None:
    """The field has it, because it was asked for; the text for logs has not."""
    body = f"LW:D0:{LOT.join_eui}:{LOT.dev_eui.first}:FFFF0000:OTOKEN"
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


# --- lot ---


def test_lot_show_has_three_labels_that_the_lot_accepts(on: Command, tmp_path: Path) -> None:
    """Different ones, and asking changes nothing on disk."""
    document = on("lot", "show", "demo").document
    labels = [parse_label(text) for text in document["example_labels"]]
    assert len({label.dev_eui for label in labels}) == 3
    for label in labels:
        check_of_lot(label, LOT)
    assert (document["lot"], document["kind"], document["product"]) == ("demo", "demo", "endnode-wle5")
    assert not (tmp_path / "data").exists()


def test_lot_show_leaves_used_labels_out_and_counts_boards(on: Command, ledger: TinyLedger) -> None:
    """What the ledger gave away is no example any more."""
    for number in (0, 2):
        claim(ledger, number)
    document = on("lot", "show", "demo").document
    assert document["example_labels"] == [LOT.label_text(number) for number in (1, 3, 4)]
    assert document["boards"] == {"reserved": 2}


def test_lot_list_names_them_all(lorafab: Command) -> None:
    """With product, kind and quantity."""
    assert {"lot": "demo", "product": "endnode-wle5", "kind": "demo", "quantity": 5000} in lorafab(
        "lot", "list", "--json", f"--root={ROOT}"
    ).document


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
    assert document["generations"][0]["kcv"] == "0000000000000000"
    assert "U0VDUkVUQk9Y" not in answer.out


def test_a_label_with_a_token_finds_its_board(on: Command, ledger: TinyLedger) -> None:
    """The ledger keeps the redacted text; the printed one leads to the same board."""
    claim(ledger)
    body = f"LW:D0:{LOT.join_eui}:{LOT.dev_eui.first}:FFFF0000:OTOKEN"
    assert on("ledger", "show", f"{body}:C{checksum(body)}").document["dev_eui"] == "024C464200000001"


@pytest.mark.parametrize("key", ["024C464200000099", LOT.label_text(7)])
def test_an_unknown_board_is_bad_input(on: Command, ledger: TinyLedger, key: str) -> None:
    """The sentence names the DevEUI that was looked for."""
    on("ledger", "show", key).refused(1, "the ledger knows no board with 024C4642000000", "--data")


def test_a_key_that_is_nothing_is_bad_input(on: Command, ledger: TinyLedger) -> None:
    """Neither DevEUI nor label; it is not shown again, it may be anything."""
    on("ledger", "show", "whatever").refused(1, "the ledger knows no board by that serial or chip id")


def test_ledger_list_has_one_row_a_board(on: Command, ledger: TinyLedger) -> None:
    """An empty ledger has none."""
    assert on("ledger", "list").document == []
    claim(ledger, 0)
    claim(ledger, 1)
    rows = on("ledger", "list").document
    assert {row["dev_eui"] for row in rows} == {"024C464200000001", "024C464200000002"}
    assert set(rows[0]) == {"dev_eui", "serial", "chip_id", "lot", "state", "attempts", "run"}


def test_ledger_check_tells_a_sound_one_from_a_changed_one(on: Command, ledger: TinyLedger, tmp_path: Path) -> None:
    """A changed entry is bad input, with a sentence."""
    claim(ledger)
    sound = on("ledger", "check").document
    assert sound == {"ledger": ledger.ledger_id, "head": ledger.head(), "problems": []}
    history = tmp_path / "data" / "ledger" / "history.jsonl"
    history.write_bytes(history.read_bytes().replace(b"Eve", b"Bob"))
    on("ledger", "check").refused(1)


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
