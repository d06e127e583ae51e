"""lorafab.drivers.scanners: a label comes from exactly one place, and what is missing there is said."""

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lorafab.domain.label import MAX_LENGTH, parse_label
from lorafab.drivers.manual_jig import ManualJig
from lorafab.drivers.scanners import PROMPT, CameraScanner, ImageScanner, SerialScanner, TextScanner
from lorafab.errors import JigError, LabelRefused, PortError, ScanError
from lorafab.virtual.label_picture import draw_label

LABEL = "AABBCCDDEEFF0011"

# Runs in a session of its own, whose terminal is the test's pty; answers on standard output.
CHILD = """
import json, sys
from lorafab.drivers.scanners import PromptScanner
from lorafab.errors import ScanError
try:
    answer = {"text": PromptScanner(float(sys.argv[1])).scan().text}
except ScanError as error:
    answer = {"error": str(error)}
except KeyboardInterrupt:
    answer = {"interrupted": True}
print(json.dumps(answer), flush=True)
"""


class Operator:
    """Sits at the terminal of a child process that asks for a label."""

    def __init__(self, timeout_s: float) -> None:
        self.keyboard, self._terminal = os.openpty()
        self.before = termios.tcgetattr(self._terminal)
        self.screen = b""
        self._child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(timeout_s)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=self._take_terminal,
        )

    def _take_terminal(self) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSCTTY, 0)

    def see(self, text: str) -> None:
        while text.encode() not in self.screen:
            assert select.select([self.keyboard], [], [], 20)[0], f"the screen shows only {self.screen!r}"
            self.screen += os.read(self.keyboard, 4096)

    def type(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)

    def answer(self) -> dict[str, Any]:
        with self._reading():
            output, _ = self._child.communicate(timeout=20)
        found: dict[str, Any] = json.loads(output)
        return found

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Take what the child writes to its terminal, or its last writes would wait for a reader."""
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                if select.select([self.keyboard], [], [], 0.05)[0]:
                    self.screen += os.read(self.keyboard, 4096)

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def settings(self) -> list[Any]:
        return termios.tcgetattr(self._terminal)

    def leave(self) -> None:
        if self._child.poll() is None:
            os.kill(self._child.pid, signal.SIGKILL)
            self._child.wait()
        if self._child.stdout:
            self._child.stdout.close()
        for end in (self.keyboard, self._terminal):
            os.close(end)


@pytest.fixture
def operator() -> Iterator[Operator]:
    made = Operator(timeout_s=60)
    yield made
    made.leave()


@pytest.mark.parametrize(
    "keys",
    [
        LABEL.encode() + b"\r",
        LABEL.encode() + b"\n",
        LABEL.encode() + b"\r\n",
        b"\r\n\r" + LABEL.encode() + b"\r",
        b"\x02" + LABEL.encode() + b"\x04\r",
        b"AABBX\x7fCCY\x08DDEEFF0011\r",
        b"wrong\x15" + LABEL.encode() + b"\r",
    ],
    ids=["CR", "LF", "CRLF", "stray enter", "STX EOT", "backspace", "ctrl-U"],
)
def test_what_is_scanned_at_the_terminal_is_the_label(operator: Operator, keys: bytes) -> None:
    """CR or LF ends a scan; stray control characters are dropped; the terminal is left as it was."""
    operator.see(PROMPT)
    operator.type(keys)
    assert operator.answer() == {"text": LABEL}
    assert operator.settings() == operator.before


def test_the_operator_sees_what_was_typed(operator: Operator) -> None:
    """There is no other echo while keys are read one by one."""
    operator.see(PROMPT)
    operator.type(b"AABB")
    operator.see("AABB")
    operator.type(b"CC\r")
    assert operator.answer() == {"text": "AABBCC"}


def test_a_scan_before_the_question_is_nobodys() -> None:
    """The label of the last board, scanned too early, must not become this board's."""
    operator = Operator(timeout_s=60)
    try:
        operator.type(b"1111111111111111\n")
        operator.see(PROMPT)
        operator.type(LABEL.encode() + b"\r")
        assert operator.answer() == {"text": LABEL}
    finally:
        operator.leave()


def test_a_text_that_is_too_long_is_refused_as_such(operator: Operator) -> None:
    """It is not cut to a label."""
    operator.see(PROMPT)
    operator.type(b"A" * (MAX_LENGTH + 200) + b"\r")
    text = operator.answer()["text"]
    with pytest.raises(LabelRefused, match=f"more than {MAX_LENGTH}"):
        parse_label(text)


def test_bytes_that_are_no_text_are_refused_as_such(operator: Operator) -> None:
    """A scanner with the wrong code page does not make other letters."""
    operator.see(PROMPT)
    operator.type(b"AABBCCDDEEFF001\xe9\r")
    with pytest.raises(LabelRefused, match=r"U\+FFFD"):
        parse_label(operator.answer()["text"])


def test_nobody_scans() -> None:
    """After the time that the station gives there is a sentence, and the terminal is as before."""
    operator = Operator(timeout_s=0.2)
    try:
        assert operator.answer() == {
            "error": "no label was scanned within 0.2 s; run this board again and scan its label when asked"
        }
        assert operator.settings() == operator.before
    finally:
        operator.leave()


def test_control_c_interrupts_and_restores_the_terminal(operator: Operator) -> None:
    """The operator's shell works on."""
    operator.see(PROMPT)
    operator.type(b"AAB\x03")
    assert operator.answer() == {"interrupted": True}
    assert operator.settings() == operator.before


def test_no_terminal_is_a_sentence() -> None:
    """Under cron or in a container nobody can scan: what to do instead is said."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, "5"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        timeout=30,
        check=True,
    )
    assert json.loads(child.stdout)["error"] == (
        "there is no terminal to ask for the label, wanted one at which somebody can scan; start from a terminal, give "
        "the text with --label, or choose another scanner in the station file"
    )


def test_the_command_lines_text_is_taken_as_it_is() -> None:
    """--label asks nobody; the grammar is the label's."""
    assert TextScanner(LABEL).scan().text == LABEL


def test_a_picture_file_is_read(tmp_path: Path) -> None:
    """Text, picture and reader are kept for the record."""
    (tmp_path / "label.png").write_bytes(draw_label(LABEL))
    scan = ImageScanner(tmp_path / "label.png").scan()
    assert (scan.text, scan.picture) == (LABEL, draw_label(LABEL))
    assert scan.reader


def test_a_missing_picture_file_is_a_sentence(tmp_path: Path) -> None:
    """With its name and the reason."""
    with pytest.raises(ScanError, match=re.escape(f"picture {tmp_path}/x.png cannot be read (No such file")):
        ImageScanner(tmp_path / "x.png").scan()
    with (tmp_path / "big.png").open("wb") as big:
        big.truncate((64 << 20) + 1)
    with pytest.raises(ScanError, match=r"picture big\.png has \d+ bytes"):
        ImageScanner(tmp_path / "big.png").scan()


class _JigWithCamera(ManualJig):
    def camera(self) -> bytes:
        return draw_label(LABEL)


def test_the_jigs_camera_is_read() -> None:
    """And a jig without one says so."""
    assert CameraScanner(_JigWithCamera()).scan().text == LABEL
    with pytest.raises(JigError, match="the manual jig has no camera"):
        CameraScanner(ManualJig()).scan()


def test_the_manual_jig_is_always_ready() -> None:
    """It knows nothing: the probe finds out whether a board is there."""
    jig = ManualJig()
    jig.power(False)
    assert (jig.present(), jig.lid_closed()) == (True, True)
    jig.close()
    jig.close()


class _HandScanner:
    """Sends codes over a pty, again and again, as an impatient operator pulls the trigger."""

    def __init__(self, code: bytes) -> None:
        self._end, self._line = os.openpty()
        tty.setraw(self._line)
        self.port = os.ttyname(self._line)
        self._code, self._done = code, threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> "_HandScanner":
        self._thread.start()
        return self

    def _send(self) -> None:
        while not self._done.wait(0.05):
            os.write(self._end, self._code)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        os.close(self._end)
        os.close(self._line)


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_a_serial_scanners_code_is_read(end: bytes) -> None:
    """Whatever the scanner ends its codes with."""
    with _HandScanner(LABEL.encode() + end) as scanner:
        assert SerialScanner(scanner.port, 9600, 20).scan().text == LABEL


def test_a_serial_scanner_that_stays_silent() -> None:
    """Has its time, then there is a sentence."""
    with _HandScanner(b"\r") as scanner, pytest.raises(ScanError, match=r"no label was scanned within 0\.2 s"):
        SerialScanner(scanner.port, 9600, 0.2).scan()


def test_a_serial_scanner_that_is_not_there(tmp_path: Path) -> None:
    """Is a port error, which lists the ports."""
    with pytest.raises(PortError, match="does not exist"):
        SerialScanner(str(tmp_path / "tty"), 9600, 1).scan()
