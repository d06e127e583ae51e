"""What the STM32WLE5JC is: addresses, sizes, identity values and times of the silicon.

Sources: *header* is the CMSIS device header ``stm32wle5xx.h`` of STM32CubeWL, *system file* its
``system_stm32wlxx.c``; *RM* is the reference manual (RM0453, for this part RM0461), flash chapter, p. 70 of RM0461;
*unverified* numbers come from the table that the L4, WB and WL families share and were not read in the
datasheet of this part, so tests never assert them as facts of silicon.
"""

FLASH_BASE = 0x0800_0000  # header, FLASH_BASE
FLASH_SIZE = 256 * 1024
BOOT_ALIAS = 0x0000_0000  # boot from main flash: the flash is seen here too (unverified in the RM; tools read it so)
PAGE_SIZE = 2048  # RM: 128 pages of 2 KiB
WORD_SIZE = 8  # RM: programmed by double words, ECC of 8 bits over 64
PAGES = FLASH_SIZE // PAGE_SIZE
DOUBLE_WORDS = FLASH_SIZE // WORD_SIZE

SYSTEM_BASE = 0x1FFF_0000  # header, SYSTEM_FLASH_BASE: boot loader 28 KiB, then OTP, engineering and option bytes
SYSTEM_SIZE = 0x8000
OTP_BASE = 0x1FFF_7000  # header, OTP_AREA_BASE
OTP_SIZE = 1024
UID64_ADDRESS = 0x1FFF_7580  # header, UID64_BASE
UID96_ADDRESS = 0x1FFF_7590  # header, UID_BASE
FLASH_SIZE_ADDRESS = 0x1FFF_75E0  # header, FLASHSIZE_BASE: u16, KiB

SRAM_BASE = 0x2000_0000  # header, SRAM1_BASE; SRAM2 follows without a gap at 0x20008000
SRAM_SIZE = 64 * 1024

USART1_BASE = 0x4001_3800  # header
GPIO_BASES = {"GPIOA": 0x4800_0000, "GPIOB": 0x4800_0400, "GPIOC": 0x4800_0800, "GPIOH": 0x4800_1C00}  # header
RCC_BASE = 0x5800_0000  # header
PWR_BASE = 0x5800_0400  # header
FLASH_REG_BASE = 0x5800_4000  # header
DBGMCU_BASE = 0xE004_2000  # header

FLASH_IRQ = 4  # header, FLASH_IRQn
USART1_IRQ = 36  # header, USART1_IRQn
IRQ_COUNT = 62  # header: the last one is DMAMUX1_OVR_IRQn = 61
PRIORITY_BITS = 4  # header, __NVIC_PRIO_BITS

DPIDR = 0x6BA0_2477  # SW-DP version 2; OpenOCD tcl/target/stm32wlx.cfg
CPUID = 0x410F_C241  # Cortex-M4 r0p1, as parts report it
DEVICE_IDCODE = 0x1001_6497  # DBGMCU_IDCODE of revision 0x1001, device id 0x497, as parts report it
OPTR_DEFAULT = 0x3FFF_F0AA  # read-out protection level 0 (AA); the other bits: unverified
WRP_NONE = 0x0000_007F  # WRP1AR/WRP1BR: first page after last page, so that nothing is protected

MSI_HZ = (  # system file, MSIRangeTable, MSIRANGE 0 to 11
    100_000, 200_000, 400_000, 800_000, 1_000_000, 2_000_000,
    4_000_000, 8_000_000, 16_000_000, 24_000_000, 32_000_000, 48_000_000,
)  # fmt: skip
HSI16_HZ = 16_000_000
HSE32_HZ = 32_000_000

PROGRAM_NS = 81_690  # one double word, typical; unverified
PAGE_ERASE_NS = 22_020_000  # typical; unverified
MASS_ERASE_NS = 22_130_000  # typical; unverified
