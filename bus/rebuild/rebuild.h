/* SPDX-License-Identifier: MIT
 * Rebuild: makes a service's stores again from its topics, the service stopped: inputs and redrive log from their start, merged by
 * time, run through the same shard code on a clock that follows the log. */
#ifndef BUI_REBUILD_REBUILD_H
#define BUI_REBUILD_REBUILD_H

#include "base/buf.h"
#include <bus/service.h>

typedef struct bui_rebuild_options {
    const bus_service *service;
    const bus_config *config;
    const char *into; /* directory for the new stores, must not hold any; NULL: in place, each old store is kept beside
                                 * as <p>.db.replaced-<time> */
    bool incomplete;  /* go on although the topics do not tell all; what is missing is logged */
} bui_rebuild_options;

typedef struct bui_rebuilt {
    int shard;
    int64_t records;      /* read from the topics */
    int64_t after_commit; /* of them, beyond what the group had committed */
    int64_t dropped,
        kept;        /* emitted events: known to be in Kafka already; left in the outbox to be sent, and plans that are due */
    int64_t expired; /* of before the last commit, and no longer in their topics: assumed sent */
    int64_t letters; /* that differ from what their topic says of them */
    char store[512], old[512]; /* the new file; the old one, "" if there was none */
    char place[512];           /* where the service looks for it */
} bui_rebuilt;

typedef struct bui_rebuild_report {
    bui_rebuilt *shard; /* free() it with bui_rebuild_report_free */
    int count;
} bui_rebuild_report;

/* BUS_REFUSED, with the reason: a process of the service runs, `shards` is set and is not the lead topic's count; unless
 * `incomplete`: the start of a log is gone, a route starts at the end, bus_transact ever wrote; in place, also: dead letters
 * differ from their topic. Otherwise what reading topics and writing files may give. Nothing is replaced unless all shards are
 * rebuilt. */
bus_status bui_rebuild(const bui_rebuild_options *options, bui_rebuild_report *out, bus_error *err);
void bui_rebuild_report_free(bui_rebuild_report *report);
/* The report as text or as one JSON object. */
void bui_rebuild_text(const bui_rebuild_report *report, bool json, bui_buf *out);

#endif
