"""The board's serial wires: a pseudo terminal whose other end any serial program can open."""

import contextlib
import os
import tty
from pathlib import Path

from lorafab.errors import PortError


class SerialWire:
    """A raw pty. Bytes that nobody fetches are lost once the kernel's buffer (4 KiB) is full, as on a real line."""

    def __init__(self, link: Path | None) -> None:
        """Open it and make ``link`` (if given) a symbolic link to it; raises PortError when that cannot be done."""
        self.fd, self._far_end = os.openpty()
        # The far end stays open here, so that a client may come and go without a hang-up on this side.
        tty.setraw(self._far_end)
        os.set_blocking(self.fd, False)
        self.path = Path(os.ttyname(self._far_end))
        self._link = link
        self._sent = bytearray()
        if link is not None:
            try:
                self._make_link(link)
            except OSError as error:
                self.close()
                raise PortError(
                    f"the virtual serial port {link} cannot be made ({error.strerror}); "
                    "remove what is there, or name another path"
                ) from None

    def _make_link(self, link: Path) -> None:
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.exists() and not link.is_symlink():
            raise FileExistsError(17, "a file that is no link is there")
        temporary = link.with_name(f".{link.name}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        temporary.symlink_to(self.path)
        temporary.rename(link)

    def receive(self) -> bytes:
        """What the host has sent; empty when there is nothing."""
        try:
            return os.read(self.fd, 4096)
        except BlockingIOError:
            return b""

    def send(self, byte: int) -> None:
        """Put a byte on the line; the host gets it with the next :meth:`flush`."""
        self._sent.append(byte)

    def flush(self) -> None:
        """Give what was sent to the host at once, or lose it.

        Byte by byte the host would wake for each, and in one process with the board the two would fight for the
        interpreter: a reply took 30 ms instead of 3.
        """
        if self._sent:
            with contextlib.suppress(BlockingIOError):
                os.write(self.fd, self._sent)
            self._sent.clear()

    def close(self) -> None:
        """Hang up and remove the link if it is still ours; harmless when repeated."""
        if self.fd < 0:
            return
        self.flush()
        if self._link is not None:
            with contextlib.suppress(OSError):
                if self._link.readlink() == self.path:
                    self._link.unlink()
        os.close(self.fd)
        os.close(self._far_end)
        self.fd = -1
