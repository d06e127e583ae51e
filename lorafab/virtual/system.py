"""Clocks, power, pins and the identity register: as much of them as firmware meets on its way to main().

Register offsets and bits: CMSIS header ``stm32wle5xx.h`` (RCC_TypeDef, GPIO_TypeDef, DBGMCU_TypeDef).
"""

from collections.abc import Callable

from lorafab.virtual.bus import BusFault, WordRegisters
from lorafab.virtual.profile import DBGMCU_BASE, DEVICE_IDCODE, HSE32_HZ, HSI16_HZ, MSI_HZ, PWR_BASE, RCC_BASE

_RCC_CR, _RCC_CFGR, _RCC_PLLCFGR, _RCC_BDCR, _RCC_CSR, _RCC_EXTCFGR = 0x00, 0x08, 0x0C, 0x90, 0x94, 0x108
_RCC_REGISTERS = {
    *range(0x00, 0x10, 4), *range(0x18, 0x24, 4), *range(0x28, 0x34, 4), *range(0x38, 0x54, 4),
    *range(0x58, 0x74, 4), *range(0x78, 0x8C, 4), _RCC_BDCR, _RCC_CSR, _RCC_EXTCFGR,
}  # fmt: skip
_MSIRGSEL = 1 << 3
_READY = ((0, 1), (8, 10), (16, 17), (24, 25))  # bits of RCC_CR: oscillator on, ready (MSI, HSI16, HSE32, PLL)
RESET_BY_PIN, RESET_BY_POWER, RESET_BY_SOFTWARE = 1 << 26, 1 << 27, 1 << 28  # RCC_CSR PINRSTF, BORRSTF, SFTRSTF
_RESET_FLAGS, _RMVF = 0xFF << 24, 1 << 23


class RegisterFile(WordRegisters):
    """Registers that only remember what was written; unknown offsets are bus faults."""

    def __init__(self, base: int, offsets: set[int], reset_values: dict[int, int] | None = None) -> None:
        self.base, self._offsets, self._reset_values = base, offsets, reset_values or {}
        self.reset()

    def reset(self) -> None:
        """Back to the reset values."""
        self.values = dict.fromkeys(self._offsets, 0) | self._reset_values

    def read_word(self, offset: int) -> int:
        """Read back."""
        if offset not in self._offsets:
            raise BusFault(self.base + offset, "no such register is modelled")
        return self.values[offset]

    def write_word(self, offset: int, value: int) -> None:
        """Remember."""
        if offset not in self._offsets:
            raise BusFault(self.base + offset, "no such register is modelled")
        self.values[offset] = value & 0xFFFF_FFFF

    def peek_word(self, offset: int) -> int:
        """Lanes beside a small write."""
        return self.values.get(offset, 0)


class Rcc(RegisterFile):
    """Reset and clock control: oscillators are ready at once, SWS follows SW, the core clock follows both."""

    def __init__(self, clock_changed: Callable[[], None]) -> None:
        """``clock_changed`` is called whenever :attr:`hclk_hz` may be another."""
        self._changed = clock_changed
        # RCC_CR 0x63: MSI on, range 6 (4 MHz); CFGR: the prescalers are ready (LL_RCC_DeInit)
        super().__init__(RCC_BASE, _RCC_REGISTERS, {_RCC_CR: 0x63, _RCC_CFGR: 0x0007_0000, _RCC_PLLCFGR: 0x2204_1000})
        self.note_reset(RESET_BY_POWER)

    def reset(self) -> None:
        """Back to MSI at 4 MHz; why the chip was reset stays on record."""
        flags = self.values[_RCC_CSR] if hasattr(self, "values") else 0
        super().reset()
        self.values[_RCC_CSR] = flags & _RESET_FLAGS
        self._update()

    def note_reset(self, flag: int) -> None:
        """Set a reset flag of RCC_CSR."""
        self.values[_RCC_CSR] |= flag

    def write_word(self, offset: int, value: int) -> None:
        """Write; ready and status bits are the hardware's."""
        if offset == _RCC_CSR:
            kept = 0 if value & _RMVF else self.values[_RCC_CSR] & _RESET_FLAGS
            value = value & ~_RESET_FLAGS & ~_RMVF | kept
            value = value & ~2 | (value & 1) << 1  # LSIRDY follows LSION
        elif offset == _RCC_BDCR:
            value = value & ~2 | (value & 1) << 1  # LSERDY follows LSEON
        super().write_word(offset, value)
        if offset in (_RCC_CR, _RCC_CFGR, _RCC_PLLCFGR, _RCC_EXTCFGR):
            self._update()

    def _update(self) -> None:
        control = self.values[_RCC_CR]
        for on, ready in _READY:
            control = control & ~(1 << ready) | (control >> on & 1) << ready
        config = self.values[_RCC_CFGR]
        self.values[_RCC_CR] = control
        self.values[_RCC_CFGR] = config & ~0xC | (config & 3) << 2 | 0x0007_0000
        self.values[_RCC_EXTCFGR] = self.values[_RCC_EXTCFGR] & 0xFFFF | 3 << 16
        self.hclk_hz = max(self._sysclk_hz() // _divider(config >> 4 & 0xF), 1)
        self._changed()

    def _msi_hz(self) -> int:
        control = self.values[_RCC_CR]
        return MSI_HZ[min(control >> 4 & 0xF, len(MSI_HZ) - 1)] if control & _MSIRGSEL else MSI_HZ[6]

    def _sysclk_hz(self) -> int:
        source = self.values[_RCC_CFGR] & 3
        if source != 3:
            return (self._msi_hz(), HSI16_HZ, HSE32_HZ)[source]
        pll = self.values[_RCC_PLLCFGR]
        reference = (0, self._msi_hz(), HSI16_HZ, HSE32_HZ)[pll & 3]
        return reference // ((pll >> 4 & 7) + 1) * (pll >> 8 & 0x7F) // ((pll >> 29 & 7) + 1)


def _divider(hpre: int) -> int:
    """AHB prescaler of RCC_CFGR.HPRE (system_stm32wlxx.c, AHBPrescTable)."""
    odd = {1: 3, 2: 5, 5: 6, 6: 10, 7: 32}
    return odd.get(hpre, 1) if hpre < 8 else (2, 4, 8, 16, 64, 128, 256, 512)[hpre - 8]


class Gpio(RegisterFile):
    """A port whose pins follow its outputs; BSRR and BRR act on ODR, and IDR shows ODR."""

    def __init__(self, base: int) -> None:
        super().__init__(base, set(range(0, 0x2C, 4)), {0: 0xFFFF_FFFF})  # all pins analog (unverified)

    def read_word(self, offset: int) -> int:
        """Read; IDR shows the driven levels."""
        if offset in (0x18, 0x28):
            return 0
        return super().read_word(0x14 if offset == 0x10 else offset)

    def write_word(self, offset: int, value: int) -> None:
        """Write; where BSRR sets and resets one bit, setting wins."""
        if offset == 0x18:
            value = (self.values[0x14] & ~(value >> 16) | value) & 0xFFFF
            offset = 0x14
        elif offset == 0x28:
            value, offset = self.values[0x14] & ~value & 0xFFFF, 0x14
        if offset != 0x10:
            super().write_word(offset, value)

    def peek_word(self, offset: int) -> int:
        """Lanes beside a small write; the set and reset registers have no memory."""
        return 0 if offset in (0x18, 0x28) else super().peek_word(offset)


def power_control() -> RegisterFile:
    """PWR with its reset values (CR1 0x200: range 1; the status bits that firmware waits for read as ready)."""
    return RegisterFile(PWR_BASE, set(range(0, 0xA0, 4)), {0x00: 0x200})


class DebugMcu(RegisterFile):
    """DBGMCU: the identity register and the freeze bits, which are only kept."""

    def __init__(self, idcode: int | None) -> None:
        """``idcode`` replaces the part's own (fault plan)."""
        super().__init__(DBGMCU_BASE, {0x00, 0x04, 0x3C, 0x44, 0x4C}, {0: DEVICE_IDCODE if idcode is None else idcode})

    def write_word(self, offset: int, value: int) -> None:
        """Write; the identity is read-only."""
        if offset != 0:
            super().write_word(offset, value)
