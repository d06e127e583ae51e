"""lorafab.export.generic: the plain CSV."""

import csv
import io

import pytest

from lorafab.domain.identity import Eui64
from lorafab.domain.secret import Secret
from lorafab.export import generic
from lorafab.export.device import Device

APP, NWK = Secret(bytes(range(16))), Secret(bytes(range(16, 32)))


@pytest.mark.parametrize("two_keys", [False, True])
def test_every_column(two_keys: bool) -> None:
    """nwk_key and its check value for LoRaWAN 1.1 only; a serial with a comma and quotes arrives whole."""
    one = Device(
        dev_eui=Eui64(0x70B3D5499A1B2C3D),
        join_eui=Eui64(0x70B3D57ED0000001),
        serial='S,"1"',
        label="LW:D0:70B3D57ED0000001:70B3D5499A1B2C3D:AABB1122:O***",
        lorawan="1.1" if two_keys else "1.0.4",
        region="EU868",
        generation=2,
        app_key=APP,
        nwk_key=NWK if two_keys else None,
    )
    (row,) = csv.DictReader(io.StringIO(generic.to_csv([one]).decode(), newline=""))
    nwk = {"nwk_key": "101112131415161718191A1B1C1D1E1F", "kcv_nwk": NWK.kcv()} if two_keys else {}
    assert row == {
        "dev_eui": "70B3D5499A1B2C3D",
        "join_eui": "70B3D57ED0000001",
        "app_key": "000102030405060708090A0B0C0D0E0F",
        "serial": 'S,"1"',
        "kcv": APP.kcv(),
        "generation": "2",
        "lorawan": one.lorawan,
        "region": "EU868",
        "label": "LW:D0:70B3D57ED0000001:70B3D5499A1B2C3D:AABB1122:O***",
        **nwk,
    }
