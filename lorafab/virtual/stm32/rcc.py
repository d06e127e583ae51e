"""The clock trees of STM32WL, STM32L4 and STM32L0 as tables; how they work is in ``rcc_base.py``.

Register offsets and bits: CMSIS headers ``stm32wle5xx.h``, ``stm32l476xx.h``, ``stm32l072xx.h`` (RCC_TypeDef,
RCC_*_Pos). MSI ranges: ``system_stm32wlxx.c`` and ``system_stm32l4xx.c`` (MSIRangeTable), ``system_stm32l0xx.c``
(32768 << (range + 1)). Values after reset: RM0453, RM0351 and RM0377, RCC chapters; those of enable registers are
unverified. The PLL of WL and L4: input / (PLLM + 1) * PLLN, then divided by the fields R, Q, P.
"""

from collections.abc import Mapping
from typing import ClassVar

from lorafab.virtual.stm32.rcc_base import Osc, Rcc, Select, enables
from lorafab.virtual.stm32.registers import Reg

_USART = ("sysclk", "hsi16", "lse")
_LPTIM = ("pclk1", "lsi", "hsi16", "lse")
_USART_WL = ("sysclk", "hsi16", "lse_sys")
_LPTIM_WL = ("pclk1", "lsi", "hsi16", "lse_sys")
_RTC = ("", "lse", "lsi", "hse_rtc")
_MSIRGSEL = 1 << 3
RADIO_RESET = "SUBGHZ.NRST"
_MSI_AFTER_RESET = 6  # 4 MHz


class _RccWlL4(Rcc):
    """What WL and L4 share."""

    OSCILLATORS: ClassVar[Mapping[str, Osc]] = {
        "msi": Osc("CR", 0, 1, 2), "hsi16": Osc("CR", 8, 10, 3), "hse": Osc("CR", 16, 17, 4),
        "pll": Osc("CR", 24, 25, 5), "lse": Osc("BDCR", 0, 1, 1), "lsi": Osc("CSR", 0, 1, 0),
    }  # fmt: skip
    MSI_HZ = (
        100_000, 200_000, 400_000, 800_000, 1_000_000, 2_000_000,
        4_000_000, 8_000_000, 16_000_000, 24_000_000, 32_000_000, 48_000_000,
    )  # fmt: skip
    LSI_HZ = 32_000
    RESETS, ASLEEP, ENABLES = 0x20, 0x20, range(0x48, 0x68, 4)
    BACKUP = ("BDCR", 0xFFFF_FFFF)
    BDRST = 1 << 16
    RTCEN = ("BDCR", 15)
    PLL_R: ClassVar[tuple[int, int]]
    """Enable bit and position of the field that divides for SYSCLK."""
    PLL_Q: ClassVar[tuple[int, int]]

    def _msi_hz(self) -> int:
        if self.r["CR"] & _MSIRGSEL:
            code = self.r["CR"] >> 4 & 0xF
        else:
            code = self.r["CSR"] >> 8 & 0xF if self._after_standby else _MSI_AFTER_RESET
        return self.MSI_HZ[min(code, len(self.MSI_HZ) - 1)]

    def _pll_source(self) -> str:
        return ("", "msi", "hsi16", "hse")[self.r["PLLCFGR"] & 3]

    def _pll_rates(self, rates: dict[str, int], on: bool) -> dict[str, int]:
        config = self.r["PLLCFGR"]
        vco = rates[self._pll_source()] * (config >> 8 & 0x7F) // ((config >> 4 & 7) + 1) * on

        def output(field: tuple[int, int]) -> int:
            enable, position = field
            return vco // self._divider(config, position) * (config >> enable & 1)

        return {"pll": output(self.PLL_R), "pllq": output(self.PLL_Q)}

    def _divider(self, config: int, position: int) -> int:
        raise NotImplementedError


_COMMON_WL_L4 = {
    "ICSCR": Reg(0x04), "CFGR": Reg(0x08, 0x0007_0000, 0x7F00_BFF3 | 3),
    "CIER": Reg(0x18, 0, 0x7FF), "CIFR": Reg(0x1C, 0, 0), "CICR": Reg(0x20, 0, 0),
    "CCIPR": Reg(0x88), "BDCR": Reg(0x90, 0, 0x0301_83BD),
}  # fmt: skip


class RccWl(_RccWlL4):
    """STM32WL. HSE32 is a crystal or, with HSEBYPPWR, a TCXO: ``hse`` 32 MHz either way.

    LSE reaches others than the RTC with LSESYSEN only. RFRST drives pin ``SUBGHZ.NRST`` for the radio's model.
    """

    HSE_HZ, MAX_HZ = 32_000_000, 48_000_000
    PLL_R, PLL_Q, PLL_ENABLES = (28, 29), (24, 25), 0x1101_0000
    AHB = (1, 3, 5, 1, 1, 6, 10, 32, 2, 4, 8, 16, 64, 128, 256, 512)  # system_stm32wlxx.c, AHBPrescTable
    SELECTS: ClassVar[Mapping[str, Select]] = {
        "usart1": Select("CCIPR", 0, ("pclk2", *_USART_WL)), "usart2": Select("CCIPR", 2, ("pclk1", *_USART_WL)),
        "lpuart1": Select("CCIPR", 10, ("pclk1", *_USART_WL)), "lptim1": Select("CCIPR", 18, _LPTIM_WL),
        "lptim2": Select("CCIPR", 20, _LPTIM_WL), "lptim3": Select("CCIPR", 22, _LPTIM_WL),
        "rng": Select("CCIPR", 30, ("pllq", "lsi", "lse_sys", "msi")), "rtc": Select("BDCR", 8, _RTC),
    }  # fmt: skip

    def layout(self) -> Mapping[str, Reg]:
        """RCC_TypeDef of stm32wle5xx.h."""
        return _COMMON_WL_L4 | {
            "CR": Reg(0x00, 0x63, 0x0139_0BFD), "PLLCFGR": Reg(0x0C, 0x2204_0100),
            "BDCR": Reg(0x90, 0, 0x0301_83BD),
            "CSR": Reg(0x94, 0xC600, 0x8F11),
            "EXTCFGR": Reg(0x108, 0x3_0000, 0xF),
        } | enables(
            0x20, 0x20,
            ("AHB1", "", 0x28, 0, 0x1007), ("AHB2", "", 0x2C, 0, 0x87), ("AHB3", "", 0x30, 0x0208_0000, 0x0387_0000),
            ("APB1", "1", 0x38, 0x400, 0xA0E2_4C01), ("APB1", "2", 0x3C, 0, 0x61), ("APB2", "", 0x40, 0, 0x6_5A00),
            ("APB3", "", 0x44, 0, 1),
        )  # fmt: skip

    def _follow(self) -> None:
        control, backup, status = self.r["CR"], self.r["BDCR"], self.r["CSR"]
        self.r["CR"] = control & ~(1 << 12) | (control >> 9 & control >> 10 & 1) << 12  # HSIKERDY
        self.r["BDCR"] = backup & ~(1 << 11) | (backup >> 7 & backup >> 1 & 1) << 11  # LSESYSRDY
        self.r["CSR"] = status & ~(1 << 14) | (status >> 15 & 1) << 14  # RFRSTF
        self.silicon.pins.chip_drives(RADIO_RESET, not status >> 15 & 1)

    def _divider(self, config: int, position: int) -> int:
        return (config >> position & 7) + 1

    def _lsi_hz(self) -> int:
        return self.LSI_HZ // (128 if self.r["CSR"] & 1 << 4 else 1)  # LSIPRE

    def _more(self, rates: dict[str, int], runs: bool, ready: dict[str, bool]) -> None:
        if self.r["CR"] & 1 << 20 and self.r["CFGR"] >> 2 & 3 == 2:  # HSEPRE halves SYSCLK from HSE32
            for name in ("sysclk", "hclk", "pclk1", "pclk2"):
                rates[name] //= 2
        rates["hclk3"] = rates["sysclk"] // self.AHB[self.r["EXTCFGR"] & 0xF]
        rates["pclk3"] = rates["hclk3"]
        rates["hse_rtc"] = rates["hse"] // 32
        rates["lse_sys"] = rates["lse"] * (self.r["BDCR"] >> 11 & 1)  # LSE for others than the RTC


class RccL4(_RccWlL4):
    """STM32L476."""

    MAX_HZ = 80_000_000
    PLL_R, PLL_Q, PLL_ENABLES = (24, 25), (20, 21), 0x0111_0000
    SELECTS: ClassVar[Mapping[str, Select]] = {
        "usart1": Select("CCIPR", 0, ("pclk2", *_USART)), "usart2": Select("CCIPR", 2, ("pclk1", *_USART)),
        "usart3": Select("CCIPR", 4, ("pclk1", *_USART)), "lpuart1": Select("CCIPR", 10, ("pclk1", *_USART)),
        "lptim1": Select("CCIPR", 18, _LPTIM), "lptim2": Select("CCIPR", 20, _LPTIM),
        "rng": Select("CCIPR", 26, ("", "pllsai1q", "pllq", "msi")), "rtc": Select("BDCR", 8, _RTC),
    }  # fmt: skip

    def layout(self) -> Mapping[str, Reg]:
        """RCC_TypeDef of stm32l476xx.h; the SAI PLLs are only kept."""
        return _COMMON_WL_L4 | {
            "CR": Reg(0x00, 0x63, 0x150D_0BFD, {1 << 26: "PLLSAI1", 1 << 28: "PLLSAI2"}),
            "PLLCFGR": Reg(0x0C, 0x1000), "PLLSAI1CFGR": Reg(0x10, 0x1000), "PLLSAI2CFGR": Reg(0x14, 0x1000),
            "CSR": Reg(0x94, 0x0600, 0x0F01),
        } | enables(
            0x20, 0x20,
            ("AHB1", "", 0x28, 0x100, 0x1_1303), ("AHB2", "", 0x2C, 0, 0x5_32FF), ("AHB3", "", 0x30, 0, 0x101),
            ("APB1", "1", 0x38, 0, 0xF2FE_CA3F), ("APB1", "2", 0x3C, 0, 0x25), ("APB2", "", 0x40, 0, 0x0167_7C01),
        )  # fmt: skip

    def _divider(self, config: int, position: int) -> int:
        return 2 * (config >> position & 3) + 2

    def _more(self, rates: dict[str, int], runs: bool, ready: dict[str, bool]) -> None:
        rates["hse_rtc"] = rates["hse"] // 32
        rates["pllsai1q"] = 0


class RccL0(Rcc):
    """STM32L072. MSI range 5, 2.097 MHz, after reset; RTC and LSE live in CSR."""

    OSCILLATORS: ClassVar[Mapping[str, Osc]] = {
        "msi": Osc("CR", 8, 9, 5), "hsi16": Osc("CR", 0, 2, 2), "hse": Osc("CR", 16, 17, 3),
        "pll": Osc("CR", 24, 25, 4), "lse": Osc("CSR", 8, 9, 1), "lsi": Osc("CSR", 0, 1, 0),
        "hsi48": Osc("CRRCR", 0, 1, 6),
    }  # fmt: skip
    MSI_HZ = (65_536, 131_072, 262_144, 524_288, 1_048_576, 2_097_152, 4_194_304)
    LSI_HZ, MAX_HZ = 37_000, 32_000_000
    RESETS, ASLEEP, ENABLES = 0x10, 0x10, range(0x2C, 0x3C, 4)
    BACKUP = ("CSR", 0x000F_7F00)  # LSEON to RTCRST
    BDRST = 1 << 19  # RTCRST
    RTCEN = ("CSR", 18)
    SELECTS: ClassVar[Mapping[str, Select]] = {
        "usart1": Select("CCIPR", 0, ("pclk2", *_USART)), "usart2": Select("CCIPR", 2, ("pclk1", *_USART)),
        "lpuart1": Select("CCIPR", 10, ("pclk1", *_USART)), "lptim1": Select("CCIPR", 18, _LPTIM),
        "rng": Select("CCIPR", 26, ("pll48", "hsi48")), "rtc": Select("CSR", 16, _RTC),
    }  # fmt: skip
    _PLLMUL = (3, 4, 6, 8, 12, 16, 24, 32, 48)

    def layout(self) -> Mapping[str, Reg]:
        """RCC_TypeDef of stm32l072xx.h."""
        return {
            "CR": Reg(0x00, 0x300, 0x013D_012B), "ICSCR": Reg(0x04, 5 << 13), "CRRCR": Reg(0x08, 0, 5),
            "CFGR": Reg(0x0C, 0, 0x7FFD_BFF3), "CIER": Reg(0x10, 0, 0xFF), "CIFR": Reg(0x14, 0, 0),
            "CICR": Reg(0x18, 0, 0), "CCIPR": Reg(0x4C), "CSR": Reg(0x50, 0, 0x000F_3D01),
        } | enables(
            0x10, 0x10,
            ("IOP", "", 0x1C, 0, 0x9F), ("AHB", "", 0x20, 0x100, 0x0111_1301), ("APB2", "", 0x24, 0, 0x0040_5225),
            ("APB1", "", 0x28, 0, 0xF8FE_4A33),
        )  # fmt: skip

    def _msi_hz(self) -> int:
        return self.MSI_HZ[min(self.r["ICSCR"] >> 13 & 7, len(self.MSI_HZ) - 1)]

    def _hsi16_hz(self) -> int:
        return super()._hsi16_hz() // (4 if self.r["CR"] & 1 << 3 else 1)  # HSIDIVEN

    def _follow(self) -> None:
        self.r["CR"] = self.r["CR"] & ~(1 << 4) | (self.r["CR"] >> 3 & 1) << 4  # HSIDIVF

    def _pll_source(self) -> str:
        return "hse" if self.r["CFGR"] & 1 << 16 else "hsi16"

    def _pll_rates(self, rates: dict[str, int], on: bool) -> dict[str, int]:
        config = self.r["CFGR"]
        multiplier = self._PLLMUL[min(config >> 18 & 0xF, len(self._PLLMUL) - 1)]
        vco = rates[self._pll_source()] * multiplier * on
        return {"pll": vco // ((config >> 22 & 3) + 1), "pll48": vco // 2}

    def _more(self, rates: dict[str, int], runs: bool, ready: dict[str, bool]) -> None:
        rates["hsi48"] = 48_000_000 * (runs and ready["hsi48"])
        rates["hse_rtc"] = rates["hse"] // (2 << (self.r["CR"] >> 20 & 3))  # RTCPRE: 2, 4, 8, 16
