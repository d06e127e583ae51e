"""The non-volatile state of one virtual board, in one file that a plain script can read.

Layout (little-endian, offsets in bytes)::

    0x00000  256 KiB  the flash: offset 0 is address 0x08000000, erased bytes are 0xFF
    0x40000    8      magic "LFVBOARD"
    0x40008    u32 x2 version, 1 | reserved, 0
    0x40010   12      UID96 in memory order; the first four bytes are "LFVB", the prefix of virtual chips
    0x4001C    u32    CRC-32 (zlib) of 0x40000..0x4001B
    0x40020    u32 x3 option bytes as registers: OPTR, WRP1AR, WRP1BR
    0x40100   36      intent: u32 valid (0x4C46494E or 0) | u32 kind | u32 first double word | u32 count |
                      8 old data | 8 new data | u32 CRC-32 of the 28 bytes before it, from kind on
    0x40200  512      sticker, slot A: u32 sequence | u32 length | u32 CRC-32 of both and the text | UTF-8 text
    0x40400  512      sticker, slot B; the valid slot with the higher sequence counts
    0x40800 1024      OTP area
    0x41000 32768     state of each double word of the flash: 0 erased, 1 programmed, 2 ECC-bad
    0x49000  128      state of each double word of the OTP area
    0x4A000           end

Data and ECC mark of a double word change together for everybody who opens the file later, even when this process is
killed between two instructions: the intent is written first, its valid word last, then the change is applied, then
the intent is cleared. A valid intent found at opening is an operation that was in flight when the power went. It is
resolved into something that silicon may look like then: ECC-bad double words with part of the bits done. A killed
process leaves the page cache intact, so nothing is synced per word; the computer's own power loss is not covered.
"""

import fcntl
import mmap
import os
import struct
import zlib
from enum import IntEnum
from pathlib import Path

from lorafab.errors import JigError, StationBusy
from lorafab.virtual.profile import (
    DOUBLE_WORDS,
    FLASH_SIZE,
    OPTR_DEFAULT,
    OTP_SIZE,
    WORD_SIZE,
    WRP_NONE,
)

FILE_SIZE = 0x4A000
CHIP_PREFIX = b"LFVB"
STICKER_LIMIT = 500  # bytes of UTF-8

_MAGIC, _VERSION = b"LFVBOARD", 1
_HEADER, _UID, _HEADER_CRC, _OPTIONS = 0x40000, 0x40010, 0x4001C, 0x40020
_INTENT, _STICKERS, _OTP, _STATES = 0x40100, (0x40200, 0x40400), 0x40800, 0x41000
_INTENT_VALID = 0x4C46_494E
_INTENT_BODY = struct.Struct("<III8s8s")
_STICKER_HEAD = struct.Struct("<III")
_OTP_WORDS = OTP_SIZE // WORD_SIZE
_HALF_DONE = 0x5555_5555_5555_5555  # which bits an interrupted operation got to: fixed, so that runs repeat


class State(IntEnum):
    """What a double word went through since its last erase."""

    ERASED = 0
    PROGRAMMED = 1
    ECC_BAD = 2


class _Kind(IntEnum):
    PROGRAM = 1
    ERASE = 2


class BoardFile:
    """An open, locked board file. Double words are numbered: flash from 0 on, then the OTP area's 128."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, blank when missing; raises StationBusy when in use and JigError when it is something else."""
        self.path = path
        if not path.exists():
            _create(path)
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._lock()
            self._check()
            self._map = mmap.mmap(self._fd, FILE_SIZE)
            try:
                self.resolve()
            except BaseException:
                self._map.close()  # it holds a descriptor of its own, and with it the lock
                raise
        except BaseException:
            os.close(self._fd)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(os.fstat(self._fd))
            who = "another process" if holder is None else f"process {holder}"
            raise StationBusy(
                f"the virtual board {self.path} is in use by {who}; wait for it, or name another board file"
            ) from None

    def _check(self) -> None:
        head = os.pread(self._fd, 0x20, _HEADER)
        size_ok = os.fstat(self._fd).st_size == FILE_SIZE
        if not size_ok or head[:12] != _MAGIC + struct.pack("<I", _VERSION):
            raise JigError(f"{self.path} is not a virtual board file of version {_VERSION}; name another file")
        if zlib.crc32(head[:0x1C]) != struct.unpack_from("<I", head, 0x1C)[0]:
            raise JigError(f"the virtual board file {self.path} has a damaged header; put it aside and start a new one")

    def close(self) -> None:
        """Release the file and its lock; harmless when repeated."""
        if self._fd >= 0:
            self._map.close()
            os.close(self._fd)
            self._fd = -1

    @property
    def uid96(self) -> bytes:
        """The chip's unique id, 12 bytes in memory order."""
        return self._map[_UID : _UID + 12]

    @property
    def options(self) -> tuple[int, int, int]:
        """OPTR, WRP1AR and WRP1BR as they were when the chip was made or last reloaded."""
        optr, wrp_a, wrp_b = struct.unpack_from("<III", self._map, _OPTIONS)
        return optr, wrp_a, wrp_b

    def flash(self, start: int = 0, size: int = FLASH_SIZE) -> bytes:
        """``size`` bytes of flash from offset ``start`` on."""
        return self._map[start : start + size]

    def otp(self) -> bytes:
        """The OTP area, 1024 bytes."""
        return self._map[_OTP : _OTP + OTP_SIZE]

    def word(self, index: int) -> bytes:
        """The 8 bytes of a double word."""
        place = _place(index)
        return self._map[place : place + WORD_SIZE]

    def state(self, index: int) -> int:
        """What the double word went through, a value of :class:`State`."""
        return self._map[_STATES + index]

    def bad_words(self) -> list[int]:
        """Numbers of the double words whose ECC does not fit their data."""
        states, found, at = self._map[_STATES : _STATES + DOUBLE_WORDS + _OTP_WORDS], [], -1
        while (at := states.find(State.ECC_BAD, at + 1)) >= 0:
            found.append(at)
        return found

    def force_bits(self, index: int, clear: int, set_: int) -> None:
        """Apply stuck bits (masks of the little-endian double word) to the data."""
        value = int.from_bytes(self.word(index), "little")
        self._set_word(index, (value & ~clear | set_).to_bytes(WORD_SIZE, "little"))

    def begin_program(self, index: int, data: bytes) -> None:
        """Note that the double word is about to become ``data``."""
        self._note(_Kind.PROGRAM, index, 1, self.word(index), data)

    def begin_erase(self, first: int, count: int) -> None:
        """Note that ``count`` double words of flash from ``first`` on are about to be erased."""
        self._note(_Kind.ERASE, first, count, bytes(8), bytes(8))

    def _note(self, kind: _Kind, first: int, count: int, old: bytes, new: bytes) -> None:
        body = _INTENT_BODY.pack(kind, first, count, old, new)
        at = _INTENT + 4
        self._map[at : at + len(body) + 4] = body + struct.pack("<I", zlib.crc32(body))
        self._mark_intent(_INTENT_VALID)

    def _mark_intent(self, valid: int) -> None:
        struct.pack_into("<I", self._map, _INTENT, valid)

    def finish(self) -> tuple[int, int]:
        """Apply the operation in flight; answers its first double word and their number."""
        kind, first, count, _, new = self._intent()
        if kind == _Kind.PROGRAM:
            self._set_word(first, new)
            self._map[_STATES + first] = State.PROGRAMMED
        else:
            self._map[first * WORD_SIZE : (first + count) * WORD_SIZE] = b"\xff" * (count * WORD_SIZE)
            self._map[_STATES + first : _STATES + first + count] = bytes(count)
        self._mark_intent(0)
        return first, count

    def resolve(self) -> tuple[int, int]:
        """Turn an operation in flight into what a power cut leaves; answers first double word and count, or (0, 0)."""
        if struct.unpack_from("<I", self._map, _INTENT)[0] != _INTENT_VALID:
            return 0, 0
        kind, first, count, old, new = self._intent()
        if kind == _Kind.PROGRAM:
            before, wanted = int.from_bytes(old, "little"), int.from_bytes(new, "little")
            torn = before & ~(before & ~wanted & _HALF_DONE)
            self._set_word(first, torn.to_bytes(WORD_SIZE, "little"))
            self._map[_STATES + first] = State.ECC_BAD
        else:
            start, end = first * WORD_SIZE, (first + count) * WORD_SIZE
            half = int.from_bytes(b"\x55" * (end - start), "little")
            value = int.from_bytes(self._map[start:end], "little") | half
            self._map[start:end] = value.to_bytes(end - start, "little")
            self._map[_STATES + first : _STATES + first + count] = bytes([State.ECC_BAD]) * count
        self._mark_intent(0)
        return first, count

    def _intent(self) -> tuple[int, int, int, bytes, bytes]:
        end = _INTENT + 4 + _INTENT_BODY.size
        body, crc = self._map[_INTENT + 4 : end], self._map[end : end + 4]
        if zlib.crc32(body) != int.from_bytes(crc, "little"):
            raise JigError(f"the virtual board file {self.path} has a damaged intent; put it aside and start a new one")
        kind, first, count, old, new = _INTENT_BODY.unpack(body)
        return kind, first, count, old, new

    def _set_word(self, index: int, data: bytes) -> None:
        place = _place(index)
        self._map[place : place + WORD_SIZE] = data

    @property
    def sticker(self) -> str | None:
        """The text glued on this board, or None."""
        slots = [slot for slot in map(self._sticker_slot, _STICKERS) if slot is not None]
        return max(slots)[1] if slots else None

    def _sticker_slot(self, at: int) -> tuple[int, str] | None:
        sequence, length, crc = _STICKER_HEAD.unpack_from(self._map, at)
        if not sequence or length > STICKER_LIMIT:
            return None
        text = self._map[at + _STICKER_HEAD.size : at + _STICKER_HEAD.size + length]
        if zlib.crc32(self._map[at : at + 8] + text) != crc:
            return None
        return sequence, text.decode("utf-8")

    def stick(self, text: str) -> None:
        """Glue ``text`` (at most 500 bytes of UTF-8) on the board, durably; the older slot is overwritten."""
        data = text.encode("utf-8")
        if len(data) > STICKER_LIMIT:
            raise JigError(
                f"a sticker of {len(data)} bytes does not fit on a virtual board; use at most {STICKER_LIMIT} bytes"
            )
        used = [(self._sticker_slot(at) or (0, ""))[0] for at in _STICKERS]
        at = _STICKERS[used.index(min(used))]
        head = struct.pack("<II", max(used) + 1, len(data))
        self._map[at : at + 12 + len(data)] = head + struct.pack("<I", zlib.crc32(head + data)) + data
        self._map.flush()
        os.fsync(self._fd)


def _place(index: int) -> int:
    """Where the double word lies in the file."""
    return index * WORD_SIZE if index < DOUBLE_WORDS else _OTP + (index - DOUBLE_WORDS) * WORD_SIZE


def _create(path: Path) -> None:
    """Write a blank board beside ``path`` and move it there whole; one that appeared meanwhile is kept."""
    head = _MAGIC + struct.pack("<II", _VERSION, 0) + CHIP_PREFIX + os.urandom(8)
    head += struct.pack("<I", zlib.crc32(head))
    head += struct.pack("<III", OPTR_DEFAULT, WRP_NONE, WRP_NONE)
    content = bytearray(FILE_SIZE)
    content[:FLASH_SIZE] = b"\xff" * FLASH_SIZE
    content[_HEADER : _HEADER + len(head)] = head
    content[_OTP : _OTP + OTP_SIZE] = b"\xff" * OTP_SIZE
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)  # unlike rename, never replaces a board that another process has just made
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _holder(info: os.stat_result) -> int | None:
    """Process that holds the flock of this file, as far as the kernel tells (proc(5), /proc/locks)."""
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].endswith(f":{info.st_ino}") and int(fields[4]) > 0:
            return int(fields[4])
    return None
