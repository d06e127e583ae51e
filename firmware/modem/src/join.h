/* Joining without a radio: an attempt takes its time, and fails. */
#ifndef JOIN_H
#define JOIN_H

#include <stdbool.h>
#include <stdint.h>

/* From the beginning of the Join-request to the end of the second window at DR0 in EU868: 1.48 s on the air, 6 s to
 * the window, and the window itself, which closes when it hears no preamble. */
#define JOIN_MS 7700u

/* A Join-request is on the air, or its windows are open or still to come. */
bool join_running(void);

/* Begins `attempts` joins with `pause_ms` between them; the timer runs out at the end of each attempt and pause. */
void join_begin(uint32_t attempts, uint32_t pause_ms);

/* What the timer that ran out means. */
enum join_event {
    JOIN_FAILED_LAST,  /* an attempt has failed, and none is left */
    JOIN_FAILED_AGAIN, /* an attempt has failed, another one follows */
    JOIN_NEXT_BEGINS,  /* a pause is over */
};
enum join_event join_timer(void);

/* Stores the next DevNonce: for dialects that do so when an attempt's windows have closed, and no earlier. Whether
 * that worked, none of these modems tells. */
void join_store_nonce(void);

/* Drops a join: no event will come of it. */
void join_drop(void);

#endif
