/* The helpers that an ARM compiler calls for clearing and copying structures (Run-time ABI for the Arm
 * Architecture, IHI 0043, 5.3.4): there is no C library. */
#include <stddef.h>
#include <stdint.h>

void __aeabi_memset(void *to, size_t length, int value);
void __aeabi_memclr(void *to, size_t length);
void __aeabi_memclr4(void *to, size_t length);
void __aeabi_memclr8(void *to, size_t length);
void __aeabi_memcpy(void *to, const void *from, size_t length);
void __aeabi_memcpy4(void *to, const void *from, size_t length);
void __aeabi_memcpy8(void *to, const void *from, size_t length);

/* Volatile, or the compiler recognises the loops and makes them call themselves. */
void __aeabi_memset(void *to, size_t length, int value)
{
    volatile uint8_t *byte = to;

    while (length-- > 0) {
        *byte++ = (uint8_t)value;
    }
}

void __aeabi_memclr(void *to, size_t length)
{
    __aeabi_memset(to, length, 0);
}

void __aeabi_memclr4(void *to, size_t length)
{
    __aeabi_memset(to, length, 0);
}

void __aeabi_memclr8(void *to, size_t length)
{
    __aeabi_memset(to, length, 0);
}

void __aeabi_memcpy(void *to, const void *from, size_t length)
{
    volatile uint8_t *target = to;
    const uint8_t *source = from;

    while (length-- > 0) {
        *target++ = *source++;
    }
}

void __aeabi_memcpy4(void *to, const void *from, size_t length)
{
    __aeabi_memcpy(to, from, length);
}

void __aeabi_memcpy8(void *to, const void *from, size_t length)
{
    __aeabi_memcpy(to, from, length);
}
