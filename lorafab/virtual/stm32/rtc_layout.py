"""Where the registers of the two generations of the RTC are; ``ICSR`` stands for the older one's ISR.

Offsets and bits: CMSIS headers ``stm32wle5xx.h``, ``stm32l476xx.h``, ``stm32l072xx.h`` (RTC_TypeDef, RTC_*_Pos).
Values after reset: RTC chapters of RM0453 and RM0351.
"""

from lorafab.virtual.stm32.registers import WORD, Reg

_REFUSED_CR = {
    1 << 4: "the reference clock", 1 << 11: "the time stamp", 1 << 23: "an output", 3 << 21: "an output",
    1 << 24: "the internal time stamp", 1 << 26: "an output", 1 << 31: "an output",
}  # fmt: skip


def registers_wl() -> dict[str, Reg]:
    """RTC_TypeDef of stm32wle5xx.h."""
    return {
        "TR": Reg(0x00), "DR": Reg(0x04, 0x2101), "SSR": Reg(0x08, 0, 0), "ICSR": Reg(0x0C),
        "PRER": Reg(0x10, 0x7F_00FF, 0x7F_7FFF), "WUTR": Reg(0x14, 0xFFFF), "CR": Reg(0x18, 0, WORD, _REFUSED_CR),
        "WPR": Reg(0x24, 0, 0), "CALR": Reg(0x28, 0, 0xF1FF), "SHIFTR": Reg(0x2C, 0, 0),
        "TSTR": Reg(0x30, 0, 0), "TSDR": Reg(0x34, 0, 0), "TSSSR": Reg(0x38, 0, 0),
        "ALRMAR": Reg(0x40), "ALRMASSR": Reg(0x44), "ALRMBR": Reg(0x48), "ALRMBSSR": Reg(0x4C),
        "SR": Reg(0x50, 0, 0), "MISR": Reg(0x54, 0, 0), "SCR": Reg(0x5C, 0, 0),
        "ALRABINR": Reg(0x70), "ALRBBINR": Reg(0x74),
    }  # fmt: skip


def registers_v2(backups: int) -> dict[str, Reg]:
    """RTC_TypeDef of stm32l476xx.h and stm32l072xx.h, with so many backup registers."""
    tampers = {0x2B: "a tamper input"}
    return {
        "TR": Reg(0x00), "DR": Reg(0x04, 0x2101), "CR": Reg(0x08, 0, 0x01FF_FF7F, _REFUSED_CR), "ICSR": Reg(0x0C),
        "PRER": Reg(0x10, 0x7F_00FF, 0x7F_7FFF), "WUTR": Reg(0x14, 0xFFFF, 0xFFFF), "ALRMAR": Reg(0x1C),
        "ALRMBR": Reg(0x20), "WPR": Reg(0x24, 0, 0), "SSR": Reg(0x28, 0, 0), "SHIFTR": Reg(0x2C, 0, 0),
        "TSTR": Reg(0x30, 0, 0), "TSDR": Reg(0x34, 0, 0), "TSSSR": Reg(0x38, 0, 0), "CALR": Reg(0x3C, 0, 0xE1FF),
        "TAMPCR": Reg(0x40, 0, WORD, tampers), "ALRMASSR": Reg(0x44, 0, 0x0F00_7FFF),
        "ALRMBSSR": Reg(0x48, 0, 0x0F00_7FFF), "OR": Reg(0x4C, 0, 3),
        **{f"BKP{n}R": Reg(0x50 + 4 * n) for n in range(backups)},
    }  # fmt: skip
