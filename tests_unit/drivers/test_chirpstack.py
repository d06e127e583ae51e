"""lorafab.drivers.chirpstack: against a real server process, over a network that fails."""

import datetime
import ipaddress
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lorafab.domain.identity import Eui64
from lorafab.domain.secret import Secret
from lorafab.drivers.chirpstack import ChirpstackServer, Patience
from lorafab.errors import ExportError, ForeignDevice, UsageError
from lorafab.export import chirpstack
from lorafab.export.device import Device
from tests_unit.export.chirpstack_server import APPLICATION, PROFILE, TOKEN, ZEROS, Running, running

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "export" / "chirpstack_v4_create.constructed.json"
PLACE = chirpstack.place(APPLICATION, PROFILE)
QUICK = Patience(deadline_s=0.4, attempts=12, first_pause_s=0.005)


def board(number: int = 1, *, lorawan: str = "1.0.4", generation: int = 1) -> Device:
    key = Secret(bytes([number, generation, *range(14)]))
    other = Secret(bytes([number, generation, *range(100, 114)]))
    return Device(
        dev_eui=Eui64(0x70B3D5499A000000 + number),
        join_eui=Eui64(0x70B3D57ED0000001),
        serial=f"SN-{number:06}",
        label="LW:D0",
        lorawan=lorawan,
        region="EU868",
        generation=generation,
        app_key=key,
        nwk_key=other if lorawan == "1.1" else None,
    )


def connect(server: Running, **more: Any) -> ChirpstackServer:
    return ChirpstackServer(server.address, more.pop("token", TOKEN), **{"insecure": True, "patience": QUICK, **more})


def put(server: Running, *devices: Device, **more: Any) -> list[str]:
    with connect(server, **more) as client:
        return [client.put(chirpstack.device_body(one, PLACE), chirpstack.keys_body(one)) for one in devices]


def key(device: Device) -> str:
    assert device.app_key is not None
    return device.app_key.reveal().hex()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    """One that answers as ChirpStack does, without faults."""
    with running(tmp_path) as one:
        yield one


def test_a_device_of_lorawan_1_0_has_its_app_key_in_the_nwk_key_slot(server: Running) -> None:
    """And an empty app_key, name, profile, application, JoinEUI and serial where they belong."""
    one = board()
    assert put(server, one) == ["created"]
    assert server.state()["devices"] == {
        "70b3d5499a000001": {
            "name": "SN-000001",
            "application_id": APPLICATION,
            "device_profile_id": PROFILE,
            "join_eui": "70b3d57ed0000001",
            "tags": {"serial": "SN-000001"},
            "tenant": 1,
        }
    }
    assert server.state()["keys"]["70b3d5499a000001"]["nwk_key"] == key(one)
    assert server.state()["keys"]["70b3d5499a000001"]["app_key"] == ZEROS


def test_a_device_of_lorawan_1_1_has_both_keys_in_their_own_slots(server: Running) -> None:
    """NwkKey in nwk_key, AppKey in app_key."""
    one = board(lorawan="1.1")
    put(server, one)
    assert one.nwk_key is not None
    found = server.state()["keys"]["70b3d5499a000001"]
    assert (found["nwk_key"], found["app_key"]) == (one.nwk_key.reveal().hex(), key(one))


def test_the_bytes_on_the_wire_are_those_of_the_published_example() -> None:
    """CreateDeviceRequest and CreateDeviceKeysRequest, byte for byte."""
    from chirpstack_api import api
    from google.protobuf.json_format import ParseDict

    sample = json.loads(SAMPLE.read_text())
    one = Device(
        dev_eui=Eui64.parse("0102030405060708"),
        join_eui=Eui64.parse("70B3D57ED0000001"),
        serial="SN-000001",
        label="",
        lorawan="1.0.4",
        region="EU868",
        generation=1,
        app_key=Secret(bytes.fromhex("01020304050607080102030405060708")),
        nwk_key=None,
    )
    place = chirpstack.place("8b0e2d0e-1111-4222-8333-444455556666", "0d7e2e2a-1111-4222-8333-444455556666")
    device = ParseDict(chirpstack.device_body(one, place), api.Device())
    assert api.CreateDeviceRequest(device=device).SerializeToString().hex() == sample["wire_hex_CreateDeviceRequest"]
    keys = ParseDict(chirpstack.keys_body(one), api.DeviceKeys())
    wire = api.CreateDeviceKeysRequest(device_keys=keys).SerializeToString()
    assert wire.hex() == sample["wire_hex_CreateDeviceKeysRequest"]


@pytest.mark.parametrize("documented", [False, True], ids=["as ChirpStack answers", "as documented"])
def test_a_repeat_changes_nothing(tmp_path: Path, documented: bool) -> None:
    """Whichever way the server says that it has the device."""
    with running(tmp_path, documented=documented) as server:
        assert put(server, board()) == ["created"]
        before = server.state()
        assert put(server, board()) == ["unchanged"]
        assert (server.state()["devices"], server.state()["keys"]) == (before["devices"], before["keys"])
        assert "UpdateKeys" not in server.state()["calls"]


@pytest.mark.parametrize("documented", [False, True], ids=["as ChirpStack answers", "as documented"])
def test_a_board_that_was_re_keyed_gets_its_new_key_and_keeps_the_rest(tmp_path: Path, documented: bool) -> None:
    """The DevNonces that were used stay used, and the customer's name, profile and GenAppKey stay theirs."""
    one = board()
    eui = str(one.dev_eui).lower()
    theirs = {"name": "Pump 7", "application_id": APPLICATION, "device_profile_id": "other", "tenant": 1}
    devices = {eui: {**theirs, "join_eui": str(one.join_eui).lower(), "tags": {"place": "roof"}}}
    keys = {eui: {"nwk_key": ZEROS, "app_key": key(one), "gen_app_key": 16 * "ab"}}  # and in the wrong slot
    with running(tmp_path, documented=documented, devices=devices, keys=keys) as server:
        assert put(server, board(generation=2)) == ["updated"]
        assert server.state()["devices"] == devices
        wanted = {"nwk_key": key(board(generation=2)), "app_key": ZEROS, "gen_app_key": 16 * "ab"}
        assert server.state()["keys"] == {eui: wanted}
        assert "FlushDevNonces" not in server.state()["calls"]


@pytest.mark.parametrize("method", ["Create", "CreateKeys", "Get", "GetKeys", "UpdateKeys"])
def test_every_call_survives_every_fault(tmp_path: Path, method: str) -> None:
    """Refused for a while, cut before it happened, its answer lost, and done after the client had given up."""
    faults = [{"method": method, "do": fault, "times": 1} for fault in ("unavailable", "drop", "lost", "slow")]
    with running(tmp_path, faults=faults, slow_s=0.6) as server:
        put(server, board())
        put(server, board(generation=2))
        state = server.state()
        assert state["calls"].count(method) > 4
        found = {eui: keys["nwk_key"] for eui, keys in state["keys"].items()}
        assert found == {"70b3d5499a000001": key(board(generation=2))}
        assert list(state["devices"]) == ["70b3d5499a000001"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_after_a_storm_the_server_holds_exactly_the_devices(tmp_path: Path, seed: int) -> None:
    """Two of five calls fail, in every way; each board is there once, with its own key in the right slot."""
    boards = [board(number, lorawan="1.1" if number % 2 else "1.0.4") for number in range(1, 21)]
    with running(tmp_path, storm={"seed": seed, "share": 0.4}, slow_s=0.6) as server:
        put(server, *boards)
        put(server, *boards)
        state = server.state()
    assert sorted(state["devices"]) == sorted(str(one.dev_eui).lower() for one in boards)
    for one in boards:
        found = state["keys"][str(one.dev_eui).lower()]
        wanted = (key(one), ZEROS) if one.nwk_key is None else (one.nwk_key.reveal().hex(), key(one))
        assert (found["nwk_key"], found["app_key"]) == wanted


# --- refusals ---


def refused(error: pytest.ExceptionInfo[Exception], *words: str) -> None:
    """One sentence, with what is wanted, without token or key."""
    text = str(error.value)
    assert all(word in text for word in words), text
    assert "\n" not in text
    assert TOKEN not in text
    assert key(board()) not in text
    assert error.value.__cause__ is None
    assert error.value.__context__ is None or error.value.__suppress_context__


def test_a_wrong_token_is_refused_at_once(server: Running) -> None:
    """No retry, nothing on the server, and the token is not shown."""
    with pytest.raises(ExportError) as error:
        put(server, board(), token="another-token")
    refused(error, "UNAUTHENTICATED", "--token-file", "--application")
    assert "another-token" not in str(error.value)
    assert server.state()["devices"] == {}


@pytest.mark.parametrize(("documented", "code"), [(False, "UNAUTHENTICATED"), (True, "NOT_FOUND")])
def test_an_application_that_is_not_there_is_refused(tmp_path: Path, documented: bool, code: str) -> None:
    """Also by ChirpStack, which tells a tenant no more than that the key does not fit."""
    elsewhere = chirpstack.place("00000000-1111-4222-8333-444455556666", PROFILE)
    with running(tmp_path, documented=documented) as server, connect(server) as client:
        with pytest.raises(ExportError) as error:
            client.put(chirpstack.device_body(board(), elsewhere), chirpstack.keys_body(board()))
        refused(error, code, "--application")


@pytest.mark.parametrize("documented", [False, True], ids=["as ChirpStack answers", "as documented"])
def test_somebody_elses_device_is_left_alone(tmp_path: Path, documented: bool) -> None:
    """Its keys are never touched, and the sentence says whose it seems to be."""
    cases: list[tuple[dict[str, object], tuple[str, ...]]] = [
        ({"tenant": 2}, ("another tenant",)),
        ({"application_id": "ffffffff-1111-4222-8333-444455556666"}, ("in application", "ffffffff")),
        ({"join_eui": "0000000000000001"}, ("JoinEUI 0000000000000001", "70b3d57ed0000001")),
    ]
    boards = [board(number) for number in range(1, 4)]
    mine = {"name": "x", "application_id": APPLICATION, "device_profile_id": PROFILE, "tenant": 1, "tags": {}}
    devices = {
        str(one.dev_eui).lower(): {**mine, "join_eui": str(one.join_eui).lower(), **theirs}
        for one, (theirs, _) in zip(boards, cases, strict=True)
    }
    keys = {eui: {"nwk_key": 16 * "77", "app_key": ZEROS, "gen_app_key": ZEROS} for eui in devices}
    with running(tmp_path, documented=documented, devices=devices, keys=keys) as server:
        for one, (_, words) in zip(boards, cases, strict=True):
            with pytest.raises(ForeignDevice) as error:
                put(server, one)
            refused(error, str(one.dev_eui), *words)
        assert server.state()["keys"] == keys


def test_a_full_tenant_is_told(tmp_path: Path) -> None:
    """The third device of a tenant that may have two."""
    with running(tmp_path, limit=2) as server:
        with pytest.raises(ExportError) as error:
            put(server, board(1), board(2), board(3))
        refused(error, "INVALID_ARGUMENT", "limit of devices", "70B3D5499A000003")
        assert len(server.state()["keys"]) == 2


def test_patience_ends(tmp_path: Path) -> None:
    """A server that never answers is given up, with pauses that doubled."""
    pauses = list[float]()
    faults = [{"method": "Create", "do": "unavailable", "times": 99}]
    with running(tmp_path, faults=faults) as server:
        with pytest.raises(ExportError) as error:
            put(server, board(), patience=Patience(attempts=4, first_pause_s=0.5), pause=pauses.append)
        refused(error, "4 attempts", "UNAVAILABLE", "--ca-file")
    assert pauses == [0.5, 1.0, 2.0]


def test_nobody_at_the_address(tmp_path: Path) -> None:
    """A server that ended is told like one that does not answer."""
    with running(tmp_path) as server:
        pass
    with pytest.raises(ExportError) as error:
        put(server, board(), patience=Patience(attempts=2, first_pause_s=0.01))
    refused(error, "2 attempts", "UNAVAILABLE")


@pytest.mark.parametrize(
    "server", ["https://chirpstack.example:443", "chirpstack.example", "x:0", "x:65536", "", "a b:1"]
)
def test_an_address_is_host_and_port(server: str) -> None:
    """Anything else is a usage error, not a search for a host of that name."""
    with pytest.raises(UsageError, match="HOST:PORT"):
        ChirpstackServer(server, TOKEN)


@pytest.mark.parametrize("server", ["192.168.1.5:8080", "chirpstack.example:8080", "[2001:db8::1]:8080", "0.0.0.0:1"])
def test_keys_do_not_cross_a_network_in_the_clear(server: str) -> None:
    """--insecure is for this computer."""
    with pytest.raises(UsageError, match="--insecure was given for"):
        ChirpstackServer(server, TOKEN, insecure=True)


@pytest.mark.parametrize("server", ["127.0.0.1:8080", "127.1.2.3:8080", "localhost:8080", "[::1]:8080"])
def test_this_computer_needs_no_tls(server: str) -> None:
    """Where the server itself runs here, or a tunnel begins."""
    ChirpstackServer(server, TOKEN, insecure=True).close()


@pytest.mark.parametrize("token", ["", "two words", "Grüße", "a\nb"])
def test_a_token_is_one_word(token: str) -> None:
    """Whatever else the file holds is refused and not shown."""
    with pytest.raises(UsageError, match="holds no API key") as error:
        ChirpstackServer("localhost:1", token)
    assert not token or token not in str(error.value)


def test_without_the_packages_the_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A station has no need of gRPC; who exports gets told what to install."""
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(UsageError, match=r"grpc is missing.*lorafab\[chirpstack\]"):
        ChirpstackServer("localhost:1", TOKEN)


# --- TLS ---


def make_authority(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """A certification authority, and a certificate of its for 127.0.0.1: (ca, cert, key) as PEM files."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"authority {name}")])
    now = datetime.datetime.now(datetime.UTC)
    made = []
    for subject, private, extension in (
        (issuer, keys[0], x509.BasicConstraints(ca=True, path_length=None)),
        (
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")]),
            keys[1],
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
        ),
    ):
        builder = x509.CertificateBuilder(
            issuer_name=issuer,
            subject_name=subject,
            public_key=private.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(days=1),
            not_valid_after=now + datetime.timedelta(days=1),
        ).add_extension(extension, critical=False)
        made.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    paths = tuple(folder / f"{name}-{part}.pem" for part in ("ca", "cert", "key"))
    pem = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for path, data in zip(paths, (*made, pem), strict=True):
        path.write_bytes(data)
    return paths[0], paths[1], paths[2]


def test_over_tls_the_server_must_be_the_one_that_the_authority_signed(tmp_path: Path) -> None:
    """With its authority it is talked to; with another one, or with the system's, not a byte of key is sent."""
    ca, cert, private = make_authority(tmp_path, "right")
    other, _, _ = make_authority(tmp_path, "other")
    with running(tmp_path, cert=str(cert), key=str(private)) as server:
        once = Patience(attempts=1, deadline_s=5)
        for wrong in (other.read_bytes(), None):
            with pytest.raises(ExportError, match="UNAVAILABLE"):
                put(server, board(), ca=wrong, insecure=False, patience=once)
        assert server.state()["calls"] == []
        assert put(server, board(), ca=ca.read_bytes(), insecure=False, patience=Patience()) == ["created"]
        assert server.state()["keys"]["70b3d5499a000001"]["nwk_key"] == key(board())
    with pytest.raises(UsageError, match="--ca-file holds no certificate"):
        ChirpstackServer("localhost:1", TOKEN, ca=private.read_bytes())
