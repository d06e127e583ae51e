"""Why the processor stopped, and where it shall stop."""

from dataclasses import dataclass
from enum import IntEnum, auto


class Why(IntEnum):  # whose members hash fast
    """Why the processor stopped."""

    COUNT = auto()  # the instructions are used up
    EARLY = auto()  # nothing happened, but there may be fewer instructions than asked for
    WFI = auto()
    WFE = auto()
    SVC = auto()
    BKPT = auto()
    BREAKPOINT = auto()
    EXCEPTION_RETURN = auto()
    DATA_FAULT = auto()
    FETCH_FAULT = auto()
    UNDEFINED = auto()
    INVALID_STATE = auto()
    UNALIGNED = auto()
    DIVIDE_BY_ZERO = auto()
    NO_COPROCESSOR = auto()
    # the rest stop before an instruction that is to be finished by ``step`` with the reason among ``passing``
    BAD_WORD = auto()  # about to read or execute a word that cannot be read
    WATCH = auto()  # about to access watched data
    WATCH_FETCH = auto()  # about to execute a watched instruction
    REFUSED = auto()  # a store that read-only memory did not take; it will land all the same
    WROTE = auto()  # a register was written and somebody has to look


@dataclass(frozen=True, slots=True)
class Stop:
    """Reason, address of a faulting or watched access, a sentence about it, its direction and size."""

    why: Why
    address: int = 0
    text: str = ""
    write: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """Watched addresses from ``first`` to ``last``, for reads, writes or both."""

    first: int
    last: int
    reads: bool
    writes: bool
    why: Why = Why.WATCH


COUNT, EARLY = Stop(Why.COUNT), Stop(Why.EARLY)
REPEATED = Stop(Why.EARLY, text="the instruction is yet to come")
