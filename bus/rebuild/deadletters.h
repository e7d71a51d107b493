/* SPDX-License-Identifier: MIT
 * Dead letters: what their topic says of each one last is the truth after a rebuild, too. A store that says otherwise has run
 * something that the live one had not, or the other way. */
#ifndef BUI_REBUILD_DEADLETTERS_H
#define BUI_REBUILD_DEADLETTERS_H

#include "base/map.h"
#include "codec/envelope.h"
#include "store/store.h"

/* A record of the dead-letter topic; `told` maps ids of dead letters to how far they have come. false: no memory. */
bool bui_deadletters_note(bui_map *told, const bui_envelope *envelope);
/* Counts the dead letters of which the store says otherwise, and logs the first of them. One that is ahead of its topic, which
 * a row of the outbox will tell, does not differ, unless the topic says that it is over. `cut`: the topic has lost its start. */
bus_status bui_deadletters_compare(const bui_map *told, bool cut, bui_store *store, int64_t *differing, bus_error *err);

#endif
