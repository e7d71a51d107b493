/* SPDX-License-Identifier: MIT
 * Commands: the records that operators put on `<service>.redrive`, made from the record they are about. Pure. */
#ifndef BUI_OPS_COMMANDS_H
#define BUI_OPS_COMMANDS_H

#include "base/arena.h"
#include "ops/headers.h"

typedef struct bui_command {
    bui_command_kind kind;
    const char *id;             /* of the dead letter, or of the run */
    int round;                  /* the dead letter's; 0 for a replay */
    const char *reason;         /* NULL: none */
    const char *by;             /* user@host */
    const bui_record *event;    /* whose own headers go along; NULL: the dead letter's */
    const bui_body_place *body; /* what a command without a value says of it; NULL: nothing */
} bui_command;

/* A copy's hop: one source a run and a dense seq per destination, so that the receiver's inbox works as for any sender. */
typedef struct bui_copy_hop {
    const char *run; /* the run's id */
    const char *topic;
    int32_t partition;
    int64_t seq; /* from 1 */
} bui_copy_hop;

/* The headers of a command about a dead letter: those of the event, `bus-orig` as the dead letter has it, and the command. What the
 * dead letter gained (its state, the errors) is left out: the event goes back as it came. Memory is the arena's; values may borrow
 * from `letter`. */
bus_status bui_command_headers(const bui_command *command, const bui_record *letter, bui_arena *arena, bus_header **out,
                               size_t *count, bus_error *err);

/* The headers of a copy of `record`: the event's own, `bus-orig` (where it was, and its hop), and, if not NULL, the command and
 * the copy's own hop. A record that is a copy already keeps its `bus-orig` if `keep_orig`, so that the first place is known
 * without limit; a copy for a service names the place it was replayed from, by which the service routes it. An event without ce_id
 * gets, in a copy for a topic, the one that its place gives it. */
bus_status bui_replay_headers(const bui_record *record, const bui_command *command, const bui_copy_hop *hop, bool keep_orig,
                              bui_arena *arena, bus_header **out, size_t *count, bus_error *err);

#endif
