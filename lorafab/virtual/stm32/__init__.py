"""Peripherals of the STM32 families WL, L0 and L4 as parts for the profiles; names and bits as in the CMSIS headers.

Offsets, bits and the configurable EXTI lines were held against the headers, some rules against the HAL. Where a module
names a chapter of a reference manual, that is where its rules come from; they were not read there again (unverified).
"""
