/* SPDX-License-Identifier: MIT
 * Throttle: a few lines a minute, and then how many there were. */
#include "base/throttle.h"

#include <inttypes.h>
#include <stdio.h>

bool bus_throttle_pass(bus_throttle *throttle, int64_t now_us, uint64_t *hidden)
{
    *hidden = 0;
    if (throttle->lines == 0 || now_us - throttle->from_us >= BUS_THROTTLE_US || now_us < throttle->from_us) {
        throttle->from_us = now_us;
        throttle->lines = 0;
    }
    if (throttle->lines >= BUS_THROTTLE_LINES) {
        throttle->hidden++;
        return false;
    }
    throttle->lines++;
    *hidden = throttle->hidden;
    throttle->hidden = 0;
    return true;
}

const char *bus_throttle_text(uint64_t hidden, char out[BUS_THROTTLE_TEXT])
{
    out[0] = 0;
    if (hidden)
        snprintf(out, BUS_THROTTLE_TEXT, "; before it %" PRIu64 " more were not written", hidden);
    return out;
}
