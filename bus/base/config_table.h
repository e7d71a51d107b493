/* SPDX-License-Identifier: MIT
 * The table behind config.c. */
#ifndef BUS_BASE_CONFIG_TABLE_H
#define BUS_BASE_CONFIG_TABLE_H

#include "base/config.h"

/* Why "kafka.<name>" cannot be set, or NULL if it can. `name` without "kafka.". */
const char *bus_config_owned(const char *name);

#endif
