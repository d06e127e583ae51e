"""A maker of secure elements: signs manifests as Microchip does, with certificates of both generations of TNGLORA."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID

SERIAL = "0123114e171b98b427"
DEV_EUI = "0004A310001AA90A"
JOIN_EUI = "70B3D57ED0000000"
MADE = datetime(2019, 12, 12, 5, 53, 27, 717000, tzinfo=UTC)

Key = ec.EllipticCurvePrivateKey


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def packed(document: object) -> str:
    """An object as the two signed parts of an entry carry it."""
    return b64u(json.dumps(document).encode())


def unpacked(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def certificate(
    subject: str,
    key: Key,
    issuer: str,
    by: Key,
    *extensions: x509.ExtensionType,
    begin: datetime = MADE - timedelta(days=90),
    days: int = 365,
) -> x509.Certificate:
    """``subject`` and ``issuer`` are common names."""
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(0x765F7B3E38027B6B)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
    )
    for extension in extensions:
        made = made.add_extension(extension, critical=False)
    return made.sign(by, SHA256())


def alternative_name(*serial_numbers: str) -> x509.UnrecognizedExtension:
    """Directory names with one serialNumber each, in a PrintableString whatever the characters, as generation C has."""
    names = b""
    for text in serial_numbers:
        value = b"\x13" + bytes([len(text)]) + text.encode()
        pair = _sequence(b"\x06\x03\x55\x04\x05" + value)
        relative = b"\x31" + bytes([len(pair)]) + pair
        names += _tagged(0xA4, _sequence(relative))
    return x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, _sequence(names))


def _sequence(content: bytes) -> bytes:
    return _tagged(0x30, content)


def _tagged(tag: int, content: bytes) -> bytes:
    assert len(content) < 128, "one byte of length is all that this writes"
    return bytes([tag, len(content)]) + content


@dataclass
class Maker:
    """Has a log signer, which signs manifests, and a certificate authority, which signs chips' certificates."""

    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    authority: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    chip: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    """All chips of this maker have one key: making keys is slow, and nothing here compares them."""

    def __post_init__(self) -> None:
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        self.certificate = certificate("Log Signer Test", self.key, "Log Signer Test", self.key, identifier)
        self.kid = b64u(identifier.digest)
        self.issuer = certificate("Signer B701", self.authority, "Root CA", self.authority)

    def protected(self, **other: object) -> dict[str, object]:
        """The protected header; any member can be overridden."""
        thumbprint = hashlib.sha256(self.certificate.public_bytes(Encoding.DER)).digest()
        return {"typ": "JWT", "alg": "ES256", "kid": self.kid, "x5t#S256": b64u(thumbprint), **other}

    def b_chip(self, serial: str = SERIAL, dev_eui: str = DEV_EUI) -> x509.Certificate:
        """The certificate of a chip of generation B."""
        return certificate(f"{serial.upper()} {dev_eui} ATECC", self.chip, "Signer B701", self.authority)

    def c_chip(self, serial: str = SERIAL, *names: str) -> x509.Certificate:
        """The certificate of a chip of generation C; ``names`` are its serial numbers in the alternative name."""
        extension = alternative_name(*(names or (f"eui64_{DEV_EUI}",)))
        return certificate(f"sn{serial.upper()}", self.chip, "Signer B701", self.authority, extension)

    def chain(self, *certificates: x509.Certificate) -> list[str]:
        """``x5c``."""
        return [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in certificates]

    def payload(self, chip: x509.Certificate, serial: str = SERIAL, **other: object) -> dict[str, Any]:
        """What is signed; any member can be overridden. The certified key has number 1, as on a TNGLORA part."""
        numbers = self.chip.public_key().public_numbers()
        x, y = (b64u(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        key = {"kid": "1", "kty": "EC", "crv": "P-256", "x": x, "y": y, "x5c": self.chain(chip, self.issuer)}
        return {
            "version": 1,
            "model": "ATECC608A",
            "partNumber": "ATECC608A-MAHT3",
            "manufacturer": {"organizationName": "Microchip Technology Inc"},
            "groupId": "679MGFC8HZBSD7BG",
            "provisioningTimestamp": "2019-12-12T05:53:27.717Z",
            "uniqueId": serial,
            "publicKeySet": {"keys": [key]},
            **other,
        }

    def entry(
        self, payload: object, protected: object = None, serial: str = SERIAL, by: Key | None = None
    ) -> dict[str, Any]:
        """Sign an entry."""
        parts = packed(self.protected() if protected is None else protected), packed(payload)
        signature = (by or self.key).sign(".".join(parts).encode(), ec.ECDSA(SHA256()))
        halves = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(signature))
        return {
            "payload": parts[1],
            "protected": parts[0],
            "header": {"uniqueId": serial},
            "signature": b64u(halves),
        }

    def chip_entry(self, serial: str = SERIAL, dev_eui: str = DEV_EUI) -> dict[str, Any]:
        """A genuine entry of generation B."""
        return self.entry(self.payload(self.b_chip(serial, dev_eui), serial), serial=serial)

    def write(self, folder: Path, *entries: object) -> tuple[Path, Path]:
        """Write a manifest and the signer's certificate."""
        manifest, signer = folder / "manifest.json", folder / "signer.pem"
        manifest.write_text(json.dumps(entries))
        signer.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        return manifest, signer
