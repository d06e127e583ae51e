"""Lets a board live while no debugger paces it: a thread that runs it, and sleeps when the board sleeps.

Time passes as follows. Bytes on the serial line are carried at once (simulated line time is not waited for), so a
host gets its answer in milliseconds. Otherwise simulated time does not run ahead of the computer's clock. A core in
WFI with nothing due costs nothing: the thread blocks until the host sends. While a debugger is attached its traffic
paces the board, so that runs repeat exactly; only when it has been silent for long, or the host sends on the serial
line, does the thread step in.
"""

import contextlib
import os
import select
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lorafab.virtual.board import Board

_SLICE_NS = 1_000_000
# A debugger is silent when so many looks in a row, so many seconds apart, find no traffic. Looks are counted, and not
# the time alone: on a busy computer the debugger's thread may get no turn for long without being silent.
_LOOKS, _LOOK_S = 4, 0.025
_SERIAL_LOOKS, _SERIAL_LOOK_S = 3, 0.001
_SILENT_S = 0.1
# A host in this process that is woken for a piece of an answer takes the interpreter away from the board that still
# works at the rest: the answer is handed over when the line has fallen silent, or after so many turns.
_UNSENT_TURNS = 10
_RESTLESS_TURNS = 3


class FreeRun:
    """The thread of one board."""

    def __init__(self, board: "Board") -> None:
        self._board = board
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._stopping = False
        self._restless = self._quiet = self._unsent = 0
        self._seen = self._looked_s = 0.0
        self._thread = threading.Thread(target=self._run, name=f"board {board.path.name}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Power, reset or debugger changed: look again."""
        if not self._stopping:
            self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the pipe is full: it has been told
            os.write(self._wake_write, b"x")

    def stop(self) -> None:
        """End the thread."""
        if self._stopping:
            return
        self._stopping = True
        self._ring()
        self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        while not self._stopping:
            with self._board.lock:
                wait_s = self._turn()
                self._unsent = self._unsent + 1 if self._board.console.active else _UNSENT_TURNS
                if self._unsent >= _UNSENT_TURNS:
                    self._unsent = 0
                    self._board.wire.flush()
            # Also with a wait of 0: it lets another thread have the lock.
            ready, _, _ = select.select([self._wake_read, self._board.wire.fd], [], [], wait_s)
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)

    def _turn(self) -> float | None:
        """One piece of the board's life; answers how long to wait for the host in seconds (None: until it speaks)."""
        board = self._board
        if not board.powered:
            board.wire.receive()  # what the host sent is lost
            return None
        # Bytes reach a board that has come to rest, so that their simulated time does not depend on the computer's
        # speed; a board that never rests gets them soon all the same.
        self._restless = 0 if board.core.idle else self._restless + 1
        if not self._restless or self._restless > _RESTLESS_TURNS:
            board.console.receive(board.line.receive(board.console.baud))
        if board.debugger_attached:
            looks, look_s = (_SERIAL_LOOKS, _SERIAL_LOOK_S) if board.console.active else (_LOOKS, _LOOK_S)
            if not self._is_silent(looks, look_s):
                return look_s
            # It may set the core going at any time, and says nothing to this thread when it does.
            wait_s = self._live()
            return _SILENT_S if wait_s is None else wait_s
        return self._live()

    def _is_silent(self, looks: int, look_s: float) -> bool:
        """Look whether the debugger has done something; answers whether it has been silent for long."""
        now_s, access = time.monotonic(), self._board.last_debug_access
        if access != self._seen:
            self._seen, self._quiet, self._looked_s = access, 0, now_s
        elif now_s - self._looked_s >= look_s / 2:  # other reasons to be awake are no looks
            self._quiet, self._looked_s = self._quiet + 1, now_s
        return self._quiet >= looks

    def _live(self) -> float | None:
        board, core = self._board, self._board.core
        if core.idle:
            return None
        started, before_ns = time.monotonic(), board.clock.now_ns
        serial = board.console.active
        core.run_until(before_ns + _SLICE_NS, only_while_busy=True)
        if serial or board.console.active:
            return 0.0
        if core.idle:
            return None
        ahead_s = (board.clock.now_ns - before_ns) / 1e9 - (time.monotonic() - started)
        return max(ahead_s, 0.0)
