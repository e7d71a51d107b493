/* SPDX-License-Identifier: MIT
 * Dlq: the dead letters of one, several or all services, read from their topics and followed for changes. Blocking; one
 * thread per handle. */
#ifndef BUI_OPS_DLQ_H
#define BUI_OPS_DLQ_H

#include "ops/deadletters.h"
#include "ops/watch.h"
#include <bus/service.h>

typedef struct bui_dlq bui_dlq;

/* Reads `<service>.dlq` of the named services, or of every one the cluster has (count 0), to its end. BUS_MISSING: a named
 * service has no such topic; BUS_CANCELLED: the watch said stop; BUS_BROKER, BUS_TIMEOUT, BUS_DENIED. */
bus_status bui_dlq_open(const bus_config *config, const char *const *services, size_t count, int timeout_ms,
                        const bui_watch *watch, bui_dlq **out, bus_error *err);
/* Of them only the dead letters that these texts mean (their ids, or at least four characters of the beginning), each as bui_dlq_open has
 * it. Reads where their records are and what came since; the first time, all (`cache.dir`). */
bus_status bui_dlq_find(const bus_config *config, const char *const *services, size_t count, const char *const *texts,
                        size_t text_count, int timeout_ms, const bui_watch *watch, bui_dlq **out, bus_error *err);
void bui_dlq_close(bui_dlq *dlq); /* NULL is a no-op */

bui_dead_fold *bui_dlq_fold(bui_dlq *dlq); /* the handle's */
/* How many services' topics were read. */
size_t bui_dlq_services(const bui_dlq *dlq);

/* Follows the topics from where they were read to, and folds what comes, until `enough` says so (asked after every record and
 * twice a second) or wait_ms passed: BUS_OK either way. */
bus_status bui_dlq_follow(bui_dlq *dlq, int64_t wait_ms, bool (*enough)(void *opaque), void *opaque, const bui_watch *watch,
                          bus_error *err);

/* Reads the records that carry these dead letters' events, in log order per partition; `each` gets the dead letter and its
 * record (borrowed for the call) and ends the walk by not returning BUS_OK. A dead letter whose record has expired gets none.
 * The dead letters must be of one service. */
typedef bus_status (*bui_dlq_each)(void *opaque, bui_dead *dead, const bui_record *record, bus_error *err);
bus_status bui_dlq_records(bui_dlq *dlq, bui_dead *const *letters, size_t count, bui_dlq_each each, void *opaque,
                           const bui_watch *watch, bus_error *err);

#endif
