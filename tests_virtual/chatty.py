"""A pytest plugin that makes pyOCD say everything, the words that it writes among it. PYTEST_DONT_REWRITE

As a debugging hand would for an afternoon: all its loggers and their trace children at DEBUG, and a line for each block
of words that it writes. ``LORAFAB_WALL=no`` takes the wall away again: then the keys are seen.
"""

import logging
import os
from typing import Any

import pytest
from pyocd.coresight.ap import MEM_AP

_LOG = logging.getLogger("pyocd.coresight.ap")
_write = MEM_AP._write_block32_page


def _said(self: MEM_AP, addr: int, data: Any) -> None:
    _LOG.debug("write_memory_block32(%s, %s)", addr, list(data))
    _write(self, addr, data)


MEM_AP._write_block32_page = _said  # type: ignore[method-assign]
if os.environ.get("LORAFAB_WALL") == "no":
    logging.setLogRecordFactory = lambda factory: None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Its own loggers set themselves to silence when they are made: so before each step."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("pyocd"):
            logging.getLogger(name).setLevel(logging.DEBUG)
