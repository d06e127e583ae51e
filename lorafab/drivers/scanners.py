"""Where the text of a label comes from: the terminal, a serial scanner, the jig's camera, a file, the command line."""

import os
import select
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lorafab.domain.label import MAX_LENGTH
from lorafab.drivers.label_reader import MAX_BYTES, LabelReader
from lorafab.drivers.serial_port import SerialPort
from lorafab.errors import ScanError
from lorafab.interfaces import Jig, Scan

TERMINAL: Final = "/dev/tty"
"""The terminal of the process, also while pytest has standard input and output in its hands."""

PROMPT: Final = "Scan the label: "

_ENDS = b"\r\n"
_ERASE = b"\x7f\x08"
_KILL = b"\x15"


class TextScanner:
    """Gives the text that was handed in (``--label``)."""

    def __init__(self, text: str) -> None:
        self._text = text

    def scan(self) -> Scan:
        """Return the text."""
        return Scan(self._text)


class ImageScanner:
    """Reads the label in a picture file (``--label-image``, or a camera program's output)."""

    def __init__(self, file: Path, reader: LabelReader | None = None) -> None:
        self._file, self._reader = file, reader or LabelReader()

    def scan(self) -> Scan:
        """Read the picture. Raises ScanError, LabelRefused."""
        try:
            size = self._file.stat().st_size
            if size > MAX_BYTES:
                raise ScanError(
                    f"picture {self._file.name} has {size} bytes, at most {MAX_BYTES} are read; "
                    "name the picture of the label"
                )
            if not self._file.is_file():
                raise ScanError(f"{self._file} is no file, wanted a picture of the label; name another one")
            picture = self._file.read_bytes()
        except OSError as error:
            raise ScanError(
                f"picture {self._file} cannot be read ({error.strerror}), wanted a picture of the label; "
                "take it again or name another file"
            ) from error
        return _read(picture, self._reader)


class CameraScanner:
    """Reads the label in the picture that the jig's camera takes."""

    def __init__(self, jig: Jig, reader: LabelReader | None = None) -> None:
        self._jig, self._reader = jig, reader or LabelReader()

    def scan(self) -> Scan:
        """Take a picture and read it. Raises ScanError, LabelRefused, JigError."""
        return _read(self._jig.camera(), self._reader)


def _read(picture: bytes, reader: LabelReader) -> Scan:
    found = reader.decode(picture)
    return Scan(found.text, picture, found.reader)


class SerialScanner:
    """A barcode scanner on a serial port that ends each code with CR, LF or both."""

    def __init__(self, port: str, baud: int, timeout_s: float) -> None:
        self._port, self._timeout_s = SerialPort(port, baud), timeout_s

    def scan(self) -> Scan:
        """Wait for the next code; one that was scanned before the call is dropped. Raises ScanError, PortError."""
        line = _Line()
        deadline = time.monotonic() + self._timeout_s
        self._port.open()
        try:
            while time.monotonic() < deadline:
                for byte in self._port.read_until(deadline):
                    if line.add(byte):
                        return Scan(line.text())
        finally:
            self._port.close()
        raise ScanError(_nothing_came(self._timeout_s))


class PromptScanner:
    """Asks at the terminal: a hand scanner that types like a keyboard, or a person who types."""

    def __init__(self, timeout_s: float, terminal: str = TERMINAL) -> None:
        self._timeout_s, self._terminal = timeout_s, terminal

    def scan(self) -> Scan:
        """Ask, and wait for a line. What was typed before the question is dropped. Raises ScanError."""
        try:
            terminal = os.open(self._terminal, os.O_RDWR | os.O_NOCTTY)
        except OSError as error:
            raise ScanError(
                "there is no terminal to ask for the label, wanted one at which somebody can scan; start from a "
                "terminal, give the text with --label, or choose another scanner in the station file"
            ) from error
        try:
            with _keys_at_once(terminal):
                return Scan(self._ask(terminal))
        except (OSError, termios.error) as error:
            raise ScanError(
                "the terminal went away while the label was asked for; start again from a terminal that stays"
            ) from error
        finally:
            os.close(terminal)

    def _ask(self, terminal: int) -> str:
        line = _Line()
        deadline = time.monotonic() + self._timeout_s
        # A code scanned too early belongs to nobody: it must not become the next board's label.
        termios.tcflush(terminal, termios.TCIFLUSH)
        os.write(terminal, PROMPT.encode())
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([terminal], [], [], left)[0]:
                break
            data = os.read(terminal, 256)
            if not data:
                raise OSError("end of file")
            for byte in data:
                if line.add(byte):
                    os.write(terminal, b"\r\n")
                    return line.text()
            os.write(terminal, b"\r\x1b[K" + PROMPT.encode() + line.shown())
        os.write(terminal, b"\r\n")
        raise ScanError(_nothing_came(self._timeout_s))


@contextmanager
def _keys_at_once(terminal: int) -> Iterator[None]:
    """Get keys one by one and without echo; the terminal is put back whatever happens, Ctrl-C still interrupts."""
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal, termios.TCSADRAIN)
        yield
    finally:
        # Flush: the LF that follows a scanner's CR is nobody's command to the shell.
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)


class _Line:
    """One typed or scanned line. Backspace and Ctrl-U edit it, other control characters are dropped."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, byte: int) -> bool:
        """Take a byte; True when the line has ended. An empty line does not end: it is a stray Enter."""
        if byte in _ENDS:
            return bool(self._bytes.strip())
        if byte in _ERASE:
            del self._bytes[-1:]
        elif byte in _KILL:
            self._bytes.clear()
        elif byte >= 0x20 and len(self._bytes) <= MAX_LENGTH:  # one more than a label may have, so that it is refused
            self._bytes.append(byte)
        return False

    def text(self) -> str:
        """What was typed; bytes that are not UTF-8 become a sign that no label has."""
        return self._bytes.decode("utf-8", "replace")

    def shown(self) -> bytes:
        """What to show on a terminal line."""
        return bytes(self._bytes[-60:])


def _nothing_came(timeout_s: float) -> str:
    return f"no label was scanned within {timeout_s:g} s; run this board again and scan its label when asked"
