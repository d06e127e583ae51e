"""Programs for a microcontroller's RAM from their ELF files: every address comes from a symbol.

``load_algorithm`` gives a flash algorithm in the shape that pyOCD wants, ``load_program`` one for ``Programmer.call``,
``load_worker`` the one that the programmer's own checksums and flash sessions are.
"""

import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lorafab.domain.ram_program import RamProgram
from lorafab.errors import StationError

# Symbol in our ELF files -> key of pyOCD's algorithm dictionary (pyocd/flash/flash.py, class Flash).
_ENTRY_POINTS = {
    "Init": "pc_init",
    "UnInit": "pc_unInit",
    "EraseSector": "pc_erase_sector",
    "ProgramPage": "pc_program_page",
}
_ADDRESSES = {
    "__load_address": "load_address",
    "__static_base": "static_base",
    "__stack_top": "begin_stack",
    "__stack_limit": "end_stack",  # pyOCD puts a canary there and reports an overflow
}
_ANALYZER = "__analyzer"  # only where pyOCD's CRC code has a place
_PAGE_BUFFERS = ("__page_buffer_0", "__page_buffer_1")
_WORKER = ("__page_buffer_0", "__page_buffer_1", "Checksums", "Session")
# By the names of pyOCD targets; the L475 is an L476 without its LCD controller.
_WORKERS = {
    "stm32wle5jc": "stm32wle5",
    "stm32l072xz": "stm32l072",
    "stm32l475xg": "stm32l476",
    "nrf52840": "nrf52840",
}
_BREAKPOINT = bytes.fromhex("00BE")  # bkpt #0: callers return to the load address
_PROGRAM = ("__load_address", "__stack_top", "__mailbox", "__mailbox_end")


@cache
def load_algorithm(path: Path, word_size: int, erase_all: str = "EraseChip") -> dict[str, Any]:
    """Read a flash algorithm for pyOCD; treat the result as read-only.

    ``word_size``: bytes that the flash programs at once. ``erase_all``: the function that erases all of this memory,
    where one program serves several. Raises StationError when the file is not such an ELF.
    """
    symbols, code = _read_program(path, "flash algorithm", (*_ENTRY_POINTS, erase_all, *_ADDRESSES, *_PAGE_BUFFERS))
    analyzer = {"analyzer_address": symbols[_ANALYZER]} if _ANALYZER in symbols else {}
    return {
        "instructions": list(struct.unpack(f"<{len(code) // 4}I", code)),
        "page_buffers": [symbols[name] for name in _PAGE_BUFFERS],
        "min_program_length": word_size,
        "analyzer_supported": bool(analyzer),
        **analyzer,
        "pc_eraseAll": symbols[erase_all],
        **{key: symbols[name] for name, key in (_ENTRY_POINTS | _ADDRESSES).items()},
    }


@cache
def load_program(path: Path, *functions: str) -> RamProgram:
    """Read a program for ``Programmer.call``; ``functions``: symbols that it must have besides.

    Its linker script sets ``__load_address``, ``__stack_top``, ``__mailbox`` and ``__mailbox_end``; its functions are
    symbols like any other. Raises StationError when the file is not such an ELF.
    """
    symbols, code = _read_program(path, "RAM program", (*_PROGRAM, *functions))
    mailbox = symbols["__mailbox"]
    return RamProgram(
        path.stem, symbols["__load_address"], code, symbols, symbols["__stack_top"], mailbox,
        symbols["__mailbox_end"] - mailbox,
    )  # fmt: skip


def load_worker(target: str) -> RamProgram:
    """Read the program for checksums and flash sessions of a pyOCD target. Raises StationError."""
    return load_program(Path(__file__).with_name(f"{_WORKERS[target]}.elf"), *_WORKER)


def _read_program(path: Path, kind: str, wanted: Sequence[str]) -> tuple[dict[str, int], bytes]:
    """Symbols by name, and the code in whole words; begins with a breakpoint and has all that is ``wanted``."""
    symbols, address, code = _read_elf(path, kind)
    missing = [name for name in wanted if name not in symbols]
    if missing or address != symbols["__load_address"] or code[:2] != _BREAKPOINT:
        raise StationError(
            f"{path.name} is no {kind} ({', '.join(missing) or 'load address and code'} missing or wrong), "
            "wanted one built by firmware/build.py; restore the file from version control"
        )
    return symbols, code + bytes(-len(code) % 4)


def _read_elf(path: Path, kind: str) -> tuple[dict[str, int], int, bytes]:
    """Symbols by name, load address, and bytes of the one loadable segment."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            table: Any = elf.get_section_by_name(".symtab")
            symbols = {} if table is None else {one.name: int(one["st_value"]) for one in table.iter_symbols()}
            segment = next(elf.iter_segments(type="PT_LOAD"), None)
            address, code = (-1, b"") if segment is None else (int(segment["p_paddr"]), bytes(segment.data()))
    except (OSError, ELFError) as error:
        raise StationError(
            f"the {kind} {path.name} cannot be read ({error}), wanted an ELF file built by "
            "firmware/build.py; restore the file from version control"
        ) from None
    return symbols, address, code
