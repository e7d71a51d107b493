/* SPDX-License-Identifier: MIT
 * Swap: puts a rebuilt store in the place of the old one, which is kept beside it. */
#ifndef BUS_OPS_SWAP_H
#define BUS_OPS_SWAP_H

#include <bus/error.h>
#include <stddef.h>

/* Moves `fresh` (with its -wal) to `target`, "<data>/<service>/<p>.db", under the shard's lock. What was at target becomes
 * "<target>.replaced-<ms>" (`kept`, at least 512 bytes; "" if nothing was there). Both must be on one file system. A crash in
 * between leaves no store at target, which a service refuses to start with; nothing is lost then: move by hand.
 * BUS_LOCKED: a process holds the shard; BUS_MISSING: no fresh store; BUS_IO. */
bus_status bus_store_swap(const char *fresh, const char *target, long long now_ms, char *kept, bus_error *err);

#endif
