"""A small program for the RAM of a halted microcontroller, as a programmer loads and calls it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RamProgram:
    """Code and its symbols; every address comes from a symbol of the ELF file.

    The code begins with a breakpoint, to which its functions return (register lr). ``stack_top`` is its initial stack
    pointer, ``mailbox`` where arguments and results that do not fit into r0 to r3 lie, ``mailbox_size`` bytes long.
    """

    name: str
    load_address: int
    code: bytes
    """Variables that begin as zero included."""
    symbols: Mapping[str, int]
    stack_top: int
    mailbox: int
    mailbox_size: int
