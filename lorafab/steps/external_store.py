"""Identity store `external`: identity block v1 in an SPI memory behind the microcontroller's pins.

A program in the microcontroller's RAM (``firmware/spi-memory``) drives its SPI; what it is asked and what it answers
goes through a mailbox, whose layout ``firmware/spi-memory/mailbox.h`` has. The mailbox carries keys: the programmer
wipes it after every call, and the program wipes its stack.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from lorafab.domain import identity_block
from lorafab.domain.identity import Eui64, Identity
from lorafab.domain.identity_block import BLOCK_SIZE
from lorafab.domain.image import Image
from lorafab.domain.memory_map import Segment, Span
from lorafab.domain.provisioning import Evidence, Found, Held, Stage
from lorafab.domain.ram_program import RamProgram
from lorafab.errors import StationError, StoreRefused
from lorafab.interfaces import Programmer
from lorafab.steps.identity_page import found_in, whole
from lorafab.targets.spi_memories import SpiMemory

# firmware/spi-memory/mailbox.h: command, status, detail, address, length, polls, page, address bytes, erase, wake,
# read status 2, four pins, four other chip-selects; then data.
_HEAD = struct.Struct("<6IH4B4B4B")
_IDENTIFY, _READ, _READ_STATUS, _ERASE, _PROGRAM = range(1, 6)
_NO_PIN = 0xFF
_ERASED = 0xFF
_POLLS_A_MS = 22
"""At most: between two looks at the status register lie at least 47 us (memory.c, POLL_PAUSE)."""
_POLL_MAX_S = 0.005
"""More than one takes at the slowest clock after reset, 4 MHz: 16 cycles times 1000, two bytes at 0.5 MHz."""
_REPEAT = "power the board off and on and repeat once, then set it aside"
_ANSWERS = {
    2: f"the microcontroller's SPI does not move, wanted its clock; {_REPEAT}",
    3: f"it does not answer, wanted its status register; check its soldering and the wiring in product.yaml, {_REPEAT}",
    4: f"it does not let itself be written (its write enable latch stays 0), wanted it to; {_REPEAT}",
    5: f"it is still busy after its longest time, wanted the end of a write; {_REPEAT}",
}


@dataclass(frozen=True)
class Wiring:
    """Pins by their names, such as ``PA5`` or ``P0.17``."""

    sck: str
    miso: str
    mosi: str
    select: str
    others: tuple[str, ...] = ()
    """Chip-selects of other parts on the bus; four at most."""

    def to_bytes(self) -> bytes:
        """As the mailbox has them."""
        others = (*map(_pin, self.others), *[_NO_PIN] * 4)[:4]
        return bytes([*map(_pin, (self.sck, self.miso, self.mosi, self.select)), *others])


def _pin(name: str) -> int:
    """STM32: 16 x port + pin; nRF: 32 x port + pin."""
    port, dot, number = name[1:].partition(".")
    return int(port) * 32 + int(number) if dot else (ord(port[0]) - ord("A")) * 16 + int(port[1:])


class ExternalStore:
    """Implements IdentityStore. ``address``: of the block in the part; ``ouis``: how its factory EUI-64 may begin."""

    stage: Stage = "probe"

    def __init__(
        self, programmer: Programmer, program: RamProgram, part: SpiMemory, wiring: Wiring, address: int,
        ouis: Sequence[str],
    ) -> None:  # fmt: skip
        self._programmer, self._program, self._part, self._wiring = programmer, program, part, wiring
        self._place, self._ouis = Span(address, BLOCK_SIZE), ouis

    def factory_eui(self) -> Eui64 | None:
        """The EUI-64 that the part came with; None for a part without one. Raises StoreRefused, ProbeError."""
        if self._part.factory_eui is None:
            return None
        number = self._read(self._part.factory_eui)
        eui = Eui64.from_bytes(number)
        if number.strip(b"\0") == b"" or number.strip(b"\xff") == b"":
            raise self._refused(f"it reads {eui} where its factory EUI-64 belongs; {_ANSWERS[3]}")
        if not str(eui).startswith(tuple(self._ouis)):
            raise self._refused(
                f"its factory EUI-64 reads {eui}, wanted one that begins with {' or '.join(self._ouis)}; check that "
                "this part is mounted, then set the board aside"
            )
        return eui

    def look(self) -> Found:
        """Check that it is this part, then read the block. Raises StoreRefused, ProbeError."""
        self._identify()
        return found_in(self._read(self._place), _ERASED)

    def in_image(self, image: Image, identity: Identity | None) -> Sequence[Segment]:
        """The image is the same on every board."""
        return image.segments

    def write(self, identity: Identity) -> None:
        """Erase where that is needed, program, and compare what the part reads. Raises StoreRefused, ProbeError.

        A power cut leaves a block that is blank or damaged, which the next run finds and writes anew.
        """
        self._identify()
        self._refuse_protected()
        block, at = identity_block.encode(identity), self._place.start
        if self._part.erase is not None and self._read(self._place) != bytes([_ERASED]) * BLOCK_SIZE:
            self._call(_ERASE, at)
        pages = len(self._place.pages(self._part.page))
        self._call(_PROGRAM, at, length=BLOCK_SIZE, data=block, writes=pages)
        found = self._read(self._place)
        wrong = sum(a != b for a, b in zip(found, block, strict=True))
        if wrong:
            raise self._refused(
                f"{wrong} bytes of the identity block at {at:#x} read other than they were written, wanted all of them "
                "as written; repeat once, then set the board aside"
            )

    def read_back(self) -> tuple[Held, Evidence]:
        """Decode the block in the part, not the bytes that were sent. Raises ForeignIdentity, StoreRefused."""
        return whole(self.look(), f"the identity block in the {self._part.name}"), "read back"

    def _identify(self) -> None:
        """By its JEDEC id, or by the EUI-64 that its factory gave it."""
        if self._part.jedec is None:
            self.factory_eui()
            return
        found = self._call(_IDENTIFY, answer=len(self._part.jedec))
        if found == self._part.jedec:
            return
        if found in (b"\0" * len(found), b"\xff" * len(found)):
            raise self._refused(_ANSWERS[3])
        raise self._refused(
            f"another part answers (id {found.hex().upper()}), wanted {self._part.jedec.hex().upper()}; check that the "
            "right part is mounted, then set the board aside"
        )

    def _refuse_protected(self) -> None:
        status, second = self._call(_READ_STATUS, answer=2)
        guarded = self._part.block_protect.get(status & self._part.block_protect_mask, 0)
        turned = self._part.status_2 is not None and second & self._part.status_2[1]
        if turned or guarded < self._place.end:
            raise self._refused(
                f"its status register ({status:#04x}, {second:#04x}) protects the place of the identity block, wanted "
                "it open; lorafab takes no protection off: clear it on the bench, or set the board aside"
            )

    def _read(self, place: Span) -> bytes:
        return self._call(_READ, place.start, length=place.size, answer=place.size)

    def _call(
        self, command: int, address: int = 0, *, length: int = 0, data: bytes = b"", answer: int = 0, writes: int = 1
    ) -> bytes:
        """Ask the program; returns ``answer`` bytes of data. ``writes``: how often it may have to wait for one."""
        part = self._part
        polls = part.longest_ms * _POLLS_A_MS
        head = _HEAD.pack(
            *(command, 0, 0, address, length, polls, part.page, part.address_bytes),
            part.erase.opcode if part.erase else 0,
            part.wake or 0,
            part.status_2[0] if part.status_2 else 0,
            *self._wiring.to_bytes(),
        )
        # One wait more: for what the firmware began before it was halted.
        timeout_s = 1 + (1 + writes) * polls * _POLL_MAX_S
        _, said = self._programmer.call(self._program, "Serve", (), head + data, _HEAD.size + answer, timeout_s)
        status: int = _HEAD.unpack(said[: _HEAD.size])[1]
        if status in _ANSWERS:
            raise self._refused(_ANSWERS[status])
        if status:
            raise StationError(
                f"{self._program.name} does not take command {command} (answer {status}), wanted a program and a store "
                "that fit each other; restore lorafab's files from version control"
            )
        return said[_HEAD.size :]

    def _refused(self, why: str) -> StoreRefused:
        return StoreRefused(f"the {self._part.name} on pin {self._wiring.select}: {why}")
