"""Where the text of a label comes from: terminal, serial scanner, camera, picture file, folder, command line."""

import os
import re
import select
import stat
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lorafab.domain.label import MAX_LENGTH
from lorafab.domain.label_refusal import QUOTE_LENGTH
from lorafab.drivers.label_reader import MAX_BYTES, LabelReader
from lorafab.drivers.serial_port import SerialPort
from lorafab.errors import ScanError
from lorafab.interfaces import Jig, Scan

TERMINAL: Final = "/dev/tty"
"""The terminal of the process, also while pytest has standard input and output in its hands."""

PROMPT: Final = "Scan the label: "

AGAIN_S: Final = 0.2
"""A scanner whose trigger was held sends its code again: for so long after a code nothing else may come."""

PAUSE_S: Final = 0.1
"""What is typed is shown when nothing more has come for so long: how a code ends tells whether it may be a key, and a
scanner sends it sign by sign."""

POLL_S: Final = 0.05
"""How often a folder is looked at."""

SETTLE_S: Final = 0.5
"""A picture is complete when its size has not changed for so long."""

_PICTURES: Final = (".png", ".jpg", ".jpeg")

_ENDS = b"\r\n\x03"  # ETX ends a code of scanners that frame it; at a terminal it interrupts, and never comes here
_ERASE = b"\x7f\x08"
_KILL = b"\x15"
_ESCAPE = 0x1B
# What terminals send for keys and around pasted text (ECMA-48, 5.4 and 8.3; the Linux console adds ESC [ [ A).
_SEQUENCE = re.compile(rb"\x1b(?:\[\[[ -~]|\[[0-?]*[ -/]*[@-Z\\-~]|O[ -~])")
_SEQUENCE_BEGUN = re.compile(rb"\x1b(?:\[\[?|\[[0-?]{1,16}[ -/]{0,4}|O)?")
_PLAIN = 23
"""Characters of a DevEUI with separators, which is shown as it is typed, and so is a serial, shorter than a key."""
_EUI_SIGNS = re.compile(rb"[0-9A-Fa-f:\-]*")
_STANDARD = (b"LW:D0:", b"URN:")
_EUIS = 48
"""Characters of a TR005 label that are shown: what comes before the extension fields, of which one is secret."""
_NO_EUI = re.compile(rb"[0-9A-Fa-f]{17}")


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


class FolderScanner:
    """Reads the picture that another program puts into ``folder``: the next new one that is complete.

    New is a PNG or JPEG file with a name that was not there when the scan began, or another file under an old name. A
    name that begins with a dot is somebody's temporary file.
    """

    def __init__(self, folder: Path, reader: LabelReader, timeout_s: float) -> None:
        self._folder, self._reader, self._timeout_s = folder, reader, timeout_s

    def scan(self) -> Scan:
        """Wait for the picture and read it. Raises ScanError, LabelRefused."""
        deadline = time.monotonic() + self._timeout_s
        old = {name: found.st_ino for name, found in self._pictures().items()}
        settled: tuple[str, int] | None = None
        since = 0.0
        while (now := time.monotonic()) < deadline:
            present = self._pictures()
            old = {name: inode for name, inode in old.items() if name in present}
            new = {name: found.st_size for name, found in present.items() if old.get(name) != found.st_ino}
            if len(new) > 1:
                raise ScanError(
                    f"{len(new)} new pictures came into folder {self._folder}, wanted the one of this board's label; "
                    "take one picture when the label is asked for"
                )
            if not new:
                settled = None
            for picture in new.items():
                if picture != settled:
                    settled, since = picture, now
                elif now - since >= SETTLE_S and picture[1]:
                    return ImageScanner(self._folder / picture[0], self._reader).scan()
            time.sleep(POLL_S)
        if settled is not None:
            raise ScanError(
                f"picture {settled[0]} in folder {self._folder} was not complete within {self._timeout_s:g} s, wanted "
                "a whole picture of the label; take it again"
            )
        raise ScanError(
            f"no new picture came into folder {self._folder} within {self._timeout_s:g} s, wanted one of the label "
            "(.png, .jpg); run this board again and take it when asked"
        )

    def _pictures(self) -> dict[str, os.stat_result]:
        found: dict[str, os.stat_result] = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or not entry.name.lower().endswith(_PICTURES):
                        continue
                    try:
                        status = entry.stat()
                    except FileNotFoundError:
                        continue  # renamed or removed since it was listed
                    if stat.S_ISREG(status.st_mode):
                        found[entry.name] = status
        except OSError as error:
            raise ScanError(
                f"folder {self._folder} cannot be read ({error.strerror}), wanted the one for pictures of labels; "
                "make it, or correct the station file"
            ) from error
        return found


class SerialScanner:
    """A barcode scanner on a serial port that ends each code with CR, LF, both or ETX."""

    def __init__(self, port: str, baud: int, timeout_s: float) -> None:
        self._port, self._timeout_s = SerialPort(port, baud), timeout_s

    def scan(self) -> Scan:
        """Wait for the next code; one that was scanned before the call is dropped. Raises ScanError, PortError."""
        self._port.open()
        try:
            text = _one_code(self._port.read_until, self._timeout_s)
        finally:
            self._port.close()
        return Scan(text)


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
        def read_until(deadline: float) -> bytes:
            if not select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return b""
            data = os.read(terminal, 256)
            if not data:
                raise OSError("end of file")
            return data

        def show(line: bytes) -> None:
            os.write(terminal, b"\r\x1b[K" + PROMPT.encode() + line)

        # A code scanned too early belongs to nobody: it must not become the next board's label.
        termios.tcflush(terminal, termios.TCIFLUSH)
        os.write(terminal, PROMPT.encode())
        try:
            return _one_code(read_until, self._timeout_s, show)
        finally:
            os.write(terminal, b"\r\n")


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


def _one_code(
    read_until: Callable[[float], bytes], timeout_s: float, show: Callable[[bytes], None] = lambda line: None
) -> str:
    """Wait for a line, and see that no other one follows at once; the same one again is the same code."""
    line, codes, stale = _Line(), list[str](), False
    deadline = time.monotonic() + timeout_s
    while (now := time.monotonic()) < deadline:
        data = read_until(min(deadline, now + PAUSE_S) if stale else deadline)
        for byte in data:
            if line.add(byte):
                if not codes:
                    show(line.shown())
                    deadline = time.monotonic() + AGAIN_S
                codes.append(line.text())
                line = _Line()
        if stale and not data:
            show(line.shown())
        stale = bool(data) and not codes
    if not codes:
        raise ScanError(_nothing_came(timeout_s))
    if len(set(codes)) > 1:
        raise ScanError(
            "two different codes were scanned one after the other, wanted the label of this board; "
            "run this board again and scan its label alone"
        )
    return codes[0]


class _Line:
    """One typed or scanned line. Backspace and Ctrl-U edit it; arrow keys and other control characters are dropped."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._sequence = b""

    def add(self, byte: int) -> bool:
        """Take a byte; True when the line has ended. An empty line does not end: it is a stray Enter."""
        if self._sequence or byte == _ESCAPE:
            sequence = self._sequence + bytes([byte])
            self._sequence = sequence if _SEQUENCE_BEGUN.fullmatch(sequence) else b""
            if self._sequence or _SEQUENCE.fullmatch(sequence):
                return False
            # It was the Esc key alone, or half a sequence: what comes now is typed.
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
        """What was typed, without blanks around it; bytes that are not UTF-8 become a sign that no label has."""
        return self._bytes.strip().decode("utf-8", "replace")

    def shown(self) -> bytes:
        """What to show on a terminal line: nothing that may be a key or an owner token."""
        line = bytes(self._bytes)
        if line.startswith(_STANDARD):
            plain = digits = line[:_EUIS]
        else:
            most = _PLAIN if _EUI_SIGNS.fullmatch(line) else QUOTE_LENGTH
            plain = line if len(line) <= most else b""
            digits = plain.replace(b":", b"").replace(b"-", b"")
        if _NO_EUI.search(digits):
            plain = b""
        return plain + b"*" * min(len(line) - len(plain), 12)


def _nothing_came(timeout_s: float) -> str:
    return f"no label was scanned within {timeout_s:g} s; run this board again and scan its label when asked"
