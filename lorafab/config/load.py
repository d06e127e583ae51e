"""Finds a station's files, reads them, and holds them against each other, before any hardware is touched."""

import dataclasses
import hashlib
import json
import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from lorafab.config.errors_text import config_error, mistakes
from lorafab.config.models import (
    DATA_PREFIX,
    NAME_PATTERN,
    DevEuiRange,
    LotConfig,
    SerialScanner,
    StationConfig,
)
from lorafab.config.product import ProductConfig
from lorafab.config.yaml_map import KeyPath, YamlMap, load_yaml
from lorafab.domain.identity import Eui64
from lorafab.domain.measurement import Spec
from lorafab.domain.plan import Plan
from lorafab.errors import ConfigError

_Model = TypeVar("_Model", bound=BaseModel)
_NAME = re.compile(NAME_PATTERN.removesuffix("$") + r"\Z")


@dataclass(frozen=True)
class LineConfig:
    """All that the files say for one station, checked."""

    root: Path
    """The project's root, to which the files' paths are relative."""
    station: StationConfig
    product: ProductConfig
    lot: LotConfig
    plan: Plan
    """The product's plan with the station's limits."""
    files_sha256: Mapping[str, str]
    """SHA-256 of every file read, by its name relative to the root."""
    image_named_by: str
    """``file:line:column: key`` that names the image, for messages."""
    mcu_named_by: str
    """``file:line:column: key`` that names the microcontroller."""
    source_named_by: str
    """``file:line:column: key`` that says where the lot's DevEUIs come from."""
    identity_named_by: str
    """``file:line:column: key`` that says where the identity is kept."""
    memory_named_by: str
    """``file:line:column: key`` that begins the product's memory map."""

    @property
    def image_path(self) -> Path:
        """The firmware image."""
        return Path(os.path.normpath(self.product_folder / self.product.image.file))

    @property
    def manifest_path(self) -> Path | None:
        """The file that pins the image, where the product names one."""
        name = self.product.image.manifest
        return None if name is None else self.image_path.parent / name

    @property
    def product_folder(self) -> Path:
        """Folder of the product's files."""
        return self.root / "firmware" / self.product.product

    @property
    def region(self) -> str | None:
        """The lot's region, or else the product's."""
        return self.lot.region or self.product.region

    @property
    def config_sha256(self) -> str:
        """One hash over names and contents of all files, 64 hex digits."""
        return _json_sha256(sorted(self.files_sha256.items()))

    @property
    def plan_sha256(self) -> str:
        """Hash of the plan as it is judged (station limits applied), 64 hex digits."""
        return _json_sha256(dataclasses.asdict(self.plan))


def _json_sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def resolve_port(port: str, data: Path) -> str:
    """Fill in ``{data}/``: ports of virtual boards lie in the data folder of the run."""
    return str(data / port.removeprefix(DATA_PREFIX)) if port.startswith(DATA_PREFIX) else port


def station_names(root: Path) -> list[str]:
    """Stations that have a file, sorted."""
    return _names(root / "stations")


def lot_names(root: Path) -> list[str]:
    """Lots that have a file, sorted."""
    return _names(root / "stations" / "lots")


def product_names(root: Path) -> list[str]:
    """Products that have a file, sorted."""
    return sorted(path.parent.name for path in (root / "firmware").glob("*/product.yaml"))


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml") if _NAME.match(path.stem))


def load_station(root: Path, name: str, lot: str | None = None) -> LineConfig:
    """Read ``stations/<name>.yaml`` with its product and its lot (or the lot named here).

    Raises ConfigError; all mistakes of the first file that has any are told at once.
    """
    _known("station", name, station_names(root))
    source, station = read_station(root, name)
    _known("lot", station.lot if lot is None else lot, lot_names(root), None if lot else source.at(("lot",)) + ": ")
    if station.product is not None:
        _known("product", station.product, product_names(root), source.at(("product",)) + ": ")
    lot_source, lot_config = _load_lot(root, station.lot if lot is None else lot)
    if station.product is None:
        _known("product", lot_config.product, product_names(root), lot_source.at(("product",)) + ": ")
    product_source, product = read_product(root, station.product or lot_config.product)
    found = [
        *_port_mistakes(station),
        *_jig_mistakes(station, lot_config),
        *_vault_mistakes(root, station),
        *_lot_mistakes(station, lot_config, lot_source),
        *_identity_mistakes(product, lot_config, lot_source),
        *_limit_mistakes(station, product),
    ]
    if found:
        raise mistakes(source, found)
    return LineConfig(
        root=root,
        station=station,
        product=product,
        lot=lot_config,
        plan=_with_limits(product.test_plan(), station),
        files_sha256={one.file: hashlib.sha256(one.raw).hexdigest() for one in (source, lot_source, product_source)},
        image_named_by=f"{product_source.at(('image', 'file'))}: image.file",
        mcu_named_by=f"{product_source.at(('mcu',))}: mcu",
        source_named_by=f"{lot_source.at(('dev_eui', 'source'))}: dev_eui.source",
        identity_named_by=f"{product_source.at(('identity',))}: identity",
        memory_named_by=f"{product_source.at(('memory',))}: memory",
    )


def read_station(root: Path, name: str) -> tuple[YamlMap, StationConfig]:
    """Read a station that exists, alone, with the places of its keys. Raises ConfigError."""
    return _load(root, f"stations/{name}.yaml", StationConfig, "station", name)


def load_lot(root: Path, name: str) -> LotConfig:
    """Read ``stations/lots/<name>.yaml``, and hold it against all other lots. Raises ConfigError."""
    _known("lot", name, lot_names(root))
    return _load_lot(root, name)[1]


def load_lots(root: Path) -> list[LotConfig]:
    """Read all lots, by name, and hold them against each other. Raises ConfigError."""
    lots = [read_lot(root, name) for name in lot_names(root)]
    for place, (source, lot) in enumerate(lots, start=1):
        _refuse_overlaps(source, lot, lots[place:])
    return [lot for _, lot in lots]


def read_lot(root: Path, name: str) -> tuple[YamlMap, LotConfig]:
    """Read a lot that exists, alone, with the places of its keys. Raises ConfigError."""
    return _load(root, f"stations/lots/{name}.yaml", LotConfig, "lot", name)


def _load_lot(root: Path, name: str) -> tuple[YamlMap, LotConfig]:
    source, lot = read_lot(root, name)
    # A lot file that cannot be read is refused, whosever it is: its numbers might be this lot's.
    _refuse_overlaps(source, lot, [read_lot(root, other) for other in lot_names(root) if other != name])
    return source, lot


def read_product(root: Path, name: str) -> tuple[YamlMap, ProductConfig]:
    """Read a product that exists, with the places of its keys. Raises ConfigError."""
    return _load(root, f"firmware/{name}/product.yaml", ProductConfig, "product", name)


def _load(root: Path, file: str, model: type[_Model], key: str, name: str) -> tuple[YamlMap, _Model]:
    source = load_yaml(root / file, file)
    try:
        value = model.model_validate(source.data)
    except ValidationError as error:
        raise config_error(error, source, model) from None
    if (said := getattr(value, key)) != name:
        raise mistakes(source, [((key,), f"{key} says {said}, but the file is {name}'s; make the two equal")])
    return source, value


def _known(what: str, name: str, known: list[str], place: str | None = None) -> None:
    if name in known:
        return
    if not _NAME.match(name):
        raise ConfigError(
            f"{place or ''}{name[:40]!r} cannot be a {what}: wanted a name of at most 32 letters, digits, _ and -, "
            "not a path; name one that exists"
        )
    listed = ", ".join(known) or "none yet"
    raise ConfigError(f"{place or ''}there is no {what} {name}; known {what}s: {listed}")


# --- what only shows when files are held against each other ---

_Mistakes = list[tuple[KeyPath, str]]


def _port_mistakes(station: StationConfig) -> _Mistakes:
    scanner = station.scanner
    # Two names of one device (by-path link and ttyUSB0) are one port.
    if isinstance(scanner, SerialScanner) and os.path.realpath(scanner.port) == os.path.realpath(station.link.port):
        return [(("scanner", "port"), f"scanner.port is link.port ({scanner.port}); give each driver its own port")]
    return []


def _jig_mistakes(station: StationConfig, lot: LotConfig) -> _Mistakes:
    found: _Mistakes = []
    virtual = station.jig.driver == "virtual"
    if station.scanner.driver == "camera" and not virtual:
        found.append((("scanner", "driver"), f"the {station.jig.driver} jig has no camera; use another scanner"))
    if virtual and lot.kind != "demo":
        found.append((("lot",), f"lot {lot.lot} is of kind {lot.kind}, but virtual boards take only lots of kind demo"))
    if not virtual and station.link.port.startswith(DATA_PREFIX):
        found.append((("link", "port"), f"ports in {DATA_PREFIX} are for virtual boards; name a serial device"))
    return found


def _vault_mistakes(root: Path, station: StationConfig) -> _Mistakes:
    if station.vault.demo and station.jig.driver != "virtual":
        # The demo vault's private half lies beside it: real keys would be open to everybody.
        return [(("vault", "demo"), "the demo vault is for virtual boards only; make one with `lorafab vault init`")]
    # Not so the mirror: a disk that is not mounted is the station's trouble, no mistake in its file.
    named = {"public_key": station.vault.public_key, "escrow_key": station.vault.escrow_key}
    return [
        (("vault", key), f"{file} does not exist; make it with `lorafab vault init` or name another")
        for key, file in named.items()
        if file is not None and not (root / file).is_file()
    ]


def _lot_mistakes(station: StationConfig, lot: LotConfig, lot_source: YamlMap) -> _Mistakes:
    if station.product is not None and lot.product != station.product:
        where = lot_source.at(("product",))
        return [(("product",), f"product is {station.product}, but lot {lot.lot} is of {lot.product} ({where})")]
    return []


def _identity_mistakes(product: ProductConfig, lot: LotConfig, lot_source: YamlMap) -> _Mistakes:
    source, store = lot.dev_eui.source, product.identity.store
    brings = {"secure-element": "secure-element", "external": "external"}.get(source)
    if brings in (None, store) and (store != "secure-element" or source == store):
        return []
    where = lot_source.at(("dev_eui", "source"))
    return [
        (
            ("lot",),
            f"lot {lot.lot} has dev_eui.source {source} ({where}), but {product.product} keeps its identity in the "
            f"store {store}; choose the other source or the other product",
        )
    ]


def _limit_mistakes(station: StationConfig, product: ProductConfig) -> _Mistakes:
    specs = {spec.name: spec for step in product.test_plan().steps for spec in step.measurements}
    judged = sorted(name for name, spec in specs.items() if spec.equals is None)
    found: _Mistakes = []
    for name in station.limits:
        if name not in specs:
            known = f"known measurements with limits: {', '.join(judged)}"
            found.append((("limits", name), f"unknown measurement {name[:48]!r} in limits; {known}"))
        elif specs[name].equals is not None:
            found.append((("limits", name), f"measurement {name} must equal {specs[name].equals}; it has no limits"))
    return found


# --- lots among each other ---


def _refuse_overlaps(source: YamlMap, lot: LotConfig, others: list[tuple[YamlMap, LotConfig]]) -> None:
    found: _Mistakes = []
    for other_source, other in others:
        if _share_dev_euis(lot, other):
            where = other_source.at(("dev_eui",))
            found.append(
                (
                    ("dev_eui",),
                    f"dev_eui: {_dev_euis(lot)} of lot {lot.lot} overlap {_dev_euis(other)} of lot {other.lot} "
                    f"({where}), wanted each DevEUI in one lot; change one of the two",
                )
            )
        if _share_serials(lot, other):
            where = other_source.at(("serial",))
            found.append(
                (
                    ("serial",),
                    f"serial: {_serials(lot)} of lot {lot.lot} overlap {_serials(other)} of lot {other.lot} ({where}), "
                    "wanted each serial in one lot; change prefix or first of one of the two",
                )
            )
    if found:
        raise mistakes(source, found)


def _share_dev_euis(lot: LotConfig, other: LotConfig) -> bool:
    if not isinstance(lot.dev_eui, DevEuiRange) and not isinstance(other.dev_eui, DevEuiRange):
        return False  # both take what the hardware brings, of which each piece is another
    one, two = lot.dev_eui.values, other.dev_eui.values
    return max(one.start, two.start) < min(one.stop, two.stop)


def _share_serials(lot: LotConfig, other: LotConfig) -> bool:
    # A label with the serial alone is the same label in whatever product.
    alone = "label" not in (lot.dev_eui.source, other.dev_eui.source)
    if lot.product != other.product and not alone:
        return False
    return lot.index_of_serial(other.serial_of(0)) is not None or other.index_of_serial(lot.serial_of(0)) is not None


def _dev_euis(lot: LotConfig) -> str:
    values = lot.dev_eui.values
    return f"{Eui64(values.start)} to {Eui64(values.stop - 1)}"


def _serials(lot: LotConfig) -> str:
    return f"{lot.serial_of(0)} to {lot.serial_of(lot.quantity - 1)}"


def _with_limits(plan: Plan, station: StationConfig) -> Plan:
    def applied(spec: Spec) -> Spec:
        if spec.name not in station.limits:
            return spec
        low, high = station.limits[spec.name]
        return dataclasses.replace(spec, low=low, high=high)

    return Plan(
        tuple(dataclasses.replace(step, measurements=tuple(map(applied, step.measurements))) for step in plan.steps)
    )
