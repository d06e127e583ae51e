"""Close the board to every probe, and prove it: nothing that a probe can read holds its key.

The order is the safety. What earlier steps found is durable before this begins. Then: protection set, probe off, power
off and on (which puts the protection in force and empties the RAM), the firmware answers with the same key check
value, and only then the probe comes back and reads all that it can: a probe may stop a protected chip's firmware.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from lorafab.domain.key_search import find_block, find_check_value, find_key
from lorafab.domain.secret import Secret
from lorafab.errors import DutError, LockFailed, ProbeError, ShellError, WrongChip
from lorafab.interfaces import ChipInfo, Jig, Link, Programmer, Visible
from lorafab.steps.identity import Assignment
from lorafab.steps.keys import check_firmware
from lorafab.steps.shell import Shell

PERMIT_UNLOCK = "unlock"
_ASIDE = "set this board aside"


@dataclass(frozen=True)
class Closed:
    """A board that no probe gets a key from."""

    kcv: str
    """Key check value that the firmware computed after the lock."""
    visible: int
    """Bytes that a probe can still read, all of which were searched."""


@dataclass(frozen=True)
class Sought:
    """What no probe may find."""

    keys: tuple[Secret, ...]
    """As far as the run knows them."""
    kcvs: tuple[str, ...]
    """Key check values: looked for where no key is known, as on a board that an earlier run wrote."""


def hides_itself(programmer: Programmer) -> bool:
    """Whether the chip is protected so well that a probe cannot even ask who it is."""
    with suppress(ProbeError):
        return programmer.is_locked()
    return False


@dataclass(frozen=True)
class Nest:
    """Everything that touches the board."""

    programmer: Programmer
    jig: Jig
    link: Link
    firmware: str
    """Product that the firmware greets with."""

    def power_cycle(self) -> None:
        """Probe and serial port let go, then the supply goes off and on. Raises JigError, PortError."""
        self.programmer.close()
        self.link.close()
        self.jig.power(False)
        self.link.open()  # drops what was said before
        self.jig.power(True)

    def restart(self, timeout_s: float) -> Shell:
        """Power off and on, and wait for the firmware. Raises LinkSilent, ShellError, JigError, PortError.

        The shell does not look at the chip when the board is silent: the probe is off, and has to stay off.
        """
        self.power_cycle()
        shell = Shell(self.link, timeout_s)
        shell.wait_for_start(f"lorafab {self.firmware}")
        return shell


def lock_board(nest: Nest, timeout_s: float, chip: ChipInfo, assignment: Assignment, sought: Sought) -> Closed:
    """Lock, power off and on, ask the firmware, look for the key with the probe; ``timeout_s`` for each line of it.

    A board that is locked already goes through the same. Raises LockFailed, FlashRefused, WrongChip, LinkSilent,
    ShellError, ForeignIdentity, JigError, ProbeError.
    """
    programmer = nest.programmer
    if not programmer.is_locked():
        programmer.lock()
    try:
        shell = nest.restart(timeout_s)
        kcv = check_firmware(shell, assignment)
        check_same_board(shell, chip)
    except DutError:
        # A supply that did not go off leaves the firmware where it was: silent. Then the jig's relay is the cause.
        _refuse_open(programmer, chip)
        raise
    _refuse_open(programmer, chip)
    seen = programmer.survey()
    for visible in joined(seen):
        _refuse_key(visible, sought)
    return Closed(kcv, sum(len(visible.data) for visible in seen))


def check_same_board(shell: Shell, chip: ChipInfo) -> None:
    """The firmware's chip is the one that the probe saw before. Raises WrongChip."""
    uid = shell.value("UID?", "uid")
    if uid != chip.unique_id:
        raise WrongChip(
            f"the firmware runs on chip {uid}, the run began with chip {chip.unique_id}; do not change boards during a "
            "run, and check that probe and serial port belong to one board"
        )


def _refuse_open(programmer: Programmer, chip: ChipInfo) -> None:
    try:
        found = programmer.connect()
    except ProbeError:
        if not hides_itself(programmer):
            raise
        return  # it does not say who it is; its firmware did
    if found.unique_id != chip.unique_id:
        raise WrongChip(
            f"the chip in the jig is {found.unique_id} after the lock and was {chip.unique_id} before; "
            "do not change boards during a run, and run this one again"
        )
    if not programmer.is_locked():
        raise LockFailed(
            "the read-out protection is not in force after the power went off and on, wanted the flash hidden from "
            f"the probe; check that the jig switches the supply, and run the board again, then {_ASIDE}"
        )


def joined(seen: Sequence[Visible]) -> list[Visible]:
    """Pieces that lie one behind the other as one: a key may lie across their border."""
    runs: list[Visible] = []
    for piece in seen:
        before = runs[-1] if runs else None
        if (
            before is not None
            and before.address is not None
            and (before.place, before.address + len(before.data)) == (piece.place, piece.address)
        ):
            runs[-1] = Visible(before.place, before.address, before.data + piece.data)
        else:
            runs.append(piece)
    return runs


def _refuse_key(visible: Visible, sought: Sought) -> None:
    """Raise LockFailed for what must not be there; the sentence says where, and never what."""
    what, offset = "an identity block", find_block(visible.data)
    for key in sought.keys:
        if offset is None:
            what, offset = "the board's key", find_key(key, visible.data)
    if offset is None and not sought.keys:
        what, offset = "a key with the board's check value", find_check_value(sought.kcvs, visible.data)
    if offset is not None:
        place = visible.place if visible.address is None else f"{visible.place} at {visible.address + offset:#010x}"
        raise LockFailed(
            f"a probe still finds {what} in {place} of the locked board, wanted none that it can read; {_ASIDE}, "
            "and have the firmware wipe what it copies"
        )


def read_dev_nonce(shell: Shell) -> int:
    """DevNonce that the firmware used last. Raises LinkSilent, ShellError."""
    text = shell.value("NVM?", "dev_nonce")
    if not (text.isascii() and text.isdecimal()):
        raise ShellError(f"the board's answer to NVM? has dev_nonce={text[:20]!r}, wanted a number; repeat once")
    return int(text)
