"""ChirpStack v4: the bodies of its REST and gRPC calls, one pair a device, in protobuf's JSON form.

Source: chirpstack-api 4.20, ``api/device.proto``. The slots are ChirpStack's: a LoRaWAN 1.0.x device has its AppKey in
``nwkKey`` and no ``appKey`` at all, because the field is named after LoRaWAN 1.1, whose NwkKey does what the AppKey of
1.0.x did.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from lorafab.errors import UsageError
from lorafab.export.device import Device, app_key, lower_hex, refuse_keyless

Body = dict[str, object]


@dataclass(frozen=True)
class Place:
    """Where in ChirpStack the devices go: ids (UUID) of an application and of a device profile."""

    application_id: str
    device_profile_id: str


def place(application: str, device_profile: str) -> Place:
    """Check the two ids. Raises UsageError for one that is no UUID."""
    for what, text in (("--application", application), ("--device-profile", device_profile)):
        try:
            uuid.UUID(text)
        except ValueError:
            raise UsageError(
                f"{what} {text[:40]!r} is no id of ChirpStack, wanted a UUID as its web page shows below the name; "
                "copy it from there"
            ) from None
    return Place(str(uuid.UUID(application)), str(uuid.UUID(device_profile)))


def device_body(device: Device, place: Place) -> Body:
    """``device`` of CreateDeviceRequest; the region is the device profile's."""
    return {
        "devEui": str(device.dev_eui).lower(),
        "name": device.name,
        "applicationId": place.application_id,
        "deviceProfileId": place.device_profile_id,
        **({"tags": {"serial": device.serial}} if device.serial else {}),
        "joinEui": str(device.join_eui).lower(),
    }


def keys_body(device: Device) -> Body:
    """``deviceKeys`` of CreateDeviceKeysRequest. Raises ExportError for a board without a key."""
    dev_eui, key = str(device.dev_eui).lower(), lower_hex(app_key(device, "chirpstack"))
    if device.nwk_key is None:
        return {"devEui": dev_eui, "nwkKey": key}
    return {"devEui": dev_eui, "nwkKey": lower_hex(device.nwk_key), "appKey": key}


def to_json(devices: Sequence[Device], place: Place) -> bytes:
    """Write a JSON array with one object a device: request line -> body, in the order in which to send them.

    Raises ExportError for boards without a key.
    """
    refuse_keyless(devices, "chirpstack")
    requests = [
        {
            "POST /api/devices": {"device": device_body(device, place)},
            f"POST /api/devices/{str(device.dev_eui).lower()}/keys": {"deviceKeys": keys_body(device)},
        }
        for device in devices
    ]
    return json.dumps(requests, indent=2).encode() + b"\n"
