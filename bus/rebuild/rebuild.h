/* SPDX-License-Identifier: MIT
 * Rebuild: makes a service's stores again from its topics, the service stopped: inputs and redrive log from their start, merged by
 * time, run through the same shard code on a clock that follows the log. */
#ifndef BUS_REBUILD_REBUILD_H
#define BUS_REBUILD_REBUILD_H

#include "base/buf.h"
#include <bus/service.h>

typedef struct bus_rebuild_options {
    const bus_service *service;
    const bus_config *config;
    const char *into;           /* directory for the new stores, must not hold any; NULL: in place, each old store is kept beside
                                 * as <p>.db.replaced-<time> */
    bool incomplete;            /* go on although the topics do not tell all; what is missing is logged */
} bus_rebuild_options;

typedef struct bus_rebuilt {
    int shard;
    int64_t records;            /* read from the topics */
    int64_t after_commit;       /* of them, beyond what the group had committed */
    int64_t dropped, kept;      /* emitted events: known to be in Kafka already; left in the outbox to be sent, and plans that are due */
    int64_t expired;            /* of before the last commit, and in their topics no more: taken for sent */
    int64_t letters;            /* that differ from what their topic says of them */
    char store[512], old[512];  /* the new file; the old one, "" if there was none */
    char place[512];            /* where the service looks for it */
} bus_rebuilt;

typedef struct bus_rebuild_report {
    bus_rebuilt *shard;         /* free() it with bus_rebuild_report_free */
    int count;
} bus_rebuild_report;

/* BUS_REFUSED, with the reason: a process of the service runs, `shards` is set and is not the lead topic's count; unless `incomplete`: the
 * start of a log is gone, a route starts at the end, bus_transact ever wrote; in place, also: letters differ from their topic. Otherwise what
 * reading topics and writing files may give. Nothing is replaced unless all shards are rebuilt. */
bus_status bus_rebuild(const bus_rebuild_options *options, bus_rebuild_report *out, bus_error *err);
void bus_rebuild_report_free(bus_rebuild_report *report);
/* The report as text or as one JSON object. */
void bus_rebuild_text(const bus_rebuild_report *report, bool json, bus_buf *out);

#endif
