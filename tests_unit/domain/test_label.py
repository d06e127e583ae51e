"""lorafab.domain.label: labels are read to the letter, and refused in sentences that give nothing away."""

import base64
import json
import re
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafab.domain.identity import Eui64
from lorafab.domain.label import MAX_LENGTH, check_pattern, checksum, looks_like_key, parse_label, tr005_text
from lorafab.domain.label_refusal import NEXT
from lorafab.errors import LabelRefused

OFFICIAL = "LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB1122:OAABBCCDDEEFF:SYYWWNNNNNN:PFOOBAR:CAF2C"
BARE = "LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB1122"
KEY = "2B7E151628AED2A6ABF7158809CF4F3C"
ROWS = json.loads((Path(__file__).parents[1] / "data" / "labels.json").read_text())

euis = st.integers(1, 2**64 - 2).map(Eui64)
profiles = st.from_regex(r"[0-9A-F]{8}", fullmatch=True)
values = st.text(string.digits + string.ascii_uppercase + "-.*", min_size=1, max_size=20).filter(
    lambda value: not looks_like_key(value)
)
words = st.text(string.digits + string.ascii_uppercase, min_size=1, max_size=20)
PATTERNS = sorted({row["pattern"] for row in ROWS if "pattern" in row})


@st.composite
def printed_labels(draw: st.DrawFn) -> tuple[str, dict[str, str | None]]:
    """The canonical text of a label of any standard form, and its fields."""
    dev, join, profile = str(draw(euis)), str(draw(euis)), draw(profiles)
    fields: dict[str, str | None] = {
        "format": draw(st.sampled_from(["tr005", "tr005draft2", "tr005draft3", "dev_eui"]))
    }
    fields["dev_eui"] = dev
    if fields["format"] == "dev_eui":
        return dev, fields
    fields |= {"join_eui": join, "vendor_id": profile[:4], "vendor_profile_id": profile[4:]}
    names = draw(st.lists(st.sampled_from(["owner_token", "serial", "proprietary"]), unique=True))
    fields |= {name: draw(words if fields["format"] == "tr005draft3" else values) for name in names}
    tags = {"owner_token": "O" if fields["format"] == "tr005" else "V", "serial": "S", "proprietary": "P"}
    extensions = [f"{tags[name]}{fields[name]}" for name in names]
    if fields["format"] == "tr005draft3":
        return "_".join([f"URN:DEV:LW:{join}", dev, profile, *extensions]), fields
    if fields["format"] == "tr005draft2":
        return f"URN:LW:DP:{join}:{dev}:{profile}" + (":%" if names else "") + "%".join(extensions), fields
    text = ":".join([f"LW:D0:{join}", dev, profile, *extensions])
    if draw(st.booleans()):
        fields["checksum"] = checksum(text)
        text += f":C{fields['checksum']}"
    return text, fields


forms = printed_labels()


def refusal(text: str, pattern: str | None = None) -> str:
    with pytest.raises(LabelRefused) as caught:
        parse_label(text, pattern)
    return str(caught.value)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["source"])
def test_a_text_is_read_or_refused_as_in_the_table(row: dict[str, Any]) -> None:
    """Published and broken labels, each with its values or its whole sentence."""
    text, pattern = row["text"], row.get("pattern")
    if "refusal" in row:
        assert refusal(text, pattern) == row["refusal"]
        return
    document = parse_label(text, pattern).to_json()
    assert {name: value for name, value in document.items() if value is not None} == row["label"]


def test_the_table_is_large_and_has_every_format() -> None:
    """Sixty texts and more; every form is taken, every sentence is one, and ends with what to do."""
    assert len(ROWS) >= 60
    assert {row["label"]["format"] for row in ROWS if "label" in row} == {
        "tr005",
        "tr005draft2",
        "tr005draft3",
        "dev_eui",
        "custom",
    }
    for row in ROWS:
        if "refusal" in row:
            assert "\n" not in row["refusal"]
            assert "; wanted " in row["refusal"]
            assert row["refusal"].endswith(NEXT)


def test_the_official_example_as_a_document() -> None:
    """`label parse` prints exactly these keys in this order; the owner token is not in the redacted text."""
    document = parse_label(f" {OFFICIAL}\r\n").to_json()
    assert list(document.items()) == [
        ("format", "tr005"),
        ("join_eui", "1122334455667788"),
        ("dev_eui", "AABBCCDDEEFF0011"),
        ("vendor_id", "AABB"),
        ("vendor_profile_id", "1122"),
        ("owner_token", "AABBCCDDEEFF"),
        ("serial", "YYWWNNNNNN"),
        ("proprietary", "FOOBAR"),
        ("checksum", "AF2C"),
        ("checksum_ok", True),
        ("text_redacted", f"{BARE}:O***:SYYWWNNNNNN:PFOOBAR:C***"),
    ]


def test_absent_fields_are_null() -> None:
    """A label without extensions has no token, serial, checksum; nothing is made up."""
    document = parse_label(BARE).to_json()
    assert [document[name] for name in ("owner_token", "serial", "proprietary", "checksum", "checksum_ok")] == [
        None
    ] * 5
    assert document["text_redacted"] == BARE


@pytest.mark.parametrize("text", ["aabbccddeeff0011", "AA:BB:CC:DD:EE:FF:00:11", "aa-bb-cc-dd-ee-ff-00-11\n"])
def test_a_bare_dev_eui_is_a_label(text: str) -> None:
    """16 hex digits in any case, bytes separated throughout or not at all, are one DevEUI."""
    label = parse_label(text)
    assert (label.format, label.text, label.join_eui) == ("dev_eui", "AABBCCDDEEFF0011", None)
    assert str(label.dev_eui) == "AABBCCDDEEFF0011"


def test_lower_case_euis_are_read_and_written_upper() -> None:
    """Real labels have lower-case EUIs; two prints of one label are one canonical text."""
    lower = "LW:D0:1122334455667788:aabbccddeeff0011:aabb1122:SX1"
    printed = f"{lower}:C{checksum(lower)}"
    label = parse_label(printed)
    assert label.text == tr005_text(Eui64(0x1122334455667788), Eui64(0xAABBCCDDEEFF0011), "AABB1122", "X1")
    assert parse_label(label.text) == label


def test_extensions_come_in_any_order() -> None:
    """O, S and P are found by their letter."""
    label = parse_label(f"{BARE}:PX:SY:OZ")
    assert (label.proprietary, label.serial, label.owner_token) == ("X", "Y", "Z")


def test_a_checksum_may_lack_its_leading_zeros() -> None:
    """TR005 leaves the padding open: both prints of a small CRC are the same label."""
    body = next(text for n in range(100_000) if checksum(text := f"{BARE}:S{n}") < "0100")
    padded, bare = parse_label(f"{body}:C{checksum(body)}"), parse_label(f"{body}:C{checksum(body).lstrip('0')}")
    assert padded == bare
    assert padded.checksum == checksum(body)


def test_a_key_on_a_label_is_not_passed_on() -> None:
    """Makers put keys into proprietary fields; the redacted text has neither it nor a checksum over it."""
    label = parse_label(f"{BARE}:P{KEY}:C{checksum(f'{BARE}:P{KEY}')}")
    assert label.text_redacted == f"{BARE}:P***:C***"
    assert (label.to_json()["proprietary"], label.to_json()["checksum"]) == ("***", "***")
    assert KEY not in repr(label)


@pytest.mark.parametrize("length", [MAX_LENGTH + 1, 10_240])
def test_a_long_text_is_no_label(length: int) -> None:
    """Nor is the beginning of it."""
    assert refusal("A" * length).startswith(f"the label has {length} characters, more than {MAX_LENGTH}; wanted")
    assert refusal(f"{BARE}:P{'7' * length}").startswith("the label has")


def test_a_wrong_checksum_names_the_right_one_unless_it_covers_a_secret() -> None:
    """Whoever prints labels sees what the printer should have written; of an owner token not 16 bits are told."""
    assert f"wanted {checksum(f'{BARE}:S1')} for this text" in refusal(f"{BARE}:S1:C0000")
    body = f"{BARE}:OTOKEN"
    said = refusal(f"{body}:C{int(checksum(body), 16) ^ 1:04X}")
    assert "is wrong" in said
    assert checksum(body) not in said


@given(st.text(max_size=600), st.sampled_from([None, *PATTERNS]))
def test_any_text_is_a_label_or_a_refusal(text: str, pattern: str | None) -> None:
    """No input ends in anything but a LabelRefused or a Label, which is read from its own text again."""
    try:
        label = parse_label(text, pattern)
    except LabelRefused:
        return
    assert parse_label(label.text, pattern) == label


@st.composite
def key_carriers(draw: st.DrawFn, key: str) -> str:
    """Texts that hold a key in each way in which one was seen on a label, and in some in which none was."""
    eui, other = "AABBCCDDEEFF0011", "1122334455667788"
    head = f"LW:D0:{other}:{eui}:AABB1122"
    text = draw(
        st.sampled_from(
            [
                key,
                f"{head}:P{key}",
                f"{head}:O{key}",
                f"{head}:S{key}",
                f"{head}:X{key}",
                f"{head}:C{key}",
                f"{head}:{key}",
                f"{head}:S1:P{key}:C0000",
                f"{head}:OA{key}:C{checksum(f'{head}:OA{key}')}:S1",
                f"LW:D0:{key}:{eui}:AABB1122",
                f"LW:D0:{other}:{key}:AABB1122",
                f"LW:D0:{other}:{eui}:{key}",
                f"LW:D0:{key}",
                f"LW:D1:{key}",
                f"lw:d0:{key}",
                f"URN:LW:DP:{other}:{eui}:AABB1122:%V{key}%X",
                f"URN:LW:DP:{other}:{eui}:AABB1122:%S{key}",
                f"URN:DEV:LW:{other}_{eui}_AABB1122_{key}",
                f"URN:LWDP:{other}:{eui}:{key}",
                f"SN1;{eui};{other};{key}",
                f"{eui}:{other}:{key}",
                f"{eui},{key}",
                f"AppKey={key}",
                f"DevEUI {eui} AppKey {key}",
                f"A={key}",
                f"[{key}]",
                f'{{"k": "{key}"}}',
                f"https://a.b/{key}",
                f"WIFI:T:WPA;P:{key};;",
                f"MAC {key}",
                f"GW {key}",
                f"]Q1{key}",
                f"{key}\r\n{key[::-1]}",
                f"\u0410{key}",
                f"{key}\0",
                f"(01){key}",
                f"BEGIN:VCARD {key}",
            ]
        )
    )
    return draw(st.sampled_from([text, text.lower(), text + text, text[:-1], text + "0", f"{text}\n{text}"]))


@given(
    st.binary(min_size=16, max_size=16).filter(lambda key: len(set(key)) > 8),
    st.sampled_from(["", " ", ":", "-", ",", "_", "|", " 0x"]),
    st.sampled_from([None, *PATTERNS]),
    st.data(),
)
def test_a_key_on_a_label_is_never_repeated(
    key: bytes, separator: str, pattern: str | None, data: st.DataObject
) -> None:
    """However a key gets onto a label, no 8 digits of it in a row are in a sentence, a document or a repr."""
    printed = separator.join(f"{byte:02X}" for byte in key)
    text = data.draw(key_carriers(printed))
    try:
        label = parse_label(text, pattern)
    except LabelRefused as error:
        shown = str(error)
    else:
        shown = f"{label!r} {label.to_json()}"
    digits = key.hex().upper()
    shown, around = (re.sub(r"[^0-9A-Z]", "", part.upper()) for part in (shown, text.replace(printed, "")))
    pieces = {digits[at : at + 8] for at in range(25)}
    assert not [piece for piece in pieces if piece in shown and piece not in around]


@given(st.binary(min_size=16, max_size=16).filter(lambda key: len(set(key)) > 8), st.sampled_from(["", "K:", "key "]))
def test_a_key_in_base64_is_never_repeated(key: bytes, before: str) -> None:
    """Neither in the usual alphabet nor in that of web addresses."""
    for coded in (base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode().rstrip("=")):
        said = refusal(before + coded)
        assert not [coded[at : at + 6] for at in range(17) if coded[at : at + 6] in said]


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        KEY.lower(),
        "2B-7E-15-16-28-AE-D2-A6-AB-F7-15-88-09-CF-4F-3C",
        "0x2B, 0x7E, 0x15, 0x16, 0x28, 0xAE, 0xD2, 0xA6, 0xAB, 0xF7, 0x15, 0x88, 0x09, 0xCF, 0x4F, 0x3C",
        f"AppKey({KEY})",
        "K34VFiiu0qar9xWICc9PPA==",
        "K34VFiiu0qar9xWICc9PPA",
    ],
)
def test_what_looks_like_a_key(text: str) -> None:
    """32 hex digits with or without signs between them, 16 bytes in base64."""
    assert looks_like_key(text)


@pytest.mark.parametrize(
    "text", ["", "AABBCCDDEEFF0011", KEY[:31], "LF00000001", "WWW.EXAMPLE.COM/DEVICE/SN1234567890"]
)
def test_what_does_not_look_like_a_key(text: str) -> None:
    """A DevEUI, a serial, words."""
    assert not looks_like_key(text)


@given(forms)
def test_a_label_printed_from_its_fields_is_read_as_these_fields(form: tuple[str, dict[str, str | None]]) -> None:
    """Every form and order of extension fields: what was printed is what is read."""
    text, fields = form
    document = parse_label(text).to_json()
    assert {name: document[name] for name in fields} == fields


@given(forms, st.booleans())
def test_the_canonical_text_is_read_as_the_same_label(form: tuple[str, dict[str, str | None]], lower: bool) -> None:
    """Parse, print, parse: nothing changes, however the EUIs were printed."""
    printed = form[0]
    if lower and ":C" not in printed:
        dev_eui = str(form[1]["dev_eui"])
        printed = printed.replace(dev_eui, dev_eui.lower())
    label = parse_label(printed)
    assert parse_label(label.text) == label
    assert parse_label(label.text).text == label.text == form[0]


@given(
    st.from_regex(r"[0-9A-Z-]{1,16}", fullmatch=True), euis.filter(lambda eui: not eui.is_reserved()), st.none() | euis
)
def test_a_custom_label_is_read_as_the_same_label(serial: str, dev: Eui64, join: Eui64 | None) -> None:
    """A lot's own form: the named groups are the values, and the text is read again."""
    pattern = r"(?P<serial>[0-9A-Z-]{1,16});(?P<dev_eui>[0-9A-F]{16})(?:;(?P<join_eui>[0-9A-F]{16}))?"
    label = parse_label(f"{serial};{dev}" + (f";{join}" if join else ""), pattern)
    assert (label.format, label.serial, label.dev_eui, label.join_eui) == ("custom", serial, dev, join)
    assert parse_label(label.text, pattern) == label


@given(forms, st.sampled_from(["", "\r", "\r\n", "\t", " ", ";"]), st.sampled_from(["", "]Q1", "]d2"]))
def test_a_code_that_was_scanned_twice_is_one(
    form: tuple[str, dict[str, str | None]], between: str, symbology: str
) -> None:
    """The trigger was pulled twice, and both codes came in one text; two different codes are refused."""
    text = symbology + form[0]
    assert parse_label(text + between + text) == parse_label(form[0])
    other = f"LW:D0:1122334455667788:{int(str(form[1]['dev_eui']), 16) ^ 2:016X}:AABB1122"
    refusal(text + between + other)
    refusal(other + between + text)


def test_halves_that_are_equal_do_not_make_two_labels() -> None:
    """A DevEUI or a serial may repeat itself: it is one code."""
    assert parse_label("AABBCCDDAABBCCDD").text == "AABBCCDDAABBCCDD"
    assert parse_label("12341234", r"(?P<serial>[0-9]{4,8})").serial == "12341234"
    assert parse_label("1234 1234", r"(?P<serial>[0-9]{4,8})").serial == "1234"


@given(euis, euis, profiles, values)
def test_what_lorafab_prints_it_reads(join: Eui64, dev: Eui64, profile: str, serial: str) -> None:
    """A printed label comes back with the same values and the same text."""
    label = parse_label(text := tr005_text(join, dev, profile, serial))
    assert (label.join_eui, label.dev_eui, label.serial, label.text) == (join, dev, serial, text)
    assert (label.vendor_id, label.vendor_profile_id, label.checksum_ok) == (profile[:4], profile[4:], True)


@given(euis, values, values, st.data())
def test_one_misread_character_never_passes_the_checksum(
    dev: Eui64, serial: str, token: str, data: st.DataObject
) -> None:
    """CRC-16 notices every change of a single character: it is refused, or no longer a label at all."""
    body = f"LW:D0:1122334455667788:{dev}:AABB1122:O{token}:S{serial}"
    text = f"{body}:C{checksum(body)}"
    place = data.draw(st.integers(0, len(body) - 1))
    other = data.draw(st.sampled_from(string.digits + string.ascii_uppercase).filter(lambda char: char != text[place]))
    refusal(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize(
    ("profile", "serial"), [("ffff0000", ""), ("FFFF", ""), ("FFFF0000", "a"), ("FFFF0000", "1:2")]
)
def test_labels_that_cannot_be_printed(profile: str, serial: str) -> None:
    """The builder refuses what the parser would refuse."""
    with pytest.raises(ValueError, match=r"TR005|ProfileID"):
        tr005_text(Eui64(1), Eui64(2), profile, serial)


# --- a lot's own form ---


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("(?P<serial>a", "is no regular expression (missing )"),
        ("(?P<serial>a{99999999999})", "is no regular expression (the repetition number is too large)"),
        ("(?P<serial>[[a])", "is no regular expression (Possible nested set"),
        ("(?L)(?P<serial>a)", "is no regular expression (bad inline flags"),
        ("(?P<serial>a)" * 2, "is no regular expression (redefinition of group name 'serial'"),
        ("(?P<serial>a)(?P<app_key>b)", "names a group 'app_key', wanted serial, dev_eui and join_eui only"),
        ("[0-9]+", "names neither serial nor dev_eui"),
        ("(?P<join_eui>[0-9A-F]{16})", "names neither serial nor dev_eui"),
        ("", "names neither serial nor dev_eui"),
        ("(?P<serial>a)" + "b" * 200, "has 213 characters, wanted at most 200"),
        (r"(?P<serial>(\d+)+)", "too many ways"),
        (r"(?P<serial>(a|a)*)b", "too many ways"),
        (r"(?P<serial>(?:a?){30}a{30})", "too many ways"),
        (r"(?P<serial>\w*\w*\w*)x", "too many ways"),
        (r"(?P<serial>a+)*", "too many ways"),
        (r"(?P<serial>x)(?:(?:(?:){100}){100}){100}", "too many ways"),
        (r"(?P<serial>x)(?:){3000000}", "too many ways"),
        (r"(?P<serial>a)(?P=serial)", "looks around or back"),
        (r"(?=a)(?P<serial>a)", "looks around or back"),
        (r"(?P<serial>a)(?<!b)", "looks around or back"),
    ],
)
def test_a_pattern_that_is_not_taken(pattern: str, sentence: str) -> None:
    """Broken ones, ones without a name for what is kept, and those that may keep the matcher busy for years."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        check_pattern(pattern)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_label("a", pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *PATTERNS,
        r"(?P<dev_eui>[0-9A-F]{2}(?:[:-]?[0-9A-F]{2}){7})",
        r"(?P<serial>SN\w+);(?P<dev_eui>[0-9A-F]{16});?.*",
        r"(?:ACME|acme)[ -](?P<serial>[0-9]++)",
        r"(?i)sn=(?P<serial>[0-9a-z]{4,16}?)&.*",
    ],
)
def test_a_pattern_that_is_taken(pattern: str) -> None:
    """What labels need: classes, alternatives, options, a few repeats."""
    check_pattern(pattern)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "a?", "[ab]", "(?:a|aa)", ".{1,4}", "a*", "(?:a?b?)", "(?:aa?)"]), max_size=5),
    st.sampled_from(["", "?", "{2}", "{1,5}", "{12}", "+"]),
    st.sampled_from(["a" * 128, "ab" * 40, "b" * 20]),
)
def test_a_pattern_that_is_taken_comes_to_an_end(parts: list[str], repeat: str, text: str) -> None:
    """On the longest text of its own letters as well; a pattern that does not would stop this suite."""
    pattern = f"(?P<serial>(?:{''.join(parts)}){repeat})!"
    try:
        check_pattern(pattern)
    except ValueError:
        return
    refusal(text, pattern)


def test_what_a_pattern_does_not_name_is_not_shown() -> None:
    """A word on a label that the lot gives no name to may be a PIN; the signs between the fields stay."""
    label = parse_label("SN:LF1;PIN=4711", r"SN:(?P<serial>[A-Z0-9]+);PIN=\d{4}")
    assert (label.serial, label.text_redacted, label.join_eui, label.dev_eui) == ("LF1", "SN:LF1***", None, None)
    assert "4711" not in f"{label!r}{label.to_json()}"


@pytest.mark.parametrize("text", ["AABBCCDDEEFF0011", "aabbccddeeff0011", "aa:bb:cc:dd:ee:ff:00:11"])
def test_a_label_has_one_meaning_in_whichever_case_it_was_printed(text: str) -> None:
    """A pattern that fits the DevEUI in upper case fits every print of it."""
    label = parse_label(text, r"(?P<serial>[0-9A-F]+)")
    assert (label.format, label.serial) == ("custom", "AABBCCDDEEFF0011")


def test_a_pattern_is_not_tried_on_a_long_text() -> None:
    """Its effort was counted for 128 characters."""
    pattern = r"(?P<serial>S)N*"
    assert parse_label("S" + "N" * 127, pattern).serial == "S"
    refusal("S" + "N" * 128, pattern)
