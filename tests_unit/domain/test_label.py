"""lorafab.domain.label: labels are read to the letter, and refused in sentences that give nothing away."""

import json
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.identity import Eui64
from lorafab.domain.label import MAX_LENGTH, Label, checksum, looks_like_key, parse_label, tr005_text
from lorafab.errors import LabelRefused

OFFICIAL = "LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB1122:OAABBCCDDEEFF:SYYWWNNNNNN:PFOOBAR:CAF2C"
BARE = "LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB1122"
KEY = "2B7E151628AED2A6ABF7158809CF4F3C"
SAMPLES = json.loads((Path(__file__).parents[1] / "data" / "labels.json").read_text())

euis = st.integers(1, 2**64 - 2).map(Eui64)
profiles = st.from_regex(r"[0-9A-F]{8}", fullmatch=True)
values = st.text(string.digits + string.ascii_uppercase + "-.*", min_size=1, max_size=20)


def refusal(text: str) -> str:
    with pytest.raises(LabelRefused) as caught:
        parse_label(text)
    return str(caught.value)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["source"])
def test_published_labels_are_read_as_published(sample: dict[str, object]) -> None:
    """What TR005 and servers' documentation accept is accepted; drafts and broken ones are refused."""
    text = str(sample["text"])
    if sample["accept"] is not True:
        refusal(text)
        return
    document = parse_label(text).to_json()
    for name in ("join_eui", "dev_eui", "vendor_id", "vendor_profile_id", "owner_token", "serial", "checksum"):
        if name in sample:
            assert document[name] == sample[name]


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
    assert KEY not in repr(label)
    assert looks_like_key("2B-7E-15-16-28-AE-D2-A6-AB-F7-15-88-09-CF-4F-3C")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the label is empty"),
        (" \r\n", "the label is empty"),
        ("0" * (MAX_LENGTH + 1), "the label has 513 characters, more than 512"),
        ("АABBCCDDEEFF0011", "character 1 of the label is U+0410 (CYRILLIC CAPITAL LETTER A)"),
        ("AABBCCDDEEFF00１1", "character 15 of the label is U+FF11 (FULLWIDTH DIGIT ONE)"),
        ("AABBCCDD\0EEFF0011", "character 9 of the label is U+0000 (a control character)"),
        ("\ufeffAABBCCDDEEFF0011", "character 1 of the label is U+FEFF"),
        ("AABBCCDDEEFF0011\nAABBCCDDEEFF0012", "character 17 of the label is U+000A"),
        ("70:B3:D5:7E:D0:00", "the label is a MAC address ('70:B3:D5:7E:D0:00')"),
        ("70b3d57ed000", "the label is a MAC address"),
        ("70b3.d57e.d000", "the label is a MAC address"),
        ("HTTPS://WWW.EXAMPLE.COM/?SN=1", "the label is a web address"),
        ("https://ttig.pro/c/1122334455667788/00000000", "the label is a gateway's"),
        ("GATEWAY EUI: AABBCCDDEEFF0011", "the label is a gateway's"),
        ("AABBCCDDEEFF001", "the label has 15 hex digits, a DevEUI has 16 ('AABBCCDDEEFF001')"),
        ("AABBCCDDEEFF00110", "the label has 17 hex digits"),
        ("AABBCCDDEEFFOO11", "the label has a letter O, I or l in place of a digit"),
        ("AA:BB-CC:DD:EE:FF:00:11", "in no form that is known ('AA:BB-CC:DD:EE:FF:00:11')"),
        ("lw:d0:1122334455667788", "in lower case (Caps Lock at the scanner?)"),
        ("LW:D1:1122334455667788:AABBCCDDEEFF0011:AABB1122", "of a TR005 version other than D0"),
        ("URN:LW:DP:42FFFFFFFFFFFFFF:4242FFFFFFFFFFFF:42FFFF42:%V0102", "in a draft form from before TR005 1.0"),
        ("AABBCCDDEEFF0011:1122334455667788", "two EUIs without the form of TR005"),
        ('{"dev_eui": 1}', "the label is JSON"),
        ("DevEUI: AABBCCDDEEFF0011", "words around its DevEUI"),
        ("WIFI:T:WPA;S:net;P:hunter2;;", "a Wi-Fi password (not shown, it may hold a secret)"),
        (KEY, "32 hex digits, a key or two EUIs without names (not shown"),
        ("K34VFiiu0qar9xWICc9PPA==", "in no form that is known (not shown"),
        ("0000000000000000", "the label's DevEUI is 0000000000000000, which names no device"),
        ("FF-FF-FF-FF-FF-FF-FF-FF", "the label's DevEUI is FFFFFFFFFFFFFFFF, which names no device"),
        ("LW:D0:1122334455667788:AABBCCDDEEFF0011", "the TR005 label ends after 4 of its 5 fields"),
        ("LW:D0:11223344556677:AABBCCDDEEFF0011:AABB1122", "the JoinEUI of the TR005 label has 14 characters"),
        ("LW:D0:1122334455667788:AABBCCDDEEFFO011:AABB1122", "the DevEUI of the TR005 label has the letter O where"),
        ("LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB112G", "the ProfileID of the TR005 label has the 'G' among"),
        ("LW:D0:1122334455667788:0000000000000000:AABB1122", "which names no device"),
        (f"{BARE}:S1:S2", "two serial fields (S)"),
        (f"{BARE}:O1:O2", "two owner token fields (O)"),
        (f"{BARE}:P", "the proprietary field (P) of the TR005 label is empty"),
        (f"{BARE}:", "field 6 of the TR005 label is empty"),
        (f"{BARE}:X1", "field 6 of the TR005 label begins with 'X'"),
        (f"{BARE}:Sabc", "the serial field of the TR005 label holds 'a'"),
        (f"{BARE}:C{checksum(BARE)}:S1", "the serial follows the checksum"),
        (f"{BARE}:CWXYZ", "the checksum of the TR005 label is not 1 to 4 hex digits"),
        (OFFICIAL.replace("CAF2C", "CAF2D"), "the checksum of the TR005 label is AF2D"),
    ],
)
def test_a_refusal_says_what_it_looks_like_what_was_wanted_and_what_to_do(text: str, sentence: str) -> None:
    """The operator learns from one sentence why the label is not taken."""
    said = refusal(text)
    assert sentence in said
    assert "wanted" in said
    assert said.endswith("scan the board's own label again, or set the board aside for relabelling")


def test_a_wrong_checksum_names_the_right_one() -> None:
    """Whoever prints labels sees at once what the printer should have written."""
    assert "wanted AF2C for this text" in refusal(OFFICIAL.replace("CAF2C", "C1234"))


@given(st.text(max_size=600))
def test_any_text_is_a_label_or_a_refusal(text: str) -> None:
    """No input ends in anything but a Label or a LabelRefused."""
    try:
        label = parse_label(text)
    except LabelRefused:
        return
    assert isinstance(label, Label)


@given(st.binary(min_size=16, max_size=16), st.sampled_from(["", " ", ":", "-"]), st.text("ABZ;:=#01 ", max_size=30))
def test_a_refusal_never_repeats_a_key(key: bytes, separator: str, around: str) -> None:
    """However a key gets onto a label, in bytes or in one piece, the refusal does not show eight bytes of it."""
    text = around + (key.hex(separator) if separator else key.hex()).upper()
    try:
        parse_label(text)
    except LabelRefused as error:
        shown = re.sub(r"[^0-9A-F]", "", str(error).upper())
        assert key.hex().upper()[:16] not in shown or key[:8] == bytes(8)


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
