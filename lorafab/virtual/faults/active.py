"""A fault plan in a running board: counts what happens, and says what goes wrong now."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import partial

from lorafab.virtual.clock import Clock
from lorafab.virtual.faults.kinds import (
    Answer,
    Fault,
    Hang,
    Happening,
    Lockup,
    NoAck,
    Parity,
    PowerCut,
    Swap,
    Uart,
    Unplug,
    Wait,
)
from lorafab.virtual.faults.plan import FaultPlan, Standing
from lorafab.virtual.faults.when import FOREVER, Unit, When


class LinkFault(Enum):
    """What becomes of a transfer."""

    UNPLUG = "unplug"
    WAIT = "wait"
    NO_ACK = "no_ack"
    PARITY = "parity"


class Action(StrEnum):
    """What happens to the board."""

    POWER_CUT = "power_cut"
    LOCKUP = "lockup"
    HANG = "hang"
    SWAP = "swap"


_ANSWERS: dict[type[Fault], LinkFault] = {Wait: LinkFault.WAIT, NoAck: LinkFault.NO_ACK, Parity: LinkFault.PARITY}
_ACTIONS: dict[type[Fault], Action] = {
    PowerCut: Action.POWER_CUT,
    Lockup: Action.LOCKUP,
    Hang: Action.HANG,
    Swap: Action.SWAP,
}
_FROM_THE_FIRST = When(Unit.TRANSFER, 1)


@dataclass
class _Armed:
    """A fault and how often it is still to come."""

    fault: Fault
    at: When
    left: int


class ActiveFaults(Standing):
    """The faults of one open board. Not thread-safe: the board's lock guards it.

    ``act`` is told what happens to the board. It is called by the clock, or at the end of ``link`` and ``executed``,
    so that no part is in the middle of something. ``word_size``: bytes of a flash word.
    """

    def __init__(
        self,
        plan: FaultPlan,
        clock: Clock | None = None,
        act: Callable[[Action], None] | None = None,
        word_size: int = 8,
    ) -> None:
        self.plan, self.faults = plan, plan.faults
        self._clock, self._act, self._word_size = clock or Clock(), act, word_size
        armed = [_Armed(one, one.at or _FROM_THE_FIRST, one.times) for one in plan.faults]
        self._answers = [one for one in armed if isinstance(one.fault, Answer)]
        self._happenings = [one for one in armed if isinstance(one.fault, Happening | Unplug)]
        for one in self._happenings:
            one.left = 1
        self._watched = {one.at.unit for one in self._happenings}
        # The worse damage hides the other.
        self._uart = sorted(
            (one for one in armed if isinstance(one.fault, Uart)), key=lambda one: Uart.words.index(_damage(one))
        )
        self._unplugged = False
        self._power_ons = self._bytes = self._host_bytes = 0

    # the debug port

    def link(self, transfer: int, now_ns: int) -> LinkFault | None:
        """What becomes of the probe's transfer number ``transfer`` (the first is 1) at ``now_ns``; None: nothing.

        Each call is one try of the probe: ``wait@transfer:200*3`` answers three calls.
        """
        if not (self._answers or self._happenings):
            return None
        self._reached(Unit.TRANSFER, transfer, at_once=True)
        self._reached(Unit.TIME, now_ns, at_once=True, only=Unplug)
        if self._unplugged:
            return LinkFault.UNPLUG
        for one in self._answers:
            if one.left and one.at.number <= (transfer if one.at.unit is Unit.TRANSFER else now_ns):
                _use(one)
                return _ANSWERS[type(one.fault)]
        return None

    def next_link_transfer(self, after: int) -> int | None:
        """The first transfer with a number greater than ``after`` at which a fault may be due; None: there is none."""
        if self._unplugged:
            return after + 1
        due = [
            max(one.at.number, after + 1)
            for one in (*self._answers, *self._happenings)
            if one.left and one.at.unit is Unit.TRANSFER
        ]
        return min(due, default=None)

    @property
    def link_by_time(self) -> bool:
        """A fault of the debug port waits for its time: ask at each transfer."""
        return any(
            one.left and one.at.unit is Unit.TIME
            for one in (*self._answers, *self._happenings)
            if not isinstance(one.fault, Happening)
        )

    # the flash

    def cuts_power(self, word: int, address: int) -> bool:
        """The ``word``-th flash word (the first is 1) is being programmed, at ``address``: its supply fails."""
        if not self._watched & {Unit.WORD, Unit.ADDRESS}:
            return False
        cut = False
        for one in self._happenings:
            in_word = one.at.unit is Unit.ADDRESS and 0 <= one.at.number - address < self._word_size
            if one.left and (in_word or (one.at.unit is Unit.WORD and one.at.number <= word)):
                if isinstance(one.fault, PowerCut):
                    one.left, cut = 0, True
                else:
                    self._happens(one, at_once=False)
        return cut

    # the core

    @property
    def instruction(self) -> tuple[int, Action | None] | None:
        """After how many instructions something happens, and what (None: the probe is unplugged); None: nothing."""
        due = [one for one in self._happenings if one.left and one.at.unit is Unit.INSTRUCTION]
        if not due:
            return None
        first = min(due, key=lambda one: one.at.number)
        return first.at.number, _ACTIONS.get(type(first.fault))

    def executed(self, instructions: int) -> None:
        """The core has executed so many instructions since the board was opened."""
        self._reached(Unit.INSTRUCTION, instructions, at_once=True)

    # the supply

    def power_on(self) -> bool:
        """The supply is about to be switched on; answers whether another board lies in the nest from now on.

        Arms what waits for its time, which the board's clock forgot when the supply went.
        """
        self._power_ons += 1
        swap = False
        for one in self._happenings:
            if one.left and one.at.unit is Unit.POWER_ON and one.at.number <= self._power_ons:
                if isinstance(one.fault, Swap):
                    one.left, swap = 0, True
                else:
                    self._happens(one, at_once=False)
        for one in self._happenings:
            if one.left and one.at.unit is Unit.TIME and isinstance(one.fault, Happening):
                self._clock.at(max(one.at.number, self._clock.now_ns), partial(self._happens, one, at_once=True))
        return swap

    # the serial line

    def board_byte(self, now_ns: int) -> tuple[int, str | None]:
        """The board sends a byte: its number (the first is 1), and a word of ``Uart.words`` or None."""
        self._bytes += 1
        self._reached(Unit.BYTE, self._bytes, at_once=False)
        return self._bytes, self._line_damage(Unit.BYTE, self._bytes, now_ns)

    def host_byte(self, now_ns: int) -> tuple[int, str | None]:
        """The host sends a byte: as ``board_byte``."""
        self._host_bytes += 1
        self._reached(Unit.HOST_BYTE, self._host_bytes, at_once=False)
        return self._host_bytes, self._line_damage(Unit.HOST_BYTE, self._host_bytes, now_ns)

    def _line_damage(self, wire: Unit, number: int, now_ns: int) -> str | None:
        for one in self._uart:
            if not one.left:
                continue
            if one.fault.at is None or one.at.unit is Unit.TIME:
                on_wire = wire is Unit.BYTE or _damage(one) == "noisy"
                due = one.fault.at is None or one.at.number <= now_ns
            else:
                on_wire, due = one.at.unit is wire, one.at.number <= number
            if on_wire and due:
                _use(one)
                return _damage(one)
        return None

    # what happens

    def _reached(self, unit: Unit, number: int, at_once: bool, only: type[Fault] = Fault) -> None:
        if unit in self._watched:
            for one in self._happenings:
                if one.left and one.at.unit is unit and one.at.number <= number and isinstance(one.fault, only):
                    self._happens(one, at_once)

    def _happens(self, one: _Armed, at_once: bool) -> None:
        if not one.left:
            return
        if isinstance(one.fault, Unplug):
            one.left, self._unplugged = 0, True
        elif at_once:
            one.left = 0
            assert self._act is not None, f"{one.fault} happens, and nobody is there to do it"
            self._act(_ACTIONS[type(one.fault)])
        else:
            self._clock.at(self._clock.now_ns, partial(self._happens, one, at_once=True))


def _damage(one: _Armed) -> str:
    assert isinstance(one.fault, Uart)
    return one.fault.word


def _use(one: _Armed) -> None:
    if one.left != FOREVER:
        one.left -= 1
