"""AWS IoT Core for LoRaWAN: what CreateWirelessDevice takes, one JSON document a line.

Source: botocore's service model ``iotwireless`` 2020-11-22. AWS has no bulk format; each line is one request.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from lorafab.export.device import Device, app_key, lower_hex, refuse_keyless


@dataclass(frozen=True)
class Profiles:
    """What every device of the lot is given in AWS: the name of a destination, the ids of two profiles."""

    destination: str
    device_profile_id: str
    service_profile_id: str


def to_json_lines(devices: Sequence[Device], profiles: Profiles) -> bytes:
    """Write one request a line; EUIs and keys in lower-case hex. Raises ExportError for boards without a key."""
    refuse_keyless(devices, "aws")
    return "".join(json.dumps(_request(device, profiles)) + "\n" for device in devices).encode()


def _request(device: Device, profiles: Profiles) -> dict[str, object]:
    join_eui, key = str(device.join_eui).lower(), lower_hex(app_key(device, "aws"))
    otaa: dict[str, object] = {"OtaaV1_0_x": {"AppKey": key, "AppEui": join_eui}}
    if device.nwk_key is not None:
        otaa = {"OtaaV1_1": {"AppKey": key, "JoinEui": join_eui, "NwkKey": lower_hex(device.nwk_key)}}
    return {
        "Type": "LoRaWAN",
        "Name": device.name,
        "DestinationName": profiles.destination,
        "LoRaWAN": {
            "DevEui": str(device.dev_eui).lower(),
            "DeviceProfileId": profiles.device_profile_id,
            "ServiceProfileId": profiles.service_profile_id,
            **otaa,
        },
    }
