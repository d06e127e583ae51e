"""What the program does to registers, and how time passes while it waits for them.

A program that polls a register lets time jump to the next event; one that waits for a counter (SysTick, CYCCNT) gets
there in steps. So waiting costs no work, and takes as long as on a chip.
"""

from typing import TYPE_CHECKING

from lorafab.virtual import cpu as regs
from lorafab.virtual.bus import BusFault, BusStall
from lorafab.virtual.clock import NS_PER_S

if TYPE_CHECKING:
    from lorafab.virtual.core import Core

_POLLS = 8  # so many equal reads of one register in a row are a polling loop
_SYSTICK_CTRL, _SYSTICK_VAL, _CYCCNT = 0xE000_E010, 0xE000_E018, 0xE000_1004
_TIME_REGISTERS = {_SYSTICK_VAL, _CYCCNT}
_LOOK_CYCLES, _DENSE_CYCLES, _LOOKS, _LOOK_SHIFT = 8, 1000, 32, 7
_PPB = 0xE000_0000


class Accesses:
    """Reads and writes of the core; both raise BusFault."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self.reset()

    def reset(self) -> None:
        """The program starts anew."""
        self._poll_count = 0
        self._poll_seen = (0, 0)
        self._looks = self._look_at = self._looked_from_ns = self._looked_ns = 0
        self._look_repeated = self._jumped_out = False

    def begin(self) -> None:
        """A run of instructions begins."""
        self._jumped_out = False

    def jumped_out(self) -> None:
        """The run ends here; the read will be repeated, and looks once more before the next jump."""
        self._jumped_out, self._poll_count = True, _POLLS - 1

    def read(self, address: int, size: int) -> int:
        """Read a register for the program."""
        if address >= _PPB:
            self._check_privilege(address)
        if address in _TIME_REGISTERS:
            self._look_at_time(address)
        elif (
            self._poll_count >= _POLLS
            and self._poll_seen[0] == address
            and (address < _PPB or address == _SYSTICK_CTRL)
            and address not in self._core.around.counted_polls()
        ):
            self._core.poll_on()
        if self._jumped_out:
            return 0  # this read will be repeated: reading has side effects, which must not happen twice
        value = self._read(address, size)
        self._poll_count = self._poll_count + 1 if self._poll_seen == (address, value) else 0
        self._poll_seen = (address, value)
        return value

    def write(self, address: int, size: int, value: int) -> bool:
        """Write a register for the program; answers whether the core has to look."""
        if address >= _PPB:
            self._check_privilege(address)
        self._poll_count = self._look_at = 0
        self._write(address, size, value)
        nvic = self._core.nvic
        if not nvic.news:
            return False
        nvic.news, self._core.masked = False, 0
        return nvic.waits()

    def _look_at_time(self, address: int) -> None:
        """Waiting for a counter gets somewhere within a slice: a look takes time, in a long wait more and more.

        What is added stays below 1 % of the wait, and no event is passed over.
        """
        if self._look_repeated:
            self._look_repeated = False
            return
        core = self._core
        now_ns, cycle_ns = core.clock.now_ns, NS_PER_S // core.around.hclk_hz()
        if address != self._look_at or now_ns - self._looked_ns > _DENSE_CYCLES * cycle_ns:
            self._look_at, self._looks, self._looked_from_ns = address, 0, now_ns
        self._looks += 1
        waited_ns = now_ns - self._looked_from_ns if self._looks > _LOOKS else 0
        if core.one_by_one:
            core.live_until(now_ns + _LOOK_CYCLES * cycle_ns)
        else:
            core.poll_jump(now_ns + max(_LOOK_CYCLES * cycle_ns, waited_ns >> _LOOK_SHIFT, 1))
            self._look_repeated = self._jumped_out
        self._looked_ns = core.clock.now_ns

    def _read(self, address: int, size: int) -> int:
        while True:
            try:
                return self._core.bus.device_read(address, size)
            except BusStall as stall:
                self._stall(stall)

    def _write(self, address: int, size: int, value: int) -> None:
        while True:
            try:
                self._core.bus.device_write(address, size, value)
            except BusStall as stall:
                self._stall(stall)
            else:
                return

    def _stall(self, stall: BusStall) -> None:
        self._core.live_until(max(stall.until_ns, self._core.clock.now_ns + 1))

    def _check_privilege(self, address: int) -> None:
        """The private peripheral bus is for privileged code (B3.1)."""
        if self._core.cpu.get(regs.CONTROL) & 1 and not self._core.exception_number:
            raise BusFault(address, "the private peripheral bus is closed to unprivileged code")
