"""Actility ThingPark: its CSV for importing devices, with the AppKey where its own join server is to have it.

Source: docs.thingpark.com, "Importing devices", table of columns: comma, no header, action first. The page says that a
DevEUI has 32 hexadecimal digits; it has 16, as in its example.
"""

import csv
import io
from collections.abc import Iterable

from lorafab.errors import UsageError
from lorafab.export.device import Device, upper_hex


def check(lorawan: str, model: str) -> None:
    """Raises UsageError for what the format cannot say: a NwkKey, or a model id that would break the line."""
    if lorawan == "1.1":
        raise UsageError(
            "ThingPark's import file has no documented column for the NwkKey of LoRaWAN 1.1; choose another format"
        )
    if not model.isascii() or not model.isprintable() or not model.strip() or set(model) & set(',"'):
        raise UsageError(f"--model {model[:40]!r} is no model id of ThingPark; copy it from there")


def to_csv(devices: Iterable[Device], model: str) -> bytes:
    """Write one line CREATE_OTAA a device: action, DevEUI, nothing, model id, JoinEUI, AppKey; upper-case hex.

    The AppKey is left empty for a board that has it in a secure element: with an external join server it is forbidden.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        ("CREATE_OTAA", device.dev_eui, "", model, device.join_eui, upper_hex(device.app_key) if device.app_key else "")
        for device in devices
    )
    return text.getvalue().encode()
