"""lorafab.cli.label_sheet: no label is printed twice by accident, and a lot's count always adds up."""

import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab import cli
from lorafab.config.load import load_lot
from lorafab.config.models import LotConfig
from lorafab.drivers.clock import SystemClock
from lorafab.errors import ForeignIdentity, LedgerError, LorafabError, StationError
from lorafab.interfaces import ClaimRequest, SealedBox, SealedKey
from lorafab.report.label_sheet import layout_named
from lorafab.stores.atomic import write_file
from lorafab.stores.claims import State
from lorafab.stores.tiny_ledger import TinyLedger
from tests_unit.cli.answer import Answer, Command
from tests_unit.report.paper import DATA_MATRIX, by_zxing, cut, raster, words

ROOT = Path(__file__).resolve().parents[2]
QUANTITY = 12
AGAIN = ("--reason=torn in the printer", "--operator=Eve")

LOT_FILE = """
lot: batch
product: endnode-wle5
kind: production
join_eui: "00005EEF10000007"
ledger: {ledger}
dev_eui: {{source: label, first: "024C464207000001", quantity: {quantity}}}
serial: {{prefix: B7-, digits: 6}}
lorawan: "1.0.4"
region: EU868
activation: OTAA
"""


@dataclass
class Factory:
    """A project with one production lot of 12 labels, and its ledger."""

    root: Path
    ledger: TinyLedger
    run: Command

    @classmethod
    def build(cls, root: Path, run: Command) -> "Factory":
        """Under ``root``, a new folder."""
        ledger = TinyLedger.create(root / "data", SystemClock())
        (root / "stations" / "lots").mkdir(parents=True)
        made = cls(root, ledger, run)
        made.write(LOT_FILE.format(ledger=ledger.ledger_id, quantity=QUANTITY))
        return made

    def write(self, text: str) -> None:
        """Replace the lot's file."""
        (self.root / "stations" / "lots" / "batch.yaml").write_text(text)

    @property
    def lot(self) -> LotConfig:
        """As its file says."""
        return load_lot(self.root, "batch")

    @property
    def printed(self) -> int:
        """What the ledger remembers."""
        return self.ledger.lot("batch").printed

    def command(self, *arguments: str) -> Answer:
        """`lorafab ... --json` on this project."""
        return self.run(*arguments, "--json", f"--root={self.root}")

    def sheet(self, name: str, *arguments: str) -> Answer:
        """`lorafab label sheet --lot batch --out NAME`."""
        return self.command("label", "sheet", "--lot=batch", f"--out={self.root / name}", *arguments)

    def void(self, label: str, *arguments: str) -> Answer:
        """`lorafab label void LABEL`."""
        return self.command("label", "void", "--lot=batch", label, *(arguments or AGAIN))

    def close(self) -> Answer:
        """`lorafab lot close batch`."""
        return self.command("lot", "close", "batch", "--reason=delivered", "--operator=Eve")

    def on_paper(self, name: str) -> list[int]:
        """Numbers of the labels in a file, as a scanner reads them, label by label."""
        lot, layout = self.lot, layout_named("L7651")
        numbers = {lot.label_text(index): index + 1 for index in range(lot.quantity)}
        pictures = cut((self.root / name).read_bytes(), layout, 300)
        return [numbers[text] for picture in pictures for text in by_zxing(picture)]

    def request(self, number: int, run: str = "r1") -> ClaimRequest:
        """A run wants label ``number``."""
        lot, index = self.lot, number - 1
        dev_eui = lot.dev_eui_of(index)
        assert dev_eui is not None
        return ClaimRequest(
            dev_eui=dev_eui,
            join_eui=lot.join_eui,
            serial=lot.serial_of(index),
            label=lot.label_text(index),
            chip_id=f"C0FFEE{number:018X}",
            lot="batch",
            run=run,
            station="A",
            operator="Eve",
        )

    def build_board(self, number: int) -> None:
        """A board that passed bears label ``number``."""
        request = self.request(number)
        self.ledger.claim(request)
        key = SealedKey("appkey", f"{number:016X}", (SealedBox("0123456789abcdef", "Ym94"),))
        self.ledger.add_key(request.dev_eui, 1, [key], "r1")
        self.ledger.mark_written(request.dev_eui, 1, "r1")
        self.ledger.mark_passed(request.dev_eui, 1, "r1")

    def history(self) -> list[dict[str, Any]]:
        """What the ledger wrote down, oldest first."""
        lines = (self.root / "data" / "ledger" / "history.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def factory(tmp_path: Path, lorafab: Command) -> Iterator[Factory]:
    """The production lot; whatever was done to it, its ledger is sound afterwards."""
    made = Factory.build(tmp_path, lorafab)
    yield made
    assert made.ledger.check() == []


# --- label sheet: a production lot ---


def test_every_label_is_printed_once(factory: Factory) -> None:
    """In turns, in order; then there are no more."""
    first = factory.sheet("a.pdf", "--count=5").document
    assert (first["labels"], first["numbers"], first["printed"]) == (5, "1 to 5", 5)
    assert (first["symbol"], first["pages"], first["module_mm"]) == ("QR 4-M", 1, 0.423)
    assert factory.sheet("b.pdf").document["numbers"] == "6 to 12"
    factory.sheet("c.pdf").refused(4, "all 12 labels of lot batch were printed", "--only", "--reason")
    assert factory.on_paper("a.pdf") == [1, 2, 3, 4, 5]
    assert factory.on_paper("b.pdf") == [6, 7, 8, 9, 10, 11, 12]
    assert not (factory.root / "c.pdf").exists()


def test_the_history_says_who_printed_what(factory: Factory) -> None:
    """The reason is what was printed where nobody gave one."""
    factory.sheet("a.pdf", "--count=5", "--operator=Bob")
    entry = factory.history()[-1]
    assert (entry["event"], entry["operator"], entry["reason"]) == ("printed", "Bob", "labels 1 to 5")


@pytest.mark.parametrize("which", [("--first=2", "--count=2"), ("--only", "B7-000002", "B7-000003"), ("--first=1",)])
@pytest.mark.parametrize("known", [(), AGAIN[:1], AGAIN[1:]])
def test_printing_again_needs_a_reason_and_an_operator(
    factory: Factory, which: tuple[str, ...], known: tuple[str, ...]
) -> None:
    """Both, whatever way the labels are named; nothing is written or noted without."""
    factory.sheet("a.pdf", "--count=5")
    before = len(factory.history())
    factory.sheet("b.pdf", *which, *known).refused(4, "labels 1 to 5", "printed before", "--reason and --operator")
    assert not (factory.root / "b.pdf").exists()
    assert len(factory.history()) == before


def test_a_reprint_is_in_the_history_before_the_file_is_there(factory: Factory) -> None:
    """With its labels and its reason; the count of printed labels stays."""
    factory.sheet("a.pdf", "--count=5")
    assert factory.sheet("b.pdf", "--only", "B7-000004", "B7-000002", "B7-000003", *AGAIN).document["printed"] == 5
    assert factory.on_paper("b.pdf") == [4, 2, 3]
    entry = factory.history()[-1]
    assert (entry["event"], entry["operator"]) == ("reprinted", "Eve")
    assert entry["reason"] == "labels 2 to 4 again: torn in the printer"
    assert factory.sheet("c.pdf", "--first=5", "--count=2", *AGAIN).document["printed"] == 6
    assert factory.on_paper("c.pdf") == [5, 6]


@pytest.mark.parametrize(
    "named", ["B7-000003", "024C464207000003", "02-4c-46-42-07-00-00-03", "the label's text", "the text in a pipe\n"]
)
def test_only_takes_serial_dev_eui_and_label(factory: Factory, named: str) -> None:
    """Whatever is at hand."""
    factory.sheet("a.pdf")
    text = factory.lot.label_text(2)
    label = {"the label's text": text, "the text in a pipe\n": text + "\r\n"}.get(named, named)
    factory.sheet("b.pdf", "--only", label, "B7-000003", *AGAIN)
    assert factory.on_paper("b.pdf") == [3]


def test_numbers_are_not_left_out_in_between(factory: Factory) -> None:
    """Labels below the highest printed one count as printed, so they must be."""
    factory.sheet("a.pdf", "--first=2").refused(4, "label 2 of lot batch is not next: 0 were printed", "from label 1")
    assert factory.printed == 0


@pytest.mark.parametrize(
    ("arguments", "words_"),
    [
        (("--count=13",), ("labels 1 to 13", "lot batch has 1 to 12", "correct")),
        (("--first=13",), ("labels 13 to 13", "correct")),
        (("--first=12", "--count=2"), ("labels 12 to 13",)),
        (("--count=0",), ("--count", "no number from 1 on")),
        (("--first=-1",), ("--first",)),
        (("--count=１",), ("--count",)),
        ((f"--count={'9' * 5000}",), ("--count", "no number from 1 on")),
        (("--first=1", "--only", "B7-000001"), ("--only came with --first or --count",)),
        (("--layout=L9999",), ("L9999", "L7651")),
        (("--layout=25.4x10:7x27",), ("too small", "0.33 mm")),
    ],
)
def test_what_cannot_be_printed_is_refused_and_not_noted(
    factory: Factory, arguments: tuple[str, ...], words_: tuple[str, ...]
) -> None:
    """Status 4, no file, no number spent."""
    factory.sheet("a.pdf", *arguments).refused(4, *words_)
    assert factory.printed == 0
    assert list(factory.root.glob("*.pdf")) == []


def test_a_file_has_at_most_ten_thousand_labels(factory: Factory) -> None:
    """A lot of a million is printed in turns."""
    factory.write(LOT_FILE.format(ledger=factory.ledger.ledger_id, quantity=100_000))
    factory.sheet("a.pdf").refused(4, "100000 labels were asked for, wanted at most 10000", "--count")


@pytest.mark.parametrize("label", ["hello", "024C464207000099", "B7-000013", "00112233445566778899AABBCCDDEEFF"])
def test_only_refuses_what_is_no_label_of_the_lot(factory: Factory, label: str) -> None:
    """Bad input; what may be a key is not shown again."""
    factory.sheet("a.pdf")
    answer = factory.sheet("b.pdf", "--only", label, *AGAIN)
    answer.refused(1, "label")
    assert "445566" not in answer.err


def test_a_label_that_was_not_printed_is_no_reprint(factory: Factory) -> None:
    """It would be skipped by nobody later: the default would print it once more."""
    factory.sheet("a.pdf", "--count=5")
    factory.sheet("b.pdf", "--only", "B7-000002", "B7-000006", *AGAIN).refused(
        4, "label 6 of lot batch (serial B7-000006) was not printed yet", "from label 6"
    )


def test_labels_of_boards_and_void_ones_are_left_out(factory: Factory) -> None:
    """Also among those that were never printed here; the document names them, and they are not asked for again."""
    factory.sheet("a.pdf", "--count=4")
    factory.void("B7-000002")
    factory.build_board(3)
    factory.build_board(6)
    again = factory.sheet("b.pdf", "--first=1", "--count=7", *AGAIN).document
    assert (again["numbers"], again["left_out"], again["printed"]) == ("1, 4 to 5, 7", "2 to 3, 6", 7)
    assert factory.on_paper("b.pdf") == [1, 4, 5, 7]


def test_where_all_are_on_boards_there_is_no_file(factory: Factory) -> None:
    """Labels that were printed elsewhere are counted in; asked for again, they are refused."""
    factory.build_board(1)
    factory.build_board(2)
    document = factory.sheet("a.pdf", "--count=2").document
    assert (document["file"], document["labels"], document["left_out"], document["printed"]) == (None, 0, "1 to 2", 2)
    assert not (factory.root / "a.pdf").exists()
    factory.sheet("b.pdf", "--first=1", "--count=2", *AGAIN).refused(4, "labels 1 to 2", "on boards or void", "--only")


def test_a_board_gets_a_new_sticker_by_name(factory: Factory) -> None:
    """Its old one is scratched; also after the lot was closed, since rework goes on."""
    factory.sheet("a.pdf")
    factory.build_board(3)
    factory.close()
    factory.sheet("b.pdf", "--only", "B7-000003", *AGAIN)
    assert factory.on_paper("b.pdf") == [3]


@pytest.mark.parametrize("state", ["void", "scrapped"])
def test_a_label_that_is_out_of_use_is_not_printed_again(factory: Factory, state: str) -> None:
    """No board may bear it any more, whatever the reason."""
    factory.sheet("a.pdf")
    if state == "void":
        factory.void("B7-000003")
    else:
        factory.build_board(3)
        factory.ledger.move(factory.request(3).dev_eui, "scrapped", reason="broken", operator="Eve")
    factory.sheet("b.pdf", "--only", "B7-000003", *AGAIN).refused(4, f"(serial B7-000003) is {state}", "another label")
    assert not (factory.root / "b.pdf").exists()


def test_a_crash_before_the_file_costs_numbers_only(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are noted first, so they are never printed by default: open when the lot is closed, or reprinted."""

    def full(path: Path, *arguments: Any) -> None:
        if path.suffix == ".pdf":
            raise StationError(f"the disk is full: {path} could not be written; free space and start again")
        write_file(path, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr("lorafab.stores.atomic.write_file", full)
        factory.sheet("a.pdf", "--count=3").refused(
            1, "the disk is full", "labels 1 to 3 count as printed already", "--only or --first"
        )
    assert factory.printed == 3
    assert factory.sheet("b.pdf", "--count=2").document["numbers"] == "4 to 5"
    assert factory.sheet("a.pdf", "--first=1", "--count=3", *AGAIN).document["numbers"] == "1 to 3"
    assert factory.close().document["open"] == 5


def test_two_printers_at_once_do_not_print_the_same(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second is told, and has nothing."""
    from lorafab.report import label_sheet as drawing

    draw = drawing.label_sheet

    def slowly(*arguments: Any) -> object:
        monkeypatch.setattr(drawing, "label_sheet", draw)
        assert factory.sheet("other.pdf", "--count=2").document["numbers"] == "1 to 2"
        return draw(*arguments)

    monkeypatch.setattr(drawing, "label_sheet", slowly)
    factory.sheet("mine.pdf", "--count=5").refused(1, "2 labels of lot batch are printed now, 0 were", "start again")
    assert not (factory.root / "mine.pdf").exists()
    assert factory.printed == 2


def test_a_sheet_is_never_overwritten(factory: Factory) -> None:
    """It may not be on paper yet, and its labels count as printed."""
    factory.sheet("a.pdf", "--count=2")
    kept = (factory.root / "a.pdf").read_bytes()
    factory.sheet("a.pdf", "--count=2").refused(4, "a.pdf exists", "may not be on paper yet")
    assert (factory.root / "a.pdf").read_bytes() == kept
    assert factory.printed == 2


def test_a_folder_that_does_not_exist_costs_no_numbers(factory: Factory) -> None:
    """It is not made either: it may be a typing error."""
    factory.sheet("nowhere/a.pdf").refused(4, "the folder of", "nowhere", "correct --out")
    assert factory.printed == 0


def test_another_ledger_or_none_is_refused(factory: Factory, tmp_path: Path) -> None:
    """A second ledger would print everything again."""
    factory.sheet("a.pdf", f"--data={tmp_path / 'none'}").refused(1, "there is no ledger")
    TinyLedger.create(tmp_path / "second", SystemClock())
    factory.sheet("a.pdf", f"--data={tmp_path / 'second'}").refused(1, "lot batch belongs to ledger")
    assert not (factory.root / "a.pdf").exists()


def test_a_closed_lot_gets_no_new_labels(factory: Factory) -> None:
    """No file either."""
    factory.sheet("a.pdf", "--count=2")
    factory.close()
    factory.sheet("b.pdf").refused(1, "lot batch was closed")
    assert not (factory.root / "b.pdf").exists()


def test_labels_of_boards_whose_chips_decide_carry_the_serial(factory: Factory) -> None:
    """Nobody knows the DevEUI before the board is made."""
    chips = LOT_FILE.replace('source: label, first: "024C464207000001"', 'source: chip, prefix: "024C46"')
    factory.write(chips.format(ledger=factory.ledger.ledger_id, quantity=QUANTITY))
    assert factory.sheet("a.pdf", "--count=2").document["symbol"] == "QR 1-M"
    assert factory.on_paper("a.pdf") == [1, 2]
    assert words((factory.root / "a.pdf").read_bytes())[:2] == ["B7-000001", "batch"]
    factory.sheet("b.pdf", "--only", "B7-000002", *AGAIN)
    assert factory.on_paper("b.pdf") == [2]
    factory.void("B7-000001").refused(4, "name no DevEUI", "throw the label away")


def test_a_lot_may_want_data_matrix(factory: Factory) -> None:
    """`symbology` of its file."""
    text = LOT_FILE.format(ledger=factory.ledger.ledger_id, quantity=QUANTITY)
    factory.write(text + "symbology: datamatrix\n")
    assert factory.sheet("a.pdf").document["symbol"] == "Data Matrix 32x32"
    page = next(raster((factory.root / "a.pdf").read_bytes(), 300))
    assert sorted(by_zxing(page, DATA_MATRIX)) == [factory.lot.label_text(index) for index in range(QUANTITY)]


# --- label sheet: a demo lot ---


@pytest.fixture
def demo(lorafab: Command, tmp_path: Path) -> Callable[..., Answer]:
    """`lorafab label sheet --lot demo` of this project, on an empty data folder."""
    return lambda *arguments: lorafab(
        "label", "sheet", "--lot=demo", "--json", f"--root={ROOT}", f"--data={tmp_path / 'data'}", *arguments
    )


def test_a_demo_lot_is_printed_without_a_ledger_as_often_as_one_likes(demo: Command, tmp_path: Path) -> None:
    """The same bytes, over the old file, and no data folder is made."""
    out = tmp_path / "demo.pdf"
    document = demo(f"--out={out}", "--count=6").document
    assert (document["labels"], document["numbers"], document["printed"]) == (6, "1 to 6", None)
    first = out.read_bytes()
    assert demo(f"--out={out}", "--count=6").document == document
    assert out.read_bytes() == first
    assert demo(f"--out={out}", "--only", "LF00004711").document["numbers"] == "4711"
    assert demo(f"--out={out}", "--first=4999").document["numbers"] == "4999 to 5000"
    assert [path.name for path in tmp_path.iterdir()] == ["demo.pdf"]


@pytest.mark.parametrize("what", ["a letter", "a folder"])
def test_what_is_no_pdf_is_not_replaced(demo: Command, tmp_path: Path, what: str) -> None:
    """A mistyped name costs nothing."""
    out = tmp_path / "letter"
    if what == "a folder":
        out.mkdir()
    else:
        out.write_text("Dear customer")
    demo(f"--out={out}", "--count=1").refused(4, "letter exists", "--out")
    assert out.is_dir() or out.read_text() == "Dear customer"


# --- label void ---


def test_a_void_label_is_never_taken_by_a_board(factory: Factory) -> None:
    """Torn before any board bore it: a later scan is refused, with its state."""
    factory.sheet("a.pdf")
    document = factory.void(factory.lot.label_text(1)).document
    assert document == {"dev_eui": "024C464207000002", "serial": "B7-000002", "state": "void"}
    with pytest.raises(ForeignIdentity, match=r"DevEUI 024C464207000002 is void since .*another label"):
        factory.ledger.claim(factory.request(2))
    entry = factory.history()[-1]
    assert (entry["event"], entry["reason"], entry["operator"]) == ("void", "torn in the printer", "Eve")


def test_voiding_twice_changes_nothing(factory: Factory) -> None:
    """The second person is told the same."""
    factory.sheet("a.pdf")
    assert factory.void("B7-000002").document == factory.void("024C464207000002").document
    assert [entry["event"] for entry in factory.history()] == ["printed", "void"]


def test_a_label_on_a_board_cannot_be_void(factory: Factory) -> None:
    """It is scrapped with its board, or printed again."""
    factory.sheet("a.pdf")
    factory.build_board(2)
    factory.void("B7-000002").refused(1, f"on chip {factory.request(2).chip_id} since run r1", "label sheet", "scrap")


def test_a_label_that_was_not_printed_cannot_be_void(factory: Factory) -> None:
    """There is nothing to be torn, and the lot's count would not add up."""
    factory.sheet("a.pdf", "--count=2")
    factory.void("B7-000003").refused(4, "label 3 of lot batch (serial B7-000003) was not printed yet, 2 were")


@pytest.mark.parametrize(("missing", "given"), [("--reason", AGAIN[1]), ("--operator", AGAIN[0])])
def test_voiding_needs_a_reason_and_an_operator(factory: Factory, missing: str, given: str) -> None:
    """A person decided it."""
    factory.sheet("a.pdf")
    factory.void("B7-000002", given).refused(4, missing)


# --- lot close ---


def test_a_lot_closes_with_its_count(factory: Factory) -> None:
    """printed = passed + scrapped + void + open; the history keeps it with the reason."""
    factory.sheet("a.pdf", "--count=10")
    for number in (1, 2, 3, 4):
        factory.build_board(number)
    factory.ledger.move(factory.request(4).dev_eui, "scrapped", reason="broken", operator="Eve")
    factory.void("B7-000005")
    factory.ledger.claim(factory.request(6))
    said = "10 printed = 3 passed + 1 scrapped + 1 void + 5 open"
    assert factory.close().document == {
        "lot": "batch",
        "closed": True,
        "printed": 10,
        "passed": 3,
        "scrapped": 1,
        "void": 1,
        "open": 5,
        "count": said,
        "finding": None,
    }
    assert factory.history()[-1]["reason"] == f"delivered; {said}"


def test_a_closed_lot_takes_no_new_board_but_reworks_its_own(factory: Factory) -> None:
    """And is closed once."""
    factory.sheet("a.pdf")
    factory.build_board(1)
    factory.close()
    with pytest.raises(LedgerError, match="lot batch was closed"):
        factory.ledger.claim(factory.request(2))
    assert factory.ledger.claim(factory.request(1, "r2")).attempts == 2
    factory.close().refused(1, "lot batch was closed")


def test_boards_on_labels_that_were_not_printed_here_are_a_finding(factory: Factory) -> None:
    """They count as printed by somebody, so nothing goes below zero, and a sentence says who they are."""
    factory.sheet("a.pdf", "--count=1")
    for number in (3, 2):
        factory.build_board(number)
    document = factory.close().document
    assert document["count"] == "3 printed = 2 passed + 0 scrapped + 0 void + 1 open"
    assert document["finding"].startswith("2 labels in the ledger are not among the 1 that were printed here")
    assert "DevEUI 024C464207000002, passed, run r1" in document["finding"]
    assert "find out who printed them" in factory.history()[-1]["reason"]


def test_all_labels_of_a_demo_lot_count_as_printed(lorafab: Command, tmp_path: Path) -> None:
    """They are on the roll beside the virtual jig."""
    TinyLedger.create(tmp_path / "data", SystemClock())
    on = ("--json", f"--root={ROOT}", f"--data={tmp_path / 'data'}", *AGAIN)
    assert lorafab("label", "void", "--lot=demo", "LF00000007", *on).document["state"] == "void"
    document = lorafab("lot", "close", "demo", *on).document
    assert document["count"] == "5000 printed = 0 passed + 0 scrapped + 1 void + 4999 open"


NUMBERS = st.integers(1, QUANTITY)
ACTS = st.lists(
    st.tuples(st.sampled_from(["print", "claim", "pass", "quarantined", "scrapped", "reserved", "void"]), NUMBERS),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(acts=ACTS)
def test_the_count_always_adds_up(acts: list[tuple[str, int]]) -> None:
    """Whatever happened to the labels, refused or not, each is counted once, and nothing below zero."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr("os.fsync", lambda fd: None)  # nobody pulls the plug here
        factory = Factory.build(Path(folder), _said)
        for act, number in acts:
            _happen(factory, act, number)
        count = factory.close().document
        states = {claim["serial"]: claim["state"] for claim in factory.ledger.all_claims("batch")}
        known = {factory.lot.serial_of(index) for index in range(factory.printed)} | states.keys()
        assert count["printed"] == len(known)
        assert count["passed"] == sum(state in ("passed", "exported") for state in states.values())
        assert count["scrapped"] == sum(state == "scrapped" for state in states.values())
        assert count["void"] == sum(state == "void" for state in states.values())
        assert count["printed"] == count["passed"] + count["scrapped"] + count["void"] + count["open"]
        assert count["open"] >= 0
        assert (count["finding"] is None) == (len(known) == factory.printed)


def _happen(factory: Factory, act: str, number: int) -> None:
    """One act of somebody, who may be refused."""
    ledger, request = factory.ledger, factory.request(number)
    try:
        if act == "print":
            ledger.note_printed("batch", number, reason="labels", operator="Eve")
        elif act == "claim":
            ledger.claim(request)
        elif act == "pass":
            factory.build_board(number)
        elif act == "void":
            ledger.void(ClaimRequest(**{**vars(request), "chip_id": "", "run": "", "station": ""}), reason="torn")
        else:
            ledger.move(request.dev_eui, cast(State, act), reason="seen", operator="Eve")
    except LorafabError:
        return


def _said(*arguments: str) -> Answer:
    """`lorafab ...`, for many examples in one test, which pytest's own capture does not take apart."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = cli.main(list(arguments))
    return Answer(status, out.getvalue(), err.getvalue())
