"""Picks the identity store that the product names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lorafab.config.load import LineConfig, resolve_port
from lorafab.config.models import DATA_PREFIX
from lorafab.config.product import ElementStore as ElementStoreConfig
from lorafab.config.product import ExternalStore as ExternalStoreConfig
from lorafab.domain.identity_block import BLOCK_SIZE
from lorafab.domain.memory_map import Span
from lorafab.errors import ConfigError
from lorafab.interfaces import IdentityStore
from lorafab.steps.dialects import DIALECTS
from lorafab.targets.spi_memories import SPI_BUSES, SPI_MEMORIES, SpiBus, SpiMemory

if TYPE_CHECKING:
    from lorafab.run.run import Run


def open_identity_store(run: Run) -> IdentityStore:
    """Make the store with the programmer and the line of a run; nothing is read or written yet."""
    station = run.station
    config = station.config.product.identity
    if config.store in ("flash", "eeprom"):
        from lorafab.steps.identity_page import PageStore

        return PageStore(run.programmer, station.memory)
    if config.store == "build":
        from lorafab.drivers.image_build import ImageBuilder
        from lorafab.steps.build_store import BuildStore

        files = station.config
        builder = ImageBuilder(
            root=station.root / "firmware",
            template=files.product_folder / config.template,
            header=config.header,
            command=config.command,
            output=config.output,
            timeout_s=config.timeout_s,
            base=files.product.image.base,
            named_by=files.identity_named_by,
        )
        return BuildStore(builder, lambda: run.shell, run.check_image)
    if config.store == "secure-element":
        from lorafab.drivers.element_manifest import Manifest
        from lorafab.steps.element_store import ElementStore

        file = station.root / resolve_port(config.manifest, station.data)
        manifest = Manifest.read(file, station.root / config.signer)
        return ElementStore(lambda command: run.shell.ask(command), manifest.element, station.lot.join_eui)
    if config.store == "external":
        from lorafab.steps.external_store import ExternalStore, Wiring
        from lorafab.targets.algorithm import load_program

        bus, part = spi_memory_of(station.config)
        wiring = Wiring(config.sck, config.miso, config.mosi, config.select, config.others)
        ouis = config.ouis or part.ouis
        return ExternalStore(run.programmer, load_program(bus.program), part, wiring, config.address, ouis)
    if config.store == "serial":
        from lorafab.steps.modem import Modem
        from lorafab.steps.serial_store import SerialStore

        modem = Modem(run.link, DIALECTS[config.dialect], station.config.station.link.reply_timeout_s, run.still_there)
        return SerialStore(modem, run.programmer.run, lorawan_1_1="nwkkey" in station.lot.key_slots)
    raise NotImplementedError(config.store)


def check_store(config: LineConfig) -> None:
    """Refuse an identity store that the product's hardware cannot have. Raises ConfigError."""
    store, lot = config.product.identity, config.lot
    if store.store == "external":
        spi_memory_of(config)
    if config.product.lock is not None:
        _check_lockable(config)
    if store.store == "secure-element":
        _check_element_files(config, store)
    if store.store == "serial" and lot.lorawan == "1.1" and not DIALECTS[store.dialect].takes_nwk_key:
        able = ", ".join(name for name, dialect in DIALECTS.items() if dialect.takes_nwk_key)
        raise ConfigError(
            f"{config.identity_named_by}.dialect: lot {lot.lot} is of LoRaWAN 1.1, and {store.dialect} takes no NwkKey "
            f"(dialects that do: {able}); correct the lot's lorawan or choose another product"
        )


def _check_lockable(config: LineConfig) -> None:
    """A locked board must hide its key, and must still say its check value: a board that cannot would be locked first
    and fail then, for good.
    """
    store = config.product.identity
    wants = f"{config.identity_named_by}.store: the product wants its boards locked, and"
    if store.store == "external":
        # At read-out protection level 1 a probe may still run the very program in RAM that wrote the block.
        raise ConfigError(
            f"{wants} an external memory shows the key to whoever holds the board; keep the identity in the chip, or "
            "leave lock out"
        )
    if store.store == "secure-element" or (store.store == "serial" and store.dialect != "lorafab"):
        raise ConfigError(
            f"{wants} its firmware has no shell that tells a key check value after that; use another store, or leave "
            "lock out"
        )


def _check_element_files(config: LineConfig, store: ElementStoreConfig) -> None:
    """What the product names must be there; the manifest of virtual elements comes with the first of them."""
    for key, file in (("manifest", store.manifest), ("signer", store.signer)):
        if file.startswith(DATA_PREFIX) and key == "manifest":
            if config.station.jig.driver != "virtual":
                raise ConfigError(
                    f"{config.identity_named_by}.{key}: files in {DATA_PREFIX} are for virtual boards; name the maker's"
                )
        elif not (config.root / file).is_file():
            raise ConfigError(
                f"{config.identity_named_by}.{key}: {file} does not exist; put the maker's file there, or name another"
            )
    if config.lot.kind != "demo":
        from lorafab.virtual.element_maker import SIGNER_CERTIFICATE

        if SIGNER_CERTIFICATE.strip() in (config.root / store.signer).read_bytes():
            raise ConfigError(
                f"{config.identity_named_by}.signer: {store.signer} is the virtual elements', whose key everybody "
                f"has, and lot {config.lot.lot} is of real boards; name the maker's log signer"
            )


def spi_memory_of(config: LineConfig) -> tuple[SpiBus, SpiMemory]:
    """What is known of the bus and the part that a product's external store names. Raises ConfigError."""
    product, store, named_by = config.product, config.product.identity, config.identity_named_by
    assert isinstance(store, ExternalStoreConfig)
    if store.part not in SPI_MEMORIES:
        raise ConfigError(f"{named_by}.part: {store.part!r} is unknown; known parts: {', '.join(sorted(SPI_MEMORIES))}")
    part = SPI_MEMORIES[store.part]
    bus = SPI_BUSES.get((product.mcu, store.bus))
    if bus is None:
        known = ", ".join(f"{name} of {mcu}" for mcu, name in sorted(SPI_BUSES))
        raise ConfigError(f"{named_by}.bus: no program drives {store.bus} of {product.mcu}; there is one for {known}")
    for signal, pins in (("sck", bus.sck), ("miso", bus.miso), ("mosi", bus.mosi)):
        if pins and (pin := getattr(store, signal)) not in pins:
            raise ConfigError(
                f"{named_by}.{signal}: {pin} cannot be {signal.upper()} of {store.bus}; "
                f"choose {' or '.join(sorted(pins))}"
            )
    for pin in (store.sck, store.miso, store.mosi, store.select, *store.others):
        if not re.fullmatch(bus.pins, pin):
            raise ConfigError(f"{named_by}: {product.mcu} has no pin {pin}; correct the wiring")
    place = Span(store.address, BLOCK_SIZE)
    if store.address % part.unit or not part.writable.contains(place):
        raise ConfigError(
            f"{named_by}.address: {store.address:#x} is not where an identity block may lie in the {part.name}; choose "
            f"a multiple of {part.unit} below {part.writable.end - BLOCK_SIZE + 1:#x}"
        )
    if config.lot.dev_eui.source == "external" and part.factory_eui is None:
        raise ConfigError(
            f"{config.source_named_by}: lot {config.lot.lot} takes its DevEUIs from the memory beside the chip, but "
            f"the {part.name} comes without an EUI-64; use source label or range"
        )
    return bus, part
