/* SPDX-License-Identifier: MIT
 * Letters: what the dead-letter topic says of each letter last is the truth after a rebuild, too. A store that says otherwise has run
 * something that the live one had not, or the other way. */
#ifndef BUS_REBUILD_LETTERS_H
#define BUS_REBUILD_LETTERS_H

#include "base/map.h"
#include "codec/envelope.h"
#include "store/store.h"

/* A record of the dead-letter topic; `told` maps ids of letters to how far they have come. false: no memory. */
bool bus_letters_note(bus_map *told, const bus_envelope *envelope);
/* Counts the letters of which the store says otherwise, and logs the first of them. One that is ahead of its topic, which a row of the outbox will
 * tell, does not differ, unless the topic says that it is over. `cut`: the topic has lost its start. */
bus_status bus_letters_compare(const bus_map *told, bool cut, bus_store *store, int64_t *differing, bus_error *err);

#endif
