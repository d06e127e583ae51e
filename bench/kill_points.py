"""A pytest plugin that kills its own process at one chosen instant. PYTEST_DONT_REWRITE

``LORAFAB_KILL`` names the instant: ``fsync:N:before``, ``replace:N:after``, ``word:N:before`` (N-th double word of
the identity block), ``step:TEST:SECONDS``. ``LORAFAB_KILL_COUNT`` names a file that gets the counts of a whole run.
"""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

IDENTITY = range(0x0803E800, 0x0803E860)

_counts: Counter[str] = Counter()
_steps: dict[str, float] = {}
_kind, _, _rest = os.environ.get("LORAFAB_KILL", "").partition(":")
_which, _, _when = _rest.rpartition(":")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _counted(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        _counts[kind] += 1
        hit = _kind == kind and _which == str(_counts[kind])
        if hit and _when == "before":
            _die()
        result = function(*arguments, **named)
        if hit:
            _die()
        return result

    return call


# One kind for both names of a rename; the stores reach all of them through the os module.
os.fsync = _counted("fsync", os.fsync)
os.replace = _counted("replace", os.replace)
os.rename = _counted("replace", os.rename)


def _on_word(address: int) -> None:
    if address not in IDENTITY:
        return
    _counts["word"] += 1
    # Called before and after each double word.
    if _kind == "word" and _counts["word"] == 2 * int(_which) - (_when == "before"):
        _die()


def _watch_words() -> None:
    from lorafab.virtual.board import Board

    opened = Board.open.__func__  # type: ignore[attr-defined]

    def open_and_watch(cls: type[Board], *arguments: Any, **named: Any) -> Board:
        board: Board = opened(cls, *arguments, **named)
        board.silicon.flash.on_program.append(_on_word)
        return board

    Board.open = classmethod(open_and_watch)  # type: ignore[assignment,method-assign]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Any:
    """Time the steps, and start the fuse of a random kill."""
    name, began = item.path.stem, time.monotonic()
    if _kind == "step" and _which == name:
        threading.Timer(float(_when), _die).start()
    result = yield
    _steps[name] = time.monotonic() - began
    return result


def _save() -> None:
    target = os.environ.get("LORAFAB_KILL_COUNT")
    if target:
        Path(target).write_text(json.dumps({"counts": _counts, "steps": _steps}), encoding="utf-8")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main() -> Any:
    """Outermost: the record, the ledger and the report are counted too."""
    _watch_words()
    result = yield
    _save()
    return result
