/* SPDX-License-Identifier: MIT
 * Announce: every schema that the service reads or writes is on `bus.schemas` (key: a hash of its exact text, value: the
 * text), and what others have put there is in this process's catalog. */
#ifndef BUI_SERVICE_ANNOUNCE_H
#define BUI_SERVICE_ANNOUNCE_H

#include "base/id.h"
#include "codec/schema.h"
#include "service/runner.h"
#include "shard/admit.h"

/* bui_admission_take; what is refused is counted and logged, a few lines a minute. */
bus_status bui_admit(bui_admission *admission, bus *self, const bui_record *record);

/* Starts the thread that reads the topic into bus->catalog, announces what is missing there, and follows it. */
bus_status bui_follower_open(bus *bus, bui_follower **out, bus_error *err);
/* Announces one more, which is in the catalog already: soon, and again while the topic does not hold it. Any thread. */
bool bui_follower_add(bui_follower *follower, const bui_schema *schema); /* false: no memory */
void bui_follower_close(bui_follower *follower);                         /* after bus_stop; NULL is a no-op */

#endif
