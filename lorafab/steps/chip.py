"""Is the right chip in the jig? Nothing is written before this is known."""

from lorafab.domain.identity import Eui64
from lorafab.domain.memory_map import Span
from lorafab.errors import WrongChip
from lorafab.interfaces import ChipInfo, Programmer
from lorafab.targets import FactoryEui, McuFacts


def check_chip(programmer: Programmer, mcu: McuFacts) -> ChipInfo:
    """Connect and hold the chip against the product's MCU.

    pyOCD ignores a wrong DPIDR, and a family shares its debug port, so the debug port, the device id and the flash
    size are all compared. Raises WrongChip, ProbeError.
    """
    chip = programmer.connect()
    found = (
        ("debug port id", chip.dpidr, mcu.dpidr),
        ("device id", chip.idcode & mcu.identity.mask, mcu.identity_value),
        ("flash size", chip.flash_size, mcu.flash.size),
    )
    for name, value, wanted in found:
        if value != wanted:
            raise WrongChip(
                f"the chip in the jig has {name} {value:#x}, an {mcu.name} has {wanted:#x}; "
                "check that this board belongs to this product, then set it aside"
            )
    if not chip.unique_id.strip("0F"):
        raise WrongChip(f"the chip's unique id reads {chip.unique_id}, which no chip has; set this board aside")
    return chip


def read_factory_eui(programmer: Programmer, place: FactoryEui) -> Eui64:
    """Read the EUI-64 that the maker put into the chip. Raises WrongChip for a chip that was given none, ProbeError."""
    eui = place.read(lambda address: int.from_bytes(programmer.read(Span(address, 4)), "little"))
    if eui is None:
        raise WrongChip(
            "the chip's maker gave it no EUI-64 (its number reads all ones), and this lot takes the DevEUI from the "
            "chip; set this board aside, or make it in a lot of another source"
        )
    return eui


def check_same_chip(programmer: Programmer, chip: ChipInfo, mcu: McuFacts) -> None:
    """Read the unique id again: the board that is about to pass must be the one that was claimed."""
    now = mcu.read_unique_id(programmer.read)
    if now != chip.unique_id:
        raise WrongChip(
            f"the chip's unique id is {now} now and was {chip.unique_id} at the start; "
            "do not change boards during a run, and run this one again"
        )
