"""The serial line to the DUT: lines in, lines out, and a transcript of both."""

import re
import time
from collections import deque
from typing import Final

from lorafab.drivers.serial_port import SerialPort

MAX_LINE: Final = 4096
"""Bytes; more without an end are given as a line of their own: a board that shouts noise must not fill the memory."""

MAX_TRANSCRIPT: Final = 64 * 1024
"""Characters that are kept, from the start on: the first trouble is the one to look at."""

_CUT = "(the transcript is cut here)"

# 16 bytes in hex are a root key, however they are separated; nothing else that a board says is as long.
_KEY: Final = re.compile(r"(?:[0-9A-Fa-f][^0-9A-Za-z]{0,3}){31,}[0-9A-Fa-f]")
# After a key was sent or asked for, a part of one is hidden as well: the board may say it in pieces.
_PART: Final = re.compile(r"[0-9A-Fa-f](?:[^0-9A-Za-z]{0,3}[0-9A-Fa-f])+")


class SerialLink:
    """Implements Link over a serial port."""

    def __init__(self, port: str, baud: int) -> None:
        self._port = SerialPort(port, baud)
        self._buffer = bytearray()
        self._lines: deque[bytes] = deque()
        self._transcript: list[str] = []
        self._transcript_size = 0
        self._secret = False

    def open(self) -> None:
        """Open the port and drop what was waiting. Raises PortError."""
        self._port.open()
        self._buffer.clear()
        self._lines.clear()

    def write(self, data: bytes, *, secret: bool = False) -> None:
        """Send bytes. Raises PortError.

        ``secret``: a key is in them or is asked for. They, and all that comes in until the next write, stand in the
        transcript without hex digits.
        """
        self._secret = secret
        self._note(">", data.rstrip(b"\r\n"))
        self._port.write(data)

    def read_line(self, timeout_s: float) -> bytes | None:
        r"""Return the next line without its ``\r\n`` (or ``\n``), or None when none ended in time. Raises PortError."""
        deadline = time.monotonic() + timeout_s
        while not self._lines:
            data = self._port.read_until(deadline)
            self._take(data)
            if not data and time.monotonic() >= deadline:
                break
        return self._lines.popleft() if self._lines else None

    def transcript(self) -> str:
        """All that went over the line so far, printable, one line each, ``>`` sent and ``<`` received.

        Bytes that are not printable ASCII are shown as Python would; at most 64 KiB are kept. What looks like a key is
        not shown.
        """
        rest = [_entry("<", bytes(self._buffer), self._secret) + " (unfinished)"] if self._buffer else []
        return "\n".join([*self._transcript, *rest])

    def close(self) -> None:
        """Release the port; may be called twice; never raises."""
        self._port.close()

    def _take(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = self._buffer.find(b"\n", 0, MAX_LINE)
            if end < 0 and len(self._buffer) < MAX_LINE:
                return
            size = end + 1 if end >= 0 else MAX_LINE
            line = bytes(self._buffer[:size]).removesuffix(b"\n").removesuffix(b"\r")
            del self._buffer[:size]
            self._lines.append(line)
            self._note("<", line)

    def _note(self, direction: str, data: bytes) -> None:
        entry = _entry(direction, data, self._secret and direction == "<")
        if self._transcript_size > MAX_TRANSCRIPT:
            return
        self._transcript_size += len(entry) + 1
        self._transcript.append(entry if self._transcript_size <= MAX_TRANSCRIPT else _CUT)


def _entry(direction: str, data: bytes, secret: bool) -> str:
    if secret and not (data.isascii() and data.decode("ascii").isprintable()):
        return f"{direction} ({len(data)} bytes withheld)"  # a key as it is
    # Before bytes are escaped: an escape has hex digits of its own.
    text = (_PART if secret else _KEY).sub(_withheld, data.decode("latin-1"))
    shown = (char if 0x20 <= ord(char) < 0x7F and char != "\\" else f"\\x{ord(char):02x}" for char in text)
    return f"{direction} {''.join(shown)}"


def _withheld(found: re.Match[str]) -> str:
    return f"({sum(char.isalnum() for char in found.group())} hex digits withheld)"
