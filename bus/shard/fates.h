/* SPDX-License-Identifier: MIT
 * Fates: what a shard asks while it is rebuilt: the topics tell what became of an event the first time, and its handler is not asked
 * again whether it fails. A running service has none. */
#ifndef BUS_SHARD_FATES_H
#define BUS_SHARD_FATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bus_fate {
    bool dead;                  /* a letter was opened; else it waited for its next run */
    int64_t due;                /* of that, ms; 0: not told */
    char reason[256], error_class[32];
} bus_fate;

/* An event that arrives at its key, or comes back there by a redrive. */
typedef struct bus_arrival {
    const char *topic, *copy, *letter; /* `copy` as below; "": it has no letter */
    int32_t partition;
    int64_t offset;
    int round;                  /* of its letter, before this run */
} bus_arrival;

typedef struct bus_fates bus_fates;
struct bus_fates {
    /* Did the event of that place fail in its `run`-th run (from 1) after its letter's round `round` (0: it had none yet)? `copy`: or the copy
     * of it that this run of `bus replay` sent; "": the event. */
    bool (*failed)(bus_fates *fates, const char *topic, int32_t partition, int64_t offset, const char *copy, int round, int run, bus_fate *out);
    /* Was the one over with in its first run before the head, behind which it would park now, had failed for the first time? */
    bool (*overtook)(bus_fates *fates, const bus_arrival *arrival, const bus_arrival *head);
    /* Has the event of this id, planned for a partition of the topic, left the plans: is it sent, or was it on its way? */
    bool (*left)(bus_fates *fates, const char *topic, int32_t partition, const char *event_id);
    /* It is due: does it wait all the same? Where the service was down when it fell due, what was handled first may have cancelled it. */
    bool (*planned)(bus_fates *fates, const char *topic, const char *event_id);
};

/* What shall still wait when the rebuild ends is put off by this; whoever made the fates takes it back. */
#define BUS_FATES_PUT_OFF_MS (INT64_C(1) << 45)
/* When it is due in truth. */
static inline int64_t bus_fates_due(int64_t due)
{
    return due >= BUS_FATES_PUT_OFF_MS ? due - BUS_FATES_PUT_OFF_MS : due;
}

#endif
