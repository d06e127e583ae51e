"""``lorafab station``, ``lorafab report`` and ``lorafab probes``: places on the line and what they leave."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorafab.cli.command import data_folder, noun, verb
from lorafab.errors import RecordError

if TYPE_CHECKING:
    from lorafab.config.load import LineConfig


def add(nouns: Any) -> None:
    """Declare the commands."""
    report = noun(nouns, "report", "pages for QA, made from records")
    verb(report, "board", _report_board, "make the report of one run again", data=True).add_argument("run")

    station = noun(nouns, "station", "places on the line")
    verb(station, "check", _station_check, "read a station's files and say what they mean").add_argument("name")

    probes = nouns.add_parser("probes", help="debug probes that pyOCD sees")
    probes.set_defaults(handler=_probes)
    probes.add_argument("--json", action="store_true", help="print one JSON document")


def _report_board(options: argparse.Namespace) -> object:
    from lorafab.run.recording import write_report
    from lorafab.stores.records import RecordStore

    records = RecordStore(data_folder(options))
    record = records.get(options.run)
    if record is None:
        raise RecordError(
            f"there is no record of run {options.run} in {data_folder(options)}; check the run id and --data"
        )
    return {"report": str(write_report(data_folder(options), records, record))}


def _station_check(options: argparse.Namespace) -> object:
    from lorafab.config.load import load_station
    from lorafab.drivers.image_file import load_image
    from lorafab.run.station import hardware_of

    config = load_station(options.root, options.name)
    hardware_of(config)
    base, manifest = config.product.image.base, config.manifest_path
    image = load_image(config.image_path, named_by=config.image_named_by, base=base, manifest=manifest)
    return {
        "station": config.station.station,
        "lot": config.lot.lot,
        "product": config.product.product,
        "image": {"file": image.name, "version": image.version, "bytes": image.size, "sha256": image.sha256},
        "plan": [f"{step.test}: {step.title}" for step in config.plan.steps],
        "notices": _notices(config, options.root),
    }


def _notices(config: "LineConfig", root: Path) -> list[str]:
    """What is allowed, and better changed before boards are sold."""
    from lorafab.stores.vault import weak_points

    vault = config.station.vault
    if vault.demo:
        return []
    mirror, escrow = (root / name if name else None for name in (vault.mirror, vault.escrow_key))
    return weak_points(mirror, escrow, root / "data")


def _probes(_options: argparse.Namespace) -> object:
    from lorafab.drivers.pyocd_programmer import list_probes

    return list_probes()
