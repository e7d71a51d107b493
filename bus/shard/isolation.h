/* SPDX-License-Identifier: MIT
 * Isolation: who has been there when a process died runs alone in the next one, with no other shard's handler and no prepare step beside it,
 * so that its next death proves something. Nobody waits, and nothing is locked, while nobody is suspected. */
#ifndef BUI_SHARD_ISOLATION_H
#define BUI_SHARD_ISOLATION_H

#include <stdbool.h>

typedef struct bui_isolation bui_isolation;
struct bui_crash_note;

/* The shards of one process, which `process` stands for, share one. NULL: no memory, nobody waits for anybody. */
bui_isolation *bui_isolation_join(const void *process, struct bui_crash_note *note);
void bui_isolation_leave(bui_isolation *isolation, struct bui_crash_note *note); /* NULL: a no-op */

/* Waits until nothing else runs, and lets nothing else begin. False: it took too long, run beside the others. Any thread. `runs`: does
 * something of that note? */
bool bui_isolation_take(bui_isolation *isolation, struct bui_crash_note *note, bool (*runs)(const struct bui_crash_note *note));
void bui_isolation_give(bui_isolation *isolation, struct bui_crash_note *note);
/* Is nobody alone, or about to be? Asked after the own note says what runs: of two that begin at the same time one sees the
 * other. */
bool bui_isolation_free(const bui_isolation *isolation);
void bui_isolation_wait(bui_isolation *isolation); /* until that may be so */

#endif
