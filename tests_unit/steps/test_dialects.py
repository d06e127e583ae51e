"""lorafab.steps.dialects: what is sent to each modem, byte for byte, and what its words prove."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from lorafab.config.product import SerialStore
from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.secret import Secret
from lorafab.steps.dialects import DIALECTS

ROOT = Path(__file__).resolve().parents[2]
APP, NWK = "00112233445566778899AABBCCDDEEF0", "F0E1D2C3B4A5968778695A4B3C2D1E0F"
IDENTITY = Identity(
    serial="LA00000001",
    dev_eui=Eui64(0x024C464200100001),
    join_eui=Eui64(0x00005EEF10000001),
    app_key=Secret(bytes.fromhex(APP)),
    nwk_key=None,
    generation=3,
    region=5,
    lot="demo-st",
)
BOTH = replace(IDENTITY, nwk_key=Secret(bytes.fromhex(NWK)))
APP_COLONS = "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:F0"
NWK_COLONS = "F0:E1:D2:C3:B4:A5:96:87:78:69:5A:4B:3C:2D:1E:0F"

COMMANDS = {
    "lorafab": [
        "SET dev_eui=024C464200100001",
        "SET join_eui=00005EEF10000001",
        "SET serial=LA00000001",
        "SET region=5",
        "SET generation=3",
        "SET lot_crc=DBA4376B",
        f"SET app_key={APP}",
        "SET commit",
    ],
    "st-at-slave": [
        "AT+DEUI=02:4C:46:42:00:10:00:01",
        "AT+APPEUI=00:00:5E:EF:10:00:00:01",
        f"AT+NWKKEY={APP_COLONS}",
        f"AT+APPKEY={APP_COLONS}",
        "AT+CS",
    ],
    "rui3": ["AT+NJM=1", f"AT+APPKEY={APP}", "AT+DEVEUI=024C464200100001", "AT+APPEUI=00005EEF10000001"],
    "lora-e5": [
        "AT+MODE=LWOTAA",
        f'AT+KEY=APPKEY,"{APP}"',
        'AT+ID=DevEui,"024C464200100001"',
        'AT+ID=AppEui,"00005EEF10000001"',
    ],
    "rn2483": [
        "mac set deveui 024C464200100001",
        "mac set appeui 00005EEF10000001",
        f"mac set appkey {APP}",
        "mac save",
    ],
    "abz": ["AT+MODE=1", f"AT+APPKEY={APP}", "AT+DEVEUI=024C464200100001", "AT+APPEUI=00005EEF10000001"],
}


def sent(dialect: str, identity: Identity) -> list[str]:
    """What goes over the line to provision a board."""
    return [one.written().decode() for one in DIALECTS[dialect].commands(identity)]


def test_every_dialect_of_a_product_file_has_its_module_and_its_column_in_the_page() -> None:
    """A name that a product may write is a dialect that the line speaks."""
    names = get_args(SerialStore.model_fields["dialect"].annotation)
    assert set(names) == set(DIALECTS)
    page = (ROOT / "docs" / "serial-dialects.md").read_text()
    assert all(f" {name} |" in page and f"- {name}: " in page for name in names)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_lorawan_1_0_board_is_sent_these_bytes(dialect: str) -> None:
    """As the sources in docs/serial-dialects.md spell them."""
    assert sent(dialect, IDENTITY) == COMMANDS[dialect]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_last_command_has_no_key(dialect: str) -> None:
    """What a modem says after it, its banner among it, stands in the transcript in full."""
    assert not DIALECTS[dialect].commands(IDENTITY)[-1].is_secret


def test_st_gets_a_1_0_key_into_the_slot_from_which_it_joins_and_into_the_other_one() -> None:
    """NwkKey is what LoRaMac joins with; a default key left in the other slot would be known to everybody."""
    keys = [line for line in sent("st-at-slave", IDENTITY) if "KEY=" in line]
    assert keys == [f"AT+NWKKEY={APP_COLONS}", f"AT+APPKEY={APP_COLONS}"]


@pytest.mark.parametrize(
    ("dialect", "keys"),
    [
        ("st-at-slave", [f"AT+NWKKEY={NWK_COLONS}", f"AT+APPKEY={APP_COLONS}"]),
        ("abz", [f"AT$NWKKEY={NWK}", f"AT$APPKEY={APP}"]),
        ("lorafab", [f"SET app_key={APP}", f"SET nwk_key={NWK}"]),
    ],
)
def test_a_1_1_board_gets_each_key_into_its_own_slot(dialect: str, keys: list[str]) -> None:
    """Neither twice."""
    assert [
        line for line in sent(dialect, BOTH) if APP in line.replace(":", "") or NWK in line.replace(":", "")
    ] == keys
    assert DIALECTS[dialect].takes_nwk_key


def test_a_region_that_nobody_named_is_none_in_the_block() -> None:
    """0xFF, as identity block v1 says."""
    assert "SET region=255" in sent("lorafab", replace(IDENTITY, region=None))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_exchange_shows_no_key_when_it_is_printed(dialect: str) -> None:
    """A failing test prints it, and so may a debugger."""
    for identity in (IDENTITY, BOTH) if DIALECTS[dialect].takes_nwk_key else (IDENTITY,):
        for exchange in DIALECTS[dialect].commands(identity):
            shown = f"{exchange!r}{exchange.command}".upper()
            assert not any(part in shown for part in (APP[:8], APP_COLONS[:11], NWK[:8], NWK_COLONS[:11]))
            assert exchange.is_secret == (exchange.key is not None)


@pytest.mark.parametrize(
    ("dialect", "asked"),
    [
        ("st-at-slave", {"AT+NWKKEY=?", "AT+APPKEY=?"}),
        ("rui3", {"AT+APPKEY=?"}),
        ("abz", {"AT+APPKEY?"}),
        ("lora-e5", set()),
        ("rn2483", set()),
        ("lorafab", set()),
    ],
)
def test_a_question_for_a_key_is_a_secret_one(dialect: str, asked: set[str]) -> None:
    """Its answer may show a key that the run does not know yet."""
    questions = DIALECTS[dialect].questions(lorawan_1_1=False)
    assert {one.command for one in questions if one.is_secret} == asked


JOINS = {
    "st-at-slave": (["OK"], ["OK", "+EVT:JOINED"], ["OK", "+EVT:JOIN FAILED"]),
    "rui3": (["OK"], ["OK", "+EVT:JOINED"], ["OK", "+EVT:JOIN_FAILED_RX_TIMEOUT"]),
    "lora-e5": (
        ["+JOIN: Start", "+JOIN: NORMAL", "+JOIN: Done"],
        ["+JOIN: Start", "+JOIN: Network joined", "+JOIN: NetID 000013 DevAddr 26:01:5F:66", "+JOIN: Done"],
        ["+JOIN: Start", "+JOIN: NORMAL", "+JOIN: Join failed", "+JOIN: Done"],
    ),
    "rn2483": (["ok"], ["ok", "accepted"], ["ok", "denied"]),
    "abz": (["+OK", ""], ["+OK", "", "+EVENT=1,1"], ["+OK", "", "+EVENT=1,0"]),
}


@pytest.mark.parametrize("dialect", JOINS)
def test_what_a_modem_says_when_it_begins_to_join_proves_nothing(dialect: str) -> None:
    """OK, ok, +OK, and LoRa-E5's Done, which comes after a failure, too."""
    started, joined, failed = JOINS[dialect]
    speak = DIALECTS[dialect].join_result
    assert [speak(lines) for lines in ([], started, joined, failed)] == ["unknown", "unknown", "joined", "failed"]


@pytest.mark.parametrize("dialect", JOINS)
def test_the_last_word_on_a_join_counts(dialect: str) -> None:
    """A modem that tries several times fails before it joins."""
    _, joined, failed = JOINS[dialect]
    speak = DIALECTS[dialect].join_result
    assert (speak([*failed, *joined]), speak([*joined, *failed])) == ("joined", "failed")


def test_our_shell_has_no_join() -> None:
    """Nothing that it says is one."""
    assert DIALECTS["lorafab"].join_result(["OK", "joined"]) == "unknown"
