"""lorafab/virtual/pyocd_time.py: pyOCD waits in a virtual board's time, and in the computer's for a real one."""

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pyocd.coresight.cortex_m
import pyocd.utility.timeout
import pytest
from pyocd.gdbserver.gdbserver import GDBClientSession, GDBServer
from pyocd.probe.shared_probe_proxy import SharedDebugProbeProxy
from pyocd.utility.timeout import Timeout

from lorafab.virtual import pyocd_time
from tests_virtual.ram_board import RamBoard

CORTEX_M: Any = pyocd.coresight.cortex_m
TIMEOUT: Any = pyocd.utility.timeout


class Waiter:
    """Stands for an object of pyOCD that belongs to a session and waits for its target."""

    def __init__(self, probe: object) -> None:
        self.session = SimpleNamespace(probe=probe)

    def looks(self, timeout_s: float, pause_s: float, each: Any = None, most: int = 1000) -> int:
        """How often it looks until the time is over."""
        looks = 0
        with Timeout(timeout_s, pause_s) as left:
            while left.check() and looks < most:
                looks += 1
                if each is not None:
                    each()
        return looks

    def did_time_out(self, timeout_s: float, between: Any) -> bool:
        """The other way to use a Timeout."""
        left = Timeout(timeout_s)
        left.start()
        between()
        return left.did_time_out

    def pause(self, seconds: float) -> None:
        """As a reset does."""
        CORTEX_M.sleep(seconds)


class Algorithm:
    """Belongs to a session through its target, as pyOCD's Flash does."""

    def __init__(self, probe: object) -> None:
        self.target = Waiter(probe)

    def looks(self, timeout_s: float, pause_s: float) -> int:
        """As above, but from here."""
        looks = 0
        with Timeout(timeout_s, pause_s) as left:
            while left.check():
                looks += 1
        return looks


@pytest.fixture
def boards() -> Iterator[tuple[RamBoard, RamBoard]]:
    """Two boards with an open probe each, named one and two."""
    boards = RamBoard(), RamBoard()
    for name, board in zip(("one", "two"), boards, strict=True):
        pyocd_time.begin(name, board)
    yield boards
    for name in ("one", "two"):
        pyocd_time.end(name)


def test_a_pause_is_lived_through(boards: tuple[RamBoard, RamBoard]) -> None:
    """The board gets the time, the other board none of it."""
    Waiter("one").pause(3600)
    assert (boards[0].now_ns, boards[1].now_ns) == (3600 * 10**9, 0)


def test_a_time_out_is_met_in_the_boards_time(boards: tuple[RamBoard, RamBoard]) -> None:
    """After exactly as many looks as fit, every time."""
    assert Waiter("one").looks(10, 0, lambda: boards[0].advance(10**9)) == 11
    assert Waiter("two").looks(10, 0.5) == 21 + 1, "the first look comes without a pause"
    assert Waiter("two").did_time_out(10, lambda: boards[1].advance(11 * 10**9))
    assert not Waiter("two").did_time_out(10, lambda: boards[1].advance(9 * 10**9))


def test_an_object_may_belong_to_a_session_through_its_target(boards: tuple[RamBoard, RamBoard]) -> None:
    """As the object that runs flash algorithms does."""
    assert Algorithm("two").looks(10, 1) == 12
    assert boards[1].now_ns == 11 * 10**9


def test_a_real_probe_waits_in_real_time(boards: tuple[RamBoard, RamBoard]) -> None:
    """In the same process and thread, while virtual ones are open: boards do not live, and time does pass."""
    before = time.monotonic()
    Waiter("real").pause(0.01)
    assert Waiter("real").looks(0.05, 0.01) >= 1
    assert time.monotonic() - before >= 0.05
    assert [board.now_ns for board in boards] == [0, 0]


def test_a_virtual_time_out_does_not_count_real_time(boards: tuple[RamBoard, RamBoard]) -> None:
    """However slow this computer is, the board's time stands between two looks."""
    assert Waiter("one").looks(0.01, 0, lambda: time.sleep(0.02), most=3) == 3


def test_threads_and_boards_do_not_meet(boards: tuple[RamBoard, RamBoard]) -> None:
    """Two boards in two threads, as in a jig with two nests: each has its own time."""
    found: dict[str, int] = {}

    def wait(name: str, pause_s: float) -> None:
        found[name] = Waiter(name).looks(100, pause_s)

    threads = [threading.Thread(target=wait, args=told) for told in (("one", 1.0), ("two", 10.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"one": 102, "two": 12}
    assert [board.now_ns for board in boards] == [101 * 10**9, 110 * 10**9]


def test_a_shared_probe_is_its_boards_probe(boards: tuple[RamBoard, RamBoard]) -> None:
    """The stock commands put a proxy between the session and the probe."""
    proxy = SharedDebugProbeProxy("two")
    Waiter(proxy).pause(5)
    assert Waiter(proxy).looks(10, 1) == 12
    assert [board.now_ns for board in boards] == [0, 16 * 10**9]


def gdb_server(probe: object) -> tuple[Any, Any]:
    """A gdb server that has done nothing yet, and a client of it; the core that it looks at runs."""
    server: Any = object.__new__(GDBServer)
    client: Any = object.__new__(GDBClientSession)
    server.session = SimpleNamespace(probe=probe)
    server.target = SimpleNamespace(get_state=lambda: None)
    client._server, client._packet_io = server, SimpleNamespace(interrupt_event=threading.Event())
    return server, client


def test_a_board_lives_while_the_gdb_server_waits(boards: tuple[RamBoard, RamBoard]) -> None:
    """Between two looks at a running core the board lives as long as the server waits, with a client or without."""
    server, client = gdb_server("one")
    assert not client.wait_for_interrupt(0.01)
    assert boards[0].now_ns == 10_000_000
    server._read_and_process_target_state(client=client)
    assert boards[0].now_ns == 10_000_000, "the client has waited"
    server._read_and_process_target_state(client=None)
    assert boards[0].now_ns == 20_000_000
    assert boards[1].now_ns == 0


def test_ctrl_c_ends_the_wait_at_once(boards: tuple[RamBoard, RamBoard]) -> None:
    """The board does not live on behind it."""
    _, client = gdb_server("one")
    client._packet_io.interrupt_event.set()
    assert client.wait_for_interrupt(10)
    assert boards[0].now_ns == 0


def test_a_gdb_server_of_a_real_probe_is_left_alone(boards: tuple[RamBoard, RamBoard]) -> None:
    """Even while virtual probes are open."""
    server, client = gdb_server("real")
    assert not client.wait_for_interrupt(0.001)
    server._read_and_process_target_state(client=None)
    assert [board.now_ns for board in boards] == [0, 0]


def test_everything_is_as_it_was_after_the_last_probe() -> None:
    """Not before: the first one closed leaves the other its time."""
    names = TIMEOUT.time, TIMEOUT.sleep, CORTEX_M.sleep, GDBClientSession.wait_for_interrupt
    board = RamBoard()
    pyocd_time.begin("one", board)
    pyocd_time.begin("two", board)
    assert TIMEOUT.time is not names[0]
    pyocd_time.end("one")
    pyocd_time.end("one")
    Waiter("two").pause(1)
    assert board.now_ns == 10**9
    pyocd_time.end("two")
    assert (TIMEOUT.time, TIMEOUT.sleep, CORTEX_M.sleep, GDBClientSession.wait_for_interrupt) == names
