"""lorafab.drivers.element_manifest: what the maker signed is believed, and nothing else; each refusal by its name."""

import base64
import json
import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.element import Element
from lorafab.domain.identity import Eui64
from lorafab.drivers.element_manifest import Manifest
from lorafab.errors import ElementRefused, ManifestError
from tests_unit.elements import DEV_EUI, SERIAL, Maker, alternative_name, b64u, certificate, packed, unpacked

DATA = Path(__file__).resolve().parents[1] / "data" / "elements"
SAMPLE, SIGNER = DATA / "microchip_manifest_doc_sample.json", DATA / "microchip_log_signer_001.pem"
SAMPLE_SERIAL = "0123f1822c38dd7a01"


@cache
def maker() -> Maker:
    """One for all tests: nothing changes it."""
    return Maker()


@cache
def sample() -> str:
    return SAMPLE.read_text()


def sample_entry() -> dict[str, Any]:
    """Microchip's own entry, to be damaged."""
    entry: dict[str, Any] = json.loads(sample())[0]
    return entry


def read(text: str | bytes, signer: Path = SIGNER) -> list[Element]:
    """Every element of a manifest with this text, every check made."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        return list(Manifest.read(path, signer).elements())


def made(*entries: object) -> list[Element]:
    """Every element of a manifest of the test's own maker."""
    with tempfile.TemporaryDirectory() as folder:
        return list(Manifest.read(*maker().write(Path(folder), *entries)).elements())


def refusal(act: Callable[[], object]) -> str:
    """The sentence of a manifest that is not to be trusted."""
    with pytest.raises(ManifestError) as caught:
        act()
    said = str(caught.value)
    assert said.startswith("the manifest manifest.json is not to be trusted: ")
    assert said.endswith("; get the maker's file again")
    assert "\n" not in said
    return said.removeprefix("the manifest manifest.json is not to be trusted: ")


def failed_check(act: Callable[[], object]) -> str:
    """Name of the check that entry 1 fails."""
    found = re.match(r"entry 1 fails the check of its ([\w# ]+): ", said := refusal(act))
    assert found is not None, said
    return found[1]


@cache
def chips() -> dict[str, bytes]:
    """The certificate of a chip of each generation, DER; a signature is another one each time that it is made."""
    return {"B": maker().b_chip().public_bytes(Encoding.DER), "C": maker().c_chip().public_bytes(Encoding.DER)}


# --- what is accepted


def test_microchips_published_sample_is_accepted() -> None:
    """Years after its signer's certificate has run out: what counts is the time of signing."""
    [element] = read(sample())
    assert element == Element(SAMPLE_SERIAL, None, "ATECC608A-MAH22", f"{SAMPLE_SERIAL.upper()} ATECC")


def test_both_generations_of_tnglora_say_their_dev_eui() -> None:
    """B in the common name; C in an alternative name that cryptography cannot read."""
    b, c = maker().b_chip(), maker().c_chip()
    with pytest.raises(ValueError, match="PrintableString"):
        _ = c.extensions
    for chip in (b, c):
        [element] = made(maker().entry(maker().payload(chip)))
        assert (element.serial, element.dev_eui) == (SERIAL, Eui64.parse(DEV_EUI))


@pytest.mark.parametrize(
    "name", ["0123114E171B98B427 ATECC", "sn0123114E171B98B427", "Generation D", f"sn0123114E171B98B427 {DEV_EUI}"]
)
def test_a_part_of_another_kind_is_genuine_and_has_no_dev_eui(name: str) -> None:
    """The manifest is not to blame; the board with such an element is refused by the store, with this name."""
    chip = certificate(name, maker().chip, "Signer B701", maker().authority)
    [element] = made(maker().entry(maker().payload(chip)))
    assert (element.dev_eui, element.certificate) == (None, name)


def test_one_pem_file_may_hold_several_signers(tmp_path: Path) -> None:
    """Log signers change within one delivery: each entry is checked with the one that it names."""
    other = Maker()
    manifest, signer = maker().write(tmp_path, maker().chip_entry(), other.chip_entry("01" * 9, "0004A310000000AA"))
    signer.write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in (other, maker())))
    assert [element.serial for element in Manifest.read(manifest, signer).elements()] == [SERIAL, "01" * 9]


def test_an_element_is_found_by_its_number_in_either_case(tmp_path: Path) -> None:
    """Firmware prints hex as it likes."""
    manifest = Manifest.read(*maker().write(tmp_path, maker().chip_entry()))
    assert manifest.element(SERIAL) == manifest.element(SERIAL.upper())


# --- a chip that is not on it


def test_a_chip_that_is_not_on_the_manifest_is_refused(tmp_path: Path) -> None:
    """FAIL: this board has an element that nobody vouches for."""
    manifest = Manifest.read(*maker().write(tmp_path, maker().chip_entry(), maker().chip_entry("01" * 9)))
    with pytest.raises(ElementRefused) as caught:
        manifest.element("02" * 9)
    assert str(caught.value) == (
        "the secure element 020202020202020202 is not on the manifest manifest.json, which has 2 others, wanted one "
        "that its maker vouches for; set this board aside, or name the manifest of its delivery"
    )


def test_a_board_is_not_blamed_for_an_entry_that_was_altered(tmp_path: Path) -> None:
    """With the number in the open header changed, the chip is missing; the fault is the file's."""
    entry = maker().chip_entry() | {"header": {"uniqueId": "02" * 9}}
    manifest = Manifest.read(*maker().write(tmp_path, maker().chip_entry("01" * 9), entry))
    assert manifest.element("01" * 9).serial == "01" * 9
    with pytest.raises(ManifestError, match="entry 2 fails the check of its uniqueId"):
        manifest.element(SERIAL)
    with pytest.raises(ManifestError, match="entry 2 fails the check of its uniqueId"):
        manifest.element("02" * 9)


# --- bit flips in Microchip's sample

PROTECTED = {"typ", "alg", "kid", "x5t#S256", "protected header"}


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


BITS = st.integers(0, (1 << 16) - 1)


@given(bit=BITS)
def test_every_bit_of_the_payload_counts(bit: int) -> None:
    """What was signed, changed and encoded again: the signature does not fit."""
    entry = sample_entry()
    entry["payload"] = b64u(flipped(decoded(entry["payload"]), bit))
    assert failed_check(lambda: read(json.dumps([entry]))) == "signature"


@given(bit=BITS)
def test_every_bit_of_the_protected_header_counts(bit: int) -> None:
    """Refused by the member that it hits, or by the header when that cannot be read any more."""
    entry = sample_entry()
    entry["protected"] = b64u(flipped(decoded(entry["protected"]), bit))
    assert failed_check(lambda: read(json.dumps([entry]))) in PROTECTED


@pytest.mark.parametrize("name", ["typ", "alg", "kid", "x5t#S256"])
def test_every_bit_of_each_protected_member_is_refused_by_its_name(name: str) -> None:
    """All of them, one after the other, where the text stays one that JSON takes."""
    entry = sample_entry()
    header = unpacked(entry["protected"])
    value = header[name].encode()
    for bit in range(8 * len(value)):
        changed = header | {name: flipped(value, bit).decode("latin-1")}
        entry["protected"] = packed(changed)
        assert failed_check(lambda: read(json.dumps([entry]))) == name


def test_every_bit_of_the_signature_counts() -> None:
    """All 512 of them."""
    entry = sample_entry()
    signature = decoded(entry["signature"])
    for bit in range(8 * len(signature)):
        damaged = entry | {"signature": b64u(flipped(signature, bit))}
        assert failed_check(lambda damaged=damaged: read(json.dumps([damaged]))) == "signature"  # type: ignore[misc]


def test_every_bit_of_the_open_unique_id_counts() -> None:
    """The only member that nobody signed: it must be the signed one, letter by letter."""
    entry = sample_entry()
    number = SAMPLE_SERIAL.encode()
    for bit in range(8 * len(number)):
        damaged = entry | {"header": {"uniqueId": flipped(number, bit).decode("latin-1")}}
        assert failed_check(lambda damaged=damaged: read(json.dumps([damaged]))) == "uniqueId"  # type: ignore[misc]


@given(name=st.sampled_from(["payload", "protected", "signature"]), place=BITS, bit=st.integers(0, 6))
def test_every_bit_of_the_encoded_texts_counts(name: str, place: int, bit: int) -> None:
    """Spare bits of the last digit and foreign characters too: one text stands for one content."""
    entry = sample_entry()
    text = entry[name].encode()
    entry[name] = flipped(text, 8 * (place % len(text)) + bit).decode("ascii")
    checks = {"payload": {"signature"}, "protected": PROTECTED | {"signature"}, "signature": {"signature"}}
    assert failed_check(lambda: read(json.dumps([entry]))) in checks[name]


def test_the_spare_bits_of_the_last_digit_are_refused() -> None:
    """86 digits hold 516 bits, the signature has 512: without a rule sixteen texts would be the same signature."""
    entry = sample_entry()
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = digits.index(entry["signature"][-1])
    assert last % 16 == 0
    for spare in range(1, 16):
        damaged = entry | {"signature": entry["signature"][:-1] + digits[last + spare]}
        said = refusal(lambda damaged=damaged: read(json.dumps([damaged])))  # type: ignore[misc]
        assert said.startswith("entry 1 fails the check of its signature: it is no base64url, wanted base64url without")


@given(bit=st.integers(0, 8 * len(SAMPLE.read_bytes()) - 1))
def test_every_bit_of_the_file_counts(bit: int) -> None:
    """A damaged file is refused, or still says the very same of the element (a blank became another blank)."""
    data = flipped(sample().encode(), bit)
    try:
        found = read(data)
    except ManifestError:
        return
    assert json.loads(data) == json.loads(sample())
    assert found == read(sample())


# --- forgeries: the protected header


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"alg": "none"}, "alg: it is 'none', wanted ES256"),
        ({"alg": "HS256"}, "alg: it is 'HS256', wanted ES256"),
        ({"alg": ["ES256"]}, "alg: it is ['ES256'], wanted ES256"),
        ({"typ": "JOSE"}, "typ: it is 'JOSE', wanted JWT"),
        ({"crit": ["exp"]}, "protected header: it has other members, wanted typ, alg, kid and x5t#S256"),
        ({"jku": "https://example.com/keys"}, "protected header: it has other members"),
        ({"kid": 7}, "kid: it is 7, wanted "),
        ({"kid": "7cCILlAOwYo1-PChGuoyUISMK3g"}, "kid: it is '7cCILlAOwYo1-PChGuoyUISMK3g', wanted "),
        ({"x5t#S256": "TEc46ST2RDF_AOvBtoCYa838VWIPfNV_2jTqNa4j5R4"}, "x5t#S256: it is 'TEc46ST2RDF_AOvBto"),
        ({"x5t#S256": None}, "x5t#S256: it is None, wanted "),
    ],
)
def test_a_header_that_asks_for_something_else_is_refused(header: dict[str, object], words: str) -> None:
    """However well it is signed: an algorithm that the file chooses protects nothing."""
    entry = maker().entry(maker().payload(maker().b_chip()), maker().protected(**header))
    assert words in refusal(lambda: made(entry))


def test_a_signature_of_somebody_else_is_refused() -> None:
    """Whoever names the trusted signer must have its key."""
    entry = maker().entry(maker().payload(maker().b_chip()), by=ec.generate_private_key(ec.SECP256R1()))
    said = "entry 1 fails the check of its signature: it is not the signer's over this payload, wanted a genuine one"
    assert refusal(lambda: made(entry)).startswith(said)


def test_a_manifest_of_another_signer_is_refused() -> None:
    """Genuine for others: what is trusted is the certificate that the product names."""
    assert failed_check(lambda: made(sample_entry())) == "kid"


@pytest.mark.parametrize("size", [0, 61, 63, 65, 128])
def test_a_signature_of_another_length_is_refused(size: int) -> None:
    """R and S, 32 bytes each; ASN.1 is for others."""
    entry = maker().chip_entry() | {"signature": b64u(b"\1" * size)}
    assert f"signature: it has {size} bytes, wanted 64" in refusal(lambda: made(entry))


def test_a_signature_of_zeros_is_refused() -> None:
    """The classic that some libraries took (CVE-2022-21449)."""
    entry = maker().chip_entry() | {"signature": b64u(bytes(64))}
    assert failed_check(lambda: made(entry)) == "signature"


# --- forgeries: the payload, well signed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "payload: its version is 2, wanted 1"),
        ({"version": True}, "payload: its version is True, wanted 1"),
        ({"model": "ATSHA204"}, "payload: its model is 'ATSHA204', wanted an ATECC608"),
        ({"partNumber": "a\nb"}, "payload: its partNumber is 'a\\nb', wanted letters, digits and dashes"),
        ({"publicKeySet": []}, "payload: its publicKeySet is [], wanted another kind of value"),
        ({"provisioningTimestamp": 7}, "payload: its provisioningTimestamp is 7"),
        ({"provisioningTimestamp": "yesterday"}, "provisioningTimestamp: it is 'yesterday', wanted a time in UTC"),
        ({"provisioningTimestamp": "2019-13-01T00:00:00Z"}, "wanted a time in UTC"),
        ({"provisioningTimestamp": "2019-12-12T05:53:27+02:00"}, "wanted a time in UTC"),
        (
            {"provisioningTimestamp": "2019-09-13T05:53:26.999Z"},
            "provisioningTimestamp: it is 2019-09-13T05:53:26.999Z, wanted a time at which the signer was valid "
            "(2019-09-13 to 2020-09-12)",
        ),
        ({"provisioningTimestamp": "2026-11-20T12:00:00Z"}, "wanted a time at which the signer was valid"),
        ({"publicKeySet": {"keys": []}}, "certificate: 0 keys have certificates, wanted one"),
        ({"publicKeySet": {"keys": 7}}, "certificate: 0 keys have certificates, wanted one"),
        ({"publicKeySet": {"keys": [{"x5c": []}]}}, "certificate: it cannot be read, wanted X.509 in base64"),
        ({"publicKeySet": {"keys": [{"x5c": "MII="}]}}, "certificate: it cannot be read"),
        ({"publicKeySet": {"keys": [{"x5c": ["MII="]}]}}, "certificate: it cannot be read"),
        ({"publicKeySet": {"keys": [{"x5c": [7]}]}}, "certificate: it cannot be read"),
        ({"publicKeySet": {"keys": [{"x5c": [7]}, {"x5c": [7]}]}}, "certificate: 2 keys have certificates"),
    ],
)
def test_a_payload_that_does_not_say_what_is_needed_is_refused(change: dict[str, Any], words: str) -> None:
    """By the name of what is wrong with it, however well it is signed."""
    entry = maker().entry(maker().payload(maker().b_chip(), **change))
    assert words in refusal(lambda: made(entry))


@pytest.mark.parametrize("serial", ["", "0123", "0123114E171B98B427", "0123114e171b98b42g"])
def test_a_number_that_is_none_is_refused(serial: str) -> None:
    """18 lower-case hex digits: one spelling for one chip."""
    entry = maker().entry(maker().payload(maker().b_chip(), serial), serial=serial)
    assert "payload: its uniqueId is" in refusal(lambda: made(entry))


@pytest.mark.parametrize("payload", [[], "text", None, 7, {}])
def test_a_payload_that_is_no_entry_is_refused(payload: object) -> None:
    """Signed nonsense is nonsense."""
    assert failed_check(lambda: made(maker().entry(payload))) in ("payload", "uniqueId")


def test_another_public_key_beside_the_certificate_is_refused() -> None:
    """The certificate would vouch for another chip than the one whose key is on the list."""
    payload = maker().payload(maker().b_chip())
    payload["publicKeySet"]["keys"][0]["x"] = b64u(bytes(32))
    said = "certificate: its key is not the one beside it, wanted the chip's public key"
    assert said in refusal(lambda: made(maker().entry(payload)))


def test_a_chain_that_does_not_hold_is_refused() -> None:
    """The chip's certificate must be issued by the one behind it; a chain of one certificate is whole."""
    stranger, key = Maker(), "publicKeySet"
    for chain in ([maker().b_chip(), stranger.issuer], [maker().b_chip(), maker().issuer, stranger.issuer]):
        payload = maker().payload(maker().b_chip())
        payload[key]["keys"][0]["x5c"] = maker().chain(*chain)
        said = "certificate: it is not issued by the next one in its chain, wanted a whole chain"
        assert said in refusal(lambda payload=payload: made(maker().entry(payload)))  # type: ignore[misc]
    payload[key]["keys"][0]["x5c"] = maker().chain(maker().b_chip())
    assert len(made(maker().entry(payload))) == 1


def test_a_chips_certificate_with_another_kind_of_key_is_refused() -> None:
    """An ATECC608 has P-256 and nothing else."""
    for key in (ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256K1())):
        chip = certificate(f"{SERIAL.upper()} {DEV_EUI} ATECC", key, "Signer B701", maker().authority)
        entry = maker().entry(maker().payload(chip))
        assert "certificate: its key is of another kind" in refusal(lambda entry=entry: made(entry))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("chip", "words"),
    [
        (
            lambda: maker().b_chip("02" * 9),
            "common name is '020202020202020202 0004A310001AA90A ATECC', wanted the name",
        ),
        (
            lambda: maker().c_chip("02" * 9),
            "common name is 'sn020202020202020202', wanted the name of element 0123114e",
        ),
        (lambda: maker().b_chip(dev_eui="0" * 16), "DevEUI: it is 0000000000000000, wanted one that names a device"),
        (lambda: maker().c_chip(SERIAL, "eui64_" + "F" * 16), "DevEUI: it is FFFFFFFFFFFFFFFF"),
        (
            lambda: maker().c_chip(SERIAL, f"eui64_{DEV_EUI}", "eui64_0004A310001AA90B"),
            "DevEUI: the certificate names 2",
        ),
    ],
)
def test_a_certificate_of_another_chip_or_without_a_device_is_refused(
    chip: Callable[[], x509.Certificate], words: str
) -> None:
    """Number and DevEUI stand in it, and must be this element's, and somebody's."""
    assert words in refusal(lambda: made(maker().entry(maker().payload(chip()))))


@pytest.mark.parametrize("text", ["eui48_0004A31AA90A", "eui64_0004a310001aa90a", "eui64_0004A310001AA90A0", "x"])
def test_an_alternative_name_of_another_form_is_no_dev_eui(text: str) -> None:
    """Parts for TLS have an EUI-48 there; what is not exactly the known form is not guessed at."""
    [element] = made(maker().entry(maker().payload(maker().c_chip(SERIAL, text))))
    assert element.dev_eui is None


# --- files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "JSON: it cannot be read, wanted JSON in UTF-8, each name once in an object"),
        ("{}", "JSON: it is no array with entries, wanted an array with one signed document for each element"),
        ("[]", "JSON: it is no array with entries"),
        ("[1]", "entry 1: its members are others, wanted an object of payload, protected, signature and a header"),
        ("[{}]", "entry 1: its members are others"),
        ('[{"payload": "", "protected": "", "signature": "", "header": {}}]', "entry 1: its members are others"),
        ('[{"payload": "", "protected": "", "signature": "", "header": {"uniqueId": 1}}]', "entry 1: its members"),
        (
            '[{"payload": "", "protected": "", "signature": "", "header": {"uniqueId": "1"}, "signatures": []}]',
            "entry 1: its members are others",
        ),
        ('[{"payload": "", "payload": ""}]', "JSON: it cannot be read"),
        ("[NaN]", "JSON: it cannot be read"),
        ("[" * 100_000, "JSON: it cannot be read"),
        (b"\xff\xfe[\x00]\x00", "JSON: it cannot be read"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(text: str | bytes, words: str) -> None:
    """Before anything in it is believed."""
    assert words in refusal(lambda: read(text))


def test_an_element_that_stands_twice_is_refused() -> None:
    """One of the two would be checked, and the other one used."""
    said = f"uniqueId: {SERIAL} stands in entries 1 and 3, wanted each element once"
    assert said in refusal(lambda: made(maker().chip_entry(), maker().chip_entry("01" * 9), maker().chip_entry()))


def test_a_file_that_is_not_there_is_the_stations_fault(tmp_path: Path) -> None:
    """The sentence names the file, and where it is named."""
    for arguments in ((tmp_path / "none.json", SIGNER), (SAMPLE, tmp_path / "none.json")):
        with pytest.raises(
            ManifestError, match=r"^none.json cannot be read \(No such file or directory\), wanted what"
        ):
            Manifest.read(*arguments)


def test_a_signer_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    """No PEM, no P-256 key, no key identifier."""
    path, identifier = tmp_path / "signer.pem", x509.SubjectKeyIdentifier(b"\1" * 20)
    edge = ec.generate_private_key(ec.SECP384R1())
    weak = rsa.generate_private_key(65537, 2048)
    bad = [
        b"",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        maker().issuer.public_bytes(Encoding.PEM),
        certificate("A", edge, "A", edge, identifier).public_bytes(Encoding.PEM),
        certificate("A", weak, "A", weak, identifier).public_bytes(Encoding.PEM),  # type: ignore[arg-type]
    ]
    for content in bad:
        path.write_bytes(content)
        with pytest.raises(ManifestError, match=r"^signer.pem cannot be taken as certificates of a manifest's signers"):
            Manifest.read(SAMPLE, path)


# --- nothing else ever comes out

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TEXTS = st.text(max_size=20) | st.binary(max_size=60).map(b64u) | JSON.map(packed)


@given(
    st.one_of(
        JSON,
        st.lists(
            st.fixed_dictionaries(
                {"payload": TEXTS, "protected": TEXTS, "signature": TEXTS, "header": st.just({"uniqueId": SERIAL})}
            ),
            max_size=2,
        ),
    )
)
def test_any_json_is_refused_in_a_sentence(document: object) -> None:
    """No exception but ours, whatever the file holds."""
    assert refusal(lambda: read(json.dumps(document)))


@given(name=st.sampled_from(sorted(Maker().payload(Maker().b_chip()))), value=JSON)
def test_any_signed_member_is_refused_or_of_no_account(name: str, value: Any) -> None:
    """A signer with strange ideas: nothing that it says gives another DevEUI than the certificate's."""
    entry = maker().entry(maker().payload(maker().b_chip(), **{name: value}))
    try:
        [element] = made(entry)
    except ManifestError:
        return
    assert (element.serial, element.dev_eui) == (SERIAL, Eui64.parse(DEV_EUI))


@given(data=st.data(), generation=st.sampled_from("BC"))
def test_any_damage_to_a_signed_certificate_is_refused(data: st.DataObject, generation: str) -> None:
    """Each byte of it, cut short or lengthened: the maker's signature on it, or its form, says no.

    But for one byte outside of what is signed: the number of unused bits that begins the signature's bit string.
    """
    chip = chips()[generation]
    cut = data.draw(st.integers(0, len(chip)))
    changed = data.draw(
        st.sampled_from([chip[:cut], chip + b"\0", chip[:cut] + b"\0" + chip[cut:], flipped(chip, 8 * cut + cut % 8)])
    )
    payload = maker().payload(maker().b_chip())
    payload["publicKeySet"]["keys"][0]["x5c"][0] = base64.b64encode(changed).decode()
    unused = [found.start() + 2 for found in re.finditer(rb"(?s)\x03.\x00\x30[\x40-\x48]\x02[\x18-\x21]", chip)][-1]
    if changed[:unused] + changed[unused + 1 :] != chip[:unused] + chip[unused + 1 :]:
        assert failed_check(lambda: made(maker().entry(payload))) in ("certificate", "DevEUI")


@given(st.binary(max_size=40))
def test_any_alternative_name_is_read_or_refused(value: bytes) -> None:
    """What asn1crypto makes of arbitrary bytes stays inside."""
    extension = x509.UnrecognizedExtension(alternative_name("x").oid, value)
    chip = certificate(f"sn{SERIAL.upper()}", maker().chip, "Signer B701", maker().authority, extension)
    entry = maker().entry(maker().payload(chip))
    try:
        found: set[Eui64 | None] = {element.dev_eui for element in made(entry)}
    except ManifestError:
        found = {None}
    assert found == {None}


def test_the_maker_of_these_tests_is_like_the_real_one() -> None:
    """The same members everywhere: else its forgeries would prove nothing."""
    real, ours = sample_entry(), maker().chip_entry()
    assert real.keys() == ours.keys()
    assert unpacked(real["protected"]).keys() == unpacked(ours["protected"]).keys()
    assert unpacked(ours["payload"]).keys() <= unpacked(real["payload"]).keys()
