/* Division, which a Cortex-M0+ has no instruction for (Run-time ABI for the Arm Architecture, IHI 0043, 5.3.1). */
#include <stdint.h>

uint32_t __aeabi_uidiv(uint32_t numerator, uint32_t divisor);
uint64_t __aeabi_uidivmod(uint32_t numerator, uint32_t divisor);

/* Quotient in r0, remainder in r1: the two halves of a result of 64 bits. */
uint64_t __aeabi_uidivmod(uint32_t numerator, uint32_t divisor)
{
    uint32_t quotient = 0, remainder = 0;

    for (int bit = 31; bit >= 0; bit--) {
        remainder = remainder << 1 | (numerator >> bit & 1u);
        if (remainder >= divisor) {
            remainder -= divisor;
            quotient |= 1u << bit;
        }
    }
    return (uint64_t)remainder << 32 | quotient;
}

uint32_t __aeabi_uidiv(uint32_t numerator, uint32_t divisor)
{
    return (uint32_t)__aeabi_uidivmod(numerator, divisor);
}
