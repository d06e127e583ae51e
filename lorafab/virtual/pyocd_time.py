"""Lets pyOCD wait in a virtual board's time while it talks to one, and in the computer's time for everything else.

pyOCD measures its time-outs with ``time.time()`` and pauses with ``time.sleep()``. With a virtual board both would be
wrong: an erase of 22 simulated seconds is over in one real second, so a time-out of 10 s would never be met, and how
often a loop polls would depend on how fast this computer is; a pause would let nothing happen on the board but cost
real time. So, while a virtual probe is open, the names ``time`` and ``sleep`` in the modules below are rebound to
functions that ask whose loop is calling: its object knows its session, and that the probe. A board's session gets the
board's clock, and a pause lets the board live for so long; a session with a real probe, in the same process or even the
same thread, gets what it always got. When the last virtual probe is closed the names are as they were.

Only loops that wait for a target are concerned: pyocd.utility.timeout (all of ``Timeout``), resets and halts in
pyocd.coresight.cortex_m, and the unlocking of a Nordic part. Speeds that pyOCD prints are still the computer's. Read
in pyOCD 0.46.

The gdb server is the exception: it looks at a running core every 10 ms of the computer's time, for as long as somebody
debugs. Each look is well below a millisecond of the wire, so the firmware would run at a thirtieth of its speed; while
the server waits, the board lives through the same 10 ms.
"""

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

from lorafab.virtual.clock import Clock

_NAMES = {
    "pyocd.utility.timeout": ("time", "sleep"),
    "pyocd.coresight.cortex_m": ("sleep",),
    "pyocd.target.family.target_nRF52": ("sleep",),
}
_GDB_SERVER = "pyocd.gdbserver.gdbserver"
_DEEPEST = 6  # Timeout.did_time_out calls check, which calls us; then comes the loop, or a helper of it


class LivingBoard(Protocol):
    """A board whose time can be read and passed."""

    @property
    def clock(self) -> Clock:
        """Simulated time."""
        ...

    def advance(self, ns: int) -> None:
        """Let the board live for ``ns`` simulated nanoseconds."""
        ...


_lock = threading.Lock()
_boards: dict[object, LivingBoard] = {}
_before: list[tuple[object, str, object]] = []


def begin(probe: object, board: LivingBoard) -> None:
    """Sessions of ``probe`` wait in the time of ``board`` from now on."""
    with _lock:
        if not _boards:
            _rebind()
        _boards[probe] = board


def end(probe: object) -> None:
    """They no longer do; harmless when repeated."""
    with _lock:
        if _boards.pop(probe, None) is not None and not _boards:
            while _before:
                owner, name, value = _before.pop()
                setattr(owner, name, value)


def _rebind() -> None:
    for path, names in _NAMES.items():
        module = sys.modules.get(path)  # what pyOCD has not loaded cannot wait
        for name in names if module is not None else ():
            _replace(module, name, {"time": _time, "sleep": _sleep}[name])
    server: Any = sys.modules.get(_GDB_SERVER)
    if server is not None:
        client, server = server.GDBClientSession, server.GDBServer
        _replace(client, "wait_for_interrupt", _wait_for_interrupt(client.wait_for_interrupt))
        _replace(server, "_read_and_process_target_state", _look_without_client(server._read_and_process_target_state))


def _replace(owner: object, name: str, by: object) -> None:
    _before.append((owner, name, getattr(owner, name)))
    setattr(owner, name, by)


def _wait_for_interrupt(original: Callable[..., bool]) -> Callable[..., bool]:
    """The server between two looks on behalf of a client: it waits for Ctrl-C, and the board lives meanwhile."""

    def wait_for_interrupt(client: Any, timeout: float | None = None) -> bool:
        interrupted = original(client, timeout)
        board = _board_in(client._server.session)
        if board is not None and timeout is not None and not interrupted:
            board.advance(round(timeout * 1e9))
        return interrupted

    return wait_for_interrupt


def _look_without_client(original: Callable[..., object]) -> Callable[..., object]:
    """The server's own look at a running core, when no client waits in the other loop."""

    def look(server: Any, client: Any = None) -> object:
        board = _board_in(server.session)
        if board is not None and client is None:
            board.advance(round(server._TARGET_STATE_INTERVAL * 1e9))
        return original(server, client=client)

    return look


def _time() -> float:
    board = _board_of(sys._getframe(1))
    return time.time() if board is None else board.clock.now_ns / 1e9


def _sleep(seconds: float) -> None:
    board = _board_of(sys._getframe(1))
    if board is None:
        time.sleep(seconds)
    else:
        board.advance(round(seconds * 1e9))


def _board_of(frame: FrameType | None) -> LivingBoard | None:
    """The board behind the nearest caller that belongs to a session; Timeout itself belongs to none."""
    for _ in range(_DEEPEST):
        if frame is None:
            return None
        owner: Any = frame.f_locals.get("self")
        session = getattr(owner, "session", None) or getattr(getattr(owner, "target", None), "session", None)
        if session is not None:
            return _board_in(session)
        frame = frame.f_back
    return None


def _board_in(session: Any) -> LivingBoard | None:
    """The board of a session, whose probe is behind a SharedDebugProbeProxy in the gdb server and the commander."""
    probe = getattr(session, "probe", None)
    return _boards.get(probe) or _boards.get(getattr(probe, "probe", None))
