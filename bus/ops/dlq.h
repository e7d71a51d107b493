/* SPDX-License-Identifier: MIT
 * Dlq: the dead letters of one, several or all services, read from their topics and followed for changes. Blocking; one
 * thread per handle. */
#ifndef BUS_OPS_DLQ_H
#define BUS_OPS_DLQ_H

#include "ops/deadletters.h"
#include "ops/watch.h"
#include <bus/service.h>

typedef struct bus_dlq bus_dlq;

/* Reads `<service>.dlq` of the named services, or of every one the cluster has (count 0), to its end. BUS_MISSING: a named
 * service has no such topic; BUS_CANCELLED: the watch said stop; BUS_BROKER, BUS_TIMEOUT, BUS_DENIED. */
bus_status bus_dlq_open(const bus_config *config, const char *const *services, size_t count, int timeout_ms,
                        const bus_watch *watch, bus_dlq **out, bus_error *err);
void bus_dlq_close(bus_dlq *dlq); /* NULL is a no-op */

bus_dead_fold *bus_dlq_fold(bus_dlq *dlq); /* the handle's */
/* How many services' topics were read. */
size_t bus_dlq_services(const bus_dlq *dlq);

/* Follows the topics from where they were read to, and folds what comes, until `enough` says so (asked after every record and
 * twice a second) or wait_ms passed: BUS_OK either way. */
bus_status bus_dlq_follow(bus_dlq *dlq, int64_t wait_ms, bool (*enough)(void *opaque), void *opaque, const bus_watch *watch,
                          bus_error *err);

/* Reads the records that carry these letters' events, in log order per partition; `each` gets the letter and its record
 * (borrowed for the call) and ends the walk by not returning BUS_OK. A letter whose record has expired gets none. The letters
 * must be of one service. */
typedef bus_status (*bus_dlq_each)(void *opaque, bus_dead *dead, const bus_record *record, bus_error *err);
bus_status bus_dlq_records(bus_dlq *dlq, bus_dead *const *letters, size_t count, bus_dlq_each each, void *opaque,
                           const bus_watch *watch, bus_error *err);

#endif
