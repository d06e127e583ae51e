"""lorafab.export.thingpark and .aws, against the published examples."""

import json
from pathlib import Path

import pytest

from lorafab.domain.identity import Eui64
from lorafab.domain.secret import Secret
from lorafab.errors import UsageError
from lorafab.export import aws, thingpark
from lorafab.export.device import Device

DATA = Path(__file__).resolve().parents[1] / "data" / "export"


def board(dev_eui: str, join_eui: str, app_key: str, nwk_key: str | None = None) -> Device:
    return Device(
        dev_eui=Eui64.parse(dev_eui),
        join_eui=Eui64.parse(join_eui),
        serial="SampleIoTWirelessThing",
        label="",
        lorawan="1.1" if nwk_key else "1.0.4",
        region="EU868",
        generation=1,
        app_key=Secret(bytes.fromhex(app_key)),
        nwk_key=Secret(bytes.fromhex(nwk_key)) if nwk_key else None,
    )


def test_thingparks_line_is_that_of_its_example() -> None:
    """But for the model id, which the example leaves out."""
    one = board("F03D29000BB17AAA", "8899AABBCCDDEEFF", "1B3E11A6A8CE91C6A1F12581D9CC4A2C")
    ours = thingpark.to_csv([one, one], "LORA/GenericA.1.0.4").decode().splitlines()
    assert len(ours) == 2
    example = (DATA / "thingpark_otaa.constructed.csv").read_text().splitlines()[0]
    assert ours[0].replace("LORA/GenericA.1.0.4", "") == example


@pytest.mark.parametrize(
    ("lorawan", "model", "words"),
    [("1.1", "m", "NwkKey of LoRaWAN 1.1"), ("1.0.4", "a,b", "no model id"), ("1.0.4", " ", "no model id")],
)
def test_thingpark_is_refused_what_its_file_cannot_say(lorawan: str, model: str, words: str) -> None:
    """Rather than a line that means something else."""
    with pytest.raises(UsageError, match=words):
        thingpark.check(lorawan, model)


@pytest.mark.parametrize(
    ("example", "nwk_key"),
    [
        ("aws_create_wireless_device_v1_0_x.constructed.json", None),
        ("aws_create_wireless_device_v1_1.json", "01c3f004a2d6efffe32c4eda14bcd2b4"),
    ],
)
def test_a_request_to_aws_is_that_of_the_example(example: str, nwk_key: str | None) -> None:
    """Every field of it but the description; each request on a line of its own."""
    one = board("AC12EFC654D23FC2", "B4C231A359BC2E3D", "3f4ca100e2fc675ea123f4eb12c4a012", nwk_key)
    profiles = aws.Profiles(
        "IoTWirelessDestination", "ab0c23d3-b001-45ef-6a01-2bc3de4f5333", "fe98dc76-cd12-001e-2d34-5550432da100"
    )
    lines = aws.to_json_lines([one, one], profiles).decode().splitlines()
    wanted = json.loads((DATA / example).read_text())
    del wanted["Description"]
    assert [json.loads(line) for line in lines] == [wanted, wanted]
