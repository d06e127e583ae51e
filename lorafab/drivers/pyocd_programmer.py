"""Programmer through any probe that pyOCD knows; the one door to pyOCD for the line's work.

pyOCD is asked for single steps (erase this page, program that one) and never for its loader, so that nothing is
erased or kept by a rule that we did not choose. Its success is not proof: it does not verify, reports success on
stuck bits, and ignores a wrong DPIDR.

No text and no exception that leaves this module carries memory contents, for they may be keys: pyOCD's own
exceptions stay inside (their tracebacks would show the arguments of its write functions).
"""

import logging
import os
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from lorafab.domain.memory_map import Segment, Span
from lorafab.errors import ConfigError, FlashRefused, LorafabError, MemoryFault, PlanError, ProbeError, WrongChip
from lorafab.interfaces import ChipInfo
from lorafab.targets import MCUS, McuFacts

T = TypeVar("T")

ERASED = b"\xff"

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

    def connect(self) -> ChipInfo:
        """Attach, halt the core, read who it is; connecting again starts afresh.

        Raises ProbeError when probe or chip do not answer, WrongChip when the identity registers of the expected
        microcontroller are not there.
        """
        self.close()
        failure: LorafabError
        try:
            return self._guarded(self._connect, _connect_failure)
        except LorafabError as error:
            failure = error
        self.close()
        raise failure

    def read(self, span: Span) -> bytes:
        """Read ``span``, of any alignment. Raises ProbeError, or MemoryFault where the bus refuses."""
        return self._guarded(lambda: self._read(span), lambda error: _failure(error, span.start))

    def program(self, erase: Sequence[Span], segments: Sequence[Segment]) -> None:
        """Reset and halt the core, erase the pages of ``erase``, program ``segments``; see Programmer.

        Raises PlanError before anything is touched when ``erase`` is not whole pages, or segments overlap or lie
        outside the flash; FlashRefused when the flash refuses; ProbeError when the connection is lost.
        """
        pages = self._erase_pages(erase)
        contents = self._page_contents(segments)
        self._guarded(lambda: self._program(pages, contents), _failure)

    def run(self) -> None:
        """Reset the core and let its firmware run. Raises ProbeError."""
        self._guarded(self._run, _failure)

    def close(self) -> None:
        """Let the core run and release the probe; may be called twice; never raises."""
        session, self._session = self._session, None
        if session is not None:
            # What went wrong has been reported by whoever met it; here it would only be reported again.
            session.context_state.suppress_disconnect_error = True
            with suppress(Exception):
                session.close()

    # -- connecting

    def _connect(self) -> ChipInfo:
        from pyocd.core.session import Session
        from pyocd.core.target import Target

        _silence_traces()
        # A session of its own first, so that close() finds it whatever happens while it opens.
        self._session = Session(self._find_probe(), options=self._options())
        self._session.open()
        target = self._session.target
        # pyOCD only warns when the core did not halt.
        if target.get_state() != Target.State.HALTED:
            raise ProbeError(
                "the core goes on running although it was asked to halt; check the connection, lower swd_khz, repeat"
            )
        mcu = self._mcu
        unique_id = bytes(target.read_memory_block8(mcu.uid_address, mcu.uid_length))
        return ChipInfo(
            dpidr=target.dp.dpidr.idr,
            idcode=target.read32(mcu.idcode_address),
            flash_size=target.read16(mcu.flash_size_address) * 1024,
            unique_id=unique_id.hex().upper(),
        )

    def _options(self) -> dict[str, Any]:
        return {
            "target_override": self._target_name,
            "frequency": self._swd_khz * 1000,
            "connect_mode": "halt",
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

    def _erase_pages(self, spans: Sequence[Span]) -> list[int]:
        mcu, pages = self._mcu, set[int]()
        for span in spans:
            self._refuse_outside(span)
            if span.start % mcu.page_size or span.size % mcu.page_size:
                raise PlanError(
                    f"{span} was to be erased, wanted whole pages of {mcu.page_size} bytes; correct the flash plan"
                )
            pages.update(range(span.start, span.end, mcu.page_size))
        return sorted(pages)

    def _page_contents(self, segments: Sequence[Segment]) -> dict[int, bytes]:
        """Pages to program, by address, in rising order; what no segment covers stays erased."""
        size, contents = self._mcu.page_size, dict[int, bytearray]()
        behind = 0
        for segment in sorted(segments, key=lambda one: one.address):
            self._refuse_outside(segment.span)
            if segment.address < behind:
                raise PlanError(f"two segments share {segment.address:#010x}, wanted one each; correct the flash plan")
            behind = segment.span.end
            for page in segment.span.pages(size):
                here = contents.setdefault(page.start, bytearray(ERASED * size))
                start, end = max(page.start, segment.address), min(page.end, behind)
                data = segment.data[start - segment.address : end - segment.address]
                here[start - page.start : end - page.start] = data
        return {address: bytes(data) for address, data in contents.items()}

    def _refuse_outside(self, span: Span) -> None:
        flash = Span(self._mcu.flash_start, self._mcu.flash_size)
        if not flash.contains(span):
            raise PlanError(f"{span} is not in the flash, wanted a place in {flash}; correct the flash plan")

    def _program(self, pages: Sequence[int], contents: dict[int, bytes]) -> None:
        from pyocd.flash.flash import Flash

        target = self._open_target()
        flash = target.memory_map.get_region_for_address(self._mcu.flash_start).flash
        # With a reset: the halted firmware's clocks, interrupts and watchdog must not go on under the algorithm.
        reset = True
        try:
            if pages:
                flash.init(Flash.Operation.ERASE, reset=reset)
                reset = False
            for page in pages:
                flash.erase_sector(page)
            if contents:
                flash.init(Flash.Operation.PROGRAM, reset=reset)
            _program_pages(flash, contents)
        except BaseException:
            self._abandon(target, flash)
            raise
        flash.cleanup()

    def _abandon(self, target: Any, flash: Any) -> None:
        """After a failure stop the algorithm and wipe its buffers where possible; the failure itself matters more."""
        with suppress(Exception):
            target.halt()
            flash.cleanup()
        self._session.context_state.current_flash_algo = None  # the next session loads everything again

    def _run(self) -> None:
        from pyocd.core.target import Target

        target = self._open_target()
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
        except (exceptions.Error, OSError) as error:
            failure = translate(error)
        # Outside of the handler: `from None` hides the original, but would still carry it as __context__.
        raise failure


def _program_pages(flash: Any, contents: dict[int, bytes]) -> None:
    """Load one buffer while the flash is busy with the other."""
    running: int | None = None
    for number, (address, data) in enumerate(contents.items()):
        buffer = number % 2  # every algorithm of ours has two
        flash.load_page_buffer(buffer, address, data)
        if running is not None:
            _finish_page(flash, running)
        flash.start_program_page_with_buffer(buffer, address)
        running = address
    if running is not None:
        _finish_page(flash, running)


def _finish_page(flash: Any, address: int) -> None:
    from pyocd.core import exceptions

    failure: Any = exceptions.FlashProgramFailure
    result = flash.wait_for_completion(flash.target.session.options.get("flash.timeout.program"))
    if result == flash.TIMEOUT_ERROR:
        raise failure("timed out", address=address)
    if result:
        raise failure("refused", address=address, result_code=result)


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
    return ProbeError(
        f"the connection to the chip was lost ({type(error).__name__}), wanted it to hold; check the probe's cable "
        "and the contact of the needles, then repeat"
    )


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
