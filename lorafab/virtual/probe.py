"""A pyOCD debug probe whose wires end at a virtual board.

It works transfer by transfer, as a CMSIS-DAP probe does, and offers no short cut to memory: everything that pyOCD
does to a real chip happens here, too. pyOCD learns of this class through ``lorafab.pyocd_entry``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyocd.core import exceptions
from pyocd.probe.debug_probe import DebugProbe

from lorafab.errors import LorafabError
from lorafab.virtual import registry
from lorafab.virtual.dap import Ack
from lorafab.virtual.packets import CmsisDap, TransferFailedError, UnpluggedError

if TYPE_CHECKING:
    from pyocd.board.board import Board as PyocdBoard
    from pyocd.board.board_ids import BoardInfo

    from lorafab.virtual.board import Board

# As pyOCD's own CMSIS-DAP driver maps the answers (cmsis_dap_probe.py): silence is the plain TransferError.
_ERRORS: dict[Ack, type[exceptions.TransferError]] = {
    Ack.WAIT: exceptions.TransferTimeoutError,
    Ack.FAULT: exceptions.TransferFaultError,
    Ack.NONE: exceptions.TransferError,
}

# A packet has room for 32 bits: what pyOCD hands over beyond that (its CRC analyzer does) is cut off, as it is by
# every CMSIS-DAP probe.
_WORD = 0xFFFF_FFFF


class VirtualProbe(DebugProbe):
    """The probe of one nest; ``unique_id`` is the nest's name."""

    @classmethod
    def get_all_connected_probes(cls, unique_id: str | None = None, is_explicit: bool = False) -> list[VirtualProbe]:
        """One probe for each nest that has a board; pyOCD filters by id itself."""
        return [cls(site) for site in registry.names()]

    @classmethod
    def get_probe_with_id(cls, unique_id: str, is_explicit: bool = False) -> VirtualProbe | None:
        """Return the probe of exactly this nest, or None."""
        return cls(unique_id) if unique_id in registry.names() else None

    def __init__(self, site: str) -> None:
        super().__init__()
        self._site = site
        self._board: Board | None = None
        self._owns_board = False
        self._dap: CmsisDap | None = None
        self._protocol: DebugProbe.Protocol | None = None
        self._reset_asserted = False

    # -- who it is

    @property
    def vendor_name(self) -> str:
        """Shown in listings."""
        return "lorafab"

    @property
    def product_name(self) -> str:
        """Shown in listings."""
        return "virtual probe"

    @property
    def unique_id(self) -> str:
        """Name of the nest."""
        return self._site

    @property
    def supported_wire_protocols(self) -> Collection[DebugProbe.Protocol]:
        """SWD only: there is no JTAG on the connector."""
        return [DebugProbe.Protocol.DEFAULT, DebugProbe.Protocol.SWD]

    @property
    def wire_protocol(self) -> DebugProbe.Protocol | None:
        """SWD while connected, otherwise None."""
        return self._protocol

    @property
    def is_open(self) -> bool:
        """Whether the probe is in use."""
        return self._dap is not None

    @property
    def capabilities(self) -> set[DebugProbe.Capability]:
        """SELECT is left to pyOCD, as with any plain CMSIS-DAP probe."""
        return {
            DebugProbe.Capability.SWJ_SEQUENCE,
            DebugProbe.Capability.BANKED_DP_REGISTERS,
            DebugProbe.Capability.APv2_ADDRESSES,
        }

    @property
    def associated_board_info(self) -> BoardInfo:
        """What pyOCD takes the target from when the user names none."""
        from pyocd.board.board_ids import BoardInfo

        return BoardInfo(name="virtual board", target="stm32wle5jc", binary=None, vendor="lorafab")

    def create_associated_board(self) -> PyocdBoard:
        """Create pyOCD's object for the board behind the probe."""
        from pyocd.board.board import Board as PyocdBoard

        assert self.session is not None  # pyOCD sets it before it asks
        return PyocdBoard(self.session, board_info=self.associated_board_info)

    @property
    def dap(self) -> CmsisDap:
        """The probe's packet engine, for its counters. Raises pyOCD's ProbeError while the probe is closed."""
        if self._dap is None:
            raise exceptions.ProbeError(f"virtual probe {self._site} is not open")
        return self._dap

    # -- life

    def open(self) -> None:
        """Take the board of the running session, or open (and power) the file that the environment names."""
        if self._dap is not None:
            return
        board = registry.board_in(self._site)
        path = registry.board_file()
        if board is None and (path is None or self._site != registry.DEFAULT_SITE):
            raise exceptions.ProbeDisconnected(f"there is no board in {self._site}")
        if board is None:
            board = self._open_file()
        self._board, self._dap = board, CmsisDap(board)

    def _open_file(self) -> Board:
        from lorafab.virtual.board import Board

        path = registry.board_file()
        assert path is not None
        try:
            board = Board.open(path)
            board.power(True)
        except LorafabError as error:
            raise exceptions.ProbeError(str(error)) from error
        self._owns_board = True
        return board

    def close(self) -> None:
        """Let go of the board; one that came from a file is switched off and saved."""
        board, self._board, self._dap = self._board, None, None
        if board is not None and self._owns_board:
            self._owns_board = False
            board.close()

    def connect(self, protocol: DebugProbe.Protocol | None = None) -> None:
        """Drive the SWD pins."""
        self._opened_board().attach_debugger(True)
        self._protocol = DebugProbe.Protocol.SWD

    def disconnect(self) -> None:
        """Let the SWD pins float."""
        self._protocol = None
        if self._board is not None:
            self._board.attach_debugger(False)

    def set_clock(self, frequency: float) -> None:
        """Set the SWD clock in Hz."""
        self.dap.clock_hz = int(frequency)

    def swj_sequence(self, length: int, bits: int) -> None:
        """Send bits on SWDIO, least significant first."""
        with self._errors():
            self.dap.swj_sequence(length, bits)

    def reset(self) -> None:
        """Pulse nRESET for the session's hold time, in simulated time."""
        self.assert_reset(True)
        hold_s = 0.1 if self.session is None else float(self.session.options.get("reset.hold_time"))
        self._opened_board().advance(round(hold_s * 1e9))
        self.assert_reset(False)

    def assert_reset(self, asserted: bool) -> None:
        """Pull nRESET low, or let it go."""
        self.flush()
        self._opened_board().set_reset_pin(asserted)
        self._reset_asserted = asserted

    def is_reset_asserted(self) -> bool:
        """Whether this probe pulls nRESET low."""
        return self._reset_asserted

    def flush(self) -> None:
        """Send what is waiting."""
        with self._errors():
            self.dap.flush()

    # -- transfers

    def read_dp(self, addr: int, now: bool = True) -> Any:
        """Read a DP register; with ``now`` False return a function that returns its value."""
        return self._read(False, addr, now)

    def write_dp(self, addr: int, data: int) -> None:
        """Write a DP register."""
        with self._errors():
            self.dap.write(False, addr & 0xC, (data & _WORD,))

    def read_ap(self, addr: int, now: bool = True) -> Any:
        """Read a register of the selected AP; with ``now`` False return a function that returns its value."""
        return self._read(True, addr, now)

    def write_ap(self, addr: int, data: int) -> None:
        """Write a register of the selected AP."""
        with self._errors():
            self.dap.write(True, addr & 0xC, (data & _WORD,))

    def read_ap_multiple(self, addr: int, count: int = 1, now: bool = True) -> Any:
        """Read a register of the selected AP ``count`` times; with ``now`` False return a function for the values."""
        with self._errors():
            reply = self.dap.read(True, addr & 0xC, count)
        return self._reply(reply.result, now)

    def write_ap_multiple(self, addr: int, values: Sequence[int]) -> None:
        """Write a register of the selected AP once for each value."""
        with self._errors():
            self.dap.write(True, addr & 0xC, [value & _WORD for value in values])

    def _read(self, access_port: bool, addr: int, now: bool) -> Any:
        with self._errors():
            reply = self.dap.read(access_port, addr & 0xC)
        return self._reply(lambda: reply.result()[0], now)

    def _reply(self, result: Callable[[], Any], now: bool) -> Any:
        def ask() -> Any:
            with self._errors():
                return result()

        return ask() if now else ask

    def _opened_board(self) -> Board:
        if self._board is None:
            raise exceptions.ProbeError(f"virtual probe {self._site} is not open")
        return self._board

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Say failures in pyOCD's words."""
        try:
            yield
        except TransferFailedError as error:
            raise _ERRORS[error.ack](f"SWD communication failure ({error.ack.name} ACK)") from None
        except UnpluggedError:
            self.disconnect()
            raise exceptions.ProbeDisconnected(f"virtual probe {self._site} was unplugged") from None
