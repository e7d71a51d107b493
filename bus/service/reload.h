/* SPDX-License-Identifier: MIT
 * Reload: a configuration that was read again takes the place of the one in force, as far as that can be done while the service runs. */
#ifndef BUI_SERVICE_RELOAD_H
#define BUI_SERVICE_RELOAD_H

#include "base/config.h"

/* A property that can change while the service runs: `apply` puts what `config` says now into force. */
typedef struct bui_live {
    const char *name;
    void (*apply)(const bus_config *config);
} bui_live;

/* Makes `config` say what `fresh`, which was read and checked as a whole, says of the properties in `live`, a list that ends with a NULL name:
 * first of all of them, then those that differ are applied. `fresh` says afterwards what `config` said. Logs, as `where`, what changed; and
 * the names of other properties that differ: they count from the next start. It cannot fail, so that nothing is in force by half. */
void bui_reload(const char *where, bus_config *config, bus_config *fresh, const bui_live *live);

#endif
