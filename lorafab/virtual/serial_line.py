"""What happens to bytes between the board's UART and the host's port: loss, noise, and baud rates that do not match.

Two ends whose rates differ by more than 4 % misread each other, as receivers of 16 samples a bit do (RM0453, tolerance
of the USART receiver: 3.75 to 4.375 %). A damaged byte is what such a receiver samples from the frame (8N1); each byte
by itself, as if the line were idle around it. Framing errors are passed on as data, as a terminal without INPCK does.
"""

import fcntl
import hashlib
import struct
import termios
from typing import Final

from lorafab.virtual.clock import Clock
from lorafab.virtual.faults import ActiveFaults
from lorafab.virtual.wire import SerialWire

TOLERANCE: Final = 0.04
"""Rates that differ by more are misread."""

GARBAGE: Final = 0xA5
"""What ``uart=garbage`` flips in every byte."""

NOISE_ONE_OF: Final = 8
"""``uart=noisy`` flips a bit in one byte of so many."""

# Where in a bit a receiver looks: the middle, plus the sixteenth by which it may have missed the edge, plus the two
# sixteenths over which it votes; late when it is the slower one, early when it is the faster one.
_LATE, _EARLY = 0.5 + 3 / 16, 0.5 - 3 / 16

# asm-generic/ioctls.h: TCGETS2; struct termios2 of asm-generic/termbits.h ends with input and output speed in bit/s.
# termios.tcgetattr has no number for speeds beside the standard ones.
_TCGETS2 = 0x802C_542A
_TERMIOS2 = struct.Struct("=4IB19s2I")


class SerialLine:
    """Both wires of one board's serial line. Not thread-safe: the board's lock guards it."""

    def __init__(self, wire: SerialWire, faults: ActiveFaults, clock: Clock) -> None:
        self._wire, self._faults, self._clock = wire, faults, clock
        # The speed of the host's port until somebody sets another.
        settings = termios.tcgetattr(wire.fd)
        settings[4] = settings[5] = termios.B115200
        termios.tcsetattr(wire.fd, termios.TCSANOW, settings)

    def send(self, byte: int, baud_hz: int) -> None:
        """A byte leaves the board, whose UART is set to ``baud_hz``."""
        number, damage = self._faults.board_byte(self._clock.now_ns)
        for one in self._carried(byte, damage, f"board {number}", self._real(baud_hz), host_baud(self._wire.fd)):
            self._wire.send(one)

    def receive(self, baud_hz: int) -> bytes:
        """What reaches the board of what the host has sent; ``baud_hz`` 0: the board does not listen."""
        carried, host_hz, board_hz = bytearray(), host_baud(self._wire.fd), self._real(baud_hz)
        for byte in self._wire.receive():
            number, damage = self._faults.host_byte(self._clock.now_ns)
            carried += self._carried(byte, damage, f"host {number}", host_hz, board_hz)
        return bytes(carried)

    def power_off(self) -> None:
        """The board loses its power: what the host has sent so far is lost."""
        while self._wire.receive():
            pass

    def _real(self, baud_hz: int) -> int:
        return self._faults.baud if self._faults.baud and baud_hz else baud_hz

    def _carried(self, byte: int, damage: str | None, name: str, sender_hz: int, receiver_hz: int) -> bytes:
        if damage in ("silent", "drop") or not sender_hz or not receiver_hz:
            return b""
        if damage == "garbage":
            byte ^= GARBAGE
        elif damage == "noisy":
            byte ^= _noise(self._faults.plan.seed, name)
        return misread(byte, sender_hz, receiver_hz)


def host_baud(fd: int) -> int:
    """Speed of the host's port in bit/s, asked at the board's end of its pty; 0: the host has hung up."""
    settings = bytearray(_TERMIOS2.size)
    fcntl.ioctl(fd, _TCGETS2, settings)
    speed: int = _TERMIOS2.unpack(settings)[-1]
    return speed


def misread(byte: int, sender_hz: int, receiver_hz: int) -> bytes:
    """What a receiver at one rate makes of a byte that was sent at another: one byte, several, or none."""
    ratio = sender_hz / receiver_hz  # bits of the sender in one bit of the receiver
    if abs(receiver_hz - sender_hz) <= TOLERANCE * sender_hz:
        return bytes([byte])
    levels = [0, *(byte >> bit & 1 for bit in range(8))]
    look = _LATE if ratio > 1 else _EARLY

    def level(at: float) -> int:
        return levels[int(at)] if at < len(levels) else 1

    found, free = bytearray(), 0.0
    for edge in (place for place, bit in enumerate(levels) if not bit and (place == 0 or levels[place - 1])):
        # A start bit that is gone in its middle is taken for a glitch.
        if edge < free or level(edge + 0.5 * ratio):
            continue
        found.append(sum(level(edge + (1 + bit + look) * ratio) << bit for bit in range(8)))
        free = edge + (9 + look) * ratio
    return bytes(found)


def _noise(seed: int, name: str) -> int:
    """Which bits of a byte are flipped: from seed and the byte's number alone, so that runs repeat."""
    draw = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=2).digest()
    return 0 if draw[0] % NOISE_ONE_OF else 1 << draw[1] % 8
