"""A pytest plugin that says what a run left open, and sends its own process signals. PYTEST_DONT_REWRITE

``LORAFAB_SHOOT=<phase>:<SIGNAL>[:<times>]``: phase is ``call`` (in step 3) or ``teardown`` (of the last step).
"""

import os
import signal
from collections.abc import Generator

import pytest

from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.drivers.serial_link import SerialLink
from lorafab.virtual.board import Board

_phase, _, _rest = os.environ.get("LORAFAB_SHOOT", "").partition(":")
_signal, _, _times = _rest.partition(":")
_log: list[str] = []


def _noted(owner: type, method: str, text: str) -> None:
    original = getattr(owner, method)

    def call(self: object, *arguments: object, **named: object) -> object:
        _log.append(f"{text}{arguments or ''}")
        return original(self, *arguments, **named)

    setattr(owner, method, call)


_noted(Board, "power", "power")
_noted(PyocdProgrammer, "close", "probe closed")
_noted(SerialLink, "close", "port closed")


def _shoot() -> None:
    for _ in range(int(_times or 1)):
        os.kill(os.getpid(), getattr(signal, _signal))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """In the middle of a step: the firmware runs, the port is open."""
    if _phase == "call" and "test_40" in item.nodeid:
        _shoot()
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """While fixtures are being closed."""
    if _phase == "teardown" and "test_50" in item.nodeid:
        _shoot()
    yield


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_cmdline_main() -> Generator[None, object, object]:
    """Inside of the run's own wrapper nothing is closed yet; so the log is printed at exit."""
    import atexit

    atexit.register(lambda: print("WATCH " + "; ".join(_log), flush=True))
    return (yield)
