/* SPDX-License-Identifier: MIT
 * Lock: a shard belongs to one process at a time. Two files beside the store: <p>.lock, held while it is open, and <p>.want,
 * held by the process that waits for it, so that a holder that the group has forgotten notices and lets go. Open file description
 * locks (fcntl F_OFD_SETLK), O_CLOEXEC: a lock dies with its process, also by kill -9. Never on the database file itself:
 * closing any descriptor of that would drop SQLite's own locks. */
#ifndef BUI_STORE_LOCK_H
#define BUI_STORE_LOCK_H

#include <bus/error.h>

typedef struct bui_lock bui_lock;
/* Takes <base>.lock at once: BUS_LOCKED if another holds it (the text names its pid, which the file carries). On BUS_LOCKED,
 * if want is not NULL and *want is, *want receives the <base>.want lock or stays NULL; a request that is held already is left
 * as it is, so trying again adds none. Release it with bui_lock_free after success. Follows no symbolic link and writes into
 * nothing but a lock file: BUS_REFUSED if something else has the name, or others can write in the directory. */
bus_status bui_lock_take(const char *base, bui_lock **out, bui_lock **want, bus_error *err);
bool bui_lock_wanted(const char *base); /* does anyone hold <base>.want? Costs one system call or two. */
void bui_lock_free(bui_lock *lock);     /* NULL is a no-op */

#endif
