"""What the tests of the virtual nRF52840 share: boards, a debugger's hands, and what the console said."""

from collections.abc import Callable
from pathlib import Path

from lorafab.virtual.board import Board
from lorafab.virtual.boardfile import BoardFile
from lorafab.virtual.bus import BusStall
from lorafab.virtual.chip import Chip
from lorafab.virtual.chips import nrf52
from lorafab.virtual.faults import FaultPlan

RAM, UICR, FICR, NVMC, POWER = 0x2000_0000, 0x1000_1000, 0x1000_0000, 0x4001_E000, 0x4000_0000
READY, READYNEXT, CONFIG, ERASEPAGE, ERASEALL, ERASEUICR, PARTIAL, PARTIALCFG = (
    NVMC + 0x400, NVMC + 0x408, NVMC + 0x504, NVMC + 0x508, NVMC + 0x50C, NVMC + 0x514, NVMC + 0x518, NVMC + 0x51C,
)  # fmt: skip
UICR_APPROTECT, APPROTECT_DISABLE, FORCEPROTECT = UICR + 0x208, POWER + 0x558, POWER + 0x550
DHCSR, DCRSR, DCRDR, AIRCR = 0xE000_EDF0, 0xE000_EDF4, 0xE000_EDF8, 0xE000_ED0C
SYSRESETREQ = 0x05FA_0004
CTRL_RESET, CTRL_ERASEALL, CTRL_STATUS, CTRL_PROTECT, CTRL_IDR = 0x00, 0x04, 0x08, 0x0C, 0xFC
MS = 1_000_000
C0 = nrf52.with_build_code("C0")


class Probe:
    """A debugger at a board with power; the core runs until it is halted."""

    def __init__(
        self, path: Path, program: bytes = b"", uicr: dict[int, int] | None = None, chip: Chip = nrf52.CHIP,
        faults: str = "",
    ) -> None:  # fmt: skip
        """``program`` goes to the flash, ``uicr`` (offset to word) to UICR, before the board gets its power."""
        file = BoardFile(path, chip)
        if program:
            file.stores["flash"].put(0, program)
            for cell in range(-(-len(program) // 4)):
                file.stores["flash"].set_state(cell, 1)
        for offset, word in (uicr or {}).items():
            file.stores["uicr"].put(offset, word.to_bytes(4, "little"))
            file.stores["uicr"].set_state(offset // 4, 1)
        file.close()
        self.board = Board.open(path, chip=chip, faults=FaultPlan.parse(faults))
        self.said = bytearray()
        self.board.silicon.send = self.said.append
        self.board.attach_debugger(True)
        self.board.power(True)
        self.ctrl = self.board.ap_part("ctrl_ap")

    @property
    def now_ns(self) -> int:
        """Simulated time."""
        return self.board.clock.now_ns

    @property
    def complaints(self) -> str:
        """All of them."""
        return "\n".join(self.board.complaints)

    # debug port

    def unlock(self) -> None:
        """Erase everything through CTRL-AP and halt the core, as pyOCD does."""
        self.ctrl.ap_write(CTRL_ERASEALL, 1)
        while self.ctrl.ap_read(CTRL_STATUS):
            self.board.advance(100 * MS)
        self.ctrl.ap_write(CTRL_RESET, 1)
        self.ctrl.ap_write(CTRL_RESET, 0)
        self.ctrl.ap_write(CTRL_ERASEALL, 0)
        self.halt()

    def halt(self) -> None:
        """Stop the core."""
        self.write(DHCSR, 0xA05F_0003)

    def read(self, address: int, size: int = 4) -> int:
        """Read memory; 12 us pass, as over SWD, or as long as the bus makes one wait."""
        self.board.advance(12_000)
        try:
            return self.board.mem_read(address, size)
        except BusStall as stall:
            self.board.advance(stall.until_ns - self.now_ns)
            return self.board.mem_read(address, size)

    def write(self, address: int, value: int, size: int = 4) -> None:
        """Write memory; 12 us pass, or as long as the bus makes one wait."""
        self.board.advance(12_000)
        try:
            self.board.mem_write(address, size, value)
        except BusStall as stall:
            self.board.advance(stall.until_ns - self.now_ns)
            self.board.mem_write(address, size, value)

    def put(self, address: int, data: bytes) -> None:
        """Fill RAM, by whole words."""
        words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
        self.board.mem_write_words(address, words)

    def bytes(self, address: int, size: int) -> bytes:
        """Memory, byte by byte."""
        return bytes(self.read(address + n, 1) for n in range(size))

    # flash

    def ready(self) -> None:
        """Poll until the NVMC is ready."""
        for _ in range(4):
            if self.read(READY):
                return
        raise AssertionError("the NVMC stays busy")

    def store(self, address: int, *values: int) -> None:
        """Write flash words, each after the other is done."""
        self.write(CONFIG, 1)
        for at, value in enumerate(values):
            self.write(address + 4 * at, value)
            self.ready()
        self.write(CONFIG, 0)

    def erase(self, register: int, value: int) -> int:
        """Start an erase and wait for its end; how long it took, in ns."""
        self.write(CONFIG, 2)
        self.write(register, value)
        before = self.now_ns
        self.ready()
        self.write(CONFIG, 0)
        return self.now_ns - before

    # firmware

    def ask(self, letter: str, ms: int = 10) -> str:
        """Send a letter to the console; what it has said ``ms`` later."""
        self.said.clear()
        self.board.console.receive(letter.encode("ascii"))
        self.board.advance(ms * MS)
        return self.said.decode("ascii")


Boards = Callable[..., Probe]
"""Makes a :class:`Probe` with these arguments but the path."""
