/* SPDX-License-Identifier: MIT
 * Throttle: a few lines a minute, and then how many were left out. */
#include "base/throttle.h"

#include <inttypes.h>
#include <stdio.h>

bool bui_throttle_pass(bui_throttle *throttle, int64_t now_us, uint64_t *hidden)
{
    *hidden = 0;
    if (throttle->lines == 0 || now_us - throttle->from_us >= BUI_THROTTLE_US || now_us < throttle->from_us) {
        throttle->from_us = now_us;
        throttle->lines = 0;
    }
    if (throttle->lines >= BUI_THROTTLE_LINES) {
        throttle->hidden++;
        return false;
    }
    throttle->lines++;
    *hidden = throttle->hidden;
    throttle->hidden = 0;
    return true;
}

const char *bui_throttle_text(uint64_t hidden, char out[BUI_THROTTLE_TEXT])
{
    out[0] = 0;
    if (hidden)
        snprintf(out, BUI_THROTTLE_TEXT, "; before it %" PRIu64 " more were not written", hidden);
    return out;
}
