"""Flash algorithms from their ELF files, in the shape that pyOCD wants: every address comes from a symbol."""

import struct
from functools import cache
from pathlib import Path
from typing import Any

from lorafab.errors import StationError

# Symbol in our ELF files -> key of pyOCD's algorithm dictionary (pyocd/flash/flash.py, class Flash).
_ENTRY_POINTS = {
    "Init": "pc_init",
    "UnInit": "pc_unInit",
    "EraseSector": "pc_erase_sector",
    "EraseChip": "pc_eraseAll",
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


@cache
def load_algorithm(path: Path, word_size: int) -> dict[str, Any]:
    """Read a flash algorithm for pyOCD; treat the result as read-only.

    ``word_size``: bytes that the flash programs at once. Raises StationError when the file is not such an ELF.
    """
    symbols, address, code = _read_elf(path)
    missing = [name for name in (*_ENTRY_POINTS, *_ADDRESSES, *_PAGE_BUFFERS) if name not in symbols]
    if missing or address != symbols.get("__load_address"):
        raise StationError(
            f"{path.name} is no flash algorithm ({', '.join(missing) or 'load address and code'} missing or wrong), "
            "wanted one built by firmware/build.py; restore the file from version control"
        )
    code += bytes(-len(code) % 4)
    analyzer = {"analyzer_address": symbols[_ANALYZER]} if _ANALYZER in symbols else {}
    return {
        "instructions": list(struct.unpack(f"<{len(code) // 4}I", code)),
        "page_buffers": [symbols[name] for name in _PAGE_BUFFERS],
        "min_program_length": word_size,
        "analyzer_supported": bool(analyzer),
        **analyzer,
        **{key: symbols[name] for name, key in (_ENTRY_POINTS | _ADDRESSES).items()},
    }


def _read_elf(path: Path) -> tuple[dict[str, int], int, bytes]:
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
            f"the flash algorithm {path.name} cannot be read ({error}), wanted an ELF file built by "
            "firmware/build.py; restore the file from version control"
        ) from None
    return symbols, address, code
