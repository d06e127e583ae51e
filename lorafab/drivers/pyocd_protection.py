"""Read-out protection through pyOCD's register accesses: is it on, set it, take it off, and what can still be read.

Sources. STM32WL and L4: registers and bits of FLASH in ``stm32wle5xx.h`` and ``stm32l476xx.h``; keys and order of
the option byte sequence: HAL ``stm32wlxx_hal_flash.c``, ``HAL_FLASH_OB_Unlock`` and ``FLASH_OB_OptrConfig``; levels and
what they hide: RM0453 Rev 2 section 3.5 (p. 118), RM0351 section 3.5. STM32L0: ``stm32l072xx.h`` (FLASH, OB_TypeDef),
keys in HAL ``stm32l0xx_hal_flash.h``; an option word holds 16 bits and their complement, giving up level 1 erases flash
and data EEPROM: RM0367 Rev 7 section 3.4 (p. 101, 122). nRF52: CTRL-AP and UICR.APPROTECT in the product specification
v1.11, "Debug and trace" and "UICR"; values and order as in pyOCD's ``target_nRF52.py``.

A level that a debugger sets on an STM32 holds from the next power-on (note of RM0453 3.4.2 and RM0351 3.4.2 on a change
with a debugger attached), so no OBL_LAUNCH is sent: it would only reset the part. How a real part answers a wrong key,
and 0xBB as the byte for level 1 (any but 0xAA and 0xCC is) come from the HAL; no sequence here has run on a real part:
*unverified*. Nor has the STM32L476's at all, which no virtual board has.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lorafab.domain.memory_map import Span
from lorafab.errors import FlashRefused
from lorafab.interfaces import Visible
from lorafab.targets import MCUS

TIMEOUT_S = 15.0
"""For any operation here; pyOCD gives a mass erase as much (``MASS_ERASE_TIMEOUT``)."""

RDP_LEVEL_0, RDP_LEVEL_1, RDP_LEVEL_2 = 0xAA, 0xBB, 0xCC
"""RDP byte, lowest of the option bytes. Level 2 is for ever, and nothing here writes it."""

_CHUNK = 1024  # bytes that are tried at once, and given up together where the bus refuses one of them
_REPEAT = "power the board off and on and run it once more, then set it aside"


def rdp_level(option: int) -> int:
    """Level that an RDP byte asks for: 0, 1 or 2; ``option`` may have other bits above it."""
    return {RDP_LEVEL_0: 0, RDP_LEVEL_2: 2}.get(option & 0xFF, 1)


def option_word(low: int) -> int:
    """An option word of the STM32L0: 16 bits, and above them their complement."""
    return low & 0xFFFF | (~low & 0xFFFF) << 16


class _Stm32:
    """What the STM32 families share: a level in an option register, and flash that faults when it is hidden."""

    level = "rdp1"
    """As product.yaml calls it."""
    optr: int
    """Address of the option register, which has the RDP byte in bits 7:0."""

    def __init__(self, flash: Span, extra: tuple[tuple[str, Span], ...]) -> None:
        # Three places: a torn word must not be taken for protection, nor one that a level 0 part cannot read.
        self._places = (flash.start, flash.start + flash.size // 2, flash.end - 4)
        self.extra = extra

    def is_locked(self, target: Any) -> bool:
        """The register alone shows what was written, also when it is not in force yet: the flash must be hidden too."""
        return rdp_level(target.read32(self.optr)) != 0 and not any(_can_read(target, at) for at in self._places)


class OptionRegisters(_Stm32):
    """STM32WL and STM32L4: option bytes are programmed from registers of FLASH, at ``base``."""

    _KEYS, _OPTION_KEYS = (0x4567_0123, 0xCDEF_89AB), (0x0819_2A3B, 0x4C5D_6E7F)
    _OPTSTRT, _OPTLOCK, _LOCK = 1 << 17, 1 << 30, 1 << 31
    _ERRORS = 0xC3FA  # SR: OPERR, PROGERR, WRPERR, PGAERR, SIZERR, PGSERR, MISERR, FASTERR, RDERR, OPTVERR

    def __init__(self, base: int, busy: int, flash: Span, extra: tuple[tuple[str, Span], ...]) -> None:
        """``busy``: bits of SR that are 0 when an operation has ended."""
        super().__init__(flash, extra)
        self.optr = base + 0x20
        self._keyr, self._optkeyr, self._sr, self._cr = base + 0x08, base + 0x0C, base + 0x10, base + 0x14
        self._busy = busy

    def lock(self, target: Any) -> None:
        """Level 1."""
        self._program(target, RDP_LEVEL_1)

    def unlock(self, target: Any) -> None:
        """Level 0: mass erase, SRAM2 and backup registers too; OTP stays, and so do pages of a PCROP area."""
        self._program(target, RDP_LEVEL_0)

    def _program(self, target: Any, rdp: int) -> None:
        _halt(target)
        self._wait(target)
        _open_options(
            target,
            self._cr,
            ((self._LOCK, self._keyr, self._KEYS), (self._OPTLOCK, self._optkeyr, self._OPTION_KEYS)),
        )
        target.write32(self._sr, self._ERRORS)  # a flag that is still up keeps the operation from starting
        target.write32(self.optr, target.read32(self.optr) & ~0xFF | rdp)
        target.write32(self._cr, self._OPTSTRT)
        self._wait(target)
        _refuse_errors(target.read32(self._sr) & self._ERRORS)
        target.write32(self._cr, self._LOCK | self._OPTLOCK)

    def _wait(self, target: Any) -> None:
        _wait_until(lambda: not target.read32(self._sr) & self._busy, "the flash controller")


class OptionWords(_Stm32):
    """STM32L0: an option word is programmed by a write to its place."""

    optr = 0x4002_201C
    _PECR, _PEKEYR, _OPTKEYR, _SR = 0x4002_2004, 0x4002_200C, 0x4002_2014, 0x4002_2018
    _KEYS, _OPTION_KEYS = (0x89AB_CDEF, 0x0203_0405), (0xFBEA_D9C8, 0x2425_2627)
    _PELOCK, _OPTLOCK = 1, 4
    _BUSY = 1
    _ERRORS = 0x3_2700  # SR: WRPERR, PGAERR, SIZERR, RDERR, NOTZEROERR, FWWERR; OPTVERR is about the words as loaded
    _RDP = 0x1FF8_0000

    def lock(self, target: Any) -> None:
        """Level 1."""
        self._program(target, RDP_LEVEL_1)

    def unlock(self, target: Any) -> None:
        """Level 0: flash and data EEPROM are erased."""
        self._program(target, RDP_LEVEL_0)

    def _program(self, target: Any, rdp: int) -> None:
        _halt(target)
        self._wait(target)
        _open_options(
            target,
            self._PECR,
            ((self._PELOCK, self._PEKEYR, self._KEYS), (self._OPTLOCK, self._OPTKEYR, self._OPTION_KEYS)),
        )
        target.write32(self._SR, self._ERRORS)
        target.write32(self._RDP, option_word(target.read32(self._RDP) & 0xFF00 | rdp))
        self._wait(target)
        _refuse_errors(target.read32(self._SR) & self._ERRORS)
        target.write32(self._PECR, self._PELOCK | self._OPTLOCK)

    def _wait(self, target: Any) -> None:
        _wait_until(lambda: not target.read32(self._SR) & self._BUSY, "the flash controller")


def _open_options(target: Any, control: int, locks: Sequence[tuple[int, int, tuple[int, int]]]) -> None:
    """Give each lock bit of the ``control`` register that is set its keys, at its key register."""
    for bit, register, keys in locks:
        if target.read32(control) & bit:
            for key in keys:
                target.write32(register, key)
    if any(target.read32(control) & bit for bit, _, _ in locks):
        raise FlashRefused(f"the option bytes stay closed after their keys, wanted them open; {_REPEAT}")


class AccessPortProtection:
    """nRF52: APPROTECT closes the way to memory; only CTRL-AP answers then. ``port`` is pyOCD's debug port.

    From build code F0 on (hardened parts) the port is open only where UICR.APPROTECT is 0x5A and firmware has written
    0x5A to APPROTECT.DISABLE since power-on, or after an erase through CTRL-AP until the next power-on.
    """

    level = "approtect"
    extra = (("FICR", Span(0x1000_0000, 0x1000)), ("UICR", Span(0x1000_1000, 0x1000)))

    # Registers of access port 1, as pyOCD's debug port addresses them.
    _RESET, _ERASEALL, _ERASEALLSTATUS = 0x100_0000, 0x100_0004, 0x100_0008
    _APPROTECTSTATUS, _IDR = 0x100_000C, 0x100_00FC
    _CTRL_AP_IDR = 0x0288_0000  # without its revision in bits 31:28
    _READY, _CONFIG, _UICR_APPROTECT = 0x4001_E400, 0x4001_E504, 0x1000_1208
    _ENABLED, _HW_DISABLED = 0xFFFF_FF00, 0xFFFF_FF5A

    def is_locked(self, port: Any) -> bool:
        """APPROTECTSTATUS: 0 is locked."""
        self._check(port)
        return bool(port.read_ap(self._APPROTECTSTATUS) & 1 == 0)

    def lock(self, target: Any) -> None:
        """UICR.APPROTECT = 0x00; its bits only ever go from 1 to 0, so a 0x5A becomes it too."""
        self._write_uicr(target, self._ENABLED)

    def unlock(self, port: Any) -> None:
        """Erase flash, UICR and RAM; the port is open then, until the power goes."""
        self._check(port)
        port.write_ap(self._ERASEALL, 1)
        _wait_until(lambda: port.read_ap(self._ERASEALLSTATUS) & 1 == 0, "the erase through CTRL-AP")
        for register, value in ((self._RESET, 1), (self._RESET, 0), (self._ERASEALL, 0)):
            port.write_ap(register, value)

    def keep_open(self, target: Any) -> None:
        """After an erase: the half of the key that lies in UICR, on parts that want it (the others would lock)."""
        if target.hardened_approtect:
            self._write_uicr(target, self._HW_DISABLED)

    def _check(self, port: Any) -> None:
        found = port.read_ap(self._IDR)
        if found & 0x0FFF_FFFF != self._CTRL_AP_IDR:
            raise FlashRefused(
                f"access port 1 has id {found:#010x}, wanted the CTRL-AP of an nRF52 ({self._CTRL_AP_IDR:#010x}); "
                "check that this board belongs to this product, then set it aside"
            )

    def _write_uicr(self, target: Any, value: int) -> None:
        _halt(target)  # anomaly 184 of revision 1: what a debugger starts while the core runs may fail
        try:
            for register, word in ((self._CONFIG, 1), (self._UICR_APPROTECT, value), (self._CONFIG, 0)):
                target.write32(register, word)
                _wait_until(lambda: target.read32(self._READY) & 1 != 0, "NVMC")
        except FlashRefused:
            target.write32(self._CONFIG, 0)
            raise
        if target.read32(self._UICR_APPROTECT) & 0xFF != value & 0xFF:
            raise FlashRefused(f"UICR.APPROTECT did not take {value & 0xFF:#04x}, wanted it to; {_REPEAT}")


_L4_FLASH, _L0_FLASH = MCUS["stm32l475xg"].flash.span, MCUS["stm32l072xz"].flash.span

Protection = OptionRegisters | OptionWords | AccessPortProtection

PROTECTIONS: dict[str, Protection] = {
    "stm32wle5jc": OptionRegisters(
        0x5800_4000,
        busy=1 << 16 | 1 << 18,  # BSY, CFGBSY
        flash=MCUS["stm32wle5jc"].flash.span,
        # stm32wle5xx.h: FLASH_REG_BASE, TAMP_BASE + BKP0R to BKP19R.
        extra=(("option registers", Span(0x5800_4020, 0x1C)), ("backup registers", Span(0x4000_B100, 80))),
    ),
    "stm32l475xg": OptionRegisters(
        0x4002_2000,
        busy=1 << 16,
        flash=_L4_FLASH,
        # stm32l476xx.h: FLASH_R_BASE, RTC_BASE + BKP0R to BKP31R, SRAM2_BASE.
        extra=(
            ("option registers", Span(0x4002_2020, 0x14)),
            ("backup registers", Span(0x4000_2850, 128)),
            ("SRAM2", Span(0x1000_0000, 0x8000)),
        ),
    ),
    # stm32l072xx.h: RTC_BASE + BKP0R to BKP4R.
    "stm32l072xz": OptionWords(_L0_FLASH, extra=(("backup registers", Span(0x4000_2850, 20)),)),
    "nrf52840": AccessPortProtection(),
}
"""By name of the target."""


# -- what can be read


def survey_target(target: Any, protection: Protection) -> list[Visible]:
    """All that an open target shows: its memory map's regions and ``extra``, chunk by chunk, and the core's registers.

    A chunk of which one word is refused counts as hidden. Raises pyOCD's errors for a connection that is lost.
    """
    _halt(target)
    places = [(region.name, Span(region.start, region.length)) for region in target.memory_map]
    seen = [Visible("core registers", None, _core_registers(target))]
    for name, span in (*places, *protection.extra):
        for start in range(span.start, span.end, _CHUNK):
            data = _read(target, Span(start, min(_CHUNK, span.end - start)))
            if data is not None:
                seen.append(Visible(name, start, data))
    return seen


def survey_port(port: Any, spans: tuple[Span, ...]) -> list[Visible]:
    """What a debug port shows of a chip that lets no debugger in: whatever AP 0 gives at the ends of ``spans``."""
    from pyocd.core.exceptions import TransferError

    seen = []
    for span in spans:
        for address in (span.start, span.end - 4):
            try:
                # MEM-AP registers, ADIv5.2 C2.5: CSW (word accesses), TAR, DRW.
                port.write_ap(0x00, 0x2300_0002)
                port.write_ap(0x04, address)
                seen.append(Visible("memory", address, int(port.read_ap(0x0C)).to_bytes(4, "little")))
            except TransferError:
                continue  # refused, as it should be
    return seen


@contextmanager
def debug_port(session: Any) -> Iterator[Any]:
    """The debug port of a session that is not open yet, without a look at what lies behind it; closed at the end."""
    try:
        session.open(init_board=False)
        port = session.target.dp
        port.create_connect_sequence().invoke()
        yield port
        port.power_down_debug()
    finally:
        session.context_state.suppress_disconnect_error = True
        session.close()


def _core_registers(target: Any) -> bytes:
    names = [f"r{number}" for number in range(13)] + ["lr", "pc", "msp", "psp"]
    if target.selected_core.has_fpu:
        names += [f"s{number}" for number in range(32)]
    return b"".join(int(value).to_bytes(4, "little") for value in target.read_core_registers_raw(names))


def _read(target: Any, span: Span) -> bytes | None:
    from pyocd.core.exceptions import TransferFaultError

    try:
        words = target.read_memory_block32(span.start, -(-span.size // 4))
    except TransferFaultError:
        return None
    return b"".join(int(word).to_bytes(4, "little") for word in words)


def _can_read(target: Any, address: int) -> bool:
    return _read(target, Span(address, 4)) is not None


# -- operations


def _halt(target: Any) -> None:
    from pyocd.core.target import Target

    target.halt()
    _wait_until(lambda: target.get_state() == Target.State.HALTED, "the core's halt")


def _wait_until(ready: Callable[[], bool], what: str) -> None:
    from pyocd.utility.timeout import Timeout

    clock: Any = Timeout(TIMEOUT_S)
    with clock as running:
        while running.check():
            if ready():
                return
    raise FlashRefused(f"{what} has not come to an end in {TIMEOUT_S:g} s, wanted it to; {_REPEAT}")


def _refuse_errors(flags: int) -> None:
    if flags:
        raise FlashRefused(
            f"the flash controller refused to program the option bytes (error flags {flags:#x}), wanted success; "
            f"{_REPEAT}"
        )
