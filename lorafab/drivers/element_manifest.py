"""The manifest of Microchip's secure elements: what the maker says, under signature, of each chip that it delivered.

A JSON array of signed documents, one a chip (JWS in flattened JSON, RFC 7515 7.2.2)::

    {"payload": b64u, "protected": b64u, "header": {"uniqueId": 18 hex}, "signature": b64u}
    protected: {"typ": "JWT", "alg": "ES256", "kid": ..., "x5t#S256": ...}
    payload:   {"version": 1, "model", "partNumber", "provisioningTimestamp", "uniqueId", "publicKeySet", ...}

``kid`` is the subject key identifier of the signer's certificate, ``x5t#S256`` the SHA-256 of that certificate, the
signature is R and S, 32 bytes each, over ``protected.payload`` (RFC 7518 3.4). All b64u is base64url without padding.
One key of the set has the chip's certificate chain (``x5c``, RFC 7517 4.7), the chip's own first.

Trusted are the certificates of the PEM file that the product names, and nothing else: the log signers sign themselves,
and each is valid for some months only, so its validity is judged at the time at which the chip was provisioned.

Sources: Microchip, "Trust Platform Manifest File Format", draft of 2019-09-26, for the documents and their checks; The
Things Stack v3, ``pkg/devicetemplates/microchip.go``, for where a TNGLORA certificate has the DevEUI. Manifests of a
generation later than C are *unverified*.
"""

import base64
import hashlib
import itertools
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from asn1crypto.x509 import Certificate
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtensionOID, NameOID

from lorafab.domain.element import Element
from lorafab.domain.identity import Eui64
from lorafab.errors import ElementRefused, ManifestError

_MEMBERS: Final = {"payload", "protected", "header", "signature"}
_PROTECTED: Final = {"typ": "JWT", "alg": "ES256", "kid": None, "x5t#S256": None}
_HALF: Final = 32  # bytes of R, of S, and of a coordinate: P-256 (RFC 7518, 3.4 and 6.2.1.2)
_SERIAL: Final = re.compile(r"[0-9a-f]{18}", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
_B_NAME: Final = re.compile(r"([0-9A-F]{18}) ([0-9A-F]{16}) ATECC", re.ASCII)
_C_NAME: Final = re.compile(r"sn([0-9A-F]{18})", re.ASCII)
_OTHER_NAME: Final = re.compile(r"([0-9A-F]{18}) ATECC", re.ASCII)  # Trust&GO parts for TLS: no DevEUI
_C_SAN: Final = re.compile(r"eui64_([0-9A-F]{16})", re.ASCII)


class _Failed(Exception):
    """A check did not hold; ``str()`` names the check and says what was found and wanted."""

    def __init__(self, check: str, found: str, wanted: str) -> None:
        super().__init__(f"{check}: {found}, wanted {wanted}")


@dataclass(frozen=True)
class _Entry:
    """One signed document as it stands in the file; nothing of it is believed yet."""

    number: int
    """From 1 on."""
    payload: str
    protected: str
    signature: str
    unique_id: str


@dataclass(frozen=True)
class _Signer:
    """A certificate that the product trusts."""

    thumbprint: str
    key: ec.EllipticCurvePublicKey
    begin: datetime
    end: datetime


class Manifest:
    """The elements of one delivery; :meth:`read` makes it."""

    def __init__(self, name: str, entries: Sequence[_Entry], signers: Mapping[str, _Signer]) -> None:
        self._name, self._signers = name, signers
        self._entries = {entry.unique_id: entry for entry in entries}

    @classmethod
    def read(cls, path: Path, signer: Path) -> "Manifest":
        """Read a manifest and the certificates (PEM, one or several) of those who may sign it.

        Signatures are checked when an element is asked for, because a delivery has thousands. Raises ManifestError.
        """
        signers = _read_signers(signer)
        try:
            return cls(path.name, _entries(_load(_bytes(path))), signers)
        except _Failed as problem:
            raise _error(path.name, str(problem)) from None

    def element(self, serial: str) -> Element:
        """The element with this number (18 hex digits), every check of its entry made.

        Raises ManifestError for an entry that is not genuine, ElementRefused for a chip that is not on the manifest.
        """
        entry = self._entries.get(serial.lower())
        if entry is not None:
            return self._verified(entry)
        count = sum(1 for _ in self.elements())  # an altered entry must not be blamed on the board
        raise ElementRefused(
            f"the secure element {serial.lower()} is not on the manifest {self._name}, which has {count} others, "
            "wanted one that its maker vouches for; set this board aside, or name the manifest of its delivery"
        )

    def elements(self) -> Iterator[Element]:
        """Every element, every check made: half a millisecond each. Raises ManifestError at the first that fails."""
        for entry in self._entries.values():
            yield self._verified(entry)

    def _verified(self, entry: _Entry) -> Element:
        try:
            return _verify(entry, self._signers)
        except _Failed as problem:
            raise _error(self._name, f"entry {entry.number} fails the check of its {problem}") from None


def _error(name: str, problem: str) -> ManifestError:
    return ManifestError(f"the manifest {name} is not to be trusted: {problem}; get the maker's file again")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ManifestError(
            f"{path.name} cannot be read ({error.strerror}), wanted what identity.manifest and identity.signer of "
            "product.yaml name; put the file there"
        ) from None


# The file


def _load(raw: bytes) -> object:
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_object_of, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise _Failed("JSON", "it cannot be read", "JSON in UTF-8, each name once in an object") from None


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers that choose differently between two equal names would check one thing and use the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _entries(document: object) -> list[_Entry]:
    if not isinstance(document, list) or not document:
        raise _Failed("JSON", "it is no array with entries", "an array with one signed document for each element")
    entries = [_entry(number, one) for number, one in enumerate(document, 1)]
    seen: dict[str, int] = {}
    for entry in entries:
        if entry.unique_id in seen:
            found = f"{entry.unique_id} stands in entries {seen[entry.unique_id]} and {entry.number}"
            raise _Failed("uniqueId", found, "each element once")
        seen[entry.unique_id] = entry.number
    return entries


def _entry(number: int, one: object) -> _Entry:
    wanted = "an object of payload, protected, signature and a header with uniqueId alone, all of them texts"
    header = one.get("header") if isinstance(one, dict) else None
    if not isinstance(one, dict) or one.keys() != _MEMBERS or not isinstance(header, dict):
        raise _Failed(f"entry {number}", "its members are others", wanted)
    texts = [one["payload"], one["protected"], one["signature"], header.get("uniqueId")]
    if header.keys() != {"uniqueId"} or not all(isinstance(text, str) for text in texts):
        raise _Failed(f"entry {number}", "its members are others", wanted)
    return _Entry(number, *texts)


def _read_signers(path: Path) -> dict[str, _Signer]:
    try:
        certificates = x509.load_pem_x509_certificates(_bytes(path))
        return dict(map(_signer, certificates))
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound, x509.DuplicateExtension):
        raise ManifestError(
            f"{path.name} cannot be taken as certificates of a manifest's signers, wanted PEM with a P-256 key and a "
            "subject key identifier in each; get the signer's certificate from the maker again"
        ) from None


def _signer(certificate: x509.Certificate) -> tuple[str, _Signer]:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("no P-256 key")
    identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    thumbprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    signer = _Signer(_to_b64u(thumbprint), key, certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    return _to_b64u(identifier), signer


# One entry: the checks, in this order


def _verify(entry: _Entry, signers: Mapping[str, _Signer]) -> Element:
    signer = _check_protected(entry, signers)
    _check_signature(entry, signer)
    payload = _object("payload", _from_b64u("payload", entry.payload))
    if payload.get("uniqueId") != entry.unique_id:
        raise _Failed("uniqueId", f"the unsigned header says {_shown(entry.unique_id)}", "the signed payload's")
    part = _check_fields(payload)
    _check_time(payload["provisioningTimestamp"], signer)
    own = _check_certificates(payload["publicKeySet"])
    name = _common_name(own)
    return Element(entry.unique_id, _dev_eui(own, name, entry.unique_id), part, name)


def _check_protected(entry: _Entry, signers: Mapping[str, _Signer]) -> _Signer:
    protected = _object("protected header", _from_b64u("protected header", entry.protected))
    if protected.keys() != _PROTECTED.keys():
        raise _Failed("protected header", "it has other members", "typ, alg, kid and x5t#S256")
    for name, wanted in _PROTECTED.items():
        if wanted is not None and protected[name] != wanted:
            raise _Failed(name, f"it is {_shown(protected[name])}", wanted)
    kid = protected["kid"]
    signer = signers.get(kid) if isinstance(kid, str) else None
    if signer is None:
        raise _Failed("kid", f"it is {_shown(kid)}", f"{' or '.join(signers)}, the trusted signer's")
    if protected["x5t#S256"] != signer.thumbprint:
        raise _Failed("x5t#S256", f"it is {_shown(protected['x5t#S256'])}", f"{signer.thumbprint}, the signer's")
    return signer


def _check_signature(entry: _Entry, signer: _Signer) -> None:
    signature = _from_b64u("signature", entry.signature)
    if len(signature) != 2 * _HALF:
        raise _Failed("signature", f"it has {len(signature)} bytes", f"{2 * _HALF}")
    r, s = (int.from_bytes(half, "big") for half in (signature[:_HALF], signature[_HALF:]))
    try:
        signed = f"{entry.protected}.{entry.payload}".encode("ascii")
        signer.key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
    except (InvalidSignature, UnicodeEncodeError):
        raise _Failed("signature", "it is not the signer's over this payload", "a genuine one") from None


def _check_fields(payload: Mapping[str, Any]) -> str:
    """Look for what the line needs; returns the part number."""
    if payload.get("version") != 1 or isinstance(payload["version"], bool):
        raise _Failed("payload", f"its version is {_shown(payload.get('version'))}", "1")
    if not _SERIAL.fullmatch(payload["uniqueId"]):
        raise _Failed("payload", f"its uniqueId is {_shown(payload['uniqueId'])}", "18 lower-case hex digits")
    model = payload.get("model")
    if not isinstance(model, str) or not model.startswith("ATECC608"):
        raise _Failed("payload", f"its model is {_shown(model)}", "an ATECC608")
    part = payload.get("partNumber")
    if not isinstance(part, str) or not re.fullmatch(r"[0-9A-Za-z-]{1,32}", part, re.ASCII):
        raise _Failed("payload", f"its partNumber is {_shown(part)}", "letters, digits and dashes")
    for name, kind in (("provisioningTimestamp", str), ("publicKeySet", dict)):
        if not isinstance(payload.get(name), kind):
            raise _Failed("payload", f"its {name} is {_shown(payload.get(name))}", "another kind of value")
    return part


def _check_time(text: str, signer: _Signer) -> None:
    try:
        time = datetime.fromisoformat(text) if _TIME.fullmatch(text) else None
    except ValueError:
        time = None
    if time is None:
        raise _Failed("provisioningTimestamp", f"it is {_shown(text)}", "a time in UTC")
    if not signer.begin <= time <= signer.end:
        valid = f"{signer.begin.astimezone(UTC):%Y-%m-%d} to {signer.end.astimezone(UTC):%Y-%m-%d}"
        raise _Failed("provisioningTimestamp", f"it is {text}", f"a time at which the signer was valid ({valid})")


def _check_certificates(keys: Mapping[str, Any]) -> x509.Certificate:
    """Check the chain of the one key that has certificates; returns the chip's own."""
    found = keys.get("keys")
    certified = [key for key in found if isinstance(key, dict) and "x5c" in key] if isinstance(found, list) else []
    if len(certified) != 1:
        raise _Failed("certificate", f"{len(certified)} keys have certificates", "one")
    key = certified[0]
    chain = _chain(key["x5c"])
    own = chain[0].public_key()
    if not isinstance(own, ec.EllipticCurvePublicKey) or not isinstance(own.curve, ec.SECP256R1):
        raise _Failed("certificate", "its key is of another kind", "one of P-256")
    numbers = own.public_numbers()
    wanted = {name: _to_b64u(number.to_bytes(_HALF, "big")) for name, number in (("x", numbers.x), ("y", numbers.y))}
    if any(key.get(name) != text for name, text in {"kty": "EC", "crv": "P-256", **wanted}.items()):
        raise _Failed("certificate", "its key is not the one beside it", "the chip's public key")
    for lower, upper in itertools.pairwise(chain):
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            raise _Failed("certificate", "it is not issued by the next one in its chain", "a whole chain") from None
    return chain[0]


def _chain(texts: object) -> list[x509.Certificate]:
    try:
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError("no list of texts")
        with warnings.catch_warnings():
            warnings.simplefilter("error", CryptographyDeprecationWarning)  # of numbers that RFC 5280 forbids
            found = [x509.load_der_x509_certificate(base64.b64decode(text, validate=True)) for text in texts]
            for one in found:
                one.public_key()  # read now: cryptography looks at it only when it is asked for
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, CryptographyDeprecationWarning):
        raise _Failed("certificate", "it cannot be read", "X.509 in base64, the chip's own first") from None
    return found


# Who the chip is


def _common_name(certificate: x509.Certificate) -> str:
    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        value = names[0].value if len(names) == 1 else None
    except ValueError:
        value = None
    if not isinstance(value, str) or not value.isprintable() or len(value) > 64:  # ub-common-name, RFC 5280 A.1
        raise _Failed("certificate", "its subject has no common name that can be read", "one")
    return value


def _dev_eui(certificate: x509.Certificate, name: str, unique_id: str) -> Eui64 | None:
    """DevEUI of a TNGLORA part.

    Generation B has it in the common name, ``<serial> <DevEUI> ATECC``; generation C, whose common name is
    ``sn<serial>``, in the subject alternative name: a directory name with serialNumber ``eui64_<DevEUI>``.
    """
    known = _B_NAME.fullmatch(name) or _C_NAME.fullmatch(name) or _OTHER_NAME.fullmatch(name)
    if known is None:
        return None
    if known[1].lower() != unique_id:
        raise _Failed("certificate", f"its common name is {_shown(name)}", f"the name of element {unique_id}")
    text = known[2] if known.re is _B_NAME else _alternative(certificate) if known.re is _C_NAME else None
    if text is None:
        return None
    dev_eui = Eui64.parse(text)
    if dev_eui.is_reserved():
        raise _Failed("DevEUI", f"it is {dev_eui}", "one that names a device")
    return dev_eui


def _alternative(certificate: x509.Certificate) -> str | None:
    """The EUI-64 in a certificate's subject alternative name, 16 hex digits.

    Generation C writes an underscore into a PrintableString (X.680, 41.4 has none), so that ``cryptography`` refuses
    all of the extensions; asn1crypto reads over it.
    """
    try:
        found = [match[1] for name in _alternative_names(certificate) if (match := _C_SAN.fullmatch(name))]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise _Failed("certificate", "its subject alternative name cannot be read", "a directory name") from None
    if len(found) > 1:
        raise _Failed("DevEUI", f"the certificate names {len(found)}", "one")
    return found[0] if found else None


def _alternative_names(certificate: x509.Certificate) -> list[str]:
    names: list[str] = []
    for extension in Certificate.load(certificate.public_bytes(Encoding.DER))["tbs_certificate"]["extensions"]:
        if extension["extn_id"].dotted == ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string:
            for general in extension["extn_value"].parsed:
                if general.name == "directory_name":
                    names += [
                        pair["value"].native
                        for relative in general.chosen.chosen
                        for pair in relative
                        if pair["type"].native == "serial_number"
                    ]
    return names


# Small things


def _object(check: str, raw: bytes) -> dict[str, Any]:
    try:
        document = _load(raw)
    except _Failed:
        document = None
    if not isinstance(document, dict):
        raise _Failed(check, "it is no JSON object", "one, each name in it once")
    return document


def _from_b64u(check: str, text: str) -> bytes:
    """Decode base64url. Only one text stands for given bytes: spare bits and padding are refused."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        data = None
    if data is None or _to_b64u(data) != text:
        raise _Failed(check, "it is no base64url", "base64url without padding and spare bits")
    return data


def _to_b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _shown(value: object) -> str:
    """A value of a stranger's file, short and printable."""
    return ascii(value)[:60]
