"""Does the board hold its identity, and does its firmware see the same?"""

from lorafab.domain.provisioning import Evidence
from lorafab.domain.weak import weak_key
from lorafab.errors import ForeignIdentity
from lorafab.interfaces import IdentityStore
from lorafab.steps.identity import Assignment
from lorafab.steps.shell import Shell


def check_store(store: IdentityStore, assignment: Assignment) -> Evidence:
    """Compare what the board holds (not what was sent) with what it should; returns how its key is known.

    What a store does not say is not compared. Raises ForeignIdentity, and what the store raises.
    """
    held, evidence = store.read_back()
    for kcv in (held.kcv_app, held.kcv_nwk):
        if (name := weak_key(kcv)) is not None:
            raise ForeignIdentity(
                f"the identity on the board has {name}, wanted the one that it was given; repeat once, then set the "
                "board aside"
            )
    pairs = {
        "DevEUI": (held.dev_eui, assignment.dev_eui),
        "JoinEUI": (held.join_eui, assignment.join_eui),
        "serial": (held.serial, assignment.serial),
        "key generation": (held.generation, assignment.generation),
        "key check value": (held.kcv_app, assignment.kcv_app),
        "NwkKey check value": (held.kcv_nwk, assignment.kcv_nwk or "-"),
    }
    owed = {"key check value"} if evidence == "read back" else set()
    said = {name: (str(found), str(due)) for name, (found, due) in pairs.items() if found is not None or name in owed}
    _refuse_difference("identity on the board", said)
    return evidence


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
