"""What the core asks of the chip around it: clocks, memory behind the bus, resets, sleep."""

from typing import Protocol


class Surroundings(Protocol):
    """What the core asks of the chip around it."""

    def hclk_hz(self) -> int:
        """Frequency of the core's clock in Hz, at least 1."""
        ...

    def fetch_stalls_until(self) -> int | None:
        """Until when the core's next fetch waits, in simulated ns, or None."""
        ...

    def store_from_core(self, address: int, size: int, value: int) -> bool:
        """A store to memory that is not RAM: whether it is taken."""
        ...

    def bad_word(self, address: int) -> None:
        """The program met a word that cannot be read."""
        ...

    def settle(self) -> None:
        """A run of instructions ended."""
        ...

    def boot_base(self) -> int:
        """Where the vector table lies at reset."""
        ...

    def counted_polls(self) -> frozenset[int]:
        """Registers whose polling must not make time jump: programs count their looks to give up."""
        ...

    def core_reset_asked(self, system: bool) -> None:
        """AIRCR: reset all of the system, or the core alone."""
        ...

    def core_halted(self, halted: bool) -> None:
        """The core entered or left debug state."""
        ...

    def core_sleeps(self, deep: bool) -> None:
        """The core goes to sleep; ``deep``: SCR.SLEEPDEEP."""
        ...

    def core_wakes(self) -> None:
        """The core goes on after a sleep; called before its next instruction."""
        ...

    def complain(self, sentence: str) -> None:
        """Note something that no sound program does."""
        ...
