"""Programmer through any probe that pyOCD knows; the one door to pyOCD for the line's work.

pyOCD is asked to read and write memory and to run our own program in the chip's RAM (``pyocd_worker``), never for its
flash loader, so that nothing is erased or kept by a rule that we did not choose. Success is not proof: the program does
not verify, a controller reports success on stuck bits, and pyOCD ignores a wrong DPIDR.

No text and no exception that leaves this module carries memory contents, for they may be keys: pyOCD's own
exceptions stay inside (their tracebacks would show the arguments of its write functions).
"""

import logging
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from lorafab.domain.memory_map import Segment, Span
from lorafab.domain.ram_program import RamProgram
from lorafab.drivers.pyocd_protection import (
    PROTECTIONS,
    AccessPortProtection,
    Protection,
    debug_port,
    survey_port,
    survey_target,
)
from lorafab.drivers.pyocd_worker import Kind, NoAnswer, Order, Worker
from lorafab.errors import (
    ConfigError,
    FlashRefused,
    LorafabError,
    MemoryFault,
    PlanError,
    ProbeError,
    StoreRefused,
    WrongChip,
)
from lorafab.interfaces import ChipInfo, Visible
from lorafab.targets import MCUS, Area, McuFacts
from lorafab.targets.algorithm import load_worker

T = TypeVar("T")

LOG = logging.getLogger(__name__)
RESEAT = "reseat the board and repeat once, then set it aside"


class PyocdProgrammer:
    """Implements lorafab.interfaces.Programmer.

    ``probe_id``: unique id as ``pyocd list`` prints it, optionally with the probe type before it
    (``lorafab:jig0``); compared exactly. ``target``: a name of lorafab.targets.MCUS. ``swd_khz``: SWD clock.
    Raises ConfigError for an unknown target.
    """

    def __init__(self, probe_id: str, target: str, swd_khz: int) -> None:
        if target not in MCUS:
            raise ConfigError(
                f"target {target!r} is not known, wanted one of {', '.join(sorted(MCUS))}; correct the product file, "
                "or add the microcontroller to lorafab/targets"
            )
        self._probe_id, self._target_name, self._swd_khz = probe_id, target, swd_khz
        self._mcu: McuFacts = MCUS[target]
        self._session: Any = None
        self._worker: Worker | None = None

    def connect(self) -> ChipInfo:
        """Attach, halt the core, read who it is; connecting again starts afresh.

        A chip that does not let itself be halted, such as one in a stop mode without debug clocks, is reset through
        nRESET once. Raises ProbeError when probe or chip do not answer, WrongChip when the identity registers of the
        expected microcontroller are not there.
        """
        self.close()
        failure: LorafabError
        try:
            return self._guarded(self._connect, self._why_not_connected)
        except LorafabError as error:
            failure = error
        self.close()
        raise failure

    def read(self, span: Span) -> bytes:
        """Read ``span``, of any alignment. Raises ProbeError, or MemoryFault where the bus refuses."""
        return self._guarded(lambda: self._read(span), lambda error: _failure(error, span.start))

    def checksums(self, spans: Sequence[Span]) -> list[int | None]:
        """Checksum of each span, None where it cannot be read; see Programmer. Raises ProbeError.

        The core is reset before the first ones, and its firmware does not run again before ``run`` or ``close``.
        """
        return self._guarded(lambda: self._open_worker().checksums(spans), _lost)

    def call(
        self, program: RamProgram, entry: str, arguments: Sequence[int], mailbox: bytes, answer: int, timeout_s: float
    ) -> tuple[int, bytes]:
        """Run a function of ``program`` on the halted core; see Programmer. Raises ProbeError, StoreRefused.

        The core is reset before the first call of a connection. A program that is in RAM already is not loaded again:
        its variables are as its last call left them.
        """

        def translate(error: Exception) -> LorafabError:
            if isinstance(error, NoAnswer):
                return StoreRefused(
                    f"{program.name} did not come back from {entry} in {timeout_s:g} s, wanted its answer; {RESEAT}"
                )
            return _lost(error)

        return self._guarded(
            lambda: self._open_worker().call_with_mailbox(program, entry, arguments, mailbox, answer, timeout_s),
            translate,
        )

    def is_locked(self) -> bool:
        """Whether read-out protection hides the flash; an nRF52 need not be connected. Raises ProbeError."""
        protection = self._protection
        if isinstance(protection, AccessPortProtection):
            return self._at_port(protection.is_locked)
        return self._guarded(lambda: protection.is_locked(self._open_target()), _lost)

    def survey(self) -> list[Visible]:
        """All that can be read of the chip; of a locked nRF52 without ``connect``. Raises ProbeError."""
        if self._session is None and isinstance(self._protection, AccessPortProtection):
            spans = (self._mcu.flash.span, *(span for _, span in self._protection.extra))
            return self._at_port(lambda port: survey_port(port, spans))
        return self._guarded(lambda: survey_target(self._open_target(), self._protection), _lost)

    def lock(self) -> None:
        """Set read-out protection, for the next power-on. Raises FlashRefused, ProbeError."""
        self._guarded(lambda: self._protection.lock(self._open_target()), _not_protected)

    def unlock(self) -> bool:
        """Take read-out protection off, which erases the chip; see Programmer. Raises FlashRefused, ProbeError."""
        protection = self._protection
        if not isinstance(protection, AccessPortProtection):
            self._guarded(lambda: protection.unlock(self._open_target()), _not_protected)
            return True
        self.close()
        self._at_port(protection.unlock)
        self.connect()
        self._guarded(lambda: protection.keep_open(self._open_target()), _not_protected)
        return False

    @property
    def _protection(self) -> Protection:
        return PROTECTIONS[self._target_name]

    def _at_port(self, action: Callable[[Any], T]) -> T:
        """Do something at the debug port, which answers also where there is no way to the core."""
        from pyocd.core.session import Session

        def do() -> T:
            if self._session is not None:
                return action(self._session.target.dp)
            with debug_port(Session(self._find_probe(), options=self._options())) as port:
                return action(port)

        return self._guarded(do, _lost)

    def program(self, erase: Sequence[Span], segments: Sequence[Segment], *, mass_erase: bool = False) -> None:
        """Erase the pages of ``erase`` and program ``segments``, in one session of the chip's own program.

        The core is reset and halted first, unless that was done for ``checksums`` or ``call``. Only the words that
        segments touch are programmed, their other bytes as erased. Raises PlanError before anything is touched when
        ``erase`` is not whole pages, or segments overlap, lie outside flash and data EEPROM, or cut words of a data
        EEPROM; FlashRefused when the memory refuses; ProbeError when the connection is lost.
        """
        pages = self._erase_pages(erase)
        runs = self._runs(segments)
        if not (pages or runs or mass_erase):
            return
        worker = self._guarded(self._open_worker, _lost)
        orders = list(_orders(self._mcu, pages, runs, mass_erase, worker.page_size))
        self._guarded(lambda: worker.flash(orders), self._why_not_programmed)

    def run(self) -> None:
        """Reset the core and let its firmware run. Raises ProbeError."""
        self._guarded(self._run, _failure)

    def close(self) -> None:
        """Let the core run and release the probe; may be called twice; never raises."""
        session, self._session = self._session, None
        worker, self._worker = self._worker, None
        if session is not None:
            if worker is not None and worker.owes_reset:
                with suppress(Exception):
                    session.target.reset()  # let go where it stands, the core would trip over our breakpoint
            # What went wrong has been reported by whoever met it; here it would only be reported again.
            session.context_state.suppress_disconnect_error = True
            with suppress(Exception):
                session.close()

    # -- connecting

    def _connect(self) -> ChipInfo:
        from pyocd.core.target import Target

        _silence_traces()
        self._open_session()
        target = self._session.target
        # pyOCD only warns when the core did not halt.
        if target.get_state() != Target.State.HALTED:
            raise ProbeError(
                "the core goes on running although it was asked to halt; check the connection, lower swd_khz, repeat"
            )
        mcu = self._mcu
        return ChipInfo(
            dpidr=target.dp.dpidr.idr,
            idcode=target.read32(mcu.identity.address),
            flash_size=mcu.read_flash_size(target.read32),
            unique_id=mcu.read_unique_id(lambda span: bytes(target.read_memory_block8(span.start, span.size))),
        )

    def _why_not_connected(self, error: Exception) -> LorafabError:
        """A debug port of another chip explains all that went wrong behind it."""
        found = self._debug_port_id()
        if not found or found == self._mcu.dpidr:  # 0: nothing answered
            return _connect_failure(error)
        return WrongChip(
            f"the chip in the jig has debug port id {found:#x}, an {self._mcu.name} has {self._mcu.dpidr:#x}; "
            "check that this board belongs to this product, then set it aside"
        )

    def _why_not_programmed(self, error: Exception) -> LorafabError:
        """The RAM that an algorithm works in never refuses: a fault there is a disturbed transfer, not the board's."""
        failure = _failure(error)
        if isinstance(failure, MemoryFault):
            region = self._session.target.memory_map.get_region_for_address(failure.address)
            if region is not None and region.is_ram:
                return _lost(error)
        return failure

    def _debug_port_id(self) -> int | None:
        """DPIDR as far as the session got; None when nothing answered."""
        port = getattr(getattr(self._session, "target", None), "dp", None)
        identity = getattr(port, "dpidr", None)
        found: int | None = getattr(identity, "idr", None)
        return found

    def _open_session(self) -> None:
        from pyocd.core import exceptions

        probe = self._find_probe()
        try:
            self._open(probe, "halt")
        except (exceptions.TargetError, exceptions.TimeoutError) as error:
            refusal = error
        else:
            return
        LOG.warning("the chip does not let itself be halted (%s): trying once more with nRESET held low", refusal)
        self.close()
        try:
            self._open(probe, "under-reset")
        except exceptions.Error:
            raise refusal from None  # a probe without nRESET says less than the chip did

    def _open(self, probe: Any, connect_mode: str) -> None:
        from pyocd.core import exceptions
        from pyocd.core.session import Session

        # Kept before it opens, so that close() finds it whatever happens meanwhile.
        self._session = Session(probe, options=self._options() | {"connect_mode": connect_mode})
        try:
            self._session.open()
        except KeyError:  # of pyOCD's nRF52 target, when access protection hides the core
            no_core: Any = exceptions.DebugError
            raise no_core("no core answers, as when access protection is on") from None

    def _options(self) -> dict[str, Any]:
        return {
            "target_override": self._target_name,
            "frequency": self._swd_khz * 1000,
            # The default would mass-erase a locked nRF52 just for being connected to.
            "auto_unlock": False,
            # Neither pyocd.yaml nor pyocd_user.py of the current folder may change a production run. Without a
            # user script pyOCD looks for one; the null device is an empty one.
            "no_config": True,
            "user_script": os.devnull,
            "project_dir": os.getcwd(),
            "resume_on_disconnect": True,
            # Needs no wire to nRESET.
            "reset_type": "sysresetreq",
            # pyOCD polls after a reset anyway; its fixed 0.1 s would only cost cycle time.
            "reset.post_delay": 0.0,
            # What is read is what the chip holds now.
            "cache.enable_memory": False,
        }

    def _find_probe(self) -> Any:
        from pyocd.probe.aggregator import DebugProbeAggregator

        # pyOCD matches parts of ids: asked for board1 it would take board10.
        probes: Any = DebugProbeAggregator
        wanted = self._probe_id.partition(":")[2] or self._probe_id
        found = probes.get_all_connected_probes(unique_id=self._probe_id)
        exact = [probe for probe in found if probe.unique_id == wanted]
        if len(exact) == 1:
            return exact[0]
        if exact:
            raise ProbeError(f"{len(exact)} probes have the id {wanted}, wanted one; unplug the others and repeat")
        every = sorted(probe.unique_id for probe in probes.get_all_connected_probes())
        raise ProbeError(
            f"probe {self._probe_id} is not connected, found {', '.join(every) if every else 'no probe at all'}; "
            "plug it in, or correct programmer.probe in the station file"
        )

    # -- memory

    def _open_target(self) -> Any:
        if self._session is None:
            raise ProbeError("the programmer is not connected, wanted connect() first; repeat the run")
        return self._session.target

    def _read(self, span: Span) -> bytes:
        target = self._open_target()
        if span.size == 0:
            return b""
        first = span.start & ~3
        count = (span.end + 3 - first) // 4
        words = target.read_memory_block32(first, count)
        return struct.pack(f"<{count}I", *words)[span.start - first : span.end - first]

    def _erase_pages(self, spans: Sequence[Span]) -> dict[Area, list[int]]:
        """Addresses of the pages to erase, each once, in rising order."""
        pages: dict[Area, set[int]] = {}
        for span in spans:
            area = self._area_of(span)
            if span.start % area.page_size or span.size % area.page_size:
                raise PlanError(
                    f"{span} was to be erased, wanted whole pages of {area.page_size} bytes; correct the flash plan"
                )
            pages.setdefault(area, set()).update(range(span.start, span.end, area.page_size))
        return {area: sorted(addresses) for area, addresses in pages.items()}

    def _runs(self, segments: Sequence[Segment]) -> dict[Area, list[Segment]]:
        """Runs of whole words without gaps, in rising order; bytes that no segment covers stay erased."""
        runs: dict[Area, list[tuple[int, bytearray]]] = {}
        behind = 0
        for segment in sorted((one for one in segments if one.data), key=lambda one: one.address):
            area = self._area_of(segment.span)
            if segment.address < behind:
                raise PlanError(f"two segments share {segment.address:#010x}, wanted one each; correct the flash plan")
            behind = segment.span.end
            before, after = segment.address % area.word_size, -behind % area.word_size
            if area is self._mcu.eeprom and (before or after):
                # It writes over what is there: the padding would not stay erased but erase.
                raise PlanError(
                    f"{segment.span} was to be written to the data EEPROM, wanted whole words of {area.word_size} "
                    "bytes; correct the flash plan"
                )
            of_area = runs.setdefault(area, [])
            start, end = segment.address - before, behind + after
            if not of_area or of_area[-1][0] + len(of_area[-1][1]) < start:
                of_area.append((start, bytearray()))
            first, data = of_area[-1]
            data.extend(bytes([area.erased]) * (end - first - len(data)))
            data[segment.address - first : behind - first] = segment.data
        return {area: [Segment(start, bytes(data)) for start, data in of_area] for area, of_area in runs.items()}

    def _area_of(self, span: Span) -> Area:
        area = self._mcu.area_of(span)
        if area is None:
            wanted = " or ".join(str(one.span) for one in self._mcu.areas)
            raise PlanError(f"{span} is not in the flash, wanted a place in {wanted}; correct the flash plan")
        return area

    def _open_worker(self) -> Worker:
        target = self._open_target()
        if self._worker is None:
            self._worker = Worker(target, load_worker(self._target_name))
        return self._worker

    def _run(self) -> None:
        from pyocd.core.target import Target

        target = self._open_target()
        if self._worker is not None:
            self._worker.release()
        target.reset()
        if target.get_state() == Target.State.HALTED:
            target.resume()

    # -- errors

    def _guarded(self, action: Callable[[], T], translate: Callable[[Exception], LorafabError]) -> T:
        """Do ``action``; what pyOCD or USB raise becomes ours, with nothing of theirs attached."""
        from pyocd.core import exceptions

        failure: LorafabError
        try:
            return action()
        except (exceptions.Error, OSError, NoAnswer) as error:
            failure = translate(error)
        # Outside of the handler: `from None` hides the original, but would still carry it as __context__.
        raise failure


def _orders(
    mcu: McuFacts, pages: dict[Area, list[int]], runs: dict[Area, list[Segment]], mass_erase: bool, size: int
) -> Iterator[Order]:
    """All erases, then what is programmed, memory by memory; a mass erase stands for the flash's pages."""
    if mass_erase:
        yield Order(Kind.ERASE_CHIP, mcu.flash.start)
    for area in mcu.areas:
        if not (mass_erase and area is mcu.flash):
            yield from (Order(Kind.ERASE_PAGE, page) for page in pages.get(area, []))
    for area in mcu.areas:
        for run in runs.get(area, []):
            yield from (Order(Kind.PROGRAM, chunk.address, chunk.data) for chunk in _by_pages(run, size))


def _by_pages(run: Segment, size: int) -> Iterator[Segment]:
    """Cut at multiples of ``size``."""
    for page in run.span.pages(size):
        start, end = max(page.start, run.address), min(page.end, run.span.end)
        yield Segment(start, run.data[start - run.address : end - run.address])


def _connect_failure(error: Exception) -> LorafabError:
    """While connecting no memory contents are under way: pyOCD's own words may be shown."""
    from pyocd.core.exceptions import TransferFaultError

    if isinstance(error, TransferFaultError):
        return WrongChip(
            f"the chip has nothing at {_place(error.fault_address)}, wanted an identity register there; "
            "check that this is the right board for the lot"
        )
    return ProbeError(
        f"the chip cannot be reached ({error}), wanted an answer over SWD; check power, contact of the needles and "
        "the probe's cable, then repeat"
    )


def _failure(error: Exception, near: int = 0) -> LorafabError:
    """``near`` is where the access began, for a fault that does not say its address."""
    from pyocd.core import exceptions

    if isinstance(error, exceptions.TransferFaultError):
        return MemoryFault(near if error.fault_address is None else error.fault_address)
    if isinstance(error, exceptions.FlashEraseFailure):
        return FlashRefused(f"the flash could not be erased{_where(error)}, wanted success; {RESEAT}")
    if isinstance(error, exceptions.FlashProgramFailure):
        return FlashRefused(f"the flash could not be programmed{_where(error)}, wanted success; {RESEAT}")
    if isinstance(error, exceptions.FlashFailure):
        return FlashRefused(f"the flash controller does not work{_where(error)}, wanted it to open; {RESEAT}")
    return _lost(error)


def _lost(error: Exception) -> ProbeError:
    return ProbeError(
        f"the connection to the chip was lost ({type(error).__name__}), wanted it to hold; check the probe's cable "
        "and the contact of the needles, then repeat"
    )


def _not_protected(error: Exception) -> LorafabError:
    from pyocd.core.exceptions import TransferFaultError

    if isinstance(error, TransferFaultError):
        return FlashRefused(
            f"the chip refuses a write to {_place(error.fault_address)} that its read-out protection needs, wanted it "
            f"to be taken; {RESEAT}"
        )
    return _lost(error)


def _where(error: Any) -> str:
    """Address and result code of a flash failure; codes are explained in the algorithm's source."""
    address = f" at {error.address:#010x}" if error.address is not None else ""
    return address + (f" (result {error.result_code:#x})" if error.result_code is not None else " (no result)")


def _place(address: int | None) -> str:
    return "an unnamed address" if address is None else f"{address:#010x}"


def list_probes() -> list[dict[str, str]]:
    """Debug probes that pyOCD sees: id, vendor and product."""
    from pyocd.probe.aggregator import DebugProbeAggregator

    aggregator: Any = DebugProbeAggregator
    return [
        {"id": probe.unique_id, "vendor": probe.vendor_name, "product": probe.product_name}
        for probe in aggregator.get_all_connected_probes()
    ]


def _silence_traces() -> None:
    # pyOCD's trace loggers print the words that go to the chip, keys among them. They are off by default; nobody
    # may switch them on in production.
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("pyocd.") and name.endswith(".trace"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
