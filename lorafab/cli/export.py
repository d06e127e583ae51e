"""``lorafab export``: what the customer's network needs, for boards that passed."""

import argparse
import getpass
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lorafab.cli.command import open_ledger, show, verb
from lorafab.cli.private_key import add_private, open_private
from lorafab.errors import ExportError, UsageError

if TYPE_CHECKING:
    from lorafab.config.models import LotConfig
    from lorafab.export.device import Device
    from lorafab.run.exporting import Handed, Selection

_SERVER: Final = "chirpstack-grpc"

_AGE = ("recipient", "recipients_file", "plain")
_FORMATS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    # Format -> (options that it needs, options that it may have beside them).
    "tts-csv": (("out", "frequency_plan"), ("phy_version", *_AGE)),
    "tts-json": (("out", "frequency_plan"), ("phy_version", *_AGE)),
    "chirpstack": (("out", "application", "device_profile"), _AGE),
    _SERVER: (("application", "device_profile", "server", "token_file"), ("ca_file", "insecure")),
    "thingpark": (("out", "model"), _AGE),
    "aws": (("out", "destination", "device_profile", "service_profile"), _AGE),
    "csv": (("out",), _AGE),
}


def add(nouns: Any) -> None:
    """Declare the command."""
    export = verb(nouns, "export", _export, "hand a lot's boards that passed, with their keys, to a network", data=True)
    export.add_argument("--lot", required=True, metavar="LOT")
    export.add_argument("--format", required=True, choices=_FORMATS)
    add_private(export)
    export.add_argument("--operator", metavar="NAME", help="kept in the ledger's history (default: who is logged in)")
    export.add_argument("--demo", action="store_true", help="export a demo lot")

    file = export.add_argument_group("formats that are files")
    file.add_argument("--out", type=Path, metavar="FILE", help="must not exist")
    file.add_argument(
        "--recipient", action="append", metavar="age1...", help="encrypt with age to this customer (may be repeated)"
    )
    file.add_argument("--recipients-file", type=Path, metavar="FILE", help="file of recipients, one a line")
    file.add_argument("--plain", action="store_true", help="do not encrypt: the keys are in the clear, mode 0600")

    tts = export.add_argument_group("The Things Stack")
    tts.add_argument("--frequency-plan", metavar="ID", help="such as EU_863_870_TTN")
    tts.add_argument("--phy-version", metavar="ID", help="regional parameters, such as RP002_V1_0_3")

    others = export.add_argument_group("other networks")
    others.add_argument("--device-profile", metavar="ID", help="ChirpStack, AWS")
    others.add_argument("--model", metavar="ID", help="ThingPark")
    others.add_argument("--destination", metavar="NAME", help="AWS")
    others.add_argument("--service-profile", metavar="ID", help="AWS")

    chirpstack = export.add_argument_group("ChirpStack")
    chirpstack.add_argument("--application", metavar="ID")
    chirpstack.add_argument("--server", metavar="HOST:PORT")
    chirpstack.add_argument("--token-file", type=Path, metavar="FILE", help="file with the API key")
    chirpstack.add_argument("--ca-file", type=Path, metavar="FILE", help="PEM of the authority that signed the server")
    chirpstack.add_argument("--insecure", action="store_true", help="no TLS: to this computer only (SSH tunnel)")


def _export(options: argparse.Namespace) -> object:
    from lorafab.config.load import load_lot

    _check_options(options)
    lot = load_lot(options.root, options.lot)
    handed, selection, more = (_to_server if options.format == _SERVER else _to_file)(options, lot)
    result = {**_summary(options, handed, selection), **more}
    if not handed.failed:
        return result
    show(result, as_json=options.json)
    first, why = next(iter(handed.failed.items()))
    raise ExportError(
        f"{len(handed.failed)} of {len(selection.boards)} boards are not noted as exported, the first, {first}, "
        f"because {why}; repeat the export when that is settled"
    )


def _check_options(options: argparse.Namespace) -> None:
    needed, possible = _FORMATS[options.format]
    given = {name for names in _FORMATS.values() for name in (*names[0], *names[1]) if getattr(options, name)}
    missing = [_flag(name) for name in needed if name not in given]
    foreign = [_flag(name) for name in sorted(given) if name not in (*needed, *possible)]
    if missing:
        raise UsageError(f"format {options.format} needs {' and '.join(missing)}; give it, or see `lorafab export -h`")
    if foreign:
        raise UsageError(f"format {options.format} takes no {' and no '.join(foreign)}; leave it out")
    if "plain" in possible and options.plain == bool(options.recipient or options.recipients_file):
        raise UsageError(
            "an export holds keys, wanted either --recipient age1... (or --recipients-file FILE) of the customer, or "
            "--plain for a file in the clear; give one of the two"
        )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _to_file(options: argparse.Namespace, lot: "LotConfig") -> "tuple[Handed, Selection, dict[str, object]]":
    from lorafab.export import age
    from lorafab.run import exporting

    exporting.refuse_existing(options.out)
    named = [("--recipient", text) for text in options.recipient or ()]
    if options.recipients_file:
        named += age.read_recipients(options.recipients_file)
    recipients = age.parse_recipients(named)
    region = exporting.region_of(options.root, lot)
    write = _writer(options, lot, region)
    ledger = open_ledger(options, read_only=False)
    selection = exporting.select(ledger, lot, demo=options.demo)
    devices = exporting.open_devices(selection, lot, region, open_private(options))
    data = write(devices)
    handed, digest = exporting.to_file(
        options.out,
        age.encrypt(data, recipients) if recipients else data,
        selection,
        ledger,
        what=options.format,
        operator=_operator(options),
    )
    if options.plain and any(device.app_key for device in devices):
        print(
            f"lorafab: {options.out} holds the keys of its boards in the clear (mode 600); "
            "keep it off shared disks, and delete it when the customer has it",
            file=sys.stderr,
        )
    return handed, selection, {"file": str(options.out), "sha256": digest, "recipients": len(recipients)}


def _writer(options: argparse.Namespace, lot: "LotConfig", region: str | None) -> "Callable[[Sequence[Device]], bytes]":
    """What makes the format's bytes; all that can be wrong with its options is told now."""
    from lorafab.export import aws, chirpstack, generic, thingpark, tts

    if options.format == "csv":
        return generic.to_csv
    if options.format == "thingpark":
        thingpark.check(lot.lorawan, options.model)
        return lambda devices: thingpark.to_csv(devices, options.model)
    if options.format == "aws":
        profiles = aws.Profiles(options.destination, options.device_profile, options.service_profile)
        return lambda devices: aws.to_json_lines(devices, profiles)
    if options.format == "chirpstack":
        place = chirpstack.place(options.application, options.device_profile)
        return lambda devices: chirpstack.to_json(devices, place)
    radio = tts.radio(lot.lorawan, region, options.frequency_plan, options.phy_version)
    to_bytes = tts.to_csv if options.format == "tts-csv" else tts.to_json
    return lambda devices: to_bytes(devices, radio)


def _to_server(options: argparse.Namespace, lot: "LotConfig") -> "tuple[Handed, Selection, dict[str, object]]":
    from lorafab.drivers.chirpstack import ChirpstackServer
    from lorafab.export import chirpstack
    from lorafab.export.device import refuse_keyless
    from lorafab.run import exporting

    place = chirpstack.place(options.application, options.device_profile)
    token = options.token_file.read_text(encoding="utf-8", errors="replace").strip()
    ca = options.ca_file.read_bytes() if options.ca_file else None
    with ChirpstackServer(options.server, token, ca=ca, insecure=options.insecure) as server:
        ledger = open_ledger(options, read_only=False)
        selection = exporting.select(ledger, lot, demo=options.demo)
        region = exporting.region_of(options.root, lot)
        outcomes: dict[str, int] = {}

        def put(device: "Device") -> None:
            outcome = server.put(chirpstack.device_body(device, place), chirpstack.keys_body(device))
            outcomes[outcome] = outcomes.get(outcome, 0) + 1

        devices = exporting.open_devices(selection, lot, region, open_private(options))
        refuse_keyless(devices, options.format)
        handed = exporting.to_server(
            put,
            devices,
            selection,
            ledger,
            reason=f"{options.format} to {options.server}, application {place.application_id}",
            operator=_operator(options),
        )
    return handed, selection, {"server": options.server, "keys": outcomes}


def _operator(options: argparse.Namespace) -> str:
    from lorafab.stores.claims import check_text

    try:
        name: str = options.operator or getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        raise UsageError("nobody is logged in by name, wanted who exports; give --operator NAME") from None
    check_text("operator", name)  # now: the ledger would refuse it when the keys have left
    return name


def _summary(options: argparse.Namespace, handed: "Handed", selection: "Selection") -> dict[str, object]:
    """Counts for people; JSON names every board."""
    from lorafab.export.device import named

    left_out = selection.left_out
    return {
        "lot": options.lot,
        "format": options.format,
        "boards": len(handed.done),
        "exported_before": len(selection.again),
        "re_keyed": list(selection.re_keyed),
        "left_out": {why: list(names) if options.json else named(names) for why, names in left_out.items()},
        "failed": dict(handed.failed),
    }
