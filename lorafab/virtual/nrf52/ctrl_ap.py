"""CTRL-AP and the access port protection that it can lift: who may debug, and what it costs.

CTRL-AP (access port 1): RESET 0x00, ERASEALL 0x04, ERASEALLSTATUS 0x08 (1 busy), APPROTECTSTATUS 0x0C (1 open), IDR
0xFC; source: pyOCD ``target_nRF52.py`` and the product specification's chapter "Debug and trace". Firmware's side:
APPROTECT.FORCEPROTECT 0x40000550 (0 locks until the next reset) and APPROTECT.DISABLE 0x40000558; source: MDK
``nrf52840.h`` and ``system_nrf52_approtect.h``.

Protection comes in two kinds, by build code (``settings["build_code"]``, such as ``F0``):

* before F0 it is UICR.APPROTECT alone, as it was at the last reset: 0xFF open, all else locked;
* from F0 on ("hardware and software") the port is locked after every power-on, whatever UICR holds. It is open while

  - UICR.APPROTECT was 0x5A (HwDisabled) at the last reset of any kind, and firmware has written 0x5A (SwDisable) to
    APPROTECT.DISABLE since the last deep reset; or
  - CTRL-AP has erased everything and no deep reset came since.

  Deep resets are pin, power, brown-out, watchdog and wake-up from System OFF; soft resets (AIRCR, CTRL-AP.RESET)
  leave the port as it is, without which no debugger could reset and halt such a part.

So a part from the factory (UICR erased) of build code F0 is locked when it gets power, and what a debugger then does
is erase everything, write 0x5A to UICR and program firmware that opens the other half.

Unverified: which resets count as deep (from memory of the product specification; what pyOCD and probe-rs do after an
erase agrees), that a value other than 0x5A in DISABLE also ends the freedom after an erase (Nordic's start-up code
copies the erased UICR there, and such parts are reported locked at their next reset), 169 ms for an erase, and that
registers which CTRL-AP does not have read 0.
"""

from typing import TYPE_CHECKING

from lorafab.virtual.nrf52.peripheral import Peripheral
from lorafab.virtual.silicon import Reset

if TYPE_CHECKING:
    from lorafab.virtual.chip import At
    from lorafab.virtual.nrf52.nvmc import Nvmc
    from lorafab.virtual.silicon import Silicon

RESET, ERASEALL, ERASEALLSTATUS, APPROTECTSTATUS, IDR = 0x00, 0x04, 0x08, 0x0C, 0xFC
IDR_VALUE = 0x0288_0000
FORCEPROTECT, DISABLE = 0x550, 0x558  # offsets from 0x40000000
UICR_APPROTECT = 0x208  # offset in UICR
OPEN_KEY = 0x5A  # UICR HwDisabled, DISABLE SwDisable
_LEGACY_OPEN = 0xFF
_FIRST_HARDENED = "F0"  # pyOCD, HARDENED_APPROTECT_REVISIONS
_SOFT = (Reset.SOFTWARE,)


class CtrlAp(Peripheral):
    """The access port; it has no registers on the bus, but answers for two of the block at 0x40000000."""

    def __init__(self, silicon: "Silicon", at: "At") -> None:
        super().__init__(silicon, at)
        self.hardened = str(at.settings.get("build_code", _FIRST_HARDENED)) >= _FIRST_HARDENED
        self._hardware_open = self._software_open = self._erased_open = self._forced = False
        self._planned = bool(silicon.faults.rdp)  # the fault plan's read-out protection, until an erase lifts it
        self._disable = 0
        self._holds_reset = self._polled = False

    # who may debug

    def debug_enabled(self) -> bool:
        """Whether the debugger reaches memory."""
        if not self.hardened:
            return self._hardware_open
        return not self._forced and (self._erased_open or (self._hardware_open and self._software_open))

    def note_reset(self, cause: Reset) -> None:
        """UICR takes effect; a deep reset ends what software and an erase had opened."""
        pall = self._flash.uicr_word(UICR_APPROTECT) & 0xFF
        self._hardware_open = pall == (OPEN_KEY if self.hardened else _LEGACY_OPEN) and not self._planned
        self._forced = False
        if cause not in _SOFT:
            self._software_open = self._erased_open = False
            self._disable = 0

    def read_register(self, offset: int) -> int:
        """FORCEPROTECT or DISABLE, as firmware reads them."""
        self._know(offset)
        return self._disable if offset == DISABLE else 0

    def write_register(self, offset: int, value: int) -> None:
        """FORCEPROTECT or DISABLE, as firmware writes them."""
        self._know(offset)
        if offset == FORCEPROTECT:
            self._forced = self._forced or value & 0xFF == 0
        else:
            self._disable = value & 0xFF
            self._software_open = self._disable == OPEN_KEY
            self._erased_open = self._erased_open and self._software_open

    def _know(self, offset: int) -> None:
        if not self.hardened:
            self.silicon.complain(f"APPROTECT: build codes before {_FIRST_HARDENED} have no register {offset:#05x}")

    @property
    def _flash(self) -> "Nvmc":
        flash: Nvmc = self.silicon.flash
        return flash

    # the access port

    def ap_read(self, register: int) -> int:
        """Read a register of the access port."""
        if register == ERASEALLSTATUS:
            return self._erase_status()
        values = {RESET: int(self._holds_reset), ERASEALL: 0, IDR: IDR_VALUE}
        values[APPROTECTSTATUS] = int(self.debug_enabled())
        if register not in values:
            self.silicon.complain(f"CTRL-AP: there is no register {register:#04x} to read")
        return values.get(register, 0)

    def ap_write(self, register: int, value: int) -> None:
        """Write a register of the access port."""
        if register == RESET:
            self._reset(bool(value & 1))
        elif register == ERASEALL:
            if value & 1:
                self._erase_all()
        else:
            self.silicon.complain(f"CTRL-AP: there is no register {register:#04x} to write")

    def _reset(self, hold: bool) -> None:
        """1 resets and holds, 0 lets go."""
        if hold != self._holds_reset:
            self._holds_reset = self.silicon.reset_held = hold
            if hold:
                self.silicon.reset(Reset.SOFTWARE)
            self.silicon.core.in_reset = hold or self.silicon.reset_pin

    def _erase_status(self) -> int:
        until = self._flash.busy_until
        if until is None:
            return 0
        if self._polled:  # the second look is a polling loop
            self.silicon.wait_until(until)
        self._polled = True
        return 1

    def _erase_all(self) -> None:
        """Flash, UICR and RAM; the port is open when it is done."""
        self._polled = False
        for ram in self.silicon.chip.rams:
            self.silicon.wipe_ram(ram.name)
        self._flash.erase_everything(self._erased)

    def _erased(self) -> None:
        self._erased_open, self._planned = True, False
        if not self.hardened:
            self._hardware_open = True

    def power_off(self) -> None:
        """The supply goes."""
        self._holds_reset = self.silicon.reset_held = False
