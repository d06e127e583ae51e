"""The dialects by which modems take their identity, one module each: docs/serial-dialects.md.

A newcomer's dialect needs its module, its line here, its name in ``config.models.SerialStore``, and a row in the page.
"""

from typing import Final

from lorafab.steps.dialects.abz import Abz
from lorafab.steps.dialects.grammar import Dialect
from lorafab.steps.dialects.lora_e5 import LoraE5
from lorafab.steps.dialects.own_shell import OwnShell
from lorafab.steps.dialects.rn2483 import Rn2483
from lorafab.steps.dialects.rui3 import Rui3
from lorafab.steps.dialects.st_at_slave import StAtSlave

DIALECTS: Final[dict[str, Dialect]] = {
    "lorafab": OwnShell(),
    "st-at-slave": StAtSlave(),
    "rui3": Rui3(),
    "lora-e5": LoraE5(),
    "rn2483": Rn2483(),
    "abz": Abz(),
}
