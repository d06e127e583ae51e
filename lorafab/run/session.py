"""A session around a run: whatever breaks, and whenever, it ends with closed hardware, a record and a verdict."""

import secrets
from contextlib import suppress
from pathlib import Path

from lorafab.config.load import load_station
from lorafab.domain.record import RunRecord
from lorafab.domain.verdict import Verdict
from lorafab.drivers.clock import SystemClock
from lorafab.errors import LorafabError
from lorafab.run import recording
from lorafab.run.outcome import Cause, blame, code_of, sentence_of
from lorafab.run.redaction import guard_logging
from lorafab.run.run import Run
from lorafab.run.station import Options, Station, open_station
from lorafab.stores.journal import StationLock
from lorafab.stores.records import RecordStore


class Session:
    """Begin, end, verdict. The plugin drives it; a script could as well."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.station: Station | None = None
        self.record: RunRecord | None = None
        self.report: Path | None = None
        self.notices: list[str] = []
        """Sentences for the operator that do not change the verdict."""
        self._cause: Cause | None = None
        self.ended = False
        self._lock: StationLock | None = None

    # -- beginning -----------------------------------------------------------------------------------------------

    def begin(self, root: Path, station: str, lot: str | None, data: Path, options: Options) -> None:
        """Read the configuration, open the station, begin the run. Raises LorafabError.

        ``data`` counts from ``root`` unless it is absolute.
        """
        guard_logging()
        config = load_station(root, station, lot)
        clock = SystemClock()
        started = clock.now()
        run_id = f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        # Before any driver: another run's probe and port must not be touched.
        lock = StationLock(root / data, station, run_id)
        lock.acquire()
        self._lock = lock
        # Also before: a full disk must not get a board file more.
        RecordStore(root / data).prepare()
        self.station = open_station(config, root, root / data, options, clock)
        self.run = Run(self.station, run_id, started)
        if self._cause is not None:
            self.run.state.blame(self._cause)  # a signal that a library swallowed meanwhile
        for recovered in self.run.begin():
            self.notices.append(recovered.sentence)
            if recovered.record is not None:
                self._report(self.run, recovered.record)

    @property
    def may_start(self) -> bool:
        """Whether the steps may run."""
        return self.run is not None and self.cause is None

    # -- verdict -------------------------------------------------------------------------------------------------

    @property
    def cause(self) -> Cause | None:
        """What decided the verdict so far."""
        return self._cause or (self.run.state.cause if self.run else None)

    def blame(self, cause: Cause) -> None:
        """Keep the first cause."""
        if self.ended:
            return
        if self.run is not None:
            self.run.state.blame(cause)
        elif self._cause is None:
            self._cause = cause

    def blame_error(self, error: BaseException, test: str | None = None) -> None:
        """Keep an exception as the cause, if it is the first."""
        self.blame(Cause(blame(error), code_of(error), sentence_of(error), test))

    @property
    def verdict(self) -> Verdict:
        """The verdict as it stands; a PASS only when its record is on disk."""
        if self._cause is not None:
            return self._cause.verdict
        if self.run is None:
            return Verdict.ERROR
        verdict = self.run.state.verdict()
        return Verdict.ERROR if verdict is Verdict.PASS and self.record is None else verdict

    # -- end -----------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Close the hardware, commit the record, make the report, give the station back. Never raises."""
        if self.station is not None:
            try:
                self.station.close()
            except Exception as error:
                self.blame_error(error)
        # What comes from here on cannot change a verdict that is being written.
        self.ended = True
        if self.run is not None:
            self.record = self.run.finish()
            if self.run.facts.assignment is not None:
                self.notices += self.run.facts.assignment.findings
            if self.record is not None and self.record.verdict == self.verdict.value:
                self.report = self._report(self.run, self.record)
            self.run.leave()
        if self.station is not None:
            self.station.ledger.close()
        if self._lock is not None:
            self._lock.release()

    def _report(self, run: Run, record: RunRecord) -> Path | None:
        """The record is what counts: a report that cannot be made is said, and can be made later."""
        try:
            return recording.write_report(run.station.data, run.records, record)
        except Exception as error:
            reason = str(error) if isinstance(error, LorafabError) else type(error).__name__
            self.notices.append(
                f"the report of run {record.run} cannot be made ({reason}); "
                f"`lorafab report board {record.run}` makes it later"
            )
        return None

    # -- what the last line says -----------------------------------------------------------------------------------

    def last_line(self) -> str:
        """``lorafab: VERDICT <DevEUI or -> <run id or -> <report path or ->``."""
        dev_eui = self.run.facts.dev_eui if self.run else None
        report = "-"
        if self.report is not None:
            report = str(self.report)
            with suppress(ValueError):
                report = str(self.report.relative_to(Path.cwd()))
        run = self.run.id if self.run else "-"
        return f"lorafab: {self.verdict.value} {dev_eui or '-'} {run} {report}"

    def why(self) -> str:
        """The sentence behind the verdict; empty for PASS."""
        if self._cause is not None:
            return self._cause.sentence
        return self.run.state.why()[1] if self.run else "nothing was started"
