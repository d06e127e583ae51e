/* What the debugger and the program tell each other: one structure in RAM, little-endian.
 *
 *     offset  size  field
 *          0     4  command, below
 *          4     4  status, below; written by the program, as is the next
 *          8     4  detail: the part's status register as it was read last
 *         12     4  address in the part
 *         16     4  length: bytes to read into `data`, or to program from it; at most 256
 *         20     4  polls: how often the status register is read until a write or an erase counts as failed;
 *                   between two of them lie at least 47 us (POLL_PAUSE in memory.c)
 *         24     2  page: a program instruction wraps in pages of so many bytes
 *         26     1  address bytes of an instruction, 1 to 3
 *         27     1  instruction that erases a sector
 *         28     1  instruction that ends deep power-down; 0: the part has none
 *         29     1  instruction that reads status register 2; 0: the part has none
 *         30     4  pins: SCK, MISO, MOSI, chip-select; STM32: 16 x port + pin (PA5 is 5), nRF: 32 x port + pin
 *         34     4  pins: chip-selects of other parts on the bus, held high; 0xFF: none
 *         38   256  data
 */
#ifndef MAILBOX_H
#define MAILBOX_H

#include <stdint.h>

#define DATA_SIZE 256u
#define NO_PIN 0xFFu

enum command {
    IDENTIFY = 1,    /* RDID: three bytes into data */
    READ = 2,        /* length bytes at address into data */
    READ_STATUS = 3, /* status register 1, and 2 (else 0), into data */
    ERASE = 4,       /* the sector at address */
    PROGRAM = 5,     /* length bytes of data at address, page by page */
};

enum status {
    DONE = 0,
    BAD_REQUEST = 1, /* a command that is not known, or a length, page or address width that cannot be */
    SPI_STUCK = 2,   /* the microcontroller's SPI does not move */
    NO_ANSWER = 3,   /* the status register reads 0xFF: nobody drives the line */
    NOT_ENABLED = 4, /* the write enable latch did not set */
    STILL_BUSY = 5,  /* the part did not become ready in time */
};

struct __attribute__((packed)) mailbox {
    uint32_t command, status, detail, address, length, polls;
    uint16_t page;
    uint8_t address_bytes, erase, wake, read_status_2;
    uint8_t sck, miso, mosi, select, others[4];
    uint8_t data[DATA_SIZE];
};

_Static_assert(sizeof(struct mailbox) == 38u + DATA_SIZE, "the layout above");

#endif
