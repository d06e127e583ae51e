"""What can go wrong, who is at fault, and what to do next. One page, one tree.

::

    LorafabError
    ├── DutError              FAIL    this board is bad: set it aside
    │   ├── WrongChip
    │   ├── VerifyFailed
    │   ├── MemoryFault
    │   ├── ReadProtected
    │   ├── FlashRefused
    │   ├── MeasurementFailed
    │   ├── LinkSilent
    │   ├── ShellError
    │   ├── BoundElsewhere
    │   ├── ForeignIdentity
    │   ├── StoreRefused
    │   ├── ElementRefused
    │   ├── LockFailed
    │   └── NvmDamaged
    ├── StationError          ERROR   the board may be good: the station, a tool or lorafab is bad
    │   ├── ProbeError
    │   ├── PortError
    │   ├── JigError
    │   ├── ScanError
    │   ├── LabelRefused
    │   ├── ImageError
    │   ├── BuildError
    │   ├── ManifestError
    │   ├── LedgerError
    │   ├── VaultError
    │   ├── ExportError
    │   │   └── ForeignDevice
    │   ├── RecordError
    │   ├── StationBusy
    │   └── PlanError
    └── UsageError            usage   the command or a file it names must be corrected first
        └── ConfigError

The text of each error is one sentence for the person at the jig: what was found, what was wanted, what to do
next. No text ever holds key bytes, nor memory contents that may be a key. ``code`` is short and stable; reports
and statistics count by it.
"""

from typing import ClassVar


class LorafabError(Exception):
    """Base of everything that lorafab raises on purpose; ``str()`` is the sentence to show."""

    code: ClassVar[str] = "LFB"


class DutError(LorafabError):
    """This board is bad (verdict FAIL)."""

    code = "DUT"


class WrongChip(DutError):
    """The chip in the jig is not the one that the product wants."""

    code = "CHIP"


class VerifyFailed(DutError):
    """Memory does not hold what was written; ``address`` of the first difference, ``count`` of bytes."""

    code = "VFY"

    def __init__(self, address: int, count: int) -> None:
        """Name the place and the number of differing bytes, never the bytes: they may be a key."""
        super().__init__(
            f"{count} byte{'' if count == 1 else 's'} from {address:#010x} on differ from what was written; "
            "reseat the board and repeat once, then set it aside"
        )
        self.address, self.count = address, count


class MemoryFault(DutError):
    """The bus refuses to read ``address``: torn by a power cut (ECC), protected, or not there."""

    code = "MEM"

    def __init__(self, address: int) -> None:
        """Name the address."""
        super().__init__(
            f"memory at {address:#010x} cannot be read (torn word, protection, or damage); "
            "power the board off and on and repeat once, then set it aside"
        )
        self.address = address


class ReadProtected(DutError):
    """The whole flash is hidden from the probe."""

    code = "LOCKED"


class FlashRefused(DutError):
    """The flash controller reported an error while erasing or programming."""

    code = "FLASH"


class MeasurementFailed(DutError):
    """A measurement is outside its limits, not a number, missing, or was never declared."""

    code = "MEAS"


class LinkSilent(DutError):
    """The board does not answer on its serial line."""

    code = "MUTE"


class ShellError(DutError):
    """The board answers on its serial line, but not as the firmware should."""

    code = "SHELL"


class BoundElsewhere(DutError):
    """The label belongs to another chip, or the chip to another label."""

    code = "BOUND"


class ForeignIdentity(DutError):
    """The board carries an identity that the ledger does not give to it."""

    code = "IDENT"


class StoreRefused(DutError):
    """The memory that holds the identity does not answer, is another part, or did not take what was written."""

    code = "STORE"


class ElementRefused(DutError):
    """The secure element is not the one that its maker's manifest, the label or the ledger speaks of."""

    code = "ELEM"


class LockFailed(DutError):
    """The board was locked, and a probe still finds what it must not."""

    code = "LOCK"


class NvmDamaged(DutError):
    """The NVM region cannot be read as frame counters, or a counter went back."""

    code = "NVM"


class StationError(LorafabError):
    """The station, a tool or lorafab is at fault; the board may be good (verdict ERROR)."""

    code = "STN"


class ProbeError(StationError):
    """The debug probe is missing, was unplugged, or does not get through to the chip."""

    code = "PROBE"


class PortError(StationError):
    """The serial port cannot be opened, or went away."""

    code = "PORT"


class JigError(StationError):
    """The jig is empty, open, or does not do what it was asked."""

    code = "JIG"


class ScanError(StationError):
    """No label could be read: no terminal, no answer in time, no symbol in the picture."""

    code = "SCAN"


class LabelRefused(StationError):
    """A label was read, but it is damaged, of a kind that lorafab does not take, or not of this lot."""

    code = "LABEL"


class ImageError(StationError):
    """The firmware image is missing, damaged, for another chip, or lies where it must not."""

    code = "IMAGE"


class BuildError(StationError):
    """The product's build command failed, took too long, or left no image."""

    code = "BUILD"


class ManifestError(StationError):
    """The manifest of the secure elements is damaged, forged, or signed by somebody else."""

    code = "MANIF"


class LedgerError(StationError):
    """The ledger is missing, damaged, busy, or cannot be written."""

    code = "LEDGER"


class VaultError(StationError):
    """A key cannot be sealed or opened."""

    code = "VAULT"


class ExportError(StationError):
    """What passed cannot be handed to the customer: the file or the network server does not take it."""

    code = "EXPORT"


class ForeignDevice(ExportError):
    """The network server has this one DevEUI already, and not as this lot has it."""

    code = "TAKEN"


class RecordError(StationError):
    """The record or the run journal cannot be written or read."""

    code = "RECORD"


class StationBusy(StationError):
    """Another run holds this station or this virtual board."""

    code = "BUSY"


class PlanError(StationError):
    """The tests do not fit the product's plan: a step is missing, out of order, or measures what it did not declare."""

    code = "PLAN"


class UsageError(LorafabError):
    """The command line, or a file that it names, must be corrected before anything can start (status 4)."""

    code = "USAGE"


class ConfigError(UsageError):
    """A YAML file is refused; the sentence names file, line, key, and what is allowed there."""

    code = "CONF"
