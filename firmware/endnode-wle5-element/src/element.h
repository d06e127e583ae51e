/* The secure element: an ATECC608 for LoRaWAN (TNGLORA) on two pins. Its root key cannot be read, only used. */
#ifndef ELEMENT_H
#define ELEMENT_H

#include <stdbool.h>
#include <stdint.h>

struct element {
    uint8_t serial[9];
    uint8_t dev_eui[8];  /* most significant byte first */
    uint8_t join_eui[8]; /* most significant byte first */
};

/* Wakes the element, reads who it is, and puts it to sleep. False: it does not answer, or not as it should. */
bool element_read(struct element *out);

#endif
