"""A serial port whose troubles are sentences. The only door to pyserial."""

import errno
import termios
import time
from typing import Any, Final

import serial
from serial.tools import list_ports

from lorafab.errors import PortError

WRITE_TIMEOUT_S: Final = 5.0
"""A line of 64 characters takes 0.3 s at 2400 baud; longer than this means a port that takes nothing."""

# pyserial lets termios.error through in places, which is no OSError; SerialException is one.
_TROUBLE: Final = (OSError, termios.error)


class SerialPort:
    """Bytes over ``port`` (a device path) at ``baud``, 8N1, held exclusively while open."""

    def __init__(self, port: str, baud: int) -> None:
        self._port, self._baud = port, baud
        self._serial: serial.Serial | None = None

    def open(self) -> None:
        """Open the port and drop what was waiting. Raises PortError."""
        self.close()
        try:
            self._serial = serial.Serial(
                self._port, self._baud, timeout=0, write_timeout=WRITE_TIMEOUT_S, exclusive=True
            )
            self._serial.reset_input_buffer()
        except (*_TROUBLE, ValueError) as error:
            self.close()
            raise PortError(_cannot_open(self._port, error)) from error

    def write(self, data: bytes) -> None:
        """Send all of ``data``. Raises PortError."""
        port = self._opened()
        try:
            port.write(data)
            port.flush()
        except _TROUBLE as error:
            raise self._lost("could not be written", error) from error

    def read(self, timeout_s: float) -> bytes:
        """Give what is there, waiting for the first byte at most ``timeout_s``; empty when none came.

        Raises PortError.
        """
        port = self._opened()
        try:
            port.timeout = max(0.0, timeout_s)
            first = port.read(1)
            return bytes(first + port.read(port.in_waiting)) if first else b""
        except _TROUBLE as error:
            raise self._lost("could not be read", error) from error

    def read_until(self, deadline: float) -> bytes:
        """Like read, up to a moment of ``time.monotonic``."""
        return self.read(deadline - time.monotonic())

    def close(self) -> None:
        """Release the port; may be called twice; never raises."""
        port, self._serial = self._serial, None
        if port is not None:
            try:
                port.close()
            except _TROUBLE:
                return  # it was unplugged: there is nothing left to release

    def _opened(self) -> serial.Serial:
        if self._serial is None:
            raise PortError(f"serial port {self._port} is not open; open the link before it is used")
        return self._serial

    def _lost(self, what: str, error: BaseException) -> PortError:
        self.close()
        return PortError(
            f"serial port {self._port} {what} ({_reason(error)}), wanted a port that stays; "
            "check its cable and run this board again"
        )


def _cannot_open(port: str, error: Any) -> str:
    number = getattr(error, "errno", None)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        known = ", ".join(sorted(one.device for one in list_ports.comports())) or "none"
        return f"serial port {port} does not exist (ports here: {known}); plug it in or correct the station file"
    if number in (errno.EBUSY, errno.EAGAIN):
        return f"serial port {port} is in use by another program; close that one and run this board again"
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"serial port {port} may not be opened by this user; add the user to the port's group "
            "(often dialout) and log in again"
        )
    return f"serial port {port} cannot be opened ({_reason(error)}); check that the station file names a serial port"


def _reason(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    if isinstance(number, int):
        return errno.errorcode.get(number, str(number))
    return str(error) or type(error).__name__
