/* SPDX-License-Identifier: MIT
 * Redrive: sends an operator's command about dead letters, redrive or discard, to the service that has them, and learns the
 * outcome. Blocking. */
#ifndef BUI_OPS_REDRIVE_H
#define BUI_OPS_REDRIVE_H

#include "ops/dlq.h"

/* What became of one letter. */
typedef struct bui_deadletter_outcome {
    bui_dead *dead;    /* the fold's: its state is what is known now */
    int round;         /* as it was when the command was sent */
    bus_status status; /* of sending: BUS_OK; BUS_REFUSED: not open, already something else; BUS_MISSING: its record has
                               * expired, nothing to send; BUS_INVALID: no service of that name takes commands; else why the command could not be stored */
    bool sent;         /* acknowledged by the broker */
    bool stopped;      /* no process of its service seems to run: the command waits for one */
    char text[200];    /* why not, "" if sent */
} bui_deadletter_outcome;

/* Sends `kind` (redrive or discard) for each outcome's dead letter that is open, and fills the outcomes; `dead` of each is set by
 * the caller. Commands go to `<service>.redrive`, partition = the dead letter's shard, in log order. BUS_OK: see each outcome;
 * BUS_CANCELLED: some may be unsent (status BUS_CANCELLED); BUS_BROKER, BUS_TIMEOUT, BUS_NOMEM ... */
bus_status bui_redrive(bui_dlq *dlq, const bus_config *config, bui_command_kind kind, const char *reason, const char *by,
                       bui_deadletter_outcome *outcomes, size_t count, int timeout_ms, const bui_watch *watch, bus_error *err);

/* Is the dead letter's fate after the command known: resolved, discarded, or open again in a later round? */
bool bui_outcome_final(const bui_deadletter_outcome *outcome);
/* Are all? What is final stays so: the first *known are not looked at again, 0 at first. It is asked after each record that comes. */
bool bui_outcomes_final(const bui_deadletter_outcome *outcomes, size_t count, size_t *known);

/* One word for people: "resolved", "failed again", "discarded", "accepted" (taken by the service, not yet through), "sent"
 * (nobody answered yet), "already resolved" and the like, "expired", "not sent". */
const char *bui_outcome_word(const bui_deadletter_outcome *outcome, bui_command_kind kind);

#endif
