"""A pytest plugin that kills its own process between sealing a key and writing it, or while it is written.
PYTEST_DONT_REWRITE

``LORAFAB_DIE``: ``sealed`` (the vault has made key and boxes, the ledger knows nothing yet), ``kept`` (the ledger has
the sealed key), ``noted`` (the ledger knows that the board is about to be written; nothing is written yet), ``part``
(an SPI memory of the virtual board has begun to write, and loses its power with the process).
"""

import os
import signal
from typing import Any

from lorafab.run.run import Run
from lorafab.stores.ledger import BaseLedger
from lorafab.stores.vault import Vault
from lorafab.virtual.parts.spi_memory import SpiMemory


def _die_behind(owner: type, method: str) -> None:
    original = getattr(owner, method)

    def call(self: object, *arguments: Any, **named: Any) -> Any:
        original(self, *arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, method, call)


_PLACES: dict[str, tuple[type, str]] = {
    "sealed": (Vault, "new_key"),
    "kept": (BaseLedger, "add_key"),
    "noted": (Run, "about_to_write"),
    "part": (SpiMemory, "operate"),
}
_die_behind(*_PLACES[os.environ["LORAFAB_DIE"]])
