"""lorafab.export.chirpstack: bodies of the calls, slot by slot."""

import json
from pathlib import Path

import pytest

from lorafab.domain.identity import Eui64
from lorafab.domain.secret import Secret
from lorafab.errors import UsageError
from lorafab.export import chirpstack
from lorafab.export.device import Device

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "export" / "chirpstack_v4_create.constructed.json"
APPLICATION = "8b0e2d0e-1111-4222-8333-444455556666"
PROFILE = "0d7e2e2a-1111-4222-8333-444455556666"
PLACE = chirpstack.place(APPLICATION, PROFILE)


def board(nwk_key: str | None = None, serial: str = "SN-000001") -> Device:
    """The one of the published example."""
    return Device(
        dev_eui=Eui64.parse("0102030405060708"),
        join_eui=Eui64.parse("70B3D57ED0000001"),
        serial=serial,
        label="",
        lorawan="1.1" if nwk_key else "1.0.4",
        region="EU868",
        generation=1,
        app_key=Secret(bytes.fromhex("01020304050607080102030405060708")),
        nwk_key=Secret(bytes.fromhex(nwk_key)) if nwk_key else None,
    )


def test_the_bodies_are_those_of_the_example() -> None:
    """Names, values and nothing beside them: the AppKey is in nwkKey, and there is no appKey."""
    sample = json.loads(SAMPLE.read_text())
    (ours,) = json.loads(chirpstack.to_json([board()], PLACE))
    assert ours == {name: body for name, body in sample.items() if name.startswith("POST ")}


def test_lorawan_1_1_has_both_keys() -> None:
    """NwkKey in nwkKey, AppKey in appKey."""
    (ours,) = json.loads(chirpstack.to_json([board("ff" + 15 * "07")], PLACE))
    assert ours["POST /api/devices/0102030405060708/keys"]["deviceKeys"] == {
        "devEui": "0102030405060708",
        "nwkKey": "ff" + 15 * "07",
        "appKey": "01020304050607080102030405060708",
    }


def test_a_board_without_serial_is_named_after_its_dev_eui() -> None:
    """The name may not be empty; a tag that would be is left out."""
    (ours,) = json.loads(chirpstack.to_json([board(serial="")], PLACE))
    device = ours["POST /api/devices"]["device"]
    assert device["name"] == "0102030405060708"
    assert "tags" not in device


@pytest.mark.parametrize(("ids", "flag"), [(("x", PROFILE), "--application"), ((APPLICATION, ""), "--device-profile")])
def test_ids_are_uuids(ids: tuple[str, str], flag: str) -> None:
    """A name in the place of an id is refused before anything is sent."""
    with pytest.raises(UsageError, match=f"{flag} '.*' is no id of ChirpStack"):
        chirpstack.place(*ids)
