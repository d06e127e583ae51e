"""A network server for tests: ChirpStack's published gRPC stubs, its answers, and a network that fails on demand.

Answers are those of ChirpStack v4 (chirpstack/src/api/device.rs, api/auth/validator.rs, storage/error.rs): what exists
already is INTERNAL, what a tenant's key may not see is UNAUTHENTICATED, an empty key is read back as 32 zeros. With
``documented`` they are what the status codes' names promise: ALREADY_EXISTS and NOT_FOUND.

Clients reach the server through a forwarder, which can cut every connection in the middle of a call. Started as a
process by :func:`running`; it ends when its standard input does.
"""

import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from chirpstack_api import api
from google.protobuf.empty_pb2 import Empty

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "eyJ0eXAiOiJKV1QifQ.test-token.of-tenant-1"
APPLICATION = "8b0e2d0e-1111-4222-8333-444455556666"
PROFILE = "0d7e2e2a-1111-4222-8333-444455556666"
ZEROS = 32 * "0"


@dataclass
class Running:
    """A server in a process of its own."""

    address: str
    _state: Path

    def state(self) -> dict[str, Any]:
        """What it holds (``devices``, ``keys``: by DevEUI) and the names of the ``calls`` that reached it."""
        found: dict[str, Any] = json.loads(self._state.read_text())
        return found


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Running]:
    """Start a server; settings: documented, faults, storm, devices, keys, cert and key (PEM files), limit."""
    state = folder / "server.json"
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({**settings, "state": str(state)}).encode() + b"\n")
        process.stdin.flush()
        yield Running(f"127.0.0.1:{int(process.stdout.readline())}", state)
    finally:
        process.communicate(timeout=20)


class Forwarder:
    """Passes bytes between clients and the server, until they are cut off."""

    def __init__(self, backend: int) -> None:
        self._backend = backend
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection."""
        sockets, self._open = self._open, []
        for one in sockets:
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", self._backend))
            self._open += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


class Devices(api.DeviceServiceServicer):
    """The part of the server that exports talk to."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings, self._lock = settings, threading.Lock()
        self._faults: list[dict[str, Any]] = settings.get("faults", [])
        storm = settings.get("storm")
        self._storm = random.Random(storm["seed"]) if storm else None
        self._share = storm["share"] if storm else 0.0
        self.devices: dict[str, dict[str, Any]] = settings.get("devices", {})
        self.keys: dict[str, dict[str, str]] = settings.get("keys", {})
        self.calls: list[str] = []
        self.forwarder: Forwarder | None = None
        self._save()

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802 (the stub's name)
        """Add a device."""

        def commit() -> Any:
            device = request.device
            if device.application_id != APPLICATION:
                self._refuse(context, "UNAUTHENTICATED", "NOT_FOUND")
            if device.dev_eui in self.devices:
                self._refuse(context, "INTERNAL", "ALREADY_EXISTS")
            if len(self.devices) >= self._settings.get("limit", 1000):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Max number of devices exceeded for tenant")
            self.devices[device.dev_eui] = {
                "name": device.name,
                "application_id": device.application_id,
                "device_profile_id": device.device_profile_id,
                "join_eui": device.join_eui,
                "tags": dict(device.tags),
                "tenant": 1,
            }
            return Empty()

        return self._answer("Create", context, commit)

    def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Show a device."""

        def commit() -> Any:
            found = self.devices.get(request.dev_eui)
            if found is None or found["tenant"] != 1:
                self._refuse(context, "UNAUTHENTICATED", "PERMISSION_DENIED" if found else "NOT_FOUND")
            assert found is not None
            fields = {name: value for name, value in found.items() if name != "tenant"}
            return api.GetDeviceResponse(device=api.Device(dev_eui=request.dev_eui, **fields))

        return self._answer("Get", context, commit)

    def CreateKeys(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Add the keys of a device."""

        def commit() -> Any:
            keys = request.device_keys
            if keys.dev_eui not in self.devices:
                self._refuse(context, "UNAUTHENTICATED", "NOT_FOUND")
            if keys.dev_eui in self.keys:
                self._refuse(context, "INTERNAL", "ALREADY_EXISTS")
            self._set_keys(keys)
            return Empty()

        return self._answer("CreateKeys", context, commit)

    def GetKeys(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Show the keys of a device."""

        def commit() -> Any:
            found = self.keys.get(request.dev_eui)
            if found is None:
                context.abort(grpc.StatusCode.NOT_FOUND, "Object does not exist")
            return api.GetDeviceKeysResponse(device_keys=api.DeviceKeys(dev_eui=request.dev_eui, **(found or {})))

        return self._answer("GetKeys", context, commit)

    def UpdateKeys(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Replace the keys of a device."""

        def commit() -> Any:
            if request.device_keys.dev_eui not in self.keys:
                context.abort(grpc.StatusCode.NOT_FOUND, "Object does not exist")
            self._set_keys(request.device_keys)
            return Empty()

        return self._answer("UpdateKeys", context, commit)

    def FlushDevNonces(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Nobody should ask for this."""
        return self._answer("FlushDevNonces", context, Empty)

    def _set_keys(self, keys: Any) -> None:
        self.keys[keys.dev_eui] = {
            "nwk_key": keys.nwk_key or ZEROS,
            "app_key": keys.app_key or ZEROS,
            "gen_app_key": keys.gen_app_key or ZEROS,
        }

    def _refuse(self, context: Any, real: str, documented: str) -> None:
        code = documented if self._settings.get("documented") else real
        context.abort(grpc.StatusCode[code], "duplicate key value violates unique constraint" if code == real else "")

    def _answer(self, method: str, context: Any, commit: Any) -> Any:
        assert self.forwarder is not None
        with self._lock:
            self.calls.append(method)
            fault = self._fault(method)
        if ("authorization", f"Bearer {TOKEN}") not in [tuple(pair) for pair in context.invocation_metadata()]:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "invalid token")
        if fault == "unavailable":
            context.abort(grpc.StatusCode.UNAVAILABLE, "try again")
        if fault == "drop":  # before anything happened
            self.forwarder.cut()
            context.abort(grpc.StatusCode.UNAVAILABLE, "")
        if fault == "slow":  # and it happens after the client has given up
            time.sleep(self._settings.get("slow_s", 1.0))
        try:
            with self._lock:
                answer = commit()
                self._save()
        finally:
            if fault == "lost":  # whatever it was
                self.forwarder.cut()
        return answer

    def _fault(self, method: str) -> str | None:
        if self._storm is not None:
            calm = self._storm.random() >= self._share
            return None if calm else self._storm.choice([*3 * ["unavailable", "drop", "lost"], "slow"])
        for fault in self._faults:
            if fault["method"] == method and fault["times"] > 0:
                fault["times"] -= 1
                return str(fault["do"])
        return None

    def _save(self) -> None:
        path = Path(self._settings["state"])
        document = {"devices": self.devices, "keys": self.keys, "calls": self.calls}
        tmp = path.with_suffix(".tmp")
        tmp.write_text(json.dumps(document))
        tmp.replace(path)


def main() -> None:
    """Serve until standard input ends."""
    settings = json.loads(sys.stdin.readline())
    devices = Devices(settings)
    server = grpc.server(futures.ThreadPoolExecutor(16))
    api.add_DeviceServiceServicer_to_server(devices, server)
    if "cert" in settings:
        pair = (Path(settings["key"]).read_bytes(), Path(settings["cert"]).read_bytes())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    devices.forwarder = Forwarder(port)
    print(devices.forwarder.port, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
