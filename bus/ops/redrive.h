/* SPDX-License-Identifier: MIT
 * Redrive: sends an operator's word about dead letters, redrive or discard, to the service that holds them, and learns what
 * came of it. Blocking. */
#ifndef BUS_OPS_REDRIVE_H
#define BUS_OPS_REDRIVE_H

#include "ops/dlq.h"

/* What became of one letter. */
typedef struct bus_letter_outcome {
    bus_dead *dead;           /* the fold's: its state is what is known now */
    int round;                /* as it was when the command was sent */
    bus_status status;        /* of sending: BUS_OK; BUS_REFUSED: not open, already something else; BUS_MISSING: its record has
                               * expired, nothing to send; BUS_INVALID: no service of that name takes commands; else why the command could not be stored */
    bool sent;                /* acknowledged by the broker */
    bool stopped;             /* no process of its service seems to run: the command waits for one */
    char text[200];           /* why not, "" if sent */
} bus_letter_outcome;

/* Sends `kind` (redrive or discard) for each outcome's letter that is open, and fills the outcomes; `dead` of each is set by
 * the caller. Commands go to `<service>.redrive`, partition = the letter's shard, in log order. BUS_OK: each outcome tells;
 * BUS_CANCELLED: some may be unsent (status BUS_CANCELLED); BUS_BROKER, BUS_TIMEOUT, BUS_NOMEM ... */
bus_status bus_redrive(bus_dlq *dlq, const bus_config *config, bus_command_kind kind, const char *reason, const char *by,
                       bus_letter_outcome *outcomes, size_t count, int timeout_ms, const bus_watch *watch, bus_error *err);

/* Is the letter's fate after the command known: resolved, discarded, or open again in a later round? */
bool bus_outcome_final(const bus_letter_outcome *outcome);

/* One word for people: "resolved", "failed again", "discarded", "accepted" (taken by the service, not yet through), "sent"
 * (nobody answered yet), "already resolved" and the like, "expired", "not sent". */
const char *bus_outcome_word(const bus_letter_outcome *outcome, bus_command_kind kind);

#endif
