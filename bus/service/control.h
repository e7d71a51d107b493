/* SPDX-License-Identifier: MIT
 * Control: what the control thread's two files share. */
#ifndef BUI_SERVICE_CONTROL_H
#define BUI_SERVICE_CONTROL_H

#include "service/worker.h"
#include "shard/topics.h"

/* What one membership looks at between events: the inputs' partition counts, and what it has said already. */
typedef struct bui_watch {
    size_t at; /* which input is looked at next */
    int64_t next_us;
    bool paused;
    int64_t told_us;       /* that the broker is away */
    int64_t sizes_us;      /* topics' limits are not asked for before */
    int sizes_at, lost_at; /* the shard that was asked for last */
    int64_t stores_us;     /* when the stores' files are looked for next */
    int64_t letters_us;    /* when the dead-letter topic's policy is looked at next */
} bui_watch;

/* Waits for the broker and for every topic, with messages; counts the shards, fills bus->partitions and makes the workers. BUS_CANCELLED:
 * bus_stop interrupted it. BUS_REFUSED: a topic does not fit. */
bus_status bui_preflight(bus *bus, bus_error *err);
/* Does the dead-letter topic keep every dead letter? BUS_REFUSED with what to do if it is compacted. */
bus_status bui_deadletters_kept(bus *bus, int timeout_ms, bus_error *err);

#endif
