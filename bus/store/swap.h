/* SPDX-License-Identifier: MIT
 * Swap: puts a rebuilt store in the place of the old one, which is kept beside it. The one function that does so. */
#ifndef BUI_STORE_SWAP_H
#define BUI_STORE_SWAP_H

#include <bus/error.h>
#include <stddef.h>

/* Moves `fresh`, whose WAL is taken into its file first, to `target`, "<data>/<service>/<p>.db", under the shard's lock. What
 * was at target becomes "<target>.replaced-<ms>", with its WAL (`kept`, at least 512 bytes; "" if nothing was there). Both
 * must be on one file system. The plan is written to "<target>.swap" before the first rename: if anything interrupts it,
 * bui_store_swap_finish completes it, or undoes it if the new store is gone. BUS_LOCKED: a process holds the shard;
 * BUS_MISSING: no fresh store; BUS_IO. */
bus_status bui_store_swap(const char *fresh, const char *target, long long now_ms, char *kept, bus_error *err);
/* The same where the caller holds the shard's lock. */
bus_status bui_store_swap_held(const char *fresh, const char *target, long long now_ms, char *kept, bus_error *err);
/* Ends a swap of `target` that was interrupted, with a line in the log; usually nothing to do. Under the shard's lock, before
 * the store is opened: bui_store_open does it. BUS_IO; BUS_CORRUPT: "<target>.swap" cannot be read. */
bus_status bui_store_swap_finish(const char *target, bus_error *err);

#endif
