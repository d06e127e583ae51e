"""A CSV for whatever else reads one: all that a customer may need of a board, with names that say it."""

import csv
import io
from collections.abc import Sequence

from lorafab.export.device import Device, upper_hex


def to_csv(devices: Sequence[Device]) -> bytes:
    """Write RFC 4180 with a header, UTF-8; EUIs, keys and key check values in upper-case hex.

    ``nwk_key`` and ``kcv_nwk`` are there for LoRaWAN 1.1 only. ``kcv`` is the AppKey's. The label is redacted. Boards
    whose keys lie in secure elements have no column for a key or a check value, and generation 0.
    """
    rows = [_row(device) for device in devices]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _row(device: Device) -> dict[str, str | int]:
    return {
        "dev_eui": str(device.dev_eui),
        "join_eui": str(device.join_eui),
        **({"app_key": upper_hex(device.app_key)} if device.app_key else {}),
        **({"nwk_key": upper_hex(device.nwk_key)} if device.nwk_key else {}),
        "serial": device.serial,
        **({"kcv": device.app_key.kcv()} if device.app_key else {}),
        **({"kcv_nwk": device.nwk_key.kcv()} if device.nwk_key else {}),
        "generation": device.generation,
        "lorawan": device.lorawan,
        "region": device.region or "",
        "label": device.label,
    }
