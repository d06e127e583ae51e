"""lorafab.drivers.serial_link and serial_port: lines over a real (pseudo) terminal, and troubles as sentences."""

import os
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from lorafab.drivers.serial_link import MAX_LINE, MAX_TRANSCRIPT, SerialLink
from lorafab.drivers.serial_port import SerialPort
from lorafab.errors import PortError

SOON = 5.0  # seconds: how long a test waits for what has been sent already


class Board:
    """The other end of the line."""

    def __init__(self) -> None:
        self.end, self._line = os.openpty()
        tty.setraw(self._line)
        self.port = os.ttyname(self._line)

    def send(self, data: bytes) -> None:
        assert os.write(self.end, data) == len(data)

    def received(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += os.read(self.end, size - len(data))
        return data

    def unplug(self) -> None:
        for end in (self.end, self._line):
            if end >= 0:
                os.close(end)
        self.end = self._line = -1


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board()
    yield made
    made.unplug()


@pytest.fixture
def link(board: Board) -> Iterator[SerialLink]:
    made = SerialLink(board.port, 115200)
    made.open()
    yield made
    made.close()


def test_a_command_and_its_reply(board: Board, link: SerialLink) -> None:
    """Bytes go out as given, lines come in without their ends, one after the other."""
    link.write(b"VER?\r\n")
    assert board.received(6) == b"VER?\r\n"
    board.send(b"version=1.0.0\r\nOK\r\nunfin")
    assert [link.read_line(SOON), link.read_line(SOON), link.read_line(0)] == [b"version=1.0.0", b"OK", None]
    board.send(b"ished\nx\r\n")
    assert [link.read_line(SOON), link.read_line(SOON)] == [b"unfinished", b"x"]


def test_silence_is_none(link: SerialLink) -> None:
    """A deadline that passes is no error of the port."""
    assert link.read_line(0.02) is None


def test_what_waited_before_the_opening_is_dropped(board: Board) -> None:
    """Yesterday's boot message is not today's answer."""
    link = SerialLink(board.port, 115200)
    link.open()
    board.send(b"old\r\nha")
    assert link.read_line(SOON) == b"old"
    link.open()
    board.send(b"new\r\n")
    assert link.read_line(SOON) == b"new"
    link.close()


def test_noise_without_an_end_comes_in_pieces(board: Board, link: SerialLink) -> None:
    """A board that shouts is read to the end and does not fill the memory."""
    lines = []
    for _ in range(4):
        board.send(b"\xff" * (MAX_LINE // 4))
        lines.append(link.read_line(0.02))
    board.send(b"!\r\n")
    while lines[-1] != b"!":
        lines.append(link.read_line(SOON))
    assert [line for line in lines if line is not None] == [b"\xff" * MAX_LINE, b"!"]


def test_the_transcript_shows_both_ways_and_every_byte(board: Board, link: SerialLink) -> None:
    """Control characters cannot move a reader's cursor, and nothing is lost."""
    link.write(b"ID?\r\n")
    board.send(b"a\x00b\x1b[2J\\ \xff\tz\r\nrest")
    link.read_line(SOON)
    link.read_line(0.02)
    assert link.transcript() == "> ID?\n< a\\x00b\\x1b[2J\\x5c \\xff\\x09z\n< rest (unfinished)"


def test_the_transcript_is_cut_at_its_limit(board: Board, link: SerialLink) -> None:
    """A chatty board does not make a record of megabytes; the beginning is kept."""
    for _ in range(MAX_TRANSCRIPT // 1000 + 5):
        board.send(b"x" * 999 + b"\n")
        assert link.read_line(SOON) == b"x" * 999
    lines = link.transcript().splitlines()
    assert lines[-1] == "(the transcript is cut here)"
    assert len(link.transcript()) <= MAX_TRANSCRIPT + 100


def test_a_missing_port_lists_what_there_is(tmp_path: Path) -> None:
    """The operator sees at once what was plugged in instead."""
    with pytest.raises(PortError) as caught:
        SerialLink(str(tmp_path / "ttyGone"), 115200).open()
    assert str(caught.value).startswith(f"serial port {tmp_path}/ttyGone does not exist (ports here: ")
    assert str(caught.value).endswith("); plug it in or correct the station file")


def test_what_is_no_serial_port_is_refused(tmp_path: Path) -> None:
    """A file of that name is not a port."""
    (tmp_path / "file").write_text("")
    with pytest.raises(PortError, match="check that the station file names a serial port"):
        SerialPort(str(tmp_path / "file"), 9600).open()


def test_a_port_in_use_is_refused(board: Board, link: SerialLink) -> None:
    """Two programs on one line steal each other's bytes."""
    with pytest.raises(PortError) as caught:
        SerialLink(board.port, 115200).open()
    assert str(caught.value) == (
        f"serial port {board.port} is in use by another program; close that one and run this board again"
    )


def test_an_unplugged_port_is_a_sentence(board: Board, link: SerialLink) -> None:
    """Reading and writing say so; closing does not mind."""
    board.unplug()
    with pytest.raises(PortError, match=r"could not be read \(.*\), wanted a port that stays; check its cable"):
        link.read_line(SOON)
    with pytest.raises(PortError, match="is not open"):
        link.write(b"x")
    link.close()
    link.close()


def test_writing_to_an_unplugged_port_is_a_sentence(board: Board, link: SerialLink) -> None:
    """The first write after the cable went."""
    board.unplug()
    with pytest.raises(PortError, match="could not be written"):
        link.write(b"x")


def test_a_link_is_used_between_open_and_close(board: Board) -> None:
    """Before and after it says that it is not open; it can be opened again."""
    link = SerialLink(board.port, 115200)
    with pytest.raises(PortError, match="is not open; open the link before it is used"):
        link.read_line(0)
    link.open()
    link.close()
    with pytest.raises(PortError, match="is not open"):
        link.write(b"x")
    link.open()
    board.send(b"again\n")
    assert link.read_line(SOON) == b"again"
    link.close()


KEY = "8CD66A7B3DEA8E3AC2E5FD0F9B11724E"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (KEY, "(32 hex digits withheld)"),
        (KEY.lower(), "(32 hex digits withheld)"),
        (
            f"### AppKey: {':'.join(KEY[at : at + 2] for at in range(0, 32, 2))} ###",
            "### AppKey: (32 hex digits withheld) ###",
        ),
        (f'AT+APPKEY="{KEY}"', 'AT+APPKEY="(32 hex digits withheld)"'),
        (f"{KEY}{KEY}", "(64 hex digits withheld)"),
        ("dev_eui=024C464200000001 kcv=0540E6C1FFA9C265", "dev_eui=024C464200000001 kcv=0540E6C1FFA9C265"),
        ("uid=4C46564251750A60D2F5691F", "uid=4C46564251750A60D2F5691F"),
    ],
)
def test_what_is_as_long_as_a_key_is_never_in_the_transcript(
    board: Board, link: SerialLink, said: str, shown: str
) -> None:
    """Whoever says it, and unasked: firmware is known to print its keys when it starts. Shorter numbers are shown."""
    link.write(said.encode() + b"\r\n")
    board.send(said.encode() + b"\r\n")
    assert link.read_line(SOON) == said.encode()
    board.send(said.encode())
    link.read_line(0.02)
    assert link.transcript() == f"> {shown}\n< {shown}\n< {shown} (unfinished)"


def test_after_a_secret_command_no_piece_of_a_key_is_in_the_transcript(board: Board, link: SerialLink) -> None:
    """In two lines, as decimal numbers, as raw bytes; until the next write, and the words of an answer stay."""
    link.write(f"SET app_key={KEY}\r\n".encode(), secret=True)
    for line in (KEY[:8], "140, 214, 106", KEY[8:10], "AT_PARAM_ERROR", "OK"):
        board.send(line.encode() + b"\r\n")
        assert link.read_line(SOON) == line.encode()
    board.send(bytes.fromhex(KEY)[:4] + b"\r\n")
    link.read_line(SOON)
    link.write(b"ID?\r\n")
    board.send(b"join_eui=00005EEF10000001\r\n")
    link.read_line(SOON)
    assert link.transcript().splitlines() == [
        "> SET app_key=(32 hex digits withheld)",
        "< (8 hex digits withheld)",
        "< (9 hex digits withheld)",
        "< (2 hex digits withheld)",
        "< AT_PARAM_ERROR",
        "< OK",
        "< (4 bytes withheld)",
        "> ID?",
        "< join_eui=00005EEF10000001",
    ]
