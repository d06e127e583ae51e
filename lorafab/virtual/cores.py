"""The cores that chips have; a chip says ``dataclasses.replace(CORTEX_M4, irqs=62, priority_bits=4)``.

CPUID: Cortex-M4 TRM DDI 0439 (r0p1, as the parts report it) and Cortex-M0+ TRM DDI 0484 (r0p1). Comparators: DDI 0439
(FPB with six code and two literal comparators, DWT with four) and DDI 0484 (BPU with four, DWT with two).
"""

from lorafab.virtual.chip import CoreSpec

CORTEX_M4 = CoreSpec(
    name="Cortex-M4",
    model="CORTEX_M4",
    cpuid=0x410F_C241,
    mainline=True,
    irqs=32,
    priority_bits=3,
    breakpoints=6,
    literals=2,
    watchpoints=4,
)
"""Armv7-M; how many interrupts and priority bits there are is the chip's choice, and so is the FPU."""

CORTEX_M0PLUS = CoreSpec(
    name="Cortex-M0+",
    model="CORTEX_M0",
    cpuid=0x410C_C601,
    mainline=False,
    irqs=32,
    priority_bits=2,
    breakpoints=4,
    literals=0,
    watchpoints=2,
)
"""Armv6-M; always two priority bits and at most 32 interrupts."""
