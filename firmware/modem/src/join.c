#include "join.h"

#include "nvm.h"
#include "port.h"

static uint32_t attempts_left, pause_ms;
static bool pausing;

bool join_running(void)
{
    return attempts_left != 0u && !pausing;
}

void join_begin(uint32_t attempts, uint32_t pause)
{
    attempts_left = attempts;
    pause_ms = pause;
    pausing = false;
    port_timer_start(JOIN_MS);
}

enum join_event join_timer(void)
{
    if (pausing) {
        pausing = false;
        port_timer_start(JOIN_MS);
        return JOIN_NEXT_BEGINS;
    }
    if (--attempts_left == 0u) {
        return JOIN_FAILED_LAST;
    }
    pausing = pause_ms != 0u;
    port_timer_start(pausing ? pause_ms : JOIN_MS);
    return JOIN_FAILED_AGAIN;
}

void join_store_nonce(void)
{
    uint16_t dev_nonce;

    (void)nvm_next_dev_nonce(&dev_nonce);
}

void join_drop(void)
{
    attempts_left = 0;
    port_timer_stop();
}
