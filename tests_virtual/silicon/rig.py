"""What the tests of the virtual silicon share: a board with a program in it, and a debugger's hands."""

from pathlib import Path

from lorafab.virtual import chips
from lorafab.virtual.board import Board
from lorafab.virtual.boardfile import BoardFile, states_offset
from lorafab.virtual.bus import BusStall
from lorafab.virtual.faults import FaultPlan

FLASH, SRAM, CONTROLLER = 0x0800_0000, 0x2000_0000, 0x5800_4000
KEYR, SR, CR, ECCR, OPTR = CONTROLLER + 8, CONTROLLER + 0x10, CONTROLLER + 0x14, CONTROLLER + 0x18, CONTROLLER + 0x20
DHCSR, DCRSR, DCRDR, DEMCR, DFSR, AIRCR = (
    0xE000_EDF0, 0xE000_EDF4, 0xE000_EDF8, 0xE000_EDFC, 0xE000_ED30, 0xE000_ED0C,
)  # fmt: skip
KEYS = (0x4567_0123, 0xCDEF_89AB)
BUSY = 0x5_0000
PG, PER, MER, STRT, LOCK = 1, 2, 4, 1 << 16, 1 << 31


def put_in_file(path: Path, offset: int, data: bytes, state: int = 1) -> None:
    """Change a closed file of a wle5 board: flash content from ``offset`` on, and the state of its double words."""
    if not path.exists():
        BoardFile(path, chips.named("wle5")).close()
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
        file.seek(states_offset(chips.named("wle5")) + offset // 8)
        file.write(bytes([state]) * -(-len(data) // 8))


def open_board(path: Path, program: bytes = b"", faults: str = "", uart_link: Path | None = None) -> Board:
    """A board with a program in its flash, without power."""
    if program:
        put_in_file(path, 0, program)
    return Board.open(path, uart_link=uart_link, faults=FaultPlan.parse(faults))


class Debugger:
    """Drives a board as a probe does, one register at a time."""

    def __init__(self, board: Board, halted: bool = True) -> None:
        self.board = board
        board.attach_debugger(True)
        board.power(True)
        if halted:
            self.write(DHCSR, 0xA05F_0003)

    def read(self, address: int, size: int = 4) -> int:
        """Read memory; 12 us pass, as over SWD, or as long as the bus makes one wait."""
        self.board.advance(12_000)
        try:
            return self.board.mem_read(address, size)
        except BusStall as stall:
            self.board.advance(stall.until_ns - self.board.clock.now_ns)
            return self.board.mem_read(address, size)

    def write(self, address: int, value: int, size: int = 4) -> None:
        """Write memory; 12 us pass, or as long as the bus makes one wait."""
        self.board.advance(12_000)
        try:
            self.board.mem_write(address, size, value)
        except BusStall as stall:
            self.board.advance(stall.until_ns - self.board.clock.now_ns)
            self.board.mem_write(address, size, value)

    def register(self, number: int) -> int:
        """A core register by its DCRSR number."""
        self.write(DCRSR, number)
        return self.read(DCRDR)

    def set_register(self, number: int, value: int) -> None:
        """Set a core register."""
        self.write(DCRDR, value)
        self.write(DCRSR, 1 << 16 | number)

    def run(self, ns: int = 0) -> None:
        """Let the core run, and time pass."""
        self.write(DHCSR, 0xA05F_0001)
        self.board.advance(ns)

    def halted(self) -> bool:
        """DHCSR.S_HALT."""
        return bool(self.read(DHCSR) & 1 << 17)

    def unlock(self) -> None:
        """Open the flash for programming."""
        for key in KEYS:
            self.write(KEYR, key)

    def wait_flash(self) -> int:
        """Poll until the flash is ready; SR as it is then."""
        for _ in range(5):
            status = self.read(SR)
            if not status & BUSY:
                return status
        raise AssertionError(f"still busy: SR {status:#x}")

    def program(self, address: int, data: bytes) -> int:
        """Program whole double words one by one; SR after the last."""
        self.write(SR, 0xFB)
        self.write(CR, PG)
        status = 0
        for at in range(0, len(data), 4):
            self.write(address + at, int.from_bytes(data[at : at + 4], "little"))
            if at % 8 == 4:
                status = self.wait_flash()
        self.write(CR, 0)
        return status

    def erase_page(self, page: int) -> int:
        """Erase a page; SR afterwards."""
        self.write(SR, 0xFB)
        self.write(CR, PER | page << 3 | STRT)
        status = self.wait_flash()
        self.write(CR, 0)
        return status

    def bytes(self, address: int, size: int) -> bytes:
        """Memory by block read."""
        try:
            words = self.board.mem_read_words(address, size // 4)
        except BusStall as stall:
            self.board.advance(stall.until_ns - self.board.clock.now_ns)
            words = self.board.mem_read_words(address, size // 4)
        return b"".join(word.to_bytes(4, "little") for word in words)
