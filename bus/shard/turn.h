/* SPDX-License-Identifier: MIT
 * Turn: who has been there when a process died runs alone in the next one, with no other shard's handler and no prepare step beside it,
 * so that its next death proves something. Nobody waits, and nothing is locked, while nobody is suspected. */
#ifndef BUS_SHARD_TURN_H
#define BUS_SHARD_TURN_H

#include <stdbool.h>

typedef struct bus_turn bus_turn;
struct bus_crash_note;

/* The shards of one process, which `process` stands for, share a turn. NULL: no memory, nobody waits for anybody. */
bus_turn *bus_turn_join(const void *process, struct bus_crash_note *note);
void bus_turn_leave(bus_turn *turn, struct bus_crash_note *note); /* NULL: a no-op */

/* Waits until nothing else runs, and lets nothing else begin. False: it took too long, run beside the others. Any thread. `runs`: does
 * something of that note? */
bool bus_turn_take(bus_turn *turn, struct bus_crash_note *note, bool (*runs)(const struct bus_crash_note *note));
void bus_turn_give(bus_turn *turn, struct bus_crash_note *note);
/* Is nobody alone, or about to be? Asked after one's own note says what runs: of two who begin at a time one sees the other. */
bool bus_turn_free(const bus_turn *turn);
void bus_turn_wait(bus_turn *turn); /* until that may be so */

#endif
