"""lorafab.drivers.label_reader: two readers look, and a picture that they read differently is nobody's."""

import sys
from collections.abc import Callable
from io import BytesIO

import pytest
from PIL import Image

from lorafab.domain.label import Label, parse_label
from lorafab.drivers import label_reader
from lorafab.drivers.label_reader import LabelReader, Symbol, Symbology
from lorafab.errors import LabelRefused, ScanError

ONE = "AABBCCDDEEFF0011"
TWO = "AABBCCDDEEFF0022"
WEB = "https://example.com"
HERE, BESIDE = (10.0, 10.0, 60.0, 60.0), (80.0, 12.0, 130.0, 62.0)
SIZE = (160, 100)
DIFFERENTLY = (
    "zbar and zxing-cpp read the label in the picture differently, wanted the same from both; clean the label and the "
    "lens, cover other labels and scan again, or give the printed text with --label"
)

Looks = Callable[[Image.Image], list[Symbol]]


def at(text: str, box: tuple[float, float, float, float] = HERE) -> Symbol:
    return Symbol(text, box)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Reads a blank picture with readers that say what the test wants; gives text and readers."""

    def decode(
        zbar: list[Symbol] | Looks, zxing: list[Symbol] | Looks, accept: Callable[[str], object] = parse_label
    ) -> str:
        monkeypatch.setattr(label_reader, "_load_zbar", lambda: zbar if callable(zbar) else lambda grey: zbar)
        monkeypatch.setattr(label_reader, "_load_zxing", lambda kinds: zxing if callable(zxing) else lambda grey: zxing)
        buffer = BytesIO()
        Image.new("L", SIZE, 200).save(buffer, format="PNG")
        found = LabelReader(accept=accept).decode(buffer.getvalue())
        return f"{found.text} by {found.reader}"

    return decode


def test_both_readers_are_named_when_both_read(read: Callable[..., str]) -> None:
    """The record says how sure the reading is."""
    assert read([at(ONE)], [at(ONE)]) == f"{ONE} by zbar and zxing-cpp"


def test_one_reader_suffices(read: Callable[..., str]) -> None:
    """Each reads pictures that the other does not."""
    assert read([at(ONE)], []) == f"{ONE} by zbar"
    assert read([], [at(ONE)]) == f"{ONE} by zxing-cpp"


def test_one_symbol_read_as_two_labels_is_refused(read: Callable[..., str]) -> None:
    """The second reader is asked although the first succeeded: one of the two is wrong."""
    with pytest.raises(ScanError) as caught:
        read([at(ONE)], [at(TWO, (12.0, 9.0, 61.0, 60.0))])
    assert str(caught.value) == DIFFERENTLY


@pytest.mark.parametrize("turned", [False, True])
def test_a_label_that_the_other_reader_takes_for_something_else_is_refused(
    read: Callable[..., str], turned: bool
) -> None:
    """Text that is no label, at the place of a label, is a misreading of one of them."""
    said: tuple[list[Symbol], list[Symbol]] = ([at(ONE)], [at(WEB)])
    with pytest.raises(ScanError, match="differently"):
        read(*(reversed(said) if turned else said))


def test_the_same_label_printed_in_other_letters_is_no_disagreement(read: Callable[..., str]) -> None:
    """What counts is the label and not its spelling."""
    assert read([at(ONE)], [at(ONE.lower())]) == f"{ONE} by zbar and zxing-cpp"


def test_each_reader_with_a_label_of_its_own_is_a_disagreement(read: Callable[..., str]) -> None:
    """Also at two places: neither confirms what the other says."""
    with pytest.raises(ScanError, match="differently"):
        read([at(ONE)], [at(TWO, BESIDE)])


def test_a_reader_that_misses_one_of_two_labels_does_not_contradict(read: Callable[..., str]) -> None:
    """The refusal then tells what is the matter: there are two."""
    for zbar in ([at(ONE)], [at(ONE), at(TWO, BESIDE)]):
        with pytest.raises(
            ScanError, match="the picture shows 2 different labels, wanted the one of this board; cover"
        ):
            read(zbar, [at(ONE), at(TWO, BESIDE)])


def test_another_code_beside_the_label_contradicts_nothing(read: Callable[..., str]) -> None:
    """Only what lies at one place can be one symbol."""
    assert read([at(ONE)], [at(WEB, BESIDE)]) == f"{ONE} by zbar"


def test_a_picture_that_was_read_is_not_worked_on(read: Callable[..., str]) -> None:
    """Filters may bring up phantoms; they are used only where nothing was read."""

    def only_when_treated(grey: Image.Image) -> list[Symbol]:
        untouched = grey.size == SIZE and grey.getextrema() == (200, 200)
        return [] if untouched else [at(TWO)]

    assert read([at(ONE)], only_when_treated) == f"{ONE} by zbar"
    assert read([], lambda grey: [at(TWO)] if grey.size != SIZE else []).startswith(f"{TWO} by zxing-cpp (")


# --- the caller says which labels are meant ---


def of_the_lot(text: str) -> Label:
    label = parse_label(text)
    if str(label.dev_eui) != ONE:
        raise LabelRefused(f"{label.dev_eui} is not of this lot")
    return label


def test_a_label_of_another_lot_beside_the_right_one_is_passed_over(read: Callable[..., str]) -> None:
    """One of the two is this lot's, so there is no doubt."""
    both = [at(TWO, BESIDE), at(ONE)]
    assert read(both, both, of_the_lot) == f"{ONE} by zbar and zxing-cpp"


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ((WEB, "LW:D0:1122", TWO), "is not of this lot"),
        ((WEB, "LW:D0:1122"), "the TR005 label ends"),
        ((WEB, "391513"), "is a web address"),
    ],
    ids=["other lot", "damaged", "neither"],
)
def test_of_several_refusals_the_most_helpful_is_told(
    read: Callable[..., str], texts: tuple[str, ...], sentence: str
) -> None:
    """Another lot's label first, then a damaged label, then whatever came first."""
    seen = [at(text, (60.0 * place, 10.0, 60.0 * place + 50, 60.0)) for place, text in enumerate(texts)]
    with pytest.raises(LabelRefused, match=sentence):
        read([], seen, of_the_lot)
    with pytest.raises(LabelRefused, match=sentence):
        read(seen, [], of_the_lot)


def test_texts_that_mean_the_same_to_the_caller_are_one_label(read: Callable[..., str]) -> None:
    """A lot may know the board by less than the whole text, such as the DevEUI in two codes of one sticker."""
    long = f"LW:D0:0000000000000000:{ONE}:FFFF0000"
    seen = [at(ONE), at(long, BESIDE)]
    with pytest.raises(ScanError, match="2 different labels"):
        read(seen, seen)
    assert read(seen, seen, lambda text: parse_label(text).dev_eui).startswith(f"{ONE} by")


def test_a_caller_that_only_checks_does_not_make_all_labels_one(read: Callable[..., str]) -> None:
    """A function without a result says nothing about two texts being the same."""

    def check(text: str) -> None:
        parse_label(text)

    seen = [at(ONE), at(TWO, BESIDE)]
    assert read([at(ONE)], [at(ONE)], check) == f"{ONE} by zbar and zxing-cpp"
    with pytest.raises(ScanError, match="2 different labels"):
        read(seen, seen, check)


# --- readers that are missing ---


@pytest.mark.parametrize(
    ("kinds", "missing"), [(("qr", "datamatrix"), " (libzbar0 is missing)"), (("datamatrix",), "")]
)
def test_a_missing_zbar_is_told_where_it_would_have_looked(
    monkeypatch: pytest.MonkeyPatch, kinds: tuple[Symbology, ...], missing: str
) -> None:
    """Without libzbar0 one reader is left for QR; Data Matrix never had two."""
    monkeypatch.setitem(sys.modules, "pyzbar", None)
    monkeypatch.setattr(label_reader, "_load_zxing", lambda kinds: lambda grey: [at(ONE)])
    buffer = BytesIO()
    Image.new("L", SIZE, 200).save(buffer, format="PNG")
    assert LabelReader(kinds).decode(buffer.getvalue()).reader == f"zxing-cpp{missing}"


def test_a_station_without_any_reader_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """And that the text can be typed until then."""
    monkeypatch.setitem(sys.modules, "pyzbar", None)
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    buffer = BytesIO()
    Image.new("L", SIZE, 200).save(buffer, format="PNG")
    with pytest.raises(ScanError) as caught:
        LabelReader().decode(buffer.getvalue())
    assert str(caught.value) == (
        "no label reader is installed, wanted zxing-cpp or libzbar0; run `pip install zxing-cpp`, "
        "or give the label's text with --label"
    )
