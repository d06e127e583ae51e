"""What can be asked of the things around a board. Who does it is a driver, chosen by the station file.

Addresses and sizes are bytes, times are seconds. Every method may raise a StationError (tool at fault) or a
DutError (board at fault); the docstrings name the usual ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from lorafab.domain.identity import Eui64, Identity, KeySlot
from lorafab.domain.image import Image
from lorafab.domain.memory_map import Segment, Span
from lorafab.domain.provisioning import Evidence, Found, Held, Stage
from lorafab.domain.ram_program import RamProgram
from lorafab.domain.secret import Secret


@dataclass(frozen=True)
class ChipInfo:
    """What the silicon says of itself, read without writing anything."""

    dpidr: int
    """Debug port identification register."""
    idcode: int
    """The register that tells which part this is: DBGMCU_IDCODE, or FICR INFO.PART of an nRF."""
    flash_size: int
    """Bytes."""
    unique_id: str
    """Factory unique id in memory order, upper-case hex."""


@dataclass(frozen=True)
class Visible:
    """A piece of what a probe can read of a chip."""

    place: str
    address: int | None
    """None for what has no address, such as the core's registers."""
    data: bytes

    def __repr__(self) -> str:
        # The data may be a key: say where and how much, never what.
        where = "" if self.address is None else f" at {self.address:#010x}"
        return f"Visible({self.place}{where}, {len(self.data)} bytes)"


class Programmer(Protocol):
    """Reads and writes the DUT's memory through its debug port."""

    def connect(self) -> ChipInfo:
        """Attach, halt the core, read who it is; writes no memory that survives. Raises ProbeError."""
        ...

    def read(self, span: Span) -> bytes:
        """Read memory. Raises ProbeError, or MemoryFault where the bus refuses."""
        ...

    def checksums(self, spans: Sequence[Span]) -> Sequence[int | None]:
        """Checksum (lorafab.domain.checksum) of each span, computed by the target itself.

        None for a span with words that it cannot read. Far faster than reading. Raises ProbeError.
        """
        ...

    def program(self, erase: Sequence[Span], segments: Sequence[Segment], *, mass_erase: bool = False) -> None:
        """In one flash session erase exactly these pages, then program these segments.

        ``mass_erase``: erase the whole flash instead of the pages of it; other areas by their pages. Raises ProbeError,
        or FlashRefused when the flash does. Success is not yet proof: compare checksums.
        """
        ...

    def call(
        self, program: RamProgram, entry: str, arguments: Sequence[int], mailbox: bytes, answer: int, timeout_s: float
    ) -> tuple[int, bytes]:
        """Load a program into RAM, put ``mailbox`` into its mailbox, call ``entry`` with up to four arguments.

        Returns r0 and the first ``answer`` bytes of the mailbox, which is wiped then. Raises ProbeError, StoreRefused
        when the program does not come back in time (it is stopped).
        """
        ...

    def is_locked(self) -> bool:
        """Whether read-out protection is in force and hides the chip's flash from the probe. Raises ProbeError.

        Where it hides so much that ``connect`` fails, this may be asked without.
        """
        ...

    def survey(self) -> Sequence[Visible]:
        """All that a probe can read of the chip now: memories, aliases, option and factory bytes, core registers.

        What refuses is left out. As ``is_locked``, it may be asked where ``connect`` fails. Raises ProbeError.
        """
        ...

    def lock(self) -> None:
        """Set read-out protection, so that it holds from the next power-on. Raises FlashRefused, ProbeError."""
        ...

    def unlock(self) -> bool:
        """Take read-out protection off, which **erases all that is on the chip**. Raises FlashRefused, ProbeError.

        Whether the chip is open only after the next power-on. Otherwise it is connected now, and must be programmed
        before the power goes, or it may be locked again.
        """
        ...

    def run(self) -> None:
        """Reset the core and let its firmware run."""
        ...

    def close(self) -> None:
        """Let go of core and probe; may be called twice; never raises."""
        ...


class Link(Protocol):
    """The serial line to the DUT."""

    def open(self) -> None:
        """Open the port and drop what was waiting. Raises PortError."""
        ...

    def write(self, data: bytes, *, secret: bool = False) -> None:
        """Send bytes. Raises PortError.

        ``secret``: a key is in them or is asked for. They, and all that comes in until the next write, stand in the
        transcript without hex digits.
        """
        ...

    def read_line(self, timeout_s: float) -> bytes | None:
        r"""Return the next line without its ``\r\n``, or None when none ended in time. Raises PortError."""
        ...

    def transcript(self) -> str:
        """All that went over the line so far, printable, one line each, `>` sent and `<` received."""
        ...

    def close(self) -> None:
        """Release the port; may be called twice; never raises."""
        ...


class Jig(Protocol):
    """The mechanics around the board."""

    def present(self) -> bool:
        """Whether a board lies in the nest."""
        ...

    def lid_closed(self) -> bool:
        """Whether the lid is down."""
        ...

    def power(self, on: bool) -> None:
        """Switch the DUT's supply. Raises JigError."""
        ...

    def camera(self) -> bytes:
        """Take a picture of the label (PNG or JPEG). Raises JigError where there is no camera."""
        ...

    def close(self) -> None:
        """Power off and let go; may be called twice; never raises."""
        ...


@dataclass(frozen=True)
class Scan:
    """What a scanner saw: the text of a label and, from a camera, the picture and the reader that read it."""

    text: str
    picture: bytes | None = None
    reader: str = ""


class Scanner(Protocol):
    """Gets the text of the label on the board."""

    def scan(self) -> Scan:
        """Wait for one label. Raises ScanError when none can be read."""
        ...


class Clock(Protocol):
    """Time, injected so that tests decide it."""

    def now(self) -> datetime:
        """Now, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""
        ...


@dataclass(frozen=True)
class SealedBox:
    """One key, encrypted to one public key."""

    key_id: str
    """Which public key: first 16 hex digits of SHA-256 over its raw bytes."""
    box: str
    """HPKE ciphertext, base64."""


@dataclass(frozen=True)
class SealedKey:
    """A root key encrypted to the vault's public keys, and what may be known of it."""

    slot: KeySlot
    kcv: str
    """Key check value of the key inside."""
    boxes: tuple[SealedBox, ...]
    """The back office's first, then the escrow's where there is one."""


class ImageBuilder(Protocol):
    """Builds one board's image, with its identity compiled in."""

    def build(self, identity: Identity) -> Image:
        """Build it, leaving nothing of the key behind. Raises BuildError."""
        ...


class IdentityStore(Protocol):
    """Where the boards of a product keep their identity: one of the six that ``identity.store`` names."""

    stage: Stage

    def factory_eui(self) -> Eui64 | None:
        """The EUI-64 that the store's hardware came with; None where it has none. Raises as ``look``."""
        ...

    def look(self) -> Found:
        """What the board holds now; writes nothing. Raises DutError, ProbeError, PortError."""
        ...

    def in_image(self, image: Image, identity: Identity | None) -> Sequence[Segment]:
        """What the flash session programs: the image and, in stage "image", a new identity. Raises BuildError."""
        ...

    def write(self, identity: Identity) -> None:
        """Write a new identity; stage "image" has done so already. Raises DutError, ProbeError, PortError."""
        ...

    def read_back(self) -> tuple[Held, Evidence]:
        """What the board says now that it holds, and how its key is known. Raises DutError, ProbeError, PortError."""
        ...


class Vault(Protocol):
    """Makes keys and seals them; a station cannot open what it sealed."""

    def new_key(self, dev_eui: Eui64, generation: int, slot: KeySlot) -> tuple[Secret, SealedKey]:
        """Draw a key from the operating system's randomness and seal it to (DevEUI, generation, slot)."""
        ...


@dataclass(frozen=True)
class Generation:
    """One key generation of an identity."""

    number: int
    kcv_app: str
    kcv_nwk: str | None
    """None for LoRaWAN 1.0.x."""
    run: str
    """Run that made it."""


@dataclass(frozen=True)
class ClaimRequest:
    """What ties a label to a chip."""

    dev_eui: Eui64
    join_eui: Eui64
    serial: str
    label: str
    """Redacted text."""
    chip_id: str
    lot: str
    run: str
    station: str
    operator: str


@dataclass(frozen=True)
class Claim:
    """The ledger's answer: this label and this chip belong together."""

    dev_eui: Eui64
    state: str
    """reserved, written, passed, exported, quarantined, scrapped or void."""
    generations: tuple[Generation, ...]
    retired: int
    """Generations up to this one were in a chip that a repair replaced: no board may hold them again."""
    proven: int | None
    """Key generation whose check value was read from the board in the run that passed."""
    attempts: int
    """Runs that claimed this identity, this one included."""
    dev_nonce: int | None
    """Highest DevNonce that a run has seen on this board; None before the first."""
    exported: int | None
    """Key generation that was last handed to the customer; another than ``proven`` means that re-export is due.

    0: the identity without a key, which is in a secure element.
    """
    counters_erased: bool = False
    """The board's counters were erased when it was unlocked, and it has not passed since: they go on after a gap."""


class Ledger(Protocol):
    """Who got which identity, in which state. Every change is durable when the method returns."""

    def claim(self, request: ClaimRequest) -> Claim:
        """Bind label, DevEUI and chip, or confirm the same binding. Raises BoundElsewhere, LedgerError."""
        ...

    def add_key(self, dev_eui: Eui64, generation: int, keys: Sequence[SealedKey], run: str) -> Claim:
        """Keep sealed keys as the next generation. Raises LedgerError, also for a check value seen before."""
        ...

    def mark_writing(self, dev_eui: Eui64, run: str) -> Claim:
        """The board is about to be written: a board that had passed is *reserved* again until it passes anew."""
        ...

    def mark_written(self, dev_eui: Eui64, generation: int, run: str) -> Claim:
        """The board has been read back with this generation's keys; 0: its secure element has one of its own."""
        ...

    def mark_failed(self, dev_eui: Eui64, run: str) -> Claim:
        """The run's verdict is FAIL: a board that had passed must not be exported until it passes anew."""
        ...

    def note_nonce(self, dev_eui: Eui64, dev_nonce: int, run: str) -> Claim:
        """Remember a DevNonce seen on the board; it never goes back. Raises LedgerError."""
        ...

    def note_erased(self, dev_eui: Eui64, run: str) -> Claim:
        """The board is about to be erased with its counters: *reserved*, and ``counters_erased`` until it passes."""
        ...

    def mark_passed(self, dev_eui: Eui64, generation: int, run: str, evidence: Evidence = "read back") -> Claim:
        """The run passed. Only a generation whose check value was read back is *proven* from now on."""
        ...

    def who_has(self, kcv: str) -> Eui64 | None:
        """Whose key has this check value, of any generation; None when nobody's."""
        ...

    def find(self, key: str) -> Mapping[str, Any] | None:
        """Look an identity up by DevEUI, label text, serial or chip id; JSON-ready, without sealed keys."""
        ...

    def head(self) -> str:
        """Hash of the newest entry of the ledger's history, 64 hex digits."""
        ...
