/* SPDX-License-Identifier: MIT
 * Replies: this process's partition of `<service>.replies`, read from its end without a group, and the requests that wait
 * for what arrives there. */
#ifndef BUI_SERVICE_REPLIES_H
#define BUI_SERVICE_REPLIES_H

#include "service/runner.h"

void bui_replies_close(bui_replies *replies); /* after bus_stop; NULL is a no-op */

#endif
