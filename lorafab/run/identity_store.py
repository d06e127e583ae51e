"""Picks the identity store that the product names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafab.interfaces import IdentityStore

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
    raise NotImplementedError(config.store)
