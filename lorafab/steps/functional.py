"""Does the firmware work: is it the right one, on the right chip, and do its self-tests pass?"""

import zlib

from lorafab.domain.image import Image
from lorafab.errors import PortError, ShellError
from lorafab.interfaces import ChipInfo, Programmer
from lorafab.steps.shell import Shell


def start_firmware(programmer: Programmer, shell: Shell, product: str) -> None:
    """Reset the board and wait until its firmware says so. Raises LinkSilent, ShellError."""
    programmer.run()
    shell.wait_for_start(f"lorafab {product}")


def check_version(shell: Shell, version: str, chip: ChipInfo) -> str:
    """The firmware names the image's version and the chip that the probe saw: link and probe meet on one board.

    Raises ShellError, and PortError where the station's wiring mixes two boards.
    """
    found = shell.value("VER?", "version")
    if found != version:
        raise ShellError(f"the firmware says version {found!r}, the image has {version!r}; flash the board again")
    uid = shell.value("UID?", "uid")
    if uid != chip.unique_id:
        raise PortError(
            f"the serial line reaches chip {uid}, the probe reaches chip {chip.unique_id}; "
            "check the station's wiring: probe and serial port belong to different boards"
        )
    return found


def check_code(shell: Shell, image: Image) -> str:
    """The core reads its own code as the image has it: "OK", or what differs. The probe has compared the bytes before.

    The firmware answers with length and CRC-32 (zlib) of its code as the core sees it.
    """
    try:
        said = shell.ask("TEST flash")
    except ShellError as error:
        return str(error)
    code = image.segments[0].data
    wanted = {"image_size": str(len(code)), "image_crc": f"{zlib.crc32(code):08X}"}
    wrong = [
        f"{name} is {said.get(name, 'nothing')}, the image has {value}"
        for name, value in wanted.items()
        if said.get(name) != value
    ]
    return "; ".join(wrong) or "OK"


def self_test(shell: Shell, name: str) -> str:
    """Run one self-test on the board: "OK", or what the board says against it."""
    try:
        shell.ask(f"TEST {name}")
    except ShellError as error:
        return str(error)
    return "OK"
