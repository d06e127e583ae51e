"""The verdict of a run, and the exit status that tells it to a shell."""

from enum import StrEnum


class Verdict(StrEnum):
    """What is done with the board, or with the station."""

    PASS = "PASS"
    FAIL = "FAIL"
    ABORTED = "ABORTED"
    ERROR = "ERROR"
    USAGE = "USAGE"
    INCOMPLETE = "INCOMPLETE"
    INTERRUPTED = "INTERRUPTED"
    """Only in records: the run was killed, and the next start found its journal."""

    @property
    def status(self) -> int:
        """Exit status of the process."""
        return _STATUS[self]

    @property
    def advice(self) -> str:
        """What the operator does next, one sentence."""
        return _ADVICE[self]


_STATUS = {
    Verdict.PASS: 0,
    Verdict.FAIL: 1,
    Verdict.ABORTED: 2,
    Verdict.ERROR: 3,
    Verdict.USAGE: 4,
    Verdict.INCOMPLETE: 5,
    Verdict.INTERRUPTED: 3,
}

_ADVICE = {
    Verdict.PASS: "Take the board out; it is finished.",
    Verdict.FAIL: "Set this board aside with its label; the station is fine.",
    Verdict.ABORTED: "The run was stopped by hand; run this board again.",
    Verdict.ERROR: "The board may be good; correct the station, then run this board again.",
    Verdict.USAGE: "Nothing was started; correct the command or the file that is named.",
    Verdict.INCOMPLETE: "Only part of the plan ran; run this board again without selecting tests.",
    Verdict.INTERRUPTED: "The run was killed before it ended; run this board again.",
}
