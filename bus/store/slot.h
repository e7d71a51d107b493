/* SPDX-License-Identifier: MIT
 * Slot: which of the processes on one data directory this one is. The first free <directory>/slot-<i>.lock is taken and held,
 * so that a process restarted after kill -9 gets the same static group.instance.id (KIP-345) and its shards back at once. */
#ifndef BUS_STORE_SLOT_H
#define BUS_STORE_SLOT_H

#include <bus/error.h>

#define BUS_SLOTS 256
#define BUS_INSTANCE_TEXT 128

typedef struct bus_slot bus_slot;

/* Takes the first free slot of `directory`, which is made (0700, with its parents) if absent. BUS_IO; BUS_FULL: all
 * BUS_SLOTS are taken. */
bus_status bus_slot_take(const char *directory, const char *service, bus_slot **out, bus_error *err);
void bus_slot_free(bus_slot *slot); /* NULL is a no-op */

/* "<service>-<8 hex digits of host and real path>-<i>": the same for the same slot, differs between hosts and
 * directories. Lives as long as the slot. */
const char *bus_slot_instance(const bus_slot *slot);
int bus_slot_number(const bus_slot *slot);

#endif
