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
    raise NotImplementedError(config.store)
