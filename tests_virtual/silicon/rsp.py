"""A client of gdb's remote serial protocol: what a debugger says to a server, and nothing of what it knows.

Packets are ``$data#checksum`` with two hexadecimal digits of the sum of the bytes, acknowledged by ``+``; numbers are
hexadecimal without a prefix, memory and registers are pairs of digits in memory order. Source: *Debugging with GDB*,
appendix "GDB Remote Serial Protocol".
"""

import socket
import time
from types import TracebackType
from typing import Self

SP, LR, PC, XPSR = 13, 14, 15, 16  # numbers of Arm's core registers; 0 to 12 are r0 to r12
HARD_BREAK, WATCH_WRITE, WATCH_READ, WATCH_ACCESS = 1, 2, 3, 4  # kinds of Z packets
_INTERRUPT = b"\x03"


class RspError(Exception):
    """The server refused, said nothing for too long, or hung up."""


class RspClient:
    """One connection to a server on this computer; a context manager that detaches at its end."""

    def __init__(self, port: int, patience_s: float = 120) -> None:
        """``patience_s``: how long to wait for any answer, in seconds. Raises RspError."""
        self._patience_s = patience_s
        self._socket = socket.create_connection(("localhost", port), timeout=patience_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # acknowledgements must not wait
        self._unread = bytearray()
        self.ask("qSupported:hwbreak+;swbreak+")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.expect_ok("D")
        self._socket.close()

    # packets

    def send(self, text: str) -> None:
        """Send a packet, and wait until it is acknowledged."""
        data = text.encode("latin-1")
        self._socket.sendall(b"$" + data + b"#%02x" % (sum(data) & 0xFF))
        while (byte := self._byte()) != b"+":
            if byte == b"-":
                raise RspError(f"the server did not understand {text}")

    def receive(self) -> str:
        """The next packet; raises RspError when its checksum is wrong."""
        while self._byte() != b"$":
            pass
        data = bytearray()
        while (byte := self._byte()) != b"#":
            data += byte
        said = int(self._byte() + self._byte(), 16)
        if said != sum(data) & 0xFF:
            raise RspError(f"checksum of {data!r} is {sum(data) & 0xFF:#04x}, the server says {said:#04x}")
        self._socket.sendall(b"+")
        return data.decode("latin-1")

    def ask(self, text: str) -> str:
        """Send a packet and return the answer."""
        self.send(text)
        return self.receive()

    def expect_ok(self, text: str) -> None:
        """Send a packet; raises RspError when the answer is anything but OK."""
        answer = self.ask(text)
        if answer != "OK":
            raise RspError(f"{text} was answered {answer!r}")

    def _byte(self) -> bytes:
        try:
            while not self._unread:
                read = self._socket.recv(4096)
                if not read:
                    raise RspError("the server hung up")
                self._unread += read
        except TimeoutError as error:
            raise RspError(f"no answer within {self._patience_s} s") from error
        return bytes([self._unread.pop(0)])

    # memory and registers

    def registers(self) -> list[int]:
        """r0 to r12, SP, LR, PC, xPSR."""
        data = bytes.fromhex(self.ask("g")[: 8 * (XPSR + 1)])
        return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]

    def register(self, number: int) -> int:
        """One of them; out of the whole set, because pyOCD 0.46 does not understand the packet for one."""
        return self.registers()[number]

    def set_register(self, number: int, value: int) -> None:
        """Change one of them."""
        self.expect_ok(f"P{number:x}={value.to_bytes(4, 'little').hex()}")

    def read(self, address: int, size: int) -> bytes:
        """Read memory; raises RspError where the server says that it cannot."""
        answer = self.ask(f"m{address:x},{size:x}")
        if answer.startswith("E"):
            raise RspError(f"read of {size} bytes at {address:#x}: {answer}")
        return bytes.fromhex(answer)

    def word(self, address: int) -> int:
        """A word of memory."""
        return int.from_bytes(self.read(address, 4), "little")

    def write(self, address: int, data: bytes) -> None:
        """Write memory; raises RspError where the server says that it cannot."""
        self.expect_ok(f"M{address:x},{len(data):x}:{data.hex()}")

    # running

    def insert(self, kind: int, address: int, size: int) -> None:
        """Insert a breakpoint (size 2) or watchpoint; raises RspError when there is none left."""
        self.expect_ok(f"Z{kind},{address:x},{size:x}")

    def remove(self, kind: int, address: int, size: int) -> None:
        """Take it out."""
        self.expect_ok(f"z{kind},{address:x},{size:x}")

    def step(self) -> int:
        """Execute one instruction; PC behind it."""
        return self._stopped(self.ask("s"))

    def go(self) -> None:
        """Let the core run; only :meth:`stopped` and :meth:`interrupt` make sense until it stands again."""
        self.send("c")

    def stopped(self) -> int:
        """Wait until the core has stopped with SIGTRAP; PC then."""
        return self._stopped(self.receive())

    def resume(self) -> int:
        """Let the core run until it stops by itself; PC then."""
        self.go()
        return self.stopped()

    def interrupt(self) -> int:
        """Stop a running core with Ctrl-C; the signal that the server names, 2 if the core was running."""
        self._socket.sendall(_INTERRUPT)
        return int(self.receive()[1:3], 16)

    def run_for(self, seconds: float) -> None:
        """Let the core run for a while and stop it; raises RspError when it stops for another reason."""
        self.go()
        time.sleep(seconds)
        signal = self.interrupt()
        if signal != 2:
            raise RspError(f"the core stopped with signal {signal} when nobody wanted it to")

    def _stopped(self, answer: str) -> int:
        if not answer.startswith(("T05", "S05")):
            raise RspError(f"the core stopped with {answer}")
        return self.register(PC)

    def monitor(self, command: str) -> str:
        """A command for the server; its output."""
        self.send("qRcmd," + command.encode().hex())
        output = ""
        while (answer := self.receive()) != "OK":
            if not answer.startswith("O"):
                return output + bytes.fromhex(answer).decode()
            output += bytes.fromhex(answer[1:]).decode()
        return output
