"""A ChirpStack v4 server, over gRPC: devices are created there with their keys, and a repeat changes nothing.

Sources: chirpstack-api (``api/device.proto``) and ChirpStack's ``chirpstack/src/api/device.rs``, ``api/auth`` and
``storage`` (v4.11 and later), which answer in ways that the protocol does not tell:

- What exists already is refused with ALREADY_EXISTS or, because only "not found" is translated from the database, with
  INTERNAL. So after either the server is asked what it has.
- A tenant's API key gets UNAUTHENTICATED for an application or device that is not the tenant's or does not exist.
- An empty key is kept, and given back, as 32 zeros. UpdateKeys replaces all keys, GenAppKey as well, and keeps the
  DevNonces that were used; CreateKeys starts without any.

DevNonces are never flushed (FlushDevNonces): a board that was re-keyed goes on with higher ones, and a server that
forgets the used ones takes a recorded Join-request again.
"""

import ipaddress
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, Self

from lorafab.errors import ExportError, ForeignDevice, UsageError

Outcome = Literal["created", "updated", "unchanged"]
"""What became of a device's keys; *unchanged* also where only the answer to an earlier attempt was lost."""

_SERVER = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})", re.ASCII)
_NO_KEY: Final = 32 * "0"


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for; all in seconds but ``attempts``."""

    deadline_s: float = 10.0
    """Of one call."""
    attempts: int = 8
    first_pause_s: float = 0.1
    """Doubled after each attempt that failed, so that eight of them take 12.7 s and the calls' own time."""


class ChirpstackServer:
    """One server ``host:port``, reached with the API key ``token``.

    ``ca`` (PEM) replaces the system's certification authorities. ``insecure`` goes without TLS, to this computer only:
    keys and token would cross the network in the clear. Nothing is sent yet. Raises UsageError.
    """

    def __init__(
        self,
        server: str,
        token: str,
        *,
        ca: bytes | None = None,
        insecure: bool = False,
        patience: Patience | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name, self._patience, self._pause = server, patience or Patience(), pause
        self._grpc, self._api, self._parse = _libraries()
        host = _host(server)
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise UsageError(
                "the token file holds no API key, wanted the one line that ChirpStack shows when it makes one; "
                "copy it again"
            )
        if insecure and not _is_loopback(host):
            raise UsageError(
                f"--insecure was given for {host}, wanted this computer (127.0.0.1, ::1, localhost): keys and token "
                "would cross the network in the clear; use TLS, or an SSH tunnel"
            )
        if ca is not None and b"-----BEGIN CERTIFICATE-----" not in ca:
            raise UsageError("--ca-file holds no certificate in PEM, wanted that of the server's authority; correct it")
        # Fresh attempts connect anew: grpc's own back-off would answer them with the failure of the one before.
        options = [
            ("grpc.initial_reconnect_backoff_ms", int(1000 * self._patience.first_pause_s)),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        self._metadata = (("authorization", f"Bearer {token}"),)
        if insecure:
            # Not through a proxy of the environment: it would read keys and token.
            self._channel = self._grpc.insecure_channel(server, options=[*options, ("grpc.enable_http_proxy", 0)])
        else:
            credentials = self._grpc.ssl_channel_credentials(root_certificates=ca)
            self._channel = self._grpc.secure_channel(server, credentials, options=options)
        self._devices = self._api.DeviceServiceStub(self._channel)

    def put(self, device: Mapping[str, object], keys: Mapping[str, object]) -> Outcome:
        """Make the server hold this device with these keys (JSON forms of api.Device and api.DeviceKeys).

        May be repeated; a device that exists keeps its name, profile and tags. Raises ForeignDevice for one that
        exists in another application or with another JoinEUI, ExportError for everything that would hit the next
        device too.
        """
        wanted = self._parse(dict(device), self._api.Device())
        try:
            self._call("Create", self._api.CreateDeviceRequest(device=wanted))
        except self._grpc.RpcError as error:
            self._must_hold(wanted, error)
        return self._put_keys(self._parse(dict(keys), self._api.DeviceKeys()))

    def close(self) -> None:
        """Hang up; may be called twice."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Inside

    def _must_hold(self, wanted: Any, refusal: Any) -> None:
        """After a refused Create: the server has this very device, or an error says why not."""
        if not self._may_exist(refusal):
            raise self._failed(f"create device {wanted.dev_eui.upper()}", refusal) from None
        try:
            found = self._call("Get", self._api.GetDeviceRequest(dev_eui=wanted.dev_eui)).device
        except self._grpc.RpcError as error:
            if error.code() in (self._grpc.StatusCode.UNAUTHENTICATED, self._grpc.StatusCode.PERMISSION_DENIED):
                raise ForeignDevice(
                    f"{self._name} refused to create device {wanted.dev_eui.upper()} ({refusal.code().name}) and does "
                    "not show it to this API key, as when another tenant has it; find out who, and export again"
                ) from None
            raise self._failed(f"create device {wanted.dev_eui.upper()}", refusal) from None
        for what, has, wants in (
            ("in application", found.application_id, wanted.application_id),
            ("with JoinEUI", found.join_eui, wanted.join_eui),
        ):
            if has.lower() != wants.lower():
                raise ForeignDevice(
                    f"{self._name} has device {wanted.dev_eui.upper()} {what} {has}, wanted {wants}; "
                    "remove it there or correct the export, and export again"
                ) from None

    def _put_keys(self, wanted: Any) -> Outcome:
        try:
            self._call("CreateKeys", self._api.CreateDeviceKeysRequest(device_keys=wanted))
        except self._grpc.RpcError as error:
            refusal = error
        else:
            return "created"
        what = f"store the keys of {wanted.dev_eui.upper()}"
        if not self._may_exist(refusal):
            raise self._failed(what, refusal) from None
        try:
            found = self._call("GetKeys", self._api.GetDeviceKeysRequest(dev_eui=wanted.dev_eui)).device_keys
        except self._grpc.RpcError:
            raise self._failed(what, refusal) from None
        if _slots(found) == _slots(wanted):
            return "unchanged"
        wanted.gen_app_key = found.gen_app_key  # not ours, and an update would clear it
        try:
            self._call("UpdateKeys", self._api.UpdateDeviceKeysRequest(device_keys=wanted))
        except self._grpc.RpcError as error:
            raise self._failed(what, error) from None
        return "updated"

    def _call(self, method: str, request: Any) -> Any:
        """Call until the server answers: a lost answer and a lost request look alike, so every call may come twice."""
        pause = self._patience.first_pause_s
        for left in reversed(range(self._patience.attempts)):
            try:
                return getattr(self._devices, method)(
                    request, timeout=self._patience.deadline_s, metadata=self._metadata
                )
            except self._grpc.RpcError as error:
                if not left or not self._is_transient(error):
                    raise
            self._pause(pause)
            pause *= 2
        raise AssertionError  # attempts is positive

    def _is_transient(self, error: Any) -> bool:
        codes = self._grpc.StatusCode
        return error.code() in (codes.UNAVAILABLE, codes.DEADLINE_EXCEEDED)

    def _may_exist(self, error: Any) -> bool:
        codes = self._grpc.StatusCode
        return error.code() in (codes.ALREADY_EXISTS, codes.INTERNAL)

    def _failed(self, what: str, error: Any) -> ExportError:
        """One sentence. The server's own words are left out: they may quote what was sent."""
        codes, code = self._grpc.StatusCode, error.code()
        if self._is_transient(error):
            return ExportError(
                f"{self._name} did not {what} in {self._patience.attempts} attempts ({code.name}); check address, "
                "network, TLS and --ca-file, and export again"
            )
        if code in (codes.UNAUTHENTICATED, codes.PERMISSION_DENIED):
            return ExportError(
                f"{self._name} refused to {what} ({code.name}): the API key is not valid, is read-only, or is not of "
                "the application's tenant; check --token-file and --application, and export again"
            )
        if code is codes.NOT_FOUND:
            return ExportError(
                f"{self._name} could not {what} (NOT_FOUND): there is no such application, or the device was removed; "
                "check --application, and export again"
            )
        return ExportError(
            f"{self._name} refused to {what} ({code.name}); check --application, --device-profile and the tenant's "
            "limit of devices, look into the server's log, and export again"
        )


def _libraries() -> tuple[Any, Any, Callable[..., Any]]:
    """Import grpc, chirpstack_api.api and protobuf's JSON reader. Raises UsageError."""
    try:
        import grpc
        from chirpstack_api import api
        from google.protobuf.json_format import ParseDict
    except ImportError as error:
        raise UsageError(
            f"the package {error.name} is missing, wanted for ChirpStack's gRPC; run "
            "`pip install 'lorafab[chirpstack]'`, or export the file form"
        ) from None
    return grpc, api, ParseDict


def _host(server: str) -> str:
    match = _SERVER.fullmatch(server)
    if match is None or not 0 < int(match["port"]) < 1 << 16:
        raise UsageError(
            f"--server {server[:60]!r} is no address, wanted HOST:PORT without a scheme (chirpstack.example.com:443); "
            "correct it"
        )
    return match["host"].strip("[]")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _slots(keys: Any) -> tuple[str, str]:
    return (keys.nwk_key or _NO_KEY).lower(), (keys.app_key or _NO_KEY).lower()
