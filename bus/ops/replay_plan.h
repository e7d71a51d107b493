/* SPDX-License-Identifier: MIT
 * Replay plan: what copies of a topic will meet at a service, as far as its committed offsets and its heartbeats tell. The shard has
 * the last word (shard/replays.c); this spares people from sending what it would refuse. */
#ifndef BUS_OPS_REPLAY_PLAN_H
#define BUS_OPS_REPLAY_PLAN_H

#include "ops/headers.h"
#include <bus/service.h>

typedef enum bus_meets {
    BUS_MEETS_RUN,       /* its handler runs */
    BUS_MEETS_SKIP,      /* the route passes it over */
    BUS_MEETS_REFUSE,    /* the route does not say that its handler may run again */
    BUS_MEETS_NO_ROUTE,
    BUS_MEETS_UNKNOWN,   /* no process of the service tells its routes */
    BUS_MEETS_EARLY,     /* the service has not come to the event yet */
    BUS_MEETS_FORGED,    /* nobody shows that the event is whose it says: a copy would be signed, and believed */
    BUS_MEETS_TOO_LARGE  /* its topic does not take a copy of it */
} bus_meets;

/* What it meets in words. */
const char *bus_meets_text(bus_meets meets);
/* May a copy be sent? */
static inline bool bus_meets_well(bus_meets meets) { return meets == BUS_MEETS_RUN || meets == BUS_MEETS_SKIP || meets == BUS_MEETS_UNKNOWN; }

#define BUS_PLAN_KINDS 64 /* of types that are told apart; the rest count as the last */
typedef struct bus_plan_kind { char type[256]; bus_meets meets; int64_t records; } bus_plan_kind;

typedef struct bus_replay_plan bus_replay_plan;
/* Reads where the service stands on the topic, and what its processes say. BUS_REFUSED: it has no position on any partition of the
 * topic, so it does not read it (or has not run yet). BUS_BROKER, BUS_TIMEOUT, BUS_DENIED, BUS_NOMEM. */
bus_status bus_replay_plan_open(const bus_config *config, const char *service, const char *topic, int timeout_ms, bus_replay_plan **out,
                                bus_error *err);
void bus_replay_plan_close(bus_replay_plan *plan); /* NULL is a no-op */
/* What a copy of this record, which may be `forged`, or too `large`, meets; counted by its type if `count`. */
bus_meets bus_replay_plan_meets(bus_replay_plan *plan, const bus_record *record, bool forged, bool large, bool count);
size_t bus_replay_plan_kinds(const bus_replay_plan *plan);
const bus_plan_kind *bus_replay_plan_kind(const bus_replay_plan *plan, size_t at);

/* How many of a service's redrive records it has not come by yet; -1: unknown. Asks the group, once. */
int64_t bus_replay_left(const bus_config *config, const char *service, int timeout_ms);

#endif
