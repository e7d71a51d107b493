/* SPDX-License-Identifier: MIT
 * Fates: what a shard asks while it is rebuilt: the topics tell what became of an event the first time, and its handler is not asked
 * again whether it fails. A running service has none. */
#ifndef BUI_SHARD_FATES_H
#define BUI_SHARD_FATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bui_fate {
    bool dead;   /* a dead letter was opened; else it waited for its next run */
    int64_t due; /* of that, ms; 0: not told */
    char reason[256], error_class[32];
} bui_fate;

/* An event that arrives at its key, or comes back there by a redrive. */
typedef struct bui_arrival {
    const char *topic, *copy, *letter; /* `copy` as below; "": it has no dead letter */
    int32_t partition;
    int64_t offset;
    int round; /* of its dead letter, before this run */
} bui_arrival;

typedef struct bui_fates bui_fates;
struct bui_fates {
    /* Did the event of that place fail in its `run`-th run (from 1) after its dead letter's round `round` (0: it had none
     * yet)? `copy`: or the copy of it that this run of `bus replay` sent; "": the event. */
    bool (*failed)(bui_fates *fates, const char *topic, int32_t partition, int64_t offset, const char *copy, int round, int run,
                   bui_fate *out);
    /* Was the event finished in its first run before the head, behind which it would park now, first failed? */
    bool (*overtook)(bui_fates *fates, const bui_arrival *arrival, const bui_arrival *head);
    /* Has the event of this id, planned for a partition of the topic, left the schedule: was it sent, or was it in flight? */
    bool (*left)(bui_fates *fates, const char *topic, int32_t partition, const char *event_id);
    /* It is due: does it still wait? If the service was down when it fell due, what was handled first may have cancelled it. */
    bool (*planned)(bui_fates *fates, const char *topic, const char *event_id);
};

/* What must still wait when the rebuild ends is postponed by this; the maker of the fates takes it back. */
#define BUI_FATES_PUT_OFF_MS (INT64_C(1) << 45)
/* When it is due in truth. */
static inline int64_t bui_fates_due(int64_t due)
{
    return due >= BUI_FATES_PUT_OFF_MS ? due - BUI_FATES_PUT_OFF_MS : due;
}

#endif
