"""A pyOCD debug probe whose wires end at a virtual board.

It works transfer by transfer, as a CMSIS-DAP probe does, and offers no short cut to memory: everything that pyOCD
does to a real chip happens here, too. What pyOCD's own driver for such probes does (cmsis_dap_probe.py) is the model
for this one: the same capabilities but JTAG, which is not on the connector, raw SWD sequences, and trace, which no
board sends; the same packets; the same errors. pyOCD learns of this class through ``lorafab.pyocd_entry``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pyocd.core import exceptions
from pyocd.probe.debug_probe import DebugProbe

from lorafab.errors import LorafabError
from lorafab.virtual import cost, pyocd_time, registry
from lorafab.virtual.dap import Ack
from lorafab.virtual.packets import CmsisDap, TransferFailedError, UnpluggedError

if TYPE_CHECKING:
    from pathlib import Path

    from pyocd.board.board import Board as PyocdBoard
    from pyocd.board.board_ids import BoardInfo

    from lorafab.virtual.board import Board

T = TypeVar("T")

# As pyOCD's own CMSIS-DAP driver maps the answers (dap_access_cmsis_dap.py, _check_response): silence, and a wrong
# parity bit, which DAPLink reports as answer 8, are the plain TransferError.
_ERRORS: dict[Ack, type[exceptions.TransferError]] = {
    Ack.WAIT: exceptions.TransferTimeoutError,
    Ack.FAULT: exceptions.TransferFaultError,
    Ack.NONE: exceptions.TransferError,
    Ack.PARITY: exceptions.TransferError,
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
        self._owns_board = self._pulls_reset = False
        self._dap: CmsisDap | None = None
        self._protocol: DebugProbe.Protocol | None = None

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
            DebugProbe.Capability.PIN_ACCESS,
        }

    @property
    def associated_board_info(self) -> BoardInfo:
        """What pyOCD takes the target from when the user names none. Raises pyOCD's ProbeError for an unknown board."""
        from pyocd.board.board_ids import BoardInfo

        try:
            chip = registry.chip_in(self._site)
        except LorafabError as error:
            raise exceptions.ProbeError(str(error)) from error
        return BoardInfo(name=f"virtual {chip.title}", target=chip.target, binary=None, vendor="lorafab")

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
        if board is None:
            path = registry.board_file()
            if path is None or self._site != registry.DEFAULT_SITE:
                raise exceptions.ProbeDisconnected(f"there is no board in {self._site}")
            board = self._open_file(path)
        self._board, self._dap = board, CmsisDap(board)
        board.counters = self._dap.counters
        pyocd_time.begin(self, board)

    def _open_file(self, path: Path) -> Board:
        try:
            board = registry.open_file(path)
        except LorafabError as error:
            raise exceptions.ProbeError(str(error)) from error
        board.power(True)
        self._owns_board = True
        return board

    def close(self) -> None:
        """Let go of the board; one that came from a file is switched off and saved."""
        board, self._board, self._dap = self._board, None, None
        pyocd_time.end(self)
        if board is not None and self._owns_board:
            self._owns_board = False
            board.close()

    def connect(self, protocol: DebugProbe.Protocol | None = None) -> None:
        """Drive the SWD pins."""
        self._opened_board().attach_debugger(True)
        self._ask(self.dap.command, cost.CONNECT_PACKETS)
        self._protocol = DebugProbe.Protocol.SWD

    def disconnect(self) -> None:
        """Let the SWD pins float."""
        self._ask(self.dap.command, cost.DISCONNECT_PACKETS)
        self._let_go()

    def _let_go(self) -> None:
        board = self._opened_board()
        self._protocol = None
        if self._pulls_reset:
            self._pulls_reset = False  # all pins float now (CMSIS-DAP, DAP_Disconnect), and the board pulls nRESET up
            board.set_reset_pin(False)
        board.attach_debugger(False)

    def set_clock(self, frequency: float) -> None:
        """Set the SWD clock in Hz."""
        self._ask(self.dap.set_clock, int(frequency))

    def swj_sequence(self, length: int, bits: int) -> None:
        """Send bits on SWDIO, least significant first."""
        self._ask(self.dap.swj_sequence, length, bits)

    # -- the reset pin

    def reset(self) -> None:
        """Pulse nRESET for the session's hold time and wait the delay after it, in simulated time."""
        self.assert_reset(True)
        self._live("reset.hold_time")
        self.assert_reset(False)
        self._live("reset.post_delay")

    def _live(self, option: str) -> None:
        assert self.session is not None  # pyOCD sets it before it opens a probe
        self._opened_board().advance(round(float(self.session.options.get(option)) * 1e9))

    def assert_reset(self, asserted: bool) -> None:
        """Pull nRESET low, or let it go."""
        self._ask(self.dap.command)
        self._pulls_reset = asserted
        self._opened_board().set_reset_pin(asserted)

    def is_reset_asserted(self) -> bool:
        """Whether nRESET is low, whoever pulls it."""
        self._ask(self.dap.command)
        return self._opened_board().silicon.reset_pin

    def get_accessible_pins(self, group: DebugProbe.PinGroup) -> tuple[int, int]:
        """Masks of the pins that can be read and written: nRESET."""
        pin = DebugProbe.ProtocolPin.nRESET if group is DebugProbe.PinGroup.PROTOCOL_PINS else 0
        return pin, pin

    def read_pins(self, group: DebugProbe.PinGroup, mask: int) -> int:
        """Levels of the pins in ``mask``."""
        pin = self.get_accessible_pins(group)[0] & mask
        return 0 if pin and self.is_reset_asserted() else pin

    def write_pins(self, group: DebugProbe.PinGroup, mask: int, value: int) -> None:
        """Drive the pins in ``mask``; others than nRESET are left alone."""
        pin = self.get_accessible_pins(group)[1] & mask
        if pin:
            self.assert_reset(not value & pin)

    def flush(self) -> None:
        """Send what is waiting."""
        self._ask(self.dap.flush)

    # -- transfers

    def read_dp(self, addr: int, now: bool = True) -> Any:
        """Read a DP register; with ``now`` False return a function that returns its value."""
        return self._read(False, addr, now)

    def write_dp(self, addr: int, data: int) -> None:
        """Write a DP register."""
        self._ask(self.dap.write, False, addr & 0xC, (data & _WORD,))

    def read_ap(self, addr: int, now: bool = True) -> Any:
        """Read a register of the selected AP; with ``now`` False return a function that returns its value."""
        return self._read(True, addr, now)

    def write_ap(self, addr: int, data: int) -> None:
        """Write a register of the selected AP."""
        self._ask(self.dap.write, True, addr & 0xC, (data & _WORD,))

    def read_ap_multiple(self, addr: int, count: int = 1, now: bool = True) -> Any:
        """Read a register of the selected AP ``count`` times; with ``now`` False return a function for the values."""
        result = self._ask(self.dap.read, True, addr & 0xC, count).result
        return self._ask(result) if now else lambda: self._ask(result)

    def write_ap_multiple(self, addr: int, values: Sequence[int]) -> None:
        """Write a register of the selected AP once for each value."""
        self._ask(self.dap.write, True, addr & 0xC, [value & _WORD for value in values])

    def _read(self, access_port: bool, addr: int, now: bool) -> Any:
        result = self._ask(self.dap.read, access_port, addr & 0xC).result
        return self._ask(result)[0] if now else lambda: self._ask(result)[0]

    def _opened_board(self) -> Board:
        if self._board is None:
            raise exceptions.ProbeError(f"virtual probe {self._site} is not open")
        return self._board

    def _ask(self, action: Callable[..., T], *arguments: Any) -> T:
        """Do it, and say failures in pyOCD's words."""
        try:
            return action(*arguments)
        except TransferFailedError as error:
            raise _ERRORS[error.ack](f"SWD communication failure ({error.ack.name} ACK)") from None
        except UnpluggedError:
            self._let_go()
            raise exceptions.ProbeDisconnected(f"virtual probe {self._site} was unplugged") from None
