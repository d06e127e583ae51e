"""Stand-ins for a board and the tools around it: no emulator, no probe, no port. They refuse what real ones refuse."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lorafab.domain import identity_block
from lorafab.domain.checksum import checksum
from lorafab.domain.memory_map import MemoryMap, Segment, Span
from lorafab.domain.nvm import endnode
from lorafab.domain.ram_program import RamProgram
from lorafab.drivers.image_file import load_image
from lorafab.errors import FlashRefused, JigError, MemoryFault, ProbeError, StoreRefused
from lorafab.interfaces import ChipInfo, Scan, Visible
from lorafab.targets import MCUS

MCU = MCUS["stm32wle5jc"]
IMAGE = Path(__file__).resolve().parents[1] / "firmware" / "endnode-wle5" / "endnode-wle5.hex"
IMAGE_SIZE = load_image(IMAGE, named_by="the fakes").size
IDENTITY = Span(0x0803E800, 0x800)
MEMORY = MemoryMap(
    areas=MCU.areas,
    code=Span(0x08000000, 0x3E000),
    identity=IDENTITY,
    nvm=Span(0x0803F000, 0x1000),
)


class FakeClock:
    """Time that stands still until it is told to move."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        """Each look is a millisecond later."""
        self.moment += timedelta(milliseconds=1)
        return self.moment

    def monotonic(self) -> float:
        """Seconds."""
        return self.moment.timestamp()


@dataclass
class FakeBoard:
    """Flash with double words that are programmed once, and a firmware that reads it."""

    chip_id: str = "4C4656420102030405060708"
    factory_eui: int = 0x0080E115_05060708
    idcode: int = 0x10016497
    dpidr: int = MCU.dpidr
    flash_size: int = MCU.flash.size
    flash: bytearray = field(default_factory=lambda: bytearray(b"\xff" * MCU.flash.size))
    programmed: set[int] = field(default_factory=set)
    torn: set[int] = field(default_factory=set)
    stuck_at: dict[int, int] = field(default_factory=dict)
    """address -> bits that always read as one."""
    powered: bool = False
    locked: bool = False
    running: bool = False
    silent: bool = False
    answers: dict[str, list[str]] = field(default_factory=dict)
    """Answers that replace the firmware's own."""
    forgets_nonces: bool = False
    image_size: int = IMAGE_SIZE
    """Of the firmware that is committed, in bytes."""

    def read(self, span: Span) -> bytes:
        """What the bus gives."""
        for word in range(span.start - span.start % 8, span.end, 8):
            if word in self.torn:
                raise MemoryFault(word)
        at = span.start - MCU.flash.start
        data = bytearray(self.flash[at : at + span.size])
        for address, mask in self.stuck_at.items():
            if span.contains(Span(address, 1)):
                data[address - span.start] |= mask
        return bytes(data)

    def erase(self, page: Span) -> None:
        """Erase one page."""
        at = page.start - MCU.flash.start
        self.flash[at : at + page.size] = b"\xff" * page.size
        words = set(range(page.start, page.end, 8))
        self.programmed -= words
        self.torn -= words

    def program(self, segment: Segment) -> None:
        """Program double words, each once between erases."""
        for offset in range(0, len(segment.data), 8):
            address, word = segment.address + offset, segment.data[offset : offset + 8]
            if word == b"\xff" * 8:
                continue
            if address in self.programmed:
                raise FlashRefused(f"the flash refused to program {address:#010x}; erase it first")
            self.programmed.add(address)
            at = address - MCU.flash.start
            self.flash[at : at + 8] = word

    # -- firmware --

    def answer(self, command: str) -> list[str]:
        """What the shell says, without line ends."""
        if command in self.answers:
            return self.answers[command]
        known: dict[str, Callable[[], list[str]]] = {
            "VER?": lambda: ["product=endnode-wle5", "version=1.0.0", "mcu=stm32wle5jc", "OK"],
            "UID?": lambda: [f"uid={self.chip_id}", "OK"],
            "ID?": self._identity,
            "NVM?": lambda: [f"dev_nonce={self.counters().dev_nonce}", "OK"],
            "NONCE+": self._next_nonce,
        }
        if command == "TEST flash":
            code = self.flash[: self.image_size]
            return [f"image_crc={zlib.crc32(code):08X}", f"image_size={len(code)}", "OK"]
        if command.startswith("TEST "):
            return ["OK"]
        return known[command]() if command in known else ["ERR unknown command"]

    def counters(self) -> endnode.Counters:
        """As the NVM region has them."""
        found = endnode.decode(self.read(MEMORY.nvm)).counters
        assert found is not None
        return found

    def _identity(self) -> list[str]:
        block = identity_block.decode(self.read(Span(IDENTITY.start, identity_block.BLOCK_SIZE)))
        if block is None:
            return ["ERR no identity: blank"]
        return [
            f"dev_eui={block.dev_eui}",
            f"join_eui={block.join_eui}",
            f"serial={block.serial}",
            f"generation={block.generation}",
            f"kcv_app={block.app_key.kcv()}",
            f"kcv_nwk={block.nwk_key.kcv() if block.nwk_key else '-'}",
            "OK",
        ]

    def _next_nonce(self) -> list[str]:
        old = self.counters()
        new = endnode.Counters(old.dev_nonce + 1, old.join_nonce, old.fcnt_up, old.fcnt_down, old.sequence + 1)
        if not self.forgets_nonces:
            self.program(Segment(MEMORY.nvm.start + 32 * old.sequence, endnode.encode(new)))
        return [f"dev_nonce={new.dev_nonce}", "OK"]


class FakeProgrammer:
    """Reaches a FakeBoard; ``unplug_at`` loses the probe after that many calls."""

    def __init__(self, board: FakeBoard, unplug_at: int | None = None) -> None:
        self.board, self.calls, self.unplug_at, self.closed = board, 0, unplug_at, False

    def _call(self) -> None:
        self.calls += 1
        if self.unplug_at is not None and self.calls > self.unplug_at:
            raise ProbeError("the probe was unplugged; plug it in and run the board again")
        if not self.board.powered:
            raise ProbeError("no chip answers; check power and contacts")

    def connect(self) -> ChipInfo:
        """Who is there."""
        self._call()
        board = self.board
        return ChipInfo(board.dpidr, board.idcode, board.flash_size, board.chip_id)

    def read(self, span: Span) -> bytes:
        """Memory, or what the factory wrote."""
        self._call()
        if span.start == MCU.uid[0].start:
            return bytes.fromhex(self.board.chip_id)
        if MCU.factory_eui is not None and span.start == MCU.factory_eui.number:
            return (self.board.factory_eui & 0xFFFF_FFFF).to_bytes(4, "little")
        if MCU.factory_eui is not None and span.start == MCU.factory_eui.maker:
            return (self.board.factory_eui >> 32).to_bytes(4, "little")
        return self.board.read(span)

    def checksums(self, spans: Sequence[Span]) -> list[int | None]:
        """As the target computes them."""
        self._call()
        return [self._checksum(span) for span in spans]

    def _checksum(self, span: Span) -> int | None:
        try:
            return checksum(self.board.read(span))
        except MemoryFault:
            return None

    def program(self, erase: Sequence[Span], segments: Sequence[Segment], *, mass_erase: bool = False) -> None:
        """Erase, then program."""
        self._call()
        if mass_erase:
            erase = MCU.flash.span.pages(MCU.flash.page_size)
        for page in erase:
            self.board.erase(page)
        for segment in segments:
            self.board.program(segment)

    def call(
        self, program: RamProgram, entry: str, arguments: Sequence[int], mailbox: bytes, answer: int, timeout_s: float
    ) -> tuple[int, bytes]:
        """No core runs here."""
        self._call()
        raise StoreRefused(f"{program.name} did not come back from {entry}; set the board aside")

    def is_locked(self) -> bool:
        """Whether a probe sees the flash."""
        self._call()
        return self.board.locked

    def lock(self) -> None:
        """Hide it."""
        self._call()
        self.board.locked = True

    def survey(self) -> list[Visible]:
        """What a probe sees."""
        self._call()
        flash = [] if self.board.locked else [Visible("flash", MCU.flash.start, bytes(self.board.flash))]
        return [*flash, Visible("sram1", 0x20000000, bytes(64))]

    def unlock(self) -> bool:
        """Open and erase it."""
        self._call()
        self.board.locked = False
        for page in MCU.flash.span.pages(MCU.flash.page_size):
            self.board.erase(page)
        return True

    def run(self) -> None:
        """Let the firmware start."""
        self._call()
        self.board.running = True

    def close(self) -> None:
        """Let go."""
        self.closed = True


class FakeLink:
    """The serial line of a FakeBoard."""

    def __init__(self, board: FakeBoard) -> None:
        self.board, self.waiting, self.log, self.opened, self.closed = board, list[bytes](), list[str](), False, False

    def open(self) -> None:
        """Open."""
        self.opened = True

    def write(self, data: bytes, *, secret: bool = False) -> None:
        """Ask the firmware."""
        self.log.append(f"> {data.decode().strip()}")
        if self.board.running and not self.board.silent:
            self.waiting += [line.encode() for line in self.board.answer(data.decode().strip())]

    def read_line(self, timeout_s: float) -> bytes | None:
        """Next line."""
        if self.board.running and not self.log and not self.waiting and not self.board.silent:
            self.waiting.append(b"lorafab endnode-wle5 1.0.0 ready")
        if not self.waiting:
            return None
        line = self.waiting.pop(0)
        self.log.append(f"< {line.decode('ascii', 'backslashreplace')}")
        return line

    def transcript(self) -> str:
        """All lines."""
        return "\n".join(self.log)

    def close(self) -> None:
        """Close."""
        self.closed = True


class FakeJig:
    """A nest with a FakeBoard."""

    def __init__(self, board: FakeBoard, *, empty: bool = False, lid: bool = True) -> None:
        self.board, self.empty, self.lid, self.closed = board, empty, lid, False

    def present(self) -> bool:
        """Whether a board is in."""
        return not self.empty

    def lid_closed(self) -> bool:
        """Whether the lid is down."""
        return self.lid

    def power(self, on: bool) -> None:
        """Switch the supply."""
        self.board.powered = on

    def camera(self) -> bytes:
        """There is none."""
        raise JigError("this jig has no camera; name the label with --label")

    def close(self) -> None:
        """Power off."""
        self.board.powered = False
        self.closed = True


class FakeScanner:
    """Has one label, or a reason why not."""

    def __init__(self, label: str | Exception) -> None:
        self.label = label

    def scan(self) -> Scan:
        """Give it."""
        if isinstance(self.label, Exception):
            raise self.label
        return Scan(self.label)


__all__ = [
    "IDENTITY",
    "MCU",
    "MEMORY",
    "FakeBoard",
    "FakeClock",
    "FakeJig",
    "FakeLink",
    "FakeProgrammer",
    "FakeScanner",
]
