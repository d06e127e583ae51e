"""The thread that lets a board live while nobody paces it."""

import time
from pathlib import Path

import pytest
import serial

from lorafab.domain.memory_map import touched_pages
from lorafab.drivers.image_file import load_image
from lorafab.drivers.pyocd_programmer import PyocdProgrammer
from lorafab.virtual import registry
from lorafab.virtual.board import Board

IMAGE = Path(__file__).resolve().parents[1] / "firmware" / "endnode-wle5" / "endnode-wle5.hex"


@pytest.mark.parametrize("pause_s", [0.0, 0.3])
def test_a_board_lives_on_after_its_debugger_was_silent(tmp_path: Path, pause_s: float) -> None:
    """A computer that stalls between flashing and starting the firmware must not leave the firmware standing."""
    board = Board.open(tmp_path / "b.board", uart_link=tmp_path / "uart")
    registry.attach("pause", board)
    try:
        board.power(True)
        programmer = PyocdProgrammer("lorafab:pause", "stm32wle5jc", 4000)
        programmer.connect()
        segments = load_image(IMAGE, named_by="this test").segments
        programmer.program(touched_pages([segment.span for segment in segments], 2048), segments)
        with serial.Serial(str(tmp_path / "uart"), 115200, timeout=20) as port:
            time.sleep(pause_s)
            programmer.run()
            assert port.readline() == b"lorafab endnode-wle5 1.0.0 ready\r\n"
        programmer.close()
    finally:
        registry.detach("pause")
        board.close()


def test_any_number_of_calls_is_taken_while_the_thread_waits(tmp_path: Path) -> None:
    """The caller holds the board's lock and toggles its reset pin more often than a pipe holds bytes."""
    board = Board.open(tmp_path / "b.board")
    with board.lock:
        for _ in range(40_000):
            board.set_reset_pin(True)
            board.set_reset_pin(False)
    board.close()
