/* SPDX-License-Identifier: MIT
 * Leftover: the outbox of a rebuilt store. Of the events after the last commit some had been sent before the old store was lost;
 * the others are sent as if they were new: under an incarnation of their own, numbered from 1, so that no reader sees a gap. */
#ifndef BUS_SERVICE_LEFTOVER_H
#define BUS_SERVICE_LEFTOVER_H

#include "store/store.h"
#include <bus/service.h>

/* Deletes the rows whose record is in Kafka; reads all of the partitions that rows go to. *known: how many. */
bus_status bus_leftover_clear(bus_store *store, const bus_config *config, int timeout_ms, int64_t *known, bus_error *err);
/* Gives what is left the present incarnation and dense numbers, in the same order. After bus_store_raise. */
bus_status bus_leftover_renumber(bus_store *store, bus_error *err);

#endif
