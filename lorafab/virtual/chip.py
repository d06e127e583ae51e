"""What a chip and a board are made of, as data: the shapes that the profiles in ``chips/`` fill in.

A profile names addresses, sizes, identities, times and parts; behaviour lives in the parts. ``docs/add-a-board.md``
shows how to write one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lorafab.virtual.silicon import Part, Silicon


@dataclass(frozen=True)
class CoreSpec:
    """A Cortex-M core as one chip has it."""

    name: str
    """Shown to people, such as ``Cortex-M4``."""
    model: str
    """Name of the emulator's model, such as ``CORTEX_M4``."""
    cpuid: int
    mainline: bool
    """Armv7-M (configurable faults, BASEPRI, VECTRESET, cycle counter); otherwise Armv6-M."""
    irqs: int
    """External interrupts."""
    priority_bits: int
    breakpoints: int
    """Code comparators of the breakpoint unit (FPB or BPU)."""
    literals: int
    """Literal comparators of the FPB."""
    watchpoints: int
    """Comparators of the DWT."""
    fpu: bool = False


@dataclass(frozen=True)
class Store:
    """Bytes that outlive power, kept in the board file."""

    name: str
    size: int
    """In bytes."""
    cell: int
    """Bytes that share one state byte (what the cell went through since its erase), or 0 without states."""
    erased: int = 0xFF
    """What an erased byte reads."""


@dataclass(frozen=True)
class Ram:
    """Volatile memory of the core."""

    name: str
    base: int
    size: int


@dataclass(frozen=True)
class MemoryAp:
    """A MEM-AP; ``reaches`` False makes one whose memory accesses all fault. ``wrap``: TAR increments within it."""

    number: int
    idr: int
    base: int
    csw: int
    wrap: int = 0x1000
    reaches: bool = True


@dataclass(frozen=True)
class PartAp:
    """An access port that a part of the chip answers (its ``ap_read`` and ``ap_write``)."""

    number: int
    part: str


@dataclass(frozen=True)
class At:
    """A part of the chip: ``make(silicon, at)`` builds it; it answers on the bus for ``size`` bytes from ``base``.

    ``base`` None: nothing on the bus. ``irq``: its interrupt number, or None. ``settings``: what else this kind of
    part wants to know, by name; each kind of part documents its own.
    """

    name: str
    make: "Callable[[Silicon, At], Part]"
    base: int | None = None
    size: int = 0x400
    irq: int | None = None
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Currents:
    """Supply current by state in nA at 3.0 to 3.3 V: typical figures, for the ammeter only."""

    run_per_mhz: int
    sleep_per_mhz: int
    stop: int
    """Deep sleep with RTC and RAM kept, the chip alone."""
    standby: int
    debug: int
    """Added while a debugger holds the debug power domain."""


@dataclass(frozen=True)
class FlashTimes:
    """What the flash array needs by its data sheet, typical figures in ns; ``unit``: bytes programmed at once."""

    page: int
    """Bytes erased at once."""
    erase_ns: int
    unit: int
    program_ns: int
    mass_ns: int | None
    """Erase of everything; None where only pages can be erased."""


@dataclass(frozen=True)
class Chip:
    """A microcontroller and what is soldered around it."""

    name: str
    """Short name of the board, such as ``wle5``."""
    title: str
    """What people call the part."""
    target: str
    """Name of the pyOCD target."""
    core: CoreSpec
    dpidr: int
    targetid: int | None
    """DP TARGETID of an SW-DP v2; None for version 1, which has no such register."""
    aps: tuple[MemoryAp | PartAp, ...]
    rom_table: int
    """Base of the chip's first CoreSight ROM table."""
    rom_pid: int
    """Its peripheral id, PIDR7..0 as one number."""
    flash_base: int
    flash_times: FlashTimes
    stores: tuple[Store, ...]
    """The first is the flash, which begins the board file."""
    options: tuple[int, ...]
    """Option words of a new chip, as its flash part numbers them."""
    rams: tuple[Ram, ...]
    parts: tuple[At, ...]
    """``clocks`` (gives ``hz``) and ``flash`` are obligatory; ``console`` is the serial port on the connector."""
    currents: Currents
    wrp_unit: int | None = None
    """Bytes of flash that are write-protected together; None: a page."""
    uid_prefix: bytes = b"LFVB"
    """How the unique ids of virtual chips begin."""
    uid_size: int = 12

    @property
    def flash_size(self) -> int:
        """In bytes."""
        return self.stores[0].size
