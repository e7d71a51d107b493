/* SPDX-License-Identifier: MIT
 * Replay plan: what will become of copies of a topic at a service, as far as its committed offsets and its heartbeats show.
 * The shard decides (shard/replays.c); this keeps people from sending what it would refuse. */
#ifndef BUI_OPS_REPLAY_PLAN_H
#define BUI_OPS_REPLAY_PLAN_H

#include "ops/headers.h"
#include <bus/service.h>

typedef enum bui_meets {
    BUI_MEETS_RUN,    /* its handler runs */
    BUI_MEETS_SKIP,   /* the route passes it over */
    BUI_MEETS_REFUSE, /* the route does not say that its handler may run again */
    BUI_MEETS_NO_ROUTE,
    BUI_MEETS_UNKNOWN,  /* no process of the service says its routes */
    BUI_MEETS_EARLY,    /* the service has not come to the event yet */
    BUI_MEETS_FORGED,   /* nobody shows that the event is whose it says: a copy would be signed, and believed */
    BUI_MEETS_TOO_LARGE /* its topic does not take a copy of it */
} bui_meets;

/* What it meets in words. */
const char *bui_meets_text(bui_meets meets);
/* May a copy be sent? */
static inline bool bui_meets_well(bui_meets meets)
{
    return meets == BUI_MEETS_RUN || meets == BUI_MEETS_SKIP || meets == BUI_MEETS_UNKNOWN;
}

#define BUI_PLAN_KINDS 64 /* of types that are counted apart; the rest count as the last */
typedef struct bui_plan_kind {
    char type[256];
    bui_meets meets;
    int64_t records;
} bui_plan_kind;

typedef struct bui_replay_plan bui_replay_plan;
/* Reads where the service stands on the topic, and what its processes say. BUS_REFUSED: it has no position on any partition of the
 * topic, so it does not read it (or has not run yet). BUS_BROKER, BUS_TIMEOUT, BUS_DENIED, BUS_NOMEM. */
bus_status bui_replay_plan_open(const bus_config *config, const char *service, const char *topic, int timeout_ms,
                                bui_replay_plan **out, bus_error *err);
void bui_replay_plan_close(bui_replay_plan *plan); /* NULL is a no-op */
/* What a copy of this record, which may be `forged`, or too `large`, meets; counted by its type if `count`. */
bui_meets bui_replay_plan_meets(bui_replay_plan *plan, const bui_record *record, bool forged, bool large, bool count);
size_t bui_replay_plan_kinds(const bui_replay_plan *plan);
const bui_plan_kind *bui_replay_plan_kind(const bui_replay_plan *plan, size_t at);

/* How many of a service's redrive records it has not come by yet; -1: unknown. Asks the group, once. */
int64_t bui_replay_left(const bus_config *config, const char *service, int timeout_ms);

#endif
