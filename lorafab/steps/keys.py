"""Does the board hold its identity, and does its firmware see the same?"""

from lorafab.domain.flash_plan import MemoryMap
from lorafab.errors import ForeignIdentity
from lorafab.interfaces import Programmer
from lorafab.steps.identity import Assignment, read_identity
from lorafab.steps.shell import Shell


def check_block(programmer: Programmer, memory: MemoryMap, assignment: Assignment) -> None:
    """Decode the block on the board (not the bytes that were sent) and compare it. Raises ForeignIdentity."""
    found = read_identity(programmer, memory)
    block = found.block
    if block is None:
        raise ForeignIdentity(
            f"the identity page reads {found.state}, wanted a whole block for DevEUI {assignment.dev_eui}; "
            "repeat once, then set the board aside"
        )
    pairs = {
        "DevEUI": (str(block.dev_eui), str(assignment.dev_eui)),
        "JoinEUI": (str(block.join_eui), str(assignment.join_eui)),
        "serial": (block.serial, assignment.serial),
        "key generation": (str(block.generation), str(assignment.generation)),
        "key check value": (block.app_key.kcv(), assignment.kcv_app),
        "NwkKey check value": (block.nwk_key.kcv() if block.nwk_key else "-", assignment.kcv_nwk or "-"),
    }
    _refuse_difference("identity block", pairs)


def check_firmware(shell: Shell, assignment: Assignment) -> str:
    """Ask the running firmware who it is. Returns the key check value that it computed, for the caller to judge.

    Raises ForeignIdentity where the rest differs.
    """
    said = shell.ask("ID?")
    wanted = {
        "dev_eui": str(assignment.dev_eui),
        "join_eui": str(assignment.join_eui),
        "serial": assignment.serial,
        "generation": str(assignment.generation),
        "kcv_nwk": assignment.kcv_nwk or "-",
    }
    _refuse_difference("firmware", {name: (said.get(name, "nothing"), value) for name, value in wanted.items()})
    return said.get("kcv_app", "nothing")


def _refuse_difference(where: str, pairs: dict[str, tuple[str, str]]) -> None:
    for name, (found, wanted) in pairs.items():
        if found != wanted:
            raise ForeignIdentity(
                f"the {where} says {name} {found!r}, wanted {wanted!r}; repeat once, then set the board aside"
            )
