"""The non-volatile state of one virtual board, in one file that a plain script can read.

Layout (little-endian, F the size of the flash, which the chip's profile names first among its stores)::

    0        F     the flash: offset 0 is its first address
    F         8    magic "LFVBOARD"
    F+0x08   u32   version, 2
    F+0x0C   u32   number of option words
    F+0x10   16    name of the chip, ASCII, NUL padded
    F+0x20   16    unique id in memory order, NUL padded; it begins with the prefix of virtual chips
    F+0x30   u32   CRC-32 (zlib) of F..F+0x2F
    F+0x40   64    option words, u32 each
    F+0x200  512   sticker, slot A: u32 sequence | u32 length | u32 CRC-32 of both and the text | UTF-8 text
    F+0x400  512   sticker, slot B; the valid slot with the higher sequence counts
    F+0x800        the other stores, one after the other
    then, from the next multiple of 4096 on: the states of each store with cells, a byte for each cell:
                   0 erased, 1 programmed, 2 bad (its ECC does not fit, or its contents are undefined)
    then, from the next multiple of 4096 on: 512 bytes for each store, what is in flight there: u32 valid
                   (0x4C46494E or 0) | u32 kind | u32 offset | u32 size | u32 state | new data | u32 CRC-32, in the
                   last four bytes, of all from kind on

Data and states change together for everybody who opens the file later, even when this process is killed between two
instructions: what is in flight is written first, its valid word last, then the change is applied, then the word is
cleared. A valid one found at opening is an operation that was in flight when the power went. It is resolved into
something that silicon may look like then: part of the changing bits done, the cells bad. A killed process leaves the
page cache intact, so nothing is synced per word; the computer's own power loss is not covered.
"""

import fcntl
import mmap
import os
import struct
import zlib
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

from lorafab.errors import JigError, StationBusy
from lorafab.virtual.chip import Chip, Store

STICKER_LIMIT = 500  # bytes of UTF-8
PROGRAM_LIMIT = 256  # bytes of one programming operation

_MAGIC, _VERSION = b"LFVBOARD", 2
_HEADER = struct.Struct("<8sII16s16s")
_OPTIONS, _OPTION_LIMIT = 0x40, 16
_STICKERS, _STORES = (0x200, 0x400), 0x800
_FLIGHT_SIZE, _FLIGHT_HEAD, _FLIGHT_VALID = 512, struct.Struct("<IIIII"), 0x4C46_494E
_STICKER_HEAD = struct.Struct("<III")
_PAGE = 4096
_HALF = 0x55  # which bits an interrupted operation got to: fixed, so that runs repeat


class State(IntEnum):
    """What a cell went through since its last erase."""

    ERASED = 0
    PROGRAMMED = 1
    BAD = 2


class _Kind(IntEnum):
    PROGRAM = 1
    ERASE = 2


class StoreFile:
    """One store in the file: bytes, the states of its cells, and one operation that may be in flight."""

    def __init__(self, spec: Store, memory: mmap.mmap, data: int, states: int, flight: int) -> None:
        """``data``, ``states`` and ``flight``: where they begin in ``memory``."""
        self.spec = spec
        self._memory, self._data, self._states, self._flight = memory, data, states, flight
        self.programs = self.programmed = self.erases = 0
        """Operations and bytes programmed, and erases, since the file was opened."""

    @property
    def size(self) -> int:
        """In bytes."""
        return self.spec.size

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """``size`` bytes (None: the rest) from ``offset`` on."""
        end = self.spec.size if size is None else offset + size
        return self._memory[self._data + offset : self._data + end]

    def put(self, offset: int, data: bytes) -> None:
        """Change bytes as no controller can: stuck bits, what the factory wrote."""
        self._memory[self._data + offset : self._data + offset + len(data)] = data

    def state(self, cell: int) -> int:
        """What a cell went through, a value of :class:`State` or what its controller counts."""
        return self._memory[self._states + cell]

    def states(self) -> bytes:
        """Of all cells."""
        return self._memory[self._states : self._states + _cells(self.spec)]

    def set_state(self, cell: int, value: int) -> None:
        """Change the state of a cell alone."""
        self._memory[self._states + cell] = value

    def bad_cells(self) -> set[int]:
        """Numbers of the cells that are bad."""
        states, found, at = self.states(), set(), -1
        while (at := states.find(State.BAD, at + 1)) >= 0:
            found.add(at)
        return found

    # operations

    @property
    def in_flight(self) -> bool:
        """An operation has begun and is not finished."""
        valid: int = struct.unpack_from("<I", self._memory, self._flight)[0]
        return valid == _FLIGHT_VALID

    def begin_program(self, offset: int, data: bytes, state: int = State.PROGRAMMED) -> None:
        """Note that the bytes from ``offset`` on (at most 256) are about to become ``data``, their cells ``state``."""
        assert len(data) <= PROGRAM_LIMIT
        self._note(_Kind.PROGRAM, offset, len(data), state, data)
        self.programs, self.programmed = self.programs + 1, self.programmed + len(data)

    def begin_erase(self, offset: int, size: int) -> None:
        """Note that ``size`` bytes from ``offset`` on are about to be erased."""
        self._note(_Kind.ERASE, offset, size, State.ERASED, b"")
        self.erases += 1

    def _note(self, kind: _Kind, offset: int, size: int, state: int, new: bytes) -> None:
        body = _FLIGHT_HEAD.pack(_FLIGHT_VALID, kind, offset, size, state)[4:] + new
        body = body.ljust(_FLIGHT_SIZE - 8, b"\0")
        at = self._flight + 4
        self._memory[at : at + len(body) + 4] = body + struct.pack("<I", zlib.crc32(body))
        self._mark(_FLIGHT_VALID)

    def _mark(self, valid: int) -> None:
        struct.pack_into("<I", self._memory, self._flight, valid)

    def finish(self) -> tuple[int, int]:
        """Apply the operation in flight; answers its offset and size."""
        kind, offset, size, state, new = self._noted()
        self.put(offset, new if kind == _Kind.PROGRAM else bytes([self.spec.erased]) * size)
        self._set_states(offset, size, state)
        self._mark(0)
        return offset, size

    def resolve(self) -> tuple[int, int]:
        """Turn an operation in flight into what a power cut leaves; answers offset and size, (0, 0) without one."""
        if not self.in_flight:
            return 0, 0
        kind, offset, size, _, new = self._noted()
        if kind == _Kind.ERASE:
            new = bytes([self.spec.erased]) * size
        before, wanted = (int.from_bytes(data, "little") for data in (self.read(offset, size), new))
        torn = before ^ ((before ^ wanted) & int.from_bytes(bytes([_HALF]) * size, "little"))
        self.put(offset, torn.to_bytes(size, "little"))
        self._set_states(offset, size, State.BAD)
        self._mark(0)
        return offset, size

    def _set_states(self, offset: int, size: int, state: int) -> None:
        if self.spec.cell:
            first, end = offset // self.spec.cell, -(-(offset + size) // self.spec.cell)
            self._memory[self._states + first : self._states + end] = bytes([state]) * (end - first)

    def _noted(self) -> tuple[int, int, int, int, bytes]:
        body = self._memory[self._flight + 4 : self._flight + _FLIGHT_SIZE - 4]
        crc = self._memory[self._flight + _FLIGHT_SIZE - 4 : self._flight + _FLIGHT_SIZE]
        _, kind, offset, size, state = _FLIGHT_HEAD.unpack(bytes(4) + body[: _FLIGHT_HEAD.size - 4])
        if zlib.crc32(body) != int.from_bytes(crc, "little") or offset + size > self.spec.size:
            raise JigError(
                f"a virtual board file has a damaged note of what was in flight in its {self.spec.name}; "
                "put it aside and start a new one"
            )
        return kind, offset, size, state, body[_FLIGHT_HEAD.size - 4 :][:size]


class BoardFile:
    """An open, locked board file."""

    def __init__(self, path: Path, chip: Chip) -> None:
        """Open ``path``, made blank when missing.

        Raises StationBusy when it is in use and JigError when it is something else or has another chip.
        """
        self.path, self.chip = path, chip
        if not path.exists():
            _create(path, chip)
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._lock()
            _check(path, chip)
            self._map = mmap.mmap(self._fd, file_size(chip))
            try:
                self.stores = self._open_stores()
            except BaseException:
                self._map.close()  # it holds a descriptor of its own, and with it the lock
                raise
        except BaseException:
            os.close(self._fd)
            raise

    def _open_stores(self) -> dict[str, StoreFile]:
        stores = {
            store.name: StoreFile(store, self._map, *places)
            for store, places in zip(self.chip.stores, _layout(self.chip)[0], strict=True)
        }
        for store in stores.values():
            store.resolve()
        return stores

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(os.fstat(self._fd))
            who = "another process" if holder is None else f"process {holder}"
            raise StationBusy(
                f"the virtual board {self.path} is in use by {who}; wait for it, or name another board file"
            ) from None

    def close(self) -> None:
        """Release the file and its lock; harmless when repeated."""
        if self._fd >= 0:
            self._map.close()
            os.close(self._fd)
            self._fd = -1

    @property
    def _head(self) -> int:
        return self.chip.flash_size

    @property
    def uid(self) -> bytes:
        """The chip's unique id in memory order, ``Chip.uid_size`` bytes."""
        uid: bytes = _HEADER.unpack_from(self._map, self._head)[4]
        return uid[: self.chip.uid_size]

    @property
    def options(self) -> tuple[int, ...]:
        """The option words, as the chip's flash part numbers them."""
        return struct.unpack_from(f"<{len(self.chip.options)}I", self._map, self._head + _OPTIONS)

    def set_options(self, values: Sequence[int]) -> None:
        """Program all option words."""
        struct.pack_into(f"<{len(self.chip.options)}I", self._map, self._head + _OPTIONS, *values)

    @property
    def sticker(self) -> str | None:
        """The text glued on this board, or None."""
        slots = [slot for slot in map(self._sticker_slot, _STICKERS) if slot is not None]
        return max(slots)[1] if slots else None

    def _sticker_slot(self, at: int) -> tuple[int, str] | None:
        at += self._head
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
        at = self._head + _STICKERS[used.index(min(used))]
        head = struct.pack("<II", max(used) + 1, len(data))
        self._map[at : at + 12 + len(data)] = head + struct.pack("<I", zlib.crc32(head + data)) + data
        self._map.flush()
        os.fsync(self._fd)


def _cells(store: Store) -> int:
    return store.size // store.cell if store.cell else 0


def _layout(chip: Chip) -> tuple[list[tuple[int, int, int]], int]:
    """Where data, states and flight of each store begin, and where the file ends."""
    data, at = [0], chip.flash_size + _STORES
    for store in chip.stores[1:]:
        data.append(at)
        at += store.size
    states = []
    at = -(-at // _PAGE) * _PAGE
    for store in chip.stores:
        states.append(at)
        at += _cells(store)
    at = -(-at // _PAGE) * _PAGE
    flights = [at + _FLIGHT_SIZE * n for n in range(len(chip.stores))]
    end = -(-(at + _FLIGHT_SIZE * len(chip.stores)) // _PAGE) * _PAGE
    return list(zip(data, states, flights, strict=True)), end


def file_size(chip: Chip) -> int:
    """Size of a board file of this chip in bytes."""
    return _layout(chip)[1]


def states_offset(chip: Chip, store: str = "flash") -> int:
    """Where the states of a store begin in a board file."""
    names = [one.name for one in chip.stores]
    return _layout(chip)[0][names.index(store)][1]


def read_chip_name(path: Path) -> str:
    """Name of the chip of the board in ``path``, which is neither opened for writing nor locked.

    Raises JigError when that is no board file, OSError when it cannot be read.
    """
    # Reading a pipe or a device would never end.
    data = path.read_bytes() if path.is_file() else b""
    at = -1
    while (at := data.find(_MAGIC, at + 1)) >= 0:  # the flash before the header may hold anything, so its CRC decides
        head = data[at : at + _HEADER.size + 4]
        whole = at % 1024 == 0 and len(head) == _HEADER.size + 4
        if whole and zlib.crc32(head[: _HEADER.size]) == struct.unpack_from("<I", head, _HEADER.size)[0]:
            name: bytes = _HEADER.unpack_from(head)[3]
            return name.rstrip(b"\0").decode("ascii", "replace")
    raise JigError(f"{path} is not a virtual board file of version {_VERSION}; name another file, or a new one")


def unusable(path: Path, error: OSError) -> JigError:
    """The operating system keeps us from a board file."""
    return JigError(f"the virtual board file {path} cannot be used ({error.strerror}); check its path and folder")


def _check(path: Path, chip: Chip) -> None:
    with path.open("rb") as file:
        file.seek(chip.flash_size)
        head = file.read(_HEADER.size + 4)
        size = file.seek(0, os.SEEK_END)
    if size != file_size(chip) or not head.startswith(_MAGIC + struct.pack("<I", _VERSION)):
        raise JigError(
            f"{path} is not a virtual board file of version {_VERSION} with an {chip.title}; name another file"
        )
    if zlib.crc32(head[: _HEADER.size]) != struct.unpack_from("<I", head, _HEADER.size)[0]:
        raise JigError(f"the virtual board file {path} has a damaged header; put it aside and start a new one")
    if _HEADER.unpack_from(head)[3].rstrip(b"\0") != chip.name.encode("ascii"):
        raise JigError(f"the virtual board file {path} is not of an {chip.title}; name another file")


def _create(path: Path, chip: Chip) -> None:
    """Write a blank board beside ``path`` and move it there whole; one that appeared meanwhile is kept."""
    uid = chip.uid_prefix + os.urandom(chip.uid_size - len(chip.uid_prefix))
    assert len(chip.options) <= _OPTION_LIMIT
    head = _HEADER.pack(_MAGIC, _VERSION, len(chip.options), chip.name.encode("ascii"), uid)
    head += struct.pack("<I", zlib.crc32(head))
    content = bytearray(file_size(chip))
    for store, (data, _, _) in zip(chip.stores, _layout(chip)[0], strict=True):
        content[data : data + store.size] = bytes([store.erased]) * store.size
    at = chip.flash_size
    content[at : at + len(head)] = head
    struct.pack_into(f"<{len(chip.options)}I", content, at + _OPTIONS, *chip.options)
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
