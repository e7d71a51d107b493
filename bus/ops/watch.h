/* SPDX-License-Identifier: MIT
 * Watch: how a long operation reports how far it is and learns that it must end. */
#ifndef BUI_OPS_WATCH_H
#define BUI_OPS_WATCH_H

#include <stdbool.h>
#include <stdint.h>

/* Called from the operation's thread, often: both must be cheap. Either may be NULL. */
typedef struct bui_watch {
    bool (*stop)(void *opaque); /* true: finish what is begun, then return BUS_CANCELLED */
    void (*step)(void *opaque, int64_t done, int64_t passed, int64_t total); /* total INT64_MAX: unknown */
    void *opaque;
} bui_watch;

static inline bool bui_watch_stop(const bui_watch *watch)
{
    return watch && watch->stop && watch->stop(watch->opaque);
}

static inline void bui_watch_step(const bui_watch *watch, int64_t done, int64_t passed, int64_t total)
{
    if (watch && watch->step)
        watch->step(watch->opaque, done, passed, total);
}

#endif
