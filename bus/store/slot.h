/* SPDX-License-Identifier: MIT
 * Slot: which of the processes on one data directory this one is. The first free <directory>/slot-<i>.lock is taken and held,
 * so that a process restarted after kill -9 gets the same static group.instance.id (KIP-345) and its shards back at once. */
#ifndef BUI_STORE_SLOT_H
#define BUI_STORE_SLOT_H

#include <bus/error.h>

#define BUI_SLOTS 256
#define BUI_INSTANCE_TEXT 128

typedef struct bui_slot bui_slot;

/* Takes the first free slot of `directory`, which is made (0700, with its parents) if absent. BUS_IO; BUS_FULL: all
 * BUI_SLOTS are taken. */
bus_status bui_slot_take(const char *directory, const char *service, bui_slot **out, bus_error *err);
void bui_slot_free(bui_slot *slot); /* NULL is a no-op */

/* "<service>-<8 hex digits of host and real path>-<i>": the same for the same slot, differs between hosts and
 * directories. Lives as long as the slot. */
const char *bui_slot_instance(const bui_slot *slot);
int bui_slot_number(const bui_slot *slot);

#endif
