/* SPDX-License-Identifier: MIT
 * Watch: how a long operation tells how far it is and learns that it shall end. */
#ifndef BUS_OPS_WATCH_H
#define BUS_OPS_WATCH_H

#include <stdbool.h>
#include <stdint.h>

/* Called from the operation's thread, often: both must be cheap. Either may be NULL. */
typedef struct bus_watch {
    bool (*stop)(void *opaque);  /* true: finish what is begun, then return BUS_CANCELLED */
    void (*step)(void *opaque, int64_t done, int64_t passed, int64_t total); /* total INT64_MAX: unknown */
    void *opaque;
} bus_watch;

static inline bool bus_watch_stop(const bus_watch *watch)
{
    return watch && watch->stop && watch->stop(watch->opaque);
}

static inline void bus_watch_step(const bus_watch *watch, int64_t done, int64_t passed, int64_t total)
{
    if (watch && watch->step)
        watch->step(watch->opaque, done, passed, total);
}

#endif
