"""A pytest plugin that kills its own process at a turn of locking or unlocking. PYTEST_DONT_REWRITE

``LORAFAB_DIE``: ``note:EVENT`` (the journal has this event), ``lock`` or ``unlock`` (the programmer has done it),
``erased`` (the ledger has noted it), ``nonce:N`` (the firmware was asked for its N-th DevNonce), ``passed`` (the lock
step has ended).
"""

import os
import signal
from typing import Any

from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.steps.shell import Shell
from lorafab.stores.journal import RunJournal
from lorafab.stores.ledger import BaseLedger

_WHERE, _, _WHAT = os.environ["LORAFAB_DIE"].partition(":")
_asked = 0


def _is_it(arguments: tuple[Any, ...], named: dict[str, Any]) -> bool:
    global _asked
    if _WHERE == "note":
        return bool(arguments[0] == _WHAT)
    if _WHERE == "passed":
        return bool(arguments[0] == "step end" and named["step"]["test"].startswith("test_60"))
    if _WHERE == "nonce":
        _asked += arguments[0] == "NONCE+"
        return bool(_asked == int(_WHAT))
    return True


def _die_behind(owner: type, method: str) -> None:
    original = getattr(owner, method)

    def call(self: object, *arguments: Any, **named: Any) -> Any:
        result = original(self, *arguments, **named)
        if _is_it(arguments, named):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, method, call)


_PLACES: dict[str, tuple[type, str]] = {
    "note": (RunJournal, "note"),
    "passed": (RunJournal, "note"),
    "lock": (PyocdProgrammer, "lock"),
    "unlock": (PyocdProgrammer, "unlock"),
    "erased": (BaseLedger, "note_erased"),
    "nonce": (Shell, "ask"),
}
_die_behind(*_PLACES[_WHERE])
