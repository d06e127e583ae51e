"""The maker of the virtual secure elements: vouches for each one that a virtual board comes with.

A real maker delivers a signed manifest with its elements. So does this one: a JSON array of flattened JWS documents, as
Microchip's ("Trust Platform Manifest File Format", draft of 2019-09-26), beside the boards. Its signing key is written
below for everybody to see: it vouches for virtual elements, and only for who trusts ``virtual-signer.pem`` of the
reference product. Each element's own key pair is drawn anew and forgotten: nothing asks an element to sign yet.
"""

import base64
import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from lorafab.virtual.parts.atecc608 import Atecc608
from lorafab.virtual.silicon import Silicon

_SIGNER_KEY = b"""\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgDydh1fJl51V+KHRG
idECEx/R9sABYDZiu1B+4LBRU8GhRANCAARzQNB3enmr7zejmaJk6jRTQIVEBbQ4
2iPAbo+v+MHMZ3bJyO38CHise0j9qQFZtLltFiJ/MRNIMWKqT8CgdteD
-----END PRIVATE KEY-----
"""
SIGNER_CERTIFICATE = b"""\
-----BEGIN CERTIFICATE-----
MIIBgTCCASegAwIBAgIBATAKBggqhkjOPQQDAjAvMRAwDgYDVQQKDAdsb3JhZmFi
MRswGQYDVQQDDBJWaXJ0dWFsIExvZyBTaWduZXIwIBcNMjYwMTAxMDAwMDAwWhgP
MjEyNjAxMDEwMDAwMDBaMC8xEDAOBgNVBAoMB2xvcmFmYWIxGzAZBgNVBAMMElZp
cnR1YWwgTG9nIFNpZ25lcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHNA0Hd6
eavvN6OZomTqNFNAhUQFtDjaI8Buj6/4wcxndsnI7fwIeKx7SP2pAVm0uW0WIn8x
E0gxYqpPwKB214OjMjAwMA8GA1UdEwEB/wQFMAMBAf8wHQYDVR0OBBYEFDj0DXty
x2QFdi7mw1cq+77Ap0qoMAoGCCqGSM49BAMCA0gAMEUCIQCAnXjqAUTDPfdBY0JI
kUVaC44aPD3aYslyRxQXghB3YQIgU3bsj4KPkZCbcZ3zasnb+IjgU4nzwcSZqbC5
X8J6gtc=
-----END CERTIFICATE-----
"""
_PROVISIONED = "2026-11-20T00:00:00.000Z"
_HALF = 32  # bytes of R, of S, and of a coordinate


def deliver(manifest: Path, silicon: Silicon) -> None:
    """Put the element of a board on the manifest, unless it is there already."""
    element = silicon.parts["element"]
    assert isinstance(element, Atecc608)
    entries: list[dict[str, Any]] = json.loads(manifest.read_text()) if manifest.exists() else []
    serial = element.serial.hex()
    if any(entry["header"]["uniqueId"] == serial for entry in entries):
        return
    entries.append(_entry(element))
    manifest.parent.mkdir(parents=True, exist_ok=True)
    new = manifest.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(entries, indent=1) + "\n")
    new.replace(manifest)


def _entry(element: Atecc608) -> dict[str, Any]:
    key = load_pem_private_key(_SIGNER_KEY, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signer = x509.load_pem_x509_certificate(SIGNER_CERTIFICATE)
    serial = element.serial.hex()
    identifier = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    protected = {
        "typ": "JWT",
        "alg": "ES256",
        "kid": _b64u(identifier),
        "x5t#S256": _b64u(hashlib.sha256(signer.public_bytes(Encoding.DER)).digest()),
    }
    payload = {
        "version": 1,
        "model": "ATECC608A",
        "partNumber": "VIRTUAL-TNGLORA",
        "manufacturer": {"organizationName": "lorafab"},
        "provisioningTimestamp": _PROVISIONED,
        "uniqueId": serial,
        "publicKeySet": {"keys": [_public_key(element, key, signer)]},
    }
    texts = [_b64u(json.dumps(one, separators=(",", ":")).encode()) for one in (protected, payload)]
    r, s = decode_dss_signature(key.sign(".".join(texts).encode(), ec.ECDSA(SHA256())))
    return {
        "payload": texts[1],
        "protected": texts[0],
        "header": {"uniqueId": serial},
        "signature": _b64u(r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big")),
    }


def _public_key(element: Atecc608, key: ec.EllipticCurvePrivateKey, signer: x509.Certificate) -> dict[str, object]:
    """The element's own key and its certificate, whose common name has the DevEUI as a generation B part's has."""
    own = ec.generate_private_key(ec.SECP256R1()).public_key()
    name = f"{element.serial.hex().upper()} {element.dev_eui.hex().upper()} ATECC"
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(signer.subject)
        .public_key(own)
        .serial_number(int.from_bytes(element.serial, "big"))
        .not_valid_before(datetime(2026, 11, 20, tzinfo=UTC))
        .not_valid_after(signer.not_valid_after_utc)
        .sign(key, SHA256())
    )
    numbers = own.public_numbers()
    chain = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in (certificate, signer)]
    return {
        "kid": "0",
        "kty": "EC",
        "crv": "P-256",
        "x": _b64u(numbers.x.to_bytes(_HALF, "big")),
        "y": _b64u(numbers.y.to_bytes(_HALF, "big")),
        "x5c": chain,
    }


def _b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
