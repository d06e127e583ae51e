"""A board with the exerciser firmware in it, for tests that want a program at work."""

from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from lorafab.virtual import chips
from lorafab.virtual.board import Board
from lorafab.virtual.boardfile import BoardFile, State
from lorafab.virtual.cpu import PC
from lorafab.virtual.silicon import Sleep

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware/exerciser"
MS = 1_000_000
MCU = {"wle5": "stm32wle5", "l072": "stm32l072", "l476": "stm32l476", "nrf52": "nrf52840"}
LED = {"wle5": "PB5", "l072": "PB5", "l476": "PA5", "nrf52": "P0.13"}
WATCHDOG_FLAG = {"nrf52": 1 << 1}  # RESETREAS.DOG; the others: RCC_CSR.IWDGRSTF
IWDGRSTF = 1 << 29


class Exerciser:
    """A board with the program in it; time passes only in :meth:`run`, because this holds the board's lock."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.chip = name, chips.named(name)
        with (FIRMWARE / f"exerciser-{MCU[name]}.elf").open("rb") as stream:
            elf = ELFFile(stream)
            table: Any = elf.get_section_by_name(".symtab")
            self.symbols: dict[str, tuple[int, int]] = {
                symbol.name: (symbol["st_value"], symbol["st_size"]) for symbol in table.iter_symbols()
            }
            self.image: bytes = next(segment for segment in elf.iter_segments() if segment["p_filesz"]).data()
        path = folder / "board"
        file = BoardFile(path, self.chip)
        flash = file.stores["flash"]
        flash.put(0, self.image)
        for cell in range(-(-len(self.image) // flash.spec.cell)):
            flash.set_state(cell, State.PROGRAMMED)
        file.close()
        self.board = Board.open(path)
        self.board.lock.acquire()
        self._sent = bytearray()
        self.board.silicon.send = self._sent.append  # before the pty, which takes a moment of the computer's time
        self.board.power(True)

    def close(self) -> None:
        self.board.lock.release()
        self.board.close()

    def run(self, ms: int) -> None:
        self.board.advance(ms * MS)

    def type(self, text: bytes) -> None:
        self.board.console.receive(text)

    def heard(self) -> bytes:
        """What has left the console since the last time."""
        sent = bytes(self._sent)
        self._sent.clear()
        return sent

    def counted(self, name: str) -> int:
        return int.from_bytes(self.memory(name), "little")

    def memory(self, name: str) -> bytes:
        address, size = self.symbols[f"exerciser_{name}"]
        return self.board.silicon.bus.peek(address, size)

    def stands_in(self, function: str) -> bool:
        address, size = self.symbols[function]
        pc: int = self.board.core.cpu.get(PC)
        return bool(0 <= pc - (address & ~1) < size)

    def depth(self) -> Sleep:
        return self.board.silicon.sleep

    @property
    def was_watchdog(self) -> bool:
        return bool(self.counted("reset_cause") & WATCHDOG_FLAG.get(self.name, IWDGRSTF))
