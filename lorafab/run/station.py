"""The composition root: the only place that picks drivers.

A newcomer's driver needs its own file in ``drivers/`` and one branch here.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lorafab.config.load import LineConfig, resolve_port
from lorafab.config.models import LotConfig
from lorafab.domain.memory_map import MemoryMap
from lorafab.errors import ConfigError, LedgerError, UsageError, VaultError
from lorafab.interfaces import Clock, Jig, Link, Programmer, Scanner
from lorafab.run.identity_store import check_store
from lorafab.run.locked import check_lock
from lorafab.steps.label import identify, read_label
from lorafab.stores.keyring import demo_paths, ensure_demo
from lorafab.stores.ledger import BaseLedger
from lorafab.stores.tiny_ledger import TinyLedger
from lorafab.stores.vault import Vault
from lorafab.targets import MCUS, FactoryEui, McuFacts

if TYPE_CHECKING:
    from lorafab.drivers.label_reader import LabelReader

NEWCOMER: Final = "sim"
"""The only station that sets up its own ledger and demo vault: it is what a newcomer runs first."""


@dataclass(frozen=True)
class Options:
    """What the command line adds to the station file."""

    label: str | None = None
    label_image: Path | None = None
    operator: str = ""
    permits: tuple[tuple[str, str], ...] = ()
    """(name, reason)."""
    plan_only: bool = False
    """Nothing may be written, neither to the board nor to the ledger."""


@dataclass
class Station:
    """One station, opened: its stores and drivers, and the stack that closes them."""

    config: LineConfig
    root: Path
    data: Path
    options: Options
    clock: Clock
    mcu: McuFacts
    lot: LotConfig
    memory: MemoryMap
    ledger: BaseLedger
    vault: Vault
    jig: Jig
    scanner: Scanner
    programmer: Programmer
    link: Link
    resources: ExitStack

    @property
    def factory_eui(self) -> FactoryEui | None:
        """Where the chip keeps its maker's EUI-64; None unless the lot's DevEUIs come from there."""
        return self.mcu.factory_eui if self.lot.dev_eui.source == "chip" else None

    def close(self) -> None:
        """Close everything, in the reverse order of opening; may be called twice."""
        self.resources.close()


def open_station(config: LineConfig, root: Path, data: Path, options: Options, clock: Clock) -> Station:
    """Open stores and drivers. Nothing is powered, connected or written yet, except a newcomer's own ledger."""
    lot, (mcu, memory) = config.lot, hardware_of(config)
    ledger = open_ledger(config, data, clock)
    vault = open_vault(config, root, data, ledger)
    with ExitStack() as stack:
        port = resolve_port(config.station.link.port, data)
        jig = _open_jig(config, data, Path(port), ledger, lot)
        stack.callback(jig.close)
        link = _open_link(config, port)
        stack.callback(link.close)
        programmer = _open_programmer(config)
        stack.callback(programmer.close)
        return Station(
            config=config,
            root=root,
            data=data,
            options=options,
            clock=clock,
            mcu=mcu,
            lot=lot,
            memory=memory,
            ledger=ledger,
            vault=vault,
            jig=jig,
            scanner=_open_scanner(config, root, jig, options),
            programmer=programmer,
            link=link,
            resources=stack.pop_all(),
        )


def hardware_of(config: LineConfig) -> tuple[McuFacts, MemoryMap]:
    """The microcontroller and the product's memory map. Raises ConfigError when the files want what it cannot do."""
    mcu = mcu_of(config)
    memory = memory_of(config, mcu)
    check_store(config)
    check_lock(config)
    return mcu, memory


def mcu_of(config: LineConfig) -> McuFacts:
    """What is known of the product's microcontroller. Raises ConfigError, also when the lot wants more of it."""
    name = config.product.mcu
    if name not in MCUS:
        raise ConfigError(f"{config.mcu_named_by}: {name!r} is unknown; known microcontrollers: {', '.join(MCUS)}")
    if config.lot.dev_eui.source == "chip" and MCUS[name].factory_eui is None:
        able = ", ".join(known for known, facts in MCUS.items() if facts.factory_eui is not None)
        raise ConfigError(
            f"{config.source_named_by}: lot {config.lot.lot} takes its DevEUIs from the chip, but the maker gives an "
            f"{name} no EUI-64 (microcontrollers that have one: {able}); use source label or range"
        )
    return MCUS[name]


def memory_of(config: LineConfig, mcu: McuFacts) -> MemoryMap:
    """The product's memory map. Raises ConfigError when product.yaml says other things of the MCU than are known."""
    memory = config.product.memory
    flash, eeprom = mcu.flash, mcu.eeprom
    found = (memory.flash.span, memory.page_size, memory.word_size, memory.eeprom and memory.eeprom.span)
    wanted = (flash.span, flash.page_size, flash.word_size, (eeprom and eeprom.span) if memory.eeprom else None)
    if found != wanted:
        there = "no data EEPROM" if eeprom is None else f"a data EEPROM at {eeprom.span}"
        raise ConfigError(
            f"{config.memory_named_by}: an {mcu.name} has its flash at {flash.span}, erased by {flash.page_size} and "
            f"programmed by {flash.word_size} bytes, and {there}; correct the memory map"
        )
    return memory.memory_map(mcu.areas)


def open_ledger(config: LineConfig, data: Path, clock: Clock) -> BaseLedger:
    """Open the ledger that the lot belongs to. Raises LedgerError."""
    ledger = _open_store(config, data, clock)
    check_ledger(config.lot, ledger)
    return ledger


def check_ledger(lot: LotConfig, ledger: BaseLedger) -> None:
    """Refuse a ledger that is not the lot's. Raises LedgerError."""
    if lot.ledger is not None and lot.ledger != ledger.ledger_id:
        raise LedgerError(
            f"lot {lot.lot} belongs to ledger {lot.ledger}, and this one is {ledger.ledger_id}; "
            "give --data=DIR of the right ledger, or correct the lot file or the station's store"
        )


def _open_store(config: LineConfig, data: Path, clock: Clock) -> BaseLedger:
    store = config.station.store
    if store.driver == "postgresql":
        from lorafab.stores.postgres_ledger import PostgresLedger

        return PostgresLedger.open(dsn_from(store.dsn_env), clock)
    newcomer = config.station.station == NEWCOMER
    if newcomer and not (data / "ledger").exists() and any((data / "records").glob("*.json")):
        raise LedgerError(
            f"{data} holds records of boards and no ledger, so who has which identity is unknown; restore the ledger, "
            "or move the data folder away and start a new one"
        )
    return TinyLedger.open_or_create(data, clock) if newcomer else TinyLedger.open(data, clock)


def dsn_from(variable: str) -> str:
    """PostgreSQL's connection string, from the environment: no password lies in a file. Raises UsageError."""
    dsn = os.environ.get(variable, "")
    if not dsn:
        raise UsageError(
            f"the environment variable {variable} is empty, wanted PostgreSQL's connection string (postgresql://...); "
            "set it where the station starts"
        )
    return dsn


def open_vault(config: LineConfig, root: Path, data: Path, ledger: BaseLedger) -> Vault:
    """Open the public half of the vault. Raises VaultError."""
    settings = config.station.vault
    mirror = root / settings.mirror if settings.mirror else None
    escrow = root / settings.escrow_key if settings.escrow_key else None
    if settings.public_key is not None:
        return Vault(root / settings.public_key, mirror, escrow)
    if config.station.station != NEWCOMER:
        raise VaultError(
            f"station {config.station.station} wants the demo vault, which serves station {NEWCOMER} only; "
            "make a pair with `lorafab vault init --private FILE` and name it as vault.public_key in the station file"
        )
    if not demo_paths(data)[0].exists() and not ledger.is_empty:
        raise VaultError(
            f"the demo vault {demo_paths(data)[0].parent} is gone, and keys of this ledger are sealed to it; restore "
            "it, or move the data folder away and start a new one"
        )
    return Vault(ensure_demo(data), mirror, escrow)


def unused_labels(lot: LotConfig, ledger: BaseLedger | None, count: int) -> list[str]:
    """Up to ``count`` labels that the lot would accept and nobody used, lowest first."""
    free = (index for index in range(lot.quantity) if ledger is None or not is_used(lot, ledger, index))
    return [lot.label_text(index) for _, index in zip(range(count), free, strict=False)]


def is_used(lot: LotConfig, ledger: BaseLedger, index: int) -> bool:
    """Whether the ledger knows DevEUI or serial of label ``index``; foreign labels may have paired them otherwise."""
    dev_eui = lot.dev_eui_of(index)
    return (dev_eui is not None and ledger.is_used(dev_eui)) or ledger.has_serial(lot.serial_of(index), lot.lot)


def _open_jig(config: LineConfig, data: Path, port: Path, ledger: BaseLedger, lot: LotConfig) -> Jig:
    jig = config.station.jig
    if jig.driver == "virtual":
        from lorafab.virtual.jig import VirtualJig
        from lorafab.virtual.label_roll import LabelRoll

        folder = data / "virtual"
        roll = LabelRoll(
            folder / f"{lot.lot}.roll",
            lot.quantity,
            lambda number: is_used(lot, ledger, number),
            lot.label_text,
        )
        site = config.station.programmer.probe.rpartition(":")[2]
        return VirtualJig(site, folder / "boards", port, roll.take, config.product.virtual_board)
    from lorafab.drivers.manual_jig import ManualJig

    return ManualJig()


def _open_link(config: LineConfig, port: str) -> Link:
    from lorafab.drivers.serial_link import SerialLink

    return SerialLink(port, config.station.link.baud)


def _open_programmer(config: LineConfig) -> Programmer:
    from lorafab.drivers.pyocd_programmer import PyocdProgrammer

    programmer = config.station.programmer
    return PyocdProgrammer(programmer.probe, config.product.mcu, programmer.swd_khz)


def _open_scanner(config: LineConfig, root: Path, jig: Jig, options: Options) -> Scanner:
    from lorafab.drivers import scanners

    if options.label is not None:
        return scanners.TextScanner(options.label)
    reader = _reader_of(config.lot)
    if options.label_image is not None:
        return scanners.ImageScanner(options.label_image, reader)
    scanner = config.station.scanner
    if scanner.driver == "camera":
        return scanners.CameraScanner(jig, reader)
    if scanner.driver == "image":
        return scanners.ImageScanner(root / scanner.file, reader)
    if scanner.driver == "folder":
        return scanners.FolderScanner(root / scanner.folder, reader, scanner.timeout_s)
    if scanner.driver == "serial":
        return scanners.SerialScanner(scanner.port, scanner.baud, scanner.timeout_s)
    return scanners.PromptScanner(scanner.timeout_s)


def _reader_of(lot: LotConfig) -> "LabelReader":
    """A reader that looks for labels of this lot: a picture may hold other codes, too."""
    from lorafab.drivers.label_reader import LabelReader

    return LabelReader(accept=lambda text: identify(read_label(text, lot), lot))
