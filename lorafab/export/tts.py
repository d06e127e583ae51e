"""The Things Stack: its CSV and its JSON for importing end devices.

Sources: lorawan-stack (v3.32) ``pkg/devicetemplates/ttscsv.go`` for the CSV, ``api/ttn/lorawan/v3/identifiers.proto``
for the id, and "CSV File Reference" and "JSON File Reference" of The Things Stack's documentation.

What breaks an import silently: an empty cell in a key or EUI column becomes a key of zeros (``pkg/types``,
unmarshalTextBytes), and a LoRaWAN 1.0.x device that has any NwkKey joins with it instead of its AppKey
(``pkg/joinserver``). So there is a ``nwk_key`` for 1.1 only, neither column nor field otherwise. ``vendor_id`` and
``vendor_profile_id`` are not written: with both set the import looks the device up in the Device Repository, and fails
as a whole for one that is not there.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lorafab.errors import UsageError
from lorafab.export.device import Device, refuse_keyless, upper_hex

_PLANS: Final[dict[str, tuple[str, ...]]] = {
    # TheThingsNetwork/lorawan-frequency-plans, frequency-plans.yml, as of 2025-11-20: band-id -> ids.
    "EU_863_870": ("EU_863_870", "EU_863_870_TTN", "EU_863_870_ROAMING_DRAFT", "EU_868_1"),
    "EU_433": ("EU_433",),
    "US_902_928": (
        *(f"US_902_928_FSB_{block}" for block in range(1, 9)),
        *("US_903_0", "US_904_6", "US_906_2", "US_907_8", "US_909_4", "US_911_0", "US_912_6", "US_914_2"),
    ),
    "AU_915_928": (
        *(f"AU_915_928_FSB_{block}" for block in range(1, 9)),
        *(f"AU_915_928_FSB_{block}_BR" for block in range(1, 9)),
    ),
    "CN_470_510": ("CN_470_510_FSB_1", "CN_470_510_FSB_11"),
    "AS_923": (
        *("AS_920_923", "AS_920_923_LBT", "AS_920_923_TTN_AU", "AS_920_923_TTN_JP_1"),
        *("AS_920_923_TTN_JP_1_LAND_MOBILE", "AS_920_923_TTN_JP_2", "AS_920_923_TTN_JP_3"),
        *("AS_920_923_TTN_JP_3_LAND_MOBILE", "AS_923", "AS_923_925", "AS_923_925_LBT", "AS_923_925_TTN_AU"),
        *("AS_923_DT", "AS_923_NDT", "SG_920_923_TTN", "UZ_923_1"),
    ),
    "AS_923_2": ("AS_923_2", "AS_923_2_DT", "AS_923_2_NDT"),
    "AS_923_3": ("AS_923_3", "AS_923_3_DT", "AS_923_3_NDT"),
    "AS_923_4": ("AS_923_4", "AS_923_4_DT", "AS_923_4_NDT", "IL_917_920_TTN", "IL_917_920_TTN_2"),
    "KR_920_923": ("KR_920_923_TTN",),
    "IN_865_867": ("IN_865_867",),
    "RU_864_870": ("RU_864_870_TTN",),
}

_BANDS: Final[dict[str, tuple[str, ...]]] = {
    # Regions as LoRaMac-node names them. CN779 has a band, but no frequency plan.
    "AS923": ("AS_923", "AS_923_2", "AS_923_3", "AS_923_4"),
    "AU915": ("AU_915_928",),
    "CN470": ("CN_470_510",),
    "CN779": (),
    "EU433": ("EU_433",),
    "EU868": ("EU_863_870",),
    "KR920": ("KR_920_923",),
    "IN865": ("IN_865_867",),
    "US915": ("US_902_928",),
    "RU864": ("RU_864_870",),
}

_RP002: Final = ("RP002_V1_0_3", "RP002_V1_0_0", "RP002_V1_0_1", "RP002_V1_0_2", "RP002_V1_0_4")
_PHYS: Final[dict[str, tuple[str, ...]]] = {
    # pkg/webui/console/lib/device-utils.js, LORAWAN_VERSION_PAIRS; the first is what is written unless somebody says
    # otherwise: the last revision of that version, and for 1.0.4 the one in The Things Stack's own examples.
    "1.0.2": ("PHY_V1_0_2_REV_B", "PHY_V1_0_2_REV_A"),
    "1.0.3": ("PHY_V1_0_3_REV_A",),
    "1.0.4": _RP002,
    "1.1": ("PHY_V1_1_REV_B", "PHY_V1_1_REV_A", *_RP002),
}

_UNKNOWN_TO_BAND: Final[dict[str, tuple[str, ...]]] = {
    # pkg/band/all.go: what the server has no band definition for, of the versions above.
    "AS_923_2": (*_PHYS["1.0.2"], *_PHYS["1.0.3"], "PHY_V1_1_REV_B", "PHY_V1_1_REV_A", "RP002_V1_0_0"),
    "AS_923_3": (*_PHYS["1.0.2"], *_PHYS["1.0.3"], "PHY_V1_1_REV_B", "PHY_V1_1_REV_A", "RP002_V1_0_0"),
    "AS_923_4": (
        *(*_PHYS["1.0.2"], *_PHYS["1.0.3"], "PHY_V1_1_REV_B", "PHY_V1_1_REV_A"),
        *("RP002_V1_0_0", "RP002_V1_0_1", "RP002_V1_0_2"),
    ),
    "CN_470_510": _RP002,
    "IN_865_867": ("PHY_V1_0_2_REV_A",),
    "RU_864_870": _PHYS["1.0.2"],
}


@dataclass(frozen=True)
class Radio:
    """What The Things Stack wants to know of all devices of a lot."""

    frequency_plan_id: str
    lorawan_version: str
    lorawan_phy_version: str
    band_id: str


def radio(lorawan: str, region: str | None, plan: str, phy: str | None = None) -> Radio:
    """Settle the radio fields; ``phy`` None takes the usual regional parameters of that LoRaWAN version.

    Raises UsageError for a combination that The Things Stack does not know.
    """
    if region is None:
        raise UsageError(
            "neither the lot nor its product names a region, wanted one for The Things Stack; add `region:` to the lot"
        )
    plans = {known: band for band in _BANDS[region] for known in _PLANS[band]}
    if plan not in plans:
        raise UsageError(
            f"{plan[:40]!r} is no frequency plan of region {region} in The Things Stack; "
            f"known plans: {', '.join(plans) or 'none, choose another format'}"
        )
    known = [one for one in _PHYS[lorawan] if one not in _UNKNOWN_TO_BAND.get(plans[plan], ())]
    if (phy is not None and phy not in known) or not known:
        raise UsageError(
            f"The Things Stack knows no regional parameters {phy or 'at all'} for LoRaWAN {lorawan} with plan {plan}; "
            f"known ones: {', '.join(known) or 'none, choose another plan or format'}"
        )
    return Radio(plan, f"MAC_V{lorawan.replace('.', '_')}", phy or known[0], plans[plan])


def to_csv(devices: Sequence[Device], radio: Radio) -> bytes:
    """Write one line a device below the header, UTF-8, separated by semicolons; EUIs and keys in upper-case hex.

    Raises ExportError for boards without a key: only the column of a key makes the importer take a device as one that
    joins (``ttscsv.go``, app_key).
    """
    refuse_keyless(devices, "tts-csv")
    rows = [{**_about(device, radio), "band_id": radio.band_id, **_keys(device)} for device in devices]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=";", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def to_json(devices: Iterable[Device], radio: Radio) -> bytes:
    """Write one JSON object after the other: a stream, no array and no commas, as the importer reads it.

    A board that has its key in a secure element gets no ``root_keys``: an external join server has them.
    """
    return "".join(json.dumps(_end_device(device, radio), indent=2) + "\n" for device in devices).encode()


def _about(device: Device, radio: Radio) -> dict[str, str]:
    return {
        "id": _device_id(device),
        "dev_eui": str(device.dev_eui),
        "join_eui": str(device.join_eui),
        "name": device.name,
        "frequency_plan_id": radio.frequency_plan_id,
        "lorawan_version": radio.lorawan_version,
        "lorawan_phy_version": radio.lorawan_phy_version,
    }


def _device_id(device: Device) -> str:
    """What the importer itself would choose; fits ``^[a-z0-9](?:[-]?[a-z0-9]){2,}$``, at most 36 characters."""
    return f"eui-{device.dev_eui}".lower()


def _keys(device: Device) -> dict[str, str]:
    keys = {"app_key": upper_hex(device.app_key)} if device.app_key else {}
    return keys if device.nwk_key is None else {**keys, "nwk_key": upper_hex(device.nwk_key)}


def _end_device(device: Device, radio: Radio) -> dict[str, object]:
    keys = {name: {"key": key} for name, key in _keys(device).items()}
    return {
        "ids": {
            "device_id": _device_id(device),
            "dev_eui": str(device.dev_eui),
            "join_eui": str(device.join_eui),
        },
        "name": device.name,
        "lorawan_version": radio.lorawan_version,
        "lorawan_phy_version": radio.lorawan_phy_version,
        "frequency_plan_id": radio.frequency_plan_id,
        "supports_join": True,
        **({"root_keys": keys} if keys else {}),
    }
