/* SPDX-License-Identifier: MIT
 * Refused: the outbox rows of a service that Kafka does not take, read from its stores (which may be in use), and operators' decisions
 * about them, sent to the service by its topic of commands. Blocking. */
#ifndef BUI_OPS_REFUSED_H
#define BUI_OPS_REFUSED_H

#include "codec/envelope.h"
#include "ops/watch.h"
#include "shard/transport.h"
#include <bus/service.h>

#define BUI_ROW_NAME 64

typedef struct bui_refused_row {
    char name[BUI_ROW_NAME]; /* "<shard>/<row>@<incarnation>" */
    int shard;
    int64_t id;
    bool waits;                   /* later rows of the partition wait behind it; else they passed it by */
    int64_t behind;               /* how many wait */
    int64_t seq, made, size;      /* ms; bytes as a broker counts them */
    const char *event_id, *error; /* "" if none */
    bui_record record;            /* as it would be in its topic; no offset */
} bui_refused_row;
/* Borrowed for the call; false: enough. */
typedef bool (*bui_refused_each)(void *opaque, const bui_refused_row *row);

/* All of <data>/<service>, by shard and row. BUS_MISSING: no store there; BUS_STORE, BUS_CORRUPT. */
bus_status bui_refused_read(const char *data, const char *service, bui_refused_each each, void *opaque, bus_error *err);

/* One decision. `name` is a row's. */
typedef struct bui_decision {
    char name[BUI_ROW_NAME];
    bus_status status; /* of sending the command */
    char text[200];    /* why it was not sent */
    int64_t offset;    /* of the command in its partition */
    enum {
        BUI_DECISION_SENT,
        BUI_DECISION_TAKEN,
        BUI_DECISION_AGAIN,
        BUI_DECISION_LEFT,
        BUI_DECISION_GIVEN_UP
    } end; /* not
                                * read yet; read, the row is on its way; read, and the row is refused (again); the row was sent, by this command or
                                * by another; the row was discarded, in the same way */
} bui_decision;
/* Sends row-retry or row-discard for each, then looks at the stores until every row's end is known or wait_ms has passed. */
bus_status bui_refused_decide(const bus_config *config, const char *data, const char *service, bui_command_kind kind,
                              const char *reason, const char *by, bui_decision *decisions, size_t count, int timeout_ms,
                              int64_t wait_ms, const bui_watch *watch, bus_error *err);

#endif
