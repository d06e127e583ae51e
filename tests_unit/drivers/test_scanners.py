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
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafab.domain.label import MAX_LENGTH, parse_label
from lorafab.drivers.label_reader import LabelReader
from lorafab.drivers.manual_jig import ManualJig
from lorafab.drivers.scanners import (
    PROMPT,
    CameraScanner,
    FolderScanner,
    ImageScanner,
    SerialScanner,
    TextScanner,
    _Line,
    _one_code,
)
from lorafab.errors import JigError, LabelRefused, PortError, ScanError
from lorafab.interfaces import Scan
from lorafab.virtual.label_picture import draw_label

LABEL = "AABBCCDDEEFF0011"
TR005 = b"LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB1122"
KEY = b"2B7E151628AED2A6ABF7158809CF4F3C"

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
        b"\x02" + LABEL.encode() + b"\x04\r\n",
        LABEL.encode() + b"\r" + LABEL.encode() + b"\r",
        b"\x1b[200~" + LABEL.encode() + b"\r\x1b[201~",
    ],
    ids=["CR", "STX EOT CRLF", "twice", "bracketed paste"],
)
def test_what_is_scanned_at_the_terminal_is_the_label(operator: Operator, keys: bytes) -> None:
    """CR or LF ends a scan, the same scan again is the same; stray keys are dropped, the terminal is left as it was."""
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


def test_two_different_codes_are_refused(operator: Operator) -> None:
    """Nobody knows which of them is on the board."""
    operator.see(PROMPT)
    operator.type(LABEL.encode() + b"\r1122334455667788\r")
    assert operator.answer() == {
        "error": "two different codes were scanned one after the other, wanted the label of this board; run this board "
        "again and scan its label alone"
    }


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (b"AA:BB:CC:DD:EE:FF:00:11", b"AA:BB:CC:DD:EE:FF:00:11"),
        (KEY, b"*" * 12),
        (KEY[:20], b"*" * 12),
        (b"SN1;" + KEY, b"*" * 12),
        (b"K34VFiiu0qar9xWICc9PPA==", b"*" * 12),
        (b"K34VFiiu0qar9xWICc9PPA", b"*" * 12),
        (b"LF00000001/4726", b"LF00000001/4726"),
        (b"LW:D0:" + KEY, b"*" * 12),
        (TR005, TR005),
        (TR005 + b":OTOKEN", TR005 + b"*******"),
    ],
)
def test_what_may_be_a_key_is_not_shown_at_the_prompt(typed: bytes, shown: bytes) -> None:
    """The operator sees a DevEUI and the beginning of a TR005 label; keys and owner tokens are stars."""
    line = _Line()
    assert not any(line.add(byte) for byte in typed)
    assert line.shown() == shown
    assert line.text() == typed.decode()


@pytest.mark.parametrize(
    "keys",
    [
        b"%s\n",
        b"\r\n\r \r%s\r",
        b"AABBX\x7fCCY\x08DDEEFF0011\r",
        b"wrong\x15%s\r",
        b"\x02%s\x03",
        b"\0\0%s\0\r",
        b"\x1b[A\x1bOB\x1b[3~\x1b[[A%s\x1b[1;5C\r",
        b"AABB\x1b[DCCDDEEFF0011\r",
        b"\x1b[200~%s\x1b[201~\r",
        b"\x1b%s\r",
        b"\x1b\x1b%s\x1b\r",
    ],
    ids=[
        "LF",
        "stray Enter",
        "backspace",
        "Ctrl-U",
        "STX ETX",
        "NUL",
        "arrow and function keys",
        "arrow key within",
        "bracketed paste",
        "Esc key",
        "Esc keys",
    ],
)
def test_only_what_is_printed_gets_into_a_line(keys: bytes) -> None:
    """The keys beside the label edit the line or are dropped; none of them is typed."""
    line = _Line()
    *within, last = (line.add(byte) for byte in keys.replace(b"%s", LABEL.encode()))
    assert last
    assert not any(within)
    assert line.text() == LABEL


@given(st.binary(max_size=200))
def test_a_line_takes_any_bytes(data: bytes) -> None:
    """Whatever comes over the wire: no control character gets into a label's text, and a clean scan follows."""
    line = _Line()
    ended = [line.add(byte) for byte in data]
    if not any(ended):
        text = line.text()
        assert not any(char < " " or char == "\x7f" for char in text)
        assert len(text) <= MAX_LENGTH + 1
    line.add(0x15)
    for byte in b"\x18\x15" + LABEL.encode():  # CAN ends a sequence that was begun, Ctrl-U empties the line
        line.add(byte)
    assert line.text() == LABEL
    assert line.add(0x0D)


def test_a_second_code_may_come_a_little_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scanner is listened to for a while after a code: the same one is no news, another one is a refusal."""

    def scanned(*codes: bytes) -> str:
        now, coming = 0.0, iter(codes)

        def read_until(deadline: float) -> bytes:
            nonlocal now
            now = min(now + 0.15, deadline)
            return next(coming, b"")

        monkeypatch.setattr("lorafab.drivers.scanners.time", SimpleNamespace(monotonic=lambda: now))
        return _one_code(read_until, 10)

    first, other = LABEL.encode() + b"\r", b"1122334455667788\r"
    assert scanned(first, first, b"\n", other) == LABEL
    with pytest.raises(ScanError, match="two different codes"):
        scanned(b"", first[:9], first[9:], other)


def test_nothing_is_shown_while_a_scanner_still_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key comes sign by sign like a DevEUI, and its first half is none; what a person typed shows at a pause."""

    def shown(*coming: bytes) -> list[bytes]:
        now, screen, data = 0.0, list[bytes](), iter(coming)

        def read_until(deadline: float) -> bytes:
            nonlocal now
            one = next(data, b"")
            now = now + 0.005 if one else deadline
            return one

        monkeypatch.setattr("lorafab.drivers.scanners.time", SimpleNamespace(monotonic=lambda: now))
        _one_code(read_until, 10, screen.append)
        return screen

    assert shown(*(KEY[place : place + 1] for place in range(len(KEY))), b"\r") == [b"*" * 12]
    assert shown(b"AABB", b"", b"CC", b"\r") == [b"AABB", b"AABBCC"]


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


class _Camera:
    """Another program that works in a folder while a scan looks at it: each step follows when the folder was seen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> None:
        self._steps = list(steps)
        self._now = 0.0
        clock = SimpleNamespace(monotonic=lambda: self._now, sleep=self._sleep)
        monkeypatch.setattr("lorafab.drivers.scanners.time", clock)

    def _sleep(self, seconds: float) -> None:
        self._now += seconds
        if self._steps:
            self._steps.pop(0)()


def scan_folder(folder: Path) -> Scan:
    return FolderScanner(folder, LabelReader(), 10).scan()


@pytest.mark.parametrize("name", ["label.png", "IMG_0001.JPG", "a b.jpeg"])
def test_the_next_new_picture_of_a_folder_is_read(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lay there before is not this board's, whatever it shows."""
    (tmp_path / "old.png").write_bytes(draw_label("1122334455667788"))
    _Camera(monkeypatch, lambda: None, lambda: (tmp_path / name).write_bytes(draw_label(LABEL)))
    scan = scan_folder(tmp_path)
    assert (scan.text, scan.picture) == (LABEL, draw_label(LABEL))
    assert scan.reader


def test_a_picture_is_read_when_it_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera writes slowly; what is renamed into the folder was complete before."""
    picture, file = draw_label(LABEL), tmp_path / "label.png"

    def grow() -> None:
        with file.open("ab") as out:
            out.write(picture[file.stat().st_size :][:7000])

    _Camera(monkeypatch, file.touch, *[lambda: None] * 20, *[grow, lambda: None] * (1 + len(picture) // 7000))
    assert scan_folder(tmp_path).picture == picture
    _Camera(
        monkeypatch, lambda: (tmp_path / ".new.png").write_bytes(picture), lambda: (tmp_path / ".new.png").rename(file)
    )
    assert scan_folder(tmp_path).text == LABEL


def test_other_files_of_a_folder_are_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes, folders, temporary files; and a picture that went away again is no picture."""
    (tmp_path / "x.png").touch()
    _Camera(
        monkeypatch,
        (tmp_path / "note.txt").touch,
        (tmp_path / "folder.png").mkdir,
        (tmp_path / ".hidden.png").touch,
        (tmp_path / "gone.png").touch,
        (tmp_path / "gone.png").unlink,
        (tmp_path / "x.png").unlink,
        lambda: (tmp_path / "x.png").write_bytes(draw_label(LABEL)),
    )
    assert scan_folder(tmp_path).text == LABEL


def test_two_new_pictures_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the second comes while the first is being looked at."""
    _Camera(monkeypatch, *[(tmp_path / f"{number}.png").touch for number in range(2)])
    with pytest.raises(ScanError) as caught:
        scan_folder(tmp_path)
    assert str(caught.value) == (
        f"2 new pictures came into folder {tmp_path}, wanted the one of this board's label; take one picture when the "
        "label is asked for"
    )


def test_no_picture_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the station's time there is a sentence; another one for a picture that never gets any bytes."""
    (tmp_path / "old.png").write_bytes(draw_label(LABEL))
    _Camera(monkeypatch)
    with pytest.raises(ScanError, match=rf"no new picture came into folder {tmp_path} within 10 s, wanted one of the"):
        scan_folder(tmp_path)
    _Camera(monkeypatch, (tmp_path / "gone.png").touch, (tmp_path / "gone.png").unlink)
    with pytest.raises(ScanError, match="no new picture came"):
        scan_folder(tmp_path)
    _Camera(monkeypatch, (tmp_path / "label.png").touch)
    with pytest.raises(ScanError, match=r"picture label\.png in folder .* was not complete within 10 s"):
        scan_folder(tmp_path)


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its name and the reason; also when it goes away during the scan."""
    with pytest.raises(
        ScanError, match=rf"folder {tmp_path}/x cannot be read \(No such file or directory\), wanted the"
    ):
        scan_folder(tmp_path / "x")
    _Camera(monkeypatch, tmp_path.rmdir)
    with pytest.raises(ScanError, match=rf"folder {tmp_path} cannot be read"):
        scan_folder(tmp_path)


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
    jig.power(True)
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


@pytest.mark.parametrize(
    "code",
    [b"%s\r", b"%s\n", b"%s\r\n", b"\x02%s\x03", b"\x02%s\x03\r\n", b"\0\0%s\0\r", b"%s\r%s\r"],
    ids=["CR", "LF", "CRLF", "STX ETX", "STX ETX CRLF", "NUL", "twice"],
)
def test_a_serial_scanners_code_is_read(code: bytes) -> None:
    """Whatever the scanner puts around its codes, and however often the trigger is pulled."""
    with _HandScanner(code.replace(b"%s", LABEL.encode())) as scanner:
        assert SerialScanner(scanner.port, 9600, 20).scan().text == LABEL


def test_two_codes_on_a_serial_scanner_are_refused() -> None:
    """As at the terminal."""
    with (
        _HandScanner(LABEL.encode() + b"\r1122334455667788\r") as scanner,
        pytest.raises(ScanError, match="two different codes were scanned one after the other"),
    ):
        SerialScanner(scanner.port, 9600, 20).scan()


def test_a_serial_scanner_that_stays_silent() -> None:
    """Has its time, then there is a sentence."""
    with _HandScanner(b"\r") as scanner, pytest.raises(ScanError, match=r"no label was scanned within 0\.2 s"):
        SerialScanner(scanner.port, 9600, 0.2).scan()


def test_a_serial_scanner_that_is_not_there(tmp_path: Path) -> None:
    """Is a port error, which lists the ports."""
    with pytest.raises(PortError, match="does not exist"):
        SerialScanner(str(tmp_path / "tty"), 9600, 1).scan()
